# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""The inner loop of plan-based scheduling: the results of ``kopanski.annealing``, bit for bit, only faster.

A queue of 40 jobs is planned 180 times a pass, each job searched over some hundred steps of the timeline.
What doesn't change isn't planned again, and nothing is looked at that is known to be full: see ``amounts``.
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

if cython.compiled:
    from cython.cimports.libc.string import memcpy

from batfs._core.ranks import ranked

# to write twelve states down takes nearly half as long as the planning between them
KEPT = cython.declare(cython.longlong, 6)
ROUNDS = cython.declare(cython.longlong, 30)
TRIALS = cython.declare(cython.longlong, 6)
COOLING = cython.declare(cython.double, 0.9)
INFINITY = cython.declare(cython.double, float("inf"))

_M1 = cython.declare(cython.ulonglong, 0x5555555555555555)
_M2 = cython.declare(cython.ulonglong, 0x3333333333333333)
_M4 = cython.declare(cython.ulonglong, 0x0F0F0F0F0F0F0F0F)
_H = cython.declare(cython.ulonglong, 0x0101010101010101)
_ZERO = cython.declare(cython.ulonglong, 0)
_FULL = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_EXACT = cython.declare(cython.double, 67108864.0)  # 2 ** 26: the squares of whole numbers below are exact
_WHOLE = cython.declare(cython.double, 4503599627370496.0)  # 2 ** 52: from here on every float64 is whole

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Kept:
    """The state of a plan before every ``stride``-th job of its order, twice: of the order accepted last, and
    of one that is tried (``side`` says which is which). Lists are written one step after the other, without
    what has become part of a run of full steps and without the bytes before the first nodes."""

    stride: cython.longlong
    last: cython.longlong
    side: cython.longlong[::1]
    totals: cython.double[:, ::1]
    sizes: cython.longlong[:, :, ::1]
    ntimes: cython.double[:, :, ::1]
    nfree: cython.ulonglong[:, :, :, ::1]
    ncount: cython.longlong[:, :, ::1]
    nbytes: cython.longlong[:, :, ::1]
    since: cython.longlong[:, :, ::1]
    btimes: cython.double[:, :, ::1]
    bfree: cython.longlong[:, :, :, ::1]
    after: cython.double[:, :, ::1]
    # where each step is written, and in which call
    nplace: cython.longlong[::1]
    nmet: cython.longlong[::1]
    bplace: cython.longlong[::1]
    bmet: cython.longlong[::1]
    calls: cython.longlong

    def __init__(
        self, jobs: tuple[int, int], nodes: tuple[int, int], room: tuple[int, int], ranks: int
    ) -> None:
        """How many jobs there are, and bases; steps and words; steps and storages."""
        self.stride = jobs[0] // KEPT + 1
        self.last = (jobs[0] - 1) // self.stride
        self.side = np.zeros(KEPT, np.int64)
        self.totals = np.empty((2, KEPT))
        self.sizes = np.empty((2, KEPT, 3), np.int64)
        self.ntimes = np.empty((2, KEPT, nodes[0]))
        self.nfree = np.empty((2, KEPT, *nodes), np.uint64)
        self.ncount, self.nbytes = (np.empty((2, KEPT, nodes[0]), np.int64) for _ in range(2))
        self.since = np.empty((2, KEPT, ranks), np.int64)
        self.btimes = np.empty((2, KEPT, room[0]))
        self.bfree = np.empty((2, KEPT, *room), np.int64)
        self.after = np.empty((2, KEPT, jobs[1]))
        self.nplace, self.nmet = (np.zeros(nodes[0], np.int64) for _ in range(2))
        self.bplace, self.bmet = (np.zeros(room[0], np.int64) for _ in range(2))
        self.calls = 0


