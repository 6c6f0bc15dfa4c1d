"""Plan the whole queue, keep the best plan, start what it starts now.

X. Zheng et al., "Exploring plan-based scheduling for large-scale computing systems", IEEE Cluster 2016;
J. Kopanski and K. Rzadca, Euro-Par 2021, for storage in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice, permutations
from typing import TYPE_CHECKING

import numpy as np

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import OVERTIME, Agenda
from batfs.scheduling.timeline import Hold as Stay
from batfs.scheduling.timeline import Timeline

if TYPE_CHECKING:  # compiled code: imported when the first plan is made
    from batfs.scheduling.annealing import Annealer, Problem

EXHAUSTIVE = 5
FOREVER = 1e9
"""A job without walltime is planned as if it ran for so long (s); 31 years."""


@QUEUE_POLICIES.register("plan")
class Plan:
    """Give the waiting jobs, in some order, the earliest stays left, and score it by the sum of
    (start - submission)^``alpha``; search a good order (all orders of up to five jobs, else simulated
    annealing from nine sorted ones, 30 rounds of 6 random swaps) and start what it starts now.

    The plan counts bytes by file system, as many as the job's last placement took or, before one, as it
    reads and writes; whether they fit for good is asked when a job starts. Nothing is promised from one pass
    to the next: with a low ``alpha`` a job may starve. ``depth`` bounds how many jobs, from the head of the
    queue, are planned (0: all).
    """

    name = "plan"

    def __init__(self, alpha: float = 2.0, depth: int = 200) -> None:
        if alpha <= 0:
            raise InputError(
                f"alpha of the queue policy {self.name!r} is {alpha:g}; expected more than 0 (1, 2, 3)"
            )
        if depth < 0:
            raise InputError(
                f"the depth of the queue policy {self.name!r} is {depth}; expected 0 (all) or more"
            )
        self.alpha = alpha
        self.depth = depth
        self._agenda = Agenda()
        self._annealer: Annealer | None = None
        self._sizes: dict[str, dict[str, int]] = {}

    def schedule(self, view: QueueView) -> Pass:
        waiting = list(islice(view.queue, self.depth or None))
        fits = self._fits_now(view, waiting)
        if not fits:
            return Pass()
        if len(waiting) == 1:
            placed = view.place(waiting[0])
            return Pass() if isinstance(placed, Hold) else Pass([placed])
        self._agenda.begin(view)
        try:
            starts = self._starts(view, waiting)
        finally:
            self._agenda.finish()
        for placement in starts:
            self._sizes.pop(placement.job.id, None)
        return Pass(starts)

    # ---- what a plan aims at ------------------------------------------------------------------------------

    def weights(self, view: QueueView, waiting: Sequence[WaitingJob]) -> list[float]:
        """How much each job's term counts in the score."""
        return [1.0] * len(waiting)

    def urgent(self, view: QueueView, waiting: Sequence[WaitingJob]) -> list[WaitingJob]:
        """Jobs that come first in every plan, in this order."""
        return []

    # ---- the search ---------------------------------------------------------------------------------------

    def _fits_now(self, view: QueueView, waiting: Sequence[WaitingJob]) -> bool:
        """Whether any job could start now; on the way, how many bytes each holds."""
        fits = False
        for job in waiting:
            if job.nodes > view.free_nodes.bit_count():
                continue
            if fits and (not job.volumes or job.id in self._sizes):
                continue
            placed = view.place(job)
            if isinstance(placed, Hold):
                continue
            fits = True
            if job.volumes:
                self._sizes[job.id] = _bytes_by_file_system(placed)
            view.undo(placed)
        return fits

    def _starts(self, view: QueueView, waiting: list[WaitingJob]) -> list[JobPlacement]:
        urgent = self.urgent(view, waiting)
        first = {job.id for job in urgent}
        queue = [*urgent, *(job for job in waiting if job.id not in first)]
        problem = self._problem(view, queue)
        rest = list(range(len(urgent), len(queue)))
        prefix = list(range(len(urgent)))
        if len(rest) <= EXHAUSTIVE:
            orders = np.array([[*prefix, *order] for order in permutations(rest)], np.int64)
            best = problem.best_of(orders)
        else:
            keys = _sort_keys([self._needs(job) for job in queue], queue)
            orders = np.array([[*prefix, *sorted(rest, key=key)] for key in keys], np.int64)
            if self._annealer is None:
                from batfs.scheduling.annealing import Annealer

                self._annealer = Annealer(random.Random(view.rng.getrandbits(64)))
            best = self._annealer.search(orders, problem, len(urgent))
        starts: list[JobPlacement] = []
        if not problem.plan(best, np.empty((0, 0), np.int64)):
            return starts
        for k in best.tolist():
            if problem.starts[k] <= view.now:
                placed = view.place(queue[k], among=problem.nodes_of(k))
                if isinstance(placed, Hold):  # by file system it fits, storage by storage it doesn't
                    placed = view.place(queue[k])
                if not isinstance(placed, Hold):
                    starts.append(placed)
        return starts

    def _problem(self, view: QueueView, queue: Sequence[WaitingJob]) -> Problem:
        from batfs.scheduling.annealing import Problem

        names = sorted({storage.filesystem for storage in view.storage.storages})
        position = {name: k for k, name in enumerate(names)}
        capacities = [0] * len(names)
        for storage in view.storage.storages:
            capacities[position[storage.filesystem]] += storage.capacity
        room = Timeline(0, capacities or [0])
        last = view.now + FOREVER
        ends = {view.now, last}
        for running in view.running.values():
            end = running.expected_end if running.expected_end > view.now else view.now + OVERTIME
            ends.add(min(end, last))
            shares = tuple(
                (position[name], size)
                for name, size in sorted(_bytes_by_file_system(running.placement).items())
                if name in position
            )
            room.hold(Stay(view.now, min(end, last), last, 0, shares))
        needs = np.zeros((len(queue), max(1, len(names))), np.int64)
        for k, job in enumerate(queue):
            for name, size in self._needs(job).items():
                if name in position:
                    needs[k, position[name]] = min(size, capacities[position[name]])
        node_times, node_free, _, _ = self._agenda.timeline.arrays()
        _, _, byte_times, byte_free = room.arrays()
        unavailable = ~np.frombuffer(view.all_nodes.to_bytes(8 * node_free.shape[1], "little"), "<u8").astype(
            np.uint64
        )
        walltimes = np.array([min(job.walltime, FOREVER) for job in queue])
        submitted = np.array([job.submission_time for job in queue])
        counts = np.array([job.nodes for job in queue], np.int64)
        nothing = np.zeros(len(queue), np.int64)
        return Problem(
            (counts, walltimes, nothing, needs),
            (submitted, np.array(self.weights(view, queue)), self.alpha),
            (0, np.empty((0, 0), np.int64), False, False),
            (np.minimum(node_times, last), node_free & ~unavailable, byte_times, byte_free),
            sorted(ends),
        )

    def _needs(self, job: WaitingJob) -> dict[str, int]:
        known = self._sizes.get(job.id)
        if known is not None:
            return known
        sizes: dict[str, int] = {}
        for volume in job.volumes:
            sizes[volume.filesystem] = sizes.get(volume.filesystem, 0) + volume.reads + volume.writes
        return sizes


def _sort_keys(needs: Sequence[dict[str, int]], queue: Sequence[WaitingJob]) -> list[Callable[[int], float]]:
    """The nine orders annealing begins with, over positions in the queue."""
    sizes = [sum(need.values()) for need in needs]
    return [
        lambda k: queue[k].order,
        lambda k: -queue[k].nodes,
        lambda k: -sizes[k],
        lambda k: -sizes[k] / queue[k].nodes,
        lambda k: sizes[k] / queue[k].nodes,
        lambda k: queue[k].nodes,
        lambda k: sizes[k],
        lambda k: queue[k].walltime,
        lambda k: -queue[k].walltime,
    ]


def _bytes_by_file_system(placed: JobPlacement) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for plan in placed.plans:
        held = sum(placement.size for placement in plan.placements)
        sizes[plan.file_system] = sizes.get(plan.file_system, 0) + held
    return sizes
