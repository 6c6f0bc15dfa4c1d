"""What a workload looks like in numbers: sizes, times, load, bytes, per file system."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from batfs.quantiles import quantile
from batfs.records import field, record
from batfs.workload.model import Workload
from batfs.workload.nominal import NominalTimes
from batfs.workload.phases import io_over_phases

QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


@record
class Distribution:
    """Count, mean, standard deviation (over n), quantiles (linear between neighbours) and sum."""

    count: int
    mean: float
    deviation: float
    quantiles: tuple[float, ...]
    total: float

    def to_json(self) -> dict[str, Any]:
        names = ("min", "q25", "median", "q75", "q95", "max")
        return {
            "count": self.count,
            "mean": self.mean,
            "deviation": self.deviation,
            **dict(zip(names, self.quantiles, strict=True)),
            "total": self.total,
        }


def distribution(values: Sequence[float]) -> Distribution:
    """The :class:`Distribution` of ``values``; all 0 when there is none."""
    if not values:
        return Distribution(0, 0.0, 0.0, (0.0,) * len(QUANTILES), 0.0)
    ordered = sorted(values)
    total = math.fsum(ordered)
    mean = total / len(ordered)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in ordered) / len(ordered))
    return Distribution(len(ordered), mean, deviation, tuple(quantile(ordered, q) for q in QUANTILES), total)


@record(frozen=False)
class FileSystemUse:
    """The bytes that each job which uses a file system reads and writes there, over all its entries."""

    reads: list[int] = field(default_factory=list)
    writes: list[int] = field(default_factory=list)

    @property
    def jobs(self) -> int:
        return len(self.reads)

    @property
    def both(self) -> Distribution:
        """Of the bytes read and written together."""
        return distribution([r + w for r, w in zip(self.reads, self.writes, strict=True)])


@record
class Statistics:
    """All numbers of one workload, times in seconds.

    ``offered_load`` is node-seconds of nominal run time over nodes times the span of submissions.
    ``filesystems`` has the key "(default)" for totals without a name. ``columns`` are the jobs' own values.
    """

    name: str
    nodes: int
    jobs: int
    profiles: int
    span: float
    offered_load: float
    sizes: Distribution
    runtimes: Distribution
    requested: Distribution
    between: Distribution
    reads: Distribution
    writes: Distribution
    filesystems: dict[str, FileSystemUse]
    profile_types: dict[str, int]
    size_counts: dict[int, int]
    hours: tuple[int, ...]
    without_walltime: int
    columns: dict[str, list[float]]

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.name,
            "nodes": self.nodes,
            "jobs": self.jobs,
            "profiles": self.profiles,
            "span": self.span,
            "offered_load": self.offered_load,
            "without_walltime": self.without_walltime,
            "sizes": self.sizes.to_json(),
            "runtimes": self.runtimes.to_json(),
            "requested": self.requested.to_json(),
            "between": self.between.to_json(),
            "reads": self.reads.to_json(),
            "writes": self.writes.to_json(),
            "filesystems": {
                name: {
                    "jobs": use.jobs,
                    "reads": distribution(use.reads).to_json(),
                    "writes": distribution(use.writes).to_json(),
                }
                for name, use in self.filesystems.items()
            },
            "profile_types": self.profile_types,
            "size_counts": {str(size): count for size, count in self.size_counts.items()},
            "hours": list(self.hours),
        }


def statistics(workload: Workload, speed: float = 1e9) -> Statistics:
    """The numbers of ``workload`` on nodes of ``speed`` flop/s; InputError where its I/O is wrong."""
    nominal = NominalTimes(workload.profiles, speed)
    sizes: list[int] = []
    runtimes: list[float] = []
    requested: list[float] = []
    reads: list[int] = []
    writes: list[int] = []
    uses: dict[str, FileSystemUse] = {}
    hours = [0] * 24
    clock = workload.extra.get("clock", 0)  # seconds after midnight of time 0
    io = {
        name: io_over_phases(profile, workload.profiles, f"profiles.{name}")
        for name, profile in workload.profiles.items()
    }
    for job in workload.jobs:
        sizes.append(job.requested_nodes)
        runtimes.append(nominal.seconds(job.profile, job.requested_nodes))
        if job.walltime is not None:
            requested.append(job.walltime)
        hours[int((job.submission_time + clock) % 86400 // 3600)] += 1
        parts = io[job.profile]
        reads.append(sum(part.reads for part in parts))
        writes.append(sum(part.writes for part in parts))
        for name in dict.fromkeys(part.filesystem or "(default)" for part in parts):
            mine = [part for part in parts if (part.filesystem or "(default)") == name]
            use = uses.setdefault(name, FileSystemUse())
            use.reads.append(sum(part.reads for part in mine))
            use.writes.append(sum(part.writes for part in mine))
    times = [job.submission_time for job in workload.jobs]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    span = times[-1] - times[0] if times else 0.0
    area = math.fsum(size * runtime for size, runtime in zip(sizes, runtimes, strict=True))
    kinds = Counter(type(workload.profiles[job.profile]).__name__ for job in workload.jobs)
    return Statistics(
        name=workload.path or workload.name,
        nodes=workload.nb_res,
        jobs=len(workload.jobs),
        profiles=len(workload.profiles),
        span=span,
        offered_load=area / (workload.nb_res * span) if span else 0.0,
        sizes=distribution(sizes),
        runtimes=distribution(runtimes),
        requested=distribution(requested),
        between=distribution(gaps),
        reads=distribution(reads),
        writes=distribution(writes),
        filesystems=dict(sorted(uses.items())),
        profile_types=dict(sorted(kinds.items())),
        size_counts=dict(sorted(Counter(sizes).items())),
        hours=tuple(hours),
        without_walltime=len(workload.jobs) - len(requested),
        columns={
            "submission": times,
            "sizes": list(sizes),
            "runtimes": runtimes,
            "reads": list(reads),
            "writes": list(writes),
        },
    )
