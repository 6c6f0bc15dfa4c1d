"""What a comparison can find: how many pairs it needs at least, and the difference that so many can see.

The test is the two-sided sign-flip test with Holm's adjustment over a family of m comparisons. With n pairs
its smallest p is 2 / 2**n, and the first to be found has to be below (1 - level) / m: with eleven figures
eight pairs can't find anything, whatever the effect. The difference that is found four times in five is
given in standard deviations of the paired differences, for normal ones, and for the first to be found of
the family.
"""

from __future__ import annotations

import math
import random
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL: Final = 0.95
#: So often is the difference found that a comparison is said to see.
POWER: Final = 0.8
# up to so many pairs the test tries every pattern of signs, and its power is found by trials
EXACT: Final = 16
_TRIED: Final = 14
_TRIALS: Final = 400


def pairs_needed(comparisons: int, level: float = LEVEL) -> int:
    """The fewest pairs with which one of so many comparisons can be established: 2 / 2**n times their
    number is below 1 - ``level``."""
    n = 1
    while max(1, comparisons) * 2.0 ** (1 - n) >= 1 - level:
        n += 1
    return n


def flips_needed(comparisons: int, level: float = LEVEL) -> int:
    """How many sign patterns a Monte Carlo test has to draw so that its smallest p, times the number of
    comparisons, is a twentieth of 1 - ``level``."""
    return max(9999, math.ceil(20 * comparisons / (1 - level)))


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t with so many degrees of freedom."""
    found: float = float(_special().stdtrit(freedom, share))
    return found


def _special() -> Any:
    from batfs.report.extras import require

    return require("scipy.special")


@lru_cache(maxsize=256)
def detectable(pairs: int, comparisons: int = 1, level: float = LEVEL) -> float:
    """The mean difference, in standard deviations of the differences, that ``pairs`` pairs find with a
    probability of ``POWER``; infinite where they find none."""
    comparisons = max(1, comparisons)
    if pairs < pairs_needed(comparisons, level):
        return math.inf
    alpha = (1 - level) / comparisons
    known = _by_student(pairs, alpha)
    # with many pairs the sign-flip test has the power of Student's t but for what it loses to its steps; 5
    # % more is on the safe side of both (docs/reference/statistics.md has the simulation)
    return _by_trials(pairs, alpha, level, known) if pairs <= _TRIED else 1.05 * known


def _by_student(pairs: int, alpha: float) -> float:
    low, high = 0.0, 50.0
    special = _special()
    critical = float(special.stdtrit(pairs - 1, 1 - alpha / 2))
    for _ in range(60):
        middle = 0.5 * (low + high)
        found = 1 - float(special.nctdtr(pairs - 1, middle * math.sqrt(pairs), critical))
        low, high = (middle, high) if found < POWER else (low, middle)
    return high


def _by_trials(pairs: int, alpha: float, level: float, near: float) -> float:
    """By the exact test on normal differences, the same ones for every mean that is tried; ``near``: where to
    begin."""
    # every pair takes the same evenly spread quantiles, in an order of its own
    rng = random.Random(pairs)
    quantiles = [NormalDist().inv_cdf((k + 0.5) / _TRIALS) for k in range(_TRIALS)]
    normal: FloatArray = np.array([sorted(quantiles, key=lambda value: rng.random()) for _ in range(pairs)])
    bits = (np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs)) & 1
    patterns = np.where(bits == 1, -1.0, 1.0)
    most = math.ceil(alpha * 2 ** (pairs - 1)) - 1  # of the patterns up to sign, so many may be as extreme
    half = student(1 - (1 - level) / 2, pairs - 1) / math.sqrt(pairs)
    low, high = 0.8 * near, 3.0 * near + 1.0
    for _ in range(9):
        middle = 0.5 * (low + high)
        found = _found(normal + middle, patterns, most, half)
        # two standard errors of the trials on the safe side
        low, high = (middle, high) if found < POWER + 2 * math.sqrt(0.16 / _TRIALS) else (low, middle)
    return high


def _found(data: FloatArray, patterns: FloatArray, most: int, half: float) -> float:
    """The share of trials (columns of ``data``) that establish a difference."""
    observed = np.abs(data.sum(axis=0)) * (1 - 1e-12)
    extreme = np.zeros(data.shape[1], dtype=np.int64)
    for start in range(0, len(patterns), 1024):
        extreme += np.count_nonzero(np.abs(patterns[start : start + 1024] @ data) >= observed, axis=0)
    clear = np.abs(data.mean(axis=0)) > half * data.std(axis=0, ddof=1)
    return float(np.mean((extreme <= most) & clear))
