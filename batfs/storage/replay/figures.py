"""The figures StorAlloc's papers plot, from one replay or from a sweep. Needs the extra ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batfs import files
from batfs.errors import MissingExtraError
from batfs.storage.replay.metrics import Use
from batfs.storage.replay.run import Run
from batfs.storage.replay.sweep import Cell

HOUR, TB = 3600.0, 1e12


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("drawing figures", "report") from None
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "batfs"  # the same file for the same data
    import matplotlib.pyplot as plt

    return plt


def _save(figure: Any, path: Path) -> Path:
    with files.replacing(path) as aside:
        figure.savefig(aside, format="svg", bbox_inches="tight", metadata={"Date": None})
    _pyplot().close(figure)
    return path


def replay_figures(run: Run, directory: Path) -> list[Path]:
    """Used bytes over time, allocations over time, and mean and most per storage, as SVG."""
    plt = _pyplot()
    files.check_writable(directory)
    out: list[Path] = []
    names = [storage.name for storage in run.table]
    shown = range(min(len(names), 16))  # more lines than these nobody can tell apart
    for column, label, scale, name in ((2, "used (TB)", TB, "used"), (3, "allocations", 1.0, "allocations")):
        figure, axes = plt.subplots(figsize=(9, 4))
        for index in shown:
            points = [(row[0], row[column]) for row in run.series if row[1] == index]
            hours = [(time - run.summary.begin) / HOUR for time, _ in points]
            values = [value / scale for _, value in points]
            axes.step([0.0, *hours], [0.0, *values], where="post", label=names[index], linewidth=0.8)
        axes.set(
            xlabel="hours since the first request", ylabel=label, title=f"{label} under {run.settings.policy}"
        )
        axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        out.append(_save(figure, directory / f"{name}_over_time.svg"))
    for kind, uses in (("storage", run.summary.storages), ("node", run.summary.groups)):
        out.append(_bars(plt, uses, kind, run.settings.policy, directory))
    return out


def _bars(plt: Any, uses: Sequence[Use], kind: str, policy: str, directory: Path) -> Path:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.9 + 0.3 * len(uses)), sharey=True)
    places = np.arange(len(uses))
    left.barh(places, [u.max_percent for u in uses], color="lightgrey", label="most")
    left.barh(places, [u.mean_percent for u in uses], color="tab:blue", label="mean", height=0.5)
    left.set(xlabel="used capacity (%)", xlim=(0, 100))
    left.set_yticks(places, [u.name for u in uses], fontsize="small")
    right.barh(places, [u.max_allocations for u in uses], color="lightgrey", label="most")
    right.barh(places, [u.mean_allocations for u in uses], color="tab:blue", label="mean", height=0.5)
    right.set(xlabel="concurrent allocations")
    right.legend(fontsize="small")
    figure.suptitle(f"per {kind}, under {policy}")
    return _save(figure, directory / f"per_{kind}.svg")


def sweep_figures(cells: Sequence[Cell], directory: Path) -> list[Path]:
    """Requests not granted and bytes granted over capacity, and the spread of use over the storages."""
    plt = _pyplot()
    files.check_writable(directory)
    out: list[Path] = []
    variants = sorted({(c.settings.when_full, c.settings.block_size or 0) for c in cells})
    for number, (full, block) in enumerate(variants):
        chosen = [c for c in cells if (c.settings.when_full, c.settings.block_size or 0) == (full, block)]
        title = f"when full: {full}" + (f", blocks of {block / 1e9:g} GB" if block else ", not split")
        tail = f"_{number}" if len(variants) > 1 else ""
        out.append(_lines(plt, chosen, "not granted (requests)", title, directory / f"refused{tail}.svg"))
        out.append(_lines(plt, chosen, "granted (TB)", title, directory / f"granted{tail}.svg"))
        out.append(_spread(plt, chosen, title, directory / f"spread{tail}.svg"))
    return out


def _lines(plt: Any, cells: Sequence[Cell], what: str, title: str, path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 5))
    policies = list(dict.fromkeys(cell.settings.policy for cell in cells))
    colours = plt.get_cmap("tab20")
    for number, policy in enumerate(policies):
        mine = sorted((c for c in cells if c.settings.policy == policy), key=lambda c: c.capacity)
        values = [
            [(s.refused + s.failed) if what.startswith("not") else s.granted_bytes / TB for s in c.summaries]
            for c in mine
        ]
        axes.errorbar(
            [c.capacity / TB for c in mine],
            [float(np.mean(v)) for v in values],
            yerr=[float(np.std(v)) for v in values],
            marker="o",
            capsize=2,
            label=policy,
            color=colours(number % 20),
            linewidth=1.0,
        )
    axes.set(xlabel="capacity (TB)", ylabel=what, title=title, xscale="log")
    marks = sorted({cell.capacity / TB for cell in cells})
    axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
    axes.set_xticks([], minor=True)
    axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _save(figure, path)


def _spread(plt: Any, cells: Sequence[Cell], title: str, path: Path) -> Path:
    """Box plots over storages and seeds of the mean and the most allocations and used capacity."""
    smallest = min(cell.capacity for cell in cells)
    mine = [cell for cell in cells if cell.capacity == smallest]
    panels = (
        ("mean used (%)", "mean_percent"),
        ("most used (%)", "max_percent"),
        ("mean allocations", "mean_allocations"),
        ("most allocations", "max_allocations"),
    )
    figure, axes = plt.subplots(1, 4, figsize=(13, 1.0 + 0.3 * len(mine)), sharey=True)
    for axis, (label, key) in zip(axes, panels, strict=True):
        values = [[getattr(u, key) for s in c.summaries for u in s.storages] for c in mine]
        axis.boxplot(values, orientation="horizontal", widths=0.6)
        axis.set_xlabel(label)
    axes[0].set_yticks(range(1, len(mine) + 1), [c.settings.policy for c in mine], fontsize="small")
    figure.suptitle(f"per storage at {smallest / TB:g} TB; {title}")
    return _save(figure, path)
