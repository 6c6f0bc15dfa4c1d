"""Where one job's bytes go on one machine, which links they cross, and what that takes: ``batfs explain``.

Times are those of the simulator's own solver, for what the job moves and without the messages between the
parts of Batsim. With W bytes over a link of bandwidth b the job can't take less than W / b (over a FATPIPE
link W is the largest single transfer); with latency x bytes at most X over one transfer, no less than
2 X / gamma.
Source: SimGrid's ptask_L07 model, see docs/background/simulator.md.

"With the rest of the machine" asks what remains when every other node does the same: as many copies of the
job as fit on the other nodes begin with it, placed by the same policies after it, each told of those before.

A plain job is followed from stage-in to stage-out, so that what runs on in the background meets what comes
next. The parts of a job in phases or with checkpoints run by themselves instead; where other parts of the job
may run at the same time, the times are bounds.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batfs._core.arrays import np
from batfs._core.flows import merge
from batfs.decision.alone import AloneClock, Single
from batfs.decision.experiment import announced
from batfs.decision.explained import Crossed, Explanation, Flow, Part, Seconds
from batfs.decision.explained_sets import set_uses
from batfs.decision.together import Activity, Stage, Together
from batfs.errors import InputError, unknown
from batfs.filesystems.composed import Phased, Phases, write_phases
from batfs.filesystems.interface import (
    PHASES,
    Hold,
    IoPlan,
    IoRequest,
    Move,
    Traffic,
    Volume,
    add_flops,
    phase_of,
    ways,
)
from batfs.filesystems.script import MERGED, in_turns, needs_script
from batfs.filesystems.site import FileSystems
from batfs.platform import Machine, Platform
from batfs.scheduling.initial_sets import lay_out
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.lives import Lives
from batfs.scheduling.machine import Booked
from batfs.scheduling.machine import Machine as Books
from batfs.units import format_bandwidth
from batfs.workload.model import Composed, Delay, IoProfile, Job, Profile


def explain(
    platform: Platform,
    machine: Machine,
    files: FileSystems,
    job: Job,
    profile: Profile,
    nodes: Sequence[int] | None,
    *,
    seed: int = 0,
    profiles: Mapping[str, Profile] | None = None,
    jobs: Sequence[Job] = (),
    data_sets: Sequence[Mapping[str, Any]] = (),
) -> Explanation:
    """Plan ``job`` on ``nodes`` (the lowest free ids if None) of the empty machine and follow its bytes.

    InputError when the nodes don't suit the job. ``seed`` is that of the one random generator; ``profiles``
    and ``jobs`` are those of the workload: what a composed profile is made of, and who writes the data sets
    that the job reads. ``data_sets``: those that lie there from the beginning, as the configuration says
    them. A job that waits for others is explained as if they were there.
    """
    compute = [r.id for r in machine.compute if r.id not in files.own_nodes]
    chosen = _nodes(job, compute, nodes)
    names = {r.id: r.name for r in machine.resources}
    found = Explanation(job.id, chosen, names)
    if isinstance(profile, Composed):
        said = found.notes
        phases = Phases(
            files,
            {job.workload: profiles or {}},
            lambda _, sentence: said.append(sentence),
            dynamic_jobs=files.dynamic_jobs,
        )
        profile, volumes = phases.read(job, profile)
    else:
        volumes = files.volumes(job.id, profile)
    if not volumes:
        found.notes.append("the job asks for no I/O")
        return found
    books = Books(announced(machine)[0], files.storages, own_nodes=files.own_nodes)
    rng = random.Random(seed)
    if data_sets:
        lay_out(data_sets, files, books, rng)
    found.data_sets = set_uses(files, job, volumes, jobs, profiles or {})
    if any(use.waits for use in found.data_sets):
        found.notes.append("it waits for data sets: what follows is as if they lay on all storages, evenly")
        for sets in files.data_sets.values():
            sets.assumed = True
    plans = files.plan(job.id, chosen, volumes, 0.0, float("inf"), books.view, rng)
    if isinstance(plans, Hold):
        found.hold = plans
        return found
    found.volumes, found.plans = volumes, plans
    problem = files.cannot(profile)
    if problem:
        found.notes.append(f"{problem}; nothing is moved for it")
    elif isinstance(profile, Phased) and not profile.whole:
        steps = write_phases(job, profile, chosen, volumes, plans, books.position)
        found.notes.append(f"its phases bring I/O: it runs in {len(steps)} steps, as dynamic jobs")
    found.notes += files.announcements()
    found.notes += _limits(files, plans)
    others = _others(job, profile, files, volumes, plans, compute, chosen, books, rng)
    everybody = [(chosen, pieces_of(volumes, plans))]
    everybody += [(theirs, pieces_of(volumes, other)) for theirs, other in others]
    clock = _Clock(platform, machine, profile, everybody)
    host_of = {r.id: r.host for r in machine.resources}
    (_, mine), *beside = everybody
    for key, piece in mine.items():
        used = [_consumption(platform, host_of, piece.profile)]
        used += [_consumption(platform, host_of, p[key].profile) for _, p in beside if key in p]
        found.parts.append(_part(platform, host_of, key, piece, used, len(others), clock))
    return found


def _limits(files: FileSystems, plans: Sequence[IoPlan]) -> list[str]:
    """What holds back the staging of these plans, which the times don't count."""
    out = []
    for name, limit in files.staging_limits.items():
        if any(plan.file_system == name and (plan.stage_in or plan.stage_out) for plan in plans):
            parts = [f"{limit.share:g} of any link's bandwidth"] if limit.share else []
            parts += [format_bandwidth(limit.rate)] if limit.rate else []
            out.append(f"all stagings of {name!r} take at most {' and '.join(parts)}: times are without that")
    return out


