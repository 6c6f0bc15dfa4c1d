"""Burst buffer: fast storage before a file system. docs/background/burst-buffer.md explains it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.filesystems.base import MODELS, Reserve, Timing, placements
from batfs.filesystems.interface import (
    Checkpoints,
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Outcome,
    Setup,
    Traffic,
    Volume,
)
from batfs.filesystems.picking import Picker
from batfs.filesystems.staging_modes import StagingMode
from batfs.filesystems.tier import STAGE_OPTIONS, StagingTier
from batfs.filesystems.tier import Part as Moved
from batfs.filesystems.traffic import joined, split_by, split_evenly, spread
from batfs.plugins import Bandwidth
from batfs.records import record
from batfs.storage.interface import StorageView

REASON = "BurstBufferResources"


@record
class Part:
    """What some nodes have on one buffer, in bytes, all of them together and split evenly; ``checkpoint`` for
    each one of them. ``staged``: (in, out), if not what is read and written; ``size``: what it holds, if that
    doesn't follow from what moves (-1)."""

    nodes: Sequence[int]
    buffer: int
    reads: int
    writes: int
    checkpoint: int
    staged: tuple[int, int] | None = None
    size: int = -1

    def moves(self, kind: str) -> int:
        """Bytes of a stage-in, a stage-out or the drain of a checkpoint."""
        if kind == "drain":
            return self.checkpoint
        before, after = (self.reads, self.writes) if self.staged is None else self.staged
        return before if kind == "stage_in" else after


