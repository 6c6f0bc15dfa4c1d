"""Bytes between places, sparse: the one form that they have from a model's plan to the solver's rows.

:class:`Flows` are columns (sources, destinations, sizes). Most of them are *even*: each of a few storages
exchanges bytes with every node, evenly. Then they know it (:class:`Even`), the arrays are made when somebody
asks for them, and in the same process nobody does: the simulator's kernel takes the amounts.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from batfs._core.arrays import FloatArray as FloatArray
from batfs._core.arrays import IntArray as IntArray
from batfs._core.arrays import Integers, NDArray, np, shown

Pattern: TypeAlias = tuple[IntArray, IntArray]
Columns: TypeAlias = "tuple[Integers, Integers, NDArray[Any] | array[float]]"

# Patterns larger than this are cheap to make compared with what they hold.
_KEPT = 100_000

#: bytes of each storage, and the node that each storage's remainder starts at
Amounts: TypeAlias = tuple[Sequence[int], Sequence[int]]


class Even:
    """``written`` (nodes to storages) and ``read`` (storages to nodes): (amounts, starts) of the storages, or
    None where nothing is.

    ``nodes`` and ``storages`` are ids, ascending and distinct. ``amounts[k]`` whole bytes go between
    ``storages[k]`` and all nodes: to each the same, and one byte of the remainder to each from node
    ``starts[k]`` on (and from the first after the last).
    """

    __slots__ = ("nodes", "read", "storages", "written")

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
        return sum(sum(part[0]) for part in (self.written, self.read) if part is not None)

    def pattern(self) -> Pattern:
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
            out.append(matrix.ravel(order=order))  # type: ignore[arg-type]
        return out[0] if len(out) == 1 else np.concatenate(out)


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


class Flows:
    """Columns ``sources``, ``destinations`` int64[t] and ``sizes`` [t] in bytes; ``even``: the same in short,
    where they are. Of what the sources and destinations are places, and in which order they come, the user
    says."""

    __slots__ = ("_columns", "even")

    def __init__(self, sources: Integers, destinations: Integers, sizes: NDArray[Any] | array[float]) -> None:
        self._columns: Columns | None = (sources, destinations, sizes)
        self.even: Even | None = None

    def _made(self, even: Even) -> tuple[IntArray, IntArray, NDArray[Any]]:
        return (*even.pattern(), even.sizes())

    @property
    def as_given(self) -> Columns:
        """(sources, destinations, sizes), in whatever arrays."""
        found = self._columns
        if found is None:
            assert self.even is not None
            found = self._columns = self._made(self.even)
        return found

    @property
    def columns(self) -> tuple[IntArray, IntArray, NDArray[Any]]:
        """(sources, destinations, sizes)."""
        sources, destinations, sizes = self.as_given
        if type(sizes) is array:
            sources, destinations, sizes = shown(sources), shown(destinations), shown(sizes)
            self._columns = sources, destinations, sizes
        return sources, destinations, sizes  # type: ignore[return-value]

    @property
    def sources(self) -> IntArray:
        return self.columns[0]

    @property
    def destinations(self) -> IntArray:
        return self.columns[1]

    @property
    def sizes(self) -> NDArray[Any]:
        return self.columns[2]
