"""A tier that brings jobs' bytes: from the file system behind it before they start, and back when they end.

What lies where on the tier is its model's own; here are the moves between its storages and the file system
behind, which decides where bytes lie there (to it a storage of the tier is a node like any other), and the
options that say whether bytes are moved, when, and how much of the machine that may take.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from batfs.errors import InputError, unknown
from batfs.filesystems.base import Model, Reserve, Timing, in_order
from batfs.filesystems.data_sets import options_of_piece
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Move, Placement, Setup, Volume
from batfs.filesystems.overlay import TakenView
from batfs.filesystems.staging_modes import HELD, StagingLimit
from batfs.filesystems.traffic import split_evenly, split_operations
from batfs.storage.interface import StorageView

#: Options of a job on every tier that brings bytes.
STAGE_OPTIONS = ("stage_in", "stage_out", "staging")


class Part(NamedTuple):
    """``size`` bytes that are moved between a storage of the tier and the file system behind it; ``kind`` as
    that of a :class:`Move`."""

    kind: str
    storage: int
    size: int


class StagingTier(Model):
    """Options of every tier that brings bytes: ``stage_in`` and ``stage_out``, whether what jobs read is
    brought and what they write is taken away; ``staging``: ``held`` (a job's nodes wait for it), ``ahead``
    (before it has nodes) or ``two_step`` (as a job of its own, after which the job joins the end of the
    queue); ``max_staging`` jobs at once before they have nodes (0: any number). All its stagings together
    take at most the part ``staging_share`` of the bandwidth of any link, and at most ``staging_rate`` bytes/s
    (0: no such limit): they move in pieces then.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        backing: str,
        stage_in: bool,
        stage_out: bool,
        staging: str,
        max_staging: int,
        staging_share: float,
        staging_rate: float,
        timing: Timing,
        reserve: Reserve,
    ) -> None:
        super().__init__(setup, timing=timing, reserve=reserve)
        self.stage(staging, max_staging)
        if not 0 <= staging_share <= 1:
            raise InputError(
                f"staging_share is {staging_share:g}, expected a part of the bandwidth: 0 (no limit) to 1"
            )
        if not 0 <= staging_rate < float("inf"):
            raise InputError(f"staging_rate is {staging_rate:g} bytes/s, expected 0 (no limit) or more")
        if backing == self.name:
            raise InputError(f"the {self.what} {self.name!r} can't be its own backing file system")
        if backing and backing not in setup.names:
            raise unknown("backing file system", backing, (n for n in setup.names if n != self.name))
        self.backing = backing
        self.stage_in = stage_in
        self.stage_out = stage_out
        self.staging_limit = StagingLimit(staging_share, staging_rate)

    #: For messages: what it is, the word for its model, and what needs dynamic jobs.
    what = "tier"
    word = "MODEL"
    needing = "staging needs"
    #: Whether it is worth a word that nothing is behind it.
    expects_backing = False

    def check(self, volume: Volume) -> None:
        super().check(volume)
        self.check_staging(volume)

    def announcements(self) -> Sequence[str]:
        said = list(super().announcements())
        if not self.stage_in and not self.stage_out:
            return said
        if not self.backing and (self.expects_backing or self.staging != HELD):
            said.append(
                f"file system {self.name!r}: no file system is behind it ({self.word}:backing=NAME), so "
                "nothing is staged: it is scratch space"
            )
        elif self.backing and not self.setup.dynamic_jobs:
            said.append(
                f"file system {self.name!r}: {self.needing} dynamic jobs "
                f"(--dynamic-jobs; Batsim's --enable-dynamic-jobs); jobs use the {self.what.split()[-1]} and "
                "nothing is moved before or after them"
            )
        return said

    def stages(self, kind: str, volume: Volume) -> bool:
        """Whether bytes of this volume are moved so (``stage_in``, ``stage_out``) where they can be."""
        return bool(volume.options.get(kind, getattr(self, kind)))

    def keeps(self, volume: Volume) -> bool:
        """A data set lies here where nothing is staged; else behind."""
        staged = self.stages("stage_in", volume) or self.stages("stage_out", volume)
        return not (self.backing and self.setup.dynamic_jobs and staged)

    @property
    def brings(self) -> bool:
        """Whether it could stage anything."""
        return bool(self.backing) or self.expects_backing

    def held_behind(self, volume: Volume, nodes: int, checkpoint: int = 0) -> Mapping[str, int]:
        """Bytes of each file system behind it that a job would hold there; ``checkpoint``: those of one."""
        if not self.setup.dynamic_jobs or not self.backing:
            return {}
        reads = volume.reads if self.stages("stage_in", volume) else 0
        writes = volume.writes if self.stages("stage_out", volume) else 0
        asked = [Volume(self.backing, reads, writes, options=self.options_behind(volume))]
        held: dict[str, int] = {}
        for one in (*asked, *([Volume(self.backing, 0, checkpoint)] if checkpoint else ())):
            for name, size in self.footprint_behind(one, nodes).items():
                held[name] = held.get(name, 0) + size
        return held

    def bring(
        self,
        plan: IoPlan,
        request: IoRequest,
        parts: Sequence[Part],
        view: StorageView,
        rng: random.Random,
    ) -> dict[str, list[Move]] | Hold:
        """The moves of each kind, for ``parts`` (all that could be moved, those of a kind together). What
        they hold behind is added to ``plan``; a Hold if it doesn't fit there. Drains are always moved. Each
        kind touches the job's files once, shared out over the storages."""
        moves: dict[str, list[Move]] = {"stage_in": [], "stage_out": [], "drain": []}
        seen: StorageView = TakenView(view, self._taken(plan.placements))
        behind: list[Placement] = []
        volume = request.volume
        operations = split_operations(
            volume.operations, [0 if part.kind == "drain" else part.size for part in parts]
        )
        total = sum(part.size for part in parts if part.kind == "stage_out")
        done = 0  # of those
        files: dict[str, list[int]] = {}
        for kind in STAGE_OPTIONS[:2]:
            storages = sum(part.kind == kind for part in parts)
            files[kind] = split_evenly(max(volume.files, storages), storages).tolist() if storages else []
        for (kind, storage, size), ours in zip(parts, operations, strict=True):
            if kind == "drain":  # a checkpoint belongs to the job, not to its data set and its files
                asked = Volume(self.backing, 0, size)
            else:
                reads, writes = (size, 0) if kind == "stage_in" else (0, size)
                theirs, touched = self.options_behind(volume), files[kind].pop(0)
                if reads and theirs.get("data_set") and "size" not in theirs:
                    theirs = {**theirs, "size": volume.reads}  # of the set, of which this is a part
                if not self.stages(kind, volume):
                    continue
                if writes:
                    theirs, done = options_of_piece(theirs, done, size, total), done + size
                asked = Volume(*(self.backing, reads, writes, touched, volume.pattern, theirs, ours))
            answered, outcome = self.ask_behind(
                *(request, asked, seen, rng),
                nodes=(storage,),
                part=f"{kind}.{storage}",
                before=plan.behind,
            )
            if isinstance(outcome, Hold):
                return outcome
            plan.behind = (*plan.behind, (answered, outcome))
            behind += outcome.placements
            seen = TakenView(seen, self._taken(outcome.placements))
            moves[kind] += in_order(kind, outcome)
        plan.placements = (*plan.placements, *behind)
        plan.stage_in = (*plan.stage_in, *moves["stage_in"])
        plan.stage_out = (*plan.stage_out, *moves["stage_out"])
        return moves

    def without_bytes(
        self, plan: IoPlan, request: IoRequest, view: StorageView, rng: random.Random
    ) -> Hold | None:
        """What a job that moves no bytes wants is the backing file system's: its nodes' operations, and what
        it says of a data set that lies there (its ``size``, that it is to be deleted)."""
        mine = request.volume
        options = {} if self.keeps(mine) else self.options_behind(mine)
        volume = Volume(*(self.backing, 0, 0, mine.files, mine.pattern, options, mine.operations))
        asked, outcome = self.ask_behind(request, volume, view, rng, part="metadata")
        if isinstance(outcome, Hold):
            return outcome
        plan.flops = outcome.flops
        plan.behind = (*plan.behind, (asked, outcome))
        plan.placements = (*plan.placements, *outcome.placements)
        return None

    def _taken(self, held: Sequence[Placement]) -> list[tuple[int, int]]:
        position = self.setup.position_of
        return [(position[p.storage], p.size) for p in held]
