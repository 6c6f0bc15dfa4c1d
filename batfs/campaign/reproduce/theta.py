"""A week of ANL's Theta replayed: simulated against measured seconds of I/O.

The trace (Fives's test data, from ALCF's public Darshan and scheduler logs) has 57 jobs of January 2022,
with the bytes each run of a program read and wrote, when it ran, and the seconds its processes spent on
reading and writing, summed over them. The replay puts each run's reads and its writes on the platform as two
bursts of I/O without computation, at the second the run began and on as many nodes as the job had, so that
bursts which met on the real machine can meet on this one. A burst's simulated seconds are the time it takes;
its measured seconds are those of its processes on average (the sum over the number of processes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from batfs.campaign.calibration.processes import held_out
from batfs.campaign.reproduce.agreement import Agreement, agreement
from batfs.errors import InputError
from batfs.quantiles import quantile
from batfs.workload.io import RequestedIo
from batfs.workload.model import Job, ParallelHomogeneous, Workload
from batfs.workload.numbers import plain
from batfs.workload.recorded import io_entry
from batfs.workload.storalloc import TraceJob, read_trace

FILE_SYSTEM: Final = "lustre"
DIRECTIONS: Final = ("read", "write")


@dataclass(frozen=True, slots=True)
class Layout:
    """An assumption on where bytes lie, which the trace doesn't tell.

    ``stripe_count`` targets a file (0: all); ``per_process``: a file for each process, else one for all.
    """

    name: str
    stripe_count: int
    per_process: bool


LAYOUTS: Final = (
    Layout("one file on one target", 1, False),
    Layout("a file per process, each on one target", 1, True),
    Layout("one file on all targets", 0, False),
)


@dataclass(frozen=True, slots=True)
class Burst:
    """What one run of a program read or wrote. ``start``: seconds since 1970."""

    job: str
    run: int
    direction: str
    size: int
    start: float
    nodes: int
    processes: int

    @property
    def id(self) -> str:
        return f"{self.job}.{self.run}.{self.direction}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One job and direction: bytes, processes, seconds of I/O (of a process, on average), and when its first
    burst began (seconds since 1970)."""

    job: str
    direction: str
    size: int
    nodes: int
    processes: float
    measured: float
    simulated: float
    start: float = 0.0


def read_bursts(path: Path, zone: str = "UTC") -> tuple[list[Burst], dict[str, TraceJob]]:
    """The bursts of a Fives trace in order of their starts, and its jobs by id.

    InputError for a job without runs (StorAlloc's own traces have none) or without a number of nodes.
    """
    jobs = {job.id: job for job in read_trace(path, zone=zone)}
    bursts: list[Burst] = []
    for job in jobs.values():
        runs = job.extra.get("runs")
        if not isinstance(runs, list) or not runs or job.nodes is None:
            raise InputError("the job has no 'runs' or no 'nodesUsed'", file=path, place=job.place)
        for index, run in enumerate(runs):
            try:
                start, processes = float(run["dStartTime"]), int(run["nprocs"])
                sizes = (int(run["readBytes"]), int(run["writtenBytes"]))
            except (KeyError, TypeError, ValueError) as error:
                place = f"{job.place}.runs[{index}]"
                problem = f"not a run with its bytes, start and processes: {error}"
                raise InputError(problem, file=path, place=place) from None
            for direction, size in zip(DIRECTIONS, sizes, strict=True):
                if size > 0:
                    bursts.append(Burst(job.id, index, direction, size, start, job.nodes, max(1, processes)))
    return sorted(bursts, key=lambda burst: (burst.start, burst.id)), jobs


def burst_workload(bursts: Sequence[Burst], layout: Layout, name: str = "w0") -> Workload:
    """A job for each burst: no computation, only its bytes."""
    if not bursts:
        raise InputError("the trace has no I/O")
    first = bursts[0].start
    jobs, profiles = [], {}
    for burst in bursts:
        sizes = (burst.size, 0) if burst.direction == "read" else (0, burst.size)
        part = RequestedIo(FILE_SYSTEM, *sizes, files=burst.processes if layout.per_process else 1)
        profiles[burst.id] = ParallelHomogeneous(
            0, 0, {"io_reads": sizes[0], "io_writes": sizes[1], "io": [io_entry(part)]}
        )
        jobs.append(Job(f"{name}!{burst.id}", plain(burst.start - first), burst.nodes, burst.id))
    jobs.sort(key=lambda job: (job.submission_time, job.id))
    return Workload(name, max(burst.nodes for burst in bursts), jobs, profiles)


def compare(
    bursts: Sequence[Burst], jobs: Mapping[str, TraceJob], seconds: Mapping[str, float]
) -> list[Comparison]:
    """Measured and simulated seconds of each job and direction; ``seconds``: simulated, by burst."""
    found: list[Comparison] = []
    for direction in DIRECTIONS:
        for job in jobs.values():
            own = [burst for burst in bursts if burst.job == job.id and burst.direction == direction]
            summed = float(job.extra.get(f"{direction}TimeSeconds", 0.0))
            if not own or summed <= 0:
                continue
            size = sum(burst.size for burst in own)
            processes = math.fsum(burst.processes * burst.size for burst in own) / size
            simulated = math.fsum(seconds[burst.id] for burst in own)
            assert job.nodes is not None
            found.append(
                Comparison(
                    *(job.id, direction, size, job.nodes, processes, summed / processes, simulated),
                    min(burst.start for burst in own),
                )
            )
    return found


