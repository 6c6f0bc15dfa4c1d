"""When which nodes will be free: a timeline kept from pass to pass, and the search for a job's first stay.

Nodes are known from the jobs that run (until their walltimes are over) and from what a pass has placed or
promised. Bytes are asked of the view at the time in question: its books know what every reservation holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from math import inf

from batfs._core.arrays import np
from batfs.filesystems.interface import Hold
from batfs.protocol.clock import SAME, SOON, on_calendar
from batfs.scheduling.interface import JobPlacement, NodeSet, QueueView, WaitingJob
from batfs.scheduling.timeline import Hold as Stay
from batfs.scheduling.timeline import Timeline, first_nodes
from batfs.workload.model import FloatArray

OVERTIME = 60.0
"""A job still there when its walltime is over (staging out) is expected to go in so many seconds (s)."""


def in_whole_seconds(times: Iterable[float], now: float) -> FloatArray:
    """``times`` of a plan made at ``now``, and so ``now`` itself, each as the nearest whole second; what is
    yet to come stays after now.

    A search among thousands of plans goes another way when two scores, or two ends of jobs, that were equal
    differ by a microsecond: by as little as messages take, or as a number sent with six decimals loses. What
    it decides is then no longer a matter of the machine's state. No job's length is known to a second.
    """
    exact = np.fromiter(times, np.float64)
    whole = np.rint(exact)
    return np.where(exact > now, np.maximum(whole, np.rint(now) + 1.0), whole)


class Agenda:
    """The nodes over time. Call :meth:`begin` first in a pass and :meth:`finish` last."""

    def __init__(self) -> None:
        self.timeline = Timeline(0)
        self.freed: list[tuple[float, float]] | None = None
        """When something is free that was held in the last pass, [from, to); None: perhaps at any time."""
        self.broken = False
        """Whether what :meth:`finish` was told to keep could not be."""
        self._running: dict[str, Stay] = {}
        self._trial: dict[int, Stay] = {}
        self._sorted: list[float] | None = []
        self._nodes: NodeSet = 0
        self._hidden: frozenset[int] = frozenset()
        self._returns: tuple[float, ...] = ()
        self._next_end = inf  # of anything that a running job holds, where its time is not over

    def begin(self, view: QueueView) -> None:
        """Take over what has changed since the last pass."""
        self.broken = False
        # those of a job may be away: it runs on
        nodes = max([view.all_nodes.bit_length(), *(j.nodes.bit_length() for j in view.running.values())])
        if nodes > self.timeline.nodes:  # the first pass, or machines came
            self.broken = bool(self._trial)
            self.timeline = Timeline(nodes)
            self._running, self._trial = {}, {}
        running, freed, now = view.running, [], view.now
        self._next_end = inf
        for job_id in [job_id for job_id in self._running if job_id not in running]:
            gone = self._running.pop(job_id)
            self.timeline.release(gone)
            freed.append((view.now, max(gone.end, on_calendar(view.now + OVERTIME))))
        for job_id, job in running.items():
            for end in (job.expected_end, job.expected_release):
                if now < end < self._next_end and (job.nodes or end != job.expected_end):
                    self._next_end = end
            known = self._running.get(job_id)
            if known is not None:
                same = known.node_end in (job.expected_end, known.end) and known.node_end > view.now
                if known.nodes == job.nodes and known.end > view.now and (same or not job.nodes):
                    continue
                self.timeline.release(known)
                freed.append((view.now, max(known.end, on_calendar(view.now + OVERTIME))))
            end = job.expected_end
            if end <= now:
                # nodes due at this very instant, in which others are heard of first, are free at once
                now_due = job.nodes and now - end <= SAME
                end = on_calendar(now + (1e-3 if now_due else OVERTIME))
            release = max(end if job.nodes else on_calendar(view.now + OVERTIME), job.expected_release)
            stay = Stay(job.start, release, end, job.nodes)
            if self._trial and not self.timeline.all_free(stay.start, stay.node_end, stay.nodes):
                self.withdraw()  # it holds its nodes for longer than was foreseen
                self.broken = True
            self.timeline.hold(stay)
            self._running[job_id] = stay
        # machines that come back, bytes that no running job held, or nothing runs any more
        returns = tuple(view.storage_returns)  # what is away may stay away for longer
        same = (view.all_nodes, view.hidden_storages, returns) == (self._nodes, self._hidden, self._returns)
        self.freed = freed if freed and running and same else None
        self.broken = self.broken or (bool(self._trial) and not same)
        self._nodes, self._hidden, self._returns = view.all_nodes, view.hidden_storages, returns
        self._sorted = None

    @property
    def _ends(self) -> list[float]:
        """When anything is given back, ascending: sorted when somebody asks."""
        if self._sorted is None:
            stays = (*self._running.values(), *self._trial.values())
            self._sorted = sorted([*self._returns, *(end for stay in stays for end in _ends(stay))])
        return self._sorted

    def withdraw(self) -> None:
        """Take back all that :meth:`add` held."""
        for stay in self._trial.values():
            self.timeline.release(stay)
        self._trial = {}
        self._sorted = None

    def finish(self, standing: Iterable[Stay] = ()) -> None:
        """Forget what the pass has tried, but what is ``standing``: that is held in the next pass too, unless
        it turns out to be ``broken``."""
        kept = {id(stay): stay for stay in standing}
        for key, stay in self._trial.items():
            if key not in kept:
                self.timeline.release(stay)
        self._trial = kept

    def add(self, placement: JobPlacement) -> Stay:
        """Hold the nodes of a placement until the pass is over."""
        stay = Stay(placement.start, placement.end, placement.node_end, placement.nodes)
        self.timeline.hold(stay)
        self._trial[id(stay)] = stay
        if self._sorted is not None:
            for end in _ends(stay):
                insort(self._sorted, end)
        return stay

    def exchange(self, stay: Stay, moved: Stay) -> None:
        """The timeline has one in the place of the other."""
        self._trial[id(moved)] = moved
        del self._trial[id(stay)]
        self._sorted = None

    def remove(self, stay: Stay) -> None:
        """Take back what :meth:`add` held."""
        del self._trial[id(stay)]
        self.timeline.release(stay)
        if self._sorted is not None:
            for end in _ends(stay):
                del self._sorted[bisect_left(self._sorted, end)]

    def ends(self, now: float, until: float = inf) -> list[float]:
        """``now`` and the times after it, up to ``until``, at which something is expected to be given back,
        ascending."""
        if self._sorted is None and until < inf:  # a few of many, perhaps for this once
            stays = (*self._running.values(), *self._trial.values())
            of_nodes = [stay.node_end for stay in stays if now < stay.node_end <= until]
            of_bytes = [stay.end for stay in stays if stay.end != stay.node_end and now < stay.end <= until]
            returns = [time for time in self._returns if now < time <= until]
            return [now, *sorted([*returns, *of_nodes, *of_bytes])]
        ends = self._ends
        return [now, *ends[bisect_right(ends, now) : bisect_right(ends, until)]]

    def first_stay(
        self, view: QueueView, job: WaitingJob, after: Iterable[float], until: float = inf
    ) -> JobPlacement | None:
        """The earliest start of ``job`` on nodes and bytes, placed on the view; None if none is foreseen.

        Searched from each time of ``after`` (ascending, none before now) in turn, as far as ``until``.
        """
        tried = -inf
        stay = view.stay(job)
        lead = view.lead(job)
        if lead:
            after = _with_lead(after, view.now, lead)
        for base in after:
            if base <= tried:
                continue
            while True:
                found = self.timeline.earliest_nodes(job.nodes, stay, base, view.all_nodes, until)
                if found is None or found[0] == inf or found[0] > until:
                    return None
                tried, free = found
                placed = self._placed(view, job, free, tried)
                if placed is None:
                    break
                longer = placed.node_end - placed.start
                if longer <= stay or self._free(placed):
                    return placed
                # it stages for longer than was known: the nodes have to be free for all of it
                view.undo(placed)
                stay = longer
        return None

    def kept_stay(
        self, view: QueueView, job: WaitingJob, after: list[float], kept: JobPlacement | None
    ) -> JobPlacement | None:
        """The earliest stay found, or ``kept``, the promise of an earlier pass, again where that is no later:
        a policy asked for one piece after the other may miss what it found before."""
        promise = self.first_stay(view, job, after)
        if kept is None or kept.job is not job or (promise is not None and promise.start <= kept.start):
            return promise
        if promise is not None:
            view.undo(promise)
        return self.same_stay(view, kept) or self.first_stay(view, job, after)

    def same_stay(
        self, view: QueueView, promise: JobPlacement, *, attempt: bool = True
    ) -> JobPlacement | None:
        """The stay of an earlier pass, on the same nodes and storages, no earlier than now; None if something
        of it is taken. ``attempt``: see ``QueueView.again``."""
        start = max(promise.start, view.now)
        end = on_calendar(start + promise.node_end - promise.start)
        free = self.timeline.free_nodes(start, end)
        if promise.nodes & ~(free & view.all_nodes):
            return None
        placed = view.again(promise, start, attempt=attempt)
        if isinstance(placed, Hold):
            return None
        if on_calendar(placed.node_end) > end and not self._free(placed):
            view.undo(placed)  # its data sets lie elsewhere now, and it stages for longer
            return None
        return placed

    def call_for(
        self, view: QueueView, promise: JobPlacement, starts: Iterable[JobPlacement] = ()
    ) -> float | None:
        """When to be called for ``promise``: at its start; None where somebody is heard of before, because a
        job that runs, or one of ``starts``, gives something back by then.

        The end that a promise was made for may have come early and nothing be left to happen at its start.
        """
        ends = [end for placed in starts for end in (placed.node_end, placed.end)]
        if min(ends, default=inf) <= promise.start or self._next_end <= promise.start:
            return None
        # guessed for who has overrun: whoever waits for that hears of the true end
        guessed = any(promise.start in (stay.node_end, stay.end) for stay in self._running.values())
        return None if guessed else promise.start

    def brought_forward(
        self, view: QueueView, promise: JobPlacement, starts: Iterable[JobPlacement] = ()
    ) -> JobPlacement:
        """``promise``, or the same stay from now on: if nothing else happens until it begins, and that is too
        soon to be called for it. What it waited for has been given back, or it would be heard of."""
        if not view.now < promise.start < view.now + SOON or self.call_for(view, promise, starts) is None:
            return promise
        free = self.timeline.free_nodes(view.now, promise.start)
        if promise.nodes & ~(free & view.free_nodes):
            return promise
        view.undo(promise)
        placed = view.again(promise, view.now)
        if isinstance(placed, Hold):
            placed = view.again(promise, promise.start)
            assert not isinstance(placed, Hold), "it was there a moment ago"
        return placed

    def _free(self, placed: JobPlacement) -> bool:
        """Whether its nodes are, for all its stay."""
        return not placed.nodes & ~self.timeline.free_nodes(placed.start, placed.node_end)

    def _placed(self, view: QueueView, job: WaitingJob, free: NodeSet, at: float) -> JobPlacement | None:
        for among in self._preferred(view, job.nodes, free, at):
            placed = view.place(job, start=at, among=among)
            if not isinstance(placed, Hold):
                return placed
        return None

    def _preferred(self, view: QueueView, count: int, free: NodeSet, start: float) -> Iterator[NodeSet]:
        """Nodes to choose from: for a stay in the future first those busy now, so that the ones idle now stay
        open to others meanwhile; then all, for a selection that wants particular ones."""
        if start > view.now:
            busy = free & ~view.free_nodes
            lacking = count - busy.bit_count()
            if lacking < 0:
                yield busy
            elif lacking:
                # idle ones from the far end: the lowest go to jobs that start now
                idle = free & view.free_nodes
                yield busy | idle & ~first_nodes(idle, idle.bit_count() - lacking)
            else:
                yield busy
        yield free


def _with_lead(after: Iterable[float], now: float, lead: float) -> list[float]:
    """The times ``after``, and those so much later at which what was free then has been filled; none before
    data that begins to come now is there."""
    first = on_calendar(now + lead)
    times = [*after]
    later = {on_calendar(time + lead) for time in times}
    return sorted({first, *(time for time in (*times, *later) if time > first)})


def _ends(stay: Stay) -> list[float]:
    """When it gives something back: its nodes, its bytes."""
    return [end for end in dict.fromkeys((stay.node_end, stay.end)) if end < inf]


def let_go(view: QueueView, promise: JobPlacement | None) -> None:
    """Give back what was promised in the last pass: up to now it was out of reach of those who are staged
    before they have nodes, from now on the policy sees to it."""
    if promise is not None and view.holds(promise):
        view.undo(promise)


def data_is_sure(job: WaitingJob) -> bool:
    """Whether it is known from when on its data will be there: of a job that is staged before it has nodes,
    once it has its bytes. Before that others may be staged ahead of it, but for the first of the queue."""
    return job.staged is None or job.staged.holds


def told_before(view: QueueView, promise: JobPlacement | None) -> tuple[WaitingJob, ...]:
    """The job to which a start was promised in the last pass, if it still waits."""
    return (promise.job,) if promise is not None and promise.job.id in view.queue else ()


def place_before(view: QueueView, job: WaitingJob, time: float, nodes: NodeSet) -> JobPlacement | Hold:
    """A placement that starts now and either leaves its nodes by ``time`` or isn't on ``nodes``."""
    # ending just then is no delay
    late = on_calendar(view.now + view.stay(job)) > time
    placed = view.place(job, avoid=nodes if late else 0)
    if late or isinstance(placed, Hold) or placed.node_end <= time or not placed.nodes & nodes:
        return placed
    view.undo(placed)  # it stages for longer than was known
    return view.place(job, avoid=nodes)
