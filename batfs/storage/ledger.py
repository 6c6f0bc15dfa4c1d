"""The book of who holds which bytes: exact, in whole bytes, over any number of storages.

A reservation holds its bytes during [start, end). It is *booked* while its start lies ahead, *held* from
then on, and *released* once. At no instant, now or in the future, do the reservations of a storage add up
to more than its capacity: ``reserve`` refuses, whole, what would break that. Nothing here knows of jobs,
networks or clocks: the owner moves the time with ``advance``.

The common case, everything starting now, is a few writes in the compiled core (``batfs._core.books``);
``free`` is then the ledger's own array. Bookings and windows that start later are answered from columns (see
``parts``).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

from batfs._core.arrays import np, shown
from batfs._core.books import BOOKED, HELD, RELEASED, Book, Reservation
from batfs._core.steps import ByteSteps, peak_of, peaks
from batfs.storage.bookings import Bookings
from batfs.storage.interface import FloatArray, IntArray, Share, Storage, StorageTable
from batfs.storage.parts import Parts
from batfs.storage.reservation import LedgerError, NoRoomError, merged_shares

__all__ = ["BOOKED", "HELD", "RELEASED", "Ledger", "LedgerError", "Listener", "NoRoomError", "Reservation"]

Listener: TypeAlias = Callable[[float, int, int], None]
"""Called with (time, storage index, bytes now held on it) after each change of held bytes."""


class Ledger(Book):
    """The book over ``storages``, numbered 0..m-1.

    With ``release_at_end`` (a replay, leases) ``advance`` releases what has reached its end. Without it (a
    scheduler: bytes stay until the job has really gone) an end is only a promise, used to answer questions
    about the future; bytes are held until ``release``, and what is past its end counts as ending now.
    ``now`` is the time (s).
    """

    now: float
    held_lines: dict[int, Reservation]
    bookings: Bookings
    ends: list[tuple[float, int]]

    def __init__(
        self, storages: Iterable[Storage], *, now: float = 0.0, release_at_end: bool = False
    ) -> None:
        self.storages = storages if isinstance(storages, StorageTable) else StorageTable(storages)
        self.release_at_end = release_at_end
        super().__init__([storage.capacity for storage in self.storages], now, Bookings(len(self.storages)))
        self.plain = not release_at_end
        self._listeners: list[Listener] = []
        self._spare: Bookings | None = None  # an empty one, to be used again
        # made when a question needs the ends of what is held
        self._held: Parts | None = None
        self._held_steps: list[ByteSteps] | None = None
        self._last_end: FloatArray | None = None

    @cached_property
    def _free_shown(self) -> IntArray:
        return shown(self.free_now)

    @cached_property
    def _count_shown(self) -> IntArray:
        return shown(self.count)

    # ---- reading ------------------------------------------------------------------------------------------

    @property
    def capacities(self) -> IntArray:
        """int64[m] bytes."""
        return self.storages.capacities

    @property
    def live(self) -> Iterator[Reservation]:
        """Booked and held reservations, oldest first."""
        if not self.bookings.lines:
            return iter(self.held_lines.values())
        lines = [*self.held_lines.values(), *self.bookings.lines.values()]
        return iter(sorted(lines, key=lambda line: line.id))

    def __len__(self) -> int:
        return len(self.held_lines) + len(self.bookings.lines)

    @property
    def largest_free(self) -> int:
        """Bytes free now on the storage that has most of them; 0 without storages."""
        return max(self.free_now, default=0)

    @property
    def next_change(self) -> float:
        """When a booking starts next or (with ``release_at_end``) a reservation ends; inf if none."""
        start, end = self.bookings.next_start, self._next_end
        return min(math.inf if start is None else start, math.inf if end is None else end)

    @property
    def _next_end(self) -> float | None:
        while self.ends:
            end, number = self.ends[0]
            line = self.held_lines.get(number) or self.bookings.lines.get(number)
            if line is not None and line.end == end:
                return end
            heapq.heappop(self.ends)
        return None

    def free(self, start: float, end: float) -> IntArray:
        """int64[m]: bytes free at every instant of [start, end): capacity less the *peak* of what is held
        at the same time. Read-only; holds until the next change."""
        ahead = self.bookings
        if start <= self.now and not ahead.on:
            return self._free_shown
        out: IntArray = np.empty(len(self.storages), dtype=np.int64)
        if start > self.now:
            peaks(self._steps(), ahead.steps, start, end, out)
            return np.subtract(self.storages.capacities, out, out=out)
        # what is past its end is there now, and gone an instant later
        peaks(self._steps(), ahead.steps, self.now, end, out)
        np.subtract(self.storages.capacities, out, out=out)
        return np.minimum(out, self._free_shown, out=out)

    def overlaps(self, start: float, end: float) -> IntArray:
        """int64[m]: reservations that hold bytes at some instant of [start, end). Read-only."""
        if start <= self.now and not self.bookings.on:
            return self._count_shown
        out = self._count_shown.copy()
        if start > self.now:
            held = self._held_parts()
            out -= np.bincount(held.storage.take(held.end_by(start)), minlength=len(out))
        booked = self.bookings.parts
        meets = booked.meeting(start, end)
        np.add.at(out, booked.storage[meets], 1)
        return out

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        """int64[m]: sum of the bytes of the reservations that hold some in [start, end), even if they never
        meet. Not what is needed at once: see ``free``."""
        out = self.capacities - self._free_shown
        if start > self.now:
            held = self._held_parts()
            over = held.end_by(start)
            np.subtract.at(out, held.storage[over], held.size[over])
        booked = self.bookings.parts
        meets = booked.meeting(start, end)
        np.add.at(out, booked.storage[meets], booked.size[meets])
        return out

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        """float64[m]: seconds of [start, end) held by the one reservation that holds most of it."""
        begin = max(start, self.now)
        if self._last_end is None:
            self.plain = False
            self._last_end = np.array([self._latest_end(i) for i in range(len(self.storages))], dtype=float)
        out: FloatArray = np.maximum(np.minimum(self._last_end, end) - begin, 0.0)
        if not self.bookings.on:
            return out
        b = self.bookings.parts
        meets = b.meeting(start, end)
        if len(meets):
            spans = np.minimum(b.end[meets], end) - np.maximum(b.start[meets], begin)
            np.maximum.at(out, b.storage[meets], spans)
        return out

    def room(self, index: int, start: float, end: float) -> int:
        """``free(start, end)[index]``, without the array."""
        now, left, ahead = self.now, int(self.free_now[index]), self.bookings
        if start <= now and index not in ahead.on:
            return left
        peak = peak_of(self._steps()[index], ahead.steps[index], max(start, now), end)
        room: int = self.storages[index].capacity - peak
        return room if start > now else min(room, left)

    @property
    def overbooked(self) -> bool:
        """Whether bookings and what is held are more than there is at some instant from now on: never, but
        after :meth:`unshelve`."""
        free = self.free(self.now, math.inf)
        return bool(len(free)) and int(free.min()) < 0

    # ---- writing ------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each change of held bytes."""
        self._listeners.append(listener)
        self.plain = False

    def _reserve(self, shares: Sequence[Share], begin: float, end: float, key: str) -> Reservation:
        if not self.now <= begin < end:
            raise LedgerError(f"the window [{begin}, {end}) is empty or begins before now ({self.now})")
        merged = merged_shares(shares, len(self.storages))
        self._check(merged, begin, end)
        return self._enter(merged, begin, end, key)

    def _will_end(self, line: Reservation) -> None:
        if self.release_at_end:
            heapq.heappush(self.ends, (line.end, line.id))

    def check(self, shares: Sequence[Share], start: float, end: float) -> None:
        """Raise what ``reserve`` would raise for shares that don't fit; change nothing."""
        self._check(merged_shares(shares, len(self.storages)), start, end)

    def _check(self, merged: Sequence[Share], start: float, end: float) -> None:
        for share in merged:
            room = self.room(share.index, start, end)
            if share.size > room:
                raise NoRoomError(self.storages[share.index], share.size, room)

    def _release_other(self, line: Reservation) -> None:
        if self.bookings.lines.get(line.id) is line:
            self.bookings.remove(line)
        else:
            what = "released already" if line.state == RELEASED else "not of this ledger"
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is {what}")
        line.state = RELEASED
        self._thin_out()

    def _thin_out(self) -> None:
        """Ends of what is gone don't gather."""
        if len(self.ends) > 64 and len(self.ends) > 4 * len(self):
            self.ends = [e for e in self.ends if e[1] in self.held_lines or e[1] in self.bookings.lines]
            heapq.heapify(self.ends)

    def shelve(self) -> Bookings:
        """Take all bookings out of the book, at once: they are in nobody's way, and their starts may pass,
        until they are put back."""
        empty, self._spare = self._spare or Bookings(len(self.storages)), None
        shelf, self.bookings = self.bookings, empty
        return shelf

    def unshelve(self, shelf: Bookings) -> None:
        """Put back what :meth:`shelve` took. Meanwhile more may be held than before: see ``overbooked``; and
        those whose start has passed must be released before the time moves. LedgerError if there are other
        bookings."""
        if self.bookings.lines:
            raise LedgerError("there are other bookings")
        if not self.bookings.starts:  # never used: one for each storage is made once, not in every pass
            self._spare = self.bookings
        self.bookings = shelf

    @property
    def books(self) -> tuple[list[ByteSteps], list[ByteSteps]]:
        """Of each storage, over time: the bytes held now until their ends, and those booked ahead."""
        return self._steps(), self.bookings.steps

    def moved(self, line: Reservation, start: float, end: float, share: Share) -> None:
        """Who has moved a booking of one share in :attr:`books` says so."""
        self.bookings.moved(line, start, end, share)

    def _advance(self, to: float) -> None:
        if not to >= self.now:
            raise LedgerError(f"time can't run back from {self.now} to {to}")
        ahead = self.bookings
        while ahead.starts or self.ends:
            start, end = ahead.next_start, self._next_end
            if end is not None and end <= to and (start is None or end <= start):
                number = heapq.heappop(self.ends)[1]
                self.now = max(self.now, end)
                self.release(self.held_lines.get(number) or ahead.lines[number])
            elif start is not None and start <= to:
                number = heapq.heappop(ahead.starts)[1]
                self.now = max(self.now, start)
                self._begin(ahead.lines[number])
            else:
                break
        self.now = to

    def set_end(self, line: Reservation, end: float) -> None:
        """Prolong or shorten a reservation; NoRoomError, and nothing changed, where others come after it."""
        ahead = self.bookings.lines.get(line.id) is line
        if not ahead and self.held_lines.get(line.id) is not line:
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is not live")
        if not end > max(line.start, self.now):
            raise LedgerError(f"the end {end} must lie after {max(line.start, self.now)}")
        if end > line.end:
            for share in line.shares:
                room = self.room(share.index, line.end, end)
                if share.size > room and self.release_at_end:
                    raise NoRoomError(self.storages[share.index], share.size, room)
        if ahead:
            self.bookings.set_end(line, end)
        else:
            if self._held_steps is not None:
                self._step(line, -1)
            line.end = end
            if self._held_steps is not None:
                self._step(line, 1)
            if self._held is not None:
                self._held.end[line.rows] = end
        if self._last_end is not None and line.state == HELD:
            for share in line.shares:
                self._last_end[share.index] = self._latest_end(share.index)
        if self.release_at_end and end != math.inf:
            heapq.heappush(self.ends, (end, line.id))

    # ---- inside -------------------------------------------------------------------------------------------

    def _more_held(self, line: Reservation) -> None:
        if self._held_steps is not None:
            self._step(line, 1)
        for share in line.shares:
            i = share.index
            if self._held is not None:
                line.rows.append(self._held.add(i, share.size, line.start, line.end))
            if self._last_end is not None and line.end > self._last_end[i]:
                self._last_end[i] = line.end
            for listener in self._listeners:
                listener(self.now, i, self.held(i))

    def _step(self, line: Reservation, sign: int) -> None:
        """Count what is held as such until its end, or no longer."""
        assert self._held_steps is not None
        for share in line.shares:
            self._held_steps[share.index].add(-math.inf, line.end, sign * share.size)

    def _begin(self, line: Reservation) -> None:
        for share in line.shares:
            if share.size > self.free_now[share.index]:  # only possible where ends are promises
                self.release(line)
                raise NoRoomError(self.storages[share.index], share.size, self.free_now[share.index])
        self.bookings.remove(line)
        self._hold(line)

    def _less_held(self, line: Reservation) -> None:
        self._thin_out()
        if self._held is not None:
            for row in line.rows:
                self._held.remove(row)
        if self._held_steps is not None:
            self._step(line, -1)
        for share in line.shares:
            i = share.index
            for listener in self._listeners:
                listener(self.now, i, self.held(i))
            # only the one that ends last changes the latest end
            if self._last_end is not None and line.end >= self._last_end[i]:
                self._last_end[i] = self._latest_end(i)

    def _latest_end(self, index: int) -> float:
        ends = [line.end for line in self.on[index].values()]
        return max(ends, default=-math.inf)

    def _held_parts(self) -> Parts:
        if self._held is None:
            self.plain = False
            self._held = Parts()
            for line in self.held_lines.values():
                line.rows = [self._held.add(s.index, s.size, line.start, line.end) for s in line.shares]
        return self._held

    def _steps(self) -> list[ByteSteps]:
        """The bytes held now over time: each reservation until its end."""
        if self._held_steps is None:
            self.plain = False
            self._held_steps = [ByteSteps() for _ in self.storages]
            for line in self.held_lines.values():
                self._step(line, 1)
        return self._held_steps

    def validate(self) -> None:
        """Recompute everything from the live reservations and compare; LedgerError tells what disagrees."""
        from batfs.storage.audit import audit

        audit(self)
