"""What a policy gets to see: the ledger, read-only, with the network and the transfers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from batfs._core.arrays import Integers, integers, np, shown
from batfs.storage.interface import FloatArray, IntArray, Network, SpaceRequest, StorageTable, StorageView
from batfs.storage.ledger import Ledger


class SystemView:
    """A :class:`StorageView` of ``ledger``. ``transfers`` int64[m] is kept up to date by its owner, or
    int64[2 m]: those that are writes stand behind all of them then.

    ``health`` float64[m]: the part of its bandwidth that each storage has; None while all have all of it.
    """

    __slots__ = (
        "_down",
        "_ledger",
        "_shown",
        "_transfers",
        "fits_everywhere",
        "free",
        "health",
        "longest_overlap",
        "network",
        "overlapping_bytes",
        "overlaps",
    )

    def __init__(
        self, ledger: Ledger, *, transfers: Integers | None = None, network: Network | None = None
    ) -> None:
        self._ledger = ledger
        self._transfers = integers(len(ledger.storages)) if transfers is None else transfers
        self._shown: IntArray | None = None
        self.network = network
        self.free = ledger.free
        self.fits_everywhere = ledger.fits_everywhere
        self.overlaps = ledger.overlaps
        self.overlapping_bytes = ledger.overlapping_bytes
        self.longest_overlap = ledger.longest_overlap
        self.health: FloatArray | None = None
        self._down: dict[int, float] = {}

    def hide(self, index: int, until: float) -> None:
        """The storage has no room, not even for 0 bytes, in a window that begins before ``until``."""
        self._down[index] = until
        self.free = self._free_elsewhere
        self.fits_everywhere = _nothing_fits

    def show(self, index: int) -> None:
        """It has its room again."""
        self._down.pop(index, None)
        if not self._down:
            self.free = self._ledger.free
            self.fits_everywhere = self._ledger.fits_everywhere

    @property
    def returns(self) -> Sequence[float]:
        """When storages that are hidden are expected to be back, as far as that is known (s)."""
        return [until for until in self._down.values() if until < inf]

    def set_health(self, index: int, part: float) -> None:
        """The storage has this part of its bandwidth."""
        health = np.ones(len(self.storages)) if self.health is None else self.health
        health[index] = part
        self.health = None if (health == 1.0).all() else health

    def _free_elsewhere(self, start: float, end: float) -> IntArray:
        out = self._ledger.free(start, end).copy()
        start = max(start, self.now)
        for index, until in self._down.items():
            if start < until:
                out[index] = -1
        return out

    @property
    def storages(self) -> StorageTable:
        return self._ledger.storages

    @property
    def now(self) -> float:
        return self._ledger.now

    @property
    def capacities(self) -> IntArray:
        return self._ledger.storages.capacities

    @property
    def transfers(self) -> IntArray:
        return self._counts[: len(self.storages)]

    @property
    def writing(self) -> IntArray | None:
        """int64[m]: those of the transfers that are writes, where somebody counts them."""
        m = len(self.storages)
        return self._counts[m:] if len(self._transfers) > m else None

    @property
    def _counts(self) -> IntArray:
        found = self._shown
        if found is None:
            found = self._shown = shown(self._transfers)
        return found

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        return None if self.network is None else self.network.distance(near)

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        return None if self.network is None else self.network.residual_bandwidth(near)


def _nothing_fits(size: int, start: float) -> bool:
    return False


def room(view: StorageView, index: int, start: float, end: float) -> int:
    """``view.free(start, end)[index]``, without the array where that can be."""
    if type(view) is SystemView and not view._down:
        return view._ledger.room(index, start, end)
    return int(view.free(start, end)[index])


def shortage(view: StorageView, request: SpaceRequest) -> tuple[int, int, bool]:
    """Why a request that wants one storage finds none: (storage that comes closest, bytes missing there,
    whether it can never fit because no storage is that large). Ties go to the lowest index."""
    among = candidates(view, request)
    if not len(among):
        return -1, request.size, True
    free = view.free(request.start, request.end)[among]
    best = int(np.argmax(free))
    never = request.size > int(view.capacities[among].max())
    return int(among[best]), max(0, request.size - int(free[best])), never


def candidates(view: StorageView, request: SpaceRequest) -> IntArray:
    """The indices a request may use, ascending."""
    if request.candidates is None:
        return np.arange(len(view.storages), dtype=np.int64)
    return np.asarray(request.candidates, dtype=np.int64)


def fitting(view: StorageView, request: SpaceRequest, size: int | None = None) -> IntArray:
    """The indices, ascending, of the storages with ``size`` bytes (the request's) free all its window."""
    wanted = request.size if size is None else size
    given = request.candidates
    if type(view) is SystemView and type(given) is np.ndarray and view.fits_everywhere(wanted, request.start):
        return given
    free = view.free(request.start, request.end)
    if given is None:
        return np.flatnonzero(free >= wanted)
    among = np.asarray(given, dtype=np.int64)
    return among[free[among] >= wanted]
