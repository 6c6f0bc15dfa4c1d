"""Drives a Scheduler with events, without any simulator: jobs last as long as a table says."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from batfs.filesystems.interface import Hold, IoPlan, Placement, Volume
from batfs.filesystems.traffic import from_grid, split_rows
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import JobRecord, Observer, StorageState
from batfs.workload.model import Job, ParallelHomogeneous


class OnePool:
    """A stand-in for the file systems: whole requests on the first storage with room."""

    own_nodes: tuple[int, ...] = ()
    stages_ahead = False
    attending: tuple[str, ...] = ("pool",)

    def __init__(self, storages: Sequence[m.Resource]) -> None:
        self.storages = list(storages)
        self.ended_jobs: list[tuple[str, bool]] = []

    def volumes(self, job_id: str, profile: ParallelHomogeneous) -> tuple[Volume, ...]:
        extra = profile.extra
        if not extra:
            return ()
        return (Volume("pool", extra.get("io_reads", 0), extra.get("io_writes", 0)),)

    def cannot(self, profile: object) -> str | None:
        return None

    def plan(self, job_id, nodes, volumes, start, end, view, rng: random.Random):  # type: ignore[no-untyped-def]
        [volume] = volumes
        size = volume.reads + volume.writes
        free = view.free(start, end).tolist()
        position = next((k for k, room in enumerate(free) if room >= size), None)
        if position is None:
            best = max(range(len(free)), key=free.__getitem__)
            never = all(size > s.capacity for s in view.storages)
            return Hold("StorageCapacity", (self.storages[best].id,), size - free[best], never)
        target = self.storages[position].id
        count = len(nodes)
        reads = from_grid([target], list(nodes), split_rows([volume.reads], count))
        writes = from_grid(list(nodes), [target], np.ascontiguousarray(split_rows([volume.writes], count).T))
        return (IoPlan("pool", (Placement(target, size),), (reads,), (writes,)),)

    def footprint(self, volumes: Sequence[Volume], nodes: int) -> dict[str, int]:
        return {"pool": sum(volume.reads + volume.writes for volume in volumes)}

    def on_one(self, volumes: Sequence[Volume]) -> None:
        return None

    def announcements(self) -> Sequence[str]:
        return ()

    def started(self, request, plan, now) -> None:  # type: ignore[no-untyped-def]
        pass

    def ended(self, job_id: str, success: bool, now: float) -> None:
        self.ended_jobs.append((job_id, success))

    def tried(self, request, plan) -> None:  # type: ignore[no-untyped-def]
        pass

    def untried(self, job_id: str) -> None: ...

    def has_read(self, job_id: str, now: float) -> None: ...

    def upkeep(self, view, rng, now):  # type: ignore[no-untyped-def]
        return ()

    def moved(self, move: object, success: bool) -> None: ...

    def lost(self, resources: Sequence[int]) -> None: ...

    def back(self, resources: Sequence[int]) -> None: ...

    def released(self) -> Sequence[str]:
        return ()


class Memory(Observer):
    """Keeps all it is told."""

    def __init__(self) -> None:
        self.records: list[JobRecord] = []
        self.states: list[tuple[float, StorageState]] = []

    def job_over(self, record: JobRecord) -> None:
        self.records.append(record)

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        self.states.extend((now, state) for state in states)


@dataclass
class Run:
    """What came out: the start and end of each job, its nodes, and the decisions in order."""

    starts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    nodes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    decisions: list[m.Decision] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    scheduler: Scheduler | None = None
    said: list[str] = field(default_factory=list)


def begins(
    nodes: int, sizes: Sequence[int], names: Sequence[str] = (), tiers: Sequence[m.Resource] = ()
) -> m.SimulationBegins:
    """``tiers``: storages in the place of pools of these sizes, between which dynamic jobs may move bytes."""
    compute = [m.Resource(k, names[k] if names else f"n{k}", "compute_node") for k in range(nodes)]
    storages = [
        m.Resource(nodes + k, f"s{k}", "storage", properties={"size": str(size), "filesystem": "pool"})
        for k, size in enumerate(sizes)
    ]
    dynamic = bool(tiers)
    config = {"sched-config": "", "dynamic-jobs-enabled": dynamic, "dynamic-jobs-acknowledged": False}
    return m.SimulationBegins(0.0, compute, tiers or storages, False, True, config, {}, {})


def job(
    name: str, at: float, nodes: int, walltime: float | None = None, reads: int = 0, writes: int = 0
) -> tuple[Job, ParallelHomogeneous]:
    extra = {"io_reads": reads, "io_writes": writes} if reads or writes else {}
    return Job(f"w0!{name}", at, nodes, name, walltime), ParallelHomogeneous(1.0, 0.0, extra)


def drive(
    settings: dict[str, object],
    machine: m.SimulationBegins,
    jobs: Sequence[tuple[Job, ParallelHomogeneous]],
    runtimes: dict[str, float],
    *,
    kills: Sequence[tuple[float, str]] = (),
    after: Callable[[Scheduler], None] | None = None,
    make_files: Callable[..., object] | None = None,
    moving: Callable[[object], float] = lambda profile: 0.0,
) -> Run:
    """Run all jobs to their ends. A job ends after its run time or its walltime, or at a kill from outside;
    everything that happens at one instant is one message. ``moving``: seconds that a dynamic job takes, by
    its profile."""
    run = Run()
    scheduler = run.scheduler = Scheduler(
        Settings(flags=Layer("test", settings)),
        make_files or (lambda config, compute, storages, dynamic: OnePool(storages)),  # type: ignore[arg-type]
        observer=run.memory,
        say=run.said.append,
    )
    agenda: list[tuple[float, int, int, object]] = []
    count = 0

    def add(at: float, rank: int, what: object) -> None:
        nonlocal count
        heapq.heappush(agenda, (at, rank, count, what))
        count += 1

    add(0.0, 0, machine)
    for one, profile in sorted(jobs, key=lambda pair: (pair[0].submission_time, pair[0].id)):
        add(one.submission_time, 2, m.JobSubmitted(one.submission_time, one, profile))
    last = max((one.submission_time for one, _ in jobs), default=0.0)
    add(last, 3, m.Notification(last, "no_more_static_job_to_submit"))
    for at, job_id in kills:
        add(at, 1, ("kill", job_id))
    walltimes = {one.id: one.walltime for one, _ in jobs}
    registered: dict[str, object] = {}
    while agenda:
        now = agenda[0][0]
        events: list[m.Event] = []
        while agenda and agenda[0][0] == now:
            _, _, _, what = heapq.heappop(agenda)
            if isinstance(what, tuple):
                kind, job_id = what[0], what[1]
                if job_id not in run.starts or job_id in run.ends:
                    continue
                state = {"kill": "COMPLETED_KILLED", "walltime": "COMPLETED_WALLTIME_REACHED"}.get(
                    kind, "COMPLETED_SUCCESSFULLY"
                )
                run.ends[job_id] = now
                events.append(m.JobCompleted(now, job_id, state, 0, ""))
            else:
                events.append(what)  # type: ignore[arg-type]
        if not events:
            continue
        reply = scheduler.decide(m.Request(now, events))
        if after is not None:
            after(scheduler)
        run.decisions += reply.decisions
        metadata = ""
        for decision in reply.decisions:
            if isinstance(decision, m.ExecuteJob):
                job_id = decision.job_id
                run.starts[job_id] = now
                run.nodes[job_id] = tuple(decision.alloc)
                if job_id in registered:
                    add(now + moving(registered[job_id]), 1, ("end", job_id))
                    continue
                walltime = walltimes[job_id]
                runtime = runtimes[job_id]
                if walltime is not None and runtime > walltime:
                    add(now + walltime, 1, ("walltime", job_id))
                else:
                    add(now + runtime, 1, ("end", job_id))
            elif isinstance(decision, m.SetJobMetadata):
                metadata = decision.metadata
            elif isinstance(decision, m.RegisterProfile):
                registered[f"{decision.workload}!{decision.name}"] = decision.profile
            elif isinstance(decision, m.RejectJob):
                run.rejected[decision.job_id] = metadata
            elif isinstance(decision, m.CallMeLater):
                add(decision.at, 4, m.RequestedCall(decision.at))
            elif isinstance(decision, m.KillJob):
                for job_id in decision.job_ids:
                    add(now, 1, ("kill", job_id))
    scheduler.decide(m.Request(now, [m.SimulationEnds(now)]))
    return run
