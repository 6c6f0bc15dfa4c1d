"""Many choices of one plan: the room left on each storage, and the policy asked again and again.

A plan of a thousand nodes asks the allocation policy thousands of times. What is the same from one question
to the next (which storages have room for a piece of this size) is kept, and policies of the usual shape are
asked for the best of these at once, without filtering them again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from batfs._core.arrays import IntArray, np
from batfs.storage.interface import AllocationPolicy, SpaceRequest, StorageView


class Picker:
    """Choices among the storages of one file system. Sets of storages are ascending int64 arrays of positions
    in the view; ``room``: bytes left by position (negative: not to be used)."""

    def __init__(
        self,
        policy: AllocationPolicy,
        view: StorageView,
        rng: random.Random,
        positions: IntArray,
        room: IntArray,
        *,
        window: tuple[float, float],
        key: str,
        near: Sequence[str] = (),
    ) -> None:
        self._policy = policy
        self._view = view
        self._rng = rng
        self._positions = positions
        self._places: Mapping[int, int] = {p: k for k, p in enumerate(positions.tolist())}
        self._room: list[int] = room.tolist()
        self._window = window
        self._key = key
        self._near = near
        kind = type(policy)
        methods = [getattr(kind, name, None) for name in ("choose", "pick")]
        self._best: Any = None
        if all(getattr(method, "by_fit", False) for method in methods):
            self._best = getattr(policy, "pick", None)
        self._requests: dict[int, SpaceRequest] = {}
        self._kept: dict[int, IntArray] = {}

    @property
    def quick(self) -> bool:
        """Whether the policy is of the usual shape: then it never splits what it is asked for."""
        return self._best is not None

    def room(self, position: int) -> int:
        """Bytes left on one storage."""
        return self._room[self._places[position]]

    def take(self, position: int, size: int) -> None:
        """So many bytes less are left there."""
        place = self._places[position]
        before = self._room[place]
        after = self._room[place] = before - size
        if self._kept:
            gone = [wanted for wanted in self._kept if after < wanted <= before]
            for wanted in gone:
                del self._kept[wanted]

    def fitting(self, size: int) -> IntArray:
        """Where ``size`` bytes find room."""
        found = self._kept.get(size)
        if found is None:
            found = self._kept[size] = self._positions[np.array(self._room) >= size]
        return found

    def pick(self, among: IntArray, size: int, near: Sequence[str] | None = None) -> int | None:
        """The policy's choice for ``size`` bytes among positions that all have the room; None if it finds
        none. ``near``: hosts that will use them, if others than for the whole plan."""
        if not len(among):
            return None
        if near is not None:
            self._near = near
            self._requests.clear()
        if self._best is not None:
            request = self._requests.get(size)
            if request is None:
                request = self._requests[size] = self._request(size, None)
            return int(self._best(self._view, request, among, 1, self._rng)[0])
        shares = self._policy.choose(self._view, self._request(size, among), self._rng)
        return shares[0].index if shares else None

    def _request(self, size: int, among: IntArray | None) -> SpaceRequest:
        return SpaceRequest(size, *self._window, self._key, self._near, among)
