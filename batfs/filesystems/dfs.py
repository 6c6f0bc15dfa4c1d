"""DFS: a distributed file system like HDFS. docs/background/dfs.md explains it with a figure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

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
    Setup,
    Traffic,
    Volume,
    earlier,
)
from batfs.filesystems.keeping import Keeper
from batfs.filesystems.placer import Items, NoRoom, Placer
from batfs.filesystems.traffic import split_evenly
from batfs.plugins import Size
from batfs.records import field, record
from batfs.storage.interface import StorageView
from batfs.workload.flows import IntArray


@record(frozen=False)
class _Draft:
    """A plan in the making: the room left on each disk, and what has been decided so far. ``held``: bytes by
    place that go with the job; ``kept``: those of data sets, by disk and key."""

    request: IoRequest
    view: StorageView
    placer: Placer
    held: IntArray
    kept: dict[tuple[int, str], int] = field(default_factory=dict)
    reads: Sequence[Traffic] = ()
    writes: Sequence[Traffic] = ()
    internal: Sequence[Traffic] = ()
    sets: dict[str, list[Bundle]] = field(default_factory=dict)


@MODELS.register("dfs")
class DistributedFileSystem(Model):
    """Blocks on the disks of the nodes (or of data servers), copied node to node, read where they are near.

    ``block_size``, ``replication``; ``locality``: the part of its own input a job reads from its nodes' own
    disks (0 to 1), drawn uniformly within ``locality_spread`` around it; ``pipelines``: into how many bundles
    of blocks a node's bytes are cut at most, each placed on its own. Job options: ``data_set`` (a
    name): reads come from that data set and writes are added to it; it outlives the job; ``delete``: it goes
    when the job has succeeded. With dynamic jobs, copies lost with a machine that is away are made again
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
        self.keeper = Keeper(self.name, self.layout, replication, upkeep)
        self._users: dict[str, list[str]] = {}  # job -> the data sets it uses

    # ---- planning -----------------------------------------------------------------------------------------

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        if volume.options.get("data_set"):  # its input is there, or placed once for all
            return {self.name: self.keeper.replication * volume.writes}
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
        data_set = str(volume.options.get("data_set", "")) if volume.options else ""
        if data_set and volume.reads and self.keeper.dead:
            hidden = self.keeper.hidden(data_set)
            if (
                hidden and self.keeper.readable(data_set) < volume.reads
            ):  # it is there, on disks that are away
                return Hold(
                    "Unavailable",
                    tuple(sorted({d for b in hidden for d in b.copies})),
                    sum(b.size for b in hidden),
                )
        read_parts = split_evenly(volume.reads, len(nodes)).tolist()
        write_parts = split_evenly(volume.writes, len(nodes)).tolist()
        try:
            if data_set and volume.reads:
                self._read_data_set(draft, data_set, read_parts)
            elif volume.reads:
                self._read_own(draft, read_parts, rng)
            if volume.writes:
                self._write(draft, write_parts, data_set)
        except NoRoom as short:
            return self._hold(draft, short.size)
        plan = IoPlan(self.name, timing=self.timing_of(request))
        ids, held = self.layout.ids, draft.held
        there = np.flatnonzero(held)
        own = zip(ids[there].tolist(), held[there].tolist(), strict=True)
        kept = {**{(disk, ""): size for disk, size in own}, **draft.kept}
        plan.placements = [Placement(disk, size, name) for (disk, name), size in sorted(kept.items()) if size]
        plan.reads, plan.writes, plan.internal = draft.reads, draft.writes, draft.internal
        if volume.reads:
            read = draft.reads[0]
            local = read.sizes[self.layout.senders[ids.searchsorted(read.sources)] == read.destinations]
            plan.notes = {"locality": int(local.sum()) / volume.reads}
        if draft.sets:
            plan.notes = {**plan.notes, "data_sets": draft.sets}
        return plan

    def _placer(self, request: IoRequest, view: StorageView, rng: random.Random) -> Placer:
        room = view.free(request.start, request.end)[self.everywhere]
        if self.keeper.dead:  # those that are away have none
            room[[k for k, storage in enumerate(self.position) if storage in self.keeper.dead]] = -1
        window = (request.start, request.end)
        near = self.near(request)
        return Placer(self.layout, self.policy, view, rng, room, window=window, key=request.job_id, near=near)

    def _write(self, draft: _Draft, sizes: Sequence[int], data_set: str) -> None:
        """The write pipeline: node -> first disk, that disk's node -> second disk, and so on."""
        held = bool(data_set) or self._counted(draft.request.volume)[1] > 0
        items = Items()
        for node, size in zip(draft.request.nodes, sizes, strict=True):
            items.add(bundles(size, self.block_size, self.pipelines), node, WRITE)
        places = draft.placer.place(items, self.replication, written=held)
        parts, nodes, _ = items.columns()
        ids, more = self.layout.ids, places.shape[1] - 1
        draft.writes = [Traffic(nodes, ids[places[:, 0]], parts)]
        if more:
            senders = self.layout.senders[places[:, :-1]].ravel()
            draft.internal = [Traffic(senders, ids[places[:, 1:]].ravel(), np.repeat(parts, more))]
        if data_set:
            self._keep(draft, data_set, items, places, True)
        elif held:
            np.add.at(draft.held, places.ravel(), np.repeat(parts, more + 1))

    def _keep(
        self, draft: _Draft, data_set: str, items: Items, places: IntArray, written: bool
    ) -> list[Bundle]:
        """New parts of a data set, with the bytes of their copies."""
        made: list[Bundle] = []
        for size, disks in zip(items.sizes, self.layout.ids[places].tolist(), strict=True):
            made.append(self._bundle(draft, data_set, size, disks, written))
            for disk in disks:
                key = self.keeper.key(data_set, made[-1], disk)
                draft.kept[disk, key] = draft.kept.get((disk, key), 0) + size
        return made

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

    def _read_data_set(self, draft: _Draft, name: str, quotas: Sequence[int]) -> None:
        wanted = sum(quotas)
        parts = [
            Bundle(bundle.size, self.keeper.alive(bundle), bundle.name) for bundle in self.keeper.parts(name)
        ]
        for plan in earlier(draft.request, self.name):  # what an earlier phase of the job adds
            added: Sequence[Bundle] = plan.notes.get("data_sets", {}).get(name, ())
            parts += [Bundle(bundle.size, list(bundle.copies), bundle.name) for bundle in added]
        for tries in self.trials.values():  # and what jobs add that start before it, in the same pass
            for _, tried in tries:
                more: Sequence[Bundle] = tried.notes.get("data_sets", {}).get(name, ())
                parts += [Bundle(bundle.size, list(bundle.copies), bundle.name) for bundle in more]
        have = sum(part.size for part in parts)
        if have < wanted:
            # what nobody has written yet was there before the simulation began
            items = Items()
            items.add(bundles(wanted - have, self.block_size, 4 * self.pipelines), -1, WRITE)
            places = draft.placer.place(items, self.replication, written=True)
            parts += self._keep(draft, name, items, places, False)
        rows = assign(self.layout, parts, draft.request.nodes, quotas)
        readers, disks, sizes = np.array(rows, dtype=np.int64).reshape(len(rows), 3).T
        draft.reads = [Traffic(disks, readers, sizes)]

    def _bundle(self, draft: _Draft, name: str, size: int, copies: list[int], written: bool) -> Bundle:
        """A new part of the data set; the job that makes it gives it a name of its own."""
        added = draft.sets.setdefault(name, [])
        asked = draft.request
        owner = f"{asked.job_id}/{asked.part}" if asked.part else asked.job_id
        added.append(Bundle(size, copies, f"{owner}.{len(added)}", written))
        return added[-1]

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

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None:
        options = request.volume.options
        name = str(options.get("data_set", ""))
        if name:
            self._users.setdefault(request.job_id, []).append(name)
            delete = name if options.get("delete") else ""
            self.keeper.started(request.job_id, plan.notes.get("data_sets", {}), delete)

    def ended(self, job_id: str, success: bool, now: float) -> None:
        if self._users.pop(job_id, None) is not None:
            self.keeper.ended(job_id, success)

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]:
        if not self.keeper.sets:
            return ()
        asked = IoRequest("upkeep", (), Volume(self.name, 0, 0), now)
        placer = self._placer(asked, view, rng)
        room = dict(zip(self.position, placer.room.tolist(), strict=True))
        moves: list[Move] = []
        if self.rereplicate:
            moves += self.keeper.replicate(room, placer)
        if self.balance:
            capacity = {s: int(view.capacities[p]) for s, p in self.position.items()}
            busy = {name for names in self._users.values() for name in names}
            moves += self.keeper.balance(room, capacity, self.balance, busy.__contains__)
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

    def released(self) -> Sequence[str]:
        return self.keeper.released()
