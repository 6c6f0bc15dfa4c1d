"""An orchestrator as a process, servers as threads, clients that keep a history of what they were told."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from batfs.service import messages as m
from batfs.service.backends.simulated import Simulated
from batfs.service.logs import Log
from batfs.service.server import Server

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def free_port() -> int:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        return int(socket.bind_to_random_port("tcp://127.0.0.1"))


WRONG_DATE = """
import sys, time
right = time.time
def wrong():
    try:
        return right() + float(open({!r}).read())
    except (OSError, ValueError):
        return right()
time.time = wrong
from batfs.cli.main import script
script()
"""


class Process:
    """`batfs service orchestrator` on a fixed port, to be killed and started again.

    ``wrong_date``: its date is off by as many seconds as the file ``date`` in ``folder`` says, from then on.
    """

    def __init__(self, folder: Path, *words: str, port: int | None = None, wrong_date: bool = False) -> None:
        self.folder, self.words = folder, words
        self.program = ["-c", WRONG_DATE.format(str(folder / "date"))] if wrong_date else ["-m", "batfs"]
        self.port = port or free_port()
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        line = self.launch()
        assert line.startswith("listening on"), line

    def launch(self) -> str:
        """Start it; the first line that it prints, empty if it ends without one."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                *self.program,
                "service",
                "orchestrator",
                "--bind",
                self.endpoint,
                "--ledger",
                str(self.folder / "ledger.db"),
                "--log",
                str(self.folder / "log.jsonl"),
                "--heartbeat",
                "0.5",
                *self.words,
            ],
            stdout=subprocess.PIPE,
            stderr=(self.folder / "said").open("w"),
            text=True,
            env=ENVIRONMENT,
        )
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Watched(Simulated):
    """A back end that sees a byte given twice."""

    def __init__(self, server: str, capacities: Mapping[str, int]) -> None:
        super().__init__(server)
        self.capacities = capacities
        self.broken: list[str] = []

    def provision(self, lease: str, disk: str, size: int, user: str, host: str) -> Mapping[str, Any]:
        answer = super().provision(lease, disk, size, user, host)
        used = sum(s for key, s in self.held().items() if key.endswith(f"/{disk}"))
        if used > self.capacities[disk]:
            self.broken.append(f"{disk}: {used} bytes after {lease}")
        return answer


def start_server(
    name: str, endpoint: str, capacities: Mapping[str, int]
) -> tuple[Server, Watched, threading.Thread]:
    backend = Watched(name, capacities)
    disks = [m.Disk(name=disk, capacity=capacity) for disk, capacity in capacities.items()]
    server = Server(name, disks, backend, endpoint, log=Log(name, quiet=True))
    thread = threading.Thread(target=server.run, kwargs={"signals": False}, daemon=True)
    thread.start()
    return server, backend, thread


@dataclass
class Told:
    """What one client was told of one lease."""

    request: str
    size: int
    lease: str = ""
    shares: dict[str, int] = field(default_factory=dict)
    end: float = 0.0
    # for so long (of the monotonic clock) the lease lives at least
    until: float = 0.0
    released: bool = False
    asked_release: bool = False


class Clients(threading.Thread):
    """``count`` clients in one thread, each with a socket of its own and one message under way at a time.

    Messages are lost, doubled and held back at random on their way out. ``history`` holds only what was
    acknowledged.
    """

    def __init__(
        self, endpoint: str, count: int, seed: int, sizes: tuple[int, int], unreliable: float = 0.0
    ) -> None:
        super().__init__(daemon=True)
        self.endpoint, self.count, self.rng, self.sizes = endpoint, count, random.Random(seed), sizes
        self.unreliable = unreliable
        self.history: dict[str, Told] = {}
        self.acknowledged = 0
        self.quiet = threading.Event()
        self.idle = threading.Event()
        self.over = threading.Event()
        self.latencies: list[float] = []

    def run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sockets = []
        poller = zmq.Poller()
        for _ in range(self.count):
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            socket.set(zmq.RECONNECT_IVL, 20)
            socket.connect(self.endpoint)
            poller.register(socket, zmq.POLLIN)
            sockets.append(socket)
        under_way: list[tuple[m.Message, bytes, float, float] | None] = [None] * self.count
        delayed: list[tuple[float, zmq.Socket[bytes], bytes]] = []
        mine: list[list[Told]] = [[] for _ in range(self.count)]
        while not self.over.is_set():
            now = time.monotonic()
            for item in [d for d in delayed if d[0] <= now]:
                delayed.remove(item)
                item[1].send(item[2])
            for k, socket in enumerate(sockets):
                current = under_way[k]
                if current is None:
                    if self.quiet.is_set():
                        continue
                    message = self._next(mine[k])
                    frame = m.encode(message)
                    under_way[k] = (message, frame, now, now)
                    self._post(socket, frame, delayed, now)
                elif now - current[3] > 0.3:
                    under_way[k] = (*current[:3], now)
                    self._post(socket, current[1], delayed, now)
            if self.quiet.is_set() and not any(under_way):
                self.idle.set()
                time.sleep(0.01)
            for socket, _ in poller.poll(20):
                k = sockets.index(socket)
                reply = m.decode(socket.recv())
                current = under_way[k]
                if not isinstance(reply, m.Reply) or current is None or reply.id != current[0].id:
                    continue
                if reply.state in ("queued", "granted"):
                    continue
                self._told(mine[k], current[0], reply)
                self.latencies.append(time.monotonic() - current[2])
                self.acknowledged += 1
                under_way[k] = None
        for socket in sockets:
            socket.close()
        context.term()

    def _post(self, socket: zmq.Socket[bytes], frame: bytes, delayed: list[Any], now: float) -> None:
        dice = self.rng.random()
        if dice < self.unreliable:
            return
        if dice < 2 * self.unreliable:
            socket.send(frame)
        elif dice < 3 * self.unreliable:
            delayed.append((now + 0.5 * self.rng.random(), socket, frame))
            return
        socket.send(frame)

    def _next(self, mine: list[Told]) -> m.Message:
        live = [t for t in mine if t.lease and not t.asked_release]
        if live and self.rng.random() < 0.5:
            told = self.rng.choice(live)
            told.asked_release = True
            return m.ReleaseLease(lease=told.lease)
        message = m.RequestSpace(
            size=self.rng.randint(*self.sizes), duration=self.rng.choice([0.5, 3.0, 60.0, 600.0]), wait=0.0
        )
        told = Told(message.id, message.size, until=time.monotonic() + message.duration)
        mine.append(told)
        self.history[message.id] = told
        return message

    def _told(self, mine: list[Told], message: m.Message, reply: m.Reply) -> None:
        if isinstance(message, m.RequestSpace):
            told = self.history[message.id]
            if reply.state == "allocated":
                told.lease, told.shares, told.end = reply.lease, reply.data["shares"], reply.data["end"]
            return
        assert isinstance(message, m.ReleaseLease)
        for told in mine:
            if told.lease == message.lease:
                # "refused" when it had ended by itself: gone in either case; unless nothing could be written
                told.released = reply.state != "refused" or "ledger" not in reply.reason
