"""The machines' states as Batsim keeps them: who computes where, and for how long in which state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batfs._core.desk import States
from batfs.errors import InputError
from batfs.platform import Machine

if TYPE_CHECKING:
    from batfs.simulator.outputs import Outputs


class Machines(States):
    """States of all machines.

    ``idle`` and ``computing`` count the machines that are available. ``idle`` starts at the number of compute
    nodes only, as in Batsim: storages that join an allocation drive it down.
    """

    def __init__(self, machine: Machine, outputs: Outputs) -> None:
        super().__init__(len(machine.resources))
        self.machine = machine
        self.hosts = [resource.host for resource in machine.resources]
        self.extra: dict[int, int] = {}  # further jobs on machines that compute several
        self.unavailable: set[int] = set()
        self.idle = machine.nb_compute
        self.tell, self.trace = outputs.machine_states, outputs.trace
        self._time_idle = 0.0
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
        if not self.simple:
            return self._time_idle
        # what each did until it last stopped to compute was to compute or to be idle
        since = self.since
        idle: float = sum(since) - self.time_computing
        for job in self.running.values():
            idle += sum(job.start - since[i] for i in job.alloc)
        return idle

    def _leave_simple(self) -> None:
        """From now on each change of state is told by :meth:`_spent`."""
        self._time_idle = self.time_idle
        self.simple = False
        for job in self.running.values():
            for i in job.alloc:
                self.since[i] = job.start

    def _spent(self, i: int, now: float) -> None:
        spent = now - self.since[i]
        if i in self.unavailable:
            self.time_unavailable += spent
        elif self.busy[i]:
            self.time_computing += spent
        else:
            self._time_idle += spent
        self.since[i] = now

    def start_shared(self, alloc: Sequence[int], now: float) -> None:
        if self.simple:
            self._leave_simple()
        for i in alloc:
            self._spent(i, now)
            if self.busy[i]:
                self.extra[i] = self.extra.get(i, 0) + 1
            else:
                self.busy[i] = 1
                self.idle -= 1
                self.computing += 1

    def end_shared(self, alloc: Sequence[int], now: float) -> tuple[int, ...]:
        freed: tuple[int, ...] = ()
        for i in alloc:
            others = self.extra.get(i, 0)
            if others > 1:
                self.extra[i] = others - 1
            elif others == 1:
                del self.extra[i]
            elif i in self.unavailable:
                self.busy[i] = 0
            else:
                self._spent(i, now)
                self.busy[i] = 0
                self.idle += 1
                self.computing -= 1
                freed += (i,)
        return freed

    def jobs_on(self, i: int) -> list[str]:
        """Ids of the jobs that compute on machine ``i``."""
        return sorted(name for name, job in self.running.items() if i in job.alloc)

    def set_available(self, ids: Sequence[int], now: float, available: bool) -> None:
        """An external event: only a state; running jobs go on.

        InputError when a machine is made what it is already, which Batsim aborts on.
        """
        if self.simple:
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
            if self.busy[i]:
                self.computing += change
            else:
                self.idle += change
