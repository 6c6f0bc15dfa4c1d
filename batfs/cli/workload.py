"""``batfs workload``: make, convert, check and describe workloads."""

from __future__ import annotations

from batfs.parsing import Parser, commands

HELP = """make, convert and describe workloads

A workload is Batsim's JSON: jobs, and the profiles that say what they do. Examples:

  batfs workload synth --preset io -o workloads/io.json
  batfs workload from-log sacct.txt --io lognormal -o w.json
  batfs workload from-swf KTH-SP2-1996-2.1-cln.swf --io lognormal -o kth.json
  batfs workload describe kth.json --figure kth.png
  batfs workload cut kth.json --first 1000 -o first.json
"""

VERBS = {
    "synth": "generate a workload: arrivals, sizes, run times, I/O volumes by documented distributions",
    "from-log": "convert a scheduler's log or a published job table, known by its content",
    "from-swf": "convert a log in the standard workload format 2.2",
    "from-darshan": "convert Darshan logs, joined with a scheduler log",
    "from-storalloc": "convert a trace of StorAlloc or Fives",
    "from-wfcommons": "convert a workflow instance of WfCommons",
    "convert": "a workload of another generation of Batsim: 1, 2, 4 or 5",
    "describe": "a page of statistics, and a figure",
    "check": "load strictly and look for traps",
    "cut": "a part of a workload: a window, the first jobs, some sizes",
    "scale": "other loads, run times, sizes or volumes",
}
# verbs whose module has another name
_MODULES = {"convert": "generations"}


def add_arguments(parser: Parser) -> None:
    modules = {name: _MODULES.get(name, name.replace("-", "_")) for name in VERBS}
    commands(parser, {n: (f"batfs.cli.workloads.{modules[n]}", line) for n, line in VERBS.items()})
