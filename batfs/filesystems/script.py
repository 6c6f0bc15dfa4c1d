"""What a job's plans mean in time: the steps of its life, and each activity as Batsim can run it.

Batsim 4 can add I/O to a job in one way only: ``additional_io_job``, merged into a single parallel task. All
else (staging, phases, checkpoints, I/O beside a job whose profile can't take it) is sent as *dynamic jobs* in
a workload of their own, ``batfs``:

- a move between storages is a ``parallel`` job on exactly those storages;
- traffic that touches compute nodes is an empty ``parallel`` job on one storage with the traffic as its
  ``additional_io_job``: Batsim checks only the allocation for sharing, so the nodes may be busy or held.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from batfs._core.arrays import doubles, np
from batfs._core.flows import build_profile, merge
from batfs.errors import InputError
from batfs.filesystems.interface import PHASES, IoPlan, Move, Traffic, add_flops
from batfs.filesystems.traffic import split_rows
from batfs.protocol import messages as m
from batfs.records import field, record, replace
from batfs.workload.model import (
    HOMOGENEOUS,
    NO_EXTRA,
    Delay,
    IoProfile,
    Job,
    Parallel,
    Profile,
)

WORKLOAD = "batfs"

#: Kind of the activities that stage in while the job has its nodes.
STAGE_IN = "stage_in"

#: Kind of the activities that stage in before the job has nodes.
AHEAD = "stage_ahead"

#: Kind of the moves to a storage that is rebuilt.
REBUILD = "rebuild"

#: Kinds of steps before the job has nodes, or that go on when they are free again.
APART = frozenset(("stage_out", "drain", AHEAD))

#: Profiles into whose single parallel task Batsim merges I/O.
MERGED = (Parallel, *HOMOGENEOUS)


#: Kinds of activities that compute, or go on beside what computes: no I/O policy can hold them.
BESIDE = ("job", "compute", "io")

# Batsim rounds what it is sent to 6 decimals, and refuses a delay of 0.
_SHORTEST = 1e-6


@record(frozen=False)
class Activity:
    """One dynamic job, or (``profile`` None) the job itself.

    ``io`` is merged into it. ``limited``: it ends at the job's walltime. ``alloc`` empty: the job's nodes.
    ``first``: what runs in its place the first time, when a phase that runs again moves its bytes otherwise.
    """

    kind: str
    alloc: tuple[int, ...] = ()
    profile: Profile | IoProfile | None = None
    io: IoProfile | None = None
    limited: bool = True
    first: Activity | None = None

    @property
    def is_job(self) -> bool:
        return self.profile is None

    @property
    def moved(self) -> int:
        """Bytes."""
        held = self.profile if isinstance(self.profile, IoProfile) else self.io
        return 0 if held is None else int(held.volumes.sum())


@record(frozen=False)
class Step:
    """Activities that start together; the next step starts when all have ended. ``detached`` ones start with
    them and nobody waits for them but the bytes. ``spanning`` ones start with them and have to end with this
    step or so many steps later. ``state`` is the job's state meanwhile. ``restores``: of a checkpoint, what
    reads it again: a job that starts anew does that first and goes on with the step after it."""

    state: str
    activities: list[Activity]
    detached: list[Activity] = field(default_factory=list)
    holds_nodes: bool = True
    spanning: Sequence[tuple[Activity, int]] = ()
    restores: Sequence[Activity] = ()


def needs_script(profile: Profile | None, plans: Sequence[IoPlan]) -> bool:
    """Whether EXECUTE_JOB with one ``additional_io_job`` isn't enough."""
    return any(plan.needs_dynamic_jobs for plan in plans) or (
        bool(plans) and profile is not None and not isinstance(profile, MERGED)
    )


def write_script(
    job: Job,
    profile: Profile,
    nodes: Sequence[int],
    plans: Sequence[IoPlan],
    storages: Collection[int],
    *,
    merging: bool = True,
    whole: bool = True,
) -> list[Step]:
    """The steps of a job's life. ``storages``: every storage id of the machine; ``merging``: whether I/O may
    be merged into the job (not if it has a mapping, which Batsim can't combine with I/O). ``whole`` False: it
    may have to start again, so that even all of it is a part.

    Without checkpoints the job itself runs, whole: merged with its overlapping I/O if its profile is one
    parallel task, with that I/O beside it as an activity of its own if not. With checkpoints it is cut into
    parts (see :func:`cut`), which are dynamic jobs; the original is then never executed.
    """
    body = write_body(job, profile, nodes, plans, storages, whole=whole, merging=merging)
    return [*staging_in(plans, storages), *body, *staging_out(plans, storages)]


def staging_in(plans: Sequence[IoPlan], storages: Collection[int], kind: str = "") -> list[Step]:
    """The steps before the job, if anything is staged in: one, but for tiers before tiers. ``kind``: what its
    moves are called, if not what they call themselves."""
    return [
        Step("staging in", [_move(replace(move, kind=kind or move.kind), storages) for move in moves])
        for moves in in_turns([move for plan in plans for move in plan.stage_in])
    ]


