"""Every label against the baseline, figure by figure, paired by workload and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from batfs.errors import unknown
from batfs.report.format import number
from batfs.report.groups import Group
from batfs.report.headline import headline
from batfs.report.inference import Difference, compare_pairs, holm, sentence
from batfs.report.power import LEVEL, flips_needed
from batfs.report.statistics import Metric
from batfs.report.tables import metric_named

#: Figures that say themselves how many jobs were lost.
_LOSSES = ("refused_jobs", "unsuccessful_jobs")


@dataclass(frozen=True, slots=True)
class Compared:
    """One label against the baseline in one figure. ``lost``: how many jobs more per run the label refused,
    killed or failed than the baseline: jobs that its figures leave out or cut short."""

    label: str
    baseline: str
    metric: Metric
    difference: Difference
    lost: float = 0.0

    @property
    def _better(self) -> int:
        """A figure is no better for what it has lost."""
        sign = self.difference.mean * self.metric.better
        return 0 if self.lost > 0 and sign > 0 and self.metric.name not in _LOSSES else self.metric.better

    @property
    def sentence(self) -> str:
        """What can and can't be concluded."""
        beside = ""
        if self._better != self.metric.better:
            beside = (
                f"; but {number(self.lost)} jobs more a run were refused, killed or failed, which is no gain"
            )
        metric = self.metric
        return sentence(
            self.label, self.baseline, metric.title, metric.unit, self._better, self.difference, beside
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
        sign = self.difference.mean * self._better
        return "better" if sign > 0 else "worse" if sign < 0 else "different"


def compare_groups(
    groups: Sequence[Group],
    baseline: str | None = None,
    metrics: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
    primary: str | None = None,
) -> list[Compared]:
    """All groups but the baseline (a label or treatment; default: the first) times all ``metrics`` (default:
    those of tables), p adjusted over all of them together.

    A group is compared to the baseline of its own context, and where there are several contexts, each
    treatment also over all of them. Runs pair by :attr:`Run.pair` (workload and seed); runs without a
    partner in the baseline are left out, and the pairs of a workload in which the seed changes nothing are
    one. With a ``primary`` figure only its comparisons are tests; the others describe.
    """
    if baseline is None:
        baseline = groups[0].treatment
    bases = {g.context: g for g in groups if baseline in (g.treatment, g.label)}
    if not bases:
        raise unknown("baseline", baseline, dict.fromkeys(group.treatment for group in groups))
    if metrics is None:
        metrics = headline((run for group in groups for run in group.runs), groups[0].threshold)
    if primary is not None:
        metrics = [*([] if primary in metrics else [primary]), *metrics]
        metric_named(primary)
    couples = [
        (group, bases[group.context])
        for group in groups
        if group.context in bases and group is not bases[group.context]
    ]
    couples += _over_contexts(couples)
    pairs = [(group, against, _paired(group, against)) for group, against in couples]

    def compared(flips: int | None) -> list[Compared]:
        rows = []
        for group, against, (mine, theirs) in pairs:
            cells = [group.runs[k].cell for k in mine]
            lost = sum(float(np.sum(group.figures(n)[mine] - against.figures(n)[theirs])) for n in _LOSSES)
            for name in metrics:
                x, y = group.figures(name)[mine], against.figures(name)[theirs]
                found = compare_pairs(x, y, level=level, flips=flips, cells=cells)
                if primary is not None and name != primary:
                    found = replace(found, descriptive=True)
                share = lost / len(mine) if mine else 0.0
                rows.append(Compared(group.label, against.label, metric_named(name), found, share))
        return rows

    rows = compared(None)
    adjusted = holm([row.difference for row in rows])
    flips = flips_needed(adjusted[0].family, level) if adjusted else 0
    if adjusted and flips > flips_needed(1, level):
        # so many comparisons that the draws of a Monte Carlo test have to be more
        rows = compared(flips)
        adjusted = holm([row.difference for row in rows])
    return [replace(row, difference=d) for row, d in zip(rows, adjusted, strict=True)]


def _paired(group: Group, against: Group) -> tuple[list[int], list[int]]:
    """The places of runs that pair, in one group and in the other."""
    places = {run.pair: i for i, run in enumerate(against.runs) if run.pair is not None}
    pairs = [(i, places[run.pair]) for i, run in enumerate(group.runs) if run.pair in places]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _over_contexts(couples: Sequence[tuple[Group, Group]]) -> list[tuple[Group, Group]]:
    """Each treatment with the baseline over all the contexts in which both have runs, if these are
    several."""
    by_treatment: dict[str, list[tuple[Group, Group]]] = {}
    for group, against in couples:
        by_treatment.setdefault(group.treatment, []).append((group, against))
    found = []
    for several in by_treatment.values():
        if len({group.context for group, _ in several}) > 1:
            mine, theirs = ([couple[side] for couple in several] for side in (0, 1))
            found.append((joined(mine), joined(theirs)))
    return found


def joined_label(treatment: str, contexts: int) -> str:
    """What a treatment over so many contexts is called."""
    return f"{treatment} over {contexts} contexts"


def joined(groups: Sequence[Group]) -> Group:
    """One treatment's groups of several contexts as one."""
    label = joined_label(groups[0].treatment, len(groups))
    return Group(label, [run for group in groups for run in group.runs], groups[0].threshold)
