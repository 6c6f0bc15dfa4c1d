"""A view of the storages with some bytes already taken: for the second file system a job asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batfs.storage.interface import FloatArray, IntArray, StorageTable, StorageView


class TakenView:
    """``view`` less ``taken`` (storage index, bytes), at every time."""

    def __init__(self, view: StorageView, taken: Iterable[tuple[int, int]]) -> None:
        self._view = view
        self._taken = list(taken)

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
        out = self._view.free(start, end).copy()
        for index, size in self._taken:
            out[index] -= size
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
    def transfers(self) -> IntArray:
        return self._view.transfers

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.distance(near)

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        return self._view.residual_bandwidth(near)
