"""Commands as processes of their own, forked from one that has loaded everything: some milliseconds each."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from batfs import process

#: Documented in ``batfs --help``; 70 is a defect.
CODES = (0, 1, 2, 130, 141, 143)
MOST_MEMORY = 1536 * 2**20  # bytes a command over a small file may take at most
LARGEST_FILE = 64 * 2**20


@dataclass
class Ended:
    """``code`` None: it didn't end in time."""

    code: int | None
    said: str
    memory: int
    seconds: float

    def wrong(self) -> str:
        """What no command may do; empty for nothing."""
        if self.code is None:
            return f"no end after {self.seconds:.0f} s"
        if self.code not in CODES:
            return f"exit code {self.code}"
        if "Traceback" in self.said or "Exception ignored" in self.said:
            return "a traceback"
        if self.memory > MOST_MEMORY or "out of memory" in self.said:
            return f"{self.memory / 2**20:.0f} MiB"
        if len(self.said) > 20_000:
            return f"{len(self.said)} characters on stderr"
        return ""


class Child:
    """``work()`` as the whole of a process in ``folder``."""

    def __init__(self, work: Callable[[], int], folder: Path, words: list[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed in end)
        self._begin = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._live(work, folder, words)
        self._gone = os.pidfd_open(self.pid)
        self.ended: Ended | None = None

    def _live(self, work: Callable[[], int], folder: Path, words: list[str]) -> None:
        code = 99
        try:
            os.setsid()
            os.chdir(folder)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            os.dup2(self._said.fileno(), 2)
            sys.argv = words
            signal.signal(signal.SIGINT, signal.default_int_handler)
            resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
            resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            code = work()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:
            with contextlib.suppress(Exception):
                traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def over(self, seconds: float) -> bool:
        """Whether it has ended, or does within so long."""
        return self.ended is not None or bool(select.select([self._gone], [], [], seconds)[0])

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    def end(self, seconds: float) -> Ended:
        """Its end, which is brought about after so long."""
        if self.ended is not None:
            return self.ended
        late = not self.over(seconds)
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self._gone)
        self._said.seek(0)
        said = self._said.read(10**6).decode("utf-8", "replace")
        self._said.close()
        code = None if late else os.waitstatus_to_exitcode(status)
        self.ended = Ended(code, said, usage.ru_maxrss * 1024, time.monotonic() - self._begin)
        return self.ended


#: (number, how it ended, what was wrong) of a case
Found = tuple[int, str, str]


def cases(
    count: int, seed: int, workers: int, one: Callable[[random.Random, Path], tuple[str, str]]
) -> Iterator[Found]:
    """What became of ``one(rng, scratch folder)`` for each number below ``count``, by so many processes. Each
    case depends on the seed and its number alone."""

    def work(worker: int) -> Iterator[Found]:
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(worker, count, workers):
                yield number, *one(random.Random(f"{seed}-{number}"), Path(scratch))

    return forked(workers, work)


def forked(workers: int, work: Callable[[int], Iterator[Found]]) -> Iterator[Found]:
    """What ``work`` yields in each of so many processes, forked from this one as it is; they end with the
    generator."""
    process.settle_streams()
    gc.collect()
    gc.freeze()
    pipes: dict[BinaryIO, int] = {}
    for worker in range(workers):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            try:
                with open(write, "w") as out:
                    for found in work(worker):
                        out.write(json.dumps(found) + "\n")
                        out.flush()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(write)
        pipes[open(read, "rb", buffering=0)] = pid  # noqa: SIM115
    held = dict.fromkeys(pipes, b"")
    try:
        while pipes:
            for pipe in select.select(list(pipes), [], [])[0]:
                data = pipe.read(1 << 16)
                *lines, held[pipe] = (held[pipe] + data).split(b"\n")
                for line in lines:
                    number, ended, wrong = json.loads(line)
                    yield number, ended, wrong
                if not data:
                    pipe.close()
                    if os.waitpid(pipes.pop(pipe), 0)[1]:
                        yield -1, "failed", "the harness itself failed; see above"
    finally:
        for pid in pipes.values():
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def tell(what: str, count: int, seed: int, found: Iterator[tuple[int, str, str]]) -> int:
    """Print how they ended, a line of JSON, and what was found; the exit code. Told to end (SIGTERM, Ctrl-C),
    it says how far it came."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    ends: Counter[str] = Counter()
    findings: list[str] = []
    with contextlib.suppress(KeyboardInterrupt):
        for number, ended, wrong in found:
            ends[ended] += 1
            if wrong:
                findings.append(f"case {number}: {wrong}")
                print("FOUND", findings[-1], flush=True)
    print(json.dumps({what: sum(ends.values()), "of": count, "seed": seed,
                      "seconds": round(time.monotonic() - begin), "ends": dict(sorted(ends.items())),
                      "findings": len(findings)}))  # fmt: skip
    return 1 if findings else 0
