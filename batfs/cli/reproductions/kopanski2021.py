"""``batfs reproduce kopanski2021``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.parsing import add_word

if TYPE_CHECKING:
    from batfs.campaign.reproduce.compare import Row
    from batfs.campaign.reproduce.over_parts import Mean, Pair

HELP = """plan-based scheduling with shared burst buffers (J. Kopanski and K. Rzadca, Euro-Par 2021)

Eight queue policies on a Dragonfly with burst buffers, a year of the KTH SP2's jobs; and plan-io, a policy
of our own. Mean waiting time and mean bounded slowdown come out beside the paper's (the full log) or beside
runs of the authors' own artifact (k1000, part-0), with the differences. Examples:

  batfs reproduce kopanski2021                                   the first 1000 jobs, the paper's policies
  batfs reproduce kopanski2021 --workload part-0 --policies fcfs-bb,plan-2
  batfs reproduce kopanski2021 --parts --policies plan-2+split,plan-io       intervals, paired ones too
  batfs reproduce kopanski2021 --workload full -o out/kopanski    28,453 jobs, a CSV for each policy
  batfs reproduce kopanski2021 --data DIR --workload part-7       with your files (part-7.json)

Behind a published policy's name, +split lets it split a node's bytes over burst buffers, as plan-io may. With
--estimate lives are estimated instead of simulated, which is quick; +endless then stands for burst buffers
without end, plan-io+known for run times known in advance:

  batfs reproduce kopanski2021 --estimate --workload parts --policies plan-2,plan-2+split,plan-io
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_word(
        parser,
        "--workload",
        ", or k1000, part-0 ... part-15, parts (all 16), full; repeatable [k1000]",
        action="append",
        metavar="NAME",
    )
    parser.add_argument(
        "--parts",
        dest="workload",
        action="append_const",
        const="parts",
        help="all sixteen parts: the same as --workload parts",
    )
    parser.add_argument(
        "--policies", metavar="NAMES", help="comma-separated; fcfs, filler, ... [the paper's eight]"
    )
    parser.add_argument("--data", metavar="FOLDER", type=Path, help="where its files are [this folder]")
    add_word(parser, "--platform", "[dragonfly96-sg334.xml in --data]", type=Path)
    parser.add_argument(
        "--reference",
        metavar="FOLDER",
        type=Path,
        help="the artifact's runs, WORKLOAD-POLICY.csv",
    )
    add_word(parser, "--seed", "(sizes for workloads made from the log) [%(default)s]", type=int, default=1)
    add_word(parser, "--output", ": a CSV of each run's jobs [none]", metavar="FOLDER", type=Path)
    parser.add_argument(
        "--estimate", action="store_true", help="without a simulator: jobs take as long as if alone"
    )
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.files import holding_folder

    with nullcontext() if args.output is None else holding_folder(args.output):
        return _reproduce(args)


def _reproduce(args: argparse.Namespace) -> int:
    from batfs.campaign.reproduce import compare, kopanski, sources
    from batfs.files import write_text
    from batfs.simulator.progress import ProgressLine

    policies = kopanski.PAPER_POLICIES if args.policies is None else _words(args.policies)
    check = kopanski.check_policy
    if args.estimate:
        from batfs.campaign.reproduce import estimate

        check = estimate.check
    for policy in policies:
        check(policy)
    files = sources.Files(args.data)
    names = sources.expand(args.workload or ["k1000"])
    site = kopanski.load_site(args.platform or files.need(kopanski.PLATFORM))
    references = args.reference or files.references()
    rows: list[Row] = []
    origins = []
    for name in names:
        source = files.workload(name, args.seed)
        origins.append((source.label, len(source.workload.jobs), source.origin))
        for policy in policies:
            line = ProgressLine(sys.stderr.isatty())
            try:
                if args.estimate:
                    done = estimate.estimate(source.workload, policy, label=source.label)
                else:
                    done = kopanski.run_policy(
                        site, source.workload, policy, label=source.label, on_progress=line.show
                    )
            except InputError as error:
                raise error.at(file=source.workload.path or None) from None
            finally:
                line.clear()
            rows.append(compare.row(done, references))
            if args.output is not None:
                text = "\n".join(kopanski.csv_lines(done.outcomes)) + "\n"
                write_text(args.output / f"{source.label}-{policy}.csv", text)
            if len(names) * len(policies) > 1 and sys.stderr.isatty():
                print(f"{source.label} {policy}: {done.seconds:.1f} s", file=sys.stderr)
    means: list[Mean] = []
    pairs: list[Pair] = []
    if len(names) > 1:
        from batfs.campaign.reproduce import over_parts  # statistics, and numpy with them

        means, pairs = over_parts.means(rows), over_parts.pairs(rows)
    if args.json:
        _print_json(rows, means, pairs, origins)
        return 0
    for label, count, origin in origins:
        print(f"{label}: {count} jobs, {origin}")
    print()
    print("\n".join(compare.table(rows)))
    if means:
        print()
        print("\n".join(over_parts.mean_table(means)))
    if pairs:
        print()
        print("\n".join(over_parts.pair_table(pairs)))
    return 0


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InputError("--policies names no policy")
    return words


def _print_json(
    rows: Sequence[Row],
    means: Sequence[Mean],
    pairs: Sequence[Pair],
    origins: Sequence[tuple[str, int, str]],
) -> None:
    import json

    content = {
        "workloads": [{"name": name, "jobs": jobs, "origin": origin} for name, jobs, origin in origins],
        "runs": [row.as_dict() for row in rows],
        "means": [mean.as_dict() for mean in means],
        "pairs": [pair.as_dict() for pair in pairs],
    }
    print(json.dumps(content, indent=2))
