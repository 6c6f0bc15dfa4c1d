"""``batfs workload``: make, convert, check and describe workloads."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol, cast

HELP = """make, convert and describe workloads

A workload is Batsim's JSON: jobs, and the profiles that say what they do. Examples:

  batfs workload synth --preset io -o workloads/io.json
  batfs workload from-log sacct.txt --io lognormal -o w.json
  batfs workload from-swf KTH-SP2-1996-2.1-cln.swf --io lognormal -o kth.json
  batfs workload describe kth.json --figure kth.png
  batfs workload cut kth.json --first 1000 -o first.json
"""

# verb -> one line; each is a module of batfs.cli.workloads
VERBS: dict[str, str] = {
    "synth": "generate a workload: arrivals, sizes, run times, I/O volumes by documented distributions",
    "from-log": "convert a scheduler's log or a published job table, known by its content",
    "from-swf": "convert a log in the standard workload format 2.2",
    "from-darshan": "convert Darshan logs, joined with a scheduler log",
    "from-storalloc": "convert a trace of StorAlloc or Fives",
    "convert": "a workload of another generation of Batsim: 1, 2, 4 or 5",
    "describe": "a page of statistics, and a figure",
    "check": "load strictly and look for traps",
    "cut": "a part of a workload: a window, the first jobs, some sizes",
    "scale": "other loads, run times, sizes or volumes",
}
# verbs whose module has another name
_MODULES = {"convert": "generations"}


class Verb(Protocol):
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for name, line in VERBS.items():
        file = _MODULES.get(name, name.replace("-", "_"))
        module = importlib.import_module(f"batfs.cli.workloads.{file}")
        verb = cast(Verb, module)
        command = verbs.add_parser(
            name, help=line, description=verb.HELP, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.add_arguments(command)
        command.set_defaults(verb=verb)


def run(args: argparse.Namespace) -> int:
    verb: Verb = args.verb
    return verb.run(args)
