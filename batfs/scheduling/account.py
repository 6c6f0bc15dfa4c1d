"""The account of bytes: what jobs asked to read and write, and what became of it.

Every byte asked for is in one place: moved, cut short (its job ended before its I/O did, so that some of it
moved), dropped for a reason that is named, or left (its job has not ended).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batfs.scheduling.interface import StartedJob, WaitingJob
from batfs.scheduling.story import InvariantError


class ByteAccount:
    """Whole bytes; ``dropped`` by reason."""

    def __init__(self) -> None:
        self.asked = self.moved = self.cut_short = 0
        self.dropped: dict[str, int] = {}

    def drop(self, why: str, size: int) -> None:
        if size:
            self.dropped[why] = self.dropped.get(why, 0) + size

    @property
    def left(self) -> int:
        """Bytes of jobs that wait or run."""
        return self.asked - self.moved - self.cut_short - sum(self.dropped.values())

    def summary(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {
            "asked": self.asked,
            "moved": self.moved,
            "cut_short": self.cut_short,
            "dropped": dict(sorted(self.dropped.items())),
            "left": self.left,
        }

    def validate(self, waiting: Iterable[WaitingJob], running: Iterable[StartedJob]) -> None:
        """InvariantError unless what is left is what these jobs ask for."""
        theirs = sum(job.size for job in waiting) + sum(job.placement.job.size for job in running)
        if self.left != theirs:
            raise InvariantError(
                "it must hold that every byte asked for is moved, cut short, dropped or left: "
                f"{self.summary()}, and the jobs that wait or run ask for {theirs}"
            )
