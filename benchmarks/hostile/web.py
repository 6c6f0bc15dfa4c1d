"""Requests of the web, mutated, to the orchestrator's metrics and to the live page."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from batfs.service.client import Client
from benchmarks.hostile.messages import MOST_GROWN, SYSTEM, resident, started

MOMENT = 0.02  # seconds that are waited for an answer when many are open
#: Seconds of processor time, or without any use of it, within which a connection is accepted.
BUSY, IDLE = 30.0, 120
SLOWEST = 60.0  # seconds for a good request's answer at the end
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


class Caller:
    """Many connections at a time, one request each: what comes back first is counted, and nobody is waited
    for longer than some moments, since half of all requests are none."""

    def __init__(self, port: int, most: int, pid: int) -> None:
        self.port, self.most, self.pid = port, most, pid
        self.longest = 0.0  # seconds of its processor time that somebody waited for a connection
        self.answers: Counter[str] = Counter()
        self._select = selectors.DefaultSelector()
        self._open: dict[socket.socket, float] = {}

    def call(self, request: bytes, go_at_once: bool) -> None:
        """Raises OSError when nobody listens any more."""
        connection = self._connected()
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(request)
        if go_at_once:
            connection.close()
            self.answers["not waited for"] += 1
            return
        self._open[connection] = time.monotonic()
        self._select.register(connection, selectors.EVENT_READ)
        self._hear(0)
        while len(self._open) >= self.most:
            self._hear(0.002)

    def _connected(self) -> socket.socket:
        """A connection. On a busy machine the listening process may have no turn for minutes: it is to blame
        only for what it does meanwhile (:data:`BUSY`), or for doing nothing (:data:`IDLE`)."""
        begin, idle = spent(self.pid), 0
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), 5)
            except TimeoutError:
                used, wants = spent(self.pid) - begin, waits_for_its_turn(self.pid)
                self.longest = max(self.longest, used)
                idle = 0 if wants else idle + 5
                if used > BUSY or idle > IDLE:
                    why = f"no connection is accepted: {used:.1f} s of processor time, {idle} s idle"
                    raise TimeoutError(why) from None
                continue
            self.longest = max(self.longest, spent(self.pid) - begin)
            return connection

    def _hear(self, seconds: float) -> None:
        for key, _ in self._select.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            try:
                head = key.fileobj.recv(20)
            except OSError:
                head = b""
            self._done(key.fileobj, head[9:12].decode("ascii", "replace") if head else "closed")
        if len(self._open) >= self.most:
            now = time.monotonic()
            for connection in [c for c, since in self._open.items() if now - since > MOMENT]:
                self._done(connection, "none")

    def _done(self, connection: socket.socket, answer: str) -> None:
        self.answers[answer] += 1
        del self._open[connection]
        self._select.unregister(connection)
        connection.close()

    def close(self) -> None:
        for connection in list(self._open):
            self._done(connection, "none")
        self._select.close()


def spent(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waits_for_its_turn(pid: int) -> bool:
    """Whether a thread of it could run now."""
    states = [p.read_text().rpartition(")")[2].split()[0] for p in Path(f"/proc/{pid}/task").glob("*/stat")]
    return "R" in states or "D" in states


def serves(port: int, path: bytes) -> str:
    """What is wrong with a good request's answer; empty for nothing. Pages that were opened and left are
    forgotten after half a minute."""
    deadline, said = time.monotonic() + 90, b""
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), SLOWEST) as connection,
        ):
            connection.sendall(b"GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % (path, port))
            said = connection.recv(20)
        if b" 200 " in said:
            return ""
        time.sleep(1)
    return f"it doesn't serve any more: {said!r}"


def web(role: str, count: int, seed: int) -> int:
    """``role``: metrics or page."""
    rng, findings = random.Random(seed), list[str]()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as children:
        folder = Path(scratch)
        (folder / "s.yml").write_text(SYSTEM)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = ["orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", str(folder / "l.db"),
                 "--log", str(folder / "log")]  # fmt: skip
        watched = started(*words, *(["--metrics", str(port)] if role == "metrics" else []))
        children.callback(ended, watched, findings)
        assert watched.stdout is not None
        endpoint = watched.stdout.readline().split()[-1]
        if role == "page":
            watched = started("page", "--connect", endpoint, "--page-port", str(port))
            children.callback(ended, watched, findings)
            assert watched.stdout is not None
            assert "http" in watched.stdout.readline()
        half, caller, stop = 0, Caller(port, 24, watched.pid), list[int]()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.append(1))  # it ends there, and says how far it came
        asked = 0
        for number in itertools.takewhile(lambda _: not stop, range(count)):
            asked = number + 1
            try:
                caller.call(mutated(rng, port), rng.random() < 0.1)
            except OSError as error:
                findings.append(f"request {number}: {error}; exit code {watched.poll()}")
                break
            if number == count // 2:
                half = resident(watched.pid)
            if number % 1000 == 999:  # who asks properly has his answer in the midst of it
                wrong = serves(port, b"/metrics" if role == "metrics" else b"/metadata")
                if wrong:
                    findings.append(f"after {number} requests: {wrong}")
                    break
        else:
            caller.close()
            wrong = serves(port, b"/metrics" if role == "metrics" else b"/")
            findings += [wrong] if wrong else []
            grown = (resident(watched.pid) - half) / 2**20
            if grown > MOST_GROWN:
                findings.append(f"memory grew by {grown:.0f} MiB over the second half")
            with Client(endpoint, timeout=20) as client:
                client.status()
            told = {"requests": asked, "role": role, "seed": seed, "grown_MiB": round(grown, 1)}
            told |= {"resident_MiB": round(resident(watched.pid) / 2**20)}
            told |= {"longest_wait_cpu_s": round(caller.longest, 2), "of": count}
            told |= {"seconds": round(time.monotonic() - begin), "answers": dict(caller.answers)}
            print(json.dumps(told))
    for finding in findings:
        print("FOUND", finding)
    return 1 if findings else 0


def ended(child: subprocess.Popen[str], findings: list[str]) -> None:
    child.terminate()
    code = child.wait(60)
    if code:
        findings.append(f"a process ended with {code}")
