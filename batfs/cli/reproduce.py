"""``batfs reproduce``: published experiments and recorded machines, run again beside what was measured."""

from __future__ import annotations

from batfs.parsing import Parser, commands

HELP = """run a published experiment again, beside what was published

  batfs reproduce daly2006
  batfs reproduce flux_rabbit
  batfs reproduce kopanski2021
  batfs reproduce periodic_io
  batfs reproduce theta theta2022_week4.yaml

Each experiment explains itself: batfs reproduce EXPERIMENT --help
"""

EXPERIMENTS = {
    "daly2006": (
        "batfs.cli.reproductions.daly2006",
        "the optimum checkpoint interval, simulated beside its closed form (FGCS 2006)",
    ),
    "flux_rabbit": (
        "batfs.cli.reproductions.flux_rabbit",
        "nodes idle while data is copied in: held, ahead and in two steps, on 1152 nodes with Rabbits",
    ),
    "io500": (
        "batfs.cli.reproductions.io500",
        "public IO500 submissions: calibrated machines, and hard figures predicted from easy ones",
    ),
    "kopanski2021": (
        "batfs.cli.reproductions.kopanski2021",
        "queue policies for shared burst buffers on the KTH SP2's jobs (Euro-Par 2021)",
    ),
    "periodic_io": (
        "batfs.cli.reproductions.periodic_io",
        "periodic schedules of I/O, online ones and congestion, on ten sets of applications (PMBS 2017)",
    ),
    "theta": (
        "batfs.cli.reproductions.theta",
        "a week of ANL's Theta: simulated against measured seconds of I/O",
    ),
}


def add_arguments(parser: Parser) -> None:
    commands(parser, EXPERIMENTS, dest="experiment")
