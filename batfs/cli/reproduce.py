"""``batfs reproduce``: published experiments and recorded machines, run again beside what was measured."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

HELP = """run a published experiment again, beside what was published

  batfs reproduce kopanski2021
  batfs reproduce theta theta2022_week4.yaml

Each experiment explains itself: batfs reproduce EXPERIMENT --help
"""

# experiment -> one line; each is a module of batfs.cli.reproductions
EXPERIMENTS: dict[str, str] = {
    "kopanski2021": "eight queue policies for shared burst buffers on the KTH SP2's jobs (Euro-Par 2021)",
    "theta": "a week of ANL's Theta: simulated against measured seconds of I/O",
}


class Experiment(Protocol):
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="EXPERIMENT", required=True)
    for name, line in EXPERIMENTS.items():
        experiment = cast(Experiment, importlib.import_module(f"batfs.cli.reproductions.{name}"))
        command = commands.add_parser(
            name,
            help=line,
            description=experiment.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        experiment.add_arguments(command)
        command.set_defaults(run_experiment=experiment)


def run(args: argparse.Namespace) -> int:
    experiment: Experiment = args.run_experiment
    return experiment.run(args)
