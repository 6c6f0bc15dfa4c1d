"""``batfs-proxy``: gives the jobs of any scheduler for Batsim 4 or 5 their I/O."""

from __future__ import annotations

import argparse
import contextlib
import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn

from batfs import __version__, process
from batfs.decision.options import PYBATSIM, add_scheduler_arguments, settings_from
from batfs.decision.signals import termination_raises
from batfs.errors import InputError
from batfs.files import holding
from batfs.parsing import Parser, add_option, add_word
from batfs.scheduling.config import Settings

if TYPE_CHECKING:
    from batfs.decision.injector import Injector
    from batfs.decision.proxy import Asked, Front
    from batfs.decision.replacing import Watcher

EPILOG = """\
examples:
  batfs-proxy -- pybatsim schedFcfs -s tcp://127.0.0.1:28001
      starts pybatsim's own FCFS behind the proxy and listens for Batsim:
  batsim -p platforms/taurus_storage.xml -w workloads/io.json -e out/io

  batfs-proxy --queue pybatsim:schedFcfs
      the same within the proxy's own process, which takes the least time (file.py for one of yours)

  batfs-proxy --scheduler tcp://127.0.0.1:28001 --policy worst_fit -e out/io
      a scheduler that runs already; also write out/io_io_jobs.csv, ...

Under Batsim 5 the scheduler is an external decision component that speaks JSON; its jobs with I/O are
replaced on the wire by parallel tasks, and it hears of them under their own ids.
The scheduler needs to know nothing of storage: every EXECUTE_JOB of a job with I/O leaves the proxy with an
additional_io_job, and with dynamic jobs on (--enable-dynamic-jobs) with its staging. Other queue policies
than pybatsim:... and --node-* have no meaning here: those decisions are the scheduler's.
Exit code: 0 when the simulation was completed, 1 when one of the two sides went away, 2 for wrong settings.
"""


_SCHEDULER = "tcp://127.0.0.1:28001"


