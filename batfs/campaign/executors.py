"""Where runs are done: processes of this machine, a Dask cluster, or anything with Python's Executor
interface.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from batfs.errors import BatfsError, InputError, MissingExtraError
from batfs.process import cores
from batfs.workers import pool


@dataclass(frozen=True, slots=True)
class Workers:
    """An executor, how many runs it is given at once, and whether its workers see this machine's files."""

    executor: Executor
    at_once: int
    shares_files: bool
    # makes another one after its processes died; None where that isn't ours to do
    renew: Callable[[int], Executor] | None = None


@contextmanager
def open_workers(spec: str | Executor | None = None, jobs: int | None = None) -> Iterator[Workers]:
    """``None`` or ``local``: ``jobs`` processes (default: all cores); ``dask://host:port`` or
    ``dask://FILE`` (a
    scheduler file): that Dask cluster, ``dask://local`` one started here; an Executor of the caller's,
    left open.
    """
    if isinstance(spec, Executor):
        yield Workers(spec, 4 * (jobs or os.cpu_count() or 1), shares_files=False)
    elif spec is None or spec == "local":
        count = jobs or cores()
        executor = _pool(count)
        try:
            yield Workers(executor, count + 2, True, _pool)
        finally:
            # whoever renewed it has closed the others
            executor.shutdown(wait=False, cancel_futures=True)
    elif spec.startswith("dask://"):
        with _dask(spec.removeprefix("dask://"), jobs) as workers:
            yield workers
    else:
        raise InputError(
            f"unknown executor {spec!r}", hint="local, dask://HOST:PORT, dask://FILE or dask://local"
        )


def _pool(count: int) -> Executor:
    # Ctrl-C goes to the whole group: it is kept from the server that workers are forked from and, by
    # inheritance, from workers that are still coming up
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool(count, _begin, (os.getpid(),))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


def _begin(campaign: int) -> None:
    """A worker ends with the campaign, also when that is killed outright; Ctrl-C is the campaign's to
    handle.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()  # what is imported is no run's: it isn't walked after each
    threading.Thread(target=_end_with, args=(campaign,), daemon=True).start()


def _end_with(process: int) -> None:
    try:
        if hasattr(os, "pidfd_open"):
            with open(os.pidfd_open(process), "rb", buffering=0) as gone:
                select.select([gone], [], [])
        else:
            while True:
                os.kill(process, 0)
                time.sleep(0.5)
    except OSError:
        pass  # it is gone already
    os._exit(1)


@contextmanager
def _dask(place: str, jobs: int | None) -> Iterator[Workers]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise MissingExtraError("--executor dask://", "dask") from error
    options: dict[str, Any] = {"set_as_default": False}
    if place == "local":
        options |= {"n_workers": jobs or cores(), "threads_per_worker": 1, "dashboard_address": None}
    elif os.path.isfile(place):
        options["scheduler_file"] = place
    elif ":" in place:
        options["address"] = f"tcp://{place}"
    else:
        raise InputError(f"dask://{place}: no scheduler file of this name, and not HOST:PORT or 'local'")
    try:
        client = distributed.Client(timeout="30s", **options)
    except (OSError, TimeoutError) as error:
        raise BatfsError(f"dask://{place}: no Dask scheduler answers there ({error})") from error
    with client:
        threads = sum(
            worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()
        )
        # pure=False: a run asked for again after a failure is done again
        executor = client.get_executor(pure=False, retries=2)
        yield Workers(executor, max(4, 3 * threads), shares_files=False)