@cython.cfunc
@cython.exceptval(check=False)
def accept(kept: Kept, since: cython.longlong) -> cython.void:
    """The plan just made from state ``since`` on is the one that others go on from."""
    for k in range(since + 1, kept.last + 1):
        kept.side[k] = 1 - kept.side[k]


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
    totals: cython.longlong[::1]
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
    looked: cython.longlong[::1]
    learnt: cython.longlong[::1]
    ends: cython.longlong[::1]
    # the steps of free nodes while a plan is made, with room for two more a job: how many are free, which
    # step comes after which (-1: none), a step of free bytes that begins no later, and (by rank) from which
    # on jobs find nodes at all
    ntimes: cython.double[::1]
    nfree: cython.ulonglong[:, ::1]
    ncount: cython.longlong[::1]
    nafter: cython.longlong[::1]
    nbytes: cython.longlong[::1]
    since: cython.longlong[::1]
    nsize: cython.longlong
    # those of free bytes
    btimes: cython.double[::1]
    bfree: cython.longlong[:, ::1]
    bafter: cython.longlong[::1]
    bsize: cython.longlong
    after: cython.double[::1]
    nbases: cython.longlong
    kept: Kept
    first: cython.longlong
    least: cython.longlong
    found: cython.ulonglong[::1]
    room: cython.longlong[::1]
    fit: cython.longlong[::1]
    taken: cython.longlong[::1]
    alpha: cython.double
    per_chassis: cython.longlong
    waits: cython.bint  # whether no wait is negative: sums of powers only grow
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
        self.totals = jobs[0] * jobs[2] if machine[0] else jobs[3].sum(axis=1)
        self.submissions, self.alpha = aims
        self.per_chassis, self.preferences, self.closed, self.split = machine
        self.node_times, self.node_free, self.byte_times, self.byte_free = timeline
        self.bases = bases
        self.starts, self.nodes, self.held = out
        size, words, storages = len(jobs[0]), timeline[1].shape[1], timeline[3].shape[1]
        self.looked, self.learnt, ends = ranked(jobs[0], jobs[1])
        self.ends = ends
        self.least = min(jobs[0], default=0)
        # the first search begins where a step does
        times = timeline[0]
        at = int(np.searchsorted(times, bases[0], side="right")) - 1
        if times[at] != bases[0]:
            at += 1
            free = timeline[1]
            times = np.concatenate((times[:at], bases[:1], times[at:]))
            self.node_times, self.node_free = times, np.concatenate((free[:at], free[at - 1 :]))
        self.first = at
        self.waits = max(self.submissions, default=0.0) <= bases[0]
        steps, more = len(times) + 2 * size, len(timeline[2]) + 2 * size
        self.ntimes = np.empty(steps)
        self.nfree = np.empty((steps, words), np.uint64)
        self.ncount, self.nafter, self.nbytes = (np.empty(steps, np.int64) for _ in range(3))
        self.since = np.empty(max(ends, default=0), np.int64)
        self.btimes = np.empty(more)
        self.bfree = np.empty((more, storages), np.int64)
        self.bafter = np.empty(more, np.int64)
        self.after = np.empty(len(bases) + size)
        self.kept = Kept((size, len(bases) + size), (steps, words), (more, storages), len(self.since))
        self.found = np.empty(words, np.uint64)
        self.room, self.fit, self.taken = (np.empty(storages, np.int64) for _ in range(3))

    def plan(self, order: cython.longlong[::1]) -> cython.bint:
        """Fill ``starts``, ``nodes`` and ``held`` (by job, not by place); False if a job has no place."""
        return make_plan(self, order, 0, True, INFINITY) != INFINITY

    def best_of(self, orders: cython.longlong[:, ::1]) -> cython.longlong:
        """The position of the first of the best of ``orders`` int64[k, q]."""
        best, _, _ = self.extremes(orders)
        return best

    def extremes(self, orders: cython.longlong[:, ::1]) -> tuple[int, float, float]:
        """(the position of the first of the best ``orders``, its score, the worst score)."""
        best, best_score, worst = 0, INFINITY, -INFINITY
        for k in range(orders.shape[0]):
            new = score(self, orders[k], 0, INFINITY)
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
        size: cython.longlong = order.shape[0]
        used: cython.longlong = 0
        score(self, order, 0, INFINITY)
        accept(self.kept, 0)
        for _round in range(ROUNDS):
            for _trial in range(TRIALS):
                if used + 130 > words.shape[0]:
                    return best, -1
                # two places, as random.Random.randrange(size) draws them from its 32-bit words
                i, used = below(size, words, used)
                j, used = below(size, words, used)
                order[i], order[j] = order[j], order[i]
                high: cython.double = words[used] >> 5
                low: cython.double = words[used + 1] >> 6
                draw: cython.double = (high * 67108864.0 + low) / 9007199254740992.0
                # above that, and some rounding, it is refused whatever it is
                limit: cython.double = INFINITY
                if self.waits and draw > 0.0:
                    limit = (last - temperature * math.log(draw)) * (1.0 + 1e-9) + 1.0
                since: cython.longlong = (i if i < j else j) // self.kept.stride
                new = score(self, order, since, limit)
                if new < last:
                    if new < least:
                        best[:] = now
                        least = new
                    last = new
                    accept(self.kept, since)
                    continue
                used += 2
                if draw < math.exp((last - new) / temperature):
                    last = new
                    accept(self.kept, since)
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
@cython.inline
@cython.exceptval(check=False)
def found_nodes(s: Plans) -> cython.longlong:
    """How many nodes are in ``found``."""
    # what a local name would refer to is counted, by every thread: that takes longer than all of this
    total: cython.longlong = 0
    for w in range(s.found.shape[0]):
        total += ones(s.found[w])
    return total


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def found_within(s: Plans, first: cython.longlong, last: cython.longlong) -> cython.longlong:
    """How many of the nodes ``first`` to ``last`` are in ``found``."""
    total: cython.longlong = 0
    for w in range(first >> 6, (last >> 6) + 1):
        word: cython.ulonglong = s.found[w]
        if w == first >> 6:
            word = word >> (first & 63) << (first & 63)
        if w == last >> 6:
            word &= _FULL >> (63 - (last & 63))
        total += ones(word)
    return total


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def free_nodes(s: Plans, step: cython.longlong) -> cython.longlong:
    """How many nodes are free in a step."""
    total: cython.longlong = 0
    for w in range(s.found.shape[0]):
        total += ones(s.nfree[step, w])
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
def earliest_nodes(
    s: Plans, step: cython.longlong, start: cython.double, count: cython.longlong, duration: cython.double
) -> cython.longlong:
    """As Timeline.earliest_nodes, from ``start`` in ``step`` on: the step of the start that was found (at
    ``start`` still, or else where it begins), with the free nodes in ``found``; -1 if there is none."""
    words = s.nfree.shape[1]
    i: cython.longlong = step
    t: cython.double = start
    while True:
        k: cython.longlong = i
        if s.ncount[i] >= count:
            end: cython.double = t + duration
            if s.closed:
                end = just_after(end)
            for w in range(words):
                s.found[w] = s.nfree[i, w]
            enough: cython.bint = True
            k = s.nafter[i]
            while k >= 0 and s.ntimes[k] < end:
                if s.ncount[k] < count:
                    enough = False
                    break
                changed: cython.bint = False
                for w in range(words):
                    both: cython.ulonglong = s.found[w] & s.nfree[k, w]
                    if both != s.found[w]:
                        s.found[w] = both
                        changed = True
                if changed and found_nodes(s) < count:
                    enough = False
                    k = i
                    break
                k = s.nafter[k]
            if enough:
                return i
        # no start up to k: there are too few nodes in k, or k is where the last search began
        if s.ncount[k] < s.least:
            # a run of full steps is as good as one
            while s.nafter[k] >= 0 and s.ncount[s.nafter[k]] < s.least:
                s.nafter[k] = s.nafter[s.nafter[k]]
        while True:  # only a step that frees nodes can be a better start than the one before it
            before: cython.longlong = k
            k = s.nafter[k]
            if k < 0:
                return -1
            gains: cython.bint = False
            for w in range(words):
                if s.nfree[k, w] & ~s.nfree[before, w] != _ZERO:
                    gains = True
                    break
            if gains:
                break
        i = k
        t = s.ntimes[k]


