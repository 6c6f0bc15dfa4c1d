"""When which resource fails and is back: a plan of faults on a machine, in the order of time.

A later fault of a resource takes the place of an earlier one: its end is then the later one's. Each random
process draws from a generator of its own, seeded by the run's seed, its place in the file and the resource's
name, so what else happens changes none of its times. It counts its next failure from when the resource is
back; a failure of what is down already is passed over.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from batfs.errors import unknown
from batfs.scheduling.faults.plan import BACK, DOWN, Fault, FaultPlan, RandomFaults

if TYPE_CHECKING:
    from batfs.platform import Machine


class Happening(NamedTuple):
    """At ``at`` seconds, ``resource`` (its id) is what ``fault`` says, until ``until`` as far as is known;
    or ``back``: then ``fault`` is what ends. ``follows``: it is what another fault has left."""

    at: float
    resource: int
    back: bool
    fault: Fault
    until: float
    follows: bool = False


class _Process:
    """The random faults of one resource."""

    def __init__(self, law: RandomFaults, seed: str) -> None:
        self._law = law
        self._rng = random.Random(seed)
        self._scale = law.mtbf / math.gamma(1.0 + 1.0 / law.shape)

    def next(self) -> float:
        """Seconds until the next failure."""
        if self._law.shape == 1.0:
            return self._rng.expovariate(1.0 / self._law.mtbf)
        return self._rng.weibullvariate(self._scale, self._law.shape)


class Timeline:
    """``nodes``, ``storages``: ids by name. InputError for a name that is none (with the place)."""

    def __init__(
        self, plan: FaultPlan, nodes: Mapping[str, int], storages: Mapping[str, int], seed: int
    ) -> None:
        self._heap: list[tuple[float, int, int, bool, Fault, _Process | None]] = []
        self._count = 0
        self._now: dict[int, tuple[int, Fault]] = {}  # what holds of each resource, and which entry said it
        self._processes: dict[int, list[tuple[_Process, Fault]]] = {}
        seed = seed if plan.seed is None else plan.seed
        for fault in plan.faults:
            for resource in resources_of(fault, nodes, storages).values():
                self._add(fault.at, resource, False, fault)
        for k, law in enumerate(plan.random):
            for name, resource in resources_of(law.fault, nodes, storages).items():
                process = _Process(law, f"{seed}/{k}/{name}")
                self._processes.setdefault(resource, []).append((process, law.fault))
                self._add(process.next(), resource, False, law.fault, process)

    @classmethod
    def on(cls, plan: FaultPlan, machine: Machine, seed: int) -> Timeline:
        """That of ``machine`` as its platform file has it."""
        nodes, storages = ({one.name: one.id for one in some} for some in (machine.compute, machine.storages))
        return cls(plan, nodes, storages, seed)

    @property
    def next_at(self) -> float:
        """When something happens next; infinite if nothing does."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> list[Happening]:
        """What has happened up to ``now``, in order; it has happened with that."""
        found: list[Happening] = []
        while self._heap and self._heap[0][0] <= now:
            at, count, resource, back, fault, process = heapq.heappop(self._heap)
            holds = self._now.get(resource)
            if back:
                if holds is not None and holds[0] == -count:
                    del self._now[resource]
                    found += [Happening(at, resource, True, fault, at), *self._after(at, resource, fault)]
                if process is not None:
                    self._add(at + process.next(), resource, False, fault, process)
            elif process is not None and holds is not None and holds[1].state == DOWN:
                self._add(at + process.next(), resource, False, fault, process)
            elif fault.state == BACK:
                if holds is not None:
                    del self._now[resource]
                    ended = holds[1]
                    found += [Happening(at, resource, True, ended, at), *self._after(at, resource, ended)]
            else:
                if holds is not None:
                    found.append(Happening(at, resource, True, holds[1], at))
                until = min(self._holds(at, count, resource, fault, process), self._said_back(resource))
                found.append(Happening(at, resource, False, fault, until))
        return found

    def _holds(
        self, at: float, count: int, resource: int, fault: Fault, process: _Process | None = None
    ) -> float:
        """The resource is what a fault says from ``at`` on; when that ends by itself."""
        self._now[resource] = count, fault
        until = at + fault.lasts
        if until < math.inf:
            self._add(until, resource, True, fault, process, -count)
        return until

    def _after(self, at: float, resource: int, ended: Fault) -> list[Happening]:
        """What a fault leaves."""
        if ended.then is None:
            return []
        self._count += 1
        until = self._holds(at, self._count, resource, ended.then)
        return [Happening(at, resource, False, ended.then, until, True)]

    def _said_back(self, resource: int) -> float:
        """When an entry says that the resource is back."""
        return min(
            (at for at, _, which, back, fault, _ in self._heap if which == resource and fault.state == BACK),
            default=math.inf,
        )

    def rebuilt(self, resource: int) -> bool:
        """A resource has been rebuilt: whether that ends its fault, as nothing else was said to."""
        holds = self._now.get(resource)
        if holds is None or not holds[1].rebuild or holds[1].lasts < math.inf:
            return False
        del self._now[resource]
        return True

    def returns(self, resource: int) -> bool:
        """Whether what holds of a resource ends some day."""
        return any(
            which == resource and (back or fault.state == BACK) for _, _, which, back, fault, _ in self._heap
        )

    def _add(
        self,
        at: float,
        resource: int,
        back: bool,
        fault: Fault,
        process: _Process | None = None,
        count: int | None = None,
    ) -> None:
        if count is None:
            self._count += 1
            count = self._count
        heapq.heappush(self._heap, (at, count, resource, back, fault, process))


def resources_of(fault: Fault, nodes: Mapping[str, int], storages: Mapping[str, int]) -> dict[str, int]:
    """Ids by name of what a fault's names mean, in the machine's order."""
    known = nodes if fault.node else storages
    found: set[str] = set()
    for name in fault.names:
        if name in known:
            found.add(name)
            continue
        some = [one for one in known if fnmatchcase(one, name)]
        if not some:
            error = unknown("node" if fault.node else "storage", name, known)
            place = f"{fault.place}.{'node' if fault.node else 'storage'}"
            raise error.at(place=place)
        found.update(some)
    return {name: resource for name, resource in known.items() if name in found}
