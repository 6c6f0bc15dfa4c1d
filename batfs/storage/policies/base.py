"""What policies are made of: the registry, a fair draw, and the shape most of them share."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from batfs._core.arrays import np
from batfs.plugins import Registry
from batfs.storage.interface import (
    AllocationPolicy,
    Choice,
    FloatArray,
    IntArray,
    Share,
    SpaceRequest,
    StorageView,
)
from batfs.storage.view import fitting

F = TypeVar("F", bound=Callable[..., object])

POLICIES: Registry[type[AllocationPolicy]] = Registry(
    "allocation policy",
    "batfs.allocation_policies",
    {
        "batfs.storage.policies.classic": (
            *("random", "round_robin", "first_fit", "best_fit", "worst_fit", "worst_fit_percent"),
        ),
        "batfs.storage.policies.bandwidth": ("least_loaded", "locality", "max_bandwidth", "worst_case"),
        "batfs.storage.policies.sampled": ("power_of_two", "lustre"),
        "batfs.storage.policies.composite": ("striped", "weighted"),
        "batfs.storage.policies.originals": (
            *("storalloc_random", "storalloc_round_robin", "storalloc_worst_fit", "storalloc_worst_case"),
        ),
    },
)


def by_fit(function: F) -> F:
    """Marks a ``pick`` that looks at nothing of the request but its window and ``near``, and a ``choose``
    that does nothing but filter and pick: who knows what fits may then ask ``pick`` alone."""
    function.by_fit = True  # type: ignore[attr-defined]
    return function


def draw(rng: random.Random, n: int) -> int:
    """A whole number from 0 to n-1. Only ``random()`` is promised to be the same on every Python version."""
    return int(rng.random() * n)


def equal_shares(indices: Sequence[int], size: int) -> Choice:
    """``size`` bytes in equal shares; the first ones get the bytes left over."""
    share, left = divmod(size, len(indices))
    return tuple(Share(index, share + (place < left)) for place, index in enumerate(indices))


class Policy(ABC):
    """A policy that ranks the storages where the request fits.

    A request may ask for several storages (``options["count"]``, as striping does): it then gets equal
    shares on that many distinct ones, each with room for its share; with fewer to be had, nothing.
    """

    name: str
    #: Whether the ``count`` best are those that as many choices of one would find, each without those before
    #: it. Said by each class for itself: one derived from it may rank storages by one another.
    apart: ClassVar[bool] = False

    @abstractmethod
    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        """The ``count`` best of ``among`` (at least ``count`` indices, ascending), best first."""

    @by_fit
    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        size = request.size
        count = min(int(request.options.get("count", 1)), size) if request.options else 1
        if count <= 1:
            among = fitting(view, request)
            if not len(among):
                return None
            return (Share(self.pick(view, request, among, 1, rng)[0], size),)
        among = fitting(view, request, -(-size // count))
        if len(among) < count:
            return None
        return equal_shares(self.pick(view, request, among, count, rng), size)


class ScoringPolicy(Policy):
    """The highest score wins; then the highest ``tie_break``, if there is one; then the lowest index."""

    @abstractmethod
    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray | FloatArray:
        """One number for each index of ``among``; higher is better."""

    def tie_break(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray | None:
        return None

    @by_fit
    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        scores = self.score(view, request, among)
        second = self.tie_break(view, request, among)
        if count > 1:
            order = np.argsort(-scores, kind="stable") if second is None else np.lexsort((-second, -scores))
            return [int(i) for i in among[order[:count]]]
        if second is None:
            return (int(among[scores.argmax()]),)
        alike = np.flatnonzero(scores == scores.max())
        return (int(among[alike[second[alike].argmax()]]),)


def most_free(view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
    """Bytes free during the request's window: a tie-break that spreads the load."""
    return view.free(request.start, request.end)[among]
