"""Decision components of Batsim 5 that speak JSON: processes over ZeroMQ, and shared libraries.

Either has two calls: *init*, which takes the init string and answers with flags and a hello, and the exchange
of messages that end in a NUL byte.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.v5.hello import JSON, framed, init_message, split_hello, unframed
from batfs.protocol.v5.simulator_side import Features, RequestWriter, decode_hello, decode_reply
from batfs.simulator.socket import RequestSocket

Log = Callable[[str, bytes], None]


class Component(Protocol):
    """A decision component's two calls, and its end."""

    def init(self, text: str) -> tuple[int, bytes]:
        """(flags, hello)."""
        ...

    def exchange(self, message: bytes) -> bytes: ...

    def close(self) -> None: ...


class Conversation:
    """A decision process that is a Batsim 5 component. ``log``: called with each direction and message."""

    def __init__(self, component: Component, log: Log | None = None) -> None:
        self.component = component
        self.log = log
        self.replies = 0
        self._writer: RequestWriter

    def greet(self, init: str) -> Features:
        """The handshake. InputError when the answer isn't a hello in JSON."""
        flags, hello = self.component.init(init)
        if not flags & JSON:
            raise InputError(
                f"the decision component answers with flags = {flags}: binary flatbuffers, which batfs "
                "doesn't speak (the order of their fields is that of a schema that isn't public)",
                hint="JSON is flags = 2",
            )
        if self.log is not None:
            self.log("received", hello)
        try:
            features = decode_hello(unframed(hello))
        except InputError as error:
            raise error.at(place="the hello") from None
        self._writer = RequestWriter(features)
        return features

    def decide(self, request: m.Request) -> m.Reply:
        text = self._writer.encode(request)
        if self.log is not None:
            self.log("sent", text)
        answer = unframed(self.component.exchange(framed(text)))
        if self.log is not None:
            self.log("received", answer)
        self.replies += 1
        try:
            return decode_reply(answer)
        except InputError as error:
            raise error.at(place=f"reply {self.replies}") from None

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.component.close()


class Process(RequestSocket):
    """A component at the other end of a ZeroMQ socket."""

    def init(self, text: str) -> tuple[int, bytes]:
        answer = self.ask(init_message(text))
        try:
            return split_hello(answer)
        except ValueError as error:
            raise InputError(f"the decision component's first answer has {error}") from None

    exchange = RequestSocket.ask


class Library:
    """A component in a shared library: three functions of C that take and give bytes."""

    def __init__(self, path: str) -> None:
        self.path = path
        found = Path(path)
        try:
            self._library = ctypes.CDLL(str(found.absolute()) if found.is_file() else path)
            names = ("batsim_edc_init", "batsim_edc_take_decisions", "batsim_edc_deinit")
            self._init, self._decide, self._deinit = (getattr(self._library, name) for name in names)
        except (OSError, AttributeError) as error:
            raise InputError(f"cannot load the decision component: {error}", file=path) from None
        for function in (self._init, self._decide, self._deinit):
            function.restype = ctypes.c_uint8

    def _call(self, function: Any, name: str, data: bytes, *more: Any) -> bytes:
        answer, size = ctypes.POINTER(ctypes.c_uint8)(), ctypes.c_uint32()
        code = function(
            ctypes.c_char_p(data), ctypes.c_uint32(len(data)), *more, ctypes.byref(answer), ctypes.byref(size)
        )
        if code:
            raise InputError(f"{name} of the decision component failed: it returned {code}", file=self.path)
        return ctypes.string_at(answer, size.value) if answer else b""

    def init(self, text: str) -> tuple[int, bytes]:
        flags = ctypes.c_uint32()
        hello = self._call(self._init, "batsim_edc_init", text.encode(), ctypes.byref(flags))
        return flags.value, hello

    def exchange(self, message: bytes) -> bytes:
        # Batsim counts the NUL at the end
        return self._call(self._decide, "batsim_edc_take_decisions", message)

    def close(self) -> None:
        self._deinit()
