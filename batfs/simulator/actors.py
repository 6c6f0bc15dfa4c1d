"""Actors: the sequential pieces of Batsim, and the order in which SimGrid runs them.

An actor is a generator that yields its kernel calls. All ready actors run up to their next call; the calls
are then served in that order, and whoever is answered (or created) forms the next *sub-round*, in the same
simulated instant. When nobody is ready the engine moves the clock, and the owners of what ended are woken in
the order of creation. These rules decide every tie (BATSIM.md A4).

A yielded ``None`` is a call that is answered at once; anything else is a function of the actor, called
when the call is served, which answers (``maestro.ready``) or blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from batfs.simulator.engine import Engine

Call: TypeAlias = "Callable[[Actor], None] | None"
Script: TypeAlias = Generator[Call, Any, Any]


class Actor:
    """A script on a host. ``answer`` is what its next resumption gets; ``blocked_on`` what it sleeps on."""

    __slots__ = ("alive", "answer", "blocked_on", "comm", "host", "message", "owned", "resume", "script")

    def __init__(self, script: Script, host: int) -> None:
        self.script = script
        self.resume = script.send
        self.host = host
        self.answer: Any = None
        self.alive = True
        self.message: Any = None  # what it is sending
        self.comm: Any = None
        self.blocked_on: Any = None
        self.owned: list[Flow] = []  # flows it started and that have not ended


class Maestro:
    """Runs the actors, sub-round after sub-round, and wakes the owners of what has ended."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ready: list[Actor] = []
        self.cancelled: list[Flow] = []
        self.living = 0
        # the actor that runs now is the only one awake: sub-rounds that only pass can be left out
        self.alone = False

    def create(self, script: Script, host: int) -> Actor:
        """A new actor, ready in the next sub-round."""
        actor = Actor(script, host)
        self.living += 1
        self.ready.append(actor)
        return actor

    def run_ready(self) -> None:
        """Sub-rounds until nobody is ready."""
        while self.ready:
            batch = self.ready
            self.ready = ready = []
            if len(batch) == 1:  # the usual case: one actor, one call
                self.alone = True
                actor = batch[0]
                if actor.alive:
                    try:
                        call = actor.resume(actor.answer)
                    except StopIteration:
                        self._ended(actor)
                    else:
                        if call is None:
                            ready.append(actor)
                        else:
                            call(actor)
            else:
                self.alone = False
                calls = []
                for actor in batch:
                    if actor.alive:
                        try:
                            calls.append((actor, actor.resume(actor.answer)))
                        except StopIteration:
                            self._ended(actor)
                for actor, call in calls:
                    if call is None:
                        ready.append(actor)
                    else:
                        call(actor)
            if self.cancelled:
                self._collect_cancelled()

    def _ended(self, actor: Actor) -> None:
        """An actor that ends takes the flows it still owns with it (a task whose walltime was reached)."""
        actor.alive = False
        self.living -= 1
        for flow in actor.owned:
            flow.cancel()
        actor.owned.clear()

    def kill(self, actor: Actor) -> None:
        """End an actor where it stands."""
        if actor.alive:
            waiting = actor.blocked_on
            if waiting is not None:
                waiting.abandon(self.engine)
            actor.script.close()
            self._ended(actor)

    def _collect_cancelled(self) -> None:
        flows = self.cancelled
        self.cancelled = []
        for flow in flows:
            waiter = flow.waiter
            if waiter is not None:
                flow.waiter = None
                flow.forget_timeout()
                waiter.blocked_on = None
                waiter.answer = CANCELLED
                if waiter.alive:
                    self.ready.append(waiter)

    def sleep(self, duration: float) -> Call:
        """The call that sleeps ``duration`` seconds (> 0; a sleep of 0 is no call at all)."""
        return Sleep(self, duration).begin


# what waiting for a flow answers
DONE, TIMED_OUT, CANCELLED = 0, 1, 2


class Sleep:
    """A timer and who waits for it."""

    __slots__ = ("actor", "duration", "maestro", "slot")

    def __init__(self, maestro: Maestro, duration: float) -> None:
        self.maestro = maestro
        self.duration = duration
        self.actor: Actor | None = None
        self.slot = -1

    def begin(self, actor: Actor) -> None:
        self.actor = actor
        actor.blocked_on = self
        self.slot = self.maestro.engine.add_timer(self.duration, self)

    def end(self) -> None:
        actor = self.actor
        if actor is not None:
            actor.blocked_on = None
            actor.answer = None
            self.maestro.ready.append(actor)

    def abandon(self, engine: Engine) -> None:
        self.actor = None
        if engine.owners[self.slot] is self:
            engine.remove(self.slot)


