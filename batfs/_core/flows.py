# cython: language_level=3
"""Bytes between places, sparse: the one form that they have from a model's plan to the solver's rows.
Compiled by Cython.

:class:`Flows` are columns (sources, destinations, sizes). Most of them are *even*: each of a few storages
exchanges bytes with every node, evenly. Then they know it (:class:`Even`), the arrays are made when somebody
asks for them, and in the same process nobody does: the simulator's kernel takes the amounts.

``build_profile`` merges the :class:`Traffic` of one or several plans into an :class:`IoProfile`: row-major
order, each pair once, only the ids that something moves from or to. What every node exchanges with the same
few storages, whose ids all come after the nodes', keeps its amounts as they are; all else is sorted.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, TypeAlias

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

from batfs._core.arrays import FloatArray, IntArray, Integers, NDArray, np, shown

#: Whether this is the compiled form.
COMPILED = cython.compiled

#: bytes of each storage, and the node that each storage's remainder starts at
Amounts: TypeAlias = "tuple[Sequence[int], Sequence[int]]"
Columns: TypeAlias = "tuple[Integers, Integers, NDArray[Any] | array[float]]"

# Patterns larger than this are cheap to make compared with what they hold.
_KEPT = 100_000

# Bytes between a storage and all nodes, each node's part of which a float64 counts one by one.
_LARGEST = cython.declare(object, 1 << 52)


@cython.cclass
class Even:
    """``written`` (nodes to storages) and ``read`` (storages to nodes): (amounts, starts) of the storages, or
    None where nothing is.

    ``nodes`` and ``storages`` are ids, ascending and distinct. ``amounts[k]`` whole bytes go between
    ``storages[k]`` and all nodes: to each the same, and one byte of the remainder to each from node
    ``starts[k]`` on (and from the first after the last).
    """

    nodes = cython.declare(object, visibility="readonly")
    storages = cython.declare(object, visibility="readonly")
    written = cython.declare(object, visibility="readonly")
    read = cython.declare(object, visibility="readonly")

    def __init__(
        self, nodes: Sequence[int], storages: Sequence[int], written: Amounts | None, read: Amounts | None
    ) -> None:
        self.nodes = nodes
        self.storages = storages
        self.written = written
        self.read = read

    @property
    def total(self) -> int:
        """Bytes."""
        return sum([sum(part[0]) for part in (self.written, self.read) if part is not None])

    def pattern(self) -> tuple[IntArray, IntArray]:
        """Source and destination of each flow, row by row, as places in the nodes followed by the storages;
        shared and not to be written to."""
        n, m = len(self.nodes), len(self.storages)
        make = _pattern if n * m <= _KEPT else _pattern.__wrapped__
        return make(n, m, self.written is not None, self.read is not None)

    def sizes(self) -> IntArray:
        """Bytes of each flow, in the order of the pattern."""
        n, m = len(self.nodes), len(self.storages)
        parts = [(part, kind) for part, kind in ((self.written, "F"), (self.read, "C")) if part is not None]
        out = []
        for (amounts, starts), order in parts:
            matrix = np.empty((m, n), dtype=np.int64)
            for row, amount, start in zip(matrix, amounts, starts, strict=True):
                base, rest = divmod(amount, n)
                row[:] = base
                if rest:
                    row[start : start + rest] += 1
                    row[: max(0, start + rest - n)] += 1
            out.append(matrix.ravel(order=order))
        return out[0] if len(out) == 1 else np.concatenate(out)


@cython.cfunc
def even_of(nodes: object, storages: object, written: object, read: object) -> Even:
    """An :class:`Even`."""
    made: Even = Even.__new__(Even)
    made.nodes = nodes
    made.storages = storages
    made.written = written
    made.read = read
    return made


@lru_cache(maxsize=512)
def _pattern(n: int, m: int, writes: bool, reads: bool) -> tuple[IntArray, IntArray]:
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


@cython.cclass
class Flows:
    """Columns ``sources``, ``destinations`` int64[t] and ``sizes`` [t] in bytes; ``even``: the same in short,
    where they are. Of what the sources and destinations are places, and in which order they come, the user
    says."""

    even = cython.declare(Even, visibility="readonly")
    made: tuple  # the columns, once they are

    def __init__(self, sources: Integers, destinations: Integers, sizes: NDArray[Any] | array[float]) -> None:
        self.made = (sources, destinations, sizes)
        self.even = None

    def _made(self, even: Even) -> tuple[IntArray, IntArray, NDArray[Any]]:
        return (*even.pattern(), even.sizes())

    @property
    def as_given(self) -> Columns:
        """(sources, destinations, sizes), in whatever arrays."""
        if self.made is None:
            self.made = self._made(self.even)
        return self.made

    @property
    def columns(self) -> tuple[IntArray, IntArray, NDArray[Any]]:
        """(sources, destinations, sizes)."""
        sources, destinations, sizes = self.as_given
        if type(sizes) is array:
            sources, destinations, sizes = shown(sources), shown(destinations), shown(sizes)
            self.made = (sources, destinations, sizes)
        return sources, destinations, sizes

    @property
    def sources(self) -> IntArray:
        return self.columns[0]

    @property
    def destinations(self) -> IntArray:
        return self.columns[1]

    @property
    def sizes(self) -> NDArray[Any]:
        return self.columns[2]


@cython.cclass
class Traffic(Flows):
    """Transfers: ``sources``, ``destinations`` int64[t] ids, ``sizes`` int64[t] whole bytes.

    In any order; a pair may occur several times (the sizes add up). Zeros mean no transfer.
    """

    def _made(self, even: Even) -> tuple[IntArray, IntArray, IntArray]:
        ids = np.array([*even.nodes, *even.storages], dtype=np.int64)
        sources, destinations = even.pattern()
        return ids[sources], ids[destinations], even.sizes()


def evenly(
    nodes: Sequence[int], storages: Sequence[int], written: Amounts | None, read: Amounts | None
) -> Traffic:
    """Traffic that is even: what most jobs do, and the quickest. See :class:`Even`."""
    made: Traffic = Traffic.__new__(Traffic)
    made.made = None
    made.even = even_of(nodes, storages, written, read)
    return made


@cython.cclass
class IoProfile(Flows):
    """Transfers and flops over a sorted set of resource ids, sparse inside.

    ``ids`` int64[n], ascending and distinct. ``sources``, ``destinations`` int64[t] are *positions in ids*
    of each transfer; ``volumes`` float64[t] its bytes, whole numbers above 0 (so that Batsim's rounding of
    inline profiles to 6 decimals changes nothing). ``flops`` float64[n] or None for none.
    Transfers are in row-major order (source, then destination), each pair at most once.
    """

    flops = cython.declare(object, visibility="readonly")
    kept_ids: object
    kept_resources: list

    def __init__(
        self,
        ids: IntArray,
        sources: IntArray,
        destinations: IntArray,
        volumes: FloatArray,
        flops: FloatArray | None = None,
    ) -> None:
        Flows.__init__(self, sources, destinations, volumes)
        self.flops = flops
        self.kept_ids = ids
        self.kept_resources = None

    @staticmethod
    def evenly(even: Even, flops: FloatArray | None = None) -> IoProfile:
        """Even bytes between nodes and storages (there are some of both), whose ids are above the nodes', at
        least one byte for each node and storage; ``flops``: of the nodes, then of the storages."""
        return even_profile(even, flops)

    def with_flops(self, flops: FloatArray) -> IoProfile:
        """The same transfers beside other work."""
        if self.even is not None:
            return even_profile(self.even, flops)
        return IoProfile(self.ids, self.sources, self.destinations, self.volumes, flops)

    def _made(self, even: Even) -> tuple[IntArray, IntArray, FloatArray]:
        return (*even.pattern(), even.sizes().astype(np.float64))

    @property
    def ids(self) -> IntArray:
        if self.kept_ids is None:
            self.kept_ids = np.array(self.kept_resources, np.int64)
        return self.kept_ids

    @property
    def volumes(self) -> FloatArray:
        return self.columns[2]

    def resources(self) -> list[int]:
        """``ids`` as a list, the same each time."""
        if self.kept_resources is None:
            self.kept_resources = self.kept_ids.tolist()
        return self.kept_resources

    def transfers(self, position: dict[int, int]) -> Sequence[tuple[int, int]]:
        """(position of a storage, transfers that start or end there); ``position``: of storages, by id."""
        even: Even = self.even
        # the nodes of even bytes may be buffers, which count as well
        if even is not None and even.storages[0] in position and even.nodes[-1] not in position:
            count = len(even.nodes) * (1 if even.written is None or even.read is None else 2)
            return [(position[storage], count) for storage in even.storages]
        ids = self.resources()
        if ids[-1] in position and (len(ids) < 2 or ids[-2] not in position):
            return [(position[ids[-1]], len(self.sources))]  # one storage: everything is its
        counts = np.bincount(self.sources, minlength=len(ids))
        counts += np.bincount(self.destinations, minlength=len(ids))
        # storages have the highest ids
        there = takewhile(position.__contains__, reversed(ids))
        return [(position[i], count) for i, count in zip(there, reversed(counts.tolist()), strict=False)]

    def matrix(self) -> FloatArray:
        """Bytes float64[n * n], row by row; row -> column is from -> to."""
        n = len(self.ids)
        out = np.zeros(n * n)
        out[self.sources * n + self.destinations] = self.volumes
        return out

    def dense(self) -> dict[str, Any]:
        """Batsim's form: ``{"type": "parallel", "cpu": [n], "com": [n*n]}``."""
        cpu = [0] * len(self.ids) if self.flops is None else [_plain(f) for f in self.flops.tolist()]
        return {"type": "parallel", "cpu": cpu, "com": [_plain(v) for v in self.matrix().tolist()]}