@cython.cfunc
@cython.exceptval(check=False)
def keep_first(s: Plans, count: cython.longlong) -> cython.void:
    """Drop all but the ``count`` lowest bits."""
    for w in range(s.found.shape[0]):
        here = ones(s.found[w])
        if here <= count:
            count -= here
            continue
        word: cython.ulonglong = s.found[w]
        kept: cython.ulonglong = 0
        if not cython.compiled:
            word = int(word)
        while count > 0:
            low: cython.ulonglong = word & -word
            kept |= low
            word ^= low
            count -= 1
        s.found[w] = kept


@cython.cfunc
@cython.exceptval(check=False)
def least_room(s: Plans, step: cython.longlong, end: cython.double, need: cython.longlong) -> cython.longlong:
    """The least free bytes of each storage from ``step`` on, before ``end``, into ``room``; -1, or a step
    whose free bytes are fewer than ``need`` in all: then there is no room."""
    k: cython.longlong = step
    while k >= 0 and (k == step or s.btimes[k] < end):
        total: cython.longlong = 0
        for m in range(s.room.shape[0]):
            free: cython.longlong = s.bfree[k, m]
            total += free
            if k == step or free < s.room[m]:
                s.room[m] = free
        if total < need:
            return k
        k = s.bafter[k]
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def node_step(s: Plans, step: cython.longlong, time: cython.double) -> cython.longlong:
    """The last step of free nodes that begins at ``time``, made if there is none; ``step`` is one that begins
    no later."""
    while s.nafter[step] >= 0 and s.ntimes[s.nafter[step]] <= time:
        step = s.nafter[step]
    if s.ntimes[step] == time:
        return step
    new: cython.longlong = s.nsize
    s.nsize += 1
    s.ntimes[new], s.nafter[new], s.nafter[step] = time, s.nafter[step], new
    s.ncount[new], s.nbytes[new] = s.ncount[step], s.nbytes[step]
    for w in range(s.nfree.shape[1]):
        s.nfree[new, w] = s.nfree[step, w]
    return new


