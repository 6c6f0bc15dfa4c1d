# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""Planning on amounts: how many nodes and bytes are free over time, not which. Compiled by Cython.

Amounts are enough where any nodes will do and bytes may be split over storages. Stays that never ask for more
than there is can then always be laid out so that no job moves: give each, in the order of their starts, any
nodes and bytes that are free (intervals are coloured greedily with as many colours as the most that overlap;
a colour is a node, or a byte). So a plan can't go wrong for want of *the right* nodes or a hole large enough,
and to find the earliest stay is one walk over the steps.

``times`` float64[s] are the beginnings of the steps, ``free`` int64[s, r] the free amount of each resource in
each step. The first step begins at the time of the pass, the last never ends.

A search plans hundreds of orders of the same jobs that differ in two places. So what doesn't change isn't
planned again, and nothing is looked at that is known to be full:

- An order begins as the last one accepted does: its plan goes on from the last of the ``Kept`` states before
  the first change.
- Stays only take, so what is free at an instant gets less in the course of a plan: where a job found no start
  for want of nodes, none of as many nodes that stays as long will (see ``ranks``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

from batfs._core.ranks import ranked

INFINITY = cython.declare(cython.double, float("inf"))
KEPT = cython.declare(cython.longlong, 6)  # as in ``plans``
MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_GOLDEN = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_MIX_1 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
_MIX_2 = cython.declare(cython.ulonglong, 0x94D049BB133111EB)

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Queue:
    """Of each waiting job: ``needs`` int64[q, r] amounts (nodes first), ``lasts`` float64[q] seconds it
    stays, ``submissions`` float64[q], ``weights`` float64[q]; and the timeline that a plan is made on."""

    needs: cython.longlong[::1]
    lasts: cython.double[::1]
    submissions: cython.double[::1]
    weights: cython.double[::1]
    alpha: cython.double
    times: cython.double[::1]
    free: cython.longlong[::1]
    resources: cython.longlong
    least: cython.longlong
    looked: cython.longlong[::1]
    learnt: cython.longlong[::1]
    ends: cython.longlong[::1]
    # the timeline while a plan is made, with room for a step more a job: which step comes after which (-1:
    # none), and from which on the jobs of a rank can start at all
    own_times: cython.double[::1]
    own_free: cython.longlong[::1]
    after: cython.longlong[::1]
    since: cython.longlong[::1]
    starts: cython.double[::1]
    size: cython.longlong
    # the same before every ``stride``-th job of the order accepted last, twice: for that order, and for one
    # that is tried; ``side`` says which is which, ``reached`` how many there are
    stride: cython.longlong
    reached: cython.longlong
    side: cython.longlong[::1]
    sizes: cython.longlong[:, ::1]
    scores: cython.double[:, ::1]
    kept_times: cython.double[:, :, ::1]
    kept_free: cython.longlong[:, :, ::1]
    place: cython.longlong[::1]
    met: cython.longlong[::1]
    meeting: cython.longlong
    kept_since: cython.longlong[:, :, ::1]
    state: cython.ulonglong

    def __init__(self, jobs: tuple[Any, Any, Any, Any], alpha: float, times: Any, free: Any) -> None:
        """``jobs``: needs, lasts, submissions, weights."""
        needs, self.lasts, self.submissions, self.weights = jobs
        self.needs = needs.reshape(-1)
        self.alpha = alpha
        self.times, self.free = times, free.reshape(-1)
        self.resources = free.shape[1]
        self.least = min(needs[:, 0], default=0)
        length, steps = len(jobs[1]), len(times) + len(jobs[1])
        self.looked, self.learnt, ends = ranked(needs[:, 0], jobs[1])
        self.ends = ends
        ranks = max(ends, default=0)
        self.own_times = np.empty(steps)
        self.own_free = np.empty(steps * free.shape[1], np.int64)
        self.after = np.empty(steps, np.int64)
        self.since = np.empty(ranks, np.int64)
        self.starts = np.empty(length)
        self.stride = length // KEPT + 1
        self.reached = 0
        self.side = np.zeros(KEPT, np.int64)
        self.sizes = np.empty((2, KEPT), np.int64)
        self.scores = np.empty((2, KEPT))
        self.kept_times = np.empty((2, KEPT, steps))
        self.kept_free = np.empty((2, KEPT, steps * free.shape[1]), np.int64)
        self.place = np.empty(steps, np.int64)
        self.met = np.zeros(steps, np.int64)
        self.meeting = 0
        self.kept_since = np.empty((2, KEPT, ranks), np.int64)

    def search(self, orders: Any, fixed: int, trials: int, seed: int, cold: float) -> tuple[Any, Any]:
        """The best order found int64[q], and its starts float64[q], from ``orders`` int64[k, q] by simulated
        annealing of ``trials`` steps. A step swaps two jobs or moves one elsewhere; the first ``fixed``
        places stay as they are.

        The temperature falls geometrically from the distance of the best of ``orders`` to the worst of them
        to ``cold`` times that. What a step may cost is drawn before it is scored, so that scoring ends early.
        """
        length: cython.longlong = orders.shape[1]
        best = orders[0].copy()
        best_score: cython.double = INFINITY
        worst: cython.double = 0.0
        new: cython.double
        for k in range(len(orders)):
            new = plan(self, orders[k], 0, INFINITY)
            if new < best_score:
                best_score = new
                best[:] = orders[k]
            if new < INFINITY:
                worst = max(worst, new)
        count: cython.longlong = length - fixed
        if count < 2 or best_score == 0.0:
            plan(self, best, 0, INFINITY)
            return best, np.array(self.starts)
        self.state = seed
        last: cython.double = best_score
        temperature: cython.double = max(worst - best_score, 1e-3 * best_score)
        cooling: cython.double = cold ** (1.0 / max(1, trials))
        now, tried = best.copy(), best.copy()
        order: cython.longlong[::1] = now
        trial: cython.longlong[::1] = tried
        first: cython.longlong = fixed
        i: cython.longlong
        j: cython.longlong
        place: cython.longlong
        if plan(self, order, 0, INFINITY) < INFINITY:
            accept(self, 0)
        for _step in range(trials):
            i = int(drawn(self) * count)
            j = int(drawn(self) * (count - 1))
            i += first
            j += first
            if j >= i:
                j += 1
            if drawn(self) < 0.5:
                trial[i], trial[j] = order[j], order[i]
            elif i < j:
                for place in range(i, j):
                    trial[place] = order[place + 1]
                trial[j] = order[i]
            else:
                for place in range(j, i):
                    trial[place + 1] = order[place]
                trial[j] = order[i]
            low: cython.longlong = i if i < j else j
            high: cython.longlong = i if i > j else j
            since: cython.longlong = low // self.stride
            since = since if since < self.reached else self.reached
            new = plan(self, trial, since, last - temperature * math.log(1.0 - drawn(self)))
            if new < INFINITY:
                for place in range(low, high + 1):
                    order[place] = trial[place]
                accept(self, since)
                last = new
                if new < best_score:
                    best_score = new
                    best[:] = tried
            else:
                for place in range(low, high + 1):
                    trial[place] = order[place]
            temperature *= cooling
        plan(self, best, 0, INFINITY)
        return best, np.array(self.starts)


@cython.cfunc
@cython.exceptval(check=False)
def drawn(s: Queue) -> cython.double:
    """Uniform in [0, 1): splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    s.state = (s.state + _GOLDEN) & MASK
    z: cython.ulonglong = s.state
    z = ((z ^ (z >> 30)) * _MIX_1) & MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & MASK
    z ^= z >> 31
    top: cython.double = z >> 11
    return top / 9007199254740992.0


@cython.cfunc
@cython.exceptval(check=False)
def keep(s: Queue, k: cython.longlong, score: cython.double) -> cython.void:
    """Note the state of a plan that is tried, before the ``k`` times ``stride``-th job of its order: the
    steps one after the other, without those that have become part of a run."""
    own: cython.longlong = 1 - s.side[k]
    resources: cython.longlong = s.resources
    times, free = s.kept_times[own, k], s.kept_free[own, k]
    s.meeting += 1
    size: cython.longlong = 0
    step: cython.longlong = 0
    while step >= 0:
        s.place[step], s.met[step] = size, s.meeting
        times[size] = s.own_times[step]
        for r in range(resources):
            free[size * resources + r] = s.own_free[step * resources + r]
        size += 1
        step = s.after[step]
    s.sizes[own, k], s.scores[own, k] = size, score
    for m in range(s.since.shape[0]):
        step = s.since[m]
        while s.met[step] != s.meeting:
            step = s.after[step]
        s.kept_since[own, k, m] = s.place[step]


@cython.cfunc
@cython.exceptval(check=False)
def restore(s: Queue, k: cython.longlong) -> cython.double:
    """Go back to a state of the order accepted last; its score."""
    own: cython.longlong = s.side[k]
    size: cython.longlong = s.sizes[own, k]
    s.size = size
    for m in range(size):
        s.own_times[m] = s.kept_times[own, k, m]
        s.after[m] = m + 1
    s.after[size - 1] = -1
    for m in range(size * s.resources):
        s.own_free[m] = s.kept_free[own, k, m]
    for m in range(s.since.shape[0]):
        s.since[m] = s.kept_since[own, k, m]
    return s.scores[own, k]


@cython.cfunc
@cython.exceptval(check=False)
def accept(s: Queue, since: cython.longlong) -> cython.void:
    """The plan just made from state ``since`` on is the one that others go on from."""
    last: cython.longlong = (s.starts.shape[0] - 1) // s.stride
    for k in range(since + 1, last + 1):
        s.side[k] = 1 - s.side[k]
    s.reached = last


@cython.cfunc
def plan(
    s: Queue, order: cython.longlong[::1], since: cython.longlong, limit: cython.double
) -> cython.double:
    """Give the jobs of ``order``, one by one, the earliest stay left: ``starts`` by job. Those before the
    ``since`` times ``stride``-th are those of the order accepted last.

    The score is the sum of weight x (start - submission)^alpha; infinite as soon as it is above ``limit``,
    or if a job needs more than there ever is.
    """
    times, free, needs, after = s.own_times, s.own_free, s.needs, s.after
    lasts, starts = s.lasts, s.starts
    looked, learnt, ends, known = s.looked, s.learnt, s.ends, s.since
    resources: cython.longlong = s.resources
    size: cython.longlong
    score: cython.double = 0.0
    least: cython.longlong = s.least
    stride: cython.longlong = s.stride
    next_kept: cython.longlong = (since + 1) * stride
    if since > 0:
        score = restore(s, since)
        size = s.size
    else:
        size = s.times.shape[0]
        for m in range(size):
            times[m] = s.times[m]
            after[m] = m + 1
        after[size - 1] = -1
        for m in range(size * resources):
            free[m] = s.free[m]
        for m in range(known.shape[0]):
            known[m] = 0
    for position in range(since * stride, order.shape[0]):
        if position == next_kept:
            score = weighed(s, order, position - stride, position, score, limit)
            if score == INFINITY:
                return INFINITY
            s.size = size
            keep(s, position // stride, score)
            next_kept += stride
        q = order[position]
        last: cython.double = lasts[q]
        mine: cython.longlong = q * resources
        nodes: cython.longlong = needs[mine]
        first: cython.longlong = known[looked[q]]
        short: cython.longlong = -1  # the first start refused for want of anything but nodes
        k: cython.longlong = first
        before: cython.longlong = first
        end: cython.double = times[first] + last
        while k >= 0 and times[k] < end:
            fits: cython.bint = True
            if free[k * resources] < nodes:
                fits = False
            else:
                for r in range(1, resources):
                    if free[k * resources + r] < needs[mine + r]:
                        fits = False
                        if short < 0:
                            short = first
                        break
            before = k
            if fits:
                k = after[k]
            else:
                if free[k * resources] < least:
                    # a run of full steps is as good as one
                    while after[k] >= 0 and free[after[k] * resources] < least:
                        after[k] = after[after[k]]
                k = after[k]
                first = k
                if first < 0:
                    return INFINITY
                end = times[first] + last
        starts[q] = times[first]
        none: cython.longlong = first if short < 0 else short
        late: cython.double = times[none]
        rank: cython.longlong = learnt[q]
        while rank < ends[q] and times[known[rank]] < late:
            known[rank] = none
            rank += 1
        if last <= 0.0:
            continue
        if k < 0 or times[k] != end:
            times[size] = end
            after[size] = k
            after[before] = size
            for r in range(resources):
                free[size * resources + r] = free[before * resources + r]
            k = size
            size += 1
        while first != k:
            for r in range(resources):
                free[first * resources + r] -= needs[mine + r]
            first = after[first]
    return weighed(s, order, next_kept - stride, order.shape[0], score, limit)


@cython.cfunc
@cython.exceptval(check=False)
def weighed(
    s: Queue,
    order: cython.longlong[::1],
    since: cython.longlong,
    until: cython.longlong,
    score: cython.double,
    limit: cython.double,
) -> cython.double:
    """``score`` with the jobs from place ``since`` on, before ``until``; infinite if that is above ``limit``.

    Powers take half as long one after the other as they do between searches.
    """
    starts, submissions, weights = s.starts, s.submissions, s.weights
    alpha: cython.double = s.alpha
    for position in range(since, until):
        q = order[position]
        waited: cython.double = starts[q] - submissions[q]
        if waited > 0.0:
            score += weights[q] * (waited * waited if alpha == 2.0 else waited**alpha)
    return INFINITY if score > limit else score
