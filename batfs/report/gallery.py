"""One workload on the same machine under each file-system model, side by side: ``batfs gallery``.

All the bytes of every job go to one file system of the machine, under one model, in a run of its own; one
more run without any I/O says how long each job computes. What is compared: how long I/O keeps a job's nodes
(the time it holds them beyond that), how long it waits, what is staged, and how full the storages get.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs._core.sheets import SUCCESS
from batfs.decision.experiment import Experiment, machine_fields, read_machine
from batfs.decision.run import run
from batfs.decision.tally import spread
from batfs.errors import InputError, unknown
from batfs.files import check_writable, write_text
from batfs.filesystems.base import MODELS
from batfs.filesystems.data_sets import SetRow
from batfs.filesystems.script import AHEAD, APART, WORKLOAD
from batfs.report import palette
from batfs.report.axes import legend_once
from batfs.report.picture import make_figure, save_figure, styled
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.observer import Observer, StorageState
from batfs.simulator import JobResult
from batfs.storage.interface import Storage, StorageTable
from batfs.workload import read_workload, requested_io, write_workload
from batfs.workload.io import without_io
from batfs.workload.model import Job, ParallelHomogeneous, Workload

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_IO = "no I/O"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A model on a file system of the machine. ``options`` are the model's."""

    model: str
    filesystem: str
    options: Mapping[str, str] = field(default_factory=dict)
    data_sets: bool = False


#: What is shown unless said otherwise; file systems as in platforms/taurus_storage.xml.
EXHIBITS: dict[str, Exhibit] = {
    "pfs": Exhibit("pfs", "lustre", {"stripe_count": "4"}),
    "dfs": Exhibit("dfs", "disk", {"replication": "3", "locality": "0.8", "policy": "random"}),
    "burst_buffer": Exhibit("burst_buffer", "bb", {"backing": "lustre", "policy": "worst_fit"}),
    "nvme_pool": Exhibit("nvme_pool", "nvme", {"block_size": "20GB", "policy": "worst_fit"}),
    "rabbit": Exhibit("rabbit", "rabbit", {"backing": "lustre"}),
    "cache": Exhibit("cache", "nvme", {"backing": "lustre"}, data_sets=True),
}
SHOWN = ("pfs", "dfs", "burst_buffer", "nvme_pool")


@dataclass(slots=True)
class JobTimes:
    """Seconds. ``held`` is the time from the first of its activities on nodes (or for them) to the last;
    ``ahead``: when it was staged in before it had nodes, from when until when."""

    submitted: float
    start: float
    end: float
    computing: float = 0.0
    stage_in: float = 0.0
    after: float = 0.0
    ahead: Sequence[tuple[float, float]] = ()
    succeeded: bool = True

    @property
    def io(self) -> float:
        """What I/O adds to the time its nodes are held."""
        return max(0.0, self.end - self.start - self.computing)

    @property
    def waited(self) -> float:
        return self.start - self.submitted

    @property
    def staging(self) -> float:
        """With its nodes, before them, and after it had given them back."""
        return self.stage_in + _covered(self.ahead) + self.after


class Seen(Observer):
    """The bytes reserved on each storage over time."""

    def __init__(self) -> None:
        self.table: StorageTable | None = None
        self.history: dict[int, list[tuple[float, int]]] = {}
        self.sets: list[SetRow] = []

    def begins(self, storages: StorageTable, ids: Sequence[int]) -> None:
        self.table = storages
        self.history = {k: [(0.0, 0)] for k in range(len(storages))}

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        for position, held, _, _ in states:
            self.history[position].append((now, held))

    def data_set_over(self, row: SetRow) -> None:
        self.sets.append(row)


