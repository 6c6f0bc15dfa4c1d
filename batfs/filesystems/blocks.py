"""Blocks of a distributed file system: where copies go (HDFS's rule) and which copy is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from batfs.filesystems.traffic import split_evenly
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


#: Picks one of these disks for so many bytes; None when the policy finds none.
Pick = Callable[[Sequence[Disk], int], Disk | None]


class Layout:
    """The disks of one file system by node and by rack."""

    def __init__(self, storages: Sequence[Resource], nodes: Sequence[Resource]) -> None:
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

    def place(
        self,
        size: int,
        replication: int,
        writer: int | None,
        room: Mapping[int, int],
        pick: Pick,
        avoid: Iterable[int] = (),
    ) -> list[int] | None:
        """Disks for the copies of ``size`` bytes written by the node ``writer``, in pipeline order.

        HDFS's default rule: the first copy on the writer's own node (the disk with most room), the second in
        another rack, the third in the rack of the second on another node, more anywhere. Never two copies on
        one disk; on one node only when there are too few nodes. None when some copy finds no room. Fewer
        copies when there are fewer disks than ``replication``.
        """
        out: list[Disk] = []
        avoided = set(avoid)
        if writer is not None:
            own = [d for d in self.of_node.get(writer, ()) if room[d.id] >= size and d.id not in avoided]
            if own:
                out.append(max(own, key=lambda disk: (room[disk.id], -disk.id)))
        for k in range(len(out), min(replication, len(self.disks))):
            taken = {disk.id for disk in out}
            fits = [
                disk
                for disk in self.disks.values()
                if room[disk.id] >= size and disk.id not in taken and disk.id not in avoided
            ]
            if not fits:
                return None
            used_nodes = {disk.node for disk in out if disk.node is not None}
            wishes: list[list[Disk]] = []
            elsewhere = [disk for disk in fits if disk.node is None or disk.node not in used_nodes]
            if k == 1:
                wishes.append([disk for disk in elsewhere if disk.rack != out[0].rack])
            elif k == 2:
                wishes.append([disk for disk in elsewhere if disk.rack == out[1].rack])
            wishes += [elsewhere, fits]
            chosen = pick(next(wish for wish in wishes if wish), size)
            if chosen is None:
                return None
            out.append(chosen)
        return [disk.id for disk in out]

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
    parts = [b * block_size for b in split_evenly(blocks, min(most, blocks)).tolist()]
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
