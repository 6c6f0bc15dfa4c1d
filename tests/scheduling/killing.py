"""A queue policy for tests: another one's decisions, and kills of running jobs at random."""

from __future__ import annotations

import random

from batfs.records import replace
from batfs.scheduling.interface import Pass, QueueView
from batfs.scheduling.queues import make_queue_policy


class Killing:
    """As ``inner``; in each pass one of the jobs that run is killed with probability ``rate``."""

    name = "killing"

    def __init__(self, inner: str = "fcfs", rate: float = 0.1, seed: int = 0) -> None:
        self._inner = make_queue_policy(inner)
        self._rate = rate
        self._rng = random.Random(seed)

    def schedule(self, view: QueueView) -> Pass:
        decided = self._inner.schedule(view)
        alive = list(view.running)
        if not alive or self._rng.random() >= self._rate:
            return decided
        return replace(decided, kills=[self._rng.choice(alive)])
