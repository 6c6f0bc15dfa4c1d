"""``batfs workload scale``."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.units import parse_speed
from batfs.workload.batsim import read_workload
from batfs.workload.transform import Scale, scale

HELP = """the same workload with other loads, times, sizes or volumes

  batfs workload scale w.json --load 0.9 -o busy.json       move submissions together or apart
  batfs workload scale w.json --io 4 -o io4.json            four times the bytes
  batfs workload scale w.json --runtime 0.5 --nodes 2 -o w2.json

--nodes also scales the machine (nb_res); sizes and bytes are rounded up to whole numbers. Ids stay.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", type=Path, metavar="WORKLOAD")
    add = parser.add_argument
    add("--arrivals", type=float, default=1.0, metavar="F", help="time between submissions, times F")
    add("--load", type=float, metavar="L", help="the offered load to reach, by moving submissions")
    add("--runtime", type=float, default=1.0, metavar="F", help="work, sleeps and requested times, times F")
    add("--nodes", type=float, default=1.0, metavar="F", help="nodes of jobs and machine, times F")
    add("--io", type=float, metavar="F", help="bytes read and written, times F")
    add("--reads", type=float, metavar="F", help="bytes read, times F")
    add("--writes", type=float, metavar="F", help="bytes written, times F")
    add(
        "--speed",
        type=common.unit(parse_speed),
        default=1e9,
        metavar="SPEED",
        help="for --load (default 1Gf)",
    )
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    if args.io is not None and (args.reads is not None or args.writes is not None):
        raise InputError("give --io for both or --reads and --writes, not all")
    both = 1.0 if args.io is None else args.io
    by = Scale(
        arrivals=args.arrivals,
        runtime=args.runtime,
        nodes=args.nodes,
        reads=both if args.reads is None else args.reads,
        writes=both if args.writes is None else args.writes,
        load=args.load,
        speed=args.speed,
    )
    common.write(scale(read_workload(args.workload), by), args.output)
    return 0
