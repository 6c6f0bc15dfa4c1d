"""Our own: jobs start whose I/O fits that of the jobs that run.

``docs/background/io-scheduling.md`` argues and measures it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from batfs.errors import InputError
from batfs.filesystems.interface import Hold
from batfs.records import record
from batfs.scheduling.interface import JobPlacement, Pass, QueueView, WaitingJob
from batfs.scheduling.queues import QUEUE_POLICIES
from batfs.scheduling.queues.agenda import Agenda, data_is_sure, let_go, place_before, told_before

#: Part of its walltime for which a job is taken to run before one has ended.
_AT_FIRST = 0.5
#: How much of what is known of walltimes a job that ends changes.
_WEIGHT = 0.05


@record(frozen=False)
class _Known:
    """A running job: what it needs of each link (seconds), when it began, how long it is taken to run."""

    need: Mapping[int, float]
    start: float
    walltime: float


@QUEUE_POLICIES.register("fit_io")
class FitIo:
    """As ``easy_storage``, but of the jobs that can start now those come first whose I/O fits beside the
    running ones: on every link that a job uses, its share and theirs add up to ``most`` at most.

    The idea: a job that alone needs a link for s of the t seconds it runs has the share s / t of it. While
    the shares on a link stay below 1 an I/O policy can lay everybody's phases between those of the others;
    above, nodes wait for bytes whatever it does. So nodes go first to jobs whose phases still fit, and jobs
    that would overload a link wait for a time at which they fit: until no other job wants the nodes (none is
    left idle for the sake of I/O), and no longer than ``patience`` times their walltime. Then they are served
    in their order like any other, with a promise of nodes and storage: a start that is kept while walltimes
    hold. Nodes are kept for the first that finds no room before that, too; when they are free it may be
    passed by like any other.

    The shares of running jobs are those that the I/O level has seen (bytes moved, in how much time of
    computing and moving); of a job of which nothing has been seen, its need over its walltime, times the part
    of their walltimes that jobs have lasted of late. With an I/O policy that keeps phases apart, such as
    ``set10``, both levels go by the same figures.

    ``depth`` bounds how many waiting jobs a pass looks at behind the first that finds no room (0: all).
    """

    name = "fit_io"
    by_walltimes = True

    def __init__(self, most: float = 1.0, patience: float = 1.0, depth: int = 0) -> None:
        if not most > 0 or patience < 0 or depth < 0:
            raise InputError(
                f"most, patience and depth of the queue policy 'fit_io' are {most:g}, {patience:g} and "
                f"{depth}; expected more than 0, and 0 or more"
            )
        self._most = most
        self._patience = patience
        self._depth = depth
        self._agenda = Agenda()
        self._kept: JobPlacement | None = None  # the promise, as of the last pass
        self._promised: tuple[str, float] | None = None  # where it is sure
        self._running: dict[str, _Known] = {}
        self._needs: dict[str, Mapping[int, float]] = {}  # of waiting jobs that have been placed before
        self._passed: dict[str, float] = {}  # since when jobs are passed by because of their I/O
        self._lasts = _AT_FIRST

    def schedule(self, view: QueueView) -> Pass:
        let_go(view, self._kept)
        shares = self._shares(view)
        agenda = self._agenda
        agenda.begin(view)
        starts: list[JobPlacement] = []
        passed: list[WaitingJob] = []
        promise: JobPlacement | None = None
        behind: list[WaitingJob] = []
        told = [job for job in told_before(view, self._kept) if self._in_order(view, job)]
        try:
            # who was promised a start as it has been passed by for long enough comes first: others may have
            # had enough since
            waiting = chain(told, (job for job in view.queue if job not in told))
            for job in waiting:
                placed = view.place(job)
                if isinstance(placed, Hold):
                    if data_is_sure(job) or job is view.queue.head:
                        promise = agenda.kept_stay(view, job, agenda.ends(view.now), self._kept)
                    if promise is not None:
                        promise = agenda.brought_forward(view, promise, starts)
                    if promise is None or promise.start > view.now:
                        behind = self._behind(view, waiting)
                        break
                    placed = promise  # it fits now, elsewhere
                    promise = None
                elif not self._fits(view, placed, shares) and self._waits_on(view, job):
                    view.undo(placed)
                    passed.append(job)
                    continue
                agenda.add(placed)
                self._starts(view, placed, shares, starts)
            self._kept = promise
            sure = promise is not None and self._in_order(view, promise.job)
            self._promised = (promise.job.id, promise.start) if promise is not None and sure else None
            self._fill(view, behind, promise, shares, starts, fitting=True)
            self._fill(view, chain(passed, behind), promise, shares, starts, fitting=False)
            wake_at = None if promise is None else agenda.call_for(view, promise, starts)
        finally:
            agenda.finish()
        return Pass(starts, wake_at=wake_at, promises=() if promise is None else [promise])

    # ---- what fits ----------------------------------------------------------------------------------------

    def _shares(self, view: QueueView) -> dict[int, float]:
        """The shares of each link that the running jobs have."""
        for job_id in [one for one in self._running if one not in view.running]:
            gone = self._running.pop(job_id)
            if 0 < gone.walltime < float("inf"):
                lasted = min(1.0, (view.now - gone.start) / gone.walltime)
                self._lasts += _WEIGHT * (lasted - self._lasts)
        shares: dict[int, float] = {}
        for job_id, known in self._running.items():
            if not known.need:
                continue
            seconds = self._seconds(known.walltime, known.need)
            part = 1.0
            progress = view.io_progress(job_id)
            if progress is not None and progress.moved and progress.size and progress.seconds > 0:
                # checkpoints and what staging moves twice are more than the job's own bytes
                part, seconds = min(1.0, progress.moved / progress.size), progress.seconds
            for link, need in known.need.items():
                shares[link] = shares.get(link, 0.0) + min(1.0, part * need / seconds)
        return shares

    def _seconds(self, walltime: float, need: Mapping[int, float]) -> float:
        """For how long a job is taken to run."""
        return max(self._lasts * walltime, max(need.values(), default=0.0), 1e-3)

    def _need(self, view: QueueView, placed: JobPlacement) -> Mapping[int, float]:
        found = self._needs.get(placed.job.id)
        if found is None:
            found = self._needs[placed.job.id] = view.io_need(placed)
        return found

    def _fits(self, view: QueueView, placed: JobPlacement, shares: Mapping[int, float]) -> bool:
        need = self._need(view, placed)
        seconds = self._seconds(placed.job.walltime, need)
        return all(
            link not in shares or shares[link] + one / seconds <= self._most for link, one in need.items()
        )

    def _in_order(self, view: QueueView, job: WaitingJob) -> bool:
        """Whether it is served in its order, whatever its I/O."""
        since = self._passed.get(job.id, view.now)
        return view.now - since >= self._patience * job.walltime

    def _waits_on(self, view: QueueView, job: WaitingJob) -> bool:
        """Whether a job that doesn't fit may be passed by."""
        since = self._passed.setdefault(job.id, view.now)
        return view.now - since < self._patience * job.walltime

    # ---- what starts --------------------------------------------------------------------------------------

    def _starts(
        self, view: QueueView, placed: JobPlacement, shares: dict[int, float], starts: list[JobPlacement]
    ) -> None:
        job, need = placed.job, self._need(view, placed)
        seconds = self._seconds(job.walltime, need)
        for link, one in need.items():
            shares[link] = shares.get(link, 0.0) + one / seconds
        self._running[job.id] = _Known(need, view.now, job.walltime)
        self._needs.pop(job.id, None)
        self._passed.pop(job.id, None)
        starts.append(placed)

    def _behind(self, view: QueueView, waiting: Iterable[WaitingJob]) -> list[WaitingJob]:
        """Those behind the first that finds no room, which may have the nodes that are free now."""
        free = view.free_nodes.bit_count()
        found = [job for job in waiting if job.nodes <= free]
        return found[: self._depth] if self._depth else found

    def _fill(
        self,
        view: QueueView,
        jobs: Iterable[WaitingJob],
        promise: JobPlacement | None,
        shares: dict[int, float],
        starts: list[JobPlacement],
        *,
        fitting: bool,
    ) -> None:
        """Start those that take nothing of the promise, all of them or only those whose I/O fits."""
        started = {placed.job.id for placed in starts}
        for job in jobs:
            if job.id in started or job.nodes > view.free_nodes.bit_count():
                continue
            if promise is None:
                placed = view.place(job)
            else:
                placed = place_before(view, job, promise.start, promise.nodes)
            if isinstance(placed, Hold):
                continue
            if fitting and not self._fits(view, placed, shares):
                view.undo(placed)
                continue
            self._starts(view, placed, shares, starts)
