"""The policies of every textbook on dynamic storage allocation, here over storages instead of holes.

Source of first, best and worst fit: D. Knuth, The Art of Computer Programming, vol. 1, section 2.5.
Free bytes are those of the request's whole window: capacity less the peak held at the same time.
"""

from __future__ import annotations

import random
from typing import Literal

import numpy as np

from batfs.storage.interface import Choice, FloatArray, IntArray, Share, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, ScoringPolicy, draw
from batfs.storage.view import fitting


@POLICIES.register("random")
class Random:
    """Uniform among the storages where the request fits."""

    name = "random"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = fitting(view, request)
        if not len(among):
            return None
        return (Share(int(among[draw(rng, len(among))]), request.size),)


@POLICIES.register("round_robin")
class RoundRobin:
    """The first storage after the last one chosen, in a fixed cycle, where the request fits.

    ``over=storage`` cycles through storages by index; ``over=group`` takes the first storage of each group
    (server), then the second of each, and so on, so that neighbours in the cycle share no server.
    """

    name = "round_robin"

    def __init__(self, over: Literal["storage", "group"] = "storage") -> None:
        self.over = over
        self._last = -1  # place in the cycle of the last choice
        self._places: tuple[int, IntArray] = (-1, np.zeros(0, dtype=np.int64))

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = fitting(view, request)
        if not len(among):
            return None
        if self.over == "storage":
            after = int(np.searchsorted(among, self._last, side="right"))
            index = self._last = int(among[after % len(among)])
        else:
            places = self._place_in_cycle(view)
            index = int(among[np.argmin((places[among] - self._last - 1) % len(places))])
            self._last = int(places[index])
        return (Share(index, request.size),)

    def _place_in_cycle(self, view: StorageView) -> IntArray:
        if self._places[0] != id(view.storages):
            groups = view.storages.groups.tolist()
            seen: dict[int, int] = {}
            rank = []
            for group in groups:
                rank.append((seen.get(group, 0), group))
                seen[group] = seen.get(group, 0) + 1
            cycle = sorted(range(len(groups)), key=lambda i: (rank[i], i))
            places = np.empty(len(groups), dtype=np.int64)
            places[cycle] = np.arange(len(groups))
            self._places = (id(view.storages), places)
        return self._places[1]


@POLICIES.register("first_fit")
class FirstFit:
    """The lowest index where the request fits."""

    name = "first_fit"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = fitting(view, request)
        return (Share(int(among[0]), request.size),) if len(among) else None


@POLICIES.register("best_fit")
class BestFit(ScoringPolicy):
    """The fewest free bytes among those that fit: keeps large holes whole. Score: -free."""

    name = "best_fit"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return -view.free(request.start, request.end)[among]


@POLICIES.register("worst_fit")
class WorstFit(ScoringPolicy):
    """The most free bytes: spreads the load. Score: free."""

    name = "worst_fit"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return view.free(request.start, request.end)[among]


@POLICIES.register("worst_fit_percent")
class WorstFitPercent(ScoringPolicy):
    """The largest free part of its capacity (StorAlloc's measure of worst fit). Score: free / capacity."""

    name = "worst_fit_percent"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        free = view.free(request.start, request.end)[among]
        # a storage of capacity 0 never fits a positive size, but a score must not divide by it
        return np.asarray(free / np.maximum(view.capacities[among], 1))
