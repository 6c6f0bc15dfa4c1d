"""Many runs read back and summed up, in several processes where that is worth their start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from batfs.report.run import Run, read_run
from batfs.report.statistics import THRESHOLD, summarize
from batfs.workers import pool

# so many runs are worth the start of other processes
MANY: Final = 24


def read_many(
    prefixes: Sequence[str],
    threshold: float = THRESHOLD,
    processes: int = 1,
    *,
    done: Callable[[int], None] = lambda count: None,
) -> list[Run]:
    """The runs at these prefixes, in order, tables and figures worked out; ``done`` is told how many are
    there. InputError for the first that can't be read."""
    found: list[Run] = []
    read = partial(_analysed, threshold=threshold)
    if processes < 2 or len(prefixes) < MANY:
        for prefix in prefixes:
            found.append(read(prefix))
            done(len(found))
        return found
    with pool(processes) as workers:
        for run in workers.map(read, prefixes, chunksize=4):
            found.append(run)
            done(len(found))
    return found


def _analysed(prefix: str, threshold: float) -> Run:
    run = read_run(prefix)
    summarize(run, threshold)  # kept in run.memory
    return run
