"""Random words for annealing on the compiled core, and the arrays it works on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from batfs._core.arrays import FloatArray as F
from batfs._core.arrays import IntArray as Ints
from batfs._core.arrays import NDArray, np
from batfs._core.plans import Plans
from batfs.scheduling.timeline import TimelineArrays

_WORDS = 4096


class Annealer:
    """Searches good orders with one Mersenne Twister, whose 32-bit words it uses up as ``random.Random``
    would. The twister runs ahead: give ``rng`` to nobody else."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words: NDArray[np.uint32] = np.empty(0, np.uint32)

    def search(self, orders: Ints, problem: Problem) -> Ints:
        """The best order found from ``orders`` int64[k, q]."""
        while True:
            best, used = problem.plans.anneal(orders, self._words)
            if used >= 0:
                self._words = self._words[used:]
                found: Ints = best
                return found
            drawn = self._rng.getrandbits(32 * _WORDS).to_bytes(4 * _WORDS, "little")
            self._words = np.concatenate([self._words, np.frombuffer(drawn, "<u4").astype(np.uint32)])


class Problem:
    """A queue to be planned on a timeline: the core's ``Plans`` (see there for the arrays), what it fills."""

    def __init__(
        self,
        jobs: tuple[Ints, F, Ints, Ints],
        aims: tuple[F, float],
        machine: tuple[int, Ints, bool, bool],
        timeline: TimelineArrays,
        bases: Sequence[float],
    ) -> None:
        size = len(jobs[0])
        self.starts = np.empty(size)
        self.nodes = np.zeros((size, timeline[1].shape[1]), np.uint64)
        self.held = np.zeros((size, timeline[3].shape[1]), np.int64)
        out = self.starts, self.nodes, self.held
        self.plans = Plans(jobs, aims, machine, timeline, np.array(bases), out)

    def best_of(self, orders: Ints) -> Ints:
        """The first of the best of ``orders``."""
        best: Ints = orders[self.plans.best_of(orders)]
        return best

    def plan(self, order: Ints) -> bool:
        """Fill ``starts``, ``nodes`` and ``held``; False if a job has no place."""
        placed: bool = self.plans.plan(order)
        return placed

    def nodes_of(self, job: int) -> int:
        """The bitset of the nodes of one planned job."""
        return int.from_bytes(self.nodes[job].astype("<u8").tobytes(), "little")
