"""``batfs size``: how much is enough?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from batfs import process
from batfs.cli.machine_flags import add_dynamic_jobs, add_machine_flags, machine_values
from batfs.errors import InputError
from batfs.parsing import add_word, at_least, seconds

HELP = """\
How much storage, how many nodes, how much bandwidth are enough? The cheapest size that meets a target, with
its interval over seeds, the curve on the way, and the knee. What is varied is a file system, one storage,
'storage' (all), 'nodes' or 'bandwidth' (of the storages' links); two things at once are searched for the
cheapest pair.

A size is halved towards the target, with the same jobs at every size, and gets more seeds only as long as its
interval holds the limit. Sizes that refuse jobs which the largest can hold are never an answer. Killed at any
moment and called again, it goes on where it was.

examples:
  batfs size bb=100GB..6TB -p platforms/taurus_storage.xml -w workloads/io.json --target 'wait.p95<1h'
  batfs size bb=100GB..6TB -p P.xml -w W.json --target 'wait<30min' --cost bb=80/TB --resample blocks
  batfs size bb=1TB..4TB nvme=1TB..2TB --cost bb=80/TB --cost nvme=90/TB -p P.xml -w W.json --target 'wait<1h'
  batfs size nodes=16..64 -p P.xml -w W.json
"""

EPILOG = """\
targets: FIGURE<LIMIT (or <=, >, >=), of the mean over the runs: wait.mean, wait.p95, turnaround.median,
slowdown.max, io_time.p90, makespan, utilisation, refused, and every figure of docs/reference/statistics.md;
times, sizes and shares with their unit (90s, 30min, 2h, 1.5TB, 80%).

results, in the directory of -o: sizes.csv, sizes.tex, size.json, sizes.png (.svg, .pdf), conclusions.txt,
runs/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``batfs size``."""
    parser.epilog = EPILOG
    parser.add_argument(
        "what",
        nargs="+",
        metavar="WHAT=FROM..TO",
        help="what is varied: bb=100GB..6TB, bb=1TB,2TB, nodes=16..64",
    )
    what = parser.add_argument_group("what is run")
    add_word(what, "--platform", required=True)
    add_word(what, "--workload", action="append", metavar="FILE", required=True)
    add_word(what, "--policy")
    add_word(what, "--queue")
    add_word(what, "--io-policy")
    add_word(what, "--filesystem", action="append")
    add_word(what, "--config")
    add_word(what, "--seeds", "at most [10: the seeds 1 to 10]")
    add_word(what, "--resample", "[none]")
    add_word(what, "--calibration")
    add_machine_flags(what, events=True)
    how = parser.add_argument_group("what is looked for")
    how.add_argument(
        "--target", action="append", default=[], metavar="FIGURE<LIMIT", help="what is to be met (repeatable)"
    )
    how.add_argument(
        "--cost",
        action="append",
        default=[],
        metavar="WHAT=PRICE/UNIT",
        help="prices, such as bb=80/TB (repeatable)",
    )
    how.add_argument(
        "--precision", default="5%", metavar="SHARE", help="how far sizes lie apart, where halving ends [5%%]"
    )
    how.add_argument("--shown", metavar="FIGURE", help="what the curve shows [the target's, else wait.mean]")
    add_word(how, "--threshold", "[10s]", type=seconds)
    run_ = parser.add_argument_group("running")
    add_word(run_, "--output", "[%(default)s]", default="out/size", metavar="FOLDER")
    add_word(run_, "--workers", "[all cores]", type=at_least(1))
    add_word(run_, "--executor", "[local]")
    add_dynamic_jobs(run_, "[as 'batfs run']", None)
    add_word(run_, "--formats", "[%(default)s]", default="png,svg,pdf")
    add_word(run_, "--json", action="store_true")
    add_word(run_, "--quiet", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Search; 0, 1 when no size meets the target or runs failed, 2 for bad input."""
    from batfs.campaign.plan import make_plan
    from batfs.campaign.sizing.asked import parse_cost, parse_knob, parse_target
    from batfs.campaign.sizing.result import find_size
    from batfs.cli.report import figure_formats
    from batfs.report.tables import text_table

    formats = figure_formats(args.formats)
    knobs = [parse_knob(text, parse_share(args.precision)) for text in args.what]
    targets = [parse_target(text) for text in args.target]
    costs = [parse_cost(text) for text in args.cost]

    def say(sentence: str) -> None:
        if not args.quiet:
            process.say("batfs size", sentence)

    found = find_size(
        make_plan(_values(args)),
        knobs,
        targets,
        Path(args.output),
        costs=costs,
        figure=args.shown,
        executor=args.executor,
        jobs=args.workers,
        say=say,
    )
    found.write(Path(args.output), formats)
    if args.json:
        import orjson

        from batfs import json_text

        print(json_text.dumps(found.as_dict(), option=orjson.OPT_INDENT_2).decode())
    else:
        print(text_table(*found.text_rows()))
        print()
        print("\n".join(f"- {line}" for line in found.sentences()))
    for failure in found.failures:
        say(f"failed: {failure.label}, seed {failure.seed}: {failure.error}\n  repeat it: {failure.command}")
    say(
        f"results in {args.output}" + (f"; {args.output}/sizes.{formats[0]} has the curve" if formats else "")
    )
    return 1 if found.failures or (targets and found.best is None) else 0


def parse_share(text: str) -> float:
    """``5%`` or ``0.05``. InputError for what isn't between 0 and 1."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = 0.0
    if not 0.0001 <= share <= 1:
        raise InputError(f"--precision {text}: expected a share from 0.01% to 100%, such as 5%")
    return share


def _values(args: argparse.Namespace) -> dict[str, Any]:
    from batfs.scheduling.config import parse_filesystem_flags, read_config

    configuration: dict[str, Any] = {}
    if args.config:
        configuration |= read_config(args.config).values
    if args.filesystem:
        configuration |= parse_filesystem_flags(args.filesystem)
    values: dict[str, Any] = {
        "platform": [args.platform],
        "workload": args.workload,
        "configuration": configuration,
        "seeds": args.seeds or 10,
        **machine_values(args),
    }
    for key in ("policy", "queue", "io_policy"):
        if getattr(args, key):
            values[key] = [getattr(args, key)]
    for key in ("resample", "threshold", "dynamic_jobs", "calibration"):
        if getattr(args, key) is not None:
            values[key] = getattr(args, key)
    return values
