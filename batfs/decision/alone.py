"""How long a job's task would take alone: what its I/O slowdown is measured against.

The task is the job's computation and its I/O merged, on the very nodes and storages it was given, on an
otherwise empty machine. With nothing to share, the fluid model gives

    latency + 1 / min(bound, min over resources of capacity / weight)

which is what the simulator computes for a job that meets nobody. Only tasks of one activity have such a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

from batfs.platform import Machine, Platform
from batfs.scheduling.observer import JobRecord
from batfs.simulator.profiles import demand_of
from batfs.simulator.work import Work, Workshop
from batfs.workload.model import (
    HOMOGENEOUS,
    Homogeneous,
    IoProfile,
    Parallel,
)

Single: TypeAlias = Parallel | Homogeneous
_SINGLE = (Parallel, *HOMOGENEOUS)


class AloneClock:
    """Times tasks on one machine."""

    def __init__(self, platform: Platform, machine: Machine) -> None:
        self._platform = platform
        hosts = [host.cores * host.speed for host in platform.hosts]
        self._capacity = [*hosts, *(link.bandwidth for link in platform.links)]
        self._host_of = array("l", [resource.host for resource in machine.resources])
        self._noted: dict[str, float] = {}

    @cached_property
    def _workshop(self) -> Workshop:
        return Workshop(self._platform, float(self._platform.config.get("network/TCP-gamma", 4194304)))

    def io_work(self, io: IoProfile) -> Work:
        """What I/O needs as a task of its own."""
        ids = io.resources()
        return self._workshop.work(demand_of(io, len(ids)), self._hosts(ids))

    def _hosts(self, ids: Sequence[int]) -> array[int]:
        return array("l", [self._host_of[i] for i in ids])

    def work(self, profile: Single, nodes: Sequence[int], io: IoProfile | None) -> Work:
        """What a computation needs, merged with that I/O."""
        ids = tuple(nodes)
        demand = demand_of(profile, len(ids))
        if io is None:
            return self._workshop.work(demand, self._hosts(ids))
        more = io.resources()
        return self._workshop.merged(demand, ids, demand_of(io, len(more)), more, self._host_of)

    def note(self, job_id: str, work: Work) -> None:
        """A simulator of ours has started a task: it has worked out already what :meth:`seconds` needs."""
        self._noted[job_id] = work.alone(self._capacity)

    def noted(self, record: JobRecord) -> float | None:
        """:meth:`seconds` of a job whose task was noted; forgets it."""
        seconds = self._noted.pop(record.job.id, None)
        return seconds if isinstance(record.profile, _SINGLE) else None

    def seconds(self, record: JobRecord) -> float | None:
        """Seconds the job's task takes alone; None for a job without I/O of its own or of several phases."""
        profile, io = record.profile, record.io
        if io is None or not record.ids or not isinstance(profile, _SINGLE):
            return None
        return self.work(profile, record.ids, io).alone(self._capacity)
