"""plan-1, plan-2, plan-3: plan the whole queue in many orders, keep the best, start what it starts now.

A *plan* takes the waiting jobs in some order and gives each the earliest stay that is left. Its *score* is
the sum of (start - submission)^alpha over the queue; lower is better. Up to five jobs are tried in every
order, more by simulated annealing (Zheng et al., 2016, as used in the paper): nine sorted orders to begin
with, then 30 rounds of 6 random swaps. The published scheduler also stopped after 20 s of wall-clock; this
one doesn't, so that its results don't depend on the machine.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections.abc import Callable, Sequence
from itertools import permutations

from batfs.scheduling.kopanski.policies import Pass
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState, Placement
from batfs.scheduling.timeline import Hold

EXHAUSTIVE = 5
ROUNDS = 30
TRIALS = 6
COOLING = 0.9

Order = list[BufferedJob]
Score = Callable[[Sequence[BufferedJob]], float]


def make_plan(state: ClusterState, now: float, order: Sequence[BufferedJob]) -> list[tuple[Hold, Placement]]:
    """The stays of the jobs of ``order``, each the earliest left by those before it.

    Each is searched from now, from the ends of the running jobs' burst buffers and of the jobs planned
    before it. The timeline is as before on return.
    """
    stays = []
    bases = state.bases(now)
    for job in order:
        hold, placement = state.stay(job, bases)
        state.timeline.hold(hold)
        stays.append((hold, placement))
        insort(bases, hold.end)
    for hold, _ in stays:
        state.timeline.release(hold)
    return stays


def score(order: Sequence[BufferedJob], starts: Sequence[float], alpha: float) -> float:
    """The sum of (start - submission)^alpha, rounded to a whole number."""
    total = 0.0
    for job, start in zip(order, starts, strict=True):
        total += (start - job.submission_time) ** alpha
    return float(round(total))


def first_orders(waiting: Sequence[BufferedJob]) -> list[Order]:
    """The nine orders annealing begins with; ties keep the order of submission."""
    keys: list[Callable[[BufferedJob], float]] = [
        lambda job: 0,
        lambda job: -job.nodes,
        lambda job: -job.share,
        lambda job: -job.share / job.nodes,
        lambda job: job.share / job.nodes,
        lambda job: job.nodes,
        lambda job: job.share,
        lambda job: job.walltime,
        lambda job: -job.walltime,
    ]
    return [sorted(waiting, key=key) for key in keys]


def anneal(first: Sequence[Order], score_of: Score, rng: random.Random) -> Order:
    """The best order found from ``first`` (at least one, all of the same jobs)."""
    scores = [score_of(order) for order in first]
    best_score, worst = min(scores), max(scores)
    best = list(first[scores.index(best_score)])
    if best_score == worst:
        return best
    order, last = best.copy(), best_score
    temperature = worst - best_score
    for _ in range(ROUNDS):
        for _ in range(TRIALS):
            i, j = rng.randrange(len(order)), rng.randrange(len(order))
            order[i], order[j] = order[j], order[i]
            new = score_of(order)
            if new < best_score:
                best, best_score, last = order.copy(), new, new
            elif new < last or rng.random() < math.exp((last - new) / temperature):
                last = new
            else:
                order[i], order[j] = order[j], order[i]
        temperature = max(COOLING * temperature, 1)
    return best


BestPlan = Callable[[ClusterState, float, Order], "list[tuple[BufferedJob, float, Placement | None]]"]
"""(state, now, waiting jobs) -> the best plan found: its jobs in order, their starts, and where those are
that start now; the state is as before on return."""


def best_plan(alpha: float, rng: random.Random) -> BestPlan:
    """The search as written above, in plain Python; ``compiled.best_plan`` is the quick one."""

    def search(
        state: ClusterState, now: float, waiting: Order
    ) -> list[tuple[BufferedJob, float, Placement | None]]:
        def score_of(order: Sequence[BufferedJob]) -> float:
            return score(order, [hold.start for hold, _ in make_plan(state, now, order)], alpha)

        if len(waiting) <= EXHAUSTIVE:
            best = min((list(order) for order in permutations(waiting)), key=score_of)
        else:
            best = anneal(first_orders(waiting), score_of, rng)
        plan = make_plan(state, now, best)
        return [
            (job, hold.start, placement if hold.start == now else None)
            for job, (hold, placement) in zip(best, plan, strict=True)
        ]

    return search


def plan(search: BestPlan) -> Pass:
    """The pass of a plan policy: start what the best plan starts exactly now."""

    def run(state: ClusterState, now: float) -> None:
        waiting = state.waiting.copy()
        if len(waiting) == 1:
            placement = state.room_now(waiting[0], now)
            if placement is not None:
                state.start(waiting[0], now, placement)
        elif any(state.room_now(job, now) is not None for job in waiting):
            for job, _, placement in search(state, now, waiting):
                if placement is not None:
                    state.start(job, now, placement)

    return run
