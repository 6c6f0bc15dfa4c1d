"""What a file-system model is asked and what it answers.

A model turns "this job, on these nodes, reads and writes so many bytes" into *placements* (bytes to hold
on storages), *traffic* (bytes between resource ids while the job runs) and *moves* (staging before and
after it, drains during it). It never looks at the queue. Ids are Batsim's resource ids throughout; volumes
are whole bytes, and what is split is split by largest remainder, so that sums are exact.

Who calls what, in the order of a job's life (see ``batfs.filesystems.site`` for all of a machine at once):

1. ``plan(request, view, rng)``: may be called many times for a waiting job; changes nothing but the memory
   of a policy (a round-robin pointer). Returns an :class:`IoPlan` or a :class:`Hold`.
   Between the plan of a job that may start now and its start other jobs of the same pass are planned:
   ``tried(request, plan)`` tells of it, ``untried(job_id)`` that it started after all, or did not.
2. ``started(plan, now)`` once the placements are reserved and the job (or its stage-in) is on its way.
3. ``has_read(job_id, now)`` when it has read its input, where that is a phase of its own, and
   ``ended(job_id, success, now)`` when the job's last activity is over or it was killed.
4. ``upkeep(view, rng, now)`` between jobs: moves the file system wants for itself (re-replication,
   balancing), each reported back with ``moved``; ``released()`` names kept bytes that go.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from batfs._core.flows import Traffic as Traffic
from batfs._core.flows import add_flops as add_flops
from batfs.protocol.messages import Resource
from batfs.records import Row, field, record
from batfs.storage.interface import AllocationPolicy, StorageView
from batfs.workload.access import PLAIN, Access


class Topology(Protocol):
    """What models use of ``batfs.platform.Platform``; indices are the platform's, not Batsim's ids."""

    @property
    def host_index(self) -> Mapping[str, int]: ...

    def route(self, src: int, dst: int) -> Any:
        """``.links``: indices in order, ``.latency``: seconds."""
        ...

    @property
    def links(self) -> Sequence[Any]:
        """Each with ``.name``, ``.bandwidth`` (bytes/s), ``.latency`` (seconds), ``.fatpipe``."""
        ...


# ---- what is asked ----------------------------------------------------------------------------------------


@record
class Volume:
    """What one job asks of one file system: whole bytes, over all its nodes together.

    ``files`` files are touched. ``pattern``: ``shared`` (every file is spread over the nodes and the
    storages), ``per_node`` (a file belongs to one node) or ``per_process`` (to one process, of which there
    are ``access.processes`` on each node). ``options`` holds the options of the entry in the profile's ``io``
    list (``data_set``, ``checkpoints``, ``timing``): each model documents its own. ``operations``: metadata
    operations of the whole job by name; empty: those that opening ``files`` takes. There may be no bytes at
    all.
    """

    filesystem: str
    reads: int
    writes: int
    files: int = 1
    pattern: str = "shared"
    options: Mapping[str, Any] = field(default_factory=dict)
    operations: Mapping[str, int] = field(default_factory=dict)
    access: Access = PLAIN

    def files_of(self, nodes: int) -> int:
        """How many files at least: each process has one where they don't share."""
        return max(self.files, nodes * self.access.processes) if self.pattern == "per_process" else self.files


@record
class PhaseVolume(Volume):
    """What a phase of a composed job asks of one file system: ``phase`` is the name of its profile. The
    ``reads`` and ``writes`` are those of one execution, of which there are ``times``: they touch the same
    bytes again, so the space is held once and the traffic counts each time."""

    phase: str = ""
    times: int = 1


def phase_of(volume: Volume) -> tuple[str, int]:
    """(the phase that asks for it, how often that runs); an empty name for the job as a whole."""
    return (volume.phase, volume.times) if isinstance(volume, PhaseVolume) else ("", 1)


@record
class IoRequest:
    """One job on its nodes (ascending ids), and its window of time for the reservations (seconds).

    ``part``: for which part of the job: a phase of a composed one; or a tier's, when it asks several times.
    """

    job_id: str
    nodes: Sequence[int]
    volume: Volume
    start: float
    end: float = float("inf")
    part: str = ""


