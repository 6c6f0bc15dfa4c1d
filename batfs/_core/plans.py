# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""The inner loop of plan-based scheduling: the results of ``kopanski.annealing``, bit for bit, only faster.

A queue of 40 jobs is planned 180 times a pass, each job searched over some hundred steps of the timeline.
Jobs are known by their positions in the arrays of :class:`Plans`; an order is an array of positions. Compiled
by Cython; interpreted it does the same.

``times`` float64[s] are the beginnings of the timeline's steps, of which ``size`` are in use; ``free``
uint64[s, w] the free nodes of each (bit k of word k // 64 is node k) or int64[s, m] the free bytes of each
storage.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

ROUNDS = cython.declare(cython.longlong, 30)
TRIALS = cython.declare(cython.longlong, 6)
COOLING = cython.declare(cython.double, 0.9)
INFINITY = cython.declare(cython.double, float("inf"))
NAN = cython.declare(cython.double, float("nan"))

_M1 = cython.declare(cython.ulonglong, 0x5555555555555555)
_M2 = cython.declare(cython.ulonglong, 0x3333333333333333)
_M4 = cython.declare(cython.ulonglong, 0x0F0F0F0F0F0F0F0F)
_H = cython.declare(cython.ulonglong, 0x0101010101010101)
_ZERO = cython.declare(cython.ulonglong, 0)
_ONE = cython.declare(cython.ulonglong, 1)
_WHOLE = cython.declare(cython.double, 4503599627370496.0)  # 2 ** 52: from here on every float64 is whole

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Plans:
    """A queue to be planned on a timeline.

    Of each waiting job: ``counts`` int64[q] nodes, ``walltimes`` float64[q], ``shares`` int64[q] bytes per
    node, ``needs`` int64[q, m] bytes of each storage, ``submissions`` float64[q]. Bytes per node go to burst
    buffers near the nodes where ``per_chassis`` (nodes per chassis) is not 0: ``preferences`` int64[c, m] are
    those of each chassis, ``split`` says whether one node's bytes may be split; else bytes go where ``needs``
    says. ``closed``: whether the timeline's intervals are. ``timeline``: times and free nodes, times and free
    bytes; ``bases`` float64[b] the times searched from.
    """

    counts: cython.longlong[::1]
    walltimes: cython.double[::1]
    shares: cython.longlong[::1]
    needs: cython.longlong[:, ::1]
    submissions: cython.double[::1]
    preferences: cython.longlong[:, ::1]
    node_times: cython.double[::1]
    node_free: cython.ulonglong[:, ::1]
    byte_times: cython.double[::1]
    byte_free: cython.longlong[:, ::1]
    bases: cython.double[::1]
    starts: cython.double[::1]
    nodes: cython.ulonglong[:, ::1]
    held: cython.longlong[:, ::1]
    # the timeline while a plan is made, with room for two more steps a job
    ntimes: cython.double[::1]
    nfree: cython.ulonglong[:, ::1]
    btimes: cython.double[::1]
    bfree: cython.longlong[:, ::1]
    after: cython.double[::1]
    found: cython.ulonglong[::1]
    room: cython.longlong[::1]
    taken: cython.longlong[::1]
    alpha: cython.double
    per_chassis: cython.longlong
    closed: cython.bint
    split: cython.bint

    def __init__(
        self,
        jobs: tuple[Any, Any, Any, Any],
        aims: tuple[Any, float],
        machine: tuple[int, Any, bool, bool],
        timeline: tuple[Any, Any, Any, Any],
        bases: Any,
        out: tuple[Any, Any, Any],
    ) -> None:
        """``jobs``: counts, walltimes, shares, needs; ``aims``: submissions and alpha; ``machine``:
        per_chassis, preferences, closed, split. ``out``: where a plan's ``starts`` float64[q], ``nodes``
        uint64[q, w] and ``held`` int64[q, m] go."""
        self.counts, self.walltimes, self.shares, self.needs = jobs
        self.submissions, self.alpha = aims
        self.per_chassis, self.preferences, self.closed, self.split = machine
        self.node_times, self.node_free, self.byte_times, self.byte_free = timeline
        self.bases = bases
        self.starts, self.nodes, self.held = out
        size, words, storages = len(jobs[0]), timeline[1].shape[1], timeline[3].shape[1]
        self.ntimes = np.empty(len(timeline[0]) + 2 * size)
        self.nfree = np.empty((len(timeline[1]) + 2 * size, words), np.uint64)
        self.btimes = np.empty(len(timeline[2]) + 2 * size)
        self.bfree = np.empty((len(timeline[3]) + 2 * size, storages), np.int64)
        self.after = np.empty(len(bases) + size)
        self.found = np.empty(words, np.uint64)
        self.room = np.empty(storages, np.int64)
        self.taken = np.empty(storages, np.int64)

    def plan(self, order: cython.longlong[::1]) -> cython.bint:
        """Fill ``starts``, ``nodes`` and ``held`` (by job, not by place); False if a job has no place."""
        return make_plan(self, order, True)

    def best_of(self, orders: cython.longlong[:, ::1]) -> cython.longlong:
        """The position of the first of the best of ``orders`` int64[k, q]."""
        best, _, _ = self.extremes(orders)
        return best

    def extremes(self, orders: cython.longlong[:, ::1]) -> tuple[int, float, float]:
        """(the position of the first of the best ``orders``, its score, the worst score)."""
        best, best_score, worst = 0, INFINITY, -INFINITY
        for k in range(orders.shape[0]):
            new = score(self, orders[k])
            if new < best_score:
                best, best_score = k, new
            if new > worst:
                worst = new
        return best, best_score, worst

    def anneal(self, orders: Any, words: cython.uint[::1]) -> tuple[Any, int]:
        """As annealing.anneal: (best order int64[q], 32-bit words used); -1 words if there were too few."""
        first, best_score, worst = self.extremes(orders)
        best = orders[first].copy()
        if best_score == worst:
            return best, 0
        now = best.copy()
        order: cython.longlong[::1] = now
        last: cython.double = best_score
        least: cython.double = best_score
        temperature: cython.double = worst - best_score
        size = order.shape[0]
        used: cython.longlong = 0
        for _round in range(ROUNDS):
            for _trial in range(TRIALS):
                if used + 130 > words.shape[0]:
                    return best, -1
                # two places, as random.Random.randrange(size) draws them from its 32-bit words
                i, used = below(size, words, used)
                j, used = below(size, words, used)
                order[i], order[j] = order[j], order[i]
                new = score(self, order)
                if new < least:
                    best[:] = now
                    least = new
                    last = new
                    continue
                if new < last:
                    last = new
                    continue
                high: cython.double = words[used] >> 5
                low: cython.double = words[used + 1] >> 6
                used += 2
                draw = (high * 67108864.0 + low) / 9007199254740992.0
                if draw < math.exp((last - new) / temperature):
                    last = new
                else:
                    order[i], order[j] = order[j], order[i]
            temperature = max(COOLING * temperature, 1.0)
        return best, used


@cython.cfunc
def below(
    limit: cython.longlong, words: cython.uint[::1], used: cython.longlong
) -> tuple[cython.longlong, cython.longlong]:
    """(a number below ``limit``, words used): the top bits of a word until they make one."""
    bits: cython.longlong = 0
    while (limit >> bits) > 0:
        bits += 1
    while True:
        value: cython.longlong = words[used] >> (32 - bits)
        used += 1
        if value < limit:
            return value, used


# ---- the timeline ------------------------------------------------------------------------------------------


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
def count_of(words: cython.ulonglong[::1]) -> cython.longlong:
    total: cython.longlong = 0
    for w in range(words.shape[0]):
        total += ones(words[w])
    return total


@cython.cfunc
@cython.exceptval(check=False)
def just_after(time: cython.double) -> cython.double:
    epsilon: cython.double = 1e-11
    while time + epsilon == time:
        epsilon *= 10
    return time + epsilon


@cython.cfunc
@cython.exceptval(check=False)
def step_at(times: cython.double[::1], size: cython.longlong, time: cython.double) -> cython.longlong:
    """The position of the last step that begins at ``time`` or before."""
    low: cython.longlong = 0
    high: cython.longlong = size
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low - 1


@cython.cfunc
@cython.exceptval(check=False)
def earliest_nodes(
    s: Plans, size: cython.longlong, count: cython.longlong, duration: cython.double, after: cython.double
) -> cython.double:
    """As Timeline.earliest_nodes: the start, with the free nodes in ``found``; NaN if there is none."""
    times, free, found = s.ntimes, s.nfree, s.found
    words = free.shape[1]
    i = step_at(times, size, after)
    t: cython.double = after
    while True:
        end: cython.double = t + duration
        if s.closed:
            end = just_after(end)
        for w in range(words):
            found[w] = free[i, w]
        enough: cython.bint = count_of(found) >= count
        k: cython.longlong = i + 1
        while enough and k < size and times[k] < end:
            changed: cython.bint = False
            for w in range(words):
                both: cython.ulonglong = found[w] & free[k, w]
                if both != found[w]:
                    found[w] = both
                    changed = True
            if changed:
                enough = count_of(found) >= count
            k += 1
        if enough:
            return t
        i += 1
        while i < size:
            gains: cython.bint = False
            for w in range(words):
                if free[i, w] & ~free[i - 1, w] != _ZERO:
                    gains = True
            if gains:
                break
            i += 1
        if i == size:
            return NAN
        t = times[i]


@cython.cfunc
@cython.exceptval(check=False)
def keep_first(found: cython.ulonglong[::1], count: cython.longlong) -> cython.void:
    """Drop all but the ``count`` lowest bits."""
    for w in range(found.shape[0]):
        here = ones(found[w])
        if here <= count:
            count -= here
            continue
        surplus: cython.longlong = here - count
        keep: cython.longlong = count
        count = 0
        word: cython.ulonglong = found[w]
        if surplus <= keep:
            mask: cython.ulonglong = _ONE << 63
            if not cython.compiled:
                word, mask = int(word), int(mask)
            while surplus > 0:
                if word & mask != 0:
                    word ^= mask
                    surplus -= 1
                mask >>= 1
        else:
            kept: cython.ulonglong = 0
            if not cython.compiled:
                word = int(word)
            while keep > 0:
                low: cython.ulonglong = word & -word
                kept |= low
                word ^= low
                keep -= 1
            word = kept
        found[w] = word


@cython.cfunc
@cython.exceptval(check=False)
def least_room(s: Plans, size: cython.longlong, start: cython.double, end: cython.double) -> cython.void:
    """The least free bytes of each storage over [start, end) into ``room``."""
    times, free, room = s.btimes, s.bfree, s.room
    i = step_at(times, size, start)
    for m in range(room.shape[0]):
        room[m] = free[i, m]
    k: cython.longlong = i + 1
    while k < size and times[k] < end:
        for m in range(room.shape[0]):
            if free[k, m] < room[m]:
                room[m] = free[k, m]
        k += 1


@cython.cfunc
@cython.exceptval(check=False)
def cut_nodes(s: Plans, size: cython.longlong, time: cython.double) -> cython.longlong:
    """Have a step of free nodes begin at ``time``; returns how many there are then."""
    times, free = s.ntimes, s.nfree
    i = step_at(times, size, time)
    if times[i] == time:
        return size
    k: cython.longlong = size
    while k > i + 1:
        times[k] = times[k - 1]
        for w in range(free.shape[1]):
            free[k, w] = free[k - 1, w]
        k -= 1
    times[i + 1] = time
    for w in range(free.shape[1]):
        free[i + 1, w] = free[i, w]
    return size + 1


@cython.cfunc
@cython.exceptval(check=False)
def cut_bytes(s: Plans, size: cython.longlong, time: cython.double) -> cython.longlong:
    """Have a step of free bytes begin at ``time``; returns how many there are then."""
    times, free = s.btimes, s.bfree
    i = step_at(times, size, time)
    if times[i] == time:
        return size
    k: cython.longlong = size
    while k > i + 1:
        times[k] = times[k - 1]
        for m in range(free.shape[1]):
            free[k, m] = free[k - 1, m]
        k -= 1
    times[i + 1] = time
    for m in range(free.shape[1]):
        free[i + 1, m] = free[i, m]
    return size + 1


# ---- a plan ------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def place(s: Plans, count: cython.longlong, share: cython.longlong) -> cython.bint:
    """As Layout.pieces_of: the bytes of each storage into ``taken``; False if there is no room."""
    found, preferences, room, taken = s.found, s.preferences, s.room, s.taken
    per_chassis: cython.longlong = s.per_chassis
    for m in range(taken.shape[0]):
        taken[m] = 0
    left: cython.longlong = count
    for chassis in range(preferences.shape[0]):
        if left == 0:
            break
        here: cython.longlong = 0
        first = chassis * per_chassis
        for k in range(first, first + per_chassis):
            if (found[k >> 6] >> (k & 63)) & 1 != 0:
                here += 1
        if here == 0:
            continue
        for p in range(preferences.shape[1]):
            m = preferences[chassis, p]
            while here > 0 and room[m] >= share:
                room[m] -= share
                taken[m] += share
                here -= 1
                left -= 1
            if here == 0:
                break
        if here > 0:  # nor is there room in one piece for a node after this one
            return s.split and spread(s, left, share)
    return True


@cython.cfunc
@cython.exceptval(check=False)
def spread(s: Plans, count: cython.longlong, share: cython.longlong) -> cython.bint:
    """Split the shares of ``count`` nodes."""
    room, taken = s.room, s.taken
    total: cython.longlong = 0
    for m in range(room.shape[0]):
        total += room[m]
    if total < count * share:
        return False
    for _node in range(count):
        left: cython.longlong = share
        while left > 0:
            most: cython.longlong = 0
            for m in range(1, room.shape[0]):
                if room[m] > room[most]:
                    most = m
            size: cython.longlong = room[most] if room[most] < left else left
            room[most] -= size
            taken[most] += size
            left -= size
    return True


@cython.cfunc
@cython.exceptval(check=False)
def take(s: Plans, job: cython.longlong) -> cython.bint:
    """Take what the job needs of each storage, or nothing."""
    needs, room, taken = s.needs, s.room, s.taken
    for m in range(room.shape[0]):
        if needs[job, m] > room[m]:
            return False
    for m in range(room.shape[0]):
        taken[m] = needs[job, m]
    return True


@cython.cfunc
def make_plan(s: Plans, order: cython.longlong[::1], kept: cython.bint) -> cython.bint:
    """As annealing.make_plan. ``kept``: nodes and bytes too."""
    found, taken, after = s.found, s.taken, s.after
    nsize: cython.longlong = s.node_times.shape[0]
    bsize: cython.longlong = s.byte_times.shape[0]
    nbases: cython.longlong = s.bases.shape[0]
    for k in range(nsize):
        s.ntimes[k] = s.node_times[k]
        for w in range(found.shape[0]):
            s.nfree[k, w] = s.node_free[k, w]
    for k in range(bsize):
        s.btimes[k] = s.byte_times[k]
        for m in range(taken.shape[0]):
            s.bfree[k, m] = s.byte_free[k, m]
    for k in range(nbases):
        after[k] = s.bases[k]
    for position in range(order.shape[0]):
        q = order[position]
        count, walltime, share = s.counts[q], s.walltimes[q], s.shares[q]
        tried: cython.double = -INFINITY
        placed: cython.bint = False
        for b in range(nbases):
            if after[b] <= tried:
                continue
            tried = earliest_nodes(s, nsize, count, walltime, after[b])
            if tried != tried:
                return False
            keep_first(found, count)
            least_room(s, bsize, tried, tried + walltime)
            placed = take(s, q) if s.per_chassis == 0 else place(s, count, share)
            if placed:
                break
        if not placed:
            return False
        s.starts[q] = tried
        end = tried + walltime
        node_end = just_after(end) if s.closed else end
        if kept:
            for w in range(found.shape[0]):
                s.nodes[q, w] = found[w]
            for m in range(taken.shape[0]):
                s.held[q, m] = taken[m]
        nsize = cut_nodes(s, nsize, tried)
        nsize = cut_nodes(s, nsize, node_end)
        for k in range(step_at(s.ntimes, nsize, tried), step_at(s.ntimes, nsize, node_end)):
            for w in range(found.shape[0]):
                s.nfree[k, w] &= ~found[w]
        bsize = cut_bytes(s, bsize, tried)
        bsize = cut_bytes(s, bsize, end)
        for k in range(step_at(s.btimes, bsize, tried), step_at(s.btimes, bsize, end)):
            for m in range(taken.shape[0]):
                s.bfree[k, m] -= taken[m]
        b = nbases
        while b > 0 and after[b - 1] > end:
            after[b] = after[b - 1]
            b -= 1
        after[b] = end
        nbases += 1
    return True


@cython.cfunc
def score(s: Plans, order: cython.longlong[::1]) -> cython.double:
    """The sum of the waits, each to the power alpha, as a whole number (half to even, as numpy's ``rint``);
    infinite if a job has no place."""
    if not make_plan(s, order, False):
        return INFINITY
    total: cython.double = 0.0
    for position in range(order.shape[0]):
        q = order[position]
        total += (s.starts[q] - s.submissions[q]) ** s.alpha
    return (total + _WHOLE) - _WHOLE if total < _WHOLE else total