@dataclass(slots=True)
class Shown:
    """One run."""

    name: str
    exhibit: Exhibit | None
    jobs: dict[str, JobTimes]
    storage: Seen
    makespan: float
    rejected: int

    def used(self) -> list[tuple[float, int]]:
        """Bytes reserved on all storages of the file systems it uses, over time."""
        changes = [
            (time, size - history[k][1] if k >= 0 else size)
            for history in self.storage.history.values()
            for k, (time, size) in enumerate(history, start=-1)
        ]
        out: list[tuple[float, int]] = []
        total = 0
        for time, change in sorted(changes):
            total += change
            if out and out[-1][0] == time:
                out[-1] = (time, total)
            else:
                out.append((time, total))
        return out

    def row(self) -> dict[str, Any]:
        """The figures of the table."""
        jobs = list(self.jobs.values())
        count = max(1, len(jobs))
        # a job that was cut short has not done its I/O quickly
        io = spread([job.io for job in jobs if job.succeeded])
        return {
            "model": self.name,
            "file_system": self.exhibit.filesystem if self.exhibit else "",
            "jobs": len(jobs),
            "rejected": self.rejected,
            **{f"{word}_io_time": io[word] or 0.0 for word in ("mean", "median", "max")},
            "mean_waiting_time": math.fsum(job.waited for job in jobs) / count,
            "mean_staging_time": math.fsum(job.staging for job in jobs) / count,
            "makespan": self.makespan,
            "peak_reserved_bytes": max((size for _, size in self.used()), default=0),
            "unsuccessful": sum(not job.succeeded for job in jobs),
        }


def parse_exhibit(text: str) -> tuple[str, Exhibit]:
    """``MODEL``, ``MODEL=FILESYSTEM`` or ``MODEL=FILESYSTEM:key=value,...``. InputError for what is none."""
    name, equals, rest = text.partition("=")
    if not equals:
        if name not in EXHIBITS:
            raise (
                unknown("exhibit", name, EXHIBITS, place="--model")
                if name in MODELS.known()
                else unknown("file-system model", name, MODELS.known(), place="--model")
            )
        return name, EXHIBITS[name]
    filesystem, _, options = rest.partition(":")
    given = dict(item.partition("=")[::2] for item in options.split(",") if item)
    base = EXHIBITS.get(name, Exhibit(name, filesystem))
    return name, replace(base, filesystem=filesystem, options={**base.options, **given})


def make_workload(platform: Path, jobs: int, seed: int, flags: Mapping[str, Any]) -> Workload:
    """Jobs of 1 to 8 nodes that compute some tens of seconds and read and write some tens of GB, one arriving
    every 25 s on average. Seeded; the same on every machine."""
    loaded, machine = read_machine(platform, flags)
    speed = loaded.hosts[machine.compute[0].host].speed
    most = min(8, machine.nb_compute)
    rng = random.Random(seed)
    at, made, profiles = 0.0, [], {}
    for k in range(jobs):
        at += round(50 * rng.random(), 3)
        nodes = min(most, 1 << int(4 * rng.random()))
        seconds = 5 + int(40 * rng.random())
        extra = {
            "io_reads": (10 + int(50 * rng.random())) * 10**9,
            "io_writes": (5 + int(25 * rng.random())) * 10**9,
        }
        profiles[f"p{k}"] = ParallelHomogeneous(seconds * speed, 0.0, extra)
        made.append(Job(f"w0!{k}", at, nodes, f"p{k}", None))
    return Workload("w0", machine.nb_compute, tuple(made), profiles)


def directed(workload: Workload, exhibit: Exhibit | None) -> Workload:
    """The workload with all the I/O of each job on one file system (or without any)."""
    profiles = {}
    for k, (name, profile) in enumerate(workload.profiles.items()):
        parts = requested_io(profile)
        extra = without_io(profile.extra)
        if exhibit is not None and parts:
            entry: dict[str, Any] = {
                "filesystem": exhibit.filesystem,
                "reads": sum(part.reads for part in parts),
                "writes": sum(part.writes for part in parts),
            }
            if exhibit.data_sets:
                # every fourth job reads what an earlier one has read
                entry["options"] = {"data_set": f"set{k % 4}"}
                entry["reads"] = 40 * 10**9
            extra["io"] = [entry]
        profiles[name] = replace(profile, extra=extra)
    return replace(workload, profiles=profiles)


