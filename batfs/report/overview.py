"""Drawings of several runs together, from the few numbers they show: a process that draws one needs none of
the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from batfs.report import palette, series
from batfs.report.axes import (
    Span,
    canvas,
    grid,
    legend_beside,
    nothing,
    rows_of,
    steps_line,
    time_axis,
    whole_numbers,
)
from batfs.report.distributions import LetterValues
from batfs.report.extras import require
from batfs.report.inference import Interval
from batfs.report.picture import styled
from batfs.report.statistics import JobMetric, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A figure of jobs by label: ``lines`` has values and shares (float64[k] each), ``letters`` letter
    values; on a logarithmic axis where they span decades."""

    metric: JobMetric
    labels: tuple[str, ...]
    lines: tuple[tuple[FloatArray, FloatArray], ...] = ()
    letters: tuple[LetterValues, ...] = ()
    logarithmic: bool = False

    def scaled(self, axes: Axes) -> None:
        """Say across what is shown."""
        if self.logarithmic:
            axes.set_xscale("log" if self.metric.name == "bounded_slowdown" else "symlog")
        title, unit = self.metric.title, self.metric.unit
        axes.set_xlabel(f"{title} ({unit})" if unit else title)


@styled
def queues(lines: Sequence[tuple[str, series.Steps]], span: Span, *, several: bool) -> Figure:
    """Jobs waiting over time, a line per label; ``several``: each is the first of several runs."""
    figure, axes = canvas(9.0, 3.4)
    time_axis(axes, span)
    for i, (label, steps) in enumerate(lines):
        steps_line(axes, steps, span, color=palette.category(i), dash=palette.dash(i), label=label)
    axes.set_title("Queue" + (" (first run of each)" if several else ""))
    queue_axis(axes)
    return figure


def queue_axis(axes: Axes) -> None:
    axes.set_ylabel("jobs waiting")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(whole_numbers())
    legend_beside(axes)


@styled
def ecdf(found: Distribution) -> Figure:
    """The share of jobs with at most each value, a line per label."""
    figure, axes = canvas(7.0, 4.0)
    drawn = 0
    for i, (label, (values, shares)) in enumerate(zip(found.labels, found.lines, strict=True)):
        if not len(values):
            continue
        drawn += 1
        style: dict[str, Any] = {"color": palette.category(i), "linestyle": palette.dash(i), "linewidth": 1.6}
        axes.step(np.append(values[:1], values), np.append(0, shares), where="post", label=label, **style)
    if not drawn:
        return nothing(axes, f"no job has the figure {found.metric.title!r}")
    axes.set_ylim(0, 1.01)
    axes.set_ylabel("share of jobs")
    axes.set_title(f"Distribution of {found.metric.title}")
    found.scaled(axes)
    legend_beside(axes)
    return figure


@styled
def letter_values(found: Distribution) -> Figure:
    """Letter-value plot: nested boxes for the fourths, eighths and so on, a row per label."""
    figure, axes = canvas(7.0, 1.3 + 0.5 * len(found.labels))
    if not any(item.n for item in found.letters):
        return nothing(axes, f"no job has the figure {found.metric.title!r}")
    rectangle = require("matplotlib.patches").Rectangle
    for i, item in enumerate(found.letters):
        count = max(len(item.pairs), 1)
        for depth, (low, high) in reversed(list(enumerate(item.pairs))):
            height = 0.8 * (1 - depth / count * 0.85)
            shade = 0.25 + 0.75 * (1 - depth / count)
            box = rectangle(
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
    rows_of(axes, found.labels)
    axes.autoscale_view(scaley=False)
    axes.set_title(f"Letter values of {found.metric.title} (white: median)")
    found.scaled(axes)
    return figure


@styled
def intervals(labels: Sequence[str], found: Sequence[tuple[Metric, Sequence[Interval]]]) -> Figure:
    """Mean and 95 % interval over the runs of each label, a panel per figure."""
    columns = 2
    rows = -(-len(found) // columns)
    figure, panels = grid(rows, columns, 9.5, rows * (0.9 + 0.24 * len(labels)))
    for place, (axes, (metric, means)) in enumerate(zip(panels, found, strict=False)):
        for i, interval in enumerate(means):
            colour = palette.category(i)
            if np.isfinite(interval.low):
                axes.plot([interval.low, interval.high], [i, i], color=colour, linewidth=3, alpha=0.5)
            axes.plot(interval.mean, i, "o", color=colour, markersize=5)
        rows_of(axes, labels, named=place % columns == 0)
        axes.set_title(f"{metric.title} ({metric.unit})" if metric.unit else metric.title)
        axes.locator_params(axis="x", nbins=6)
        axes.ticklabel_format(axis="x", useOffset=False)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    return figure
