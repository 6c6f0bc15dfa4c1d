"""Jobs as rectangles over time and resources, and why each of them waited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batfs.report.run import Run
from batfs.report.statistics import job_table, storage_waits
from batfs.scheduling.waits import CAUSES

# classes of ``Bars.reason``
AT_ONCE: Final = 0
NODES: Final = 1
STORAGE: Final = 2
#: The classes: none, then each cause of the registry (batfs.scheduling.waits).
REASONS: Final = (
    "started at once",
    *(
        f"waited {cause.title}" if cause.title.startswith("behind") else f"waited for {cause.title}"
        for cause in CAUSES.values()
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """A rectangle per job and run of neighbouring resources: ``job`` int64[k] (row in ``run.finished``),
    ``start``
    and ``end`` float64[k] seconds, ``low`` and ``high`` int64[k] first and last resource, ``reason``
    int64[k]."""

    job: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    reason: NDArray[np.int64]


def reasons(run: Run) -> NDArray[np.int64]:
    """Why each job of ``run.finished`` waited: what it waited for longest, and where no file says that, for
    storage if it waited for storage at all, else for nodes.

    A wait below a microsecond is none: Batsim's files have six decimals.
    """
    ran = run.finished
    if run.waits is not None:
        jobs = job_table(run)
        seconds = jobs.loc[jobs["starting_time"].notna(), [f"wait_{cause}" for cause in CAUSES]].to_numpy()
        longest = 1 + np.argmax(seconds, axis=1) if len(seconds) else np.empty(0)
        waited = ran["waiting_time"].to_numpy() > 1e-6
        return np.where(waited & (seconds.max(axis=1, initial=0.0) > 0), longest, AT_ONCE).astype(np.int64)
    found = np.where(ran["waiting_time"].to_numpy() > 1e-6, NODES, AT_ONCE)
    if len(run.io):
        found = np.where(storage_waits(run) > 1e-6, STORAGE, found)
    return found.astype(np.int64)


def resource_ranges(text: str) -> list[tuple[int, int]]:
    """``"0-3 10"`` -> [(0, 3), (10, 10)]; Batsim writes its own files, so this trusts the form."""
    ranges = []
    for token in text.split():
        first, _, last = token.partition("-")
        ranges.append((int(first), int(last or first)))
    return ranges


def bars(run: Run) -> Bars:
    """Every job of ``run`` that ran, in order of start, then of end, then of row."""
    ran = run.finished
    starts, ends = ran["starting_time"].to_numpy(), ran["finish_time"].to_numpy()
    known: dict[str, list[tuple[int, int]]] = {}
    rows: list[int] = []
    ranges: list[tuple[int, int]] = []
    texts = ran["allocated_resources"].tolist()
    for row in np.lexsort((np.arange(len(ran)), ends, starts)).tolist():
        text = texts[row]
        found = known.get(text)
        if found is None:
            found = known[text] = resource_ranges(text)
        rows.extend([row] * len(found))
        ranges.extend(found)
    job = np.array(rows, dtype=np.int64)
    spans = np.array(ranges, dtype=np.int64).reshape(-1, 2)
    why = reasons(run)
    return Bars(job, starts[job], ends[job], spans[:, 0], spans[:, 1], why[job])


def thin(bars_: Bars, columns: int = 4000) -> Bars:
    """The bars that make a difference at ``columns`` pixels: of those that cover the same pixels for the same
    reason one is kept, so no pixel a job touched is lost."""
    if len(bars_.job) <= columns:
        return bars_
    first, last = float(bars_.start.min()), float(bars_.end.max())
    scale = columns / max(last - first, 1e-9)
    key = np.stack(
        [
            ((bars_.start - first) * scale).astype(np.int64),
            ((bars_.end - first) * scale).astype(np.int64),
            bars_.low,
            bars_.high,
            bars_.reason,
        ]
    )
    _, keep = np.unique(key, axis=1, return_index=True)
    keep = np.sort(keep)
    return Bars(
        bars_.job[keep],
        bars_.start[keep],
        bars_.end[keep],
        bars_.low[keep],
        bars_.high[keep],
        bars_.reason[keep],
    )