def gallery(
    platform: Path,
    workload: Workload | Path | None,
    exhibits: Mapping[str, Exhibit],
    folder: Path,
    *,
    jobs: int = 40,
    seed: int = 0,
    queue: str = "easy",
    machine: Mapping[str, Any] | None = None,
) -> list[Shown]:
    """Run everything; the workloads that were run are left in ``folder``. InputError for what is wrong.

    ``machine``: Batsim's ``master_host``, ``add_role_to_hosts``, ``mmax`` and ``events``, where they aren't
    as usual.
    """
    machine = machine or {}
    check_writable(folder)
    if workload is None:
        workload = make_workload(platform, jobs, seed, machine)
    elif isinstance(workload, Path):
        workload = read_workload(workload, "w0")
    out = [_run(platform, workload, NO_IO, None, folder, seed, queue, machine)]
    for name, exhibit in exhibits.items():
        shown = _run(platform, workload, name, exhibit, folder, seed, queue, machine)
        for job_id, times in shown.jobs.items():
            alone = out[0].jobs.get(job_id)
            times.computing = 0.0 if alone is None else alone.end - alone.start
            times.succeeded = times.succeeded and (alone is None or alone.succeeded)
        out.append(shown)
    for times in out[0].jobs.values():
        times.computing = times.end - times.start
    return out


def workload_file(folder: Path, name: str) -> Path:
    """Where the workload of an exhibit's run is left."""
    return folder / f"{name.replace('/', '').replace(' ', '_')}.json"


def flags_of(exhibit: Exhibit | None, seed: int, queue: str) -> dict[str, Any]:
    """The settings of an exhibit's run."""
    flags: dict[str, Any] = {"seed": seed, "queue": queue}
    if exhibit is not None:
        flags["filesystems"] = {exhibit.filesystem: {"model": exhibit.model, **exhibit.options}}
    return flags


def _run(
    platform: Path,
    workload: Workload,
    name: str,
    exhibit: Exhibit | None,
    folder: Path,
    seed: int,
    queue: str,
    machine: Mapping[str, Any],
) -> Shown:
    file = workload_file(folder, name)
    write_workload(file, directed(workload, exhibit))
    return simulated(platform, file, name, exhibit, flags_of(exhibit, seed, queue), machine)


