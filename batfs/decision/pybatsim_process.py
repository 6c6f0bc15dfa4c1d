"""Any pybatsim scheduler in the same process as the simulator, without a socket."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
from batsim.sched.scheduler import BaseBatsimScheduler

from batfs.decision.peers import read_object
from batfs.decision.pybatsim import BatsimScheduler
from batfs.decision.pybatsim_link import LinkedBatsim
from batfs.errors import BatfsError, InputError, unknown
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request


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


class ForeignError(BatfsError):
    """A scheduler that isn't ours raised something."""


class PybatsimProcess:
    """Any pybatsim scheduler as a :class:`~batfs.protocol.messages.DecisionProcess`, without a socket.

    Messages take the form they have on the wire, so that decisions are those the scheduler would take there;
    :meth:`ask` is for those who have them in that form.
    """

    def __init__(self, scheduler: BatsimScheduler) -> None:
        self._scheduler = scheduler
        self._link = _Memory()
        self._never_at_zero = isinstance(scheduler, BaseBatsimScheduler)
        self._batsim: LinkedBatsim | None = None

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
            if self._batsim is None:
                self._batsim = LinkedBatsim(self._scheduler, self._link)
            else:
                self._batsim.do_next_event()
        except BatfsError:
            raise
        except Exception as error:  # whatever a foreign scheduler does
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise ForeignError(
                f"the pybatsim scheduler failed at t={now:.6f} in {Path(frame.filename).name}, line "
                f"{frame.lineno}: {type(error).__name__}: {error}"
            ) from error
        return orjson.dumps(self._link.outbox, option=orjson.OPT_SERIALIZE_NUMPY, default=str)

    def close(self) -> None:
        """There is no connection to close."""


def load_pybatsim(
    name: str, options: Mapping[str, Any] | None = None, prefix: str | Path | None = None
) -> BatsimScheduler:
    """A pybatsim scheduler as pybatsim's launcher finds it: ``schedFcfs`` (of its package ``schedulers``) or
    a file ``path/mySched.py`` with the class ``MySched``. InputError when there is none.

    pybatsim's scheduler API writes its events to ``<prefix>_pybatsim_events.csv`` (nowhere without prefix);
    what it would say on the terminal line by line is kept to warnings.
    """
    from batsim.tools.launcher import instanciate_scheduler

    if name.endswith(".py") and not Path(name).is_file():
        raise InputError("no such file for the pybatsim scheduler", file=name)
    said = io.StringIO()
    before = set(logging.Logger.manager.loggerDict)
    with contextlib.ExitStack() as stack:
        if prefix is None:
            place = stack.enter_context(tempfile.TemporaryDirectory())
            prefix = Path(place) / "unwanted"
        given = {"export-prefix": f"{prefix}_pybatsim", **(options or {})}
        stack.enter_context(contextlib.redirect_stdout(said))
        scheduler = _instantiate(instanciate_scheduler, name, given)
    for logger_name in sorted(set(logging.Logger.manager.loggerDict) - before):
        for handler in logging.getLogger(logger_name).handlers:
            if type(handler) is logging.StreamHandler:
                handler.setLevel(logging.WARNING)
    return scheduler


def _instantiate(make: Callable[..., BatsimScheduler], name: str, options: dict[str, Any]) -> BatsimScheduler:
    try:
        return make(name, options)
    except SystemExit:
        if not name.endswith(".py"):
            raise unknown("pybatsim scheduler", name, _known_schedulers()) from None
        wanted = Path(name).stem
        raise InputError(f"holds no class or function {wanted[:1].upper()}{wanted[1:]}", file=name) from None
    except Exception as error:  # whatever a foreign module does at import
        raise InputError(
            f"the pybatsim scheduler can't be made: {type(error).__name__}: {error}", file=name
        ) from error


def _known_schedulers() -> list[str]:
    import schedulers

    return sorted(
        path.stem
        for folder in schedulers.__path__
        for path in Path(folder).glob("*.py")
        if not path.stem.startswith(("_", "common"))
    )
