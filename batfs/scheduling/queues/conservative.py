"""Conservative backfilling on nodes and storage.

A. Mu'alem and D. Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6), 2001.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.filesystems.lifecycle import SOON
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
    by_walltimes = True

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
            starts = self._due(view, kept)
            waiting = [placed for placed, _ in kept.values() if placed.start > view.now]
            waiting.sort(key=lambda placed: (placed.start, placed.job.order))
            wake_at = agenda.call_for(view, waiting[0], starts) if waiting else None
        finally:
            agenda.finish()
        self._promises = {placed.job.id: placed for placed in waiting}
        return Pass(starts, wake_at=wake_at)

    def _due(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> list[JobPlacement]:
        """Those that begin now, and those that nobody could be called for."""
        starts = [placed for placed, _ in kept.values() if placed.start <= view.now]
        soon = [pair for pair in kept.values() if view.now < pair[0].start < view.now + SOON]
        for placed, stay in sorted(soon, key=lambda pair: (pair[0].start, pair[0].job.order)):
            self._agenda.remove(stay)
            moved = self._agenda.brought_forward(view, placed, starts)
            kept[placed.job.id] = (moved, self._agenda.add(moved))
            if moved.start <= view.now:
                starts.append(moved)
        return starts

    def _keep(self, view: QueueView) -> dict[str, tuple[JobPlacement, Stay]]:
        """Make the promises of the last pass again, on the same nodes at the same times."""
        kept: dict[str, tuple[JobPlacement, Stay]] = {}
        for job_id, promise in self._promises.items():
            if job_id not in view.queue:
                continue
            placed = self._agenda.same_stay(view, promise)
            if placed is not None:
                kept[job_id] = (placed, self._agenda.add(placed))
            if job_id not in kept and self._agenda.freed is not None:
                self._agenda.freed.append((promise.start, promise.end))
        return kept

    def _move_forward(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> None:
        """A promise was the earliest possible when it was made, so it can only move to a stay that meets
        something freed since: by jobs that ended, or by promises moved before it."""
        agenda = self._agenda
        freed = None if agenda.freed is None else list(agenda.freed)
        for job_id, (placed, stay) in list(kept.items()):
            if placed.start <= view.now:
                continue
            spans = _spans(freed, placed, view.now)
            if not spans:
                continue
            agenda.remove(stay)
            moved = self._earlier(view, placed, spans)
            if moved is None:
                kept[job_id] = (placed, agenda.add(placed))
                continue
            if freed is not None and moved.start < placed.start:
                freed.append((placed.start, placed.end))
            kept[job_id] = (moved, agenda.add(moved))

    def _earlier(
        self, view: QueueView, placed: JobPlacement, spans: Sequence[tuple[float, float]]
    ) -> JobPlacement | None:
        """The placement moved to an earlier start in one of ``spans``, or made again; None if it stays."""
        agenda, job = self._agenda, placed.job
        stay, undone = placed.node_end - placed.start, False
        for since, until in spans:
            # nodes alone are quickly asked for
            if agenda.timeline.earliest_nodes(job.nodes, stay, since, view.all_nodes, until) is None:
                continue
            if not undone:
                view.undo(placed)
                undone = True
            moved = agenda.first_stay(view, job, agenda.ends(since, until), until=until)
            if moved is not None:
                return moved
        if not undone:
            return None
        again = view.again(placed, placed.start)
        assert not isinstance(again, Hold), "it was there a moment ago"
        return again

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


def _spans(
    freed: Sequence[tuple[float, float]] | None, placed: JobPlacement, now: float
) -> list[tuple[float, float]]:
    """When ``placed`` would have to start, before its time, to meet any of ``freed`` (None: at any time);
    ascending, apart from each other."""
    if freed is None:
        return [(now, placed.start)]
    stay = placed.end - placed.start
    found: list[tuple[float, float]] = []
    for begin, end in sorted((max(now, a - stay), min(b, placed.start)) for a, b in freed):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
