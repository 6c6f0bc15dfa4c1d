"""What an allocation policy sees and answers. See ``ledger`` for who keeps the books.

A policy is pure: (view, request, random generator) in, choice out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage. ``group`` names what it shares with others (its server, its node).

    Bandwidths are bytes/s, None when nobody knows them; ``network_bandwidth`` is the group's.
    """

    index: int
    name: str
    capacity: int
    filesystem: str = ""
    group: str = ""
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    network_bandwidth: float | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpaceRequest:
    """``size`` bytes held from ``start`` to ``end`` (seconds; infinite when unknown).

    ``near`` names the compute nodes that will use it (for locality); ``key`` says whose it is.
    ``candidates`` restricts the storages (indices, ascending), None for all.
    """

    size: int
    start: float
    end: float = float("inf")
    key: str = ""
    near: Sequence[str] = ()
    candidates: Sequence[int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """``size`` bytes on the storage ``index``."""

    index: int
    size: int


Choice: TypeAlias = tuple[Share, ...]


class StorageView(Protocol):
    """A read-only view of the system at the moment of the request."""

    @property
    def storages(self) -> Sequence[Storage]: ...

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
