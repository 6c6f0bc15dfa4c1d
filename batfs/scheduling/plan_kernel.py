"""The inner loop of plan-based scheduling, compiled: the same results as ``kopanski.annealing``, only faster.

A queue of 40 jobs is planned 180 times a pass, each job searched over some hundred steps of the timeline.
The timeline comes as arrays: ``node_times`` float64[s] and ``node_free`` uint64[s, w] (bit k of word k // 64
is node k), ``byte_times`` float64[b] and ``byte_free`` int64[b, m]; both with room for the steps a plan adds.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from batfs.scheduling.timeline import TimelineArrays

F: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
U: TypeAlias = NDArray[np.uint64]
Queue: TypeAlias = tuple[Ints, F, Ints, F]
"""Nodes, walltime, bytes per node and submission time of each waiting job."""
Machine: TypeAlias = tuple[int, Ints, bool]
Work: TypeAlias = tuple[F, U, F, Ints, F]

ROUNDS = 30
TRIALS = 6
COOLING = 0.9

_M1 = np.uint64(0x5555555555555555)
_M2 = np.uint64(0x3333333333333333)
_M4 = np.uint64(0x0F0F0F0F0F0F0F0F)
_H = np.uint64(0x0101010101010101)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


@njit(cache=True, inline="always")
def _ones(word: np.uint64) -> int:
    word = word - ((word >> np.uint64(1)) & _M1)
    word = (word & _M2) + ((word >> np.uint64(2)) & _M2)
    word = (word + (word >> np.uint64(4))) & _M4
    return int(np.int64((word * _H) >> np.uint64(56)))


@njit(cache=True)
def _count(words: U) -> int:
    total = 0
    for word in words:
        total += _ones(word)
    return total


@njit(cache=True)
def _just_after(time: float) -> float:
    epsilon = 1e-11
    while time + epsilon == time:
        epsilon *= 10
    return time + epsilon


@njit(cache=True)
def _step_at(times: F, size: int, time: float) -> int:
    """The position of the last step that begins at ``time`` or before."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low - 1


@njit(cache=True)
def _earliest_nodes(
    times: F, free: U, size: int, count: int, duration: float, after: float, closed: bool, found: U
) -> float:
    """As Timeline.earliest_nodes: the start, with the free nodes in ``found``; NaN if there is none."""
    words = free.shape[1]
    i = _step_at(times, size, after)
    t = after
    while True:
        end = t + duration
        if closed:
            end = _just_after(end)
        for w in range(words):
            found[w] = free[i, w]
        enough = _count(found) >= count
        k = i + 1
        while enough and k < size and times[k] < end:
            changed = False
            for w in range(words):
                both = found[w] & free[k, w]
                if both != found[w]:
                    found[w] = both
                    changed = True
            if changed:
                enough = _count(found) >= count
            k += 1
        if enough:
            return t
        i += 1
        while i < size:
            gains = False
            for w in range(words):
                if free[i, w] & ~free[i - 1, w] != _ZERO:
                    gains = True
            if gains:
                break
            i += 1
        if i == size:
            return np.nan
        t = times[i]


@njit(cache=True)
def _keep_first(found: U, count: int) -> None:
    """Drop all but the ``count`` lowest bits."""
    for w in range(found.shape[0]):
        here = _ones(found[w])
        if here <= count:
            count -= here
            continue
        surplus = here - count
        count = 0
        word = found[w]
        if surplus <= here - surplus:
            for bit in range(63, -1, -1):
                if surplus == 0:
                    break
                mask = _ONE << np.uint64(bit)
                if word & mask != _ZERO:
                    word ^= mask
                    surplus -= 1
        else:
            keep = here - surplus
            kept = _ZERO
            while keep > 0:
                low = word & (~word + _ONE)
                kept |= low
                word ^= low
                keep -= 1
            word = kept
        found[w] = word


@njit(cache=True)
def _room(times: F, free: Ints, size: int, start: float, end: float, room: Ints) -> None:
    """The least free bytes of each storage over [start, end) into ``room``."""
    i = _step_at(times, size, start)
    for s in range(room.shape[0]):
        room[s] = free[i, s]
    k = i + 1
    while k < size and times[k] < end:
        for s in range(room.shape[0]):
            if free[k, s] < room[s]:
                room[s] = free[k, s]
        k += 1


@njit(cache=True)
def _place(
    found: U, share: int, per_chassis: int, preferences: Ints, room: Ints, taken: Ints, buffers: Ints
) -> bool:
    """As Layout.buffers_of: bytes of each storage into ``taken``; the buffer of the k-th node into
    ``buffers[k]`` if it has room for it. False if a node finds none."""
    taken[:] = 0
    node = 0
    record = buffers.shape[0] > 0
    for chassis in range(preferences.shape[0]):
        count = 0
        first = chassis * per_chassis
        for k in range(first, first + per_chassis):
            if found[k >> 6] & (_ONE << np.uint64(k & 63)) != _ZERO:
                count += 1
        if count == 0:
            continue
        for p in range(preferences.shape[1]):
            s = preferences[chassis, p]
            while count > 0 and room[s] >= share:
                room[s] -= share
                taken[s] += share
                count -= 1
                if record:
                    buffers[node] = s
                node += 1
            if count == 0:
                break
        if count > 0:
            return False
    return True


