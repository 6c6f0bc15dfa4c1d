"""What a workload that loads may still have wrong: traps that give surprising simulations, not errors.

Each finding has a severity: an ``error`` makes a run fail or jobs be refused, a ``warning`` changes results
in a way hardly anyone wants, a ``note`` is worth knowing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from batfs.errors import InputError
from batfs.units import format_size
from batfs.workload.fields import member_place
from batfs.workload.io import requested_io
from batfs.workload.model import (
    Composed,
    Delay,
    Job,
    ParallelHomogeneousPfs,
    Profile,
    Recv,
    Send,
    Smpi,
    UsageTrace,
    Workload,
)
from batfs.workload.nominal import NominalTimes
from batfs.workload.phases import UNSENT, below, with_io
from batfs.workload.traps import traps

SEVERITIES = ("error", "warning", "note")
_CSV_TROUBLE = frozenset(',"\n\r')
_MOST_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found; ``place`` names the first member it is about, ``count`` how many there are alike."""

    severity: str
    place: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What a check needs of a platform.

    Compute nodes, their slowest speed (flop/s), and the capacity in bytes of each named file system (None:
    its size isn't in the platform).
    """

    nodes: int
    speed: float
    filesystems: Mapping[str, int | None]


def check_workload(workload: Workload, machine: MachineFacts | None = None) -> list[Finding]:
    """All findings on ``workload`` (on ``machine``, if given), the worst first; alike ones are one."""
    found = [*_check_jobs(workload, machine), *_check_profiles(workload, machine)]
    found += [Finding("warning", place, text) for place, text in traps(workload)]
    merged: dict[tuple[str, str], Finding] = {}
    counts = Counter((finding.severity, finding.message) for finding in found)
    for finding in found:
        key = (finding.severity, finding.message)
        if key not in merged:
            merged[key] = Finding(finding.severity, finding.place, finding.message, counts[key])
    return sorted(merged.values(), key=lambda finding: SEVERITIES.index(finding.severity))


def _check_jobs(workload: Workload, machine: MachineFacts | None) -> Iterator[Finding]:
    nodes = workload.nb_res if machine is None else machine.nodes
    whose = "nb_res says" if machine is None else "the platform has"
    if machine is not None and workload.nb_res > machine.nodes:
        text = f"nb_res is {workload.nb_res}, more than the platform's {machine.nodes} compute nodes"
        yield Finding("warning", "nb_res", text)
    if not workload.jobs:
        yield Finding("warning", "jobs", "there is no job")
    nominal = NominalTimes(workload.profiles, 1e9 if machine is None else machine.speed)
    without = 0
    for job in workload.jobs:
        place = f"job {job.name}"
        if job.requested_nodes > nodes:
            yield Finding(
                "error", place, f"asks for more nodes than the {nodes} {whose}: it can't ever start"
            )
        if _CSV_TROUBLE & set(job.name):
            yield Finding(
                "warning", place, "a comma, quote or line break in the id breaks Batsim's own CSV files"
            )
        if job.walltime is None:
            without += 1
        elif machine is not None and nominal.seconds(job.profile, job.requested_nodes) >= job.walltime:
            yield Finding(
                "warning", place, "even alone it takes as long as its walltime or longer: it is killed"
            )
    if without:
        text = "without walltime: backfilling can't plan around it"
        yield Finding("note", f"job {_first_without(workload.jobs)}", text, without)


def _first_without(jobs: object) -> str:
    assert isinstance(jobs, list)
    return next(job.name for job in jobs if isinstance(job, Job) and job.walltime is None)


def _check_profiles(workload: Workload, machine: MachineFacts | None) -> Iterator[Finding]:
    inside = {c for p in workload.profiles.values() if isinstance(p, Composed) for c in p.sequence}
    jobs = {job.profile for job in workload.jobs}
    for name, profile in workload.profiles.items():
        place = member_place("profiles", name)
        try:
            parts = requested_io(profile, place)
        except InputError as error:
            yield Finding("error", error.place or place, error.problem)
            continue
        by_itself = name in jobs or name not in inside
        yield from _ignored_io(profile, place, bool(parts), by_itself)
        if by_itself and isinstance(profile, Composed):
            yield from _phases(profile, place, workload.profiles)
        for part in parts:
            if machine is None:
                continue
            if part.filesystem is not None and part.filesystem not in machine.filesystems:
                known = ", ".join(machine.filesystems) or "none"
                text = f"uses the file system {part.filesystem!r}; the platform names: {known}"
                yield Finding("warning", place, text)
            capacity = machine.filesystems.get(part.filesystem or "")
            if capacity is not None and max(part.reads, part.writes) > capacity:
                text = f"more bytes than the file system {part.filesystem!r} holds ({format_size(capacity)})"
                yield Finding("error", place, text)
    for name in workload.removed_profiles:
        yield Finding("note", member_place("profiles", name), "no job uses it: Batsim drops it when it loads")


def _phases(profile: Composed, place: str, profiles: Mapping[str, Profile]) -> Iterator[Finding]:
    if not any(name for name, _, _ in with_io(profile, profiles)):
        return
    text = "its phases have I/O: each moves in its turn with dynamic jobs, and not at all without"
    yield Finding("note", place, text)
    unsent = [child for child in below(profile, profiles).values() if isinstance(child, UNSENT)]
    if unsent:
        kind = type(unsent[0]).__name__.lower()
        text = f"has a phase that is a {kind}: the I/O of its phases moves beside the whole job"
        yield Finding("note", place, text)


def _ignored_io(profile: Profile, place: str, has_io: bool, by_itself: bool) -> Iterator[Finding]:
    if isinstance(profile, Smpi):
        yield Finding("error", place, "batfs doesn't simulate SMPI: use Batsim")
    if isinstance(profile, ParallelHomogeneousPfs):
        text = "parallel_homogeneous_pfs moves its bytes by itself: allocation policies don't see them"
        yield Finding("note", place, text)
    if has_io and by_itself and isinstance(profile, (Delay, Send, Recv, Smpi, UsageTrace)):
        kind = type(profile).__name__.lower()
        yield Finding(
            "warning", place, f"has I/O, but Batsim ignores an additional I/O job on a {kind} profile"
        )
    if any(value > _MOST_EXACT for value in profile.extra.values() if type(value) is int):
        yield Finding("warning", place, "a whole number above 2**53, which doubles can't hold exactly")
