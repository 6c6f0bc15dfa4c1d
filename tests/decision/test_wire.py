"""The proxy's own end of ZeroMQ connections, against libzmq and in pieces."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from batfs.decision.link import ZmqLink
from batfs.decision.peers import SchedulerGoneError, SimulatorGoneError
from batfs.decision.scheduler_link import SchedulerLink
from batfs.decision.wire import (
    Address,
    SchedulerWire,
    SimulatorWire,
    address_of,
    scheduler_side,
    simulator_side,
)
from batfs.decision.zmtp import Conversation
from batfs.errors import BatfsError
from batfs.protocol.decision_side import ProtocolError

SIZES = (0, 1, 7, 8, 9, 255, 256, 70_000, 3_000_000)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def wire() -> Iterator[SimulatorWire]:
    made = listening("tcp://127.0.0.1:*")
    yield made
    made.close()


def listening(endpoint: str) -> SimulatorWire:
    made = simulator_side(endpoint)
    assert isinstance(made, SimulatorWire)
    made.bind()
    return made


def text_of(size: int) -> bytes:
    return (b"0123456789" * (size // 10 + 1))[:size]


def test_requests_of_libzmq_and_replies_to_it(wire: SimulatorWire, context: zmq.Context) -> None:
    """Texts on both sides of every limit of a frame's length, and of one read."""
    with context.socket(zmq.REQ) as batsim:
        batsim.connect(wire.endpoint)
        for size in SIZES:
            batsim.send(text_of(size))
            assert wire.recv_text() == text_of(size)
            wire.send_text(text_of(size)[::-1])
            assert batsim.recv() == text_of(size)[::-1]


def test_requests_with_an_envelope(wire: SimulatorWire, context: zmq.Context) -> None:
    """A request socket that numbers its requests gets the number back, or it would drop the reply; and one
    that sends heartbeats gets answers to them, or it would close."""
    with context.socket(zmq.REQ) as batsim:
        batsim.setsockopt(zmq.REQ_CORRELATE, 1)
        batsim.setsockopt(zmq.HEARTBEAT_IVL, 20)
        batsim.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2000)
        batsim.setsockopt(zmq.RCVTIMEO, 5000)
        batsim.connect(wire.endpoint)
        for k in range(8):
            batsim.send(b"%d" % k)
            assert wire.recv_text() == b"%d" % k
            batsim.poll(30)  # some heartbeats meanwhile
            wire.send_text(b"-%d" % k)
            assert batsim.recv() == b"-%d" % k


def answering(context: zmq.Context, endpoint: str, times: int) -> tuple[threading.Thread, str]:
    """A scheduler that sends back what it gets."""
    there = context.socket(zmq.REP)
    there.bind(endpoint)
    where = there.getsockopt_string(zmq.LAST_ENDPOINT)

    def answer() -> None:
        with there:
            for _ in range(times):
                there.send(there.recv()[::-1])
            there.setsockopt(zmq.LINGER, 2000)

    thread = threading.Thread(target=answer)
    thread.start()
    return thread, where


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:*", "ipc://{}/socket"])
def test_a_scheduler_of_libzmq(place: str, context: zmq.Context, tmp_path: Path) -> None:
    thread, endpoint = answering(context, place.format(tmp_path), len(SIZES))
    back = scheduler_side(endpoint)
    assert isinstance(back, SchedulerWire)
    for size in SIZES:
        assert back.ask(text_of(size)) == text_of(size)[::-1]
    thread.join()
    with pytest.raises(SchedulerGoneError, match="went away"):
        back.ask(b"and now?")
    back.close()


def test_a_socket_file(tmp_path: Path, context: zmq.Context) -> None:
    """One that a process left behind is replaced, any other file is not; it goes with the end."""
    path = tmp_path / "front"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    wire = listening(f"ipc://{path}")
    with context.socket(zmq.REQ) as batsim:
        batsim.connect(wire.endpoint)
        batsim.send(b"x")
        assert wire.recv_text() == b"x"
    wire.close()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(BatfsError, match="cannot listen"):
        listening(f"ipc://{path}")
    assert path.read_text() == "mine"
    with pytest.raises(BatfsError, match="path too long"):
        listening(f"ipc://{tmp_path}/{'long' * 30}")


def test_connections_of_others_before_the_first_message(wire: SimulatorWire, context: zmq.Context) -> None:
    """Who says nothing, goes away, speaks HTTP, is no request socket or is of another age is nobody; Batsim,
    which comes last, is heard."""
    address = address_of(wire.endpoint)
    assert address is not None
    silent, gone, web, old = [socket.create_connection(address[1]) for _ in range(4)]  # type: ignore[arg-type]
    gone.close()
    web.sendall(b"GET / HTTP/1.0\r\n\r\n")
    old.sendall(b"\xff" + bytes(8) + b"\x7f\x01\x03")
    with context.socket(zmq.SUB) as other, context.socket(zmq.REQ) as batsim:
        other.connect(wire.endpoint)
        batsim.connect(wire.endpoint)
        batsim.send(b"now")
        assert wire.recv_text() == b"now"
        wire.send_text(b"then")
        assert batsim.recv() == b"then"
    for one in (silent, web, old):
        one.close()
    with pytest.raises(SimulatorGoneError, match="went away in mid-simulation"):
        wire.recv_text()


def test_who_waits_for_an_answer_is_told_of_the_end(wire: SimulatorWire, context: zmq.Context) -> None:
    with context.socket(zmq.REQ) as batsim:
        batsim.connect(wire.endpoint)
        batsim.send(b"{}")
        wire.recv_text()
        wire.give_up("out of ideas")
        wire.close()
        assert b"out of ideas" in batsim.recv()


