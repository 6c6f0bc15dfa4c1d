"""``batfs workload from-log``."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from batfs.cli.workloads import convert
from batfs.errors import InputError
from batfs.parsing import add_word, at_least
from batfs.texts import MOST, drained, unpacked

if TYPE_CHECKING:
    from batfs.workload.joblog import LogOptions, SchedulerJob
    from batfs.workload.recorded import RecordedJob


HELP = (
    """convert a scheduler's log or a published job table: sacct, PBS, LSF, SWF, CSV, Parquet, ...

  sacct -aXP -S 2024-01-01 -o JobIDRaw,State,User,Submit,Start,End,ElapsedRaw,NNodes,TimelimitRaw > jobs.txt
  batfs workload from-log jobs.txt --zone Europe/Paris --io lognormal -o w.json
  batfs workload from-log 20230415 --anonymise -o w.json                      (PBS accounting)
  batfs workload from-log eagle.parquet --nodes 2618 -o w.json
  batfs workload from-log table.csv --column submit=queued_at --column limit=asked:minutes -o w.json
  sacct -a -X -P -o ... | batfs workload from-log - -o w.json

What a file is, is told by its content; packed ones (gzip, bzip2, xz) are unpacked. Read are: sacct (-P, -p,
columns of fixed width, --json), squeue, Slurm's data base and completion logs, PBS, Torque and Cobalt
accounting, LSF's lsb.acct, the standard workload format, and tables (CSV, TSV, |, JSON, Parquet) with the
columns of ALCF, NREL Eagle, MIT Supercloud, PM100, Helios, F-DATA, Frontier, Alibaba PAI and their like;
--column ROLE=NAME[:UNIT] says the rest. docs/reference/job-logs.md has the names and the rules.

The state decides what ran; the elapsed time is the run time; nodes are those allocated. Steps of a job, runs
before a requeue and components of a heterogeneous job become one job. A record that can't be read is left
out, counted and named. The page at the end says what became of each record, what was assumed, and the load.
"""
    + convert.IO_HELP
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("logs", type=Path, nargs="+", metavar="FILE", help="the log, or several (- is standard input)")
    add_log_arguments(parser)
    add("--steps", action="store_true", help="Slurm's job steps as jobs, in place of the jobs they belong to")
    add(
        "--unfinished",
        choices=("leave-out", "limit"),
        default="leave-out",
        help="jobs that ran or waited when the log was taken: leave them out, or let them run as"
        " long as they asked for [%(default)s]",
    )
    add_word(parser, "--processors-per-node", "[1]", type=at_least(1))
    add(
        "--scripts",
        type=Path,
        metavar="FOLDER",
        help="a folder of batch scripts: burst buffers and Rabbits from their #DW and #BB lines",
    )
    convert.add_arguments(parser)


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of everything that reads a scheduler's log."""
    add_word(parser, "--zone", "[%(default)s]", default="UTC")
    add_word(
        parser,
        "--column",
        ": id, submit, start, end, elapsed, nodes, limit, state, user, account, name, ... (repeatable)",
        action="append",
        default=[],
    )
    convert.add_strict(parser)


def log_options(args: argparse.Namespace) -> LogOptions:
    from batfs.workload.joblog import LogOptions
    from batfs.workload.zones import check_zone

    per_node = getattr(args, "processors_per_node", None)
    if per_node is not None and per_node < 1:
        raise InputError(f"--processors-per-node is {per_node}, expected at least 1")
    return LogOptions(
        zone=check_zone(args.zone),
        columns=tuple(args.column),
        strict=args.strict,
        steps=getattr(args, "steps", False),
        unfinished=getattr(args, "unfinished", "leave-out"),
        processors_per_node=per_node,
    )


def run(args: argparse.Namespace) -> int:
    from batfs.workload.account import Report
    from batfs.workload.joblog import read_job_log
    from batfs.workload.joblog.jobs import distinct
    from batfs.workload.scripts import join_scripts, read_scripts

    names = [str(path) for path in args.logs]
    report = Report(args.logs[0].name if len(names) == 1 else f"{len(names)} files", zone=args.zone)
    scripts = None if args.scripts is None else read_scripts(args.scripts, report)
    jobs: list[SchedulerJob] = []
    nodes: int | None = None
    for path in args.logs:
        if str(path) == "-":
            report.source = "standard input" if len(names) == 1 else report.source
            try:
                data = drained(sys.stdin.fileno(), MOST, "standard input")
            except io.UnsupportedOperation:  # somebody's object in its place
                data = sys.stdin.buffer.read(MOST)
            data = unpacked(data, "standard input")
            log = read_job_log("standard input", log_options(args), report, data)
        else:
            log = read_job_log(path, log_options(args), report)
        jobs += log.jobs
        nodes = max(nodes or 0, log.nodes) if log.nodes else nodes
    if len(names) > 1:
        jobs = distinct(jobs, report)
    found: list[RecordedJob] = [job.recorded() for job in jobs]
    report.origin = None  # submissions are since 1970, or from the log's own start
    if scripts is not None:
        found = join_scripts(found, scripts, args.filesystem, report)
    return convert.finish(args, found, nodes, report)
