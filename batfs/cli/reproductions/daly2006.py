"""``batfs reproduce daly2006``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import orjson

from batfs import json_text
from batfs.campaign.reproduce.daly import Point, Setting, best_interval, curve, expected
from batfs.cli.figure_file import check_suffix, figure_file
from batfs.errors import InputError
from batfs.parsing import add_option, add_word, at_least, duration
from batfs.scratch import scratch_folder

HELP = """the optimum checkpoint interval (Daly, FGCS 2006), simulated beside its closed form

  batfs reproduce daly2006
  batfs reproduce daly2006 --mtbf 24h --checkpoint 5m --figure daly.png

Jobs that write a checkpoint after every interval of work, on nodes that fail at random and restart their job
from its last checkpoint (--faults), for intervals around the one that Daly's estimate calls the best.
"""

#: Intervals, as multiples of the best one.
_FACTORS = (0.35, 0.6, 1.0, 1.7, 2.8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usual = Setting()
    add_option(
        parser,
        "--mtbf",
        metavar="TIME",
        type=duration,
        default=usual.mtbf,
        help="mean time between failures of a node [%(default)g s]",
    )
    add_option(
        parser,
        "--checkpoint",
        metavar="TIME",
        type=duration,
        default=float(usual.checkpoint),
        help="how long a checkpoint takes to write, and to read again; whole seconds [%(default)g s]",
    )
    add_option(
        parser,
        "--intervals",
        metavar="N",
        type=at_least(2),
        default=200,
        help="intervals of each of the 20 jobs [%(default)s]",
    )
    add_word(parser, "--seed", "[%(default)s]", type=int, default=0)
    add_word(parser, "--figure", ": time over interval", type=Path)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    check_suffix(args.figure)
    setting = Setting(args.mtbf, round(args.checkpoint))
    if not 1 <= setting.checkpoint <= setting.mtbf / 2:
        raise InputError(
            f"--checkpoint {args.checkpoint:g}s: expected at least 1 s, and at most half of the time between "
            f"failures ({setting.mtbf:g} s)"
        )
    with scratch_folder("daly") as scratch:
        points = curve(setting, _FACTORS, Path(scratch), parts=args.intervals, seed=args.seed)
    if args.figure is not None:
        _draw(points, setting, args.figure)
    if args.json:
        found = {"best_interval": best_interval(setting), "points": [p.to_json() for p in points]}
        print(json_text.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return 0
    print(f"best interval {best_interval(setting):.1f} s; time per second of work:\n")
    print(f"{'interval (s)':>12}{'closed form':>14}{'simulated':>12}{'difference':>12}")
    for p in points:
        more = p.simulated / p.expected - 1
        print(f"{p.interval:>12.1f}{p.expected:>14.4f}{p.simulated:>12.4f}{more:>+12.2%}")
    if args.figure is not None:
        print(f"\nfigure: {args.figure}")
    return 0


def _draw(points: Sequence[Point], setting: Setting, path: Path) -> None:
    """The closed form as a line, what was simulated on it, and the best interval."""
    with figure_file(path, 6.5, 4) as figure:
        axes = figure.subplots()
        first, last = points[0].interval / 1.3, points[-1].interval * 1.2
        line = [first * (last / first) ** (k / 200) for k in range(201)]
        axes.plot(line, [expected(x, setting) for x in line], color="C0", label="Daly's closed form")
        axes.plot(
            [p.interval for p in points], [p.simulated for p in points], "o", color="C3", label="simulated"
        )
        best = best_interval(setting)
        axes.axvline(best, color="grey", linestyle=":", label=f"best interval, {best:.0f} s")
        axes.set(xscale="log", xlabel="interval between checkpoints (s)", ylabel="time per second of work")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
