# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The books of a scheduler: bytes held, used and on their way, storage by storage. Compiled by Cython.

A job that holds bytes on one storage from now on, as most do, touches them a dozen times: they are found
free, held, used, counted as moving, told, and all of it back. That is what is here. Bookings ahead, windows
of time and whatever is wrong belong to the classes that are made of these (``batfs.storage.ledger``,
``batfs.scheduling.machine``).

Numbers of bytes and of transfers are int64 in arrays, which others may look at; times are whatever the
caller gives.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

from batfs._core.arrays import address, doubles, integers

INFINITY = float("inf")
EXACT = cython.declare(cython.longlong, 1 << 53)
#: Whether this is the compiled form.
COMPILED = cython.compiled

BOOKED, HELD, RELEASED = "booked", "held", "released"


@cython.cfunc
def cells(numbers: Any) -> cython.p_longlong:
    """The numbers of an array of int64."""
    if cython.compiled:
        return cython.cast(cython.p_longlong, cython.cast(cython.size_t, address(numbers)))
    return memoryview(numbers)


@cython.cclass
class Reservation:
    """A line of the book. ``shares``: at most one per storage, in the order given. Read-only outside."""

    id = cython.declare(cython.longlong, visibility="public")
    key = cython.declare(object, visibility="public")
    shares = cython.declare(tuple, visibility="public")
    start = cython.declare(object, visibility="public")
    end = cython.declare(object, visibility="public")
    state = cython.declare(object, visibility="public")
    rows = cython.declare(list, visibility="public")  # its parts, in columns of the ledger's

    def __init__(self, number: int, key: str, shares: tuple, start: float, end: float, state: str) -> None:
        self.id = number
        self.key = key
        self.shares = shares
        self.start = start
        self.end = end
        self.state = state
        self.rows = []

    @property
    def size(self) -> int:
        return sum([share.size for share in self.shares])


@cython.cclass
class Book:
    """What is held on each storage of so many bytes. ``plain``: nobody keeps more of what is held (columns,
    steps, listeners) and has to be told of it."""

    free_now = cython.declare(object, visibility="readonly")  # int64[m]
    count = cython.declare(object, visibility="readonly")  # int64[m] reservations
    now = cython.declare(object, visibility="public")
    next_id = cython.declare(cython.longlong, visibility="public")
    plain = cython.declare(cython.bint, visibility="public")
    held_lines = cython.declare(dict, visibility="readonly")
    on = cython.declare(list, visibility="readonly")  # the same by storage
    bookings = cython.declare(object, visibility="public")
    ends = cython.declare(list, visibility="public")  # (end, id) of what releases itself; may hold gone ids
    storages_count: cython.Py_ssize_t
    left: cython.p_longlong
    counts: cython.p_longlong
    most: cython.p_longlong
    capacity: object

    def __init__(self, capacities: Sequence[int], now: float, bookings: Any) -> None:
        self.capacity, self.free_now = array("l", capacities), array("l", capacities)
        self.count = integers(len(capacities))
        self.most, self.left, self.counts = cells(self.capacity), cells(self.free_now), cells(self.count)
        self.storages_count = len(capacities)
        self.now = now
        self.next_id = 0
        self.plain = True
        self.held_lines = {}
        self.on = [{} for _ in range(len(capacities))]
        self.bookings = bookings
        self.ends = []

    def held(self, index: cython.Py_ssize_t) -> int:
        """Bytes held now on one storage."""
        return self.most[index] - self.left[index]

    def fits_everywhere(self, size: cython.longlong, start: float) -> bool:
        """Whether every storage has ``size`` bytes free from ``start`` on for as long as one likes; False
        also where something is booked."""
        i: cython.Py_ssize_t
        if start > self.now or not self.storages_count or self.bookings.on:
            return False
        for i in range(self.storages_count):  # noqa: SIM110 (typed, as it stands)
            if size > self.left[i]:
                return False
        return True

    def reserve(
        self, shares: Sequence[Any], *, start: float | None = None, end: float = INFINITY, key: str = ""
    ) -> Reservation:
        """Hold all the ``shares`` during [start, end), or none: NoRoomError if one doesn't fit.

        ``start`` defaults to now. Shares on one storage are added up. LedgerError for a size that isn't
        positive, an unknown storage, a window that is empty or begins in the past.
        """
        begin = self.now if start is None else start
        if begin == self.now and begin < end and not self.bookings.on and fit(self, shares):
            return self._enter(tuple(shares), begin, end, key)
        return self._reserve(shares, begin, end, key)

    def _enter(self, shares: tuple, begin: float, end: float, key: str) -> Reservation:
        """The same of shares that have been checked."""
        line = Reservation(self.next_id, key, shares, begin, end, BOOKED)
        self.next_id += 1
        if begin > self.now:
            self.bookings.add(line)
        else:
            hold(self, line)
        if end != INFINITY:
            self._will_end(line)
        return line

    def _hold(self, line: Reservation) -> None:
        """Its bytes are held from now on."""
        hold(self, line)

    def release(self, line: Reservation) -> None:
        """Give the bytes back now (at its end, early, or before a booking began).

        LedgerError if that was done before, or if the reservation is another ledger's.
        """
        release(self, line)

    def advance(self, to: float) -> None:
        """Move the time: bookings whose start has come are held; with ``release_at_end``, ends release.

        At one instant ends come before starts, each in the order the reservations were made. Without
        ``release_at_end`` a booking may find its bytes still held past a promised end: NoRoomError, with the
        time at the booking's start and the booking gone.
        """
        if to >= self.now and not self.ends and self.bookings.are_none:
            self.now = to
        else:
            self._advance(to)

    # ---- what a ledger adds ----

    def _reserve(self, shares: Sequence[Any], begin: float, end: float, key: str) -> Reservation:
        """The same as :meth:`reserve`, for any shares and any window."""
        raise NotImplementedError

    def _will_end(self, line: Reservation) -> None:
        """A reservation with an end is in the book."""

    def _more_held(self, line: Reservation) -> None:
        """Bytes are held; who keeps more of them than is here learns it."""

    def _less_held(self, line: Reservation) -> None:
        """They no longer are."""

    def _release_other(self, line: Reservation) -> None:
        """Give back what isn't held."""
        raise NotImplementedError

    def _advance(self, to: float) -> None:
        """Move the time past starts and ends."""
        raise NotImplementedError


