"""All file systems of one machine: made from the platform's properties and the configuration.

A storage belongs to the file system its ``filesystem`` property names. Its model is, in this order: what the
configuration says for that file system, the ``model`` property of its storages (or their zones), the general
``filesystem`` setting, ``dfs:replication=1`` where every storage belongs to a node (plain local disks), else
``pfs``. Models, options and policies are words ``name:key=value``; options may also stand as keys of the file
system's table in the configuration.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from batfs._core.arrays import np
from batfs._core.flows import merge
from batfs.errors import InputError, unknown
from batfs.filesystems.access import AccessModel, health_of
from batfs.filesystems.base import Model, footprint, make_model, planned
from batfs.filesystems.data_sets import DataSets, Timer, keeps, names_a_set
from batfs.filesystems.interface import (
    FileSystemModel,
    Hold,
    IoPlan,
    IoRequest,
    Move,
    PhaseRequest,
    PhaseVolume,
    Setup,
    Staging,
    Topology,
    Traffic,
    Volume,
)
from batfs.filesystems.nodeless import known, on_nodes
from batfs.filesystems.script import cuttable
from batfs.filesystems.staging_modes import HELD, NO_LIMIT, TWO_STEP, StagingLimit
from batfs.filesystems.traffic import split_operations
from batfs.protocol.messages import Resource
from batfs.records import replace
from batfs.storage.interface import AllocationPolicy, IntArray, StorageView
from batfs.storage.policies import make_policy
from batfs.workload.io import requested_io
from batfs.workload.model import Composed, Delay, IoProfile, Profile, Recv, Send, UsageTrace

DEFAULT_POLICY = "round_robin"
_REMEMBERED: Final = (
    4096  # profiles whose volumes are kept: in a profile of 5,000 jobs, a tenth of their time
)


class FileSystems:
    """The models of a machine by name, in order of name; its storages (all, ascending ids, with what the
    configuration changed in their properties); and where plain ``io_reads``/``io_writes`` go."""

    def __init__(
        self,
        models: Mapping[str, FileSystemModel],
        storages: Sequence[Resource],
        defaults: tuple[str, str],
        *,
        dynamic_jobs: bool,
        platform: Topology | None = None,
    ) -> None:
        self.platform = platform
        self.storages = tuple(storages)
        self.position = {storage.id: k for k, storage in enumerate(self.storages)}
        self.models = dict(sorted(models.items()))
        self.default_reads, self.default_writes = defaults
        self.dynamic_jobs = dynamic_jobs
        self._owner: dict[int, tuple[Move, str]] = {}
        #: Names of those whose ``started`` and ``ended`` mean something.
        self.attending = frozenset(n for n, model in self.models.items() if getattr(model, "attends", True))
        self._asked: dict[int, tuple[Profile, tuple[Volume, ...]]] = {}
        #: Whether a job may be staged before it has nodes.
        self.stages_ahead = dynamic_jobs and any(map(_brings, self.models.values()))
        #: Whether what a job reads may be staged in, before it has nodes or when it has them.
        self.stages_in = dynamic_jobs and any(_has_behind(model) for model in self.models.values())
        #: What the stagings of each file system may take together, where that is limited.
        self.staging_limits: dict[str, StagingLimit] = {
            name: limit
            for name, model in self.models.items()
            if (limit := getattr(model, "staging_limit", NO_LIMIT)) != NO_LIMIT and dynamic_jobs
        }
        accesses = {name: getattr(model, "access", None) for name, model in self.models.items()}
        self._devices: dict[str, AccessModel] = {name: a for name, a in accesses.items() if a is not None}
        self._accesses = {name: a for name, a in self._devices.items() if not a.idle}
        self._attending = [self.models[n] for n in self.models if n in self.attending]
        # one that isn't made of Model may not have the calls that came later
        self._trying = [model for model in self._attending if hasattr(model, "tried")]
        self._keeping = [
            model
            for model in self.models.values()
            if getattr(type(model), "released", None) is not Model.released
        ]
        #: The data sets of each file system that can keep some.
        self.data_sets: dict[str, DataSets] = {
            name: sets for name, model in self.models.items() if (sets := _sets_of(model)) is not None
        }
        #: When some go by themselves.
        self.timer = Timer()
        for sets in self.data_sets.values():
            sets.timer = self.timer
        for model in self.models.values():
            forget = getattr(model, "forget", None)
            behind = self.data_sets.get(getattr(model, "backing", ""))
            if forget is not None and behind is not None:
                behind.forgetters.append(forget)
        self.own_nodes: tuple[int, ...] = tuple(
            sorted({node for model in self.models.values() for node in model.own_nodes()})
        )

    def __bool__(self) -> bool:
        return bool(self.models)

    def announcements(self) -> list[str]:
        """Sentences to say once at the start."""
        said = [sentence for model in self.models.values() for sentence in model.announcements()]
        return list(dict.fromkeys(said))

    def volumes(self, job_id: str, profile: Profile) -> tuple[Volume, ...]:
        """What the job asks of each file system, in the profile's order; () without I/O.

        InputError (place: the job) for an unknown file system, bytes on a machine without storages, options
        that are wrong, or checkpoints of a computation that can't be cut into parts.
        """
        extra = profile.extra
        if not extra:
            return ()
        known = self._asked.get(id(profile))
        if known is not None and known[0] is profile:  # many jobs of a workload share one
            return known[1]
        requested = requested_io(profile, f"job {job_id}: profile")
        found: list[Volume] = []
        for part in requested:
            named = part.filesystem
            if named is None and self.default_reads != self.default_writes:
                # a file system each for reads and for writes; what moves no bytes is asked of the first
                reading, writing = split_operations(
                    part.operations, (part.reads or not part.writes, part.writes)
                )
                if part.reads or not part.writes:
                    asked = replace(part, operations=reading)
                    found.append(self._volume(job_id, self.default_reads, part.reads, 0, asked))
                if part.writes:
                    asked = replace(part, operations=writing)
                    found.append(self._volume(job_id, self.default_writes, 0, part.writes, asked))
            else:
                name = self.default_reads if named is None else named
                found.append(self._volume(job_id, name, part.reads, part.writes, part))
        for volume in found:
            if volume.options and "checkpoints" in volume.options and not cuttable(profile):
                kind = type(profile).__name__.lower()
                raise InputError(f"checkpoints can't cut a {kind} profile into parts", place=f"job {job_id}")
        if len(self._asked) >= _REMEMBERED:
            self._asked.clear()
        self._asked[id(profile)] = profile, tuple(found)
        return tuple(found)

    def _volume(self, job_id: str, name: str, reads: int, writes: int, part: Any) -> Volume:
        if not self.models:
            raise InputError("asks for I/O, but the platform has no storage", place=f"job {job_id}")
        if name not in self.models:
            raise unknown("file system", name, self.models, place=f"job {job_id}")
        volume = Volume(
            *(name, reads, writes, part.files, part.pattern, part.options, part.operations, part.access)
        )
        if part.options:
            try:
                self.models[name].check(volume)
            except InputError as error:
                raise error.at(place=f"job {job_id}") from None
        return volume

    def cannot(self, profile: Profile) -> str | None:
        """Why a job with this profile can't have its I/O simulated in this setting; None if it can.

        Batsim merges I/O only into parallel tasks: it ignores it on a ``delay``, ``send``, ``recv`` or trace,
        and crashes on a ``composed`` job given inline I/O. With dynamic jobs the I/O becomes jobs of its own.
        """
        if self.dynamic_jobs:
            return None
        if isinstance(profile, Composed):
            return "its profile is composed: its I/O needs dynamic jobs (--dynamic-jobs)"
        if isinstance(profile, (Delay, Send, Recv, UsageTrace)):
            kind = type(profile).__name__.lower()
            return f"its profile is a {kind}: Batsim ignores I/O there, so it needs --dynamic-jobs"
        return None

    def plan(
        self,
        job_id: str,
        nodes: Sequence[int],
        volumes: Sequence[Volume],
        start: float,
        end: float,
        view: StorageView,
        rng: random.Random,
    ) -> tuple[IoPlan, ...] | Hold:
        """One plan for each volume, in order, or the first Hold: all of them or nothing.

        Later volumes see the bytes of the earlier ones taken. Changes nothing but the memory of policies.
        """
        if len(volumes) == 1:
            volume = volumes[0]
            asked = IoRequest(job_id, nodes, volume, start, end)
            model = self.models[volume.filesystem]
            outcome = planned(model, asked, view, rng) if volume.options else model.plan(asked, view, rng)
            if isinstance(outcome, Hold):
                return outcome
            if (self._accesses or health_of(view) is not None) and known(nodes):
                self._slow(outcome, asked, view)
            return (outcome,)
        plans: list[IoPlan] = []
        seen = view
        for k, volume in enumerate(volumes):
            model = self.models[volume.filesystem]
            if isinstance(volume, PhaseVolume):  # the bytes of each phase are its own
                part = f"{volume.phase}.{k}"
                asked = PhaseRequest(job_id, nodes, volume, start, end, part, plans[:k])
            elif k and names_a_set(volume):  # what an entry before it adds is there
                asked = PhaseRequest(job_id, nodes, volume, start, end, str(k), plans[:k])
            else:
                asked = IoRequest(job_id, nodes, volume, start, end)
            outcome = planned(model, asked, seen, rng)
            if isinstance(outcome, Hold):
                return outcome
            if (self._accesses or health_of(seen) is not None) and known(nodes):
                self._slow(outcome, asked, seen)
            plans.append(outcome)
            if outcome.placements:
                taken = [(self.position[p.storage], p.size) for p in outcome.placements]
                from batfs.filesystems.overlay import TakenView

                seen = TakenView(seen, taken)
        return tuple(plans)

    def on_one(self, volumes: Sequence[Volume]) -> tuple[AllocationPolicy, IntArray] | None:
        """Who chooses among which storages for these bytes, if they all go to one and nothing else of the
        plan depends on when and where: see ``Model.on_one``. None for all others."""
        if len(volumes) != 1 or self._accesses:
            return None
        [volume] = volumes
        model = self.models[volume.filesystem]
        # said by each class for itself: one derived from it may plan otherwise
        if type(volume) is not Volume or volume.options or "on_one" not in vars(type(model)):
            return None
        mine = cast(Model, model)
        return (mine.policy, mine.everywhere) if mine.on_one(volume) else None

    def _slow(self, plan: IoPlan, asked: IoRequest, view: StorageView) -> None:
        """Add what access patterns and devices cost."""
        accesses = self._accesses if health_of(view) is None else self._devices
        access = accesses.get(asked.volume.filesystem)
        if access is not None:
            access.apply(plan, asked, view, self.position)

    def slowed(self, profile: IoProfile, view: StorageView) -> IoProfile:
        """A piece of a transfer that starts now, with what the load of the devices costs it."""
        volumes = profile.volumes.astype(np.int64)
        traffic = Traffic(profile.ids[profile.sources], profile.ids[profile.destinations], volumes)
        following = [access for access in self._devices.values() if access.following]
        extra = [more for access in following for more in access.follow(traffic, view, self.position)]
        if not extra:
            return profile
        flops = None if profile.flops is None else dict(zip(profile.ids.tolist(), profile.flops, strict=True))
        merged = merge([traffic, *extra], flops)
        assert merged is not None
        return merged

    def staging(self, volumes: Sequence[Volume]) -> Staging | None:
        """How such a job is staged before it has nodes, if a file system wants that; see
        ``batfs.scheduling.staging``.

        With several the most careful word counts: ``two_step`` before ``ahead``.
        """
        mode, most = HELD, {}
        for volume in volumes:
            model = self.models[volume.filesystem]
            own = getattr(model, "staging", HELD)
            word = str(volume.options.get("staging", own)) if volume.options else own
            if word != HELD:
                mode = word if mode != TWO_STEP else mode
                most[volume.filesystem] = getattr(model, "max_staging", 0)
        if mode == HELD:
            return None
        fixed = [v.filesystem for v in volumes if _needs_nodes(self.models[v.filesystem], v)]
        return Staging(mode, most, fixed[0] if fixed else "")

    def settled(
        self,
        job_id: str,
        nodes: Sequence[int],
        volumes: Sequence[Volume],
        plans: Sequence[IoPlan],
        window: tuple[float, float],
        view: StorageView,
    ) -> tuple[IoPlan, ...]:
        """Plans that were made before the job's nodes were known, on these nodes."""
        made = on_nodes(plans, nodes)
        if self._accesses or health_of(view) is not None:
            for volume, plan in zip(volumes, made, strict=True):
                self._slow(plan, IoRequest(job_id, nodes, volume, *window), view)
        return made

    def footprint(self, volumes: Sequence[Volume], nodes: int) -> dict[str, int]:
        """Bytes of each file system that a job of so many nodes would hold, wherever they lie."""
        out: dict[str, int] = {}
        books: list[DataSets] = []
        try:
            for volume in volumes:
                for name, size in footprint(self.models[volume.filesystem], volume, nodes).items():
                    out[name] = out.get(name, 0) + size
                book = self.book_of(volume) if len(volumes) > 1 else None
                if book is not None:  # what this entry adds those after it find
                    from batfs.filesystems.set_plans import foresee

                    foresee(book, volume)
                    books.append(book)
        finally:  # a model from outside may raise
            for book in books:
                book.foreseen.clear()
        return out

    def started(self, request: IoRequest, plan: IoPlan, now: float, campaign: str = "") -> None:
        """The plan's bytes are reserved and the job (or its stage-in) is on its way. Models behind a tier are
        told first, of the parts of the plan that are theirs."""
        for asked, answered in plan.behind:
            self.started(asked, answered, now, campaign)
        model = self.models[plan.file_system]
        if request.volume.options and keeps(model, request.volume):
            self.data_sets[plan.file_system].started(request, plan, now, campaign)
        model.started(request, plan, now)

    def tried(self, request: IoRequest, plan: IoPlan) -> None:
        """The job may start with this plan when the pass is over; other jobs are planned before it does."""
        for asked, answered in plan.behind:
            self.tried(asked, answered)
        if plan.changes:
            self.data_sets[plan.file_system].tried(request, plan)
        model = self.models[plan.file_system]
        if model in self._trying:
            model.tried(request, plan)

    def untried(self, job_id: str) -> None:
        """It has started, or won't."""
        for sets in self.data_sets.values():
            sets.untried(job_id)
        for model in self._trying:
            model.untried(job_id)

    def has_read(self, job_id: str, now: float) -> None:
        """The job has read its input, and goes on."""
        for model in self._trying:
            model.has_read(job_id, now)

    def has_staged(self, job_id: str, now: float) -> None:
        """What is staged in for the job is there."""
        for model in self._attending:
            staged = getattr(model, "has_staged", None)  # one that isn't made of Model may not have it
            if staged is not None:
                staged(job_id, now)

    def ended(self, job_id: str, success: bool, now: float) -> None:
        """The job's last activity is over, or it was killed."""
        for sets in self.data_sets.values():
            sets.ended(job_id, success, now)
        for model in self._attending:
            model.ended(job_id, success, now)

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> list[Move]:
        """Moves the file systems want for themselves; none without dynamic jobs."""
        if not self.dynamic_jobs:
            return []
        moves: list[Move] = []
        for name, model in self.models.items():
            for move in model.upkeep(view, rng, now):
                self._owner[id(move)] = (move, name)
                moves.append(move)
        return moves

    def moved(self, move: Move, success: bool | None) -> None:
        """A move of ``upkeep`` has ended, or was never sent for lack of room (``success`` None)."""
        _, name = self._owner.pop(id(move))
        self.models[name].moved(move, success)

    def lost(self, resources: Sequence[int]) -> None:
        """These resources are away: copies on them don't count until they are ``back``."""
        for model in self.models.values():
            model.lost(resources)

    def back(self, resources: Sequence[int]) -> None:
        """These resources are there again."""
        for model in self.models.values():
            model.back(resources)

    def erased(self, storages: Sequence[int]) -> None:
        """What was kept on these storages is gone."""
        for sets in self.data_sets.values():
            sets.erased(storages)
        for model in self.models.values():
            erase = getattr(model, "erased", None)  # one that isn't made of Model may not have it
            if erase is not None:
                erase(storages)

    def released(self) -> list[str]:
        """Keys of kept placements whose bytes go now; each is named once."""
        keys = [key for sets in self.data_sets.values() for key in sets.released()]
        return keys + [key for model in self._keeping for key in model.released()]

    # ---- data sets ----------------------------------------------------------------------------------------

    def book_of(self, volume: Volume) -> DataSets | None:
        """The book that the volume's data set is in; None without one. A tier answers for the file system
        behind it."""
        if not names_a_set(volume):
            return None
        model: FileSystemModel | None = self.models[volume.filesystem]
        while model is not None and not keeps(model, volume):
            model = self.models.get(getattr(model, "backing", ""))
        return None if model is None else self.data_sets.get(model.name)

    def where(self, volume: Volume) -> dict[int, int]:
        """Bytes that each storage (by id) holds of the data set that the volume names; {} without one, or
        where it isn't there. A model may know better than the book: of copies that are away, say."""
        sets, name = self.book_of(volume), str(volume.options.get("data_set", ""))
        if sets is None:
            return {}
        own = getattr(self.models[sets.filesystem], "where", None)
        if own is not None:
            there: dict[int, int] = own(name)
            return there
        found = sets.sets.get(name)
        return {} if found is None else found.bytes_on()

    def is_current(self, plans: Sequence[IoPlan]) -> bool:
        """Whether the data sets of plans made earlier are still as these found them."""
        return all(
            self.data_sets[plan.file_system].version(change.name) == change.seen
            for plan in plans
            for change in plan.changes
        ) and all(self.is_current([plan for _, plan in plan.behind]) for plan in plans if plan.behind)

    def time_has_come(self, now: float) -> bool:
        """Data sets go whose time has come; whether one did."""
        gone = [self.data_sets[name].time_has_come(each, now) for name, each in self.timer.due(now)]
        return any(gone)

    def purge(self, held: Callable[[int], int], capacity: Sequence[int], now: float) -> None:
        """What the purge policies find too much goes; ``held(k)``, ``capacity[k]``: bytes on the k-th
        storage."""
        for name, sets in self.data_sets.items():
            if sets.purge is None:
                continue
            mine = [self.position[s.id] for s in self.models[name].storages]
            excess = sets.purge.excess(sum(map(held, mine)), sum(int(capacity[k]) for k in mine))
            for found in sets.oldest() if excess > 0 else ():
                if excess <= 0:
                    break
                excess -= sets.drop(found.name, now, f"purged ({sets.purge.name})")

    def make_room(self, hold: Hold, now: float) -> bool:
        """Whether purge policies that make room for jobs have freed what is missing."""
        short = set(hold.storages)
        for name, sets in self.data_sets.items():
            if sets.purge is None or not sets.purge.makes_room():
                continue
            if not any(s.id in short for s in self.models[name].storages):
                continue
            there = [
                (one, sum(size for s, size in one.bytes_on().items() if s in short)) for one in sets.oldest()
            ]
            missing = hold.missing
            if sum(size for _, size in there) < missing:
                continue
            for found, size in there:
                if missing > 0 and size:
                    missing -= size
                    sets.drop(found.name, now, f"purged ({sets.purge.name})")
            return True
        return False


