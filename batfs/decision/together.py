"""How long what jobs move takes when they do it together: the simulator's own solver, without messages.

Each job is a row of stages, one after the other; the activities of a stage start together, and the next one
starts when all have ended. Nobody waits for a detached one. All jobs begin at 0 s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from batfs.platform import Platform
from batfs.simulator.engine import Deadlock, Engine
from batfs.simulator.work import Work

Activity: TypeAlias = Work | float
"""What uses the machine, or a time that passes (s)."""


class Stage(NamedTuple):
    """``part``: what it belongs to; several stages may be of one part."""

    part: int
    activities: Sequence[Activity]
    detached: bool = False


class Together:
    """Runs jobs on one machine that is otherwise empty."""

    def __init__(self, platform: Platform) -> None:
        hosts, links = platform.hosts, platform.links
        self._engine = Engine(
            [*(host.cores * host.speed for host in hosts), *(link.bandwidth for link in links)],
            [*(False for _ in hosts), *(link.fatpipe for link in links)],
            [*(host.name for host in hosts), *(link.name for link in links)],
        )
        self._jobs: list[Sequence[Stage]] = []
        self._next: list[int] = []
        self._waiting: list[int] = []
        self._spans: dict[int, tuple[float, float]] = {}
        self._mine = 0  # activities of the first job under way

    def seconds(self, jobs: Sequence[Sequence[Stage]]) -> dict[int, float]:
        """Of each part of the first job, from its start to its end; inf if it never ends.

        One call only. InputError if SimGrid's solver would go on for ever.
        """
        self._jobs = list(jobs)
        self._next, self._waiting = [0] * len(jobs), [0] * len(jobs)
        for k in range(len(jobs)):
            self._go_on(k)
        while self._mine:
            try:
                ended = self._engine.advance()
            except Deadlock:
                ended = []
            if not ended:
                return {stage.part: self._seconds(stage.part, math.inf) for stage in self._jobs[0]}
            for job, part, detached in ended:
                if job == 0:
                    self._mine -= 1
                    self._spans[part] = (self._spans[part][0], self._engine.now)
                if not detached:
                    self._waiting[job] -= 1
            for job in sorted({job for job, _, detached in ended if not detached}):
                self._go_on(job)
        return {part: self._seconds(part, 0.0) for part in self._spans}

    def _seconds(self, part: int, otherwise: float) -> float:
        start, end = self._spans.get(part, (0.0, -1.0))
        return end - start if end >= start else otherwise

    def _go_on(self, job: int) -> None:
        """Begin the stages of a job up to the next one that it waits for."""
        engine = self._engine
        while self._waiting[job] == 0 and self._next[job] < len(self._jobs[job]):
            part, activities, detached = self._jobs[job][self._next[job]]
            self._next[job] += 1
            if job == 0:
                self._mine += len(activities)
                self._spans.setdefault(part, (engine.now, -1.0))
            if not detached:
                self._waiting[job] = len(activities)
            for activity in activities:
                owner = (job, part, detached)
                if isinstance(activity, Work):
                    first = engine.rows(activity.resources, activity.weights)
                    count = len(activity.resources)
                    engine.add_flow(first, count, activity.latency, activity.bound, owner)
                else:
                    engine.add_timer(activity, owner)
