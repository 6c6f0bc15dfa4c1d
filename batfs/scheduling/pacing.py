"""Staging that may take a part of the machine only: which of its transfers may move now, and how much.

The transfers of a file system with a limit move in pieces, first come, first served. A piece with ``b`` bytes
on a link of which stagings may have ``r`` bytes/s closes that link to the next piece for ``b / r`` seconds
from its start on; one whose links are all open may start, unless one before it waits for a link of its own.
So V bytes in pieces of c on a link of bandwidth C have moved after (V/c - 1) c/r + c/C, r bytes a second but
for the last piece. A limit in bytes a second is a link of its own that all stagings of the file system share.

Pieces have the size that ``chunk`` says (the setting), else what the limit lets through in ``PACE`` seconds.
What the pieces are is the gate's affair, and so is who may move beside them (``gate``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from math import inf
from typing import Final, TypeAlias

from batfs.filesystems.script import AHEAD, STAGE_IN
from batfs.filesystems.staging_modes import StagingLimit
from batfs.protocol.clock import due
from batfs.scheduling.io_policies.interface import Transfer

#: Seconds of which a piece moves the bytes, if nobody says how large it is to be.
PACE: Final = 10.0

_KINDS: Final = frozenset((STAGE_IN, AHEAD, "stage_out"))

#: Of each link that a transfer needs and may have a part of only: the bytes on it for each byte of the
#: transfer, and the bytes/s that it may have.
Pace: TypeAlias = Mapping[Hashable, tuple[float, float]]


class Pacer:
    """``limits`` by file system; ``capacity``: bytes/s of each link by number; ``chunk``: bytes of a piece,
    if that is said."""

    def __init__(
        self,
        limits: Mapping[str, StagingLimit],
        capacity: Mapping[int, float],
        chunk: int | None,
    ) -> None:
        self._limits = limits
        self._capacity = capacity
        self._chunk = chunk
        self._open_at: dict[Hashable, float] = {}
        #: When the first of those that wait may be able to move (s), as of the last :meth:`allowed`.
        self.next = inf

    def limits(self, kind: str, file_systems: Iterable[str]) -> bool:
        """Whether a transfer of this kind between these file systems is one of those with a limit."""
        return kind in _KINDS and any(name in self._limits for name in file_systems)

    def pace(self, transfer: Transfer) -> Pace | None:
        """What limits the transfer; None if it isn't one of those with a limit."""
        if not self.limits(transfer.kind, transfer.file_systems):
            return None
        out: dict[Hashable, tuple[float, float]] = {}
        speed = transfer.bandwidth
        for name in transfer.file_systems:
            limit = self._limits.get(name)
            if limit is None:
                continue
            if limit.rate:
                out[name] = 1.0, limit.rate
            for link, demand in transfer.demand.items() if limit.share else ():
                allowed = limit.share * self._capacity[link]
                if allowed < inf and speed:
                    out[name, link] = demand / speed, allowed
        return out

    def allowed(self, waiting: Iterable[tuple[str, Pace, int]], now: float) -> set[str]:
        """Which of these (id, pace, bytes left) may start a piece now, all of them together; they are its
        own, in the order in which they have come to wait."""
        closed: set[Hashable] = set()
        opens = dict(self._open_at)
        found: set[str] = set()
        self.next = inf
        for transfer_id, pace, left in waiting:
            if closed.isdisjoint(pace):
                at = max((opens.get(link, 0.0) for link in pace), default=0.0)
                if at <= now or due(at, now):
                    found.add(transfer_id)
                    _close(opens, pace, self.piece(pace, left), now)
                    continue
                self.next = min(self.next, at)
            closed.update(pace)
        return found

    def piece(self, pace: Pace, left: int) -> int:
        """Bytes of the next piece of a transfer with ``left`` bytes to move."""
        if self._chunk is not None:
            return min(self._chunk, left)
        rate = min((r / part for part, r in pace.values() if part), default=inf)
        return max(1, min(int(rate * PACE), left)) if rate < inf else left

    def starts(self, pace: Pace, size: int, now: float) -> None:
        """A piece of ``size`` bytes starts."""
        _close(self._open_at, pace, size, now)


def _close(open_at: dict[Hashable, float], pace: Pace, size: int, now: float) -> None:
    for link, (part, rate) in pace.items():
        open_at[link] = max(now, open_at.get(link, 0.0)) + size * part / rate
