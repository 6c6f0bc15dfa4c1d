"""batfs's commands as processes over real sockets, many runs a second: each is a fork of this process, which
has imported everything, and calls the command's ``main``."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

#: What is imported once, before the forks.
MODULES = (
    *("batfs.cli.sim", "batfs.cli.sim5", "batfs.decision.command", "batfs.decision.proxy_command"),
    *("batfs.decision.edc", "batfs.decision.edc_proxy", "batfs.decision.link", "batfs.decision.wire"),
    *("batfs.decision.pybatsim_scheduler", "batfs.decision.provenance", "batfs.decision.replacing"),
    *("batsim.cmds.launcher", "batsim.tools.launcher", "batsim.sched.scheduler", "batfs.simulator"),
)

#: Seconds; a run takes a tenth of one.
PATIENCE = 60.0


def prepare() -> None:
    """Import what the commands will need."""
    for name in MODULES:
        importlib.import_module(name)


def fork(main: Callable[[list[str]], int | None], words: Sequence[str], folder: Path, log: Path) -> int:
    """The process's number. It runs in ``folder``; what it says goes to ``log``."""
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number:
        return number
    code = 70
    try:
        os.chdir(folder)
        stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # whatever they were here
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        sys.argv = ["batfs", *words]
        code = main(list(words)) or 0
    except SystemExit as ended:
        code = int(ended.code or 0) if not isinstance(ended.code, str) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Hung(Exception):
    """One of the processes never ended."""


@contextmanager
def ended_with(processes: list[int]) -> Iterator[None]:
    """Whatever happens, none of them outlives this."""
    try:
        yield
    finally:
        for number in processes:
            try:
                if os.waitpid(number, os.WNOHANG) == (0, 0):
                    os.kill(number, signal.SIGKILL)
                    os.waitpid(number, 0)
            except ChildProcessError:
                pass


def await_all(processes: list[int]) -> list[int]:
    """Their exit codes; those so far when the last two, the simulator and whom it asks, have ended badly:
    who waits for another that has given up waits for ever. Hung when they take longer than PATIENCE."""
    codes: dict[int, int] = {}
    deadline = time.monotonic() + PATIENCE
    while len(codes) < len(processes):
        for number in processes:
            if number not in codes:
                done, status = os.waitpid(number, os.WNOHANG)
                if done:
                    codes[number] = os.waitstatus_to_exitcode(status)
        if codes.get(processes[-1]) and processes[-2] in codes:
            break
        if time.monotonic() > deadline:
            raise Hung
        time.sleep(0.001)
    return [codes[number] for number in processes if number in codes]


def await_socket(path: Path, process: int) -> bool:
    """Whether it is there; False if the process ended before."""
    deadline = time.monotonic() + PATIENCE
    while not path.is_socket():
        info = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None or time.monotonic() > deadline:
            return path.is_socket()
        time.sleep(0.001)
    return True
