"""``batfs workload cut``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.parsing import add_word, at_least, duration

HELP = """a part of a workload: a window of time, the first jobs, some sizes, some ids

  batfs workload cut kth.json --first 1000 -o first.json
  batfs workload cut kth.json --begin 4w --end 7w -o part.json
  batfs workload cut kth.json --split 3w -o part.json       writes part-0.json, part-1.json, ...

Times are counted from the first submission. The jobs that stay keep their ids; their times then start at
--begin (with --ids at the first of them) unless --keep-times.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_workload(parser)
    add = parser.add_argument
    add("--begin", type=duration, metavar="TIME", help="jobs submitted from this time on, such as 2w or 36h")
    add("--end", type=duration, metavar="TIME", help="jobs submitted before this time")
    add("--first", type=at_least(1), metavar="N", help="at most so many jobs")
    add("--min-nodes", type=at_least(0), metavar="N", help="jobs of at least so many nodes")
    add("--max-nodes", type=at_least(0), metavar="N", help="jobs of at most so many nodes")
    add("--ids", metavar="ID,ID", help="only these jobs")
    add_word(parser, "--keep-times", action="store_true")
    add("--split", type=duration, metavar="TIME", help="cut all of it into parts of this length")
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.batsim import read_workload
    from batfs.workload.transform import Cut, cut

    workload = read_workload(args.workload)
    if args.split is not None:
        return _split(args)
    part = Cut(
        begin=args.begin or 0.0,
        end=math.inf if args.end is None else args.end,
        first=args.first,
        least=1 if args.min_nodes is None else args.min_nodes,
        most=args.max_nodes,
        ids=None if args.ids is None else frozenset(args.ids.split(",")),
        keep_times=args.keep_times,
    )
    common.write(cut(workload, part), args.output)
    return 0


def _split(args: argparse.Namespace) -> int:
    from batfs.workload.batsim import read_workload, write_workload
    from batfs.workload.transform import split

    if args.output is None:
        raise InputError("--split writes several files: name the first part of their names with -o")
    output: Path = args.output
    for number, part in enumerate(split(read_workload(args.workload), args.split)):
        path = output.with_name(f"{output.stem}-{number}{output.suffix or '.json'}")
        write_workload(path, part)
        print(f"{path}: {common.summary(part)}")
    return 0
