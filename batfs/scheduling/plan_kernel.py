"""The inner loop of plan-based scheduling, compiled: the same results as ``kopanski.annealing``, only faster.

A queue of 40 jobs is planned 180 times a pass, each job searched over some hundred steps of the timeline.
Jobs are known by their positions in the arrays of ``Jobs``; an order is an array of positions.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from batfs.scheduling.timeline import TimelineArrays
from batfs.scheduling.timeline_kernel import (
    cut_bytes,
    cut_nodes,
    earliest_nodes,
    just_after,
    keep_first,
    least_room,
)

F: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
U: TypeAlias = NDArray[np.uint64]
Jobs: TypeAlias = tuple[Ints, F, Ints, Ints]
"""Of each waiting job: nodes, walltime, bytes per node, bytes of each storage int64[q, m].

Bytes per node go to burst buffers near the nodes, bytes of each storage where they say: see Machine.
"""
Aims: TypeAlias = tuple[F, float]
"""Submission time of each job, and alpha."""
Machine: TypeAlias = tuple[int, Ints, bool, bool]
"""Nodes per chassis (0: jobs ask for bytes of each storage), the chassis' preferences int64[c, m], whether
the timeline is closed, whether a node's bytes may be split (see ``kopanski.layout``)."""
Work: TypeAlias = tuple[F, U, F, Ints, F]
"""Room for the timeline's arrays with two more steps a job, and for the times searched from."""

ROUNDS = 30
TRIALS = 6
COOLING = 0.9

_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@njit(cache=True)
def _place(
    found: U,
    count: int,
    share: int,
    per_chassis: int,
    preferences: Ints,
    split: bool,
    room: Ints,
    taken: Ints,
) -> bool:
    """As Layout.pieces_of: the bytes of each storage into ``taken``; False if there is no room."""
    taken[:] = 0
    left = count
    for chassis in range(preferences.shape[0]):
        if left == 0:
            break
        here = 0
        first = chassis * per_chassis
        for k in range(first, first + per_chassis):
            if found[k >> 6] & (_ONE << np.uint64(k & 63)) != _ZERO:
                here += 1
        if here == 0:
            continue
        for p in range(preferences.shape[1]):
            s = preferences[chassis, p]
            while here > 0 and room[s] >= share:
                room[s] -= share
                taken[s] += share
                here -= 1
                left -= 1
            if here == 0:
                break
        if here > 0:  # nor is there room in one piece for a node after this one
            return split and _spread(left, share, room, taken)
    return True


@njit(cache=True)
def _spread(count: int, share: int, room: Ints, taken: Ints) -> bool:
    """Split the shares of ``count`` nodes."""
    total = 0
    for s in range(room.shape[0]):
        total += room[s]
    if total < count * share:
        return False
    for _ in range(count):
        left = share
        while left > 0:
            s = int(np.argmax(room))
            size = min(left, room[s])
            room[s] -= size
            taken[s] += size
            left -= size
    return True


@njit(cache=True)
def _take(needed: Ints, room: Ints, taken: Ints) -> bool:
    """Take what is needed of each storage, or nothing."""
    for s in range(needed.shape[0]):
        if needed[s] > room[s]:
            return False
    taken[:] = needed
    return True