def with_process_rate(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """``comparisons`` where no process is quicker than a rate the simulation can't know.

    The rate (bytes/s of one process) is the median of the measured ones of the *other* jobs in that
    direction, so that no job is compared with itself.
    """
    found: list[Comparison] = []
    for c in comparisons:
        rates = sorted(
            o.size / o.processes / o.measured
            for o in comparisons
            if o.direction == c.direction and o.job != c.job
        )
        rate = quantile(rates, 0.5)
        found.append(replace(c, simulated=max(c.simulated, c.size / c.processes / rate)))
    return found


def with_process_times(
    comparisons: Sequence[Comparison], group: Callable[[Comparison], Hashable]
) -> tuple[list[Comparison], dict[str, float]]:
    """``comparisons`` where no process is quicker than a regression of the others says, and by direction the
    share of jobs whose measured seconds lie in its 90 % interval.

    Learnt for each direction from the jobs of other groups only: of a ``group`` for each job, no job is
    compared with itself; of one for each day, no day with itself.
    """
    found: list[Comparison] = []
    covered: dict[str, float] = {}
    for direction in DIRECTIONS:
        own = [c for c in comparisons if c.direction == direction]
        if not own:
            continue
        sizes, processes = [c.size / c.processes for c in own], [c.processes for c in own]
        predicted = held_out(sizes, processes, [c.measured for c in own], [group(c) for c in own])
        inside = 0
        for c, p in zip(own, predicted, strict=True):
            found.append(replace(c, simulated=max(c.simulated, p.seconds)))
            inside += p.low <= c.measured <= max(p.high, c.simulated)
        covered[direction] = inside / len(own)
    return found, covered


def each_job(c: Comparison) -> Hashable:
    return c.job


def each_day(c: Comparison) -> Hashable:
    """The day (UTC) its first burst began."""
    return c.start // 86400


@dataclass(frozen=True, slots=True)
class Replay:
    """One layout's result: the comparison of every job and direction."""

    layout: Layout
    comparisons: Sequence[Comparison]

    def agreements(self) -> dict[str, dict[str, Agreement]]:
        """By view and direction.

        ``per process``: seconds of I/O of a process on average; ``summed``: over all processes, as Darshan
        counts (the number of processes is in both columns then, and correlates by itself); ``fitted``: per
        process, with the one rate of :func:`with_process_rate`; ``other jobs`` and ``other days``: with the
        regression of :func:`with_process_times`, and ``summed, other jobs`` the same summed.
        """
        by_jobs, _ = with_process_times(self.comparisons, each_job)
        by_days, _ = with_process_times(self.comparisons, each_day)
        views = {
            "per process": [(c.direction, c.measured, c.simulated) for c in self.comparisons],
            "summed": [
                (c.direction, c.measured * c.processes, c.simulated * c.processes) for c in self.comparisons
            ],
            "fitted": [(c.direction, c.measured, c.simulated) for c in with_process_rate(self.comparisons)],
            "other jobs": [(c.direction, c.measured, c.simulated) for c in by_jobs],
            "other days": [(c.direction, c.measured, c.simulated) for c in by_days],
            "summed, other jobs": [
                (c.direction, c.measured * c.processes, c.simulated * c.processes) for c in by_jobs
            ],
        }
        return {
            view: {
                direction: agreement([(m, s) for kind, m, s in rows if kind == direction])
                for direction in DIRECTIONS
            }
            for view, rows in views.items()
        }

    def covered(self) -> dict[str, dict[str, float]]:
        """Of each held-out view and direction: the share of jobs within their 90 % intervals."""
        return {
            view: with_process_times(self.comparisons, group)[1]
            for view, group in (("other jobs", each_job), ("other days", each_day))
        }

    def to_json(self) -> dict[str, Any]:
        """Layout, agreements and jobs as plain values."""
        agreements = {
            view: {direction: asdict(value) for direction, value in found.items()}
            for view, found in self.agreements().items()
        }
        jobs = [asdict(c) for c in self.comparisons]
        return {
            "layout": asdict(self.layout),
            "agreement": agreements,
            "covered": self.covered(),
            "jobs": jobs,
        }


def replay(trace: Path, platform: Path, layout: Layout, folder: Path, zone: str = "UTC") -> Replay:
    """Simulate the bursts of ``trace`` on ``platform`` and compare; ``folder`` is for the workload."""
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run
    from batfs.scheduling.config import Layer, Settings
    from batfs.simulator import JobResult
    from batfs.workload import write_workload

    bursts, jobs = read_bursts(trace, zone)
    workload = folder / "bursts.json"
    write_workload(workload, burst_workload(bursts, layout))
    seconds: dict[str, float] = {}

    def ended(job: JobResult) -> None:
        if job.rejected:
            raise InputError(f"the burst {job.job_id} can't run: {job.metadata}", file=platform)
        seconds[job.job_id.partition("!")[2]] = job.runtime

    values = {
        "policy": "round_robin",
        "queue": "fcfs",
        "filesystems": {FILE_SYSTEM: {"model": f"pfs:stripe_count={layout.stripe_count}"}},
    }
    settings = Settings(flags=Layer("the replay", values))
    run(Experiment(platform, [workload]), settings, None, on_job=ended)
    return Replay(layout, compare(bursts, jobs, seconds))
