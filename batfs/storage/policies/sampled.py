"""Policies that draw: two choices, and Lustre's allocator."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from batfs._core.arrays import np
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
    apart = True

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
    then round robin over servers, and penalties are forgotten. Otherwise a draw with weight
    max(0, free - penalty - server's penalty). A unit of penalty is (1 - ``priority``) x free /
    (storages - 1) / 2 for a storage (twice that where there is one server), and (1 - ``priority``) x mean
    free of its storages / (servers - 1) / 2 for a server. A use halves the penalties of the storage and of
    its server, adds as many units to them as there are storages and servers, and takes one unit from every
    penalty. ``priority`` (232/256) is the weight of free space: 1 leaves the penalties out. Where all
    weights are 0: the most free.

    Source: the Lustre manual on managing free space (qos_threshold_rr 17 %, qos_prio_free 91 %) and what
    ``lctl get_param lod.*.qos_*`` shows; of lod_qos's rules the decay with wall-clock time is left out.
    """

    name = "lustre"

    def __init__(self, threshold: float = 0.17, priority: float = 232 / 256) -> None:
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
        self._all: _Usable | None = None

    def pick(
        self, view: StorageView, request: SpaceRequest, among: IntArray, count: int, rng: random.Random
    ) -> Sequence[int]:
        free = view.free(request.start, request.end)
        usable = self._usable(view, request)
        there = free[usable.indices]
        most = int(there.max())
        if most - int(there.min()) < self.threshold * most:
            self._penalty[:] = 0.0
            self._server_penalty[:] = 0.0
            return list(self._round_robin.pick(view, request, among, count, rng))
        units = self._units(there, usable)
        left = among
        chosen = []
        for _ in range(count):
            index = self._draw(view, free, left, rng)
            self._charge(usable, units, index)
            if count > 1:
                left = left[left != index]
            chosen.append(index)
        return chosen

    def _usable(self, view: StorageView, request: SpaceRequest) -> _Usable:
        if len(self._penalty) != len(view.storages):
            self._penalty = np.zeros(len(view.storages))
            self._server_penalty = np.zeros(len(view.storages.group_names))
        if request.candidates is not None:
            return _Usable(view, candidates(view, request))
        if self._all is None or self._all.storages is not view.storages:
            self._all = _Usable(view, candidates(view, request))
        return self._all

    def _draw(self, view: StorageView, free: IntArray, among: IntArray, rng: random.Random) -> int:
        penalties = self._penalty[among] + self._server_penalty[view.storages.groups[among]]
        weights = np.maximum(0.0, free[among] - penalties)
        sums = weights.cumsum()
        total = float(sums[-1])
        if total == 0.0:
            return int(among[free[among].argmax()])
        place = int(sums.searchsorted(rng.random() * total, side="right"))
        return int(among[min(place, len(among) - 1)])

    def _units(self, there: IntArray, usable: _Usable) -> tuple[FloatArray, FloatArray]:
        """A unit of penalty of each usable storage (``there``: its free bytes), and of each server."""
        wide = (1.0 - self.priority) / 2.0
        means = np.bincount(usable.groups, there, len(usable.members)) / usable.members
        # one server can't be passed over: its storages' penalties are doubled instead
        single = 2.0 if usable.servers == 1 else 1.0
        units = there * (single * wide / max(1, len(there) - 1))
        return units.astype(np.float64), (means * (wide / max(1, usable.servers - 1))).astype(np.float64)

    def _charge(self, usable: _Usable, units: tuple[FloatArray, FloatArray], index: int) -> None:
        unit, server_unit = units
        server = usable.group_of[index]
        place = int(usable.indices.searchsorted(index))
        self._penalty[index] = self._penalty[index] / 2.0 + unit[place] * len(unit)
        self._server_penalty[server] = (
            self._server_penalty[server] / 2.0 + server_unit[server] * usable.servers
        )
        self._penalty[usable.indices] = np.maximum(0.0, self._penalty[usable.indices] - unit)
        np.maximum(0.0, self._server_penalty - server_unit, out=self._server_penalty)


class _Usable:
    """The storages a request may use, and the servers they stand behind."""

    def __init__(self, view: StorageView, indices: IntArray) -> None:
        self.storages = view.storages
        self.group_of = view.storages.groups
        self.indices = indices
        self.groups = self.group_of[indices]
        members = np.bincount(self.groups, minlength=len(view.storages.group_names))
        self.servers = int(np.count_nonzero(members))
        self.members = np.maximum(members, 1)  # a server without any has no free bytes and no charge
