"""What faults do to a run over time, for ``batfs gallery --faults``: bytes that move, and jobs that live.

Each model runs twice on the same workload, without the faults and with them. What moves is told by what is
sent: every transfer and every task with I/O, its bytes spread evenly over its time; of one that is killed,
the part that was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from batfs.decision.experiment import Experiment, load, machine_fields, read_machine
from batfs.errors import InputError
from batfs.filesystems.script import REBUILD
from batfs.protocol import messages as m
from batfs.report import palette
from batfs.report.picture import make_figure, styled
from batfs.report.series import Steps, intervals
from batfs.scheduling.config import Configuration, Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.faults import Timeline, done_part, parse_faults
from batfs.scheduling.faults.plan import DOWN
from batfs.simulator import SimulationOptions, simulate
from batfs.workload.model import IoProfile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from batfs.decision.experiment import Loaded

_STRUCK = palette.category(5)


class Watched:
    """A scheduler, and what moves at its word: (from, to, bytes) of jobs, and of rebuilds. ``alive``: from
    when on how many jobs are submitted and not over."""

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner
        self._sizes: dict[str, float] = {}  # of profiles
        self._profiles: dict[str, str] = {}  # of jobs
        self._under_way: dict[str, tuple[float, float]] = {}
        self._killed: dict[str, tuple[float, float, float]] = {}
        self.moves: list[tuple[float, float, float]] = []
        self.rebuilds: list[tuple[float, float, float]] = []
        self.alive: dict[float, int] = {}

    def decide(self, request: m.Request) -> m.Reply:
        for event in request.events:
            if isinstance(event, m.JobCompleted) and event.job_id in self._under_way:
                began, size = self._under_way.pop(event.job_id)
                span = began, event.timestamp, size
                if event.state == "COMPLETED_KILLED":
                    self._killed[event.job_id] = span
                else:
                    self._moved(event.job_id, *span)
            elif isinstance(event, m.JobKilled):
                for job_id in event.job_ids:
                    if job_id in self._killed:
                        began, end, size = self._killed.pop(job_id)
                        self._moved(job_id, began, end, size * done_part(event.progress.get(job_id)))
        reply = self._inner.decide(request)
        counts = self._inner.counts
        self.alive[request.now] = counts["submitted"] - counts["done"] - counts["rejected"]
        for decision in reply.decisions:
            if isinstance(decision, m.RegisterProfile):
                self._sizes[f"{decision.workload}!{decision.name}"] = _bytes_of(decision.profile)
            elif isinstance(decision, m.RegisterJob):
                job = decision.job
                self._profiles[job.id] = f"{job.id.partition('!')[0]}!{job.profile}"
            elif isinstance(decision, m.ExecuteJob):
                size = self._sizes.get(self._profiles.get(decision.job_id, ""), 0.0)
                size += 0.0 if decision.io_job is None else _bytes_of(decision.io_job.profile)
                if size:
                    self._under_way[decision.job_id] = decision.timestamp, size
        return reply

    def _moved(self, job_id: str, began: float, end: float, size: float) -> None:
        if end > began and size:
            (self.rebuilds if job_id.endswith(f".{REBUILD}") else self.moves).append((began, end, size))


def _bytes_of(profile: object) -> float:
    return float(profile.volumes.sum()) if isinstance(profile, IoProfile) else 0.0


@dataclass(slots=True)
class Course:
    """One run over time: bytes/s of jobs and of rebuilds, jobs submitted and not over; ``end``: when the last
    of them is (s). ``away`` and ``slow``: when a storage was down, and degraded (s)."""

    moving: Steps
    rebuilding: Steps
    alive: Steps
    end: float
    away: list[tuple[float, float]] = field(default_factory=list)
    slow: list[tuple[float, float]] = field(default_factory=list)


def course(platform: Path, workload: Path, flags: Mapping[str, Any], machine: Mapping[str, Any]) -> Course:
    """One run under such settings. InputError for what can't be simulated."""
    settings = Settings(flags=Layer("gallery", flags))
    config = settings.configuration("")
    experiment = Experiment(platform, [workload], dynamic_jobs=True, **machine_fields(machine))
    loaded = load(experiment, config)
    watched = Watched(Scheduler(settings, loaded.make_files()))
    options = SimulationOptions(dynamic_jobs=True)
    result = simulate(loaded.platform, loaded.machine, loaded.workloads, watched, options)
    if result.deadlock:
        raise InputError(result.stuck, file=workload)
    times = np.array([*watched.alive], dtype=np.float64)
    alive = Steps(times, np.array([*watched.alive.values()], dtype=np.float64))
    last = times[alive.values > 0].max(initial=0.0)
    end = float(times[times > last].min(initial=np.inf)) if (times > last).any() else float(last)
    found = Course(_rates(watched.moves), _rates(watched.rebuilds), alive, end)
    if config.faults:
        _shade(found, loaded, config, [end for _, end, _ in watched.rebuilds])
    return found


