"""Where the bytes of data sets go and where they are read: one mechanism over every model.

A model places what it would write anyway (``Model.new_parts``) and says how bytes travel that lie somewhere
already (``Model.over``); all else is here: what a job finds, what it adds, what it only moves. The footprint
of a job is the parts that it adds; its traffic is what it reads and writes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Protocol

from batfs.filesystems.data_sets import (
    ERROR,
    FILL,
    MISSING,
    OPTIONS,
    OVERWRITE,
    REPLACE,
    DataSets,
    SetRequest,
    makes_set,
    set_request,
)
from batfs.filesystems.interface import (
    Hold,
    IoPlan,
    IoRequest,
    Outcome,
    Part,
    PhaseRequest,
    Placement,
    SetChange,
    SetPart,
    Setup,
    Volume,
    add_flops,
    add_internal,
    earlier,
)
from batfs.filesystems.overlay import TakenView
from batfs.protocol.messages import Resource
from batfs.records import replace
from batfs.storage.interface import StorageView


class KeepingModel(Protocol):
    """What is asked of a model that keeps data sets: see ``batfs.filesystems.base.Model``."""

    name: str
    storages: Sequence[Resource]
    setup: Setup
    data_sets: DataSets

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome: ...

    def new_parts(
        self, request: IoRequest, view: StorageView, rng: random.Random, *, written: bool
    ) -> tuple[Sequence[SetPart], IoPlan] | Hold: ...

    def over(
        self, parts: Sequence[SetPart], request: IoRequest, view: StorageView, rng: random.Random
    ) -> IoPlan: ...

    def hidden(self, name: str, reads: int) -> Hold | None: ...


def plan_set(model: KeepingModel, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
    """What ``model`` answers for bytes of a data set. Changes nothing."""
    return _Planning(model, request, view, rng).outcome()


def set_footprint(sets: DataSets, volume: Volume) -> Volume:
    """The volume that holds as much as this one adds to its data set, as things stand."""
    held, _ = _adds(sets, volume)
    return replace(volume, reads=0, writes=held, options=_others(volume.options))


def foresee(sets: DataSets, volume: Volume) -> None:
    """What the job's entries after this one find of its data set, for :func:`set_footprint`; until
    ``sets.foreseen`` is cleared."""
    sets.foreseen[str(volume.options["data_set"])] = _adds(sets, volume)[1]


def _adds(sets: DataSets, volume: Volume) -> tuple[int, int]:
    """(bytes that the volume adds to what its data set holds, the size at which it leaves it)."""
    asked = set_request(volume.options)
    found = sets.sets.get(asked.name)
    have = sets.foreseen.get(asked.name, 0 if found is None else found.size)
    fill = 0
    if volume.reads and not have and (asked.missing or sets.missing) == FILL:
        fill = volume.reads if asked.size is None else asked.size
    there = bool(have or fill or found)
    grown = _grows(asked, have + fill, volume, there)
    replaces = there and asked.write == REPLACE  # beside the old one, which others find until it goes
    return fill + grown, have + fill + (0 if replaces else grown)


def _others(options: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for key, value in options.items() if key not in OPTIONS}


def _grows(asked: SetRequest, have: int, volume: Volume, there: bool) -> int:
    """By how many bytes a set of ``have`` bytes grows."""
    if volume.reads and not volume.writes:
        return 0
    if asked.write == REPLACE and there:
        return volume.writes if asked.size is None else asked.size
    size = asked.size
    if size is None:
        size = max(have, volume.writes) if asked.write == OVERWRITE else have + volume.writes
    return max(0, size - have)


class _Planning:
    """One plan in the making: ``plans`` are its pieces, ``view`` the storages with what they hold taken."""

    def __init__(
        self, model: KeepingModel, request: IoRequest, view: StorageView, rng: random.Random
    ) -> None:
        self.model = model
        self.request = request
        self.view = view
        self.rng = rng
        self.sets: DataSets = model.data_sets
        self.asked = set_request(request.volume.options)
        self.options = _others(request.volume.options)
        self.plans: list[IoPlan] = []
        self.placements: list[Placement] = []
        self._count = 0

    def outcome(self) -> Outcome:
        asked, volume, sets = self.asked, self.request.volume, self.sets
        parts = sets.seen(asked.name, self.request)
        have = sum(part.size for part in parts)
        reads, writes = volume.reads, volume.writes
        filled: Sequence[SetPart] = ()
        seen = sets.version(asked.name)
        if reads and not self._found(have):
            rule = asked.missing or sets.missing
            if sets.assumed or (rule != FILL and self.request.start > self.view.now):
                # it may be there by then, wherever that is: nothing is held for it
                self._over([Part(reads, {s.id: reads for s in self.model.storages})], reads, 0)
                reads, seen = 0, -1
            elif rule != FILL:
                about = f"the data set {asked.name!r} is not on {self.model.name!r}"
                return Hold(MISSING, never=rule == ERROR, about=about)
            elif not have:
                made = self._new(reads if asked.size is None else asked.size, [], written=False)
                if isinstance(made, Hold):
                    return made
                filled = made
                parts += filled
                have = sum(part.size for part in parts)
        if reads:
            away = self.model.hidden(asked.name, reads)
            if away is not None:
                return away
            if not have:  # a set that was filled with nothing
                return self._empty()
            self._over(parts, reads, 0)
        there = bool(parts) or asked.name in sets.sets
        version = self._version()
        if version is not None:  # of a new version, of which a piece has been planned
            there = version.replaces
            new = writes if asked.size is None else asked.size
        else:
            new = _grows(asked, have, volume, there)
        replaces = asked.write == REPLACE and there and bool(writes or new)
        written: Sequence[SetPart] = ()
        if new or writes:
            done = self._write(parts, new, writes, replaces)
            if isinstance(done, Hold):
                return done
            written = done
        if not self.plans:  # metadata alone
            alone = self.model.plan(self._part(0, 0), self.view, self.rng)
            if isinstance(alone, Hold):
                return alone
            self.plans.append(alone)
        change = SetChange(
            asked.name,
            filled,
            written,
            reads,
            writes,
            over=not replaces and writes > new,
            replaces=replaces,
            continues=version is not None,
            makes=makes_set(volume, asked),
            seen=seen,
        )
        plan = _joined(self.model.name, self.plans)
        plan.placements = self.placements
        plan.changes = (change,)
        return plan

    def _version(self) -> SetChange | None:
        """What the piece before this one of the same entry makes of the set, if they replace it together."""
        request = self.request
        if self.asked.write != REPLACE or not request.volume.writes or not isinstance(request, PhaseRequest):
            return None
        pieces = request.before[len(request.before) - request.pieces :]
        found = [c for plan in pieces for c in plan.changes if c.name == self.asked.name and c.writes]
        return found[-1] if found else None

    def _found(self, have: int) -> bool:
        """Whether a job that asks for the set finds it: under ``fill`` any bytes will do, also those that
        somebody is still writing; else it has to be complete, or the job's own of an entry before this."""
        if (self.asked.missing or self.sets.missing) == FILL:
            return have > 0
        name = self.asked.name
        if self.sets.exists(name) or self.sets.comes(name, self.request.job_id):
            return True
        return any(
            change.name == name and (change.filled or change.makes)
            for plan in earlier(self.request, self.sets.filesystem)
            for change in plan.changes
        )

    def _write(
        self, parts: Sequence[SetPart], new: int, writes: int, replaces: bool
    ) -> Sequence[SetPart] | Hold:
        """``new`` bytes are added, and ``writes`` travel: into the new ones, then over those that are
        there."""
        if not new:
            if not any(part.size for part in parts):  # its size was said to be nothing
                return self._empty()
            self._over(parts, 0, writes)
            return ()
        plans: list[IoPlan] = []
        made = self._new(new, plans, written=True)
        if isinstance(made, Hold):
            return made
        if writes == new:  # as the model would write it anyway
            self.plans += plans
        elif writes:
            into = writes if replaces or not parts else min(new, writes)
            self._over(made, 0, into)
            if writes > into:
                self._over(parts, 0, writes - into)
        return made

    def _empty(self) -> Hold:
        """Bytes can't travel from or to a set that has none."""
        return Hold(MISSING, never=True, about=f"the data set {self.asked.name!r} is empty")

    def _new(self, size: int, plans: list[IoPlan], *, written: bool) -> Sequence[SetPart] | Hold:
        """Parts of ``size`` bytes, held from now on; how they would be written is added to ``plans``."""
        request = self._part(0, size)
        made = self.model.new_parts(request, self.view, self.rng, written=written)
        if isinstance(made, Hold):
            return made
        parts, plan = made
        asked = self.request
        owner = f"{asked.job_id}/{asked.part}" if asked.part else asked.job_id
        # a job that is staged, or started, again finds what it left the first time
        owner += f".{self.sets.version(self.asked.name)}"
        of = self.sets.key(self.asked.name)
        held: list[Placement] = []
        for part in parts:
            part.name = f"{owner}.{self._count}"
            self._count += 1
            held += part.placements(of)
        self.placements += held
        at = self.model.setup.position_of
        self.view = TakenView(self.view, [(at[p.storage], p.size) for p in held])
        plans.append(plan)
        return parts

    def _over(self, parts: Sequence[SetPart], reads: int, writes: int) -> None:
        self.plans.append(self.model.over(parts, self._part(reads, writes), self.view, self.rng))

    def _part(self, reads: int, writes: int) -> IoRequest:
        """The request for a part of its bytes; its metadata operations and options of the model go with the
        first part that is planned."""
        volume = self.request.volume
        first = not self.plans and not self._count
        return replace(
            self.request,
            volume=replace(
                volume,
                reads=reads,
                writes=writes,
                options=self.options,
                operations=volume.operations if first else {},
            ),
        )


def _joined(name: str, plans: Sequence[IoPlan]) -> IoPlan:
    """One plan of several."""
    if len(plans) == 1:
        return plans[0]
    out = IoPlan(name, timing=plans[-1].timing)
    flops: dict[int, float] = {}
    read_flops: dict[int, float] = {}
    for plan in plans:
        out.reads, out.writes = (*out.reads, *plan.reads), (*out.writes, *plan.writes)
        add_internal(out, *plan.caused)
        add_flops(flops, plan.flops)
        add_flops(read_flops, plan.caused_flops[0])
        out.stage_in = (*out.stage_in, *plan.stage_in)
        out.stage_out = (*out.stage_out, *plan.stage_out)
        out.background = (*out.background, *plan.background)
        out.checkpoints = out.checkpoints or plan.checkpoints
        out.notes = {**out.notes, **plan.notes}
        out.behind = (*out.behind, *plan.behind)
    out.flops = flops
    out.read_flops = read_flops
    return out
