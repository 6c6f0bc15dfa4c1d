"""No connection may pile up memory: what it has sent must turn into whole messages.

ZeroMQ bounds a frame (``MAXMSGSIZE``) and the number of whole messages that wait (``RCVHWM``), but not the
parts of a message that doesn't end. So each connection's bytes are compared with its messages: one that
brings in more than :data:`MOST` bytes without a single message being complete is closed. The kernel counts
the bytes (``TCP_INFO``), the socket's monitor says which connections there are.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

MOST = 64 * 2**20
LOOK_EVERY = 0.05
# tcpi_bytes_received in Linux's struct tcp_info (RFC 4898's tcpEStatsAppHCThruOctetsReceived)
_RECEIVED = struct.Struct("=Q")
_AT = 128


_COME = zmq.EVENT_ACCEPTED | zmq.EVENT_CONNECTED
_GONE = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED


class Connections:
    """Watches the connections of a socket; :meth:`look` wants to be called often.

    ``told``: called with each of its monitor's events (these and ``events``) and the connection's descriptor.
    """

    def __init__(
        self, watched: zmq.Socket[Any], told: Callable[[int, int], None] | None = None, events: int = 0
    ) -> None:
        self._monitor = watched.get_monitor_socket(_COME | _GONE | events)
        self._told = told
        # descriptor -> bytes it had received when its last whole message was seen
        self._open: dict[int, int] = {}
        self._heard: set[int] = set()
        self._looked = 0.0
        self.closed = 0

    def heard(self, frame: zmq.Frame) -> None:
        """A whole message came; ``frame`` is of it."""
        with contextlib.suppress(zmq.ZMQError, ValueError, TypeError):
            self._heard.add(int(frame.get(zmq.SRCFD)))

    def look(self, most: Mapping[int, int] | None = None, usual: int = MOST) -> int:
        """Close what piles up; how many that were. ``most``: bytes by descriptor, else ``usual``."""
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return 0
        self._looked, count = now, 0
        self.follow()
        for descriptor, before in list(self._open.items()):
            received = _received(descriptor)
            if received is None:
                continue
            if descriptor in self._heard:
                self._open[descriptor] = received
            elif received - before > (most or {}).get(descriptor, usual):
                self._open[descriptor] = received
                count += _shut(descriptor)
        self._heard.clear()
        self.closed += count
        return count

    def close(self) -> None:
        if not self._monitor.closed:
            self._monitor.close(0)

    def follow(self) -> None:
        """Hear what has happened to the connections."""
        while self._monitor.poll(0):
            event = parse_monitor_message(self._monitor.recv_multipart())
            descriptor = int(event["value"])
            if event["event"] & (_COME | _GONE):
                # what was heard until now was heard from who had this descriptor before
                self._heard.discard(descriptor)
            if event["event"] & _COME:
                self._open[descriptor] = 0
            elif event["event"] & _GONE:
                self._open.pop(descriptor, None)
            if self._told is not None:
                self._told(event["event"], descriptor)


def unlink_bound(listening: zmq.Socket[Any], asked: str) -> None:
    """Remove the file of the endpoint ``asked`` if the socket is bound to it: libzmq leaves it behind, but
    for that of ``ipc://*``.

    Made for ``weakref.finalize`` before ``bind``: the socket knows that it is bound from the very moment on,
    whatever interrupts its owner.
    """
    path = _file(asked)
    if path is not None and not listening.closed and listening.getsockopt_string(zmq.LAST_ENDPOINT):
        path.unlink(missing_ok=True)


def bind(listening: zmq.Socket[Any], asked: str) -> str:
    """Listen on the endpoint ``asked``; returns it with the port or file that ``*`` became. ZMQError, also
    where a file stands that is no socket: libzmq would remove it."""
    path = _file(asked)
    if path is not None and os.path.lexists(path) and not path.is_socket():
        raise zmq.ZMQError(errno.EADDRINUSE)
    listening.bind(asked)
    return listening.getsockopt_string(zmq.LAST_ENDPOINT)


def _file(endpoint: str) -> Path | None:
    """The file of an ``ipc://`` endpoint that names one."""
    named = endpoint.startswith("ipc://") and not endpoint.startswith(("ipc://*", "ipc://@"))
    return Path(endpoint.removeprefix("ipc://")) if named else None


def _received(descriptor: int) -> int | None:
    """Bytes the kernel has received on the connection; None where that can't be told."""
    try:
        # a copy of the descriptor: closing it leaves ZeroMQ's own alone
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _AT + _RECEIVED.size)
    except (OSError, AttributeError):
        return None
    return int(_RECEIVED.unpack_from(info, _AT)[0]) if len(info) >= _AT + _RECEIVED.size else None


def _shut(descriptor: int) -> int:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            # reset, not merely closed: whoever goes on sending into a full window would hear of it, and the
            # kernel be rid of what has come, only after a minute
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return 0
    return 1