def _rates(spans: Sequence[tuple[float, float, float]]) -> Steps:
    starts, ends, sizes = np.array(spans, dtype=np.float64).reshape(-1, 3).T
    return intervals(starts, ends, sizes / (ends - starts))


def _shade(found: Course, loaded: Loaded, config: Configuration, rebuilt: Sequence[float]) -> None:
    """When storages were away and degraded: as said, and until their last rebuild."""
    since: dict[int, tuple[str, float]] = {}
    for one in Timeline.on(parse_faults(config.faults), loaded.machine, config.seed).due(found.end):
        state, began = since.pop(one.resource, ("", 0.0))
        if state:
            (found.away if state == DOWN else found.slow).append((began, one.at))
        if not one.back and not one.fault.node:
            since[one.resource] = one.fault.state, one.at
    for state, began in since.values():
        until = found.end if state == DOWN else max((at for at in rebuilt if at >= began), default=found.end)
        (found.away if state == DOWN else found.slow).append((began, min(until, found.end)))


def check_names(platform: Path, faults: Mapping[str, Any], machine: Mapping[str, Any]) -> None:
    """InputError where what fails isn't on the machine."""
    Timeline.on(parse_faults(faults), read_machine(platform, machine)[1], 0)


def run_both(
    platform: Path,
    workloads: Mapping[str, Path],
    settings: Mapping[str, Mapping[str, Any]],
    faults: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> dict[str, tuple[Course, Course]]:
    """Each model's course without ``faults`` and with them, on its workload under its settings."""
    return {
        name: (
            course(platform, file, settings[name], machine),
            course(platform, file, {**settings[name], "faults": faults}, machine),
        )
        for name, file in workloads.items()
    }


@styled
def picture(courses: Mapping[str, tuple[Course, Course]], bins: int = 150) -> Figure:
    """A row for each model: bytes a second, and jobs that live, without the faults and with them."""
    figure = make_figure(10, 0.6 + 2.6 * len(courses))
    for axes, (name, (without, struck)) in zip(
        figure.subplots(len(courses), 2, squeeze=False), courses.items(), strict=True
    ):
        end = max(without.end, struck.end, 1.0)
        edges = np.linspace(0.0, end, bins + 1)
        for one, label, colour in ((without, "no faults", palette.category(0)), (struck, "faults", _STRUCK)):
            axes[0].stairs(one.moving.means(edges) / 1e9, edges / 60, color=colour, label=label)
            axes[1].step(one.alive.times / 60, one.alive.values, where="post", color=colour, label=label)
        if len(struck.rebuilding.times):
            rebuilt = struck.rebuilding.means(edges) / 1e9
            axes[0].stairs(
                rebuilt, edges / 60, fill=True, alpha=0.5, color=palette.category(2), label="rebuild"
            )
        for side in axes:
            for spans, colour, label in (
                (struck.away, _STRUCK, "down"),
                (struck.slow, palette.category(1), "degraded"),
            ):
                for k, (begin, until) in enumerate(spans):
                    shade = {"alpha": 0.15, "linewidth": 0, "label": "_" if k else label}
                    side.axvspan(begin / 60, until / 60, color=colour, **shade)
            side.set(xlim=(0, end / 60), ylim=(0, None), xlabel="time (min)")
        axes[0].set_ylabel("moved (GB/s)")
        axes[1].set_ylabel("jobs")
        axes[0].set_title(f"{name}: bandwidth used")
        axes[1].set_title("Jobs that wait or run")
        axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=8, loc="upper left")
    return figure
