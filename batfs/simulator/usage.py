"""``usage_trace`` profiles: each rank replays its ``m_usage`` actions on its machine.

The profile's file lists one trace file per rank. A line ``RANK m_usage USAGE FLOPS`` computes FLOPS on
each of max(1, round(USAGE x cores)) cores of the rank's machine, with no bytes moved. The job ends with
its last rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batfs.errors import InputError
from batfs.simulator.actors import CANCELLED, Actor, Call, Flow, Script, Then
from batfs.simulator.work import Demand
from batfs.workload.model import UsageTrace

if TYPE_CHECKING:
    from batfs.simulator.jobs import Budget, SimJob, Task
    from batfs.simulator.server import Server

Action = tuple[float, float]  # usage from 0 to 1, flops


def read_trace(path: Path) -> list[list[Action]]:
    """The actions of each rank. InputError, with file and line, for whatever can't be read."""
    try:
        names = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the list of traces: {error}", file=path) from None
    return [_read_rank(path.parent / name.strip()) for name in names if name.strip()]


def _read_rank(path: Path) -> list[Action]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the trace: {error}", file=path) from None
    actions = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if len(words) != 4 or words[1] != "m_usage":
                raise ValueError
            usage, flops = float(words[2]), float(words[3])
            if not (0.0 <= usage <= 1.0 and 0.0 <= flops < float("inf")):
                raise ValueError
        except ValueError:
            raise InputError(
                f"found {line.strip()!r}, expected 'RANK m_usage USAGE FLOPS' with a usage from 0 to 1",
                file=path,
                place=f"line {number}",
            ) from None
        actions.append((usage, flops))
    return actions


class _Ranks:
    """The ranks of one job: how many still run, and who waits for them."""

    def __init__(self, server: Server, running: int) -> None:
        self.server = server
        self.running = running
        self.actors: list[Actor] = []
        self.waiter: Actor | None = None
        self.timer = -1
        self.timed_out = False

    def wait_for(self, timeout: float) -> Call:
        """The call that waits for all ranks, or ``timeout`` seconds when that is not negative."""

        def call(actor: Actor) -> None:
            if self.running == 0:
                self.server.maestro.ready.append(actor)
                return
            self.waiter = actor
            actor.blocked_on = self
            if timeout >= 0.0:
                self.timer = self.server.engine.add_timer(timeout, self)

        return Then(call)

    def _wake(self) -> None:
        actor = self.waiter
        if actor is not None:
            self.waiter = None
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


def replay(server: Server, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
    """Run all ranks; rank r is on machine r modulo the size of the allocation (or of the mapping)."""
    path = Path(server.workloads[job.workload].path).parent / profile.trace
    traces = read_trace(path)
    machines = job.alloc if job.mapping is None else tuple(job.alloc[place] for place in job.mapping)
    before = server.engine.now
    ranks = _Ranks(server, len(traces))
    for rank, actions in enumerate(traces):
        host = server.machines.hosts[machines[rank % len(machines)]]

        def create(actor: Actor, actions: list[Action] = actions, host: int = host) -> None:
            ranks.actors.append(server.maestro.create(_rank(server, host, actions, ranks), host))
            server.maestro.ready.append(actor)

        yield Then(create)
    yield ranks.wait_for(budget.left)
    if ranks.timed_out:
        ranks.stop()
    if budget.left >= 0.0:
        budget.left -= server.engine.now - before
    return -1 if ranks.timed_out else profile.ret


def _rank(server: Server, host: int, actions: list[Action], ranks: _Ranks) -> Script:
    cores = server.machine.platform.hosts[host].cores
    for usage, flops in actions:
        count = max(int(usage * cores + 0.5), 1)
        demand = Demand(count, np.full(count, flops))
        work = server.workshop.work(demand, np.full(count, host))
        flow = Flow(server.maestro, work, owned=True)
        outcome = yield flow
        if outcome == CANCELLED:
            break
    ranks.rank_ended()
