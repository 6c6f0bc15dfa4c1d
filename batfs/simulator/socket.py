"""The decision process at the other end of a ZeroMQ socket, as Batsim talks to it (REQ)."""

from __future__ import annotations

from types import TracebackType

import zmq

from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.simulator_side import decode_reply, encode_request

SPELL = 200  # ms


class SocketDecisionProcess:
    """Connects to ``endpoint`` and waits for each reply as long as it takes.

    ``profiles``: JOB_SUBMITTED carries the job's profile (Batsim's --forward-profiles-on-submission).
    ``log``: called with every message sent ("sent", text) and received ("received", text).
    """

    def __init__(self, endpoint: str, *, profiles: bool = False, log: object = None) -> None:
        self.endpoint = endpoint
        self.profiles = profiles
        self.log = log
        self.replies = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(
                f"cannot connect to the decision process at {endpoint!r}: {error}",
                hint="an endpoint looks like tcp://localhost:28000",
            ) from None

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request, profiles=self.profiles)
        if callable(self.log):
            self.log("sent", text)
        self._socket.send(text)
        # in short spells: a signal that comes just before a wait doesn't interrupt it
        while not self._socket.poll(SPELL):
            pass
        answer = self._socket.recv()
        if callable(self.log):
            self.log("received", answer)
        self.replies += 1
        try:
            return decode_reply(answer)
        except InputError as error:
            raise error.at(place=f"reply {self.replies}") from None

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close(0)
        self._context.term()

    def __enter__(self) -> SocketDecisionProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