@cython.cfunc
def even_profile(even: Even, flops: object) -> IoProfile:
    """See :meth:`IoProfile.evenly`."""
    made: IoProfile = IoProfile.__new__(IoProfile)
    made.made = made.kept_ids = None
    made.flops = flops
    made.kept_resources = list(even.nodes)
    made.kept_resources.extend(even.storages)
    made.even = even
    return made


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value


# ---- from traffic to a profile ----------------------------------------------------------------------------


def build_profile(plans: Any) -> IoProfile | None:
    """The overlapped part of the plans (or the one plan) of one job as an I/O profile; None when nothing
    moves or works.

    Moves (staging, drains) and the parts of a plan with phases are not in it: see ``lifecycle``.
    """
    traffics: list = []
    flops: dict = {}
    for plan in plans if isinstance(plans, (tuple, list)) else (plans,):
        traffics.extend(plan.reads)
        traffics.extend(plan.writes)
        traffics.extend(plan.internal)
        if plan.flops:
            add_flops(flops, plan.flops)
    return merged(traffics, flops)


def add_flops(total: dict[int, float], more: Mapping[int, float]) -> None:
    """``more`` work by resource on top of ``total``."""
    for resource, amount in more.items():
        total[resource] = total.get(resource, 0.0) + amount


def merge(traffics: Sequence[Traffic], flops: Mapping[int, float] | None = None) -> IoProfile | None:
    """An I/O profile of this traffic and this work; None when there is none."""
    return merged(list(traffics), flops)


