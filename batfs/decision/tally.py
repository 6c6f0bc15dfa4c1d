"""The figures of one run, gathered as it goes: nothing is kept per job but a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, inf
from typing import TYPE_CHECKING, Any, Protocol

from batfs._core.books import Fills
from batfs._core.sheets import SUCCESS, FileSystemSums, StorageSums
from batfs._core.tallies import REJECTED, JobTimes
from batfs.filesystems.interface import Volume, phase_of
from batfs.filesystems.script import AHEAD, APART, STAGE_IN, WORKLOAD
from batfs.filesystems.staging_modes import seconds_staging
from batfs.quantiles import quantile
from batfs.records import field, record
from batfs.scheduling.config import Configuration
from batfs.scheduling.observer import Observer, StorageState
from batfs.scheduling.waits import CAUSES, OF_SPACE
from batfs.storage.interface import StorageTable

if TYPE_CHECKING:
    from batfs.scheduling.io_times import Idle

#: Seconds; run times below it count as it (Feitelson's bounded slowdown).
SLOWDOWN_THRESHOLD = 10.0


class EndedJob(Protocol):
    """What is used of the simulator's ``JobResult``."""

    @property
    def job_id(self) -> str: ...
    @property
    def workload(self) -> str: ...
    @property
    def submission_time(self) -> float: ...
    @property
    def requested_nodes(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def runtime(self) -> float: ...
    @property
    def alloc(self) -> str: ...


@record(frozen=False)
class _InSteps:
    """A job that may have steps: its own row, and from when to when its steps held its nodes."""

    job: EndedJob | None = None
    begin: float = inf
    end: float = -inf
    alloc: str | None = None  # of the first part of the computation, if it ran in parts
    failed: tuple[float, str] | None = None  # end and state of the first step that failed
    staged: list[tuple[float, float]] = field(default_factory=list)  # its stage-ins that held its nodes
    others: list[float] = field(default_factory=list)  # when its other steps on them began


class JobTally(JobTimes):
    """Counts and times of the jobs, from what the simulator reports.

    ``nodes``: how many compute nodes the machine has. The dynamic jobs themselves never count.
    """

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes, SLOWDOWN_THRESHOLD, WORKLOAD)

    def summary(self) -> dict[str, Any]:
        """``makespan``: the end of the last job or step, as Batsim's; ``last_end``: of the last job that
        users submitted. ``utilisation``: node-seconds of jobs over nodes x the time from the first
        submission to ``last_end``; None without a job that ran."""
        area = self.nodes * (self.last - self.first)
        return {
            "jobs": sum(self.states.values()),
            "states": dict(sorted(self.states.items())),
            "makespan": self.makespan,
            "last_end": self.last,
            "waiting_time": spread(self.waiting),
            "turnaround_time": spread(self.turnaround),
            "bounded_slowdown": {**spread(self.slowdown), "threshold": SLOWDOWN_THRESHOLD},
            "utilisation": self.node_seconds / area if area > 0 else None,
        }