@record
class PhaseRequest(IoRequest):
    """A phase of a composed job, or an entry of several; ``before`` are the plans of the job's entries before
    it, in order, which are reserved with it; what they bring or write counts as there. The last ``pieces`` of
    them are for the same entry, which a tier asks for in pieces."""

    before: Sequence[IoPlan] = ()
    pieces: int = 0


def earlier(request: IoRequest, filesystem: str) -> list[IoPlan]:
    """What this file system has planned for the job's entries before this one, also behind a tier."""
    found: list[IoPlan] = []
    todo = list(request.before) if isinstance(request, PhaseRequest) else []
    while todo:
        plan = todo.pop(0)
        if plan.file_system == filesystem:
            found.append(plan)
        todo += [answered for _, answered in plan.behind]
    return found


@record
class Staging:
    """How a job is staged before it has nodes. ``mode``: ``ahead`` (it keeps its place in the queue) or
    ``two_step`` (it joins the end of the queue when its data is there). ``most``: for each file system it
    stages into, how many jobs may do so at once (0: any number). ``fixed``: the file system that can't place
    a byte before the job's nodes are known, so that it is staged with them after all; empty if there is
    none."""

    mode: str
    most: Mapping[str, int]
    fixed: str = ""


# ---- what is answered -------------------------------------------------------------------------------------


@record
class Transfer(Row):
    """``size`` whole bytes from resource ``source`` to resource ``destination``: for small plans and for
    plugins that would rather write a list (see ``traffic.from_transfers``)."""

    source: int
    destination: int
    size: int


@record
class Placement(Row):
    """``size`` bytes held on the storage with resource id ``storage``.

    ``key``: empty for bytes that go with the job. Others stay when it is over (a data set, a cache): they are
    booked under this unique key until the model names it in ``released``.
    """

    storage: int
    size: int
    key: str = ""


class SetPart(Protocol):
    """Bytes of a data set that came together, wherever they lie: see :class:`Part`."""

    size: int
    name: str

    @property
    def held(self) -> Mapping[int, int]: ...

    def placements(self, of: str) -> list[Placement]:
        """What the books hold for it; the keys begin with ``of``, the name of its set."""
        ...

    def keys(self, of: str) -> list[str]:
        """Under which names the books keep it."""
        ...

    def erase(self, of: str, gone: Collection[int]) -> list[str]:
        """The keys of what is lost with these storages."""
        ...


@record(frozen=False, eq=False)
class Part:
    """Bytes of a data set that came together: ``size`` of the set, ``held`` bytes on each storage (copies
    count). ``name``: its own within the set."""

    size: int
    held: Mapping[int, int] = field(default_factory=dict)
    name: str = ""

    def placements(self, of: str) -> list[Placement]:
        key = f"{of}#{self.name}"
        return [Placement(storage, size, key) for storage, size in sorted(self.held.items()) if size]

    def keys(self, of: str) -> list[str]:
        return [f"{of}#{self.name}"] if any(self.held.values()) else []

    def erase(self, of: str, gone: Collection[int]) -> list[str]:
        """All of it, if some lay there: a file without some of its stripes is no file."""
        if self.held.keys().isdisjoint(gone):
            return []
        keys = self.keys(of)
        self.held = {}
        return keys


@record
class SetChange:
    """What a plan does to the data set ``name`` of its file system. ``filled``: parts that it finds there,
    since they were there before the simulation; ``written``: parts that are new, and ``replaces`` whether
    they take the place of all others; ``continues``: they are of one version with those of the piece before;
    ``over``: bytes that are there are written over. ``reads``, ``writes``: traffic, in bytes. ``makes``: the
    set exists when the job has succeeded. ``seen``: the set's version that it was made for (-1: never again
    the same)."""

    name: str
    filled: Sequence[SetPart] = ()
    written: Sequence[SetPart] = ()
    reads: int = 0
    writes: int = 0
    over: bool = False
    replaces: bool = False
    continues: bool = False
    makes: bool = False
    seen: int = -1


