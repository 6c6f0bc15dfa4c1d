"""Tables of figures: one run's, and label x figure with intervals; as HTML and as text."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Final

from batfs.errors import unknown
from batfs.report.format import number, quantity, together
from batfs.report.headline import headline
from batfs.report.inference import Interval
from batfs.report.run import Run
from batfs.report.statistics import THRESHOLD, Metric, all_metrics, summarize

# the figures whose conclusions are told first
TOLD: Final = (
    *("mean_waiting_time", "mean_bounded_slowdown", "mean_io_time", "mean_io_slowdown"),
    *("mean_transfer_slowdown", "mean_dilation", "system_efficiency"),
)


def metric_named(name: str) -> Metric:
    """The figure of a run called ``name``; InputError listing the known ones."""
    metrics = all_metrics()
    if name not in metrics:
        raise unknown("figure", name, metrics)
    return metrics[name]


def shown(metric: Metric, value: float) -> str:
    """``value`` with its unit, short."""
    return (
        quantity(value, metric.unit)
        if metric.unit in ("B", "s")
        else f"{number(value)} {metric.unit}".strip()
    )


def with_ends(metric: Metric, interval: Interval) -> str:
    """``12.1 [11, 13.2] min``: a mean with its interval, in one unit; ``[range 11, 13]`` of two values."""
    ends = interval.ends
    if ends is None:
        return shown(metric, interval.mean)
    (mean, low, high), unit = together((interval.mean, *ends), metric.unit)
    word = "range " if interval.word == "range" else ""
    return f"{mean} [{word}{low}, {high}] {unit}".rstrip()


def run_html(run: Run, threshold: float = THRESHOLD) -> str:
    """One run's figures as an HTML table that needs no style sheet."""
    values = summarize(run, threshold)
    metrics = all_metrics()
    names = ["jobs", *headline([run], threshold)]
    rows = "".join(
        f"<tr><td style='text-align:left' title='{html.escape(metrics[name].about, quote=True)}'>"
        f"{html.escape(metrics[name].title)}</td>"
        f"<td>{html.escape(shown(metrics[name], values[name]))}</td></tr>"
        for name in names
        if not math.isnan(values[name])
    )
    return f"<table><caption>{html.escape(run.label)}</caption>{rows}</table>"


def fitted(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """:func:`text_table` in so many columns of a terminal: without the intervals where they don't fit, and in
    blocks below one another, each with the first column, where the rest doesn't either. Labels stay whole."""

    def wide(table: str) -> int:
        return max(len(line) for line in table.splitlines())

    whole = text_table(header, rows)
    if wide(whole) <= width:
        return whole
    short = [[row[0], *(cell.partition(" [")[0] + _unit_after(cell) for cell in row[1:])] for row in rows]
    blocks: list[str] = []
    first = 1
    while first < len(header):
        last = first + 1
        block = text_table([header[0], *header[first:last]], [[r[0], *r[first:last]] for r in short])
        while last < len(header):
            more = text_table(
                [header[0], *header[first : last + 1]], [[r[0], *r[first : last + 1]] for r in short]
            )
            if wide(more) > width:
                break
            block, last = more, last + 1
        blocks.append(block)
        first = last
    return "\n\n".join(blocks)


def _unit_after(cell: str) -> str:
    """`` min`` of ``12.1 [11, 13.2] min``."""
    return cell.rpartition("]")[2] if cell.partition(" [")[1] else ""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up: the first to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
