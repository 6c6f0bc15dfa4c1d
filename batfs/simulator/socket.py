"""The decision process at the other end of a ZeroMQ socket, as Batsim talks to it (REQ)."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from types import TracebackType

import zmq
from zmq.utils.monitor import recv_monitor_message

from batfs.errors import BatfsError, InputError
from batfs.protocol import messages as m
from batfs.protocol.simulator_side import decode_reply, encode_request

SPELL = 200  # ms
PATIENCE = 60.0  # s, for the first answer
LARGEST_REPLY = 1 << 30  # bytes; a larger one ends the connection
LATE = 100  # ms in which an answer may still be on its way inside libzmq when its sender is gone


class DecisionProcessGoneError(BatfsError):
    """The decision process never answered, or went away."""


def _resident() -> int:
    """Bytes of this process in memory; 0 where nobody tells. While an answer is waited for, what grows is the
    answer."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


class RequestSocket:
    """Connects to ``endpoint`` and asks there, one request after the other.

    The first answer must come within ``patience`` seconds (0: whenever it will); the later ones as long after
    as they like, since a planner may think for minutes. A connection that closes while an answer is owed ends
    it all: DecisionProcessGoneError. libzmq would connect again and wait for ever. ``whose``: what is
    expected there, for messages.
    """

    def __init__(self, endpoint: str, patience: float = PATIENCE, whose: str = "Batsim 4") -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.whose = whose
        self.answers = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_REPLY)
        events = zmq.Event.DISCONNECTED | zmq.Event.HANDSHAKE_SUCCEEDED
        self._monitor = self._socket.get_monitor_socket(events)
        self._met = False  # whether anybody has ever been there
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise InputError(
                f"cannot connect to the decision process at {endpoint!r}: {error}",
                hint="an endpoint looks like tcp://localhost:28000",
            ) from None

    def ask(self, message: bytes) -> bytes:
        """Send a message and wait for its answer, of which there is one part."""
        self._socket.send(message)
        frames = self._answer()
        self.answers += 1
        if len(frames) != 1:
            raise InputError(
                f"the decision process sent a message of {len(frames)} parts, expected one",
                place=f"reply {self.answers}",
            )
        return frames[0]

    def _answer(self) -> list[bytes]:
        """The frames of the next answer."""
        deadline = time.monotonic() + self.patience if self.patience and not self.answers else float("inf")
        before = _resident()
        # in short spells: a signal that comes just before a wait doesn't interrupt it
        while not self._socket.poll(SPELL):
            if self._gone() and not self._socket.poll(LATE):
                raise DecisionProcessGoneError(
                    f"the decision process at {self.endpoint} went away: its connection closed before it "
                    f"answered request {self.answers + 1}"
                )
            if _resident() - before > LARGEST_REPLY * 5 // 4:
                # libzmq shows the parts of a message once all are there; until then they are memory of ours
                raise InputError(
                    f"the decision process at {self.endpoint} is sending a message without an end: more than "
                    f"{LARGEST_REPLY >> 30} GiB so far",
                    place=f"reply {self.answers + 1}",
                )
            if time.monotonic() > deadline:
                who = "somebody is there, but" if self._met else "nobody is there, or"
                raise DecisionProcessGoneError(
                    f"no answer from {self.endpoint} for {self.patience:g} s: {who} no {self.whose} decision "
                    "process (--connect-timeout says how long to wait for its first answer)"
                )
        return self._socket.recv_multipart()

    def _gone(self) -> bool:
        """Whether a connection that stood has closed since the last look."""
        gone = False
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            if event == zmq.Event.HANDSHAKE_SUCCEEDED:
                self._met = True
            elif self._met:
                gone = True
        return gone

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
        self._context.term()


class SocketDecisionProcess:
    """The decision process at ``endpoint``, see :class:`RequestSocket`.

    ``profiles``: JOB_SUBMITTED carries the job's profile (Batsim's --forward-profiles-on-submission).
    ``log``: called with every message sent ("sent", text) and received ("received", text).
    """

    def __init__(
        self,
        endpoint: str,
        *,
        profiles: bool = False,
        log: Callable[[str, bytes], None] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.profiles = profiles
        self.log = log
        self._socket = RequestSocket(endpoint, patience)

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request, profiles=self.profiles)
        if self.log is not None:
            self.log("sent", text)
        answer = self._socket.ask(text)
        if self.log is not None:
            self.log("received", answer)
        try:
            return decode_reply(answer)
        except InputError as error:
            raise error.at(place=f"reply {self._socket.answers}") from None

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def __enter__(self) -> SocketDecisionProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
