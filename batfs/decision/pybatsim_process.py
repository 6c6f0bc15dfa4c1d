"""Any pybatsim scheduler in the same process as the simulator, without a socket."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import orjson
from batsim.sched.scheduler import BaseBatsimScheduler

from batfs._core.arrays import np
from batfs.decision.options import split_pybatsim
from batfs.decision.peers import read_object
from batfs.decision.pybatsim import BatsimScheduler
from batfs.decision.pybatsim_link import LinkedBatsim
from batfs.errors import BatfsError, InputError, unknown
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request
from batfs.scratch import scratch_folder


class _Memory:
    """A connection within the process: one message in, one out."""

    endpoint = "in-process"

    def __init__(self) -> None:
        self.inbox: dict[str, Any] | None = None
        self.outbox: Any = None

    def bind(self) -> None: ...

    def recv(self, blocking: bool = True) -> dict[str, Any]:
        message, self.inbox = self.inbox, None
        assert message is not None
        return message

    def send(self, message: Any) -> None:
        self.outbox = message

    def close(self) -> None: ...


#: pybatsim's scheduler API refuses to start a job at the time 0, when the first may well be submitted; over a
#: socket it ends there. In-process it is told Batsim's next date instead.
_EARLIEST = 1e-6

_LIBRARY = tuple({str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")})


class ForeignError(BatfsError):
    """A scheduler that isn't ours raised something."""


class PybatsimProcess:
    """Any pybatsim scheduler as a :class:`~batfs.protocol.messages.DecisionProcess`, without a socket.

    Messages take the form they have on the wire, so that decisions are those the scheduler would take there;
    :meth:`ask` is for those who have them in that form. What the scheduler prints goes to ``prints`` (nowhere
    if None). The global random generator is seeded by whoever loads it (:func:`load_pybatsim`);
    ``draws``: whether the scheduler has drawn from it.
    """

    def __init__(self, scheduler: BatsimScheduler, prints: TextIO | None = None) -> None:
        self._scheduler = scheduler
        self._link = _Memory()
        self._never_at_zero = isinstance(scheduler, BaseBatsimScheduler)
        self._batsim: LinkedBatsim | None = None
        self._prints: TextIO = io.StringIO() if prints is None else prints
        self._quiet = prints is None
        self._generator = random.getstate()

    def decide(self, request: m.Request) -> m.Reply:
        return decode_reply(self.ask(encode_request(request)))

    def ask(self, text: bytes, meanwhile: Callable[[], object] | None = None) -> bytes:
        """The answer to a message of Batsim's; what is to be done ``meanwhile`` is done first."""
        if meanwhile is not None:
            meanwhile()
        message = read_object(text)
        now = message["now"]
        if now == 0 and self._never_at_zero and message["events"]:
            message["now"] = _EARLIEST
        self._link.inbox = message
        try:
            with contextlib.redirect_stdout(self._prints):
                if self._batsim is None:
                    self._batsim = LinkedBatsim(self._scheduler, self._link)
                else:
                    self._batsim.do_next_event()
        except BatfsError:
            raise
        except Exception as error:  # whatever a foreign scheduler does
            raise ForeignError(
                f"the pybatsim scheduler failed at t={now:.6f} in {_place(error)}: "
                f"{type(error).__name__}: {error}"
            ) from error
        except SystemExit as error:  # a scheduler of pybatsim's ends the process where it can't go on
            raise ForeignError(
                f"the pybatsim scheduler gave up at t={now:.6f} in {_place(error)}: {error.code}"
            ) from None
        if self._quiet and self._prints.tell():
            self._prints = io.StringIO()
        return orjson.dumps(self._link.outbox, option=orjson.OPT_SERIALIZE_NUMPY, default=str)

    @property
    def draws(self) -> bool:
        return random.getstate() != self._generator

    def close(self) -> None:
        """There is no connection to close."""


