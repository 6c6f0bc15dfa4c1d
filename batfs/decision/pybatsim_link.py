"""pybatsim's ``Batsim`` over other connections than its own.

pybatsim's class does the bookkeeping its schedulers rely on; it gets a connection object with the four
methods it uses. Callbacks come in pybatsim's own order: ``onSimulationBegins`` while the first message is
handled, then ``onAfterBatsimInit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from batfs.decision.pybatsim import Batsim, BatsimScheduler, Job
from batfs.errors import BatfsError
from batfs.protocol.decision_side import ProtocolError
from batfs.protocol.shape import fault


class Link(Protocol):
    """What ``Batsim`` uses of a connection."""

    endpoint: str

    def bind(self) -> None: ...
    def recv(self, blocking: bool = True) -> dict[str, Any]: ...
    def send(self, message: Any) -> None: ...
    def close(self) -> None: ...


def _of_pybatsim(error: Exception) -> bool:
    """Whether it was raised in pybatsim's own bookkeeping."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("batsim.")


class LinkedBatsim(Batsim):  # type: ignore[misc]
    """pybatsim's ``Batsim`` on ``link``. As there, the constructor handles the first message."""

    def __init__(self, scheduler: BatsimScheduler, link: Link) -> None:
        self._link = _Mended(link)
        self._submissions = 0
        with self._link.followed():
            super().__init__(scheduler, link.endpoint, None)

    def get_job_and_profile(self, event: Any) -> tuple[Job, dict[str, Any]]:
        job, profile = super().get_job_and_profile(event)
        job.batfs_order = self._submissions
        self._submissions += 1
        return job, profile

    def start(self) -> None:
        """The simulation to its end, which may have been in the first message already."""
        with self._link.followed():
            if not self._link.closed:
                super().start()

    @property
    def network(self) -> Link:
        return self._link

    @network.setter
    def network(self, handler: object) -> None:
        """pybatsim makes a handler of its own, not yet bound: it is not used."""


class _Mended:
    """Passes messages on, and takes out of JOB_KILLED the jobs that ended by themselves in the meantime:
    they have no progress, and pybatsim fails on one among others."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.endpoint = link.endpoint
        self.takes_arrays = bool(getattr(link, "takes_arrays", False))
        self.bind = link.bind
        self.send = link.send
        self.closed = False
        self.last: Any = None  # the message that is being handled

    def close(self) -> None:
        self.closed = True
        self._link.close()

    def recv(self, blocking: bool = True) -> dict[str, Any]:
        message = self.last = self._link.recv(blocking=blocking)
        for event in message["events"]:
            if event["type"] == "JOB_KILLED":
                progress = event["data"]["job_progress"]
                event["data"]["job_ids"] = [i for i in event["data"]["job_ids"] if i in progress]
        return message

    @contextmanager
    def followed(self) -> Iterator[None]:
        """ProtocolError for what is raised because a message is none of Batsim's, as far as its form tells or
        pybatsim lost its way in it; anything else is somebody else's fault."""
        try:
            yield
        except BatfsError:
            raise
        except Exception as error:
            wrong = fault(self.last)
            if not wrong and _of_pybatsim(error):
                wrong = f"it can't be followed ({type(error).__name__}: {error})"
            if not wrong:
                raise
            raise ProtocolError(f"the simulator sent a message that is not Batsim 4's: {wrong}") from error
