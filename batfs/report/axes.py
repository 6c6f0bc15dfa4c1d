"""What the report's drawings have in common: axes of time, steps, an empty panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from batfs.report import palette, series
from batfs.report.extras import require
from batfs.report.picture import make_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Span = tuple[float, float]


def time_scale(span: float) -> tuple[float, str]:
    """Seconds per tick unit and its name, such that ``span`` seconds are a readable number of them."""
    for limit, scale, unit in ((600.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if span <= limit:
            return scale, unit
    return 86400.0, "d"


def grid(
    rows: int, columns: int, width: float, height: float, *, sharex: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` x ``height`` inches and its axes, row by row."""
    figure = make_figure(width, height)
    found = figure.subplots(max(rows, 1), columns, squeeze=False, sharex=sharex)
    return figure, list(found.flat)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes."""
    figure, found = grid(1, 1, width, height)
    return figure, found[0]


def nothing(axes: Axes, why: str) -> Figure:
    """A figure that says why it is empty."""
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=palette.FAINT)
    axes.set_axis_off()
    return cast("Figure", axes.figure)


def time_axis(axes: Axes, span: Span) -> None:
    """Time from the first submission to the last end (seconds) across."""
    scale, unit = time_scale(span[1])
    axes.set_xlabel(f"time ({unit})")
    axes.set_xlim(span[0] / scale, max(span[1], span[0] + 1e-9) / scale)


def steps_line(
    axes: Axes,
    steps: series.Steps,
    span: Span,
    *,
    color: str,
    label: str | None = None,
    dash: Any = "solid",
    fill: bool = False,
    unit: float = 1.0,
    alpha: float = 1.0,
    buckets: int = 1200,
) -> None:
    """A line of steps over ``span``, its values divided by ``unit``; peaks survive what is left out."""
    scale, _ = time_scale(span[1])
    reduced = series.reduce_steps(steps, buckets)
    times = np.concatenate([[span[0]], reduced.times, [span[1]]]) / scale
    values = (
        np.concatenate([[0.0], reduced.values, reduced.values[-1:] if len(reduced.values) else [0.0]]) / unit
    )
    axes.step(
        times, values, where="post", color=color, label=label, linestyle=dash, linewidth=1.2, alpha=alpha
    )
    if fill:
        axes.fill_between(times, values, step="post", color=color, alpha=0.2, linewidth=0)


def rows_of(axes: Axes, labels: Sequence[str], *, named: bool = True) -> None:
    """A row for each label, the first on top; those beside named ones need no names of their own."""
    axes.set_yticks(range(len(labels)), labels if named else [""] * len(labels))
    axes.set_ylim(len(labels) - 0.5, -0.5)


def legend_beside(axes: Axes, size: int | None = None) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=size)


def legend_once(axes: Axes, size: int) -> None:
    """A legend that has each label once, however often it was drawn."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(handles.values(), handles.keys(), fontsize=size, loc="upper left")


def whole_numbers() -> Any:
    return require("matplotlib.ticker").MaxNLocator(integer=True)
