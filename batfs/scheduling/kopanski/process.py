"""The decision process of the experiment: queue passes, and the lives of jobs as dynamic sub-jobs.

The jobs of the workload are rejected as far as the simulator is concerned; what runs are sub-jobs, registered
and executed in the same message. Run it with dynamic jobs enabled, on a machine with the burst-buffer nodes
and the parallel file system as storages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batfs._core.arrays import doubles
from batfs._core.nodes import positions
from batfs.errors import InputError
from batfs.protocol.messages import (
    Decision,
    Event,
    ExecuteJob,
    JobCompleted,
    JobSubmitted,
    Notification,
    Notify,
    RegisterJob,
    RegisterProfile,
    RejectJob,
    Reply,
    Request,
    Resource,
    SimulationBegins,
)
from batfs.scheduling.kopanski.layout import Layout
from batfs.scheduling.kopanski.life import Launch, Life, Step
from batfs.scheduling.kopanski.policies import Pass
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement
from batfs.workload.model import DataStaging, Job, Parallel, ParallelHomogeneous, Profile

SUB_JOBS = "sub"
"""The workload that the sub-jobs are registered in."""


@dataclass(slots=True)
class JobRecord:
    """What became of one job of the workload. ``sub_jobs`` are the full ids of all it sent."""

    job: BufferedJob
    placement: Placement
    started: float
    sub_jobs: list[str] = field(default_factory=list)
    failed: bool = False


Target: TypeAlias = "tuple[int | tuple[int, ...], list[int], dict[str, int] | None]"
"""Of a sub-job: the bytes it moves, where it runs, and where storages are; resources by Batsim's ids."""


@dataclass(slots=True)
class _Running:
    """A job's life, and where its sub-jobs run: the transfers of its pieces, the checkpoints of its nodes."""

    life: Life
    record: JobRecord
    nodes: list[int]
    moves: list[Target]
    checkpoints: list[Target]

    def targets(self, step: Step) -> list[Target]:
        match step:
            case Step.COMPUTE:
                return [((), self.nodes, None)]
            case Step.CHECKPOINT:
                return self.checkpoints
            case _:
                return self.moves


