"""``PREFIX_jobs.csv`` of a run under Batsim 5, in the form that Batsim 4 gives it.

Batsim 5's own file has a rejected row for every job with I/O and another one, submitted when it started, for
the task that took its place. This one has the jobs as the workload has them, and batfs's own dynamic jobs
(staging, phases) as Batsim 4 would show them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from batfs.decision.replacing import Watcher
from batfs.protocol import messages as m
from batfs.protocol.decision_side import ProtocolError
from batfs.resource_sets import format_resources
from batfs.simulator.outputs import JOBS_HEADER, job_row
from batfs.workload.model import Job

_SHORTEST = 1e-5  # what Batsim gives a job that took no time (s)


def jobs_path(prefix: str | Path) -> Path:
    return Path(f"{prefix}_jobs.csv")


class JobsFile(Watcher):
    """Writes a row per job to ``stream``, in the order in which they end or are rejected."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._jobs: dict[str, Job] = {}
        self._started: dict[str, tuple[float, str]] = {}
        self._said: dict[str, str] = {}
        stream.write(JOBS_HEADER)

    def submitted(self, job: Job) -> None:
        self._jobs[job.id] = job

    def started(self, now: float, decision: m.ExecuteJob) -> None:
        self._started[decision.job_id] = now, format_resources(decision.alloc)

    def over(self, now: float, event: m.JobCompleted) -> None:
        if event.job_id not in self._started:
            raise ProtocolError(f"{event.job_id!r} has completed, but it was not running")
        start, alloc = self._started.pop(event.job_id)
        self._write(event.job_id, event.state, start, max(now - start, _SHORTEST), alloc)

    def rejected(self, now: float, job_id: str) -> None:
        self._write(job_id, "REJECTED", -1.0, 0.0, "")

    def metadata(self, job_id: str, text: str) -> None:
        self._said[job_id] = text

    def _write(self, job_id: str, state: str, start: float, runtime: float, alloc: str) -> None:
        if job_id not in self._jobs:
            raise ProtocolError(f"{job_id!r} is over, but it was never submitted, or ended before")
        job, said = self._jobs.pop(job_id), self._said.pop(job_id, "")
        self._stream.write(job_row(job, state, start, runtime, alloc, said))
