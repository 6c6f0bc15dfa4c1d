"""Flags and output that the converters (`batfs workload from-...`) share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from batfs import json_text
from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.units import parse_size, parse_speed
from batfs.workload.account import Report
from batfs.workload.anonymise import anonymised
from batfs.workload.iotable import join_io, read_io_table
from batfs.workload.model import Workload
from batfs.workload.recorded import ConvertOptions, RecordedJob, convert
from batfs.workload.walltimes import HELP as WALLTIME_HELP

IO_HELP = """
The volumes of jobs whose I/O isn't recorded come from a named model (--io, see 'batfs workload synth --help';
--seed decides the draws) or from a table joined by job id (--io-csv: columns job_id, reads, writes and, if
there is one, filesystem; several lines of a job add up; with job_name or user in place of job_id the volumes
are those of each job of that name or user).
"""


def add_arguments(parser: argparse.ArgumentParser, *, io: bool = True) -> None:
    common.add_platform(parser)
    add = parser.add_argument
    add("--nodes", type=int, metavar="N", help="nodes of the machine; larger jobs are left out")
    add(
        "--speed",
        type=common.unit(parse_speed),
        default=1e9,
        metavar="SPEED",
        help="speed of a node (default: the platform, or 1Gf)",
    )
    add(
        "--runs",
        choices=("parallel_homogeneous", "delay"),
        default="parallel_homogeneous",
        help="what a job runs: run time x speed flops a node (default), or a sleep, which can't do I/O",
    )
    add(
        "--com",
        type=common.unit(parse_size),
        default=0,
        metavar="SIZE",
        help="bytes from each node to each other",
    )
    add(
        "--walltime",
        default="keep",
        metavar="RULE",
        help=WALLTIME_HELP,
    )
    add("--keep-times", action="store_true", help="don't move the first submission to 0")
    if io:
        add(
            "--io",
            default="none",
            metavar="MODEL",
            help="I/O model for jobs without recorded I/O (default none)",
        )
        add("--io-csv", type=Path, metavar="FILE", help="I/O volumes by job id, job name or user")
        add("--seed", type=int, default=1, metavar="N", help="seed of the I/O model (default 1)")
        add(
            "--filesystem",
            metavar="NAME",
            help="where the model's bytes are (default: the configuration decides)",
        )
    add(
        "--anonymise",
        action="store_true",
        help="replace ids, users, accounts and names by numbers, so that the result can be shared",
    )
    add("--json", action="store_true", help="print the report as JSON")
    common.add_output(parser)


def add_strict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse a log with a record that can't be read (default: leave it out)",
    )


def add_compute(parser: argparse.ArgumentParser, *, phases: bool) -> None:
    parser.add_argument(
        "--compute",
        choices=("recorded", "without-io", "phases") if phases else ("recorded", "without-io"),
        default="recorded",
        help="what of the run time is computation: all of it, I/O beside it (default), what is left without"
        " the measured I/O time"
        + (", or what lies between the phases of I/O, as a composed job" if phases else ""),
    )


def options(args: argparse.Namespace, nodes: int | None) -> ConvertOptions:
    """The conversion's options from the flags; ``nodes``: what the trace says of the machine."""
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
