"""The figure of `batfs workload describe`: one page about one workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from batfs.errors import InputError, MissingExtraError
from batfs.files import replacing
from batfs.workload.statistics import Statistics

_FORMATS = (".png", ".svg", ".pdf")


def draw(found: Statistics, path: Path) -> None:
    """Six panels into ``path`` (.png, .svg or .pdf).

    Submissions over time and by hour of the day; the cumulative distributions of nodes, run times, bytes per
    job and bytes per job on each file system.
    """
    if path.suffix not in _FORMATS:
        raise InputError(f"found {path.suffix or 'no suffix'}, expected {', '.join(_FORMATS)}", file=path)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a figure", "report") from error
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "batfs", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 6.5), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(2, 3)
        figure.suptitle(f"{Path(found.name).name}: {found.jobs} jobs, {found.nodes} nodes")
        _over_time(panels[0][0], found)
        _hours(panels[0][1], found)
        _sizes(panels[0][2], found)
        _curve(panels[1][0], [("run time", found.columns["runtimes"])], "seconds", _time_ticks)
        both = [("read", found.columns["reads"]), ("written", found.columns["writes"])]
        _curve(panels[1][1], both, "bytes of a job")
        per_system: list[tuple[str, Sequence[float]]] = [
            (name, [r + w for r, w in zip(use.reads, use.writes, strict=True)])
            for name, use in found.filesystems.items()
        ]
        _curve(panels[1][2], per_system, "bytes of a job on a file system")
        metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(
            path.suffix, {}
        )
        with replacing(path) as aside:
            figure.savefig(aside, format=path.suffix[1:], dpi=110, metadata=metadata)


def _over_time(axes: Any, found: Statistics) -> None:
    days = [time / 86400 for time in found.columns["submission"]]
    bins = min(120, max(10, len(days) // 20))
    axes.hist(days, bins=bins, color="#4477aa")
    axes.set_xlabel("days")
    axes.set_ylabel("jobs submitted")


def _hours(axes: Any, found: Statistics) -> None:
    axes.bar(range(24), found.hours, width=0.9, color="#4477aa")
    axes.set_xlabel("hour (of the trace's clock)")
    axes.set_ylabel("jobs submitted")
    axes.set_xticks(range(0, 24, 6))


def _sizes(axes: Any, found: Statistics) -> None:
    sizes = list(found.size_counts)
    total = max(1, found.jobs)
    running, shares = 0, []
    for count in found.size_counts.values():
        running += count
        shares.append(running / total)
    axes.step(sizes, shares, where="post", color="#4477aa")
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("nodes")
    axes.set_ylabel("share of jobs")


def _curve(
    axes: Any,
    lines: Sequence[tuple[str, Sequence[float]]],
    label: str,
    ticks: Callable[[Any], None] | None = None,
) -> None:
    """Cumulative distributions of the values above 0, on a logarithmic axis."""
    drawn = False
    for name, values in lines:
        ordered = sorted(value for value in values if value > 0)
        if ordered:
            shares = [(i + 1) / len(ordered) for i in range(len(ordered))]
            axes.step(ordered, shares, where="post", label=f"{name} ({len(ordered)})")
            drawn = True
    axes.set_xlabel(label)
    axes.set_ylabel("share of jobs")
    axes.set_ylim(0, 1.02)
    if not drawn:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center")
        return
    axes.set_xscale("log")
    axes.legend(fontsize="small", loc="upper left")
    if ticks is not None:
        ticks(axes)


def _time_ticks(axes: Any) -> None:
    low, high = axes.get_xlim()
    marks = [(1, "1 s"), (60, "1 min"), (3600, "1 h"), (86400, "1 d")]
    shown = [(place, text) for place, text in marks if low <= place <= high]
    if len(shown) >= 2:
        axes.set_xticks([place for place, _ in shown], [text for _, text in shown])
