"""From plans to the I/O profile that runs beside a job.

``build_profile`` merges the traffic of one or several plans: row-major order, each pair once, only the ids
that something moves from or to. It stays sparse; ``IoProfile.dense()`` makes Batsim's matrix at the socket.

Three ways lead to the same result. The common one (every node exchanges bytes with the same few storages,
whose ids all come after the nodes') fills a pattern of positions that depends on the two counts only and is
kept for the next job; grids in any order of ids are put together row by row. The general one sorts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from batfs.filesystems.interface import Even, Grid, IntArray, IoPlan, Pairs, Traffic
from batfs.filesystems.traffic import pairs
from batfs.workload.model import FloatArray, IoProfile

Pattern: TypeAlias = tuple[IntArray, IntArray]

# Patterns larger than this are cheap to make compared with what they hold.
_KEPT = 100_000


def build_profile(plans: IoPlan | Iterable[IoPlan], nodes: Sequence[int] = ()) -> IoProfile | None:
    """The overlapped part of the plans of one job as an I/O profile; None when nothing moves or works.

    ``nodes``: the job's, ascending; they help to recognise the common case and add nothing to the result.
    Moves (staging, drains) and the parts of a plan with phases are not in it: see ``lifecycle``.
    """
    every = (plans,) if isinstance(plans, IoPlan) else tuple(plans)
    if len(every) == 1:
        [plan] = every
        if not plan.internal and not plan.flops:
            return merge([*plan.reads, *plan.writes])
    traffics: list[Traffic] = []
    flops: dict[int, float] = {}
    for plan in every:
        traffics += plan.reads
        traffics += plan.writes
        traffics += plan.internal
        for resource, amount in plan.flops.items():
            flops[resource] = flops.get(resource, 0.0) + amount
    return merge(traffics, flops)


def merge(traffics: Sequence[Traffic], flops: Mapping[int, float] | None = None) -> IoProfile | None:
    """An I/O profile of this traffic and this work; None when there is none."""
    if not flops and traffics:
        even = _even(traffics) if len(traffics) <= 2 else None
        if even is not None:
            return even
        quick = (_two_sided(traffics) if len(traffics) <= 2 else None) or _grids(traffics)
        if quick is not None:
            return quick
    return _general(traffics, flops or {})


def _even(traffics: Sequence[Traffic]) -> IoProfile | None:
    """Every node and the same few storages, evenly, to, fro or both; None if it isn't that."""
    first = traffics[0]
    if type(first) is not Even:
        return None
    reads, writes = (first, None) if first.reading else (None, first)
    nodes, storages = first.nodes, first.storages
    if len(traffics) == 2:
        second = traffics[1]
        if type(second) is not Even or second.reading == first.reading:
            return None
        if second.nodes is not nodes or tuple(second.storages) != tuple(storages):
            return None
        reads, writes = (first, second) if first.reading else (second, first)
    n, m = len(nodes), len(storages)
    if not n or not m or nodes[-1] >= storages[0]:
        return None
    half = n * m
    volumes = np.empty(half * len(traffics))
    if writes is not None and not _fill(volumes, 0, 1, m, writes, n):
        return None
    if reads is not None and not _fill(volumes, len(volumes) - half, n, 1, reads, n):
        return None
    make = _pattern if half <= _KEPT else _pattern.__wrapped__
    sources, destinations = make(n, m, writes is not None, reads is not None)
    low = nodes[0]
    if nodes[-1] - low == n - 1:
        ids = np.arange(low, low + n + m)
    else:
        ids = np.empty(n + m, dtype=np.int64)
        ids[:n] = nodes
    if m == 1:
        ids[n] = storages[0]
    else:
        ids[n:] = storages
    return IoProfile(ids, sources, destinations, volumes)


def _fill(volumes: FloatArray, at: int, along: int, step: int, even: Even, n: int) -> bool:
    """Bytes of each pair, from ``at`` on: storages ``along`` places from each other, nodes ``step``. False if
    some pair has none, or more than a float counts."""
    for amount, start in zip(even.amounts, even.starts, strict=True):
        base, rest = divmod(amount, n)
        if not 0 < base < 1 << 52:
            return False
        row = volumes[at : at + n * step : step]
        row[:] = base
        if rest:
            end = start + rest
            row[start:end] = base + 1
            if end > n:
                row[: end - n] = base + 1
        at += along
    return True


