"""Policies beside each other over the parts of the log: their means, and what they differ by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from batfs.campaign.reproduce.compare import Row, percent
from batfs.campaign.reproduce.kopanski import Figures
from batfs.campaign.reproduce.references import reference
from batfs.report.inference import FEWEST, Difference, Interval, compare_pairs, mean_interval
from batfs.texts import aligned


@dataclass(frozen=True, slots=True)
class Pair:
    """Two policies over the same workloads: ``figure`` of ``policy`` less that of ``baseline``."""

    policy: str
    baseline: str
    figure: str
    difference: Difference

    def as_dict(self) -> dict[str, object]:
        d = self.difference
        return {
            "policy": self.policy,
            "baseline": self.baseline,
            "figure": self.figure,
            "workloads": d.n,
            "mean_difference": d.mean,
            "low": d.low,
            "high": d.high,
            "relative": d.relative,
            "lower_in": d.lower,
            "p": d.p,
        }


@dataclass(frozen=True, slots=True)
class Mean:
    """A figure of a policy over several workloads: its mean with a 95 % bootstrap interval, and the mean over
    all their jobs."""

    policy: str
    figure: str
    workloads: int
    interval: Interval
    over_jobs: float

    def as_dict(self) -> dict[str, object]:
        return {
            "policy": self.policy,
            "figure": self.figure,
            "workloads": self.workloads,
            "mean": self.interval.mean,
            "low": self.interval.low,
            "high": self.interval.high,
            "over_jobs": self.over_jobs,
        }


def means(rows: Sequence[Row]) -> list[Mean]:
    """For each policy that was run on enough workloads."""
    by_policy: dict[str, list[Figures]] = {}
    for one in rows:
        by_policy.setdefault(one.policy, []).append(one.figures)
    found = []
    for policy, runs in by_policy.items():
        if len(runs) < FEWEST:
            continue
        jobs = sum(run.jobs for run in runs)
        for figure in ("mean_waiting_time", "mean_bounded_slowdown"):
            values = [float(getattr(run, figure)) for run in runs]
            over = sum(value * run.jobs for value, run in zip(values, runs, strict=True)) / max(jobs, 1)
            found.append(Mean(policy, figure, len(runs), mean_interval(values), over))
    return found


def mean_table(found: Sequence[Mean]) -> list[str]:
    """The lines of a table of means; hours for times."""
    lines = [["policy", "figure", "mean of parts", "95 % interval", "over all jobs", "paper (whole log)"]]
    for one in found:
        unit, name = (3600.0, "mean wait h") if one.figure.endswith("_time") else (1.0, "slowdown")
        theirs = reference("full", one.policy)
        paper = "" if theirs is None else f"{getattr(theirs, one.figure) / unit:.3f}"
        about = "~" if theirs is not None and theirs.about else ""
        low, high = one.interval.low / unit, one.interval.high / unit
        lines.append(
            [
                one.policy,
                name,
                f"{one.interval.mean / unit:.3f}",
                f"{low:.3f} .. {high:.3f}",
                f"{one.over_jobs / unit:.3f}",
                about + paper,
            ]
        )
    return aligned(lines, range(2, 6))


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every two policies, the later given against the earlier, where enough workloads were run under both."""
    by_policy: dict[str, dict[str, Figures]] = {}
    for one in rows:
        by_policy.setdefault(one.policy, {})[one.workload] = one.figures
    found = []
    for baseline, policy in combinations(by_policy, 2):
        common = [name for name in by_policy[baseline] if name in by_policy[policy]]
        if len(common) < FEWEST:
            continue
        for figure in ("mean_waiting_time", "mean_bounded_slowdown", "max_waiting_time"):
            ours = [getattr(by_policy[policy][name], figure) for name in common]
            theirs = [getattr(by_policy[baseline][name], figure) for name in common]
            found.append(Pair(policy, baseline, figure, compare_pairs(ours, theirs)))
    return found


def pair_table(found: Sequence[Pair]) -> list[str]:
    """The lines of a table of pairs: mean differences over the workloads with 95 % bootstrap intervals."""
    lines = [["policy", "less", "figure", "difference", "95 % interval", "relative", "lower in", "p"]]
    for pair in found:
        d = pair.difference
        unit = 3600.0 if pair.figure.endswith("_time") else 1.0
        name = {"mean_waiting_time": "mean wait h", "max_waiting_time": "max wait h"}.get(
            pair.figure, "slowdown"
        )
        lines.append(
            [
                pair.policy,
                pair.baseline,
                name,
                f"{d.mean / unit:+.3f}",
                f"{d.low / unit:+.3f} .. {d.high / unit:+.3f}",
                percent(d.relative),
                f"{d.lower * d.n:.0f}/{d.n}",
                f"{d.p:.4f}",
            ]
        )
    return aligned(lines, range(3, 8))
