"""Conservative backfilling on nodes and storage.

A. Mu'alem and D. Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6), 2001.
"""

from __future__ import annotations

from math import inf

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import Agenda
from batfs.scheduling.timeline import Hold as Stay


@QUEUE_POLICIES.register("conservative")
class Conservative:
    """Promise every waiting job nodes and bytes at the earliest time that delays no promise made before; a
    job goes ahead of others only into what is left.

    When a job ends early, the promises are moved forward one by one, soonest first, each against all the
    others, so that none ever moves back while walltimes hold: what a user is told at submission is the
    latest start. Jobs without walltime are taken to run for ever; what waits for one has no promise.
    ``depth`` bounds how many jobs, from the head of the queue, have promises (0: all); the rest wait.
    """

    name = "conservative"

    def __init__(self, depth: int = 0) -> None:
        if depth < 0:
            raise InputError(
                f"the depth of the queue policy 'conservative' is {depth}; expected 0 (all) or more"
            )
        self.depth = depth
        self._agenda = Agenda()
        self._promises: dict[str, JobPlacement] = {}
        """As of the last pass, soonest first."""

    def schedule(self, view: QueueView) -> Pass:
        queue = view.queue
        if not len(queue):
            return Pass()
        agenda = self._agenda
        agenda.begin(view)
        try:
            kept = self._keep(view)
            if view.freed:
                self._move_forward(view, kept)
            self._admit(view, kept)
            starts = [placed for placed, _ in kept.values() if placed.start <= view.now]
        finally:
            agenda.finish()
        waiting = [placed for placed, _ in kept.values() if placed.start > view.now]
        waiting.sort(key=lambda placed: (placed.start, placed.job.order))
        self._promises = {placed.job.id: placed for placed in waiting}
        return Pass(starts)

    def _keep(self, view: QueueView) -> dict[str, tuple[JobPlacement, Stay]]:
        """Make the promises of the last pass again, on the same nodes at the same times."""
        kept: dict[str, tuple[JobPlacement, Stay]] = {}
        for job_id, promise in self._promises.items():
            job = promise.job
            if job_id not in view.queue:
                continue
            start = max(promise.start, view.now)
            free = self._agenda.timeline.free_nodes(start, start + job.walltime)
            if promise.nodes & ~(free & view.all_nodes) == 0:
                placed = view.again(promise, start)
                if not isinstance(placed, Hold):
                    kept[job_id] = (placed, self._agenda.add(placed))
        return kept

    def _move_forward(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> None:
        for job_id, (placed, stay) in list(kept.items()):
            if placed.start <= view.now:
                continue
            self._agenda.remove(stay)
            view.undo(placed)
            after = [t for t in self._agenda.ends(view.now) if t <= placed.start]
            moved = self._agenda.first_stay(view, placed.job, after, until=placed.start)
            if moved is None:
                again = view.again(placed, placed.start)
                if isinstance(again, Hold):  # can't be: it was there a moment ago
                    del kept[job_id]
                    continue
                moved = again
            kept[job_id] = (moved, self._agenda.add(moved))

    def _admit(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> None:
        """Promises for those without: new jobs, and those whose promise could not be kept."""
        missing: list[WaitingJob] = []
        for seen, job in enumerate(view.queue):
            if self.depth and seen >= self.depth:
                break
            if job.id not in kept:
                missing.append(job)
        for job in missing:
            placed = self._agenda.first_stay(view, job, self._agenda.ends(view.now))
            if placed is not None and placed.start < inf:
                kept[job.id] = (placed, self._agenda.add(placed))
