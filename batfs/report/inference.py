"""Is it a difference? Paired comparison of two settings over seeds.

For pairs ``(x_i, y_i)`` of one figure under a setting and under the baseline, same workload and seed:

- pairs are counted once where they repeat one another: where all seeds of a workload give the same pair,
the seed
  changes nothing there, and the workload has one pair (:func:`independent`);
- the mean difference with a 95 % interval that covers: Student's t, and where the bias-corrected and
accelerated
  bootstrap (BCa; Efron, "Better bootstrap confidence intervals", JASA 82, 1987) reaches farther, up to
  there. The bootstrap alone covers 70 % with three pairs and 87 % with six; it follows a skewed
  distribution where t doesn't;
- a two-sided sign-flip permutation test of "no difference" (Fisher's; exact up to 2**16 sign patterns, else
  Monte Carlo with the +1 correction of Phipson and Smyth, 2010);
- the effect size d_z = mean / standard deviation of the differences, shrunk by Hedges' small-sample factor
  (Hedges 1981; Lakens 2013 for the paired form), and the share of pairs in which the setting was lower;
- over a table of comparisons, Holm's step-down adjustment (1979), so that many figures times many policies
  don't produce findings by number alone. A difference is *called* one only if its adjusted p is below 1 -
  level and its interval excludes zero. How many pairs that takes at least, and what it can see:
  :mod:`batfs.report.power`.

All draws come from ``random.Random``: the same data and seed give the same figures on any machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from batfs.report.format import between, number, quantity
from batfs.report.power import EXACT, LEVEL, detectable, pairs_needed, student

FloatArray = NDArray[np.float64]

RESAMPLES: Final = 9999
# fewer pairs than this can't reach p < 0.05 by sign flips even in a comparison of one figure (2 / 2**5 >
# 0.05)
FEWEST: Final = pairs_needed(1)
# draws of a Monte Carlo test go on until so many are as extreme as the data, or their number is reached
_ENOUGH: Final = 100
_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its confidence interval; NaN ends where there are too few values for one: two have a range.

    ``n``: how many independent values; ``least`` and ``most`` of them."""

    mean: float
    low: float
    high: float
    n: int
    least: float = math.nan
    most: float = math.nan

    @property
    def ends(self) -> tuple[float, float] | None:
        """What is shown beside the mean: the interval, or of two values the range; None without either."""
        if math.isfinite(self.low):
            return (self.low, self.high) if self.low != self.high else None
        return (self.least, self.most) if self.n == 2 and self.least != self.most else None

    @property
    def word(self) -> str:
        """What to call :attr:`ends`."""
        return "range" if self.n == 2 else "95 % interval"


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired comparison: ``mean`` is setting minus baseline, ``relative`` its share of the baseline's mean.

    ``n``: independent pairs; ``effect`` is Hedges-corrected d_z; ``lower`` the share of pairs in which the
    setting was strictly lower; ``distinct`` how many different pairs of values there are; ``adjusted``
    Holm's p over a ``family`` of so many comparisons, in which a difference takes at least ``needed``
    pairs; ``runs``: how many pairs of runs there are, with those that repeat one another; ``workloads``
    they are of; ``deviation`` the standard deviation of the differences. ``descriptive``: another figure
    was named the primary one. What a single pair can't give (interval, p, effect size) is NaN.
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
    runs: int = 0
    workloads: int = 1
    deviation: float = math.nan
    family: int = 1
    needed: int = FEWEST
    descriptive: bool = False

    @property
    def testable(self) -> bool:
        """Whether there is anything to test: more than one pair, and some that differ."""
        return self.n > 1 and not math.isnan(self.p) and not self.equal

    @property
    def equal(self) -> bool:
        """Whether setting and baseline are the same in every pair."""
        return self.mean == 0 and self.lower == 0

    @property
    def called(self) -> bool:
        """True where the data carry the claim that there is a difference."""
        excludes = self.low > 0 or self.high < 0
        return self.testable and excludes and self.adjusted < 1 - self.level

    @property
    def exact(self) -> bool:
        """True where the seeds repeat one run and the two differ: a fact of that workload, not an
        estimate.
        """
        return self.runs > 1 and self.n == 1 and self.mean != 0

    @property
    def seen(self) -> float:
        """The difference that so many pairs find four times in five, if they vary as these do; NaN where they
        can't find any."""
        if not self.testable or self.n < self.needed or self.descriptive:
            return math.nan
        return detectable(self.n, self.family, self.level) * self.deviation


