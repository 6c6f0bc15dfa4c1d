"""From plans to the I/O profile that runs beside a job.

``build_profile`` merges the traffic of one or several plans: row-major order, each pair once, only the ids
that something moves from or to. It stays sparse; ``IoProfile.dense()`` makes Batsim's matrix at the socket.

Three ways lead to the same result. The common one (every node exchanges bytes with the same few storages,
whose ids all come after the nodes') keeps the amounts as they are (``EvenProfile``); grids in any order of
ids are put together row by row. The general one sorts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from batfs.filesystems.interface import Even, Grid, IntArray, IoPlan, Pairs, Traffic, add_flops
from batfs.filesystems.traffic import pairs
from batfs.workload.even import EvenProfile, pattern
from batfs.workload.model import FloatArray, IoProfile

# Bytes between a storage and all nodes, each node's part of which a float64 counts one by one.
_LARGEST = 1 << 52


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
        add_flops(flops, plan.flops)
    return merge(traffics, flops)


def merge(traffics: Sequence[Traffic], flops: Mapping[int, float] | None = None) -> IoProfile | None:
    """An I/O profile of this traffic and this work; None when there is none."""
    if traffics and not (flops and any(flops.values())):
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
    nodes, storages = first.nodes, first.storages
    if not nodes or not storages or nodes[-1] >= storages[0]:
        return None
    n = len(nodes)
    for amount in first.amounts:
        if not n <= amount < _LARGEST:
            return None
    amounts = (first.amounts, first.starts)
    if len(traffics) == 1:
        written, read = (None, amounts) if first.reading else (amounts, None)
        return EvenProfile(nodes, storages, written, read)
    second = traffics[1]
    if type(second) is not Even or second.reading == first.reading or second.nodes is not nodes:
        return None
    if second.storages is not storages and tuple(second.storages) != tuple(storages):
        return None
    for amount in second.amounts:
        if not n <= amount < _LARGEST:
            return None
    others = (second.amounts, second.starts)
    if first.reading:
        return EvenProfile(nodes, storages, others, amounts)
    return EvenProfile(nodes, storages, amounts, others)


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
    sources, destinations = pattern(n, m, writes is not None, reads is not None)
    ids = np.empty(n + m, dtype=np.int64)
    ids[:n] = low
    ids[n:] = high
    return IoProfile(ids, sources, destinations, volumes)


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
