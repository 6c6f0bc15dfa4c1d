# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""Step functions of time that are changed and asked often: free nodes, and held bytes. Compiled by Cython.

Both are sorted arrays: to find a step is a bisection, to insert one moves the later ones (quicker, up to some
ten thousand steps, than following the pointers of a tree), and neighbours that are equal become one, so that
taking back what was held restores what was there. Step ``k`` holds in [times[k], times[k + 1]); the first for
ever before, the last for ever after.
"""

from __future__ import annotations

import math
from array import array
from typing import Any

from batfs._core.arrays import doubles, integers, np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

if cython.compiled:
    from cython.cimports.libc.string import memmove

INFINITY = cython.declare(cython.double, float("inf"))
NAN = cython.declare(cython.double, float("nan"))
_M1 = cython.declare(cython.ulonglong, 0x5555555555555555)
_M2 = cython.declare(cython.ulonglong, 0x3333333333333333)
_M4 = cython.declare(cython.ulonglong, 0x0F0F0F0F0F0F0F0F)
_H = cython.declare(cython.ulonglong, 0x0101010101010101)
# which of the storages with room a promise goes to
ROUND, DRAW, FIRST, MOST, LEAST = 0, 1, 2, 3, 4
_ROUND = cython.declare(cython.longlong, ROUND)
_DRAW = cython.declare(cython.longlong, DRAW)
_FIRST = cython.declare(cython.longlong, FIRST)
_LEAST = cython.declare(cython.longlong, LEAST)
# what a promise is: left to others, nodes alone, nodes and bytes
OTHER, NODES, BYTES = 0, 1, 2
_OTHER = cython.declare(cython.longlong, OTHER)
_BYTES = cython.declare(cython.longlong, BYTES)

_WHOLE = cython.declare(cython.double, 1e12)
_ZERO = cython.declare(cython.ulonglong, 0)
_FULL = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def ones(word: cython.ulonglong) -> cython.longlong:
    """How many bits are set."""
    if cython.compiled:
        word = word - ((word >> 1) & _M1)
        word = (word & _M2) + ((word >> 2) & _M2)
        word = (word + (word >> 4)) & _M4
        return cython.cast(cython.longlong, (word * _H) >> 56)
    return int(word).bit_count()


@cython.cfunc
@cython.exceptval(check=False)
def just_after(time: cython.double) -> cython.double:
    epsilon: cython.double = 1e-11
    while time + epsilon == time:
        epsilon *= 10
    return time + epsilon


@cython.cfunc
@cython.exceptval(check=False)
def not_before(times: cython.double[::1], size: cython.longlong, time: cython.double) -> cython.longlong:
    """The position of the first step that begins at ``time`` or later."""
    low: cython.longlong = 0
    high: cython.longlong = size
    while low < high:
        middle = (low + high) // 2
        if times[middle] < time:
            low = middle + 1
        else:
            high = middle
    return low


@cython.cfunc
@cython.exceptval(check=False)
def step_at(times: cython.double[::1], size: cython.longlong, time: cython.double) -> cython.longlong:
    """The position of the last step that begins at ``time`` or before."""
    k = not_before(times, size, time)
    return k if k < size and times[k] == time else k - 1


def bits(words: int) -> array[int]:
    """So many words of a set, empty."""
    return array("Q", bytes(8 * words))


@cython.cclass
class NodeSteps:
    """The free ones of ``nodes`` nodes over time, as sets: bit k is node k. All are free at first."""

    times: cython.double[::1]
    free: cython.ulonglong[::1]
    found: cython.ulonglong[::1]
    given: cython.ulonglong[::1]
    found_bytes: object
    given_bytes: object
    times_array: object
    free_array: object
    size: cython.longlong
    words: cython.longlong

    def __init__(self, nodes: int) -> None:
        self.words = max(1, -(-nodes // 64))
        found, given = bits(self.words), bits(self.words)
        self.found, self.given = found, given
        self.found_bytes, self.given_bytes = memoryview(found).cast("B"), memoryview(given).cast("B")
        self.times_array, self.free_array = doubles(16), bits(16 * self.words)
        self.times, self.free = self.times_array, self.free_array
        self.size = 1
        self.times[0] = -INFINITY
        read(self, (1 << nodes) - 1)
        for w in range(self.words):
            self.free[w] = self.given[w]

    def arrays(self) -> tuple[Any, Any]:
        """Copies: times float64[s], free nodes uint64[s, w] (bit k of word k // 64 is node k)."""
        free = np.asarray(self.free_array[: self.size * self.words])
        return np.asarray(self.times_array[: self.size]), free.reshape(self.size, self.words)

    def all_free(self, start: cython.double, end: cython.double, nodes: int) -> bool:
        """Whether all of ``nodes`` are, at every instant of [start, end); at ``start`` if that is empty."""
        read(self, nodes)
        return all_of(self, self.given, start, end)

    def change(self, start: cython.double, end: cython.double, nodes: int) -> None:
        """In [start, end), of these nodes, take the free ones and give back those taken."""
        read(self, nodes)
        flip(self, self.given, start, end)

    def free_within(self, start: cython.double, end: cython.double) -> int:
        """The nodes free at every instant of [start, end), or at ``start`` if that is empty."""
        i = step_at(self.times, self.size, start)
        for w in range(self.words):
            self.found[w] = self.free[i * self.words + w]
        i += 1
        while i < self.size and self.times[i] < end:
            for w in range(self.words):
                self.found[w] &= self.free[i * self.words + w]
            i += 1
        return written(self)

    def earliest(
        self,
        count: cython.longlong,
        duration: cython.double,
        after: cython.double,
        among: int,
        until: cython.double,
        closed: cython.bint,
    ) -> tuple[float, int] | None:
        """The first t >= ``after``, none after ``until``, at which ``count`` nodes (of ``among``; all if that
        is negative) are free for ``duration``, and all that are; None if there is no such time. ``closed``:
        a node is still held at its end."""
        if among < 0:
            for w in range(self.words):
                self.given[w] = _FULL
        else:
            read(self, among)
        found = search(self, count, duration, after, until, closed)
        return None if found != found else (float(found), written(self))


@cython.cfunc
def search(
    s: NodeSteps,
    count: cython.longlong,
    duration: cython.double,
    after: cython.double,
    until: cython.double,
    closed: cython.bint,
) -> cython.double:
    """As ``earliest``, among ``given``: the time, with the nodes in ``found``; NaN if there is none."""
    i = step_at(s.times, s.size, after)
    t: cython.double = after
    while True:
        end: cython.double = t + duration
        if closed:
            end = just_after(end)
        here: cython.longlong = 0
        for w in range(s.words):
            s.found[w] = s.free[i * s.words + w] & s.given[w]
            here += ones(s.found[w])
        k: cython.longlong = i + 1
        while here >= count and k < s.size and s.times[k] < end:
            here = 0
            for w in range(s.words):
                s.found[w] &= s.free[k * s.words + w]
                here += ones(s.found[w])
            k += 1
        if here >= count:
            return t
        i += 1  # only a step that frees nodes can be a better start than the one before it
        while i < s.size:
            gains: cython.bint = False
            for w in range(s.words):
                if s.free[i * s.words + w] & ~s.free[(i - 1) * s.words + w] != _ZERO:
                    gains = True
                    break
            if gains:
                break
            i += 1
        if i == s.size or s.times[i] > until:
            return NAN
        t = s.times[i]


@cython.cfunc
@cython.exceptval(check=False)
def all_of(
    s: NodeSteps, nodes: cython.ulonglong[::1], start: cython.double, end: cython.double
) -> cython.bint:
    """As ``NodeSteps.all_free``."""
    i = step_at(s.times, s.size, start)
    while True:
        for w in range(s.words):
            if nodes[w] & ~s.free[i * s.words + w] != _ZERO:
                return False
        i += 1
        if i >= s.size or s.times[i] >= end:
            return True


@cython.cfunc
def flip(s: NodeSteps, nodes: cython.ulonglong[::1], start: cython.double, end: cython.double) -> cython.void:
    """As ``NodeSteps.change``."""
    if start >= end:
        return
    i = cut_nodes(s, start)
    j = cut_nodes(s, end)
    for k in range(i, j):
        for w in range(s.words):
            s.free[k * s.words + w] ^= nodes[w]
    join_nodes(s, j)
    join_nodes(s, i)


@cython.cfunc
def read(s: NodeSteps, nodes: object) -> cython.void:
    """The set into ``given``."""
    if s.words == 1:
        s.given[0] = nodes
    else:
        s.given_bytes[:] = nodes.to_bytes(8 * s.words, "little")


@cython.cfunc
def written(s: NodeSteps) -> object:
    """The set in ``found``."""
    if s.words == 1:
        return int(s.found[0])
    return int.from_bytes(s.found_bytes, "little")


@cython.cfunc
def cut_nodes(s: NodeSteps, time: cython.double) -> cython.longlong:
    """The position of the step that begins at ``time``, made if there is none."""
    i = not_before(s.times, s.size, time)
    if i < s.size and s.times[i] == time:
        return i
    if s.size == len(s.times):
        s.times_array, s.free_array = s.times_array + doubles(s.size), s.free_array + bits(s.size * s.words)
        s.times, s.free = s.times_array, s.free_array
    shift_nodes(s, i, i + 1)
    s.times[i] = time
    for w in range(s.words):
        s.free[i * s.words + w] = s.free[(i - 1) * s.words + w]
    s.size += 1
    return i


@cython.cfunc
@cython.exceptval(check=False)
def join_nodes(s: NodeSteps, i: cython.longlong) -> cython.void:
    """Step ``i`` and the one before it are one, if they are equal."""
    if i == 0:
        return
    for w in range(s.words):
        if s.free[i * s.words + w] != s.free[(i - 1) * s.words + w]:
            return
    shift_nodes(s, i + 1, i)
    s.size -= 1


@cython.cfunc
@cython.exceptval(check=False)
def shift_nodes(s: NodeSteps, since: cython.longlong, to: cython.longlong) -> cython.void:
    """Move the steps from ``since`` on to where they begin at ``to``."""
    count: cython.longlong = s.size - since
    if cython.compiled:
        memmove(cython.address(s.times[to]), cython.address(s.times[since]), 8 * count)
        memmove(
            cython.address(s.free[to * s.words]),
            cython.address(s.free[since * s.words]),
            8 * s.words * count,
        )
    else:
        s.times[to : to + count] = s.times[since : s.size]
        since, to, count = since * s.words, to * s.words, count * s.words
        s.free[to : to + count] = s.free[since : since + count]


@cython.cclass
class ByteSteps:
    """Bytes held on one storage over time: none at first."""

    times: cython.double[::1]
    held: cython.longlong[::1]
    size: cython.longlong

    def __init__(self) -> None:
        self.times = doubles(8)
        self.held = integers(8)
        self.size = 1
        self.times[0] = -INFINITY
        self.held[0] = 0

    def add(self, start: cython.double, end: cython.double, size: cython.longlong) -> None:
        """``size`` bytes more in [start, end), or less."""
        add_bytes(self, start, end, size)

    def __len__(self) -> int:
        return self.size


@cython.cfunc
def add_bytes(s: ByteSteps, start: cython.double, end: cython.double, size: cython.longlong) -> cython.void:
    """As ``ByteSteps.add``."""
    i = cut_bytes(s, start)
    j: cython.longlong = cut_bytes(s, end) if end < INFINITY else s.size
    for k in range(i, j):
        s.held[k] += size
    join_bytes(s, j)
    join_bytes(s, i)


@cython.cfunc
def cut_bytes(s: ByteSteps, time: cython.double) -> cython.longlong:
    """The position of the step that begins at ``time``, made if there is none."""
    i = not_before(s.times, s.size, time)
    if i < s.size and s.times[i] == time:
        return i
    if s.size == len(s.times):
        times, held = doubles(2 * s.size), integers(2 * s.size)
        for k in range(s.size):
            times[k], held[k] = s.times[k], s.held[k]
        s.times, s.held = times, held
    shift_bytes(s, i, i + 1)
    s.times[i] = time
    s.held[i] = s.held[i - 1]
    s.size += 1
    return i


@cython.cfunc
@cython.exceptval(check=False)
def join_bytes(s: ByteSteps, i: cython.longlong) -> cython.void:
    """Step ``i`` and the one before it are one, if they are equal."""
    if i == 0 or i >= s.size or s.held[i] != s.held[i - 1]:
        return
    shift_bytes(s, i + 1, i)
    s.size -= 1


@cython.cfunc
@cython.exceptval(check=False)
def shift_bytes(s: ByteSteps, since: cython.longlong, to: cython.longlong) -> cython.void:
    """As ``shift_nodes``."""
    count: cython.longlong = s.size - since
    if cython.compiled:
        memmove(cython.address(s.times[to]), cython.address(s.times[since]), 8 * count)
        memmove(cython.address(s.held[to]), cython.address(s.held[since]), 8 * count)
    else:
        s.times[to : to + count] = s.times[since : s.size]
        s.held[to : to + count] = s.held[since : s.size]


@cython.cfunc
@cython.exceptval(check=False)
def most(a: ByteSteps, b: ByteSteps, start: cython.double, end: cython.double) -> cython.longlong:
    """The most that both hold together at an instant of [start, end)."""
    i = step_at(a.times, a.size, start)
    j = step_at(b.times, b.size, start)
    peak: cython.longlong = a.held[i] + b.held[j]
    while True:
        next_a: cython.double = a.times[i + 1] if i + 1 < a.size else INFINITY
        next_b: cython.double = b.times[j + 1] if j + 1 < b.size else INFINITY
        if next_a >= end and next_b >= end:
            return peak
        if next_a == INFINITY and next_b == INFINITY:
            return peak
        if next_a <= next_b:
            i += 1
        if next_b <= next_a:
            j += 1
        both: cython.longlong = a.held[i] + b.held[j]
        if both > peak:
            peak = both


def peak_of(a: ByteSteps, b: ByteSteps, start: cython.double, end: cython.double) -> int:
    """The most that both hold together at an instant of [start, end)."""
    return most(a, b, start, end)


def peaks(
    first: list, second: list, start: cython.double, end: cython.double, out: cython.longlong[::1]
) -> None:
    """:func:`peak_of` of each pair, into ``out``."""
    a: ByteSteps
    b: ByteSteps
    for k in range(out.shape[0]):
        a = first[k]
        b = second[k]
        out[k] = most(a, b, start, end)


# ---- promises that move forward ----------------------------------------------------------------------------


@cython.cclass
class Promises:
    """Stays that were promised, soonest first, of which each may move to an earlier time.

    ``starts``, ``ends``, ``lasts`` float64[n]: [start, end), and seconds asked for; ``counts`` int64[n]
    nodes, ``nodes`` uint64[n, w] which; ``kinds`` int64[n]: OTHER is left to the caller, NODES, BYTES;
    ``needs`` int64[n] bytes on the storage ``places`` int64[n]; ``draws`` float64[n] in [0, 1) for DRAW.
    ``moved`` int64[n]: 1 for those that have. ``among`` int64[m] ascending: storages to choose from by
    ``mode`` (ROUND: behind the one last chosen; MOST, LEAST: free bytes); ``room`` int64[.] of all storages.
    """

    starts: cython.double[::1]
    ends: cython.double[::1]
    lasts: cython.double[::1]
    counts: cython.longlong[::1]
    nodes: cython.ulonglong[:, ::1]
    kinds: cython.longlong[::1]
    needs: cython.longlong[::1]
    places: cython.longlong[::1]
    draws: cython.double[::1]
    moved: cython.longlong[::1]
    among: cython.longlong[::1]
    room: cython.longlong[::1]
    free: cython.longlong[::1]
    # when something is free that was held before, ascending, apart; and when a stay would have to start
    since: cython.double[::1]
    until: cython.double[::1]
    spans: cython.longlong
    first: cython.double[::1]
    last: cython.double[::1]
    idle: cython.ulonglong[::1]
    mode: cython.longlong
    after: cython.longlong
    shift: cython.double
    same: cython.double

    def __init__(
        self,
        stays: tuple[Any, Any, Any, Any, Any],
        moved: Any,
        bytes_: tuple[Any, Any, Any, Any],
        storages: tuple[Any, Any, int],
        calendar: tuple[float, float],
    ) -> None:
        """``stays``: starts, ends, lasts, counts, nodes; ``bytes_``: kinds, needs, places, draws;
        ``storages``: among, room, mode. ``calendar``: what is added before a time is rounded to whole
        milliseconds, and by how much a stay may be too long for where it is put (s)."""
        self.starts, self.ends, self.lasts, self.counts, self.nodes = stays
        self.kinds, self.needs, self.places, self.draws = bytes_
        self.among, self.room, self.mode = storages
        self.shift, self.same = calendar
        self.moved = moved
        self.free = np.empty(len(storages[0]), np.int64)
        self.after = -1

    def forward(
        self,
        steps: NodeSteps,
        books: tuple[list, list],
        begin: int,
        now: cython.double,
        nodes: tuple[int, int],
        spans: list | None,
        after: int,
    ) -> tuple[int, list | None, int]:
        """Move each from the ``begin``-th on to the first start before its own that meets one of ``spans``
        [(from, to)] (None: any), if there is one; return the first that is not to be moved here (OTHER, one
        that would begin at once, or that finds no room for its bytes), n at the end, the spans and who was
        chosen last then.

        ``steps``: free nodes, the promises' own taken; ``books``: of each storage the bytes held and booked;
        ``nodes``: those idle ``now``, and all that may be used.
        """
        length: cython.longlong = self.starts.shape[0]
        held, booked = books
        self.after = after
        self.spans = -1 if spans is None else len(spans)
        self.since, self.until = np.empty(self.spans + length + 2), np.empty(self.spans + length + 2)
        self.first, self.last = np.empty(self.spans + length + 2), np.empty(self.spans + length + 2)
        for m in range(self.spans):
            self.since[m], self.until[m] = spans[m]
        read(steps, nodes[0])
        self.idle = array("Q", steps.given_bytes.tobytes())
        read(steps, nodes[1])
        k: cython.longlong = begin
        while k < length:
            if self.starts[k] > now:
                windows = meeting(self, k, now)
                if windows > 0 and not (
                    self.kinds[k] != _OTHER and forwarded(self, steps, held, booked, k, windows, now)
                ):
                    break
            k += 1
        if spans is not None:
            spans = [(self.since[m], self.until[m]) for m in range(self.spans)]
        return k, spans, self.after


@cython.cfunc
def calendar(p: Promises, at: cython.double) -> cython.double:
    """The first whole millisecond not before ``at``, as ``protocol.clock.on_calendar`` finds it."""
    at = at + p.shift
    scaled: cython.double = at * 1000.0
    if -_WHOLE < scaled < _WHOLE:
        nearest: cython.double = math.floor(scaled + 0.5)
        # where it is clear which one is the nearest, this is what rounding to three decimals gives
        if -0.49 < scaled - nearest < 0.49:
            return nearest / 1000.0
    return round(at, 3)


@cython.cfunc
def meeting(p: Promises, k: cython.longlong, now: cython.double) -> cython.longlong:
    """When promise ``k`` would have to start, before its time, to meet any of the spans: [first, last] of so
    many windows, ascending, apart."""
    stay: cython.double = p.ends[k] - p.starts[k]
    start: cython.double = p.starts[k]
    count: cython.longlong = 0
    if p.spans < 0:
        p.first[0], p.last[0] = now, start
        return 1
    for m in range(p.spans):
        begin = calendar(p, p.since[m] - stay)
        begin = begin if begin > now else now
        end = p.until[m] if p.until[m] < start else start
        if begin >= end:
            if begin >= start:
                break
            continue
        if count > 0 and begin <= p.last[count - 1]:
            if end > p.last[count - 1]:
                p.last[count - 1] = end
        else:
            p.first[count], p.last[count] = begin, end
            count += 1
    return count


@cython.cfunc
@cython.exceptval(check=False)
def add_span(p: Promises, begin: cython.double, end: cython.double) -> cython.void:
    """[begin, end) is free as well."""
    if p.spans < 0:
        return
    # those from i to j - 1 touch it
    i: cython.longlong = 0
    while i < p.spans and p.until[i] < begin:
        i += 1
    j: cython.longlong = i
    while j < p.spans and p.since[j] <= end:
        j += 1
    if i < j:
        begin = begin if begin < p.since[i] else p.since[i]
        end = end if end > p.until[j - 1] else p.until[j - 1]
        for m in range(j, p.spans):
            p.since[m - (j - i) + 1], p.until[m - (j - i) + 1] = p.since[m], p.until[m]
        p.spans -= j - i - 1
    else:
        for back in range(p.spans - i):
            m = p.spans - back
            p.since[m], p.until[m] = p.since[m - 1], p.until[m - 1]
        p.spans += 1
    p.since[i], p.until[i] = begin, end


@cython.cfunc
def forwarded(
    p: Promises,
    s: NodeSteps,
    held: list,
    booked: list,
    k: cython.longlong,
    windows: cython.longlong,
    now: cython.double,
) -> cython.bint:
    """Promise ``k`` moved, if there is where to; False, and nothing changed, if somebody else has to."""
    start: cython.double = p.starts[k]
    end: cython.double = p.ends[k]
    last: cython.double = p.lasts[k]
    count = p.counts[k]
    line: ByteSteps
    flip(s, p.nodes[k], start, end)
    for window in range(windows):
        since: cython.double = p.first[window]
        until: cython.double = p.last[window]
        # nodes for as long as it holds them now, which is rounded; then for as long as it asks for
        found = search(s, count, end - start - p.same, since, until, False)
        if found == found:
            found = search(s, count, last - p.same, since, until, False)
        if found != found:
            continue
        stop = calendar(p, found + last)
        if found <= now or found == INFINITY:
            flip(s, p.nodes[k], start, end)
            return False
        choose(s, p, count)
        if stop - found > last and not all_of(s, s.found, found, stop):
            flip(s, p.nodes[k], start, end)
            return False
        if p.kinds[k] == _BYTES:
            line = booked[p.places[k]]
            add_bytes(line, start, end, -p.needs[k])
            place = storage_for(p, held, booked, k, found, stop)
            if place < 0:
                add_bytes(line, start, end, p.needs[k])
                flip(s, p.nodes[k], start, end)
                return False
            line = booked[place]
            add_bytes(line, found, stop, p.needs[k])
            p.places[k] = place
        for w in range(s.words):
            p.nodes[k, w] = s.found[w]
        p.starts[k], p.ends[k], p.moved[k] = found, stop, 1
        if found < start and start < end:
            add_span(p, start, end)
        break
    flip(s, p.nodes[k], p.starts[k], p.ends[k])
    return True


@cython.cfunc
@cython.exceptval(check=False)
def choose(s: NodeSteps, p: Promises, count: cython.longlong) -> cython.void:
    """Leave ``count`` of ``found``: the lowest of those that are busy now, and where these are too few idle
    ones from the far end with them."""
    busy: cython.longlong = 0
    idle: cython.longlong = 0
    for w in range(s.words):
        busy += ones(s.found[w] & ~p.idle[w])
        idle += ones(s.found[w] & p.idle[w])
    drop: cython.longlong = idle
    if busy < count:  # so many idle ones are left out, the lowest
        drop = idle - (count - busy)
    for w in range(s.words):
        here: cython.ulonglong = s.found[w] & p.idle[w]
        while drop > 0 and here != _ZERO:
            if not cython.compiled:
                here = int(here)
            low: cython.ulonglong = here & -here
            here ^= low
            s.found[w] ^= low
            drop -= 1
    left: cython.longlong = count
    for w in range(s.words):
        word: cython.ulonglong = s.found[w]
        some = ones(word)
        if some > left:
            kept: cython.ulonglong = 0
            if not cython.compiled:
                word = int(word)
            while left > 0:
                bit: cython.ulonglong = word & -word
                kept |= bit
                word ^= bit
                left -= 1
            s.found[w] = kept
        else:
            left -= some


@cython.cfunc
def storage_for(
    p: Promises,
    held: list,
    booked: list,
    k: cython.longlong,
    start: cython.double,
    end: cython.double,
) -> cython.longlong:
    """Where the bytes of promise ``k`` go; -1 if there is no room."""
    size: cython.longlong = p.among.shape[0]
    need = p.needs[k]
    turn: cython.longlong = 0
    if p.mode == _ROUND:
        while turn < size and p.among[turn] <= p.after:
            turn += 1
    best: cython.longlong = -1
    fit: cython.longlong = 0
    a: ByteSteps
    b: ByteSteps
    for n in range(size):
        m: cython.longlong = (turn + n) % size
        index = p.among[m]
        a = held[index]
        b = booked[index]
        free = p.room[index] - most(a, b, start, end)
        p.free[m] = free
        if free < need:
            continue
        fit += 1
        if p.mode == _ROUND:
            p.after = index
            return index
        if p.mode == _FIRST:
            return index
        if best < 0 or (free < p.free[best] if p.mode == _LEAST else free > p.free[best]):
            best = m
    if fit == 0:
        return -1
    if p.mode == _DRAW:
        drawn: cython.double = p.draws[k]
        left: cython.longlong = int(drawn * fit)
        for m in range(size):
            if p.free[m] >= need:
                if left == 0:
                    return p.among[m]
                left -= 1
    return p.among[best]