@record
class Move(Row):
    """One activity that moves bytes outside the job's own profile, sent as one dynamic job.

    ``kind`` is ``stage_in``, ``stage_out``, ``drain``, ``replicate`` or ``balance``: a word for the outputs.
    ``placements`` are bytes to hold before it starts, for moves outside any job (``upkeep``); ``tag`` is the
    model's own, to know the move again in ``moved``. ``flops``: work that goes with it (metadata operations).
    ``turn``: of the moves of one stage, those of a turn start when those of the turns before have ended.
    """

    kind: str
    traffic: Traffic
    placements: Sequence[Placement] = ()
    tag: str = ""
    flops: Mapping[int, float] = MappingProxyType({})
    turn: int = 0


@record
class Checkpoints(Row):
    """``times`` times during the computation, at equal distances: ``writes`` (blocking: the job waits for
    all of them), then ``drains`` (asynchronous: the job goes on)."""

    times: int
    writes: Sequence[Move]
    drains: Sequence[Move]


OVERLAP = "overlap"  # the I/O is merged with the computation: they progress and end together
PHASES = "phases"  # read, then compute, then write


@record(frozen=False)
class IoPlan:
    """What a model decided for one request.

    ``reads`` leave a storage and ``writes`` enter one: they carry the job's own bytes, exactly as many as it
    asked for. ``internal`` traffic (replication, forwarding) runs with them and is accounted apart: the first
    ``read_internal`` of it is what reading causes, the others what writing does (None: all of it what writing
    does, if anything is written).
    ``flops`` is work on servers of the file system or on the job's own nodes (never on a storage: Batsim
    refuses it), of which reading causes the part ``read_flops`` (None: all of it).
    ``stage_in`` ends before the job starts; ``stage_out`` starts when it has ended; ``background`` starts
    with the job and nobody waits for it but the placements, which are held until every move has ended.
    """

    file_system: str
    placements: Sequence[Placement] = ()
    reads: Sequence[Traffic] = ()
    writes: Sequence[Traffic] = ()
    internal: Sequence[Traffic] = ()
    flops: Mapping[int, float] = field(default_factory=dict)
    timing: str = OVERLAP
    stage_in: Sequence[Move] = ()
    stage_out: Sequence[Move] = ()
    background: Sequence[Move] = ()
    checkpoints: Checkpoints | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the model wants reported: ``locality`` reached, cache ``hits``."""
    behind: Sequence[tuple[IoRequest, IoPlan]] = ()
    """What models behind a tier were asked and answered, as far as it is part of this plan: they are told of
    the job's start as this one's model is."""
    read_internal: int | None = None
    read_flops: Mapping[int, float] | None = None
    changes: Sequence[SetChange] = ()
    """What becomes of data sets by it."""

    @property
    def caused_flops(self) -> tuple[Mapping[int, float], Mapping[int, float]]:
        """The work that (reading, writing) causes."""
        if self.read_flops is None:
            return self.flops, {}
        reading = self.read_flops
        left = {resource: amount - reading.get(resource, 0.0) for resource, amount in self.flops.items()}
        return reading, {resource: amount for resource, amount in left.items() if amount > 0}

    @property
    def caused(self) -> tuple[Sequence[Traffic], Sequence[Traffic]]:
        """The internal traffic that (reading, writing) causes."""
        reading = self.read_internal
        if reading is None:
            reading = 0 if self.writes else len(self.internal)
        return self.internal[:reading], self.internal[reading:]

    @property
    def needs_dynamic_jobs(self) -> bool:
        return bool(
            self.stage_in
            or self.stage_out
            or self.background
            or self.checkpoints is not None
            or self.timing != OVERLAP
        )


@record(frozen=False)
class RepeatedPlan(IoPlan):
    """For a phase that runs several times: ``again`` is how its bytes move from the second time on, if in
    another way (from a cache that the first time has filled). Of it, traffic and flops count."""

    again: IoPlan | None = None


def add_internal(plan: IoPlan, reading: Sequence[Traffic], writing: Sequence[Traffic]) -> None:
    """Traffic on top of the job's own: what its reads cause, and what its writes do."""
    before, after = plan.caused
    plan.internal = (*before, *reading, *after, *writing)
    plan.read_internal = len(before) + len(reading)