@cython.cfunc
@cython.exceptval(check=False)
def byte_step(s: Plans, step: cython.longlong, time: cython.double, made: cython.bint) -> cython.longlong:
    """The last step of free bytes that begins at ``time`` or, if none does, before it (``made``: at it, then
    too); ``step`` is one that begins no later."""
    while s.bafter[step] >= 0 and s.btimes[s.bafter[step]] <= time:
        step = s.bafter[step]
    if not made or s.btimes[step] == time:
        return step
    new: cython.longlong = s.bsize
    s.bsize += 1
    s.btimes[new], s.bafter[new], s.bafter[step] = time, s.bafter[step], new
    for m in range(s.bfree.shape[1]):
        s.bfree[new, m] = s.bfree[step, m]
    return new


# ---- a plan ------------------------------------------------------------------------------------------------


@cython.cfunc
@cython.exceptval(check=False)
def place(s: Plans, count: cython.longlong, share: cython.longlong) -> cython.bint:
    """As Layout.pieces_of: the bytes of each storage into ``taken``; False if there is no room."""
    for m in range(s.taken.shape[0]):
        s.taken[m] = 0
    if share == 0:
        return True
    left: cython.longlong = count
    fit: cython.longlong = 0
    part: cython.double = 1.0 / share
    for m in range(s.room.shape[0]):
        # to divide whole numbers takes ten times as long
        whole: cython.longlong = cython.cast(cython.longlong, s.room[m] * part)
        if whole * share > s.room[m]:
            whole -= 1
        elif (whole + 1) * share <= s.room[m]:
            whole += 1
        s.fit[m] = whole
        fit += whole
    if fit < count and not s.split:
        return False
    for chassis in range(s.preferences.shape[0]):
        here = found_within(s, chassis * s.per_chassis, (chassis + 1) * s.per_chassis - 1)
        for p in range(s.preferences.shape[1]):
            if here == 0:
                break
            m = s.preferences[chassis, p]
            whole = s.fit[m] if s.fit[m] < here else here
            s.fit[m] -= whole
            s.taken[m] += whole * share
            here -= whole
            left -= whole
        if here > 0:  # nor is there room in one piece for a node after this one
            for m in range(s.room.shape[0]):
                s.room[m] -= s.taken[m]
            return spread(s, left, share)
        if left == 0:
            break
    return True


@cython.cfunc
@cython.exceptval(check=False)
def spread(s: Plans, count: cython.longlong, share: cython.longlong) -> cython.bint:
    """Split the shares of ``count`` nodes."""
    total: cython.longlong = 0
    for m in range(s.room.shape[0]):
        total += s.room[m]
    if total < count * share:
        return False
    for _node in range(count):
        left: cython.longlong = share
        while left > 0:
            most: cython.longlong = 0
            for m in range(1, s.room.shape[0]):
                if s.room[m] > s.room[most]:
                    most = m
            size: cython.longlong = s.room[most] if s.room[most] < left else left
            s.room[most] -= size
            s.taken[most] += size
            left -= size
    return True


@cython.cfunc
@cython.exceptval(check=False)
def take(s: Plans, job: cython.longlong) -> cython.bint:
    """Take what the job needs of each storage, or nothing."""
    for m in range(s.room.shape[0]):
        if s.needs[job, m] > s.room[m]:
            return False
    for m in range(s.room.shape[0]):
        s.taken[m] = s.needs[job, m]
    return True


