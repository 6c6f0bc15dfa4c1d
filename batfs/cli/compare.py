"""``batfs compare``: policies over workloads and seeds, with statistics and a report."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from batfs import files, process
from batfs.cli.machine_flags import add_dynamic_jobs, add_machine_flags, machine_values
from batfs.parsing import add_word, at_least, seconds

HELP = """\
Compare policies: every combination of the settings given, each with every seed, on all cores; then tables,
paired statistics with confidence intervals, and an HTML report.

A seed is what a policy's random draws begin with. A policy without random draws gives the same run under
every seed; with --resample each seed also draws a workload of its own, the same one for every policy, so
that a difference can be told from luck with one list of jobs.

Killed at any moment and called again, it does only what is missing; the results are the same bytes.

examples:
  batfs compare -p platforms/taurus_storage.xml -w workloads/io.json --policy random --policy worst_fit
  batfs compare -p P.xml -w A.json -w B.json --policy worst_fit --queue fcfs --queue easy --resample blocks
  batfs compare -p P.xml -w W.json --policy lustre --vary filesystems.lustre.stripe_count=1,2,4 --seeds 10
  batfs compare --config campaign.toml -o out/campaign --executor dask://127.0.0.1:8786
"""

EPILOG = """\
results, in the directory of -o:
  report.html, figures/    for people               runs.parquet, jobs.parquet   a row per run, per job
  summary.csv              treatment x figure, with intervals and differences to the baseline
  conclusions.txt          a sentence per comparison failures.csv                 failed runs and their
  commands
  runs/                    each run's own files      provenance.json, inputs/     what was compared
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``batfs compare``."""
    parser.epilog = EPILOG
    what = parser.add_argument_group("what is compared (each flag may be repeated)")
    add_word(what, "--platform", action="append")
    add_word(what, "--workload", action="append", metavar="FILE")
    add_word(what, "--policy", action="append")
    add_word(what, "--queue", action="append")
    add_word(what, "--io-policy", action="append")
    add_word(what, "--filesystem", action="append")
    what.add_argument(
        "--vary",
        action="append",
        metavar="KEY=A,B,C",
        help="any key of the scheduler's configuration, such as node_selection or filesystems.lustre.policy; "
        "values that hold commas are separated by semicolons",
    )
    add_word(what, "--faults", "(the same in every run, but for random ones without a seed of their own)")
    add_word(what, "--seeds", "[30: the seeds 1 to 30]")
    add_word(what, "--resample", "[none]")
    add_machine_flags(what, events=True)
    add_word(what, "--config", "(the whole comparison)")
    how = parser.add_argument_group("statistics")
    add_word(how, "--baseline", "[the first]", metavar="LABEL")
    how.add_argument(
        "--null",
        action="store_true",
        default=None,
        help="run the baseline twice with other seeds, as a check",
    )
    add_word(how, "--calibration")
    add_word(how, "--primary", "; the others are described (that takes fewer pairs)")
    add_word(how, "--threshold", "[10s]", type=seconds)
    run_ = parser.add_argument_group("running")
    add_word(run_, "--output", "[%(default)s]", default="out/compare", metavar="FOLDER")
    add_word(run_, "--workers", "[all cores]", old=("--jobs",), type=at_least(1))
    add_word(run_, "--executor", "[local]")
    add_dynamic_jobs(run_, "[as 'batfs run']", None)
    add_word(run_, "--title", default="batfs comparison")
    add_word(run_, "--formats", "[%(default)s]", default="svg")
    add_word(run_, "--courses", action="store_true")
    run_.add_argument("--no-report", action="store_true", help="tables only")
    add_word(run_, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the comparison; 0, 1 when runs failed, 2 for bad input."""
    from batfs.campaign.ahead import ahead
    from batfs.campaign.check import check_plan
    from batfs.campaign.engine import run_campaign
    from batfs.campaign.plan import make_plan
    from batfs.campaign.results import collect, write_campaign
    from batfs.cli.report import figure_formats
    from batfs.process import cores
    from batfs.report.figures import drawers

    formats = figure_formats(args.formats)
    plan = make_plan(_values(args))

    def say(sentence: str) -> None:
        process.say("batfs compare", sentence)

    checked = check_plan(plan)
    for sentence in ahead(plan, checked.figures):
        say(sentence)
    root = Path(args.output)
    finished = run_campaign(plan, root, executor=args.executor, jobs=args.workers, say=say, checked=checked)
    processes = args.workers or cores()
    reported = bool(finished.runs) and not args.no_report
    drawn = reported and bool(formats)
    if drawn:
        files.check_writable(root / "figures")
    with drawers(processes if drawn else 1) as helpers:
        comparison = collect(finished, processes)

        def write() -> None:
            write_campaign(finished, comparison)
            if reported:
                comparison.report(root / "report.html", title=args.title)

        if drawn:  # figures are drawn beside the tables and the page
            comparison.figures().save(
                root / "figures", formats, courses=args.courses or None, helpers=helpers, meanwhile=write
            )
        else:
            write()
    if args.json:
        print(comparison.summary.to_json(orient="records", indent=2))
    elif comparison.results:
        _print(comparison)
    for failure in finished.failures:
        where = f" on {failure.context}" if failure.context else ""
        say(f"failed: {failure.label}{where}, seed {failure.seed}: {failure.error}")
        print(f"  repeat it: {failure.command}", file=sys.stderr)
    if reported:
        say(f"results in {root}; open {root / 'report.html'}")
    else:
        say(f"results in {root}")
    return 1 if finished.failures else 0


