"""Every label against the baseline, figure by figure, paired by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batfs.errors import unknown
from batfs.report.groups import Group
from batfs.report.inference import LEVEL, Difference, compare_pairs, holm, sentence
from batfs.report.statistics import Metric
from batfs.report.tables import HEADLINE, metric_named


@dataclass(frozen=True, slots=True)
class Compared:
    """One label against the baseline in one figure."""

    label: str
    baseline: str
    metric: Metric
    difference: Difference

    @property
    def sentence(self) -> str:
        """What can and can't be concluded."""
        return sentence(
            self.label,
            self.baseline,
            self.metric.title,
            self.metric.unit,
            self.metric.better,
            self.difference,
        )

    @property
    def found(self) -> bool:
        """Whether there is a difference: one the data establish, or an exact one between two repeated
        runs.
        """
        return self.difference.called or self.difference.exact

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``different`` (neither is better) or empty where none is found."""
        if not self.found:
            return ""
        sign = self.difference.mean * self.metric.better
        return "better" if sign > 0 else "worse" if sign < 0 else "different"


def compare_groups(
    groups: Sequence[Group],
    baseline: str | None = None,
    metrics: Sequence[str] = HEADLINE,
    *,
    level: float = LEVEL,
) -> list[Compared]:
    """All groups but the baseline (a label or treatment; default: the first) times all figures, p adjusted
    over all of them together.

    A group is compared to the baseline of its own context. Runs pair by :attr:`Run.pair` (workload and seed);
    runs without a partner in the baseline are left out.
    """
    if baseline is None:
        baseline = groups[0].treatment
    bases = {g.context: g for g in groups if baseline in (g.treatment, g.label)}
    if not bases:
        raise unknown("baseline", baseline, dict.fromkeys(group.treatment for group in groups))
    rows = []
    for group in groups:
        against = bases.get(group.context)
        if against is None or group is against:
            continue
        places = {run.pair: i for i, run in enumerate(against.runs) if run.pair is not None}
        pairs = [(i, places[run.pair]) for i, run in enumerate(group.runs) if run.pair in places]
        mine = np.array([pair[0] for pair in pairs], dtype=np.int64)
        theirs = np.array([pair[1] for pair in pairs], dtype=np.int64)
        for name in metrics:
            found = compare_pairs(group.figures(name)[mine], against.figures(name)[theirs], level=level)
            rows.append(Compared(group.label, against.label, metric_named(name), found))
    adjusted = holm([row.difference for row in rows])
    return [Compared(row.label, row.baseline, row.metric, d) for row, d in zip(rows, adjusted, strict=True)]