def _sets_of(model: FileSystemModel) -> DataSets | None:
    sets = getattr(model, "data_sets", None)
    return sets if isinstance(sets, DataSets) else None


def make_filesystems(
    config: Mapping[str, Any],
    compute: Sequence[Resource],
    storages: Sequence[Resource],
    *,
    platform: Topology | None = None,
    dynamic_jobs: bool = False,
) -> FileSystems:
    """The file systems of a machine.

    ``config`` may hold ``filesystems`` ({name: {model, policy, options...}}), ``filesystem`` (a model for
    those that name none), ``policy`` (an allocation policy likewise), ``default_filesystem`` (a name, or
    ``reads=NAME,writes=NAME``) and ``storages`` ({storage name: {filesystem, ...}}, over the platform's
    properties). ``staging``: of those that say none. Raises InputError with the place in the configuration.
    """
    overrides: Mapping[str, Mapping[str, Any]] = config.get("storages") or {}
    known = sorted(storages, key=lambda s: s.id)
    for name in overrides:
        if name not in {s.name for s in known}:
            raise unknown("storage", name, (s.name for s in known), place="storages")
    known = [_overridden(s, overrides.get(s.name)) for s in known]
    groups: dict[str, list[tuple[int, Resource]]] = {}
    for position, storage in enumerate(known):
        groups.setdefault(storage.property("filesystem") or "storage", []).append((position, storage))
    tables: Mapping[str, Mapping[str, Any]] = config.get("filesystems") or {}
    for name in tables:
        if name not in groups:
            raise unknown("file system", name, groups, place="filesystems")
    siblings = {name: [s for _, s in members] for name, members in groups.items()}
    models: dict[str, FileSystemModel] = {}
    for name, members in sorted(groups.items()):
        table = dict(tables.get(name) or {})
        spec = table.pop("model", None) or _model_of(name, siblings[name], config.get("filesystem"))
        table.pop("size", None)  # of its storages together: they have it already
        policy = table.pop("policy", None) or config.get("policy") or DEFAULT_POLICY
        setup = Setup(
            name,
            [s for _, s in members],
            [p for p, _ in members],
            compute,
            make_policy(str(policy)),
            table,
            models,
            sorted(groups),
            {s.id: position for position, s in enumerate(known)},
            platform,
            dynamic_jobs,
            bool(config.get("chunk")),
            str(config.get("staging") or ""),
        )
        models[name] = make_model(str(spec), setup)
    if config.get("staging") not in (None, HELD) and not any(map(_brings, models.values())):
        raise InputError(
            f"no file system of this machine stages anything: {', '.join(models) or 'there is none'}",
            place="staging",
            hint="burst_buffer, nvme_pool and cache do, before a file system 'backing'",
        )
    defaults = _defaults(config.get("default_filesystem"), siblings)
    return FileSystems(models, known, defaults, dynamic_jobs=dynamic_jobs, platform=platform)


