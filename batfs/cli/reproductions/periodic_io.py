"""``batfs reproduce periodic_io``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from batfs import json_text
from batfs.campaign.reproduce.periodic_io import SETS, Outcome, reproduce
from batfs.cli.figure_file import check_suffix, figure_file
from batfs.errors import InputError
from batfs.parsing import add_option, add_word
from batfs.scratch import scratch_folder

HELP = """periodic I/O scheduling for supercomputers (Aupy, Gainaru, Le Fevre, PMBS 2017)

  batfs reproduce periodic_io
  batfs reproduce periodic_io --only-set 2 --only-set 7 --json --figure periodic_io.png

Ten sets of applications that compute and write on 640 processes with a file system of 3 GB/s: what no
schedule exceeds, everybody at once (simulated whole, --io-policy fair), the one slowed down most first
(min_dilation), and the pattern that PerSched computes, beside what was published.
docs/background/io-scheduling.md says what agrees and what doesn't.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_option(
        parser,
        "--only-set",
        old=("--set",),
        dest="set",
        type=int,
        action="append",
        metavar="N",
        help="only this set, 1 to 10 (repeatable)",
    )
    add_word(parser, "--figure", ": efficiencies and dilations", type=Path)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    known = {one.number: one for one in SETS}
    for number in args.set or ():
        if number not in known:
            raise InputError(f"there is no set {number}; they are 1 to {len(SETS)}")
    check_suffix(args.figure)
    chosen = [known[number] for number in dict.fromkeys(args.set or known)]
    with scratch_folder("periodic") as scratch:
        outcomes = [reproduce(one, Path(scratch)) for one in chosen]
    if args.figure is not None:
        _draw(outcomes, args.figure)
    if args.json:
        print(json_text.dumps([o.to_json() for o in outcomes], option=orjson.OPT_INDENT_2).decode())
        return 0
    print("\n".join(_table(outcomes)))
    if args.figure is not None:
        print(f"\nfigure: {args.figure}")
    return 0


def _table(outcomes: Sequence[Outcome]) -> list[str]:
    lines = [
        "system efficiency (published: simulated, for congestion measured)",
        f"{'set':>3}{'limit':>9}{'publ.':>8}{'congested':>12}{'publ.':>8}"
        f"{'online':>10}{'publ.':>8}{'periodic':>11}{'publ.':>8}",
    ]
    for o in outcomes:
        p = o.set.published
        lines.append(
            f"{o.set.number:>3}{o.limit:>9.4f}{p.limit:>8.3f}{o.congested.efficiency:>12.4f}{p.congested:>8.4f}"
            f"{o.online.efficiency:>10.4f}{p.online:>8.4f}{o.periodic.efficiency:>11.4f}{p.periodic:>8.4f}"
        )
    lines += [
        "",
        "largest dilation (published: simulated)",
        f"{'set':>3}{'congested':>12}{'online':>10}{'publ.':>8}{'':>7}{'periodic':>11}{'publ.':>8}{'':>7}"
        f"{'period (s)':>13}",
    ]
    for o in outcomes:
        p = o.set.published
        lines.append(
            f"{o.set.number:>3}{o.congested.dilation:>12.4f}{o.online.dilation:>10.4f}{p.online_dilation:>8.3f}"
            f"{o.online.dilation / p.online_dilation - 1:>+7.1%}"
            f"{o.periodic.dilation:>11.4f}{p.periodic_dilation:>8.3f}"
            f"{o.periodic.dilation / p.periodic_dilation - 1:>+7.1%}{o.length:>13.0f}"
        )
    return lines


def _draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Efficiency as part of the limit, and dilation, set by set; published ones hollow."""
    with figure_file(path, 11, 4.2) as figure:
        left, right = figure.subplots(1, 2)
        sets = [o.set.number for o in outcomes]
        rows: list[tuple[str, str, Any, Any]] = [
            ("congested", "C3", lambda o: o.congested, lambda p: (p.congested, None)),
            ("online", "C0", lambda o: o.online, lambda p: (p.online, p.online_dilation)),
            ("periodic", "C2", lambda o: o.periodic, lambda p: (p.periodic, p.periodic_dilation)),
        ]
        for shift, (name, colour, ours, theirs) in zip((-0.2, 0.0, 0.2), rows, strict=True):
            at = [k + shift for k in range(len(sets))]
            published = [theirs(o.set.published) for o in outcomes]
            left.plot(at, [ours(o).efficiency / o.limit for o in outcomes], "o", color=colour, label=name)
            hollow = {"mfc": "none", "color": colour, "markersize": 9}
            left.plot(
                at,
                [e / o.set.published.limit for (e, _), o in zip(published, outcomes, strict=True)],
                "s",
                **hollow,
            )
            right.plot(at, [ours(o).dilation for o in outcomes], "o", color=colour)
            right.plot(at, [d if d is not None else float("nan") for _, d in published], "s", **hollow)
        left.plot([], [], "s", mfc="none", color="grey", markersize=9, label="published")
        for axes, label in ((left, "system efficiency / upper limit"), (right, "largest dilation")):
            axes.set(xlabel="set", ylabel=label, xticks=range(len(sets)), xticklabels=sets)
            axes.grid(alpha=0.3)
        left.legend()
