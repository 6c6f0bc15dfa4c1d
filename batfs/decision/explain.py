"""Where one job's bytes go on one machine, which links they cross, and what that takes: ``batfs explain``.

Times are ideal: the fluid model's bound by the slowest link, latency and SimGrid's TCP-gamma, without
messages and scheduling. With W bytes over a link of bandwidth b the job can't take less than W / b (over a
FATPIPE link W is the largest single transfer); with latency x bytes at most X over one transfer, no less than
2 X / gamma. Source: SimGrid's ptask_L07 model, see docs/background/simulator.md.

"With the rest of the machine" asks what remains when every other node does the same: as many copies of the
job as fit on the other nodes run beside it, placed by the same policies after it. A link that k of these jobs
use gives each b / k, which is how the fair-bottleneck solver shares a link that is everybody's limit.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from batfs.errors import InputError, unknown
from batfs.filesystems.composed import Phased, Phases, write_phases
from batfs.filesystems.interface import Hold, IoPlan, PhaseVolume, Traffic, Volume, phase_of, ways
from batfs.filesystems.profile import merge
from batfs.filesystems.site import FileSystems
from batfs.filesystems.traffic import by_destination, by_source, total
from batfs.platform import Machine, Platform
from batfs.scheduling.machine import Machine as Books
from batfs.workload.model import Composed, IoProfile, Job, Profile


@dataclass(frozen=True, slots=True)
class Crossed:
    """One link: the job's bytes over it, and how many of the jobs on the machine use it."""

    link: str
    bandwidth: float
    bytes: float
    jobs: int

    @property
    def alone(self) -> float:
        """seconds."""
        return self.bytes / self.bandwidth if self.bandwidth else float("inf")

    @property
    def shared(self) -> float:
        return self.alone * self.jobs


@dataclass(frozen=True, slots=True)
class Flow:
    """One transfer: ids, bytes, what it is for, the links of its route, its latency (s)."""

    source: int
    destination: int
    size: int
    kind: str
    links: tuple[str, ...]
    latency: float


@dataclass(slots=True)
class Part:
    """What moves at the same time: ``when`` is ``stage in``, ``during the job``, ``stage out``...; all of it
    is for one of ``times``: how often the phase of a composed job runs."""

    when: str
    bytes: int
    flows: list[Flow]
    links: list[Crossed]
    latency: float
    gamma_bound: float
    copies: int
    times: int = 1

    @property
    def bottleneck(self) -> Crossed | None:
        """The link that takes longest, alone."""
        return max(self.links, key=lambda crossed: crossed.alone, default=None)

    @property
    def alone(self) -> float:
        """Ideal seconds with nobody else on the machine."""
        slowest = self.bottleneck
        return self.latency + max(slowest.alone if slowest else 0.0, self.gamma_bound)

    @property
    def busiest(self) -> Crossed | None:
        """The link that takes longest, with the rest of the machine."""
        return max(self.links, key=lambda crossed: crossed.shared, default=None)

    @property
    def shared(self) -> float:
        """Ideal seconds with every other node doing the same."""
        slowest = self.busiest
        return self.latency + max(slowest.shared if slowest else 0.0, self.gamma_bound)


