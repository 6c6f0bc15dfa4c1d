"""Which waiting jobs to start: the search for a plan on amounts, whatever the resources are.

Shared by ``kopanski.plan_io`` and ``queues.plan_io``. ``_core.amounts`` says why amounts are enough.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from batfs._core.amounts import Queue
from batfs._core.arrays import np
from batfs.workload.model import IntArray as Ints

OVERTIME = 60.0
"""A job still there when its walltime is over is expected to go in so many seconds (s)."""

BRIEF = 600.0
"""Stays up to here weigh the same (s): the threshold of the bounded slowdown."""

COLD = 0.01
"""The last temperature of the search, as a share of the first."""


class Want(NamedTuple):
    """A waiting job: ``stay`` seconds expected, ``amounts`` of each resource (nodes, then bytes)."""

    id: str
    submitted: float
    stay: float
    amounts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Aims:
    """A plan's score, lower is better: the sum of (BRIEF / stay)^``beta`` x (start - submission)^``alpha``,
    stays below BRIEF as BRIEF. ``beta`` 0 is a score of waiting times, 1 one of slowdowns.

    A job loses its patience when it might not start within ``patience`` seconds of its submission any more:
    if all that runs took its time, or a job were started before it with which there is no room for both. From
    then on it comes first in every plan, behind those that lost theirs before. ``trials`` steps of annealing
    a search.
    """

    alpha: float = 1.5
    beta: float = 0.0
    patience: float = 110 * 3600.0
    trials: int = 400


class PlanSearch:
    """Remembers the last plan, so that searching goes on from pass to pass. ``rng`` gives searches seeds."""

    def __init__(self, rng: random.Random, aims: Aims) -> None:
        self.aims = aims
        self.promised: tuple[str, float] | None = None
        """(id, planned start) of the job that has lost its patience first, as of the last search."""
        self._rng = rng
        self._last: dict[str, int] = {}
        self._impatient: dict[str, None] = {}

    def starting(
        self,
        now: float,
        waiting: Sequence[Want],
        idle: Sequence[int],
        releases: Iterable[tuple[float, Sequence[int]]],
    ) -> list[int]:
        """The positions in ``waiting`` (in submission order) of the jobs that the best plan found starts now.

        ``idle``: free amounts now; ``releases``: (time, amounts) that running jobs give back. Jobs that ask
        for more than there will ever be are not planned.
        """
        self.promised = None
        if not any(_fits(want.amounts, idle) for want in waiting):
            return []
        times, free = _steps(now, idle, releases)
        possible = [k for k, want in enumerate(waiting) if _fits(want.amounts, free[-1])]
        amounts = np.array([waiting[k].amounts for k in possible], np.int64)
        first = self._who_comes_first([waiting[k] for k in possible], amounts, times, free)
        queue = [possible[k] for k in first]
        queue += [k for k in possible if waiting[k].id not in self._impatient]
        fixed = len(first)
        jobs = [waiting[k] for k in queue]
        weights = [(BRIEF / max(want.stay, BRIEF)) ** self.aims.beta for want in jobs]
        columns = (
            np.array([want.amounts for want in jobs], np.int64),
            np.array([want.stay for want in jobs], np.float64),
            np.array([want.submitted for want in jobs], np.float64),
            np.array(weights, np.float64),
        )
        timeline = np.array(times, np.float64), np.array(free, np.int64)
        orders = np.array(self._first_orders(jobs, fixed), np.int64)
        seed = self._rng.getrandbits(63)
        best, starts = Queue(columns, float(self.aims.alpha), *timeline).search(
            orders, fixed, self.aims.trials, seed, COLD
        )
        order = best.tolist()
        self._last = {jobs[k].id: place for place, k in enumerate(order)}
        if fixed:
            self.promised = (jobs[0].id, float(starts[0]))
        return [queue[k] for k in order if starts[k] <= now]

    def _who_comes_first(
        self, jobs: Sequence[Want], amounts: Ints, times: Sequence[float], free: Sequence[Sequence[int]]
    ) -> list[int]:
        """The positions in ``jobs`` of those without patience, in the order in which they lost it."""
        at = {want.id: k for k, want in enumerate(jobs)}
        self._impatient = {job_id: None for job_id in self._impatient if job_id in at}
        if self.aims.patience < inf:
            # what running jobs hold only gets less: the first step with room is the earliest start
            room = np.all(np.array(free)[None] >= amounts[:, None], axis=2)
            starts = np.array(times)[room.argmax(axis=1)]
            # unless a job that fits now is started before it with which there is no room for both
            stays = np.array([want.stay for want in jobs])
            harmful = np.any(amounts[:, None] + amounts[None] > np.array(free[-1]), axis=2) & room[:, 0]
            np.fill_diagonal(harmful, False)
            starts = np.maximum(starts, times[0] + np.where(harmful, stays, 0.0).max(axis=1)).tolist()
            for want, start in zip(jobs, starts, strict=True):
                if start - want.submitted > self.aims.patience:
                    self._impatient[want.id] = None
        return [at[job_id] for job_id in self._impatient]

    def _first_orders(self, jobs: Sequence[Want], fixed: int) -> list[list[int]]:
        """By submission, by each amount and by the stay, both ways; and the last plan's order with the new
        jobs behind it, and before it."""
        prefix, rest = list(range(fixed)), list(range(fixed, len(jobs)))
        columns = [*zip(*(want.amounts for want in jobs), strict=True), [want.stay for want in jobs]]
        orders = [rest]
        for column in columns:
            orders.append(sorted(rest, key=column.__getitem__))
            orders.append(sorted(rest, key=column.__getitem__, reverse=True))
        known = sorted((k for k in rest if jobs[k].id in self._last), key=lambda k: self._last[jobs[k].id])
        new = [k for k in rest if jobs[k].id not in self._last]
        orders += [[*known, *new], [*new, *known]]
        return [prefix + order for order in orders]


def _fits(amounts: Sequence[int], free: Sequence[int]) -> bool:
    return all(amount <= there for amount, there in zip(amounts, free, strict=True))


def _steps(
    now: float, idle: Sequence[int], releases: Iterable[tuple[float, Sequence[int]]]
) -> tuple[list[float], list[list[int]]]:
    """The times at which something becomes free, and what is free from each on."""
    times, free = [now], [list(idle)]
    for time, amounts in sorted((t if t > now else now + OVERTIME, tuple(a)) for t, a in releases):
        if time > times[-1]:
            times.append(time)
            free.append(free[-1].copy())
        for r, amount in enumerate(amounts):
            free[-1][r] += amount
    return times, free
