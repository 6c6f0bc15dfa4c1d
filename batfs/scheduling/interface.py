"""What a queue policy sees and what it answers.

A queue policy is called once per *pass*: when jobs wait and something it may act on has happened (a job
arrived, a job ended, a wake-up it asked for). It looks at a :class:`QueueView`, tries placements on it, and
returns the ones to start. It never talks to a simulator and builds no transfers: ``view.place`` asks the node
selection, the file-system models and the allocation policies, and holds what they chose *for the rest of the
pass*, so that the next ``place`` sees less. What is not in :attr:`Pass.starts` is given back after the pass.

State that a policy keeps between passes lives in the policy object; random draws come from ``view.rng``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from batfs._core.books import Reservation
from batfs.filesystems.data_sets import names_a_set
from batfs.filesystems.interface import Hold, IoPlan, Volume, phase_of
from batfs.protocol.clock import SAME, on_calendar
from batfs.records import record
from batfs.scheduling.stages import NO_STAGES, Stages
from batfs.storage.interface import StorageView
from batfs.workload.model import Job, Profile

if TYPE_CHECKING:
    from batfs.scheduling.io_needs import IoProgress
    from batfs.scheduling.timeline import Hold as Stay
    from batfs.scheduling.timeline import Timeline

#: A set of compute nodes as an integer: bit k is the k-th node in the machine's node order
#: (``nodes.NodeOrder``; by id unless configured otherwise). Unions, differences and counts are single
#: operations (``a | b``, ``a & ~b``, ``a.bit_count()``) on machines of any width.
NodeSet: TypeAlias = int


class JobState(StrEnum):
    """The life of a job; it only ever moves forward in this order."""

    WAITING = "waiting"
    STAGING_IN = "staging in"
    RUNNING = "running"
    STAGING_OUT = "staging out"
    DONE = "done"
    REJECTED = "rejected"


class WaitingJob:
    """A job in the queue. ``walltime`` is infinite when the job has none; ``order`` counts submissions.

    ``io_ignored``: its profile can't carry I/O, so its bytes hold their space but nothing is moved.
    ``size``: bytes it asks to read and write, over all executions of its phases.
    ``queued``: since when it is in the queue (s): its submission, or the end of its staging if that was a job
    of its own. ``staged``: what is known of its staging, if that comes before it has nodes. ``data_sets``:
    whether any of its bytes belong to a data set.
    """

    __slots__ = (
        *("job", "profile", "volumes", "order", "io_ignored", "queued", "staged"),
        *("id", "nodes", "submission_time", "walltime", "data_sets", "size"),
    )

    def __init__(
        self, job: Job, profile: Profile, volumes: tuple[Volume, ...], order: int, io_ignored: bool = False
    ) -> None:
        self.job = job
        self.profile = profile
        self.volumes = volumes
        self.order = order
        self.io_ignored = io_ignored
        self.id = job.id
        self.nodes = job.requested_nodes
        self.submission_time = self.queued = job.submission_time
        self.staged: Staged | None = None
        self.walltime = float("inf") if job.walltime is None else job.walltime
        self.data_sets = False
        self.size = 0
        for volume in volumes:
            if volume.options and names_a_set(volume):
                self.data_sets = True
            times = 1 if type(volume) is Volume else phase_of(volume)[1]
            self.size += times * (volume.reads + volume.writes)


class Reserved(Protocol):
    """Bytes in the books."""

    @property
    def lines(self) -> Sequence[Reservation]: ...


class Staged(Protocol):
    """The staging of a job that has no nodes yet."""

    @property
    def after(self) -> float:
        """Seconds expected for its stage-out."""
        ...

    @property
    def holds(self) -> bool:
        """Whether it has its bytes: its data is there or on its way."""
        ...

    @property
    def held(self) -> Reserved:
        """The bytes it has."""
        ...

    @property
    def plans(self) -> tuple[IoPlan, ...]:
        """Where its bytes are, if it has them; with stand-ins for its nodes."""
        ...

    def lead(self, now: float) -> float:
        """Seconds until its data is expected to be there if it is brought from now on; 0 if it is."""
        ...


def lacks_data(staged: Staged, begin: float, now: float) -> bool:
    """Whether a job's data is not expected to be there at ``begin`` if it is brought from ``now`` on."""
    lead = staged.lead(now)
    return lead > 0 if begin <= now else begin + SAME < now + lead


