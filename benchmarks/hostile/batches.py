"""Commands by the hundred in one process: it is forked from one that has loaded everything, and forked anew
for each hundred, so that a command costs what it does and not what a process costs.

The process of a batch has mounts of its own where the system lets it (the scratch folder in memory, all
else read-only: an odd word may name any file), may not read what the permissions don't allow, root or not,
and is ended when a command doesn't end. Each case depends on the seed and its number alone, and is repeated
in a process of its own when something was wrong with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.hostile.children import LARGEST_FILE, Ended, Found, forked

BATCH = 100
PATIENCE = 60.0
SCRATCH_SIZE = 512 * 2**20
#: one(rng, folder of its own) -> how it ended, what was wrong with it
Case = Callable[[random.Random, Path], tuple[str, str]]

_libc = ctypes.CDLL(None, use_errno=True)


def mounts_of_its_own(scratch: Path) -> bool:
    """``scratch`` in memory, all else read-only, for this process and its children; whether it may be."""
    new, slave, quiet = 0x20000, 0x4000 | 0x80000, 0
    if _libc.unshare(new) or _libc.mount(b"none", b"/", None, slave, None):
        return False
    size = f"size={SCRATCH_SIZE},mode=700".encode()
    if _libc.mount(b"tmpfs", os.fsencode(scratch), b"tmpfs", quiet, size):
        return False
    bound, again, read_only = 0x1000, 0x20, 0x1
    for place in (b"/", b"/tmp", b"/work", b"/home", b"/dev", b"/dev/shm"):
        if os.path.ismount(place):
            _libc.mount(None, place, None, bound | again | read_only, None)
    return True


def obey_permissions() -> None:
    """Without the capabilities by which root reads and writes what isn't allowed."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) == 0:
        for number in (0, 1):  # effective, permitted
            sets[number] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        _libc.capset(header, sets)


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def inside(
    work: Callable[[], int],
    folder: Path,
    words: list[str],
    *,
    stdin: str = os.devnull,
    stdout: int | None = None,
    largest: int = LARGEST_FILE,
    terminate: float | None = None,
) -> Ended:
    """``work()`` in this process as if it were the whole of it. ``stdout``: a descriptor; None for nothing.
    ``terminate``: seconds after which it gets a SIGTERM, if it is of the kind that serves."""
    begin = time.monotonic()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
    said = tempfile.TemporaryFile()  # noqa: SIM115
    kept = [os.dup(number) for number in (0, 1, 2)]
    streams, arguments, before = (sys.stdin, sys.stdout, sys.stderr), sys.argv, Path.cwd()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    code: int | None = 99
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        os.chdir(folder)
        for number, source in ((0, os.open(stdin, os.O_RDONLY)), (1, os.open(os.devnull, os.O_WRONLY))):
            os.dup2(source, number)
            os.close(source)
        if stdout is not None:
            os.dup2(stdout, 1)
        os.dup2(said.fileno(), 2)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), errors="backslashreplace")
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), errors="backslashreplace",
                                      write_through=True)  # fmt: skip
        sys.argv = words
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _leave)
        if terminate is not None:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
            signal.setitimer(signal.ITIMER_REAL, terminate)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, limits[1]))
        code = work()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        mine = sys.stdin, sys.stdout, sys.stderr
        sys.stdin, sys.stdout, sys.stderr, sys.argv = *streams, arguments
        for stream in mine:
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(before)
    said.seek(0)
    text = said.read(10**6).decode("utf-8", "replace")
    said.close()
    return Ended(code, text, _peak(), time.monotonic() - begin)


def _leave(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


class _Batch:
    """Some numbers' cases in a process; ``(number, how it ended, what was wrong)`` of each, in order."""

    def __init__(self, numbers: Sequence[int], seed: int, one: Case, place: Path) -> None:
        self.numbers = numbers
        self.scratch = place / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(read)
            self._live(seed, one, write)
        os.close(write)
        self.pipe = open(read)  # noqa: SIM115

    def _live(self, seed: int, one: Case, write: int) -> None:
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            mounts_of_its_own(self.scratch)
            tempfile.tempdir = os.environ["TMPDIR"] = str(self.scratch)
            obey_permissions()
            resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))
            with open(write, "w") as out:
                for number in self.numbers:
                    folder = self.scratch / str(number)
                    folder.mkdir()
                    result = one(random.Random(f"{seed}-{number}"), folder)
                    out.write(json.dumps([number, *result]) + "\n")
                    out.flush()
                    wipe(folder)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def results(self) -> Iterator[tuple[int, str, str]]:
        for number in self.numbers:
            if not select.select([self.pipe], [], [], PATIENCE)[0]:
                yield number, "None", f"no end after {PATIENCE:.0f} s"
                break
            line = self.pipe.readline()
            if not line:
                status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                self.pid = 0
                yield number, str(status), f"the whole process ended with {status}"
                break
            found, ended, wrong = json.loads(line)
            yield found, ended, wrong

    def close(self) -> None:
        if self.pid:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.pipe.close()
        wipe(self.scratch)


def wipe(folder: Path) -> None:
    """The folder away, whatever its permissions."""

    def permit(function: Callable[[str], object], name: str, _: object) -> None:
        for place in (os.path.dirname(name), name):
            with contextlib.suppress(OSError):
                os.chmod(place, 0o700)
        with contextlib.suppress(OSError, TypeError):  # os.open wants more: left to the second round
            function(name)

    shutil.rmtree(folder, onerror=permit)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def batches(numbers: range, seed: int, workers: int, one: Case) -> Iterator[Found]:
    """What became of ``one`` for each number, by so many processes."""
    with tempfile.TemporaryDirectory() as name:

        def work(worker: int) -> Iterator[Found]:
            place = Path(name) / str(worker)
            place.mkdir()
            rest = list(numbers)[worker::workers]
            while rest:
                batch = _Batch(rest[:BATCH], seed, one, place)
                for number, ended, wrong in batch.results():
                    if wrong:
                        again = _Batch([number], seed, one, place / "again")
                        [(_, alone, still)] = again.results()
                        again.close()
                        ended, wrong = (alone, still) if still else (ended, f"only after others: {wrong}")
                    yield number, ended, wrong
                    rest.remove(number)
                batch.close()

        yield from forked(workers, work)
