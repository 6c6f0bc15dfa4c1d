"""A client of the orchestrator, for the command line and for programs.

with Client("tcp://127.0.0.1:28100") as client:
    reply = client.request(size=10**9, duration=3600)
    ...
    client.release(reply.lease)
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import zmq
from msgspec.structs import replace

from batfs.errors import BatfsError
from batfs.service import messages as m
from batfs.service.auth import KeyPair, connect_with, reach
from batfs.service.handshake import Handshakes

# seconds between looks at whether we were let in
LOOK_EVERY = 0.2
FINAL_STATES = ("granted", "allocated", "refused", "released", "ok")


class NoAnswerError(BatfsError):
    """The orchestrator didn't answer in time. The request may have been done: asking again with the same
    message is safe."""


class NotLetInError(NoAnswerError):
    """The orchestrator speaks with keys only, or not with this one; the message says which."""


class Client:
    """``timeout``: seconds to wait for an answer; the message is sent again meanwhile (it is idempotent)."""

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:28100",
        *,
        keys: tuple[KeyPair, KeyPair] | None = None,
        timeout: float = 30.0,
        resend: float = 2.0,
    ) -> None:
        self.endpoint, self.timeout, self.resend = endpoint, timeout, resend
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._connect()

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.set(zmq.MAXMSGSIZE, 4 * m.MAX_BYTES)
        socket.set(zmq.RECONNECT_IVL_MAX, 1000)
        if self._keys is not None:
            connect_with(socket, *self._keys)
        self._handshakes = Handshakes(socket, self.endpoint, keys=self._keys is not None)
        reach(socket, self.endpoint)
        return socket

    def _heard_by_nobody(self) -> None:
        """Raises NotLetInError where waiting for an answer is of no use."""
        refused = self._handshakes.refused()
        if refused:
            # libzmq has given up; who asks again may have been put on the list meanwhile
            self._drop()
            self._socket = self._connect()
            raise NotLetInError(refused)

    def _drop(self) -> None:
        self._handshakes.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._drop()
        self._context.term()

    def ask(
        self,
        message: m.Message,
        *,
        wait: float = 0.0,
        told: Callable[[m.Reply], None] | None = None,
        final: tuple[str, ...] = FINAL_STATES,
    ) -> m.Reply:
        """Send ``message`` and wait for its answer; ``told`` hears of intermediate ones ("queued").

        Raises NoAnswerError after ``timeout + wait`` seconds (later where the orchestrator says how long it
        looks for room), NotLetInError as soon as the orchestrator won't speak with us.
        """
        frame = m.encode(message)
        end = time.monotonic() + self.timeout + wait
        self._post(frame)
        sent = time.monotonic()
        while (left := end - time.monotonic()) > 0:
            # in small steps until we are let in, which may not happen at all
            step = self.resend if self._handshakes.succeeded else LOOK_EVERY
            if self._socket.poll(int(min(left, step) * 1000) + 1):
                reply = m.decode(self._socket.recv(), m.ANSWERS)
                if not isinstance(reply, m.Reply) or reply.id != message.id:
                    continue
                if reply.state in final:
                    return reply
                patience = reply.data.get("patience")
                if isinstance(patience, int | float) and 0 < patience <= m.MAX_SECONDS:
                    end = max(end, time.monotonic() + patience + self.timeout)
                if told is not None:
                    told(reply)
            elif time.monotonic() - sent >= self.resend:
                self._post(frame)
                sent = time.monotonic()
            self._heard_by_nobody()
        why = self._handshakes.why()
        raise NoAnswerError(
            f"no answer from {self.endpoint} within {self.timeout + wait:g} s{f': {why}' if why else ''}"
        )

    def ask_all(self, messages: Sequence[m.Message], *, window: int = 100) -> dict[str, m.Reply]:
        """Send many messages in order, at most ``window`` without an answer; the latest answer to each.

        "queued" counts as an answer here; call :meth:`settle` to hear how it ended. Raises NoAnswerError
        when nothing is heard for ``timeout`` seconds.
        """
        answers: dict[str, m.Reply] = {}
        for sent, message in enumerate(messages, start=1):
            self._post(m.encode(message))
            while sent - len(answers) >= window:
                self._collect(answers)
        while len(answers) < len(messages):
            self._collect(answers)
        return answers

    def settle(
        self, messages: Sequence[m.Message], answers: dict[str, m.Reply], last: m.Message
    ) -> dict[str, m.Reply]:
        """Send ``last`` and hear what became of those that were queued."""
        self._post(m.encode(last))
        while last.id not in answers or any(answers[x.id].state == "queued" for x in messages):
            self._collect(answers)
        return answers

    def _collect(self, answers: dict[str, m.Reply]) -> None:
        if not self._socket.poll(int(self.timeout * 1000)):
            self._heard_by_nobody()
            raise NoAnswerError(f"nothing heard from {self.endpoint} for {self.timeout:g} s")
        reply = m.decode(self._socket.recv(), m.ANSWERS)
        if isinstance(reply, m.Reply):
            answers[reply.id] = reply

    def _post(self, frame: bytes) -> None:
        # where a stranger is not let in there is nowhere to send to: the wait for an answer will end
        with contextlib.suppress(zmq.Again):
            self._socket.send(frame, zmq.NOBLOCK)

    def request(
        self,
        size: int,
        duration: float,
        *,
        start: float | None = None,
        wait: float = 0.0,
        host: str = "",
        options: dict[str, Any] | None = None,
        told: Callable[[m.Reply], None] | None = None,
        request_id: str | None = None,
    ) -> m.Reply:
        """Space for a time; see :class:`~batfs.service.messages.RequestSpace`.

        Returns when the space is there ("allocated"), promised for a later ``start`` ("granted"), or
        refused; the reply's ``data`` is the lease.
        """
        message = m.RequestSpace(
            size=size, duration=duration, start=start, wait=wait, host=host, options=options or {}
        )
        if request_id is not None:
            message = replace(message, id=request_id)
        return self.ask(message, wait=wait, told=told)

    def release(self, lease: str) -> m.Reply:
        return self.ask(m.ReleaseLease(lease=lease))

    def extend(self, lease: str, duration: float) -> m.Reply:
        return self.ask(m.ExtendLease(lease=lease, duration=duration))

    def leases(self, *, everybody: bool = False, most: float = math.inf) -> list[dict[str, Any]]:
        """Those of the asker (of all, if an operator asks for everybody's), oldest first; ``most``: no
        further page is asked for once there are so many."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None and len(found) < most:
            page = self._data(m.ListLeases(all=everybody, after=after))
            found += page["leases"]
            after = page.get("next")
        return found

    def status(self, *, history: bool = False) -> dict[str, Any]:
        """What :mod:`batfs.service.status` says, all disks in one."""
        found = self._data(m.GetStatus(history=history))
        after = found.get("next")
        while after is not None:
            page = self._data(m.GetStatus(after=after))
            for key in ("servers", "disks"):
                found[key] += page[key]
            after = page.get("next")
        return found

    def forget(self, server: str) -> m.Reply:
        return self.ask(m.ForgetServer(server=server))

    def _data(self, message: m.Message) -> dict[str, Any]:
        reply = self.ask(message)
        if not reply.ok:
            raise BatfsError(f"refused: {reply.reason}")
        return reply.data
