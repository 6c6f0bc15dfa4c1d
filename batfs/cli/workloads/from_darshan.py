"""``batfs workload from-darshan``."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.workloads import common, convert
from batfs.errors import InputError
from batfs.workload.darshan import DarshanOptions, find_logs, read_logs, to_jobs
from batfs.workload.recorded import Report
from batfs.workload.schedulerlog import read_scheduler_log

HELP = (
    """convert Darshan logs, and a scheduler's log of the same jobs if there is one

  batfs workload from-darshan logs/ -o w.json
  batfs workload from-darshan logs/ --jobs sacct.txt --zone America/Chicago -o w.json
  batfs workload from-darshan *.darshan --name /lus/theta-fs0=lustre --name dvs=nfs -o w.json

Logs of one scheduler job become one job: bytes read and written per file system, metadata operations, and the
phases in which it read or wrote (in the profile's "darshan" member). File systems are named by their type
(lustre, gpfs, nfs, ...) unless --name gives a mount point or a type another name. A log that is damaged is
skipped and named, and the count is in the result. Reading needs PyDarshan: pip install 'batfs[darshan]'.

--jobs is an SWF file or a table with a header (comma, tab or | between): job_id, submit, start, end, nodes
and, if there is one, timelimit; the columns of `sacct -P` and of ALCF's public logs are understood. Jobs
there without a Darshan log are kept, with I/O from --io, unless --only-logged.
"""
    + convert.IO_HELP
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("logs", type=Path, nargs="+", metavar="LOG", help="logs, or directories of them")
    add("--jobs", type=Path, metavar="FILE", help="the scheduler's log")
    add("--zone", default="UTC", help="the clock of its times (default UTC), such as America/Chicago")
    add("--only-logged", action="store_true", help="leave out jobs that have no Darshan log")
    add(
        "--name",
        action="append",
        default=[],
        metavar="MOUNT=NAME",
        help="a mount point's or type's file system",
    )
    add(
        "--processes-per-node",
        type=int,
        default=1,
        metavar="N",
        help="for jobs the scheduler log doesn't know",
    )
    add(
        "--gap",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds between accesses of one phase (default 1)",
    )
    convert.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    names: dict[str, str] = {}
    for word in args.name:
        place, equals, name = word.partition("=")
        if not equals or not place or not name:
            raise InputError(f"--name {word!r} is not MOUNT=NAME")
        names[place] = name
    options = DarshanOptions(args.processes_per_node, names, args.gap, args.only_logged)
    report = Report(str(args.logs[0]) if len(args.logs) == 1 else f"{len(args.logs)} paths")
    scheduler = None if args.jobs is None else read_scheduler_log(args.jobs, args.zone, report)
    report.records = 0
    paths = find_logs(args.logs)
    jobs = to_jobs(
        read_logs(paths, report, common.Progress("logs read", len(paths))), scheduler, options, report
    )
    return convert.finish(args, jobs, None, report)