class StepsTally(JobTally):
    """The same where dynamic jobs are on: a job lasts from its first step to the last that held its nodes,
    and one that ran in parts counts as what became of these: its own row is a rejection. Jobs are kept until
    :meth:`summary`.
    """

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes)
        self._jobs: dict[str, _InSteps] = {}
        self._staging = False
        self.staging_node_seconds = 0.0

    def add(self, job: EndedJob) -> None:
        rejected = job.state == REJECTED
        if not rejected:
            self.makespan = max(self.makespan, job.start + job.runtime)
        name = job.job_id.rpartition("!")[2]
        if job.workload != WORKLOAD:
            self._known(f"{job.workload}.{name}").job = job
            return
        # <workload>.<job>.<number>.<kind>
        step, _, kind = name.rpartition(".")
        if kind == AHEAD:
            self._staging = True
        if rejected or kind in APART:
            return
        mine = self._known(step.rpartition(".")[0])
        end = job.start + job.runtime
        if kind == STAGE_IN:
            self._staging = True
            mine.staged.append((job.start, end))
        else:
            mine.others.append(job.start)
        if mine.failed is not None and job.start >= mine.failed[0]:
            mine.failed = None  # it went on after that
        mine.begin, mine.end = min(mine.begin, job.start), max(mine.end, end)
        if mine.alloc is None and kind == "compute":
            mine.alloc = job.alloc
        if job.state != SUCCESS and (mine.failed is None or end < mine.failed[0]):
            mine.failed = (end, job.state)

    def _known(self, key: str) -> _InSteps:
        found = self._jobs.get(key)
        if found is None:
            found = self._jobs[key] = _InSteps()
        return found

    def _fold(self) -> None:
        """Count the jobs that were kept."""
        for mine in self._jobs.values():
            job = mine.job
            if job is None:  # a move of a file system's own
                continue
            if mine.staged:
                nodes = self.nodes_of(job, mine.alloc or job.alloc)
                self.staging_node_seconds += nodes * seconds_staging(mine.staged, mine.others)
            rejected = job.state == REJECTED
            if mine.end == -inf or (rejected and mine.alloc is None):
                self.count(job, job.state, job.start, job.runtime, job.alloc)
            elif rejected:
                state = SUCCESS if mine.failed is None else mine.failed[1]
                self.count(job, state, mine.begin, mine.end - mine.begin, mine.alloc or "")
            else:
                begin, end = min(mine.begin, job.start), max(mine.end, job.start + job.runtime)
                self.count(job, job.state, begin, end - begin, job.alloc)
        self._jobs.clear()

    def summary(self) -> dict[str, Any]:
        """And ``staging_node_hours``, where something was staged in: node-hours for which jobs held nodes and
        waited for their data."""
        self._fold()
        hours = {"staging_node_hours": self.staging_node_seconds / 3600} if self._staging else {}
        return {**super().summary(), **hours}


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, median and maximum; None where there is nothing. The median of an even number is the middle of
    the two, as everywhere in batfs."""
    if not values:
        return {"mean": None, "median": None, "max": None}
    ranked = sorted(values)
    return {"mean": fsum(values) / len(values), "median": quantile(ranked, 0.5), "max": ranked[-1]}


class StorageTally(StorageSums, Observer):
    """Bytes, waits and fill levels by file system."""

    def __init__(self) -> None:
        super().__init__(OF_SPACE, Volume, phase_of)
        self._idle: Idle | None = None
        self._failures: dict[str, float] | None = None
        self._fills: Fills | None = None

    def begins(self, storages: StorageTable, ids: Sequence[int]) -> None:
        for storage in storages:
            name = storage.filesystem or "storage"
            sums = self.filesystems.setdefault(name, FileSystemSums())
            sums.storages += 1
            sums.capacity += storage.capacity
        place = {name: k for k, name in enumerate(self.filesystems)}
        groups = [place[storage.filesystem or "storage"] for storage in storages]
        self._fills = Fills([storage.capacity for storage in storages], groups, len(place))

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        assert self._fills is not None
        self._fills.changed(states)

    def idled(self, idle: Idle) -> None:
        self._idle = idle

    def failures(self, counts: Mapping[str, float]) -> None:
        self._failures = dict(counts)

    def faults(self) -> dict[str, Any]:
        """What faults did, for the summary; nothing where there are none."""
        return {} if self._failures is None else {"faults": self._failures}

    def io_policy(self, config: Configuration) -> dict[str, Any]:
        """The I/O policy and what became of the transfers, for the summary; nothing where it isn't known.

        ``system_efficiency``: the part of the node-seconds of jobs with transfers of their own that went into
        computing; ``stretch``: a job's time over what it takes with its I/O alone (its dilation);
        ``io_slowdown``: the same of its I/O; ``held``: seconds for which transfers were on hold.
        ``idle_bytes``: what the links could have moved that those on hold needed, and did not.
        """
        if self._idle is None:
            return {}
        times = self.io_times
        held = fsum(t.nodes * (t.end - t.began) for t in times)
        return {
            "io_policy": config.io_policy,
            "io": {
                "jobs": len(times),
                "transfers": sum(t.transfers for t in times),
                "io_slowdown": spread([s for t in times if (s := t.slowdown) is not None]),
                "stretch": spread([s for t in times if (s := t.stretch) is not None]),
                "system_efficiency": fsum(t.nodes * t.work for t in times) / held if held > 0 else None,
                "held": spread([t.held for t in times]),
                "idle_bytes": self._idle.unused,
                "idle_share": self._idle.unused / self._idle.offered if self._idle.offered > 0 else 0.0,
            },
        }

    def waited_for(self) -> list[dict[str, Any]]:
        """Jobs and seconds by cause and file system, causes in the order of their registry; rejected jobs
        don't count. The seconds add up to the waiting time of all jobs."""
        order = list(CAUSES)
        return [
            {"cause": cause, "file_system": system, "jobs": wait.jobs, "seconds": wait.seconds}
            for (cause, system), wait in sorted(
                self.waits.items(), key=lambda item: (order.index(item[0][0]), item[0])
            )
        ]

    def summary(self) -> dict[str, dict[str, Any]]:
        """By file system. ``peak_bytes``: the most reserved at once, over all its storages; ``peak_share``:
        the fullest one of them was, as a share of its capacity."""
        fills = self._fills
        peaks = () if fills is None else zip(self.filesystems, fills.peaks, fills.shares, strict=True)
        fullest = {name: (most, share) for name, most, share in peaks}
        return {
            name: {
                "storages": sums.storages,
                "capacity": sums.capacity,
                "read_bytes": sums.read_bytes,
                "written_bytes": sums.written_bytes,
                "jobs": sums.jobs,
                "jobs_that_waited": sums.jobs_that_waited,
                "waiting_time": sums.waiting_time,
                "peak_bytes": fullest[name][0],
                "peak_share": fullest[name][1],
            }
            for name, sums in sorted(self.filesystems.items())
        }
