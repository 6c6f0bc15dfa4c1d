"""A ZeroMQ reply socket that Batsim talks to, that notices when Batsim is gone, and serves nobody else.

pybatsim's own gives up when Batsim thinks for more than two seconds and listens on every interface. This one
waits as long as the connection lives: libzmq's monitor tells when the peer's connection closes (the process
ended), and TCP keep-alives when its machine did. Both are looked at when no message came for a while.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import orjson
import zmq

from batfs.connections import Connections, bind, unlink_bound
from batfs.decision.peers import (
    LARGEST,
    TAKEN,
    SimulatorGoneError,
    Strangers,
    giving_up,
    read_object,
)
from batfs.errors import BatfsError, InputError
from batfs.protocol.decision_side import ProtocolError

DEFAULT_ENDPOINT = "tcp://127.0.0.1:28000"

_CHECK_EVERY = 100  # milliseconds
_UNKNOWN = LARGEST // 4  # bytes from who may yet be the simulator
_NO_HANDSHAKE = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL


class ZmqLink:
    """One simulation's conversation. ``bind`` listens, ``recv`` and ``send`` alternate, ``close`` ends.

    ``check`` is called now and then while a message is awaited long; it may raise. ``no_first`` says why a
    text can't be the first message of a simulation (nothing: it can): who sends such a one is told so, and
    the simulator is waited for on. A port ``*`` in the endpoint is replaced by a free one when ``bind`` is
    called.

    Has the methods of pybatsim's ``NetworkHandler`` that its ``Batsim`` uses; messages are objects decoded
    from JSON, and numpy arrays may be sent.
    """

    takes_arrays = True

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        say: Callable[[str], None] | None = None,
        check: Callable[[], None] | None = None,
        no_first: Callable[[bytes], str] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._say = say
        self._check = check
        self._no_first = no_first
        self._strangers = Strangers(say)
        self._gone = False
        self._context: zmq.Context[Any] | None = None
        self._begun = False
        self._owes = False
        self._peer = -1  # the descriptor of the connection that the first message came from
        self._again: bytes | None = None

    def bind(self) -> None:
        """Listen (once). InputError for an endpoint that is none; BatfsError when it is in use."""
        if self._context is not None:
            return
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 30)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 10)
        self._socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
        self._socket.setsockopt(zmq.LINGER, 2000)
        self._socket.setsockopt(zmq.RCVTIMEO, _CHECK_EVERY)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self._connections = Connections(self._socket, self._told, _NO_HANDSHAKE)
        self._unlink = weakref.finalize(self, unlink_bound, self._socket, self.endpoint)
        try:
            self.endpoint = bind(self._socket, self.endpoint)
        except zmq.ZMQError as error:
            self.close()
            if error.errno in (zmq.EINVAL, zmq.EPROTONOSUPPORT):
                raise InputError(
                    f"{self.endpoint!r} is not an endpoint to listen on",
                    hint=f"such as {DEFAULT_ENDPOINT}",
                ) from None
            raise BatfsError(f"cannot listen on {self.endpoint}: {zmq.strerror(error.errno or 0)}") from None
        if self._say is not None:
            self._say(f"listening on {self.endpoint}")

    def recv(self, blocking: bool = True) -> dict[str, Any]:
        """The next message, read."""
        return read_object(self.recv_text())

    def unread(self, text: bytes) -> None:
        """The next :meth:`recv_text` returns this message again."""
        self._again = text

    def recv_text(self) -> bytes:
        """The next message; waits for it as long as it takes. SimulatorGoneError when the connection that
        sent the earlier ones has closed."""
        if self._again is not None:
            again, self._again = self._again, None
            return again
        while True:
            try:
                frames = self._socket.recv_multipart(copy=False)
            except zmq.Again:  # nothing came for a while: is anybody there?
                if self._check is not None:
                    self._check()
                self._look()
                if self._gone and not self._socket.poll(0):
                    raise SimulatorGoneError from None
                continue
            sender = int(frames[0].get(zmq.SRCFD))
            self._connections.heard(frames[0])
            if self._begun:
                self._connections.follow()  # a descriptor may be somebody else's now
                if self._gone:
                    raise SimulatorGoneError
                if sender == self._peer:
                    break
                # a second simulator (the same default port): it is told, and the first one served on
                self._refuse(TAKEN)
                self._look()
                continue
            if self._no_first is None:
                break
            why = (
                "its first message has several parts" if len(frames) != 1 else self._no_first(frames[0].bytes)
            )
            if not why:
                break
            self._refuse(why)
            self._look()
        if not self._begun:
            self._connections.follow()  # whoever went away until now was not the simulator
            self._gone = False
        self._begun, self._owes, self._peer = True, True, sender
        if len(frames) != 1:
            raise ProtocolError(f"a message of {len(frames)} parts; one was expected")
        return frames[0].bytes

    def _refuse(self, why: str) -> None:
        self._socket.send(giving_up(why))
        self._strangers.refused(why)

    def _look(self) -> None:
        """Nobody may pile up memory: least of all who isn't the simulator."""
        limits = {self._peer: LARGEST} if self._begun else None
        if self._connections.look(limits, *(() if self._begun else (_UNKNOWN,))):
            self._strangers.refused("it sent a message without an end")

    def _told(self, event: int, descriptor: int) -> None:
        """Of a connection: the one that the messages come from has closed, or one never was ZeroMQ's."""
        if event & _NO_HANDSHAKE:
            self._strangers.refused("it doesn't speak ZeroMQ")
        elif event & zmq.Event.DISCONNECTED and descriptor == self._peer:
            self._gone = True

    def send(self, message: Any) -> None:
        self.send_text(orjson.dumps(message, option=orjson.OPT_SERIALIZE_NUMPY, default=str))

    def send_text(self, text: bytes) -> None:
        self._socket.send(text)
        self._owes = False

    def give_up(self, why: str) -> None:
        """Answer a pending request with something that ends Batsim: it would wait for ever otherwise."""
        if self._owes:
            # a signal may have come when the answer was sent and hadn't been noted yet
            with contextlib.suppress(zmq.ZMQError):
                self._socket.send(giving_up(why))
            self._owes = False

    def close(self) -> None:
        """Stop listening once the last message is delivered (two seconds at most)."""
        if self._context is None:
            return
        # what is there: a signal may have come in the midst of bind
        if hasattr(self, "_unlink"):
            self._unlink()
        if hasattr(self, "_connections"):
            self._socket.disable_monitor()
            self._connections.close()
        self._context.destroy()
        self._context = None
