"""The live page in a real browser, the Prometheus text, and the commands a person types."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import itertools
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_harness import ENVIRONMENT, Process, free_port, start_server

from batfs.service.client import Client

BATFS = [sys.executable, "-m", "batfs", "service"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Process, int]]:
    metrics = free_port()
    orchestrator = Process(tmp_path, "--metrics", str(metrics))
    orchestrator.start()
    server, _, thread = start_server("ault14", orchestrator.endpoint, {"nvme0": 10**12, "nvme1": 2 * 10**12})
    with Client(orchestrator.endpoint, timeout=10) as client:
        deadline = time.monotonic() + 10
        while not client.status()["disks"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.request(700 * 10**9, 3600).state == "allocated"
        assert client.request(5 * 10**12, 3600).state == "refused"
    yield orchestrator, metrics
    server.stop()
    thread.join(5)
    orchestrator.stop()


def batfs(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [*BATFS, *words],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_commands(place: tuple[Process, int]) -> None:
    to = ["--connect", place[0].endpoint]
    said = batfs("request", "200GB", "--for", "2h", *to)
    assert "allocated: 200 GB until" in said
    assert "simulated:ault14/" in said
    lease = said.split()[0]
    assert json.loads(batfs("list", "--json", *to))[-1]["lease"] == lease
    assert "900 GB of 3 TB reserved, 2 leases, 0 queued" in batfs("status", *to)
    assert "until" in batfs("extend", lease, "--by", "1h", *to)
    assert batfs("watch", "--times", "2", "--every", "0.1", *to).count("reserved") == 4
    assert batfs("release", lease, *to) == "released\n"
    assert "no live lease" in batfs("release", lease, *to, code=1)
    assert "refused: no room" in batfs("request", "9TB", "--for", "1h", *to, code=1)
    assert "carries no zone" in batfs(
        "request", "1GB", "--for", "1h", "--start", "2030-01-01T00:00:00", *to, code=2
    )
    assert "known: flops" not in batfs("request", "1XB", "--for", "1h", *to, code=2)


def test_prometheus(place: tuple[Process, int]) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{place[1]}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    samples = {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"
    }
    assert samples['batfs_disk_reserved_bytes{server="ault14",disk="nvme1"}'] == 7e11
    assert samples['batfs_server_up{server="ault14"}'] == 1
    assert samples['batfs_events_total{kind="granted"}'] == 1
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name.partition("{")[0] for name in samples} == names


FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-port=0 --window-size=1400,1000"
)
LOOK = """(() => { const d = Bokeh.documents[0]; const s = n => d.get_model_by_name(n).data;
const t = n => d.get_model_by_name(n).text; const lines = s("over time");
return JSON.stringify({text: t("head"), disks: Array.from(s("disks").name), used: Array.from(s("disks").used),
servers: t("servers"), leases: t("leases"), queue: t("queue"), refusals: t("refusals"),
nodes: Array.from(lines.name), held: Array.from(lines.used).map(v => Array.from(v)),
wide: document.documentElement.scrollWidth - innerWidth}) })()"""
BROKEN = """axe.run().then(r => JSON.stringify(r.violations.map(v => [v.impact, v.id,
v.nodes.map(n => n.html.slice(0, 200))])))"""


def axe() -> str:
    """The accessibility checker's script, where it is installed."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        return ""
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


