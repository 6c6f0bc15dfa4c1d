"""``batfs reproduce flux_rabbit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from batfs import json_text
from batfs.campaign.reproduce.flux_rabbit import DAY, Outcome, Setting, answer
from batfs.cli.figure_file import check_suffix, figure_file
from batfs.errors import InputError
from batfs.parsing import add_word, at_least
from batfs.scratch import scratch_folder

HELP = """nodes that idle while data is copied in: held, ahead and in two steps, on a machine with Rabbits

  batfs reproduce flux_rabbit
  batfs reproduce flux_rabbit --chassis 8 --count 200 --seed 3 --figure idle.png

A month of synthetic jobs on the preset elcapitan (72 chassis, 1152 nodes), whose data is copied from the
Lustre behind to a Lustre on Rabbits before they start: while their nodes wait (held), before they have any
(ahead), or as a job of its own (two_step). docs/guides/staging.md explains the three.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usual = Setting()
    add_word(parser, "--chassis", "[%(default)s]", type=at_least(1), default=usual.chassis)
    add_word(parser, "--count", "[%(default)s]", type=at_least(1), default=usual.jobs)
    add_word(parser, "--queue", "[%(default)s]", default=usual.queue)
    add_word(parser, "--seed", "[%(default)s]", type=int, default=usual.seed)
    add_word(parser, "--figure", ": idle node-hours and mean waits", type=Path)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    check_suffix(args.figure)
    if args.chassis > 1000:
        raise InputError(f"--chassis {args.chassis}: expected 1000 at most")
    setting = Setting(chassis=args.chassis, jobs=args.count, queue=args.queue, seed=args.seed)
    setting = setting._replace(servers=min(setting.servers, args.chassis))
    with scratch_folder("flux") as scratch:
        outcomes = answer(setting, Path(scratch))
    if args.figure is not None:
        _draw(outcomes, args.figure)
    if args.json:
        found: dict[str, Any] = {**setting._asdict(), "staging": [o._asdict() for o in outcomes]}
        print(json_text.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return 0
    days = max(o.last_end for o in outcomes) / DAY
    print(f"{setting.nodes} nodes, {setting.jobs} jobs, {days:.1f} days\n")
    print(f"{'staging':<10}{'idle while staging':>20}{'mean wait':>12}{'node use':>10}{'last end':>12}")
    for o in outcomes:
        idle, wait = f"{o.idle:,.1f} node-h", f"{o.waiting / 60:,.1f} min"
        print(f"{o.staging:<10}{idle:>20}{wait:>12}{o.utilisation:>10.1%}{o.last_end / DAY:>10.2f} d")
    if args.figure is not None:
        print(f"\nfigure: {args.figure}")
    return 0


def _draw(outcomes: Sequence[Outcome], path: Path) -> None:
    with figure_file(path, 8, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        names = [o.staging for o in outcomes]
        left.bar(names, [o.idle for o in outcomes], color="C3")
        left.set(title="nodes idle while data is staged in", ylabel="node-hours")
        right.bar(names, [o.waiting / 3600 for o in outcomes], color="C0")
        right.set(title="jobs wait for their start", ylabel="mean (h)")
        for axes in (left, right):
            axes.grid(alpha=0.3, axis="y")
