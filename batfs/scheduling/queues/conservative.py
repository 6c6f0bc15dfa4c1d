"""Conservative backfilling on nodes and storage.

A. Mu'alem and D. Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6), 2001.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf

from batfs.errors import InputError
from batfs.protocol.clock import SAME, SOON, on_calendar
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import Agenda, data_is_sure
from batfs.scheduling.timeline import Hold as Stay


@QUEUE_POLICIES.register("conservative")
class Conservative:
    """Promise every waiting job nodes and bytes at the earliest time that delays no promise made before; a
    job goes ahead of others only into what is left.

    When a job ends early, the promises are moved forward one by one, soonest first, each against all the
    others, so that none ever moves back while walltimes hold: what a user is told at submission is the
    latest start. Jobs without walltime are taken to run for ever; what waits for one has no promise.
    ``depth`` bounds how many jobs, from the head of the queue, have promises (0: all); the rest wait. A job
    that is staged before it has nodes has a promise from the beginning of its staging on, the first of the
    queue before that too.
    """

    name = "conservative"
    orderly = True
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
        self._stays: dict[str, Stay] = {}
        """Their nodes on the agenda, where they stand from pass to pass."""

    def schedule(self, view: QueueView) -> Pass:
        agenda = self._agenda
        agenda.begin(view)
        stays: dict[str, Stay] = {}
        try:
            kept = self._keep(view)
            if view.freed:
                self._move_forward(view, kept)
            self._admit(view, kept)
            starts = self._due(view, kept)
            waiting = [pair for pair in kept.values() if pair[0].start > view.now]
            waiting.sort(key=lambda pair: (pair[0].start, pair[0].job.order))
            promises = [placed for placed, _ in waiting]
            wake_at = agenda.call_for(view, promises[0], starts) if promises else None
            stays = {placed.job.id: stay for placed, stay in waiting}
        finally:
            agenda.finish(stays.values())
        self._promises = {placed.job.id: placed for placed in promises}
        self._stays = stays
        return Pass(starts, wake_at=wake_at, promises=promises)

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
        """The promises of the last pass. They stand as they are, unless nodes or bytes are held for longer
        than was foreseen, or machines have gone: then each is made again, soonest first, where there is
        room."""
        agenda, promises, stays = self._agenda, self._promises, self._stays
        kept: dict[str, tuple[JobPlacement, Stay]] = {}
        stands = not agenda.broken and view.sound
        for job_id, promise in promises.items():
            if not stands:
                break
            if job_id not in view.queue:
                agenda.remove(stays[job_id])
                view.undo(promise)
            elif promise.start > view.now and promise.start + SAME >= view.now + view.lead(promise.job):
                kept[job_id] = (promise, stays[job_id])
            else:  # its time has come, or its data can't be there by then
                agenda.remove(stays[job_id])
                view.undo(promise)
                due = agenda.same_stay(view, promise, attempt=False)
                if due is None:
                    stands = False
                else:
                    kept[job_id] = (due, agenda.add(due))
        if stands:
            return kept
        agenda.withdraw()
        standing = {id(promise): promise for promise in promises.values()}
        standing |= {id(placed): placed for placed, _ in kept.values()}
        for placed in standing.values():
            if view.holds(placed):
                view.undo(placed)
        kept.clear()
        for job_id, promise in promises.items():
            if job_id not in view.queue:
                continue
            again = agenda.same_stay(view, promise)
            if again is not None:
                kept[job_id] = (again, agenda.add(again))
            elif agenda.freed is not None:
                agenda.freed.append((promise.start, promise.end))
        return kept

    def _move_forward(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> None:
        """A promise was the earliest possible when it was made, so it can only move to a stay that meets
        something freed since: by jobs that ended, or by promises moved before it."""
        agenda = self._agenda
        freed = Spans(agenda.freed)
        pairs, k = list(kept.values()), 0
        mover = view.mover
        if mover is not None and not mover.begin(agenda.timeline, pairs):
            mover = None
        while k < len(pairs):
            if mover is not None:
                k, freed.known, moves = mover.run(k, freed.known)
                for moved, there in moves:
                    agenda.exchange(kept[moved.job.id][1], there)
                    kept[moved.job.id] = moved, there
                if k == len(pairs):
                    break
            placed, stay = pairs[k]
            job_id = placed.job.id
            k += 1
            if placed.start <= view.now:
                continue
            spans = freed.before(placed, view.now)
            if placed.lead and not view.lead(placed.job):  # its data has come
                spans = [(view.now, placed.start)]
            if not spans:
                continue
            agenda.remove(stay)
            moved = self._earlier(view, placed, spans)
            if moved is None:
                if view.holds(placed):
                    kept[job_id] = (placed, agenda.add(placed))
                else:
                    del kept[job_id]
                continue
            if moved.start < placed.start:
                freed.add(placed.start, placed.end)
            kept[job_id] = (moved, agenda.add(moved))

    def _earlier(
        self, view: QueueView, placed: JobPlacement, spans: Sequence[tuple[float, float]]
    ) -> JobPlacement | None:
        """The placement moved to an earlier start in one of ``spans``, or made again; None if it stays, or if
        it is not held any more."""
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
        again = agenda.same_stay(view, placed)
        # bytes of waiting jobs are given back when these are promised to be over, which has changed; or the
        # job's data sets lie elsewhere now
        known = job.data_sets or view.staged or job.staged is not None
        assert again is not None or known, "it was there a moment ago"
        return again

    def _admit(self, view: QueueView, kept: dict[str, tuple[JobPlacement, Stay]]) -> None:
        """Promises for those without: new jobs, and those whose promise could not be kept."""
        missing: list[WaitingJob] = []
        for seen, job in enumerate(view.queue):
            if self.depth and seen >= self.depth:
                break
            if job.id not in kept and (data_is_sure(job) or not seen):
                missing.append(job)
        for job in missing:
            placed = self._agenda.first_stay(view, job, self._agenda.ends(view.now))
            if placed is not None and placed.start < inf:
                kept[job.id] = (placed, self._agenda.add(placed))


class Spans:
    """When something is free that was held before, [from, to); None: perhaps at any time."""

    def __init__(self, spans: Sequence[tuple[float, float]] | None) -> None:
        self.known: list[tuple[float, float]] | None = None if spans is None else []
        """Ascending, apart from each other."""
        for begin, end in spans or ():
            self.add(begin, end)

    def add(self, begin: float, end: float) -> None:
        spans = self.known
        if spans is None or begin >= end:
            return
        # those from i to j - 1 touch it
        i = bisect_left(spans, begin, key=lambda span: span[1])
        j = bisect_right(spans, end, key=lambda span: span[0])
        if i < j:
            begin, end = min(begin, spans[i][0]), max(end, spans[j - 1][1])
        spans[i:j] = [(begin, end)]

    def before(self, placed: JobPlacement, now: float) -> list[tuple[float, float]]:
        """When ``placed`` would have to start, before its time, to meet any of them; ascending, apart from
        each other."""
        if self.known is None:
            return [(now, placed.start)]
        stay = placed.end - placed.start
        found: list[tuple[float, float]] = []
        for since, until in self.known:
            begin, end = max(now, on_calendar(since - stay)), min(until, placed.start)
            if begin >= end:
                if begin >= placed.start:
                    break
                continue
            if found and begin <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], end))
            else:
                found.append((begin, end))
        return found
