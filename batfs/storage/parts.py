"""Flat columns of the parts of reservations, so that questions about windows are array operations.

A *part* is one reservation's bytes on one storage. Rows are reused; a free row has start and end +inf, so
that no window meets it and it never ends. Rows are answered as indices: much quicker to take by than masks.
"""

from __future__ import annotations

from batfs._core.arrays import NDArray, np


class Parts:
    """Columns ``storage``, ``size`` int64, ``start`` and ``end`` float64."""

    def __init__(self) -> None:
        self._used = 0
        self._spare: list[int] = []
        self._room = 64
        self._columns(self._room)

    def _columns(self, room: int) -> None:
        self.storage: NDArray[np.int64] = np.zeros(room, dtype=np.int64)
        self.size: NDArray[np.int64] = np.zeros(room, dtype=np.int64)
        self.start: NDArray[np.float64] = np.full(room, np.inf)
        self.end: NDArray[np.float64] = np.full(room, np.inf)

    def __len__(self) -> int:
        return self._used - len(self._spare)

    def add(self, storage: int, size: int, start: float, end: float) -> int:
        """The row where the part now is."""
        if self._spare:
            row = self._spare.pop()
        else:
            row = self._used
            self._used += 1
            if row == self._room:
                self._grow()
        self.storage[row] = storage
        self.size[row] = size
        self.start[row] = start
        self.end[row] = end
        return row

    def remove(self, row: int) -> None:
        self.start[row] = np.inf
        self.end[row] = np.inf
        self._spare.append(row)

    def end_by(self, time: float) -> NDArray[np.intp]:
        """The parts that end at ``time`` (finite) or before."""
        return np.flatnonzero(self.end <= time)

    def meeting(self, start: float, end: float) -> NDArray[np.intp]:
        """The parts that hold bytes at some instant of [start, end)."""
        return np.flatnonzero((self.start < end) & (self.end > start))

    def _grow(self) -> None:
        old = (self.storage, self.size, self.start, self.end)
        self._room *= 2
        self._columns(self._room)
        for new, was in zip((self.storage, self.size, self.start, self.end), old, strict=True):
            new[: len(was)] = was
