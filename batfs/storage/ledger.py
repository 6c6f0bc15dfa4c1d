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
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

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
        self._left: list[int] = self.storages.capacities.tolist()
        self._capacity: list[int] = self._left.copy()
        self._free: IntArray = self.storages.capacities.copy()
        self._count: IntArray = np.zeros(m, dtype=np.int64)
        # the same memory; quicker, one at a time
        self._free_cells: Any = memoryview(self._free.data)
        self._count_cells: Any = memoryview(self._count.data)
        self._free_shown, self._count_shown = self._free.view(), self._count.view()
        self._free_shown.flags.writeable = self._count_shown.flags.writeable = False
        self._on: list[dict[int, Reservation]] = [{} for _ in range(m)]  # live reservations by storage
        self._size_on: list[dict[int, int]] = [{} for _ in range(m)]
        self._booked = Parts()
        self._booked_on: dict[int, int] = {}  # storage -> number of booked parts
        self._stale: set[int] = set()  # storages whose booked parts need their level computed anew
        self._held: Parts | None = None  # made when a question needs the ends of what is held
        self._last_end: FloatArray | None = None
        # floating-point sums of bytes are exact below 2^53, and much quicker than integer ones
        self._small = max(self._left, default=0) < 2**53
        self._agenda: list[tuple[float, int, int]] = []  # (time, 0 end | 1 start, id); may hold gone ids

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
        return iter(self._live.values())

    def __len__(self) -> int:
        return len(self._live)

    @property
    def largest_free(self) -> int:
        """Bytes free now on the storage that has most of them; 0 without storages."""
        if len(self._left) > 100:
            return int(self._free.max())
        return max(self._left, default=0)

    def fits_everywhere(self, size: int, start: float) -> bool:
        """Whether every storage has ``size`` bytes free from ``start`` on for as long as one likes; False
        also where that takes long to find out."""
        left = self._left
        return start <= self._now and not self._booked_on and 0 < len(left) <= 100 and size <= min(left)

    @property
    def next_change(self) -> float:
        """When a booking starts next or (with ``release_at_end``) a reservation ends; inf if none."""
        while self._agenda:
            time, what, number = self._agenda[0]
            line = self._live.get(number)
            if line is not None and time == (line.start if what else line.end):
                return time
            heapq.heappop(self._agenda)
        return math.inf

    def held(self, index: int) -> int:
        """Bytes held now on one storage."""
        return self._capacity[index] - self._left[index]

    def free(self, start: float, end: float) -> IntArray:
        """int64[m]: bytes free at every instant of [start, end): capacity less the *peak* of what is held
        at the same time. Read-only; holds until the next change."""
        if start <= self._now and not self._booked_on:
            return self._free_shown
        out = self._at(start)
        booked = self._levels()
        ahead = booked.begin_within(start, end)
        np.minimum.at(out, booked.storage.take(ahead), booked.level.take(ahead))
        return out

    def overlaps(self, start: float, end: float) -> IntArray:
        """int64[m]: reservations that hold bytes at some instant of [start, end). Read-only."""
        if start <= self._now and not self._booked_on:
            return self._count_shown
        out = self._count.copy()
        if start > self._now:
            held = self._held_parts()
            out -= np.bincount(held.storage.take(held.end_by(start)), minlength=len(out))
        meets = self._booked.meeting(start, end)
        np.add.at(out, self._booked.storage[meets], 1)
        return out

    def overlapping_bytes(self, start: float, end: float) -> IntArray:
        """int64[m]: sum of the bytes of the reservations that hold some in [start, end), even if they never
        meet. Not what is needed at once: see ``free``."""
        out = self.capacities - self._free
        if start > self._now:
            out -= self._bytes(self._held_parts(), self._held_parts().end_by(start))
        meets = self._booked.meeting(start, end)
        np.add.at(out, self._booked.storage[meets], self._booked.size[meets])
        return out

    def longest_overlap(self, start: float, end: float) -> FloatArray:
        """float64[m]: seconds of [start, end) held by the one reservation that holds most of it."""
        begin = max(start, self._now)
        if self._last_end is None:
            self._last_end = np.array([self._latest_end(i) for i in range(len(self.storages))], dtype=float)
        out: FloatArray = np.maximum(np.minimum(self._last_end, end) - begin, 0.0)
        if not self._booked_on:
            return out
        b = self._booked
        meets = b.meeting(start, end)
        if len(meets):
            spans = np.minimum(b.end[meets], end) - np.maximum(b.start[meets], begin)
            np.maximum.at(out, b.storage[meets], spans)
        return out

    def room(self, index: int, start: float, end: float) -> int:
        """``free(start, end)[index]``, without the array."""
        if start <= self._now and index not in self._booked_on:
            return self._left[index]
        sizes, changes, used = self._size_on[index], [], 0
        begin = max(start, self._now)
        for key, reservation in self._on[index].items():
            r_start, r_end, size = reservation.start, reservation.end, sizes[key]
            if reservation.state == HELD and r_end <= self._now:  # past its promised end, still there
                if begin <= self._now:
                    used += size
                    changes.append((self._now, -size))
                continue
            if r_start >= end or r_end <= begin:
                continue
            if r_start <= begin:
                used += size
            else:
                changes.append((r_start, size))
            if r_end < end:
                changes.append((r_end, -size))
        peak = used
        changes.sort()  # at one instant ends (negative) come before starts
        for _, change in changes:
            used += change
            if used > peak:
                peak = used
        return self.storages[index].capacity - peak

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
            if begin > self._now or share.index in self._booked_on:
                self._check(merged, begin, end)
                break
            if share.size > left[share.index]:
                raise NoRoomError(self.storages[share.index], share.size, left[share.index])
        number = self._next_id
        self._next_id = number + 1
        line = Reservation(number, key, merged, begin, end, BOOKED)
        self._live[number] = line
        for share in merged:
            self._on[share.index][number] = line
            self._size_on[share.index][number] = share.size
        if begin > self._now:
            heapq.heappush(self._agenda, (begin, 1, number))
            for share in merged:
                line._rows.append(self._booked.add(share.index, share.size, begin, end))
                self._booked_on[share.index] = self._booked_on.get(share.index, 0) + 1
                self._stale.add(share.index)
        else:
            self._hold(line)
        if self.release_at_end and end != math.inf:
            heapq.heappush(self._agenda, (end, 0, number))
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
        if self._live.get(line.id) is not line:
            what = "released already" if line.state == RELEASED else "not of this ledger"
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is {what}")
        del self._live[line.id]
        for share in line.shares:
            del self._on[share.index][line.id]
            del self._size_on[share.index][line.id]
        if line.state == HELD:
            self._let_go(line)
        else:
            self._unbook(line)
        line.state = RELEASED
        if len(self._agenda) > 64 and len(self._agenda) > 4 * len(self._live):
            self._agenda = [entry for entry in self._agenda if entry[2] in self._live]
            heapq.heapify(self._agenda)

    def advance(self, to: float) -> None:
        """Move the time: bookings whose start has come are held; with ``release_at_end``, ends release.

        At one instant ends come before starts, each in the order the reservations were made. Without
        ``release_at_end`` a booking may find its bytes still held past a promised end: NoRoomError, with the
        time at the booking's start and the booking gone.
        """
        if not to >= self._now:
            raise LedgerError(f"time can't run back from {self._now} to {to}")
        while self._agenda and self._agenda[0][0] <= to:
            time, what, number = heapq.heappop(self._agenda)
            line = self._live.get(number)
            if line is None or time != (line.start if what else line.end):
                continue
            self._now = max(self._now, time)
            if what:
                self._begin(line)
            else:
                self.release(line)
        self._now = to

    def set_end(self, line: Reservation, end: float) -> None:
        """Prolong or shorten a reservation; NoRoomError, and nothing changed, where others come after it."""
        if self._live.get(line.id) is not line:
            raise LedgerError(f"the reservation {line.id} ({line.key!r}) is not live")
        if not end > max(line.start, self._now):
            raise LedgerError(f"the end {end} must lie after {max(line.start, self._now)}")
        if end > line.end:
            for share in line.shares:
                room = self.room(share.index, line.end, end)
                if share.size > room and self.release_at_end:
                    raise NoRoomError(self.storages[share.index], share.size, room)
        line.end = end
        parts = self._booked if line.state == BOOKED else self._held
        for row in line._rows if parts is not None else ():
            assert parts is not None
            parts.end[row] = end
        self._stale.update(s.index for s in line.shares if s.index in self._booked_on)
        if self._last_end is not None and line.state == HELD:
            for share in line.shares:
                self._last_end[share.index] = self._latest_end(share.index)
        if self.release_at_end and end != math.inf:
            heapq.heappush(self._agenda, (end, 0, line.id))

    # ---- inside -------------------------------------------------------------------------------------------

    def _hold(self, line: Reservation) -> None:
        line.state = HELD
        for share in line.shares:
            i = share.index
            left = self._left[i] - share.size
            self._left[i] = left
            self._free_cells[i] = left
            self._count_cells[i] += 1
            if self._held is not None:
                line._rows.append(self._held.add(i, share.size, line.start, line.end))
            if self._last_end is not None and line.end > self._last_end[i]:
                self._last_end[i] = line.end
            if self._booked_on and i in self._booked_on:
                self._stale.add(i)
            for listener in self._listeners:
                listener(self._now, i, self.storages[i].capacity - left)

    def _begin(self, line: Reservation) -> None:
        for share in line.shares:
            if share.size > self._left[share.index]:  # only possible where ends are promises
                self.release(line)
                raise NoRoomError(self.storages[share.index], share.size, self._left[share.index])
        self._unbook(line)
        self._hold(line)

    def _let_go(self, line: Reservation) -> None:
        if self._held is not None:
            for row in line._rows:
                self._held.remove(row)
        for share in line.shares:
            i = share.index
            left = self._left[i] + share.size
            self._left[i] = left
            self._free_cells[i] = left
            self._count_cells[i] -= 1
            if self._booked_on and i in self._booked_on:
                self._stale.add(i)
            for listener in self._listeners:
                listener(self._now, i, self.storages[i].capacity - left)
            # only the one that ends last changes the latest end
            if self._last_end is not None and line.end >= self._last_end[i]:
                self._last_end[i] = self._latest_end(i)

    def _unbook(self, line: Reservation) -> None:
        for row in line._rows:
            self._booked.remove(row)
        line._rows.clear()
        for share in line.shares:
            i = share.index
            self._booked_on[i] -= 1
            if self._booked_on[i]:
                self._stale.add(i)
            else:
                del self._booked_on[i]
                self._stale.discard(i)

    def _latest_end(self, index: int) -> float:
        ends = [line.end for line in self._on[index].values() if line.state == HELD]
        return max(ends, default=-math.inf)

    def _held_parts(self) -> Parts:
        if self._held is None:
            self._held = Parts()
            for line in self._live.values():
                if line.state == HELD:
                    line._rows = [self._held.add(s.index, s.size, line.start, line.end) for s in line.shares]
        return self._held

    def _at(self, time: float) -> IntArray:
        """Bytes free at one instant, now or later."""
        out = self._free.copy()
        if time > self._now:
            out += self._bytes(self._held_parts(), self._held_parts().end_by(time))
            out -= self._bytes(self._booked, self._booked.at(time))
        return out

    def _bytes(self, parts: Parts, which: NDArray[np.intp]) -> IntArray:
        """int64[m]: bytes on each storage of the chosen parts, all there at one instant."""
        if self._small:
            sums = np.bincount(parts.storage.take(which), parts.size.take(which), len(self._left))
            return sums.astype(np.int64)
        out: IntArray = np.zeros(len(self._left), dtype=np.int64)
        np.add.at(out, parts.storage[which], parts.size[which])
        return out

    def _levels(self) -> Parts:
        """The booked parts, with ``level`` = bytes free on the storage at the instant the part starts."""
        for index in sorted(self._stale):
            self._sweep(index)
        self._stale.clear()
        return self._booked

    def _sweep(self, index: int) -> None:
        capacity, sizes = self.storages[index].capacity, self._size_on[index]
        changes: list[tuple[float, int, int]] = []
        rows: dict[float, list[int]] = {}
        used = 0
        for key, line in self._on[index].items():
            if line.state == BOOKED:
                changes.append((line.start, 1, sizes[key]))
                rows.setdefault(line.start, []).extend(
                    row for row, share in zip(line._rows, line.shares, strict=True) if share.index == index
                )
            else:
                used += sizes[key]
            if line.end != math.inf:
                changes.append((line.end, 0, -sizes[key]))
        changes.sort()
        for position, (time, what, change) in enumerate(changes):
            used += change
            last = position + 1 == len(changes) or changes[position + 1][0] != time
            if what and last:
                for row in rows[time]:
                    self._booked.level[row] = capacity - used

    def validate(self) -> None:
        """Recompute everything from the live reservations and compare; LedgerError tells what disagrees."""
        from batfs.storage.audit import audit

        audit(self)
