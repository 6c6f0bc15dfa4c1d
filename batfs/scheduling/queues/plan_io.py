"""Our own: plans of nodes and bytes as amounts, staging included, with a limit to everybody's patience.

``docs/background/kopanski.md`` argues and measures it on the experiment of Kopanski & Rzadca (Euro-Par 2021).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import (
    Agenda,
    data_is_sure,
    in_whole_seconds,
    let_go,
    place_before,
    told_before,
)
from batfs.scheduling.queues.footprints import Footprints, bytes_by_file_system, room_by_file_system
from batfs.scheduling.queues.plan import FOREVER
from batfs.scheduling.staging import releases

if TYPE_CHECKING:  # compiled code: imported when the first plan is made
    from batfs.scheduling.amounts import PlanSearch

HOUR = 3600.0
REPLANS = 3
"""How often a pass plans again without the jobs that a plan started and that then found no room."""


@QUEUE_POLICIES.register("plan_io")
class PlanIo:
    """Search the order of the waiting jobs whose plan has the least sum of
    (600 s / stay)^``beta`` x (start - submission)^``alpha``, and start what it starts now. A plan counts free
    nodes and, by file system, free bytes, not which: it is never kept from a good order by holes that the
    allocation can fill when the time comes. A stay is the walltime plus the staging expected at the
    bandwidths of the storages involved, shared with the transfers active on them.

    Annealing begins with sorted orders and with the last plan, ``trials`` swaps and moves. The job that has
    waited longest is promised nodes and storages, as by ``easy_storage``, once that is longer than
    ``patience`` hours: no job starves while walltimes hold. ``depth`` bounds how many jobs, from the head of
    the queue, are planned (0: all).
    """

    name = "plan_io"
    orderly = True
    by_walltimes = True

    def __init__(
        self,
        alpha: float = 1.5,
        beta: float = 0.0,
        patience: float = 110.0,
        trials: int = 400,
        depth: int = 200,
    ) -> None:
        for key, value, least in (
            ("beta", beta, 0),
            ("patience", patience, 0),
            ("trials", trials, 0),
            ("depth", depth, 0),
        ):
            if value < least:
                raise InputError(
                    f"{key} of the queue policy {self.name!r} is {value:g}; expected {least} or more"
                )
        if alpha <= 0:
            raise InputError(
                f"alpha of the queue policy {self.name!r} is {alpha:g}; expected more than 0 (1, 1.5, 2)"
            )
        self.alpha, self.beta, self.patience = alpha, beta, patience * HOUR
        self.trials, self.depth = trials, depth
        self._agenda = Agenda()
        self._footprints = Footprints()
        self._search: PlanSearch | None = None
        self._promised: tuple[str, float] | None = None
        self._kept: JobPlacement | None = None  # the promise itself, as of the last pass

    def schedule(self, view: QueueView) -> Pass:
        let_go(view, self._kept)
        self._agenda.begin(view)
        try:
            starts, promise = self._impatient(view)
            self._promised = None if promise is None else (promise.job.id, promise.start)
            self._kept = promise
            started = {placed.job.id for placed in starts}
            if promise is not None:
                started.add(promise.job.id)
            rest = [
                job
                for job in islice(view.queue, self.depth or None)
                if job.id not in started and not view.lead(job)  # nothing is planned before data is there
            ]
            starts += self._planned(view, rest, starts, promise)
            wake_at = None if promise is None else self._agenda.call_for(view, promise, starts)
        finally:
            self._agenda.finish()
        for placed in starts:
            self._footprints.forget(placed.job.id)
        return Pass(starts, wake_at=wake_at, promises=() if promise is None else [promise])

    def _impatient(self, view: QueueView) -> tuple[list[JobPlacement], JobPlacement | None]:
        """Start the jobs that have lost their patience, oldest first; the promise to the first of them that
        can't start, held on the view. Whom a start was promised comes before those for whom none could be
        foreseen then."""
        starts: list[JobPlacement] = []
        told = told_before(view, self._kept)
        first = True
        for job in chain(told, (job for job in view.queue if job not in told)):
            if view.now - job.queued <= self.patience:
                break
            placed = None
            if first or job in told or data_is_sure(job):
                placed = self._agenda.kept_stay(view, job, self._agenda.ends(view.now), self._kept)
            if placed is None:
                first = False
                if view.staged:  # bytes are held by those whose data came first: they will give way to it
                    break
                continue  # nothing is foreseen for it: jobs without walltime
            placed = self._agenda.brought_forward(view, placed, starts)
            self._agenda.add(placed)
            if placed.start > view.now:
                return starts, placed
            starts.append(placed)
        return starts, None

    def _planned(
        self,
        view: QueueView,
        waiting: list[WaitingJob],
        started: Sequence[JobPlacement],
        promise: JobPlacement | None,
    ) -> list[JobPlacement]:
        """Start what the best plan starts now; plan again without jobs for which there was no room after
        all (fragments too small for the allocation policy)."""
        starts: list[JobPlacement] = []
        for _ in range(REPLANS):
            if not waiting or not self._footprints.any_fits(view, waiting):
                break
            stuck = set()
            for job in self._best(view, waiting, [*started, *starts], promise):
                if promise is None:
                    placed = view.place(job)
                else:
                    placed = place_before(view, job, promise.start, promise.nodes)
                if isinstance(placed, Hold):
                    stuck.add(job.id)
                else:
                    starts.append(placed)
            if not stuck:
                break
            gone = stuck | {placed.job.id for placed in starts}
            waiting = [job for job in waiting if job.id not in gone]
        return starts

    def _best(
        self,
        view: QueueView,
        waiting: Sequence[WaitingJob],
        started: Sequence[JobPlacement],
        promise: JobPlacement | None,
    ) -> list[WaitingJob]:
        from batfs.scheduling.amounts import OVERTIME, Aims, PlanSearch, Want

        if self._search is None:
            aims = Aims(self.alpha, self.beta, inf, self.trials)
            self._search = PlanSearch(random.Random(view.rng.getrandbits(64)), aims)
        now, never = view.now, view.now + FOREVER
        capacity, free = room_by_file_system(view)
        names = list(capacity)

        def amounts(placed: JobPlacement, nodes: int) -> tuple[int, ...]:
            sizes = bytes_by_file_system(placed.plans, view, kept=False)
            return (nodes, *(sizes.get(name, 0) for name in names))

        coming_back: list[tuple[float, tuple[int, ...]]] = []
        for running in view.running.values():
            nodes = (running.nodes & view.all_nodes).bit_count()
            ends = running.expected_end, running.expected_release
            left, gone = (min(end if end > now else now + OVERTIME, never) for end in ends)
            coming_back += _given_back(left, gone, amounts(running.placement, nodes))
        for gone, plans in releases(view.staged, now):
            theirs = bytes_by_file_system(plans, view, kept=False)
            bytes_back = (0, *(theirs.get(name, 0) for name in names))
            coming_back.append((min(gone, never), bytes_back))
        for placed in started:
            left, gone = min(placed.node_end, never), min(placed.end, never)
            coming_back += _given_back(left, gone, amounts(placed, placed.job.nodes))
        if promise is not None:
            held = amounts(promise, promise.job.nodes)
            coming_back.append((promise.start, tuple(-amount for amount in held)))
            coming_back += _given_back(min(promise.node_end, never), min(promise.end, never), held)
        wants = []
        for job in waiting:
            sizes = self._footprints.sizes(view, job)
            stay = min(job.walltime + self._footprints.staging(job), FOREVER)
            own = tuple(min(sizes.get(name, 0), capacity[name]) for name in names)
            wants.append(Want(job.id, job.queued, stay, (job.nodes, *own)))
        idle = (view.free_nodes.bit_count(), *(free[name] for name in names))
        times = in_whole_seconds([time for time, _ in coming_back], now).tolist()
        planned = [(time, given) for time, (_, given) in zip(times, coming_back, strict=True)]
        return [waiting[k] for k in self._search.starting(round(now), wants, idle, planned)]


def _given_back(left: float, gone: float, held: tuple[int, ...]) -> list[tuple[float, tuple[int, ...]]]:
    """Nodes (the first amount) at one time, bytes at another."""
    if left == gone:
        return [(left, held)]
    return [(left, (held[0], *([0] * (len(held) - 1)))), (gone, (0, *held[1:]))]