@MODELS.register("burst_buffer")
class BurstBuffer(StagingTier):
    """Buffers, shared or in the nodes, before the file system ``backing``.

    Space is reserved before the job starts. What it reads is staged in from the backing file system first
    and read from the buffer; what it writes goes to the buffer and is staged out when it has ended.
    Checkpoints (job options ``checkpoints``: how many, ``checkpoint_bytes``: all nodes together) are written
    to the buffer while the computation waits, and drained to the backing file system while it goes on. Space
    is kept until the last byte has left.

    Each node has all its bytes on one buffer (``per=node``, never split, as in Kopanski and Rzadca 2021), or
    every node uses the same ``stripes`` buffers (``per=job``, as Cray's DataWarp). A buffer with a ``node``
    property serves that node alone. Which buffer: ``placement=policy``, or ``topology``: the nearest one
    with room.
    ``stage_in`` and ``stage_out`` can be switched off; without ``backing`` the buffer is scratch space.
    ``staging``: ``held`` (the job's nodes wait for it), ``ahead`` (before the job has nodes) or ``two_step``
    (as a job of its own without nodes, after which the job joins the end of the queue); ``max_staging`` jobs
    stage ahead at once (0: any number). Before there are nodes, none can be near: ``topology`` then chooses
    as the policy does, and buffers in the nodes are staged ``held``. All stagings together take at most the
    part ``staging_share`` of the bandwidth of any link, and ``staging_rate`` bytes/s (0: no limit).
    ``checkpoint_copies`` are kept at once: with 2 one drains while the next is written.
    """

    job_options: Sequence[str] = ("checkpoints", "checkpoint_bytes", *STAGE_OPTIONS)
    what, word, needing, expects_backing = (
        "burst buffer",
        "burst_buffer",
        "staging and checkpoints need",
        True,
    )

    def __init__(
        self,
        setup: Setup,
        *,
        backing: str = "",
        per: Literal["node", "job"] = "node",
        stripes: int = 1,
        placement: Literal["policy", "topology"] = "policy",
        stage_in: bool = True,
        stage_out: bool = True,
        checkpoint_copies: int = 2,
        staging: StagingMode = "held",
        max_staging: int = 4,
        staging_share: float = 0.0,
        staging_rate: Bandwidth = 0.0,
        timing: Timing = "overlap",
        reserve: Reserve = "both",
    ) -> None:
        super().__init__(
            setup,
            backing=backing,
            stage_in=stage_in,
            stage_out=stage_out,
            staging=staging,
            max_staging=max_staging,
            staging_share=staging_share,
            staging_rate=staging_rate,
            timing=timing,
            reserve=reserve,
        )
        if stripes < 1 or checkpoint_copies < 1:
            raise InputError("stripes and checkpoint_copies must be at least 1")
        self.per = per
        self.stripes = min(stripes, len(self.storages))
        self.placement = placement
        self.checkpoint_copies = checkpoint_copies
        ids = {node.name: node.id for node in setup.nodes}
        local = {s.id: ids.get(s.property("node") or "") for s in self.storages}
        self.local = all(owner is not None for owner in local.values())
        self.nodeless = not self.local
        self._own: dict[int, list[int]] = {}
        for buffer, owner in local.items():
            if owner is not None:
                self._own.setdefault(owner, []).append(buffer)
        self._names = {s.id: s.name for s in self.storages}
        self._near: dict[int, list[int]] = {}

    def check(self, volume: Volume) -> None:
        super().check(volume)
        times, size = self._checkpoints(volume)
        if times < 0 or size < 0:
            raise InputError("checkpoints and checkpoint_bytes must not be negative")

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        times, checkpoint = self._checkpoints(volume) if self.setup.dynamic_jobs else (0, 0)
        mine = self.held_bytes(volume.reads, volume.writes) + checkpoint * self._copies(times)
        return {self.name: mine, **self.held_behind(volume, nodes, checkpoint)}

    # ---- planning -----------------------------------------------------------------------------------------

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        volume = request.volume
        times, checkpoint = self._checkpoints(volume)
        if not self.setup.dynamic_jobs:
            times = checkpoint = 0
        parts = self._place(request, checkpoint, view, rng)
        if isinstance(parts, Hold):
            return parts
        plan = IoPlan(self.name, timing=self.timing_of(request))
        held: dict[int, int] = {}
        for part in parts:
            size = part.size
            if size < 0:
                size = self.held_bytes(part.reads, part.writes) + part.checkpoint * self._copies(times)
            held[part.buffer] = held.get(part.buffer, 0) + size
        plan.placements = placements(held)
        plan.reads = _traffic(parts, [p.reads for p in parts], reading=True)
        plan.writes = _traffic(parts, [p.writes for p in parts], reading=False)
        if (
            self.backing
            and not volume.reads
            and not volume.writes
            and all(part.staged is None for part in parts)
        ):  # metadata alone
            hold = self.without_bytes(plan, request, view, rng)
            if hold is not None:
                return hold
        if not self.setup.dynamic_jobs or not self.backing:
            return self._with_scratch_checkpoints(plan, parts, times)
        behind = self._stage(plan, request, parts, times, view, rng)
        return plan if behind is None else behind

    def _checkpoints(self, volume: Volume) -> tuple[int, int]:
        """(how many, bytes of each one)."""
        options: Mapping[str, Any] = volume.options
        if not options:
            return 0, 0
        times, size = options.get("checkpoints", 0), options.get("checkpoint_bytes", volume.writes)
        if not isinstance(times, int) or not isinstance(size, int | float) or size != int(size):
            raise InputError("checkpoints and checkpoint_bytes must be whole numbers")
        return times, int(size) if times else 0

    def _copies(self, times: int) -> int:
        return min(times, self.checkpoint_copies)

    def _place(
        self, request: IoRequest, checkpoint: int, view: StorageView, rng: random.Random
    ) -> list[Part] | Hold:
        volume, nodes = request.volume, request.nodes
        times = self._copies(self._checkpoints(volume)[0]) if checkpoint else 0
        if self.per == "job" and not self.local:
            k = self.stripes
            columns = [split_evenly(v, k).tolist() for v in (volume.reads, volume.writes, checkpoint)]
            sizes = [self.held_bytes(r, w) + c * times for r, w, c in zip(*columns, strict=True)]
            chosen = self.choose(sizes, request, view, rng, reason=REASON)
            if isinstance(chosen, Hold):
                return chosen
            pieces: list[Part] = []
            for b, shares in enumerate(chosen):
                # a policy may split a stripe further
                weights = [size for _, size in shares]
                parts = [split_by(column[b], weights).tolist() for column in columns]
                pieces += [
                    Part(nodes, buffer, *(part[s] for part in parts)) for s, (buffer, _) in enumerate(shares)
                ]
            return pieces
        return self._place_by_node(request, checkpoint, times, view, rng)

    def _place_by_node(
        self, request: IoRequest, checkpoint: int, times: int, view: StorageView, rng: random.Random
    ) -> list[Part] | Hold:
        volume, nodes = request.volume, request.nodes
        picker = self._picker(request, view, rng)
        columns = [split_evenly(v, len(nodes)).tolist() for v in (volume.reads, volume.writes, checkpoint)]
        parts: list[Part] = []
        for node, reads, writes, each in zip(nodes, *columns, strict=True):
            size = self.held_bytes(reads, writes) + each * times
            buffer = self._buffer_for(node, size, picker, request, view, rng)
            if buffer is None:
                return self._short(node, size, picker, view)
            picker.take(self.position[buffer], size)
            parts.append(Part((node,), buffer, reads, writes, each))
        return parts

    def _picker(self, request: IoRequest, view: StorageView, rng: random.Random) -> Picker:
        room = view.free(request.start, request.end)[self.everywhere]
        window = (request.start, request.end)
        return Picker(self.policy, view, rng, self.everywhere, room, window=window, key=request.job_id)

    def _buffer_for(
        self,
        node: int,
        size: int,
        picker: Picker,
        request: IoRequest,
        view: StorageView,
        rng: random.Random,
    ) -> int | None:
        if self.local:
            own = self._own.get(node, ())
            return next((b for b in own if picker.room(self.position[b]) >= size), None)
        fits = picker.fitting(size)
        if len(fits) < 2:
            return self.storage_at[int(fits[0])] if len(fits) else None
        if self.placement == "topology" and node >= 0:
            return next(b for b in self.nearest(node) if picker.room(self.position[b]) >= size)
        near = [self.node_names[node]] if node in self.node_names else []
        chosen = picker.pick(fits, size, near)
        return None if chosen is None else self.storage_at[chosen]

    def _short(self, node: int, size: int, picker: Picker, view: StorageView) -> Hold:
        reachable = self._own.get(node, []) if self.local else list(self.position)
        if not reachable:
            return Hold(REASON, (), size, never=True)
        room = {b: picker.room(self.position[b]) for b in reachable}
        best = max(reachable, key=lambda b: (room[b], -b))
        never = size > max(int(view.capacities[self.position[b]]) for b in reachable)
        return Hold(REASON, (best,), size - room[best], never)

    def nearest(self, node: int) -> list[int]:
        """Buffers from near to far: by route latency when the platform is known, else by the properties
        ``chassis``, ``rack`` and ``group`` they share with the node; ties to the lower id."""
        if node not in self._near:
            self._near[node] = sorted((s.id for s in self.storages), key=lambda b: (self._far(node, b), b))
        return self._near[node]

    def _far(self, node: int, buffer: int) -> float:
        platform = self.setup.platform
        if platform is not None:
            at = platform.host_index
            return float(platform.route(at[self.node_names[node]], at[self._names[buffer]]).latency)
        here = next(n for n in self.setup.nodes if n.id == node)
        there = next(s for s in self.storages if s.id == buffer)
        for distance, key in enumerate(("chassis", "rack", "group")):
            if here.property(key) and here.property(key) == there.property(key):
                return float(distance)
        return 3.0

    # ---- staging ------------------------------------------------------------------------------------------

    def _stage(
        self,
        plan: IoPlan,
        request: IoRequest,
        parts: Sequence[Part],
        times: int,
        view: StorageView,
        rng: random.Random,
    ) -> Hold | None:
        """Add the moves to and from the backing file system, and the bytes held there; a Hold if those
        don't fit. The backing model decides where they lie: to it a buffer is a node like any other."""
        staged: list[Moved] = []
        for kind in ("stage_in", "stage_out", *(("drain",) if times else ())):
            sizes: dict[int, int] = {}
            for part in parts:
                sizes[part.buffer] = sizes.get(part.buffer, 0) + part.moves(kind)
            staged += [Moved(kind, buffer, size) for buffer, size in sorted(sizes.items()) if size]
        moves = self.bring(plan, request, staged, view, rng)
        if isinstance(moves, Hold):
            return moves
        if times:
            plan.checkpoints = Checkpoints(times, _checkpoint_moves(parts), moves["drain"])
        return None

    def _with_scratch_checkpoints(self, plan: IoPlan, parts: Sequence[Part], times: int) -> IoPlan:
        if times:
            plan.checkpoints = Checkpoints(times, _checkpoint_moves(parts), ())
        return plan


