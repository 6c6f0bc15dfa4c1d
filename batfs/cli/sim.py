"""``batfs sim``: Batsim's own command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from batfs.errors import InputError
from batfs.parsing import at_least, seconds

HELP = """Simulate as Batsim 4.2.1 does, with Batsim's own flags: connects to a decision process
(batfs-sched, pybatsim, any other of protocol 4) and gives the same times and the same files.
With --protocol 5 as Batsim 5.0.0-rc2 does, with that one's flags: batfs sim --protocol 5 --help

examples:
  batfs-sched --policy round_robin &
  batfs sim -p platforms/taurus_storage.xml -w workloads/io.json -e out/run

  pybatsim schedFcfs &
  batfs sim -p cluster.xml -w jobs.json --mmax 32 -r 'nas1,nas2:storage'
"""

# Batsim's flags for what batfs doesn't simulate: (flags, takes a value, what it is)
_REFUSED = (
    (("-E", "--energy"), 0, "energy"),
    (("-W", "--workflow"), 1, "workflows"),
    (("--WS", "--workflow-start"), 2, "workflows"),
    (("--enable-redis",), 0, "redis"),
)


class _Refuse(argparse.Action):
    """A flag of Batsim for something batfs doesn't simulate."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        raise InputError(f"{option}: batfs doesn't simulate {self.const}", hint="Batsim does")


def choose(words: Sequence[str]) -> ModuleType:
    """The module of the command line that ``words`` ask for: Batsim 5's flags are others."""
    import sys

    from batfs.cli import sim5

    for word, following in zip(words, [*words[1:], ""], strict=False):
        if "--protocol=5" in (word, f"{word}={following}"):
            return sim5
    return sys.modules[__name__]


def add_protocol(group: argparse._ArgumentGroup, default: str) -> None:
    """The flag that says which generation of Batsim is simulated."""
    group.add_argument(
        "--protocol", choices=("4", "5"), default=default, help="the generation of Batsim [%(default)s]"
    )


def add_patience(group: argparse._ArgumentGroup) -> None:
    """The flag that says how long to wait for a decision process."""
    group.add_argument(
        "--connect-timeout",
        metavar="TIME",
        type=seconds,
        default=60.0,
        help="how long to wait for its first answer; 0: for ever [60s]",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("input")
    source.add_argument("-p", "--platform", metavar="FILE", required=True, help="the platform, SimGrid XML")
    source.add_argument(
        "-w",
        "--workload",
        metavar="FILE",
        action="append",
        default=[],
        help="a workload, Batsim JSON (repeatable; none: what the decision process registers)",
    )
    source.add_argument(
        "--events",
        metavar="FILE",
        action="append",
        default=[],
        help="external events, one JSON object a line (repeatable)",
    )
    source.add_argument("--forward-unknown-events", action="store_true", help="pass unknown events on")
    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "-m", "--master-host", metavar="HOST", default="master_host", help="the master [%(default)s]"
    )
    machine.add_argument(
        "-r", "--add-role-to-hosts", metavar="HOSTS:ROLE", action="append", default=[],
        help="roles, such as 'nas1,nas2:storage' (repeatable)",
    )  # fmt: skip
    machine.add_argument(
        "--mmax", metavar="N", type=int, default=0, help="use only the first N compute nodes [0: all]"
    )
    machine.add_argument(
        "--mmax-workload", action="store_true", help="use as many nodes as the workloads' nb_res"
    )
    machine.add_argument(
        "--enable-compute-sharing", action="store_true", help="several jobs may share a compute node"
    )
    machine.add_argument(
        "--disable-storage-sharing", action="store_true", help="a storage takes one job at a time"
    )
    machine.add_argument(
        "--sg-cfg",
        metavar="NAME:VALUE",
        action="append",
        default=[],
        help="a SimGrid option, such as network/TCP-gamma:65536",
    )
    machine.add_argument(
        "--sg-log", metavar="OPTION", action="append", default=[], help="accepted, no effect"
    )
    process = parser.add_argument_group("the decision process")
    add_protocol(process, "4")
    process.add_argument(
        "-s",
        "--socket-endpoint",
        metavar="ENDPOINT",
        default="tcp://localhost:28000",
        help="where it listens [%(default)s]",
    )
    add_patience(process)
    process.add_argument(
        "--forward-profiles-on-submission", action="store_true", help="send profiles with jobs"
    )
    process.add_argument(
        "--enable-dynamic-jobs", action="store_true", help="it may register jobs and profiles"
    )
    process.add_argument("--acknowledge-dynamic-jobs", action="store_true", help="announce its jobs to it")
    process.add_argument("--enable-profile-reuse", action="store_true", help="keep profiles of finished jobs")
    either = process.add_mutually_exclusive_group()
    either.add_argument("--sched-cfg", metavar="TEXT", default="", help="configuration passed to it")
    either.add_argument("--sched-cfg-file", metavar="FILE", help="the same from a file")
    process.add_argument("--no-sched", action="store_true", help="none: start every job at once")
    output = parser.add_argument_group("output")
    output.add_argument(
        "-e", "--export", metavar="PREFIX", default="out", help="prefix of the output files [%(default)s]"
    )
    output.add_argument("--disable-schedule-tracing", action="store_true", help="no _schedule.trace")
    output.add_argument("--disable-machine-state-tracing", action="store_true", help="no _machine_states.csv")
    output.add_argument(
        "-v", "--verbosity", choices=("quiet", "network-only", "information", "debug"), default="information",
        help="what to say on stderr [%(default)s]; network-only and debug show the messages",
    )  # fmt: skip
    output.add_argument("-q", "--quiet", action="store_true", help="the same as -v quiet")
    output.add_argument(
        "--dump-execution-context", action="store_true", help="print the settings as JSON and stop"
    )
    output.add_argument("--version", action="version", version=_version(), help="print the version and stop")
    output.add_argument(
        "--simgrid-version",
        action="version",
        version="3.34.0",
        help="print which SimGrid's numbers these are and stop",
    )
    idle = parser.add_argument_group("Batsim's, without effect as long as redis and workflows are off")
    idle.add_argument("--redis-hostname", metavar="HOST", default="127.0.0.1", help=argparse.SUPPRESS)
    idle.add_argument("--redis-port", metavar="PORT", type=int, default=6379, help=argparse.SUPPRESS)
    idle.add_argument("--redis-prefix", metavar="PREFIX", default="default", help=argparse.SUPPRESS)
    idle.add_argument(
        "--workflow-jobs-limit", metavar="N", type=at_least(0), default=0, help=argparse.SUPPRESS
    )
    idle.add_argument("--ignore-beyond-last-workflow", action="store_true", help=argparse.SUPPRESS)
    refused = parser.add_argument_group("Batsim's, refused here (energy, workflows, redis)")
    for flags, count, what in _REFUSED:
        refused.add_argument(
            *flags, action=_Refuse, nargs=count, const=what, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _version() -> str:
    from batfs import __version__

    return f"batfs {__version__} (the numbers of Batsim v4.2.1)"


def run(args: argparse.Namespace) -> int:
    from batfs.simulator.command import run_command

    return run_command(args)
