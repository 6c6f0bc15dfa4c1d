"""Policies that draw: two choices, and Lustre's allocator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np

from batfs.errors import InputError
from batfs.storage.interface import FloatArray, IntArray, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, Policy, draw
from batfs.storage.policies.classic import RoundRobin
from batfs.storage.view import candidates


@POLICIES.register("power_of_two")
class PowerOfTwo(Policy):
    """Draw ``d`` storages (2) among those that fit, without replacement; take the one least loaded.

    ``by``: most ``free`` bytes (default), fewest ``reservations`` in the window, or fewest ``transfers``;
    ties go to the lowest index. Source: Azar, Broder, Karlin, Upfal, Balanced allocations (1994);
    M. Mitzenmacher, The power of two choices in randomized load balancing (2001).
    """

    name = "power_of_two"

    def __init__(self, d: int = 2, by: Literal["free", "reservations", "transfers"] = "free") -> None:
        if d < 1:
            raise InputError(
                f"option 'd' of the allocation policy 'power_of_two' must be at least 1, not {d}"
            )
        self.d = d
        self.by = by

    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        if self.by == "free":
            load = -view.free(request.start, request.end)
        elif self.by == "reservations":
            load = view.overlaps(request.start, request.end)
        else:
            load = view.transfers
        left = among.tolist()
        chosen: list[int] = []
        for _ in range(count):
            rest = list(left)
            drawn = [rest.pop(draw(rng, len(rest))) for _ in range(min(self.d, len(rest)))]
            best = min(drawn, key=lambda i: (int(load[i]), i))
            left.remove(best)
            chosen.append(best)
        return chosen


@POLICIES.register("lustre")
class Lustre(Policy):
    """Lustre's allocator of objects: round robin while balanced, weighted by free space otherwise.

    Balanced: (most free - fewest free) / most free < ``threshold`` (0.17) over the storages it may use;
    then round robin over servers. Otherwise a draw with weight max(0, free - penalty - server's penalty).
    Each use adds twice its charge to the penalties of the storage and of its server, and every other
    storage and server loses one charge; a charge is (1 - ``priority``) x free / storages for a storage, and
    (1 - ``priority``) x mean free of its storages / servers for a server. ``priority`` (0.90) is the weight
    of free space: 1 leaves the penalties out. Where all weights are 0: the most free.

    Source: the Lustre manual on managing free space (qos_threshold_rr 17 %, qos_prio_free 90 %) and the
    description of Lustre's lod_qos in the Fives simulator.
    """

    name = "lustre"

    def __init__(self, threshold: float = 0.17, priority: float = 0.90) -> None:
        for key, value in (("threshold", threshold), ("priority", priority)):
            if not 0.0 <= value <= 1.0:
                raise InputError(
                    f"option {key!r} of the allocation policy 'lustre' must lie in 0..1, not {value}"
                )
        self.threshold = threshold
        self.priority = priority
        self._round_robin = RoundRobin(over="group")
        self._penalty: FloatArray = np.zeros(0)
        self._server_penalty: FloatArray = np.zeros(0)

    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        free = view.free(request.start, request.end)
        usable = candidates(view, request)
        most = int(free[usable].max())
        if most - int(free[usable].min()) < self.threshold * most:
            chosen = list(self._round_robin.pick(view, request, among, count, rng))
            for index in chosen:
                self._charge(view, free, usable, index)
            return chosen
        left = among
        chosen = []
        for _ in range(count):
            index = self._draw(view, free, left, rng)
            self._charge(view, free, usable, index)
            left = left[left != index]
            chosen.append(index)
        return chosen

    def _draw(self, view: StorageView, free: IntArray, among: IntArray, rng: random.Random) -> int:
        self._sized(view)
        penalties = self._penalty[among] + self._server_penalty[view.storages.groups[among]]
        weights = np.maximum(0.0, free[among] - penalties)
        sums = np.cumsum(weights)
        total = float(sums[-1])
        if total == 0.0:
            return int(among[free[among].argmax()])
        place = int(np.searchsorted(sums, rng.random() * total, side="right"))
        return int(among[min(place, len(among) - 1)])

    def _charge(self, view: StorageView, free: IntArray, usable: IntArray, index: int) -> None:
        self._sized(view)
        groups = view.storages.groups[usable]
        wide = 1.0 - self.priority
        charges = wide * free[usable] / len(usable)
        members = np.bincount(groups, minlength=len(self._server_penalty))
        servers = np.count_nonzero(members)
        # servers without usable storages have no free bytes here, and no charge
        means = np.bincount(groups, charges * len(usable), len(members)) / np.maximum(members, 1)
        server_charges = means / servers
        server = int(view.storages.groups[index])
        before, server_before = self._penalty[index], self._server_penalty[server]
        self._penalty[usable] = np.maximum(0.0, self._penalty[usable] - charges)
        np.maximum(0.0, self._server_penalty - server_charges, out=self._server_penalty)
        self._penalty[index] = before + 2.0 * wide * int(free[index]) / len(usable)
        self._server_penalty[server] = server_before + 2.0 * server_charges[server]

    def _sized(self, view: StorageView) -> None:
        if len(self._penalty) != len(view.storages):
            self._penalty = np.zeros(len(view.storages))
            self._server_penalty = np.zeros(len(view.storages.group_names))