async def visit(url: str, folder: Path, width: int) -> dict[str, Any]:
    """Open the page in headless Chromium by its debugging protocol; what it shows, what axe-core finds fault
    with, and a picture."""
    from tornado.websocket import websocket_connect

    assert CHROMIUM is not None
    profile = folder / "profile"
    with subprocess.Popen([CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]) as browser:
        try:
            note = profile / "DevToolsActivePort"
            for _ in range(200):
                if note.exists() and len(note.read_text().split()) == 2:
                    break
                await asyncio.sleep(0.1)
            port = note.read_text().split()[0]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                tab = next(t for t in json.load(answer) if t["type"] == "page")
            socket = await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=2**26)
            serial = itertools.count(1)

            async def call(method: str, **params: Any) -> dict[str, Any]:
                number = next(serial)
                await socket.write_message(json.dumps({"id": number, "method": method, "params": params}))
                while (reply := json.loads(str(await socket.read_message()))).get("id") != number:
                    pass
                result: dict[str, Any] = reply["result"]
                return result

            size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
            await call("Emulation.setDeviceMetricsOverride", **size)
            await call("Page.navigate", url=url)
            found: dict[str, Any] = {}
            for _ in range(100):
                await asyncio.sleep(0.2)
                value = (await call("Runtime.evaluate", expression=LOOK))["result"].get("value")
                if value:
                    found = json.loads(value)
                    break
            await asyncio.sleep(1.0)
            value = (await call("Runtime.evaluate", expression=LOOK))["result"]["value"]
            found = json.loads(value)
            if axe():
                await call("Runtime.evaluate", expression=axe())
                told = await call("Runtime.evaluate", expression=BROKEN, awaitPromise=True)
                found["axe"] = json.loads(told["result"]["value"])
            found["picture"] = (await call("Page.captureScreenshot"))["data"]
            return found
        finally:
            browser.terminate()


@pytest.mark.slow
def test_logs_are_gathered(place: tuple[Process, int]) -> None:
    """What a server logs is found in the orchestrator's file, a JSON object a line."""
    deadline = time.monotonic() + 15
    gathered: list[str] = []
    while not gathered:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        lines = [json.loads(line) for line in (place[0].folder / "log.jsonl").read_text().splitlines()]
        gathered = [line["record"]["event"] for line in lines if line["event"] == "gathered"]
    assert "registered" in gathered
    assert {line["component"] for line in lines} >= {"orchestrator"}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1400, 800, 420])
