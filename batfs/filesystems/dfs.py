"""DFS: a distributed file system like HDFS. docs/background/dfs.md explains it with a figure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from batfs._core.arrays import IntArray, np
from batfs._core.copies import NEAR, OWN, WRITE
from batfs.errors import InputError
from batfs.filesystems.base import MODELS, Model, Reserve, Timing
from batfs.filesystems.blocks import Bundle, Layout, assign, bundles
from batfs.filesystems.interface import (
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Outcome,
    Placement,
    SetPart,
    Setup,
    Traffic,
    Transfer,
    Volume,
)
from batfs.filesystems.keeping import Keeper
from batfs.filesystems.placer import Items, NoRoom, Placer
from batfs.filesystems.traffic import from_transfers, split_by, split_evenly
from batfs.plugins import Size
from batfs.records import record
from batfs.storage.interface import StorageView


@record(frozen=False)
class _Draft:
    """A plan in the making: the room left on each disk, and what has been decided so far. ``held``: bytes by
    place."""

    request: IoRequest
    view: StorageView
    placer: Placer
    held: IntArray
    reads: Sequence[Traffic] = ()
    writes: Sequence[Traffic] = ()
    internal: Sequence[Traffic] = ()


@MODELS.register("dfs")
class DistributedFileSystem(Model):
    """Blocks on the disks of the nodes (or of data servers), copied node to node, read where they are near.

    ``block_size``, ``replication``; ``locality``: the part of its own input a job reads from its nodes' own
    disks (0 to 1), drawn uniformly within ``locality_spread`` around it; ``pipelines``: into how many bundles
    of blocks a node's bytes are cut at most, each placed on its own. A data set is read from its nearest
    copies. With dynamic jobs, copies lost with a machine that is away are made again
    from the others (``rereplicate``), and the balancer runs when a disk is fuller than the mean by more than
    ``balance`` of its capacity (0: never; HDFS's default is 0.1); at most ``upkeep`` such moves at a time.
    """

    job_options = ("data_set", "delete")

    def __init__(
        self,
        setup: Setup,
        *,
        block_size: Size = 128 << 20,
        replication: int = 3,
        locality: float = 1.0,
        locality_spread: float = 0.0,
        pipelines: int = 4,
        rereplicate: bool = True,
        balance: float = 0.0,
        upkeep: int = 4,
        timing: Timing = "overlap",
        reserve: Reserve = "both",
    ) -> None:
        super().__init__(setup, timing=timing, reserve=reserve)
        if block_size < 1 or replication < 1 or pipelines < 1:
            raise InputError("block_size, replication and pipelines must be at least 1")
        if not 0 <= locality <= 1 or not 0 <= locality_spread <= 1:
            raise InputError("locality and locality_spread are parts from 0 to 1")
        self.block_size = block_size
        self.replication = replication
        self.locality = locality
        self.locality_spread = locality_spread
        self.pipelines = pipelines
        self.layout = Layout(setup.storages, setup.positions, setup.nodes)
        self.rereplicate = rereplicate
        self.balance = balance
        self.keeper = Keeper(self.data_sets, self.layout, replication, upkeep)

    # ---- planning -----------------------------------------------------------------------------------------

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        read, written = self._counted(volume)
        return {self.name: read + written}

    def _counted(self, volume: Volume) -> tuple[int, int]:
        """(bytes read, bytes of all copies written) that count against the capacity, by ``reserve``."""
        read, written = volume.reads, self.keeper.replication * volume.writes
        if self.reserve == "both":
            return read, written
        if self.reserve == "max":
            return (read, 0) if read > written else (0, written)
        return (read, 0) if self.reserve == "reads" else (0, written)

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        draft = _Draft(
            request, view, self._placer(request, view, rng), np.zeros(len(self.position), np.int64)
        )
        volume, nodes = request.volume, request.nodes
        read_parts = split_evenly(volume.reads, len(nodes)).tolist()
        write_parts = split_evenly(volume.writes, len(nodes)).tolist()
        try:
            if volume.reads:
                self._read_own(draft, read_parts, rng)
            if volume.writes:
                self._write(draft, self._items(nodes, write_parts))
        except NoRoom as short:
            return self._hold(draft, short.size)
        plan = IoPlan(self.name, timing=self.timing_of(request))
        ids, held = self.layout.ids, draft.held
        there = np.flatnonzero(held)
        own = zip(ids[there].tolist(), held[there].tolist(), strict=True)
        plan.placements = [Placement(disk, size) for disk, size in own if size]
        plan.reads, plan.writes, plan.internal = draft.reads, draft.writes, draft.internal
        if volume.reads:
            read = draft.reads[0]
            local = read.sizes[self.layout.senders[ids.searchsorted(read.sources)] == read.destinations]
            plan.notes = {"locality": int(local.sum()) / volume.reads}
        return plan

    def _items(self, nodes: Sequence[int], sizes: Sequence[int]) -> Items:
        """What so many bytes of each node are cut into."""
        items = Items()
        for node, size in zip(nodes, sizes, strict=True):
            items.add(bundles(size, self.block_size, self.pipelines), node, WRITE)
        return items

    def _placer(self, request: IoRequest, view: StorageView, rng: random.Random) -> Placer:
        room = view.free(request.start, request.end)[self.everywhere]
        if self.keeper.dead:  # those that are away have none
            room[[k for k, storage in enumerate(self.position) if storage in self.keeper.dead]] = -1
        window = (request.start, request.end)
        near = self.near(request)
        return Placer(self.layout, self.policy, view, rng, room, window=window, key=request.job_id, near=near)

    def _write(self, draft: _Draft, items: Items) -> IntArray:
        """The write pipeline: node -> first disk, that disk's node -> second disk, and so on. The places of
        the copies."""
        held = self._counted(draft.request.volume)[1] > 0
        places = draft.placer.place(items, self.replication, written=held)
        parts, nodes, _ = items.columns()
        ids, more = self.layout.ids, places.shape[1] - 1
        draft.writes = [Traffic(nodes, ids[places[:, 0]], parts)]
        if more:
            senders = self.layout.senders[places[:, :-1]].ravel()
            draft.internal = [Traffic(senders, ids[places[:, 1:]].ravel(), np.repeat(parts, more))]
        if held:
            np.add.at(draft.held, places.ravel(), np.repeat(parts, more + 1))
        return places

    def _read_own(self, draft: _Draft, sizes: Sequence[int], rng: random.Random) -> None:
        """Input of the job's own: ``locality`` of its blocks lie on its nodes, the rest near them."""
        target = self.locality
        if self.locality_spread:
            target += self.locality_spread * (2 * rng.random() - 1)
        target = min(1.0, max(0.0, target))
        held = self._counted(draft.request.volume)[0] > 0
        nodes = draft.request.nodes
        blocks = [-(-size // self.block_size) for size in sizes]
        local_blocks = split_evenly(round(target * sum(blocks)), len(nodes)).tolist()
        items = Items()
        for node, size, count, near in zip(nodes, sizes, blocks, local_blocks, strict=True):
            local = size if near >= count else near * self.block_size
            items.add(bundles(local, self.block_size, self.pipelines), node, OWN)
            items.add(bundles(size - local, self.block_size, self.pipelines), node, NEAR)
        places = draft.placer.place(items, self.replication, read=held)[:, 0]
        parts, readers, _ = items.columns()
        draft.reads = [Traffic(self.layout.ids[places], readers, parts)]
        if held:
            np.add.at(draft.held, places, parts)

    def _hold(self, draft: _Draft, size: int) -> Hold:
        """No single disk has ``size`` bytes left after what this job has taken already."""
        room = draft.placer.room
        roomiest = int(room.argmax())
        needed = sum(self.footprint(draft.request.volume, 0).values())
        capacity = int(draft.view.capacities[self.everywhere].sum())
        largest = int(draft.view.capacities[self.everywhere].max())
        never = needed > capacity or size > largest
        missing = max(1, size - int(room[roomiest]))
        return Hold("StorageCapacity", (int(self.layout.ids[roomiest]),), missing, never)

    # ---- data sets ----------------------------------------------------------------------------------------

    def new_parts(
        self, request: IoRequest, view: StorageView, rng: random.Random, *, written: bool
    ) -> tuple[Sequence[SetPart], IoPlan] | Hold:
        """See ``Model.new_parts``: bundles of blocks. Those that nobody is writing lie anywhere."""
        volume, nodes = request.volume, request.nodes
        draft = _Draft(
            request, view, self._placer(request, view, rng), np.zeros(len(self.position), np.int64)
        )
        if written:
            items = self._items(nodes, split_evenly(volume.writes, len(nodes)).tolist())
        else:
            items = Items()
            items.add(bundles(volume.writes, self.block_size, 4 * self.pipelines), -1, WRITE)
        try:
            with self.holding_all():
                places = self._write(draft, items)
        except NoRoom as short:
            return self._hold(draft, short.size)
        plan = IoPlan(self.name, (), (), draft.writes, draft.internal, timing=self.timing_of(request))
        copies = self.layout.ids[places].tolist()
        return [Bundle(size, disks) for size, disks in zip(items.sizes, copies, strict=True)], plan

    def over(
        self, parts: Sequence[SetPart], request: IoRequest, view: StorageView, rng: random.Random
    ) -> IoPlan:
        """See ``Model.over``: read from the nearest copies that are there; written along each pipeline."""
        volume, nodes = request.volume, request.nodes
        plan = IoPlan(self.name, timing=self.timing_of(request))
        all_of_it = [Bundle(p.size, list(p.held), p.name) for p in parts if p.size]
        there = [Bundle(p.size, alive, p.name) for p in all_of_it if (alive := self.keeper.alive(p))]
        there = there or all_of_it  # nothing is there: as if all were
        if volume.reads:
            scaled = self._scaled(there, volume.reads)
            rows = assign(self.layout, scaled, nodes, split_evenly(volume.reads, len(nodes)).tolist())
            readers, disks, sizes = np.array(rows, dtype=np.int64).reshape(len(rows), 3).T
            plan.reads = [Traffic(disks, readers, sizes)]
            local = self.layout.senders[self.layout.ids.searchsorted(disks)] == readers
            plan.notes = {"locality": int(sizes[local].sum()) / volume.reads}
        if volume.writes:
            out: list[Transfer] = []
            copies: list[Transfer] = []
            each = split_evenly(volume.writes, len(nodes)).tolist()
            for bundle, node, size in _shared(self._scaled(there, volume.writes), nodes, each):
                out.append(Transfer(node, bundle.copies[0], size))
                for before, disk in pairwise(bundle.copies):
                    sender = int(self.layout.senders[self.layout.places[before]])
                    copies.append(Transfer(sender, disk, size))
            plan.writes = [from_transfers(out)]
            plan.internal = [from_transfers(copies)] if copies else ()
        return plan

    @staticmethod
    def _scaled(parts: Sequence[Bundle], size: int) -> list[Bundle]:
        """The bundles as if they were ``size`` bytes in all, if they are fewer: what is moved of each."""
        have = [part.size for part in parts]
        if sum(have) >= size:
            return list(parts)
        moved = split_by(size, have).tolist()
        return [Bundle(s, list(p.copies), p.name) for p, s in zip(parts, moved, strict=True)]

    def hidden(self, name: str, reads: int) -> Hold | None:
        """See ``Model.hidden``: on disks that are away."""
        hidden = self.keeper.hidden(name) if self.keeper.dead else ()
        if not hidden or self.keeper.readable(name) >= reads:
            return None
        disks = tuple(sorted({disk for bundle in hidden for disk in bundle.copies}))
        return Hold("Unavailable", disks, sum(bundle.size for bundle in hidden))

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]:
        if not self.data_sets.sets:
            return ()
        asked = IoRequest("upkeep", (), Volume(self.name, 0, 0), now)
        placer = self._placer(asked, view, rng)
        room = dict(zip(self.position, placer.room.tolist(), strict=True))
        moves: list[Move] = []
        if self.rereplicate:
            moves += self.keeper.replicate(room, placer)
        if self.balance:
            capacity = {s: int(view.capacities[p]) for s, p in self.position.items()}
            sets = self.data_sets.sets
            moves += self.keeper.balance(room, capacity, self.balance, lambda name: bool(sets[name].users))
        return moves

    def where(self, data_set: str) -> dict[int, int]:
        """Bytes of all copies of the data set, by disk; of disks that are there."""
        found: dict[int, int] = {}
        for bundle in self.keeper.parts(data_set):
            for disk in self.keeper.alive(bundle):
                found[disk] = found.get(disk, 0) + bundle.size
        return found

    def moved(self, move: Move, success: bool | None) -> None:
        self.keeper.moved(move, success)

    def lost(self, resources: Sequence[int]) -> None:
        self.keeper.lost(self._disks(resources))

    def back(self, resources: Sequence[int]) -> None:
        self.keeper.back(self._disks(resources))

    def erased(self, storages: Sequence[int]) -> None:
        self.keeper.erased(self._disks(storages))

    def _disks(self, resources: Sequence[int]) -> list[int]:
        """The disks among these resources, and those in nodes among them."""
        gone = set(resources)
        return [d.id for d in self.layout.disks.values() if d.id in gone or d.node in gone]


def _shared(
    parts: Sequence[Bundle], nodes: Sequence[int], quotas: Sequence[int]
) -> Iterator[tuple[Bundle, int, int]]:
    """Who writes how much of which bundle, one node after the other."""
    left = list(quotas)
    k = 0
    for part in parts:
        rest = part.size
        while rest and k < len(nodes):
            amount = min(rest, left[k])
            if amount:
                yield part, nodes[k], amount
            rest -= amount
            left[k] -= amount
            k += not left[k]
