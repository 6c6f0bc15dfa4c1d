"""Pictures for README and docs: ``make screenshots``. Needs Chromium, and half a minute of campaign.

What is shown is made here and now: a comparison of five allocation policies, the report of one run, the live
page of a storage service.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
BATFS = [sys.executable, "-m", "batfs"]
INPUT = ["-p", "platforms/taurus_storage.xml", "-w", "workloads/io.json"]
# as long as the page draws
WAIT = "--virtual-time-budget=15000"
POLICIES = ("random", "round_robin", "first_fit", "worst_fit", "least_loaded")


def batfs(*words: str) -> None:
    subprocess.run([*BATFS, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def shoot(browser: str, page: str, image: str, width: int, height: int, wait: str = WAIT) -> None:
    """Photograph the top of ``page``, as a file of that size."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ]
    flags += [wait, f"--window-size={width},{height}"]
    target = IMAGES / image
    words = [browser, *flags, f"--screenshot={target}", page]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL, timeout=300)
    print(f"{target.relative_to(ROOT)}: {width} x {height}")


def begun_at(page: Path, section: str) -> str:
    """The address of a copy of a report without what stands between its title and that section."""
    text = page.read_text(encoding="utf-8")
    hidden = f'section:has(~ section[aria-labelledby="{section}"]) {{ display: none; }}'
    copy = page.with_name(f"{section}.html")
    copy.write_text(text.replace("</head>", f"<style>{hidden}</style></head>", 1), encoding="utf-8")
    return copy.as_uri()


def page(browser: str, folder: Path) -> None:
    """The live page of a storage service with two servers, six leases, one that waits and a refusal."""
    service = [*BATFS, "service"]
    endpoint, web = f"tcp://127.0.0.1:{_port()}", _port()
    rates = "read_bandwidth: 3, write_bandwidth: 2"
    (folder / "system.yml").write_text(
        "hosts:\n" + "".join(
            f"  - hostname: ault{n}\n    ipv4: 127.0.0.1\n    network_bw: 10\n    disks:\n"
            + "".join(f"      - {{id: {d}, capacity: {d + 1}000, {rates}}}\n" for d in (0, 1))
            for n in (13, 14)
        )
    )  # fmt: skip
    at = ["--connect", endpoint]
    silent: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:

        def start(*words: str) -> None:
            process = subprocess.Popen(
                [*service, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)

        start("orchestrator", "--bind", endpoint, "--ledger", str(folder / "ledger.db"))
        for host in ("ault13", "ault14"):
            start("server", *at, "--system", str(folder / "system.yml"), "--host", host)
        time.sleep(5)
        for size in (100, 200, 300, 400, 500, 600):
            subprocess.run(
                [*service, "request", f"{size}GB", "--for", "2h", *at], stdout=subprocess.DEVNULL, check=True
            )
            time.sleep(1)
        subprocess.run([*service, "release", "L2", *at], **silent, check=True)
        subprocess.run(
            [*service, "request", "9TB", "--for", "1h", *at], stderr=subprocess.DEVNULL, check=False
        )
        start("request", "1900GB", "--for", "1h", "--wait", "1h", *at)
        start("page", *at, "--page-port", str(web))
        time.sleep(6)
        asyncio.run(_live(browser, f"http://127.0.0.1:{web}/", "service-page.png", folder))


async def _live(browser: str, url: str, image: str, folder: Path) -> None:
    """Photograph a page that goes on talking to its server, by Chromium's debugging protocol."""
    from tornado.websocket import websocket_connect

    profile, port = folder / "profile", _port()
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    words += [f"--remote-debugging-port={port}", "--window-size=1200,1150", "--hide-scrollbars", url]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as running:
        await asyncio.sleep(8)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            tab = next(t for t in json.load(answer) if t["type"] == "page")
        link = await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=2**26)
        await link.write_message(json.dumps({"id": 1, "method": "Page.captureScreenshot"}))
        told = json.loads(str(await link.read_message()))
        running.terminate()
    (IMAGES / image).write_bytes(base64.b64decode(told["result"]["data"]))
    print(f"docs/images/{image}")


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> int:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("no Chromium here: install one, such as Debian's chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="batfs-screenshots-") as name:
        folder = Path(name)
        page(browser, folder)
        batfs("run", *INPUT, "--queue", "easy", "--policy", "worst_fit", "-q", "-e", str(folder / "run"))
        batfs("report", str(folder / "run"), "--formats", "none", "-o", str(folder / "run.html"))
        shoot(browser, begun_at(folder / "run.html", "course"), "report-run.png", 1200, 1000)
        chosen = [word for policy in POLICIES for word in ("--policy", policy)]
        more = ["--queue", "easy", "--seeds", "12", "--resample", "blocks", "--formats", "none"]
        batfs(
            "compare",
            *INPUT,
            *chosen,
            *more,
            "-o",
            str(folder / "compare"),
            "--title",
            "Five allocation policies",
        )
        compared = begun_at(folder / "compare" / "report.html", "results")
        shoot(browser, compared, "compare-results.png", 1200, 1000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
