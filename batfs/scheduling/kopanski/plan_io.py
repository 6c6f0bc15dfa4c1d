"""plan-io, our own policy on the experiment's machine: plans of amounts, burst-buffer bytes split at need."""

from __future__ import annotations

from collections.abc import Callable

from batfs.scheduling.amounts import PlanSearch, Want
from batfs.scheduling.kopanski.policies import Pass
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement
from batfs.scheduling.timeline import first_nodes

Stay = Callable[[BufferedJob], float]


def plan_io(search: PlanSearch, stay: Stay | None = None) -> Pass:
    """The pass of plan-io. The layout must allow splitting.

    ``stay``: how long a waiting job is expected to stay (s), its walltime if None.
    """

    def run(state: ClusterState, now: float) -> None:
        waiting = state.waiting.copy()
        if not waiting:
            return
        # what running jobs hold, until they end: an overdue one has its nodes and its bytes still
        room = [state.layout.capacity] * state.layout.nb_buffers
        releases = []
        for hold in state.running.values():
            for buffer, size in hold.shares:
                room[buffer] -= size
            held = sum(size for _, size in hold.shares)
            releases.append((hold.end, (hold.nodes.bit_count(), held)))
        wants = [
            Want(
                job.id,
                job.submission_time,
                job.walltime if stay is None else stay(job),
                (job.nodes, job.nodes * job.share),
            )
            for job in waiting
        ]
        for k in search.starting(now, wants, (state.idle.bit_count(), sum(room)), releases):
            job = waiting[k]
            nodes = first_nodes(state.idle, job.nodes)
            pieces = state.layout.pieces_of(nodes, job.share, room)
            assert pieces is not None, "the plan counted this room"
            state.start(job, now, Placement(nodes, pieces))

    return run
