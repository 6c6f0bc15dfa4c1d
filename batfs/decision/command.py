"""``batfs-sched``: batfs's scheduler as the decision process of Batsim (or of ``batfs sim``)."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from batfs import __version__, process
from batfs.decision.options import add_scheduler_arguments, settings_from
from batfs.decision.signals import termination_raises
from batfs.errors import BatfsError

EPILOG = """\
examples:
  batfs-sched --policy random &                       listen, then start Batsim beside it:
  batsim -p platforms/taurus_storage.xml -w workloads/io.json -e out/io

  batfs-sched --queue easy --policy worst_fit -e out/io      also write out/io_io_jobs.csv, ...
  batfs-sched --config my.toml -s tcp://127.0.0.1:28001

Batsim's own --sched-cfg may hold settings too: a JSON object, TOML, or the name of a file. Flags given here
win over it, and it wins over --config. Exit code: 0 when the simulation was completed, 1 when Batsim went
away before its end, 2 for wrong settings.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry '{self.prog} --help'.\n")


def make_parser() -> argparse.ArgumentParser:
    """All flags."""
    parser = _Parser(
        prog="batfs-sched",
        description="A storage-aware scheduler for Batsim 4: reads io_reads, io_writes and io from job "
        "profiles, allocates storage under a policy, and gives Batsim the I/O of each job.",
        epilog=EPILOG,
        formatter_class=process.HelpFormatter,
    )
    parser.add_argument(
        "-s",
        "--socket-endpoint",
        metavar="ENDPOINT",
        default=None,
        help="where to listen for Batsim (default: tcp://127.0.0.1:28000, this machine only; "
        "tcp://*:28000 for all)",
    )
    parser.add_argument(
        "-e",
        "--export",
        metavar="PREFIX",
        help="write PREFIX_io_jobs.csv, PREFIX_storage_states.csv and PREFIX_provenance.json",
    )
    parser.add_argument(
        "-p",
        "--platform",
        dest="scheduler_platform",
        metavar="FILE",
        help="the platform file, for models and policies that use its topology",
    )
    add_scheduler_arguments(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--version", action="version", version=f"batfs {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = make_parser().parse_args(words)
    try:
        with termination_raises():
            return _serve(args, words)
    except BatfsError as error:
        print(f"batfs-sched: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("batfs-sched: interrupted", file=sys.stderr)
        return 130


def _serve(args: argparse.Namespace, words: Sequence[str]) -> int:
    settings = settings_from(args)
    if args.export:
        from batfs.files import check_writable

        check_writable(Path(args.export).parent)

    # imported late: --help and wrong flags answer at once
    from batfs.decision.link import DEFAULT_ENDPOINT, ZmqLink
    from batfs.decision.provenance import write_provenance
    from batfs.decision.pybatsim_link import LinkedBatsim
    from batfs.decision.pybatsim_scheduler import BatfsScheduler
    from batfs.decision.records import Recorder

    def say(sentence: str) -> None:
        if not args.quiet:
            print(f"batfs-sched: {sentence}", file=sys.stderr, flush=True)

    link = ZmqLink(args.socket_endpoint or DEFAULT_ENDPOINT, say)
    started = time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(link.close)
        recorder = stack.enter_context(Recorder(args.export)) if args.export else None
        scheduler = BatfsScheduler(settings=settings, observer=recorder, say=say)
        try:
            LinkedBatsim(scheduler, link).start()
        except BaseException as error:
            link.give_up(str(error) or type(error).__name__)
            raise
        counts = scheduler.core.counts
    say(
        f"simulation over: {counts['submitted']} jobs submitted, {counts['started']} started, "
        f"{counts['done']} ended, {counts['rejected']} rejected"
    )
    if args.export:
        config = scheduler.core.config
        inputs = [path for path in (args.config, args.scheduler_platform) if path]
        write_provenance(
            args.export,
            command=["batfs-sched", *words],
            configuration=config.as_dict(),
            inputs=inputs,
            results=dict(counts),
            started=started,
        )
    return 0


def script() -> NoReturn:
    """The program ``batfs-sched``: :func:`main` as a process of its own."""
    process.begin()
    process.end(main())


if __name__ == "__main__":
    script()
