"""The life of one job as the experiment plays it: stage-in, computing with checkpoints, drains, stage-out.

Each step is a *phase*: sub-jobs sent together, a job's next phase begins when all of them are reported.
Drains accompany the phases after them. :class:`Life` is pure: it is told which sub-job ended and says what
to launch and whether the job is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from batfs.scheduling.kopanski.state import BufferedJob

FLOPS_PER_PHASE = 3.6e12
"""An hour of a node of the experiment's machine: the time between checkpoints."""

MAX_COMPUTE_PHASES = 10


class Step(Enum):
    STAGE_IN = "stage-in"
    COMPUTE = "compute"
    CHECKPOINT = "checkpoint"
    DRAIN = "drain"
    STAGE_OUT = "stage-out"


@dataclass(frozen=True, slots=True)
class Launch:
    """Sub-jobs to send: one on all nodes for COMPUTE, one per node for CHECKPOINT, else one per piece
    (usually as many). ``walltime`` None: unlimited."""

    step: Step
    number: int
    walltime: float | None


def compute_phases(cpu: float) -> int:
    """How many computing phases ``cpu`` flops per node are cut into."""
    return min(MAX_COMPUTE_PHASES, max(1, round(cpu / FLOPS_PER_PHASE)))


class Life:
    """One started job, its bytes in ``pieces`` pieces (None: one a node). ``over`` when it has ended,
    ``failed`` when its walltime cut it short."""

    def __init__(self, job: BufferedJob, now: float, pieces: int | None = None) -> None:
        self.job = job
        self.pieces = job.nodes if pieces is None else pieces
        self.phases = compute_phases(job.cpu)
        self.computed = 0
        self.over = False
        self.failed = False
        self._step = Step.STAGE_IN
        self._began = now
        self._left = job.walltime
        self._pending = 0
        self._draining = 0
        self._cut = False

    def begin(self) -> list[Launch]:
        self._pending = self.pieces
        return [Launch(Step.STAGE_IN, 0, self.job.walltime)]

    def reported(self, step: Step, success: bool, now: float) -> Sequence[Launch]:
        """A sub-job of ``step`` was reported at ``now``: what to launch next; look at ``over`` too."""
        if self.over:
            return ()
        if step is Step.DRAIN:
            self._draining -= 1
            self._finish_if_done()
            return ()
        self._pending -= 1
        self._cut |= not success
        if step is Step.STAGE_OUT:
            # one that was cut short counts as done
            self._finish_if_done()
            return ()
        if self._pending:
            return ()
        if self._cut:
            self.over = self.failed = True
            return ()
        return self._next(step, now)

    def _next(self, step: Step, now: float) -> Sequence[Launch]:
        self._left -= now - self._began
        self._began = now
        if self._left <= 0:  # the reports themselves took the rest of the walltime
            self.over = self.failed = True
            return ()
        if step is Step.COMPUTE:
            self.computed += 1
            last = self.computed == self.phases
            self._step = Step.STAGE_OUT if last else Step.CHECKPOINT
            self._pending = self.pieces if last else self.job.nodes
            return [Launch(self._step, self.computed - 1, self._left)]
        self._step = Step.COMPUTE
        self._pending = 1
        launches = [Launch(Step.COMPUTE, self.computed, self._left)]
        if step is Step.CHECKPOINT:
            self._draining += self.pieces
            launches.append(Launch(Step.DRAIN, self.computed - 1, None))
        return launches

    def _finish_if_done(self) -> None:
        if self._step is Step.STAGE_OUT and not self._pending and not self._draining:
            self.over = True
            self.failed = self._cut
