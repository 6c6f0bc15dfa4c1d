"""``batfs help``: the help page of a command, and of its commands."""

from __future__ import annotations

import argparse

from batfs.errors import unknown

HELP = """explain a command

  batfs help                     all commands
  batfs help run
  batfs help workload synth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="a command, and one of its own")


def run(args: argparse.Namespace) -> int:
    from batfs.cli.main import make_parser

    parser = make_parser()
    for word in args.words:
        known = parser.commands()
        if word not in known:
            raise unknown("command", word, known)
        parser = known[word]
    parser.print_help()
    return 0
