"""Data sets of a distributed file system between jobs: what is copied again and balanced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from batfs.filesystems.blocks import Bundle, Layout
from batfs.filesystems.data_sets import DataSet, DataSets
from batfs.filesystems.interface import Move, Placement, Transfer
from batfs.filesystems.placer import Placer
from batfs.filesystems.traffic import from_transfers
from batfs.records import record


@record(frozen=False)
class _Pending:
    """A move under way: a copy of ``bundle`` to ``target``; ``old`` is the copy it replaces, if any."""

    name: str
    bundle: Bundle
    target: int
    old: int | None


def _of(data_set: DataSet | None) -> list[Bundle]:
    """The parts of a set, which are all bundles here; none of one that isn't there."""
    return [] if data_set is None else cast(list[Bundle], data_set.parts)


class Keeper:
    """Looks after the data sets ``book`` of a file system, with ``replication`` copies of each bundle.

    At most ``most`` moves are under way at once (HDFS limits replication streams likewise).
    """

    def __init__(self, book: DataSets, layout: Layout, replication: int, most: int) -> None:
        self.book = book
        self.layout = layout
        self.replication = min(replication, len(layout.disks))
        self.most = most
        self.dead: set[int] = set()  # disks that are away
        self._pending: dict[str, _Pending] = {}

    def key(self, name: str, bundle: Bundle, disk: int) -> str:
        """Under what name the books keep one copy."""
        return bundle.key(self.book.key(name), disk)

    def _bundles(self) -> Iterator[tuple[str, Bundle]]:
        """Those that stay, with the names of their sets."""
        for name, data_set in self.book.sets.items():
            for bundle in _of(data_set):
                yield name, bundle

    def parts(self, name: str) -> list[Bundle]:
        """The bundles of a set that can be read: with at least one copy at hand."""
        return [bundle for bundle in _of(self.book.sets.get(name)) if self.alive(bundle)]

    def alive(self, bundle: Bundle) -> list[int]:
        """Its copies on disks that are there."""
        return [disk for disk in bundle.copies if disk not in self.dead]

    def bytes_on(self) -> dict[int, int]:
        """Kept bytes of each disk, as they will be when the moves under way have ended."""
        out = dict.fromkeys(self.layout.disks, 0)
        left = [bundle for data_set in self.book.leaving for bundle in _of(data_set)]
        for bundle in (*(bundle for _, bundle in self._bundles()), *left):
            for disk in bundle.copies:
                out[disk] += bundle.size
        for pending in self._pending.values():
            if self._stays(pending):
                out[pending.target] += pending.bundle.size
                if pending.old in pending.bundle.copies:
                    out[pending.old] -= pending.bundle.size
        return out

    def _stays(self, pending: _Pending) -> bool:
        """Whether the set of what is moving is still there, and the bundle in it."""
        data_set = self.book.sets.get(pending.name)
        return data_set is not None and pending.bundle in data_set.parts

    # ---- upkeep -------------------------------------------------------------------------------------------

    def lost(self, disks: Sequence[int]) -> None:
        """These disks are away; their copies no longer count (they do again when the disks come back)."""
        self.dead |= {disk for disk in disks if disk in self.layout.disks}

    def back(self, disks: Sequence[int]) -> None:
        """These disks are there again; copies too many are dropped, the last ones first."""
        self.dead -= set(disks)
        for name, bundle in self._bundles():
            while len(self.alive(bundle)) > self.replication:
                disk = self.alive(bundle)[-1]
                bundle.copies.remove(disk)
                self.book.give_back([self.key(name, bundle, disk)])
                self.book.changed(name)

    def hidden(self, name: str) -> list[Bundle]:
        """The bundles of a set of which every copy is away."""
        return [bundle for bundle in _of(self.book.sets.get(name)) if not self.alive(bundle)]

    def readable(self, name: str) -> int:
        """Bytes of a set that can be read."""
        return sum(bundle.size for bundle in self.parts(name))

    def erased(self, disks: Sequence[int]) -> None:
        """What these disks held is gone: moves to them were for nothing."""
        gone = set(disks)
        for pending in self._pending.values():
            if pending.target in gone:
                pending.name = ""

    def replicate(self, room: dict[int, int], placer: Placer) -> list[Move]:
        """Copies for bundles that have too few, each from its first copy to a disk the placement rule
        finds."""
        moves: list[Move] = []
        for name, bundle in self._bundles():
            alive = self.alive(bundle)
            coming = [p.target for p in self._pending.values() if p.bundle is bundle]
            if len(self._pending) >= self.most:
                return moves
            if not alive or len(alive) + len(coming) >= self.replication:
                continue
            avoid = [*bundle.copies, *coming, *self.dead]
            found = placer.copy(bundle.size, avoid)
            if found is not None:
                room[found] -= bundle.size
                moves.append(self._move("replicate", name, bundle, alive[0], found, None))
        return moves

    def balance(
        self, room: dict[int, int], capacity: Mapping[int, int], threshold: float, busy: Callable[[str], bool]
    ) -> list[Move]:
        """HDFS's balancer: while the fullest disk is more than ``threshold`` (a part of its capacity) above
        the mean, one of its bundles moves to the emptiest disk that has none of it. ``busy`` sets stay."""
        kept = self.bytes_on()
        here = [disk for disk in self.layout.disks if disk not in self.dead and capacity[disk]]
        moves: list[Move] = []
        moving = {id(pending.bundle) for pending in self._pending.values()}
        while here and len(self._pending) < self.most:
            part = {disk: kept[disk] / capacity[disk] for disk in here}
            mean = sum(kept[disk] for disk in here) / sum(capacity[disk] for disk in here)
            full = max(here, key=lambda disk: (part[disk], -disk))
            if part[full] - mean <= threshold:
                return moves
            candidates = [
                (name, bundle)
                for name, bundle in self._bundles()
                if not busy(name)
                if full in bundle.copies and id(bundle) not in moving
            ]
            move: Move | None = None
            for name, bundle in candidates:
                to = [d for d in here if d not in bundle.copies and room[d] >= bundle.size]
                if not to:
                    continue
                target = min(to, key=lambda disk: (part[disk], disk))
                if part[target] + bundle.size / capacity[target] < part[full]:
                    move = self._move("balance", name, bundle, full, target, full)
                    room[target] -= bundle.size
                    kept[full] -= bundle.size
                    kept[target] += bundle.size
                    moving.add(id(bundle))
                    break
            if move is None:
                return moves
            moves.append(move)
        return moves

    def _move(self, kind: str, name: str, bundle: Bundle, source: int, target: int, old: int | None) -> Move:
        key = self.key(name, bundle, target)
        self._pending[key] = _Pending(name, bundle, target, old)
        # between disks of nodes the bytes pass the disks' own links; their nodes only route them
        traffic = from_transfers([Transfer(source, target, bundle.size)])
        return Move(kind, traffic, (Placement(target, bundle.size, key),), key)

    def moved(self, move: Move, success: bool | None) -> None:
        """A move has ended (None: it was never sent); its copy counts from now on if its set still exists."""
        pending = self._pending.pop(move.tag)
        if success is None:
            return
        if not success or not self._stays(pending):
            self.book.give_back([move.tag])
            return
        self.book.changed(pending.name)
        pending.bundle.copies.append(pending.target)
        if pending.old is not None and pending.old in pending.bundle.copies:
            pending.bundle.copies.remove(pending.old)
            self.book.give_back([self.key(pending.name, pending.bundle, pending.old)])