def _checkpoint_moves(parts: Sequence[Part]) -> list[Move]:
    """One activity for each buffer: its nodes write at once."""
    on: dict[int, list[Part]] = {}
    for part in parts:
        on.setdefault(part.buffer, []).append(part)
    out: list[Move] = []
    for _, mine in sorted(on.items()):
        traffic = _traffic(mine, [part.checkpoint for part in mine], reading=False)
        if traffic:
            out.append(Move("checkpoint", joined(traffic)))
    return out


def _traffic(parts: Sequence[Part], sizes: Sequence[int], *, reading: bool) -> Sequence[Traffic]:
    """So many bytes of each part between its nodes and its buffer; empty if nothing moves."""
    if any(len(part.nodes) > 1 for part in parts):  # each buffer has the same nodes as others, or its own
        pieces: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for part, size in zip(parts, sizes, strict=True):
            pieces.setdefault(tuple(part.nodes), []).append((part.buffer, size))
        return [t for nodes, mine in pieces.items() for t in spread(mine, nodes, reading=reading)]
    moving = [(part.nodes[0], part.buffer, s) for part, s in zip(parts, sizes, strict=True) if s]
    if not moving:
        return ()
    nodes, buffers, moved = (np.array(column, dtype=np.int64) for column in zip(*moving, strict=True))
    return [Traffic(*((buffers, nodes) if reading else (nodes, buffers)), moved)]
