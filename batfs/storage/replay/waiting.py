"""What happens to a request that finds no room."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias, cast

from batfs.errors import InputError
from batfs.plugins import Registry, Seconds


@dataclass(frozen=True, slots=True)
class Refuse:
    """It is refused at once."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It comes back after ``every`` seconds (300), then after ``backoff`` (1) times as long, and so on, and
    is refused when it would have to wait longer than ``limit`` (3600). The defaults are StorAlloc's rule;
    unlike there it keeps its duration, and requests in blocks come back too."""

    every: Seconds = 300.0
    backoff: float = 1.0
    limit: Seconds = 3600.0

    def __post_init__(self) -> None:
        if not (self.every > 0 and self.backoff > 0 and math.isfinite(self.limit)):
            raise InputError(f"{self} doesn't make sense: every and backoff must be above 0")


@dataclass(frozen=True, slots=True)
class Storalloc:
    """StorAlloc's own retry: while the start was moved by less than ``limit`` (3600) seconds and something of
    the request is left, its start moves by ``every`` (300) seconds, its end stays, and the policy is asked
    again at once. Requests in blocks don't come back."""

    every: Seconds = 300.0
    limit: Seconds = 3600.0

    def __post_init__(self) -> None:
        if not (self.every > 0 and math.isfinite(self.limit)):
            raise InputError(f"{self} doesn't make sense: every must be above 0")


@dataclass(frozen=True, slots=True)
class Fifo:
    """It waits; requests are served strictly in their order of arrival."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """It waits; the first in the queue is promised the earliest time when it fits, and others may go before
    it where that doesn't delay it (EASY backfilling, over bytes instead of nodes)."""


WhenFull: TypeAlias = Refuse | Retry | Storalloc | Fifo | Backfill

WHEN_FULL: Registry[type[WhenFull]] = Registry("answer to a full system", "batfs.when_full")
for _name, _kind in (
    ("refuse", Refuse),
    ("retry", Retry),
    ("storalloc", Storalloc),
    ("fifo", Fifo),
    ("backfill", Backfill),
):
    WHEN_FULL.register(_name)(_kind)


def make_when_full(text: str) -> WhenFull:
    """``refuse``, ``retry:every=5m,backoff=2,limit=1h``, ``storalloc``, ``fifo`` or ``backfill``."""
    return cast(WhenFull, WHEN_FULL.make(text))
