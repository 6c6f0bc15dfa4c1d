"""The workload generator: arrivals, sizes, run times, requested times, I/O volumes, file systems.

Sizes, run times and arrivals follow Lublin and Feitelson (:mod:`batfs.workload.lublin`), requested times
the habit of asking for a round number above a multiple of the run time, volumes one of the named I/O models
(:mod:`batfs.workload.iomodels`) or, of jobs that do their I/O again and again, one of the rhythms
(:mod:`batfs.workload.rhythms`). All draws come from one seeded generator; numbers are rounded (whole
seconds, whole kB) so that a workload is the same to the byte on every machine.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Final, Literal

from batfs.errors import InputError
from batfs.plugins import Size, convert_options, parse_spec
from batfs.workload import lublin
from batfs.workload.draws import Draws
from batfs.workload.iomodels import JobShape, make_io_model
from batfs.workload.model import Composed, Job, Json, ParallelHomogeneous, Profile, Workload
from batfs.workload.rhythms import Rhythm, make_rhythm

# What users type: minutes up to one hour, then hours, then days (Tsafrir, Etsion, Feitelson, "Modeling user
# runtime estimates", JSSPP 2005: a score of round values covers nearly all jobs).
POPULAR: Final = tuple(
    [60 * m for m in (1, 2, 5, 10, 15, 20, 30, 45)]
    + [3600 * h for h in (1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 24, 36, 48)]
)
KB: Final = 1000


MOST: Final = 10_000_000  # jobs, or nodes: what is made is made in memory


@dataclass(frozen=True, slots=True)
class FileSystemShare:
    """How often jobs use a file system, and how much they put there.

    ``weight`` over the sum of all weights is the probability that a job reads from (or writes to) it;
    ``scale`` multiplies the volume there; ``most`` bounds each job's bytes read and bytes written there.
    """

    name: str
    weight: float = 1.0
    scale: float = 1.0
    most: Size | None = None


def parse_share(text: str) -> FileSystemShare:
    """``"lustre:weight=4,scale=2,most=100GB"`` as a :class:`FileSystemShare`."""
    spec = parse_spec(text, "file system")
    return FileSystemShare(**convert_options(FileSystemShare, spec, "file system", {"name": spec.name}))


@dataclass(frozen=True, slots=True)
class SynthOptions:
    """What to generate. ``load`` is the offered load: node-seconds over nodes times the span of submissions
    (with ``load_over`` ``"gaps"``, up to one gap after the last, before the daily cycle: how workloads were
    made that exist already, such as the preset ``io``).

    ``speed`` (flop/s of a node's core) turns run times into work. ``com`` is the median of the bytes each
    node sends to each other node, log-normal with sigma 1. ``estimate`` is the largest factor between the
    expected time and the requested one, drawn evenly from 1; ``bandwidth`` (bytes/s of a job) is what users
    expect of the storage when they estimate. Without ``filesystems`` volumes are given as totals alone.
    ``iterations`` is a rhythm in the place of ``io``: jobs become composed profiles that read, compute and
    write so many times, with their I/O in phases of its own.
    """

    jobs: int = 300
    nodes: int = 16
    seed: int = 1
    load: float = 0.8
    arrivals: Literal["lublin", "poisson"] = "lublin"
    daily_cycle: bool = True
    largest: int | None = None
    shortest: float = 10.0
    longest: float = math.exp(lublin.LONGEST)
    speed: float = 1e9
    com: float = 1e6
    estimate: float = 5.0
    bandwidth: float = 1e8
    io: str = "rate"
    filesystems: Sequence[FileSystemShare] = field(default=())
    load_over: Literal["submissions", "gaps"] = "submissions"
    iterations: str | None = None

    def check(self) -> None:
        """InputError for values that make no sense."""
        for name in ("jobs", "nodes", "load", "speed", "bandwidth", "shortest"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number above 0")
        for name in ("jobs", "nodes"):
            if getattr(self, name) > MOST:
                raise InputError(f"{name} is {getattr(self, name)}: a workload has {MOST} at most")
        if self.com < 0:
            raise InputError(f"com is {self.com}, expected a number of bytes")
        if self.estimate < 1:
            raise InputError(f"estimate is {self.estimate}, expected a factor of at least 1")
        if self.longest < self.shortest:
            raise InputError(f"the longest run time ({self.longest}) is below the shortest ({self.shortest})")
        if self.largest is not None and not 1 <= self.largest <= self.nodes:
            raise InputError(f"largest is {self.largest}, expected from 1 to the {self.nodes} nodes")
        names = [share.name for share in self.filesystems]
        if len(set(names)) != len(names):
            raise InputError(f"a file system is named twice: {', '.join(names)}")
        if names and not math.fsum(share.weight for share in self.filesystems) > 0:
            raise InputError("the weights of the file systems add up to 0")


def synthesize(options: SynthOptions, name: str = "w0") -> Workload:
    """The workload that ``options`` describe; the same one every time."""
    options.check()
    draws = Draws(Random(options.seed))
    model = make_io_model(options.io)
    rhythm = None if options.iterations is None else make_rhythm(options.iterations)
    shapes = [_shape(draws, options) for _ in range(options.jobs)]
    times = _arrivals(draws, options, math.fsum(shape.nodes * shape.runtime for shape in shapes))
    jobs: list[Job] = []
    profiles: dict[str, Profile] = {}
    for number, (shape, time) in enumerate(zip(shapes, times, strict=True), start=1):
        profile = f"p{number}"
        if rhythm is not None:
            of_job, expected = _iterated(draws, options, shape, rhythm(shape, draws), profile)
            profiles.update(of_job)
        else:
            reads, writes = model(shape, draws)
            extra = _io(draws, options, reads, writes)
            com = _com(draws, options, shape)
            profiles[profile] = ParallelHomogeneous(_plain(shape.runtime * options.speed), com, extra)
            expected = shape.runtime + _total(extra) / options.bandwidth
        walltime = requested_time(expected * draws.uniform(1.0, options.estimate))
        jobs.append(Job(f"{name}!{number}", time, shape.nodes, profile, walltime))
    jobs.sort(key=lambda job: (job.submission_time, job.id))
    return Workload(name, options.nodes, jobs, profiles, extra={"generator": described(options), "clock": 0})


def described(options: SynthOptions) -> dict[str, Json]:
    """``options`` as JSON, kept in the workload so that it says how it was made."""
    found: dict[str, Any] = {"name": "batfs workload synth", **asdict(options)}
    if options.load_over == "gaps":
        del found["load_over"]  # as in the files that are older than this option
    if options.iterations is None:
        del found["iterations"]
    else:
        del found["io"]
    found["longest"] = float(f"{options.longest:.10g}")
    found["filesystems"] = [asdict(share) for share in options.filesystems]
    return found


def _com(draws: Draws, options: SynthOptions, shape: JobShape) -> int:
    return 0 if shape.nodes == 1 else round(draws.lognormal(options.com, 1.0) / KB) * KB


def _total(extra: Mapping[str, Json]) -> int:
    return int(extra.get("io_reads", 0)) + int(extra.get("io_writes", 0))


def _iterated(
    draws: Draws, options: SynthOptions, shape: JobShape, rhythm: Rhythm, name: str
) -> tuple[dict[str, Profile], float]:
    """The profiles of a job that goes by a rhythm, its own (``name``) last, and the seconds it expects."""
    each = _io(draws, options, rhythm.reads, rhythm.writes)
    first = _io(draws, options, rhythm.first, 0) if rhythm.first else {}
    com = round(_com(draws, options, shape) / rhythm.count / KB) * KB
    work = round(rhythm.work, 3)
    iteration = f"{name}.iteration"
    profiles: dict[str, Profile] = {
        iteration: ParallelHomogeneous(_plain(round(work * options.speed)), com, _in_phases(each))
    }
    seconds = _total(each) / options.bandwidth if rhythm.io_seconds is None else rhythm.io_seconds
    expected = rhythm.count * (work + seconds) + _total(first) / options.bandwidth
    if first:
        profiles[f"{name}.restart"] = ParallelHomogeneous(0, 0, _in_phases(first))
        profiles[f"{name}.iterations"] = Composed((iteration,), rhythm.count)
        profiles[name] = Composed((f"{name}.restart", f"{name}.iterations"))
    else:
        profiles[name] = Composed((iteration,), rhythm.count)
    return profiles, expected


def _in_phases(extra: Mapping[str, Json]) -> Mapping[str, Json]:
    """The same I/O before and after the computation, in the place of beside it."""
    if not extra:
        return extra
    entries = extra.get("io") or [{key: extra[f"io_{key}"] for key in ("reads", "writes")}]
    return {**extra, "io": [{**entry, "options": {"timing": "phases"}} for entry in entries]}


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _shape(draws: Draws, options: SynthOptions) -> JobShape:
    size = lublin.nodes(draws, options.largest or options.nodes)
    while True:
        seconds = lublin.runtime(draws, size)
        if options.shortest <= seconds <= options.longest:
            return JobShape(size, max(1, round(seconds)))


def _arrivals(draws: Draws, options: SynthOptions, area: float) -> list[int]:
    """Whole seconds of submission, ascending from 0, spread so that the offered load is as asked."""
    if options.arrivals == "poisson":
        gaps = [draws.exponential(1.0) for _ in range(options.jobs)]
    else:
        gaps = [lublin.between(draws) for _ in range(options.jobs)]
    span = area / (options.load * options.nodes)
    cycle = lublin.DailyCycle(lublin.cycle_weights()) if options.daily_cycle else None
    if options.load_over == "gaps":
        scale = span / math.fsum(gaps)
    else:
        # the last submission is at the end of the span: as much work as the day holds until then
        between = math.fsum(gaps[:-1])
        scale = (span if cycle is None else cycle.work(span)) / between if between else 0.0
    now, times = 0.0, []
    for gap in gaps:
        times.append(round(now))
        now += gap * scale if cycle is None else cycle.advance(gap * scale)
    return times


def requested_time(seconds: float) -> int:
    """The seconds a user asks for who needs ``seconds``: the next popular value, or whole days."""
    if seconds > POPULAR[-1]:
        return math.ceil(seconds / 86400) * 86400
    return int(POPULAR[bisect.bisect_left(POPULAR, seconds)])


def _io(draws: Draws, options: SynthOptions, reads: int, writes: int) -> Mapping[str, Json]:
    """The profile's I/O members: where the bytes are read from and written to, and the totals."""
    if not options.filesystems:
        reads, writes = round(reads / KB) * KB, round(writes / KB) * KB
        return {"io_reads": reads, "io_writes": writes} if reads or writes else {}
    weights = [share.weight for share in options.filesystems]
    entries: dict[str, dict[str, Json]] = {}
    for key, volume in (("reads", reads), ("writes", writes)):
        share = draws.pick(options.filesystems, weights)
        size = round(volume * share.scale / KB) * KB
        if share.most is not None:
            size = min(size, share.most)
        if size:
            entries.setdefault(share.name, {"filesystem": share.name})[key] = size
    if not entries:
        return {}
    totals = {f"io_{key}": sum(e.get(key, 0) for e in entries.values()) for key in ("reads", "writes")}
    return {**totals, "io": list(entries.values())}
