"""The ``batfs`` command: finds the subcommand, runs it, and turns errors into one clear line.

A subcommand is a module ``batfs.cli.<name>`` with ``HELP``, ``add_arguments(parser)`` and
``run(args) -> int``; it is imported only when it is called, so that start-up stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from batfs import __version__, process

if TYPE_CHECKING:
    from batfs.parsing import Parser

# name -> (module, one line); the order is that of the help page
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("batfs.cli.run", "simulate a workload on a platform under allocation and queue policies"),
    "sim": ("batfs.cli.sim", "Batsim's command line: a simulator for any decision process of Batsim 4 or 5"),
    "compare": ("batfs.cli.compare", "compare policies over workloads and seeds"),
    "size": ("batfs.cli.size", "the cheapest size of storage, nodes or bandwidth that meets a target"),
    "report": ("batfs.cli.report", "figures and an HTML report of one or more runs"),
    "check": ("batfs.cli.check", "check platform files, against a baseline if you have one"),
    "explain": ("batfs.cli.explain", "show where one job's bytes would go, and what limits them"),
    "gallery": ("batfs.cli.gallery", "one workload under each file-system model, side by side"),
    "platform": ("batfs.cli.platform", "make, draw and compare platforms"),
    "calibrate": ("batfs.cli.calibrate", "from measurements to the parameters of a machine's models"),
    "workload": ("batfs.cli.workload", "make, convert and describe workloads"),
    "alloc": ("batfs.cli.alloc", "replay storage requests without nodes (StorAlloc's job)"),
    "verify": ("batfs.cli.verify", "replay recordings of Batsim and compare with SimGrid, on this machine"),
    "reproduce": ("batfs.cli.reproduce", "reproduce a published experiment"),
    "service": ("batfs.cli.service", "the storage service: orchestrator, server, client"),
    "new": ("batfs.cli.new", "a policy, queue policy or model of your own to start from, with its test"),
    "list": ("batfs.cli.list", "what there is: policies, queues, models, selections, presets"),
    "help": ("batfs.cli.help", "explain a command"),
    "completion": ("batfs.cli.completion", "completion of commands and flags for bash, zsh and fish"),
}

# these leave nothing behind that wants an orderly end of the interpreter
_QUICK = ("run", "sim", "reproduce")


def make_parser() -> Parser:
    """The parser of ``batfs``; the flags of a command are there once it is called or asked for."""
    from batfs.parsing import Parser, commands

    parser = Parser(prog="batfs", description="Storage-aware scheduling for Batsim.")
    commands(parser, COMMANDS, dest="first")
    return parser


def usage() -> str:
    """What ``batfs --help`` prints."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: batfs COMMAND [OPTION...]",
            "",
            "Storage-aware scheduling for Batsim: file-system models, allocation policies, a simulator.",
            "",
            "commands:",
            *lines,
            "",
            "Start with:  batfs run -p platforms/taurus_storage.xml -w workloads/io.json --policy random",
            "Each command explains itself:  batfs help COMMAND",
            "Exit codes: 0 done, 1 could not be done (or found what it looked for), 2 bad input,",
            "70 a defect of batfs, 130 interrupted, 141 the reader of the output is gone",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for bad input)."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words else ""
    if name not in COMMANDS or words == ["help"]:
        return process.guarded("batfs", lambda: _no_command(name))
    return process.guarded(f"batfs {name}", lambda: _run(name, words[1:]))


def _run(name: str, words: Sequence[str]) -> int:
    from batfs.parsing import Parser

    # its parser alone: those of all commands take longer to make than its flags to read
    one = Parser(prog=f"batfs {name}")
    one.module = COMMANDS[name][0]
    args = one.parse_args(words)
    code: int = args.run(args)
    return code


def script() -> NoReturn:
    """The program ``batfs``: :func:`main` as a process of its own."""
    code = process.program("batfs", main)
    if sys.argv[1:2] and sys.argv[1] in _QUICK:
        process.end(code)
    sys.exit(code)


def _no_command(name: str) -> int:
    if name in ("", "-h", "--help", "help"):
        print(usage())
        return 0 if name else 2
    if name in ("--version", "-V"):
        print(f"batfs {__version__}")
        return 0
    from batfs.errors import nearest

    close = nearest(name, COMMANDS)
    hint = f"; did you mean '{close}'?" if close else ""
    print(f"batfs: unknown command {name!r}{hint}\nTry 'batfs --help'.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    script()
