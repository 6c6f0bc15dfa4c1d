"""How well two columns of positive numbers agree: correlations and effect size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batfs.errors import InputError


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well simulated and measured seconds agree over ``count`` pairs.

    ``pearson``: their correlation; ``pearson_log``: that of their logarithms; ``spearman``: of their ranks.
    ``cohen``: Cohen's d of the two samples, (mean simulated - mean measured) over the pooled standard
    deviation; ``cohen_log``: of the logarithms (base 10). ``ratio``: median of measured over simulated.
    """

    count: int
    pearson: float
    pearson_log: float
    spearman: float
    cohen: float
    cohen_log: float
    ratio: float


def agreement(pairs: Sequence[tuple[float, float]]) -> Agreement:
    """Of (measured, simulated) pairs, all above 0. InputError for fewer than three."""
    if len(pairs) < 3:
        raise InputError(f"{len(pairs)} jobs to compare; at least 3 are needed")
    measured, simulated = ([pair[i] for pair in pairs] for i in (0, 1))
    logs = [[math.log10(value) for value in values] for values in (measured, simulated)]
    ratios = sorted(m / s for m, s in pairs)
    middle = len(ratios) // 2
    return Agreement(
        count=len(pairs),
        pearson=pearson(measured, simulated),
        pearson_log=pearson(logs[0], logs[1]),
        spearman=pearson(_ranks(measured), _ranks(simulated)),
        cohen=cohen(simulated, measured),
        cohen_log=cohen(logs[1], logs[0]),
        ratio=ratios[middle] if len(ratios) % 2 else (ratios[middle - 1] + ratios[middle]) / 2,
    )


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's correlation coefficient; 0 where one doesn't vary."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    both = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    spread = math.fsum((a - mean_x) ** 2 for a in x) * math.fsum((b - mean_y) ** 2 for b in y)
    return both / math.sqrt(spread) if spread > 0 else 0.0


def cohen(x: Sequence[float], y: Sequence[float]) -> float:
    """Cohen's d: difference of the means over the pooled standard deviation (n - 1 in each)."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    squares = math.fsum((a - mean_x) ** 2 for a in x) + math.fsum((b - mean_y) ** 2 for b in y)
    pooled = math.sqrt(squares / (len(x) + len(y) - 2))
    return (mean_x - mean_y) / pooled if pooled > 0 else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1, equal values sharing their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and values[order[end]] == values[order[begin]]:
            end += 1
        for i in order[begin:end]:
            ranks[i] = (begin + 1 + end) / 2
        begin = end
    return ranks