def test_no_two_listen_at_one_place(wire: SimulatorWire) -> None:
    with pytest.raises(BatfsError, match=r"cannot listen on tcp://127\.0\.0\.1:\d+: Address already in use"):
        listening(wire.endpoint)


def test_what_is_no_scheduler(context: zmq.Context) -> None:
    """Nobody there; a socket of another kind; no ZeroMQ at all."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place: Address = (socket.AF_INET, nobody.getsockname())
        with pytest.raises(SchedulerGoneError, match="no scheduler answers at there"):
            SchedulerWire("there", place, patience=0.1).ask(b"x")
    with context.socket(zmq.PUB) as other:
        other.bind("tcp://127.0.0.1:*")
        with pytest.raises(SchedulerGoneError, match="is a ZeroMQ socket that is no REP"):
            scheduler_side(other.getsockopt_string(zmq.LAST_ENDPOINT)).ask(b"x")
    with socket.create_server(("127.0.0.1", 0)) as web:

        def greet() -> None:
            one, _ = web.accept()
            with one:
                one.sendall(b"220 mail.example.org\r\n")
                one.recv(64)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(SchedulerGoneError, match="is no ZeroMQ socket"):
            scheduler_side(f"tcp://127.0.0.1:{web.getsockname()[1]}").ask(b"x")
        thread.join()


def test_endpoints_that_are_addresses_and_others() -> None:
    """What is none stays with libzmq, which knows more kinds, and says what is wrong."""
    assert address_of("tcp://127.0.0.1:28000") == (socket.AF_INET, ("127.0.0.1", 28000))
    assert address_of("tcp://*:28000") == (socket.AF_INET, ("0.0.0.0", 28000))
    assert address_of("tcp://localhost:*") == (socket.AF_INET, ("127.0.0.1", 0))
    assert address_of("tcp://[::1]:5") == (socket.AF_INET6, ("::1", 5))
    assert address_of("ipc:///tmp/x") == (socket.AF_UNIX, "/tmp/x")
    for other in ("", "28000", "tcp://127.0.0.1", "tcp://127.0.0.1:http", "ipc://*", "ipc://@x", "udp://a:1"):
        assert address_of(other) is None
    front, back = simulator_side("ipc://*"), scheduler_side("ipc://@batfs-test")
    assert isinstance(front, ZmqLink)
    assert isinstance(back, SchedulerLink)
    back.close()


def talk(left: Conversation, right: Conversation) -> None:
    """Both introduce themselves."""
    while left.due or right.due:
        due, left.due = left.due, b""
        assert right.receive(due) is None
        due, right.due = right.due, b""
        assert left.receive(due) is None
    assert left.ready
    assert right.ready


@given(st.lists(st.binary(max_size=600), max_size=6), st.data())
def test_messages_come_in_any_pieces(texts: list[bytes], data: st.DataObject) -> None:
    """What is sent in one piece is read in any others; the answer finds its way back through any envelope."""
    asking, answering = Conversation(b"REQ"), Conversation(b"REP")
    talk(asking, answering)
    for text in texts:
        envelope = data.draw(st.lists(st.binary(min_size=1, max_size=300), max_size=2))
        sent = b"".join(
            b"\x01" + bytes([len(part)]) + part
            if len(part) < 256
            else b"\x03" + len(part).to_bytes(8, "big") + part
            for part in envelope
        ) + Conversation(b"REQ").message(text)
        while sent:
            cut = data.draw(st.integers(1, len(sent)))
            got, sent = answering.receive(sent[:cut]), sent[cut:]
            assert got == (None if sent else text)
        reply = answering.message(text)
        assert reply.endswith(text)
        if not envelope:
            assert asking.receive(reply) == text


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x09\x00",  # flags nobody knows
        b"\x00\x01x",  # no envelope
        b"\x01\x00\x01\x00\x00\x00",  # two parts
    ],
)
def test_what_is_no_message(wrong: bytes) -> None:
    asking, answering = Conversation(b"REQ"), Conversation(b"REP")
    talk(asking, answering)
    with pytest.raises(ProtocolError):
        answering.receive(wrong)


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:*", "ipc://{}/socket"])
def test_it_ends_at_once(place: str, context: zmq.Context, tmp_path: Path) -> None:
    """Who turns others away meanwhile ends with it: it isn't waited for (it was: 5 s on a Unix socket)."""
    wire = listening(place.format(tmp_path))
    with context.socket(zmq.REQ) as batsim:
        batsim.connect(wire.endpoint)
        batsim.send(b"x")
        wire.recv_text()
        others = wire._others
        begin = time.monotonic()
        wire.close()
    assert others is not None
    assert not others.is_alive()
    assert time.monotonic() - begin < 4


def test_a_caller_that_makes_room_in_the_moment_it_speaks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With room for one caller: the first is cut off for the second while its own words are there to be
    read, and the second is heard."""
    monkeypatch.setattr("batfs.decision.wire._CALLERS", 1)
    wire = listening(f"ipc://{tmp_path}/socket")

    def caller(text: bytes) -> socket.socket:
        """One that has said everything already."""
        made = socket.socket(socket.AF_UNIX)
        made.connect(f"{tmp_path}/socket")
        there, talk = Conversation(b"REP"), Conversation(b"REQ")
        while not talk.ready:
            due, talk.due = talk.due, b""
            made.sendall(due)
            there.receive(due)
            due, there.due = there.due, b""
            talk.receive(due)
        made.sendall(talk.due + (talk.message(text) if text else b""))
        return made

    first, second = caller(b""), caller(b"heard")
    assert wire.recv_text() == b"heard"
    wire.close()
    first.close()
    second.close()
