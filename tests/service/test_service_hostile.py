"""No message ends the orchestrator: what is out of bounds is refused, what raises is one request's affair."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from service_harness import ENVIRONMENT, Process, free_port, start_server
from test_service_core import ALICE, ROOT, SERVER, World

from batfs.service import messages as m
from batfs.service.auth import LOCAL
from batfs.service.client import Client
from batfs.service.core import Core
from batfs.storage.policies import make_policy


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def frame(kind: str, members: str) -> bytes:
    head = f'{{"v":1,"type":"{kind}","id":"{uuid.uuid4().hex}","sent":{time.time():f}'
    return f"{head},{members}}}".encode() if members else f"{head}}}".encode()


# each of these ended an orchestrator, or is a brother of one that did
KILLERS = {
    "a duration of a nanosecond": frame("request", '"size":1000,"duration":1e-9'),
    "a duration of nothing": frame("request", '"size":1000,"duration":5e-324'),
    "a count that is no number": frame("request", '"size":1000,"duration":60,"options":{"count":"abc"}'),
    "a count below zero": frame("request", '"size":1000,"duration":60,"options":{"count":-3}'),
    "a count without end": frame("request", '"size":1000,"duration":60,"options":{"count":1e300}'),
    "a count of nothing": frame("request", '"size":1000,"duration":60,"options":{"count":null}'),
    "nested options": frame("request", '"size":1000,"duration":60,"options":{"a":' + nested(300) + "}"),
    "a nested log record": frame("log", '"component":"x","records":[{"a":' + nested(500) + "}]"),
    "a nested version": b'{"v":' + nested(1000).encode() + b',"type":"status","id":"a","sent":1}',
    "a version nested without end": b'{"v":' + nested(100_000).encode(),
    "more than all bytes there are": frame("request", f'"size":{2**61},"duration":60'),
    "a number beyond 64 bits": frame("request", f'"size":{10**400},"duration":60'),
    "an infinite duration": frame("request", '"size":1,"duration":1e999'),
    "a wait beyond all time": frame("request", '"size":1,"duration":1,"wait":1e308'),
    "a start at the end of time": frame("request", '"size":1,"duration":1,"start":1e308'),
    "half a surrogate": frame("request", '"size":1,"duration":1,"host":"\\ud800"'),
    "no UTF-8": frame("request", '"size":1,"duration":1,"host":"X"').replace(b"X", b"\xff"),
    "virtual time where there is none": frame("pass_time", ""),
    "capacities beyond 64 bits": frame(
        "register",
        '"server":"e","backend":"x","disks":['
        + ",".join(f'{{"name":"d{i}","capacity":{2**61}}}' for i in range(8))
        + "]",
    ),
    "a lease's name in superscript": frame(
        "provisioned", '"server":"s1","lease":"L\u00b2","disk":"d0","connection":{}'
    ),
    "a lease's name without end": frame("release", f'"lease":"L{"9" * 900}"'),
    "a server's name with a slash": frame(
        "register", '"server":"a/b","backend":"x","disks":[{"name":"c","capacity":1}]'
    ),
    "a list from beyond the end": frame("list", f'"after":{2**61}'),
    "a status from beyond the end": frame("status", f'"history":true,"after":{2**61}'),
    "a page of no registration": frame("held", '"server":"s1","of":"x","held":{}'),
    "more pages than there can be": frame(
        "register", '"server":"e","backend":"x","disks":[{"name":"c","capacity":1}],"more":100000'
    ),
}


@pytest.mark.parametrize("what", KILLERS)
@pytest.mark.parametrize("how", [{}, {"block_size": 10**9}, {"block_size": 1}], ids=["whole", "GB", "bytes"])
def test_no_message_raises(what: str, how: dict[str, int]) -> None:
    """... and the service serves as before: a request that fits is granted, the books are right."""
    now = time.time()
    core = Core(make_policy("worst_fit"), now=now, **how)  # type: ignore[arg-type]
    disks = [m.Disk(name=f"d{i}", capacity=10**12) for i in range(2)]
    core.handle(now, b"s1", LOCAL, m.encode(m.RegisterServer(server="s1", disks=disks, backend="t")))
    core.drain()
    for _ in range(2):
        core.handle(now, b"c", LOCAL, KILLERS[what])
        core.validate()
    core.drain()
    assert not core.counts["refused_internal"], "a defect, though it ended nothing"
    request = m.RequestSpace(size=500, duration=60.0)
    core.handle(now, b"c", LOCAL, m.encode(request))
    sent = [x for _, x in core.drain()[1] if isinstance(x, m.Provision)]
    assert sum(x.size for x in sent) == 500


class Grumpy:
    """A policy that raises when it is asked for what ends in 7 bytes."""

    name = "grumpy"

    def __init__(self) -> None:
        self.inner = make_policy("worst_fit")

    def choose(self, view: Any, request: Any, rng: random.Random) -> Any:
        if request.size % 10 == 7:
            raise KeyError("seven")
        return self.inner.choose(view, request, rng)


def test_a_queued_request_that_raises_is_quarantined_and_shown() -> None:
    """It is out of the way of the others, survives a restart, and is its owner's to take back."""
    w = World(capacity=100, disks=1, heartbeat=100.0)
    w.core.room.policy = Grumpy()
    w.request(100, 50)
    w.serve()
    first = w.request(30, 10, wait=1000)
    bad = w.request(17, 10, wait=1000)
    good = w.request(20, 10, wait=1000)
    rows = [w.core.leases[3].row()]
    w.tick(50.0)
    w.serve()
    w.serve()
    assert w.last(first).state == w.last(good).state == "allocated"
    assert w.last(bad).state == "refused"
    assert "KeyError: 'seven'" in w.last(bad).reason
    status = m.GetStatus(sent=w.now)
    w.say(ROOT, status)
    assert w.last(status.id).data["quarantined"] == 1
    assert w.last(status.id).data["quarantine"][0]["lease"] == "L3"
    # once more after a restart: it is not tried again
    servers = [s.row() for s in w.core.servers.values()]
    core = Core(make_policy("worst_fit"), now=w.now)
    core.restore(servers, [x.row() for x in w.core.leases.values()], [], 4)
    assert core.leases[3].state == "quarantined"
    assert 3 not in core.queue
    release = m.ReleaseLease(lease="L3", sent=w.now)
    w.say(ALICE, release)
    assert w.last(release.id).state == "released"
    w.core.validate()
    # and one that was queued before the restart meets its fate after it
    core = Core(Grumpy(), now=w.now)
    core.restore(servers, rows, [], 4)
    register = m.RegisterServer(server="s1", disks=w.disks, backend="t", sent=w.now)
    core.handle(w.now, b"s1", SERVER, m.encode(register))
    assert core.leases[3].state == "quarantined"


