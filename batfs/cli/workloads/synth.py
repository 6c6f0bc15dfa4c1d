"""``batfs workload synth``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import fields

from batfs.cli.workloads import common
from batfs.errors import InputError, unknown
from batfs.parsing import add_option, add_word, bandwidth, duration, size, speed

HELP = """generate a workload

Sizes, run times and arrivals follow Lublin and Feitelson (2003); requested times are round numbers above
the expected time; I/O volumes come from a named model. The same options and seed give the same file, byte
for byte, anywhere. The formulas are in docs/reference/generator.md.

  batfs workload synth -n 1000 --nodes 128 --seed 7 -o w.json
  batfs workload synth --nodes 16 --io rate:median=20MBps,sigma=1.2 \\
      --io-on lustre:weight=4 --io-on nfs:weight=1,scale=0.4,most=40GB -o w.json
  batfs workload synth --preset io -o workloads/io.json

I/O models (--io NAME:option=value,...):
  rate        bytes per node and second of run time, log-normal (median, sigma, reads, probability, most)
  lognormal   bytes per node, log-normal, whatever the run time (median, sigma, reads, probability, most)
  time_share  a share of the run time spent in I/O at a bandwidth (bandwidth, mean, reads)
  constant    the same bytes per node for all (reads, writes)
  none        no I/O

Jobs that compute, read and write over and over (--iterations NAME:option=value,..., in the place of --io):
  io_sets     characteristic times a decade apart (fast, medium, slow, their weights n_fast, ..., share, ...)
  hacc        checkpoints of so many particles a process (every, particles, sigma, processes, restart)
  recorded    the rhythms of a workload from Darshan logs (file, speed)
  constant    the same for all (every, reads, writes)
"""


#: what the help page says of them; batfs.workload, which has both, is imported when there is something to do
PRESETS = ("io", "io_composed", "io_example")
DEFAULTS: Mapping[str, object] = {
    "jobs": 300,
    "nodes": 16,
    "seed": 1,
    "load": 0.8,
    "load_over": "submissions",
    "arrivals": "lublin",
    "io": "rate",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--preset",
        metavar="PRESET",
        help=f"one of the workloads that come with batfs, {', '.join(PRESETS)}; no other option",
    )
    add_word(parser, "--count", f"jobs [{DEFAULTS['jobs']}]", old=("--jobs",), dest="jobs", type=int)
    add_word(parser, "--nodes", f"of the machine [{DEFAULTS['nodes']}]", type=int)
    add("--largest", type=int, metavar="N", help="nodes of the largest job [those of the machine]")
    add_word(parser, "--seed", f"[{DEFAULTS['seed']}]", type=int)
    add_word(parser, "--load", f"[{DEFAULTS['load']}]", type=float)
    add(
        "--load-over",
        choices=("submissions", "gaps"),
        help="the time that the load is over: from the first submission to the last, or one gap more and "
        f"before the daily cycle, as older workloads have it [{DEFAULTS['load_over']}]",
    )
    add(
        "--arrivals",
        choices=("lublin", "poisson"),
        help=f"how jobs arrive: Lublin and Feitelson's model, or evenly at random [{DEFAULTS['arrivals']}]",
    )
    add("--no-cycle", dest="daily_cycle", action="store_false", default=None, help="no day and night")
    add("--shortest", type=duration, metavar="TIME", help="shortest run time [10s]")
    add("--longest", type=duration, metavar="TIME", help="longest run time [exp(12) s]")
    add_word(parser, "--speed", "[1Gf]", type=speed)
    add_word(parser, "--com", "(the median)", type=size)
    add_option(
        parser,
        "--overestimate",
        old=("--estimate",),
        dest="estimate",
        type=float,
        metavar="F",
        help="requested times are up to F times too long [5]",
    )
    add(
        "--bandwidth",
        type=bandwidth,
        metavar="BW",
        help="what users expect of the storage when they estimate [100MBps a job]",
    )
    add_word(parser, "--io", f"and its options [{DEFAULTS['io']}]")
    add(
        "--iterations",
        metavar="RHYTHM",
        help="how often jobs do their I/O, and how much each time, and its options [once, by --io]",
    )
    add_word(
        parser,
        "--io-on",
        ", W times as often as others, volumes times S, at most SIZE each way; again for more [totals alone, "
        "the configuration chooses]",
        old=("--filesystem",),
        dest="filesystems",
        action="append",
        metavar="FS[:weight=W,scale=S,most=SIZE]",
    )
    common.add_output(parser)


def run(args: argparse.Namespace) -> int:
    from batfs.workload import presets
    from batfs.workload.synth import SynthOptions, parse_share, synthesize

    names = [field.name for field in fields(SynthOptions)]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.preset is not None:
        if given:
            raise InputError(f"--preset stands alone, found also: {', '.join(sorted(given))}")
        if args.preset not in presets.PRESETS:
            raise unknown("preset", args.preset, presets.PRESETS)
        workload = presets.PRESETS[args.preset]("w0")
    else:
        if "iterations" in given and "io" in given:
            raise InputError("--iterations and --io each say what jobs read and write", hint="give one")
        if "filesystems" in given:
            given["filesystems"] = tuple(parse_share(text) for text in given["filesystems"])
        workload = synthesize(SynthOptions(**given))
    common.write(workload, args.output)
    return 0