@njit(cache=True)
def _cut_nodes(times: F, free: U, size: int, time: float) -> tuple[int, int]:
    i = _step_at(times, size, time)
    if times[i] == time:
        return i, size
    for k in range(size, i + 1, -1):
        times[k] = times[k - 1]
        for w in range(free.shape[1]):
            free[k, w] = free[k - 1, w]
    times[i + 1] = time
    for w in range(free.shape[1]):
        free[i + 1, w] = free[i, w]
    return i + 1, size + 1


@njit(cache=True)
def _cut_bytes(times: F, free: Ints, size: int, time: float) -> tuple[int, int]:
    i = _step_at(times, size, time)
    if times[i] == time:
        return i, size
    for k in range(size, i + 1, -1):
        times[k] = times[k - 1]
        for s in range(free.shape[1]):
            free[k, s] = free[k - 1, s]
    times[i + 1] = time
    for s in range(free.shape[1]):
        free[i + 1, s] = free[i, s]
    return i + 1, size + 1


@njit(cache=True)
def make_plan(
    order: Ints,
    counts: Ints,
    walltimes: F,
    shares: Ints,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    nodes: U,
    buffers: Ints,
) -> bool:
    """As annealing.make_plan: the start of each job of ``order`` into ``starts`` (by job, not by place).

    ``machine``: (nodes per chassis, preferences int64[c, m], closed). ``timeline``: the four arrays, exact
    size. ``work``: the same four with room for two more steps a job, and float64 room for the bases.
    ``nodes`` uint64[q, w] and ``buffers`` int64[q, n] take where each job goes unless their length is 0.
    """
    per_chassis, preferences, closed = machine
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
    unrecorded = np.empty(0, np.int64)
    for q in order:
        count, walltime, share = counts[q], walltimes[q], shares[q]
        tried = -np.inf
        placed = False
        for b in range(nbases):
            if after[b] <= tried:
                continue
            tried = _earliest_nodes(ntimes, nfree, nsize, count, walltime, after[b], closed, found)
            if math.isnan(tried):
                return False
            _keep_first(found, count)
            _room(btimes, bfree, bsize, tried, tried + walltime, room)
            row = buffers[q] if buffers.shape[0] > 0 else unrecorded
            if _place(found, share, per_chassis, preferences, room, taken, row):
                placed = True
                break
        if not placed:
            return False
        starts[q] = tried
        end = tried + walltime
        node_end = _just_after(end) if closed else end
        if nodes.shape[0] > 0:
            nodes[q] = found
        i, nsize = _cut_nodes(ntimes, nfree, nsize, tried)
        j, nsize = _cut_nodes(ntimes, nfree, nsize, node_end)
        for k in range(i, j):
            for w in range(found.shape[0]):
                nfree[k, w] &= ~found[w]
        i, bsize = _cut_bytes(btimes, bfree, bsize, tried)
        j, bsize = _cut_bytes(btimes, bfree, bsize, end)
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
    queue: Queue,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    alpha: float,
) -> float:
    counts, walltimes, shares, submissions = queue
    no_nodes = np.empty((0, 0), np.uint64)
    no_buffers = np.empty((0, 0), np.int64)
    if not make_plan(
        order, counts, walltimes, shares, machine, timeline, bases, work, starts, no_nodes, no_buffers
    ):
        return np.inf
    total = 0.0
    for q in order:
        total += (starts[q] - submissions[q]) ** alpha
    return float(np.rint(total))


@njit(cache=True)
def best_of(
    orders: Ints,
    queue: Queue,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    alpha: float,
) -> tuple[int, float, float]:
    """The position of the first of the best ``orders`` int64[k, q], its score, and the worst score."""
    best, best_score, worst = 0, np.inf, -np.inf
    for k in range(orders.shape[0]):
        new = _score(orders[k], queue, machine, timeline, bases, work, starts, alpha)
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
    queue: Queue,
    machine: Machine,
    timeline: TimelineArrays,
    bases: F,
    work: Work,
    starts: F,
    alpha: float,
) -> tuple[Ints, int]:
    """As annealing.anneal: (best order, 32-bit words used); -1 words if ``words`` were too few."""
    first, best_score, worst = best_of(orders, queue, machine, timeline, bases, work, starts, alpha)
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
            new = _score(order, queue, machine, timeline, bases, work, starts, alpha)
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
