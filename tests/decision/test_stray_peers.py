"""A scheduler that is talked to by others than its simulator goes on, and is known to the others as taken."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from batfs.decision.link import ZmqLink
from batfs.decision.peers import SimulatorGoneError
from tests.decision.test_batfs_sched import PlayedBatsim, beginning, completion, endpoint, started, submission


@pytest.fixture
def link() -> Iterator[ZmqLink]:
    made = ZmqLink("tcp://127.0.0.1:*")
    made.bind()
    yield made
    made.close()


def simulator(context: zmq.Context[Any], link: ZmqLink) -> zmq.Socket[bytes]:
    made: zmq.Socket[bytes] = context.socket(zmq.REQ)
    made.linger = 0
    made.rcvtimeo = 5000
    made.connect(link.endpoint)
    return made


def knock(link: ZmqLink) -> None:
    """Somebody connects and leaves."""
    host, port = link.endpoint.removeprefix("tcp://").split(":")
    socket.create_connection((host, int(port))).close()
    time.sleep(0.3)


def test_a_stray_connection_and_a_second_simulator_change_nothing(link: ZmqLink) -> None:
    with zmq.Context() as context, simulator(context, link) as first, simulator(context, link) as second:
        knock(link)
        first.send(b"one")
        assert link.recv_text() == b"one"
        knock(link)
        second.send(b"me too")
        link.send_text(b"answer")
        assert first.recv() == b"answer"
        time.sleep(0.3)
        first.send(b"two")
        assert link.recv_text() == b"two"
        link.send_text(b"again")
        assert first.recv() == b"again"
        knock(link)
        first.send(b"three")
        assert link.recv_text() == b"three"
        # nobody knows when the other's message comes, and of two libzmq may hand over either first
        for _ in range(100):
            if second.poll(50):
                break
            link.send_text(b"go on")
            assert first.recv() == b"go on"
            first.send(b"more")
            assert link.recv_text() == b"more"
        assert b"another simulation is under way" in second.recv()
        second.close()
        link.send_text(b"end")
        first.close()
        with pytest.raises(SimulatorGoneError):
            link.recv_text()


# ---- the programs themselves ------------------------------------------------------------------------------

PROGRAMS = {
    "sched": ["batfs.decision.command"],
    "proxy": ["batfs.decision.proxy_command", "--queue", "pybatsim:schedFcfs"],
}
NONSENSE = (
    b"",
    b"hello",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'{"now": 0, "events": []}',
    b'{"now": "x", "events": [{"type": "SIMULATION_BEGINS"}]}',
    b'{"now": 0, "events": [{"type": "SIMULATION_ENDS", "timestamp": 0, "data": {}}]}',
    b'{"now": 0, "events": [7]}',
    b'{"now": 0, "events": {"type": "SIMULATION_BEGINS"}}',
    b"[" * 100_000,
    (2).to_bytes(4, "little") + b"\xff\xff",  # Batsim 5's, but for its text
)


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[str], str]]:
    where = endpoint()
    words = [sys.executable, "-m", *PROGRAMS[request.param], "-s", where]
    with started(*words) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        yield process, where


def raw(where: str, *data: bytes, wait: bool = True) -> bytes:
    """What is answered to bytes that are no ZeroMQ; it need not be anything."""
    with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2]))) as connection:
        connection.settimeout(0.5)
        with contextlib.suppress(OSError):
            for part in data:
                connection.sendall(part)
            return connection.recv(1000) if wait else b""
    return b""


def strangers(where: str) -> None:
    for _ in range(3):
        raw(where, wait=False)  # a port scan
    raw(where, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    raw(where, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))  # TLS
    raw(where, b"SSH-2.0-OpenSSH_9.0\r\n")
    raw(where, b"\xff" * 2000)
    raw(where, b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32))
    raw(where, *greeting(), b"\x02" + (2**62).to_bytes(8, "big"))  # a frame of all bytes there are
    with zmq.Context() as context:
        for text in NONSENSE:
            with context.socket(zmq.REQ) as other:
                other.linger, other.rcvtimeo = 0, 5000
                other.connect(where)
                other.send(text)
                assert b"gave up" in other.recv(), text
        for kind in (zmq.SUB, zmq.PUSH, zmq.PAIR, zmq.REP):
            with context.socket(kind) as other:
                other.linger = 0
                other.connect(where)
                if kind in (zmq.PUSH, zmq.PAIR):
                    with contextlib.suppress(zmq.ZMQError):
                        other.send(b"nonsense", zmq.NOBLOCK)
                time.sleep(0.05)
        with context.socket(zmq.DEALER) as other:
            other.linger = 0
            other.connect(where)
            other.send_multipart([b"", b"one", b"two"])
            other.send_multipart([b"no envelope"])
            other.send_multipart([b"x"] * 2000)
            time.sleep(0.2)


def greeting() -> tuple[bytes, bytes]:
    """A ZeroMQ request socket's first words (ZMTP 3.1, NULL)."""
    ready = b"\x05READY\x0bSocket-Type" + (3).to_bytes(4, "big") + b"REQ" + b"\x08Identity" + bytes(4)
    hello = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
    return hello, b"\x04" + bytes([len(ready)]) + ready


