"""``batfs-sched``: batfs's scheduler as the decision process of Batsim (or of ``batfs sim``)."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from batfs import __version__, process
from batfs.decision.options import add_scheduler_arguments, settings_from
from batfs.decision.signals import termination_raises
from batfs.files import holding
from batfs.parsing import Parser, add_word

if TYPE_CHECKING:
    from batfs.decision.link import ZmqLink
    from batfs.scheduling.config import Settings
    from batfs.scheduling.core import Scheduler
    from batfs.scheduling.observer import Observer

EPILOG = """\
examples:
  batfs-sched --policy random &                       listen, then start Batsim beside it:
  batsim -p platforms/taurus_storage.xml -w workloads/io.json -e out/io

  batfs-sched --queue easy --policy worst_fit -e out/io      also write out/io_io_jobs.csv, ...
  batfs-sched --config my.toml -s tcp://127.0.0.1:28001

  batfs-sched -e out/io &                             Batsim 5; its init string may hold the settings:
  batsim -p platforms/taurus_storage.xml -w workloads/io5.json -s tcp://localhost:28000 '{"policy": "random"}'

Batsim 4's --sched-cfg may hold settings too: a JSON object, TOML, or the name of a file; so may Batsim 5's
init string. Flags given here win over it, and it wins over --config. Exit code: 0 when the simulation was
completed, 1 when Batsim went away before its end, 2 for wrong settings.
"""


def make_parser() -> Parser:
    """All flags."""
    parser = Parser(
        prog="batfs-sched",
        description="A storage-aware scheduler for Batsim 4 and 5: reads io_reads, io_writes and io from job "
        "profiles (under Batsim 5 from their extra_data), allocates storage under a policy, and gives Batsim "
        "the I/O of each job.",
        epilog=EPILOG,
    )
    add_word(parser, "--socket-endpoint", "[tcp://127.0.0.1:28000, this machine only; tcp://*:28000 for all]")
    add_word(
        parser,
        "--export",
        ": PREFIX_io_jobs.csv, PREFIX_storage_states.csv and PREFIX_provenance.json; under Batsim 5 also "
        "PREFIX_jobs.csv, the one to read (Batsim's own has two rows for a job with I/O) [none are written]",
    )
    add_word(parser, "--platform", ", for what uses its topology", dest="scheduler_platform")
    add_scheduler_arguments(parser)
    add_word(parser, "--protocol", "[known by its first message]", choices=("4", "5"))
    add_word(parser, "--quiet", action="store_true")
    add_word(parser, "--version", action="version", version=f"batfs {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = make_parser().parse_args(words)

    def work() -> int:
        with termination_raises(), holding(args.export, "sched") if args.export else contextlib.nullcontext():
            return _serve(args, words)

    return process.guarded("batfs-sched", work)


def _serve(args: argparse.Namespace, words: Sequence[str]) -> int:
    settings = settings_from(args)
    # imported late: --help and wrong flags answer at once
    from batfs.decision.link import DEFAULT_ENDPOINT, ZmqLink
    from batfs.decision.peers import no_simulator
    from batfs.decision.provenance import write_provenance
    from batfs.decision.records import Recorder

    def say(sentence: str) -> None:
        if not args.quiet:
            process.say("batfs-sched", sentence)

    link = ZmqLink(args.socket_endpoint or DEFAULT_ENDPOINT, say, no_first=no_simulator)
    started = time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(link.close)
        recorder = stack.enter_context(Recorder(args.export)) if args.export else None
        try:
            link.bind()
            first = link.recv_text()
            generation = which_batsim(first, args.protocol)
            if generation == 5:
                from batfs.decision.edc import serve

                core = serve(link, first, settings, prefix=args.export, observer=recorder, say=say)
            else:
                core = _serve_batsim4(link, first, settings, recorder, say)
        except BaseException as error:
            link.give_up(str(error) or type(error).__name__)
            raise
    counts = core.counts
    say(
        f"simulation over: {counts['submitted']} jobs submitted, {counts['started']} started, "
        f"{counts['done']} ended, {counts['rejected']} rejected"
    )
    if args.export:
        config = core.config
        results: dict[str, object] = dict(counts)
        if generation == 5:  # which file of jobs to read
            results |= {"batsim": 5, "jobs_file": f"{Path(args.export).name}_jobs.csv"}
        inputs = [path for path in (args.config, args.scheduler_platform) if path]
        write_provenance(
            args.export,
            command=["batfs-sched", *words],
            configuration=config.as_dict(),
            inputs=inputs,
            results=results,
            started=started,
        )
    return 0


def _serve_batsim4(
    link: ZmqLink, first: bytes, settings: Settings, observer: Observer | None, say: Callable[[str], None]
) -> Scheduler:
    from batfs.decision.pybatsim_link import LinkedBatsim
    from batfs.decision.pybatsim_scheduler import BatfsScheduler

    link.unread(first)
    scheduler = BatfsScheduler(settings=settings, observer=observer, say=say)
    LinkedBatsim(scheduler, link).start()
    return scheduler.core


def which_batsim(first: bytes, wanted: str | None) -> int:
    """The generation (4 or 5) of the simulator that sent this first message; ProtocolError if it is another
    one than ``wanted``."""
    from batfs.protocol.decision_side import ProtocolError
    from batfs.protocol.v5.hello import is_init

    found = "5" if is_init(first) else "4"
    if wanted is not None and found != wanted:
        raise ProtocolError(f"--protocol {wanted}, but the first message is one of Batsim {found}")
    return int(found)


def script() -> NoReturn:
    """The program ``batfs-sched``: :func:`main` as a process of its own."""
    process.end(process.program("batfs-sched", main))


if __name__ == "__main__":
    script()
