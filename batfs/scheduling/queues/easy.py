"""EASY backfilling on nodes.

D. Lifka, "The ANL/IBM SP scheduling system", JSSPP 1995; D. Feitelson and A. Weil, "Utilization and
predictability in scheduling the IBM SP2 with backfilling", IPPS 1998.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import inf

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.protocol.clock import on_calendar
from batfs.records import record
from batfs.scheduling.interface import JobPlacement, NodeSet, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import place_before
from batfs.scheduling.queues.fcfs import start_in_order


@record(frozen=False)
class Shadow:
    """The reservation of the first job that has to wait, from ``time`` on.

    Where any nodes will do, only their number counts: ``extra`` nodes will be left over then. Where the
    selection cares which (a block), ``nodes`` are those to leave alone, and ``extra`` is None.
    """

    job_id: str
    time: float
    extra: int | None
    nodes: NodeSet = 0


@QUEUE_POLICIES.register("easy")
class Easy:
    """Start jobs in order; reserve nodes for the first that has to wait, at the earliest time at which the
    walltimes of running jobs promise them; let later jobs go ahead, in submission order, if they fit now and
    either end by that time or leave its nodes alone. A job without walltime is taken to run for ever.

    Only nodes are reserved: a job that waits for bytes can be overtaken again and again (``easy_storage``
    reserves both). ``depth`` bounds how many waiting jobs a pass tries to backfill (0: all).
    """

    name = "easy"
    orderly = True
    by_walltimes = True

    def __init__(self, depth: int = 0) -> None:
        if depth < 0:
            raise InputError(f"the depth of the queue policy 'easy' is {depth}; expected 0 (all) or more")
        self.depth = depth
        self._shadow: Shadow | None = None

    def schedule(self, view: QueueView) -> Pass:
        starts = start_in_order(view)
        if len(starts) == len(view.queue):
            self._shadow = None
            return Pass(starts)
        head = next(islice(view.queue, len(starts), None))
        shadow = self._shadow
        candidates: Iterable[WaitingJob]
        if view.freed or shadow is None or shadow.job_id != head.id:
            shadow = self._shadow = reserve(view, head, starts)
            candidates = view.queue.narrower(view)
        else:
            # nothing was given back: who didn't fit still doesn't, and the reservation stands
            candidates = view.arrived
        later = (job for job in candidates if job.order > head.order)
        for job in islice(later, self.depth or None):
            # ending just when the reservation starts is no delay
            late = on_calendar(view.now + view.stay(job)) > shadow.time or job.walltime == inf
            if late and shadow.extra is not None and job.nodes > shadow.extra:
                continue
            placed = place_before(view, job, shadow.time, shadow.nodes)
            if isinstance(placed, Hold):
                continue
            late = late or placed.node_end > shadow.time
            if late and shadow.extra is not None and job.nodes > shadow.extra:
                view.undo(placed)  # it stages for longer than was known
                continue
            starts.append(placed)
            if late and shadow.extra is not None:
                shadow.extra -= job.nodes
        return Pass(starts)


def reserve(view: QueueView, job: WaitingJob, starts: Iterable[JobPlacement] = ()) -> Shadow:
    """The earliest time at which the nodes of jobs whose walltime is over, and those free now, suffice.

    ``starts``: placements of this pass. Infinite when jobs without walltime hold too many nodes: then only
    jobs that have one may go ahead.
    """
    then = view.free_nodes
    data = on_calendar(view.now + lead) if (lead := view.lead(job)) else view.now
    chosen = view.select(job.nodes, then)
    if chosen is not None:  # it waits for bytes: keep its nodes
        return _shadow(view, job, data, then, chosen)
    releases = [(max(s.expected_end, view.now), s.nodes) for s in view.running.values() if s.nodes]
    releases += [(placed.node_end, placed.nodes) for placed in starts]
    releases = sorted((r for r in releases if r[0] < inf), key=lambda release: release[0])
    last = len(releases) - 1
    for k, (time, nodes) in enumerate(releases):
        then |= nodes
        if k < last and releases[k + 1][0] == time:
            continue
        chosen = view.select(job.nodes, then)
        if chosen is not None:
            return _shadow(view, job, max(time, data), then, chosen)
    if view.select(job.nodes, view.all_nodes) is not None:
        return Shadow(job.id, inf, 0)
    return Shadow(job.id, inf, None)  # nodes are unavailable: there is nothing to protect


def _shadow(view: QueueView, job: WaitingJob, time: float, then: NodeSet, chosen: NodeSet) -> Shadow:
    if view.picky:
        return Shadow(job.id, time, None, chosen)
    return Shadow(job.id, time, then.bit_count() - job.nodes)
