"""The experiment's workloads, made from the log of the KTH SP2 in the Parallel Workloads Archive.

The authors drew the two random quantities (burst-buffer bytes, bytes of communication) anew for each of their
files, without a seed, so that they differ between files even for the same job. Of the file of the whole log
only the law can be had; the rest follows from the log, and holds for every job of the published files:

- nodes, walltime and the distance between submissions are the log's; a workload begins at second 1;
- jobs without a run time or a number of processors are left out; those of more than 96 nodes stay in, and
  the scheduler rejects them: 28,467 jobs, of which 28,453 run;
- part k of 16 holds the submissions in the k-th sixteenth of the log's span;
- communication: 0 on one node, else normal around 100 MB per ordered pair of nodes, sd 20 MB;
- burst buffer per node: 10 MB for walltimes up to two minutes; else random, at least 100 MB and at most what
  an empty machine can give (40 GB over the nodes that share one burst buffer);
- equal sizes are told apart: the k-th job with the same walltime and size gets k bytes less;
- work: the run time less 32 s per GB of burst buffer per node (40 times over a cable of 1.25 GB/s), at least
  a twentieth of the run time; the whole of it for walltimes up to two minutes.

The law of the random sizes is that of the authors' generator: log-normal, less a shift. The published parts
agree with it (Kolmogorov-Smirnov over their 21,938 jobs on at most 12 nodes: p = 0.21).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from batfs.errors import InputError
from batfs.texts import read_text
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

# KiB; the logarithm's standard deviation is _SPREAD
_MEDIAN, _SPREAD, _SHIFT = 2714115.5724594607, 1.0972516604048774, 150361.59523836235


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
    for place, line in enumerate(read_text(path).text.splitlines(), 1):
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
    return round(1024 * (_MEDIAN * math.exp(_SPREAD * rng.gauss(0, 1)) - _SHIFT))


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
