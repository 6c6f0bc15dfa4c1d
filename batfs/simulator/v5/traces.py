"""Replays of usage traces in Batsim 5: the ranks tell their ends by a semaphore, which takes no time.

In Batsim 4 they send messages; what a trace's lines mean is the same (``batfs.simulator.usage``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batfs._core.arrays import doubles, integers
from batfs.simulator.actors import CANCELLED, Actor, Call, Flow, Script, Then
from batfs.simulator.usage import Action, read_trace
from batfs.simulator.work import Demand
from batfs.workload.model import UsageTrace

if TYPE_CHECKING:
    from batfs._core.desk import SimJob, Task
    from batfs.simulator.jobs import Budget
    from batfs.simulator.v5.server import Server5


class _Ranks(Call):
    """The ranks of one job: how many still run, and who waits for them, ``timeout`` seconds if that isn't
    negative."""

    def __init__(self, server: Server5, running: int, timeout: float) -> None:
        self.server = server
        self.running = running
        self.timeout = timeout
        self.actors: list[Actor] = []
        self.waiter: Actor | None = None
        self.timer = -1
        self.timed_out = False

    def serve(self, actor: Actor, step: int) -> int:
        self.serve_all(actor)
        return 0

    def serve_all(self, actor: Actor) -> None:
        if self.running == 0:
            self.server.maestro.ready.append(actor)
            return
        self.waiter = actor
        actor.blocked_on = self
        if self.timeout >= 0.0:
            self.timer = self.server.engine.add_timer(self.timeout, self)

    def _wake(self) -> None:
        actor, self.waiter = self.waiter, None
        if actor is not None:
            actor.blocked_on = None
            self.server.maestro.ready.append(actor)

    def rank_ended(self) -> None:
        self.running -= 1
        if self.running == 0:
            self._drop_timer()
            self._wake()

    def _drop_timer(self) -> None:
        engine = self.server.engine
        if self.timer >= 0 and engine.owners[self.timer] is self:
            engine.remove(self.timer)
        self.timer = -1

    def end(self) -> None:
        """The timer ran out."""
        self.timed_out = True
        self._wake()

    def abandon(self, engine: Any) -> None:
        """The job was killed."""
        self.waiter = None
        self._drop_timer()
        self.stop()

    def stop(self) -> None:
        for actor in self.actors:
            self.server.maestro.kill(actor)


def replay(server: Server5, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
    """Run all ranks, each on a machine of its own, and wait for the last of them."""
    traces = read_trace(server.trace_path(job, task, profile))
    machines = server.rank_machines(job, task, len(traces))
    before = server.engine.now
    ranks = _Ranks(server, len(traces), budget.left)
    for actions, machine in zip(traces, machines, strict=True):
        host = server.machines.hosts[machine]

        def create(actor: Actor, actions: list[Action] = actions, host: int = host) -> None:
            ranks.actors.append(server.maestro.create(_rank(server, host, actions, ranks), host))
            server.maestro.ready.append(actor)

        yield Then(create)
    yield ranks
    if ranks.timed_out:
        ranks.stop()
    if budget.left >= 0.0:
        budget.left -= server.engine.now - before
    return -1 if ranks.timed_out else profile.ret


def _rank(server: Server5, host: int, actions: list[Action], ranks: _Ranks) -> Script:
    cores = server.machine.platform.hosts[host].cores
    for usage, flops in actions:
        count = max(int(usage * cores + 0.5), 1)
        work = server.workshop.work(Demand(count, doubles(count, flops)), integers(count, host))
        outcome = yield Flow(server.maestro, work, owned=True)
        if outcome == CANCELLED:
            break
    ranks.rank_ended()