def test_the_page_in_a_browser(place: tuple[Process, int], tmp_path: Path, width: int) -> None:
    """At three widths: nothing sticks out of the window, axe-core, where it is installed, finds nothing
    serious, tables tell servers, leases and refusals with whole reasons."""
    pytest.importorskip("bokeh")
    port = free_port()
    page = subprocess.Popen(
        [*BATFS, "page", "--connect", place[0].endpoint, "--page-port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert page.stdout is not None
        watchdog = threading.Timer(60, page.kill)
        watchdog.start()
        url = page.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port}/"
        found = asyncio.run(visit(url, tmp_path, width))
        shot = tmp_path / "page.png"
        shot.write_bytes(base64.b64decode(found["picture"]))
        assert shot.stat().st_size > 20_000, "the page is not empty"
        assert "1 leases, 0 queued, 700.0 of 3000.0 GB reserved (23%)" in found["text"]
        assert found["disks"] == ["ault14/nvme0", "ault14/nvme1"]
        assert sorted(found["used"]) == [0, 700]
        assert found["wide"] <= 0
        assert [v for v in found.get("axe", []) if v[0] in ("serious", "critical")] == []
        assert "<td>up</td><td>simulated</td><td>2</td><td>700 GB of 3 TB</td>" in found["servers"]
        assert "<td>allocated</td><td>700 GB</td>" in found["leases"]
        assert "none" in found["queue"]
        assert "no room: all disks together hold 3 TB</td>" in found["refusals"]
        # a line a node, from nothing to the first grant
        assert found["nodes"] == ["ault14"]
        assert (found["held"][0][0], found["held"][0][-1]) == (0, 700)
        watchdog.cancel()
    finally:
        page.terminate()
        page.wait(10)


# ---- what a hostile client of the web does to the page --------------------------------------------------


@pytest.fixture
def page(place: tuple[Process, int]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    pytest.importorskip("bokeh")
    port = free_port()
    process = subprocess.Popen(
        [*BATFS, "page", "--connect", place[0].endpoint, "--page-port", str(port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}/"
    yield process, port
    process.terminate()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert len(said) < 2000


def web(port: int, request: str | bytes, wait: float = 60.0) -> bytes:
    """The first bytes of the answer; nothing if the connection is closed without one."""
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        connection.settimeout(wait)
        try:
            connection.sendall(request.encode() if isinstance(request, str) else request)
            return connection.recv(1000)
        except OSError:
            return b""


def status_of(port: int, path: str, host: str | None = None, more: str = "", method: str = "GET") -> str:
    head = f"Host: {f'127.0.0.1:{port}' if host is None else host}\r\n{more}"
    return web(port, f"{method} {path} HTTP/1.1\r\n{head}\r\n")[9:12].decode()


def upgrade(origin: str, protocol: str = "bokeh, x") -> str:
    return (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {protocol}\r\n"
        f"Origin: {origin}\r\n"
    )


@pytest.mark.slow
def test_the_page_is_for_this_machine_only(page: tuple[subprocess.Popen[str], int]) -> None:
    """Names that lead here from elsewhere (DNS rebinding), other origins, made-up sessions, other methods,
    large requests: refused, and the page is served on."""
    _, port = page
    assert status_of(port, "/", f"localhost:{port}") == "200"
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"0.0.0.0:{port}", ""):
        assert status_of(port, "/", host) == "403", host
    assert web(port, "GET / HTTP/1.0\r\n\r\n")[9:12] == b"403"
    assert status_of(port, "/", more="Host: evil.example\r\n") in ("400", "403")
    for origin in (
        "http://evil.example",
        f"http://evil.example:{port}",
        "null",
        f"http://127.0.0.1:{port + 1}",
    ):
        assert status_of(port, "/ws", more=upgrade(origin)) == "403", origin
    # the right origin, and a session that nobody has opened
    for token in ("", "eyJ4IjoxfQ", "eyJ4IjoxfQ.x", "." * 5000, "\xff"):
        made_up = upgrade(f"http://127.0.0.1:{port}", f"bokeh, {token}")
        assert status_of(port, "/ws", more=made_up) in ("403", "400"), token
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
        assert status_of(port, "/", method=method, more="Content-Length: 0\r\n") == "405", method
    assert status_of(port, "/static/../../../../../../etc/passwd") in ("403", "404")
    assert status_of(port, "/static/%2e%2e/%2e%2e/%2e%2e/etc/passwd") in ("403", "404")
    assert status_of(port, "/", more="X: " + "y" * 10**6 + "\r\n") in ("400", "431", "")
    assert status_of(port, "/", more="Content-Length: 999999999999\r\n") in ("400", "413", "")
    for garbage in (b"\x16\x03\x01\x02\x00\x01", b"\xff" * 1000, b"GET\r\n\r\n", b"\r\n" * 100):
        web(port, garbage, 0.3)
    assert status_of(port, "/") == "200"


def test_who_may_come_in() -> None:
    pytest.importorskip("tornado")
    from batfs.service.door import MOST_PAGES, MOST_WAITING, Door

    pages = [(0, 0)]
    door = Door(None, {"127.0.0.1:5"}, lambda: pages[0], lambda token: token == "good")  # type: ignore[arg-type]
    assert door.refusal("GET", "/", "127.0.0.1:5", "") is None
    assert door.refusal("GET", "/", "evil.example:5", "") == (403, "Forbidden")
    assert door.refusal("GET", "/", None, "") == (403, "Forbidden")
    assert door.refusal("POST", "/", "127.0.0.1:5", "") == (405, "Method Not Allowed")
    assert door.refusal("GET", "/ws?x=1", "127.0.0.1:5", "bad") == (403, "Forbidden")
    assert door.refusal("GET", "/ws", "127.0.0.1:5", "good") is None
    pages[0] = (MOST_PAGES - 1, MOST_WAITING - 1)
    assert door.refusal("GET", "/", "127.0.0.1:5", "") is None
    pages[0] = (MOST_WAITING, MOST_WAITING)
    assert door.refusal("GET", "/", "127.0.0.1:5", "") == (503, "Service Unavailable")
    pages[0] = (MOST_PAGES, 0)
    assert door.refusal("GET", "/?again", "127.0.0.1:5", "") == (503, "Service Unavailable")
    assert door.refusal("GET", "/autoload.js?x", "127.0.0.1:5", "") == (503, "Service Unavailable")
    assert door.refusal("GET", "/ws", "127.0.0.1:5", "good") is None
    assert door.refusal("GET", "/static/js/bokeh.min.js", "127.0.0.1:5", "") is None
