"""The I/O profile of most jobs: each of a few storages exchanges bytes with every node, evenly.

It is an :class:`IoProfile` whose arrays are made when somebody asks for them. In the same process nobody
does: the simulator's kernel takes the amounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from batfs.workload.model import FloatArray, IntArray, IoProfile

Pattern: TypeAlias = tuple[IntArray, IntArray]

# Patterns larger than this are cheap to make compared with what they hold.
_KEPT = 100_000

#: bytes of each storage, and the node that each storage's remainder starts at
Amounts: TypeAlias = tuple[Sequence[int], Sequence[int]]


class EvenProfile(IoProfile):
    """``written`` and ``read``: (amounts, starts) of the storages, or None where nothing is.

    ``nodes`` and ``storages`` are ids, ascending, distinct and not empty, the nodes' before the storages'.
    ``amounts[k]`` whole bytes, at least one for each node, go between ``storages[k]`` and all nodes: to each
    the same, and one byte of the remainder to each from node ``starts[k]`` on (and from the first after the
    last).
    """

    __slots__ = ("_arrays", "_resources", "nodes", "read", "storages", "written")

    def __init__(
        self, nodes: Sequence[int], storages: Sequence[int], written: Amounts | None, read: Amounts | None
    ) -> None:
        self.nodes = nodes
        self.storages = storages
        self.written = written
        self.read = read
        self._arrays: IoProfile | None = None
        self._resources: list[int] | None = None

    def plain(self) -> IoProfile:
        """The same with its arrays."""
        made = self._arrays
        if made is None:
            n, m = len(self.nodes), len(self.storages)
            parts = [part for part in (self.written, self.read) if part is not None]
            volumes = np.empty(n * m * len(parts))
            if self.written is not None:
                fill(volumes[: n * m].reshape(n, m).T, *self.written)
            if self.read is not None:
                fill(volumes[len(volumes) - n * m :].reshape(m, n), *self.read)
            sources, destinations = pattern(n, m, self.written is not None, self.read is not None)
            ids = np.array(self.resources(), np.int64)
            made = self._arrays = IoProfile(ids, sources, destinations, volumes)
        return made

    @property
    def ids(self) -> IntArray:
        return self.plain().ids

    @property
    def sources(self) -> IntArray:
        return self.plain().sources

    @property
    def destinations(self) -> IntArray:
        return self.plain().destinations

    @property
    def volumes(self) -> FloatArray:
        return self.plain().volumes

    @property
    def flops(self) -> None:
        return None

    def resources(self) -> list[int]:
        """The same list each time."""
        found = self._resources
        if found is None:
            found = self._resources = [*self.nodes, *self.storages]
        return found


def fill(sizes: FloatArray | IntArray, amounts: Sequence[int], starts: Sequence[int]) -> None:
    """``sizes`` [storages, nodes]: each amount split evenly over the nodes, one byte of the remainder to each
    from node ``starts[k]`` on (and from the first after the last)."""
    n = sizes.shape[1]
    for row, amount, start in zip(sizes, amounts, starts, strict=True):
        base, rest = divmod(amount, n)
        row[:] = base
        if rest:
            row[start : start + rest] += 1
            row[: max(0, start + rest - n)] += 1


def pattern(n: int, m: int, writes: bool, reads: bool) -> Pattern:
    """Positions of the transfers between ``n`` nodes and ``m`` storages behind them, row by row, shared and
    not to be written to."""
    return (_pattern if n * m <= _KEPT else _pattern.__wrapped__)(n, m, writes, reads)


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
