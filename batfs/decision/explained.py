"""What ``batfs explain`` tells of one job: its parts, their transfers, the links they cross, the seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from batfs.filesystems.interface import Hold, IoPlan, PhaseVolume, Volume
from batfs.filesystems.traffic import by_destination, by_source, total
from batfs.units import format_size


@dataclass(frozen=True, slots=True)
class Crossed:
    """One link: the job's bytes over it, how many of the jobs on the machine use it, and the bytes of all of
    them (over a FATPIPE link bytes are those of the largest single transfer)."""

    link: str
    bandwidth: float
    bytes: float
    jobs: int
    bytes_of_all: float

    @property
    def alone(self) -> float:
        """Seconds for the job's bytes."""
        return self.bytes / self.bandwidth if self.bandwidth else float("inf")

    @property
    def shared(self) -> float:
        """Seconds for the bytes of all."""
        return self.bytes_of_all / self.bandwidth if self.bandwidth else float("inf")


@dataclass(frozen=True, slots=True)
class Flow:
    """One transfer: ids, bytes, what it is for, the links of its route, its latency (s)."""

    source: int
    destination: int
    size: int
    kind: str
    links: tuple[str, ...]
    latency: float


class Seconds(NamedTuple):
    """How long a part takes: ``alone`` on the machine, ``shared`` with every other node doing the same."""

    alone: float
    shared: float


@dataclass(slots=True)
class Part:
    """What moves at the same time: ``when`` is ``stage in``, ``during the job``, ``stage out``...; all of it
    is for one of ``times``: how often the phase of a composed job runs. ``work_bound``: seconds that metadata
    operations take at least. ``bound``: it takes at least ``ideal`` alone, and more if it meets other parts.
    ``computing``: with what the job computes meanwhile; None where that isn't known. ``by_itself``: all jobs
    are taken to begin this part together, else they begin their lives together."""

    when: str
    bytes: int
    flows: list[Flow]
    links: list[Crossed]
    latency: float
    gamma_bound: float
    work_bound: float
    copies: int
    times: int
    ideal: Seconds
    computing: Seconds | None
    bound: bool
    by_itself: bool

    @property
    def bottleneck(self) -> Crossed | None:
        """The link that takes longest, alone."""
        return max(self.links, key=lambda crossed: crossed.alone, default=None)

    @property
    def busiest(self) -> Crossed | None:
        """The link that takes longest, with the rest of the machine."""
        return max(self.links, key=lambda crossed: crossed.shared, default=None)


@dataclass(frozen=True, slots=True)
class SetUse:
    """What the job does with a data set: ``does`` (``reads``, ``writes``, ``deletes``; with the rule of a
    read or the way of a write), its bytes now (None: it isn't there), and those on each storage, copies and
    all. ``writers``: other jobs of the workload that write it, with their times of submission (s).
    ``waits``: the job stands apart until it exists."""

    name: str
    filesystem: str
    does: tuple[str, ...]
    size: int | None
    where: dict[int, int]
    writers: tuple[tuple[str, float], ...]
    waits: bool

    def sentence(self, names: dict[int, str]) -> str:
        """One line for a person."""
        there = "not there"
        if self.size is not None:
            on = ", ".join(f"{names[i]} {format_size(size)}" for i, size in sorted(self.where.items()))
            there = f"{format_size(self.size)}{f' (on {on})' if on else ''}"
        line = f"{self.name} on {self.filesystem}: {', '.join(self.does)}; {there}"
        if self.waits:
            jobs = ", ".join(f"{job} (submitted at {at:g} s)" for job, at in self.writers[:5])
            line += f"; it waits for {jobs or 'nobody: no job writes it, and it is rejected'}"
        return line


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
    data_sets: list[SetUse] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        if self.hold is not None:
            hold = self.hold.sentence(self.names)
            return {"job": self.job, "nodes": list(self.nodes), "hold": hold, "data_sets": self._sets()}
        return {
            "job": self.job,
            "nodes": list(self.nodes),
            "file_systems": [
                {
                    "file_system": plan.file_system,
                    **({"phase": volume.phase, "times": volume.times} if of_a_phase(volume) else {}),
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
                    "ideal_seconds_alone": part.ideal.alone,
                    "ideal_seconds_shared": part.ideal.shared,
                    "bound": part.bound,
                    "together_from": "part" if part.by_itself else "job",
                    "computing_seconds_alone": part.computing.alone if part.computing else None,
                    "computing_seconds_shared": part.computing.shared if part.computing else None,
                    "jobs_beside_it": part.copies,
                    "bottleneck": part.bottleneck.link if part.bottleneck else None,
                    "busiest": part.busiest.link if part.busiest else None,
                    "links": [
                        {
                            "link": c.link,
                            "bandwidth": c.bandwidth,
                            "bytes": c.bytes,
                            "jobs": c.jobs,
                            "bytes_of_all": c.bytes_of_all,
                        }
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
            "data_sets": self._sets(),
        }

    def _sets(self) -> list[dict[str, Any]]:
        return [
            {
                "data_set": one.name,
                "file_system": one.filesystem,
                "does": list(one.does),
                "bytes": one.size,
                "by_storage": {str(i): size for i, size in sorted(one.where.items())},
                "written_by": [{"job": job, "submitted": at} for job, at in one.writers],
                "waits": one.waits,
            }
            for one in self.data_sets
        ]


def of_a_phase(volume: Volume) -> TypeGuard[PhaseVolume]:
    return isinstance(volume, PhaseVolume)
