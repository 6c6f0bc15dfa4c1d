"""Batsim 5's periodic calls: an actor that wakes at the multiples of the periods, and the way to it.

The server tells it of a new or a stopped call by a message, which takes as long as any other and keeps the
server waiting. A call of period p comes at the multiples of p since 0; calls of one instant come in one
message, in the order of their ids.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.simulator.actors import Actor, Call, Comm, Script

if TYPE_CHECKING:
    from batfs.protocol import messages as m
    from batfs.simulator.v5.server import Server5


class Delivery(Call):
    """The server sends a message to the actor of periodic calls and waits until it has arrived."""

    def __init__(self, server: Server5, arrived: Callable[[], None]) -> None:
        self.server = server
        self.arrived = arrived
        self.sender: Actor | None = None

    def serve(self, actor: Actor, step: int) -> int:
        self.serve_all(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        server = self.server
        self.sender = actor
        # the server takes no message meanwhile, so nobody else uses these rows
        server.mailbox.transfer(self, server.master)

    def end(self) -> None:
        self.arrived()
        actor = self.sender
        assert actor is not None
        actor.answer = None
        self.server.maestro.ready.append(actor)


class PeriodicCalls:
    """The calls that are running, and the actor that makes them."""

    def __init__(self, server: Server5) -> None:
        self.server = server
        self.calls: dict[str, tuple[int, int | None]] = {}  # period (ms), how many are left (None: no end)
        self.clock: Actor | None = None
        self.asleep = False

    def add(self, decision: m.CallPeriodically) -> None:
        """A new call. InputError for an id in use, or a period that doesn't fit those that are running."""
        name, period = decision.call_id, decision.period
        if name in self.calls:
            raise InputError(f"CallMeLaterEvent: the periodic call {name!r} is already running")
        for other, (running, _) in self.calls.items():
            short, long = sorted((period, running))
            if long % short:
                raise InputError(
                    f"CallMeLaterEvent: the period of {name!r}, {period} ms, and that of the call {other!r}, "
                    f"{running} ms, don't divide one another"
                )
        self.calls[name] = period, decision.count
        self._again()

    def stop(self, name: str) -> None:
        """No more calls of that id; nothing happens if there are none."""
        if self.calls.pop(name, None) is not None:
            server = self.server
            server.mailbox.post(Comm(server.mailbox, (server.on_call_stopped, None)), server.master)
            self._again()

    def _again(self) -> None:
        """The calls have changed: the actor looks anew how long to sleep."""
        maestro = self.server.maestro
        if self.clock is not None:
            if not self.asleep:
                return  # it will, when its message has been sent
            maestro.kill(self.clock)
            self.clock = None
        if self.calls:
            self.clock = maestro.create(self._script(), self.server.master)

    def _script(self) -> Script:
        server = self.server
        while self.calls:
            periods = sorted({period for period, _ in self.calls.values()})
            shortest, whole = periods[0], math.lcm(*periods)
            at = math.fmod(server.engine.now * 1e3, whole)
            wait = shortest - math.fmod(at, shortest)
            instant = (int(at) // shortest + 1) * shortest
            self.asleep = True
            yield server.maestro.sleep(wait * 1e-3)
            self.asleep = False
            yield None  # the wait for a message is given up: whoever wakes now as well speaks first
            due = []
            for name in sorted(self.calls):
                period, left = self.calls[name]
                if instant % period == 0:
                    due.append((name, left == 1))
                    if left == 1:
                        del self.calls[name]
                    elif left is not None:
                        self.calls[name] = period, left - 1
            yield server.mailbox.send((server.on_periodic, due))
        self.clock = None
