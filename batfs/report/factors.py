"""Designs of several factors: what one factor does, whatever the others are.

In a campaign of policies x queues x node selections a setting differs from the baseline in several things at
once. The effect of one level of one factor is the mean, over all combinations of the other factors, of its
difference to that factor's baseline level in the same combination, on the same workload, with the same seed:
a *main effect* (Box, Hunter, Hunter, "Statistics for Experimenters", ch. 5). Each workload and seed gives one
such number, so pairs stay independent. These effects describe; what is tested are the settings themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from batfs.report.headline import headline
from batfs.report.inference import Difference, compare_pairs
from batfs.report.run import Run
from batfs.report.statistics import THRESHOLD, Metric, summarize
from batfs.report.tables import metric_named


@dataclass(frozen=True, slots=True)
class Effect:
    """One level of a factor against that factor's baseline level in one figure."""

    factor: str
    level: str
    base: str
    metric: Metric
    difference: Difference


def main_effects(
    runs: Sequence[Run],
    settings: Sequence[Mapping[str, str]],
    baseline: Mapping[str, str],
    metrics: Sequence[str] | None = None,
    threshold: float = THRESHOLD,
) -> list[Effect]:
    """Of every factor with several levels, where there are several such factors; ``settings``: each run's
    level of each factor, ``baseline``: those of the setting that others are compared to."""
    levels = {name: list(dict.fromkeys(one[name] for one in settings)) for name in baseline}
    factors = [name for name, found in levels.items() if len(found) > 1]
    if len(factors) < 2:
        return []
    figures = [summarize(run, threshold) for run in runs]
    if metrics is None:
        metrics = headline(runs, threshold)
    found = []
    for factor in factors:
        # by workload and seed and the other factors: the run of each level
        rest: dict[tuple[object, ...], dict[str, int]] = {}
        for k, (run, one) in enumerate(zip(runs, settings, strict=True)):
            if run.pair is not None:
                others = tuple(one[name] for name in factors if name != factor)
                rest.setdefault((run.pair, others), {})[one[factor]] = k
        for level in levels[factor]:
            if level == baseline[factor]:
                continue
            pairs: dict[object, list[tuple[int, int]]] = {}
            for (pair, _), by_level in rest.items():
                if level in by_level and baseline[factor] in by_level:
                    pairs.setdefault(pair, []).append((by_level[level], by_level[baseline[factor]]))
            cells = [runs[couples[0][0]].cell for couples in pairs.values()]
            for name in metrics:
                x, y = (
                    np.array([np.mean([figures[c[side]][name] for c in cs]) for cs in pairs.values()])
                    for side in (0, 1)
                )
                difference = replace(compare_pairs(x, y, cells=cells), descriptive=True)
                found.append(Effect(factor, level, baseline[factor], metric_named(name), difference))
    return found