@record(frozen=False, eq=False)
class JobPlacement:
    """Nodes for a job from ``start`` on, and one I/O plan for each of its volumes (in their order).
    ``stages``: how long it is expected to stage in and out from its start on. ``lead``: for how long before
    its start its data is expected to be on its way, if it is staged before it has nodes.
    """

    job: WaitingJob
    nodes: NodeSet
    start: float
    plans: tuple[IoPlan, ...] = ()
    stages: Stages = NO_STAGES
    lead: float = 0.0

    @property
    def node_end(self) -> float:
        """When its nodes are free at the latest, if it stages in as expected: staging in counts, and then its
        walltime; infinite without one."""
        return on_calendar(self.start + self.stages.before + self.job.walltime)

    @property
    def end(self) -> float:
        """When its bytes are, if it stages out as expected."""
        stages = self.stages
        return on_calendar(self.start + stages.before + self.job.walltime + stages.after)


@record(frozen=False, eq=False)
class StartedJob:
    """A job that holds nodes or bytes. ``nodes`` shrinks to 0 when its nodes are given back early."""

    placement: JobPlacement
    state: JobState
    nodes: NodeSet

    @property
    def id(self) -> str:
        return self.placement.job.id

    @property
    def start(self) -> float:
        return self.placement.start

    @property
    def expected_end(self) -> float:
        """When its nodes are expected to be free; may lie in the past while the job still stages out or
        drains, or stages in for longer than estimated."""
        return self.placement.node_end

    @property
    def expected_release(self) -> float:
        """When its bytes are; may lie in the past while the job still stages out or drains."""
        return self.placement.end


