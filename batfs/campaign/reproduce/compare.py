"""Our figures beside others', and policies beside each other over the parts of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from batfs.campaign.reproduce.kopanski import Figures, Run
from batfs.campaign.reproduce.references import Reference, recorded_starts, reference
from batfs.report.inference import FEWEST, Difference, Interval, compare_pairs, mean_interval

SAME = 1e-3
"""Two starts closer than this are equal (s): the reference files have 6 decimals."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run and what it is compared with; ``same_starts`` of ``recorded`` jobs, if recorded job by job."""

    workload: str
    policy: str
    figures: Figures
    seconds: float
    reference: Reference | None
    same_starts: int | None
    recorded: int | None

    def difference(self, name: str) -> float | None:
        """Ours over theirs, less one."""
        theirs = None if self.reference is None else getattr(self.reference, name)
        return getattr(self.figures, name) / theirs - 1 if theirs else None

    def as_dict(self) -> dict[str, object]:
        theirs = self.reference
        return {
            "workload": self.workload,
            "policy": self.policy,
            **self.figures.as_dict(),
            "seconds": round(self.seconds, 3),
            "reference_mean_waiting_time": None if theirs is None else theirs.mean_waiting_time,
            "reference_mean_bounded_slowdown": None if theirs is None else theirs.mean_bounded_slowdown,
            "same_starts": self.same_starts,
            "recorded_jobs": self.recorded,
        }


def row(run: Run, references: Path | None) -> Row:
    """A run beside its reference, and beside ``WORKLOAD-POLICY.csv`` in ``references`` if it is there."""
    same = recorded = None
    if references is not None:
        path = references / f"{run.workload}-{run.policy}.csv"
        if path.is_file():
            starts = recorded_starts(path)
            recorded = len(starts)
            same = sum(
                job.job_id in starts and abs(starts[job.job_id] - job.start) < SAME for job in run.outcomes
            )
    theirs = reference(run.workload, run.policy)
    return Row(run.workload, run.policy, run.figures(), run.seconds, theirs, same, recorded)


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of the table; hours for times."""
    header = [
        *("workload", "policy", "jobs", "wait h", "theirs", "diff", "slowdown", "theirs", "diff"),
        *("max wait h", "timeouts", "same starts", "seconds"),
    ]
    lines = [header]
    for one in rows:
        figures, theirs = one.figures, one.reference
        about = "~" if theirs is not None and theirs.about else ""
        same = "" if one.recorded is None else f"{one.same_starts}/{one.recorded}"
        lines.append(
            [
                one.workload,
                one.policy,
                str(figures.jobs),
                f"{figures.mean_waiting_time / 3600:.3f}",
                "" if theirs is None else f"{about}{theirs.mean_waiting_time / 3600:.3f}",
                _percent(one.difference("mean_waiting_time")),
                f"{figures.mean_bounded_slowdown:.3f}",
                "" if theirs is None else f"{about}{theirs.mean_bounded_slowdown:.3f}",
                _percent(one.difference("mean_bounded_slowdown")),
                f"{figures.max_waiting_time / 3600:.1f}",
                str(figures.timed_out),
                same,
                f"{one.seconds:.1f}",
            ]
        )
    return _aligned(lines, left=2)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f} %"


def _aligned(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = []
    for line in lines:
        cells = [
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    return out


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
    return _aligned(lines, left=2)


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
                _percent(d.relative),
                f"{d.lower * d.n:.0f}/{d.n}",
                f"{d.p:.4f}",
            ]
        )
    return _aligned(lines, left=3)
