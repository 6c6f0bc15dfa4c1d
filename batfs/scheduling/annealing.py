"""Random words for compiled annealing, and the arrays it works on."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batfs.scheduling import plan_kernel
from batfs.scheduling.timeline import TimelineArrays

_WORDS = 4096


class Annealer:
    """Searches good orders with one Mersenne Twister, whose 32-bit words it uses up as ``random.Random``
    would. The twister runs ahead: give ``rng`` to nobody else."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words: NDArray[np.uint32] = np.empty(0, np.uint32)

    def search(self, orders: NDArray[np.int64], problem: Problem) -> NDArray[np.int64]:
        """The best order found from ``orders`` int64[k, q]."""
        while True:
            best, used = plan_kernel.anneal(orders, self._words, *problem.arguments)
            if used >= 0:
                self._words = self._words[used:]
                return best
            drawn = self._rng.getrandbits(32 * _WORDS).to_bytes(4 * _WORDS, "little")
            self._words = np.concatenate([self._words, np.frombuffer(drawn, "<u4").astype(np.uint32)])


class Problem:
    """A queue to be planned on a timeline; see ``plan_kernel`` for the arrays."""

    def __init__(
        self,
        jobs: plan_kernel.Jobs,
        aims: plan_kernel.Aims,
        machine: plan_kernel.Machine,
        timeline: TimelineArrays,
        bases: Sequence[float],
    ) -> None:
        size = len(jobs[0])
        work = (
            np.empty(len(timeline[0]) + 2 * size),
            np.empty((len(timeline[1]) + 2 * size, timeline[1].shape[1]), np.uint64),
            np.empty(len(timeline[2]) + 2 * size),
            np.empty((len(timeline[3]) + 2 * size, timeline[3].shape[1]), np.int64),
            np.empty(len(bases) + size),
        )
        self.starts = np.empty(size)
        self._given = (jobs, machine, timeline, np.array(bases), work, self.starts)
        self.arguments = (*self._given, aims)
        self.nodes = np.zeros((size, timeline[1].shape[1]), np.uint64)
        self.held = np.zeros((size, timeline[3].shape[1]), np.int64)

    def best_of(self, orders: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first of the best of ``orders``."""
        best: NDArray[np.int64] = orders[plan_kernel.best_of(orders, *self.arguments)[0]]
        return best

    def plan(self, order: NDArray[np.int64]) -> bool:
        """Fill ``starts``, ``nodes`` and ``held`` (see ``plan_kernel.make_plan``); False if a job has no
        place."""
        return plan_kernel.make_plan(order, *self._given, self.nodes, self.held)

    def nodes_of(self, job: int) -> int:
        """The bitset of the nodes of one planned job."""
        return int.from_bytes(self.nodes[job].astype("<u8").tobytes(), "little")
