"""``batfs workload scale``."""

from __future__ import annotations

import argparse

from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.parsing import add_option, add_word, speed

HELP = """the same workload with other loads, times, sizes or volumes

  batfs workload scale w.json --load 0.9 -o busy.json       move submissions together or apart
  batfs workload scale w.json --io-by 4 -o io4.json            four times the bytes
  batfs workload scale w.json --runtime-by 0.5 --nodes-by 2 -o w2.json

--nodes-by also scales the machine (nb_res); sizes and bytes are rounded up to whole numbers. Ids stay.
"""


_FACTORS = {
    "arrivals": "time between submissions",
    "runtime": "work, sleeps and requested times",
    "nodes": "nodes of jobs and machine",
    "io": "bytes read and written",
    "reads": "bytes read",
    "writes": "bytes written",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_workload(parser)
    for what, text in _FACTORS.items():
        add_option(
            parser,
            f"--{what}-by",
            old=(f"--{what}",),
            dest=what,
            type=float,
            metavar="F",
            help=f"{text}, times F",
        )
    add_word(parser, "--load", ", to be reached by moving submissions", type=float)
    add_word(parser, "--speed", "(for --load) [1Gf]", type=speed, default=1e9)
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.batsim import read_workload
    from batfs.workload.transform import Scale, scale

    if args.io is not None and (args.reads is not None or args.writes is not None):
        raise InputError("give --io-by for both or --reads-by and --writes-by, not all")
    both = 1.0 if args.io is None else args.io
    by = Scale(
        arrivals=1.0 if args.arrivals is None else args.arrivals,
        runtime=1.0 if args.runtime is None else args.runtime,
        nodes=1.0 if args.nodes is None else args.nodes,
        reads=both if args.reads is None else args.reads,
        writes=both if args.writes is None else args.writes,
        load=args.load,
        speed=args.speed,
    )
    common.write(scale(read_workload(args.workload), by), args.output)
    return 0