def _nodes(job: Job, compute: Sequence[int], nodes: Sequence[int] | None) -> tuple[int, ...]:
    if nodes is None:
        if job.requested_nodes > len(compute):
            raise InputError(f"{job.id} asks for {job.requested_nodes} nodes; there are {len(compute)}")
        return tuple(compute[: job.requested_nodes])
    wrong = [node for node in nodes if node not in compute]
    if wrong:
        raise unknown("compute node", str(wrong[0]), [str(c) for c in compute])
    if len(nodes) != job.requested_nodes:
        raise InputError(f"{job.id} asks for {job.requested_nodes} nodes, found {len(nodes)}")
    return tuple(sorted(nodes))


def _others(
    job: Job,
    profile: Profile,
    files: FileSystems,
    volumes: Any,
    plans: Sequence[IoPlan],
    compute: Sequence[int],
    chosen: Sequence[int],
    books: Books,
    rng: random.Random,
) -> list[tuple[tuple[int, ...], tuple[IoPlan, ...]]]:
    """Copies of the job on the other nodes, as long as there is room for them: (nodes, plans)."""
    out: list[tuple[tuple[int, ...], tuple[IoPlan, ...]]] = []
    left = [node for node in compute if node not in set(chosen)]
    name, nodes, mine = job.id, tuple(chosen), plans
    n = len(chosen)
    lives, waiting = Lives(books, files, rng), WaitingJob(job, profile, volumes, 0)
    while True:
        taken = [p for plan in mine for p in plan.placements if not p.key]
        held = books.book("copy", taken, 0.0, float("inf"))
        if isinstance(held, Hold) or len(left) < n:
            return out
        # as when a scheduler starts them in one pass
        in_steps = files.dynamic_jobs and needs_script(profile, mine)
        books.expect(lives.first_transfers(Booked(waiting, 0, 0.0, ids=nodes), mine, in_steps=in_steps), 1)
        if files.attending:
            for volume, plan in zip(volumes, mine, strict=True):
                files.tried(IoRequest(name, nodes, volume, 0.0, float("inf")), plan)
        nodes, left = tuple(left[:n]), left[n:]
        name = f"{job.id} copy {len(out) + 1}"
        other = files.plan(name, nodes, volumes, 0.0, float("inf"), books.view, rng)
        if isinstance(other, Hold):
            return out
        out.append((nodes, other))
        mine = other


_Key = tuple[str, int]
_IN, _READ, _BESIDE, _DURING, _WRITE, _APART, _OUT = range(7)  # in a job's life


@dataclass(slots=True)
class _Piece:
    """What moves at one time of a job's life, ``rank``: each profile of a turn is an activity, and the turns
    follow one another. ``phase``: whose it is, empty for the whole job."""

    rank: int
    phase: str
    kinds: list[tuple[str, Traffic]] = field(default_factory=list)
    flops: dict[int, float] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)

    @property
    def profile(self) -> IoProfile | None:
        """All of it."""
        flops = dict(self.flops)
        for move in self.moves:
            add_flops(flops, move.flops)
        return merge([traffic for _, traffic in self.kinds], flops)

    @property
    def turns(self) -> list[list[IoProfile]]:
        if self.moves:
            every = [[merge([m.traffic], m.flops) for m in moves] for moves in in_turns(self.moves)]
            return [[io for io in turn if io is not None] for turn in every]
        io = self.profile
        return [] if io is None else [[io]]


