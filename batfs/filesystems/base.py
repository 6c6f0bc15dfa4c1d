"""What the models share: the registry, how space is asked for, and how node traffic is laid out."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from operator import add
from typing import Any, Literal, TypeAlias, cast, overload

from batfs._core.arrays import IntArray, np
from batfs._core.flows import evenly
from batfs.errors import BatfsError, InputError, unknown
from batfs.filesystems.access import AccessModel, make_access
from batfs.filesystems.data_sets import OPTIONS, RULES, DataSets, bytes_on, keeps, set_request
from batfs.filesystems.interface import (
    FileSystemModel,
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Outcome,
    Part,
    PhaseRequest,
    Placement,
    SetPart,
    Setup,
    Traffic,
    Transfer,
    Volume,
)
from batfs.filesystems.staging_modes import HELD, STAGING
from batfs.filesystems.traffic import from_transfers, joined, split_by, split_evenly, turns
from batfs.plugins import Registry, parameters, parse_spec
from batfs.records import replace
from batfs.storage.interface import AllocationPolicy, SpaceRequest, StorageView
from batfs.storage.view import fitting

MODELS: Registry[type[FileSystemModel]] = Registry(
    "file-system model",
    "batfs.filesystem_models",
    {
        f"batfs.filesystems.{name}": (name,)
        for name in ("pfs", "dfs", "nvme_pool", "burst_buffer", "rabbit", "cache")
    },
)

Timing: TypeAlias = Literal["overlap", "phases"]
Reserve: TypeAlias = Literal["both", "reads", "writes", "max"]


#: Of a policy: one storage, whatever it would do by itself.
WHOLE: Mapping[str, Any] = {"count": 1}


class Model(ABC):
    """The defaults of a model; a model of one's own overrides ``plan`` and little else.

    Options every model has: ``timing`` (``overlap`` or ``phases``) and ``reserve``, which bytes of a job
    count against the capacity while it runs: what it reads and writes (``both``), only one of them, or the
    larger (``max``: output replaces input).
    """

    def __init__(self, setup: Setup, *, timing: Timing = "overlap", reserve: Reserve = "both") -> None:
        self.setup = setup
        self.name = setup.name
        self.storages = setup.storages
        self.timing = timing
        self.reserve = reserve
        self.policy: AllocationPolicy = setup.policy
        self.position = {s.id: p for s, p in zip(setup.storages, setup.positions, strict=True)}
        self.storage_at = {p: s.id for s, p in zip(setup.storages, setup.positions, strict=True)}
        self.node_names = {node.id: node.name for node in setup.nodes}
        #: The data sets that lie here.
        self.data_sets = DataSets(setup.name)
        #: What was answered in this pass to jobs that may start with it, by job: see ``tried``.
        self.trials: dict[str, list[tuple[IoRequest, IoPlan]]] = {}

    @cached_property
    def everywhere(self) -> IntArray:
        """Positions of the storages."""
        return np.array(self.setup.positions, dtype=np.int64)

    # ---- what a model of one's own overrides --------------------------------------------------------------

    @abstractmethod
    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome: ...

    #: Options a job may give in its ``io`` entry, beside ``timing``.
    job_options: Sequence[str] = ()
    #: Whether ``plan`` may be asked with stand-ins for nodes that aren't known (see
    #: ``batfs.filesystems.nodeless``) and puts the bytes where they are right for any.
    nodeless: bool = False

    def needs_nodes(self, volume: Volume) -> bool:
        """Whether that is not so for this volume."""
        return not self.nodeless

    #: The file system behind this one, of a tier.
    backing: str = ""
    #: What access patterns and devices cost; it is added to what ``plan`` answers.
    access: AccessModel | None = None

    def check(self, volume: Volume) -> None:
        """InputError for an option that neither this model nor the one behind it has, a ``timing`` that is
        none, or a data set that makes no sense."""
        known = tuple(dict.fromkeys(("timing", *OPTIONS, *self.job_options)))
        if self.backing:
            known += tuple(n for n in self._options_behind() if n not in known)
        for key in volume.options:
            if key not in known:
                raise unknown(f"I/O option of the file system {self.name!r}", key, known)
        if volume.options.get("timing", "overlap") not in ("overlap", "phases"):
            raise InputError(f"timing {volume.options['timing']!r} is neither 'overlap' nor 'phases'")
        set_request(volume.options)

    def stage(self, staging: str, most: int) -> None:
        """Of a model that stages: when it does so (``staging``), and for how many jobs at once before they
        have nodes (``max_staging``). InputError without dynamic jobs."""
        if staging != HELD and not self.setup.dynamic_jobs:
            raise _needs_dynamic_jobs(staging)
        if most < 0:
            raise InputError(f"max_staging is {most}; expected 0 (any number) or more")
        self.staging = staging
        self.max_staging = most

    def check_staging(self, volume: Volume) -> None:
        """InputError for a job's ``staging`` that is none, or that needs dynamic jobs."""
        mode = volume.options.get("staging", HELD)
        if mode not in STAGING:
            raise unknown("staging", str(mode), STAGING)
        if mode != HELD and not self.setup.dynamic_jobs:
            raise _needs_dynamic_jobs(mode)

    def announcements(self) -> Sequence[str]:
        if self.timing == "phases" and not self.setup.dynamic_jobs:
            return [
                f"file system {self.name!r}: I/O in phases needs dynamic jobs "
                "(--dynamic-jobs; Batsim's --enable-dynamic-jobs); it overlaps with the computation instead"
            ]
        return []

    def own_nodes(self) -> Sequence[int]:
        return ()

    @property
    def attends(self) -> bool:
        """Whether ``started``, ``ended`` or ``released`` mean anything to this model; if not, they may not be
        called."""
        behind = self.setup.models.get(self.backing)
        if behind is not None and getattr(behind, "attends", True):
            return True
        kind = type(self)
        return any(getattr(kind, n) is not getattr(Model, n) for n in ("started", "ended", "released"))

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None:  # noqa: B027
        """Nothing to remember."""

    def ended(self, job_id: str, success: bool, now: float) -> None:  # noqa: B027
        """Nothing to forget."""

    def tried(self, request: IoRequest, plan: IoPlan) -> None:
        """The job will start with this plan when the pass is over, unless it is ``untried`` before."""
        self.trials.setdefault(request.job_id, []).append((request, plan))

    def untried(self, job_id: str) -> None:
        """The job won't start, or has."""
        self.trials.pop(job_id, None)

    def has_read(self, job_id: str, now: float) -> None:  # noqa: B027
        """The job has read what it reads, before it ends (I/O in phases)."""

    def has_staged(self, job_id: str, now: float) -> None:  # noqa: B027
        """What is staged in for the job is there."""

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]:
        return ()

    def moved(self, move: Move, success: bool | None) -> None:  # noqa: B027
        """No moves of its own."""

    def lost(self, resources: Sequence[int]) -> None:  # noqa: B027
        """Nothing kept, nothing lost."""

    def back(self, resources: Sequence[int]) -> None:  # noqa: B027
        """Nothing was lost."""

    def erased(self, storages: Sequence[int]) -> None:  # noqa: B027
        """Nothing kept, nothing erased. Called before ``back`` where data were lost."""

    def released(self) -> Sequence[str]:
        return ()

    # ---- data sets ----------------------------------------------------------------------------------------

    def keeps(self, volume: Volume) -> bool:
        """Whether a data set that this volume names lies here; if not, behind this tier."""
        return not self.backing

    @contextmanager
    def holding_all(self) -> Iterator[None]:
        """Within, all bytes hold space, whatever ``reserve`` says: those of a data set stay."""
        reserve, self.reserve = self.reserve, "both"
        try:
            yield
        finally:
            self.reserve = reserve

    def new_parts(
        self, request: IoRequest, view: StorageView, rng: random.Random, *, written: bool
    ) -> tuple[Sequence[SetPart], IoPlan] | Hold:
        """Where the bytes that the request writes are to stay, and the plan of writing them there: as
        ``plan`` would place a job's own output, all of it held. ``written``: by the job itself; else they
        were there before. For a model with copies or blocks of its own to override."""
        with self.holding_all():
            outcome = self.plan(request, view, rng)
        if isinstance(outcome, Hold):
            return outcome
        held: dict[int, int] = {}
        for one in outcome.placements:
            held[one.storage] = held.get(one.storage, 0) + one.size
        outcome.placements = ()
        return [Part(request.volume.writes, held)] if held else [], outcome

    def over(
        self, parts: Sequence[SetPart], request: IoRequest, view: StorageView, rng: random.Random
    ) -> IoPlan:
        """The traffic of the request's bytes, which lie in ``parts`` already: from and to each storage in
        proportion to what it holds of them; a node's own storages serve it first."""
        held = bytes_on(parts)
        ids = sorted(storage for storage, size in held.items() if size)
        weights = [held[storage] for storage in ids]
        plan, volume, nodes = IoPlan(self.name), request.volume, request.nodes
        if volume.reads:
            plan.reads = [self._between(ids, split_by(volume.reads, weights).tolist(), nodes, reading=True)]
        if volume.writes:
            plan.writes = [
                self._between(ids, split_by(volume.writes, weights).tolist(), nodes, reading=False)
            ]
        self.around(plan, request, view, rng)
        return plan

    def hidden(self, name: str, reads: int) -> Hold | None:
        """Why a data set that is there can't be read for a while; None if it can."""
        return None

    def around(self, plan: IoPlan, request: IoRequest, view: StorageView, rng: random.Random) -> None:
        """What comes on top of a plan's bytes, wherever they lie. For a model with overheads, gateways or
        metadata servers to override."""
        plan.timing = self.timing_of(request)

    def _between(
        self, storages: Sequence[int], sizes: Sequence[int], nodes: Sequence[int], *, reading: bool
    ) -> Traffic:
        owners = {name: node for node, name in self.node_names.items()}
        homes = {s.id: owners.get(s.property("node") or "") for s in self.storages}
        mine = [homes.get(storage) for storage in storages]
        if not any(home in nodes for home in mine if home is not None):
            if reading:
                return read_grid(storages, nodes, sizes)
            return write_grid(nodes, storages, sizes)
        left = dict(zip(nodes, split_evenly(sum(sizes), len(nodes)).tolist(), strict=True))
        rest = dict(zip(storages, sizes, strict=True))
        pairs: list[tuple[int, int, int]] = []
        own = [(storage, home) for storage, home in zip(storages, mine, strict=True) if home in left]
        others = ((storage, node) for storage in storages for node in nodes)
        for storage, node in (*own, *others):
            assert node is not None
            amount = min(left[node], rest[storage])
            if amount:
                left[node] -= amount
                rest[storage] -= amount
                pairs.append((storage, node, amount))
        return from_transfers(
            [Transfer(s, n, size) if reading else Transfer(n, s, size) for s, n, size in pairs]
        )

    # ---- help for it --------------------------------------------------------------------------------------

    def _options_behind(self) -> Sequence[str]:
        model = self.setup.models.get(self.backing)
        return (*OPTIONS, *getattr(model, "job_options", ()))

    def ask_behind(
        self,
        request: IoRequest,
        volume: Volume,
        view: StorageView,
        rng: random.Random,
        *,
        nodes: Sequence[int] | None = None,
        part: str = "",
        before: Sequence[tuple[IoRequest, IoPlan]] = (),
    ) -> tuple[IoRequest, Outcome]:
        """(what is asked, the answer) of the file system behind this tier for a part of the job's bytes;
        ``nodes``: storages in the place of the job's nodes, ``part``: a name for this part of the job;
        ``before``: what it has been asked for other parts, which a data set counts."""
        name = f"{request.part}/{part}" if request.part and part else request.part or part
        others = [plan for _, plan in before] if volume.options else []
        pieces = len(others)
        if isinstance(request, PhaseRequest):
            others = [*request.before, *others]
        mine = request.nodes if nodes is None else nodes
        asked = IoRequest(request.job_id, mine, volume, request.start, request.end, name)
        if others:
            asked = PhaseRequest(
                request.job_id, mine, volume, request.start, request.end, name, others, pieces
            )
        model = self.setup.models[self.backing]
        outcome = planned(model, asked, view, rng)
        access: AccessModel | None = getattr(model, "access", None)
        if access is not None and isinstance(outcome, IoPlan):
            staged = nodes is not None
            access.apply(outcome, asked, view, self.setup.position_of, staged=staged)
        return asked, outcome

    def options_behind(self, volume: Volume) -> Mapping[str, Any]:
        """Those of a job's options that the file system behind this tier knows (a ``data_set``)."""
        if not volume.options:
            return volume.options
        theirs = self._options_behind()
        return {key: value for key, value in volume.options.items() if key in theirs}

    def timing_of(self, request: IoRequest) -> str:
        """``overlap`` or ``phases``: the job's own word, else the file system's; always overlap without
        dynamic jobs (announced at the start)."""
        if not self.setup.dynamic_jobs:
            return "overlap"
        options = request.volume.options
        return str(options.get("timing", self.timing)) if options else self.timing

    def held_bytes(self, reads: int, writes: int) -> int:
        """What of these bytes counts against the capacity, by ``reserve``."""
        if self.reserve == "both":
            return reads + writes
        if self.reserve == "max":
            return max(reads, writes)
        return reads if self.reserve == "reads" else writes

    def held_each(self, reads: Sequence[int], writes: Sequence[int]) -> list[int]:
        """The same of many such pairs."""
        if self.reserve == "both":
            return list(map(add, reads, writes))
        return list(map(self.held_bytes, reads, writes))

    def footprint(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        """Bytes of each file system that a job of so many nodes would hold, wherever they lie: for plans."""
        return {self.name: self.held_bytes(volume.reads, volume.writes)}

    def footprint_behind(self, volume: Volume, nodes: int) -> Mapping[str, int]:
        """The same of a volume of the file system behind this tier."""
        return footprint(self.setup.models[self.backing], volume, nodes)

    def choose(
        self,
        sizes: Sequence[int],
        request: IoRequest,
        view: StorageView,
        rng: random.Random,
        among: IntArray | None = None,
        reason: str = "StorageCapacity",
    ) -> list[tuple[tuple[int, int], ...]] | Hold:
        """A place for each of ``sizes`` (bytes) on storages of its own, chosen by the policy one after the
        other: for each its ((storage id, bytes), ...), most often one pair. All of them or a Hold.

        Several sizes are the model's own stripes: a policy that would split what it is asked for is told not
        to. One that does it all the same may leave too few storages for all to have their own; then they
        share."""
        candidates = self.everywhere if among is None else among
        near = self.near(request)
        if len(sizes) == 1 and len(candidates):  # the common case, quickly
            space = SpaceRequest(sizes[0], request.start, request.end, request.job_id, near, candidates)
            shares = self.policy.choose(view, space, rng)
            if shares is None:
                return self.hold(sizes, request, view, candidates, reason)
            return [tuple([(self.storage_at[share.index], share.size) for share in shares])]
        if (picked := self.pick(sizes, request, view, rng, candidates)) is not None:
            return [((storage, size),) for storage, size in zip(picked, sizes, strict=True)]
        chosen: list[tuple[tuple[int, int], ...]] = []
        left = candidates
        seen = view
        splits = False
        for size in sizes:
            space = SpaceRequest(size, request.start, request.end, request.job_id, near, left, WHOLE)
            shares = self.policy.choose(seen, space, rng) if len(left) else None
            if shares is None and splits and left is not candidates:
                left = candidates
                held = [(self.position[s], held) for part in chosen for s, held in part]
                from batfs.filesystems.overlay import TakenView

                seen = TakenView(view, held)
                space = SpaceRequest(size, request.start, request.end, request.job_id, near, left, WHOLE)
                shares = self.policy.choose(seen, space, rng)
            if shares is None:
                return self.hold(sizes, request, view, candidates, reason)
            chosen.append(tuple((self.storage_at[share.index], share.size) for share in shares))
            splits = splits or len(shares) > 1
            for share in shares:
                left = left[left != share.index]
        return chosen

    def pick(
        self, sizes: Sequence[int], request: IoRequest, view: StorageView, rng: random.Random, among: IntArray
    ) -> list[int] | None:
        """The storages (ids) that :meth:`choose` would find for several sizes, where one question to the
        policy is enough: there is room for the largest everywhere, and its choices are apart. Else None."""
        if len(sizes) > len(among) or not vars(type(self.policy)).get("apart"):
            return None
        policy: Any = self.policy
        near = self.near(request)
        space = SpaceRequest(max(sizes), request.start, request.end, request.job_id, near, among)
        if len(fitting(view, space)) < len(among):
            return None
        storage_at = self.storage_at
        return [storage_at[i] for i in policy.pick(view, space, among, len(sizes), rng)]

    def on_one(self, volume: Volume) -> bool:
        """Whether all bytes of a request go to one storage, whichever the policy chooses, shared evenly by
        its nodes, whichever they are: nothing else of the plan depends on where and when."""
        return False

    def near(self, request: IoRequest) -> Sequence[str]:
        """Names of the hosts that will use the space: compute nodes, or the buffers of a tier in front."""
        return NodeNames(request.nodes, self.node_names)

    def hold(
        self,
        sizes: Sequence[int],
        request: IoRequest,
        view: StorageView,
        among: IntArray | None = None,
        reason: str = "StorageCapacity",
    ) -> Hold:
        """Why ``sizes`` on storages of their own find no room: the largest against the roomiest."""
        candidates = self.everywhere if among is None else among
        wanted = sorted(sizes, reverse=True)
        if len(candidates) < len(wanted):
            return Hold(reason, tuple(self.storage_at[int(p)] for p in candidates), sum(wanted), never=True)
        free = view.free(request.start, request.end)[candidates]
        room = np.sort(view.capacities[candidates])[::-1]
        never = any(size > int(space) for size, space in zip(wanted, room, strict=False))
        order = np.argsort(-free, kind="stable")[: len(wanted)]
        short = [
            (self.storage_at[int(candidates[i])], size - int(free[i]))
            for i, size in zip(order, wanted, strict=True)
            if size > int(free[i])
        ]
        return Hold(reason, tuple(sorted(s for s, _ in short)), sum(missing for _, missing in short), never)


def _needs_dynamic_jobs(staging: str) -> InputError:
    return InputError(
        f"staging={staging} moves bytes before the job has nodes, as dynamic jobs, which are off",
        hint="--dynamic-jobs; Batsim's --enable-dynamic-jobs",
    )


class NodeNames(Sequence[str]):
    """The names of those of ``nodes`` that have one, made when somebody looks: few policies do."""

    __slots__ = ("_all", "_made", "_nodes")

    def __init__(self, nodes: Sequence[int], names: Mapping[int, str]) -> None:
        self._nodes = nodes
        self._all = names
        self._made: tuple[str, ...] | None = None

    def _names(self) -> tuple[str, ...]:
        if self._made is None:
            names = self._all
            self._made = tuple([names[node] for node in self._nodes if node in names])
        return self._made

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        return self._names()[place]


def read_grid(storages: Sequence[int], nodes: Sequence[int], sizes: Sequence[int] | IntArray) -> Traffic:
    """``sizes[i]`` bytes from storage i to all the nodes together, evenly. Ids ascending."""
    amounts = [int(size) for size in sizes]
    return evenly(nodes, storages, None, (amounts, turns(amounts, len(nodes))))


def write_grid(nodes: Sequence[int], storages: Sequence[int], sizes: Sequence[int] | IntArray) -> Traffic:
    """``sizes[i]`` bytes from all the nodes together to storage i, evenly. Ids ascending."""
    amounts = [int(size) for size in sizes]
    return evenly(nodes, storages, (amounts, turns(amounts, len(nodes))), None)


def make_model(spec: str, setup: Setup) -> FileSystemModel:
    """The model ``"name:key=value"`` (or ``file.py:Name``) names, over ``setup``; its options come from the
    word itself and from ``setup.options``. InputError for what is unknown or wrong, naming the file system.

    ``client`` and ``server``, what access patterns cost, and ``efficiency`` by the number of transfers are
    options of every model: see :mod:`batfs.filesystems.access`. So are ``missing`` (what becomes of a job
    that reads a data set which isn't there) and ``purge`` (which of them go by themselves): see
    :mod:`batfs.filesystems.data_sets`.
    """
    from batfs.filesystems.checked import guard
    from batfs.plugins import PluginError, Spec, convert_options, raised_in

    parsed = parse_spec(spec, MODELS.kind)
    options = {key.replace("-", "_"): _text(value) for key, value in setup.options.items()}
    merged = Spec(parsed.name, {**options, **parsed.options})
    place = f"filesystems.{setup.name}"
    kind = MODELS.get(merged.name)
    if setup.staging and "staging" not in merged.options and _stages(kind):
        merged = Spec(merged.name, {**merged.options, "staging": setup.staging})
    client, server, efficiency = (merged.options.get(name, "") for name in _OF_ALL[:3])
    own = {key: text for key, text in merged.options.items() if key not in _OF_ALL}
    try:
        if not callable(kind):
            raise InputError(f"the {MODELS.kind} {parsed.name!r} can't be called")
        elsewhere = own.keys() - parsed.options.keys()
        made = convert_options(kind, Spec(parsed.name, own), MODELS.kind, {"setup": setup}, quiet=elsewhere)
        try:
            model: Any = kind(**made)
        except (Exception, SystemExit) as error:
            if isinstance(error, BatfsError) or not raised_in(error)[0]:
                raise
            story = f"while it was made, the {MODELS.kind} {parsed.name!r}"
            raise PluginError.of(error, story) from error
        model.access = make_access(client, server, efficiency, setup)
        _set_rules(model, merged.options)
        return guard(cast(FileSystemModel, model), setup)
    except PluginError:
        raise  # its place is one in its file
    except InputError as error:
        raise error.at(place=place) from None


_OF_ALL = ("client", "server", "efficiency", "missing", "purge")


def _set_rules(model: Any, options: Mapping[str, str]) -> None:
    """The rules of a model's data sets from its options."""
    missing, purge = options.get("missing"), options.get("purge")
    sets = getattr(model, "data_sets", None)
    if sets is None:
        if missing is None and purge is None:
            return
        raise InputError(
            f"{type(model).__name__!r} keeps no data sets", hint="derive it from batfs.ext.Model"
        )
    if missing is not None:
        if missing not in RULES:
            raise unknown("value of 'missing'", missing, RULES)
        sets.missing = missing
    if purge:
        from batfs.filesystems.purge import make_purge

        sets.purge = make_purge(purge)


def _stages(kind: Any) -> bool:
    return isinstance(kind, type) and "staging" in parameters(kind)[0]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return " ".join(_text(v) for v in value)
    if isinstance(value, Mapping):
        return " ".join(f"{k}:{_text(v)}" for k, v in value.items())
    return str(value)


def planned(model: FileSystemModel, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome:
    """What ``model`` plans for the request; for bytes of a data set that lies there, with the shared
    mechanism of data sets."""
    if request.volume.options and keeps(model, request.volume):
        from batfs.filesystems.set_plans import plan_set

        return plan_set(cast(Model, model), request, view, rng)
    return model.plan(request, view, rng)


def footprint(model: FileSystemModel, volume: Volume, nodes: int) -> Mapping[str, int]:
    """What the model says, or what is read and written if it doesn't."""
    if volume.options and keeps(model, volume):
        from batfs.filesystems.set_plans import set_footprint

        mine = cast(Model, model)
        with mine.holding_all():
            return mine.footprint(set_footprint(mine.data_sets, volume), nodes)
    asked = getattr(model, "footprint", None)
    if asked is None:
        return {volume.filesystem: volume.reads + volume.writes}
    found: Mapping[str, int] = asked(volume, nodes)
    return found


def in_order(kind: str, plan: IoPlan) -> list[Move]:
    """What a file system behind a tier has planned, as moves of that kind with those that have to come before
    them, or after (that one may be a tier itself)."""
    traffic = [*plan.reads, *plan.writes, *plan.internal]
    if not traffic:
        return []
    first = 1 + max((move.turn for move in plan.stage_in), default=-1)
    after = [replace(move, turn=first + 1 + move.turn) for move in plan.stage_out]
    return [*plan.stage_in, Move(kind, joined(traffic), flops=plan.flops, turn=first), *after]


def placements(held: Mapping[int, int]) -> tuple[Placement, ...]:
    """One placement per storage, ids ascending, none of 0 bytes."""
    return tuple(Placement(storage, size) for storage, size in sorted(held.items()) if size)
