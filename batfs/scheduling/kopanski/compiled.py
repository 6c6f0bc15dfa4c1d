"""The plan search on compiled code: the results of ``annealing.best_plan``, bit for bit, only faster."""

from __future__ import annotations

import random
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from batfs.scheduling import plan_kernel
from batfs.scheduling.kopanski.annealing import EXHAUSTIVE, BestPlan, Order, first_orders
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement
from batfs.scheduling.timeline import Hold

_WORDS = 4096


class _Words:
    """The 32-bit words of a Mersenne Twister, in the order in which ``random.Random`` uses them up."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.left: NDArray[np.uint32] = np.empty(0, np.uint32)

    def more(self) -> None:
        drawn = self._rng.getrandbits(32 * _WORDS).to_bytes(4 * _WORDS, "little")
        self.left = np.concatenate([self.left, np.frombuffer(drawn, "<u4").astype(np.uint32)])


def best_plan(alpha: float, rng: random.Random) -> BestPlan:
    """As ``annealing.best_plan``. ``rng`` may be ahead of what was used; give it to nobody else."""
    words = _Words(rng)

    def search(state: ClusterState, now: float, waiting: Order) -> list[tuple[BufferedJob, Hold, Placement]]:
        layout, size = state.layout, len(waiting)
        queue = (
            np.array([job.nodes for job in waiting], np.int64),
            np.array([job.walltime for job in waiting]),
            np.array([job.share for job in waiting], np.int64),
            np.array([job.submission_time for job in waiting]),
        )
        machine = (layout.hosts_per_chassis - 1, np.array(layout.preferences, np.int64), True)
        timeline = state.timeline.arrays()
        bases = np.array(state.bases(now))
        work = (
            np.empty(len(timeline[0]) + 2 * size),
            np.empty((len(timeline[1]) + 2 * size, timeline[1].shape[1]), np.uint64),
            np.empty(len(timeline[2]) + 2 * size),
            np.empty((len(timeline[3]) + 2 * size, timeline[3].shape[1]), np.int64),
            np.empty(len(bases) + size),
        )
        starts = np.empty(size)
        rest = (queue, machine, timeline, bases, work, starts, float(alpha))
        if size <= EXHAUSTIVE:
            orders = np.array(list(permutations(range(size))), np.int64)
            best = orders[plan_kernel.best_of(orders, *rest)[0]]
        else:
            place = {job.id: k for k, job in enumerate(waiting)}
            orders = np.array([[place[job.id] for job in order] for order in first_orders(waiting)], np.int64)
            best, used = plan_kernel.anneal(orders, words.left, *rest)
            while used < 0:
                words.more()
                best, used = plan_kernel.anneal(orders, words.left, *rest)
            words.left = words.left[used:]
        nodes = np.zeros((size, timeline[1].shape[1]), np.uint64)
        buffers = np.zeros((size, layout.nb_nodes), np.int64)
        planned = plan_kernel.make_plan(
            best, *queue[:3], machine, timeline, bases, work, starts, nodes, buffers
        )
        assert planned, "an admitted job fits once everything has ended"
        plan = []
        for k in best.tolist():
            job = waiting[k]
            placement = Placement(
                int.from_bytes(nodes[k].astype("<u8").tobytes(), "little"),
                tuple(buffers[k, : job.nodes].tolist()),
            )
            shares = layout.shares(list(placement.buffers), job.share)
            hold = state.timeline.make(float(starts[k]), job.walltime, placement.nodes, shares)
            plan.append((job, hold, placement))
        return plan

    return search
