"""The machines' states as Batsim keeps them: who computes where, and for how long in which state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batfs._core.nodes import States
from batfs.errors import InputError
from batfs.platform import Machine

if TYPE_CHECKING:
    from batfs.simulator.jobs import SimJob
    from batfs.simulator.outputs import Outputs


class Machines:
    """States of all machines. A machine computes from its first job's start to its last job's end.

    ``idle`` and ``computing`` count the machines that are available. ``idle`` starts at the number of compute
    nodes only, as in Batsim: storages that join an allocation drive it down.
    """

    def __init__(self, machine: Machine, outputs: Outputs) -> None:
        self.machine = machine
        self.outputs = outputs
        self.count = len(machine.resources)
        self.hosts = [resource.host for resource in machine.resources]
        #: Who computes; and when each last changed its state, or, while `_simple`, last stopped to compute.
        self.states = States(self.count)
        self.extra: dict[int, int] = {}  # further jobs on machines that compute several
        self.unavailable: set[int] = set()
        self.running: dict[str, SimJob] = {}
        self.idle = machine.nb_compute
        self.computing = 0
        self._simple = True  # no machine has been shared or unavailable yet
        self._time_idle = 0.0
        self.time_computing = 0.0
        self.time_unavailable = 0.0

    def check(self, ids: Iterable[int], what: str) -> None:
        """InputError when an id is not a machine."""
        if isinstance(ids, tuple | list) and ids and min(ids) >= 0 and max(ids) < self.count:
            return
        for i in ids:
            if not 0 <= i < self.count:
                raise InputError(f"{what}: machine {i} doesn't exist; ids go from 0 to {self.count - 1}")

    @property
    def time_idle(self) -> float:
        """Seconds, over all machines, until each last changed its state."""
        if not self._simple:
            return self._time_idle
        # what each did until it last stopped to compute was to compute or to be idle
        since = self.states.since
        idle: float = sum(since) - self.time_computing
        for job in self.running.values():
            idle += sum(job.start - since[i] for i in job.alloc)
        return idle

    def _leave_simple(self) -> None:
        """From now on each change of state is told by :meth:`_spent`."""
        self._time_idle = self.time_idle
        self._simple = False
        for job in self.running.values():
            for i in job.alloc:
                self.states.since[i] = job.start

    def _spent(self, i: int, now: float) -> None:
        spent = now - self.states.since[i]
        if i in self.unavailable:
            self.time_unavailable += spent
        elif self.states.busy[i]:
            self.time_computing += spent
        else:
            self._time_idle += spent
        self.states.since[i] = now

    def start(self, job: SimJob, now: float) -> None:
        """The job's machines start to compute, at ``job.start``, which is now."""
        alloc, busy = job.alloc, self.states.busy
        if self._simple and self.states.are_idle(alloc):
            self.states.compute(alloc)
            self.idle -= len(alloc)
            self.computing += len(alloc)
        else:
            if self._simple:
                self._leave_simple()
            for i in alloc:
                self._spent(i, now)
                if busy[i]:
                    self.extra[i] = self.extra.get(i, 0) + 1
                else:
                    busy[i] = 1
                    self.idle -= 1
                    self.computing += 1
        self.running[job.job.id] = job
        self.outputs.machine_states(now, self.idle, self.computing)
        self.outputs.job_started(job, now)

    def end(self, job: SimJob, now: float) -> None:
        """The job's machines are done with it. One that is unavailable stays so."""
        alloc = freed = job.alloc
        busy = self.states.busy
        if self._simple:
            size = len(alloc)
            self.time_computing += size * (now - job.start)
            self.states.stop(alloc, now)
            self.idle += size
            self.computing -= size
        else:
            freed = ()
            for i in alloc:
                others = self.extra.get(i, 0)
                if others > 1:
                    self.extra[i] = others - 1
                elif others == 1:
                    del self.extra[i]
                elif i in self.unavailable:
                    busy[i] = 0
                else:
                    self._spent(i, now)
                    busy[i] = 0
                    self.idle += 1
                    self.computing -= 1
                    freed += (i,)
        del self.running[job.job.id]
        self.outputs.machine_states(now, self.idle, self.computing)
        if freed:
            self.outputs.machines_idle(freed, now)

    def jobs_on(self, i: int) -> list[str]:
        """Ids of the jobs that compute on machine ``i``."""
        return sorted(name for name, job in self.running.items() if i in job.alloc)

    def set_available(self, ids: Sequence[int], now: float, available: bool) -> None:
        """An external event: only a state; running jobs go on.

        InputError when a machine is made what it is already, which Batsim aborts on.
        """
        if self._simple:
            self._leave_simple()
        for i in ids:
            if available != (i in self.unavailable):
                name = self.machine.resources[i].name
                word = "available" if available else "unavailable"
                raise InputError(f"machine_{word}: machine {i} ({name!r}) is {word} already")
            self._spent(i, now)
            change = 1 if available else -1
            if available:
                self.unavailable.remove(i)
            else:
                self.unavailable.add(i)
            if self.states.busy[i]:
                self.computing += change
            else:
                self.idle += change
