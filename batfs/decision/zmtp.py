"""One end of a ZeroMQ connection in bytes: ZMTP 3 without security, a request or a reply socket's. No
sockets here (see :mod:`batfs.decision.wire`).

Everything Batsim 4 and its decision processes send is a request or a reply of one part. After a greeting of
64 bytes and a READY command from either side each message is an empty frame (the end of the envelope) and a
frame with the text. Source: ZeroMQ's RFC 23 (ZMTP 3.0, 3.1) and RFC 28 (request-reply).
"""

from __future__ import annotations

from batfs.protocol.decision_side import ProtocolError

_MORE, _LONG, _COMMAND = 1, 2, 4
_LARGEST_COMMAND, _MOST_PARTS = 1 << 16, 64
_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_NULL = b"NULL".ljust(20, b"\0")
_GREETING = (_SIGNATURE + b"\x03\x01" + _NULL).ljust(64, b"\0")
#: Envelope of a message from a socket that adds nothing to it: one empty frame, and more to come.
_PLAIN = b"\x01\x00"
_PEERS = {b"REP": (b"REQ", b"DEALER"), b"REQ": (b"REP", b"ROUTER")}


def _frame(flags: int, body: bytes) -> bytes:
    size = len(body)
    if size < 256:
        return bytes((flags, size)) + body
    return bytes((flags | _LONG,)) + size.to_bytes(8, "big") + body


class Conversation:
    """What has been said so far. ``kind`` is ``b"REP"`` or ``b"REQ"``.

    Give :meth:`receive` the bytes as they come, and send what is in ``due`` whenever it holds something: it
    does at the beginning. ``ready``: messages may be sent. ``most``: bytes that a message may have with all
    its parts; ``held`` are those of one that is not whole yet.
    """

    __slots__ = ("_buffer", "_envelope", "_greeted", "_kind", "_most", "_parts", "due", "ready")

    def __init__(self, kind: bytes, most: int = 1 << 30) -> None:
        self._kind = kind
        self._most = most
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._envelope = _PLAIN
        self._greeted = False
        self.ready = False
        self.due = _GREETING

    @property
    def held(self) -> int:
        return len(self._buffer) + sum(map(len, self._parts))

    def receive(self, data: bytes) -> bytes | None:
        """The text of a message once all of it is there; None before. ProtocolError for what is no ZMTP 3.

        There is never more than one: who has asked waits for the answer.
        """
        size = len(data)
        if size > 11 and self.ready and data.startswith(_PLAIN) and not (self._buffer or self._parts):
            # nearly always one message, and nothing else
            begin = 4 if data[2] == 0 and data[3] == size - 4 else 0
            if data[2] == _LONG and int.from_bytes(data[3:11], "big") == size - 11:
                begin = 11
            if begin:
                self._envelope = _PLAIN
                return data[begin:]
        self._buffer += data
        if not self._greeted and not self._greeting():
            return None
        while (frame := self._next()) is not None:
            flags, body = frame
            if flags & _COMMAND:
                self._command(body)
            elif not self.ready:
                raise ProtocolError("a message before the handshake is over")
            elif flags & _MORE:
                self._parts.append(body)
                if len(self._parts) > _MOST_PARTS or sum(map(len, self._parts)) > self._most:
                    raise ProtocolError("a message without an end")
            else:
                return self._message(body)
        return None

    def message(self, text: bytes) -> bytes:
        """``text`` on the wire: a request, or the reply to the message received last."""
        size = len(text)
        if size < 256:
            return b"%b\x00%c%b" % (self._envelope, size, text)
        return b"%b\x02%b%b" % (self._envelope, size.to_bytes(8, "big"), text)

    def _greeting(self) -> bool:
        """Whether the other side has introduced itself."""
        got = self._buffer
        if got[:1] != _SIGNATURE[:1][: len(got)] or (len(got) > 9 and got[9] != 0x7F):
            raise ProtocolError("no ZeroMQ socket")
        if len(got) > 10 and got[10] < 3:
            raise ProtocolError("a ZeroMQ socket of before 2013 (ZMTP 2)")
        if len(got) < 64:
            return False
        if got[12:32] != _NULL:
            name = bytes(got[12:32]).rstrip(b"\0").decode("ascii", "replace")
            raise ProtocolError(f"a ZeroMQ socket that wants {name} security")
        del got[:64]
        self._greeted = True
        ready = b"\x05READY\x0bSocket-Type" + len(self._kind).to_bytes(4, "big") + self._kind
        if self._kind == b"REQ":
            ready += b"\x08Identity" + bytes(4)
        self.due += _frame(_COMMAND, ready)
        return True

    def _next(self) -> tuple[int, bytes] | None:
        """The next whole frame: its flags and what is in it."""
        got = self._buffer
        if len(got) < 2:
            return None
        flags, size, begin = got[0], got[1], 2
        if flags > 7:
            raise ProtocolError(f"a ZeroMQ frame with unknown flags ({flags})")
        if flags & _LONG:
            if len(got) < 9:
                return None
            size, begin = int.from_bytes(got[1:9], "big"), 9
        if size > (_LARGEST_COMMAND if flags & _COMMAND or not self.ready else self._most):
            raise ProtocolError(f"a ZeroMQ frame of {size} bytes")
        if len(got) < begin + size:
            return None
        body = bytes(memoryview(got)[begin : begin + size])
        del got[: begin + size]
        return flags, body

    def _command(self, body: bytes) -> None:
        name, rest = body[1 : 1 + body[0]] if body else b"", body[1 + body[0] :] if body else b""
        if name == b"READY":
            peers = _PEERS[self._kind]
            if not any(b"Socket-Type" + len(p).to_bytes(4, "big") + p in rest for p in peers):
                raise ProtocolError(f"a ZeroMQ socket that is no {peers[0].decode()}")
            self.ready = True
        elif name == b"ERROR":
            raise ProtocolError(f"the other ZeroMQ socket says: {rest[1:].decode('utf-8', 'replace')}")
        elif name == b"PING":
            self.due += _frame(_COMMAND, b"\x04PONG" + rest[2:])

    def _message(self, body: bytes) -> bytes:
        parts, self._parts = self._parts, []
        if parts.count(b"") != 1 or parts[-1]:
            raise ProtocolError("a message that is not one text behind an envelope")
        self._envelope = b"".join([_frame(_MORE, part) for part in parts])
        return body
