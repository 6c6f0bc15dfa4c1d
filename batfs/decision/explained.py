"""What ``batfs explain`` tells of one job: its parts, their transfers, the links they cross, the seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from batfs.filesystems.interface import Hold, IoPlan, PhaseVolume, Volume
from batfs.filesystems.traffic import by_destination, by_source, total


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
        }


def of_a_phase(volume: Volume) -> TypeGuard[PhaseVolume]:
    return isinstance(volume, PhaseVolume)
