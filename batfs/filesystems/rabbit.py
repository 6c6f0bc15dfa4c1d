"""Near-node storage: Rabbits, each in a chassis of nodes. docs/background/rabbit.md explains it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from batfs.errors import InputError, unknown
from batfs.filesystems.base import MODELS, Reserve, Timing
from batfs.filesystems.burst_buffer import REASON, BurstBuffer, Part
from batfs.filesystems.interface import Hold, IoRequest, Setup, Volume
from batfs.filesystems.staging_modes import StagingMode
from batfs.filesystems.traffic import split_by, split_evenly
from batfs.plugins import Bandwidth
from batfs.storage.interface import StorageView

Kind: TypeAlias = Literal["xfs", "raw", "gfs2", "lustre"]


@MODELS.register("rabbit")
class Rabbit(BurstBuffer):
    """Rabbits in the chassis of the nodes, before the file system ``backing`` or as scratch space.

    The nodes of a chassis reach its Rabbit directly, others over the network; which storages and nodes share
    a chassis their property ``chassis`` says. Space lasts as long as the job, on the Rabbits of its own
    chassis (``type``, also a job's option): ``xfs`` or ``raw``, a file system for each node; ``gfs2``, one
    that the nodes of a chassis share; ``lustre``, one for the job, with servers on the Rabbits of all its
    chassis, each for as much as the job has nodes there, and all nodes speak with all of them. ``servers``:
    a Lustre's on so many Rabbits anywhere instead, which the allocation policy picks (0: those of the job).
    A Rabbit of several storages has every allocation spread evenly over them. ``staging`` and its limits
    (``max_staging``, ``staging_share``, ``staging_rate``) are those of burst buffers; only a Lustre on
    ``servers`` has its place before the job has nodes, all else is staged ``held``.

    Job options: ``capacity``, bytes to hold for all nodes together, whatever the job moves; ``stage_in`` and
    ``stage_out``: true (what it reads, what it writes), false, or so many bytes; ``checkpoints`` and
    ``checkpoint_bytes`` as for burst buffers.
    """

    job_options: Sequence[str] = (*BurstBuffer.job_options, "type", "capacity")
    what, word = "Rabbit", "rabbit"

    def __init__(
        self,
        setup: Setup,
        *,
        backing: str = "",
        type: Kind = "xfs",
        servers: int = 0,
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
            checkpoint_copies=checkpoint_copies,
            staging=staging,
            max_staging=max_staging,
            staging_share=staging_share,
            staging_rate=staging_rate,
            timing=timing,
            reserve=reserve,
        )
        # which Rabbits are its own depends on its nodes, but for a Lustre on any of them
        self.nodeless = servers > 0
        if not 0 <= servers <= len(self.storages):
            raise InputError(
                f"servers is {servers}, expected 0 to {len(self.storages)} (the storages there are)"
            )
        self.type: str = type
        self.servers = servers
        self._rabbits: dict[str, list[int]] = {}
        for storage in self.storages:
            chassis = storage.property("chassis")
            if not chassis:
                raise InputError(
                    f"the storage {storage.name!r} is in no chassis", hint="give it the property 'chassis'"
                )
            self._rabbits.setdefault(chassis, []).append(storage.id)
        self._chassis = {node.id: node.property("chassis") or "" for node in setup.nodes}

    def check(self, volume: Volume) -> None:
        super().check(volume)
        options = volume.options
        if "type" in options and options["type"] not in get_args(Kind):
            raise unknown("type of a Rabbit's file system", str(options["type"]), get_args(Kind))
        for key in ("capacity", "stage_in", "stage_out"):
            size = options.get(key, 0)
            if not isinstance(size, int | float) or size != int(size) or size < 0:
                raise InputError(f"{key} is {size!r}, expected whole bytes")
            if key != "capacity" and "capacity" in options and size > options["capacity"]:
                raise InputError(f"{key} is {size}, more than the capacity ({options['capacity']})")

    def needs_nodes(self, volume: Volume) -> bool:
        return not self.servers or volume.options.get("type", self.type) != "lustre"

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        own = super().footprint(volume, nodes)
        if not volume.options:
            return own
        options = {**volume.options, "checkpoint_bytes": self._checkpoints(volume)[1]}
        held = super().footprint(Volume(self.name, *self._staged(volume), options=options), nodes)
        return {**held, self.name: int(options.get("capacity", own[self.name]))}

    def _staged(self, volume: Volume) -> tuple[int, int]:
        """Bytes staged (in, out), if they are staged at all."""
        sizes = [volume.reads, volume.writes]
        for k, key in enumerate(("stage_in", "stage_out")):
            given: Any = volume.options.get(key, True)
            if not isinstance(given, bool):
                sizes[k] = int(given)
        return sizes[0], sizes[1]

    # ---- which bytes on which Rabbits ---------------------------------------------------------------------

    def _place(
        self, request: IoRequest, checkpoint: int, view: StorageView, rng: random.Random
    ) -> list[Part] | Hold:
        volume = request.volume
        times = self._copies(self._checkpoints(volume)[0]) if checkpoint else 0
        held = self.held_bytes(volume.reads, volume.writes) + times * checkpoint
        size = int(volume.options.get("capacity", held))
        shares = self._shares(request, size, view, rng)
        if isinstance(shares, Hold):
            return shares
        staged = self._staged(volume) if volume.options else (volume.reads, volume.writes)
        wanted = [volume.reads, volume.writes, checkpoint, *staged, size]
        weights = [weight for _, _, weight in shares]
        columns = [split_by(size, weights).tolist() for size in wanted]
        parts: list[Part] = []
        for (users, storages, _), *sizes in zip(shares, *columns, strict=True):
            pieces = [split_evenly(size, len(storages)).tolist() for size in sizes]
            parts += [
                Part(users, storage, r, w, c, (i, o), held)
                for storage, r, w, c, i, o, held in zip(storages, *pieces, strict=True)
            ]
        return self._room(parts, request, view)

    def _shares(
        self, request: IoRequest, size: int, view: StorageView, rng: random.Random
    ) -> list[tuple[Sequence[int], Sequence[int], int]] | Hold:
        """(nodes that use it, storages, its weight) of each part of the job's space of ``size`` bytes."""
        nodes, options = request.nodes, request.volume.options
        kind = options.get("type", self.type) if options else self.type
        there: dict[str, list[int]] = {}
        for node in nodes:
            there.setdefault(self._chassis.get(node, ""), []).append(node)
        near = {chassis: mine for chassis, mine in there.items() if chassis in self._rabbits}
        if kind == "lustre":
            if near and not self.servers:
                return [(nodes, self._rabbits[chassis], len(mine)) for chassis, mine in near.items()]
            each = split_evenly(size, self.servers or 1).tolist()
            chosen = self.choose(each, request, view, rng, reason=REASON)
            if isinstance(chosen, Hold):
                return chosen
            return [(nodes, (storage,), share) for part in chosen for storage, share in part]
        if len(near) < len(there):
            having = sum(chassis in self._rabbits for chassis in self._chassis.values())
            return Hold(REASON, (), never=having < len(nodes))
        if kind == "gfs2":
            return [(mine, self._rabbits[chassis], len(mine)) for chassis, mine in near.items()]
        return [((node,), self._rabbits[self._chassis[node]], 1) for node in nodes]

    def _room(self, parts: list[Part], request: IoRequest, view: StorageView) -> list[Part] | Hold:
        """The parts, or what is missing for them on which storages."""
        free = view.free(request.start, request.end)
        wanted: Counter[int] = Counter()
        for part in parts:
            wanted[part.buffer] += part.size
        short = {s: size - int(free[self.position[s]]) for s, size in sorted(wanted.items())}
        short = {storage: missing for storage, missing in short.items() if missing > 0}
        if not short:
            return parts
        # spread over other chassis it may have room: only what no spread can hold is refused for good
        capacity = sum(int(view.capacities[self.position[s]]) for s in self.position)
        never = sum(wanted.values()) > capacity
        return Hold(REASON, tuple(short), sum(short.values()), never)
