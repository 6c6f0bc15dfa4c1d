"""The server's mailbox: messages as kernel calls of those who send and receive them (BATSIM.md E1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from batfs.simulator.actors import Actor, Call, Maestro

# what the sender of a message does when it has arrived (0: anything)
SLEEPS, ENDS = 1, 2


class Comm(Call):
    """One message on its way: a rendez-vous of two actors, then a transfer of one byte.

    As a call it sends: look up the mailbox, put the message there, wait until it has arrived. ``then``: what
    its sender does next.
    """

    __slots__ = ("carrier", "host", "mailbox", "message", "then", "waiters")

    def __init__(self, mailbox: Mailbox, message: Any, then: int = 0) -> None:
        self.mailbox = mailbox
        self.message = message
        self.then = then
        self.host = -1
        self.carrier: Comm | None = None  # itself, or the reader's own when that was there first
        self.waiters: list[Actor] = []

    def serve(self, actor: Actor, step: int) -> int:
        if step == 0:
            return 1
        if step == 1:
            self.carrier = self.mailbox.post(self, actor.host)
            return 2
        carrier, self.carrier = self.carrier, None
        assert carrier is not None
        carrier.waiters.append(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        mailbox = self.mailbox
        maestro = mailbox.maestro
        reader = mailbox.reader
        if reader is None or maestro.cancelled:
            mailbox.post(self, actor.host).waiters.append(actor)
            return
        mailbox.reader = None
        reader.message = self.message
        slot = mailbox.deliver(actor.host)
        if slot >= 0:
            maestro.engine.owners[slot] = reader
            reader.waiters.append(actor)
            return
        then = self.then
        if then == ENDS:
            maestro.ready += reader.waiters
            # not left to Python's own clearing up, which would swallow a KeyboardInterrupt raised meanwhile
            actor.script.close()
            maestro.ended(actor)
        elif then == SLEEPS:  # its timer is set before whatever the reader does next, so it may go first
            maestro.ready.append(actor)
            maestro.ready += reader.waiters
        else:
            maestro.ready += reader.waiters
            maestro.ready.append(actor)

    def end(self) -> None:
        self.mailbox.maestro.ready += self.waiters


class Receive(Call):
    """Look up the mailbox, take the next message or be its reader, wait until it has arrived.

    It answers with the :class:`Comm` that holds the message.
    """

    __slots__ = ("mailbox",)

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox

    def serve(self, actor: Actor, step: int) -> int:
        if step == 0:
            return 1
        if step == 1:
            actor.answer = self.mailbox.take()
            return 2
        actor.answer.waiters.append(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        actor.answer = comm = self.mailbox.take()
        comm.waiters.append(actor)


class Waiting(Call):
    """The actor is already among those who wait for ``comm``, which is the answer."""

    __slots__ = ("comm",)

    def __init__(self, comm: Comm) -> None:
        self.comm = comm

    def serve(self, actor: Actor, step: int) -> int:
        actor.answer = self.comm
        return 0


class Mailbox:
    """The server's mailbox: messages wait their turn and travel one at a time (BATSIM.md E1).

    ``transfer(comm, host)`` starts a transfer from ``host`` in the engine, with ``comm`` as its owner;
    ``deliver(host)`` does so when nobody is awake: it answers -1 when the message has arrived already, else
    the slot whose owner the message is to be.
    """

    def __init__(
        self,
        maestro: Maestro,
        transfer: Callable[[Comm, int], None],
        deliver: Callable[[int], int],
    ) -> None:
        self.maestro = maestro
        self.transfer = transfer
        self.deliver = deliver
        self.queue: deque[Comm] = deque()
        self.reader: Comm | None = None
        self.receive = Receive(self)  # the call of its one reader

    def send(self, message: Any, then: int = 0) -> Comm:
        """The calls that send ``message``; they last until it has arrived.

        ``then``: SLEEPS or ENDS when that is what the actor does next for sure.
        """
        return Comm(self, message, then)

    def post(self, comm: Comm, host: int) -> Comm:
        """A message is put; what carries it is ``comm``, or what its reader waits for already."""
        reader = self.reader
        if reader is not None:
            self.reader = None
            reader.message = comm.message
            self.transfer(reader, host)
            return reader
        comm.host = host
        self.queue.append(comm)
        return comm

    def withdraw(self, actor: Actor) -> None:
        """The actor is about to be killed: a message of its own that waits here is never read."""
        for comm in self.queue:
            if actor in comm.waiters or (actor.step and actor.call is comm):
                self.queue.remove(comm)
                return

    def take(self) -> Comm:
        """The reader is there; the message is in what this returns when its transfer has ended."""
        if self.queue:
            comm = self.queue.popleft()
            self.transfer(comm, comm.host)
        else:
            comm = self.reader = Comm(self, None)
        return comm