def _two_sided(traffics: Sequence[Traffic]) -> IoProfile | None:
    """Nodes -> storages, storages -> nodes or both, on the same ids, nodes first; None if it isn't that."""
    if not traffics:
        return None
    reads: Grid | Even | None = None
    writes: Grid | Even | None = None
    for traffic in traffics:
        if isinstance(traffic, Pairs) or not len(traffic.sources) or not len(traffic.destinations):
            return None
        if traffic.sources[-1] < traffic.destinations[0]:
            if writes is not None:
                return None
            writes = traffic
        elif traffic.destinations[-1] < traffic.sources[0]:
            if reads is not None:
                return None
            reads = traffic
        else:
            return None
    if writes is not None:
        low, high = writes.sources, writes.destinations
        if reads is not None and (
            len(reads.sources) != len(high)
            or len(reads.destinations) != len(low)
            or list(reads.sources) != list(high)
            or list(reads.destinations) != list(low)
        ):
            return None
    else:
        assert reads is not None
        low, high = reads.destinations, reads.sources
    parts = [traffic.sizes.ravel() for traffic in (writes, reads) if traffic is not None]
    volumes: FloatArray = (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(np.float64)
    if not volumes.all():
        return None
    n, m = len(low), len(high)
    make = _pattern if n * m <= _KEPT else _pattern.__wrapped__
    sources, destinations = make(n, m, writes is not None, reads is not None)
    ids = np.empty(n + m, dtype=np.int64)
    ids[:n] = low
    ids[n:] = high
    return IoProfile(ids, sources, destinations, volumes)


@lru_cache(maxsize=512)
def _pattern(n: int, m: int, writes: bool, reads: bool) -> Pattern:
    low, high = np.arange(n), np.arange(n, n + m)
    rows, columns = [], []
    if writes:
        rows.append(np.repeat(low, m))
        columns.append(np.tile(high, n))
    if reads:
        rows.append(np.repeat(high, n))
        columns.append(np.tile(low, m))
    sources, destinations = np.concatenate(rows), np.concatenate(columns)
    # shared between profiles
    sources.flags.writeable = destinations.flags.writeable = False
    return sources, destinations


def _general(traffics: Sequence[Traffic], flops: Mapping[int, float]) -> IoProfile | None:
    sources: IntArray
    if traffics:
        sources, destinations, volumes = _one_after_the_other(traffics)
        # a resource that sends to itself moves nothing over a network
        there = (volumes > 0) & (sources != destinations)
        if not there.all():
            sources, destinations, volumes = sources[there], destinations[there], volumes[there]
    else:
        sources = destinations = volumes = np.empty(0, dtype=np.int64)
    working = {resource: amount for resource, amount in flops.items() if amount > 0}
    if not len(volumes) and not working:
        return None
    # ids are small and dense, so a table is quicker than sorting what may be many transfers
    top = max(int(sources.max(initial=0)), int(destinations.max(initial=0)), *working, 0)
    used = np.zeros(top + 1, dtype=bool)
    used[sources] = True
    used[destinations] = True
    used[list(working)] = True
    ids = np.flatnonzero(used)
    position = np.cumsum(used) - 1
    n = len(ids)
    rows, columns, volumes = _row_major(position[sources], position[destinations], volumes, n)
    work: FloatArray | None = None
    if working:
        work = np.zeros(n)
        work[position[list(working)]] = list(working.values())
    return IoProfile(ids, rows, columns, volumes.astype(np.float64), work)


def _one_after_the_other(traffics: Sequence[Traffic]) -> tuple[IntArray, IntArray, IntArray]:
    listed = [pairs(traffic) for traffic in traffics]
    return (
        np.concatenate([p.sources for p in listed]),
        np.concatenate([p.destinations for p in listed]),
        np.concatenate([p.sizes for p in listed]),
    )


def _grids(traffics: Sequence[Traffic]) -> IoProfile | None:
    """Grids that share no source, put together row by row: what spares sorting. None if it isn't that."""
    grids = [
        Grid(traffic.sources, traffic.destinations, traffic.sizes)
        for traffic in traffics
        if not isinstance(traffic, Pairs) and len(traffic.sources) and len(traffic.destinations)
    ]
    if not grids or len(grids) < len(traffics):
        return None
    rows = np.concatenate([np.asarray(grid.sources, dtype=np.int64) for grid in grids])
    across = [np.asarray(grid.destinations, dtype=np.int64) for grid in grids]
    order = np.argsort(rows)
    rows = rows[order]
    if (np.diff(rows) == 0).any():
        return None
    sizes = np.concatenate([grid.sizes.ravel() for grid in grids])
    if not sizes.all():
        return None
    ids = np.unique(np.concatenate((rows, *across)))
    widths = np.repeat([len(a) for a in across], [len(grid.sources) for grid in grids])
    starts = (np.cumsum(widths) - widths)[order]
    widths = widths[order]
    gather = np.repeat(starts - (np.cumsum(widths) - widths), widths)
    gather += np.arange(len(gather))
    columns = np.concatenate(
        [np.tile(np.searchsorted(ids, a), len(g.sources)) for a, g in zip(across, grids, strict=True)]
    )[gather]
    sources = np.repeat(np.searchsorted(ids, rows), widths)
    if (sources == columns).any():
        return None
    return IoProfile(ids, sources, columns, sizes[gather].astype(np.float64))


def _row_major(
    rows: IntArray, columns: IntArray, volumes: IntArray, n: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Ordered by row, then column; the volumes of equal pairs added."""
    keys = rows * n + columns
    if len(keys) < 2:
        return rows, columns, volumes
    steps = np.diff(keys)
    if steps.min() > 0:
        return rows, columns, volumes
    order = np.argsort(keys, kind="stable")
    keys, volumes = keys[order], volumes[order]
    first = np.flatnonzero(np.concatenate(([True], np.diff(keys) > 0)))
    rows, columns = np.divmod(keys[first], n)
    return rows, columns, np.add.reduceat(volumes, first)