class KopanskiProcess:
    """A :class:`batfs.protocol.messages.DecisionProcess` with one of the paper's policies.

    ``records`` holds what became of every job that ran, in the order of their starts; ``rejected`` the ids of
    those the machine could never run.
    """

    def __init__(self, policy: Pass, layout: Layout | None = None) -> None:
        self.policy = policy
        self.layout = layout or Layout()
        self.state = ClusterState(self.layout)
        self.records: dict[str, JobRecord] = {}
        self.rejected: list[str] = []
        self._profiles: Mapping[str, Mapping[str, Profile]] = {}
        self._resources: dict[int, int] = {}
        self._pfs = -1
        self._pass_due = False
        self._all_submitted = False
        self._sub_jobs: dict[str, tuple[_Running, Step]] = {}
        self._decisions: list[Decision] = []

    def decide(self, request: Request) -> Reply:
        self._decisions = []
        for event in request.events:
            self._handle(event, request.now)
            if self._pass_due:
                self._pass(request.now)
        if self._all_submitted and not self.state.waiting and not self._sub_jobs:
            self._all_submitted = False
            self._decisions.append(Notify(request.now, "registration_finished"))
        return Reply(request.now, self._decisions)

    # ---- events -------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, JobCompleted):
            self._completed(event, now)
        elif isinstance(event, JobSubmitted):
            self._submitted(event, now)
        elif isinstance(event, SimulationBegins):
            self._begin(event)
        elif isinstance(event, Notification) and event.kind == "no_more_static_job_to_submit":
            self._all_submitted = True

    def _begin(self, event: SimulationBegins) -> None:
        if not event.dynamic_jobs:
            raise InputError("the sub-jobs of this scheduler need dynamic jobs", hint="--enable-dynamic-jobs")
        self._profiles = event.profiles
        compute, _ = _by_host_number(event.compute_resources)
        storage, others = _by_host_number(event.storage_resources)
        _check_hosts("compute node", compute, self.layout.node_hosts)
        _check_hosts("burst buffer", storage, self.layout.buffer_hosts)
        if len(others) != 1:
            names = ", ".join(resource.name for resource in others) or "none"
            raise InputError(f"one parallel file system expected beside the burst buffers, found {names}")
        self._pfs = others[0].id
        self._resources = {number: resource.id for number, resource in (compute | storage).items()}

    def _submitted(self, event: JobSubmitted, now: float) -> None:
        profile = event.profile
        if profile is None:
            profile = self._profiles[event.job.workload][event.job.profile]
        job = buffered_job(event.job, profile)
        if not self.state.admits(job):
            self.rejected.append(job.id)
            self._decisions.append(RejectJob(now, job.id))
            return
        self.state.waiting.append(job)
        self._pass_due = True

    def _completed(self, event: JobCompleted, now: float) -> None:
        running, step = self._sub_jobs.pop(event.job_id)
        life = running.life
        was_over = life.over
        launches = life.reported(step, event.state == "COMPLETED_SUCCESSFULLY", now)
        for launch in launches:
            self._launch(running, launch, now)
        self._pass_due = life.over and not was_over
        if self._pass_due:
            running.record.failed = life.failed
            self.state.end(life.job.id)

    # ---- decisions ----------------------------------------------------------------------------------------

    def _pass(self, now: float) -> None:
        self.policy(self.state, now)
        for job, placement in self.state.started:
            record = JobRecord(job, placement, now)
            self.records[job.id] = record
            running = self._running(job, placement, record, now)
            self._decisions.append(RejectJob(now, job.id))
            for launch in running.life.begin():
                self._launch(running, launch, now)
        self.state.started.clear()

    def _running(self, job: BufferedJob, placement: Placement, record: JobRecord, now: float) -> _Running:
        hosts, buffers = self.layout.node_hosts, self.layout.buffer_hosts
        nodes = [self._resources[hosts[k]] for k in positions(placement.nodes)]
        moves: list[Target] = []
        kept: list[list[tuple[int, int]]] = [[] for _ in nodes]
        for k, b, size in placement.pieces:
            buffer = self._resources[buffers[b]]
            moves.append((size, [buffer], {"pfs": self._pfs, "buffer": buffer}))
            kept[k].append((buffer, size))
        checkpoints: list[Target] = []
        for node, pieces in zip(nodes, kept, strict=True):
            # storages have higher ids than compute nodes: the order of the profile's hosts
            pieces.sort()
            sizes = tuple(size // 2 for _, size in pieces)
            checkpoints.append((sizes, [node, *(buffer for buffer, _ in pieces)], None))
        return _Running(Life(job, now, len(moves)), record, sorted(nodes), moves, checkpoints)

    def _launch(self, running: _Running, launch: Launch, now: float) -> None:
        step, walltime = launch.step, launch.walltime
        if walltime is not None:
            walltime = round(walltime, 6)  # what a message carries of it
        targets = running.targets(step)
        name = f"{running.life.job.id.partition('!')[2]}_{step.value}_{launch.number}"
        known: dict[object, str] = {}
        sub_jobs, decisions = running.record.sub_jobs, self._decisions
        for k, (what, alloc, mapping) in enumerate(targets):
            profile = known.get(what)
            if profile is None:  # registered once a launch; the first has the launch's name
                profile = known[what] = f"{name}_p{len(known)}" if known else name
                decisions.append(RegisterProfile(now, SUB_JOBS, profile, _profile(running.life, step, what)))
            sub_job = f"{SUB_JOBS}!{name}" if step is Step.COMPUTE else f"{SUB_JOBS}!{name}_{k}"
            self._sub_jobs[sub_job] = (running, step)
            sub_jobs.append(sub_job)
            decisions.append(RegisterJob(now, Job(sub_job, now, len(alloc), profile, walltime)))
            decisions.append(ExecuteJob(now, sub_job, alloc, None, mapping))


def _profile(life: Life, step: Step, what: Any) -> Profile:
    """What a sub-job of ``step`` does with these bytes, moved between the file system and a burst buffer."""
    match step:
        case Step.COMPUTE:
            return ParallelHomogeneous(life.job.cpu / life.phases, life.job.com)
        case Step.CHECKPOINT:
            return _checkpoint(what)
        case Step.STAGE_IN:
            return DataStaging(what, "pfs", "buffer")
        case Step.STAGE_OUT:
            return DataStaging(what, "buffer", "pfs")
        case _:  # a drain
            return DataStaging(what // 2, "buffer", "pfs")


def _checkpoint(sizes: Sequence[int]) -> Profile:
    """From a node to its burst buffers at once, which the bytes reach in proportion."""
    hosts = len(sizes) + 1
    com = doubles(hosts * hosts)
    for k, size in enumerate(sizes, start=1):
        com[k] = size
    return Parallel.read(doubles(hosts), com)


def buffered_job(job: Job, profile: Profile) -> BufferedJob:
    """The experiment's view of a Batsim job: ``parallel_homogeneous`` with ``bb``, its burst-buffer bytes per
    node; InputError for anything else."""
    place = f"profiles.{job.profile}"
    if not isinstance(profile, ParallelHomogeneous):
        raise InputError("expected a parallel_homogeneous profile", place=place)
    share = profile.extra.get("bb")
    if not isinstance(share, int) or isinstance(share, bool) or share < 0:
        raise InputError(f"bb = {share!r} is not a whole number of bytes per node", place=place)
    if job.walltime is None:
        raise InputError("no walltime, which these policies plan with", place=f"job {job.name}")
    return BufferedJob(
        job.id, job.submission_time, job.requested_nodes, job.walltime, profile.cpu, profile.com, share
    )


def _by_host_number(resources: Sequence[Resource]) -> tuple[dict[int, Resource], list[Resource]]:
    """Resources by the number their names end in, and those whose names don't."""
    numbered: dict[int, Resource] = {}
    others = []
    for resource in resources:
        match = re.search(r"(\d+)$", resource.name)
        if match:
            numbered[int(match[1])] = resource
        else:
            others.append(resource)
    return numbered, others


def _check_hosts(kind: str, found: Mapping[int, Resource], expected: Sequence[int]) -> None:
    missing = [number for number in expected if number not in found]
    if missing or len(found) != len(expected):
        surplus = sorted(set(found) - set(expected))
        raise InputError(
            f"the platform's {kind}s don't fit the layout: {len(found)} found, {len(expected)} expected",
            hint=f"missing numbers {missing[:5]}, unexpected {surplus[:5]}",
        )
