"""The figures of a report, drawn with matplotlib: each a method that returns a figure to show, change or
save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from batfs.errors import InputError, unknown
from batfs.report import distributions, gantt, palette, series
from batfs.report.extras import require
from batfs.report.forest import Panel, draw
from batfs.report.groups import Group, group_runs
from batfs.report.picture import FORMATS, make_figure, save_figure, slug, styled
from batfs.report.run import Run, read_run
from batfs.report.statistics import JOB_METRICS, THRESHOLD
from batfs.workers import pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DISTRIBUTIONS: Final = ("waiting_time", "bounded_slowdown", "io_time")


def time_scale(span: float) -> tuple[float, str]:
    """Seconds per tick unit and its name, such that ``span`` seconds are a readable number of them."""
    for limit, scale, unit in ((600.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if span <= limit:
            return scale, unit
    return 86400.0, "d"


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
        self.differences: list[Panel] = []

    # ---- the course of one run ----------------------------------------------------------------------------

    @styled
    def gantt(self, run: int = 0) -> Figure:
        """Jobs over time and resources, coloured by why they waited."""
        chosen = self.runs[run]
        found = gantt.thin(gantt.bars(chosen))
        figure, axes = self._canvas(9.0, 4.8)
        self._time_axis(axes, chosen)
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
        axes.yaxis.set_major_locator(_whole_numbers())
        axes.set_title(f"Jobs: {chosen.label}")
        counts = np.bincount(gantt.reasons(chosen), minlength=len(gantt.REASONS)).tolist()
        shown = [k for k in range(len(gantt.REASONS)) if k < 3 or counts[k]]
        self._legend(axes, [(f"{gantt.REASONS[k]} ({counts[k]})", colours[k]) for k in shown])
        return figure

    @styled
    def queue(self, run: int | None = None) -> Figure:
        """Jobs waiting over time; of one run also those that wait for storage, else one line per label."""
        figure, axes = self._canvas(9.0, 3.4)
        if run is None and len(self.runs) == 1:
            run = 0
        if run is not None:
            chosen = self.runs[run]
            self._time_axis(axes, chosen)
            lines = [
                (series.queue_length(chosen), "all waiting jobs", palette.WAITED_FOR_NODES),
                (series.storage_queue_length(chosen), "waiting for storage", palette.WAITED_FOR_STORAGE),
            ]
            for steps, label, colour in lines:
                self._steps(axes, steps, chosen, color=colour, label=label, fill=True)
            axes.set_title(f"Queue: {chosen.label}")
        else:
            longest = max((group.runs[0] for group in self.groups), key=lambda item: item.span[1])
            self._time_axis(axes, longest)
            for i, group in enumerate(self.groups):
                steps = series.queue_length(group.runs[0])
                self._steps(
                    axes, steps, longest, color=palette.category(i), dash=palette.dash(i), label=group.label
                )
            several = any(len(group.runs) > 1 for group in self.groups)
            axes.set_title("Queue" + (" (first run of each)" if several else ""))
        axes.set_ylabel("jobs waiting")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(_whole_numbers())
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
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
        figure, axes = self._canvas(9.0, min(12.0, max(2.6, 1.4 + 0.2 * len(names))))
        if not names:
            return self._nothing(axes, "no bytes went to or came from a storage")
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

    @styled
    def ecdf(self, metric: str = "waiting_time") -> Figure:
        """The share of jobs with at most each value of ``metric``, a line per label."""
        title, unit = self._metric(metric)
        figure, axes = self._canvas(7.0, 4.0)
        drawn = 0
        logarithmic = self._logarithmic(metric)
        for i, group in enumerate(self.groups):
            values, shares = distributions.ecdf(group.values(metric))
            if not len(values):
                continue
            drawn += 1
            style: dict[str, Any] = {
                "color": palette.category(i),
                "linestyle": palette.dash(i),
                "linewidth": 1.6,
            }
            axes.step(
                np.append(values[:1], values), np.append(0, shares), where="post", label=group.label, **style
            )
        if not drawn:
            return self._nothing(axes, f"no job has the figure {title!r}")
        if logarithmic:
            axes.set_xscale("symlog" if metric != "bounded_slowdown" else "log")
        axes.set_ylim(0, 1.01)
        axes.set_xlabel(f"{title} ({unit})" if unit else title)
        axes.set_ylabel("share of jobs")
        axes.set_title(f"Distribution of {title}")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return figure

    @styled
    def letter_values(self, metric: str = "waiting_time") -> Figure:
        """Letter-value plot of ``metric``: nested boxes for the fourths, eighths and so on, a row per
        label.
        """
        title, unit = self._metric(metric)
        figure, axes = self._canvas(7.0, 1.3 + 0.5 * len(self.groups))
        found = [distributions.letter_values(group.values(metric)) for group in self.groups]
        if not any(item.n for item in found):
            return self._nothing(axes, f"no job has the figure {title!r}")
        for i, item in enumerate(found):
            count = len(item.pairs)
            for depth, (low, high) in reversed(list(enumerate(item.pairs))):
                height = 0.8 * (1 - depth / max(count, 1) * 0.85)
                shade = 0.25 + 0.75 * (1 - depth / max(count, 1))
                box = require("matplotlib.patches").Rectangle(
                    (low, i - height / 2),
                    high - low,
                    height,
                    color=palette.category(i),
                    alpha=shade,
                    linewidth=0,
                )
                axes.add_patch(box)
            axes.plot([item.median] * 2, [i - 0.4, i + 0.4], color="white", linewidth=2)
            axes.plot(item.outliers, [i] * len(item.outliers), ".", color=palette.category(i), markersize=3)
        axes.set_yticks(range(len(self.groups)), [group.label for group in self.groups])
        axes.set_ylim(len(self.groups) - 0.5, -0.5)
        axes.autoscale_view(scaley=False)
        if self._logarithmic(metric):
            axes.set_xscale("symlog" if metric != "bounded_slowdown" else "log")
        axes.set_xlabel(f"{title} ({unit})" if unit else title)
        axes.set_title(f"Letter values of {title} (white: median)")
        return figure

    @styled
    def metrics(self, names: Sequence[str] | None = None) -> Figure:
        """Mean and 95 % interval over the runs of each label, a panel per figure."""
        from batfs.report.tables import headline, metric_named

        chosen = [metric_named(name) for name in (names or headline(self.runs, self.threshold))]
        chosen = [m for m in chosen if any(np.nan_to_num(g.figures(m.name)).any() for g in self.groups)]
        columns = 2
        rows = -(-len(chosen) // columns)
        figure, grid = self._grid(rows, columns, 9.5, rows * (0.9 + 0.24 * len(self.groups)))
        for axes, metric in zip(grid, chosen, strict=False):
            for i, group in enumerate(self.groups):
                interval = group.interval(metric.name)
                if np.isfinite(interval.low):
                    axes.plot(
                        [interval.low, interval.high],
                        [i, i],
                        color=palette.category(i),
                        linewidth=3,
                        alpha=0.5,
                    )
                axes.plot(interval.mean, i, "o", color=palette.category(i), markersize=5)
            axes.set_yticks(range(len(self.groups)), [group.label for group in self.groups])
            axes.set_ylim(len(self.groups) - 0.5, -0.5)
            axes.set_title(f"{metric.title} ({metric.unit})" if metric.unit else metric.title)
            axes.ticklabel_format(axis="x", useOffset=False)
        for axes in grid[len(chosen) :]:
            axes.set_visible(False)
        return figure

    # ---- saving -------------------------------------------------------------------------------------------

    def drawings(self) -> dict[str, Callable[[], Figure]]:
        """The figures worth having of these runs, by file name, not yet drawn."""
        found: dict[str, Callable[[], Figure]] = {}
        for i in representatives(self.groups, self.runs):
            suffix = f"_{slug(self.runs[i].label)}" if len(self.groups) > 1 else ""
            found[f"gantt{suffix}"] = partial(self.gantt, i)
            found[f"queue{suffix}"] = partial(self.queue, i)
            if len(self.runs[i].storage):
                found[f"storage_capacity{suffix}"] = partial(self.storage_capacity, i)
            if len(self.runs[i].io):
                found[f"storage_bandwidth{suffix}"] = partial(self.storage_bandwidth, i)
                found[f"storage_heat{suffix}"] = partial(self.storage_heat, i)
        if len(self.groups) > 1:
            found["queue"] = self.queue
            found["metrics"] = self.metrics
        if self.differences:
            found["differences"] = partial(draw, self.differences)
        for metric in DISTRIBUTIONS:
            if any(len(group.values(metric)) for group in self.groups):
                found[f"ecdf_{metric}"] = partial(self.ecdf, metric)
                found[f"letter_values_{metric}"] = partial(self.letter_values, metric)
        return found

    def save(
        self, directory: str | Path, formats: Iterable[str] = FORMATS, *, processes: int = 1
    ) -> list[Path]:
        """Draw every figure into ``directory`` in every format; the paths written, in order.

        With several ``processes`` those of single runs are drawn in others from the run's files.
        """
        kinds = list(formats)
        stems = {name: Path(directory) / name for name in self.drawings()}
        with ExitStack() as stack:
            elsewhere: dict[str, Future[list[Path]]] = {}
            if processes > 1:
                workers = stack.enter_context(pool(processes - 1))
                for name, draw in self.drawings().items():
                    run = self.runs[draw.args[0]] if isinstance(draw, partial) and _is_index(draw) else None
                    if run is not None and Path(f"{run.prefix}jobs.csv").is_file():
                        method = draw.func.__name__  # type: ignore[attr-defined]
                        task = (run.prefix, run.label, self.threshold, method, stems[name], kinds)
                        elsewhere[name] = workers.submit(draw_file, *task)
            mine = {
                name: save_figure(draw(), stems[name], kinds)
                for name, draw in self.drawings().items()
                if name not in elsewhere
            }
            done = {name: future.result() for name, future in elsewhere.items()} | mine
        return [path for name in stems for path in done[name]]

    # ---- how --------------------------------------------------------------------------------------------

    def _canvas(self, width: float, height: float) -> tuple[Figure, Axes]:
        figure, grid = self._grid(1, 1, width, height)
        return figure, grid[0]

    def _grid(
        self, rows: int, columns: int, width: float, height: float, *, sharex: bool = False
    ) -> tuple[Figure, list[Axes]]:
        figure = make_figure(width, height)
        grid = figure.subplots(max(rows, 1), columns, squeeze=False, sharex=sharex)
        return figure, list(grid.flat)

    def _time_axis(self, axes: Axes, run: Run) -> None:
        scale, unit = time_scale(run.span[1])
        axes.set_xlabel(f"time ({unit})")
        axes.set_xlim(run.span[0] / scale, max(run.span[1], run.span[0] + 1e-9) / scale)

    def _steps(
        self,
        axes: Axes,
        steps: series.Steps,
        run: Run,
        *,
        color: str,
        label: str | None = None,
        dash: Any = "solid",
        fill: bool = False,
        unit: float = 1.0,
        alpha: float = 1.0,
        buckets: int = 1200,
    ) -> None:
        scale, _ = time_scale(run.span[1])
        reduced = series.reduce_steps(steps, buckets)
        times = np.concatenate([[run.span[0]], reduced.times, [run.span[1]]]) / scale
        values = (
            np.concatenate([[0.0], reduced.values, reduced.values[-1:] if len(reduced.values) else [0.0]])
            / unit
        )
        axes.step(
            times, values, where="post", color=color, label=label, linestyle=dash, linewidth=1.2, alpha=alpha
        )
        if fill:
            axes.fill_between(times, values, step="post", color=color, alpha=0.2, linewidth=0)

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
        figure, grid = self._grid(count, 1, 9.0, 0.8 + 1.9 * count, sharex=True)
        if not systems:
            return self._nothing(grid[0], f"no {what} was recorded")
        for axes, (system, members) in zip(grid, systems.items(), strict=True):
            peak = max(float(steps[i].values.max(initial=0.0)) for i in members)
            if capacity:
                peak = max(peak, *(table.capacity(i) for i in members))
            scale, word = _byte_unit(peak)
            few = len(members) <= 8
            for place, ident in enumerate(members):
                self._steps(
                    axes,
                    steps[ident],
                    run,
                    color=palette.category(place) if few else palette.CATEGORIES[0],
                    label=table.name(ident) if few else None,
                    unit=scale,
                    alpha=0.9 if few else max(0.12, 4 / len(members)),
                    buckets=1200 if few else 300,
                )
            if not few:
                mean = _mean_steps([steps[i] for i in members])
                label = f"mean of {len(members)} storages"
                self._steps(axes, mean, run, color=palette.CATEGORIES[5], label=label, unit=scale)
            for size in sorted({table.capacity(i) for i in members}) if capacity else ():
                axes.axhline(
                    size / scale, color=palette.FAINT, linewidth=1, linestyle=(0, (4, 3)), label="capacity"
                )
            self._time_axis(axes, run)
            if axes is not grid[-1]:
                axes.set_xlabel("")
            axes.set_ylabel(f"{what} ({word}{unit})")
            axes.set_ylim(bottom=0)
            axes.set_title(system, fontsize=10)
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _legend(self, axes: Axes, entries: Sequence[tuple[str, Any]]) -> None:
        patch = require("matplotlib.patches").Patch
        handles = [patch(facecolor=colour, label=label) for label, colour in entries]
        axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.0, -0.13), ncols=len(handles))

    def _nothing(self, axes: Axes, why: str) -> Figure:
        axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=palette.FAINT)
        axes.set_axis_off()
        return cast("Figure", axes.figure)

    def _metric(self, name: str) -> tuple[str, str]:
        for metric in JOB_METRICS:
            if metric.name == name:
                return metric.title, metric.unit
        raise unknown("figure of a job", name, [metric.name for metric in JOB_METRICS])

    def _logarithmic(self, metric: str) -> bool:
        """A logarithmic axis where the values span more than three decades."""
        values = np.concatenate([group.values(metric) for group in self.groups])
        positive = values[values > 0]
        return len(positive) > 0 and float(positive.max()) > 1000 * max(float(np.median(positive)), 1e-9) / 10


def _is_index(draw: partial[Figure]) -> bool:
    return bool(draw.args) and isinstance(draw.args[0], int)


def draw_file(
    prefix: str, label: str, threshold: float, method: str, stem: Path, formats: Sequence[str]
) -> list[Path]:
    """Draw one figure of the run at ``prefix`` in this process."""
    run = _read(prefix)
    run.label = label
    return save_figure(getattr(Figures([run], threshold), method)(0), stem, formats)


@lru_cache(maxsize=2)
def _read(prefix: str) -> Run:
    return read_run(prefix)


def representatives(groups: Sequence[Group], runs: Sequence[Run], most: int = 8) -> list[int]:
    """The first run of each label, by its index: whose course is shown. At most ``most``."""
    return [next(i for i, run in enumerate(runs) if run is group.runs[0]) for group in groups[:most]]


def _whole_numbers() -> Any:
    return require("matplotlib.ticker").MaxNLocator(integer=True)


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
