"""Distributions for drawing: empirical distribution functions and letter values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def ecdf(values: FloatArray, points: int = 2000) -> tuple[FloatArray, FloatArray]:
    """Values ascending and the share of all that is at most each; float64[k] twice.

    Beyond ``points`` values, ``points`` of them evenly spread by rank are kept, the smallest and largest
    always,
    and the hundred at either end, where an even spread would hide what the tail looks like.
    """
    ordered = np.sort(values)
    n = len(ordered)
    shares = np.arange(1, n + 1) / n if n else np.empty(0)
    if n <= points:
        return ordered, shares
    spread = np.linspace(0, n - 1, points - 200).round().astype(np.int64)
    keep = np.unique(np.concatenate([np.arange(100), spread, np.arange(n - 100, n)]))
    return ordered[keep], shares[keep]


@dataclass(frozen=True, slots=True)
class LetterValues:
    """The median, the pairs of letter values (fourths, eighths, ...: innermost first), what lies outside."""

    n: int
    median: float
    pairs: tuple[tuple[float, float], ...]
    outliers: tuple[float, ...]


def letter_values(values: FloatArray, *, confidence: float = 0.95, most: int = 200) -> LetterValues:
    """Letter values of ``values`` (Hofmann, Wickham, Kafadar, "Letter-Value Plots", JCGS 26, 2017).

    The depth of the median is (1 + n) / 2 and each next depth (1 + floor(depth)) / 2; the number of letter
    values is the largest whose interval doesn't overlap the next, ``floor(log2 n) - floor(log2 (2 z^2)) + 1``
    with z the normal quantile of ``confidence`` (their rule). At most ``most`` outliers are kept, the
    outermost.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return LetterValues(0, math.nan, (), ())
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    count = max(2, math.floor(math.log2(n)) - math.floor(math.log2(2 * z * z)) + 1)
    depth = (1 + n) / 2
    median = _at_depth(ordered, depth)
    pairs = []
    for _ in range(count - 1):
        depth = (1 + math.floor(depth)) / 2
        pairs.append((_at_depth(ordered, depth), _at_depth(ordered, n + 1 - depth)))
        if depth <= 1:
            break
    low, high = pairs[-1]
    below, above = ordered[ordered < low], ordered[ordered > high]
    half = most // 2
    return LetterValues(n, median, tuple(pairs), (*below[:half].tolist(), *above[-half:].tolist()))


def _at_depth(ordered: FloatArray, depth: float) -> float:
    """The value ``depth`` places in (from 1), halfway between two where ``depth`` ends in a half."""
    return float(ordered[math.floor(depth) - 1] + ordered[math.ceil(depth) - 1]) / 2
