"""The queue policies of the paper. Each is one scheduling pass: start what may start at ``now``.

Section 3 of the paper names them; ``plan`` is in ``annealing``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from batfs.scheduling.kopanski.state import BufferedJob, ClusterState
from batfs.scheduling.timeline import Hold

Pass: TypeAlias = Callable[[ClusterState, float], None]


def _start_in_order(state: ClusterState, now: float) -> None:
    """Start from the head of the queue until a job does not fit."""
    while state.waiting:
        job = state.waiting[0]
        placement = state.room_now(job, now)
        if placement is None:
            return
        state.start(job, now, placement)


def _fill(state: ClusterState, now: float, jobs: Sequence[BufferedJob], promised: Hold | None = None) -> None:
    """Start every job that fits, in the order given, clear of what is promised."""
    for job in jobs:
        placement = state.room_now(job, now, promised)
        if placement is not None:
            state.start(job, now, placement)


def fcfs(state: ClusterState, now: float) -> None:
    """First come, first served: nobody overtakes."""
    _start_in_order(state, now)


def filler(state: ClusterState, now: float) -> None:
    """Everything that fits, in order of submission; nothing is promised to anyone."""
    _fill(state, now, state.waiting.copy())


def fcfs_easy(state: ClusterState, now: float) -> None:
    """EASY backfilling as if there were no burst buffers: the head is promised nodes only."""
    _start_in_order(state, now)
    _backfill(state, now, state.promise_nodes)


def fcfs_bb(state: ClusterState, now: float) -> None:
    """EASY backfilling where the head is promised nodes and burst buffers."""
    _start_in_order(state, now)
    _backfill(state, now, state.promise)


def sjf_bb(state: ClusterState, now: float) -> None:
    """As fcfs-bb, but the shortest walltimes are tried first behind the head."""
    _start_in_order(state, now)
    _backfill(state, now, state.promise, key=lambda job: job.walltime)


def _backfill(
    state: ClusterState,
    now: float,
    promise: Callable[[BufferedJob, float], Hold],
    key: Callable[[BufferedJob], float] | None = None,
) -> None:
    if len(state.waiting) < 2:
        return
    promised = promise(state.waiting[0], now)
    others = state.waiting[1:]
    if key is not None:
        others.sort(key=key)
    state.timeline.hold(promised)
    _fill(state, now, others, promised)
    state.timeline.release(promised)


POLICIES: dict[str, Pass] = {
    "fcfs": fcfs,
    "filler": filler,
    "fcfs-easy": fcfs_easy,
    "fcfs-bb": fcfs_bb,
    "sjf-bb": sjf_bb,
}
