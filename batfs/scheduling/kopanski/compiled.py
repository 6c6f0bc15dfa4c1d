"""The plan search on compiled code: the results of ``annealing.best_plan``, bit for bit, only faster."""

from __future__ import annotations

import random
from itertools import permutations

import numpy as np

from batfs.scheduling.annealing import Annealer, Problem
from batfs.scheduling.kopanski.annealing import EXHAUSTIVE, BestPlan, Order, first_orders
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement


def best_plan(alpha: float, rng: random.Random) -> BestPlan:
    """As ``annealing.best_plan``. ``rng`` may be ahead of what was used; give it to nobody else."""
    annealer = Annealer(rng)

    def search(
        state: ClusterState, now: float, waiting: Order
    ) -> list[tuple[BufferedJob, float, Placement | None]]:
        layout, size = state.layout, len(waiting)
        jobs = (
            np.array([job.nodes for job in waiting], np.int64),
            np.array([job.walltime for job in waiting], np.float64),
            np.array([job.share for job in waiting], np.int64),
            np.empty((0, 0), np.int64),
        )
        aims = (np.array([job.submission_time for job in waiting], np.float64), float(alpha))
        machine = (layout.hosts_per_chassis - 1, np.array(layout.preferences, np.int64), True, layout.split)
        problem = Problem(jobs, aims, machine, state.timeline.arrays(), state.bases(now))
        if size <= EXHAUSTIVE:
            best = problem.best_of(np.array(list(permutations(range(size))), np.int64))
        else:
            at = {job.id: k for k, job in enumerate(waiting)}
            orders = [[at[job.id] for job in order] for order in first_orders(waiting)]
            best = annealer.search(np.array(orders, np.int64), problem)
        planned = problem.plan(best)
        assert planned, "an admitted job fits once everything has ended"
        plan = []
        for k in best.tolist():
            job, start, placement = waiting[k], float(problem.starts[k]), None
            if start == now:
                nodes = problem.nodes_of(k)
                pieces = layout.pieces_of(nodes, job.share, problem.held[k].tolist())
                assert pieces is not None
                placement = Placement(nodes, pieces)
            plan.append((job, start, placement))
        return plan

    return search
