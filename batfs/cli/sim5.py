"""``batfs sim --protocol 5``: Batsim 5's command line."""

from __future__ import annotations

import argparse
from typing import Any, Final

from batfs.cli.sim import add_patience, add_protocol
from batfs.errors import InputError

HELP = """Simulate as Batsim 5.0.0-rc2 does, with its own flags: connects to an external decision component
(EDC) that speaks JSON, or loads one from a shared library, and gives the same times.

examples:
  batfs-sched &
  batfs sim --protocol 5 -p platform.xml -w jobs.json -s tcp://localhost:28000 '{"policy": "random"}'

  batfs sim --protocol 5 -p cluster.xml -w jobs.json -l ./libfcfs.so '' -e out/
"""

_ASKED: Final = "the decision component asks for it in its hello"
# flags that are refused: (flags, values, why)
_REFUSED: Final = (
    (("--energy-host",), 0, "batfs doesn't simulate energy"),
    (("--energy-link",), 0, "batfs doesn't simulate energy"),
    (("-E", "--energy"), 0, "batfs doesn't simulate energy"),
    (("--gen-config",), 1, "batfs writes no configuration files"),
    (("--enable-dynamic-jobs",), 0, f"{_ASKED} (dynamic_registration)"),
    (("--acknowledge-dynamic-jobs",), 0, f"{_ASKED} (acknowledge_dynamic_jobs)"),
    (("--enable-profile-reuse",), 0, f"{_ASKED} (profile_reuse)"),
    (("--forward-profiles-on-submission",), 0, f"{_ASKED} (forward_profiles_on_job_submission)"),
    (("--enable-compute-sharing",), 0, "Batsim 5 always allows it"),
    (("--disable-storage-sharing",), 0, "Batsim 5 always allows storage sharing"),
    (("--sched-cfg",), 1, "the init string of -s takes its place"),
    (("--sched-cfg-file",), 1, "the init file of -S takes its place"),
    (("--no-sched",), 0, "Batsim 5 always has a decision component"),
)


class _Refuse(argparse.Action):
    """A flag that isn't taken, and why."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        raise InputError(f"{option}: {self.const}")


class _Config(argparse.Action):
    """``-c FILE``: the file's members stand for flags of the same names."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        from batfs.simulator.v5.command import config_words

        parser.parse_args(config_words(values), namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("input")
    source.add_argument("-p", "--platform", metavar="FILE", help="the platform, SimGrid XML")
    source.add_argument(
        "-w", "--workload", metavar="FILE", nargs="+", action="extend", default=[],
        help="a workload, Batsim 5 JSON (repeatable; may be left out)",
    )  # fmt: skip
    source.add_argument(
        "--ee", "--external-events", metavar="FILE", nargs="+", action="extend", default=[], dest="events",
        help="external events, one JSON object a line (repeatable)",
    )  # fmt: skip
    source.add_argument("-c", "--config", metavar="FILE", action=_Config, help="flags from a TOML file")
    component = parser.add_argument_group("the external decision component (exactly one)")
    add_protocol(component, "5")
    pairs = (
        (
            "-s",
            "--edc-socket-str",
            ("ENDPOINT", "STRING"),
            "a process: where it listens, and its init string",
        ),
        ("-S", "--edc-socket-file", ("ENDPOINT", "FILE"), "the same, the init string from a file"),
        (
            "-l",
            "--edc-library-str",
            ("LIBRARY", "STRING"),
            "a shared library that takes JSON, and its init string",
        ),
        ("-L", "--edc-library-file", ("LIBRARY", "FILE"), "the same, the init string from a file"),
    )
    for short, long, metavar, text in pairs:
        component.add_argument(short, long, metavar=metavar, nargs=2, action="append", default=[], help=text)
    add_patience(component)
    component.add_argument(
        "--edc-library-load-method", choices=("dlopen", "dlmopen"), default="dlopen",
        help="accepted; libraries are loaded with dlopen",
    )  # fmt: skip
    machine = parser.add_argument_group("the machine")
    machine.add_argument(
        "-m", "--master-host", metavar="HOST", default="master_host", help="the master [%(default)s]"
    )
    machine.add_argument(
        "-r", "--add-role", metavar=("HOST", "ROLE"), nargs=2, action="append", default=[],
        help="a role of a host: master, storage, compute_node (repeatable)",
    )  # fmt: skip
    machine.add_argument(
        "--mmax", metavar="N", type=int, default=0, help="use only the first N compute hosts [0: all]"
    )
    machine.add_argument(
        "--mmax-workload", action="store_true", help="use as many hosts as the workloads' nb_res"
    )
    machine.add_argument(
        "--sg-cfg", metavar="NAME:VALUE", nargs="+", action="extend", default=[],
        help="a SimGrid option, such as network/TCP-gamma:65536",
    )  # fmt: skip
    machine.add_argument(
        "--sg-log", metavar="OPTION", action="append", default=[], help="accepted, no effect"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-e", "--export", metavar="PREFIX", default="out/", help="prefix of the output files [%(default)s]"
    )
    output.add_argument("--trace-machine-state", action="store_true", help="write PREFIXmachine_states.csv")
    output.add_argument("--trace-pstate-changes", action="store_true", help="write PREFIXpstate_changes.csv")
    output.add_argument(
        "--trace-probe-data", choices=("always", "never", "auto"), default="auto", help="accepted, no effect"
    )
    output.add_argument(
        "-v", "--verbosity", choices=("quiet", "info", "debug"), default="info",
        help="what to say on stderr [%(default)s]; debug shows the messages",
    )  # fmt: skip
    output.add_argument("-q", "--quiet", action="store_true", help="the same as -v quiet")
    output.add_argument(
        "--dump-execution-context", action="store_true", help="print the settings as JSON and stop"
    )
    output.add_argument(
        "--version",
        "--batsim-version",
        action="version",
        version=_version(),
        help="print the version and stop",
    )
    output.add_argument(
        "--simgrid-version", action="version", version="4.1.0",
        help="print which SimGrid's numbers these are and stop",
    )  # fmt: skip
    refused = parser.add_argument_group("refused here")
    for flags, count, why in _REFUSED:
        refused.add_argument(
            *flags, action=_Refuse, nargs=count, const=why, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )


def _version() -> str:
    from batfs import __version__

    return f"batfs {__version__} (the numbers of Batsim v5.0.0-rc2)"


def run(args: argparse.Namespace) -> int:
    from batfs.simulator.v5.command import run_command

    return run_command(args)
