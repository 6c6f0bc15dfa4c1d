"""``batfs workload from-swf``."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.workloads import common, convert
from batfs.parsing import add_word, at_least

HELP = (
    """convert a log in the standard workload format 2.2 (packed with gzip, bzip2 or xz, or not)

  batfs workload from-swf KTH-SP2-1996-2.1-cln.swf -o kth.json
  batfs workload from-swf log.swf.gz -p platform.xml --io lognormal:median=1GB,sigma=2 --seed 7 -o w.json
  batfs workload from-swf log.swf --io-csv volumes.csv --io-on lustre -o w.json

Left out, and counted: partial executions (status 2, 3, 4), jobs without submission time, jobs that never ran
(run time unknown, or 0 and cancelled), jobs without any number of processors, jobs larger than the machine
(MaxProcs of the header, or --nodes, or the platform's), lines that can't be read. A run time of 0 becomes
1 second. Job numbers stay.
"""
    + convert.IO_HELP
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", type=Path, metavar="SWF", help="the log")
    parser.add_argument(
        "--size",
        choices=("allocated", "requested"),
        default="allocated",
        help="which number of processors a job has (the other where it is unknown) [%(default)s]",
    )
    add_word(parser, "--processors-per-node", "[MaxProcs / MaxNodes of the header, or 1]", type=at_least(1))
    parser.add_argument(
        "--dependencies",
        choices=("recorded", "shift"),
        default="recorded",
        help="fields 17 and 18: submit jobs when the log says (counted), or no earlier than the"
        " recorded end of the job before plus the think time [%(default)s]",
    )
    convert.add_strict(parser)
    convert.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.account import Report
    from batfs.workload.swf import SwfOptions, read_swf

    report = Report(args.log.name)
    options = SwfOptions(args.size, args.processors_per_node, args.strict, args.dependencies)
    log = read_swf(args.log, options, report, common.Progress("lines read"))
    return convert.finish(args, log.jobs, log.nodes, report)
