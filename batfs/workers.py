"""Processes that work for a campaign, a report: started clean, and without the program that asked for them.

multiprocessing imports the caller's main module in every worker, so that what is defined there can be sent.
Nothing of ours is, and a script that compares at its top level, as scripts and notebooks' exports do, would
begin anew in each of them. So a worker is started as if there were no such module: no guard is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any


def pool(
    count: int, begin: Callable[..., None] | None = None, args: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """``count`` processes, forked from a clean server: they inherit neither threads nor open files. ``begin``
    is called in each with ``args``."""
    with _no_main():
        forkserver.ensure_running()
    return ProcessPoolExecutor(count, mp_context=_Context(), initializer=begin, initargs=args)


class _Process(ForkServerProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        with _no_main():
            return ForkServerProcess._Popen(process_obj)


class _Context(ForkServerContext):
    Process = _Process


@contextmanager
def _no_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
