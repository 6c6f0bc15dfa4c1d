"""``batfs reproduce``: published experiments, run again, beside what was published."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

HELP = """reproduce a published experiment, and show ours beside theirs

  batfs reproduce kopanski2021                       the first 1000 jobs under the paper's eight policies
  batfs reproduce kopanski2021 --workload full       the whole log of 28,453 jobs
"""

# experiment -> one line; each is a module of batfs.cli.reproductions, imported when it is called
EXPERIMENTS: dict[str, str] = {
    "kopanski2021": "plan-based scheduling with shared burst buffers (Kopanski and Rzadca, Euro-Par 2021)",
}


class Experiment(Protocol):
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


class _Experiments(argparse.ArgumentParser):
    """The parser of one experiment: its arguments are added when it is used, so only it is imported."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        module = importlib.import_module(f"batfs.cli.reproductions.{self.prog.rsplit(' ', 1)[-1]}")
        experiment = cast(Experiment, module)
        self.description = experiment.HELP
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        experiment.add_arguments(self)
        self.set_defaults(experiment=experiment)
        return super().parse_known_args(args, namespace)

    def error(self, message: str):  # type: ignore[no-untyped-def]
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    experiments = parser.add_subparsers(metavar="EXPERIMENT", required=True, parser_class=_Experiments)
    for name, line in EXPERIMENTS.items():
        experiments.add_parser(name, help=line)


def run(args: argparse.Namespace) -> int:
    experiment: Experiment = args.experiment
    return experiment.run(args)
