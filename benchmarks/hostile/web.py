"""Requests of the web, mutated, to the orchestrator's metrics and to the live page."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path

from batfs.service.client import Client
from benchmarks.hostile.messages import MOST_GROWN, SYSTEM, resident, started

GOOD = (
    b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://%s\r\n\r\n",
    b"GET /static/js/bokeh.min.js HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n",
    b"GET /static/../../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /autoload.js?bokeh-autoload-element=1&bokeh-app-path=/ HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
    b"GET /metadata HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
)


def mutated(rng: random.Random, port: int) -> bytes:
    request = rng.choice(GOOD)
    if b"%d" in request and b"%s" in request:
        request = request % (port, rng.choice([b"evil.example", b"127.0.0.1:%d" % port, b""]))
    elif b"%d" in request:
        request = request % port
    data = bytearray(request)
    for _ in range(rng.choice([0, 1, 1, 3])):
        at, kind = rng.randrange(len(data) + 1), rng.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            data[at:at] = data[at : at + 60]
        elif kind == 3:
            data[at:at] = b"A" * rng.choice([10, 1000, 70_000])
        else:
            data[at:at] = b"X-%d: y\r\n" % at * rng.choice([1, 200])
        if not data:
            break
    return bytes(data)


def web(role: str, count: int, seed: int) -> int:
    """``role``: metrics or page."""
    rng, findings, statuses = random.Random(seed), list[str](), Counter[str]()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "s.yml").write_text(SYSTEM)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = ["orchestrator", "--bind", "tcp://127.0.0.1:*", "--log", str(folder / "log")]
        orchestrator = started(*words, *(["--metrics", str(port)] if role == "metrics" else []))
        assert orchestrator.stdout is not None
        endpoint = orchestrator.stdout.readline().split()[-1]
        children = [orchestrator]
        if role == "page":
            page = started("page", "--connect", endpoint, "--page-port", str(port))
            assert page.stdout is not None
            assert "http" in page.stdout.readline()
            children.append(page)
        watched, half = children[-1], 0
        for number in range(count):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 10) as connection,
            ):
                connection.settimeout(0.05)
                connection.sendall(mutated(rng, port))
                if rng.random() < 0.8:
                    statuses[connection.recv(20)[9:12].decode("ascii", "replace")] += 1
            if number == count // 2:
                half = resident(watched.pid)
            if number % 1000 == 0 and watched.poll() is not None:
                findings.append(f"it ended with {watched.poll()} before request {number}")
                break
        else:
            grown = (resident(watched.pid) - half) / 2**20
            if grown > MOST_GROWN:
                findings.append(f"memory grew by {grown:.0f} MiB over the second half")
            with socket.create_connection(("127.0.0.1", port), 20) as connection:
                path = b"/metrics" if role == "metrics" else b"/"
                connection.sendall(b"GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, port))
                if b" 200 " not in connection.recv(20):
                    findings.append("it doesn't serve any more")
            with Client(endpoint, timeout=20) as client:
                client.status()
            told = {"requests": count, "role": role, "seed": seed, "grown_MiB": round(grown, 1)}
            told |= {"seconds": round(time.monotonic() - begin), "answers": dict(statuses)}
            print(json.dumps(told))
        for child in children[::-1]:
            child.terminate()
            code = child.wait(60)
            if code:
                findings.append(f"a process ended with {code}")
    for finding in findings:
        print("FOUND", finding)
    return 1 if findings else 0
