"""StorAlloc's four policies as they are, for comparison, with the mistakes that define them.

They choose a server, a node, a disk in StorAlloc; here a group (its node) and a storage. Their free space
is capacity less *everything that overlaps the window at any moment*, whether or not it is there at once.
``storalloc_random`` and ``storalloc_worst_fit`` don't ask whether the request fits: the ledger then refuses
what they chose, and a replay counts that as *failed*, not *refused*. Source: StorAlloc's description in its
papers and its observed behaviour; none of its code. One thing is put right: the draws are seeded.
"""

from __future__ import annotations

import random

import numpy as np

from batfs.storage.interface import Choice, FloatArray, IntArray, Share, SpaceRequest, StorageView
from batfs.storage.policies.bandwidth import expected_bandwidth
from batfs.storage.policies.base import POLICIES, draw
from batfs.storage.view import candidates


def overlap_free(view: StorageView, request: SpaceRequest) -> IntArray:
    """int64[m]: StorAlloc's free space; negative where reservations follow each other in the window."""
    return view.capacities - view.overlapping_bytes(request.start, request.end)


@POLICIES.register("storalloc_random")
class StorallocRandom:
    """A group drawn uniformly, then one of its storages; no look at any capacity."""

    name = "storalloc_random"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = candidates(view, request)
        if not len(among):
            return None
        groups = view.storages.groups[among]
        present = np.unique(groups)
        inside = among[groups == present[draw(rng, len(present))]]
        return (Share(int(inside[draw(rng, len(inside))]), request.size),)


@POLICIES.register("storalloc_round_robin")
class StorallocRoundRobin:
    """The next group's next storage, if it has *more* free space than asked; refused after 5 tries.

    Each try moves on to the next group, and each group keeps its own place in its storages; both outlive
    the request, and a refusal moves them too.
    """

    name = "storalloc_round_robin"
    tries = 5

    def __init__(self) -> None:
        self._group = 0
        self._inside: dict[int, int] = {}

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = candidates(view, request)
        if not len(among):
            return None
        free = overlap_free(view, request)
        groups = view.storages.groups[among]
        present = np.unique(groups).tolist()
        for _ in range(self.tries):
            group = present[self._group % len(present)]
            self._group = (self._group + 1) % len(present)
            inside = among[groups == group]
            place = self._inside.get(group, 0) % len(inside)
            self._inside[group] = (place + 1) % len(inside)
            index = int(inside[place])
            if free[index] > request.size:
                return (Share(index, request.size),)
        return None


@POLICIES.register("storalloc_worst_fit")
class StorallocWorstFit:
    """The largest free percentage over the window, ties drawn; no check that the request fits."""

    name = "storalloc_worst_fit"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = candidates(view, request)
        free = overlap_free(view, request)[among] / np.maximum(view.capacities[among], 1)
        return _best(among, free, request, rng)


@POLICIES.register("storalloc_worst_case")
class StorallocWorstCase:
    """The best expected bandwidth (the formula of ``worst_case``) among storages with room, ties drawn."""

    name = "storalloc_worst_case"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        among = candidates(view, request)
        among = among[overlap_free(view, request)[among] >= request.size]
        if not len(among):
            return None
        return _best(among, expected_bandwidth(view, request)[among], request, rng)


def _best(among: IntArray, scores: FloatArray, request: SpaceRequest, rng: random.Random) -> Choice | None:
    if not len(among):
        return None
    alike = among[scores == scores.max()]
    return (Share(int(alike[draw(rng, len(alike))]), request.size),)
