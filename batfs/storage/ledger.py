"""The book of who holds which bytes: exact, in whole bytes, over any number of storages.

A reservation holds its bytes during [start, end). It is *booked* while its start lies ahead, *held* from
then on, and *released* once. At no instant, now or in the future, do the reservations of a storage add up
to more than its capacity: ``reserve`` refuses, whole, what would break that. Nothing here knows of jobs,
networks or clocks: the owner moves the time with ``advance``.

The common case, everything starting now, costs a few dictionary and array writes; ``free`` is then the
ledger's own array. Bookings and windows that start later are answered from columns (see ``parts``).
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

from batfs._core.arrays import integers, np, shown
from batfs._core.steps import ByteSteps, peak_of, peaks
from batfs.storage.bookings import Bookings
from batfs.storage.interface import FloatArray, IntArray, Share, Storage, StorageTable
from batfs.storage.parts import Parts
from batfs.storage.reservation import (
    BOOKED,
    HELD,
    RELEASED,
    LedgerError,
    NoRoomError,
    Reservation,
    merged_shares,
)

__all__ = ["BOOKED", "HELD", "RELEASED", "Ledger", "LedgerError", "Listener", "NoRoomError", "Reservation"]

Listener: TypeAlias = Callable[[float, int, int], None]
"""Called with (time, storage index, bytes now held on it) after each change of held bytes."""


class Ledger:
    """The book over ``storages``, numbered 0..m-1.

    With ``release_at_end`` (a replay, leases) ``advance`` releases what has reached its end. Without it (a
    scheduler: bytes stay until the job has really gone) an end is only a promise, used to answer questions
    about the future; bytes are held until ``release``, and what is past its end counts as ending now.
    """

    def __init__(
        self, storages: Iterable[Storage], *, now: float = 0.0, release_at_end: bool = False
    ) -> None:
        self.storages = storages if isinstance(storages, StorageTable) else StorageTable(storages)
        self.release_at_end = release_at_end
        self._now = now
        self._next_id = 0
        self._live: dict[int, Reservation] = {}
        self._listeners: list[Listener] = []
        m = len(self.storages)
        # free bytes now, as exact Python integers and as the array that `free` shows
        self._left: list[int] = [storage.capacity for storage in self.storages]
        self._capacity: list[int] = self._left.copy()
        self._free = array("l", self._left)
        self._count = integers(m)
        self._on: list[dict[int, Reservation]] = [{} for _ in range(m)]  # what is held, by storage
        self._bookings = Bookings(m)
        self._spare: Bookings | None = None  # an empty one, to be used again
        # made when a question needs the ends of what is held
        self._held: Parts | None = None
        self._held_steps: list[ByteSteps] | None = None
        self._last_end: FloatArray | None = None
        self._ends: list[tuple[float, int]] = []  # (end, id) with `release_at_end`; may hold gone ids

    @cached_property
    def _free_shown(self) -> IntArray:
        return shown(self._free)

    @cached_property
    def _count_shown(self) -> IntArray:
        return shown(self._count)

    # ---- reading ------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self._now

    @property
    def capacities(self) -> IntArray:
        """int64[m] bytes."""
        return self.storages.capacities

    @property
    def live(self) -> Iterator[Reservation]:
        """Booked and held reservations, oldest first."""
        if not self._bookings.lines:
            return iter(self._live.values())
        lines = [*self._live.values(), *self._bookings.lines.values()]
        return iter(sorted(lines, key=lambda line: line.id))

    def __len__(self) -> int:
        return len(self._live) + len(self._bookings.lines)

    @property
    def largest_free(self) -> int:
        """Bytes free now on the storage that has most of them; 0 without storages."""
        if len(self._left) > 100:
            return int(self._free_shown.max())
        return max(self._left, default=0)

    def fits_everywhere(self, size: int, start: float) -> bool:
        """Whether every storage has ``size`` bytes free from ``start`` on for as long as one likes; False
        also where that takes long to find out."""
        left = self._left
        return start <= self._now and not self._bookings.on and 0 < len(left) <= 100 and size <= min(left)

    @property
    def next_change(self) -> float:
        """When a booking starts next or (with ``release_at_end``) a reservation ends; inf if none."""
        start, end = self._bookings.next_start, self._next_end
        return min(math.inf if start is None else start, math.inf if end is None else end)

    @property
    def _next_end(self) -> float | None:
        while self._ends:
            end, number = self._ends[0]
            line = self._live.get(number) or self._bookings.lines.get(number)
            if line is not None and line.end == end:
                return end
            heapq.heappop(self._ends)
        return None

    def held(self, index: int) -> int:
        """Bytes held now on one storage."""
        return self._capacity[index] - self._left[index]

    def free(self, start: float, end: float) -> IntArray:
        """int64[m]: bytes free at every instant of [start, end): capacity less the *peak* of what is held
        at the same time. Read-only; holds until the next change."""
        ahead = self._bookings
        if start <= self._now and not ahead.on:
            return self._free_shown
        out: IntArray = np.empty(len(self._left), dtype=np.int64)
        if start > self._now:
            peaks(self._steps(), ahead.steps, start, end, out)
            return np.subtract(self.storages.capacities, out, out=out)
        # what is past its end is there now, and gone an instant later
        peaks(self._steps(), ahead.steps, self._now, end, out)
        np.subtract(self.storages.capacities, out, out=out)
        return np.minimum(out, self._free_shown, out=out)

    def overlaps(self, start: float, end: float) -> IntArray:
        """int64[m]: reservations that hold bytes at some instant of [start, end). Read-only."""
        if start <= self._now and not self._bookings.on:
            return self._count_shown
        out = self._count_shown.copy()
        if start > self._now:
            held = self._held_parts()
            out -= np.bincount(held.storage.take(held.end_by(start)), minlength=len(out))
        booked = self._bookings.parts
        meets = booked.meeting(start, end)
        np.add.at(out, booked.storage[meets], 1)
        return out

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        """int64[m]: sum of the bytes of the reservations that hold some in [start, end), even if they never
        meet. Not what is needed at once: see ``free``."""
        out = self.capacities - self._free_shown
        if start > self._now:
            held = self._held_parts()
            over = held.end_by(start)
            np.subtract.at(out, held.storage[over], held.size[over])
        booked = self._bookings.parts
        meets = booked.meeting(start, end)
        np.add.at(out, booked.storage[meets], booked.size[meets])
        return out

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        """float64[m]: seconds of [start, end) held by the one reservation that holds most of it."""
        begin = max(start, self._now)
        if self._last_end is None:
            self._last_end = np.array([self._latest_end(i) for i in range(len(self.storages))], dtype=float)
        out: FloatArray = np.maximum(np.minimum(self._last_end, end) - begin, 0.0)
        if not self._bookings.on:
            return out
        b = self._bookings.parts
        meets = b.meeting(start, end)
        if len(meets):
            spans = np.minimum(b.end[meets], end) - np.maximum(b.start[meets], begin)
            np.maximum.at(out, b.storage[meets], spans)
        return out

    def room(self, index: int, start: float, end: float) -> int:
        """``free(start, end)[index]``, without the array."""
        now, left, ahead = self._now, self._left[index], self._bookings
        if start <= now and index not in ahead.on:
            return left
        peak = peak_of(self._steps()[index], ahead.steps[index], max(start, now), end)
        room: int = self._capacity[index] - peak
        return room if start > now else min(room, left)

    @property
    def overbooked(self) -> bool:
        """Whether bookings and what is held are more than there is at some instant from now on: never, but
        after :meth:`unshelve`."""
        free = self.free(self._now, math.inf)
        return bool(len(free)) and int(free.min()) < 0

    # ---- writing ------------------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` after each change of held bytes."""
        self._listeners.append(listener)

    def reserve(
        self,
        shares: Sequence[Share],
        *,
        start: float | None = None,
        end: float = math.inf,
        key: str = "",
    ) -> Reservation:
        """Hold all the ``shares`` during [start, end), or none: NoRoomError if one doesn't fit.

        ``start`` defaults to now. Shares on one storage are added up. LedgerError for a size that isn't
        positive, an unknown storage, a window that is empty or begins in the past.
        """
        begin = self._now if start is None else start
        if not self._now <= begin < end:
            raise LedgerError(f"the window [{begin}, {end}) is empty or begins before now ({self._now})")
        merged = merged_shares(shares, len(self._left))
        left = self._left
        for share in merged:  # the same as _check, quickly where nothing is booked ahead
            if begin > self._now or share.index in self._bookings.on:
                self._check(merged, begin, end)
                break
            if share.size > left[share.index]:
                raise NoRoomError(self.storages[share.index], share.size, left[share.index])
        number = self._next_id
        self._next_id = number + 1
        line = Reservation(number, key, merged, begin, end, BOOKED)
        if begin > self._now:
            self._bookings.add(line)
        else:
            self._hold(line)
        if self.release_at_end and end != math.inf:
            heapq.heappush(self._ends, (end, number))
        return line

    def check(self, shares: Sequence[Share], start: float, end: float) -> None:
        """Raise what ``reserve`` would raise for shares that don't fit; change nothing."""
        self._check(merged_shares(shares, len(self._left)), start, end)

    def _check(self, merged: Sequence[Share], start: float, end: float) -> None:
        for share in merged:
            room = self.room(share.index, start, end)
            if share.size > room:
                raise NoRoomError(self.storages[share.index], share.size, room)

    def release(self, line: Reservation) -> None:
        """Give the bytes back now (at its end, early, or before a booking began).

        LedgerError if that was done before, or if the reservation is another ledger's.
        """
        if self._live.get(line.id) is line:
            self._let_go(line)
        elif self._bookings.lines.get(line.id) is line:
            self._bookings.remove(line)
        else:
            what = "released already" if line.state == RELEASED else "not of this ledger"
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is {what}")
        line.state = RELEASED
        if len(self._ends) > 64 and len(self._ends) > 4 * len(self):
            self._ends = [e for e in self._ends if e[1] in self._live or e[1] in self._bookings.lines]
            heapq.heapify(self._ends)

    def shelve(self) -> Bookings:
        """Take all bookings out of the book, at once: they are in nobody's way, and their starts may pass,
        until they are put back."""
        empty, self._spare = self._spare or Bookings(len(self._left)), None
        shelf, self._bookings = self._bookings, empty
        return shelf

    def unshelve(self, shelf: Bookings) -> None:
        """Put back what :meth:`shelve` took. Meanwhile more may be held than before: see ``overbooked``; and
        those whose start has passed must be released before the time moves. LedgerError if there are other
        bookings."""
        if self._bookings.lines:
            raise LedgerError("there are other bookings")
        if not self._bookings.starts:  # never used: one for each storage is made once, not in every pass
            self._spare = self._bookings
        self._bookings = shelf

    @property
    def books(self) -> tuple[list[ByteSteps], list[ByteSteps]]:
        """Of each storage, over time: the bytes held now until their ends, and those booked ahead."""
        return self._steps(), self._bookings.steps

    def moved(self, line: Reservation, start: float, end: float, share: Share) -> None:
        """Who has moved a booking of one share in :attr:`books` says so."""
        self._bookings.moved(line, start, end, share)

    def advance(self, to: float) -> None:
        """Move the time: bookings whose start has come are held; with ``release_at_end``, ends release.

        At one instant ends come before starts, each in the order the reservations were made. Without
        ``release_at_end`` a booking may find its bytes still held past a promised end: NoRoomError, with the
        time at the booking's start and the booking gone.
        """
        if not to >= self._now:
            raise LedgerError(f"time can't run back from {self._now} to {to}")
        ahead = self._bookings
        while ahead.starts or self._ends:
            start, end = ahead.next_start, self._next_end
            if end is not None and end <= to and (start is None or end <= start):
                number = heapq.heappop(self._ends)[1]
                self._now = max(self._now, end)
                self.release(self._live.get(number) or ahead.lines[number])
            elif start is not None and start <= to:
                number = heapq.heappop(ahead.starts)[1]
                self._now = max(self._now, start)
                self._begin(ahead.lines[number])
            else:
                break
        self._now = to

    def set_end(self, line: Reservation, end: float) -> None:
        """Prolong or shorten a reservation; NoRoomError, and nothing changed, where others come after it."""
        ahead = self._bookings.lines.get(line.id) is line
        if not ahead and self._live.get(line.id) is not line:
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is not live")
        if not end > max(line.start, self._now):
            raise LedgerError(f"the end {end} must lie after {max(line.start, self._now)}")
        if end > line.end:
            for share in line.shares:
                room = self.room(share.index, line.end, end)
                if share.size > room and self.release_at_end:
                    raise NoRoomError(self.storages[share.index], share.size, room)
        if ahead:
            self._bookings.set_end(line, end)
        else:
            if self._held_steps is not None:
                self._step(line, -1)
            line.end = end
            if self._held_steps is not None:
                self._step(line, 1)
            if self._held is not None:
                self._held.end[line._rows] = end
        if self._last_end is not None and line.state == HELD:
            for share in line.shares:
                self._last_end[share.index] = self._latest_end(share.index)
        if self.release_at_end and end != math.inf:
            heapq.heappush(self._ends, (end, line.id))

    # ---- inside -------------------------------------------------------------------------------------------

    def _hold(self, line: Reservation) -> None:
        line.state = HELD
        self._live[line.id] = line
        if self._held_steps is not None:
            self._step(line, 1)
        for share in line.shares:
            i = share.index
            self._on[i][line.id] = line
            left = self._left[i] - share.size
            self._left[i] = left
            self._free[i] = left
            self._count[i] += 1
            if self._held is not None:
                line._rows.append(self._held.add(i, share.size, line.start, line.end))
            if self._last_end is not None and line.end > self._last_end[i]:
                self._last_end[i] = line.end
            for listener in self._listeners:
                listener(self._now, i, self.storages[i].capacity - left)

    def _step(self, line: Reservation, sign: int) -> None:
        """Count what is held as such until its end, or no longer."""
        assert self._held_steps is not None
        for share in line.shares:
            self._held_steps[share.index].add(-math.inf, line.end, sign * share.size)

    def _begin(self, line: Reservation) -> None:
        for share in line.shares:
            if share.size > self._left[share.index]:  # only possible where ends are promises
                self.release(line)
                raise NoRoomError(self.storages[share.index], share.size, self._left[share.index])
        self._bookings.remove(line)
        self._hold(line)

    def _let_go(self, line: Reservation) -> None:
        del self._live[line.id]
        if self._held is not None:
            for row in line._rows:
                self._held.remove(row)
        if self._held_steps is not None:
            self._step(line, -1)
        for share in line.shares:
            i = share.index
            left = self._left[i] + share.size
            self._left[i] = left
            self._free[i] = left
            self._count[i] -= 1
            del self._on[i][line.id]
            for listener in self._listeners:
                listener(self._now, i, self.storages[i].capacity - left)
            # only the one that ends last changes the latest end
            if self._last_end is not None and line.end >= self._last_end[i]:
                self._last_end[i] = self._latest_end(i)

    def _latest_end(self, index: int) -> float:
        ends = [line.end for line in self._on[index].values()]
        return max(ends, default=-math.inf)

    def _held_parts(self) -> Parts:
        if self._held is None:
            self._held = Parts()
            for line in self._live.values():
                line._rows = [self._held.add(s.index, s.size, line.start, line.end) for s in line.shares]
        return self._held

    def _steps(self) -> list[ByteSteps]:
        """The bytes held now over time: each reservation until its end."""
        if self._held_steps is None:
            self._held_steps = [ByteSteps() for _ in self._left]
            for line in self._live.values():
                self._step(line, 1)
        return self._held_steps

    def validate(self) -> None:
        """Recompute everything from the live reservations and compare; LedgerError tells what disagrees."""
        from batfs.storage.audit import audit

        audit(self)
