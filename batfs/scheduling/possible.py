"""Whether a job could ever have its space, found when it is submitted.

The job is planned on the machine as it is when nobody else is there: file systems and books of its own, so
that nothing of the real ones moves (the pointer of a policy, the random generator). Most jobs ask for so
little that the question doesn't arise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import inf

from batfs.filesystems.interface import Hold, IoPlan
from batfs.filesystems.nodeless import stand_ins
from batfs.records import replace
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.machine import FileSystems, Machine

#: A job whose bytes are fewer than this part of the smallest storage fits anywhere, copies and all.
_EASY = 8
#: A policy that draws may put the first of several volumes where the next would have had to go.
TRIES = 6


class EmptyMachine:
    """``make`` makes file systems and books without anything on them, when they are first needed."""

    def __init__(self, make: Callable[[], tuple[FileSystems, Machine]], smallest: int, seed: int) -> None:
        self._make = make
        self._easy = smallest // _EASY
        self._rng = random.Random(seed)
        self._known: dict[tuple[str, str, int], Hold | None] = {}
        self._planned: dict[tuple[str, str, int], Sequence[IoPlan]] = {}
        self._made: tuple[FileSystems, Machine] | None = None
        self._gone: list[int] = []

    def without(self, ids: Sequence[int]) -> None:
        """These storages (other ids don't matter here) will never be there again."""
        self._gone += ids
        self._known.clear()
        self._made = None

    def never(self, job: WaitingJob) -> Hold | None:
        """What the job will always lack; None if it can run, or if that can't be told."""
        volumes = job.volumes
        if not volumes:
            return None
        total = 0
        for volume in volumes:
            total += volume.reads + volume.writes
            if volume.options:
                break
        else:
            if total <= self._easy and not self._gone:
                return None
        key = (job.job.workload, job.job.profile, job.nodes)
        if key not in self._known:
            self._known[key] = self._ask(job)
        return self._known[key]

    def plans(self, job: WaitingJob) -> Sequence[IoPlan]:
        """Plans of a job whose nodes aren't known; none if it finds no room."""
        key = (job.job.workload, job.job.profile, job.nodes)
        if key not in self._planned:
            files, machine = self._machine()
            nodes, volumes = stand_ins(job.nodes), job.volumes
            plans = files.plan(job.id, nodes, volumes, 0.0, job.walltime, machine.view, self._rng)
            self._planned[key] = () if isinstance(plans, Hold) else plans
        return self._planned[key]

    def _machine(self) -> tuple[FileSystems, Machine]:
        if self._made is None:
            files, machine = self._made = self._make()
            machine.set_down([i for i in self._gone if i in machine.position], inf)
            files.lost(self._gone)
            for sets in getattr(files, "data_sets", {}).values():
                sets.assumed = True
        return self._made

    def _ask(self, job: WaitingJob) -> Hold | None:
        files, machine = self._machine()
        lacks: Hold | None = None
        for nodes in self._nodes(machine, job.nodes):
            for _ in range(TRIES):
                plans = files.plan(job.id, nodes, job.volumes, 0.0, job.walltime, machine.view, self._rng)
                if isinstance(plans, Hold):
                    lacks = plans
                else:
                    placements = [p for plan in plans for p in plan.placements]
                    held = machine.book(job.id, placements, 0.0, job.walltime)
                    if not isinstance(held, Hold):
                        machine.release(held)
                        return None
                    lacks = held
                if lacks.never:
                    break
        return None if lacks is None else replace(lacks, never=True)

    def _nodes(self, machine: Machine, count: int) -> list[tuple[int, ...]]:
        """Nodes to try: those with most space of their own, the first ones, and as many chassis as there
        are, if those are others."""
        ids = machine.order.ids(machine.all)
        own = dict.fromkeys(ids, 0)
        by_name = {machine.names[i]: i for i in ids}
        for storage in machine.ledger.storages:
            node = by_name.get(str(storage.properties.get("node", "")))
            if node is not None:
                own[node] += storage.capacity
        roomy = tuple(sorted(sorted(ids, key=lambda i: -own[i])[:count]))
        found = [roomy, ids[:count]]
        if machine.spread_order:
            order = machine.spread_order
            found.append(tuple(sorted(sorted(ids, key=lambda i: (order.get(i, 0), i))[:count])))
        return list(dict.fromkeys(found))