def independent(cells: Sequence[Hashable], *columns: FloatArray) -> NDArray[np.int64]:
    """Which rows of ``columns`` (float64[n] each) count: all of a cell (a workload) whose seeds make a
    difference there, else its first. Values that differ in their last bits only, by the order of a sum, are
    the same."""
    places: dict[Hashable, list[int]] = {}
    for place, cell in enumerate(cells):
        places.setdefault(cell, []).append(place)
    keep: list[int] = []
    for rows in places.values():
        same = all(_same(column[rows]) for column in columns)
        keep += rows[:1] if same else rows
    return np.array(sorted(keep), dtype=np.int64)


def _same(values: FloatArray) -> bool:
    return float(np.ptp(values)) <= 1e-12 * float(np.abs(values).max())


def mean_interval(
    values: Sequence[float] | FloatArray,
    cells: Sequence[Hashable] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The mean of ``values`` (float64[n], of these ``cells``) with an interval that covers: Student's t,
    widened to the ends of the BCa bootstrap where those reach farther. None for fewer than three values
    that count."""
    data = np.asarray(values, dtype=np.float64)
    if not len(data):
        return Interval(math.nan, math.nan, math.nan, 0)
    data = data[independent([None] * len(data) if cells is None else cells, data)]
    n = len(data)
    least, most = float(data.min()), float(data.max())
    mean = math.fsum(data.tolist()) / n
    if n < 3:
        return Interval(mean, math.nan, math.nan, n, least, most)
    if least == most:
        return Interval(mean, mean, mean, n, least, most)
    drawn = bootstrap_mean(data, level=level, resamples=resamples, seed=seed)
    half = student(1 - (1 - level) / 2, n - 1) * float(data.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, min(drawn.low, mean - half), max(drawn.high, mean + half), n, least, most)


def _draws(count: int, n: int, seed: int) -> NDArray[np.int64]:
    """``count`` x ``n`` indices below ``n``; 32 random bits each, so the bias is below n / 2**32. Most
    figures of a report have as many values as the one before, and so the same draws: those of ordinary size
    are kept."""
    return _kept(count, n, seed) if count * n <= _KEPT else _kept.__wrapped__(count, n, seed)


_KEPT: Final = 4_000_000


@lru_cache(maxsize=2)
def _kept(count: int, n: int, seed: int) -> NDArray[np.int64]:
    bits = np.frombuffer(random.Random(seed).randbytes(4 * count * n), dtype="<u4").astype(np.uint64)
    found = ((bits * np.uint64(n)) >> np.uint64(32)).astype(np.int64).reshape(count, n)
    found.setflags(write=False)
    return found


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
    means = np.sort(data[_draws(resamples, n, seed)].mean(axis=1))
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
    """Two-sided p of the sign-flip permutation test of a zero mean; 1.0 when all differences are zero.

    Above ``EXACT`` differences at most ``resamples`` patterns are drawn; the first 9999 of them, and more
    as long as few are as extreme as the data.
    """
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
    rng = random.Random(seed)
    drawn = hits = 0
    while drawn < resamples and not (drawn >= RESAMPLES and hits >= _ENOUGH):
        count = min(_AT_ONCE, resamples - drawn) if drawn else min(RESAMPLES, resamples)
        bits = np.frombuffer(rng.randbytes(count * n), dtype=np.uint8).reshape(count, n) & 1
        sums = (1.0 - 2.0 * bits) @ data
        hits += int(np.count_nonzero(np.abs(sums) >= observed - slack))
        drawn += count
    return (hits + 1) / (drawn + 1)


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
    flips: int | None = None,
    seed: int = 0,
    cells: Sequence[Hashable] | None = None,
) -> Difference:
    """The paired comparison of two float64[n] of one figure; pairs with a NaN are left out.

    ``cells``: the workload of each pair (None: all are of one). ``flips``: how many sign patterns the test
    may draw (default: ``resamples``).
    """
    x, y = np.asarray(setting, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    where = [None if cells is None else cells[k] for k in kept.tolist()]
    runs = len(kept)
    kept = kept[independent(where, x[kept], y[kept])]
    x, y = x[kept], y[kept]
    differences = x - y
    # equal values can differ in their last bits by the order of a sum
    differences[np.abs(differences) <= 1e-12 * np.maximum(np.abs(x), np.abs(y))] = 0.0
    n = len(differences)
    # each pair counts: repetitions are gone
    interval = mean_interval(differences, range(n), level=level, resamples=resamples, seed=seed)
    base = float(y.mean()) if n else math.nan
    flips = resamples if flips is None else flips
    p = sign_flip_test(differences, resamples=flips, seed=seed) if n > 1 else math.nan
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
        runs=runs,
        workloads=len(set(where)),
        deviation=float(differences.std(ddof=1)) if n > 1 else math.nan,
    )


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """The same comparisons with p adjusted for their number (Holm 1979); those without a p stay as they are.

    Pairs that never differ test nothing and don't count, nor do descriptive figures, which have no adjusted
    p.
    """
    order = sorted(
        (i for i, d in enumerate(differences) if d.testable and not d.descriptive),
        key=lambda i: differences[i].p,
    )
    family = len(order)
    needed = pairs_needed(family, differences[0].level) if differences else FEWEST
    result = [
        replace(d, family=family, needed=needed, adjusted=math.nan if d.descriptive else d.adjusted)
        for d in differences
    ]
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (family - rank) * differences[i].p))
        result[i] = replace(result[i], adjusted=running)
    return result


def sentence(
    setting: str, baseline: str, metric: str, unit: str, better: int, d: Difference, beside: str = ""
) -> str:
    """What can and can't be concluded from ``d``, in one sentence for a person; ``beside``: what else has
    to be said of these runs."""
    return f"{metric}: {_conclusion(setting, baseline, unit, better, d)}{beside}."


def _conclusion(setting: str, baseline: str, unit: str, better: int, d: Difference) -> str:
    if d.n == 0:
        return f"no pair of runs of {setting} and {baseline} has this figure, so nothing can be said"
    of = f" of {d.workloads} workloads" if d.workloads > 1 else ""
    pairs = f"{d.n} pairs{of}"
    amount = _quantity(abs(d.mean), unit)
    share = "" if math.isnan(d.relative) else f", {abs(100 * d.relative):.3g} %"
    word = "lower" if d.mean < 0 else "higher"
    judged = "" if not better else f" ({'better' if d.mean * better > 0 else 'worse'})"
    if d.n == 1:
        runs = "the one run" if d.runs <= 1 else f"all {d.runs} runs"
        if d.mean == 0:
            return (
                f"{setting} and {baseline} give the same value in {runs} ({quantity(d.baseline_mean, unit)})"
            )
        why = "one pair says nothing of how sure that is"
        if d.runs > 1:
            why = "the seed changes nothing here, so this holds for exactly this workload and "
            why += "says nothing of others"
        return f"{setting} is {word}{judged} than {baseline} by {amount}{share} in {runs}; {why}"
    if d.equal:
        return f"{setting} and {baseline} are equal in every one of the {pairs}"
    repeated = (
        "" if d.runs == d.n else f" ({d.runs} runs each, but where the seed changes nothing they are one)"
    )
    shown = "percentage points" if unit == "%" else unit
    interval = "" if math.isnan(d.low) else f"{100 * d.level:g} % interval {between(d.low, d.high, shown)}, "
    if d.descriptive:
        return (
            f"{setting} was {word} than {baseline} by {amount}{share} on average ({interval}{pairs}{repeated}"
            "); described only, as another figure is the primary one"
        )
    if d.called:
        over = f" over these {d.workloads} workloads" if d.workloads > 1 else ""
        return (
            f"{setting} is {word}{judged} than {baseline} by {amount}{share}{over} ({interval}adjusted "
            f"{_p(d.adjusted)}, effect size {_effect(d.effect)}, {pairs}{repeated})"
        )
    if d.n < d.needed:
        among = "" if d.family <= 1 else f" among {d.family} comparisons"
        return (
            f"{setting} was {word} than {baseline} by {amount}{share} on average over {pairs}{repeated}; "
            f"that is too few to conclude anything (at least {d.needed} are needed{among})"
        )
    return (
        f"no difference between {setting} and {baseline} can be concluded (mean difference "
        f"{_quantity(d.mean, unit)}, {interval}adjusted {_p(d.adjusted)}, {pairs}{repeated}); a difference "
        f"inside the interval isn't ruled out either; one of {_quantity(d.seen, unit)} would have been "
        "found four times in five"
    )


def _p(value: float) -> str:
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def _effect(value: float) -> str:
    return "without bound: the same in every pair" if math.isinf(value) else f"{value:.2f}"


def _quantity(value: float, unit: str) -> str:
    return f"{number(value)} percentage points" if unit == "%" else quantity(value, unit)
