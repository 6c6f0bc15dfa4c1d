"""A view of the storages with some bytes already taken: for the second file system a job asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batfs.storage.interface import FloatArray, IntArray, StorageTable, StorageView


class TakenView:
    """``view`` less ``taken`` (storage index, bytes), at every time."""

    def __init__(self, view: StorageView, taken: Iterable[tuple[int, int]]) -> None:
        self._view = view
        self._taken = list(taken)
        self._places = {index: place for place, (index, _) in reversed([*enumerate(self._taken)])}
        self._free: tuple[float, float, IntArray] | None = None

    def add(self, index: int, size: int) -> None:
        """So many bytes more are taken on one storage, together with what is taken there."""
        place = self._places.setdefault(index, len(self._taken))
        if place < len(self._taken):
            self._taken[place] = (index, self._taken[place][1] + size)
        else:
            self._taken.append((index, size))
        if self._free is not None:
            self._free[2][index] -= size

    @property
    def storages(self) -> StorageTable:
        return self._view.storages

    @property
    def now(self) -> float:
        return self._view.now

    @property
    def capacities(self) -> IntArray:
        return self._view.capacities

    def free(self, start: float, end: float) -> IntArray:
        if self._free is not None and self._free[:2] == (start, end):
            return self._free[2]
        out = self._view.free(start, end).copy()
        for index, size in self._taken:
            out[index] -= size
        self._free = (start, end, out)
        return out

    def overlaps(self, start: float, end: float) -> IntArray:
        out = self._view.overlaps(start, end).copy()
        for index, _ in self._taken:
            out[index] += 1
        return out

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        out = self._view.overlapping_bytes(start, end).copy()
        for index, size in self._taken:
            out[index] += size
        return out

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        out = self._view.longest_overlap(start, end).copy()
        for index, _ in self._taken:
            out[index] = end - start
        return out

    @property
    def health(self) -> FloatArray | None:
        return getattr(self._view, "health", None)

    @property
    def writing(self) -> IntArray | None:
        return getattr(self._view, "writing", None)

    @property
    def transfers(self) -> IntArray:
        return self._view.transfers

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.distance(near)

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.residual_bandwidth(near)
