"""The server's knowledge of profiles, allocations and messages: what becomes which work on which hosts."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batfs._core.desk import Desk, KnownWorkload, SimJob, Task
from batfs._core.flows import Flows
from batfs.errors import InputError, nearest
from batfs.platform import Machine
from batfs.simulator.profiles import IoTask, demand_of, pfs_demand
from batfs.simulator.work import Demand, Way, Work, Workshop
from batfs.workload.model import (
    HOMOGENEOUS,
    Composed,
    DataStaging,
    IoProfile,
    Parallel,
    ParallelHomogeneousPfs,
    ParallelHomogeneousTotal,
    Profile,
    Workload,
)

if TYPE_CHECKING:
    from batfs.protocol import messages as m
    from batfs.simulator.engine import Engine
    from batfs.simulator.machines import Machines
    from batfs.simulator.options import SimulationOptions

KEPT_WORKS = 1024  # tasks whose use of resources is kept
MAX_WAYS = 1 << 17  # pairs of storages whose way is kept
LEAST_FLOPS = 1e-10  # up to so many flops a storage may be given


class Tasks(Desk):
    """What the server knows of work; :class:`batfs.simulator.server.Server` adds what happens when."""

    __slots__ = ("_last", "_works", "host_of", "is_compute", "machine", "workshop")
    machines: Machines
    options: SimulationOptions
    jobs: dict[str, SimJob]
    workloads: dict[str, KnownWorkload]
    ways: dict[tuple[int, int], Way]

    def __init__(self, engine: Engine, machine: Machine, workloads: Sequence[Workload]) -> None:
        super().__init__()
        self.engine = engine
        self.machine = machine
        platform = machine.platform
        gamma = float(platform.config.get("network/TCP-gamma", 4194304))
        self.workshop = Workshop(platform, gamma, gathering=engine.compiled)
        self.host_of = array("l", [r.host for r in machine.resources])
        self.is_compute = [r.role == "compute_node" for r in machine.resources]
        self.workloads = {
            w.name: KnownWorkload(w.name, w.profiles, w.removed_profiles, w.path) for w in workloads
        }
        self._works: dict[tuple[int, tuple[int, ...], tuple[int, ...] | None], tuple[Any, Work]] = {}
        self._last: tuple[Any, int, Demand] = None, 0, Demand(0, None)

    # ---- messages ----

    def message_rows(self, host: int) -> tuple[int, int, float, float]:
        """Rows, latency and bound of a message from ``host`` to the master: one byte.

        The rows are the caller's to keep: they are never given back.
        """
        master = self.machine.master
        if host == master:
            work = self.workshop.way(host, master).work(1.0)
        else:
            flows = Flows(array("l", [0]), array("l", [1]), array("d", [1.0]))
            work = self.workshop.work(Demand(2, None, flows=flows), array("l", [host, master]))
        first = self.engine.rows(*work.columns)
        return first, len(work.resources), work.latency, work.bound

    # ---- profiles ----

    def job(self, job_id: str, what: str) -> SimJob:
        """The job in memory; InputError when there is none (any more)."""
        found = self.jobs.get(job_id)
        if found is None:
            close = nearest(job_id, self.jobs) if len(self.jobs) < 10_000 else None
            raise InputError(
                f"{what}: the job {job_id!r} is not known: it was never submitted, or it ended and "
                "its end was "
                "reported",
                hint=f"did you mean {close!r}?" if close else None,
            )
        return found

    def child_profile(self, job: SimJob, name: str) -> Profile:
        """A child of a composed (or recv) profile of the workload file."""
        found: Profile | None = self.workloads[job.workload].profiles.get(name)
        if found is None:
            raise InputError(
                f"the job {job.job.id!r} needs the profile {name!r}, which is not in the workload file "
                f"{job.workload!r} (children of dynamic profiles are not resolved by Batsim)"
            )
        return found

    def register_profile(self, workload: str, name: str, profile: Profile | IoProfile, what: str) -> None:
        """Add a profile; its workload is made if need be, its name must be new."""
        known = self.workloads.get(workload)
        if known is None:
            known = self.workloads[workload] = KnownWorkload(workload, {}, (), "")
        if known.exists(name):
            raise InputError(f"{what}: the profile name {name!r} already exists in the workload {workload!r}")
        known.dynamic[name] = profile

    # ---- allocations ----

    def place(self, job: SimJob, decision: m.ExecuteJob) -> None:
        """Check an EXECUTE_JOB against machines and job, and note it in the job."""
        alloc = tuple(decision.alloc)
        machines = self.machines
        name = job.job.id
        if not alloc:
            raise InputError(f"EXECUTE_JOB of {name!r}: the allocation is empty")
        if alloc[0] < 0 or alloc[-1] >= machines.count:
            machines.check(alloc, f"EXECUTE_JOB of {name!r}")
        for i in alloc:
            if machines.away[i]:
                raise InputError(f"EXECUTE_JOB of {name!r}: machine {i} is unavailable")
        self._check_sharing(name, alloc)
        executors = len(alloc)
        if decision.mapping is not None:
            job.mapping = self._mapping(name, decision.mapping, executors)
            executors = len(job.mapping)
        if job.job.requested_nodes != executors:
            self._check_size(job, len(alloc), executors, decision.mapping is not None)
        if decision.io_job is not None:
            machines.check(decision.io_job.alloc, f"EXECUTE_JOB of {name!r}: additional_io_job")
        self.placed(job, alloc, decision)

    def _check_sharing(self, name: str, alloc: Sequence[int]) -> None:
        for i in alloc:
            if self.machines.busy[i] and not self.machines.shareable[i]:
                compute = self.is_compute[i]
                kind, flag = ("compute node", "--enable-compute-sharing") if compute else ("storage", "")
                if compute and self.options.compute_sharing:
                    kind, flag = "machine", ""
                host = self.machine.resources[i].name
                jobs = ", ".join(self.machines.jobs_on(i))
                raise InputError(
                    f"EXECUTE_JOB of {name!r}: {kind} {i} ({host!r}) is computing {jobs}, and "
                    "sharing is disabled",
                    hint=f"{flag} allows it" if flag else "leave out --disable-storage-sharing",
                )

    def _mapping(self, name: str, mapping: Mapping[int, int], size: int) -> tuple[int, ...]:
        if sorted(mapping) != list(range(len(mapping))):
            raise InputError(
                f"EXECUTE_JOB of {name!r}: the executors of 'mapping' must be 0, 1, 2, ... without gaps"
            )
        for executor, place in mapping.items():
            if not 0 <= place < size:
                raise InputError(
                    f"EXECUTE_JOB of {name!r}: 'mapping' puts executor {executor} on place {place} "
                    "of an allocation "
                    f"of {size} machines (places count from 0)"
                )
        return tuple(mapping[executor] for executor in range(len(mapping)))

    def _check_size(self, job: SimJob, size: int, executors: int, mapped: bool) -> None:
        if self._any_size(job, job.profile):
            return
        found = f"{executors} executors on {size} machines" if mapped else f"{size} machines"
        raise InputError(
            f"EXECUTE_JOB of {job.job.id!r}: the job requires {job.job.requested_nodes} machines, "
            f"{found} were given",
            hint=None if mapped else "several executors per machine need a 'mapping'",
        )

    def _any_size(self, job: SimJob, profile: Profile | IoProfile) -> bool:
        """Profiles of type _total (or composed of such) can be executed on any number of machines."""
        if isinstance(profile, Composed):
            children = [self.child_profile(job, name) for name in profile.sequence]
            return all(isinstance(child, ParallelHomogeneousTotal) for child in children)
        return isinstance(profile, ParallelHomogeneousTotal)

    # ---- work ----

    def io_task(self, job: SimJob) -> IoTask:
        """The job's additional I/O, its profile found."""
        io = job.io
        assert io is not None
        workload = self.workloads[job.workload]
        profile = workload.get(io.profile_name)  # an inline one was registered under its name
        assert profile is not None
        return IoTask(io.profile_name, io.alloc, profile, workload.profiles)

    def work_of(self, job: SimJob, task: Task, io: Any) -> Work:
        """The work of one parallel task of a job; its I/O as it came, if it came with an own profile."""
        profile: Any = task.profile
        if isinstance(profile, (ParallelHomogeneousPfs, DataStaging)):
            if io is not None:
                raise InputError(
                    f"the job {job.job.id!r} has an additional_io_job, which a task of type pfs or "
                    "data_staging can't take"
                )
            return self._storage_work(job, profile)
        if io is None:
            # the same task on the same machines comes again and again in some workloads
            key = (id(profile), job.alloc, job.mapping)
            known = self._works.get(key)
            if known is not None:
                return known[1]
            executors = self._executors(job)
            demand = self._demand(job, task, len(executors))
            self._check_flops(job, demand, job.alloc)
            work = self.workshop.work(demand, [self.host_of[i] for i in executors])
            if len(self._works) >= KEPT_WORKS:
                self._works.clear()
            self._works[key] = (profile, work)
            return work
        alloc: tuple[int, ...] = job.alloc
        if (
            self.workshop.gatherer is not None
            and type(io.profile) is IoProfile
            and type(profile) in HOMOGENEOUS
            and job.mapping is None
            and alloc[-1] < self.machine.nb_compute
        ):
            found = self.workshop.gatherer.beside(profile, alloc, io.profile, io.alloc, self.host_of)
            if found is not None:
                return found
        if not isinstance(io, IoTask):
            io = self.io_task(job)
        executors = self._executors(job)
        demand = self._demand(job, task, len(executors))
        more = io.demand()
        self._check_flops(job, demand, executors)
        self._check_flops(job, more, io.alloc)
        return self.workshop.merged(demand, executors, more, io.alloc, self.host_of)

    def _executors(self, job: SimJob) -> tuple[int, ...]:
        """The id of each executor."""
        return job.alloc if job.mapping is None else tuple([job.alloc[place] for place in job.mapping])

    def _demand(self, job: SimJob, task: Task, executors: int) -> Demand:
        profile: Any = task.profile
        before, size, demand = self._last
        if profile is before and executors == size:  # jobs of one profile often start together
            return demand
        if isinstance(profile, Parallel) and profile.size != executors:
            raise InputError(
                f"the job {job.job.id!r} executes the profile {task.name!r} for {profile.size} nodes on "
                f"{executors} executors"
            )
        demand = demand_of(profile, executors)
        self._last = profile, executors, demand
        return demand

    def _storage_work(self, job: SimJob, profile: ParallelHomogeneousPfs | DataStaging) -> Work:
        if isinstance(profile, DataStaging):
            ends = self._storage(job, profile.source, True), self._storage(job, profile.destination, True)
            source, destination = [self.host_of[i] for i in ends]
            if profile.size <= 0:
                return self.workshop.work(Demand(2, None), [source, destination])
            if len(self.ways) >= MAX_WAYS:
                self.ways.clear()
            way = self.ways[ends] = self.workshop.way(source, destination)
            return way.work(profile.size)
        executors = self._executors(job)
        ids = (*executors, self._storage(job, profile.label, False))
        on = [self.host_of[i] for i in ids]
        return self.workshop.work(pfs_demand(profile, len(executors)), on)

    def _check_flops(self, job: SimJob, demand: Demand, ids: Sequence[int]) -> None:
        """Only compute nodes compute. Batsim looks at the i-th allocated machine, whatever the mapping."""
        if not ids or (job.mapping is None and ids[-1] < self.machine.nb_compute):
            return
        flops = demand.each_flops()
        if flops is None:
            return
        for amount, i in zip(flops, ids, strict=False):
            if i >= self.machine.nb_compute and amount > LEAST_FLOPS:
                name = self.machine.resources[i].name
                raise InputError(
                    f"the job {job.job.id!r} assigns computation ({amount:g} flops) to the storage "
                    f"{i} ({name!r})"
                )

    def _storage(self, job: SimJob, label: str, staging: bool) -> int:
        """The id of the storage a label stands for."""
        mapping = job.storage_mapping
        found: int = -1 if mapping is None else mapping.get(label, -1)
        if 0 <= found < self.machines.count and not self.is_compute[found]:
            return found
        what = f"the job {job.job.id!r} needs the storage {label!r}"
        if mapping is None:
            if not staging and self.machine.nb_storage == 1:
                return self.machine.nb_compute
            if staging:
                raise InputError(f"{what} for data staging, but EXECUTE_JOB gave no storage_mapping")
            raise InputError(
                f"{what}, but EXECUTE_JOB gave no storage_mapping and the platform has "
                f"{self.machine.nb_storage} "
                "storages (with exactly one it would be that)"
            )
        if label not in mapping:
            raise InputError(
                f"{what}, but the storage_mapping has only {', '.join(map(repr, mapping)) or 'nothing'}"
            )
        self.machines.check((found,), f"{what}: storage_mapping")
        name = self.machine.resources[found].name
        raise InputError(f"{what}, but the storage_mapping points to the compute node {found} ({name!r})")
