"""The process around a command: quick to start, quick to end.

A run of some hundred jobs takes less time than Python needs to come up with numpy and to go down again, so
what can be left out of both is left out here.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from batfs.errors import BatfsError

LONGEST = 3000  # characters of a sentence on stderr
LONGEST_STEP = 2.0
_put_off: list[int] = []  # the signal that waits for the end of a step


def begin() -> None:
    """Settings for a process of ours, to be made before anything large is imported.

    Nothing here is for numpy's linear algebra: a pool of threads for it, one per core, would only be started
    and ended again (``OPENBLAS_NUM_THREADS`` set by the user stays as it is). What is imported lives as long
    as the process, and needs no looking through for cycles.
    """
    settle_streams()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(200_000, 20, 100)
    # ignored it is in the background; the default is that of a program's first lines
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        signal.signal(signal.SIGINT, between_steps(signal.default_int_handler))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def few_collections() -> Iterator[None]:
    """For a run, which makes few cycles and lives long: Python's collector would walk a million jobs again
    and again. Nothing is frozen: what earlier runs have left would be, too, and stay for ever."""
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def between_steps(
    handler: Callable[[int, FrameType | None], object],
) -> Callable[[int, FrameType | None], None]:
    """``handler`` of a signal, called a moment later in the midst of a step that must not end there.

    Half a module is left by an import (and a compiled one may end the process outright), and by the making of
    a ZeroMQ socket one that nobody knows and closes: its context would never end. What takes more than
    :data:`LONGEST_STEP` seconds is interrupted none the less.
    """
    since = 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal since
        since = since or time.monotonic()
        if _midway(frame) and time.monotonic() - since < LONGEST_STEP:
            # to whoever handles it then
            _put_off[:] = [number]
            signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return
        since = 0.0
        _put_off.clear()
        handler(number, frame)

    return handle


def _midway(frame: FrameType | None) -> bool:
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib"):
            return True
        if code.co_name == "socket" and code.co_filename.endswith("zmq/sugar/context.py"):
            return True
        frame = frame.f_back
    return False


def settle_streams() -> None:
    """The three standard streams exist, whoever started us: a file of ours must not become one of them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = _Closed()
    elif isinstance(sys.stdout, io.TextIOWrapper):
        # a file's name may be no text: better escaped than an end
        sys.stdout.reconfigure(errors="backslashreplace")


class _Closed(io.TextIOBase):
    """What stands for a standard output that was closed before we began."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "standard output is closed")


def program(name: str, main: Callable[[], int]) -> int:
    """``main()`` as a process of its own; the exit code. Whatever comes after it is no longer interrupted
    with a story: a second Ctrl-C ends the process."""
    begin()
    try:
        code = main()
    except KeyboardInterrupt:  # before or after what guards itself
        code = _say(name, "interrupted", 130)
    finally:
        _due()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return code


def _due() -> None:
    """End as the signal that was put off would have us end: its alarm must not outlive Python's handlers."""
    if _put_off:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        number = _put_off.pop()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def guarded(program: str, work: Callable[[], int]) -> int:
    """``work()`` as the whole of a command: its exit code, or one sentence on stderr and the code for it.

    0: done. 1: it could not be done (or, as a command says, what was looked for was found). 2: bad input: a
    file, a flag, a plugin. 70: a defect of batfs; the details are in the file that is named. 130: interrupted
    (128 + the signal's number). 141: whoever read our output has gone away.
    """
    try:
        code = work()
        sys.stdout.flush()
        for note in _notes():
            print(note, file=sys.stderr)
        return code
    except BatfsError as error:
        return _say(program, str(error), error.exit_code)
    except KeyboardInterrupt as error:
        from batfs.plugins import raised_in

        file, line = raised_in(error)
        where = "" if file is None else f" in a plugin: {file}: {line}"
        return _say(program, f"interrupted{where}", 130)
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:
        if error.filename is None and _output_fails():
            error.filename = "standard output"
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return _say(program, f"{where}{error.strerror or error}", 1)
    except MemoryError:
        return _say(program, "out of memory", 1)
    except OverflowError as error:
        return _say(program, f"a number in the input is too large: {error}", 2)
    except RecursionError as error:
        return _say(program, f"something in the input is nested too deeply ({error})", 2)
    except (Exception, SystemExit) as error:
        from batfs.plugins import PluginError, raised_in

        if raised_in(error)[0]:
            return _say(program, str(PluginError.of(error, "a plugin")), 2)
        if isinstance(error, SystemExit):  # argparse has printed help, or what is wrong
            if _output_fails():
                return _say(program, "standard output can't be written", 1)
            raise
        return _say(program, f"{type(error).__name__}: {error} (a defect of batfs; {_details()})", 70)


def one_line(sentence: str) -> str:
    """``sentence`` as it may stand on a terminal whatever it quotes: in one line, its control characters
    escaped, its middle left out where it is longer than anybody reads."""
    words = " ".join(sentence.splitlines())
    if len(words) > LONGEST:
        left_out = len(words) - LONGEST
        words = f"{words[: 2 * LONGEST // 3]} [...{left_out} characters...] {words[-LONGEST // 3 :]}"
    return (
        words if words.isprintable() else "".join([c if c.isprintable() else ascii(c)[1:-1] for c in words])
    )


def _notes() -> list[str]:
    """What the parser noted, which is told once and after a success only."""
    parsing = sys.modules.get("batfs.parsing")
    found: list[str] = [] if parsing is None else parsing.notes()
    return found


def say(program: str, sentence: str) -> None:
    """``sentence`` on stderr."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # nobody may be there to hear it
        print(f"{program}: {one_line(sentence)}", file=sys.stderr, flush=True)


def _say(program: str, sentence: str, code: int) -> int:
    _notes()
    say(program, sentence)
    return code


def _output_fails() -> bool:
    """Whether it is standard output that can't be written; what it still holds is dropped then."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
        return True
    return isinstance(sys.stdout, _Closed)


def _drop_output() -> None:
    """What is still to be printed goes nowhere, so that the end of the process doesn't complain."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.stdout.flush()


def _details() -> str:
    """Write the story of the error that is being handled to a file; a phrase that names it."""
    import tempfile
    import traceback

    try:
        descriptor, name = tempfile.mkstemp(prefix="batfs-error-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{sys.argv}\nPython {sys.version}\n\n{traceback.format_exc()}")
    except OSError:
        return "its details could not be written"
    return f"its details are in {name}"


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


def _watched() -> bool:
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return True
    monitoring = getattr(sys, "monitoring", None)  # Python 3.12
    return monitoring is not None and any(monitoring.get_tool(tool) for tool in range(6))
