"""The proxy's two connections on plain sockets.

A program between two others is woken up twice per exchange at least. With libzmq, whose sockets live in a
thread of their own that is woken up for every read and every write, it is six times, which costs several
times what the proxy itself does. Here the thread that works waits in the kernel, and knows at once when the
other side has gone. Endpoints that are no addresses (names of network interfaces, say) are left to libzmq.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from batfs.decision.peers import (
    LARGEST,
    TAKEN,
    SchedulerGoneError,
    SimulatorGoneError,
    Strangers,
    giving_up,
)
from batfs.decision.zmtp import Conversation
from batfs.errors import BatfsError
from batfs.protocol.decision_side import ProtocolError

if TYPE_CHECKING:
    from batfs.decision.link import ZmqLink
    from batfs.decision.scheduler_link import SchedulerLink

Address: TypeAlias = tuple[socket.AddressFamily, tuple[str, int] | str]

_AT_ONCE = 1 << 16  # bytes
_RETRY = 0.02  # seconds
_CALLERS = 64  # connections that may be open beside the simulator's
_THEIRS = 1 << 26  # bytes that one of them may send while a simulation is under way


def address_of(endpoint: str) -> Address | None:
    """A socket's family and address for ``tcp://HOST:PORT`` (``*``: any) or ``ipc://FILE``; None for the
    others."""
    if endpoint.startswith("ipc://"):
        path = endpoint[6:]
        return None if path in ("", "*") or path.startswith("@") else (socket.AF_UNIX, path)
    host, colon, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not endpoint.startswith("tcp://") or not colon or not (port.isdecimal() or port == "*"):
        return None
    if host == "*":
        host = "0.0.0.0"
    try:
        found = socket.getaddrinfo(host.strip("[]"), 0 if port == "*" else int(port), type=socket.SOCK_STREAM)
    except (OSError, OverflowError):
        return None
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # as libzmq, unless there is no such address
    return found[0][0], (str(found[0][4][0]), int(found[0][4][1]))


class Connection:
    """One socket of stream kind and what is said on it."""

    def __init__(self, stream: socket.socket, kind: bytes, most: int = LARGEST) -> None:
        self.stream = stream
        self.talk = Conversation(kind, most)
        if stream.family != socket.AF_UNIX:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
                if hasattr(socket, name):
                    stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.flush()

    def flush(self) -> None:
        """Send what is due."""
        if self.talk.due:
            due, self.talk.due = self.talk.due, b""
            self.stream.sendall(due)

    def step(self) -> bytes | None:
        """Read what is there, or wait for something; the message that it completes. EOFError when the other
        side has closed, OSError when it was cut."""
        data = self.stream.recv(_AT_ONCE)
        if not data:
            raise EOFError
        text = self.talk.receive(data)
        if self.talk.due:
            self.flush()
        return text

    def recv(self) -> bytes:
        """The next message."""
        while True:
            text = self.step()
            if text is not None:
                return text

    def send(self, text: bytes) -> None:
        self.stream.sendall(self.talk.message(text))

    def close(self) -> None:
        """What was sent is delivered."""
        with contextlib.suppress(OSError):
            self.stream.shutdown(socket.SHUT_WR)
        self.stream.close()


class Callers:
    """Those who have connected and not said anything whole yet, on a socket that listens."""

    def __init__(self, listener: socket.socket, strangers: Strangers) -> None:
        self._strangers = strangers
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._end, self._ended = socket.socketpair()
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._waiting: dict[socket.socket, Connection] = {}

    def message(self, most: int) -> tuple[Connection, bytes]:
        """The next whole message of any of them, whose connection then isn't theirs any more. They may hold
        ``most`` bytes together. EOFError once it was told to :meth:`stop`."""
        while True:
            for key, _ in self._selector.select():
                stream = key.fileobj
                assert isinstance(stream, socket.socket)
                if stream is self._ended:
                    raise EOFError
                if stream is self._listener:
                    self._accept()
                    continue
                connection = self._waiting.get(stream)
                if connection is None:  # it made room for who came in the same moment
                    continue
                try:
                    text = connection.step()
                except BlockingIOError:
                    continue
                except EOFError:
                    self._drop(stream, "it went away without a message")
                except OSError:
                    self._drop(stream)
                except ProtocolError as error:
                    self._drop(stream, f"it is {error}")
                else:
                    if text is not None:
                        self._selector.unregister(stream)
                        return self._waiting.pop(stream), text
                    if sum([waiting.talk.held for waiting in self._waiting.values()]) > most:
                        self._drop(stream, "it sent too much")

    def _accept(self) -> None:
        try:
            stream, _ = self._listener.accept()
        except BlockingIOError:
            return
        if len(self._waiting) >= _CALLERS:
            self._drop(next(iter(self._waiting)), "others waited behind it")
        stream.setblocking(False)
        try:
            self._waiting[stream] = Connection(stream, b"REP")
        except OSError:
            stream.close()
            return
        self._selector.register(stream, selectors.EVENT_READ)

    def _drop(self, stream: socket.socket, why: str = "") -> None:
        self._selector.unregister(stream)
        self._waiting.pop(stream).close()
        if why:
            self._strangers.refused(why)

    def refuse(self, caller: Connection, why: str) -> None:
        """Say why, as far as it can be told, and hang up."""
        with contextlib.suppress(OSError):
            caller.send(giving_up(why))
        caller.close()
        self._strangers.refused(why)

    def stop(self) -> None:
        """From another thread: nobody is to wait any more. (A listener that is shut down is no such signal:
        of a Unix socket it can be read for ever then, and has nobody to accept.)"""
        self._end.close()

    def close(self) -> None:
        for caller in self._waiting.values():
            caller.close()
        self._waiting.clear()
        self._selector.close()
        self._end.close()
        self._ended.close()


class SimulatorWire:
    """Batsim's side: has what the proxy uses of :class:`~batfs.decision.link.ZmqLink`; ``no_first`` is as
    there."""

    def __init__(
        self,
        endpoint: str,
        address: Address,
        say: Callable[[str], None] | None = None,
        no_first: Callable[[bytes], str] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._family, self._address = address
        self._say = say
        self._no_first = no_first
        self._callers: Callers | None = None
        self._others: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._connection: Connection | None = None
        self._owes = False

    def bind(self) -> None:
        """Listen. BatfsError when the endpoint is in use."""
        # ours before it is bound: whatever interrupts us, close knows of it
        listener = self._listener = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            if isinstance(self._address, str):
                if Path(self._address).is_socket():  # of a process that ended
                    Path(self._address).unlink()
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(self._address)
            listener.listen()
        except OSError as error:
            self._stop_listening()
            raise BatfsError(f"cannot listen on {self.endpoint}: {error.strerror or error}") from None
        listener.setblocking(False)
        if not isinstance(self._address, str):
            host, port = listener.getsockname()[:2]
            self.endpoint = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
        if self._say is not None:
            self._say(f"listening on {self.endpoint}")

    def recv_text(self) -> bytes:
        """The next message; waits for it as long as it takes. SimulatorGoneError when the connection that
        sent the earlier ones has closed."""
        if self._connection is None:
            text = self._first()
        else:
            try:
                text = self._connection.recv()
            except (EOFError, OSError):
                raise SimulatorGoneError from None
        self._owes = True
        return text

    def _first(self) -> bytes:
        """The first message of the first connection that sends one: the others are nobody's (a port scan)."""
        assert self._listener is not None
        callers = self._callers = Callers(self._listener, Strangers(self._say))
        while True:
            caller, text = callers.message(LARGEST)
            why = "" if self._no_first is None else self._no_first(text)
            if not why:
                break
            callers.refuse(caller, why)
        caller.stream.setblocking(True)
        self._connection = caller
        self._others = threading.Thread(target=_turn_away, args=(callers,), daemon=True, name="callers")
        self._others.start()
        return text

    def send_text(self, text: bytes) -> None:
        assert self._connection is not None
        with contextlib.suppress(OSError):  # it has gone: that is said when it is waited for
            self._connection.send(text)
        self._owes = False

    def give_up(self, why: str) -> None:
        """Answer a pending request with something that ends Batsim: it would wait for ever otherwise."""
        if self._owes:
            self.send_text(giving_up(why))

    def close(self) -> None:
        self._stop_listening()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _stop_listening(self) -> None:
        if self._listener is not None:
            name = self._listener.getsockname()
            if name and isinstance(name, str):  # it is bound
                Path(name).unlink(missing_ok=True)
            if self._callers is not None:
                self._callers.stop()
            if self._others is not None:
                self._others.join(5)
                self._others = None
            self._listener.close()
            self._listener = None


