"""Sizes and what they do: the curve of one thing that is varied, the plane of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from batfs.report import palette
from batfs.report.extras import require
from batfs.report.format import number, unit_of
from batfs.report.inference import Interval
from batfs.report.picture import make_figure, styled
from batfs.report.statistics import Metric
from batfs.units import size_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Knob(Protocol):
    @property
    def target(self) -> str: ...
    @property
    def values(self) -> tuple[float, ...]: ...
    @property
    def sized(self) -> bool: ...
    def text(self, value: float) -> str: ...


class _Size(Protocol):
    values: tuple[float, ...]

    @property
    def refuses(self) -> bool: ...
    @property
    def meets(self) -> bool: ...
    @property
    def refused(self) -> float: ...
    def numbers(self, name: str) -> list[float]: ...
    def interval(self, name: str) -> Interval: ...


class Sizes(Protocol):
    """What is drawn."""

    @property
    def knobs(self) -> Sequence[Any]: ...
    @property
    def figure(self) -> Metric: ...
    @property
    def targets(self) -> Sequence[Any]: ...
    @property
    def measured(self) -> Sequence[Any]: ...
    @property
    def best(self) -> Any: ...
    @property
    def knee(self) -> Any: ...
    @property
    def answer(self) -> Any: ...


def _scale(knob: _Knob) -> tuple[float, str]:
    if not knob.sized:
        return 1.0, knob.target
    scale, unit = size_unit(knob.values[-1])
    return scale, f"{knob.target} ({unit})"


@styled
def draw_curve(sizing: Sizes) -> Figure:
    """The figure's mean and 95 % interval over the size; hollow where jobs are refused; below, how many."""
    knob, metric = sizing.knobs[0], sizing.figure
    known: list[_Size] = [m for m in sizing.measured if np.isfinite(m.interval(metric.name).mean)]
    losing = any(m.refused > 0 for m in known)
    figure = make_figure(7.5, 5.2 if losing else 4.2)
    grid = figure.subplots(
        2 if losing else 1, 1, squeeze=False, sharex=True, height_ratios=[4, 1] if losing else [1]
    )
    axes = grid[0, 0]
    across, name = _scale(knob)
    found = [m.interval(metric.name) for m in known]
    tops = [f.high if np.isfinite(f.high) else f.mean for f in found]
    up, unit = unit_of(max(tops, default=1.0), metric.unit)
    x = np.array([m.values[0] for m in known]) / across
    y = np.array([f.mean for f in found]) / up
    low = np.array([f.low if np.isfinite(f.low) else f.mean for f in found]) / up
    high = np.array(tops) / up
    axes.fill_between(x, low, high, color=palette.CATEGORIES[0], alpha=0.15, linewidth=0)
    axes.plot(x, y, color=palette.CATEGORIES[0], linewidth=1.4)
    for one, a, b, c, d in zip(known, x, y, low, high, strict=True):
        axes.plot([a, a], [c, d], color=palette.CATEGORIES[0], linewidth=1, alpha=0.7)
        face = "white" if one.refuses else palette.CATEGORIES[0]
        axes.plot(a, b, "o", markersize=5, color=palette.CATEGORIES[0], markerfacecolor=face)
    if any(m.refuses for m in known):
        axes.plot(
            [],
            [],
            "o",
            color=palette.CATEGORIES[0],
            markerfacecolor="white",
            label="refuses jobs: a mean of the others",
        )
    for target in sizing.targets:
        if target.metric.name == metric.name:
            axes.axhline(
                target.limit / up,
                color=palette.CATEGORIES[5],
                linewidth=1.2,
                linestyle=(0, (5, 3)),
                label=f"target {target.text}",
            )
    best, bend = sizing.best, sizing.knee
    if best is not None:
        axes.axvline(
            best.values[0] / across,
            color=palette.CATEGORIES[2],
            linewidth=1.4,
            label=f"enough: {knob.text(best.values[0])}",
        )
        span = sizing.answer.spans[0]
        ends = knob.values[span.low or 0], knob.values[-1 if span.high is None else span.high]
        if ends[0] < ends[1]:
            axes.axvspan(
                ends[0] / across,
                ends[1] / across,
                color=palette.CATEGORIES[2],
                alpha=0.12,
                linewidth=0,
                label="its 95 % interval",
            )
    if bend is not None:
        axes.axvline(
            bend.values[0] / across,
            color=palette.FAINT,
            linewidth=1.2,
            linestyle=(0, (1, 1.5)),
            label=f"knee: {knob.text(bend.values[0])}",
        )
    axes.set_ylabel(f"{metric.title} ({unit})" if unit else metric.title)
    axes.set_ylim(bottom=min(0.0, float(low.min(initial=0.0))))
    if knob.values[-1] > 20 * knob.values[0]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(require("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: number(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_title(f"{metric.title} over {knob.target} (mean, 95 % interval)")
    axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
    if losing:
        below = grid[1, 0]
        below.vlines(x, 0, [m.refused for m in known], color=palette.CATEGORIES[1], linewidth=3)
        below.set_ylabel("jobs refused")
        below.set_ylim(bottom=0)
    grid[-1, 0].set_xlabel(name)
    return figure


@styled
def draw_plane(sizing: Sizes) -> Figure:
    """Sizes of two things that were run: which meet the targets, and the cheapest."""
    first, second = sizing.knobs
    figure = make_figure(7.0, 5.0)
    axes = figure.subplots()
    across, up = _scale(first)[0], _scale(second)[0]
    kinds = (
        ("meets the target", palette.CATEGORIES[2], "o", lambda m: m.meets),
        ("misses it", palette.CATEGORIES[5], "x", lambda m: not m.meets and not m.refuses),
        ("refuses jobs", palette.FAINT, "s", lambda m: m.refuses),
    )
    for label, colour, mark, belongs in kinds:
        mine = [m for m in sizing.measured if belongs(m)]
        if mine:
            axes.plot(
                [m.values[0] / across for m in mine],
                [m.values[1] / up for m in mine],
                mark,
                color=colour,
                markersize=6,
                linestyle="none",
                label=label,
            )
    best = sizing.best
    if best is not None:
        axes.plot(
            best.values[0] / across,
            best.values[1] / up,
            "*",
            color=palette.CATEGORIES[0],
            markersize=16,
            label=f"cheapest: {first.text(best.values[0])}, {second.text(best.values[1])}",
        )
    for knob, axis, scale in ((first, "x", across), (second, "y", up)):
        getattr(axes, f"set_{axis}label")(_scale(knob)[1])
        getattr(axes, f"set_{axis}lim")(0.9 * knob.values[0] / scale, 1.05 * knob.values[-1] / scale)
    axes.set_title(" and ".join(target.text for target in sizing.targets))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
