"""The proxy's side of the conversation with the decision process behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from batfs.decision.peers import SchedulerGoneError
from batfs.errors import InputError

_CHECK_EVERY = 200  # milliseconds


class SchedulerLink:
    """A request socket that notices when the other side is gone."""

    def __init__(self, endpoint: str, *, patience: float = 10.0) -> None:
        self.endpoint = endpoint
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, _CHECK_EVERY)
        self._monitor = self._socket.get_monitor_socket(
            zmq.Event.DISCONNECTED | zmq.Event.CONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED
        )
        self._patience = patience
        self._connected = False
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(f"{endpoint!r} is not an endpoint to connect to: {error}") from None

    def ask(self, text: bytes, meanwhile: Callable[[], object] | None = None) -> bytes:
        """Send a message, do something ``meanwhile``, wait for the answer as long as the other side lives.
        SchedulerGoneError when it never came within the patience (seconds), or went away."""
        self._socket.send(text)
        if meanwhile is not None:
            meanwhile()
        deadline = time.monotonic() + self._patience
        while True:
            try:
                answer: bytes = self._socket.recv()
            except zmq.Again:  # nothing came for a while: is anybody there?
                self._look()
                if not self._connected and time.monotonic() >= deadline:
                    raise SchedulerGoneError(f"no scheduler answers at {self.endpoint}") from None
            else:
                self._connected = True
                return answer

    def _look(self) -> None:
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event in (zmq.Event.CONNECTED, zmq.Event.HANDSHAKE_SUCCEEDED):
                self._connected = True
            elif self._connected and not self._socket.poll(0):
                raise SchedulerGoneError(f"the scheduler at {self.endpoint} went away")

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()