def simulated(
    platform: Path,
    file: Path,
    name: str,
    exhibit: Exhibit | None,
    flags: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> Shown:
    """One run of the workload ``file`` under these settings; what a job computes isn't known from it."""
    seen = Seen()
    jobs: dict[str, JobTimes] = {}
    rejected: dict[str, JobResult] = {}
    steps: dict[str, list[JobResult]] = {}

    def over(result: JobResult) -> None:
        if result.workload == WORKLOAD:
            # w0.<job>.<number>.<kind>; the job's own id may have dots, too
            workload, _, rest = result.job_id.partition("!")[2].partition(".")
            if workload == "w0" and not result.rejected:
                steps.setdefault(rest.rsplit(".", 2)[0], []).append(result)
            return
        short = result.job_id.rpartition("!")[2]
        if result.rejected:
            rejected[short] = result
        else:
            jobs[short] = JobTimes(
                result.submission_time, result.start, result.end, succeeded=result.state == SUCCESS
            )

    result = run(
        Experiment(platform, [file], dynamic_jobs=exhibit is not None, **machine_fields(machine)),
        Settings(flags=Layer("gallery", flags)),
        None,
        observer=seen,
        on_job=over,
    )
    for short, parts in steps.items():
        held = [p for p in parts if p.job_id.rpartition(".")[2] not in APART]
        if short in rejected and any(p.job_id.endswith(".compute") for p in held):  # it was cut into parts
            times = jobs[short] = JobTimes(rejected.pop(short).submission_time, math.inf, -math.inf)
        elif short in jobs:
            times = jobs[short]
        else:
            continue
        times.start = min([times.start, *(p.start for p in held)])
        times.end = max([times.end, *(p.end for p in held)])
        times.succeeded = times.succeeded and all(p.state == SUCCESS for p in held)
        times.stage_in = _covered([(p.start, p.end) for p in parts if p.job_id.endswith(".stage_in")])
        times.ahead = [(p.start, p.end) for p in parts if p.job_id.endswith(f".{AHEAD}")]
        later = [p.end for p in parts if p.job_id.endswith(".stage_out")]
        times.after = max(0.0, max(later, default=times.end) - times.end)
    if result.deadlock:
        raise InputError(result.stuck, file=file)
    return Shown(name, exhibit, jobs, seen, float(result.summary["makespan"]), len(rejected))


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    """How long at least one of ``spans`` lasts."""
    total, until = 0.0, -math.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def save(shown: Sequence[Shown], folder: Path) -> list[Path]:
    """``gallery.csv`` and the figures, one over all and one for each model; returns what was written."""
    rows = [one.row() for one in shown]
    lines = [",".join(rows[0]), *(",".join(_cell(v) for v in row.values()) for row in rows)]
    table = folder / "gallery.csv"
    write_text(table, "\n".join(lines) + "\n")
    written = [table, *save_figure(overview(shown), folder / "gallery", ("png", "svg"))]
    for k, one in enumerate(shown[1:]):
        written += save_figure(portrait(one, k), folder / f"gallery-{one.name}", ("png",))
    return written


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


@styled
def overview(shown: Sequence[Shown]) -> Figure:
    """I/O time of the jobs (cumulative) and bytes reserved over time, one line per model."""
    figure = make_figure(10, 4)
    left, right = figure.subplots(1, 2)
    for k, one in enumerate(shown[1:]):
        style = {"color": palette.category(k), "linestyle": palette.dash(k), "label": one.name}
        io = sorted(job.io for job in one.jobs.values())
        left.step([0.0, *io], [j / max(1, len(io)) for j in range(len(io) + 1)], where="post", **style)
        used = one.used()
        right.step([t / 60 for t, _ in used], [size / 1e12 for _, size in used], where="post", **style)
    left.set_xlabel("I/O time of a job (s)")
    left.set_ylabel("share of jobs")
    left.set_title("How long I/O keeps a job's nodes")
    right.set_xlabel("time (min)")
    right.set_ylabel("reserved (TB)")
    right.set_title("Bytes reserved on all storages")
    left.legend(loc="lower right")
    return figure


def _holders(one: Shown) -> list[tuple[Storage, list[tuple[float, int]]]]:
    """The storages on which something is reserved: the model's own, or those behind it (copies in a cache
    reserve nothing)."""
    table = one.storage.table
    if table is None:
        return []
    used = [(table[k], one.storage.history[k]) for k in one.storage.history]
    used = [(storage, history) for storage, history in used if any(size for _, size in history)]
    if one.exhibit is None:
        return used
    own, behind = one.exhibit.filesystem, one.exhibit.options.get("backing")
    return [each for each in used if each[0].filesystem == own] or [
        each for each in used if each[0].filesystem == behind
    ]


@styled
def portrait(one: Shown, index: int = 0) -> Figure:
    """One model: what the time of each job is made of, and how full each storage is over time."""
    figure = make_figure(10, 4.5)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for y, times in enumerate(one.jobs.values()):
        bars = (
            (times.submitted, times.waited, palette.STARTED_AT_ONCE, "waiting"),
            *((begin, end - begin, "#F0E442", "stage-in, no nodes yet") for begin, end in times.ahead),
            (times.start, times.stage_in, "#E69F00", "stage-in"),
            (times.start + times.stage_in, times.computing, "#009E73", "as long as without I/O"),
            (
                times.start + times.stage_in + times.computing,
                max(0.0, times.io - times.stage_in),
                "#D55E00",
                "longer because of I/O",
            ),
            (times.end, times.after, "#56B4E9", "stage-out, nodes free"),
        )
        for begin, length, colour, label in bars:
            if length > 0:
                left.barh(y, length / 60, left=begin / 60, height=0.8, color=colour, label=label)
    legend_once(left, 8)
    left.set_xlabel("time (min)")
    left.set_ylabel("job")
    left.set_title(f"{one.name}: the life of each job")
    held = _holders(one)
    for drawn, (storage, history) in enumerate(held):
        colour = palette.category(index if drawn >= 8 else drawn)
        label = storage.name if drawn < 8 else "_more"
        capacity = max(1, storage.capacity)
        right.step(
            [*(t / 60 for t, _ in history), one.makespan / 60],
            [100 * size / capacity for _, size in (*history, history[-1])],
            where="post",
            color=colour,
            linewidth=1,
            alpha=0.8,
            label=label,
        )
    right.set_xlabel("time (min)")
    right.set_ylabel("reserved (% of the storage)")
    right.set_title("How full its storages are")
    right.set_ylim(bottom=0)
    left.set_xlim(0, one.makespan / 60 or None)
    right.set_xlim(0, one.makespan / 60 or None)
    if held:
        right.legend(fontsize=8)
    return figure
