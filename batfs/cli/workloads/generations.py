"""``batfs workload convert``."""

from __future__ import annotations

import argparse
import sys

from batfs.cli.workloads import common

HELP = """a workload of Batsim 4 as one of Batsim 5, or back: the same simulation, to the last digit

  batfs workload convert old.json -o new.json       Batsim 1 and 2's profiles (msg_par_hg, ...) as Batsim 4's
  batfs workload convert --to batsim5 workloads/io.json -o io5.json
  batfs workload convert --to batsim4 io5.json -o io4.json

Which one the file is of, its types of profiles say. Members that Batsim 5 doesn't forward (io_reads,
io_writes, io) go into extra_data, and come back from there. Profiles whose amounts depend on the number of
nodes in the other form are made once for each number. What can't be said there is counted: the conversion is
then refused, or with --leave-out done without these jobs.
"""

_GENERATIONS = {"batsim4": 4, "batsim5": 5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_workload(parser)
    parser.add_argument(
        "--to", choices=tuple(_GENERATIONS), default="batsim4", help="the form to write [%(default)s]"
    )
    parser.add_argument("--leave-out", action="store_true", help="leave out jobs that can't be said in it")
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.generations import convert
    from batfs.workload.old_batsim import read_any

    workload, old = read_any(args.workload)
    made, changes = convert(workload, _GENERATIONS[args.to], leave_out=args.leave_out)
    common.write(made, args.output)
    stream = sys.stdout if args.output is not None else sys.stderr
    for title, counts in (("left out", changes.left_out), ("changed", changes.changed), ("renamed", old)):
        for rule, count in counts.items():
            print(f"  {title}: {count:>7}  {rule}", file=stream)
    return 0
