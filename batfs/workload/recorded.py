"""Jobs as traces record them, and turning them into a Batsim workload.

Every converter (SWF, Darshan, StorAlloc) makes :class:`RecordedJob` records and counts what it leaves out;
:func:`convert` does the rest in one way for all.

What runs: a recorded run time becomes work, ``run time x speed`` flops on each node
(``parallel_homogeneous``), so that the job lasts as long as recorded on nodes of that speed when its I/O,
which goes on beside the computation, doesn't hold it up. ``delay`` sleeps instead; Batsim ignores a sleeping
job's I/O, so that is for workloads without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Final, Literal
from zoneinfo import ZoneInfo

from batfs.errors import InputError
from batfs.workload.access import access_members
from batfs.workload.account import Report
from batfs.workload.draws import Draws
from batfs.workload.fields import INT_MAX
from batfs.workload.io import RequestedIo, without_io
from batfs.workload.iomodels import JobShape, Volumes, make_io_model
from batfs.workload.model import NO_EXTRA, Composed, Delay, Job, Json, ParallelHomogeneous, Profile, Workload
from batfs.workload.numbers import plain
from batfs.workload.walltimes import Walltimes

_EPOCH: Final = 1e8  # a time above this counts from 1970, not from a log's own start


def _nothing() -> Mapping[str, Json]:
    return NO_EXTRA


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a job's time, in seconds from its start, in which it read or wrote ``io``."""

    begin: float
    end: float
    io: tuple[RequestedIo, ...]


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """One job of a trace. Times in seconds; ``requested_time`` None: not recorded; ``io`` None: not recorded.

    ``extra`` goes into the job, ``io_extra`` into its profile. ``start`` is known where the wait is;
    ``io_seconds`` of the run time were I/O, measured; ``phases`` tell when.
    """

    id: str
    submission: float
    nodes: int
    runtime: float
    requested_time: float | None = None
    io: tuple[RequestedIo, ...] | None = None
    extra: Mapping[str, Json] = field(default_factory=_nothing)
    io_extra: Mapping[str, Json] = field(default_factory=_nothing)
    start: float | None = None
    io_seconds: float | None = None
    phases: tuple[Phase, ...] = ()


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How recorded jobs become a workload.

    ``nodes``: of the machine (None: the largest job's); larger jobs are left out. ``speed`` in flop/s;
    ``com``: the bytes each node sends to each other node. ``walltime`` as :class:`Walltimes` takes it:
    ``keep`` the requested time, ``extend`` it to the recorded run time where the job overran, ``none``, or
    what jobs without one get. ``io`` is the model for jobs whose I/O isn't recorded, ``seed`` its seed;
    ``filesystem`` where those bytes are (None: the configuration's choice). ``keep_times``: don't move the
    first submission to 0. ``compute``: ``recorded``, the whole run time is computation beside which the I/O
    goes on; ``without-io``, the measured seconds of I/O are taken off it; ``phases``, a composed job that
    computes between the phases in which it read or wrote; ``iterations``, one that computes and writes as
    often as it wrote, equally long and as much each time.
    """

    nodes: int | None = None
    runs: Literal["parallel_homogeneous", "delay"] = "parallel_homogeneous"
    speed: float = 1e9
    com: float = 0
    walltime: str = "keep"
    io: str = "none"
    seed: int = 1
    filesystem: str | None = None
    keep_times: bool = False
    compute: Literal["recorded", "without-io", "phases", "iterations"] = "recorded"


def convert(
    recorded: Iterable[RecordedJob], options: ConvertOptions, report: Report, name: str = "w0"
) -> Workload:
    """The workload of ``recorded``; what is left out or changed is counted in ``report``.

    Volumes of the I/O model are drawn in the order of submission (then id), one generator for all, so they
    depend on the trace and the seed alone. InputError when no job is left or two have one id.
    """
    for key in ("nodes", "speed"):
        value = getattr(options, key)
        if value is not None and not value > 0:
            least = "a number of at least 1" if key == "nodes" else "a speed above 0"
            raise InputError(f"{key} is {value}, expected {least}")
    walltimes = Walltimes(options.walltime, options.seed)
    jobs = sorted(_possible(recorded, options, report), key=lambda job: (job.submission, job.id))
    if not jobs:
        raise InputError("no job is left to convert", file=report.source, hint=report.why_nothing())
    _check_ids(jobs, report.source)
    first = 0.0 if options.keep_times else jobs[0].submission
    nb_res = options.nodes or max(job.nodes for job in jobs)
    model, draws = make_io_model(options.io), Draws(Random(options.seed))
    converted: list[Job] = []
    profiles: dict[str, Profile] = {}
    shared: dict[str, str] = {}
    for job in jobs:
        shape = JobShape(job.nodes, job.runtime)
        drawn = model(shape, draws) if job.io is None and options.io != "none" else None
        if options.compute in ("phases", "iterations") and job.phases and (job.io or ()):
            again = options.compute == "iterations"
            profiles.update(_iterated(job, options) if again else _phased(job, options))
            used = job.id
            report.change(
                "computes and writes in even iterations" if again else "computes between its phases of I/O"
            )
        else:
            extra = _io_members(job, drawn, options.filesystem)
            profile = _profile(job, options, extra, report)
            used = shared.setdefault(repr(profile), job.id)  # equal profiles are written once
            if used == job.id:
                profiles[job.id] = profile
        walltime = walltimes.of(job.requested_time, job.runtime, report)
        submission = plain(job.submission - first)
        converted.append(Job(f"{name}!{job.id}", submission, job.nodes, used, walltime, job.extra))
    converted.sort(key=lambda job: (job.submission_time, job.id))
    _facts(jobs, nb_res, report)
    top: dict[str, Json] = {"converted": {**report.to_json(), "options": asdict(options)}}
    if report.clock is not None:
        top["clock"] = plain((report.clock + first) % 86400)
    return Workload(name, nb_res, converted, profiles, extra=top)


def _possible(
    recorded: Iterable[RecordedJob], options: ConvertOptions, report: Report
) -> Iterable[RecordedJob]:
    """The jobs a Batsim workload can have; the others are left out under a rule, of whichever format."""
    for job in recorded:
        if not math.isfinite(job.submission):
            report.leave_out("no submission time")
        elif job.nodes < 1:
            report.leave_out("no number of nodes")
        elif not (math.isfinite(job.runtime) and job.runtime >= 0):
            report.leave_out("never ran")
        elif job.nodes > (INT_MAX if options.nodes is None else options.nodes):
            report.leave_out("needs more nodes than the machine has")
        elif job.runtime == 0:
            report.change("run time of 0 made 1 s")
            yield replace(job, runtime=1.0)
        else:
            yield job


def _facts(jobs: Sequence[RecordedJob], nodes: int, report: Report) -> None:
    """Load, span and days of the result, for the page at the end."""
    first, last = jobs[0].submission, jobs[-1].submission
    area = math.fsum(job.nodes * job.runtime for job in jobs)
    span = last - first
    report.facts["nodes"] = nodes
    report.facts["load"] = round(area / (nodes * span), 6) if span > 0 else None
    origin = report.origin if report.origin is not None else 0.0 if first >= _EPOCH else None
    if origin is not None:
        try:
            zone = ZoneInfo(report.zone)
            days = [
                datetime.fromtimestamp(origin + time, zone).isoformat(" ", "seconds")
                for time in (first, last)
            ]
        except (ValueError, OverflowError, OSError):
            days = []
        if days:
            report.facts["first_submission"], report.facts["last_submission"] = days
    if report.rounded:
        factor = area / max(area - report.rounded, 1e-9)
        offered = report.facts.get("load")
        load = "" if offered is None else f" (load {offered:.3g} in place of {offered / factor:.3g})"
        report.facts["rounded_up"] = round(factor, 6)
        report.notes.append(
            f"processors rounded up to whole nodes take {factor:.4g} x the node-seconds{load};"
            " --processors-per-node 1 makes each processor a node of its own"
        )


def _check_ids(jobs: Sequence[RecordedJob], source: str) -> None:
    seen: set[str] = set()
    for job in jobs:
        if job.id in seen:
            raise InputError(f"the job id {job.id!r} is there twice", file=source)
        if "!" in job.id:
            raise InputError(f"the job id {job.id!r} contains a '!', which Batsim can't have", file=source)
        seen.add(job.id)


def _profile(job: RecordedJob, options: ConvertOptions, extra: Mapping[str, Json], report: Report) -> Profile:
    if options.runs == "delay":
        return Delay(plain(job.runtime), extra)
    com = options.com if job.nodes > 1 else 0
    seconds = job.runtime
    if options.compute != "recorded" and (job.io or ()):
        if job.io_seconds is None:
            report.assume("measured I/O time unknown: all of its run time is computation")
        else:
            report.change("measured I/O time taken off its computation")
            seconds = max(0.0, seconds - job.io_seconds)
    return ParallelHomogeneous(plain(_finite(seconds * options.speed)), plain(com), extra)


def _finite(value: float) -> float:
    return min(value, 1.7e308)


def _phased(job: RecordedJob, options: ConvertOptions) -> dict[str, Profile]:
    """The profiles of a job that computes between its phases: the composed one first, under the job's id."""
    phases = _phases_in_order(job)
    members = _io_members(job, None, options.filesystem)
    kept = without_io(members)
    children: dict[str, Profile] = {}

    def compute(seconds: float) -> None:
        if seconds > 0:
            cpu = plain(_finite(seconds * options.speed))
            children[f"{job.id}:{len(children)}:compute"] = ParallelHomogeneous(cpu, 0, NO_EXTRA)

    now = 0.0
    for phase in phases:
        compute(round(phase.begin - now, 6))
        children[f"{job.id}:{len(children)}:io"] = ParallelHomogeneous(0, 0, _moves(job, phase.io, options))
        now = phase.end
    compute(round(job.runtime - now, 6))
    return {job.id: Composed(tuple(children), extra=kept), **children}


def _iterated(job: RecordedJob, options: ConvertOptions) -> dict[str, Profile]:
    """The profiles of a job whose phases of writing (of reading, if it never wrote) are made alike: what is
    read before it first computes is read first, the rest by turns with what it computes. Bytes that can't be
    divided move with the last."""
    phases = _phases_in_order(job)
    seconds = job.runtime - sum(phase.end - phase.begin for phase in phases)
    first: dict[str | None, int] = {}
    left: dict[str | None, RequestedIo] = {part.filesystem: part for part in job.io or ()}
    writes = any(part.writes for part in left.values())
    if writes and not any(part.writes for part in phases[0].io):
        first = {part.filesystem: part.reads for part in phases[0].io}
    count = sum(any(p.writes if writes else p.reads for p in phase.io) for phase in phases) or 1
    start = tuple(replace(left[name], reads=size, writes=0) for name, size in first.items() if size)
    rest = [replace(part, reads=part.reads - first.get(name, 0)) for name, part in left.items()]
    each = [replace(part, reads=part.reads // count, writes=part.writes // count) for part in rest]
    last = [
        replace(
            part,
            reads=part.reads - part.reads // count * (count - 1),
            writes=part.writes - part.writes // count * (count - 1),
        )
        for part in rest
    ]
    members = _io_members(job, None, options.filesystem)
    kept = without_io(members)
    cpu = plain(_finite(round(max(seconds, 0.0) / count, 6) * options.speed))
    names = {kind: f"{job.id}:{kind}" for kind in ("start", "iteration", "iterations", "last")}
    uneven = last != each
    found: dict[str, Profile] = {
        names["iteration"]: ParallelHomogeneous(cpu, 0, _moves(job, each, options)),
        names["iterations"]: Composed((names["iteration"],), count - uneven),
    }
    order = [names["iterations"]]
    if start:
        found[names["start"]] = ParallelHomogeneous(0, 0, _moves(job, start, options))
        order.insert(0, names["start"])
    if uneven:
        found[names["last"]] = ParallelHomogeneous(cpu, 0, _moves(job, last, options))
        order.append(names["last"])
    return {job.id: Composed(tuple(order), extra=kept), **found}


def _moves(job: RecordedJob, parts: Iterable[RequestedIo], options: ConvertOptions) -> Mapping[str, Json]:
    """The members of a phase's profile: its I/O before and after what it computes, so that a policy can hold
    it back."""
    moved = tuple(
        replace(part, options={**part.options, "timing": "phases"})
        for part in parts
        if part.reads or part.writes
    )
    return _io_members(replace(job, io=moved, io_extra=NO_EXTRA), None, options.filesystem)


def _phases_in_order(job: RecordedJob) -> list[Phase]:
    """The phases within the run time, those that overlap made one; every byte of the job is in one of them.

    Bytes whose times aren't known are read in the first phase and written in the last.
    """
    merged: list[Phase] = []
    for phase in sorted(job.phases, key=lambda phase: (phase.begin, phase.end)):
        begin = min(max(phase.begin, 0.0), job.runtime)
        end = min(max(phase.end, begin), job.runtime)
        if merged and begin <= merged[-1].end:
            last = merged[-1]
            merged[-1] = Phase(last.begin, max(last.end, end), (*last.io, *phase.io))
        else:
            merged.append(Phase(begin, end, phase.io))
    parts = {part.filesystem: part for part in job.io or ()}
    left = {name: [part.reads, part.writes] for name, part in parts.items()}
    sums: list[dict[str | None, list[int]]] = []
    for phase in merged:
        total: dict[str | None, list[int]] = {}
        for part in phase.io:
            there = left.get(part.filesystem, [0, 0])
            here = total.setdefault(part.filesystem, [0, 0])
            for i, size in enumerate((part.reads, part.writes)):
                size = min(size, there[i])
                here[i] += size
                there[i] -= size
        sums.append(total)
    for name, rest in left.items():
        sums[0].setdefault(name, [0, 0])[0] += rest[0]
        sums[-1].setdefault(name, [0, 0])[1] += rest[1]
    return [
        Phase(
            phase.begin,
            phase.end,
            tuple(
                RequestedIo(
                    *(name, both[0], both[1], parts[name].files, parts[name].pattern, parts[name].options),
                    access=parts[name].access,
                )
                for name, both in total.items()
                if any(both)
            ),
        )
        for phase, total in zip(merged, sums, strict=True)
    ]


def _io_members(job: RecordedJob, drawn: Volumes | None, filesystem: str | None) -> Mapping[str, Json]:
    """The profile's ``io_reads``, ``io_writes`` and, where file systems are known, ``io``.

    A job whose I/O is known to be none says so, with 0 bytes.
    """
    parts = job.io
    if drawn is not None:
        parts = (RequestedIo(filesystem, *drawn),) if any(drawn) else ()
    if parts is None:
        return job.io_extra
    members: dict[str, Json] = {
        "io_reads": plain(sum(part.reads for part in parts)),
        "io_writes": plain(sum(part.writes for part in parts)),
    }
    if any(part.filesystem is not None or part.options for part in parts):
        members["io"] = [io_entry(part) for part in parts]
    return {**members, **job.io_extra}


def io_entry(part: RequestedIo) -> dict[str, Json]:
    """One entry of a profile's ``io`` list; members with their default value are left out."""
    entry: dict[str, Json] = {} if part.filesystem is None else {"filesystem": part.filesystem}
    entry |= {key: plain(value) for key, value in (("reads", part.reads), ("writes", part.writes)) if value}
    if part.files != 1 or not (part.reads or part.writes or part.operations or part.options):
        entry["files"] = part.files
    if part.pattern != "shared":
        entry["pattern"] = part.pattern
    entry |= access_members(part.access)
    if part.operations:
        entry["operations"] = dict(part.operations)
    if part.options:
        entry["options"] = dict(part.options)
    return entry