def _place(error: BaseException) -> str:
    """Where it was raised: the innermost line that is no library's, and after it the library's."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    if not frames:
        return "an unknown place"
    theirs = [f for f in frames if not str(Path(f.filename).resolve()).startswith(_LIBRARY)]
    theirs = [f for f in theirs if Path(f.filename).is_file() and not f.filename.startswith(_OURS)]
    inner = frames[-1]
    best = theirs[-1] if theirs else inner
    after = "" if best is inner else f" (by {Path(inner.filename).name}, line {inner.lineno})"
    return f"{Path(best.filename).name}, line {best.lineno}{after}"


_OURS = str(Path(__file__).parents[1])


@contextlib.contextmanager
def hosted(
    queue: str, prefix: str | Path | None, seed: int, *, prints_to: TextIO | None = None
) -> Iterator[PybatsimProcess]:
    """The scheduler of ``--queue pybatsim:...`` within this process. What it prints goes to ``prints_to``, or
    to ``<prefix>_pybatsim.log`` where there is any."""
    name, options = split_pybatsim(queue)
    scheduler = load_pybatsim(name, options, prefix, seed)
    if prints_to is not None or prefix is None:
        yield PybatsimProcess(scheduler, prints_to)
        return
    log = Path(f"{prefix}_pybatsim.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("w", encoding="utf-8") as prints:
            yield PybatsimProcess(scheduler, prints)
    finally:
        if not log.stat().st_size:
            log.unlink()


def load_pybatsim(
    name: str,
    options: Mapping[str, Any] | None = None,
    prefix: str | Path | None = None,
    seed: int | None = None,
) -> BatsimScheduler:
    """A pybatsim scheduler as pybatsim's launcher finds it: ``schedFcfs`` (of its package ``schedulers``) or
    a file ``path/mySched.py`` with the class ``MySched``. InputError when there is none.

    pybatsim's scheduler API writes its events to ``<prefix>_pybatsim_events.csv`` (nowhere without prefix);
    what it would say on the terminal line by line is kept to warnings. With ``seed`` Python's global random
    generator, and numpy's, begin there: a scheduler that draws from them does the same in the same run.
    """
    from batsim.tools.launcher import instanciate_scheduler

    if name.endswith(".py") and not Path(name).is_file():
        raise InputError("no such file for the pybatsim scheduler", file=name)
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    said = io.StringIO()
    before = set(logging.Logger.manager.loggerDict)
    with contextlib.ExitStack() as stack:
        if prefix is None:
            place = stack.enter_context(scratch_folder("pybatsim"))
            prefix = Path(place) / "unwanted"
        given = {"export-prefix": f"{prefix}_pybatsim", **(options or {})}
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(_imported_anew(name))
        scheduler = _instantiate(instanciate_scheduler, name, given)
    for logger_name in sorted(set(logging.Logger.manager.loggerDict) - before):
        for handler in logging.getLogger(logger_name).handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.WARNING)
    return scheduler


@contextlib.contextmanager
def _imported_anew(name: str) -> Iterator[None]:
    """pybatsim's launcher imports a file by its bare name: another of that name, of an earlier run or of
    Python's own, must not be taken for it."""
    if not name.endswith(".py"):
        yield
        return
    path = Path(name)
    names = {path.stem, *((path.parent.name, f"{path.parent.name}.{path.stem}") if path.parent.name else ())}
    before = {known: sys.modules.pop(known) for known in names if known in sys.modules}
    try:
        yield
    finally:
        for known in names:
            sys.modules.pop(known, None)
        sys.modules.update(before)


def _instantiate(make: Callable[..., BatsimScheduler], name: str, options: dict[str, Any]) -> BatsimScheduler:
    try:
        return make(name, options)
    except SystemExit:
        if not name.endswith(".py"):
            raise unknown("pybatsim scheduler", name, _known_schedulers()) from None
        wanted = Path(name).stem
        raise InputError(f"holds no class or function {wanted[:1].upper()}{wanted[1:]}", file=name) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "pybatsim":
            raise InputError(
                "is written for pybatsim 4 (it imports the module 'pybatsim'); batfs runs schedulers of "
                "pybatsim 3.2 (module 'batsim')",
                file=name,
                hint="start it by pybatsim 4 in an environment of its own, beside 'batfs sim' at the same "
                "endpoint, with 'batfs-proxy' between them for its jobs' I/O",
            ) from None
        raise _not_made(error, name) from error
    except Exception as error:  # whatever a foreign module does at import
        raise _not_made(error, name) from error


def _not_made(error: Exception, name: str) -> InputError:
    if isinstance(error, SyntaxError) and error.filename:
        problem = f"the pybatsim scheduler can't be made: SyntaxError: {error.msg}"
        return InputError(problem, file=error.filename, place=f"line {error.lineno}")
    place = _place(error)
    return InputError(
        f"the pybatsim scheduler can't be made: {type(error).__name__}: {error}, in {place}", file=name
    )


def _known_schedulers() -> list[str]:
    import schedulers

    return sorted(
        path.stem
        for folder in schedulers.__path__
        for path in Path(folder).glob("*.py")
        if not path.stem.startswith(("_", "common"))
    )
