"""What changes over time in a run, as step functions, and their reduction for drawing.

A step function is its breakpoints and the values from each on: ``times`` float64[k] ascending, ``values``
float64[k]; before the first breakpoint it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batfs.report.parts import job_keys
from batfs.report.run import Run
from batfs.report.statistics import nodes_used, parse_bytes

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """A step function; ``times`` ascending and distinct."""

    times: FloatArray
    values: FloatArray

    def at(self, moments: FloatArray) -> FloatArray:
        """The value at each of ``moments``; 0 before the first breakpoint."""
        if not len(self.times):
            return np.zeros(len(moments))
        where = np.searchsorted(self.times, moments, side="right") - 1
        return np.where(where >= 0, self.values[np.maximum(where, 0)], 0.0)

    def integral(self, moments: FloatArray) -> FloatArray:
        """The integral from -inf up to each of ``moments`` (finite, since it is 0 before its first
        breakpoint).
        """
        if not len(self.times):
            return np.zeros(len(moments))
        areas = np.concatenate([[0.0], np.cumsum(np.diff(self.times) * self.values[:-1])])
        where = np.searchsorted(self.times, moments, side="right") - 1
        inside = np.maximum(where, 0)
        found = areas[inside] + self.values[inside] * (moments - self.times[inside])
        return np.where(where >= 0, found, 0.0)

    def means(self, edges: FloatArray) -> FloatArray:
        """Time-weighted mean in each bin of ascending ``edges`` (float64[b + 1]) -> float64[b]."""
        return np.diff(self.integral(edges)) / np.diff(edges)

    def peaks(self, edges: FloatArray) -> FloatArray:
        """Largest value taken in each bin ``[edges[i], edges[i + 1])``."""
        result = self.at(edges[:-1])
        bins = np.searchsorted(edges, self.times, side="right") - 1
        inside = (bins >= 0) & (bins < len(result))
        np.maximum.at(result, bins[inside], self.values[inside])
        return result


def counted(times: FloatArray, changes: FloatArray) -> Steps:
    """The running sum of ``changes`` at ``times`` (any order); simultaneous changes make one breakpoint."""
    if not len(times):
        return Steps(np.empty(0), np.empty(0))
    moments, where = np.unique(times, return_inverse=True)
    totals = np.cumsum(np.bincount(where, weights=changes, minlength=len(moments)))
    # what float sums leave after everything has ended is no load
    totals[np.abs(totals) < 1e-9 * max(1.0, float(np.abs(totals).max()))] = 0.0
    keep = np.concatenate([[True], np.diff(totals) != 0])
    return Steps(moments[keep], totals[keep])


def intervals(starts: FloatArray, ends: FloatArray, weights: FloatArray | float = 1.0) -> Steps:
    """How much weight is present at each time, each item from its start to its end."""
    each = np.broadcast_to(np.asarray(weights, dtype=np.float64), starts.shape)
    return counted(np.concatenate([starts, ends]), np.concatenate([each, -each]))


def queue_length(run: Run) -> Steps:
    """Jobs waiting: from submission to start. Rejected jobs, whose rejection has no date in Batsim's file,
    are not counted.
    """
    ran = run.finished
    return intervals(ran["submission_time"].to_numpy(), ran["starting_time"].to_numpy())


def storage_queue_length(run: Run) -> Steps:
    """Jobs that wait for storage: each for the last ``storage_waiting_time`` seconds before its start."""
    starts, waits = _storage_waits(run)
    return intervals(starts - waits, starts)


def _storage_waits(run: Run) -> tuple[FloatArray, FloatArray]:
    from batfs.report.statistics import storage_waits

    starts = run.finished["starting_time"].to_numpy()
    found = storage_waits(run)
    keep = found > 0
    return starts[keep], found[keep]


def busy_nodes(run: Run) -> Steps:
    """Nodes that jobs are running on, from start to finish."""
    ran = run.finished
    return intervals(ran["starting_time"].to_numpy(), ran["finish_time"].to_numpy(), nodes_used(run))


def storage_steps(run: Run, column: str) -> dict[int, Steps]:
    """``column`` of ``run.storage`` (reserved_bytes, used_bytes, active_transfers) over time, by storage
    id.
    """
    result = {}
    for storage, part in run.storage.groupby("storage", sort=True):
        times, values = part["time"].to_numpy(), part[column].to_numpy(dtype=np.float64)
        last = np.append(np.diff(times) > 0, True)  # of simultaneous rows the last one holds
        result[int(str(storage))] = Steps(times[last], values[last])
    return result


def storage_bandwidth(run: Run) -> dict[int, tuple[Steps, Steps]]:
    """Read and write bandwidth of each storage over time, bytes/s, by id.

    A job's bytes are spread evenly over its execution: Batsim's merged tasks progress at one rate for
    computation and transfers, and its files say no more than when a job ran. Jobs that were cut (killed,
    out of time) are left out: nobody knows how many of their bytes moved.
    """
    found: dict[int, tuple[Steps, Steps]] | None = run.memory.get("bandwidth")
    if found is None:
        found = run.memory["bandwidth"] = _bandwidth(run)
    return found


def _bandwidth(run: Run) -> dict[int, tuple[Steps, Steps]]:
    ran = run.finished
    keys = job_keys(ran).tolist()
    times = dict(
        zip(keys, zip(ran["starting_time"].tolist(), ran["finish_time"].tolist(), strict=True), strict=True)
    )
    flows: dict[int, tuple[list[tuple[float, float, float]], list[tuple[float, float, float]]]] = {}
    io = run.moved
    names = job_keys(io).tolist()
    for side, column in enumerate(("read_by_storage", "written_by_storage")):
        for name, text in zip(names, io[column].tolist(), strict=True):
            when = times.get(name)
            if not text or when is None or when[1] <= when[0]:
                continue
            for ident, size in parse_bytes(text):
                flows.setdefault(ident, ([], []))[side].append((*when, size / (when[1] - when[0])))
    return {ident: (_flow_steps(flows[ident][0]), _flow_steps(flows[ident][1])) for ident in sorted(flows)}


def _flow_steps(flows: Sequence[tuple[float, float, float]]) -> Steps:
    if not flows:
        return Steps(np.empty(0), np.empty(0))
    starts, ends, rates = np.array(flows, dtype=np.float64).T
    return intervals(starts, ends, rates)


def add(first: Steps, second: Steps) -> Steps:
    """The sum of two step functions."""
    times = np.union1d(first.times, second.times)
    return Steps(times, first.at(times) + second.at(times))


def reduce_steps(steps: Steps, buckets: int) -> Steps:
    """At most ``4 * buckets`` breakpoints that draw the same picture: of each of ``buckets`` equal spans the
    first, the lowest, the highest and the last value, at the times they were taken.

    M4 of Jugel, Jerzak, Hackenbroich and Markl (PVLDB 7, 2014): exact at a width of ``buckets`` pixels,
    and no
    extreme is lost at any width.
    """
    n = len(steps.times)
    if n <= 4 * buckets:
        return steps
    first, last = float(steps.times[0]), float(steps.times[-1])
    span = np.minimum(((steps.times - first) * (buckets / (last - first))).astype(np.int64), buckets - 1)
    order = np.lexsort((np.arange(n), steps.values, span))
    ends = np.flatnonzero(np.append(np.diff(span[order]) != 0, True))
    begins = np.concatenate([[0], ends[:-1] + 1])
    edges = np.flatnonzero(np.append(np.diff(span) != 0, True))
    keep = np.unique(
        np.concatenate([order[begins], order[ends], edges, np.concatenate([[0], edges[:-1] + 1])])
    )
    return Steps(steps.times[keep], steps.values[keep])


def reduce_all(series: Mapping[int, Steps], points: int) -> dict[int, Steps]:
    """Each of ``series`` reduced so that all together have about ``points`` breakpoints (at least 256
    each).
    """
    if not series:
        return {}
    buckets = max(64, points // (4 * len(series)))
    return {key: reduce_steps(steps, buckets) for key, steps in series.items()}
