# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True, cpow=True
# cython: initializedcheck=False
"""Planning on amounts: how many nodes and bytes are free over time, not which. Compiled by Cython.

Amounts are enough where any nodes will do and bytes may be split over storages. Stays that never ask for more
than there is can then always be laid out so that no job moves: give each, in the order of their starts, any
nodes and bytes that are free (intervals are coloured greedily with as many colours as the most that overlap;
a colour is a node, or a byte). So a plan can't go wrong for want of *the right* nodes or a hole large enough,
and to find the earliest stay is one walk over the steps.

``times`` float64[s] are the beginnings of the steps of which ``size`` are in use, ``free`` int64[s, r] the
free amount of each resource in each step. The first step begins at the time of the pass, the last never ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

INFINITY = cython.declare(cython.double, float("inf"))
MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_GOLDEN = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_MIX_1 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
_MIX_2 = cython.declare(cython.ulonglong, 0x94D049BB133111EB)

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Queue:
    """Of each waiting job: ``needs`` int64[q, r] amounts, ``lasts`` float64[q] seconds it stays,
    ``submissions`` float64[q], ``weights`` float64[q]; and the timeline that a plan is made on."""

    needs: cython.longlong[:, ::1]
    lasts: cython.double[::1]
    submissions: cython.double[::1]
    weights: cython.double[::1]
    alpha: cython.double
    times: cython.double[::1]
    free: cython.longlong[:, ::1]
    # the timeline while a plan is made, with room for two more steps a job
    own_times: cython.double[::1]
    own_free: cython.longlong[:, ::1]
    starts: cython.double[::1]
    size: cython.longlong
    state: cython.ulonglong

    def __init__(self, jobs: tuple[Any, Any, Any, Any], alpha: float, times: Any, free: Any) -> None:
        """``jobs``: needs, lasts, submissions, weights."""
        self.needs, self.lasts, self.submissions, self.weights = jobs
        self.alpha = alpha
        self.times, self.free = times, free
        length = len(jobs[1])
        self.own_times = np.empty(len(times) + 2 * length)
        self.own_free = np.empty((len(times) + 2 * length, free.shape[1]), np.int64)
        self.starts = np.empty(length)

    def search(self, orders: Any, fixed: int, trials: int, seed: int, cold: float) -> tuple[Any, Any]:
        """The best order found int64[q], and its starts float64[q], from ``orders`` int64[k, q] by simulated
        annealing of ``trials`` steps. A step swaps two jobs or moves one elsewhere; the first ``fixed``
        places stay as they are.

        The temperature falls geometrically from the distance of the best of ``orders`` to the worst of them
        to ``cold`` times that. What a step may cost is drawn before it is scored, so that scoring ends early.
        """
        length: cython.longlong = orders.shape[1]
        best = orders[0].copy()
        best_starts = np.empty(length)
        best_score: cython.double = INFINITY
        worst: cython.double = 0.0
        new: cython.double
        for k in range(len(orders)):
            new = plan(self, orders[k], INFINITY)
            if new < best_score:
                best_score = new
                best[:] = orders[k]
                best_starts[:] = self.starts
            if new < INFINITY:
                worst = max(worst, new)
        count: cython.longlong = length - fixed
        if count < 2 or best_score == 0.0:
            return best, best_starts
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
        for _step in range(trials):
            i = first + whole(drawn(self) * count)
            j = first + whole(drawn(self) * (count - 1))
            if j >= i:
                j += 1
            for place in range(length):
                trial[place] = order[place]
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
            new = plan(self, trial, last - temperature * math.log(1.0 - drawn(self)))
            if new < INFINITY:
                for place in range(length):
                    order[place] = trial[place]
                last = new
                if new < best_score:
                    best_score = new
                    best[:] = tried
                    best_starts[:] = self.starts
            temperature *= cooling
        return best, best_starts


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def whole(value: cython.double) -> cython.longlong:
    """Without its fraction."""
    if cython.compiled:
        return cython.cast(cython.longlong, value)
    return int(value)


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
def cut(s: Queue, after: cython.longlong, time: cython.double) -> cython.longlong:
    """The position of the step that begins at ``time`` (made if there is none), at ``after`` or behind it."""
    times, free = s.own_times, s.own_free
    k: cython.longlong = after
    while k < s.size and times[k] < time:
        k += 1
    if k < s.size and times[k] == time:
        return k
    m: cython.longlong = s.size
    while m > k:
        times[m] = times[m - 1]
        for r in range(free.shape[1]):
            free[m, r] = free[m - 1, r]
        m -= 1
    times[k] = time
    for r in range(free.shape[1]):
        free[k, r] = free[k - 1, r]
    s.size += 1
    return k


@cython.cfunc
def plan(s: Queue, order: cython.longlong[::1], limit: cython.double) -> cython.double:
    """Give the jobs of ``order``, one by one, the earliest stay left: ``starts`` by job.

    The score is the sum of weight x (start - submission)^alpha; infinite as soon as it is above ``limit``,
    or if a job needs more than there ever is.
    """
    times, free, needs = s.own_times, s.own_free, s.needs
    s.size = s.times.shape[0]
    for m in range(s.size):
        times[m] = s.times[m]
        for r in range(free.shape[1]):
            free[m, r] = s.free[m, r]
    alpha: cython.double = s.alpha
    score: cython.double = 0.0
    for position in range(order.shape[0]):
        q = order[position]
        last = s.lasts[q]
        first: cython.longlong = 0
        k: cython.longlong = 0
        while k < s.size and times[k] < times[first] + last:
            fits: cython.bint = True
            for r in range(free.shape[1]):
                if free[k, r] < needs[q, r]:
                    fits = False
                    break
            k += 1
            if not fits:
                first = k
                if first == s.size:
                    return INFINITY
        start = times[first]
        s.starts[q] = start
        waited = start - s.submissions[q]
        if waited > 0.0:
            # a power takes most of the time of a plan
            score += s.weights[q] * (waited * waited if alpha == 2.0 else waited**alpha)
            if score > limit:
                return INFINITY
        end = cut(s, first, start + last)
        for k in range(first, end):
            for r in range(free.shape[1]):
                free[k, r] -= needs[q, r]
    return score