def test_a_policy_that_raises_refuses_at_once_and_holds_nothing() -> None:
    w = World(capacity=100, disks=2)
    w.core.room.policy = Grumpy()
    r = w.request(17, 10)
    assert "KeyError: 'seven'" in w.last(r).reason
    assert w.core.room.used(w.now) == 0


@pytest.mark.parametrize("answer", ["one byte", "twice", "nowhere", "below nought", "half a byte", "a word"])
def test_a_policy_that_answers_nonsense_grants_nothing(answer: str) -> None:
    from batfs.storage.interface import Share

    class Odd:
        name = "odd"

        def choose(self, view: Any, request: Any, rng: random.Random) -> Any:
            return {
                "one byte": (Share(0, 1),),
                "twice": (Share(0, request.size), Share(1, request.size)),
                "nowhere": (Share(7, request.size),),
                "below nought": (Share(0, -1), Share(1, request.size + 1)),
                "half a byte": (Share(0, request.size / 1),),
                "a word": "here",
            }[answer]

    w = World(capacity=100, disks=2)
    w.core.room.policy = Odd()
    r = w.request(50, 10)
    assert "the policy 'odd' can't place this" in w.last(r).reason
    assert w.core.room.used(w.now) == 0


def test_quotas() -> None:
    w = World(capacity=100, disks=1)
    w.core.quota = 3
    asked = [w.request(1, 10) for _ in range(5)]
    w.serve()
    assert [w.last(r).state for r in asked] == ["allocated"] * 3 + ["refused"] * 2
    assert "alice has 3" in w.last(asked[-1]).reason
    w.tick(10.0)
    w.serve()
    again = w.request(1, 10)
    w.serve()
    assert w.last(again).state == "allocated"


def test_what_was_refused_is_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batfs.service.book.MAX_REFUSED", 10)
    w = World(capacity=100, disks=1)
    for _ in range(100):
        w.request(1000, 10)
    assert len(w.core._finals) == len(w.core._known) == 10


# ---- processes ---------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Process, int]]:
    metrics = free_port()
    orchestrator = Process(tmp_path, "--metrics", str(metrics))
    orchestrator.start()
    server, _, thread = start_server("s1", orchestrator.endpoint, {"d0": 10**12})
    with Client(orchestrator.endpoint, timeout=10) as client:
        while not client.status()["disks"]:
            time.sleep(0.05)
    yield orchestrator, metrics
    server.stop()
    thread.join(5)
    assert orchestrator.stop() == 0


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def test_scrapes_that_close_early_or_never_ask(place: tuple[Process, int]) -> None:
    """A closed connection is SIGPIPE or EPIPE to who writes into it; a silent one holds a thread only."""
    silent = []
    for i in range(60):
        scrape = socket.create_connection(("127.0.0.1", place[1]))
        if i % 3:
            with contextlib.suppress(OSError):
                scrape.sendall(b"GET /metrics HTTP/1.0\r\n\r\n" if i % 3 == 1 else b"\xff" * 5000)
            scrape.close()
        else:
            silent.append(scrape)
    with Client(place[0].endpoint, timeout=5) as client:
        assert client.status()["servers"][0]["state"] == "up"
    for scrape in silent:
        scrape.close()


