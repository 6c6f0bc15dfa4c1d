"""Kopanski & Rzadca 2021 from end to end: its platform, its workloads, its policies, its figures.

Each run puts the authors' scheduler (``batfs.scheduling.kopanski``) on our simulator, with the settings under
which the artifact's own runs were made again, and reads the figures off the sub-jobs' times.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from batfs._core.nodes import positions
from batfs.errors import InputError, unknown
from batfs.platform import Machine, Platform, load_platform, number_resources
from batfs.scheduling.kopanski.annealing import plan
from batfs.scheduling.kopanski.layout import Layout
from batfs.scheduling.kopanski.policies import POLICIES, Pass
from batfs.scheduling.kopanski.process import SUB_JOBS, JobRecord, KopanskiProcess
from batfs.simulator import JobResult, Progress, SimulationOptions, simulate
from batfs.workload.model import Workload
from batfs.workload.numbers import plain

PLATFORM = "dragonfly96-sg334.xml"
SETTINGS = {"network/loopback-bw": "1e30", "network/loopback-lat": "0"}
"""What makes the master's messages to itself free, as they were with the artifact's SimGrid 3.25."""

SEED = 42
SLOWDOWN_THRESHOLD = 600.0

PLANS = {"plan-1": 1.0, "plan-2": 2.0, "plan-3": 3.0}
PAPER_POLICIES = (*POLICIES, *PLANS)
OURS = "plan-io"
POLICY_NAMES = (*PAPER_POLICIES, OURS)
SPLIT = "+split"
"""Behind a published policy's name: the same policy, with bytes split over burst buffers at need."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A job that ran. ``start`` and ``finish``: the first start and last end of its sub-jobs (s).

    ``nodes`` and ``buffers`` are host numbers; of ``buffers``, the k-th are those that serve the k-th node.
    """

    job_id: str
    submission_time: float
    start: float
    finish: float
    requested_nodes: int
    share: int
    walltime: float
    timed_out: bool
    sub_jobs: int
    nodes: tuple[int, ...]
    buffers: tuple[tuple[int, ...], ...]

    @property
    def waiting_time(self) -> float:
        return self.start - self.submission_time

    @property
    def bounded_slowdown(self) -> float:
        turnaround = self.finish - self.submission_time
        return max(1.0, turnaround / max(self.finish - self.start, SLOWDOWN_THRESHOLD))


@dataclass(frozen=True, slots=True)
class Figures:
    """The paper's figures over the jobs that ran; times in seconds."""

    jobs: int
    rejected: int
    timed_out: int
    sub_jobs: int
    mean_waiting_time: float
    median_waiting_time: float
    max_waiting_time: float
    mean_bounded_slowdown: float
    max_bounded_slowdown: float
    makespan: float

    def as_dict(self) -> dict[str, float]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class Run:
    """One policy on one workload. ``seconds`` of wall-clock time it took to simulate."""

    workload: str
    policy: str
    outcomes: Sequence[JobOutcome]
    rejected: Sequence[str]
    seconds: float

    def figures(self) -> Figures:
        return figures(self.outcomes, len(self.rejected))


