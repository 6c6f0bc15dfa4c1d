"""Planning on amounts: how many nodes and bytes are free over time, not which; compiled.

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
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

F: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Jobs: TypeAlias = tuple[Ints, F, F, F]
"""Of each waiting job: amounts needed int64[q, r], seconds it stays, submission time, weight."""

_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@njit(cache=True)
def _random(state: NDArray[np.uint64]) -> float:
    """Uniform in [0, 1): splitmix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    state[0] += _GOLDEN
    z = state[0]
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    z ^= z >> _SHIFT_31
    return float(np.int64(z >> _SHIFT_11)) / 9007199254740992.0


@njit(cache=True)
def _cut(times: F, free: Ints, size: int, after: int, time: float) -> tuple[int, int]:
    """The position of the step that begins at ``time`` (made if there is none), at ``after`` or behind it,
    and the number of steps."""
    k = after
    while k < size and times[k] < time:
        k += 1
    if k < size and times[k] == time:
        return k, size
    for m in range(size, k, -1):
        times[m] = times[m - 1]
        for r in range(free.shape[1]):
            free[m, r] = free[m - 1, r]
    times[k] = time
    for r in range(free.shape[1]):
        free[k, r] = free[k - 1, r]
    return k, size + 1


@njit(cache=True)
def plan(
    order: Ints, jobs: Jobs, alpha: float, times: F, free: Ints, size: int, starts: F, limit: float
) -> float:
    """Give the jobs of ``order``, one by one, the earliest stay left: ``starts`` by job. ``times`` and
    ``free`` need room for two more steps a job, and are changed.

    The score is the sum of weight x (start - submission)^alpha; infinite as soon as it is above ``limit``,
    or if a job needs more than there ever is.
    """
    needs, lasts, submissions, weights = jobs
    score = 0.0
    for q in order:
        last = lasts[q]
        first = 0
        k = 0
        while k < size and times[k] < times[first] + last:
            fits = True
            for r in range(free.shape[1]):
                if free[k, r] < needs[q, r]:
                    fits = False
                    break
            k += 1
            if not fits:
                first = k
                if first == size:
                    return np.inf
        start = times[first]
        starts[q] = start
        waited = start - submissions[q]
        if waited > 0.0:
            # a power takes most of the time of a plan
            term = waited * waited if alpha == 2.0 else waited**alpha
            score += weights[q] * term
            if score > limit:
                return np.inf
        end, size = _cut(times, free, size, first, start + last)
        for k in range(first, end):
            for r in range(free.shape[1]):
                free[k, r] -= needs[q, r]
    return score


@njit(cache=True)
def search(
    orders: Ints,
    fixed: int,
    trials: int,
    seed: int,
    jobs: Jobs,
    alpha: float,
    times: F,
    free: Ints,
    cold: float,
) -> tuple[Ints, F]:
    """The best order found, and its starts, from ``orders`` int64[k, q] by simulated annealing of ``trials``
    steps. A step swaps two jobs or moves one elsewhere; the first ``fixed`` places stay as they are.

    The temperature falls geometrically from the distance of the best of ``orders`` to the worst of them to
    ``cold`` times that. What a step may cost is drawn before it is scored, so that scoring ends early.
    """
    size, length = times.shape[0], orders.shape[1]
    own_times = np.empty(size + 2 * length)
    own_free = np.empty((size + 2 * length, free.shape[1]), np.int64)
    starts, best_starts = np.empty(length), np.empty(length)
    best = orders[0].copy()
    best_score, worst = np.inf, 0.0
    for k in range(orders.shape[0]):
        own_times[:size] = times
        own_free[:size] = free
        new = plan(orders[k], jobs, alpha, own_times, own_free, size, starts, np.inf)
        if new < best_score:
            best_score = new
            best[:] = orders[k]
            best_starts[:] = starts
        if new < np.inf:
            worst = max(worst, new)
    count = length - fixed
    if count < 2 or best_score == 0.0:
        return best, best_starts
    state = np.array([seed], np.uint64)
    order, tried = best.copy(), best.copy()
    last = best_score
    temperature = max(worst - best_score, 1e-3 * best_score)
    cooling = cold ** (1.0 / max(1, trials))
    for _ in range(trials):
        i = fixed + int(_random(state) * count)
        j = fixed + int(_random(state) * (count - 1))
        if j >= i:
            j += 1
        tried[:] = order
        if _random(state) < 0.5:
            tried[i], tried[j] = order[j], order[i]
        elif i < j:
            tried[i:j] = order[i + 1 : j + 1]
            tried[j] = order[i]
        else:
            tried[j + 1 : i + 1] = order[j:i]
            tried[j] = order[i]
        limit = last - temperature * math.log(1.0 - _random(state))
        own_times[:size] = times
        own_free[:size] = free
        new = plan(tried, jobs, alpha, own_times, own_free, size, starts, limit)
        if new < np.inf:
            order[:] = tried
            last = new
            if new < best_score:
                best_score = new
                best[:] = tried
                best_starts[:] = starts
        temperature *= cooling
    return best, best_starts