def in_turns(moves: Sequence[Move]) -> list[list[Move]]:
    """The moves that start together, in their order."""
    return [[move for move in moves if move.turn == turn] for turn in sorted({m.turn for m in moves})]


def staging_out(plans: Sequence[IoPlan], storages: Collection[int]) -> list[Step]:
    """The steps after the job, if anything is staged out."""
    return [
        Step("staging out", [_move(move, storages, limited=False) for move in moves], holds_nodes=False)
        for moves in in_turns([move for plan in plans for move in plan.stage_out])
    ]


def write_body(
    job: Job,
    profile: Profile,
    nodes: Sequence[int],
    plans: Sequence[IoPlan],
    storages: Collection[int],
    *,
    whole: bool,
    merging: bool,
) -> list[Step]:
    """One computation with its I/O, staging apart. ``whole``: it is all that the job computes, so the job
    itself is executed; else it is a part of it, a dynamic job."""
    before, after = phases_around(plans, storages)
    inner = _computation(job, profile, nodes, plans, storages, whole, merging)
    return [*before, *inner, *after]


def phases_around(plans: Sequence[IoPlan], storages: Collection[int]) -> tuple[list[Step], list[Step]]:
    """(the read phase, the write phase) of those plans that have phases."""
    phased = [plan for plan in plans if plan.timing == PHASES]
    # forwarding, fills, replication and metadata go with the direction that causes them
    reading: dict[int, float] = {}
    writing: dict[int, float] = {}
    for plan in phased:
        for total, caused in zip((reading, writing), plan.caused_flops, strict=True):
            add_flops(total, caused)
    before = merge([t for p in phased for t in (*p.reads, *p.caused[0])], reading)
    after = merge([t for p in phased for t in (*p.writes, *p.caused[1])], writing)
    return (
        [] if before is None else [Step("running", [beside("read", before, storages)])],
        [] if after is None else [Step("running", [beside("write", after, storages)])],
    )


def overlapped(plans: Sequence[IoPlan]) -> IoProfile | None:
    """What moves while the computation runs."""
    return build_profile([plan for plan in plans if plan.timing != PHASES])


def in_background(plans: Sequence[IoPlan], storages: Collection[int]) -> list[Activity]:
    """What starts with the computation and nobody waits for."""
    return [_move(move, storages, limited=False) for plan in plans for move in plan.background]


def _computation(
    job: Job,
    profile: Profile,
    nodes: Sequence[int],
    plans: Sequence[IoPlan],
    storages: Collection[int],
    whole: bool,
    merging: bool,
) -> list[Step]:
    io = overlapped(plans)
    background = in_background(plans, storages)
    times = max((plan.checkpoints.times for plan in plans if plan.checkpoints is not None), default=0)
    if not times:
        itself = Activity("job") if whole else Activity("compute", tuple(nodes), bare(profile))
        activities = [itself]
        if io is not None and merging and isinstance(profile, MERGED):
            itself.io = io
        elif io is not None:
            activities.append(beside("io", io, storages))
        return [Step("running", activities, background)]
    steps: list[Step] = []
    # what a job moves while it computes is shared over the parts of its computation
    shares = [None] * (times + 1) if io is None else cut_io(io, times + 1)
    for k, (part, share) in enumerate(zip(cut(profile, times + 1, job), shares, strict=True)):
        itself = Activity("compute", tuple(nodes), bare(part))
        activities = [itself]
        if share is not None and merging and isinstance(profile, MERGED):
            itself.io = share
        elif share is not None:
            activities.append(beside("io", share, storages))
        steps.append(Step("running", activities, [] if k else background))
        if k < times:
            due = [p.checkpoints for p in plans if p.checkpoints is not None and k < p.checkpoints.times]
            writes = [move for checkpoint in due for move in checkpoint.writes]
            steps.append(Step("running", [_move(move, storages) for move in writes]))
            # drains start with what follows the checkpoint
            drains = [
                _move(move, storages, limited=False) for checkpoint in due for move in checkpoint.drains
            ]
            restores = [_move(_read_again(move), storages) for move in writes]
            steps.append(Step("running", [], drains, restores=restores))
    return steps


def bare(profile: Profile) -> Profile:
    """Without what batfs has read in it: what a part of a job is sent as."""
    if isinstance(profile, Delay) and profile.duration < _SHORTEST:
        return Delay(_SHORTEST, ret=profile.ret)
    return replace(profile, extra=NO_EXTRA) if profile.extra else profile


