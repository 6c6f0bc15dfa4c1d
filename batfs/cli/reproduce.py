"""``batfs reproduce``: published experiments and recorded machines, run again beside what was measured."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

from batfs.errors import unknown

HELP = """run a published experiment again, beside what was published

experiments:
  kopanski2021  queue policies for shared burst buffers on the KTH SP2's jobs (Euro-Par 2021)
  theta         a week of ANL's Theta: simulated against measured seconds of I/O

  batfs reproduce kopanski2021
  batfs reproduce theta theta2022_week4.yaml

Each experiment explains itself: batfs reproduce EXPERIMENT --help
"""

# each is a module of batfs.cli.reproductions, imported when it is called
EXPERIMENTS = ("kopanski2021", "theta")


class Experiment(Protocol):
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="...", help="the experiment's own arguments"
    )
    parser.set_defaults(parser=parser)


def run(args: argparse.Namespace) -> int:
    if args.experiment not in EXPERIMENTS:
        raise unknown("experiment", args.experiment, EXPERIMENTS)
    module = importlib.import_module(f"batfs.cli.reproductions.{args.experiment}")
    experiment = cast(Experiment, module)
    parser = type(args.parser)(
        prog=f"{args.parser.prog} {args.experiment}",
        description=experiment.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    experiment.add_arguments(parser)
    return experiment.run(parser.parse_args(args.words))
