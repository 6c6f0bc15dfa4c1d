"""New workloads from one: a part of it (cut), or the same with other loads, times and volumes (scale)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from batfs.errors import InputError
from batfs.workload.fields import member_place
from batfs.workload.io import counted, requested_io
from batfs.workload.model import (
    Composed,
    DataStaging,
    Delay,
    Job,
    Json,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Workload,
)
from batfs.workload.nominal import NominalTimes
from batfs.workload.numbers import plain
from batfs.workload.recorded import io_entry
from batfs.workload.traces import traced

#: Profiles whose work is that of all nodes together.
_TOTALS: Final = (ParallelHomogeneousTotal, ParallelHomogeneousSpread)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which jobs stay: submitted from ``begin`` up to (not at) ``end`` seconds after the first submission, of
    at least ``least`` and at most ``most`` nodes, only the ``first`` so many of them; ``ids`` names them."""

    begin: float = 0.0
    end: float = math.inf
    first: int | None = None
    least: int = 1
    most: int | None = None
    ids: Collection[str] | None = None
    keep_times: bool = False


def cut(workload: Workload, part: Cut) -> Workload:
    """The jobs of ``workload`` that ``part`` names, with the profiles they need; ids stay.

    Submission times are counted from ``begin`` on, unless ``keep_times``. InputError if no job is left.
    """
    start = workload.jobs[0].submission_time if workload.jobs else 0.0
    if part.ids is not None:
        unknown = sorted(set(part.ids) - {job.name for job in workload.jobs})
        if unknown:
            raise InputError(f"no job is called {unknown[0]!r}", file=workload.path or None)
    chosen = [job for job in workload.jobs if _stays(job, part, start)][: part.first]
    if not chosen:
        raise InputError("no job is left", file=workload.path or None)
    origin = 0.0 if part.keep_times else start + part.begin if part.ids is None else chosen[0].submission_time
    jobs = [replace(job, submission_time=plain(job.submission_time - origin)) for job in chosen]
    extra = workload.extra
    if "clock" in extra:
        extra = {**extra, "clock": plain((extra["clock"] + origin) % 86400)}
    needed = _needed(jobs, workload.profiles)
    return replace(workload, jobs=jobs, profiles=needed, extra=extra, removed_profiles=())


def _stays(job: Job, part: Cut, start: float) -> bool:
    return (
        part.begin <= job.submission_time - start < part.end
        and part.least <= job.requested_nodes
        and (part.most is None or job.requested_nodes <= part.most)
        and (part.ids is None or job.name in part.ids)
    )