@cython.cfunc
def fit(b: Book, shares: Sequence[Any]) -> cython.bint:
    """Whether these are shares of as many storages (one, or in ascending order), with room for each."""
    last: cython.Py_ssize_t = -1
    index: cython.Py_ssize_t
    for share in shares:
        size, place = share.size, share.index
        if type(size) is not int or not last < place < b.storages_count:
            return False
        index = place
        if not 0 < size <= b.left[index]:
            return False
        last = index
    return last >= 0


@cython.cfunc
def hold(b: Book, line: Reservation):
    """Its bytes are held from now on."""
    i: cython.Py_ssize_t
    size: cython.longlong
    number = line.id
    line.state = HELD
    b.held_lines[number] = line
    for share in line.shares:
        i, size = share.index, share.size
        b.on[i][number] = line
        b.left[i] -= size
        b.counts[i] += 1
    if not b.plain:
        b._more_held(line)


@cython.cfunc
def release(b: Book, line: Reservation):
    """See :meth:`Book.release`."""
    i: cython.Py_ssize_t
    size: cython.longlong
    number = line.id
    if b.held_lines.get(number) is not line:
        b._release_other(line)
        return
    del b.held_lines[number]
    for share in line.shares:
        i, size = share.index, share.size
        b.left[i] += size
        b.counts[i] -= 1
        del b.on[i][number]
    if not b.plain:
        b._less_held(line)
    line.state = RELEASED


