"""Flags and output that the converters (`batfs workload from-...`) share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.parsing import add_word, size, speed

if TYPE_CHECKING:
    from batfs.workload.account import Report
    from batfs.workload.model import Workload
    from batfs.workload.recorded import ConvertOptions, RecordedJob


_WALLTIMES = (
    ": keep them, extend those the job overran, none; and for jobs without one runtime:F (F times the run "
    "time), uniform:A,B (A to B times it, drawn), or a time such as 12h; extend+runtime:2 does both [keep]"
)
IO_HELP = """
The volumes of jobs whose I/O isn't recorded come from a named model (--io, see 'batfs workload synth --help';
--seed decides the draws) or from a table joined by job id (--io-csv: columns job_id, reads, writes and, if
there is one, filesystem; several lines of a job add up; with job_name or user in place of job_id the volumes
are those of each job of that name or user).
"""


def add_arguments(parser: argparse.ArgumentParser, *, io: bool = True) -> None:
    common.add_platform(parser)
    add_word(parser, "--nodes", "of the machine; larger jobs are left out", type=int)
    add_word(parser, "--speed", "[the platform's, or 1Gf]", type=speed, default=None)
    add_word(
        parser,
        "--runs",
        ": run time x speed flops a node, or a sleep, which can't do I/O [%(default)s]",
        choices=("parallel_homogeneous", "delay"),
        default="parallel_homogeneous",
    )
    add_word(parser, "--com", type=size, default=0)
    add_word(parser, "--walltime", _WALLTIMES, default="keep")
    add_word(parser, "--keep-times", action="store_true")
    if io:
        add_word(parser, "--io", "for jobs without recorded I/O [%(default)s]", default="none")
        add_word(parser, "--io-csv", type=Path)
        add_word(parser, "--seed", "(the I/O model) [%(default)s]", type=int, default=1)
        add_io_on(parser)
    add_word(parser, "--anonymise", action="store_true")
    add_word(parser, "--json", "(the report)", action="store_true")
    common.add_output(parser)


def add_io_on(parser: argparse.ArgumentParser) -> None:
    add_word(
        parser,
        "--io-on",
        "[the configuration decides]",
        old=("--filesystem",),
        dest="filesystem",
        metavar="FS",
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    add_word(parser, "--strict", "[it is left out]", action="store_true")


def add_compute(parser: argparse.ArgumentParser, *, phases: bool) -> None:
    add_word(
        parser,
        "--compute",
        ": all of it, I/O beside it; what is left without the measured I/O time"
        + (
            "; what lies between the phases of I/O, as a composed job; or as much of that in each of as many "
            "iterations as it wrote"
            if phases
            else ""
        )
        + " [%(default)s]",
        choices=("recorded", "without-io", "phases", "iterations") if phases else ("recorded", "without-io"),
        default="recorded",
    )


def options(args: argparse.Namespace, nodes: int | None) -> ConvertOptions:
    """The conversion's options from the flags; ``nodes``: what the trace says of the machine."""

    from batfs.workload.recorded import ConvertOptions

    machine = common.machine(args)
    if machine is not None:
        nodes = machine.nodes
    given: dict[str, Any] = {}
    if "io" in args:
        given = {"io": args.io, "seed": args.seed, "filesystem": args.filesystem}
        if args.runs == "delay" and (args.io != "none" or args.io_csv is not None):
            raise InputError(
                "--runs delay can't do I/O: Batsim ignores it", hint="leave out --io and --io-csv"
            )
    if getattr(args, "compute", "recorded") != "recorded":
        if args.runs == "delay":
            raise InputError(f"--compute {args.compute} is about computation, which --runs delay has none of")
        given["compute"] = args.compute
    return ConvertOptions(
        nodes=nodes if args.nodes is None else args.nodes,
        runs=args.runs,
        speed=args.speed if args.speed is not None else 1e9 if machine is None else machine.speed,
        com=args.com,
        walltime=args.walltime,
        keep_times=args.keep_times,
        **given,
    )


def finish(args: argparse.Namespace, jobs: Iterable[RecordedJob], nodes: int | None, report: Report) -> int:
    """Join the I/O table, convert, write, and report."""

    from batfs.workload.anonymise import anonymised
    from batfs.workload.iotable import join_io, read_io_table
    from batfs.workload.recorded import convert

    chosen = options(args, nodes)
    if getattr(args, "io_csv", None) is not None:
        jobs = list(join_io(jobs, read_io_table(args.io_csv), report))
    if args.anonymise:
        jobs = anonymised(jobs, report)
    workload = convert(jobs, chosen, report)
    common.write(workload, args.output)
    show(report, workload, as_json=args.json, quiet=args.output is None)
    return 0


def show(report: Report, workload: Workload, *, as_json: bool, quiet: bool) -> None:
    """The report on standard output (standard error when the workload itself is there)."""

    import orjson

    from batfs import json_text

    stream = sys.stderr if quiet else sys.stdout
    if as_json:
        found = {**report.to_json(), "jobs": len(workload.jobs), "nb_res": workload.nb_res}
        print(json_text.dumps(found, option=orjson.OPT_INDENT_2).decode(), file=stream)
        return
    print("\n".join(page(report, len(workload.jobs))), file=stream)


def page(report: Report, jobs: int) -> list[str]:
    """What one can check a conversion by: each record under what became of it, what was assumed, the load."""
    kinds = ", ".join(dict.fromkeys(report.kinds))
    lines = [f"{report.source}: {report.records} records, {jobs} jobs" + (f" ({kinds})" if kinds else "")]
    titles = (
        ("left out", report.left_out),
        ("joined", report.joined),
        ("changed", report.changed),
        ("assumed", report.assumed),
    )
    for title, counts in titles:
        lines += [f"  {title}: {count:>{15 - len(title)}}  {rule}" for rule, count in counts.items()]
    lines += [f"  not read: {line}" for line in report.unread]
    lines += [f"  note: {note}" for note in report.notes]
    facts = report.facts
    if facts.get("load") is not None:
        load = f"load {facts['load']:.3g} of {facts['nodes']} nodes"
        if "first_submission" in facts:
            load += f"; submitted {facts['first_submission']} to {facts['last_submission']}"
        lines.append(f"  {load}")
    return lines