class Queue(Protocol):
    """The waiting jobs in submission order."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[WaitingJob]: ...
    def __contains__(self, job_id: object) -> bool: ...

    @property
    def head(self) -> WaitingJob | None:
        """The oldest waiting job, in constant time."""
        ...

    def narrower(self, view: QueueView) -> Iterator[WaitingJob]:
        """Waiting jobs in order, without those that ask for more nodes than are free when they are reached.

        Costs nothing for the jobs it leaves out, so that a long queue of wide jobs is cheap to pass over.
        """
        ...


class Mover(Protocol):
    """See ``batfs.scheduling.forward``."""

    def begin(self, timeline: Timeline, pairs: Sequence[tuple[Any, Stay]]) -> bool: ...

    def run(
        self, begin: int, spans: list[tuple[float, float]] | None
    ) -> tuple[int, list[tuple[float, float]] | None, list[tuple[Any, Stay]]]: ...


class QueueView(Protocol):
    """The system at the moment of one pass, with what this pass has placed so far taken away."""

    @property
    def now(self) -> float: ...

    @property
    def queue(self) -> Queue:
        """Every waiting job, those placed in this pass included (they leave it when the pass is over)."""
        ...

    @property
    def arrived(self) -> Sequence[WaitingJob]:
        """Jobs submitted since the last pass, in order; they are in ``queue`` too."""
        ...

    @property
    def freed(self) -> bool:
        """Whether nodes or bytes were given back (or machines came or went) since the last pass. When False,
        what did not fit in the last pass still does not, unless it is new."""
        ...

    @property
    def running(self) -> Mapping[str, StartedJob]:
        """Jobs that hold nodes or bytes, by id, in the order in which they were started; not those placed
        in this pass."""
        ...

    @property
    def all_nodes(self) -> NodeSet:
        """The nodes jobs may use at all: not reserved for services, not unavailable."""
        ...

    @property
    def hidden_storages(self) -> frozenset[int]:
        """Ids of storages that are down after a fault: they have no room."""
        ...

    @property
    def storage_returns(self) -> Sequence[float]:
        """When some of these are expected back, as far as that is known (s)."""
        ...

    @property
    def free_nodes(self) -> NodeSet:
        """Nodes idle now."""
        ...

    @property
    def storage(self) -> StorageView:
        """The books of all storages, with the bytes placed in this pass held."""
        ...

    @property
    def storage_positions(self) -> Mapping[int, int]:
        """Where each storage, by its resource id, stands in ``storage.storages``."""
        ...

    @property
    def rng(self) -> random.Random: ...

    @property
    def picky(self) -> bool:
        """Whether the node selection may find none although there are enough (a block)."""
        ...

    def node_ids(self, nodes: NodeSet) -> tuple[int, ...]:
        """Batsim's ids of a set of nodes, ascending."""
        ...

    def select(self, count: int, among: NodeSet) -> NodeSet | None:
        """``count`` nodes out of ``among`` by the configured node selection, None if it finds none."""
        ...

    def place(
        self,
        job: WaitingJob,
        *,
        start: float | None = None,
        among: NodeSet | None = None,
        avoid: NodeSet = 0,
    ) -> JobPlacement | Hold:
        """Hold nodes and bytes for ``job`` until the end of the pass, or say why that can't be done.

        ``start``: when it would start, now if None. Given, the placement is one of the stays that are looked
        for, and what it draws is the job's own. A later start is a reservation: its bytes are booked over
        [start, end), staging included (see ``JobPlacement``), and its nodes are *not* taken from
        ``free_nodes`` (give ``among`` the nodes that will be free then, and keep them out of later calls with
        ``avoid`` where they collide). ``among``: the nodes to select from, ``free_nodes`` if None. ``avoid``:
        nodes to leave out.
        """
        ...

    def lead(self, job: WaitingJob) -> float:
        """Seconds until the data of ``job`` is expected to be there, if it is staged before it has nodes: no
        start before that is possible (``place`` says ``BurstBufferStageIn``). 0 for all others."""
        ...

    @property
    def staged(self) -> Sequence[WaitingJob]:
        """Waiting jobs that hold their bytes: their data is there or on its way. They want nodes only."""
        ...

    def stay(self, job: WaitingJob) -> float:
        """Seconds for which ``job`` would hold nodes: its walltime, and the staging in that was expected when
        it was last placed (0 before: compare with ``node_end`` of what ``place`` returns)."""
        ...

    def io_need(self, placement: JobPlacement) -> Mapping[int, float]:
        """What the I/O of a placement takes of the machine, alone: seconds of the whole bandwidth of each
        link, by its number (of each storage, where the platform isn't known)."""
        ...

    def io_progress(self, job_id: str) -> IoProgress | None:
        """What was seen of a running job's I/O so far; None where nobody watches (``--measure-io``, and every
        I/O policy but ``fair``, does) or its I/O goes on beside its computation."""
        ...

    def footprint(self, job: WaitingJob) -> Mapping[str, int]:
        """Bytes of each file system that ``job`` would hold, by its model's rules."""
        ...

    def again(self, placement: JobPlacement, start: float, *, attempt: bool = True) -> JobPlacement | Hold:
        """Hold the nodes and the very storages of ``placement``, made in an earlier pass, from ``start`` on
        (now at the earliest), or say why that can't be done. A promise kept this way never moves because an
        allocation policy would choose other storages today. Without ``attempt`` a refusal is not taken for
        what the job waits for.
        """
        ...

    def undo(self, placement: JobPlacement) -> None:
        """Give back what ``place`` held."""
        ...

    def holds(self, placement: JobPlacement) -> bool:
        """Whether this pass holds it: placed, or promised by the last pass, and not undone."""
        ...

    @property
    def mover(self) -> Mover | None:
        """Who moves many promises forward at once; None where that isn't to be had."""
        ...

    @property
    def sound(self) -> bool:
        """Whether the bytes of :attr:`Pass.promises` of the last pass still fit: somebody may hold more than
        was foreseen, or for longer. Asked before anything is placed."""
        ...


@record
class Pass:
    """What one pass decided. ``starts`` were placed on the view of this pass, with ``start`` now; they are
    started in this order. ``kills``: ids of running jobs. ``wake_at``: call again at that time at the latest.
    ``promises``: placements of this pass that start later, to be held again when the next pass begins, just
    as they are (``undo`` them there like any other, at the latest when their time has come); between the
    passes nothing is held for them.
    """

    starts: Sequence[JobPlacement] = ()
    kills: Sequence[str] = ()
    wake_at: float | None = None
    promises: Sequence[JobPlacement] = ()


class QueuePolicy(Protocol):
    """Decides which waiting jobs start now.

    A policy that backfills or plans by walltimes says so with ``by_walltimes = True``: jobs without one are
    announced then, since nothing can be promised behind them. One under which the first of the queue starts
    in the end, whatever comes after it, says ``orderly = True``: under all others nodes are kept for jobs
    whose data has been there for too long (``batfs.scheduling.staging``).
    """

    name: str

    def schedule(self, view: QueueView) -> Pass: ...
