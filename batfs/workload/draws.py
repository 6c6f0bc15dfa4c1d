"""Random draws that come out the same everywhere.

Python promises that :meth:`random.Random.random` gives the same sequence for the same seed in every version;
it promises nothing for the other methods. So every distribution here is made from ``random()`` alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist
from typing import Final, TypeVar

T = TypeVar("T")
_NORMAL: Final = NormalDist()
_SMALLEST: Final = 2.0**-53


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws from the usual distributions; the generator is given, seeded by whoever makes it."""

    rng: Random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * self.rng.random()

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def exponential(self, mean: float) -> float:
        return -mean * math.log1p(-self.rng.random())

    def share(self, rate: float) -> float:
        """From 0 to 1 with density in proportion to exp(-``rate`` x): an exponential cut at 1 where the
        rate is positive, even where it is 0, its mirror image where it is negative."""
        u = self.rng.random()
        if rate < 0:
            return 1.0 - self._cut(u, -rate)
        return self._cut(u, rate) if rate > 0 else u

    @staticmethod
    def _cut(u: float, rate: float) -> float:
        return min(1.0, -math.log1p(u * math.expm1(-rate)) / rate)

    def normal(self) -> float:
        """Standard normal, by inversion (one draw each)."""
        return _NORMAL.inv_cdf(max(self.rng.random(), _SMALLEST))

    def lognormal(self, median: float, sigma: float) -> float:
        """exp(N(ln median, sigma)); its mean is ``median * exp(sigma**2 / 2)``."""
        return median * math.exp(sigma * self.normal())

    def gamma(self, shape: float, scale: float) -> float:
        """Gamma with mean ``shape * scale``, for shapes of at least 1.

        Marsaglia & Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000.
        """
        if shape < 1:
            raise ValueError(f"the shape is {shape}, expected at least 1")
        d = shape - 1 / 3
        c = 1 / math.sqrt(9 * d)
        while True:
            x = self.normal()
            v = (1 + c * x) ** 3
            if v > 0 and math.log1p(-self.rng.random()) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v * scale

    def arcsine(self) -> float:
        """Beta(1/2, 1/2): a share that is mostly near 0 or near 1, with mean 1/2."""
        return math.sin(0.5 * math.pi * self.rng.random()) ** 2

    def pick(self, things: Sequence[T], weights: Sequence[float]) -> T:
        """One of ``things``, with probability in proportion to its weight."""
        left = self.rng.random() * math.fsum(weights)
        for thing, weight in zip(things, weights, strict=True):
            left -= weight
            if left < 0:
                return thing
        return things[-1]
