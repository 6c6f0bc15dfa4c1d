"""The copies of one plan's blocks: many choices among the disks of a distributed file system, in one go."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from batfs._core import copies
from batfs._core.arrays import IntArray, np
from batfs.filesystems.blocks import Layout
from batfs.filesystems.picking import Picker
from batfs.storage.interface import AllocationPolicy, SpaceRequest, StorageView
from batfs.storage.policies.base import ScoringPolicy
from batfs.storage.policies.classic import Random, RoundRobin


class NoRoom(Exception):
    """No disk has room for so many bytes."""

    def __init__(self, size: int) -> None:
        self.size = size


class Items:
    """What is to be placed, in its order: bytes, the node they belong to, and how (``_core.copies``)."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.nodes: list[int] = []
        self.kinds: list[int] = []
        self._counts: list[int] = []

    def add(self, sizes: Sequence[int], node: int, kind: int) -> None:
        if sizes:
            self.sizes += sizes
            self.nodes.append(node)
            self.kinds.append(kind)
            self._counts.append(len(sizes))

    def columns(self) -> tuple[IntArray, IntArray, IntArray]:
        """int64[t] each: sizes, nodes, kinds."""
        columns = (np.array(c, dtype=np.int64) for c in (self.sizes, self.nodes, self.kinds, self._counts))
        sizes, nodes, kinds, counts = columns
        return sizes, nodes.repeat(counts), kinds.repeat(counts)


class Placer:
    """Places bundles by HDFS's default rule: the first copy on the writer's own node (the disk with most
    room), the second in another rack, the third in the rack of the second on another node, more anywhere.
    Never two copies on one disk; on one node only when there are too few nodes. Fewer copies when there are
    fewer disks. What is read lies by the same rule on other nodes than the reader's, or on its own disk, and
    is read from the nearest copy.

    ``room`` int64[m]: bytes left on each disk, by place; below 0: not to be used.
    """

    def __init__(
        self,
        layout: Layout,
        policy: AllocationPolicy,
        view: StorageView,
        rng: random.Random,
        room: IntArray,
        *,
        window: tuple[float, float],
        key: str,
        near: Sequence[str],
    ) -> None:
        self.layout = layout
        self.room = room
        kind, everywhere = type(policy), layout.everywhere
        ranks: IntArray = np.zeros(0, dtype=np.int64)
        self._turn = policy if isinstance(policy, RoundRobin) and kind is RoundRobin else None
        after = 0
        source: Any = None
        if self._turn is not None and self._turn.over == "storage":
            mode, after = copies.ROUND, int(everywhere.searchsorted(self._turn.last, side="right"))
        elif kind is Random:
            mode, source = copies.DRAW, rng.random
        elif isinstance(policy, ScoringPolicy) and vars(kind).get("apart"):
            mode = copies.RANK
            request = SpaceRequest(0, *window, key, near, None)
            scores = policy.score(view, request, everywhere)
            second = policy.tie_break(view, request, everywhere)
            order = np.argsort(-scores, kind="stable") if second is None else np.lexsort((-second, -scores))
            ranks = np.empty(len(order), dtype=np.int64)
            ranks[order] = np.arange(len(order))
        else:
            mode = copies.ASK
            picker = Picker(policy, view, rng, everywhere, room, window=window, key=key, near=near)
            source = picker.pick
        if mode != copies.ROUND:
            self._turn = None
        self._core: Any = copies.Copies(layout.tables, everywhere, room, mode, after, ranks, source)

    def place(self, items: Items, replication: int, *, read: bool = False, written: bool = False) -> IntArray:
        """int64[t, k]: the places of the copies of each item, k of a write, the first alone of a read.
        ``read``, ``written``: whether what is takes the room. NoRoom, with what found room until then
        placed."""
        sizes, nodes, kinds = items.columns()
        nodes[nodes >= len(self.layout.tables[4])] = -1  # buffers of a tier
        width = min(replication, len(self.room))
        out = np.full((len(sizes), width), -1, dtype=np.int64)
        found = self._core.place(sizes, nodes, kinds, width, (read, written), out)
        self._remember()
        if found < len(sizes):
            raise NoRoom(items.sizes[found])
        return out

    def copy(self, size: int, avoid: Sequence[int]) -> int | None:
        """A disk (its id) for one more copy on none of the disks ``avoid``, whose room is then taken."""
        out = np.zeros(1, dtype=np.int64)
        places = np.array([self.layout.places[disk] for disk in avoid], dtype=np.int64)
        found = self._core.avoiding(size, places, 1, out)
        self._remember()
        if found < 1:
            return None
        self.room[out[0]] -= size
        return int(self.layout.ids[out[0]])

    def _remember(self) -> None:
        if self._turn is not None:
            after = self._core.reached()
            self._turn.last = int(self.layout.everywhere[after - 1]) if after else -1
