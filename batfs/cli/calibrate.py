"""``batfs calibrate``: from measurements to the parameters of the models, and how well they are known."""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs.cli.figure_file import figure_file
from batfs.errors import InputError
from batfs.parsing import Parser, add_word, at_least

if TYPE_CHECKING:
    from batfs.campaign.calibration.fit import Fit
    from batfs.campaign.calibration.ior import Measurement

HELP = """from measurements to a machine: rates and access parameters with their intervals

  batfs calibrate ior-*.txt --name scratch -o cal.toml --platform-out machine.xml --figure fit.png
  batfs calibrate results/2026.11.01-12.00.00 --nodes 10 -o cal.toml
  batfs compare -p machine.xml -w io.json --policy round_robin --policy random --calibration cal.toml

MEASUREMENTS are outputs of IOR (every repetition counts), folders of IO500 results, Darshan logs, and
traces with each job's seconds of I/O (YAML). For reads and
writes apart, the bandwidth of all targets is found and, of what the data need, latency and rate of a
process, rate of a node, and what small, random or interleaved requests and many streams cost. The file is
a configuration (--config takes it) that also says how well each number is known: compare --calibration
draws from that, so that a study's intervals include it. docs/guides/calibrate.md has the model.
"""


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "measurements",
        nargs="+",
        type=Path,
        metavar="MEASUREMENTS",
        help="outputs of IOR, folders of IO500, logs",
    )
    add_word(parser, "--name", "(the file system) [%(default)s]", default="scratch")
    add_word(parser, "--nodes", "(where a file doesn't say)", type=at_least(1))
    parser.add_argument(
        "--processes", type=at_least(1), metavar="N", help="processes a node, where a file doesn't say"
    )
    parser.add_argument("--targets", type=at_least(1), default=4, metavar="N", help="storage targets [4]")
    parser.add_argument(
        "--fit",
        metavar="LIST",
        help="what to fit beside the bandwidth [what the data need]; 'none' is nothing",
    )
    parser.add_argument(
        "--mounted",
        metavar="TYPE",
        help="of Darshan logs: the type or mount point of the file systems that count",
    )
    add_word(parser, "--output", type=Path, metavar="FILE")
    parser.add_argument(
        "--platform-out", type=Path, metavar="XML", help="a machine with these bandwidths, too"
    )
    add_word(parser, "--figure", "measured beside fitted", type=Path)
    add_word(parser, "--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    from batfs.campaign.calibration import need_scipy
    from batfs.campaign.calibration.file import nominal, write_calibration
    from batfs.campaign.calibration.fit import fit
    from batfs.campaign.calibration.ior import read_measurements, read_operations
    from batfs.campaign.calibration.recorded import is_recorded, read_recorded
    from batfs.files import write_text

    need_scipy("fitting parameters")
    told = [path for path in args.measurements if path.is_file() and is_recorded(path)]
    others = [path for path in args.measurements if path not in told]
    given = (args.nodes or 0, args.processes or 0)
    measured = read_recorded(told, *given, args.mounted) if told else []
    measured += read_measurements(others, *given) if others else []
    wanted = None
    if args.fit is not None:
        wanted = [word.strip() for word in args.fit.split(",") if word.strip() not in ("", "none")]
    operations = read_operations(others)
    directions = [d for d in ("read", "write") if any(m.direction == d for m in measured)]
    fits = [fit(measured, direction, args.targets, wanted) for direction in directions]
    nominals = {f.direction: nominal(f) for f in fits}
    names = ", ".join(path.name for path in args.measurements[:5]) + (
        " ..." if len(args.measurements) > 5 else ""
    )
    comment = f"made by batfs calibrate from {len(measured)} measurements: {names}"
    if operations:
        rates = ", ".join(f"{name} {rate:.6g}/s" for name, rate in operations.items())
        work = 1e9 / statistics.harmonic_mean(list(operations.values()))
        comment += f"\nmdtest: {rates}; on metadata servers of 1 Gf in all: operation_work = {work:.6g}"
    if args.output is not None:
        write_text(args.output, write_calibration(fits, args.name, nominals, comment))
    if args.platform_out is not None:
        write_text(args.platform_out, _platform(args, max(m.nodes for m in measured), nominals))
    if args.figure is not None:
        _draw(fits, measured, args.targets, args.figure)
    if args.json:
        _print_json(fits, nominals, len(measured), operations)
    else:
        print("\n".join([*_table(fits, nominals, args.targets), *comment.splitlines()[1:]]))
        for path in (args.output, args.platform_out, args.figure):
            if path is not None:
                print(f"written: {path}")
    return 0


def _draw(fits: list[Fit], measured: list[Measurement], targets: int, path: Path) -> None:
    """Measured bandwidths over fitted ones, a panel for each direction."""
    with figure_file(path, 5.0 * len(fits), 4.4) as figure:
        for axes, f in zip(figure.subplots(1, len(fits), squeeze=False)[0], fits, strict=True):
            own = [m for m in measured if m.direction == f.direction]
            for order, marker in (("sequential", "o"), ("strided", "s"), ("random", "^")):
                points = [
                    (f.predict(m, targets) / 1e9, m.bandwidth / 1e9) for m in own if m.way.order == order
                ]
                if points:
                    axes.plot(*zip(*points, strict=True), marker, label=order, alpha=0.6)
            ends = [min(m.bandwidth for m in own) / 1e9, max(m.bandwidth for m in own) / 1e9]
            axes.plot(ends, ends, color="grey", linewidth=0.8)
            axes.set(
                xscale="log", yscale="log", title=f.direction, xlabel="fitted, GB/s", ylabel="measured, GB/s"
            )
            axes.legend()


def _platform(args: argparse.Namespace, nodes: int, nominals: dict[str, float]) -> str:
    from batfs.campaign.calibration.machine import machine_with
    from batfs.platform.generate import generate

    if len(nominals) < 2:
        raise InputError("a platform needs reads and writes; only one of them was measured")
    spec = machine_with(
        *(args.name, nodes, args.targets, (nominals["read"], nominals["write"])),
        model="pfs:stripe_count=0",
        size="1PB",
        comment=f"made by batfs calibrate: {args.targets} targets (as said), cables that are no bottleneck",
    )
    return generate(spec)


def _print_json(
    fits: list[Fit], nominals: dict[str, float], measured: int, operations: dict[str, float]
) -> None:
    import orjson

    from batfs import json_text

    found: dict[str, Any] = {"measurements": measured, "operations": operations}
    for f in fits:
        intervals = f.intervals()
        found[f.direction] = {
            "parameters": {
                name: {"best": value} | dict(zip(("low", "high"), _finite(intervals[name]), strict=True))
                for name, value in f.values().items()
            },
            "nominal": nominals[f.direction],
            "measurements": f.count,
            "spread": f.spread,
            "held_out": None if math.isnan(f.held_out) else f.held_out,
        }
    print(json_text.dumps(found, option=orjson.OPT_INDENT_2).decode())


def _finite(interval: tuple[float, float]) -> tuple[float | None, float | None]:
    """None for both ends of an interval that isn't one."""
    return interval if math.isfinite(interval[1]) else (None, None)


def _table(fits: list[Fit], nominals: dict[str, float], targets: int) -> list[str]:
    lines: list[str] = []
    for f in fits:
        held = "" if math.isnan(f.held_out) else f", {math.expm1(f.held_out):.1%} on measurements held out"
        lines.append(f"{f.direction}: {f.count} measurements; off by {math.expm1(f.spread):.1%}{held}")
        intervals = f.intervals()
        for name, value in f.values().items():
            low, high = intervals[name]
            if name in f.undetermined:
                lines.append(
                    f"  {name:<12} {_with_unit(name, value):>14}   not determined by these measurements"
                )
                continue
            shown = [_with_unit(name, v) for v in (value, low, high)]
            lines.append(f"  {name:<12} {shown[0]:>14}   95 % interval {shown[1]} to {shown[2]}")
        each = _with_unit("bandwidth", nominals[f.direction] / targets)
        lines.append(f"  in the platform: {targets} targets of {each}")
    return lines


def _with_unit(name: str, value: float) -> str:
    from batfs.units import format_bandwidth, format_size, format_time

    if name in ("bandwidth", "stream", "node"):
        return format_bandwidth(value)
    if name == "latency":
        return format_time(value)
    return f"{value:.4g}" if name == "half_streams" else format_size(value)
