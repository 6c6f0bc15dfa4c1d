"""``batfs workload synth``."""

from __future__ import annotations

import argparse
from dataclasses import fields

from batfs.cli.workloads import common
from batfs.errors import InputError
from batfs.units import parse_bandwidth, parse_size, parse_speed, parse_time
from batfs.workload.presets import PRESETS
from batfs.workload.synth import SynthOptions, parse_share, synthesize

HELP = """generate a workload

Sizes, run times and arrivals follow Lublin and Feitelson (2003); requested times are round numbers above
the expected time; I/O volumes come from a named model. The same options and seed give the same file, byte
for byte, anywhere. The formulas are in docs/reference/generator.md.

  batfs workload synth --jobs 1000 --nodes 128 --seed 7 -o w.json
  batfs workload synth --nodes 16 --io rate:median=20MBps,sigma=1.2 \\
      --filesystem lustre:weight=4 --filesystem nfs:weight=1,scale=0.4,most=40GB -o w.json
  batfs workload synth --preset io -o workloads/io.json

I/O models (--io NAME:option=value,...):
  rate        bytes per node and second of run time, log-normal (median, sigma, reads, probability, most)
  lognormal   bytes per node, log-normal, whatever the run time (median, sigma, reads, probability, most)
  time_share  a share of the run time spent in I/O at a bandwidth (bandwidth, mean, reads)
  constant    the same bytes per node for all (reads, writes)
  none        no I/O
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = SynthOptions()
    add = parser.add_argument
    add(
        "--preset", choices=sorted(PRESETS), help="one of the workloads that come with batfs; no other option"
    )
    add("--jobs", type=int, metavar="N", help=f"how many jobs (default {default.jobs})")
    add("--nodes", type=int, metavar="N", help=f"nodes of the machine (default {default.nodes})")
    add("--largest", type=int, metavar="N", help="nodes of the largest job (default: the machine)")
    add("--seed", type=int, metavar="N", help=f"seed of all draws (default {default.seed})")
    add("--load", type=float, help=f"node-seconds over nodes x time (default {default.load})")
    add(
        "--load-over",
        choices=("submissions", "gaps"),
        help="the time that the load is over: from the first submission to the last, or one gap more and "
        f"before the daily cycle, as older workloads have it (default {default.load_over})",
    )
    add("--arrivals", choices=("lublin", "poisson"), help=f"(default {default.arrivals})")
    add("--no-cycle", dest="daily_cycle", action="store_false", default=None, help="no day and night")
    add("--shortest", type=common.unit(parse_time), metavar="TIME", help="shortest run time (default 10s)")
    add(
        "--longest", type=common.unit(parse_time), metavar="TIME", help="longest run time (default exp(12) s)"
    )
    add(
        "--speed", type=common.unit(parse_speed), metavar="SPEED", help="speed of a node's core (default 1Gf)"
    )
    add(
        "--com",
        type=common.unit(parse_size),
        metavar="SIZE",
        help="median bytes from each node to each other",
    )
    add("--estimate", type=float, metavar="F", help="requested times are up to F times too long (default 5)")
    add(
        "--bandwidth",
        type=common.unit(parse_bandwidth),
        metavar="BW",
        help="what users expect of the storage when they estimate (default 100MBps a job)",
    )
    add("--io", metavar="MODEL", help=f"I/O model and its options (default {default.io})")
    add(
        "--filesystem",
        dest="filesystems",
        action="append",
        metavar="NAME[:weight=W,scale=S,most=SIZE]",
        help="a file system jobs use, W times as often as others, volumes times S, at most SIZE each way;"
        " again for more (default: totals alone, the configuration chooses)",
    )
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    names = [field.name for field in fields(SynthOptions)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.preset is not None:
        if given:
            raise InputError(f"--preset stands alone, found also: {', '.join(sorted(given))}")
        workload = PRESETS[args.preset]("w0")
    else:
        if "filesystems" in given:
            given["filesystems"] = tuple(parse_share(text) for text in given["filesystems"])
        workload = synthesize(SynthOptions(**given))
    common.write(workload, args.output)
    return 0
