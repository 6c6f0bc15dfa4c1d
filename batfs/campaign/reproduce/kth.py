"""The experiment's workloads, made from the log of the KTH SP2 in the Parallel Workloads Archive.

The authors published 2 of their 17 workload files' worth of data with us: the first 1000 jobs, and the first
of 16 parts. What follows was inferred from those two files and the log, and holds for every one of their 2766
jobs, except that the two quantities drawn at random (burst-buffer bytes, bytes of communication) differ
between the files even for the same job, so that only their distributions can be had:

- nodes, walltime and the distance between submissions are the log's; a workload begins at second 1;
- jobs without a run time or a number of processors are left out; those of more than 96 nodes stay in, and
  the scheduler rejects them: 28,467 jobs, of which 28,453 run;
- part k of 16 holds the submissions in the k-th sixteenth of the log's span;
- communication: 0 on one node, else normal around 100 MB per ordered pair of nodes, sd 20 MB;
- burst buffer per node: 10 MB for walltimes up to two minutes; else random, at least 100 MB and at most what
  an empty machine can give (40 GB over the nodes that share one burst buffer);
- equal sizes are told apart: the k-th job with the same walltime and size gets k bytes less;
- work: the run time less 32 s per GB of burst buffer per node (the time its transfers would take at an eighth
  of 1 GB/s, four times over), at least a twentieth of the run time; the whole of it for walltimes up to two
  minutes.

The random sizes follow no common distribution closely (log-normal is refused, p = 0.0001), so they are drawn
from the quantiles of the two files, log-linear in between.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from batfs.errors import InputError
from batfs.workload.model import Job, ParallelHomogeneous, Workload

PARTS = 16
NODES = 96
BUFFERS = 12
CAPACITY = 40_000_000_000

SHORT_WALLTIME = 120
SHORT_SHARE = 10_000_000
LEAST_SHARE = 100_000_000
_FLOPS_PER_SECOND = 1_000_000_000
_FLOPS_PER_BYTE = 32

# (probability, MB): of the 1622 jobs on at most 12 nodes with more than two minutes of walltime
_QUANTILES = (
    *((0.0, 100), (0.02, 100), (0.05, 247), (0.10, 519), (0.15, 693), (0.20, 928), (0.25, 1170)),
    *((0.30, 1418), (0.35, 1704), (0.40, 2006), (0.45, 2291), (0.50, 2603), (0.55, 3013), (0.60, 3427)),
    *((0.65, 3957), (0.70, 4551), (0.75, 5249), (0.80, 6323), (0.85, 8085), (0.90, 10583), (0.95, 15008)),
    *((0.98, 23360), (0.99, 29101), (1.0, 40000)),
)


@dataclass(frozen=True, slots=True)
class LogRow:
    """What the experiment takes from a line of the log."""

    number: int
    submitted: int
    run_time: int
    nodes: int
    walltime: int


def read_log(path: Path) -> list[LogRow]:
    """The usable jobs of a log in standard workload format, in its order; InputError for a broken line."""
    rows = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for place, line in enumerate(file, 1):
            if line.startswith(";") or not line.strip():
                continue
            fields = line.split()
            if len(fields) != 18:
                raise InputError(f"{len(fields)} fields, expected 18", file=path, place=f"line {place}")
            try:
                number, submitted, run, nodes, wall = (int(fields[k]) for k in (0, 1, 3, 7, 8))
            except ValueError as error:
                raise InputError(str(error), file=path, place=f"line {place}") from None
            if run > 0 and nodes > 0 and wall > 0:
                rows.append(LogRow(number, submitted, run, nodes, wall))
    return rows


def parts(rows: Sequence[LogRow]) -> list[list[LogRow]]:
    """The log cut into 16 parts of equal time."""
    first, span = rows[0].submitted, rows[-1].submitted - rows[0].submitted
    cut: list[list[LogRow]] = [[] for _ in range(PARTS)]
    for row in rows:
        cut[min(PARTS - 1, (row.submitted - first) * PARTS // max(span, 1))].append(row)
    return cut


def draw_share(rng: random.Random) -> int:
    """Burst-buffer bytes per node, before any limit."""
    u = rng.random()
    k = bisect_right(_QUANTILES, u, key=lambda q: q[0]) - 1
    (low, small), (high, large) = list(pairwise(_QUANTILES))[k]
    return int(1e6 * math.exp(math.log(small) + (u - low) / (high - low) * math.log(large / small)))


def make_workload(rows: Sequence[LogRow], seed: int, name: str = "w0") -> Workload:
    """A workload of the experiment's form; sizes are drawn from a generator seeded with ``seed``."""
    jobs, profiles = [], {}
    for job, profile in _make_jobs(rows, random.Random(seed), name):
        jobs.append(job)
        profiles[job.profile] = profile
    return Workload(name, NODES, jobs, profiles)


def _make_jobs(
    rows: Sequence[LogRow], rng: random.Random, name: str
) -> Iterator[tuple[Job, ParallelHomogeneous]]:
    first = rows[0].submitted - 1
    seen: dict[tuple[int, int], int] = {}
    for row in rows:
        work = row.run_time * _FLOPS_PER_SECOND
        drawn, com = draw_share(rng), int(rng.gauss(1e8, 2e7))
        if row.walltime <= SHORT_WALLTIME:
            share = SHORT_SHARE
        else:
            share = min(max(drawn, LEAST_SHARE), CAPACITY // -(-row.nodes // BUFFERS))
            work = max(work - _FLOPS_PER_BYTE * share, work // 20)
        twins = seen.get((row.walltime, share), 0)
        seen[row.walltime, share] = twins + 1
        profile = ParallelHomogeneous(work, com if row.nodes > 1 else 0, {"bb": share - twins})
        yield (
            Job(f"{name}!{row.number}", row.submitted - first, row.nodes, str(row.number), row.walltime),
            profile,
        )
