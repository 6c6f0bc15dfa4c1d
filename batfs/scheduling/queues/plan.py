"""Plan the whole queue, keep the best plan, start what it starts now.

X. Zheng et al., "Exploring plan-based scheduling for large-scale computing systems", IEEE Cluster 2016;
J. Kopanski and K. Rzadca, Euro-Par 2021, for storage in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, permutations
from typing import TYPE_CHECKING

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.filesystems.interface import Hold, IoPlan
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import OVERTIME, Agenda, in_whole_seconds
from batfs.scheduling.queues.footprints import Footprints, bytes_by_file_system, room_by_file_system
from batfs.scheduling.staging import releases
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

    The plan counts bytes by file system, as many as the job's last placement took or, before one, as its
    model would hold; whether they fit for good is asked when a job starts. A stay is the walltime plus the
    staging expected. Nothing is promised from one pass to the next: with a low ``alpha`` a job may starve.
    ``depth`` bounds how many jobs, from the head of the queue, are planned (0: all).
    """

    name = "plan"
    by_walltimes = True

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
        self._footprints = Footprints()

    def schedule(self, view: QueueView) -> Pass:
        # nothing is planned for a job before its data is there
        waiting = [job for job in islice(view.queue, self.depth or None) if not view.lead(job)]
        if not self._footprints.any_fits(view, waiting):
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
            self._footprints.forget(placement.job.id)
        return Pass(starts)

    # ---- the search ---------------------------------------------------------------------------------------

    def _starts(self, view: QueueView, queue: list[WaitingJob]) -> list[JobPlacement]:
        problem = self._problem(view, queue)
        places = range(len(queue))
        if len(queue) <= EXHAUSTIVE:
            best = problem.best_of(np.array(list(permutations(places)), np.int64))
        else:
            keys = _sort_keys([self._footprints.sizes(view, job) for job in queue], queue)
            orders = np.array([sorted(places, key=key) for key in keys], np.int64)
            if self._annealer is None:
                from batfs.scheduling.annealing import Annealer

                self._annealer = Annealer(random.Random(view.rng.getrandbits(64)))
            best = self._annealer.search(orders, problem)
        starts: list[JobPlacement] = []
        if not problem.plan(best):
            return starts
        now, order = round(view.now), best.tolist()
        for k in order:
            if problem.starts[k] <= now:
                placed = view.place(queue[k], among=problem.nodes_of(k))
                if isinstance(placed, Hold):  # by file system it fits, storage by storage it doesn't
                    placed = view.place(queue[k])
                if not isinstance(placed, Hold):
                    starts.append(placed)
        if not starts and any(problem.starts[k] <= now for k in order):
            # none of those fits after all: the next in the order that does, or nobody might ever start
            found = (view.place(queue[k]) for k in order if problem.starts[k] > now)
            starts += next(([placed] for placed in found if not isinstance(placed, Hold)), [])
        return starts

    def _problem(self, view: QueueView, queue: Sequence[WaitingJob]) -> Problem:
        from batfs.scheduling.annealing import Problem

        capacity, free = room_by_file_system(view)
        names, capacities = list(capacity), list(capacity.values())
        position = {name: k for k, name in enumerate(names)}
        others = [capacity[name] - free[name] for name in names]
        room = Timeline(0, capacities or [0])
        last = view.now + FOREVER
        ends = {view.now, last}

        def hold(plans: Sequence[IoPlan], gone: float) -> None:
            sizes = sorted(bytes_by_file_system(plans, view, kept=False).items())
            shares = tuple((position[name], size) for name, size in sizes if name in position)
            room.hold(Stay(view.now, min(gone, last), last, 0, shares))
            for place, size in shares:
                others[place] -= size

        for running in view.running.values():
            end = max(running.expected_end, running.expected_release)
            end = end if end > view.now else view.now + OVERTIME
            ends |= {min(end, last), max(view.now, min(running.expected_end, last))}
            hold(running.placement.plans, end)
        for gone, plans in releases(view.staged, view.now):
            ends.add(min(gone, last))
            hold(plans, gone)
        # what no job gives back: data sets, storages that are away
        stays_held = tuple((place, size) for place, size in enumerate(others) if size > 0)
        if stays_held:
            room.hold(Stay(view.now, last, last, 0, stays_held))
            for place, size in stays_held:
                capacities[place] -= size
        needs = np.zeros((len(queue), max(1, len(names))), np.int64)
        for k, job in enumerate(queue):
            for name, size in self._footprints.sizes(view, job).items():
                if name in position:
                    needs[k, position[name]] = min(size, capacities[position[name]])
        node_times, node_free, _, _ = self._agenda.timeline.arrays()
        _, _, byte_times, byte_free = room.arrays()
        unavailable = ~np.frombuffer(view.all_nodes.to_bytes(8 * node_free.shape[1], "little"), "<u8").astype(
            np.uint64
        )
        stays = [min(job.walltime + self._footprints.staging(job), FOREVER) for job in queue]
        submitted = np.array([min(job.queued, round(view.now)) for job in queue], np.float64)
        counts = np.array([job.nodes for job in queue], np.int64)
        nothing = np.zeros(len(queue), np.int64)
        return Problem(
            (counts, np.array(stays, np.float64), nothing, needs),
            (submitted, self.alpha),
            (0, np.empty((0, 0), np.int64), False, False),
            (
                in_whole_seconds(np.minimum(node_times, last), view.now),
                node_free & ~unavailable,
                in_whole_seconds(byte_times, view.now),
                byte_free,
            ),
            np.unique(in_whole_seconds(ends, view.now)).tolist(),
        )


def _sort_keys(
    needs: Sequence[Mapping[str, int]], queue: Sequence[WaitingJob]
) -> list[Callable[[int], float]]:
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
