"""Runs that share a label (a policy, a setting) and differ in seed or workload: one line of a figure each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from batfs.report.extras import pd
from batfs.report.inference import Interval, mean_interval
from batfs.report.run import Run
from batfs.report.statistics import THRESHOLD, job_table, summarize

FloatArray = NDArray[np.float64]


@dataclass(eq=False)
class Group:
    """The runs of one label, in the order given; their figures are computed once, when first asked for."""

    label: str
    runs: list[Run]
    threshold: float = THRESHOLD
    _tables: list[pd.DataFrame] = field(default_factory=list)
    _summaries: list[dict[str, float]] = field(default_factory=list)
    _intervals: dict[str, Interval] = field(default_factory=dict)
    _values: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def context(self) -> str:
        """The machine and workload these runs share, where a campaign has several; groups of one context
        compare.
        """
        return str(self.runs[0].provenance.get("context", ""))

    @property
    def treatment(self) -> str:
        """The label without the context."""
        return str(self.runs[0].provenance.get("treatment", self.label))

    def interval(self, metric: str) -> Interval:
        """Mean and 95 % interval of one figure over the runs that have it; those that repeat one another,
        as the seed changes nothing on their workload, are one."""
        if metric not in self._intervals:
            values = self.figures(metric)
            there = np.flatnonzero(~np.isnan(values))
            cells = [self.runs[k].cell for k in there.tolist()]
            self._intervals[metric] = mean_interval(values[there], cells)
        return self._intervals[metric]

    def values(self, metric: str) -> FloatArray:
        """``metric`` of every job that ran, of all runs together; float64[k] without NaN."""
        if metric not in self._values:
            if not self._tables:
                self._tables = [job_table(run, self.threshold) for run in self.runs]
            parts = [
                t.loc[t["starting_time"].notna(), metric].dropna().to_numpy(np.float64) for t in self._tables
            ]
            self._values[metric] = np.concatenate(parts) if parts else np.empty(0)
        return self._values[metric]

    def figures(self, metric: str) -> FloatArray:
        """``metric`` of each run (see ``statistics.all_metrics``); float64[runs], NaN where a run has
        none.
        """
        if not self._summaries:
            self._summaries = [summarize(run, self.threshold) for run in self.runs]
        return np.array([summary[metric] for summary in self._summaries])


# settings that don't tell policies apart
_UNTOLD = ("seed", "validate", "platform")


def name_runs(runs: Sequence[Run]) -> None:
    """Give each run a label of the settings in which the runs differ (``random, easy``), and its name where
    they differ in none of them. Runs whose provenance has a label keep it."""
    unnamed = [run for run in runs if not isinstance(run.provenance.get("label"), str)]
    if len(unnamed) < 2:
        return
    keys = [key for run in unnamed for key in run.settings if key not in _UNTOLD]
    differing = [key for key in dict.fromkeys(keys) if len({run.settings.get(key) for run in unnamed}) > 1]
    labels = {
        id(run): ", ".join(
            run.settings.get(key, "default")
            if key in ("policy", "queue")
            else f"{key}={run.settings.get(key, 'default')}"
            for key in differing
        )
        for run in unnamed
    }
    for run in unnamed:
        twins = [other for other in unnamed if labels[id(other)] == labels[id(run)]]
        # the same settings: repetitions if they have different pairs, else all that tells them apart is
        # the name
        repeated = len({other.pair for other in twins}) == len(twins)
        label = labels[id(run)]
        if not differing and repeated and run.pair is not None:
            continue
        run.label = label if label and repeated else ", ".join(part for part in (label, run.name) if part)


def group_runs(runs: Sequence[Run], threshold: float = THRESHOLD) -> list[Group]:
    """The runs by label, labels in order of first appearance."""
    name_runs(runs)
    groups: dict[str, Group] = {}
    for run in runs:
        groups.setdefault(run.label, Group(run.label, [], threshold)).runs.append(run)
    return list(groups.values())
