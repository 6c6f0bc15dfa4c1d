"""SIGTERM as an exception: sockets close, children are ended, files are marked as partial."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from batfs.errors import BatfsError
from batfs.process import between_steps


class TerminatedError(BatfsError):
    """Somebody asked us to end."""

    exit_code = 128 + signal.SIGTERM

    def __init__(self) -> None:
        super().__init__("terminated")


@contextmanager
def termination_raises() -> Iterator[None]:
    """Within the block SIGTERM raises :class:`TerminatedError` in the main thread."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise TerminatedError

    previous = signal.signal(signal.SIGTERM, between_steps(stop))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
