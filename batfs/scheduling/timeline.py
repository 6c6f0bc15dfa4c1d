"""Who holds which nodes and how many bytes, over time: the one structure every queue policy plans on.

A :class:`Timeline` is a pair of step functions. One gives the free nodes of every instant as a bitset (bit k
is node k: *which* nodes are free matters, because a job needs the same nodes for its whole stay and takes the
first ones), the other the free bytes of every storage. A :class:`Hold` takes nodes and bytes for a time and
can be taken back; both are exact, in whole bytes, so that taking back restores the earlier state.

Intervals are half-open, [start, end): what one hold gives back at t the next may take at t. With
``closed=True`` a node is still held *at* its end, and is free from the next instant a float can tell apart
(a rule of Kopanski & Rzadca's scheduler; the storages stay half-open there).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from batfs._core.arrays import FloatArray, IntArray, NDArray, np
from batfs._core.nodes import prefix
from batfs._core.steps import NodeSteps
from batfs.protocol.clock import SAME
from batfs.records import record

Shares: TypeAlias = tuple[tuple[int, int], ...]
"""(storage position, bytes), each storage at most once, ascending."""

Place: TypeAlias = Callable[[int, list[int]], "Shares | None"]
"""(bitset of chosen nodes, free bytes of each storage, which it may change) -> shares, or None if no room."""

TimelineArrays: TypeAlias = "tuple[FloatArray, NDArray[np.uint64], FloatArray, IntArray]"

_NEVER = -math.inf


def first_nodes(free: int, count: int) -> int:
    """The bitset of the ``count`` lowest-numbered nodes of ``free`` (which has at least as many)."""
    if count >= free.bit_count():
        return free
    return free & ((1 << prefix(free, count)) - 1) if count else 0


def just_after(time: float) -> float:
    """The next later time: 1e-11 s on, or the smallest power of ten times that which changes ``time``."""
    epsilon = 1e-11
    while time + epsilon == time:
        epsilon *= 10
    return time + epsilon


@record
class Hold:
    """``nodes`` (a bitset) are held in [start, node_end), ``shares`` of the storages in [start, end)."""

    start: float
    end: float
    node_end: float
    nodes: int
    shares: Shares = ()


class _ByteSteps:
    """Free bytes of several storages: ``values[k]`` in [times[k], times[k+1]), the first for ever before."""

    __slots__ = ("times", "values")

    def __init__(self, capacities: Sequence[int]) -> None:
        self.times: list[float] = [_NEVER]
        self.values = [list(capacities)]

    def span(self, start: float, end: float) -> tuple[int, int]:
        """Positions [i, j) of the steps that meet [start, end); the one at ``start`` if that is empty."""
        i = bisect_right(self.times, start) - 1
        return i, max(i + 1, bisect_left(self.times, end, i))

    def cut(self, time: float) -> int:
        """The position of the step that begins at ``time``, made if there is none."""
        i = bisect_left(self.times, time)
        if i == len(self.times) or self.times[i] != time:
            self.times.insert(i, time)
            self.values.insert(i, self.values[i - 1].copy())
        return i

    def join(self, time: float) -> None:
        i = bisect_left(self.times, time)
        if 0 < i < len(self.times) and self.values[i] == self.values[i - 1]:
            del self.times[i], self.values[i]


class Timeline:
    """Free nodes and free bytes over all time.

    ``nodes`` is their number, ``capacities`` the bytes of each storage. ``closed``: see the module.
    Queries are linear, in compiled code, in the steps their window meets; there are at most two per hold.
    """

    def __init__(self, nodes: int, capacities: Sequence[int] = (), *, closed: bool = False) -> None:
        self.nodes = nodes
        self.capacities = tuple(capacities)
        self.closed = closed
        self._nodes = NodeSteps(nodes)
        self._bytes = _ByteSteps(self.capacities)

    @property
    def steps(self) -> NodeSteps:
        """The free nodes over time, for compiled code."""
        return self._nodes

    # ---- holding ------------------------------------------------------------------------------------------

    def make(self, start: float, duration: float, nodes: int, shares: Shares = ()) -> Hold:
        """The hold of a job that starts at ``start`` and asks for ``duration`` seconds (not yet taken)."""
        end = start + duration
        return Hold(start, end, just_after(end) if self.closed else end, nodes, shares)

    def hold(self, hold: Hold) -> None:
        """Take what ``hold`` says; ValueError, with nothing changed, if a node or a byte of it is taken."""
        taken = hold.nodes and hold.start < hold.node_end
        if taken and not self._nodes.all_free(hold.start, hold.node_end, hold.nodes):
            raise ValueError(f"nodes held twice from {hold.start} to {hold.node_end}")
        if hold.shares and hold.start < hold.end:
            i, j = self._bytes.span(hold.start, hold.end)
            for free_bytes in self._bytes.values[i:j]:
                for storage, size in hold.shares:
                    if free_bytes[storage] < size:
                        raise ValueError(f"storage {storage} is over its capacity from {hold.start}")
        self._change(hold, -1)

    def release(self, hold: Hold) -> None:
        """Take back a hold, whole, whatever part of it has passed."""
        self._change(hold, 1)

    def _change(self, hold: Hold, sign: int) -> None:
        if hold.nodes and hold.start < hold.node_end:
            self._nodes.change(hold.start, hold.node_end, hold.nodes)
        if hold.shares and hold.start < hold.end:
            space = self._bytes
            i = space.cut(hold.start)
            j = space.cut(hold.end)
            for free in space.values[i:j]:
                for storage, size in hold.shares:
                    free[storage] += sign * size
            space.join(hold.end)
            space.join(hold.start)

    def arrays(self) -> TimelineArrays:
        """The steps as arrays, for compiled code: node times float64[s], free nodes uint64[s, w] (bit k of
        word k // 64 is node k), byte times float64[b], free bytes int64[b, m]."""
        return (
            *self._nodes.arrays(),
            np.array(self._bytes.times),
            np.array(self._bytes.values, np.int64).reshape(len(self._bytes.times), len(self.capacities)),
        )

    def all_free(self, start: float, end: float, nodes: int) -> bool:
        """Whether all of ``nodes`` are free at every instant of [start, end)."""
        return bool(self._nodes.all_free(start, end, nodes))

    # ---- asking -------------------------------------------------------------------------------------------

    def free_nodes(self, start: float, end: float) -> int:
        """The nodes free at every instant of [start, end)."""
        return int(self._nodes.free_within(start, end))

    def free_bytes(self, start: float, end: float) -> list[int]:
        """The bytes free on each storage at every instant of [start, end)."""
        i, j = self._bytes.span(start, end)
        rows = self._bytes.values
        if j == i + 1:
            return rows[i].copy()
        return list(map(min, *rows[i:j]))

    def byte_ends(self) -> list[float]:
        """The times at which free bytes change, ascending."""
        return self._bytes.times[1:]

    def earliest_nodes(
        self, count: int, duration: float, after: float, among: int = -1, until: float = math.inf
    ) -> tuple[float, int] | None:
        """The first t >= ``after``, none after ``until``, at which ``count`` nodes (of ``among``) are free
        for ``duration``, and all that are; None if there is no such time."""
        if not self.closed:
            duration -= SAME  # a stay that is over when another begins may seem to be a bit longer
        found: tuple[float, int] | None = self._nodes.earliest(
            count, duration, after, among, until, self.closed
        )
        return found

    def earliest_fit(
        self, count: int, duration: float, after: Iterable[float], place: Place
    ) -> tuple[float, int, Shares] | None:
        """The earliest place of a job that takes the first ``count`` nodes and what ``place`` gives it.

        ``after``: the times to begin the search from, ascending. For each, the earliest time from it on with
        enough nodes; there ``place`` sees the free bytes of the whole stay. The first it accepts is the
        answer: (start, nodes, shares); None if it accepts none.
        """
        tried = _NEVER
        for base in after:
            if base <= tried:  # the search would end at the start already refused
                continue
            found = self.earliest_nodes(count, duration, base)
            if found is None:
                return None
            tried, free = found
            chosen = first_nodes(free, count)
            shares = place(chosen, self.free_bytes(tried, tried + duration))
            if shares is not None:
                return tried, chosen, shares
        return None
