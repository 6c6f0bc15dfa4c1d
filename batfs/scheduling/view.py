"""The system as a queue policy sees it in one pass, and the placements it tries there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING

from batfs.filesystems.interface import Hold
from batfs.filesystems.nodeless import elsewhere, stand_ins
from batfs.plugins import PluginError
from batfs.protocol.clock import on_calendar
from batfs.scheduling.interface import (
    JobPlacement,
    Mover,
    NodeSet,
    Queue,
    Staged,
    StartedJob,
    WaitingJob,
    lacks_data,
)
from batfs.scheduling.machine import NOTHING_HELD, Booked
from batfs.scheduling.stages import NO_STAGES, Stages
from batfs.scheduling.story import InvariantError
from batfs.scheduling.tenancy import Tenancy
from batfs.scheduling.trials import Trials
from batfs.scheduling.waits import FAR, LACK_OF_NODES, NO_DATA, PROMISED
from batfs.storage.bookings import Bookings

if TYPE_CHECKING:
    from batfs.scheduling.io_needs import IoProgress


class PassView:
    """A ``QueueView``. The scheduler keeps one and calls :meth:`begin` and :meth:`finish` around a pass."""

    def __init__(
        self,
        tenancy: Tenancy,
        queue: Queue,
        held_back: Callable[[WaitingJob, Hold], None],
    ) -> None:
        machine = self._machine = tenancy.machine
        self.tenancy = tenancy
        self._held_back = held_back
        self._open: dict[int, Booked] = {}
        self._standing: dict[int, Booked] = {}  # promises of the last pass
        self._shelf: Bookings | None = None  # what they hold
        self._trials = Trials(machine, tenancy.files, tenancy.first_transfers)
        self.queue = queue
        self.running: Mapping[str, StartedJob] = tenancy.running
        self.rng: random.Random = tenancy.rng
        self.storage = machine.view
        self.storage_positions = machine.position
        self.picky = machine.picky
        self.now = 0.0
        self.arrived: Sequence[WaitingJob] = ()
        self.freed = True
        self.free_nodes: NodeSet = 0
        #: Nodes kept for one job, from when on, and for whom: see ``keep_nodes``.
        self._kept: tuple[NodeSet, float, str] | None = None

    @property
    def all_nodes(self) -> NodeSet:
        return self._machine.all

    @property
    def hidden_storages(self) -> frozenset[int]:
        return frozenset(self._machine.down)

    @property
    def storage_returns(self) -> Sequence[float]:
        return self._machine.view.returns

    def begin(self, now: float, arrived: Sequence[WaitingJob], freed: bool) -> None:
        self.now = now
        self.arrived = arrived
        self.freed = freed
        self.free_nodes = self._machine.free
        if self._shelf is not None:
            self._machine.ledger.unshelve(self._shelf)
            self._shelf = None
        self._open, self._standing = self._standing, {}
        self._kept = None

    def keep_nodes(self, nodes: NodeSet, time: float, job: WaitingJob) -> None:
        """For the rest of the pass only ``job``, and what is over by ``time``, is given any of these nodes
        now."""
        self._kept = nodes, time, job.id

    def unbook(self, job: WaitingJob) -> Booked | None:
        """See ``staging.Promises``."""
        for placed in self._open.values():
            if placed.job is job:
                self._machine.release(placed.held)
                placed.held = NOTHING_HELD
                return placed
        return None

    def rebook(self, job: WaitingJob) -> None:
        """See ``staging.Promises``."""
        for placed in self._open.values():
            if placed.job is job:
                self.tenancy.reserve(placed)
                return

    def finish(self, promises: Sequence[JobPlacement] = ()) -> None:
        """Give back what was tried and not started, but ``promises``, which are put aside for the next pass.
        InvariantError for one that this pass doesn't hold, or that begins now."""
        told = self.tenancy.waits.promised
        for promise in promises:
            placed = self._open.pop(id(promise), None)
            if placed is None or not placed.ahead:
                raise InvariantError(
                    f"the queue policy promises {promise.job.id} what it doesn't hold from later than now on"
                )
            self._standing[id(promise)] = placed
            told(placed.job.id)
        while self._open:
            _, placed = self._open.popitem()
            self._give_back(placed)
        if self._standing:
            self._shelf = self._machine.ledger.shelve()

    @cached_property
    def mover(self) -> Mover:
        """See ``QueueView.mover``."""
        from batfs.scheduling.forward import Forward

        return Forward(self)

    def exchange(self, placement: Booked, moved: Booked) -> None:
        """A placement is at another time, with the same reservations: see ``forward``."""
        self._open[id(moved)] = moved
        del self._open[id(placement)]

    def holds(self, placement: JobPlacement) -> bool:
        """See ``QueueView.holds``."""
        return id(placement) in self._open

    @property
    def promised(self) -> Iterator[str]:
        """The jobs that the last pass has promised a start, by id."""
        return (placed.job.id for placed in self._standing.values())

    @property
    def sound(self) -> bool:
        """See ``QueueView.sound``."""
        return not self._machine.ledger.overbooked

    # ---- for the policy -----------------------------------------------------------------------------------

    def select(self, count: int, among: NodeSet) -> NodeSet | None:
        return self._machine.select(among, count)

    def node_ids(self, nodes: NodeSet) -> tuple[int, ...]:
        return self._machine.order.ids(nodes)

    def place(
        self,
        job: WaitingJob,
        *,
        start: float | None = None,
        among: NodeSet | None = None,
        avoid: NodeSet = 0,
    ) -> Booked | Hold:
        """See ``QueueView.place``."""
        machine, now = self._machine, self.now
        begin = now if start is None else max(start, now)
        ahead = begin > now
        pool = self.free_nodes if among is None else among if ahead else among & self.free_nodes
        staged = job.staged
        if staged is not None and lacks_data(staged, begin, now):
            if not ahead:
                self._without_data(job, staged)
            return NO_DATA
        if self._kept is not None and not ahead:
            avoid |= self._kept_from(job, begin)
        try:
            nodes = self._chosen(job, pool & ~avoid, begin)
        except PluginError as error:
            raise error.after(f"at {now:g} s, for {job.id!r},") from error
        if nodes is None:
            if not ahead:
                kept = avoid & pool and machine.select(pool, job.nodes) is not None
                self._held_back(job, PROMISED if kept else LACK_OF_NODES)
            return LACK_OF_NODES
        choice = self.tenancy.node_choice
        if choice is not None and start is None and choice.lets_wait(job, nodes, pool & ~avoid, now):
            self._held_back(job, FAR)
            return FAR
        ids = machine.order.ids(nodes)
        placed = Booked(job, nodes, begin, (), NO_STAGES, 0.0, ids, NOTHING_HELD, ahead, start is not None)
        if not job.volumes:
            return self._book(placed)
        if staged is not None:
            if staged.holds:
                return self._book(self._with_data(placed, staged))
            placed.lead, placed.ids = staged.lead(now), stand_ins(job.nodes)
        self._trials.tell()
        while True:
            known = self.tenancy.stages(job)
            hold = self.tenancy.plan(placed)
            if hold is not None:
                if not ahead:
                    self._held_back(job, hold)
                return hold
            booked = self._book(placed)
            if placed.lead and begin < now + placed.lead:  # it takes longer to stage than was known
                if not isinstance(booked, Hold):
                    self.undo(placed)
                return NO_DATA
            stages = placed.stages
            if stages is known or not isinstance(booked, Hold) or stages.total <= known.total:
                return booked
            # it was planned for a shorter window: its staging was not known

    def _kept_from(self, job: WaitingJob, begin: float) -> NodeSet:
        """The nodes that this job may not have now."""
        assert self._kept is not None
        nodes, time, whose = self._kept
        late = on_calendar(begin + self.stay(job)) > time
        return nodes if late and job.id != whose else 0

    def _without_data(self, job: WaitingJob, staged: Staged) -> None:
        """It can't start now: it waits for its data, or for the space to bring it to."""
        waits = self.tenancy.waits
        if not staged.holds and waits.lacks_space(job.id):
            waits.promised(job.id)
        else:
            self._held_back(job, NO_DATA)

    def _with_data(self, placed: Booked, staged: Staged) -> Booked:
        """A placement of a job that has its bytes already."""
        job = placed.job
        placed.stages, placed.lead = Stages(0.0, staged.after), staged.lead(self.now)
        placed.plans = staged.plans
        if not placed.ahead:
            window = placed.start, placed.end
            files = self.tenancy.files
            placed.plans = files.settled(job.id, placed.ids, job.volumes, staged.plans, window, self.storage)
        return placed

    def lead(self, job: WaitingJob) -> float:
        """See ``QueueView.lead``."""
        return 0.0 if job.staged is None else job.staged.lead(self.now)

    @property
    def staged(self) -> Sequence[WaitingJob]:
        """See ``QueueView.staged``."""
        stager = self.tenancy.stager
        return () if stager is None else stager.holding

    def _chosen(self, job: WaitingJob, among: NodeSet, begin: float) -> NodeSet | None:
        """Nodes for the job by the configured selection."""
        choice = self.tenancy.node_choice
        if choice is None:
            return self._machine.select(among, job.nodes)
        return choice.choose(job, among, begin)

    def stay(self, job: WaitingJob) -> float:
        """See ``QueueView.stay``."""
        return job.walltime + self.tenancy.stages(job).before

    def io_need(self, placement: JobPlacement) -> Mapping[int, float]:
        """See ``QueueView.io_need``."""
        return self.tenancy.io_needs.of(placement.job.volumes, placement.plans)

    def io_progress(self, job_id: str) -> IoProgress | None:
        """See ``QueueView.io_progress``."""
        return self.tenancy.io_progress(job_id)

    def footprint(self, job: WaitingJob) -> Mapping[str, int]:
        """See ``QueueView.footprint``."""
        return self.tenancy.files.footprint(job.volumes, job.nodes)

    def again(self, placement: JobPlacement, start: float, *, attempt: bool = True) -> Booked | Hold:
        """See ``QueueView.again``."""
        machine, job, begin = self._machine, placement.job, max(start, self.now)
        ahead = begin > self.now
        if not ahead and placement.nodes & ~self.free_nodes:
            if attempt:
                self._held_back(job, LACK_OF_NODES)
            return LACK_OF_NODES
        staged = job.staged
        if staged is not None and lacks_data(staged, begin, self.now):
            if not ahead and attempt:
                self._without_data(job, staged)
            return NO_DATA
        if self._kept is not None and not ahead and placement.nodes & self._kept_from(job, begin):
            if attempt:
                self._held_back(job, PROMISED)
            return PROMISED
        if job.data_sets and staged is None and not self.tenancy.files.is_current(placement.plans):
            # what it reads or adds to is no longer what it was
            return self.place(job, start=start if ahead else None, among=placement.nodes)
        ids = machine.order.ids(placement.nodes)
        plans = placement.plans
        if plans and isinstance(placement, Booked) and not placement.ids:  # moved since it was planned
            plans = (elsewhere(plans[0], ids, plans[0].placements[0].storage),)
        placed = Booked(job, placement.nodes, begin, plans, placement.stages, 0.0, ids, NOTHING_HELD, ahead)
        if staged is not None:
            placed.lead = placement.lead
            if staged.holds:
                placed = self._with_data(placed, staged)
        return self._book(placed, attempt)

    def _book(self, placed: Booked, attempt: bool = True) -> Booked | Hold:
        """Hold what a placement's plans need, and its nodes if it begins now."""
        staged = placed.job.staged
        if staged is not None and staged.holds:
            self._until(staged, placed.end)
        elif placed.plans:
            hold = self.tenancy.reserve(placed)
            if hold is not None:
                if not placed.ahead and attempt:
                    self._held_back(placed.job, hold)
                return hold
        if not placed.ahead:
            self.free_nodes &= ~placed.nodes
            if placed.plans:
                self._trials.add(placed)
        else:
            self.tenancy.waits.promised(placed.job.id)
        self._open[id(placed)] = placed
        return placed

    def _give_back(self, placed: Booked) -> None:
        self._given_up(placed)
        self._machine.release(placed.held)
        staged = placed.job.staged
        if staged is not None and staged.holds:
            self._until(staged, inf)

    def _until(self, staged: Staged, end: float) -> None:
        """The bytes of a job without nodes are given back at ``end``, as far as is known."""
        for line in staged.held.lines:
            self._machine.ledger.set_end(line, end)

    def _given_up(self, placed: Booked) -> None:
        if placed.plans and not placed.ahead:
            self._trials.remove(placed)

    def undo(self, placement: JobPlacement) -> None:
        """Give back one placement. InvariantError if this pass doesn't hold it."""
        placed = self._open.pop(id(placement), None)
        if placed is None:
            raise InvariantError(f"the queue policy undid a placement of {placement.job.id} it doesn't have")
        self._give_back(placed)
        if not placed.ahead:
            self.free_nodes |= placed.nodes

    def keep(self, placement: JobPlacement) -> Booked:
        """Take one placement out of the trial: the scheduler makes it real."""
        placed = self._open.pop(id(placement), None)
        if placed is None or placed.ahead:
            raise InvariantError(
                f"the queue policy starts {placement.job.id} without a placement of this pass that begins now"
            )
        self._given_up(placed)
        return placed
