"""A storage server's process: registers its disks, makes and removes space, shows signs of life.

The back end works in a thread of its own, so that a slow disk never looks like a dead server.
"""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import zmq

from batfs.errors import BatfsError
from batfs.service import messages as m
from batfs.service.auth import KeyPair, connect_with, reach
from batfs.service.backends.interface import Backend
from batfs.service.handshake import Handshakes
from batfs.service.logs import Log

LOG_EVERY = 2.0
# what could not be removed is tried again so often (seconds)
AGAIN_EVERY = 60.0
# a registration that gets no answer is repeated after so long, then later and later
FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
# refusals that say nothing about this server: it asks again
PASSING = ("ledger", "sent too long ago")


class Server:
    """``name`` must be the one its key is listed under. Connects on construction; :meth:`run` serves."""

    def __init__(
        self,
        name: str,
        disks: Sequence[m.Disk],
        backend: Backend,
        endpoint: str,
        *,
        keys: tuple[KeyPair, KeyPair] | None = None,
        log: Log | None = None,
    ) -> None:
        self.name, self.disks, self.backend = name, list(disks), backend
        self.log = log or Log(f"server {name}")
        self._endpoint, self._keys = endpoint, keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._connect()
        self._results = self._context.socket(zmq.PULL)
        self._results.bind("inproc://results")
        self._jobs: queue.SimpleQueue[m.Provision | m.Remove | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True, name="backend")
        self._stopping = False
        self.heartbeat = 1.0
        self.welcome = self._ever_welcome = False
        self._registered, self._wait = 0.0, FIRST_WAIT
        self._again: list[m.Remove] = []  # removals that failed
        self.refused = ""

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 200
        socket.sndhwm = 0
        socket.set(zmq.MAXMSGSIZE, 4 * m.MAX_BYTES)
        socket.set(zmq.RECONNECT_IVL_MAX, 2000)
        if self._keys is not None:
            connect_with(socket, *self._keys)
        self._handshakes = Handshakes(socket, self._endpoint, keys=self._keys is not None)
        reach(socket, self._endpoint)
        return socket

    def stop(self, *_: Any) -> None:
        self._stopping = True

    def run(self, *, signals: bool = True) -> None:
        """Serve until stopped. Raises BatfsError when the orchestrator refuses the registration."""
        if signals:
            signal.signal(signal.SIGTERM, self.stop)
            signal.signal(signal.SIGINT, self.stop)
        self._worker.start()
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._results, zmq.POLLIN)
        self._register()
        beat = logged = tried = time.monotonic()
        try:
            while not self._stopping:
                ready = dict(poller.poll(200))
                if self._results in ready:
                    while True:
                        try:
                            result = self._results.recv(zmq.NOBLOCK)
                        except zmq.Again:
                            break
                        self._post(result)
                if self._socket in ready:
                    self._hear()
                if self.refused:
                    raise BatfsError(f"the orchestrator refuses {self.name!r}: {self.refused}")
                if self.welcome and time.monotonic() - beat >= self.heartbeat:
                    beat = time.monotonic()
                    self._send(m.Heartbeat(server=self.name))
                elif not self.welcome and time.monotonic() - self._registered >= self._wait:
                    # a registration was lost, or is still being looked at: ask again, less and less often
                    self._wait = min(LONGEST_WAIT, 2 * self._wait)
                    why = self._handshakes.why()
                    if why:
                        self.log("not let in", reason=why)
                    self._register()
                if time.monotonic() - tried >= AGAIN_EVERY:
                    tried = time.monotonic()
                    while self._again:
                        self._jobs.put(self._again.pop())
                if time.monotonic() - logged >= LOG_EVERY:
                    logged = time.monotonic()
                    records = self.log.take()
                    if records and self.welcome:
                        self._send(m.LogRecords(component=self.log.component, records=records[-200:]))
        finally:
            self._jobs.put(None)
            self._worker.join(5)
            self._handshakes.close()
            self._socket.close()
            self._results.close()
            self._context.term()

    def _send(self, message: m.Message) -> None:
        try:
            self._post(m.encode(message))
        except m.MessageError as error:
            self.log("unsent", type=type(message).__name__, reason=str(error))

    def _post(self, frame: bytes) -> None:
        # no connection: what is lost here is put right when the server registers again
        with contextlib.suppress(zmq.Again):
            self._socket.send(frame, zmq.NOBLOCK)

    def _register(self) -> None:
        """Say who we are and what we hold, in pages: there may be any number of allocations."""
        self.welcome, self._registered = False, time.monotonic()
        try:
            held = list(self.backend.held().items())
        except (BatfsError, OSError, ValueError) as error:
            self.log("back end failed", reason=f"what it holds can't be told: {error}"[:500])
            return
        pages = [dict(held[i : i + m.PAGE]) for i in range(0, len(held), m.PAGE)] or [{}]
        first = m.RegisterServer(
            server=self.name, disks=self.disks, backend=self.backend.name, held=pages[0], more=len(pages) - 1
        )
        self._send(first)
        for page in pages[1:]:
            self._send(m.HeldToo(server=self.name, of=first.id, held=page))

    def _hear(self) -> None:
        while True:
            try:
                frame = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = m.decode(frame, m.ANSWERS)
            except m.MessageError as error:
                self.log("malformed", text=str(error))
                continue
            match message:
                case m.Welcome():
                    self.welcome = self._ever_welcome = True
                    self.heartbeat, self._wait = message.heartbeat, FIRST_WAIT
                    self.log("registered", heartbeat=message.heartbeat)
                case m.RegisterAgain():
                    self._register()
                case m.Provision() | m.Remove():
                    self._jobs.put(message)
                case m.Reply() if not message.ok and not self.welcome:
                    self.log("refused", reason=message.reason)
                    # a fault of the set-up ends us at the start; later, or for a while, it is waited out
                    if not self._ever_welcome and not any(word in message.reason for word in PASSING):
                        self.refused = message.reason

    def _work(self) -> None:
        out = self._context.socket(zmq.PUSH)
        out.linger = 0
        out.connect("inproc://results")
        disks = {disk.name for disk in self.disks}
        while (job := self._jobs.get()) is not None:
            answer: m.Message
            try:
                if job.disk not in disks:
                    raise BatfsError(f"no disk {job.disk!r} here")
                if isinstance(job, m.Provision):
                    connection = self.backend.provision(job.lease, job.disk, job.size, job.user, job.host)
                    answer = m.Provisioned(
                        server=self.name, lease=job.lease, disk=job.disk, connection=dict(connection)
                    )
                else:
                    self.backend.remove(job.lease, job.disk)
                    answer = m.Removed(server=self.name, lease=job.lease, disk=job.disk)
            except Exception as error:  # a back end's trouble, whatever it is, is one allocation's only
                reason = str(error) if isinstance(error, BatfsError | OSError) else repr(error)
                self.log("back end failed", lease=job.lease, disk=job.disk, reason=reason[:500])
                if isinstance(job, m.Remove):
                    # the space may still be there: say nothing, so that it stays withheld
                    self._again.append(job)
                    continue
                answer = m.ProvisionFailed(
                    server=self.name, lease=job.lease, disk=job.disk, reason=_plain(reason)[:500] or "failed"
                )
            else:
                self.log(type(job).__name__.lower(), lease=job.lease, disk=job.disk)
            try:
                out.send(m.encode(answer))
            except m.MessageError as error:
                self.log("unsent", type=type(answer).__name__, reason=str(error))
        out.close()


def _plain(text: str) -> str:
    """What may stand in a message: Unicode without NUL (a file's name may be anything)."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
