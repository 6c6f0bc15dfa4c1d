"""The policies of every textbook on dynamic storage allocation, here over storages instead of holes.

Source of first, best and worst fit: D. Knuth, The Art of Computer Programming, vol. 1, section 2.5.
Free bytes are those of the request's whole window: capacity less the peak held at the same time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from batfs._core import steps
from batfs._core.arrays import np
from batfs.storage.interface import FloatArray, IntArray, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, Policy, ScoringPolicy, by_fit, draw


def rule_of(policy: object) -> int | None:
    """How ``_core.steps.Promises`` chooses as this policy does; None for all others."""
    if type(policy) is RoundRobin:
        return steps.ROUND if policy.over == "storage" else None
    rules: dict[type, int] = {
        Random: steps.DRAW,
        FirstFit: steps.FIRST,
        WorstFit: steps.MOST,
        BestFit: steps.LEAST,
    }
    return rules.get(type(policy))


@POLICIES.register("random")
class Random(Policy):
    """Uniform among the storages where the request fits."""

    name = "random"
    apart = True

    @by_fit
    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        if count == 1:
            return (int(among[draw(rng, len(among))]),)
        left = among.tolist()
        return [left.pop(draw(rng, len(left))) for _ in range(count)]


@POLICIES.register("round_robin")
class RoundRobin(Policy):
    """The first storage after the last one chosen, in a fixed cycle, where the request fits.

    ``over=storage`` cycles through storages by index; ``over=group`` takes the first storage of each group
    (server), then the second of each, and so on, so that neighbours in the cycle share no server.
    """

    name = "round_robin"
    apart = True

    def __init__(self, over: Literal["storage", "group"] = "storage") -> None:
        self.over = over
        self.last = -1  # place in the cycle of the last choice
        self._cycle: tuple[object, IntArray] | None = None

    @by_fit
    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        if self.over == "storage":
            after = int(among.searchsorted(self.last, side="right"))
            chosen: list[int] = among.take(range(after, after + count), mode="wrap").tolist()
            self.last = chosen[-1]
            return chosen
        places = self._places(view)
        turns = (places[among] - self.last - 1) % len(places)
        if count == 1:
            index = int(among[turns.argmin()])
            self.last = int(places[index])
            return (index,)
        chosen = [int(i) for i in among[np.argsort(turns)[:count]]]
        self.last = int(places[chosen[-1]])
        return chosen

    def _places(self, view: StorageView) -> IntArray:
        """int64[m]: each storage's place in the cycle over groups."""
        if self._cycle is None or self._cycle[0] is not view.storages:
            seen: dict[int, int] = {}
            keys: list[tuple[int, int, int]] = []
            for index, group in enumerate(view.storages.groups.tolist()):
                keys.append((seen.get(group, 0), group, index))
                seen[group] = seen.get(group, 0) + 1
            places = np.empty(len(keys), dtype=np.int64)
            places[[index for _, _, index in sorted(keys)]] = np.arange(len(keys))
            self._cycle = (view.storages, places)
        return self._cycle[1]


@POLICIES.register("first_fit")
class FirstFit(ScoringPolicy):
    """The lowest index where the request fits. Score: -index."""

    name = "first_fit"
    apart = True

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return -among


@POLICIES.register("best_fit")
class BestFit(ScoringPolicy):
    """The fewest free bytes among those that fit: keeps large holes whole. Score: -free."""

    name = "best_fit"
    apart = True

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return -view.free(request.start, request.end)[among]


@POLICIES.register("worst_fit")
class WorstFit(ScoringPolicy):
    """The most free bytes: spreads the load. Score: free."""

    name = "worst_fit"
    apart = True

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return view.free(request.start, request.end)[among]


@POLICIES.register("worst_fit_percent")
class WorstFitPercent(ScoringPolicy):
    """The largest free part of its capacity (StorAlloc's measure of worst fit). Score: free / capacity."""

    name = "worst_fit_percent"
    apart = True

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        free = view.free(request.start, request.end)[among]
        # a storage of capacity 0 never fits a positive size, but a score must not divide by it
        return np.asarray(free / np.maximum(view.capacities[among], 1))
