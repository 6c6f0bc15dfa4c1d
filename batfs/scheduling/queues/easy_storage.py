"""EASY backfilling that reserves nodes and storage."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import Agenda, let_go, place_before
from batfs.scheduling.queues.fcfs import start_in_order


@QUEUE_POLICIES.register("easy_storage")
class EasyStorage:
    """Start jobs in order; promise the first that has to wait the earliest time at which both its nodes and
    its bytes will be free by the walltimes of the jobs that run; let later jobs go ahead, in submission
    order, where they take nothing of that promise.

    The head starts when promised at the latest, if walltimes hold, so no job starves. This is ``fcfs-bb`` of
    Kopanski & Rzadca (Euro-Par 2021) on any file system, except that a job may end at the very instant a
    promise begins. ``depth`` bounds how many waiting jobs a pass tries to backfill (0: all).
    """

    name = "easy_storage"
    orderly = True
    by_walltimes = True

    def __init__(self, depth: int = 0) -> None:
        if depth < 0:
            raise InputError(
                f"the depth of the queue policy {self.name!r} is {depth}; expected 0 (all) or more"
            )
        self.depth = depth
        self._agenda = Agenda()
        self._promised: tuple[str, float] | None = None
        self._kept: JobPlacement | None = None  # the promise itself, as of the last pass

    def schedule(self, view: QueueView) -> Pass:
        let_go(view, self._kept)
        starts = start_in_order(view)
        if len(starts) == len(view.queue):
            self._promised = None
            return Pass(starts)
        agenda = self._agenda
        agenda.begin(view)
        try:
            for placement in starts:
                agenda.add(placement)
            head, promise = self._promise(view, starts)
            if head is None:
                return Pass(starts)
            for job in islice(self._candidates(view, head), self.depth or None):
                if promise is None:
                    placed = view.place(job)
                else:
                    placed = place_before(view, job, promise.start, promise.nodes)
                if not isinstance(placed, Hold):
                    starts.append(placed)
            wake_at = None if promise is None else agenda.call_for(view, promise, starts)
        finally:
            agenda.finish()
        return Pass(starts, wake_at=wake_at, promises=() if promise is None else [promise])

    def _promise(
        self, view: QueueView, starts: list[JobPlacement]
    ) -> tuple[WaitingJob | None, JobPlacement | None]:
        """The first job that has to wait, and its stay, held on the view: None when none is foreseen (jobs
        without walltime). Heads that turn out to fit now are added to ``starts``."""
        while True:
            head = next(islice(view.queue, len(starts), None), None)
            if head is None:
                self._promised = None
                return None, None
            after = self._agenda.ends(view.now)
            promised = self._promised
            if promised is not None and promised[0] == head.id and not view.freed:
                # nothing was given back: no earlier time can have come up
                after = [t for t in after if t >= promised[1]] or [max(promised[1], view.now)]
            promise = self._agenda.kept_stay(view, head, after, self._kept)
            if promise is not None:
                promise = self._agenda.brought_forward(view, promise, starts)
            if promise is None or promise.start > view.now:
                self._promised = None if promise is None else (head.id, promise.start)
                self._kept = promise
                return head, promise
            starts.append(promise)
            self._agenda.add(promise)

    def _candidates(self, view: QueueView, head: WaitingJob) -> Iterable[WaitingJob]:
        return (job for job in view.queue.narrower(view) if job.order > head.order)


@QUEUE_POLICIES.register("sjf_storage")
class SjfStorage(EasyStorage):
    """As ``easy_storage``, but behind the head the shortest walltimes are tried first.

    The promise to the head, in submission order, keeps long jobs from starving. This is ``sjf-bb`` of
    Kopanski & Rzadca (Euro-Par 2021) on any file system.
    """

    name = "sjf_storage"

    def _candidates(self, view: QueueView, head: WaitingJob) -> Iterable[WaitingJob]:
        return sorted(super()._candidates(view, head), key=lambda job: (job.walltime, job.order))
