"""From profiles to demands: what each type of profile asks of n executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from batfs._core.arrays import np
from batfs._core.flows import Flows
from batfs.errors import InputError
from batfs.records import record
from batfs.simulator.work import Demand, dense_demand
from batfs.workload.model import (
    HOMOGENEOUS,
    Composed,
    DataStaging,
    Delay,
    IoProfile,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Recv,
    Send,
    Smpi,
    UsageTrace,
    of_each,
)

PARALLEL_TYPES: Final = (
    ParallelHomogeneous,
    Parallel,
    ParallelHomogeneousTotal,
    ParallelHomogeneousSpread,
    ParallelHomogeneousPfs,
    DataStaging,
)
TYPE_NAMES: Final[Mapping[type, str]] = {
    IoProfile: "parallel",
    Parallel: "parallel",
    ParallelHomogeneous: "parallel_homogeneous",
    ParallelHomogeneousTotal: "parallel_homogeneous_total",
    ParallelHomogeneousSpread: "parallel_homogeneous_spread",
    ParallelHomogeneousPfs: "parallel_homogeneous_pfs",
    DataStaging: "data_staging",
    Composed: "composed",
    Delay: "delay",
    Send: "send",
    Recv: "recv",
    UsageTrace: "usage_trace",
    Smpi: "smpi",
}


def demand_of(profile: Profile | IoProfile, executors: int) -> Demand:
    """The demand of a ``parallel`` or homogeneous profile on that many executors.

    A homogeneous profile with 0 flops has no flops at all, one with ``com`` 0 no matrix.
    InputError when a ``parallel`` profile is for another number of executors.
    """
    if isinstance(profile, HOMOGENEOUS):
        cpu, com = of_each(profile, executors)
        return Demand(executors, None, com, each=cpu)
    if isinstance(profile, IoProfile):
        demand = Demand(len(profile.resources()), profile.flops, flows=profile)
    else:
        assert isinstance(profile, Parallel)
        demand = dense_demand(*profile.numbers)
    if demand.size != executors:
        raise InputError(f"a parallel profile for {demand.size} nodes can't be executed on {executors}")
    return demand


def pfs_demand(profile: ParallelHomogeneousPfs, executors: int) -> Demand:
    """n executors and the storage as the last one: each reads from it and writes to it."""
    nodes = np.arange(executors)
    storage = np.full(executors, executors)
    read, written = profile.of_each(executors)
    sources, destinations, volumes = [], [], []
    if written > 0:
        sources.append(nodes)
        destinations.append(storage)
        volumes.append(np.full(executors, written))
    if read > 0:
        sources.append(storage)
        destinations.append(nodes)
        volumes.append(np.full(executors, read))
    if not volumes:
        return Demand(executors + 1, None)
    flows = Flows(np.concatenate(sources), np.concatenate(destinations), np.concatenate(volumes))
    return Demand(executors + 1, None, flows=flows)


@record(frozen=False)
class IoTask:
    """The I/O that goes with a job's task: resource ids, and the profile they execute.

    ``resolve`` finds the children of a composed profile by name.
    """

    name: str
    alloc: Sequence[int]
    profile: Profile | IoProfile
    profiles: Mapping[str, Profile]

    def children(self, job: object, name: str, composed: Composed) -> list[IoTask | None]:
        """Child i of the I/O goes with child i of the job, in every repetition."""
        mine = self.profile
        if not isinstance(mine, Composed):
            raise InputError(
                f"additional_io_job: the profile {self.name!r} is of type "
                f"{TYPE_NAMES[type(mine)]!r}, but the "
                f"job's profile {name!r} is composed; only a composed profile of the same length goes with it"
            )
        if len(mine.sequence) != len(composed.sequence):
            raise InputError(
                f"additional_io_job: the composed profile {self.name!r} has {len(mine.sequence)} "
                "children, the "
                f"job's profile {name!r} has {len(composed.sequence)}"
            )
        found: list[IoTask | None] = []
        for child in mine.sequence:
            if child not in self.profiles:
                raise InputError(
                    f"additional_io_job: the composed profile {self.name!r} refers to {child!r}, "
                    "which is not a "
                    "profile of the workload file"
                )
            found.append(IoTask(child, self.alloc, self.profiles[child], self.profiles))
        return found

    def demand(self) -> Demand:
        """What it asks of its ids; InputError for the types Batsim can't merge."""
        if type(self.profile) is IoProfile:
            return demand_of(self.profile, len(self.alloc))
        kind = TYPE_NAMES[type(self.profile)]
        if isinstance(self.profile, HOMOGENEOUS):
            if self.profile.com <= 0:
                raise InputError(
                    f"additional_io_job: the {kind} profile {self.name!r} has com = 0, so there is "
                    "no matrix to "
                    "merge with the job's (Batsim reads out of bounds here)"
                )
        elif isinstance(self.profile, (ParallelHomogeneousPfs, DataStaging)):
            raise InputError(
                f"additional_io_job: a profile of type {kind!r} ({self.name!r}) needs a storage "
                "mapping, which "
                "can't be given together with additional_io_job"
            )
        elif not isinstance(self.profile, Parallel):
            raise InputError(
                f"additional_io_job: the profile {self.name!r} is of type {kind!r}, expected parallel, "
                "parallel_homogeneous or parallel_homogeneous_total"
            )
        return demand_of(self.profile, len(self.alloc))