def make_parser() -> Parser:
    """All flags."""
    parser = Parser(
        prog="batfs-proxy",
        description="File systems and storage allocation for schedulers that know nothing of them.",
        epilog=EPILOG,
    )
    add_word(parser, "--socket-endpoint", "[%(default)s]", default="tcp://127.0.0.1:28000")
    add_option(
        parser,
        "--scheduler",
        old=("--to", "-t"),
        metavar="ENDPOINT",
        help=f"where the scheduler listens [{_SCHEDULER}]",
    )
    add_word(parser, "--export", ": PREFIX_io_jobs.csv and the like [none are written]")
    add_word(parser, "--platform", ", for what uses its topology", dest="scheduler_platform")
    add_scheduler_arguments(parser)
    add_word(parser, "--verbose", ": what a pybatsim scheduler prints, too", action="store_true")
    add_word(parser, "--quiet", action="store_true")
    add_word(parser, "--version", action="version", version=f"batfs {__version__}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    own, child = words, []
    if "--" in words:
        cut = words.index("--")
        own, child = words[:cut], words[cut + 1 :]
    parser = make_parser()
    args = parser.parse_args(own)
    if str(args.queue).startswith(PYBATSIM) and (child or args.scheduler):
        parser.error(f"--queue {args.queue} is a scheduler: leave out --scheduler and what follows --")

    def work() -> int:
        with termination_raises(), holding(args.export, "sched") if args.export else contextlib.nullcontext():
            return _serve(args, words, child)

    return process.guarded("batfs-proxy", work)


@contextlib.contextmanager
def _child(command: Sequence[str]) -> Iterator[None]:
    """The scheduler as a child process, ended with us."""
    if not command:
        yield
        return
    try:
        process = subprocess.Popen(command, stdout=sys.stderr)
    except OSError as error:
        raise InputError(f"can't start {command[0]!r}: {error.strerror}") from None
    try:
        yield
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _scheduler(args: argparse.Namespace, settings: Settings) -> Iterator[Asked]:
    """The scheduler: somewhere else, or (``--queue pybatsim:...``) in this process."""
    if str(args.queue).startswith(PYBATSIM):
        from batfs.decision.pybatsim_process import hosted

        prints = sys.stderr if args.verbose else None
        with hosted(args.queue, args.export, settings.configuration().seed, prints_to=prints) as scheduler:
            yield scheduler
        return
    from batfs.decision.wire import scheduler_side

    back = scheduler_side(args.scheduler or _SCHEDULER)
    try:
        yield back
    finally:
        back.close()


def _prepare(settings: Settings) -> None:
    """What the first message will need, while Batsim is still to come."""
    from batfs.filesystems import burst_buffer, dfs, nvme_pool, pfs  # noqa: F401 (the models)
    from batfs.storage.policies import make_policy

    make_policy(settings.configuration().policy)


def _serve(args: argparse.Namespace, words: Sequence[str], child: Sequence[str]) -> int:
    settings = settings_from(args)
    # imported late: --help and wrong flags answer at once
    from batfs.decision.edc import jobs_file
    from batfs.decision.injector import Injector
    from batfs.decision.peers import no_simulator
    from batfs.decision.provenance import write_provenance
    from batfs.decision.proxy import RawProxy
    from batfs.decision.records import Recorder
    from batfs.decision.wire import simulator_side
    from batfs.protocol.v5.hello import is_init

    def say(sentence: str) -> None:
        if not args.quiet:
            process.say("batfs-proxy", sentence)

    front = simulator_side(args.socket_endpoint, say, no_simulator)
    started = time.time()
    with contextlib.ExitStack() as stack:
        stack.callback(front.close)
        recorder = stack.enter_context(Recorder(args.export)) if args.export else None
        injector = Injector(settings, observer=recorder, say=say)
        stack.enter_context(_child(child))
        front.bind()
        back = stack.enter_context(_scheduler(args, settings))
        _prepare(settings)
        # what is there now stays; Python's cycle collector need not walk it again and again
        gc.freeze()
        try:
            first = front.recv_text()
            if is_init(first):
                watch = jobs_file(args.export, stack, say)
                _converse5(front, back, injector, first, watch, say)
            else:
                RawProxy(injector).relay(front, back, first)
        except BaseException as error:
            front.give_up(str(error) or type(error).__name__)
            raise
    counts = injector.counts
    say(
        f"simulation over: I/O given to {counts['with_io']} jobs, {counts['staged']} of them in steps, "
        f"{counts['held_back']} held back for room, {counts['rejected']} rejected"
    )
    if args.export:
        write_provenance(
            args.export,
            command=["batfs-proxy", *words],
            configuration=settings.configuration().as_dict(),
            inputs=[path for path in (args.config, args.scheduler_platform) if path],
            results={**counts, "bytes": injector.tenancy.account.summary()},
            started=started,
        )
    return 0


def _converse5(
    front: Front, back: Asked, injector: Injector, first: bytes, watch: Watcher, say: Callable[[str], None]
) -> None:
    """A simulation of Batsim 5's, whose first message is for the component behind the proxy."""
    from batfs.decision.edc import WorkloadProfiles
    from batfs.decision.edc_proxy import Proxy5
    from batfs.decision.replacing import Translation

    profiles = WorkloadProfiles(say)
    translation = Translation(config={}, dynamic_jobs=True, profiles=profiles, watch=watch, renumber=False)
    proxy = Proxy5(injector, translation)
    front.send_text(proxy.hello(back.ask(first)))
    while not proxy.over:
        asked = proxy.request(front.recv_text())
        front.send_text(proxy.reply(None if asked is None else back.ask(asked), back.ask))


def script() -> NoReturn:
    """The program ``batfs-proxy``: :func:`main` as a process of its own."""
    process.end(process.program("batfs-proxy", main))


if __name__ == "__main__":
    script()
