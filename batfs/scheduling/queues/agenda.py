"""When which nodes will be free: a timeline kept from pass to pass, and the search for a job's first stay.

Nodes are known from the jobs that run (until their walltimes are over) and from what a pass has placed or
promised. Bytes are asked of the view at the time in question: its books know what every reservation holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from math import inf

from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, NodeSet, QueueView, WaitingJob
from batfs.scheduling.timeline import Hold as Stay
from batfs.scheduling.timeline import Timeline, first_nodes

OVERTIME = 60.0
"""A job still there when its walltime is over (staging out) is expected to go in so many seconds (s)."""


class Agenda:
    """The nodes over time. Call :meth:`begin` first in a pass and :meth:`finish` last."""

    def __init__(self) -> None:
        self.timeline = Timeline(0)
        self.freed: list[tuple[float, float]] | None = None
        """When something is free that was held in the last pass, [from, to); None: perhaps at any time."""
        self._running: dict[str, Stay] = {}
        self._trial: list[Stay] = []
        self._ends: list[float] = []
        self._nodes: NodeSet = 0

    def begin(self, view: QueueView) -> None:
        """Take over what has changed since the last pass."""
        nodes = view.all_nodes.bit_length()
        if nodes > self.timeline.nodes:  # the first pass, or machines came
            self.timeline = Timeline(nodes)
            self._running = {}
        running, freed = view.running, []
        for job_id in [job_id for job_id in self._running if job_id not in running]:
            gone = self._running.pop(job_id)
            self.timeline.release(gone)
            freed.append((view.now, max(gone.end, view.now + OVERTIME)))
        for job_id, job in running.items():
            known = self._running.get(job_id)
            if known is not None:
                if known.nodes == job.nodes and known.end > view.now:
                    continue
                self.timeline.release(known)
                freed.append((view.now, max(known.end, view.now + OVERTIME)))
            end = job.expected_end if job.expected_end > view.now else view.now + OVERTIME
            stay = Stay(job.start, end, end, job.nodes)
            self.timeline.hold(stay)
            self._running[job_id] = stay
        # machines that come back, or bytes that no running job held
        self.freed = freed if freed and view.all_nodes == self._nodes else None
        self._nodes = view.all_nodes
        self._ends = sorted(stay.end for stay in self._running.values() if stay.end < inf)

    def finish(self) -> None:
        """Forget what the pass has tried."""
        for stay in self._trial:
            self.timeline.release(stay)
        self._trial.clear()

    def add(self, placement: JobPlacement) -> Stay:
        """Hold the nodes of a placement until the pass is over."""
        stay = Stay(placement.start, placement.end, placement.end, placement.nodes)
        self.timeline.hold(stay)
        self._trial.append(stay)
        if stay.end < inf:
            insort(self._ends, stay.end)
        return stay

    def remove(self, stay: Stay) -> None:
        """Take back what :meth:`add` held."""
        self._trial.remove(stay)
        self.timeline.release(stay)
        if stay.end < inf:
            del self._ends[bisect_left(self._ends, stay.end)]

    def ends(self, now: float, until: float = inf) -> list[float]:
        """``now`` and the times after it, up to ``until``, at which something is expected to be given back,
        ascending."""
        ends = self._ends
        return [now, *ends[bisect_right(ends, now) : bisect_right(ends, until)]]

    def first_stay(
        self, view: QueueView, job: WaitingJob, after: Iterable[float], until: float = inf
    ) -> JobPlacement | None:
        """The earliest start of ``job`` on nodes and bytes, placed on the view; None if none is foreseen.

        Searched from each time of ``after`` (ascending, none before now) in turn, as far as ``until``.
        """
        tried = -inf
        for base in after:
            if base <= tried:
                continue
            found = self.timeline.earliest_nodes(job.nodes, job.walltime, base, view.all_nodes, until)
            if found is None or found[0] == inf or found[0] > until:
                return None
            tried, free = found
            for among in self._preferred(view, job.nodes, free, tried):
                start = None if tried <= view.now else tried
                placed = view.place(job, start=start, among=among)
                if not isinstance(placed, Hold):
                    return placed
        return None

    def _preferred(self, view: QueueView, count: int, free: NodeSet, start: float) -> Iterator[NodeSet]:
        """Nodes to choose from: for a stay in the future first those busy now, so that the ones idle now stay
        open to others meanwhile; then all, for a selection that wants particular ones."""
        if start > view.now:
            busy = free & ~view.free_nodes
            lacking = count - busy.bit_count()
            if lacking < 0:
                yield busy
            elif lacking:
                # idle ones from the far end: the lowest go to jobs that start now
                idle = free & view.free_nodes
                yield busy | idle & ~first_nodes(idle, idle.bit_count() - lacking)
            else:
                yield busy
        yield free
