"""The machines' states as Batsim keeps them: who computes where, and for how long in which state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.platform import Machine

if TYPE_CHECKING:
    from batfs.simulator.jobs import SimJob
    from batfs.simulator.outputs import Outputs


class Machines:
    """States of all machines. A machine computes from its first job's start to its last job's end.

    ``idle`` starts at the number of compute nodes only, as in Batsim: storages that join an allocation
    drive it down.
    """

    def __init__(self, machine: Machine, outputs: Outputs) -> None:
        self.machine = machine
        self.outputs = outputs
        self.count = len(machine.resources)
        self.hosts = [resource.host for resource in machine.resources]
        self.busy: set[int] = set()
        self.extra: dict[int, int] = {}  # further jobs on machines that compute several
        self.unavailable: set[int] = set()
        self.running: dict[str, SimJob] = {}
        self.idle = machine.nb_compute
        self.computing = 0
        self.since = [0.0] * self.count
        self.time_idle = 0.0
        self.time_computing = 0.0
        self.time_unavailable = 0.0

    def check(self, ids: Iterable[int], what: str) -> None:
        """InputError when an id is not a machine."""
        for i in ids:
            if not 0 <= i < self.count:
                raise InputError(f"{what}: machine {i} doesn't exist; ids go from 0 to {self.count - 1}")

    def _spent(self, i: int, now: float) -> None:
        spent = now - self.since[i]
        if i in self.unavailable:
            self.time_unavailable += spent
        elif i in self.busy:
            self.time_computing += spent
        else:
            self.time_idle += spent
        self.since[i] = now

    def _all_spent(self, alloc: Sequence[int], now: float) -> float:
        """Seconds, over all these machines, since they last changed their state, which they do now."""
        since = self.since
        spent = len(alloc) * now - sum(map(since.__getitem__, alloc))
        for i in alloc:
            since[i] = now
        return spent

    def start(self, job: SimJob, now: float) -> None:
        """The job's machines start to compute."""
        alloc = job.alloc
        busy = self.busy
        if busy.isdisjoint(alloc) and not self.unavailable:
            self.time_idle += self._all_spent(alloc, now)
            busy.update(alloc)
            self.idle -= len(alloc)
            self.computing += len(alloc)
        else:
            for i in alloc:
                if i in busy:
                    self.extra[i] = self.extra.get(i, 0) + 1
                else:
                    self._spent(i, now)
                    busy.add(i)
                    self.idle -= 1
                    self.computing += 1
        self.running[job.job.id] = job
        self.outputs.machine_states(now, self.idle, self.computing)
        self.outputs.job_started(job, now)

    def end(self, job: SimJob, now: float) -> None:
        """The job's machines are done with it."""
        alloc = job.alloc
        busy = self.busy
        if not self.extra and not self.unavailable:
            self.time_computing += self._all_spent(alloc, now)
            busy.difference_update(alloc)
            self.idle += len(alloc)
            self.computing -= len(alloc)
        else:
            for i in alloc:
                others = self.extra.get(i, 0)
                if others > 1:
                    self.extra[i] = others - 1
                elif others == 1:
                    del self.extra[i]
                else:
                    self._spent(i, now)
                    busy.remove(i)
                    self.idle += 1
                    self.computing -= 1
        del self.running[job.job.id]
        self.outputs.machine_states(now, self.idle, self.computing)
        self.outputs.job_ended(job, now)

    def jobs_on(self, i: int) -> list[str]:
        """Ids of the jobs that compute on machine ``i``."""
        return sorted(name for name, job in self.running.items() if i in job.alloc)

    def set_available(self, ids: Sequence[int], now: float, available: bool) -> None:
        """An external event: only a state; running jobs go on (BATSIM.md E4)."""
        for i in ids:
            if available == (i in self.unavailable):
                self._spent(i, now)
            if available:
                self.unavailable.discard(i)
            else:
                self.unavailable.add(i)