@pytest.mark.slow
def test_strangers_before_and_beside_the_simulation(program: tuple[subprocess.Popen[str], str]) -> None:
    process, where = program
    strangers(where)
    assert process.poll() is None
    batsim = PlayedBatsim(where)
    batsim.ask(0.0, beginning())
    strangers(where)
    second = PlayedBatsim(where)
    second.socket.send(b'{"now": 0, "events": [{"timestamp": 0, "type": "SIMULATION_BEGINS", "data": {}}]}')
    replies = batsim.ask(1.0, submission("1", "plain", 2, 1.0))
    assert [event["type"] for event in replies] == ["EXECUTE_JOB"]
    strangers(where)
    assert b"another simulation is under way" in second.socket.recv()
    second.close()
    batsim.ask(9.0, completion("1"), ("NOTIFY", {"type": "no_more_static_job_to_submit"}))
    batsim.ask(12.0, ("SIMULATION_ENDS", {}))
    _, said = process.communicate(timeout=10)
    batsim.close()
    assert process.returncode == 0, said
    refused = [line for line in said.splitlines() if "refused" in line]
    assert len(refused) == len(set(refused)) <= 20, refused
    assert any("not JSON" in line for line in refused)
    assert any("another simulation" in line for line in refused)
    assert any("ZeroMQ" in line for line in refused)
    assert "Traceback" not in said


@pytest.mark.slow
@pytest.mark.parametrize("begun", [False, True], ids=["before", "during"])
def test_messages_without_an_end_are_cut_off(program: tuple[subprocess.Popen[str], str], begun: bool) -> None:
    """Parts of 100 kB and never a last one, 1.5 GB in all: the connection is closed, memory stays bounded."""
    process, where = program
    batsim = PlayedBatsim(where)
    if begun:
        batsim.ask(0.0, beginning())
    part = b"\x03" + (100_000).to_bytes(8, "big") + b"x" * 100_000
    before = resident(process.pid)
    with socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2]))) as connection:
        for words in greeting():
            connection.sendall(words)
        with pytest.raises(OSError):
            connection.sendall(b"\x01\x00")
            for _ in range(15_000):
                connection.sendall(part)
            for _ in range(100):
                time.sleep(0.1)
                connection.sendall(b"\x01\x00")
    assert resident(process.pid) - before < 700 * 2**20
    if not begun:
        batsim.ask(0.0, beginning())
    batsim.ask(12.0, ("SIMULATION_ENDS", {}))
    _, said = process.communicate(timeout=10)
    batsim.close()
    assert process.returncode == 0, said
    assert "refused" in said


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