def _needed(jobs: list[Job], profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profiles that ``jobs`` refer to, and their children, in their old order."""
    wanted = {job.profile for job in jobs}
    stack = list(wanted)
    while stack:
        profile = profiles[stack.pop()]
        if isinstance(profile, Composed):
            new = set(profile.sequence) - wanted
            wanted |= new
            stack.extend(new)
    return {name: profile for name, profile in profiles.items() if name in wanted}


def split(workload: Workload, span: float) -> Iterator[Workload]:
    """``workload`` in parts of ``span`` seconds, each from time 0; parts without jobs are left out."""
    if not span > 0:
        raise InputError(f"the span is {span}, expected a time above 0")
    start = workload.jobs[0].submission_time if workload.jobs else 0.0
    indices = sorted({int((job.submission_time - start) // span) for job in workload.jobs})
    for index in indices:
        yield cut(workload, Cut(begin=index * span, end=(index + 1) * span))


@dataclass(frozen=True, slots=True)
class Scale:
    """Factors: ``arrivals`` on the time between submissions (0.5: twice the load), ``runtime`` on the work,
    the sleeps and the requested times, ``nodes`` on sizes (rounded up) and on the machine, ``reads`` and
    ``writes`` on the I/O volumes. ``load`` instead of ``arrivals``: the offered load to reach."""

    arrivals: float = 1.0
    runtime: float = 1.0
    nodes: float = 1.0
    reads: float = 1.0
    writes: float = 1.0
    load: float | None = None
    speed: float = 1e9

    def check(self) -> None:
        for name in ("arrivals", "runtime", "nodes", "load", "speed"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} is {value}, expected a number above 0")
        for name in ("reads", "writes"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise InputError(f"{name} is {getattr(self, name)}, expected a factor of at least 0")
        if self.load is not None and self.arrivals != 1.0:
            raise InputError("give a load to reach or a factor on the arrivals, not both")


def scale(workload: Workload, by: Scale) -> Workload:
    """``workload`` multiplied as ``by`` says; ids stay, bytes and nodes stay whole numbers."""
    by.check()
    profiles = {name: _scale_profile(name, profile, by) for name, profile in workload.profiles.items()}
    jobs = [
        replace(
            job,
            requested_nodes=product(job.requested_nodes, by.nodes),
            walltime=None if job.walltime is None else plain(job.walltime * by.runtime),
        )
        for job in workload.jobs
    ]
    nb_res = product(workload.nb_res, by.nodes)
    if by.nodes != 1:
        jobs, profiles = _keep_times(workload, jobs, profiles)
    factor = by.arrivals if by.load is None else _stretch(jobs, profiles, nb_res, by)
    jobs = [replace(job, submission_time=plain(job.submission_time * factor)) for job in jobs]
    jobs.sort(key=lambda job: (job.submission_time, job.id))
    flops = workload.trace_flops * (by.runtime if any(traced(profiles)) else 1.0)
    return replace(workload, nb_res=nb_res, jobs=jobs, profiles=profiles, trace_flops=flops)


def _stretch(jobs: list[Job], profiles: Mapping[str, Profile], nb_res: int, by: Scale) -> float:
    """The factor on submission times that gives the offered load ``by.load``."""
    nominal = NominalTimes(profiles, by.speed)
    area = math.fsum(job.requested_nodes * nominal.seconds(job.profile, job.requested_nodes) for job in jobs)
    span = jobs[-1].submission_time - jobs[0].submission_time if jobs else 0.0
    if not (area > 0 and span > 0):
        raise InputError("a workload without work, or submitted all at once, has no load to scale")
    assert by.load is not None
    return area / (nb_res * span) / by.load


def _above(profiles: Mapping[str, Profile], names: list[str]) -> set[str]:
    """``names`` and every composed profile that has one of them somewhere below."""
    parents: dict[str, list[str]] = {}
    for name, profile in profiles.items():
        for child in set(profile.sequence) if isinstance(profile, Composed) else ():
            parents.setdefault(child, []).append(name)
    found, stack = set(names), list(names)
    while stack:
        for parent in parents.get(stack.pop(), ()):
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def _scale_profile(name: str, profile: Profile, by: Scale) -> Profile:
    new = _scale_work(name, profile, by)
    extra = _scale_io(new, name, by)
    return new if extra is new.extra else replace(new, extra=extra)


def _scale_work(name: str, profile: Profile, by: Scale) -> Profile:
    times: Callable[[float], float] = lambda value: plain(value * by.runtime)  # noqa: E731
    match profile:
        case Delay():
            return replace(profile, duration=times(profile.duration))
        case ParallelHomogeneous():
            return replace(profile, cpu=times(profile.cpu))
        case ParallelHomogeneousTotal() | ParallelHomogeneousSpread():
            # _keep_times lets them grow with the nodes
            return replace(profile, cpu=times(profile.cpu))
        case Parallel():
            if by.nodes != 1:
                raise InputError(
                    "a parallel profile is made for one number of nodes and can't be scaled to another",
                    place=f"profiles.{name}",
                )
            return replace(
                profile, cpu=profile.cpu * by.runtime, integers=b"" if by.runtime != 1 else profile.integers
            )
        case ParallelHomogeneousPfs():  # bytes of each node
            return replace(
                profile,
                bytes_to_read=_whole(profile.bytes_to_read, by.reads),
                bytes_to_write=_whole(profile.bytes_to_write, by.writes),
            )
        case DataStaging():
            return replace(profile, size=_whole(profile.size, by.writes))
        case _:
            return profile


def _whole(value: float, factor: float) -> float:
    return value if factor == 1 else product(value, factor)


def product(value: float, factor: float) -> int:
    """``value`` times ``factor`` as they are written, rounded up: 1.1 times 100 is 110, not the 111 that the
    binary neighbour of 1.1 would make of it."""
    return math.ceil(Fraction(repr(value)) * Fraction(repr(factor)))


def _keep_times(
    old: Workload, jobs: list[Job], profiles: dict[str, Profile]
) -> tuple[list[Job], dict[str, Profile]]:
    """The totals of work grow with each job's nodes, so that its time stays: ``jobs`` (those of ``old``, in
    its order, with their new sizes) and ``profiles``, with a copy of a profile for each further ratio of
    sizes."""
    totals = _above(profiles, [n for n, p in profiles.items() if isinstance(p, _TOTALS)])
    if not totals:
        return jobs, profiles
    used: dict[str, dict[Fraction, None]] = {}
    reach: dict[str, dict[str, Profile]] = {}
    ratios = []
    for before, job in zip(old.jobs, jobs, strict=True):
        ratio = Fraction(job.requested_nodes, before.requested_nodes)
        ratios.append(ratio)
        if job.profile not in totals:
            continue
        if job.profile not in reach:
            reach[job.profile] = _needed([job], profiles)
        for name in reach[job.profile]:
            if name in totals:
                used.setdefault(name, {})[ratio] = None
    names: dict[tuple[str, Fraction], str] = {}
    taken = set(profiles)
    for name, several in used.items():
        for count, ratio in enumerate(several, start=1):
            fresh = name if count == 1 else f"{name}_{count}"
            while count > 1 and fresh in taken:
                fresh += "_"
            taken.add(fresh)
            names[name, ratio] = fresh
    made = dict(profiles)
    for (name, ratio), fresh in names.items():
        profile = profiles[name]
        if isinstance(profile, _TOTALS):
            profile = replace(profile, cpu=plain(float(Fraction(repr(profile.cpu)) * ratio)))
        elif isinstance(profile, Composed):
            children = tuple(names.get((child, ratio), child) for child in profile.sequence)
            profile = replace(profile, sequence=children)
        made[fresh] = profile
    renamed = [
        replace(job, profile=names.get((job.profile, ratio), job.profile))
        for job, ratio in zip(jobs, ratios, strict=True)
    ]
    return renamed, made


def _scale_io(profile: Profile, name: str, by: Scale) -> Mapping[str, Json]:
    """``extra`` with the job's own I/O scaled; totals are again the sums of the list."""
    if by.reads == 1 and by.writes == 1:
        return profile.extra
    place = member_place("profiles", name)
    parts = [
        replace(
            part,
            reads=counted(product(part.reads, by.reads), f"{place}.io_reads"),
            writes=counted(product(part.writes, by.writes), f"{place}.io_writes"),
        )
        for part in requested_io(profile, place)
    ]
    if not parts:
        return profile.extra
    extra: dict[str, Any] = dict(profile.extra)
    extra["io_reads"] = sum(part.reads for part in parts)
    extra["io_writes"] = sum(part.writes for part in parts)
    if "io" in extra:
        extra["io"] = [io_entry(part) for part in parts]
    return extra
