"""Our figures beside others', run by run. Over several workloads: :mod:`.over_parts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batfs.campaign.reproduce.kopanski import Figures, Run
from batfs.campaign.reproduce.references import Reference, recorded_starts, reference
from batfs.texts import aligned

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
                percent(one.difference("mean_waiting_time")),
                f"{figures.mean_bounded_slowdown:.3f}",
                "" if theirs is None else f"{about}{theirs.mean_bounded_slowdown:.3f}",
                percent(one.difference("mean_bounded_slowdown")),
                f"{figures.max_waiting_time / 3600:.1f}",
                str(figures.timed_out),
                same,
                f"{one.seconds:.1f}",
            ]
        )
    return aligned(lines, range(2, 12))


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.2f} %"
