"""Blocks of a distributed file system: where copies go (HDFS's rule) and which copy is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from batfs._core.arrays import IntArray, np
from batfs.filesystems.interface import Placement
from batfs.protocol.messages import Resource
from batfs.records import field, record


@record
class Disk:
    """A disk of the file system: its storage id, the compute node it sits in (None: a data server of its own)
    and its rack ("" where nobody says)."""

    id: int
    node: int | None
    rack: str


@record(frozen=False, eq=False)
class Bundle:
    """Some blocks that share their fate: a :class:`~batfs.filesystems.interface.Part` with a copy on each of
    ``copies`` (storage ids), each with a key of its own in the books."""

    size: int
    copies: list[int] = field(default_factory=list)
    name: str = ""

    @property
    def held(self) -> dict[int, int]:
        """Bytes on each storage."""
        return dict.fromkeys(self.copies, self.size)

    def placements(self, of: str) -> list[Placement]:
        """See ``Part.placements``."""
        return [Placement(disk, self.size, self.key(of, disk)) for disk in self.copies if self.size]

    def keys(self, of: str) -> list[str]:
        """See ``Part.keys``."""
        return [self.key(of, disk) for disk in self.copies] if self.size else []

    def erase(self, of: str, gone: Collection[int]) -> list[str]:
        """See ``Part.erase``: the copies there."""
        lost = [disk for disk in self.copies if disk in gone]
        self.copies = [disk for disk in self.copies if disk not in gone]
        return [self.key(of, disk) for disk in lost] if self.size else []

    def key(self, of: str, disk: int) -> str:
        """The key of one copy."""
        return f"{of}#{self.name}@{disk}"


class Layout:
    """The disks of one file system by node and by rack. ``positions``: where they stand in the view."""

    def __init__(
        self, storages: Sequence[Resource], positions: Sequence[int], nodes: Sequence[Resource]
    ) -> None:
        by_name = {node.name: node for node in nodes}
        self.disks: dict[int, Disk] = {}
        for storage in storages:
            host = by_name.get(storage.property("node") or "")
            rack = storage.property("rack") or (host.property("rack") if host else None) or ""
            self.disks[storage.id] = Disk(storage.id, host.id if host else None, rack)
        self.of_node: dict[int, list[Disk]] = {}
        for disk in self.disks.values():
            if disk.node is not None:
                self.of_node.setdefault(disk.node, []).append(disk)
        self.rack_of_node = {node.id: node.property("rack") or "" for node in nodes}
        for node, disks in self.of_node.items():
            self.rack_of_node[node] = self.rack_of_node.get(node) or disks[0].rack
        self.position = dict(zip(self.disks, positions, strict=True))
        #: int64[m] by place: the ids of the disks, and who passes their bytes on (without a node they do)
        self.ids: IntArray = np.array(list(self.disks), dtype=np.int64)
        self.senders: IntArray = np.array(
            [disk.id if disk.node is None else disk.node for disk in self.disks.values()], dtype=np.int64
        )
        self.places = {disk: place for place, disk in enumerate(self.disks)}
        self.everywhere: IntArray = np.array(positions, dtype=np.int64)
        self.tables = self._tables()

    def _tables(self) -> tuple[IntArray, ...]:
        """What ``_core.copies`` knows of disks and nodes."""
        number: dict[str, int] = {}
        racks = [number.setdefault(disk.rack, len(number)) for disk in self.disks.values()]
        nodes = [-1 if disk.node is None else disk.node for disk in self.disks.values()]
        top = 1 + max(self.rack_of_node, default=-1)
        own = [[self.places[disk.id] for disk in self.of_node.get(node, ())] for node in range(top)]
        first = np.cumsum([0, *map(len, own)])
        rack_of = [
            number.setdefault(rack, len(number)) if (rack := self.rack_of_node.get(node)) else -1
            for node in range(top)
        ]
        columns = (racks, nodes, first, [place for places in own for place in places], rack_of)
        return tuple(np.array(column, dtype=np.int64) for column in columns)

    def nearest(self, node: int, copies: Sequence[int]) -> int:
        """The copy read by ``node``: on itself, else in its rack, else the first."""
        for copy in copies:
            if self.disks[copy].node == node:
                return copy
        rack = self.rack_of_node.get(node, "")
        for copy in copies:
            if rack and self.disks[copy].rack == rack:
                return copy
        return copies[0]


@lru_cache(maxsize=1024)
def bundles(size: int, block_size: int, most: int) -> Sequence[int]:
    """Sizes of at most ``most`` bundles of whole blocks for ``size`` bytes; the last block is partial."""
    blocks = -(-size // block_size)
    if not blocks:
        return ()
    count = min(most, blocks)
    each, more = divmod(blocks, count)
    parts = [(each + 1) * block_size] * more + [each * block_size] * (count - more)
    parts[-1] -= blocks * block_size - size
    return tuple(parts)


def assign(
    layout: Layout, parts: Sequence[Bundle], nodes: Sequence[int], quotas: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Who reads what: (node, disk, bytes) so that node i reads ``quotas[i]`` bytes of ``parts`` in all.

    Greedy, as delay scheduling would end up: first every node takes what lies on it, then what lies in its
    rack, then the rest. The parts hold at least the sum of the quotas.
    """
    left = dict(zip(nodes, quotas, strict=True))
    rest = [part.size for part in parts]
    out: list[tuple[int, int, int]] = []

    def take(node: int, k: int, disk: int) -> None:
        amount = min(left[node], rest[k])
        if amount:
            left[node] -= amount
            rest[k] -= amount
            out.append((node, disk, amount))

    for k, part in enumerate(parts):
        for copy in part.copies:
            node = layout.disks[copy].node
            if node is not None and node in left:
                take(node, k, copy)
    for same_rack in (True, False):
        needy = [node for node in nodes if left[node]]
        for k, part in enumerate(parts):
            for node in needy:
                if not rest[k]:
                    break
                copy = layout.nearest(node, part.copies)
                if same_rack and layout.disks[copy].rack != layout.rack_of_node.get(node, ""):
                    continue
                take(node, k, copy)
    return out