def _turn_away(callers: Callers) -> None:
    """While a simulation is under way: tell others so (a second simulator would wait for ever)."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            caller, _ = callers.message(_THEIRS)
            callers.refuse(caller, TAKEN)
    callers.close()


class SchedulerWire:
    """The decision process's side: has what the proxy uses of
    :class:`~batfs.decision.scheduler_link.SchedulerLink`."""

    def __init__(self, endpoint: str, address: Address, *, patience: float = 10.0) -> None:
        self.endpoint = endpoint
        self._family, self._address = address
        self._patience = patience
        self._connection: Connection | None = None

    def ask(self, text: bytes, meanwhile: Callable[[], object] | None = None) -> bytes:
        """Send a message, do something ``meanwhile``, wait for the answer as long as the other side lives.
        SchedulerGoneError when it never came within the patience (seconds), or went away."""
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        try:
            connection.send(text)
        except OSError:
            raise SchedulerGoneError(f"the scheduler at {self.endpoint} went away") from None
        if meanwhile is not None:
            meanwhile()
        try:
            return connection.recv()
        except (EOFError, OSError):
            raise SchedulerGoneError(f"the scheduler at {self.endpoint} went away") from None

    def _connect(self) -> Connection:
        """A connection whose other side has introduced itself, as soon as there is one."""
        deadline = time.monotonic() + self._patience
        while (left := deadline - time.monotonic()) > 0:
            stream = socket.socket(self._family, socket.SOCK_STREAM)
            stream.settimeout(left)
            try:
                stream.connect(self._address)
                connection = Connection(stream, b"REQ")
                while not connection.talk.ready:
                    connection.step()
            except (EOFError, OSError):
                stream.close()
                time.sleep(min(_RETRY, left))
                continue
            except ProtocolError as error:
                stream.close()
                raise SchedulerGoneError(f"what answers at {self.endpoint} is {error}") from None
            stream.settimeout(None)
            return connection
        raise SchedulerGoneError(f"no scheduler answers at {self.endpoint}")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def simulator_side(
    endpoint: str,
    say: Callable[[str], None] | None = None,
    no_first: Callable[[bytes], str] | None = None,
) -> SimulatorWire | ZmqLink:
    """What listens for Batsim at ``endpoint``."""
    address = address_of(endpoint)
    if address is not None:
        return SimulatorWire(endpoint, address, say, no_first)
    from batfs.decision.link import ZmqLink

    return ZmqLink(endpoint, say, no_first=no_first)


def scheduler_side(endpoint: str) -> SchedulerWire | SchedulerLink:
    """What asks the scheduler at ``endpoint``. InputError when that is no endpoint."""
    address = None if "*" in endpoint else address_of(endpoint)
    if address is not None:
        return SchedulerWire(endpoint, address)
    from batfs.decision.scheduler_link import SchedulerLink

    return SchedulerLink(endpoint)