def cut(profile: Profile, parts: int, job: Job) -> list[Profile]:
    """The computation in ``parts`` equal parts: work, bytes and durations divided.

    A composed profile is cut only where its members allow: see the error.
    """
    if isinstance(profile, Delay):
        return [replace(profile, duration=profile.duration / parts)] * parts
    if isinstance(profile, HOMOGENEOUS):
        return [replace(profile, cpu=profile.cpu / parts, com=profile.com / parts)] * parts
    if isinstance(profile, Parallel):
        return [replace(profile, cpu=profile.cpu / parts, com=profile.com / parts)] * parts
    kind = type(profile).__name__.lower()
    hint = "checkpoints need a parallel or delay profile"
    raise InputError(f"checkpoints can't cut a {kind} profile into parts", place=f"job {job.id}", hint=hint)


def cut_io(io: IoProfile, parts: int) -> list[IoProfile | None]:
    """The transfers in ``parts`` equal parts, whole bytes that add up; None for one that moves nothing."""
    # each transfer's remainder begins where that of the one before has ended, so that the parts stay even
    volumes = split_rows(io.volumes.astype(np.int64), parts)
    flops = None if io.flops is None else io.flops / parts
    out: list[IoProfile | None] = []
    for column in volumes.T:
        there = np.flatnonzero(column)
        out.append(
            IoProfile(io.ids, io.sources[there], io.destinations[there], column[there].astype(float), flops)
            if len(there) or flops is not None
            else None
        )
    return out


def cuttable(profile: Profile) -> bool:
    """Whether :func:`cut` can."""
    return isinstance(profile, (Delay, *MERGED))


def _move(move: Move, storages: Collection[int], *, limited: bool = True) -> Activity:
    merged = merge([move.traffic], move.flops)
    if merged is None:
        raise InputError(f"a {move.kind} that moves nothing")
    return beside(move.kind, merged, storages, limited=limited)


def _read_again(move: Move) -> Move:
    sources, destinations, sizes = move.traffic.columns
    return Move("restart", Traffic(destinations, sources, sizes))


def left_over(activity: Activity, part: float) -> Activity | None:
    """What is left of an activity when this part of it (0 to 1) is done: whole bytes, the same part of the
    work and of the time; None if that is nothing."""
    left = 1.0 - part
    if left <= 0:
        return None
    profile, io = activity.profile, activity.io
    return replace(
        activity,
        profile=profile if profile is None or profile is EMPTY else _scaled(profile, left),
        io=None if io is None else _scaled(io, left),
    )


def _scaled(profile: Any, left: float) -> Any:
    if isinstance(profile, IoProfile):
        flops = None if profile.flops is None else profile.flops * left
        return IoProfile(
            profile.ids, profile.sources, profile.destinations, np.rint(profile.volumes * left), flops
        )
    if isinstance(profile, Delay):
        return replace(profile, duration=max(profile.duration * left, _SHORTEST))
    return replace(profile, cpu=profile.cpu * left, com=profile.com * left)


def move_activity(move: Move, storages: Collection[int]) -> Activity | None:
    """A move outside any job (upkeep) as an activity; None if it moves nothing."""
    merged = merge([move.traffic], move.flops)
    return None if merged is None else beside(move.kind, merged, storages, limited=False)


def beside(kind: str, io: IoProfile, storages: Collection[int], *, limited: bool = True) -> Activity:
    """Traffic as an activity of its own."""
    ids = io.ids.tolist()
    ours = [i for i in ids if i in storages]
    if len(ours) == len(ids) and io.flops is None:
        return Activity(kind, tuple(ids), io, limited=limited)
    return Activity(kind, tuple((ours or ids)[:1]), EMPTY, io, limited)


EMPTY = Parallel.read(doubles(1), doubles(1))


def launch(
    activity: Activity,
    job: Job | None,
    name: str,
    nodes: Sequence[int],
    now: float,
    walltime: float | None,
    mapped: m.ExecuteJob | None = None,
) -> tuple[str, list[m.Decision]]:
    """(id of what will complete, the decisions that start it). ``name`` is unique in the run; ``mapped``: how
    the job was to be executed, if with a mapping, which goes for every part of what it computes."""
    if activity.is_job:
        assert job is not None
        if mapped is not None and activity.io is None:
            return job.id, [replace(mapped, timestamp=now)]
        return job.id, [m.ExecuteJob(now, job.id, nodes, io_job=_io(activity.io, f"batfs_io_{job.name}"))]
    assert activity.profile is not None
    alloc = activity.alloc or tuple(nodes)
    job_id = f"{WORKLOAD}!{name}"
    execute = m.ExecuteJob(now, job_id, alloc, io_job=_io(activity.io, f"{name}.io"))
    size = len(alloc)
    if mapped is not None and activity.kind == "compute" and job is not None:
        execute, size = replace(mapped, timestamp=now, job_id=job_id), job.requested_nodes
    return job_id, [
        m.RegisterProfile(now, WORKLOAD, name, activity.profile),
        m.RegisterJob(now, Job(job_id, now, size, name, walltime)),
        execute,
    ]


def _io(profile: IoProfile | None, name: str) -> m.IoJob | None:
    return None if profile is None else m.IoJob(tuple(profile.ids.tolist()), name, profile)