@cython.cclass
class Uses:
    """Of each storage: ``used`` bytes of jobs that have begun to use them, ``active`` transfers under way
    (int64; those of writes may follow, apart), and which have changed since somebody asked."""

    ledger = cython.declare(Book, visibility="public")
    used = cython.declare(object, visibility="readonly")
    active = cython.declare(object, visibility="readonly")
    count: cython.Py_ssize_t
    bytes_used: cython.p_longlong
    moving: cython.p_longlong
    changed: list
    marked: bytearray
    marks: cython.p_uchar

    def __init__(self, ledger: Book, active: Any) -> None:
        self.ledger = ledger
        self.count = ledger.storages_count
        self.used = integers(self.count)
        self.active = active
        self.bytes_used, self.moving = cells(self.used), cells(active)
        self.changed = []
        self.marked = bytearray(self.count)
        self.marks = self.marked

    def touch(self, lines: Sequence[Reservation]) -> None:
        """What is held there has changed."""
        line: Reservation
        for line in lines:
            for share in line.shares:
                mark(self, share.index)

    def end(
        self, lines: Sequence[Reservation], transfers: Sequence[tuple[int, int]] = (), used: bool = False
    ) -> None:
        """The bytes that went with a job are free, its ``transfers`` over; ``used``: it had begun to use
        them."""
        line: Reservation
        self.count_transfers(transfers, -1)
        if used:
            self.use(lines, -1)
        for line in lines:
            release(self.ledger, line)
        self.touch(lines)

    def use(self, lines: Sequence[Reservation], sign: cython.longlong) -> None:
        """Bytes of ``lines`` are used from now on (sign 1) or no longer (-1)."""
        line: Reservation
        i: cython.Py_ssize_t
        size: cython.longlong
        for line in lines:
            for share in line.shares:
                i, size = share.index, share.size
                self.bytes_used[i] += sign * size
                mark(self, i)

    def count_transfers(self, transfers: Sequence[tuple[int, int]], sign: cython.longlong) -> None:
        """(position of a storage, transfers there) begin (sign 1) or are over (-1)."""
        self.expect(transfers, sign)
        for position, _ in transfers:
            mark(self, position)

    def expect(self, transfers: Sequence[tuple[int, int]], sign: cython.longlong) -> None:
        """Count transfers of a placement on trial, which nobody is told of."""
        i: cython.Py_ssize_t
        more: cython.longlong
        for position, many in transfers:
            i, more = position, many
            self.moving[i] += sign * more

    @property
    def has_changed(self) -> bool:
        """Whether :meth:`changes` has something to tell."""
        return bool(self.changed)

    def changes(self) -> list:
        """The storages that changed since the last call, ascending, as they are now: (position, bytes held,
        bytes used, transfers)."""
        i: cython.Py_ssize_t
        b: Book = self.ledger
        states: list = []
        if len(self.changed) > 1:
            self.changed.sort()
        for place in self.changed:
            i = place
            self.marks[i] = 0
            states.append((i, b.most[i] - b.left[i], self.bytes_used[i], self.moving[i]))
        self.changed = []
        return states


@cython.cfunc
def mark(u: Uses, i: cython.Py_ssize_t):
    """A storage has changed; those behind the last are its writes."""
    if i < u.count and not u.marks[i]:
        u.marks[i] = 1
        u.changed.append(i)


@cython.cclass
class Fills:
    """How full storages have been, each and by groups. ``groups``: the group of each, 0..``count`` - 1.

    Of each group: ``peaks`` int64, the most bytes held at once; ``shares`` float64, the largest part of its
    capacity that was held on one of its storages.
    """

    peaks = cython.declare(object, visibility="readonly")
    shares = cython.declare(object, visibility="readonly")
    capacity: object
    group: object
    before: object
    together: object
    most: cython.p_longlong
    of: cython.p_longlong
    held: cython.p_longlong
    sums: cython.p_longlong
    peak: cython.p_longlong
    part: cython.p_double

    def __init__(self, capacities: Sequence[int], groups: Sequence[int], count: int) -> None:
        self.capacity, self.group = array("l", capacities), array("l", groups)
        self.before, self.together = integers(len(capacities)), integers(count)
        self.peaks, self.shares = integers(count), doubles(count)
        self.most, self.of, self.held = cells(self.capacity), cells(self.group), cells(self.before)
        self.sums, self.peak = cells(self.together), cells(self.peaks)
        if cython.compiled:
            self.part = cython.cast(cython.p_double, cython.cast(cython.size_t, address(self.shares)))
        else:
            self.part = memoryview(self.shares)

    def changed(self, states: Sequence[Any]) -> None:
        """Storages hold other bytes: (position, bytes, ...) of each."""
        i: cython.Py_ssize_t
        g: cython.Py_ssize_t
        now: cython.longlong
        for state in states:
            i, now = state[0], state[1]
            g = self.of[i]
            self.sums[g] += now - self.held[i]
            self.held[i] = now
            fullest: cython.double = self.part[g] * self.most[i]
            # Python's own whole numbers where a double can't tell them apart
            if self.most[i] and (now > fullest if now < EXACT else state[1] > fullest):
                self.part[g] = state[1] / self.capacity[i]
        for state in states:
            g = self.of[state[0]]
            if self.sums[g] > self.peak[g]:
                self.peak[g] = self.sums[g]
