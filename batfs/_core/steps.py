# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""Step functions of time that are changed and asked often: free nodes, and held bytes. Compiled by Cython.

Both are sorted arrays: to find a step is a bisection, to insert one moves the later ones (quicker, up to some
ten thousand steps, than following the pointers of a tree), and neighbours that are equal become one, so that
taking back what was held restores what was there. Step ``k`` holds in [times[k], times[k + 1]); the first for
ever before, the last for ever after.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

INFINITY = cython.declare(cython.double, float("inf"))
_M1 = cython.declare(cython.ulonglong, 0x5555555555555555)
_M2 = cython.declare(cython.ulonglong, 0x3333333333333333)
_M4 = cython.declare(cython.ulonglong, 0x0F0F0F0F0F0F0F0F)
_H = cython.declare(cython.ulonglong, 0x0101010101010101)
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


@cython.cclass
class NodeSteps:
    """The free ones of ``nodes`` nodes over time, as sets: bit k is node k. All are free at first."""

    times: cython.double[::1]
    free: cython.ulonglong[:, ::1]
    found: cython.ulonglong[::1]
    given: cython.ulonglong[::1]
    found_array: object
    given_array: object
    times_array: object
    free_array: object
    size: cython.longlong
    words: cython.longlong

    def __init__(self, nodes: int) -> None:
        self.words = max(1, -(-nodes // 64))
        self.found_array = np.zeros(self.words, np.uint64)
        self.given_array = np.zeros(self.words, np.uint64)
        self.found, self.given = self.found_array, self.given_array
        self.times_array = np.empty(16)
        self.free_array = np.empty((16, self.words), np.uint64)
        self.times, self.free = self.times_array, self.free_array
        self.size = 1
        self.times[0] = -INFINITY
        read(self, (1 << nodes) - 1)
        for w in range(self.words):
            self.free[0, w] = self.given[w]

    def arrays(self) -> tuple[Any, Any]:
        """Copies: times float64[s], free nodes uint64[s, w] (bit k of word k // 64 is node k)."""
        return self.times_array[: self.size].copy(), self.free_array[: self.size].copy()

    def all_free(self, start: cython.double, end: cython.double, nodes: int) -> bool:
        """Whether all of ``nodes`` are, at every instant of [start, end); at ``start`` if that is empty."""
        read(self, nodes)
        i = step_at(self.times, self.size, start)
        while True:
            for w in range(self.words):
                if self.given[w] & ~self.free[i, w] != _ZERO:
                    return False
            i += 1
            if i >= self.size or self.times[i] >= end:
                return True

    def change(self, start: cython.double, end: cython.double, nodes: int) -> None:
        """In [start, end), of these nodes, take the free ones and give back those taken."""
        read(self, nodes)
        i = cut_nodes(self, start)
        j = cut_nodes(self, end)
        for k in range(i, j):
            for w in range(self.words):
                self.free[k, w] ^= self.given[w]
        join_nodes(self, j)
        join_nodes(self, i)

    def free_within(self, start: cython.double, end: cython.double) -> int:
        """The nodes free at every instant of [start, end), or at ``start`` if that is empty."""
        i = step_at(self.times, self.size, start)
        for w in range(self.words):
            self.found[w] = self.free[i, w]
        i += 1
        while i < self.size and self.times[i] < end:
            for w in range(self.words):
                self.found[w] &= self.free[i, w]
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
        times, free, found, given, words, size = (
            self.times,
            self.free,
            self.found,
            self.given,
            self.words,
            self.size,
        )
        i = step_at(times, size, after)
        t: cython.double = after
        while True:
            end: cython.double = t + duration
            if closed:
                end = just_after(end)
            here: cython.longlong = 0
            for w in range(words):
                found[w] = free[i, w] & given[w]
                here += ones(found[w])
            k: cython.longlong = i + 1
            while here >= count and k < size and times[k] < end:
                here = 0
                for w in range(words):
                    found[w] &= free[k, w]
                    here += ones(found[w])
                k += 1
            if here >= count:
                return float(t), written(self)
            i += 1  # only a step that frees nodes can be a better start than the one before it
            while i < size:
                gains: cython.bint = False
                for w in range(words):
                    if free[i, w] & ~free[i - 1, w] != _ZERO:
                        gains = True
                        break
                if gains:
                    break
                i += 1
            if i == size or times[i] > until:
                return None
            t = times[i]


@cython.cfunc
def read(s: NodeSteps, nodes: object) -> cython.void:
    """The set into ``given``."""
    if s.words == 1:
        s.given[0] = nodes
    else:
        s.given_array[:] = np.frombuffer(nodes.to_bytes(8 * s.words, "little"), "<u8")


@cython.cfunc
def written(s: NodeSteps) -> object:
    """The set in ``found``."""
    if s.words == 1:
        return int(s.found[0])
    return int.from_bytes(s.found_array.astype("<u8").tobytes(), "little")


@cython.cfunc
def cut_nodes(s: NodeSteps, time: cython.double) -> cython.longlong:
    """The position of the step that begins at ``time``, made if there is none."""
    i = not_before(s.times, s.size, time)
    if i < s.size and s.times[i] == time:
        return i
    if s.size == s.times.shape[0]:
        times, free = np.empty(2 * s.size), np.empty((2 * s.size, s.words), np.uint64)
        times[: s.size], free[: s.size] = s.times_array, s.free_array
        s.times_array, s.free_array = times, free
        s.times, s.free = times, free
    k: cython.longlong = s.size
    while k > i:
        s.times[k] = s.times[k - 1]
        for w in range(s.words):
            s.free[k, w] = s.free[k - 1, w]
        k -= 1
    s.times[i] = time
    for w in range(s.words):
        s.free[i, w] = s.free[i - 1, w]
    s.size += 1
    return i


@cython.cfunc
@cython.exceptval(check=False)
def join_nodes(s: NodeSteps, i: cython.longlong) -> cython.void:
    """Step ``i`` and the one before it are one, if they are equal."""
    if i == 0:
        return
    for w in range(s.words):
        if s.free[i, w] != s.free[i - 1, w]:
            return
    s.size -= 1
    for k in range(i, s.size):
        s.times[k] = s.times[k + 1]
        for w in range(s.words):
            s.free[k, w] = s.free[k + 1, w]


@cython.cclass
class ByteSteps:
    """Bytes held on one storage over time: none at first."""

    times: cython.double[::1]
    held: cython.longlong[::1]
    size: cython.longlong

    def __init__(self) -> None:
        self.times = np.empty(8)
        self.held = np.empty(8, np.int64)
        self.size = 1
        self.times[0] = -INFINITY
        self.held[0] = 0

    def add(self, start: cython.double, end: cython.double, size: cython.longlong) -> None:
        """``size`` bytes more in [start, end), or less."""
        i = cut_bytes(self, start)
        j: cython.longlong = cut_bytes(self, end) if end < INFINITY else self.size
        for k in range(i, j):
            self.held[k] += size
        join_bytes(self, j)
        join_bytes(self, i)

    def __len__(self) -> int:
        return self.size


@cython.cfunc
def cut_bytes(s: ByteSteps, time: cython.double) -> cython.longlong:
    """The position of the step that begins at ``time``, made if there is none."""
    i = not_before(s.times, s.size, time)
    if i < s.size and s.times[i] == time:
        return i
    if s.size == s.times.shape[0]:
        times, held = np.empty(2 * s.size), np.empty(2 * s.size, np.int64)
        times[: s.size], held[: s.size] = s.times, s.held
        s.times, s.held = times, held
    k: cython.longlong = s.size
    while k > i:
        s.times[k] = s.times[k - 1]
        s.held[k] = s.held[k - 1]
        k -= 1
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
    s.size -= 1
    for k in range(i, s.size):
        s.times[k] = s.times[k + 1]
        s.held[k] = s.held[k + 1]


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
