"""The plan search on compiled code: the results of ``annealing.best_plan``, bit for bit, only faster."""

from __future__ import annotations

import random
from itertools import permutations
from math import inf

import numpy as np

from batfs.scheduling.annealing import Annealer, Problem
from batfs.scheduling.kopanski.annealing import EXHAUSTIVE, BestPlan, Order, first_orders
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement
from batfs.scheduling.timeline import Hold


def best_plan(alpha: float, rng: random.Random, *, remember: bool = False, patience: float = inf) -> BestPlan:
    """As ``annealing.best_plan``. ``rng`` may be ahead of what was used; give it to nobody else.

    Two departures from the published search: ``remember`` adds the order of the last plan to the orders that
    the search begins with, new jobs behind or before it; jobs that have waited longer than ``patience``
    seconds come first in every order.
    """
    annealer = Annealer(rng)
    last: list[str] = []

    def search(state: ClusterState, now: float, waiting: Order) -> list[tuple[BufferedJob, Hold, Placement]]:
        first = [job for job in waiting if now - job.submission_time > patience]
        waiting = [*first, *(job for job in waiting if now - job.submission_time <= patience)]
        fixed = len(first)
        layout, size = state.layout, len(waiting)
        jobs = (
            np.array([job.nodes for job in waiting], np.int64),
            np.array([job.walltime for job in waiting]),
            np.array([job.share for job in waiting], np.int64),
            np.empty((0, 0), np.int64),
        )
        aims = (np.array([job.submission_time for job in waiting]), np.ones(size), float(alpha))
        machine = (layout.hosts_per_chassis - 1, np.array(layout.preferences, np.int64), True, layout.tight)
        problem = Problem(jobs, aims, machine, state.timeline.arrays(), state.bases(now))
        prefix, rest = list(range(fixed)), range(fixed, size)
        if size - fixed <= EXHAUSTIVE:
            orders = [[*prefix, *order] for order in permutations(rest)]
            best = problem.best_of(np.array(orders, np.int64))
        else:
            at = {job.id: k for k, job in enumerate(waiting)}
            orders = [[*prefix, *(at[job.id] for job in order)] for order in first_orders(waiting[fixed:])]
            if remember:
                known = [at[job_id] for job_id in last if at.get(job_id, -1) >= fixed]
                new = sorted(set(rest).difference(known))
                orders += [[*prefix, *known, *new], [*prefix, *new, *known]]
            best = annealer.search(np.array(orders, np.int64), problem, fixed)
        if remember:
            last[:] = [waiting[k].id for k in best.tolist()]
        buffers = np.zeros((size, layout.nb_nodes), np.int64)
        planned = problem.plan(best, buffers)
        assert planned, "an admitted job fits once everything has ended"
        plan = []
        for k in best.tolist():
            job = waiting[k]
            placement = Placement(problem.nodes_of(k), tuple(buffers[k, : job.nodes].tolist()))
            shares = layout.shares(list(placement.buffers), job.share)
            hold = state.timeline.make(float(problem.starts[k]), job.walltime, placement.nodes, shares)
            plan.append((job, hold, placement))
        return plan

    return search