def _values(args: argparse.Namespace) -> dict[str, Any]:
    """What the file says, and the flags over it."""
    from batfs.campaign.plan import Axis, parse_vary, read_plan

    values = read_plan(args.config) if args.config else {}
    for key in (
        "platform",
        "workload",
        "policy",
        "queue",
        "io_policy",
        "filesystem",
        "seeds",
        "resample",
        "baseline",
        "null",
        "primary",
        "calibration",
    ):
        given = getattr(args, key)
        if given is not None:
            values[key] = given
    for key in ("threshold", "dynamic_jobs"):
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    if args.faults:
        from batfs.scheduling.faults.plan import read_faults

        values["configuration"] = {**(values.get("configuration") or {}), "faults": read_faults(args.faults)}
    values |= machine_values(args)
    if args.vary:
        flags = parse_vary(args.vary)
        named = {axis.key for axis in flags}
        file = values.get("vary") or {}
        kept = [Axis(k, tuple(v) if isinstance(v, list) else (v,)) for k, v in file.items() if k not in named]
        values["vary"] = [*kept, *flags]
    return values


def _print(comparison: Any) -> None:
    from batfs.report.tables import TOLD, fitted

    groups = comparison.groups
    header, rows = comparison.table()
    print(fitted(header, rows, shutil.get_terminal_size((100, 24)).columns))
    if len(groups) < 2 and not comparison.failures:
        return
    found = [row for row in comparison.compared if row.found]
    told = TOLD if comparison.primary is None else (comparison.primary,)
    shown = [row.sentence for row in found if row.metric.name in told]
    print()
    if comparison.failures or shown:
        print("\n".join(f"- {line}" for line in [*comparison.gaps(), *shown]))
    if not shown:
        what = "waiting, slowdown or I/O time" if comparison.primary is None else comparison.primary
        print(f"No difference in {what} is established.")
    tested = [
        row for row in comparison.compared if row.difference.testable and not row.difference.descriptive
    ]
    few = [row for row in tested if row.difference.n < row.difference.needed]
    if few:
        needed = few[0].difference.needed
        print(
            f"{len(few)} of {len(tested)} comparisons have too few pairs to establish anything: "
            f"at least {needed} are needed."
        )
    lacking = len(comparison.uncompared)
    more = f"; {lacking} couldn't be made" if lacking else ""
    every = len(comparison.compared)
    print(
        f"({len(found)} of {every} comparisons find a difference{more}; conclusions.txt has all sentences.)"
    )