class Flow:
    """A parallel task: its slot, who waits for it and until when.

    ``cancel`` takes effect at once; the waiter is woken after the sub-round, with ``CANCELLED``.
    """

    __slots__ = ("count", "done", "first", "maestro", "slot", "timeout", "waiter")

    def __init__(self, maestro: Maestro) -> None:
        self.maestro = maestro
        self.waiter: Actor | None = None
        self.timeout: Timeout | None = None
        self.slot = -1
        self.first = -1
        self.count = 0
        self.done = False

    def start(self, resources: Any, weights: Any, latency: float, bound: float) -> None:
        """Add it to the engine."""
        engine = self.maestro.engine
        self.count = count = len(resources)
        if count:
            self.first = engine.rows(count)
            engine.write_rows(self.first, resources, weights)
        self.slot = engine.add_flow(max(self.first, 0), count, latency, bound, self)

    def _give_back(self) -> None:
        if self.count:
            self.maestro.engine.free_rows(self.first, self.count)
            self.count = 0

    def wait(self, actor: Actor) -> None:
        """The call that waits for the end, however long it takes."""
        if self.done:
            actor.answer = DONE
            self.maestro.ready.append(actor)
            return
        self.waiter = actor
        actor.blocked_on = self

    def wait_for(self, timeout: float) -> Call:
        """The call that waits for the end or ``timeout`` seconds (>= 0), whichever comes first."""

        def call(actor: Actor) -> None:
            self.wait(actor)
            if not self.done:
                self.timeout = Timeout(self, self.maestro.engine, timeout)

        return call

    def end(self) -> None:
        self.done = True
        self._give_back()
        actor = self.waiter
        if actor is not None:
            self.waiter = None
            self.forget_timeout()
            actor.blocked_on = None
            actor.answer = DONE
            self.maestro.ready.append(actor)

    def cancel(self) -> None:
        if not self.done:
            self.done = True
            self.maestro.engine.remove(self.slot)
            self._give_back()
            self.maestro.cancelled.append(self)

    def abandon(self, engine: Engine) -> None:
        """The waiter is gone."""
        self.waiter = None
        self.forget_timeout()

    def forget_timeout(self) -> None:
        timeout = self.timeout
        if timeout is not None:
            self.timeout = None
            timeout.drop()

    def progress(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return 1.0 if self.done else 1.0 - self.maestro.engine.remains(self.slot)


class Timeout:
    """The timer of a wait that doesn't last for ever."""

    __slots__ = ("engine", "flow", "slot")

    def __init__(self, flow: Flow, engine: Engine, duration: float) -> None:
        self.flow = flow
        self.engine = engine
        self.slot = engine.add_timer(duration, self)

    def end(self) -> None:
        flow = self.flow
        if flow.timeout is self:
            flow.timeout = None
            actor = flow.waiter
            if actor is not None:
                flow.waiter = None
                actor.blocked_on = None
                actor.answer = TIMED_OUT
                flow.maestro.ready.append(actor)

    def drop(self) -> None:
        if self.engine.owners[self.slot] is self:
            self.engine.remove(self.slot)


class Comm:
    """One message on its way: a rendez-vous of two actors, then a transfer of one byte."""

    __slots__ = ("host", "mailbox", "message", "wait", "waiters")

    def __init__(self, mailbox: Mailbox, message: Any, host: int) -> None:
        self.mailbox = mailbox
        self.message = message
        self.host = host
        self.waiters: list[Actor] = []
        self.wait = self.waiters.append  # the call that waits for the transfer's end

    def end(self) -> None:
        self.mailbox.maestro.ready += self.waiters


class Mailbox:
    """The server's mailbox: messages wait their turn and travel one at a time (BATSIM.md E1).

    ``transfer(comm, host)`` starts a transfer from ``host`` in the engine, with ``comm`` as its owner.
    """

    def __init__(self, maestro: Maestro, transfer: Callable[[Comm, int], None]) -> None:
        self.maestro = maestro
        self.transfer = transfer
        self.queue: deque[Comm] = deque()
        self.reader: Comm | None = None

    def send(self, actor: Actor, message: Any) -> Script:
        """Use as ``yield from``: three kernel calls, the last of which lasts as long as the transfer."""
        if self.maestro.alone:
            yield self._post(message, actor.host).wait
            return
        yield None
        actor.message = message
        yield self._put
        yield actor.comm.wait

    def _post(self, message: Any, host: int) -> Comm:
        comm = self.reader
        if comm is not None:
            self.reader = None
            comm.message = message
            self.transfer(comm, host)
        else:
            comm = Comm(self, message, host)
            self.queue.append(comm)
        return comm

    def _put(self, actor: Actor) -> None:
        actor.comm = self._post(actor.message, actor.host)
        self.maestro.ready.append(actor)

    def receive(self) -> Comm:
        """Start to receive; the message is there when the ``wait`` of what this returns has ended."""
        if self.queue:
            comm = self.queue.popleft()
            self.transfer(comm, comm.host)
        else:
            comm = self.reader = Comm(self, None, -1)
        return comm

    def get(self, actor: Actor) -> None:
        """:meth:`receive` as a call (the second of three: look up, this, ``actor.comm.wait``)."""
        actor.comm = self.receive()
        self.maestro.ready.append(actor)