def figures(outcomes: Sequence[JobOutcome], rejected: int = 0) -> Figures:
    """The figures of some jobs; all zero if there are none."""
    if not outcomes:
        return Figures(0, rejected, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    waits = [job.waiting_time for job in outcomes]
    slowdowns = [job.bounded_slowdown for job in outcomes]
    return Figures(
        jobs=len(outcomes),
        rejected=rejected,
        timed_out=sum(job.timed_out for job in outcomes),
        sub_jobs=sum(job.sub_jobs for job in outcomes),
        mean_waiting_time=statistics.fmean(waits),
        median_waiting_time=statistics.median(waits),
        max_waiting_time=max(waits),
        mean_bounded_slowdown=statistics.fmean(slowdowns),
        max_bounded_slowdown=max(slowdowns),
        makespan=max(job.finish for job in outcomes),
    )


def check_policy(policy: str) -> None:
    """InputError for an unknown policy."""
    if policy not in POLICY_NAMES and policy.removesuffix(SPLIT) not in PAPER_POLICIES:
        raise unknown("policy", policy, POLICY_NAMES)


def make_layout(policy: str, layout: Layout | None = None) -> Layout:
    """The machine as ``policy`` uses it: with bytes split or not."""
    return replace(layout or Layout(), split=policy == OURS or policy.endswith(SPLIT))


def make_pass(policy: str, seed: int = SEED) -> Pass:
    """The queue policy called ``policy``; InputError for an unknown one."""
    check_policy(policy)
    policy = policy.removesuffix(SPLIT)
    if policy in POLICIES:
        return POLICIES[policy]
    if policy in PLANS:
        from batfs.scheduling.kopanski import compiled

        return plan(compiled.best_plan(PLANS[policy], random.Random(seed)))
    from batfs.scheduling.amounts import Aims, PlanSearch
    from batfs.scheduling.kopanski.plan_io import plan_io

    return plan_io(PlanSearch(random.Random(seed), Aims()))


@dataclass(frozen=True, slots=True)
class Site:
    """The machine of the experiment."""

    platform: Platform
    machine: Machine
    layout: Layout


def load_site(path: Path, layout: Layout | None = None) -> Site:
    """The machine in the platform file ``path``, with the first host of each chassis a burst buffer."""
    layout = layout or Layout()
    platform = load_platform(path, config=SETTINGS)
    buffers = ",".join(f"node_{number}" for number in layout.buffer_hosts)
    return Site(platform, number_resources(platform, roles=[f"{buffers}:storage"]), layout)


def run_policy(
    site: Site,
    workload: Workload,
    policy: str,
    *,
    label: str = "",
    seed: int = SEED,
    on_progress: Callable[[Progress], None] | None = None,
) -> Run:
    """Simulate ``workload`` under ``policy``. InputError if a job is not of the experiment's form."""
    process = KopanskiProcess(make_pass(policy, seed), make_layout(policy, site.layout))
    spans: dict[str, tuple[float, float]] = {}

    def keep(job: JobResult) -> None:
        if job.workload == SUB_JOBS:
            spans[job.job_id] = (job.start, job.end)

    begin = time.perf_counter()
    options = SimulationOptions(dynamic_jobs=True, on_job=keep, on_progress=on_progress)
    simulate(site.platform, site.machine, [workload], process, options)
    if process.state.waiting or process.state.running:
        raise InputError(f"{len(process.state.waiting)} jobs were left waiting", file=workload.path)
    seconds = time.perf_counter() - begin
    outcomes = [_outcome(site.layout, record, spans) for record in process.records.values()]
    rejected = [job_id.partition("!")[2] for job_id in process.rejected]
    return Run(label or workload.name, policy, outcomes, rejected, seconds)


def _outcome(layout: Layout, record: JobRecord, spans: dict[str, tuple[float, float]]) -> JobOutcome:
    job = record.job
    own = [spans[sub_job] for sub_job in record.sub_jobs]
    buffers: list[list[int]] = [[] for _ in range(job.nodes)]
    for k, buffer, _ in record.placement.pieces:
        buffers[k].append(layout.buffer_hosts[buffer])
    return JobOutcome(
        job_id=job.id.partition("!")[2],
        submission_time=job.submission_time,
        start=min(start for start, _ in own),
        finish=max(end for _, end in own),
        requested_nodes=job.nodes,
        share=job.share,
        walltime=job.walltime,
        timed_out=record.failed,
        sub_jobs=len(own),
        nodes=tuple(layout.node_hosts[k] for k in positions(record.placement.nodes)),
        buffers=tuple(map(tuple, buffers)),
    )


CSV_HEADER = (
    "job_id,submit,start,finish,req_nodes,bb_bytes_per_node,walltime,state,wait,exec,n_subjobs,"
    "compute_node_numbers,bb_node_numbers"
)


def csv_lines(outcomes: Iterable[JobOutcome]) -> Iterable[str]:
    """One line per job, with the columns of :data:`CSV_HEADER` and all digits; "9+18" for a node with bytes
    on both."""
    yield CSV_HEADER
    for job in outcomes:
        state = "COMPLETED_WALLTIME_REACHED" if job.timed_out else "COMPLETED_SUCCESSFULLY"
        buffers = " ".join("+".join(map(str, own)) for own in job.buffers)
        yield (
            f"{job.job_id},{plain(job.submission_time)},{job.start!r},{job.finish!r},{job.requested_nodes},"
            f"{job.share},{plain(job.walltime)},{state},{job.waiting_time!r},{job.finish - job.start!r},"
            f"{job.sub_jobs},{' '.join(map(str, job.nodes))},{buffers}"
        )
