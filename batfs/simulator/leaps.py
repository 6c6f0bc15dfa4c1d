"""Many rounds of the solver at once: SimGrid's fair bottleneck where it settles by tiny steps.

A FATPIPE resource shrinks by the *smallest* increment of its flows only, and a settled flow's last increment
counts for ever (BATSIM.md A5). So a fast flow beside a slow settled one is given the whole pipe again and
again, while the pipe shrinks by a few bytes a round: 25 million rounds for a message beside a task that sends
itself 400 B/s. SimGrid makes them all; here they are summed.

What is summed: as long as no flow settles and every minimum stays where it is, each living flow rises by
the share of one FATPIPE (its *driver*), which falls by the same amount every round. So in round i (from 0)
the flow's increment is ``pace - i * slope``, and a resource loses ``fall - i * bend``: sums of n rounds are
closed forms. A leap is as long as that is sure to hold, and as the driver's decrement is the same float (so
within one power of two): drivers come out exact, other sums differ from SimGrid's in rounding only.

Like ``kernels``, whose part it is, this is plain Python that numba compiles.
"""

from __future__ import annotations

from typing import Any

LEAST_LEAP = 64  # rounds; shorter leaps aren't worth looking for
INFINITY = float("inf")
NOT_EMPTY = 2e-5  # units/s; twice what SimGrid takes for nothing left (precision/work-amount)


def leap(state: Any, active: int, resources: int, most: int) -> int:
    """Make up to ``most`` rounds at once for ``component[:active]`` and ``listed[:resources]``.

    Returns how many; 0 when the next rounds are not of that kind.
    """
    if not paces(state, active, resources) or not falls(state, active, resources):
        return 0
    rounds = most
    for i in range(resources):
        r = state.listed[i]
        if state.living[r] > 0 and state.drives[r] != 0 and state.fall[r] > 0.0:
            left = state.left[r]
            power = 1.0
            while power * 2.0 <= left:
                power *= 2.0
            while power > left:
                power *= 0.5
            steps = (left - power) / state.fall[r] - 1.0
            if steps < rounds:
                rounds = int(steps)
    while rounds >= LEAST_LEAP:
        if holds(state, active, resources, rounds):
            jump(state, active, resources, rounds)
            return rounds
        rounds //= 2
    return 0


def paces(state: Any, active: int, resources: int) -> bool:
    """The next increment of each living flow, and its driver; False where that isn't a FATPIPE resource."""
    for i in range(resources):
        r = state.listed[i]
        state.drives[r] = 0
        if state.living[r] > 0:
            state.share[r] = state.left[r] if state.fatpipe[r] != 0 else state.left[r] / state.living[r]
    for i in range(active):
        slot = state.component[i]
        if state.alive[slot] == 0:
            continue
        pace = state.bound[slot] - state.rate[slot] if state.bound[slot] > 0.0 else INFINITY
        driver = -1
        row = state.shared[slot]
        while row >= 0:
            reach = state.share[state.resource[row]] / state.weight[row]
            if reach < pace:
                pace = reach
                driver = row
            row = state.after[row]
        for g in range(state.first[slot], state.first[slot] + state.groups[slot]):
            if state.group_private[g] > 0 and state.group_left[g] / state.group_weight[g] <= pace:
                return False
        if driver < 0 or state.fatpipe[state.resource[driver]] == 0:
            return False
        state.drives[state.resource[driver]] = 1
        state.pace[slot] = pace
        state.driver[slot] = driver
    return True


def falls(state: Any, active: int, resources: int) -> bool:
    """What each resource loses in the next round, and how that changes; False where a driver's loss does."""
    for i in range(resources):
        r = state.listed[i]
        if state.living[r] > 0 and state.drives[r] != 0:
            # a settled flow takes the least of it, and does so in every round
            least = state.left[r]
            settled = 0
            row = state.top[r]
            while row >= 0:
                slot = state.owner[row]
                taken = state.weight[row] * (
                    state.pace[slot] if state.alive[slot] != 0 else state.increment[slot]
                )
                if taken < least:
                    least = taken
                    settled = 1 - state.alive[slot]
                row = state.below[row]
            if settled == 0:
                return False
            once = state.left[r] - least
            twice = once - least
            if state.left[r] - once != once - twice:
                return False  # rounded up and down by turns
            state.fall[r] = state.left[r] - once
            state.bend[r] = 0.0
    for i in range(active):
        slot = state.component[i]
        if state.alive[slot] != 0:
            driver = state.driver[slot]
            state.slope[slot] = state.fall[state.resource[driver]] / state.weight[driver]
    for i in range(resources):
        r = state.listed[i]
        if state.living[r] > 0 and state.drives[r] == 0:
            fall = 0.0
            bend = 0.0
            if state.fatpipe[r] != 0:
                fall = state.left[r]
            row = state.top[r]
            while row >= 0:
                slot = state.owner[row]
                weight = state.weight[row]
                taken = weight * state.increment[slot]
                change = 0.0
                if state.alive[slot] != 0:
                    taken = weight * state.pace[slot]
                    change = weight * state.slope[slot]
                if state.fatpipe[r] == 0:
                    fall += taken
                    bend += change
                elif taken < fall:
                    fall = taken
                    bend = change
                row = state.below[row]
            state.fall[r] = fall
            state.bend[r] = bend
    return True


