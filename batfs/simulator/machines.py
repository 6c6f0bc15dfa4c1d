"""The machines' states as Batsim keeps them: who computes where, and for how long in which state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from batfs._core.desk import States
from batfs.errors import InputError
from batfs.platform import Machine

if TYPE_CHECKING:
    from batfs.simulator.options import SimulationOptions
    from batfs.simulator.outputs import Outputs


class Machines(States):
    """States of all machines.

    ``idle`` and ``computing`` count the machines that are available. ``idle`` starts at the number of compute
    nodes only, as in Batsim: storages that join an allocation drive it down.
    """

    def __init__(self, machine: Machine, options: SimulationOptions, outputs: Outputs) -> None:
        super().__init__(len(machine.resources))
        self.machine = machine
        self.hosts = [resource.host for resource in machine.resources]
        self.idle = machine.nb_compute
        self.tell, self.trace = outputs.machine_states, outputs.trace
        if options.storage_sharing:  # Batsim's test of "is a storage" is true of compute nodes as well
            for resource in machine.resources:
                self.shareable[resource.id] = options.compute_sharing or resource.role != "compute_node"

    def check(self, ids: Iterable[int], what: str) -> None:
        """InputError when an id is not a machine."""
        if isinstance(ids, tuple | list) and ids and min(ids) >= 0 and max(ids) < self.count:
            return
        for i in ids:
            if not 0 <= i < self.count:
                raise InputError(f"{what}: machine {i} doesn't exist; ids go from 0 to {self.count - 1}")

    def jobs_on(self, i: int) -> list[str]:
        """Ids of the jobs that compute on machine ``i``."""
        return sorted(name for name, job in self.running.items() if i in job.alloc)

    def set_available(self, ids: Sequence[int], now: float, available: bool) -> None:
        """An external event: only a state; running jobs go on.

        InputError when a machine is made what it is already, which Batsim aborts on.
        """
        self.leave_simple()
        for i in ids:
            if available != bool(self.away[i]):
                name = self.machine.resources[i].name
                word = "available" if available else "unavailable"
                raise InputError(f"machine_{word}: machine {i} ({name!r}) is {word} already")
            self.spend(i, now)
            change = 1 if available else -1
            self.away[i] = not available
            if self.busy[i]:
                self.computing += change
            else:
                self.idle += change
