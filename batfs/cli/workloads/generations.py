"""``batfs workload convert``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from batfs.cli.workloads import common
from batfs.workload.batsim import read_workload
from batfs.workload.generations import convert

HELP = """a workload of Batsim 4 as one of Batsim 5, or back: the same simulation, to the last digit

  batfs workload convert --to batsim5 workloads/io.json -o io5.json
  batfs workload convert --to batsim4 io5.json -o io4.json

Which one the file is of, its types of profiles say. Members that Batsim 5 doesn't forward (io_reads,
io_writes, io) go into extra_data, and come back from there. Profiles whose amounts depend on the number of
nodes in the other form are made once for each number. What can't be said there is counted: the conversion is
then refused, or with --leave-out done without these jobs.
"""

_GENERATIONS = {"batsim4": 4, "batsim5": 5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", type=Path, metavar="WORKLOAD")
    parser.add_argument("--to", choices=tuple(_GENERATIONS), required=True, help="the form to write")
    parser.add_argument("--leave-out", action="store_true", help="leave out jobs that can't be said in it")
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    workload = read_workload(args.workload)
    made, changes = convert(workload, _GENERATIONS[args.to], leave_out=args.leave_out)
    common.write(made, args.output)
    stream = sys.stdout if args.output is not None else sys.stderr
    for title, counts in (("left out", changes.left_out), ("changed", changes.changed)):
        for rule, count in counts.items():
            print(f"  {title}: {count:>7}  {rule}", file=stream)
    return 0
