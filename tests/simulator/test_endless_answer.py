"""A decision process whose answer has no end is left, before the memory is full."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from batfs.decision.zmtp import Conversation
from batfs.errors import InputError
from batfs.simulator import socket as simulators

PART = b"\x03" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)  # a long frame with more to come


def endless(listener: socket.socket) -> None:
    stream = listener.accept()[0]
    talk = Conversation(b"REP")
    asked = None
    with contextlib.suppress(OSError), stream:
        while asked is None:
            due, talk.due = talk.due, b""
            stream.sendall(due)
            asked = talk.receive(stream.recv(1 << 16))
        stream.sendall(b"\x01\x00")
        while True:
            stream.sendall(PART)


def test_parts_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "LARGEST_REPLY", 32 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=endless, args=(listener,), daemon=True).start()
        asking = simulators.RequestSocket(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        try:
            with pytest.raises(InputError, match="a message without an end") as caught:
                asking.ask(b"{}")
            assert "reply 1" in str(caught.value)
        finally:
            asking.close()
