"""The figures of a report, drawn with matplotlib: each a method that returns a figure to show, change or
save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from batfs.errors import InputError, unknown
from batfs.report import distributions, forest, gantt, overview, palette, series
from batfs.report.axes import (
    canvas,
    grid,
    legend_beside,
    nothing,
    steps_line,
    time_axis,
    time_scale,
    whole_numbers,
)
from batfs.report.extras import require
from batfs.report.groups import Group, group_runs
from batfs.report.headline import headline
from batfs.report.overview import Distribution
from batfs.report.picture import FORMATS, save_figure, slug, styled
from batfs.report.run import Run, read_run
from batfs.report.statistics import JOB_METRICS, THRESHOLD, JobMetric
from batfs.report.tables import metric_named
from batfs.workers import pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISTRIBUTIONS: Final = ("waiting_time", "bounded_slowdown", "io_time")


class Figures:
    """Figures of one run or of several. Those of one machine's course take ``run``, an index into ``runs``;
    distributions and tables are over all runs, those of one label (policy) together."""

    def __init__(self, runs: Sequence[Run], threshold: float = THRESHOLD) -> None:
        if not runs:
            raise InputError("a report needs at least one run")
        self.runs = list(runs)
        self.threshold = threshold
        self.groups: list[Group] = group_runs(self.runs, threshold)
        #: Paired differences, where somebody has compared these runs.
        self.differences: list[forest.Panel] = []

    # ---- the course of one run ----------------------------------------------------------------------------

    @styled
    def gantt(self, run: int = 0) -> Figure:
        """Jobs over time and resources, coloured by why they waited."""
        chosen = self.runs[run]
        found = gantt.thin(gantt.bars(chosen))
        figure, axes = canvas(9.0, 4.8)
        time_axis(axes, chosen.span)
        scale, _ = time_scale(chosen.span[1])
        colours = np.array([palette.waited(k) for k in range(len(gantt.REASONS))])
        least = (chosen.span[1] - chosen.span[0]) / 4000
        left, right = found.start / scale, np.maximum(found.end, found.start + least) / scale
        low, high = found.low - 0.5, found.high + 0.5
        corners = np.stack(
            [np.stack([left, right, right, left], 1), np.stack([low, low, high, high], 1)], axis=2
        )
        many = len(found.job) > 3000
        polygons = require("matplotlib.collections").PolyCollection(
            corners,
            facecolors=colours[found.reason],
            edgecolors="none" if many else "white",
            linewidths=0 if many else 0.4,
            rasterized=many,
        )
        axes.add_collection(polygons)
        top = int(found.high.max()) if len(found.job) else 0
        axes.set_ylim(-0.7, max(top, chosen.nodes - 1) + 0.7)
        axes.set_ylabel("resource id")
        axes.yaxis.set_major_locator(whole_numbers())
        axes.set_title(f"Jobs: {chosen.label}")
        counts = np.bincount(gantt.reasons(chosen), minlength=len(gantt.REASONS)).tolist()
        shown = [k for k in range(len(gantt.REASONS)) if k < 3 or counts[k]]
        self._legend(axes, [(f"{gantt.REASONS[k]} ({counts[k]})", colours[k]) for k in shown])
        return figure

    def queue(self, run: int | None = None) -> Figure:
        """Jobs waiting over time; of one run also those that wait for storage, else one line per label."""
        if run is None and len(self.runs) > 1:
            return self._queues()()
        return self._queue(run or 0)

    @styled
    def _queue(self, run: int) -> Figure:
        chosen = self.runs[run]
        figure, axes = canvas(9.0, 3.4)
        time_axis(axes, chosen.span)
        for steps, label, colour in (
            (series.queue_length(chosen), "all waiting jobs", palette.WAITED_FOR_NODES),
            (series.storage_queue_length(chosen), "waiting for storage", palette.WAITED_FOR_STORAGE),
        ):
            steps_line(axes, steps, chosen.span, color=colour, label=label, fill=True)
        axes.set_title(f"Queue: {chosen.label}")
        overview.queue_axis(axes)
        return figure

    @styled
    def storage_capacity(self, run: int = 0) -> Figure:
        """Reserved bytes of each storage over time, a panel per file system."""
        chosen = self.runs[run]
        steps = series.storage_steps(chosen, "reserved_bytes")
        return self._panels(
            chosen, steps, "reserved", "B", f"Reserved capacity: {chosen.label}", capacity=True
        )

    @styled
    def storage_bandwidth(self, run: int = 0) -> Figure:
        """Bytes per second of each storage over time, reads and writes together, a panel per file system."""
        chosen = self.runs[run]
        steps = {key: series.add(*pair) for key, pair in series.storage_bandwidth(chosen).items()}
        title = f"Bandwidth used (each job's bytes spread evenly over its run): {chosen.label}"
        return self._panels(chosen, steps, "bandwidth", "B/s", title)

    @styled
    def storage_heat(self, run: int = 0, bins: int = 200) -> Figure:
        """Mean bandwidth of each storage in each of ``bins`` spans of time."""
        chosen = self.runs[run]
        flows = series.storage_bandwidth(chosen)
        names = _storage_names(chosen, flows)
        figure, axes = canvas(9.0, min(12.0, max(2.6, 1.4 + 0.2 * len(names))))
        if not names:
            return nothing(axes, "no bytes went to or came from a storage")
        edges = np.linspace(*chosen.span, bins + 1)
        rows = [series.add(*flows[key]).means(edges) if key in flows else np.zeros(bins) for key in names]
        heat = np.array(rows)
        unit, word = _byte_unit(float(heat.max()))
        scale, time_unit = time_scale(chosen.span[1])
        mesh = axes.pcolormesh(
            edges / scale,
            np.arange(len(names) + 1),
            heat / unit,
            cmap=palette.AMOUNTS,
            vmin=0,
            rasterized=True,
        )
        axes.set_yticks(
            np.arange(len(names)) + 0.5, list(names.values()), fontsize=8 if len(names) > 12 else 9
        )
        if len(names) > 60:
            axes.set_yticks(axes.get_yticks()[:: len(names) // 30])
        axes.invert_yaxis()
        axes.grid(False)
        axes.set_xlabel(f"time ({time_unit})")
        figure.colorbar(mesh, ax=axes, label=f"mean bandwidth ({word}B/s)", pad=0.02)
        axes.set_title(f"Storage load: {chosen.label}")
        return figure

    # ---- over all runs ------------------------------------------------------------------------------------

    def ecdf(self, metric: str = "waiting_time") -> Figure:
        """The share of jobs with at most each value of ``metric``, a line per label."""
        return overview.ecdf(self._lines(_named(metric)))

    def letter_values(self, metric: str = "waiting_time") -> Figure:
        """Letter-value plot of ``metric``: nested boxes for the fourths, eighths and so on, a row per
        label.
        """
        return overview.letter_values(self._letters(_named(metric)))

    def metrics(self, names: Sequence[str] | None = None) -> Figure:
        """Mean and 95 % interval over the runs of each label, a panel per figure."""
        return self._intervals(names)()

    # ---- saving -------------------------------------------------------------------------------------------

    def drawings(self, courses: bool | None = None) -> dict[str, Callable[[], Figure]]:
        """The figures worth having of these runs, by file name, not yet drawn; each can be sent to another
        process. ``courses``: with those of the course of each label's first run (default: where there is
        one label)."""
        found: dict[str, Callable[[], Figure]] = {}
        alone = len(self.groups) == 1
        for i in representatives(self.groups, self.runs) if courses or (courses is None and alone) else ():
            run = self.runs[i]
            suffix = "" if alone else f"_{slug(run.label)}"
            kinds = ["gantt", "queue"]
            kinds += ["storage_capacity"] if len(run.storage) else []
            kinds += ["storage_bandwidth", "storage_heat"] if len(run.io) else []
            for kind in kinds:
                found[f"{kind}{suffix}"] = self._course(i, kind)
        if not alone:
            found["queue"] = self._queues()
            found["metrics"] = self._intervals(None)
        if self.differences:
            found["differences"] = partial(forest.draw, self.differences)
        for metric in map(_named, DISTRIBUTIONS):
            if any(len(group.values(metric.name)) for group in self.groups):
                found[f"ecdf_{metric.name}"] = partial(overview.ecdf, self._lines(metric))
                found[f"letter_values_{metric.name}"] = partial(overview.letter_values, self._letters(metric))
        return found

    def save(
        self,
        directory: str | Path,
        formats: Iterable[str] = FORMATS,
        *,
        processes: int = 1,
        courses: bool | None = None,
        helpers: Executor | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Path]:
        """Draw every figure of :meth:`drawings` into ``directory`` in every format; the paths written, in
        order. With several ``processes``, or ``helpers`` that are there already, figures are drawn in those,
        too; ``meanwhile`` is called when they have begun."""
        kinds = list(formats)
        drawings = self.drawings(courses)
        stems = {name: Path(directory) / name for name in drawings}
        done: dict[str, list[Path]] = {}
        with nullcontext(helpers) if helpers is not None else drawers(processes) as workers:
            elsewhere: dict[str, Future[list[Path]]] = {}
            if workers is not None:
                for name, draw in drawings.items():
                    elsewhere[name] = workers.submit(_draw, draw, stems[name], kinds)
            meanwhile()
            for name in reversed(drawings):  # what nobody has begun by now
                if name not in elsewhere or elsewhere[name].cancel():
                    elsewhere.pop(name, None)
                    done[name] = _draw(drawings[name], stems[name], kinds)
            done |= {name: future.result() for name, future in elsewhere.items()}
        return [path for name in stems for path in done[name]]

    # ---- how --------------------------------------------------------------------------------------------

    def _course(self, run: int, kind: str) -> Callable[[], Figure]:
        """The drawing ``kind`` of one run: from its files, where it has some, so that it can be sent."""
        chosen = self.runs[run]
        if Path(f"{chosen.prefix}jobs.csv").is_file():
            return partial(draw_course, chosen.prefix, chosen.label, self.threshold, kind)
        return partial(getattr(self, kind), run)

    def _queues(self) -> Callable[[], Figure]:
        firsts = [group.runs[0] for group in self.groups]
        return partial(
            overview.queues,
            [(group.label, series.queue_length(group.runs[0])) for group in self.groups],
            max((run.span for run in firsts), key=lambda span: span[1]),
            several=any(len(group.runs) > 1 for group in self.groups),
        )

    def _intervals(self, names: Sequence[str] | None) -> Callable[[], Figure]:
        chosen = [metric_named(name) for name in (names or headline(self.runs, self.threshold))]
        return partial(
            overview.intervals,
            [group.label for group in self.groups],
            [
                (metric, [group.interval(metric.name) for group in self.groups])
                for metric in chosen
                if any(np.nan_to_num(g.figures(metric.name)).any() for g in self.groups)
            ],
        )

    def _lines(self, metric: JobMetric) -> Distribution:
        found = (distributions.ecdf(group.values(metric.name)) for group in self.groups)
        return self._distribution(metric, lines=tuple(found))

    def _letters(self, metric: JobMetric) -> Distribution:
        found = (distributions.letter_values(group.values(metric.name)) for group in self.groups)
        return self._distribution(metric, letters=tuple(found))

    def _distribution(self, metric: JobMetric, **shown: Any) -> Distribution:
        labels = tuple(group.label for group in self.groups)
        return Distribution(metric, labels, logarithmic=self._logarithmic(metric.name), **shown)

    def _panels(
        self,
        run: Run,
        steps: dict[int, series.Steps],
        what: str,
        unit: str,
        title: str,
        *,
        capacity: bool = False,
    ) -> Figure:
        systems: dict[str, list[int]] = {}
        table = run.storages
        for ident in steps:
            systems.setdefault(table.filesystem(ident), []).append(ident)
        count = max(len(systems), 1)
        figure, panels = grid(count, 1, 9.0, 0.8 + 1.9 * count, sharex=True)
        if not systems:
            return nothing(panels[0], f"no {what} was recorded")
        for axes, (system, members) in zip(panels, systems.items(), strict=True):
            peak = max(float(steps[i].values.max(initial=0.0)) for i in members)
            if capacity:
                peak = max(peak, *(table.capacity(i) for i in members))
            scale, word = _byte_unit(peak)
            few = len(members) <= 8
            for place, ident in enumerate(members):
                steps_line(
                    axes,
                    steps[ident],
                    run.span,
                    color=palette.category(place) if few else palette.CATEGORIES[0],
                    label=table.name(ident) if few else None,
                    unit=scale,
                    alpha=0.9 if few else max(0.12, 4 / len(members)),
                    buckets=1200 if few else 300,
                )
            if not few:
                mean = _mean_steps([steps[i] for i in members])
                label = f"mean of {len(members)} storages"
                steps_line(axes, mean, run.span, color=palette.CATEGORIES[5], label=label, unit=scale)
            for size in sorted({table.capacity(i) for i in members}) if capacity else ():
                axes.axhline(
                    size / scale, color=palette.FAINT, linewidth=1, linestyle=(0, (4, 3)), label="capacity"
                )
            time_axis(axes, run.span)
            if axes is not panels[-1]:
                axes.set_xlabel("")
            axes.set_ylabel(f"{what} ({word}{unit})")
            axes.set_ylim(bottom=0)
            axes.set_title(system, fontsize=10)
            legend_beside(axes, 8)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _legend(self, axes: Axes, entries: Sequence[tuple[str, Any]]) -> None:
        patch = require("matplotlib.patches").Patch
        handles = [patch(facecolor=colour, label=label) for label, colour in entries]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, -0.13), ncols=len(handles))

    def _logarithmic(self, metric: str) -> bool:
        """A logarithmic axis where the values span more than three decades."""
        values = np.concatenate([group.values(metric) for group in self.groups])
        positive = values[values > 0]
        return len(positive) > 0 and float(positive.max()) > 1000 * max(float(np.median(positive)), 1e-9) / 10


def _named(name: str) -> JobMetric:
    for metric in JOB_METRICS:
        if metric.name == name:
            return metric
    raise unknown("figure of a job", name, [metric.name for metric in JOB_METRICS])


# a comparison has about a dozen figures, and each process has to learn to draw first
_DRAWERS: Final = 4


@contextmanager
def drawers(processes: int) -> Iterator[Executor | None]:
    """Processes that draw beside this one, so that ``processes`` do, getting ready; None for none."""
    count = min(processes - 1, _DRAWERS)
    if count < 1:
        yield None
        return
    with pool(count) as workers:
        for _ in range(count):
            workers.submit(_ready)
        yield workers


def _ready() -> None:
    for module in ("figure", "backends.backend_agg", "backends.backend_svg", "backends.backend_pdf"):
        require(f"matplotlib.{module}")


def _draw(draw: Callable[[], Figure], stem: Path, formats: Sequence[str]) -> list[Path]:
    return save_figure(draw(), stem, formats)


def draw_course(prefix: str, label: str, threshold: float, kind: str) -> Figure:
    """One drawing of the course of the run at ``prefix``."""
    run = _read(prefix)
    run.label = label
    found: Figure = getattr(Figures([run], threshold), kind)(0)
    return found


@lru_cache(maxsize=2)
def _read(prefix: str) -> Run:
    return read_run(prefix)


def representatives(groups: Sequence[Group], runs: Sequence[Run], most: int = 8) -> list[int]:
    """The first run of each label, by its index: whose course is shown. At most ``most``."""
    return [next(i for i, run in enumerate(runs) if run is group.runs[0]) for group in groups[:most]]


def _storage_names(run: Run, flows: dict[int, Any]) -> dict[int, str]:
    idents = sorted({*run.storages.ids, *flows})
    return {ident: run.storages.name(ident) for ident in idents}


def _byte_unit(largest: float) -> tuple[float, str]:
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if largest >= scale:
            return scale, prefix
    return 1.0, ""


def _mean_steps(many: Sequence[series.Steps]) -> series.Steps:
    times = np.unique(np.concatenate([steps.times for steps in many]))
    total = np.zeros(len(times))
    for steps in many:
        total += steps.at(times)
    return series.Steps(times, total / len(many))
