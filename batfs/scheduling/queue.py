"""The waiting jobs: in submission order, with constant-time arrival, departure and head."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator

from batfs.scheduling.interface import QueueView, WaitingJob


class WaitingQueue:
    """Jobs in submission order, and the same jobs by the number of nodes they ask for.

    The second index lets a backfilling pass look only at jobs narrow enough for what is free.
    """

    def __init__(self) -> None:
        # OrderedDict, not dict: a dict's first key costs more and more after many removals at the front
        self._jobs: OrderedDict[str, WaitingJob] = OrderedDict()
        # built on the first backfilling pass: a policy that only looks at the head never pays for it
        self._by_width: dict[int, OrderedDict[str, WaitingJob]] | None = None

    def add(self, job: WaitingJob) -> None:
        self._jobs[job.id] = job
        if self._by_width is not None:
            self._by_width.setdefault(job.nodes, OrderedDict())[job.id] = job

    def remove(self, job_id: str) -> WaitingJob:
        job = self._jobs.pop(job_id)
        if self._by_width is not None:
            same = self._by_width[job.nodes]
            del same[job_id]
            if not same:
                del self._by_width[job.nodes]
        return job

    def get(self, job_id: str) -> WaitingJob | None:
        return self._jobs.get(job_id)

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[WaitingJob]:
        return iter(self._jobs.values())

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    @property
    def head(self) -> WaitingJob | None:
        for job in self._jobs.values():
            return job
        return None

    def narrower(self, view: QueueView) -> Iterator[WaitingJob]:
        """Waiting jobs in order, leaving out those that ask for more nodes than ``view`` has free when they
        are reached. Merges the widths that fit, so that wide jobs cost nothing however many wait."""
        if self._by_width is None:
            self._by_width = {}
            for job in self._jobs.values():
                self._by_width.setdefault(job.nodes, OrderedDict())[job.id] = job
        free = view.free_nodes.bit_count()
        merge: list[tuple[int, int, WaitingJob, Iterator[WaitingJob]]] = []
        for width, jobs in self._by_width.items():
            if width <= free:
                rest = iter(jobs.values())
                first = next(rest)
                merge.append((first.order, width, first, rest))
        heapq.heapify(merge)
        while merge:
            _, width, job, rest = merge[0]
            # nodes only get fewer during a pass's backfilling: a width that no longer fits is done with
            if width > view.free_nodes.bit_count():
                heapq.heappop(merge)
                continue
            yield job
            following = next(rest, None)
            if following is None:
                heapq.heappop(merge)
            else:
                heapq.heapreplace(merge, (following.order, width, following, rest))