@cython.cfunc
@cython.exceptval(check=False)
def begin(s: Plans) -> cython.void:
    """The timeline as it is before any job is planned."""
    steps: cython.longlong = s.node_times.shape[0]
    more: cython.longlong = s.byte_times.shape[0]
    step: cython.longlong = 0
    for k in range(steps):
        s.ntimes[k], s.nafter[k] = s.node_times[k], k + 1
        for w in range(s.found.shape[0]):
            s.nfree[k, w] = s.node_free[k, w]
        s.ncount[k] = free_nodes(s, k)
        while step + 1 < more and s.byte_times[step + 1] <= s.node_times[k]:
            step += 1
        s.nbytes[k] = step
    s.nafter[steps - 1] = -1
    for k in range(more):
        s.btimes[k], s.bafter[k] = s.byte_times[k], k + 1
        for m in range(s.room.shape[0]):
            s.bfree[k, m] = s.byte_free[k, m]
    s.bafter[more - 1] = -1
    s.nsize, s.bsize = steps, more
    s.nbases = s.bases.shape[0]
    for k in range(s.nbases):
        s.after[k] = s.bases[k]
    for k in range(s.since.shape[0]):
        s.since[k] = s.first


@cython.cfunc
@cython.exceptval(check=False)
def keep(s: Plans, k: cython.longlong, total: cython.double) -> cython.void:
    """Write down the state of a plan that is tried."""
    kept = s.kept
    own: cython.longlong = 1 - kept.side[k]
    ntimes, nfree, ncount, nbytes = (
        kept.ntimes[own, k],
        kept.nfree[own, k],
        kept.ncount[own, k],
        kept.nbytes[own, k],
    )
    btimes, bfree = kept.btimes[own, k], kept.bfree[own, k]
    kept.calls += 1
    kept.totals[own, k] = total
    # bytes are looked up from the first step on where a job can start
    step: cython.longlong = 0
    while s.nafter[step] >= 0 and (s.ncount[step] < s.least or s.ntimes[step] < s.bases[0]):
        step = s.nafter[step]
    byte: cython.longlong = byte_step(s, s.nbytes[step], s.ntimes[step], False)
    size: cython.longlong = 0
    storages = s.room.shape[0]
    while byte >= 0:
        kept.bplace[byte], kept.bmet[byte] = size, kept.calls
        btimes[size] = s.btimes[byte]
        if cython.compiled:
            memcpy(cython.address(bfree[size, 0]), cython.address(s.bfree[byte, 0]), 8 * storages)
        else:
            bfree[size] = s.bfree[byte]
        size += 1
        byte = s.bafter[byte]
    kept.sizes[own, k, 0] = size
    size = 0
    step = 0
    while step >= 0:
        kept.nplace[step], kept.nmet[step] = size, kept.calls
        byte = s.nbytes[step]
        nbytes[size] = kept.bplace[byte] if kept.bmet[byte] == kept.calls else 0
        ntimes[size], ncount[size] = s.ntimes[step], s.ncount[step]
        for w in range(s.found.shape[0]):
            nfree[size, w] = s.nfree[step, w]
        size += 1
        step = s.nafter[step]
    kept.sizes[own, k, 1] = size
    for rank in range(s.since.shape[0]):
        step = s.since[rank]
        while step >= 0 and kept.nmet[step] != kept.calls:
            step = s.nafter[step]
        kept.since[own, k, rank] = kept.nplace[step] if step >= 0 else size - 1
    kept.sizes[own, k, 2] = s.nbases
    for b in range(s.nbases):
        kept.after[own, k, b] = s.after[b]


@cython.cfunc
@cython.exceptval(check=False)
def restore(s: Plans, k: cython.longlong) -> cython.double:
    """Go back to a state of the order accepted last; the sum of its waits."""
    kept = s.kept
    own: cython.longlong = kept.side[k]
    s.bsize, s.nsize, s.nbases = kept.sizes[own, k, 0], kept.sizes[own, k, 1], kept.sizes[own, k, 2]
    for byte in range(s.bsize):
        s.btimes[byte], s.bafter[byte] = kept.btimes[own, k, byte], byte + 1
        for m in range(s.room.shape[0]):
            s.bfree[byte, m] = kept.bfree[own, k, byte, m]
    s.bafter[s.bsize - 1] = -1
    for step in range(s.nsize):
        s.ntimes[step], s.ncount[step] = kept.ntimes[own, k, step], kept.ncount[own, k, step]
        s.nbytes[step], s.nafter[step] = kept.nbytes[own, k, step], step + 1
        for w in range(s.found.shape[0]):
            s.nfree[step, w] = kept.nfree[own, k, step, w]
    s.nafter[s.nsize - 1] = -1
    for rank in range(s.since.shape[0]):
        s.since[rank] = kept.since[own, k, rank]
    for b in range(s.nbases):
        s.after[b] = kept.after[own, k, b]
    return kept.totals[own, k]


