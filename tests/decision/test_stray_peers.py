"""A scheduler that is talked to by others than its simulator goes on, and is known to the others as taken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from batfs.decision.link import ZmqLink
from batfs.decision.peers import SimulatorGoneError


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
        # of two that wait, libzmq may hand over either first: by the next message but one both were heard
        assert b"another simulation is under way" in second.recv()
        second.close()
        link.send_text(b"end")
        first.close()
        with pytest.raises(SimulatorGoneError):
            link.recv_text()
