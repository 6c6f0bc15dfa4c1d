"""``batfs workload from-darshan``."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.workloads import common, convert, from_log
from batfs.errors import InputError
from batfs.parsing import add_option, seconds

HELP = (
    """convert Darshan logs, and a scheduler's log of the same jobs if there is one

  batfs workload from-darshan logs/ -o w.json
  batfs workload from-darshan logs/ --jobs sacct.txt --zone America/Chicago -o w.json
  batfs workload from-darshan *.darshan --mount /lus/theta-fs0=lustre --mount dvs=nfs -o w.json

Logs of one scheduler job become one job: bytes read and written per file system, metadata operations, and the
phases in which it read or wrote (in the profile's "darshan" member). File systems are named by their type
(lustre, gpfs, nfs, daos, ...) unless --mount gives a mount point, a path or a type another name. A log that
is damaged is skipped and named; the count is in the result. ALCF's tables of Darshan logs (CSV) are read as
the logs they sum up. Reading needs PyDarshan: pip install 'batfs[darshan]'.

--jobs is whatever 'batfs workload from-log' reads: sacct, PBS, LSF, SWF, job tables. A Darshan log belongs to
the job of its number in whose time it lies; where the two clocks differ a --zone is proposed. Jobs without a
Darshan log are kept, with I/O from --io, unless --only-logged.
"""
    + convert.IO_HELP
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "logs",
        type=Path,
        nargs="*",
        metavar="LOG",
        help="logs, or directories of them; none with --jobs alone",
    )
    add("--jobs", type=Path, metavar="FILE", help="the scheduler's log")
    from_log.add_log_arguments(parser)
    add("--only-logged", action="store_true", help="leave out jobs that have no Darshan log")
    add_option(
        parser,
        "--mount",
        old=("--name",),
        action="append",
        default=[],
        metavar="MOUNT=FS",
        help="a mount point's, path's or type's file system (repeatable)",
    )
    add(
        "--processes-per-node",
        type=int,
        default=1,
        metavar="N",
        help="for jobs the scheduler's log doesn't know [%(default)s]",
    )
    add("--gap", type=seconds, default=1.0, metavar="TIME", help="between accesses of one phase [1s]")
    convert.add_compute(parser, phases=True)
    convert.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.account import Report
    from batfs.workload.darshan import DarshanOptions, find_logs, read_logs, to_jobs
    from batfs.workload.joblog import read_job_log

    names: dict[str, str] = {}
    for word in args.mount:
        place, equals, name = word.partition("=")
        if not equals or not place or not name:
            raise InputError(f"--mount {word!r} is not MOUNT=FS")
        names[place] = name
    options = DarshanOptions(args.processes_per_node, names, args.gap, args.only_logged)
    if not args.logs and args.jobs is None:
        raise InputError(
            "no Darshan log given", hint="batfs workload from-log converts a scheduler's log alone"
        )
    sources = [str(path) for path in args.logs] or [str(args.jobs)]
    report = Report(sources[0] if len(sources) == 1 else f"{len(sources)} paths", zone=args.zone)
    log = None if args.jobs is None else read_job_log(args.jobs, from_log.log_options(args), report)
    report.origin = None
    paths = find_logs(args.logs, empty=args.jobs is not None)
    prefixes = [name for name in names if name.startswith("/")]
    logs = read_logs(paths, report, common.Progress("logs read", len(paths)), prefixes)
    jobs = to_jobs(logs, None if log is None else log.jobs, options, report)
    return convert.finish(args, jobs, None if log is None else log.nodes, report)
