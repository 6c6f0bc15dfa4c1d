"""Who executes what in Batsim 5: executors on hosts, storages by label, children by name.

There are no checks of sharing, sizes or permissions any more: a rigid task wants its number of executors, and
everything else takes what it gets.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batfs._core.desk import KnownWorkload, SimJob, Task
from batfs.errors import InputError
from batfs.protocol.messages import ExecuteJob, Placement
from batfs.resource_sets import format_resources
from batfs.simulator.profiles import demand_of, pfs_demand
from batfs.simulator.tasks import KEPT_WORKS, Tasks
from batfs.simulator.work import Demand, Work
from batfs.workload.model import (
    HOMOGENEOUS,
    Composed,
    DataStaging,
    IoProfile,
    Parallel,
    ParallelHomogeneousPfs,
    Profile,
    Smpi,
    UsageTrace,
)

RIGID = (Parallel, Smpi, DataStaging)


class Placing(Tasks):
    """The part of Batsim 5's server that knows what runs where."""

    __slots__ = ()

    # ---- names ----

    def known_workload(self, name: str) -> KnownWorkload:
        """A workload; the first job or profile that names it makes it."""
        found = self.workloads.get(name)
        if found is None:
            found = self.workloads[name] = KnownWorkload(name, {}, (), "")
        return found

    def find_profile(self, name: str, workload: str, what: str) -> tuple[str, Profile | IoProfile]:
        """(its workload, the profile) of a name, full or within ``workload``. InputError if there is none."""
        home, mark, local = name.rpartition("!")
        home = home if mark else workload
        known = self.workloads.get(home)
        if known is None:
            raise InputError(f"{what}: the workload {home!r} of the profile {name!r} doesn't exist")
        found = known.get(local)
        if found is None:
            gone = known.exists(local)
            why = "is no longer there: the last job that used it has ended" if gone else "doesn't exist"
            hint = "profile_reuse in the hello keeps profiles" if gone else None
            raise InputError(f"{what}: the profile '{home}!{local}' {why}", hint=hint)
        return home, found

    def child_profile(self, job: SimJob, name: str) -> Profile:
        """A child of a job's sequence. It was there when the sequence was registered and lives as long."""
        home, mark, local = name.rpartition("!")
        known = self.workloads[home if mark else job.workload]
        found: Profile | IoProfile | None = (
            known.profiles.get(local) or known.dynamic.get(local) or known.past.get(local)
        )
        if found is None or isinstance(found, IoProfile):
            raise InputError(f"the job {job.job.id!r} needs the profile {name!r}, which doesn't exist")
        return found

    def full_name(self, job: SimJob, task: Task) -> str:
        """The name of a task's profile, with its workload."""
        name = task.name
        return name if "!" in name else f"{job.workload}!{name}"

    # ---- allocations ----

    def place(self, job: SimJob, decision: ExecuteJob) -> None:
        """Check an allocation against the machines, and note it in the job."""
        what = f"ExecuteJobEvent of {job.job.id!r}"
        alloc = tuple(decision.alloc)
        if not alloc:
            raise InputError(f"{what}: the allocation is empty")
        self.machines.check(alloc, what)
        for one in (decision.overrides or {}).values():
            self.machines.check(one.alloc, f"{what}: profile_allocation_override")
        job.alloc = alloc
        job.alloc_text = format_resources(alloc)
        job.storage_mapping = decision.storage_mapping
        job.execution = decision

    def _placement(self, job: SimJob, task: Task) -> ExecuteJob | Placement:
        decision: ExecuteJob = job.execution
        if decision.overrides:
            return decision.overrides.get(self.full_name(job, task), decision)
        return decision

    def _ids(self, job: SimJob, task: Task, placed: ExecuteJob | Placement, executors: int) -> list[int]:
        """The machine of each executor."""
        what = f"the job {job.job.id!r} can't execute the profile {self.full_name(job, task)!r}"
        alloc, mapping = placed.alloc, placed.mapping
        if not alloc:
            raise InputError(f"{what}: the allocation is empty")
        if executors == 0:
            raise InputError(f"{what}: it has no executors, since the job asks for 0 resources")
        if mapping is not None:
            if len(mapping) != executors:
                raise InputError(f"{what}: the mapping places {len(mapping)} executors, it has {executors}")
            for executor, place in mapping.items():
                if place >= len(alloc):
                    raise InputError(
                        f"{what}: the mapping puts executor {executor} on host {place} of an allocation of "
                        f"{len(alloc)} (they count from 0)"
                    )
            return [alloc[mapping[executor]] for executor in range(executors)]
        slots: Sequence[int] = alloc
        if placed.fill_cores:
            hosts = self.machine.platform.hosts
            slots = [i for i in alloc for _ in range(hosts[self.machines.hosts[i]].cores)]
        return [slots[k % len(slots)] for k in range(executors)]

    def _executors_of(self, job: SimJob, task: Task) -> list[int]:
        placed = self._placement(job, task)
        count = job.job.requested_nodes
        if placed.mapping is not None and not isinstance(task.profile, RIGID):
            count = len(placed.mapping)
        return self._ids(job, task, placed, count)

    # ---- work ----

    def work_of(self, job: SimJob, task: Task, io: object) -> Work:
        """The work of one parallel task of a job."""
        profile: Any = task.profile
        if isinstance(profile, DataStaging):
            return self._staging(job, profile)
        ids = self._executors_of(job, task)
        if isinstance(profile, ParallelHomogeneousPfs):
            storage = self._labelled(job, profile.label)
            return self._work(pfs_demand(profile, len(ids)), [*ids, storage])
        key = (id(profile), tuple(ids), None)
        found = self._works.get(key)
        if found is not None:
            return found[1]
        if isinstance(profile, Parallel) and profile.size != len(ids):
            raise InputError(
                f"the job {job.job.id!r} executes the profile {self.full_name(job, task)!r} for "
                f"{profile.size} executors, but asks for {len(ids)}"
            )
        if isinstance(profile, HOMOGENEOUS) and len(ids) == 1 and not profile.cpu > 0:
            raise InputError(
                f"the job {job.job.id!r} executes the profile {self.full_name(job, task)!r}, a homogeneous "
                "task without flops, on one host: Batsim can't start it"
            )
        demand = demand_of(profile, len(ids))
        work = self._work(demand, ids, f"the job {job.job.id!r}")
        if len(self._works) >= KEPT_WORKS:
            self._works.clear()
        self._works[key] = (profile, work)
        return work

    def _work(self, demand: Demand, ids: Sequence[int], whose: str = "") -> Work:
        if demand.flops is not None:
            hosts = self.machine.platform.hosts
            for flops, i in zip(demand.flops.tolist(), ids, strict=True):
                host = hosts[self.machines.hosts[i]]
                if flops > 0 and host.speed <= 0:
                    raise InputError(
                        f"{whose} computes {flops:g} flops on the machine {i} ({host.name!r}), whose speed "
                        "is 0: it would never end"
                    )
        return self.workshop.work(demand, array("l", [self.host_of[i] for i in ids]))

    def _staging(self, job: SimJob, profile: DataStaging) -> Work:
        ends = [self._labelled(job, label) for label in (profile.source, profile.destination)]
        if profile.size > 0:
            raise InputError(
                f"the job {job.job.id!r} executes a ParallelTaskDataStagingBetweenStoragesProfile, which "
                "aborts Batsim 5.0.0-rc2",
                hint="a ParallelTaskProfile of two executors moves data too",
            )
        return self._work(Demand(2, None), ends)

    def _labelled(self, job: SimJob, label: str) -> int:
        """The id of the storage a label stands for: the placed one, else the host of that name."""
        what = f"the job {job.job.id!r} needs the storage {label!r}"
        mapping: Mapping[str, int] = job.storage_mapping or {}
        if label in mapping:
            found = mapping[label]
            self.machines.check((found,), f"{what}: storage_placement")
        else:
            resource = self.machine.by_name.get(label)
            if resource is None:
                known = ", ".join(repr(name) for name in mapping) or "nothing"
                raise InputError(
                    f"{what}, but no host has that name and storage_placement of ExecuteJobEvent says where "
                    f"{known} is"
                )
            found = resource.id
        if self.is_compute[found]:
            name = self.machine.resources[found].name
            raise InputError(f"{what}, which stands for {found} ({name!r}): that is a compute node")
        return found

    # ---- traces ----

    def trace_path(self, job: SimJob, task: Task, profile: UsageTrace) -> Path:
        """Beside the workload for a profile of its file, else from where batfs was started."""
        known = self.workloads[job.workload]
        of_file = known.profiles.get(task.name.rpartition("!")[2]) is profile
        return Path(known.path).parent / profile.trace if of_file else Path(profile.trace)

    def rank_machines(self, job: SimJob, task: Task, ranks: int) -> Sequence[int]:
        placed = self._placement(job, task)
        ids = self._ids(job, task, placed, ranks)
        if len(set(ids)) != len(ids):
            raise InputError(
                f"the job {job.job.id!r} replays {ranks} traces, which need as many different hosts; found "
                f"{len(set(ids))}"
            )
        return ids

    # ---- progress ----

    def progress(self, job: SimJob, task: Task) -> dict[str, Any]:
        """The wrapper of a kill progress."""
        name = self.full_name(job, task)
        profile = task.profile
        if isinstance(profile, UsageTrace):
            raise InputError(
                f"KillJobsEvent: the job {job.job.id!r} replays a trace, which Batsim 5.0.0-rc2 can't kill"
            )
        if not isinstance(profile, Composed):
            share = {"profile_id": name, "progress": task.share(self.engine.now)}
            return {"kill_progress_type": "KillProgressAtomicProfile", "kill_progress": share}
        repetition, index = divmod(max(task.index, 0), len(profile.sequence))
        found: dict[str, Any] = {
            "profile_id": name,
            "current_repetition": repetition,
            "current_task_index": index,
        }
        if task.child is not None:
            found["current_task_progress"] = self.progress(job, task.child)
        return {"kill_progress_type": "KillProgressSequentialProfile", "kill_progress": found}
