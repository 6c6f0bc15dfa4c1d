"""``batfs reproduce theta``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs.cli.figure_file import figure_file
from batfs.files import write_text
from batfs.parsing import add_word
from batfs.scratch import scratch_folder

if TYPE_CHECKING:
    from batfs.campaign.reproduce.theta import Replay


HELP = """replay a week of ANL's Theta: simulated against measured seconds of I/O

  batfs reproduce theta theta2022_week4.yaml
  batfs reproduce theta theta2022_week4.yaml --json --figure theta.png

The trace is Fives's (YAML, with the runs of each job). Each run's reads and writes are put on the platform
(batfs platform new theta, or -p) as bursts of I/O when the run began, under three assumptions on where the
bytes lie. docs/background/theta.md says what comes out and what a bandwidth model can't see.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("trace", type=Path, metavar="TRACE", help="the trace, YAML")
    add_word(parser, "--platform", "[one like Theta, made on the spot]", type=Path)
    add_word(parser, "--zone", "[%(default)s]", default="UTC")
    add_word(parser, "--figure", type=Path)
    add_word(parser, "--json", "(every job)", action="store_true")


def run(args: argparse.Namespace) -> int:
    import orjson

    from batfs import json_text
    from batfs.campaign.reproduce.theta import LAYOUTS, replay

    with scratch_folder("theta") as scratch:
        folder = Path(scratch)
        platform = args.platform or _platform(folder)
        replays = [replay(args.trace, platform, layout, folder, args.zone) for layout in LAYOUTS]
    if args.figure is not None:
        _draw(replays, args.figure)
    if args.json:
        print(json_text.dumps([r.to_json() for r in replays], option=orjson.OPT_INDENT_2).decode())
        return 0
    print("\n".join(_table(replays)))
    if args.figure is not None:
        print(f"\nfigure: {args.figure}")
    return 0


def _platform(folder: Path) -> Path:
    from batfs.platform.generate import generate
    from batfs.platform.spec import make_spec, preset

    path = folder / "theta.xml"
    write_text(path, generate(make_spec(preset("theta"))))
    return path


def _table(replays: Sequence[Replay]) -> list[str]:
    from batfs.campaign.reproduce.theta import DIRECTIONS

    lines: list[str] = []
    for r in replays:
        lines += [
            r.layout.name,
            f"  {'':<26}{'jobs':>6}{'r':>8}{'r (log)':>9}{'rank':>7}{'d':>8}{'d (log)':>9}"
            f"{'measured/simulated':>21}",
        ]
        for view, found in r.agreements().items():
            for direction in DIRECTIONS:
                a = found[direction]
                lines.append(
                    f"  {view + ', ' + direction:<26}{a.count:>6}{a.pearson:>8.2f}{a.pearson_log:>9.2f}"
                    f"{a.spearman:>7.2f}{a.cohen:>8.2f}{a.cohen_log:>9.2f}{a.ratio:>21.3g}"
                )
        lines.append("")
    covered = replays[1].covered()
    lines += [
        "held out: measured seconds within their 90 % interval",
        *(
            f"  {view}: " + ", ".join(f"{direction} {share:.1%}" for direction, share in found.items())
            for view, found in covered.items()
        ),
        "",
    ]
    lines += [
        "r: Pearson's correlation, measured and simulated seconds; d: Cohen's d (simulated - measured);",
        "(log): of their logarithms; rank: Spearman's correlation; the last column is a median.",
        "per process: mean over a job's processes; summed: over all of them; fitted: per process,",
        "none quicker than the median of the other jobs' measured rates; other jobs, other days: per",
        "process, none quicker than a regression on the bytes of a process and their number, learnt from",
        "other jobs (days) only.",
    ]
    return lines


def _draw(replays: Sequence[Replay], path: Path) -> None:
    """Simulated against measured seconds of a process, a panel for each layout."""

    from batfs.campaign.reproduce.theta import DIRECTIONS

    with figure_file(path, 12, 4.2) as figure:
        panels: Any = figure.subplots(1, len(replays), sharex=True, sharey=True)
        for axes, r in zip(panels, replays, strict=True):
            for direction, marker in zip(DIRECTIONS, "o^", strict=True):
                points = [c for c in r.comparisons if c.direction == direction]
                axes.plot(
                    [c.measured for c in points],
                    [c.simulated for c in points],
                    marker,
                    label=direction,
                    alpha=0.6,
                )
            axes.set(xscale="log", yscale="log", title=r.layout.name, xlabel="measured seconds of a process")
            low, high = 1e-3, 1e3
            axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
        panels[0].set_ylabel("simulated seconds")
        panels[0].legend()
