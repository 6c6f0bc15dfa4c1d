"""From plans to the I/O profile that runs beside a job.

``build_profile`` merges the traffic of one or several plans: row-major order, each pair once, only the ids
that something moves from or to. It stays sparse; ``IoProfile.dense()`` makes Batsim's matrix at the socket.

What every node exchanges with the same few storages, whose ids all come after the nodes', keeps its amounts
as they are; all else is sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from batfs._core.arrays import np
from batfs.filesystems.interface import IoPlan, Traffic, add_flops
from batfs.filesystems.traffic import joined
from batfs.workload.flows import Amounts, Even, FloatArray, IntArray
from batfs.workload.model import IoProfile

# Bytes between a storage and all nodes, each node's part of which a float64 counts one by one.
_LARGEST = 1 << 52


def build_profile(plans: IoPlan | Iterable[IoPlan]) -> IoProfile | None:
    """The overlapped part of the plans of one job as an I/O profile; None when nothing moves or works.

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
    working = {resource: amount for resource, amount in flops.items() if amount > 0} if flops else {}
    even = _together(traffics) if traffics else None
    if even is not None and not working:
        return IoProfile.evenly(even)
    if even is not None and working.keys() <= {*even.nodes, *even.storages}:
        return IoProfile.evenly(even, np.array([working.get(i, 0.0) for i in (*even.nodes, *even.storages)]))
    if traffics:
        sources, destinations, volumes = joined(traffics).columns
        # a resource that sends to itself moves nothing over a network
        there = (volumes > 0) & (sources != destinations)
        if not there.all():
            sources, destinations, volumes = sources[there], destinations[there], volumes[there]
    else:
        sources = destinations = volumes = np.empty(0, dtype=np.int64)
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


def _together(traffics: Sequence[Traffic]) -> Even | None:
    """All of it as even bytes between nodes and storages with ids above theirs, which leave nobody without;
    None if it isn't that."""
    whole = traffics[0].even
    if whole is None or not whole.nodes or not whole.storages or whole.nodes[-1] >= whole.storages[0]:
        return None
    nodes, storages = whole.nodes, whole.storages
    written: Amounts | None = None
    read: Amounts | None = None
    for traffic in traffics:
        even = traffic.even
        if even is None or even.nodes is not nodes:
            return None
        if even.storages is not storages and tuple(even.storages) != tuple(storages):
            return None
        if even.written is not None:
            if written is not None or not _everywhere(even.written, len(nodes)):
                return None
            written = even.written
        if even.read is not None:
            if read is not None or not _everywhere(even.read, len(nodes)):
                return None
            read = even.read
    return Even(nodes, storages, written, read)


def _everywhere(amounts: Amounts, nodes: int) -> bool:
    """Whether each node gets something from each storage, which a float64 counts one by one."""
    return min(amounts[0]) >= nodes and max(amounts[0]) < _LARGEST


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
