"""Queue policies for tests: another one's decisions, and kills of running jobs."""

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


class KillingAt:
    """As ``inner``; the job ``victim`` is killed at the time ``at`` (seconds)."""

    name = "killing at"

    def __init__(self, inner: str = "fcfs", at: float = 0.0, victim: str = "") -> None:
        self._inner = make_queue_policy(inner)
        self._at = at
        self._victim = victim

    def schedule(self, view: QueueView) -> Pass:
        decided = self._inner.schedule(view)
        if not self._victim:
            return decided
        if view.now < self._at:
            return replace(decided, wake_at=min(self._at, decided.wake_at or self._at))
        victim, self._victim = self._victim, ""
        return replace(decided, kills=[victim] if victim in view.running else [])