def _brings(model: FileSystemModel) -> bool:
    """Whether it could stage anything."""
    return hasattr(model, "staging") and bool(getattr(model, "brings", True))


def _has_behind(model: FileSystemModel) -> bool:
    """Whether it could stage from somewhere."""
    return bool(getattr(model, "backing", "")) and hasattr(model, "stages")


def _needs_nodes(model: FileSystemModel, volume: Volume) -> bool:
    """Whether it can't place a byte of this before the nodes are known; a model that says nothing can't."""
    return model.needs_nodes(volume) if isinstance(model, Model) else True


def _overridden(storage: Resource, more: Mapping[str, Any] | None) -> Resource:
    if not more:
        return storage
    return replace(storage, properties={**storage.properties, **{k: str(v) for k, v in more.items()}})


def _model_of(name: str, storages: Sequence[Resource], general: str | None) -> str:
    named = {spec for storage in storages if (spec := storage.property("model"))}
    if len(named) > 1:
        raise InputError(
            f"the storages of the file system {name!r} name different models: {', '.join(sorted(named))}"
        )
    if named:
        return named.pop()
    if general:
        return general
    return "dfs:replication=1" if all(storage.property("node") for storage in storages) else "pfs"


def _defaults(text: str | None, groups: Mapping[str, Sequence[Resource]]) -> tuple[str, str]:
    """Where plain reads and writes go. Unless said: the file system whose storages belong to no node and
    that holds most targets, ties to the first name; any if all belong to nodes."""
    if text:
        reads = writes = text
        if "=" in text:
            parts = dict(part.partition("=")[::2] for part in text.replace(" ", "").split(","))
            if set(parts) != {"reads", "writes"}:
                raise InputError(
                    f"{text!r} is neither a file system nor reads=NAME,writes=NAME",
                    place="default_filesystem",
                )
            reads, writes = parts["reads"], parts["writes"]
        for name in (reads, writes):
            if name not in groups:
                raise unknown("file system", name, groups, place="default_filesystem")
        return reads, writes
    if not groups:
        return "", ""
    shared = {n: s for n, s in groups.items() if not all(x.property("node") for x in s)} or dict(groups)
    best = min(shared, key=lambda n: (-len(shared[n]), n))
    return best, best
