"""``batfs workload from-wfcommons``."""

from __future__ import annotations

import argparse
from pathlib import Path

from batfs.cli.workloads import convert
from batfs.parsing import add_word, at_least

HELP = """convert a workflow instance of WfCommons (WfFormat)

  batfs workload from-wfcommons montage.json --io-on lustre -o montage-w.json

Each task is a job, all are submitted at 0. Each file is a data set: a job that reads what another writes
waits for it (missing = wait), what nobody writes was there before. A task has as many nodes as it had
machines, or its cores over --processors-per-node. Bytes are those measured, or the sizes of its files.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instance", type=Path, metavar="INSTANCE", help="the instance, JSON")
    convert.add_io_on(parser)
    add_word(parser, "--processors-per-node", old=("--cores-per-node",), type=at_least(1))
    convert.add_arguments(parser, io=False)


def run(args: argparse.Namespace) -> int:
    from batfs.workload.account import Report
    from batfs.workload.wfcommons import WfOptions, read_instance

    report = Report(args.instance.name)
    options = WfOptions(args.filesystem, args.processors_per_node)
    return convert.finish(args, read_instance(args.instance, options, report), None, report)
