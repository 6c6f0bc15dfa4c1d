"""The part of the ledger that lies ahead: reservations whose start has not come."""

from __future__ import annotations

import heapq

from batfs._core.books import Reservation
from batfs._core.steps import ByteSteps
from batfs.storage.interface import Share
from batfs.storage.parts import Parts


class Bookings:
    """``lines`` by id; ``on``: how many parts lie on which storage; ``starts``: a heap of (start, id) that
    may hold ids that are gone; ``steps``: the bytes booked over time on each of ``storages``; ``parts``: the
    same as columns, once somebody has asked for them."""

    def __init__(self, storages: int) -> None:
        self.lines: dict[int, Reservation] = {}
        self.on: dict[int, int] = {}
        self._starts: list[tuple[float, int]] | None = []
        self.steps = [ByteSteps() for _ in range(storages)]
        self._parts: Parts | None = None

    @property
    def are_none(self) -> bool:
        """Whether nothing is on the agenda."""
        return self._starts is not None and not self._starts

    @property
    def starts(self) -> list[tuple[float, int]]:
        if self._starts is None:
            self._starts = [(line.start, number) for number, line in self.lines.items()]
            heapq.heapify(self._starts)
        return self._starts

    def add(self, line: Reservation) -> None:
        self.lines[line.id] = line
        if self._starts is not None:
            heapq.heappush(self._starts, (line.start, line.id))
        on, steps = self.on, self.steps
        for share in line.shares:
            steps[share.index].add(line.start, line.end, share.size)
            on[share.index] = on.get(share.index, 0) + 1
        if self._parts is not None:
            line.rows = [self._parts.add(s.index, s.size, line.start, line.end) for s in line.shares]

    def remove(self, line: Reservation) -> None:
        del self.lines[line.id]
        on, steps = self.on, self.steps
        for share in line.shares:
            i = share.index
            steps[i].add(line.start, line.end, -share.size)
            on[i] -= 1
            if not on[i]:
                del on[i]
        if self._parts is not None:
            for row in line.rows:
                self._parts.remove(row)
            line.rows = []
        if self._starts is not None and len(self._starts) > 64 + 4 * len(self.lines):
            self._starts = None

    def set_end(self, line: Reservation, end: float) -> None:
        self.remove(line)
        line.end = end
        self.add(line)

    def moved(self, line: Reservation, start: float, end: float, share: Share) -> None:
        """A line of one share is elsewhere and at another time; ``steps`` say so already."""
        [was] = line.shares
        line.start, line.end = start, end
        self._starts = None
        if was.index != share.index:
            line.shares = (share,)
            self.on[was.index] -= 1
            if not self.on[was.index]:
                del self.on[was.index]
            self.on[share.index] = self.on.get(share.index, 0) + 1
        if self._parts is not None:
            [row] = line.rows
            self._parts.remove(row)
            line.rows = [self._parts.add(share.index, share.size, start, end)]

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            parts = self._parts = Parts()
            for line in self.lines.values():
                line.rows = [parts.add(s.index, s.size, line.start, line.end) for s in line.shares]
        return self._parts

    @property
    def next_start(self) -> float | None:
        """When the next of them begins; None if there is none."""
        while self.starts:
            start, number = self.starts[0]
            line = self.lines.get(number)
            if line is not None and line.start == start:
                return start
            heapq.heappop(self.starts)
        return None