@dataclass(slots=True)
class Explanation:
    """All of it, for printing. ``hold``: why it can't be placed at all."""

    job: str
    nodes: tuple[int, ...]
    names: dict[int, str]
    volumes: tuple[Volume, ...] = ()
    plans: tuple[IoPlan, ...] = ()
    hold: Hold | None = None
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        if self.hold is not None:
            return {"job": self.job, "nodes": list(self.nodes), "hold": self.hold.sentence(self.names)}
        return {
            "job": self.job,
            "nodes": list(self.nodes),
            "file_systems": [
                {
                    "file_system": plan.file_system,
                    **({"phase": volume.phase, "times": volume.times} if _of_a_phase(volume) else {}),
                    "placements": [{"storage": p.storage, "bytes": p.size} for p in plan.placements],
                    "read_by_storage": {str(k): v for k, v in by_source(plan.reads).items()},
                    "written_by_storage": {str(k): v for k, v in by_destination(plan.writes).items()},
                    "internal_bytes": total(plan.internal),
                    "notes": {k: v for k, v in plan.notes.items() if isinstance(v, str | int | float | list)},
                }
                for volume, plan in zip(self.volumes, self.plans, strict=True)
            ],
            "parts": [
                {
                    "when": part.when,
                    "times": part.times,
                    "bytes": part.bytes,
                    "ideal_seconds_alone": part.alone,
                    "ideal_seconds_shared": part.shared,
                    "jobs_beside_it": part.copies,
                    "bottleneck": part.bottleneck.link if part.bottleneck else None,
                    "busiest": part.busiest.link if part.busiest else None,
                    "links": [
                        {"link": c.link, "bandwidth": c.bandwidth, "bytes": c.bytes, "jobs": c.jobs}
                        for c in part.links
                    ],
                    "flows": [
                        {
                            "source": flow.source,
                            "destination": flow.destination,
                            "bytes": flow.size,
                            "kind": flow.kind,
                            "links": list(flow.links),
                            "latency": flow.latency,
                        }
                        for flow in part.flows
                    ],
                }
                for part in self.parts
            ],
            "notes": self.notes,
        }


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
) -> Explanation:
    """Plan ``job`` on ``nodes`` (the lowest free ids if None) of the empty machine and follow its bytes.

    InputError when the nodes don't suit the job. ``seed`` is that of the one random generator; ``profiles``
    are those of the workload, which a composed profile is made of.
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
    books = Books([], files.storages)
    rng = random.Random(seed)
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
    others = _others(job, files, volumes, plans, compute, chosen, books, rng)
    host_of = {r.id: r.host for r in machine.resources}
    for (when, times), traffics in _parts(volumes, plans).items():
        profile_of = merge([t for _, t in traffics])
        if profile_of is None:
            continue
        theirs = [_parts(volumes, other).get((when, times), ()) for other in others]
        beside = [merge([t for _, t in ts]) for ts in theirs]
        found.parts.append(_part(platform, host_of, when, times, traffics, profile_of, beside))
    return found


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
    files: FileSystems,
    volumes: Any,
    plans: Sequence[IoPlan],
    compute: Sequence[int],
    chosen: Sequence[int],
    books: Books,
    rng: random.Random,
) -> list[tuple[IoPlan, ...]]:
    """Copies of the job on the other nodes, as long as there is room for them."""
    out: list[tuple[IoPlan, ...]] = []
    left = [node for node in compute if node not in set(chosen)]
    mine: Sequence[IoPlan] = plans
    n = len(chosen)
    while True:
        taken = [p for plan in mine for p in plan.placements if not p.key]
        held = books.book("copy", taken, 0.0, float("inf"))
        if isinstance(held, Hold) or len(left) < n:
            return out
        nodes, left = left[:n], left[n:]
        name = f"{job.id} copy {len(out) + 1}"
        other = files.plan(name, nodes, volumes, 0.0, float("inf"), books.view, rng)
        if isinstance(other, Hold):
            return out
        out.append(other)
        mine = other


_Parts: TypeAlias = dict[tuple[str, int], list[tuple[str, Traffic]]]


def _of_a_phase(volume: Volume) -> TypeGuard[PhaseVolume]:
    return isinstance(volume, PhaseVolume)


def _parts(volumes: Sequence[Volume], plans: Sequence[IoPlan]) -> _Parts:
    """What moves at the same time, in the order of the job's life: (when, how often) -> what."""
    parts: _Parts = {}

    def add(when: str, kind: str, traffics: Sequence[Traffic], times: int = 1) -> None:
        if traffics:
            parts.setdefault((when, times), []).extend((kind, traffic) for traffic in traffics)

    for plan in plans:
        add("stage in, before the job", "stage_in", [move.traffic for move in plan.stage_in])
    for volume, plan in zip(volumes, plans, strict=True):
        phase, times = phase_of(volume)
        phases = plan.timing == "phases"
        whose = f"the phase {phase!r}" if phase else "the job"
        of = f" of {whose}" if phase else ""
        for count, way in ways(volume, plan):
            again = "" if way is plan else ", from the second time on"
            during = f"during {whose}{again}"
            add(f"read phase{of}{again}" if phases else during, "read", way.reads, count)
            add(f"write phase{of}{again}" if phases else during, "write", way.writes, count)
            when = f"write phase{of}{again}" if phases and way.writes else during
            add(when, "internal", way.internal, count)
        if plan.checkpoints is not None:
            checkpoints = plan.checkpoints
            add(f"each checkpoint{of}", "checkpoint", [move.traffic for move in checkpoints.writes], times)
            drains = [move.traffic for move in checkpoints.drains]
            add(f"each drain, beside {whose}", "drain", drains, times)
        add(f"beside {whose}", "background", [move.traffic for move in plan.background], times)
    for plan in plans:
        add("stage out, after the job", "stage_out", [move.traffic for move in plan.stage_out])
    return parts


def _part(
    platform: Platform,
    host_of: dict[int, int],
    when: str,
    times: int,
    traffics: Sequence[tuple[str, Traffic]],
    profile: IoProfile,
    beside: Sequence[IoProfile | None],
) -> Part:
    used = _consumption(platform, host_of, profile)
    users = dict.fromkeys(used.links.tolist(), 1)
    for other in beside:
        if other is not None:
            for link in _consumption(platform, host_of, other).links.tolist():
                if link in users:
                    users[link] += 1
    links = [
        Crossed(platform.links[link].name, platform.links[link].bandwidth, weight, users[link])
        for link, weight in zip(used.links.tolist(), used.weights.tolist(), strict=True)
    ]
    gamma = float(platform.config.get("network/TCP-gamma", 4194304))
    bound = 2 * float(used.latency_volume) / gamma if gamma > 0 else 0.0
    return Part(
        when,
        int(profile.volumes.sum()),
        [flow for kind, traffic in traffics for flow in _flows(platform, host_of, kind, traffic)],
        sorted(links, key=lambda crossed: (-crossed.alone, crossed.link)),
        float(used.latency),
        bound,
        len(beside),
        times,
    )


def _consumption(platform: Platform, host_of: dict[int, int], profile: IoProfile) -> Any:
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
