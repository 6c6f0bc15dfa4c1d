"""NVMe-oF pool: namespaces carved out of drives behind target nodes. docs/background/nvme-pool.md."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.filesystems.base import MODELS, Reserve, Timing, placements
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Outcome, Setup, Traffic, Transfer, Volume
from batfs.filesystems.overlay import TakenView
from batfs.filesystems.picking import Picker
from batfs.filesystems.staging_modes import StagingMode
from batfs.filesystems.tier import STAGE_OPTIONS, Part, StagingTier
from batfs.filesystems.traffic import from_transfers, split_by, split_evenly, spread
from batfs.plugins import Bandwidth, Size
from batfs.storage.interface import SpaceRequest, StorageView


@MODELS.register("nvme_pool")
class NvmePool(StagingTier):
    """Namespaces for a job's lifetime, their bandwidth shared at drive, target node, network and node.

    A request larger than ``block_size`` is cut into blocks of that size and a remainder, each placed on its
    own by the policy (they may meet on one drive); all of them or none. ``per=job``: the nodes share the
    job's namespaces evenly. ``per=node``: each node has namespaces of its own, as an NVMe-oF namespace is
    attached to one host. Job option ``capacity``: bytes to reserve, when it is not what the job reads and
    writes; it can't be less than ``reserve`` asks for.

    With a file system ``backing`` behind it the namespaces are filled with what the job reads before it
    starts, and what it writes is brought there when it has ended: ``stage_in``, ``stage_out``, ``staging``,
    ``max_staging``, ``staging_share`` and ``staging_rate`` as for burst buffers.
    """

    job_options = ("capacity", *STAGE_OPTIONS)
    what, word = "pool", "nvme_pool"
    nodeless = True

    def __init__(
        self,
        setup: Setup,
        *,
        block_size: Size = 0,
        per: Literal["job", "node"] = "job",
        backing: str = "",
        stage_in: bool = True,
        stage_out: bool = True,
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
        self.block_size = block_size
        self.per = per

    def check(self, volume: Volume) -> None:
        super().check(volume)
        wanted = volume.options.get("capacity", 0)
        least = self.held_bytes(volume.reads, volume.writes)
        if "capacity" in volume.options and (
            not isinstance(wanted, int | float) or wanted != int(wanted) or wanted < least
        ):
            raise InputError(f"capacity is {wanted!r}, expected whole bytes, at least {least}")

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        return {self.name: self._size(volume), **self.held_behind(volume, nodes)}

    def _size(self, volume: Volume) -> int:
        return int(volume.options.get("capacity", self.held_bytes(volume.reads, volume.writes)))

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        volume, nodes = request.volume, request.nodes
        size = self._size(volume)
        owners = [tuple(nodes)] if self.per == "job" else [(node,) for node in nodes]
        sizes = split_evenly(size, len(owners)).tolist()
        reads = split_evenly(volume.reads, len(owners)).tolist()
        writes = split_evenly(volume.writes, len(owners)).tolist()
        held: dict[int, int] = {}
        seen = TakenView(view, ())
        room = view.free(request.start, request.end)[self.everywhere]
        window = (request.start, request.end)
        near = self.near(request)
        picker = Picker(
            self.policy, seen, rng, self.everywhere, room, window=window, key=request.job_id, near=near
        )
        reading: list[tuple[int, int, int]] = []  # owner, drive, bytes
        writing: list[tuple[int, int, int]] = []
        count = 0
        for k, (space, read, written) in enumerate(zip(sizes, reads, writes, strict=True)):
            if picker.quick:
                pieces = self._carve_quickly(space, picker, seen)
            else:
                pieces = self._carve(space, request, view if not held else seen, seen, rng)
            if pieces is None:
                return self._no_room(space, held, request, view)
            count += len(pieces)
            if len(pieces) == 1:
                read_parts, written_parts = [read], [written]
            else:
                weights = [piece for _, piece in pieces]
                read_parts = split_by(read, weights).tolist()
                written_parts = split_by(written, weights).tolist()
            for (drive, piece), r, w in zip(pieces, read_parts, written_parts, strict=True):
                held[drive] = held.get(drive, 0) + piece
                reading.append((k, drive, r))
                writing.append((k, drive, w))
        plan = IoPlan(self.name, timing=self.timing_of(request), notes={"namespaces": count})
        plan.placements = placements(held)
        if len(owners) == 1:
            plan.reads = spread([(drive, r) for _, drive, r in reading], nodes, reading=True)
            plan.writes = spread([(drive, w) for _, drive, w in writing], nodes, reading=False)
        else:
            plan.reads = _moving([Transfer(drive, nodes[k], r) for k, drive, r in reading])
            plan.writes = _moving([Transfer(nodes[k], drive, w) for k, drive, w in writing])
        if self.backing and not volume.reads and not volume.writes:
            hold = self.without_bytes(plan, request, view, rng)
            if hold is not None:
                return hold
        if not self.setup.dynamic_jobs or not self.backing:
            return plan
        staged = [*_on_drives("stage_in", reading), *_on_drives("stage_out", writing)]
        moves = self.bring(plan, request, staged, view, rng)
        return moves if isinstance(moves, Hold) else plan

    def _blocks(self, size: int) -> list[int]:
        if not self.block_size or size <= self.block_size:
            return [size]
        whole, rest = divmod(size, self.block_size)
        return [self.block_size] * whole + ([rest] if rest else [])

    def _carve_quickly(self, size: int, picker: Picker, seen: TakenView) -> list[tuple[int, int]] | None:
        """The same as :meth:`_carve` for policies of the usual shape."""
        pieces: list[tuple[int, int]] = []
        for block in self._blocks(size):
            index = picker.pick(picker.fitting(block), block)
            if index is None:
                return None
            picker.take(index, block)
            seen.add(index, block)
            pieces.append((self.storage_at[index], block))
        return pieces

    def _carve(
        self, size: int, request: IoRequest, view: StorageView, seen: TakenView, rng: random.Random
    ) -> list[tuple[int, int]] | None:
        """(drive, bytes) of each namespace; None when one of them finds no room. ``view`` is what the first
        one sees, ``seen`` what the others see: these bytes are added to it."""
        pieces: list[tuple[int, int]] = []
        near = self.near(request)
        for block in self._blocks(size):
            space = SpaceRequest(block, request.start, request.end, request.job_id, near, self.everywhere)
            shares = self.policy.choose(view, space, rng)
            if shares is None:
                return None
            for share in shares:
                seen.add(share.index, share.size)
                pieces.append((self.storage_at[share.index], share.size))
            view = seen
        return pieces

    def _no_room(self, size: int, held: dict[int, int], request: IoRequest, view: StorageView) -> Hold:
        """Blocks may meet on a drive: a drive has room for as many whole blocks as fit into it."""
        blocks = self._blocks(size)
        free = self._seen(view, held).free(request.start, request.end)[self.everywhere]
        capacity = view.capacities[self.everywhere]
        roomiest = int(np.argmax(free))
        missing = max(1, size - int(free.sum()), blocks[0] - int(free[roomiest]))
        full = sum(block == blocks[0] for block in blocks)
        never = int((capacity // max(1, blocks[0])).sum()) < full
        return Hold("StorageCapacity", (self.storage_at[int(self.everywhere[roomiest])],), missing, never)

    def _seen(self, view: StorageView, held: dict[int, int]) -> StorageView:
        if not held:
            return view
        return TakenView(view, [(self.position[drive], size) for drive, size in held.items()])


def _on_drives(kind: str, moved: list[tuple[int, int, int]]) -> list[Part]:
    """What is staged to or from each drive: (owner, drive, bytes) together."""
    sizes: dict[int, int] = {}
    for _, drive, size in moved:
        sizes[drive] = sizes.get(drive, 0) + size
    return [Part(kind, drive, size) for drive, size in sorted(sizes.items()) if size]


def _moving(transfers: list[Transfer]) -> list[Traffic]:
    moving = [transfer for transfer in transfers if transfer.size]
    return [from_transfers(moving)] if moving else []
