"""The programs ``batfs-sched`` and ``batfs-proxy``: nothing is imported before a process has its settings."""

from __future__ import annotations

from typing import NoReturn

from batfs import process


def _sched() -> int:
    from batfs.decision.command import main

    return main()


def _proxy() -> int:
    from batfs.decision.proxy_command import main

    return main()


def sched() -> NoReturn:
    process.end(process.program("batfs-sched", _sched))


def proxy() -> NoReturn:
    process.end(process.program("batfs-proxy", _proxy))
