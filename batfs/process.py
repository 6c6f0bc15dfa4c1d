"""The process around a command: quick to start, quick to end.

A run of some hundred jobs takes less time than Python needs to come up with numpy and to go down again, so
what can be left out of both is left out here.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from typing import NoReturn


def begin() -> None:
    """Settings for a process of ours, to be made before anything large is imported.

    Nothing here is for numpy's linear algebra: a pool of threads for it, one per core, would only be started
    and ended again (``OPENBLAS_NUM_THREADS`` set by the user stays as it is). What is imported lives as long
    as the process, and needs no looking through for cycles.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # argparse looks for translations of its words on the disk, which Python brings none of
    setattr(argparse, "_", _as_it_is)  # noqa: B010 (a name it doesn't export)
    gc.set_threshold(200_000, 20, 100)


def end(code: int) -> NoReturn:
    """Exit with ``code`` without taking everything in memory apart: the system frees it at once.

    What has asked to be called at the end is called, and what was printed is out. With threads still at work,
    or under a profiler or a debugger, it is an ordinary exit.
    """
    threads = sys.modules.get("threading")
    if (threads is not None and threads.active_count() > 1) or _watched():
        sys.exit(code)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more: sys.exit would complain, too
        code = code or 1
    os._exit(code)


def _as_it_is(words: str) -> str:
    return words


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal.

    argparse makes a formatter for every flag that a parser is given, and left alone each would import shutil
    to ask for the terminal's width.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns <= 0:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 0
        except (ValueError, OSError):
            columns = 0
    return columns or 80


def _watched() -> bool:
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return True
    monitoring = getattr(sys, "monitoring", None)  # Python 3.12
    return monitoring is not None and any(monitoring.get_tool(tool) for tool in range(6))
