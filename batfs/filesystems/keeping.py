"""Data sets of a distributed file system between jobs: what is kept, copied again, balanced and dropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from batfs.filesystems.blocks import Bundle, Layout
from batfs.filesystems.interface import Move, Placement, Transfer
from batfs.filesystems.placer import Placer
from batfs.filesystems.traffic import from_transfers
from batfs.records import field, record


@record(frozen=False)
class DataSet:
    """Bytes that outlive their job, in bundles of blocks with their copies."""

    name: str
    parts: list[Bundle] = field(default_factory=list)


@record(frozen=False)
class _Pending:
    """A move under way: a copy of ``bundle`` to ``target``; ``old`` is the copy it replaces, if any."""

    name: str
    bundle: Bundle
    target: int
    old: int | None


class Keeper:
    """The data sets of the file system ``filesystem``, with ``replication`` copies of each bundle.

    At most ``most`` moves are under way at once (HDFS limits replication streams likewise). Bytes are known
    to the books under ``key``; those that go are named once by ``released``.
    """

    def __init__(self, filesystem: str, layout: Layout, replication: int, most: int) -> None:
        self.filesystem = filesystem
        self.layout = layout
        self.replication = min(replication, len(layout.disks))
        self.most = most
        self.sets: dict[str, DataSet] = {}
        self.dead: set[int] = set()  # disks that are away
        self._pending: dict[str, _Pending] = {}
        self._released: list[str] = []
        self._writing: dict[str, list[tuple[str, Bundle]]] = {}  # job -> what it adds
        self._deleting: dict[str, list[str]] = {}  # job -> the sets it deletes when it succeeds

    def key(self, name: str, bundle: Bundle, disk: int) -> str:
        """Under what name the books keep one copy."""
        return f"{self.filesystem}/{name}#{bundle.name}@{disk}"

    def parts(self, name: str) -> list[Bundle]:
        """The bundles of a set that can be read: with at least one copy at hand."""
        found = self.sets.get(name)
        return [] if found is None else [b for b in found.parts if self.alive(b)]

    def alive(self, bundle: Bundle) -> list[int]:
        """Its copies on disks that are there."""
        return [disk for disk in bundle.copies if disk not in self.dead]

    def bytes_on(self) -> dict[int, int]:
        """Kept bytes of each disk, as they will be when the moves under way have ended."""
        out = dict.fromkeys(self.layout.disks, 0)
        for data_set in self.sets.values():
            for bundle in data_set.parts:
                for disk in bundle.copies:
                    out[disk] += bundle.size
        for pending in self._pending.values():
            if pending.bundle.copies:  # its set is still there
                out[pending.target] += pending.bundle.size
                if pending.old in pending.bundle.copies:
                    out[pending.old] -= pending.bundle.size
        return out

    # ---- jobs ---------------------------------------------------------------------------------------------

    def started(self, job_id: str, sets: Mapping[str, Sequence[Bundle]], delete: str) -> None:
        """A job adds these bundles; with ``delete`` it removes that set when it has succeeded."""
        for name, parts in sets.items():
            self.sets.setdefault(name, DataSet(name)).parts.extend(parts)
            written = [(name, bundle) for bundle in parts if bundle.written]
            self._writing.setdefault(job_id, []).extend(written)
        if delete:
            self._deleting.setdefault(job_id, []).append(delete)

    def ended(self, job_id: str, success: bool) -> None:
        """What a failed job has written is dropped, half written as it is."""
        written = self._writing.pop(job_id, [])
        deleted = dict.fromkeys(self._deleting.pop(job_id, ()))
        if not success:
            for name, bundle in written:
                if name in self.sets:  # nobody has deleted it meanwhile
                    self._drop(name, bundle)
            return
        for name in deleted:
            for bundle in list(self.sets[name].parts) if name in self.sets else ():
                self._drop(name, bundle)

    def _drop(self, name: str, bundle: Bundle) -> None:
        parts = self.sets[name].parts
        if bundle in parts:
            parts.remove(bundle)
            self._released += [self.key(name, bundle, disk) for disk in bundle.copies]
            bundle.copies.clear()
        if not parts:
            del self.sets[name]

    # ---- upkeep -------------------------------------------------------------------------------------------

    def lost(self, disks: Sequence[int]) -> None:
        """These disks are away; their copies no longer count (they do again when the disks come back)."""
        self.dead |= {disk for disk in disks if disk in self.layout.disks}

    def back(self, disks: Sequence[int]) -> None:
        """These disks are there again; copies too many are dropped, the last ones first."""
        self.dead -= set(disks)
        for name, data_set in self.sets.items():
            for bundle in data_set.parts:
                while len(self.alive(bundle)) > self.replication:
                    disk = self.alive(bundle)[-1]
                    bundle.copies.remove(disk)
                    self._released.append(self.key(name, bundle, disk))

    def hidden(self, name: str) -> list[Bundle]:
        """The bundles of a set of which every copy is away."""
        found = self.sets.get(name)
        return [] if found is None else [b for b in found.parts if not self.alive(b)]

    def readable(self, name: str) -> int:
        """Bytes of a set that can be read."""
        return sum(bundle.size for bundle in self.parts(name))

    def erased(self, disks: Sequence[int]) -> None:
        """What these disks held is gone, and so is a bundle without another copy; moves to them were for
        nothing."""
        gone = set(disks)
        for name, data_set in list(self.sets.items()):
            for bundle in list(data_set.parts):
                mine = [disk for disk in bundle.copies if disk in gone]
                self._released += [self.key(name, bundle, disk) for disk in mine]
                bundle.copies = [disk for disk in bundle.copies if disk not in gone]
                if mine and not bundle.copies:
                    data_set.parts.remove(bundle)
            if not data_set.parts:
                del self.sets[name]
        for pending in self._pending.values():
            if pending.target in gone:
                pending.name = ""

    def replicate(self, room: dict[int, int], placer: Placer) -> list[Move]:
        """Copies for bundles that have too few, each from its first copy to a disk the placement rule
        finds."""
        moves: list[Move] = []
        for name, data_set in self.sets.items():
            for bundle in data_set.parts:
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
                for name, data_set in self.sets.items()
                if not busy(name)
                for bundle in data_set.parts
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
        data_set = self.sets.get(pending.name)
        if not success or data_set is None or pending.bundle not in data_set.parts:
            self._released.append(move.tag)
            return
        pending.bundle.copies.append(pending.target)
        if pending.old is not None and pending.old in pending.bundle.copies:
            pending.bundle.copies.remove(pending.old)
            self._released.append(self.key(pending.name, pending.bundle, pending.old))

    def released(self) -> list[str]:
        out, self._released = self._released, []
        return out