_Pieces = dict[_Key, _Piece]


def pieces_of(volumes: Sequence[Volume], plans: Sequence[IoPlan]) -> _Pieces:
    """What moves when, in the order of the job's life: (when, how often) -> what."""
    pieces: _Pieces = {}

    def at(when: str, times: int, rank: int, phase: str) -> _Piece:
        return pieces.setdefault((when, times), _Piece(rank, phase))

    def move(when: str, kind: str, moves: Sequence[Move], rank: int, times: int = 1, phase: str = "") -> None:
        if moves:
            piece = at(when, times, rank, phase)
            piece.kinds += [(kind, one.traffic) for one in moves]
            piece.moves += moves

    for plan in plans:
        move("stage in, before the job", "stage_in", plan.stage_in, _IN)
    for volume, plan in zip(volumes, plans, strict=True):
        phase, times = phase_of(volume)
        whose = f"the phase {phase!r}" if phase else "the job"
        of = f" of {whose}" if phase else ""
        for count, way in ways(volume, plan):
            again = "" if way is plan else ", from the second time on"
            during = (f"during {whose}{again}", count, _DURING, phase)
            reading = writing = during
            if plan.timing == PHASES:
                reading = (f"read phase{of}{again}", count, _READ, phase)
                writing = (f"write phase{of}{again}", count, _WRITE, phase)
            caused, worked = way.caused, way.caused_flops
            for where, kind, traffics, internal, flops in (
                (reading, "read", way.reads, caused[0], worked[0]),
                (writing, "write", way.writes, caused[1], worked[1]),
            ):
                if not (traffics or internal or any(flops.values())):
                    continue
                piece = at(*where)
                piece.kinds += [*((kind, t) for t in traffics), *(("internal", t) for t in internal)]
                add_flops(piece.flops, flops)
        if plan.checkpoints is not None:
            writes, drains = plan.checkpoints.writes, plan.checkpoints.drains
            move(f"each checkpoint{of}", "checkpoint", writes, _APART, times, phase)
            move(f"each drain, beside {whose}", "drain", drains, _APART, times, phase)
        move(f"beside {whose}", "background", plan.background, _BESIDE, times, phase)
    for plan in plans:
        move("stage out, after the job", "stage_out", plan.stage_out, _OUT)
    return {key: piece for key, piece in pieces.items() if piece.profile is not None}


class _Clock:
    """Times the parts of the first of several jobs with the same profile, alone and with the others."""

    def __init__(
        self,
        platform: Platform,
        machine: Machine,
        profile: Profile,
        everybody: Sequence[tuple[Sequence[int], _Pieces]],
    ) -> None:
        self._platform = platform
        self._works = AloneClock(platform, machine)
        self._profile = profile
        self._everybody = everybody
        mine = everybody[0][1]
        self._keys = {key: place for place, key in enumerate(mine)}
        ranks = [piece.rank for piece in mine.values()]
        self._phased = isinstance(profile, Phased)
        #: its parts are stages one after the other
        self.chained = not self._phased and _APART not in ranks
        #: in phases: what runs beside them, or all of it beside the job
        meets = isinstance(profile, Phased) and bool(profile.whole)
        meets = meets or any(
            piece.rank in (_BESIDE, _APART)
            or (self._phased and piece.rank == _DURING and isinstance(self._computed(piece), Composed))
            for piece in mine.values()
        )
        self._meets = meets and not self.chained
        self._life = self._run(None, computing=False) if self.chained else {}
        self._busy = self._run(None, computing=True) if self.chained else {}

    def bound(self, key: _Key, piece: _Piece) -> bool:
        """Whether other parts of the job may run at the same time, in a way that isn't counted."""
        if self.chained:
            unknown = not isinstance(self._profile, (Delay, *MERGED))
            return unknown and piece.rank not in (_IN, _READ)
        return self._meets and piece.rank != _IN

    def seconds(self, key: _Key, piece: _Piece, *, computing: bool) -> Seconds:
        """Of one part."""
        times = self._busy if computing else self._life
        if not self.chained:
            times = self._run(key, computing=computing)
        return times[self._keys[key]]

    def _run(self, key: _Key | None, *, computing: bool) -> dict[int, Seconds]:
        jobs = [self._stages(nodes, pieces, key, computing) for nodes, pieces in self._everybody]
        alone = Together(self._platform).seconds(jobs[:1])
        shared = Together(self._platform).seconds(jobs) if len(jobs) > 1 else alone
        return {part: Seconds(alone[part], shared[part]) for part in alone}

    def _stages(
        self, nodes: Sequence[int], pieces: _Pieces, key: _Key | None, computing: bool
    ) -> list[Stage]:
        """Of one job: all of its life, or the part ``key``."""
        out: list[Stage] = []
        there = [(k, p) for k, p in pieces.items() if key is None or k == key]
        if computing and key is None and not any(p.rank == _DURING for _, p in there):
            there.append((("", 1), _Piece(_DURING, "")))
        for k, piece in sorted(there, key=lambda item: item[1].rank):
            part = self._keys.get(k, -1)
            if computing and piece.rank == _DURING:
                activities = self._with_computation(piece, nodes)
                if activities:
                    out.append(Stage(part, activities))
                continue
            out += [
                Stage(part, [self._works.io_work(io) for io in turn], piece.rank == _BESIDE)
                for turn in piece.turns
            ]
        return out

    def _computed(self, piece: _Piece) -> Profile | None:
        """What is computed during that piece."""
        if isinstance(self._profile, Phased):
            return self._profile.below.get(piece.phase) if piece.phase else self._profile
        return self._profile

    def _with_computation(self, piece: _Piece, nodes: Sequence[int]) -> list[Activity]:
        profile, io = self._computed(piece), piece.profile
        if isinstance(profile, MERGED):
            # both are tasks: they progress and end together
            single: Single = profile
            return [self._works.work(single, nodes, io)]
        beside: list[Activity] = [] if io is None else [self._works.io_work(io)]
        return [*beside, profile.duration] if isinstance(profile, Delay) else beside


