"""Actors: the sequential pieces of Batsim, and the order in which SimGrid runs them.

An actor is a generator that yields its kernel calls. All ready actors run up to their next call; the calls
are then served in that order, and whoever is answered (or created) forms the next *sub-round*, in the same
simulated instant. When nobody is ready the engine moves the clock, and the owners of what ended are woken in
the order of creation. These rules decide every tie (BATSIM.md A4).

A yielded ``None`` is a call that is answered at once; anything else is a :class:`Call`, or a few of them in a
row that need no Python of the actor's in between.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from batfs.simulator.engine import Engine

if TYPE_CHECKING:
    from batfs.simulator.work import Work

Script: TypeAlias = "Generator[Call | None, Any, Any]"


class Call:
    """One or several kernel calls of an actor, each served in a sub-round of its own."""

    __slots__ = ()

    def serve(self, actor: Actor, step: int) -> int:
        """Serve call ``step`` (from 0). Returns the next one's number, or 0 after the last, which answers
        the actor (``maestro.ready``) or blocks it."""
        raise NotImplementedError

    def serve_all(self, actor: Actor) -> None:
        """All calls at once: for an actor that is the only one awake."""
        step = self.serve(actor, 0)
        while step:
            step = self.serve(actor, step)


class Then(Call):
    """A call made of a function of the actor, which answers it or blocks it."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Actor], None]) -> None:
        self.function = function

    def serve(self, actor: Actor, step: int) -> int:
        self.function(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        self.function(actor)


class Actor:
    """A script on a host. ``answer`` is what its next resumption gets; ``blocked_on`` what it sleeps on.

    ``step`` > 0: it is in the middle of ``call``, whose call of that number comes next.
    """

    __slots__ = ("alive", "answer", "blocked_on", "call", "host", "owned", "resume", "script", "step")

    def __init__(self, script: Script, host: int) -> None:
        self.script = script
        self.resume = script.send
        self.host = host
        self.answer: Any = None
        self.alive = True
        self.call: Call | None = None
        self.step = 0
        self.blocked_on: Any = None
        self.owned: list[Flow] = []  # flows it started and that have not ended


class Maestro:
    """Runs the actors, sub-round after sub-round, and wakes the owners of what has ended."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ready: list[Actor] = []
        self.cancelled: list[Flow] = []
        self.living = 0
        # nobody but the actor that runs now is awake: calls that only pass can be left out
        self.alone = False

    def create(self, script: Script, host: int) -> Actor:
        """A new actor, ready in the next sub-round."""
        actor = self.enrol(script, host)
        self.ready.append(actor)
        return actor

    def enrol(self, script: Script, host: int) -> Actor:
        """A new actor that somebody else makes ready."""
        self.living += 1
        return Actor(script, host)

    def run_ready(self) -> None:
        """Sub-rounds until nobody is ready."""
        while self.ready:
            batch = self.ready
            self.ready = ready = []
            if len(batch) == 1:  # the usual case
                actor = batch[0]
                if actor.alive:
                    step = actor.step
                    if step:
                        current = actor.call
                        assert current is not None
                        while step:
                            step = current.serve(actor, step)
                        actor.step = 0
                    else:
                        self.alone = True
                        try:
                            call = actor.resume(actor.answer)
                        except StopIteration:
                            self.ended(actor)
                        else:
                            if call is None:
                                ready.append(actor)
                            else:
                                call.serve_all(actor)
            else:
                self._sub_round(batch, ready)
            if self.cancelled:
                self._collect_cancelled()

    def _sub_round(self, batch: list[Actor], ready: list[Actor]) -> None:
        calls: list[tuple[Actor, Call | None]] = []
        asleep = True  # whoever came before has ended or goes to sleep
        last = batch[-1]
        for actor in batch:
            if not actor.alive:
                continue
            if actor.step:
                calls.append((actor, actor.call))
                asleep = False
                continue
            alone = actor is last and asleep and not self.cancelled
            if alone:
                for sleeper, sleep in calls:
                    assert sleep is not None
                    sleep.serve_all(sleeper)
                calls.clear()
            self.alone = alone
            try:
                call = actor.resume(actor.answer)
            except StopIteration:
                self.ended(actor)
                continue
            if alone and call is not None:
                call.serve_all(actor)
                return
            calls.append((actor, call))
            if type(call) is not Sleep:
                asleep = False
        for actor, call in calls:
            if call is None:
                ready.append(actor)
            else:
                actor.step = step = call.serve(actor, actor.step)
                if step:
                    actor.call = call
                    ready.append(actor)

    def ended(self, actor: Actor) -> None:
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
            self.ended(actor)

    def end_of(self, actor: Actor) -> Call:
        """The call that ends an actor where it stands."""

        def end(killer: Actor) -> None:
            self.kill(actor)
            self.ready.append(killer)

        return Then(end)

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
        return Sleep(self, duration)


# what waiting for a flow answers
DONE, TIMED_OUT, CANCELLED = 0, 1, 2


class Sleep(Call):
    """A timer and who waits for it."""

    __slots__ = ("actor", "duration", "maestro", "slot")

    def __init__(self, maestro: Maestro, duration: float) -> None:
        self.maestro = maestro
        self.duration = duration
        self.actor: Actor | None = None
        self.slot = -1

    @classmethod
    def begun(cls, maestro: Maestro, duration: float, actor: Actor, slot: int) -> Sleep:
        """The sleep of an actor whose timer runs already."""
        sleep = cls(maestro, duration)
        sleep.actor = actor
        sleep.slot = slot
        actor.blocked_on = sleep
        return sleep

    def serve(self, actor: Actor, step: int) -> int:
        self.serve_all(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
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


class Flow(Call):
    """A parallel task: its slot, who waits for it and until when. Two calls: it starts, it is waited for.

    ``timeout``: seconds (>= 0) after which the wait ends with ``TIMED_OUT``, or a negative number for none.
    ``cancel`` takes effect at once; the waiter is woken after the sub-round, with ``CANCELLED``.
    ``owned``: it ends with the actor that started it.
    """

    __slots__ = ("count", "done", "first", "maestro", "owned", "slot", "timeout", "timer", "waiter", "work")

    def __init__(self, maestro: Maestro, work: Work, timeout: float = -1.0, owned: bool = False) -> None:
        self.maestro = maestro
        self.work = work
        self.timeout = timeout
        self.owned = owned
        self.waiter: Actor | None = None
        self.timer: Timeout | None = None
        self.slot = -1
        self.first = 0
        self.count = 0
        self.done = False

    def serve(self, actor: Actor, step: int) -> int:
        if step == 0:
            actor.answer = None
            if self.owned:
                actor.owned.append(self)
            self.start()
            return 1
        self._wait(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        if self.owned:
            actor.owned.append(self)
        self.start()
        self._wait(actor)

    def start(self) -> None:
        """Add it to the engine."""
        engine = self.maestro.engine
        work = self.work
        self.count = count = len(work.resources)
        if count:
            self.first = engine.rows(count)
            engine.write_rows(self.first, work.resources, work.weights)
        self.slot = engine.add_flow(self.first, count, work.latency, work.bound, self)

    def _give_back(self) -> None:
        if self.count:
            self.maestro.engine.free_rows(self.first, self.count)
            self.count = 0

    def _wait(self, actor: Actor) -> None:
        if self.done:
            actor.answer = DONE
            self.maestro.ready.append(actor)
            return
        self.waiter = actor
        actor.blocked_on = self
        if self.timeout >= 0.0:
            self.timer = Timeout(self, self.maestro.engine, self.timeout)

    def end(self) -> None:
        self.done = True
        self._give_back()
        actor = self.waiter
        if actor is not None:
            if self.owned:
                actor.owned.clear()
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
        timer = self.timer
        if timer is not None:
            self.timer = None
            timer.drop()

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
        if flow.timer is self:
            flow.timer = None
            actor = flow.waiter
            if actor is not None:
                flow.waiter = None
                actor.blocked_on = None
                actor.answer = TIMED_OUT
                flow.maestro.ready.append(actor)

    def drop(self) -> None:
        if self.engine.owners[self.slot] is self:
            self.engine.remove(self.slot)
