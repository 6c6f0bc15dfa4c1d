"""``batfs report``: figures and an HTML report of one or more runs."""

from __future__ import annotations

import argparse
import contextlib
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batfs import files
from batfs.errors import unknown
from batfs.parsing import add_word, seconds

if TYPE_CHECKING:
    from batfs.report import Run

HELP = """\
Figures and statistics of finished runs: one HTML file that opens offline, and every figure as PNG, SVG and
PDF.

A RUN is the prefix given to 'batfs run -e' (or to Batsim's), a ..._jobs.csv, or a directory of runs, such
as the one 'batfs compare' wrote. Runs of the same policies with different seeds are shown together;
different policies are compared to the baseline, paired by workload and seed.

examples:
  batfs report out/io                              out/io_report.html and out/io_figures/
  batfs report out/random out/worst_fit -o both.html
  batfs report out/compare --baseline random --title "Five policies"
  batfs report out/io --json                       the statistics, for a program
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``batfs report``."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="prefix, _jobs.csv or directory of a run")
    add_word(parser, "--output", ": the HTML file [RUN_report.html]", metavar="FILE")
    add_word(parser, "--figures", "[beside the HTML file]")
    add_word(parser, "--formats", "[%(default)s]", default="png,svg,pdf")
    add_word(parser, "--courses", "[where there is one setting]", action="store_true")
    add_word(parser, "--threshold", "[10s]", type=seconds, default=10.0)
    add_word(parser, "--baseline", "[the first]", metavar="LABEL")
    add_word(parser, "--primary", "; the others are described")
    add_word(parser, "--title")
    add_word(parser, "--json", "(every run's statistics; writes nothing)", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Write the report; 0, or 2 for bad input."""
    from batfs.campaign.progress import Progress
    from batfs.process import cores
    from batfs.report import find_runs
    from batfs.report.reading import read_many

    formats = figure_formats(args.formats)
    prefixes = [prefix for path in args.runs for prefix in find_runs(path)]
    with Progress(len(prefixes), 0, None if len(prefixes) > 1 else False, "reading runs") as bar:
        runs = read_many(prefixes, args.threshold, cores(), done=lambda count: bar.update(count, 0, 0))
    if args.json:
        _print_json(runs, args.threshold)
        return 0
    first = args.runs[0].rstrip("/").removesuffix("_jobs.csv")
    directory = Path(first).is_dir()
    html = Path(args.output or (f"{first}/report.html" if directory else f"{first}_report.html"))
    there = files.standing(html)
    stem = html.stem.removesuffix("report")
    figures = (
        Path(args.figures)
        if args.figures
        else html.with_name(f"{stem}figures" if stem.endswith("_") or not stem else f"{stem}_figures")
    )
    with contextlib.ExitStack() as stack:
        if there is None or stat.S_ISREG(there.st_mode):  # else it is written through: a device, a pipe
            stack.enter_context(files.holding(html, "report"))
        if formats:
            stack.enter_context(files.holding_folder(figures))
        return _write(args, runs, html, figures, formats)


def _write(
    args: argparse.Namespace, runs: Sequence[Run], html: Path, figures: Path, formats: Sequence[str]
) -> int:
    from batfs.process import cores
    from batfs.report.comparisons import compare_groups
    from batfs.report.figures import Figures
    from batfs.report.forest import panels
    from batfs.report.page import write_figures_report

    title = args.title or (f"batfs report: {runs[0].label}" if len(runs) == 1 else "batfs report")
    every = Figures(runs, args.threshold)
    compared = (
        compare_groups(every.groups, args.baseline, primary=args.primary) if len(every.groups) > 1 else []
    )
    every.differences = panels(compared)

    def page() -> None:
        write_figures_report(
            every, html, title=title, baseline=args.baseline, compared=compared, primary=args.primary
        )
        print(f"{html}  ({html.stat().st_size / 1e6:.1f} MB, opens in any browser)")

    if not formats:
        page()
        return 0
    processes = cores() if len(every.groups) > 1 else 1
    courses = args.courses or None
    drawn = every.save(figures, formats, processes=processes, courses=courses, meanwhile=page)
    print(f"{figures}/  {len(drawn)} figures ({', '.join(formats)})")
    return 0


def figure_formats(text: str) -> list[str]:
    """``png,svg`` as a list; InputError for a format that isn't one."""
    from batfs.report.picture import FORMATS

    if text == "none":
        return []
    chosen = [word for word in text.split(",") if word]
    for word in chosen:
        if word not in FORMATS:
            raise unknown("figure format", word, [*FORMATS, "none"])
    return chosen


def _print_json(runs: list, threshold: float) -> None:  # type: ignore[type-arg]
    import orjson

    from batfs import json_text
    from batfs.report.statistics import storage_table, summarize

    value = [
        {
            "run": run.prefix.removesuffix("_"),
            "label": run.label,
            "bounded_slowdown_threshold": threshold,
            "statistics": summarize(run, threshold),
            "storages": storage_table(run).to_dict("records"),
        }
        for run in runs
    ]
    sys.stdout.buffer.write(
        json_text.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY) + b"\n"
    )
