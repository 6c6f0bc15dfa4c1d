"""Is it a difference? Paired comparison of two settings over seeds.

For pairs ``(x_i, y_i)`` of one figure under a setting and under the baseline, same workload and seed:

- the mean difference with a bias-corrected and accelerated bootstrap interval (BCa; Efron, "Better bootstrap
  confidence intervals", JASA 82, 1987), and where BCa is undefined the percentile interval;
- a two-sided sign-flip permutation test of "no difference" (Fisher's; exact up to 2**14 sign patterns, else
  Monte Carlo with the +1 correction of Phipson and Smyth, 2010);
- the effect size d_z = mean / standard deviation of the differences, shrunk by Hedges' small-sample factor
  (Hedges 1981; Lakens 2013 for the paired form), and the share of pairs in which the setting was lower;
- over a table of comparisons, Holm's step-down adjustment (1979), so that many figures times many policies
  don't produce findings by number alone. A difference is *called* one only if its adjusted p is below 1 -
  level
  and its interval excludes zero.

All draws come from ``random.Random``: the same data and seed give the same figures on any machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batfs.report.format import between, number, quantity

FloatArray = NDArray[np.float64]

LEVEL: Final = 0.95
RESAMPLES: Final = 9999
EXACT: Final = 14
# fewer pairs than this can't reach p < 0.05 by sign flips (2 / 2**5 > 0.05)
FEWEST: Final = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its confidence interval; NaN ends where there are too few values for one."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison: ``mean`` is setting minus baseline, ``relative`` its share of the baseline's mean.

    ``effect`` is Hedges-corrected d_z; ``lower`` the share of pairs in which the setting was strictly lower;
    ``distinct`` how many different pairs of values there are (1: the seeds repeat one run); ``adjusted``
    Holm's p.
    """

    n: int
    baseline_mean: float
    mean: float
    low: float
    high: float
    relative: float
    effect: float
    lower: float
    p: float
    adjusted: float
    distinct: int
    level: float = LEVEL

    @property
    def called(self) -> bool:
        """True where the data carry the claim that there is a difference."""
        excludes = self.low > 0 or self.high < 0
        return self.n >= FEWEST and self.distinct > 1 and excludes and self.adjusted < 1 - self.level

    @property
    def exact(self) -> bool:
        """True where the seeds repeat one run and the two differ: a fact of that workload, not an
        estimate.
        """
        return self.n > 1 and self.distinct == 1 and self.mean != 0


def _draws(count: int, n: int, rng: random.Random) -> NDArray[np.int64]:
    """``count`` x ``n`` indices below ``n``; 32 random bits each, so the bias is below n / 2**32."""
    bits = np.frombuffer(rng.randbytes(4 * count * n), dtype="<u4").astype(np.uint64)
    return ((bits * np.uint64(n)) >> np.uint64(32)).astype(np.int64).reshape(count, n)


