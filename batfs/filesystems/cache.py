"""Cache: a tier before another file system. docs/background/cache.md explains it with a figure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from batfs.errors import InputError, unknown
from batfs.filesystems.base import (
    MODELS,
    Model,
    Reserve,
    Timing,
    in_order,
    read_grid,
    write_grid,
)
from batfs.filesystems.data_sets import options_of_piece
from batfs.filesystems.interface import (
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Outcome,
    PhaseVolume,
    Placement,
    RepeatedPlan,
    Setup,
    Traffic,
    Transfer,
    Volume,
    add_flops,
    add_internal,
    earlier,
)
from batfs.filesystems.lru import Cache, Entry, Portion, Way
from batfs.filesystems.nodeless import known
from batfs.filesystems.overlay import TakenView
from batfs.filesystems.staging_modes import HELD
from batfs.filesystems.tier import Part, StagingTier
from batfs.filesystems.traffic import (
    by_destination,
    by_source,
    from_transfers,
    joined,
    split_by,
    split_evenly,
    split_operations,
)
from batfs.plugins import Bandwidth
from batfs.storage.interface import StorageView
from batfs.units import parse_size


@MODELS.register("cache")
class CacheTier(StagingTier):
    """Storages that keep data sets which jobs read and write from the file system ``backing``.

    A job names its ``data_set`` (job option); without one nothing can be found again and all its I/O goes to
    the backing file system. Bytes of the set that have arrived here are read from here (hits), the others
    from behind (misses) and, with ``fill``, copied here at the same time, unless another job is bringing
    them already. Writes go through to the backing file system and are copied here (``write=through``), go
    here first and behind when the job has ended (``write=back``; needs dynamic jobs), or go past it
    (``write=around``). When there is no room the least recently used sets leave, except those in use or
    pinned (job option ``pin``, or ``pins``: names, spaces between). What can't be cached goes past the cache,
    and so does everything while one of its storages is away; nothing ever waits for it.

    ``fill_by``: who copies. ``nodes``: those that read, as clients of a tier do. ``servers``: the storages
    behind send the bytes to the cache and the cache passes them on to the nodes. ``auto``: ``servers`` where
    every storage of the cache stands behind a server of the backing file system, else ``nodes``.

    ``staging`` (``none``; ``held``, ``ahead``, ``two_step``, also a job's option): missing bytes are brought
    here before a job reads them, as into a burst buffer, and the job reads all of the set from here;
    ``max_staging``, ``staging_share`` and ``staging_rate`` as there. A set is brought once: who reads what
    another job's staging is bringing waits for that. A job's ``stage_in`` says whether that is done for it.
    What finds no room is read from behind, as ever.

    The storages belong to the cache alone: their bytes are its own business and not in the ledger. Placed
    behind the same servers as a parallel file system's targets this is a storage-side read cache with a
    bandwidth of its own (``write=around``); in the nodes or before the network it is a burst buffer used as
    a cache.
    """

    job_options = ("data_set", "pin", "stage_in", "staging")
    what, word = "cache", "cache"

    def __init__(
        self,
        setup: Setup,
        *,
        backing: str,
        write: Literal["through", "back", "around"] = "through",
        fill: bool = True,
        fill_by: Literal["auto", "nodes", "servers"] = "auto",
        pins: str = "",
        staging: Literal["none", "held", "ahead", "two_step"] = "none",
        max_staging: int = 4,
        staging_share: float = 0.0,
        staging_rate: Bandwidth = 0.0,
        timing: Timing = "overlap",
        reserve: Reserve = "both",
    ) -> None:
        if backing == setup.name or backing not in setup.names:
            raise unknown("backing file system", backing, (n for n in setup.names if n != setup.name))
        super().__init__(
            setup,
            backing=backing,
            stage_in=staging != "none",
            stage_out=False,
            staging=HELD if staging == "none" else staging,
            max_staging=max_staging,
            staging_share=staging_share,
            staging_rate=staging_rate,
            timing=timing,
            reserve=reserve,
        )
        self.write = write
        self.fill = fill
        self.fill_by = fill_by
        self.pins = frozenset(pins.split())
        sizes: dict[int, int] = {}
        for storage in self.storages:
            size = storage.property("size")
            if size is None:
                raise InputError(f"storage {storage.name!r} of the cache {self.name!r} has no size")
            sizes[storage.id] = parse_size(size)
        self.cache = Cache(sizes)
        self._away: set[int] = set()  # its storages that are: while there are any, it is passed by
        self._deleting: dict[str, list[str]] = {}  # job -> those it deletes behind when it succeeds

    def keeps(self, volume: Volume) -> bool:
        """A set lies behind, whatever has been copied."""
        return False

    def stages(self, kind: str, volume: Volume) -> bool:
        """A job that says when it is staged is staged."""
        if kind == "stage_in" and "staging" in volume.options:
            return bool(volume.options.get(kind, True))
        return super().stages(kind, volume)

    def needs_nodes(self, volume: Volume) -> bool:
        behind = self.setup.models[self.backing]
        return not isinstance(behind, Model) or behind.needs_nodes(volume)

    def announcements(self) -> Sequence[str]:
        said = list(super().announcements())
        if self.write == "back" and not self.setup.dynamic_jobs:
            said.append(
                f"file system {self.name!r}: writing back needs dynamic jobs "
                "(--dynamic-jobs; Batsim's --enable-dynamic-jobs); it writes through instead"
            )
        return said

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        """The cache's own bytes are nobody's; behind, as much as if nothing were found here."""
        theirs = self.options_behind(volume)
        return self.footprint_behind(Volume(self.backing, volume.reads, volume.writes, options=theirs), nodes)

    # ---- planning -----------------------------------------------------------------------------------------

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
        volume = request.volume
        name = str(volume.options.get("data_set", ""))
        there = bool(name) and not self._away
        cache = self._then(request) if there else self.cache
        entry = cache.find(name) if there else None
        here = {} if entry is None else entry.here
        others: list[Portion] = []  # what other jobs are bringing
        for job_id, portions in entry.coming.items() if entry is not None else ():
            if job_id == request.job_id:  # what entries before this one add is there
                for portion in portions:
                    add_bytes(here, portion.bytes_on)
            else:
                others += portions
        here = dict(sorted(here.items()))
        hit = min(volume.reads, sum(here.values()))
        miss = volume.reads - hit
        back = self.write == "back" and self.setup.dynamic_jobs
        # what will be added here: missing bytes, less those that another job is bringing, and written bytes
        first = self.setup.dynamic_jobs and bool(name) and self.stages("stage_in", volume)
        coming = sum(size for portion in others for size in portion.bytes_on.values())
        fill = max(0, miss - coming) if name and (self.fill or first) else 0
        kept = volume.writes if self.write != "around" else 0
        room = cache.choose(fill + kept, name) if there else None
        ahead = back and room is not None and bool(volume.writes)
        plan = RepeatedPlan(self.name, timing=self.timing_of(request))
        # what is here when the job begins: brought before, or by jobs whose staging it can wait for
        brought = fill if first and room else 0
        joins = self._joined(entry, request) if first and miss and not known(request.nodes) else {}
        joined = min(miss - brought, sum(sum(sizes.values()) for sizes in joins.values()))
        miss -= brought + joined
        through = 0 if ahead else volume.writes
        repeated = isinstance(volume, PhaseVolume) and volume.times > 1 and bool(room)
        if repeated and not first and fill and fill == miss:
            behind = self._behind_apart(plan, request, miss, through, view, rng)
        else:
            behind = self._behind(plan, request, miss, through, view, rng)
        if isinstance(behind, Hold):
            return behind
        plan.placements, plan.flops, plan.read_flops = behind.placements, behind.flops, behind.read_flops
        plan.stage_in, plan.stage_out = behind.stage_in, behind.stage_out
        reads, writes = list(behind.reads), list(behind.writes)
        reading, writing = ([*part] for part in behind.caused)
        filled: dict[int, int] = {}
        if room:
            ids, weights = tuple(sorted(room)), [room[s] for s in sorted(room)]
            if fill:
                filled = dict(zip(ids, split_by(fill, weights).tolist(), strict=True))
            if fill and not brought:
                if self._by_servers:
                    copied, reads = led_through(reads, filled)
                    reading.append(copied)
                else:
                    reading.append(write_grid(request.nodes, ids, list(filled.values())))
            grid = write_grid(request.nodes, ids, split_by(kept, weights)) if kept else None
            if grid is not None:
                (writes if ahead else writing).append(grid)
            if plan.again is not None:
                self._again(plan.again, request, filled, here, hit)
                if grid is not None and ahead:
                    plan.again.writes = (*plan.again.writes, grid)
                elif grid is not None:
                    plan.again.internal = (*plan.again.internal, grid)
            if ahead:
                seen = TakenView(view, self._taken(plan.placements))
                moved = self._write_back(plan, request, room, volume.writes, seen, rng)
                if isinstance(moved, Hold):
                    return moved
                plan.stage_out, placements = [*plan.stage_out, *moved[0]], moved[1]
                plan.placements = (*plan.placements, *placements)
        served = _shares(hit, here)
        if brought:
            add_bytes(served, filled)
        if joined:
            add_bytes(served, _shares(joined, bytes_of(joins.values())))
        if served:
            ids = tuple(sorted(served))
            reads.append(read_grid(ids, request.nodes, [served[s] for s in ids]))
        plan.reads, plan.writes = reads, writes
        add_internal(plan, reading, writing)
        added = dict(room or {})
        plan.notes = {
            "hits": hit + joined,
            "misses": miss + brought,
            "added": added,
            "filled": filled,
            "data_set": name,
        }
        if brought:
            plan.notes["staged"] = "staged" if known(request.nodes) else "ahead"
            parts = [Part("stage_in", storage, size) for storage, size in sorted(filled.items()) if size]
            moves = self.bring(plan, request, parts, view, rng)
            if isinstance(moves, Hold):
                return moves
        if joined:
            plan.notes["joins"] = list(joins)
        return plan

    @staticmethod
    def _joined(entry: Entry | None, request: IoRequest) -> dict[str, dict[int, int]]:
        """Bytes of a set on each storage that the stagings of other jobs without nodes are bringing, by job:
        one can wait for these."""
        out: dict[str, dict[int, int]] = {}
        for job_id, portions in entry.coming.items() if entry is not None else ():
            staged = [portion.bytes_on for portion in portions if portion.way == "ahead"]
            if staged and job_id != request.job_id:
                out[job_id] = bytes_of(staged)
        return out

    def _then(self, request: IoRequest) -> Cache:
        """The cache as it is when the job has come so far: with what jobs of this pass that start before it
        bring and use, and what its own entries before this one do."""
        started = [
            (job_id, plan)
            for job_id, tries in self.trials.items()
            if job_id != request.job_id
            for _, plan in tries
        ]
        started += [(request.job_id, plan) for plan in earlier(request, self.name)]
        started = [(job_id, plan) for job_id, plan in started if plan.notes.get("data_set")]
        if not started:
            return self.cache
        then = self.cache.copy()
        for job_id, plan in started:
            _enter(then, job_id, plan)
        return then

    @property
    def _by_servers(self) -> bool:
        if self.fill_by != "auto":
            return self.fill_by == "servers"
        behind = {storage.property("server") for storage in self.setup.models[self.backing].storages}
        return all(storage.property("server") in behind - {None} for storage in self.storages)

    def _behind_apart(
        self,
        plan: RepeatedPlan,
        request: IoRequest,
        reads: int,
        writes: int,
        view: StorageView,
        rng: random.Random,
    ) -> IoPlan | Hold:
        """The same for a phase that runs again: what is written goes behind each time, what is read comes
        from there the first time only."""
        first = self._behind(plan, request, reads, 0, view, rng, "reads")
        if isinstance(first, Hold):
            return first
        every = IoPlan(self.backing)
        if writes:
            taken = [(self.setup.position_of[p.storage], p.size) for p in first.placements]
            outcome = self._behind(plan, request, 0, writes, TakenView(view, taken), rng, "writes")
            if isinstance(outcome, Hold):
                return outcome
            every = outcome
        plan.again = IoPlan(
            self.name, writes=every.writes, internal=every.internal, flops=every.flops, timing=plan.timing
        )
        flops = dict(first.flops)
        add_flops(flops, every.flops)
        both = IoPlan(self.backing, (*first.placements, *every.placements), first.reads, every.writes)
        both.flops = flops
        both.read_flops = first.flops
        both.stage_in = (*first.stage_in, *every.stage_in)
        both.stage_out = (*first.stage_out, *every.stage_out)
        add_internal(both, first.internal, every.internal)
        return both

    def _again(
        self, plan: IoPlan, request: IoRequest, filled: dict[int, int], here: Mapping[int, int], hit: int
    ) -> None:
        """What is read from the second time on: the hits where they were, and what was missing from here."""
        sizes = dict(filled)
        parts = split_by(hit, list(here.values())).tolist() if hit else [0] * len(here)
        for storage, size in zip(here, parts, strict=True):
            sizes[storage] = sizes.get(storage, 0) + size
        ids = tuple(sorted(sizes))
        plan.reads = [read_grid(ids, request.nodes, [sizes[s] for s in ids])]

    def _behind(
        self,
        plan: IoPlan,
        request: IoRequest,
        reads: int,
        writes: int,
        view: StorageView,
        rng: random.Random,
        part: str = "",
    ) -> IoPlan | Hold:
        job = request.volume
        options = self.options_behind(job)
        volume = Volume(
            *(self.backing, reads, writes, job.files, job.pattern, options, job.operations, job.access)
        )
        if not reads and not writes and (job.reads or job.writes):
            nothing = IoPlan(self.backing)
            if options:  # it may still have to know of the job (one that deletes a data set)
                asked = IoRequest(
                    request.job_id, request.nodes, volume, request.start, request.end, request.part
                )
                plan.behind = (*plan.behind, (asked, nothing))
            return nothing
        asked, outcome = self.ask_behind(request, volume, view, rng, part=part, before=plan.behind)
        if not isinstance(outcome, Hold):
            plan.behind = (*plan.behind, (asked, outcome))
        return outcome

    def _write_back(
        self,
        plan: IoPlan,
        request: IoRequest,
        room: Mapping[int, int],
        size: int,
        view: StorageView,
        rng: random.Random,
    ) -> tuple[list[Move], list[Placement]] | Hold:
        """After the job: what it wrote, from here to the backing file system."""
        ids, mine = sorted(room), request.volume
        parts = split_by(size, [room[s] for s in ids]).tolist()
        # the files are touched once, shared out; of the job's operations those of what it reads stay with it
        files = split_evenly(max(mine.files, len(ids)), len(ids)).tolist()
        operations = split_operations(mine.operations, [*parts, mine.reads])
        moves: list[Move] = []
        held: list[Placement] = []
        done, options = 0, self.options_behind(mine)
        for k, (storage, part) in enumerate(zip(ids, parts, strict=True)):
            if not part:
                continue
            theirs, done = options_of_piece(options, done, part, size), done + part
            volume = Volume(*(self.backing, 0, part, files[k], mine.pattern, theirs, operations[k]))
            asked, outcome = self.ask_behind(
                request, volume, view, rng, nodes=(storage,), part=f"back.{storage}", before=plan.behind
            )
            if isinstance(outcome, Hold):
                return outcome
            plan.behind = (*plan.behind, (asked, outcome))
            held += list(outcome.placements)
            view = TakenView(view, [(self.setup.position_of[p.storage], p.size) for p in outcome.placements])
            moves += in_order("stage_out", outcome)
        return moves, held

    # ---- what has happened --------------------------------------------------------------------------------

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None:
        """The set is used (and so stays) until the job has ended; what the job adds has its room from now on,
        unless other jobs took it since the plan was made, and is there when it has been brought."""
        name = str(plan.notes.get("data_set", ""))
        if not name:
            return
        if request.volume.options.get("delete"):
            self._deleting.setdefault(request.job_id, []).append(name)
        _enter(self.cache, request.job_id, plan)
        entry = self.cache.find(name)
        if entry is not None:
            entry.pinned = entry.pinned or name in self.pins or bool(request.volume.options.get("pin"))

    def ended(self, job_id: str, success: bool, now: float) -> None:
        self.cache.leave(job_id)
        deleted = dict.fromkeys(self._deleting.pop(job_id, ()))
        if not success:  # what it has left here is not worth keeping
            self.cache.give_up(job_id)
            return
        self.cache.arrive(job_id)
        for name in deleted:
            entry = self.cache.find(name)
            if entry is not None and not entry.fixed:
                self.cache.evict(name)

    def lost(self, resources: Sequence[int]) -> None:
        self._away |= {s for s in resources if s in self.position}

    def back(self, resources: Sequence[int]) -> None:
        self._away -= set(resources)

    def erased(self, storages: Sequence[int]) -> None:
        for storage in storages:
            if storage in self.position:
                self.cache.erase(storage)

    def forget(self, name: str) -> None:
        """The set has gone from the file system behind: its bytes here are nobody's."""
        entry = self.cache.find(name)
        if entry is not None and not entry.users:
            self.cache.evict(name)

    def has_read(self, job_id: str, now: float) -> None:
        """What the job read has been copied here, though it may still be computing."""
        self.cache.arrive(job_id, "read")

    def has_staged(self, job_id: str, now: float) -> None:
        """What was brought for the job is here, though it may not have begun."""
        self.cache.arrive(job_id, "ahead", "staged")


def _enter(cache: Cache, job_id: str, plan: IoPlan) -> None:
    """The job begins to use the set of its plan, and what it adds has its room from now on."""
    name, added, filled = (plan.notes[key] for key in ("data_set", "added", "filled"))
    written = {storage: size - filled.get(storage, 0) for storage, size in added.items()}
    copied: Way = plan.notes.get("staged", "read")
    portions: tuple[tuple[Mapping[int, int], Way], ...] = ((filled, copied), (written, "written"))
    for portion, way in portions:
        there = {storage: size for storage, size in portion.items() if size}
        if there:
            cache.insert(name, there, job_id, way=way)
    if cache.find(name) is not None:
        cache.touch(name)
        cache.use(name, job_id)


def bytes_of(portions: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Together, on each storage."""
    out: dict[int, int] = {}
    for portion in portions:
        add_bytes(out, portion)
    return out


def add_bytes(total: dict[int, int], more: Mapping[int, int]) -> None:
    """``more`` on top of ``total``."""
    for storage, size in more.items():
        if size:
            total[storage] = total.get(storage, 0) + size


def _shares(size: int, held: Mapping[int, int]) -> dict[int, int]:
    """``size`` bytes in proportion to what each storage holds."""
    if not size:
        return {}
    return bytes_of([dict(zip(held, split_by(size, list(held.values())).tolist(), strict=True))])


def led_through(reads: Sequence[Traffic], filled: Mapping[int, int]) -> tuple[Traffic, list[Traffic]]:
    """``reads`` led over the storages ``filled`` (bytes over each): (what goes there, what is read then: from
    there, and the rest as before)."""
    caches, weights = sorted(filled), [filled[s] for s in sorted(filled)]
    sources, destinations, sizes = joined(reads).columns
    led = split_by(sum(weights), sizes)
    copied: list[Transfer] = []
    served: list[Transfer] = []
    for source, size in by_source([Traffic(sources, destinations, led)]).items():
        copied += map(Transfer, [source] * len(caches), caches, split_by(size, weights).tolist())
    for destination, size in by_destination([Traffic(sources, destinations, led)]).items():
        served += map(Transfer, caches, [destination] * len(caches), split_by(size, weights).tolist())
    rest = sizes - led
    left: list[Traffic] = [Traffic(sources, destinations, rest)] if rest.any() else []
    return from_transfers(copied), [*left, from_transfers(served)]
