"""Jobs as traces record them, and turning them into a Batsim workload.

Every converter (SWF, Darshan, StorAlloc) makes :class:`RecordedJob` records and counts what it leaves out;
:func:`convert` does the rest in one way for all.

What runs: a recorded run time becomes work, ``run time x speed`` flops on each node
(``parallel_homogeneous``), so that the job lasts as long as recorded on nodes of that speed when its I/O,
which goes on beside the computation, doesn't hold it up. ``delay`` sleeps instead; Batsim ignores a sleeping
job's I/O, so that is for workloads without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Final, Literal

from batfs.errors import InputError
from batfs.workload.draws import Draws
from batfs.workload.io import RequestedIo
from batfs.workload.iomodels import JobShape, Volumes, make_io_model
from batfs.workload.model import NO_EXTRA, Delay, Job, Json, ParallelHomogeneous, Profile, Workload

WALLTIMES: Final = ("keep", "extend", "none")


def _nothing() -> Mapping[str, Json]:
    return NO_EXTRA


@dataclass(frozen=True, slots=True)
class RecordedJob:
    """One job of a trace. Times in seconds; ``requested_time`` None: not recorded; ``io`` None: not recorded.

    ``extra`` goes into the job, ``io_extra`` into its profile.
    """

    id: str
    submission: float
    nodes: int
    runtime: float
    requested_time: float | None = None
    io: tuple[RequestedIo, ...] | None = None
    extra: Mapping[str, Json] = field(default_factory=_nothing)
    io_extra: Mapping[str, Json] = field(default_factory=_nothing)


@dataclass(slots=True)
class Report:
    """What a conversion did: how many records it read, and how many it left out or changed, by rule."""

    source: str
    records: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    clock: float | None = None  # seconds after midnight, on the trace's clock, of its time 0

    def leave_out(self, rule: str) -> None:
        self.left_out[rule] = self.left_out.get(rule, 0) + 1

    def change(self, rule: str) -> None:
        self.changed[rule] = self.changed.get(rule, 0) + 1

    def to_json(self) -> dict[str, Json]:
        return {
            "source": self.source,
            "records": self.records,
            "left_out": self.left_out,
            "changed": self.changed,
            "notes": self.notes,
        }


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How recorded jobs become a workload.

    ``nodes``: of the machine (None: the largest job's); larger jobs are left out. ``speed`` in flop/s;
    ``com``: the bytes each node sends to each other node. ``walltime``: ``keep`` the requested time,
    ``extend`` it to the recorded run time where the job overran, or ``none``. ``io`` is the model for jobs
    whose I/O isn't recorded, ``seed`` its seed; ``filesystem`` where those bytes are (None: the
    configuration's choice). ``keep_times``: don't move the first submission to 0.
    """

    nodes: int | None = None
    runs: Literal["parallel_homogeneous", "delay"] = "parallel_homogeneous"
    speed: float = 1e9
    com: float = 0
    walltime: Literal["keep", "extend", "none"] = "keep"
    io: str = "none"
    seed: int = 1
    filesystem: str | None = None
    keep_times: bool = False


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
    jobs = sorted(recorded, key=lambda job: (job.submission, job.id))
    if options.nodes is not None:
        fitting = [job for job in jobs if job.nodes <= options.nodes]
        for _ in range(len(jobs) - len(fitting)):
            report.leave_out("needs more nodes than the machine has")
        jobs = fitting
    if not jobs:
        raise InputError("no job is left to convert", file=report.source, hint=_counts(report.left_out))
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
        extra = _io_members(job, drawn, options.filesystem)
        profile = _profile(job, options, extra)
        key = repr(profile)  # equal profiles are written once
        if key not in shared:
            shared[key] = job.id
            profiles[job.id] = profile
        walltime = _walltime(job, options, report)
        converted.append(
            Job(
                f"{name}!{job.id}", plain(job.submission - first), job.nodes, shared[key], walltime, job.extra
            )
        )
    converted.sort(key=lambda job: (job.submission_time, job.id))
    made = {**report.to_json(), "options": asdict(options)}
    top: dict[str, Json] = {"converted": made}
    if report.clock is not None:
        top["clock"] = plain((report.clock + first) % 86400)
    return Workload(name, nb_res, converted, profiles, extra=top)


def _check_ids(jobs: Sequence[RecordedJob], source: str) -> None:
    seen: set[str] = set()
    for job in jobs:
        if job.id in seen:
            raise InputError(f"the job id {job.id!r} is there twice", file=source)
        if "!" in job.id:
            raise InputError(f"the job id {job.id!r} contains a '!', which Batsim can't have", file=source)
        seen.add(job.id)


def _counts(counts: Mapping[str, int]) -> str | None:
    return ", ".join(f"{rule}: {count}" for rule, count in counts.items()) or None


def plain(value: float) -> float:
    """A whole number as an int: Batsim prints it without decimals then."""
    return int(value) if value == int(value) else value


def _profile(job: RecordedJob, options: ConvertOptions, extra: Mapping[str, Json]) -> Profile:
    if options.runs == "delay":
        return Delay(plain(job.runtime), extra)
    com = options.com if job.nodes > 1 else 0
    return ParallelHomogeneous(plain(job.runtime * options.speed), plain(com), extra)


def _walltime(job: RecordedJob, options: ConvertOptions, report: Report) -> float | None:
    if options.walltime == "none" or job.requested_time is None:
        return None
    if options.walltime == "extend" and job.requested_time < job.runtime:
        report.change("requested time extended to the run time")
        return plain(job.runtime)
    return plain(job.requested_time)


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
        "io_reads": sum(part.reads for part in parts),
        "io_writes": sum(part.writes for part in parts),
    }
    if any(part.filesystem is not None for part in parts):
        members["io"] = [io_entry(part) for part in parts]
    return {**members, **job.io_extra}


def io_entry(part: RequestedIo) -> dict[str, Json]:
    """One entry of a profile's ``io`` list; members with their default value are left out."""
    entry: dict[str, Json] = {} if part.filesystem is None else {"filesystem": part.filesystem}
    entry |= {key: value for key, value in (("reads", part.reads), ("writes", part.writes)) if value}
    if part.files != 1:
        entry["files"] = part.files
    if part.pattern != "shared":
        entry["pattern"] = part.pattern
    if part.options:
        entry["options"] = dict(part.options)
    return entry