def ways(volume: Volume, plan: IoPlan) -> list[tuple[int, IoPlan]]:
    """(how often, in what way) the traffic of a plan moves: more than once for a phase that runs again."""
    _, times = phase_of(volume)
    if isinstance(plan, RepeatedPlan) and plan.again is not None and times > 1:
        return [(1, plan), (times - 1, plan.again)]
    return [(times, plan)]


@record
class Hold:
    """Why a plan can't be made now: ``reason`` is a word (``StorageCapacity``, ``BurstBufferResources``),
    ``storages`` the ids short of space, ``missing`` the bytes missing. ``never`` if it can never fit."""

    reason: str
    storages: Sequence[int] = ()
    missing: int = 0
    never: bool = False
    about: str = ""
    """What is missing, if not bytes."""

    def sentence(self, names: Mapping[int, str] | None = None) -> str:
        """``StorageCapacity: 12 bytes missing on 10 11``."""
        if self.about:
            return f"{self.reason}: {self.about}"
        which = " ".join((names or {}).get(s, str(s)) for s in self.storages)
        ever = ", for ever" if self.never else ""
        missing = f"{self.missing} bytes missing" if self.missing else "no room"
        return f"{self.reason}: {missing}{f' on {which}' if which else ''}{ever}"


Outcome: TypeAlias = IoPlan | Hold


# ---- who answers ------------------------------------------------------------------------------------------


@record
class Setup:
    """What a model is made from.

    ``storages``: its own, ascending ids; ``positions``: where they stand in ``StorageView.storages``, which
    holds every storage of the machine in ascending order of id. ``nodes``: every compute resource.
    ``policy``: the allocation policy of this file system, with a state of its own.
    ``models``: every file system of the machine by name, for tiers; filled once all are made, so look into
    it in ``plan``, not in a constructor (``names`` knows the names at once). ``position_of``: the position
    in the view of every storage of the machine, by id.
    ``platform`` is None when nobody gave the file; models then do without topology.
    ``dynamic_jobs``: whether moves can be sent at all; ``chunked``: whether they are sent in pieces.
    """

    name: str
    storages: Sequence[Resource]
    positions: Sequence[int]
    nodes: Sequence[Resource]
    policy: AllocationPolicy
    options: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, FileSystemModel] = field(default_factory=dict)
    names: Sequence[str] = ()
    position_of: Mapping[int, int] = field(default_factory=dict)
    platform: Topology | None = None
    dynamic_jobs: bool = False
    chunked: bool = False
    staging: str = ""
    """The ``staging`` of file systems that say none, if somebody does."""


class FileSystemModel(Protocol):
    """One file system of the machine under one model; ``batfs.filesystems.base.Model`` has the defaults."""

    name: str
    storages: Sequence[Resource]

    def plan(self, request: IoRequest, view: StorageView, rng: random.Random) -> Outcome: ...

    def check(self, volume: Volume) -> None:
        """Raise InputError if the volume's options mean nothing to this model; said before the job waits."""
        ...

    def announcements(self) -> Sequence[str]:
        """Sentences said once at the start: what this model can't do in this setting."""
        ...

    def own_nodes(self) -> Sequence[int]:
        """Compute resources that serve the file system (gateways): jobs are never given them."""
        ...

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None: ...

    def tried(self, request: IoRequest, plan: IoPlan) -> None: ...

    def untried(self, job_id: str) -> None: ...

    def has_read(self, job_id: str, now: float) -> None: ...

    def ended(self, job_id: str, success: bool, now: float) -> None: ...

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]: ...

    def moved(self, move: Move, success: bool | None) -> None:
        """A move of ``upkeep`` has ended, or was never sent for lack of room (``success`` None)."""
        ...

    def lost(self, resources: Sequence[int]) -> None:
        """These resources are away: copies on them don't count until they are ``back``."""
        ...

    def back(self, resources: Sequence[int]) -> None:
        """These resources are there again."""
        ...

    def released(self) -> Sequence[str]:
        """Keys of kept placements whose bytes go now; each is named once."""
        ...