def _part(
    platform: Platform,
    host_of: dict[int, int],
    key: _Key,
    piece: _Piece,
    all_used: Sequence[Any],
    copies: int,
    clock: _Clock,
) -> Part:
    when, times = key
    used = all_used[0]
    users: dict[int, int] = {}
    weights: dict[int, float] = {}
    for other in all_used:
        for link, weight in zip(other.links.tolist(), other.weights.tolist(), strict=True):
            users[link] = users.get(link, 0) + 1
            before = weights.get(link, 0.0)
            weights[link] = max(before, weight) if platform.links[link].fatpipe else before + weight
    links = [
        Crossed(platform.links[link].name, platform.links[link].bandwidth, weight, users[link], weights[link])
        for link, weight in zip(used.links.tolist(), used.weights.tolist(), strict=True)
    ]
    gamma = float(platform.config.get("network/TCP-gamma", 4194304))
    window = 2 * float(used.latency_volume) / gamma if gamma > 0 else 0.0
    profile = piece.profile
    assert profile is not None
    work = 0.0
    if profile.flops is not None:
        speeds = np.array([platform.hosts[host_of[i]].speed for i in profile.ids.tolist()])
        busy = profile.flops > 0.0
        work = float((profile.flops[busy] / speeds[busy]).max())
    bound = clock.bound(key, piece)
    return Part(
        when,
        int(profile.volumes.sum()),
        [flow for kind, traffic in piece.kinds for flow in _flows(platform, host_of, kind, traffic)],
        sorted(links, key=lambda crossed: (-crossed.alone, crossed.link)),
        float(used.latency),
        window,
        work,
        copies,
        times,
        clock.seconds(key, piece, computing=False),
        None if bound else clock.seconds(key, piece, computing=True),
        bound,
        not clock.chained,
    )


def _consumption(platform: Platform, host_of: dict[int, int], profile: IoProfile | None) -> Any:
    assert profile is not None  # pieces have something to move
    hosts = np.array([host_of[i] for i in profile.ids.tolist()], dtype=np.int64)
    return platform.consume(hosts[profile.sources], hosts[profile.destinations], profile.volumes)


def _flows(platform: Platform, host_of: dict[int, int], kind: str, traffic: Traffic) -> list[Flow]:
    merged = merge([traffic])
    if merged is None:
        return []
    ids = merged.ids.tolist()
    out: list[Flow] = []
    for s, d, size in zip(
        merged.sources.tolist(), merged.destinations.tolist(), merged.volumes.tolist(), strict=True
    ):
        route = platform.route(host_of[ids[s]], host_of[ids[d]])
        links = tuple(platform.links[link].name for link in route.links)
        out.append(Flow(ids[s], ids[d], int(size), kind, links, float(route.latency)))
    return out
