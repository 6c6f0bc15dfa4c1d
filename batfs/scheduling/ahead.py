"""What a pass does about jobs that are staged before they have nodes: nodes are kept for one that has waited
too long with its data, and bytes are taken back for the first of the queue. The rules are in ``staging``.
"""

from __future__ import annotations

from math import inf

from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import NodeSet, WaitingJob
from batfs.scheduling.machine import Booked
from batfs.scheduling.staging import Stager
from batfs.scheduling.tenancy import Tenancy
from batfs.scheduling.view import PassView


def keep_nodes_for_overdue(
    view: PassView, stager: Stager, patience: float
) -> tuple[Booked | None, float | None]:
    """Keep nodes for the job whose data has been there for longer than ``patience`` (s): it starts now if it
    can (the first), else others leave it what it waits for. When to look for the next such job (s)."""
    now = view.now
    job = stager.overdue(now, patience)
    if job is None:
        due_at = stager.next_overdue(patience)
        return None, due_at if due_at < inf else None
    nodes, time = _soonest(view, job)
    view.keep_nodes(nodes, time, job)
    placed = view.place(job) if time <= now else None
    return None if placed is None or isinstance(placed, Hold) else view.keep(placed), None


def _soonest(view: PassView, job: WaitingJob) -> tuple[NodeSet, float]:
    """The nodes that a job can have first, and when, by the walltimes of those that run: nodes of jobs
    without one are waited for."""
    then, now = view.free_nodes, view.now
    ends = sorted((max(r.expected_end, now), r.nodes) for r in view.running.values() if r.nodes)
    for time, nodes in ((now, 0), *ends):
        then |= nodes
        chosen = view.select(job.nodes, then & view.all_nodes)
        if chosen is not None:
            return chosen, time
    return view.all_nodes, inf  # nodes are away


def give_way(tenancy: Tenancy, view: PassView, stager: Stager, head: WaitingJob | None) -> bool:
    """Let jobs behind the first of the queue give it the space that it lacks and that they have filled before
    they had nodes; whether any does."""
    if head is None or not tenancy.waits.lacks_space(head.id):
        return False
    hold = tenancy.waits.reason(head.id)
    anyhow = not tenancy.running and not stager.busy
    # who has been promised a start needs its data then, and will be gone
    stay = {head.id} if anyhow else {head.id, *view.promised}
    return hold is not None and stager.give_way(head, hold, lambda job: job.id not in stay, anyhow=anyhow)