@cython.cfunc
def merged(traffics: list, flops: object) -> IoProfile:
    """See :func:`merge`."""
    working: dict = {resource: amount for resource, amount in flops.items() if amount > 0} if flops else {}
    even: Even = together(traffics) if traffics else None
    if even is not None and not working:
        return even_profile(even, None)
    if even is not None:
        every = [*even.nodes, *even.storages]
        if working.keys() <= set(every):
            return even_profile(even, np.array([working.get(i, 0.0) for i in every]))
    return sorted_out(traffics, working)


@cython.cfunc
def together(traffics: list) -> Even:
    """All of it as even bytes between nodes and storages with ids above theirs, which leave nobody without;
    None if it isn't that."""
    traffic: Flows = traffics[0]
    even: Even = traffic.even
    if even is None or not even.nodes or not even.storages or even.nodes[-1] >= even.storages[0]:
        return None
    nodes, storages = even.nodes, even.storages
    count: object = len(nodes)
    written: object = None
    read: object = None
    for traffic in traffics:
        even = traffic.even
        if even is None or even.nodes is not nodes:
            return None
        if even.storages is not storages and tuple(even.storages) != tuple(storages):
            return None
        if even.written is not None:
            if written is not None or not everywhere(even.written, count):
                return None
            written = even.written
        if even.read is not None:
            if read is not None or not everywhere(even.read, count):
                return None
            read = even.read
    return even_of(nodes, storages, written, read)


@cython.cfunc
def everywhere(amounts: tuple, nodes: object) -> cython.bint:
    """Whether each node gets something from each storage, which a float64 counts one by one."""
    for amount in amounts[0]:  # noqa: SIM110 (typed, as it stands)
        if amount < nodes or amount >= _LARGEST:
            return False
    return True


@cython.cfunc
def sorted_out(traffics: list, working: dict) -> IoProfile:
    """Any traffic, beside the work of resources (more than none of each)."""
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
    rows, columns, volumes = row_major(position[sources], position[destinations], volumes, n)
    work = None
    if working:
        work = np.zeros(n)
        work[position[list(working)]] = list(working.values())
    return IoProfile(ids, rows, columns, volumes.astype(np.float64), work)


def joined(traffics: Sequence[Traffic]) -> Traffic:
    """All of it as one."""
    if len(traffics) == 1:
        return traffics[0]
    columns = zip(*[traffic.columns for traffic in traffics], strict=True)
    return Traffic(*[np.concatenate(parts) for parts in columns])


def row_major(
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