@njit(cache=True)
def make_plan(
    order: Ints,
    jobs: Jobs,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    nodes: U,
    held: Ints,
) -> bool:
    """As annealing.make_plan: the start of each job of ``order`` into ``starts`` (by job, not by place).

    ``nodes`` uint64[q, w] and ``held`` int64[q, m] take where each job goes unless their length is 0.
    """
    counts, walltimes, shares, needs = jobs
    per_chassis, preferences, closed, split = machine
    node_times, node_free, byte_times, byte_free = timeline
    ntimes, nfree, btimes, bfree, after = work
    nsize, bsize = node_times.shape[0], byte_times.shape[0]
    ntimes[:nsize] = node_times
    nfree[:nsize] = node_free
    btimes[:bsize] = byte_times
    bfree[:bsize] = byte_free
    nbases = bases.shape[0]
    after[:nbases] = bases
    found = np.empty(node_free.shape[1], np.uint64)
    room = np.empty(byte_free.shape[1], np.int64)
    taken = np.empty(byte_free.shape[1], np.int64)
    for q in order:
        count, walltime, share = counts[q], walltimes[q], shares[q]
        tried = -np.inf
        placed = False
        for b in range(nbases):
            if after[b] <= tried:
                continue
            tried = earliest_nodes(ntimes, nfree, nsize, count, walltime, after[b], closed, found)
            if math.isnan(tried):
                return False
            keep_first(found, count)
            least_room(btimes, bfree, bsize, tried, tried + walltime, room)
            if per_chassis == 0:
                placed = _take(needs[q], room, taken)
            else:
                placed = _place(found, count, share, per_chassis, preferences, split, room, taken)
            if placed:
                break
        if not placed:
            return False
        starts[q] = tried
        end = tried + walltime
        node_end = just_after(end) if closed else end
        if nodes.shape[0] > 0:
            nodes[q] = found
        if held.shape[0] > 0:
            held[q] = taken
        i, nsize = cut_nodes(ntimes, nfree, nsize, tried)
        j, nsize = cut_nodes(ntimes, nfree, nsize, node_end)
        for k in range(i, j):
            for w in range(found.shape[0]):
                nfree[k, w] &= ~found[w]
        i, bsize = cut_bytes(btimes, bfree, bsize, tried)
        j, bsize = cut_bytes(btimes, bfree, bsize, end)
        for k in range(i, j):
            for s in range(taken.shape[0]):
                bfree[k, s] -= taken[s]
        b = nbases
        while b > 0 and after[b - 1] > end:
            after[b] = after[b - 1]
            b -= 1
        after[b] = end
        nbases += 1
    return True


@njit(cache=True)
def _score(
    order: Ints,
    jobs: Jobs,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    aims: Aims,
) -> float:
    submissions, alpha = aims
    no_nodes = np.empty((0, 0), np.uint64)
    nothing_held = np.empty((0, 0), np.int64)
    if not make_plan(order, jobs, machine, timeline, bases, work, starts, no_nodes, nothing_held):
        return np.inf
    total = 0.0
    for q in order:
        total += (starts[q] - submissions[q]) ** alpha
    return float(np.rint(total))


@njit(cache=True)
def best_of(
    orders: Ints,
    jobs: Jobs,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    aims: Aims,
) -> tuple[int, float, float]:
    """The position of the first of the best ``orders`` int64[k, q], its score, and the worst score."""
    best, best_score, worst = 0, np.inf, -np.inf
    for k in range(orders.shape[0]):
        new = _score(orders[k], jobs, machine, timeline, bases, work, starts, aims)
        if new < best_score:
            best, best_score = k, new
        worst = max(worst, new)
    return best, best_score, worst


@njit(cache=True)
def _below(limit: int, words: NDArray[np.uint32], used: int) -> tuple[int, int]:
    """As random.Random.randrange(limit), from its 32-bit words."""
    bits = 0
    while (limit >> bits) > 0:
        bits += 1
    while True:
        value = int(np.int64(words[used]) >> (32 - bits))
        used += 1
        if value < limit:
            return value, used


@njit(cache=True)
def anneal(
    orders: Ints,
    words: NDArray[np.uint32],
    jobs: Jobs,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    aims: Aims,
) -> tuple[Ints, int]:
    """As annealing.anneal: (best order, 32-bit words used); -1 words if ``words`` were too few."""
    first, best_score, worst = best_of(orders, jobs, machine, timeline, bases, work, starts, aims)
    best = orders[first].copy()
    if best_score == worst:
        return best, 0
    order = best.copy()
    last = best_score
    temperature = worst - best_score
    size = order.shape[0]
    used = 0
    for _ in range(ROUNDS):
        for _ in range(TRIALS):
            if used + 130 > words.shape[0]:
                return best, -1
            i, used = _below(size, words, used)
            j, used = _below(size, words, used)
            order[i], order[j] = order[j], order[i]
            new = _score(order, jobs, machine, timeline, bases, work, starts, aims)
            if new < best_score:
                best[:] = order
                best_score = new
                last = new
                continue
            if new < last:
                last = new
                continue
            draw = (
                np.float64(words[used] >> np.uint32(5)) * 67108864.0
                + np.float64(words[used + 1] >> np.uint32(6))
            ) / 9007199254740992.0
            used += 2
            if draw < math.exp((last - new) / temperature):
                last = new
            else:
                order[i], order[j] = order[j], order[i]
        temperature = max(COOLING * temperature, 1.0)
    return best, used
