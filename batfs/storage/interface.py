"""What an allocation policy sees and answers. See ``ledger`` for who keeps the books.

A policy is pure: (view, request, random generator) in, choice out. What it may remember between requests
(a round-robin pointer) lives in the policy object; what it sees is read-only.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from batfs._core.arrays import FloatArray as FloatArray
from batfs._core.arrays import IntArray as IntArray
from batfs.records import field, record
from batfs.storage.table import Storage, StorageTable

__all__ = [
    "AllocationPolicy",
    "Choice",
    "FloatArray",
    "IntArray",
    "Network",
    "Share",
    "SpaceRequest",
    "Storage",
    "StorageTable",
    "StorageView",
]


@record
class SpaceRequest:
    """``size`` bytes held from ``start`` to ``end`` (seconds; infinite when unknown).

    ``near`` names the compute nodes that will use it (for locality); ``key`` says whose it is.
    ``candidates`` restricts the storages (indices, ascending; an int64 array is quickest), None for all.
    """

    size: int
    start: float
    end: float = float("inf")
    key: str = ""
    near: Sequence[str] = ()
    candidates: Sequence[int] | IntArray | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@record
class Share:
    """``size`` bytes on the storage ``index``."""

    index: int
    size: int


Choice: TypeAlias = tuple[Share, ...]


class Network(Protocol):
    """What a view knows of the network between compute nodes (by name) and the m storages."""

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m]: mean latency (s) of the routes from the nodes to each storage."""
        ...

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m]: bytes/s a new transfer could get along the worst of those routes."""
        ...


class StorageView(Protocol):
    """A read-only view of the system at the moment of the request.

    The arrays must not be written to, and hold until the next change of the ledger. A window that starts
    before ``now`` is read from ``now`` on.
    """

    @property
    def storages(self) -> StorageTable: ...

    @property
    def now(self) -> float: ...

    @property
    def capacities(self) -> IntArray:
        """int64[m] bytes."""
        ...

    def free(self, start: float, end: float) -> IntArray:
        """int64[m]: bytes free on each storage at *every* instant of [start, end)."""
        ...

    def overlaps(self, start: float, end: float) -> IntArray:
        """int64[m]: reservations that hold bytes at some instant of [start, end)."""
        ...

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        """int64[m]: sum of the bytes of those reservations, even if they never meet (StorAlloc's measure)."""
        ...

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        """float64[m]: seconds of [start, end) held by the reservation that holds most of it; 0 if none."""
        ...

    @property
    def transfers(self) -> IntArray:
        """int64[m]: transfers active now on each storage."""
        ...

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m]: mean network distance (seconds of latency) from the nodes; None if unknown."""
        ...

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m]: bytes/s left along the route from the nodes; None if unknown."""
        ...


class AllocationPolicy(Protocol):
    """Picks storages for one request: shares that add up to its size, or None when nothing fits.

    State that must survive between requests (a round-robin pointer) lives in the policy object.
    """

    name: str

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None: ...
