"""The timeline's searches, compiled: the same results as ``timeline``'s, on arrays.

``times`` float64[s] are the steps' beginnings, of which ``size`` are in use; ``free`` uint64[s, w] the free
nodes of each (bit k of word k // 64 is node k) or int64[s, m] the free bytes of each storage.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

F: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
U: TypeAlias = NDArray[np.uint64]

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
def just_after(time: float) -> float:
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
def earliest_nodes(
    times: F, free: U, size: int, count: int, duration: float, after: float, closed: bool, found: U
) -> float:
    """As Timeline.earliest_nodes: the start, with the free nodes in ``found``; NaN if there is none."""
    words = free.shape[1]
    i = _step_at(times, size, after)
    t = after
    while True:
        end = t + duration
        if closed:
            end = just_after(end)
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
def keep_first(found: U, count: int) -> None:
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
def least_room(times: F, free: Ints, size: int, start: float, end: float, room: Ints) -> None:
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
def cut_nodes(times: F, free: U, size: int, time: float) -> tuple[int, int]:
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
def cut_bytes(times: F, free: Ints, size: int, time: float) -> tuple[int, int]:
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
