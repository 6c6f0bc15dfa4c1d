"""The programs ``batfs``, ``batfs-sched`` and ``batfs-proxy``: nothing is imported before a process has its
settings.

The first of them is made by the import of this module: until a command guards itself, Ctrl-C ends the process
as the system does it, without a story of half a start. (Python's own start, and what a launcher imports
before it comes here, are out of reach.)
"""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes milliseconds in which a Ctrl-C would be told as a traceback
    from typing import NoReturn

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _sched() -> int:
    from batfs.decision.command import main

    return main()


def _proxy() -> int:
    from batfs.decision.proxy_command import main

    return main()


def batfs() -> NoReturn:
    from batfs.cli.main import script

    script()


def sched() -> NoReturn:
    from batfs import process

    process.end(process.program("batfs-sched", _sched))


def proxy() -> NoReturn:
    from batfs import process

    process.end(process.program("batfs-proxy", _proxy))
