"""Blocks of a distributed file system: where copies go (HDFS's rule) and which copy is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from batfs.filesystems.picking import Picker, without
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
    """Some blocks that share their fate: ``size`` bytes with a copy on each of ``copies`` (storage ids);
    ``name`` is its own within a data set;
    ``written``: by a job (not there before the simulation)."""

    size: int
    copies: list[int] = field(default_factory=list)
    name: str = ""
    written: bool = False


_NOWHERE = np.zeros(0, dtype=np.int64)


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
        self._disk_at = dict(zip(positions, self.disks.values(), strict=True))
        self._of_node: dict[int | None, list[int]] = {
            node: [self.position[disk.id] for disk in disks] for node, disks in self.of_node.items()
        }
        # no node has disks in two racks
        self._racked = all(len({disk.rack for disk in disks}) == 1 for disks in self.of_node.values())
        racks: dict[str, list[int]] = {}
        for position, disk in self._disk_at.items():
            racks.setdefault(disk.rack, []).append(position)
        self._in_rack = {rack: np.array(members, dtype=np.int64) for rack, members in racks.items()}
        everywhere = np.array(positions, dtype=np.int64)
        self._not_in_rack = {
            rack: everywhere[~np.isin(everywhere, members)] for rack, members in self._in_rack.items()
        }

    def place(
        self, size: int, replication: int, writer: int | None, picker: Picker, avoid: Sequence[int] = ()
    ) -> list[int] | None:
        """Disks for the copies of ``size`` bytes written by the node ``writer``, in pipeline order.

        HDFS's default rule: the first copy on the writer's own node (the disk with most room), the second in
        another rack, the third in the rack of the second on another node, more anywhere. Never two copies on
        one disk; on one node only when there are too few nodes. None when some copy finds no room. Fewer
        copies when there are fewer disks than ``replication``.
        """
        out: list[Disk] = []
        if writer is not None:
            own = self.own_disk(writer, size, picker, avoid)
            if own is not None:
                out.append(own)
        position, place_of_node = self.position, self._of_node
        away = [position[disk] for disk in avoid]
        taken = list(away)
        near = list(away)  # what is on the nodes of the copies before it, too
        for disk in out:
            taken.append(position[disk.id])
            near += place_of_node.get(disk.node, ()) or (position[disk.id],)
        for k in range(len(out), min(replication, len(self.disks))):
            among = _NOWHERE
            if k == 1:
                rack = out[0].rack
                among = picker.narrowed(size, self._not_in_rack[rack], (rack, False))
                if away or not self._racked:
                    among = without(among, near)
            elif k == 2:
                rack = out[1].rack
                among = without(picker.narrowed(size, self._in_rack[rack], (rack, True)), near)
            if not len(among):
                among = without(picker.fitting(size), near)
                if not len(among):
                    among = without(picker.fitting(size), taken)
            chosen = picker.pick(among, size)
            if chosen is None:
                return None
            disk = self._disk_at[chosen]
            out.append(disk)
            taken.append(chosen)
            near += place_of_node.get(disk.node, ()) or (chosen,)
        return [disk.id for disk in out]

    def own_disk(self, node: int, size: int, picker: Picker, avoid: Sequence[int] = ()) -> Disk | None:
        """The disk of a node with most room, if that is enough."""
        best: Disk | None = None
        most = size - 1
        for disk in self.of_node.get(node, ()):
            room = picker.room(self.position[disk.id])
            if room > most and disk.id not in avoid:
                best, most = disk, room
        return best

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


def bundles(size: int, block_size: int, most: int) -> list[int]:
    """Sizes of at most ``most`` bundles of whole blocks for ``size`` bytes; the last block is partial."""
    blocks = -(-size // block_size)
    if not blocks:
        return []
    count = min(most, blocks)
    each, more = divmod(blocks, count)
    parts = [(each + 1) * block_size] * more + [each * block_size] * (count - more)
    parts[-1] -= blocks * block_size - size
    return parts


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
