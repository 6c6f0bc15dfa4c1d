"""Arrivals, sizes and run times after Lublin and Feitelson.

U. Lublin, D. G. Feitelson, "The workload on parallel supercomputers: modeling the characteristics of
rigid jobs", Journal of Parallel and Distributed Computing 63(11), 2003. The parameters are those the authors
publish with the model for all jobs together (batch and interactive not told apart), for a machine of 2**7
nodes; for another machine the largest size is its own and the middle of the two stages keeps its distance
of 2.5 to it, on machines of fewer than 56 nodes half the way down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from batfs.workload.draws import Draws

# sizes: share of jobs on one node, of powers of two, and the two-stage uniform of log2(nodes)
SERIAL: Final = 0.244
POWER_OF_TWO: Final = 0.576
LOW: Final = 0.8
MIDDLE_BELOW_HIGH: Final = 2.5
FIRST_STAGE: Final = 0.86

# run times: ln(seconds) is one of two gammas (shape, scale); the share of the first falls with the size
SHORT: Final = (4.2, 0.94)
LONG: Final = (312.0, 0.03)
SHARE_SLOPE: Final = -0.0054
SHARE_AT_ZERO: Final = 0.78
LONGEST: Final = 12.0  # ln(seconds), about two days

# arrivals: ln(seconds between two jobs) is a gamma; the daily cycle is a gamma over half hours
BETWEEN: Final = (10.2303 * 1.0225, 0.4871)
LONGEST_BETWEEN: Final = 13.0
CYCLE: Final = (8.1737, 3.9631)
CYCLE_START: Final = 11  # the half hour where the cycle begins, before dawn

BUCKETS: Final = 48
BUCKET: Final = 1800.0  # seconds


def nodes(draws: Draws, most: int) -> int:
    """How many nodes a job asks for, from 1 to ``most``."""
    kind = draws.uniform()
    if kind <= SERIAL or most == 1:
        return 1
    high = math.log2(most)
    # the authors want the middle 1.5 to 3.5 below the top; on small machines that leaves too little below it
    middle = high - min(MIDDLE_BELOW_HIGH, max(0.0, high - LOW) / 2)
    exponent = draws.uniform(LOW, middle) if draws.chance(FIRST_STAGE) else draws.uniform(middle, high)
    if kind <= SERIAL + POWER_OF_TWO:
        exponent = math.floor(exponent + 0.5)
    size: int = math.floor(2.0**exponent + 0.5)
    return min(most, max(1, size))


def runtime(draws: Draws, size: int) -> float:
    """Seconds a job of ``size`` nodes runs."""
    share = min(1.0, max(0.0, SHARE_SLOPE * size + SHARE_AT_ZERO))
    while True:
        shape, scale = SHORT if draws.chance(share) else LONG
        logarithm = draws.gamma(shape, scale)
        if logarithm <= LONGEST:
            return math.exp(logarithm)


def between(draws: Draws) -> float:
    """Seconds from one arrival to the next, before the daily cycle stretches and squeezes them."""
    while True:
        logarithm = draws.gamma(*BETWEEN)
        if logarithm <= LONGEST_BETWEEN:
            return math.exp(logarithm)


def cycle_weights() -> tuple[float, ...]:
    """Arrival rate of each half hour of the day over the day's mean (index 0 begins at midnight).

    The density of the cycle's gamma at the middle of the half hour; the day it covers begins at CYCLE_START.
    """
    shape, scale = CYCLE
    density = [0.0] * BUCKETS
    for i in range(CYCLE_START, CYCLE_START + BUCKETS):
        density[(i - 1) % BUCKETS] = i ** (shape - 1) * math.exp(-i / scale)
    mean = math.fsum(density) / BUCKETS
    return tuple(value / mean for value in density)


@dataclass(slots=True)
class DailyCycle:
    """Turns evenly running time into time of day: an hour of arrivals lasts longer at night than at noon."""

    weights: tuple[float, ...]
    _bucket: int = 0
    _into: float = 0.0  # seconds into the bucket

    def advance(self, work: float) -> float:
        """Seconds of the day that ``work`` seconds at the mean rate take from where the clock stands."""
        passed = 0.0
        while True:
            weight = self.weights[self._bucket % BUCKETS]
            left = (BUCKET - self._into) * weight
            if work <= left:
                self._into += work / weight
                return passed + work / weight
            work -= left
            passed += BUCKET - self._into
            self._bucket += 1
            self._into = 0.0

    def work(self, seconds: float) -> float:
        """The reverse, from midnight: how much work at the mean rate ``seconds`` of the day hold."""
        days, rest = divmod(seconds, BUCKETS * BUCKET)
        whole, into = divmod(rest, BUCKET)
        buckets = math.fsum(self.weights[: int(whole)]) * BUCKET
        return days * math.fsum(self.weights) * BUCKET + buckets + self.weights[int(whole)] * into
