"""``batfs workload describe``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.cli.workloads import common
from batfs.parsing import add_word, speed
from batfs.texts import aligned
from batfs.units import format_size

if TYPE_CHECKING:
    from batfs.workload.statistics import Distribution, Statistics


HELP = """a page of statistics on a workload, and a figure

  batfs workload describe workloads/io.json
  batfs workload describe kth.json --figure kth.png
  batfs workload describe kth.json --json

Run times are nominal: the work of a profile on nodes of --speed (or the platform's, -p), alone, without
communication and I/O. The offered load is node-seconds of these over nodes x the span of submissions.
"""

_BARS = " ▁▂▃▄▅▆▇█"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_workload(parser)
    add_word(parser, "--speed", "[the platform's, or 1Gf]", type=speed)
    common.add_platform(parser)
    add_word(parser, "--figure", type=Path)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    import orjson

    from batfs import json_text
    from batfs.workload.batsim import read_workload
    from batfs.workload.statistics import statistics

    machine = common.machine(args)
    speed = args.speed or (machine.speed if machine is not None else 1e9)
    found = statistics(read_workload(args.workload), speed)
    if args.figure is not None:
        from batfs.workload.figure import draw

        draw(found, args.figure)
    if args.json:
        print(json_text.dumps(found.to_json(), option=orjson.OPT_INDENT_2).decode())
        return 0
    print("\n".join(page(found)))
    if args.figure is not None:
        print(f"\nfigure: {args.figure}")
    return 0


def page(found: Statistics) -> list[str]:
    """The statistics as lines for reading."""
    lines = [
        f"{found.name}: {found.jobs} jobs, {found.profiles} profiles, {found.nodes} nodes",
        f"submitted over {duration(found.span)}; offered load {found.offered_load:.3g}",
        "profiles: " + ", ".join(f"{count} {kind}" for kind, count in found.profile_types.items()),
        "",
    ]
    rows = [
        ["", "min", "25 %", "median", "75 %", "95 %", "max", "mean"],
        _row("nodes", found.sizes, lambda value: f"{value:.4g}"),
        _row("run time", found.runtimes, duration),
        _row("requested time", found.requested, duration),
        _row("between submissions", found.between, duration),
        _row("bytes read", found.reads, format_size),
        _row("bytes written", found.writes, format_size),
    ]
    lines += aligned(rows, range(1, 8))
    if found.without_walltime:
        lines.append(f"{found.without_walltime} jobs without requested time")
    if found.filesystems:
        rows = [["file system", "jobs", "read", "written", "median", "max"]]
        for name, use in found.filesystems.items():
            both = use.both.to_json()
            sizes = (sum(use.reads), sum(use.writes), both["median"], both["max"])
            rows.append([name, str(use.jobs), *map(format_size, sizes)])
        lines += ["", *aligned(rows, range(1, 6))]
    most = max(found.hours, default=0)
    if most:
        bars = "".join(_BARS[round(count / most * (len(_BARS) - 1))] for count in found.hours)
        lines += ["", f"submissions by hour   0 |{bars}| 23"]
    common_sizes = sorted(found.size_counts.items(), key=lambda item: (-item[1], item[0]))[:8]
    lines.append("most usual sizes      " + ", ".join(f"{size} ({count})" for size, count in common_sizes))
    return lines


def _row(name: str, values: Distribution, show: common.Show) -> list[str]:
    if not values.count:
        return [name, "none", *[""] * 6]
    return [name, *map(show, (*values.quantiles, values.mean))]


def duration(seconds: float) -> str:
    """``43 s``, ``12.5 min``, ``3.2 h``, ``332 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
