"""The HTML report: one file with everything in it, that opens offline."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from batfs import __version__, files
from batfs.report.comparisons import Compared, compare_groups
from batfs.report.extras import require
from batfs.report.figures import Figures, representatives
from batfs.report.forest import CELLS, cells, panels
from batfs.report.format import MISSING, between, number, quantity, together
from batfs.report.groups import Group
from batfs.report.header import SYSTEM_COLUMNS, header
from batfs.report.headline import headline
from batfs.report.parts import moves_by_kind
from batfs.report.payload import distribution_payload, pack, run_payload
from batfs.report.run import Run
from batfs.report.statistics import JOB_METRICS, THRESHOLD
from batfs.report.tables import TOLD, metric_named, shown

SCRIPTS = ("base.js", "charts.js", "page.js")
# charts of so many labels are embedded; tables and distributions hold all
DETAILED = 8


@dataclass(slots=True)
class Cell:
    """A figure of one label in the table: mean, interval, and how it stands to the baseline; ``values``: mean
    and ends as numbers, ``word`` what goes before the ends."""

    text: str
    interval: str
    verdict: str
    title: str
    values: tuple[float, ...] = ()
    word: str = ""


def write_report(
    runs: Sequence[Run],
    path: str | Path,
    *,
    threshold: float = THRESHOLD,
    title: str = "batfs report",
    baseline: str | None = None,
    notes: Sequence[str] = (),
    primary: str | None = None,
) -> Path:
    """Write the report of ``runs`` to ``path`` (a file that replaces what was there); returns the path.

    Runs with one label (policy) and several seeds are shown together; with several labels, each is
    compared to
    ``baseline`` (default: the first). ``notes`` are paragraphs put under the title.
    """
    figures = Figures(runs, threshold)
    return write_figures_report(figures, path, title=title, baseline=baseline, notes=notes, primary=primary)


def write_figures_report(
    figures: Figures,
    path: str | Path,
    *,
    title: str = "batfs report",
    baseline: str | None = None,
    notes: Sequence[str] = (),
    compared: Sequence[Compared] | None = None,
    primary: str | None = None,
) -> Path:
    """:func:`write_report` of runs that already have their figures, and perhaps their comparisons."""
    page = render(figures, title=title, baseline=baseline, notes=notes, compared=compared, primary=primary)
    files.write_text(Path(path), page)
    return Path(path)


def render(
    figures: Figures,
    *,
    title: str,
    baseline: str | None = None,
    notes: Sequence[str] = (),
    compared: Sequence[Compared] | None = None,
    primary: str | None = None,
) -> str:
    """The report's HTML."""
    groups, runs = figures.groups, figures.runs
    if compared is None:
        compared = compare_groups(groups, baseline, primary=primary) if len(groups) > 1 else []
    shown_runs = representatives(groups, runs, DETAILED)
    found = figures.differences or panels(compared)
    environment = require("jinja2").Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    shown_figures = headline(runs, figures.threshold)
    names = [n for n in shown_figures if any(not math.isnan(g.interval(n).mean) for g in groups)]
    rows = [(group, [_cell(group, name, compared) for name in names]) for group in groups]
    units = [_in_one_unit([row[k] for _, row in rows], name) for k, name in enumerate(names)]
    page: str = environment.from_string(_asset("report.html")).render(
        title=title,
        version=__version__,
        notes=list(notes),
        threshold=number(figures.threshold),
        runs=runs,
        groups=groups,
        jobs=number(len(runs[0].jobs), 9),
        metrics=[metric_named(name) for name in names],
        header=header(groups),
        system_columns=SYSTEM_COLUMNS,
        units=units,
        rows=rows,
        forests=[panel for panel in found if panel.metric.name in TOLD or panel.metric.name == primary]
        or found[:4],
        factors=any(panel.what for panel in found),
        difference_columns=CELLS,
        difference_rows=[
            (row.label, panel.metric.title, cells(panel.metric, row)) for panel in found for row in panel.rows
        ],
        baselines={row.baseline for row in compared},
        baseline=" and ".join(dict.fromkeys(row.baseline for row in compared)),
        findings=[row for row in compared if row.found and row.metric.name in TOLD],
        more=[row for row in compared if row.found and row.metric.name not in TOLD],
        others=[row for row in compared if not row.found and row.difference.n],
        about=[metric_named(name) for name in names],
        job_metrics=JOB_METRICS,
        provenance=_provenance(runs[0]),
        steps=[
            (runs[k].label, moves)
            for k in shown_runs
            if (moves := [_move(*row) for row in moves_by_kind(runs[k].steps)])
        ],
        labels=_safe(json.dumps([group.label for group in groups])),
        distributions=pack(distribution_payload(groups)),
        details=[
            (i, runs[k].label, pack(run_payload(runs[k], figures.threshold)))
            for i, k in enumerate(shown_runs)
        ],
        css=_asset("report.css"),
        scripts=[_asset(name) for name in SCRIPTS],
    )
    return page


def _move(kind: str, count: int, mean: float, longest: float) -> tuple[str, str, str, str]:
    return kind.replace("_", " "), number(count, 9), quantity(mean, "s"), quantity(longest, "s")


def _asset(name: str) -> str:
    return resources.files("batfs.report").joinpath("assets", name).read_text(encoding="utf-8")


def _safe(text: str) -> str:
    """JSON that can stand in a script element: no ``</script>`` can come from a label."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _in_one_unit(cells: Sequence[Cell], name: str) -> str:
    """Write the values of a row of the table in one unit, the largest's; the unit's name."""
    values = [value for cell in cells for value in cell.values]
    texts, unit = together(values, metric_named(name).unit)
    if len(cells) < 2 or not values:
        return ""
    for cell in cells:
        mine, texts = texts[: len(cell.values)], texts[len(cell.values) :]
        if mine:
            cell.text = mine[0]
        if len(mine) > 1:
            cell.interval = f"{cell.word}{mine[1]} to {mine[2]}"
    return unit


def _cell(group: Group, name: str, compared: Sequence[Compared]) -> Cell:
    metric = metric_named(name)
    interval = group.interval(name)
    if math.isnan(interval.mean):
        return Cell(MISSING, "", "", metric.about)
    mine = [row for row in compared if row.label == group.label and row.metric.name == name]
    spread, word = "", "range " if interval.word == "range" else ""
    if interval.ends is not None:
        spread = word + between(*interval.ends, metric.unit)
    verdict = mine[0].verdict if mine else ""
    values = (interval.mean, *(interval.ends or ()))
    about = mine[0].sentence if mine else metric.about
    return Cell(shown(metric, interval.mean), spread, verdict, about, values, word)


def _provenance(run: Run) -> str:
    known: Mapping[str, Any] = run.provenance
    return json.dumps(known, indent=2, ensure_ascii=False) if known else ""