def bootstrap_mean(
    values: Sequence[float] | FloatArray,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of ``values`` (float64[n]) with its BCa interval; equal values give an interval of no
    width.
    """
    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = math.fsum(data.tolist()) / n
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    if np.ptp(data) == 0.0:
        return Interval(mean, mean, mean, n)
    means = np.sort(data[_draws(resamples, n, random.Random(seed))].mean(axis=1))
    low, high = _bca_levels(data, means, mean, level)
    return Interval(mean, float(np.quantile(means, low)), float(np.quantile(means, high)), n)


def _bca_levels(data: FloatArray, means: FloatArray, mean: float, level: float) -> tuple[float, float]:
    """The two probability levels at which BCa reads the bootstrap distribution ``means`` (sorted)."""
    normal = NormalDist()
    tail = (1 - level) / 2
    # scipy's form: half of the ties count as below
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * len(means))
    if not 0 < below < 1:
        return tail, 1 - tail
    bias = normal.inv_cdf(float(below))
    n = len(data)
    jackknife = (data.sum() - data) / (n - 1)
    spread = jackknife.mean() - jackknife
    scale = float((spread**2).sum()) ** 1.5
    acceleration = float((spread**3).sum()) / (6 * scale) if scale > 0 else 0.0
    levels = []
    for point in (tail, 1 - tail):
        z = bias + normal.inv_cdf(point)
        levels.append(normal.cdf(bias + z / (1 - acceleration * z)))
    return levels[0], levels[1]


def sign_flip_test(
    differences: Sequence[float] | FloatArray, *, resamples: int = RESAMPLES, seed: int = 0
) -> float:
    """Two-sided p of the sign-flip permutation test of a zero mean; 1.0 when all differences are zero."""
    data = np.asarray(differences, dtype=np.float64)
    data = data[data != 0.0]  # flipping a zero changes nothing
    n = len(data)
    if n == 0:
        return 1.0
    observed = abs(float(data.sum()))
    slack = 1e-12 * float(np.abs(data).sum())  # sums that are equal but for rounding count as equal
    if n <= EXACT:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = (1 - 2 * patterns) @ data
        return int(np.count_nonzero(np.abs(sums) >= observed - slack)) / 2.0**n
    bits = (
        np.frombuffer(random.Random(seed).randbytes(resamples * n), dtype=np.uint8).reshape(resamples, n) & 1
    )
    sums = (1.0 - 2.0 * bits) @ data
    return (int(np.count_nonzero(np.abs(sums) >= observed - slack)) + 1) / (resamples + 1)


def effect_size(differences: FloatArray) -> float:
    """Hedges-corrected d_z of paired ``differences``; infinite when they are equal and not zero, 0 when
    zero.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if np.ptp(differences) == 0.0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return float(mean / deviation) * (1 - 3 / (4 * (n - 1) - 1))


def compare_pairs(
    setting: Sequence[float] | FloatArray,
    baseline: Sequence[float] | FloatArray,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """The paired comparison of two float64[n] of one figure; pairs with a NaN are left out."""
    x, y = np.asarray(setting, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    differences = x - y
    # equal values can differ in their last bits by the order of a sum
    differences[np.abs(differences) <= 1e-12 * np.maximum(np.abs(x), np.abs(y))] = 0.0
    n = len(differences)
    interval = bootstrap_mean(differences, level=level, resamples=resamples, seed=seed)
    base = float(y.mean()) if n else math.nan
    p = sign_flip_test(differences, resamples=resamples, seed=seed) if n else math.nan
    return Difference(
        n=n,
        baseline_mean=base,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        relative=interval.mean / base if n and base else math.nan,
        effect=effect_size(differences),
        lower=float(np.count_nonzero(differences < 0)) / n if n else math.nan,
        p=p,
        adjusted=p,
        distinct=len(set(zip(x.tolist(), y.tolist(), strict=True))),
        level=level,
    )


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The same comparisons with p adjusted for their number (Holm 1979); those without a p stay as they are.

    Pairs that never differ test nothing and don't count.
    """
    order = sorted(
        (i for i, d in enumerate(differences) if d.n >= FEWEST and d.distinct > 1 and not math.isnan(d.p)),
        key=lambda i: differences[i].p,
    )
    result = list(differences)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * differences[i].p))
        result[i] = replace(differences[i], adjusted=running)
    return result


def sentence(setting: str, baseline: str, metric: str, unit: str, better: int, d: Difference) -> str:
    """What can and can't be concluded from ``d``, in one sentence for a person."""
    percent = f"{100 * d.level:g} %"
    if d.n == 0:
        return (
            f"{metric}: no pair of runs of {setting} and {baseline} has this figure, so nothing can be said."
        )
    amount = _quantity(abs(d.mean), unit)
    share = "" if math.isnan(d.relative) else f", {abs(100 * d.relative):.3g} %"
    word = "lower" if d.mean < 0 else "higher"
    judged = "" if not better else f" ({'better' if d.mean * better > 0 else 'worse'})"
    if d.distinct == 1:
        runs = "the one run" if d.n == 1 else f"all {d.n} runs"
        if d.mean == 0:
            return (
                f"{metric}: {setting} and {baseline} give the same value in {runs} "
                f"({quantity(d.baseline_mean, unit)})."
            )
        return (
            f"{metric}: {setting} is {word}{judged} than {baseline} by {amount}{share} in {runs}; the seed "
            "changes nothing here, so this holds for exactly this workload and says nothing of others."
            if d.n > 1
            else f"{metric}: {setting} is {word}{judged} than {baseline} by {amount}{share} in {runs}; "
            "one pair says nothing of how sure that is."
        )
    if d.mean == 0 and d.low == 0 == d.high:
        return f"{metric}: {setting} and {baseline} are equal in every one of the {d.n} pairs."
    shown = "percentage points" if unit == "%" else unit
    interval = f"{percent} interval {between(d.low, d.high, shown)}"
    if d.n < FEWEST:
        return (
            f"{metric}: {setting} was {word} than {baseline} by {amount}{share} on average over {d.n} pairs; "
            f"that is too few to conclude anything (at least {FEWEST} are needed)."
        )
    if d.called:
        return (
            f"{metric}: {setting} is {word}{judged} than {baseline} by {amount}{share} ({interval}, adjusted "
            f"{_p(d.adjusted)}, effect size {_effect(d.effect)}, {d.n} pairs)."
        )
    return (
        f"{metric}: no difference between {setting} and {baseline} can be concluded (mean difference "
        f"{_quantity(d.mean, unit)}, {interval}, adjusted {_p(d.adjusted)}, {d.n} pairs); a difference "
        "inside the interval isn't ruled out either."
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def _effect(value: float) -> str:
    return "without bound: the same in every pair" if math.isinf(value) else f"{value:.2f}"


def _quantity(value: float, unit: str) -> str:
    return f"{number(value)} percentage points" if unit == "%" else quantity(value, unit)
