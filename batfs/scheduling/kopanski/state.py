"""What the scheduler knows between passes: who waits, who runs, what is free now and what is promised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from batfs.scheduling.kopanski.layout import Layout, Pieces
from batfs.scheduling.timeline import Hold, Shares, Timeline, first_nodes


@dataclass(frozen=True, slots=True, eq=False)
class BufferedJob:
    """A job of the experiment: ``cpu`` flops per node, ``com`` bytes per ordered pair of nodes, ``share``
    bytes of burst buffer per node. ``id`` is Batsim's full id."""

    id: str
    submission_time: float
    nodes: int
    walltime: float
    cpu: float
    com: float
    share: int


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where a job runs: ``nodes`` (bitset) and the burst buffers their bytes are on."""

    nodes: int
    pieces: Pieces


class ClusterState:
    """The books of one run. ``waiting`` is in submission order; a policy starts jobs with :meth:`start`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.timeline = Timeline(layout.nb_nodes, (layout.capacity,) * layout.nb_buffers, closed=True)
        self.idle = (1 << layout.nb_nodes) - 1
        self.waiting: list[BufferedJob] = []
        self.running: dict[str, Hold] = {}
        self.started: list[tuple[BufferedJob, Placement]] = []
        self.node_misses = 0
        self.buffer_misses = 0

    def admits(self, job: BufferedJob) -> bool:
        """Whether an empty machine could run the job."""
        layout = self.layout
        if job.nodes > layout.nb_nodes or job.share > layout.capacity:
            return False
        return job.share <= 0 or job.nodes <= layout.nb_buffers * (layout.capacity // job.share)

    def room_now(self, job: BufferedJob, now: float, promised: Hold | None = None) -> Placement | None:
        """Where the job could start now: on nodes nobody holds, however late their jobs are, and clear of
        ``promised`` (which is in the timeline) unless the job's walltime ends before it begins."""
        free = self.idle
        if promised is not None and now + job.walltime >= promised.start:
            free &= ~promised.nodes
        if free.bit_count() < job.nodes:
            self.node_misses += 1
            return None
        chosen = first_nodes(free, job.nodes)
        room = self.timeline.free_bytes(now, now + job.walltime)
        pieces = self.layout.pieces_of(chosen, job.share, room)
        if pieces is None:
            self.buffer_misses += 1
            return None
        return Placement(chosen, pieces)

    def start(self, job: BufferedJob, now: float, placement: Placement) -> None:
        """Start a job: its nodes are taken until :meth:`end`, its bytes until then or its walltime."""
        shares = self.layout.shares(placement.pieces)
        hold = self.timeline.make(now, job.walltime, placement.nodes, shares)
        self.timeline.hold(hold)
        self.running[job.id] = hold
        self.idle &= ~placement.nodes
        self.waiting.remove(job)
        self.started.append((job, placement))

    def end(self, job_id: str) -> None:
        hold = self.running.pop(job_id)
        self.timeline.release(hold)
        self.idle |= hold.nodes

    def promise_nodes(self, job: BufferedJob, now: float) -> Hold:
        """The earliest stay of the job on nodes alone, burst buffers ignored (not yet in the timeline)."""
        found = self.timeline.earliest_nodes(job.nodes, job.walltime, now)
        assert found is not None, "an admitted job fits once everything has ended"
        start, free = found
        return self.timeline.make(start, job.walltime, first_nodes(free, job.nodes))

    def promise(self, job: BufferedJob, now: float) -> Hold:
        """The earliest stay of the job on nodes and burst buffers (not yet in the timeline)."""
        return self.stay(job, self.bases(now))[0]

    def stay(self, job: BufferedJob, bases: Iterable[float]) -> tuple[Hold, Placement]:
        """The earliest stay of the job, searched from each of ``bases`` (ascending) in turn."""
        found: Pieces = ()

        def place(nodes: int, free: list[int]) -> Shares | None:
            nonlocal found
            pieces = self.layout.pieces_of(nodes, job.share, free)
            if pieces is None:
                return None
            found = pieces
            return self.layout.shares(pieces)

        fit = self.timeline.earliest_fit(job.nodes, job.walltime, bases, place)
        assert fit is not None, "an admitted job fits once everything has ended"
        start, nodes, shares = fit
        return self.timeline.make(start, job.walltime, nodes, shares), Placement(nodes, found)

    def bases(self, now: float) -> list[float]:
        """Now and the end of every running job's use of burst buffers, ascending. An end may have passed."""
        return sorted({now, *(hold.end for hold in self.running.values() if hold.shares)})