def settled_least(state: Any, r: int) -> float:
    """The least that settled flows take of a resource in a round."""
    least = INFINITY
    row = state.top[r]
    while row >= 0:
        slot = state.owner[row]
        if state.alive[slot] == 0:
            taken = state.weight[row] * state.increment[slot]
            if taken < least:
                least = taken
        row = state.below[row]
    return least


def above(start: float, first: float, second: float, last: float) -> bool:
    """Whether start + first * i + second * i * i is at least 0 for all i from 0 to ``last``."""
    if start < 0.0 or start + (first + second * last) * last < 0.0:
        return False
    if second > 0.0 and first < 0.0:
        lowest = -first / (2.0 * second)
        if lowest < last:
            return start + (first + second * lowest) * lowest >= 0.0
    return True


def holds(state: Any, active: int, resources: int, rounds: int) -> bool:
    """Whether so many rounds are all alike: nothing settles, and each minimum stays where it is."""
    n = float(rounds)
    last = n - 1.0
    pairs = 0.5 * n * last
    for i in range(resources):
        r = state.listed[i]
        if state.living[r] <= 0:
            continue
        fall, bend = state.fall[r], state.bend[r]
        least = fall - last * bend
        if least < 0.0 or state.left[r] - n * fall + pairs * bend < NOT_EMPTY:
            return False
        if state.fatpipe[r] != 0:
            if state.drives[r] != 0:
                # what a settled flow takes: `fall` is that as it is rounded
                least = settled_least(state, r)
            row = state.top[r]
            while row >= 0:
                slot = state.owner[row]
                taken = state.weight[row] * state.increment[slot]
                if state.alive[slot] != 0:
                    taken = state.weight[row] * (state.pace[slot] - last * state.slope[slot])
                if taken < least:
                    return False
                row = state.below[row]
    for i in range(active):
        slot = state.component[i]
        if state.alive[slot] == 0:
            continue
        pace, slope = state.pace[slot], state.slope[slot]
        if (
            state.bound[slot] > 0.0
            and state.rate[slot] + (n + 1.0) * pace - pairs * slope >= state.bound[slot]
        ):
            return False
        row = state.shared[slot]
        while row >= 0:
            r = state.resource[row]
            # the resource's share less the flow's increment, in units of the flow
            unit = 1.0 / state.weight[row]
            if state.fatpipe[r] == 0:
                unit /= state.living[r]
            start = state.share[r] / state.weight[row] - pace
            first = slope - unit * (state.fall[r] + 0.5 * state.bend[r])
            if row != state.driver[slot] and not above(start, first, 0.5 * unit * state.bend[r], last):
                return False
            row = state.after[row]
        for g in range(state.first[slot], state.first[slot] + state.groups[slot]):
            if state.group_private[g] > 0:
                weight = state.group_weight[g]
                left = state.group_left[g]
                if left - weight * (n * pace - pairs * slope) < NOT_EMPTY:
                    return False
                if not above(left / weight - pace, 0.5 * slope - pace, 0.5 * slope, last):
                    return False
    return True


def jump(state: Any, active: int, resources: int, rounds: int) -> None:
    """Make so many rounds."""
    n = float(rounds)
    last = n - 1.0
    pairs = 0.5 * n * last
    for i in range(resources):
        r = state.listed[i]
        if state.living[r] > 0:
            state.left[r] = state.left[r] - n * state.fall[r] + pairs * state.bend[r]
    for i in range(active):
        slot = state.component[i]
        if state.alive[slot] == 0:
            continue
        pace, slope = state.pace[slot], state.slope[slot]
        risen = n * pace - pairs * slope
        state.rate[slot] += risen
        state.increment[slot] = pace - last * slope
        for g in range(state.first[slot], state.first[slot] + state.groups[slot]):
            if state.group_private[g] > 0:
                state.group_left[g] -= state.group_weight[g] * risen