@cython.cfunc
def make_plan(
    s: Plans,
    order: cython.longlong[::1],
    state: cython.longlong,
    held: cython.bint,
    limit: cython.double,
) -> cython.double:
    """As annealing.make_plan, from the ``state``-th of the kept ones on. ``held``: nodes and bytes too. The
    sum of the waits, each to the power alpha; infinite if a job has no place, or if that is above
    ``limit``."""
    stride: cython.longlong = s.kept.stride
    next_kept: cython.longlong = (state + 1) * stride
    total: cython.double = 0.0
    if state > 0:
        total = restore(s, state)
    else:
        begin(s)
    for position in range(state * stride, order.shape[0]):
        if position == next_kept:
            keep(s, position // stride, total)
            next_kept += stride
        q = order[position]
        count, walltime, share = s.counts[q], s.walltimes[q], s.shares[q]
        tried: cython.double = -INFINITY
        barred: cython.double = -INFINITY  # some step before that has too few bytes
        placed: cython.bint = False
        step: cython.longlong = s.since[s.looked[q]]
        byte: cython.longlong = 0
        start: cython.double
        for b in range(s.nbases):
            if s.after[b] <= tried:
                continue
            start = s.ntimes[step]
            if tried > -INFINITY:
                start = s.after[b]
                while s.nafter[step] >= 0 and s.ntimes[s.nafter[step]] <= start:
                    step = s.nafter[step]
            was: cython.longlong = step
            step = earliest_nodes(s, step, start, count, walltime)
            if step < 0:
                return INFINITY
            if step != was:
                start = s.ntimes[step]
            if tried == -INFINITY:
                rank: cython.longlong = s.learnt[q]
                while rank < s.ends[q] and s.ntimes[s.since[rank]] < start:
                    s.since[rank] = step
                    rank += 1
            tried = start
            if tried < barred:
                continue
            keep_first(s, count)
            byte = byte_step(s, s.nbytes[step], tried, False)
            full: cython.longlong = least_room(s, byte, tried + walltime, s.totals[q])
            if full >= 0:
                barred = s.btimes[s.bafter[full]] if s.bafter[full] >= 0 else INFINITY
                continue
            placed = take(s, q) if s.per_chassis == 0 else place(s, count, share)
            if placed:
                break
        if not placed:
            return INFINITY
        s.starts[q] = tried
        total += power(tried - s.submissions[q], s.alpha)
        if total > limit:
            return INFINITY
        end: cython.double = tried + walltime
        node_end: cython.double = just_after(end) if s.closed else end
        if held:
            for w in range(s.found.shape[0]):
                s.nodes[q, w] = s.found[w]
            for m in range(s.taken.shape[0]):
                s.held[q, m] = s.taken[m]
        byte = byte_step(s, byte, tried, True)
        last: cython.longlong = byte_step(s, byte, end, True)
        step = node_step(s, step, tried)
        s.nbytes[step] = byte
        stop: cython.longlong = node_step(s, step, node_end)
        s.nbytes[stop] = last
        while step != stop:
            for w in range(s.found.shape[0]):
                s.nfree[step, w] &= ~s.found[w]
            s.ncount[step] -= count
            step = s.nafter[step]
        while byte != last:
            for m in range(s.taken.shape[0]):
                s.bfree[byte, m] -= s.taken[m]
            byte = s.bafter[byte]
        b = s.nbases
        while b > 0 and s.after[b - 1] > end:
            s.after[b] = s.after[b - 1]
            b -= 1
        s.after[b] = end
        s.nbases += 1
    return total


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def power(waited: cython.double, alpha: cython.double) -> cython.double:
    """``waited`` to the power ``alpha``; of what is squared exactly, the square."""
    if alpha == 2.0 and -_EXACT < waited < _EXACT and (waited + _WHOLE) - _WHOLE == waited:
        return waited * waited
    return waited**alpha


@cython.cfunc
def score(
    s: Plans, order: cython.longlong[::1], state: cython.longlong, limit: cython.double
) -> cython.double:
    """What ``make_plan`` says as a whole number (half to even, as numpy's ``rint``)."""
    total = make_plan(s, order, state, False, limit)
    return (total + _WHOLE) - _WHOLE if total < _WHOLE else total