def test_a_message_that_never_ends_is_cut_off(place: tuple[Process, int]) -> None:
    """ZeroMQ's own framing by hand (ZMTP 3.1, NULL): parts of one message, a megabyte... and no last one.

    256 MB are sent, the limit is 64 MiB: the connection is closed meanwhile, and memory stays bounded.
    """
    assert place[0].process is not None
    before = resident(place[0].process.pid)
    with socket.create_connection(("127.0.0.1", place[0].port)) as connection:
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
        greeting = b""
        while len(greeting) < 64:
            greeting += connection.recv(64 - len(greeting))
        ready = b"\x05READY\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
        connection.sendall(b"\x04" + bytes([len(ready)]) + ready)
        part = b"\x03" + (100_000).to_bytes(8, "big") + b"x" * 100_000
        with pytest.raises(OSError):
            for _ in range(2560):
                connection.sendall(part)
            for _ in range(200):
                time.sleep(0.1)
                connection.sendall(b"\x03" + bytes(8))
    assert resident(place[0].process.pid) - before < 400 * 2**20
    with Client(place[0].endpoint, timeout=5) as client:
        assert client.status()["counters"]["refused_endless"] == 1


def test_messages_of_many_parts_are_refused(place: tuple[Process, int]) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(place[0].endpoint)
        dealer.send_multipart([b"x"] * 5000)
        dealer.send_multipart([b""])
        dealer.send(m.encode(m.GetStatus()))
        assert dealer.poll(5000)
        reply = m.decode(dealer.recv())
        assert isinstance(reply, m.Reply)
        assert reply.data["counters"]["refused_malformed"] == 2
    context.term()


def test_the_command_that_ended_it_for_ever(place: tuple[Process, int]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "batfs", "service", "request", "1GB", "--for", "1h", "--option", "count=abc",
         "--connect", place[0].endpoint],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("refused: the policy 'worst_fit' can't place this: ValueError")
    place[0].kill()
    place[0].start()
    with Client(place[0].endpoint, timeout=10) as client:
        assert client.status()["leases"] == 0


def test_a_log_that_cant_be_written_ends_nothing(tmp_path: Path) -> None:
    """stderr is closed by whoever started it, and its log is on a full disk."""
    port = free_port()
    read, write = os.pipe()
    os.close(read)
    orchestrator = subprocess.Popen(
        [sys.executable, "-m", "batfs", "service", "orchestrator", "--bind", f"tcp://127.0.0.1:{port}",
         "--ledger", str(tmp_path / "ledger.db")],
        stdout=subprocess.PIPE, stderr=write, env=ENVIRONMENT,
    )  # fmt: skip
    os.close(write)
    assert orchestrator.stdout is not None
    orchestrator.stdout.readline()
    with Client(f"tcp://127.0.0.1:{port}", timeout=5) as client:
        for _ in range(3):
            assert client.request(10, -1.0).state == "refused"
    orchestrator.terminate()
    assert orchestrator.wait(10) == 0
    orchestrator.stdout.close()


def test_answers_of_any_size_come_in_pages(tmp_path: Path) -> None:
    """4,200 leases were more than one message holds: they could not be listed, nor the server register."""
    orchestrator = Process(tmp_path)
    orchestrator.start()
    server, backend, thread = start_server("s1", orchestrator.endpoint, {f"d{i}": 10**12 for i in range(700)})
    with Client(orchestrator.endpoint, timeout=20) as client:
        while len(client.status()["disks"]) != 700:
            time.sleep(0.05)
        messages = [m.RequestSpace(size=1000, duration=3600.0) for _ in range(4200)]
        answers = client.ask_all(messages)
        assert {a.state for a in answers.values()} == {"allocated"}
        names = [x["lease"] for x in client.leases()]
        assert names == [f"L{i}" for i in range(1, 4201)]
        orchestrator.kill()
        orchestrator.start()
        deadline = time.monotonic() + 20
        while client.status()["servers"][0]["state"] != "up":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.request(1000, 10.0).state == "allocated"
        assert client.status()["counters"].get("lost", 0) == 0
        assert len(backend.held()) == 4201
        status = client.status(history=True)
        assert len(status["disks"]) == 700
        assert json.dumps(status)
    server.stop()
    thread.join(5)
    assert orchestrator.stop() == 0
