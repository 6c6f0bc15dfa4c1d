"""The scheduler: events in, decisions out. No clock, no socket, no file, nothing global.

One :class:`Scheduler` is driven by ``decide(request) -> reply``, by our simulator in the same process, by
Batsim over a socket, or through pybatsim; all three give it the same records and get the same decisions.
It joins a queue policy (which job, which nodes) with the :class:`~batfs.scheduling.tenancy.Tenancy` (where
bytes live, what moves, the machine's books).

A job's life: WAITING -> (STAGING_IN ->) RUNNING (-> STAGING_OUT) -> DONE, or WAITING -> REJECTED.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from batfs._core.sheets import SUCCESS
from batfs.filesystems.data_sets import MISSING
from batfs.filesystems.interface import Hold
from batfs.plugins import Unusable
from batfs.protocol import messages as m
from batfs.protocol.clock import LATEST
from batfs.scheduling.calls import Calls
from batfs.scheduling.config import Configuration, Settings
from batfs.scheduling.interface import JobPlacement, Pass, QueuePolicy, StartedJob, WaitingJob
from batfs.scheduling.invariants import validate
from batfs.scheduling.machine import Booked, Machine
from batfs.scheduling.observer import Observer
from batfs.scheduling.outside import Outside
from batfs.scheduling.possible import TRIES
from batfs.scheduling.queue import WaitingQueue
from batfs.scheduling.queues import make_queue_policy
from batfs.scheduling.story import InvariantError, Story
from batfs.scheduling.tenancy import MakeFiles, Tenancy, is_ours
from batfs.scheduling.view import PassView
from batfs.scheduling.waits import LACK_OF_NODES

if TYPE_CHECKING:
    from batfs.scheduling.staging import Stager

__all__ = ["MakeFiles", "Scheduler"]


class Scheduler:
    """A :class:`~batfs.protocol.messages.DecisionProcess`.

    ``make_files`` builds the file systems once the machine is known; ``say`` is given sentences for the user.
    """

    def __init__(
        self,
        settings: Settings,
        make_files: MakeFiles,
        *,
        observer: Observer | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self.make_files = make_files
        self._observer = observer
        self._say = say or (lambda sentence: None)
        self._session: Session | None = None
        self._config = settings.configuration()

    def decide(self, request: m.Request) -> m.Reply:
        """One message's events, in order; then one pass of the queue policy if something has changed."""
        session = self._session
        if session is None:
            if not request.events:
                return m.Reply(request.now, [])
            session = self._begin(request.events[0])
        return session.decide(request)

    def _begin(self, event: m.Event) -> Session:
        if not isinstance(event, m.SimulationBegins):
            raise InvariantError(f"{type(event).__name__} before the simulation began")
        config = self._config = self._settings.configuration(str(event.config.get("sched-config", "")))
        policy = make_queue_policy(config.queue)
        tenancy = Tenancy(event, config, self.make_files, observer=self._observer, say=self._say)
        self._session = Session(event, tenancy, policy)
        return self._session

    @property
    def config(self) -> Configuration:
        """The settings in force."""
        return self._config

    @property
    def session(self) -> Session:
        """The simulation under way. InvariantError before there is one."""
        if self._session is None:
            raise InvariantError("no simulation has begun")
        return self._session

    @property
    def counts(self) -> dict[str, int]:
        """Jobs submitted, started, done and rejected."""
        return self.session.counts

    @property
    def queue(self) -> WaitingQueue:
        return self.session.queue

    @property
    def policy(self) -> QueuePolicy:
        return self.session.policy

    @property
    def running(self) -> Mapping[str, StartedJob]:
        return self.session.tenancy.running

    @property
    def machine(self) -> Machine:
        return self.session.tenancy.machine


class Session:
    """One simulation: the queue, its policy and the passes."""

    def __init__(self, event: m.SimulationBegins, tenancy: Tenancy, policy: QueuePolicy) -> None:
        self._beginning = event
        self.tenancy = tenancy
        self.policy = policy
        self.queue = WaitingQueue()
        self._submissions = self._starts = self._rejections = 0
        self._now = 0.0
        self._arrived: list[WaitingJob] = []
        self._dirty = False
        self._in_vain = 0
        self._hopeless: dict[str, Hold] = {}
        self._lacking: dict[str, WaitingJob] = {}  # tried, and a data set wasn't there
        self._calls = Calls()
        self._outside = Outside(policy)
        self._story = Story()
        self._dependencies = tenancy.sets.dependencies
        self._view = PassView(tenancy, self.queue, self._held_back)
        self._each = tenancy.config.passes == "event"
        self._validate = tenancy.config.validate
        self._handlers: dict[type, Callable[[Any], None]] = {
            m.SimulationBegins: self._begins,
            m.JobSubmitted: self._submitted,
            m.JobCompleted: self._completed,
            m.JobKilled: tenancy.killed,
            m.RequestedCall: self._called,
            m.Notification: self._notified,
            m.SimulationEnds: self._ends,
        }

    @property
    def counts(self) -> dict[str, int]:
        """Jobs submitted, started, done and rejected."""
        return {
            "submitted": self._submissions,
            "started": self._starts,
            "done": self.tenancy.done,
            "rejected": self._rejections,
        }

    # ---- the conversation ---------------------------------------------------------------------------------

    def decide(self, request: m.Request) -> m.Reply:
        """See :meth:`Scheduler.decide`. InvariantError with the story of what led to it."""
        tenancy = self.tenancy
        tenancy.out = []
        try:
            self._exchange(request)
        except InvariantError as error:
            self._story.add(request.now, request.events, tenancy.out)
            raise self._story.told(error.problem, self._holders()) from error
        out = tenancy.out
        self._story.add(request.now, request.events, out)
        return m.Reply(request.now, out)

    def _exchange(self, request: m.Request) -> None:
        tenancy, now = self.tenancy, request.now
        if now < self._now:
            raise InvariantError(f"time runs back from {self._now} to {now}")
        self._now = now
        tenancy.advance(now)
        handlers, each = self._handlers, self._each
        for event in request.events:
            handle = handlers.get(type(event))
            if handle is not None:
                handle(event)
                if each and self._dirty:
                    self._pass()
        if tenancy.outages is not None and tenancy.strike():
            self._dirty = True
            self._reject_hopeless()
        if self._dirty:
            self._pass()
        if tenancy.out:
            tenancy.only_alive()
        if tenancy.registering or tenancy.outages is not None:
            tenancy.close(alive=bool(tenancy.running) or not tenancy.no_more_jobs or bool(self._alive))
        if tenancy.machine.has_changed:
            tenancy.tell_changes()
        if self._validate:
            self.validate()

    # ---- events -------------------------------------------------------------------------------------------

    def _begins(self, event: m.SimulationBegins) -> None:
        if event is not self._beginning:
            raise InvariantError("a second simulation began; a scheduler serves one")

    def _submitted(self, event: m.JobSubmitted) -> None:
        if is_ours(event.job.id):
            return  # a dynamic job of ours, acknowledged
        waiting = self.tenancy.read(event)
        self._submissions += 1
        if self._is_hopeless(waiting):
            self._dirty = self._dirty or self._dependencies.doubt
            return
        if event.job.walltime is None and getattr(self.policy, "by_walltimes", False):
            self.tenancy.tell_once(
                "no walltime",
                f"{waiting.id} has no requested time: the queue policy {self.policy.name!r} takes it to run"
                " for ever, and nothing is planned behind it (said once for all such jobs; converters give"
                " them one with --walltime, such as runtime:2)",
            )
        self._dirty = True
        if not self.tenancy.sets.stands_apart(waiting):
            self._line_up(waiting)

    def _line_up(self, job: WaitingJob) -> None:
        """It joins the queue now, or when it is staged."""
        if self.tenancy.line_up(job):
            self._join(job)

    def _join(self, job: WaitingJob) -> None:
        self.queue.add(job)
        self._arrived.append(job)

    def _is_hopeless(self, waiting: WaitingJob) -> bool:
        """Reject a job that asks for what the machine hasn't got."""
        most = self.tenancy.machine.largest_job
        if waiting.nodes > most:
            self._reject(waiting, f"asks for {waiting.nodes} nodes; jobs can have {most}", None)
            return True
        lacks = self.tenancy.never(waiting)
        if lacks is not None:
            self._reject(waiting, f"can never start: {self.tenancy.sentence(lacks)}", lacks)
        return lacks is not None

    def _reject_hopeless(self) -> None:
        """The same for those that wait, when something has gone for ever."""
        if self.tenancy.lost_for_ever:
            self.tenancy.lost_for_ever = False
            for waiting in list(self.queue):
                if self._is_hopeless(waiting):
                    self.queue.remove(waiting.id)

    def _completed(self, event: m.JobCompleted) -> None:
        tenancy = self.tenancy
        ended = tenancy.completed(event.job_id, event.state) is not None
        if not ended and not tenancy.move_over(event.job_id, event.state == SUCCESS):
            raise InvariantError(f"{event.job_id} has completed, but it was not running")
        if tenancy.freed:
            self._dirty = True

    def _called(self, event: m.RequestedCall) -> None:
        now = self._now
        self._calls.came(now)
        choice = self.tenancy.node_choice
        if choice is not None and choice.patience.seconds:
            self.tenancy.freed = True  # whose patience is over may take what was free before
        self.tenancy.called()
        self._dirty = True

    def _notified(self, event: m.Notification) -> None:
        tenancy = self.tenancy
        tenancy.notified(event)
        if event.kind == "no_more_static_job_to_submit":
            self._dirty = self._dirty or bool(self._alive)
        elif event.kind in ("event_machine_available", "event_machine_unavailable"):
            self._dirty = True

    def _ends(self, event: m.SimulationEnds) -> None:
        tenancy = self.tenancy
        for job in tenancy.running.values():
            raise InvariantError(f"the simulation ended while {job.id} was running")
        machine = tenancy.machine
        if len(machine.ledger) != len(machine.kept):
            raise InvariantError(
                f"{len(machine.ledger) - len(machine.kept)} reservations were never released"
            )
        tenancy.ends()

    # ---- a pass -------------------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Call the queue policy, start what it decided; again while jobs were rejected for good."""
        if self._dependencies.held:
            self._settle()
        wished = self.tenancy.running and self._calls.is_due(self._now)  # perhaps to kill
        if not len(self.queue) and self.tenancy.stager is None and not wished:
            # nothing to decide; what was freed is told when somebody waits
            self._dirty = False
            self._arrived = []
            return
        view, tenancy = self._view, self.tenancy
        while True:
            stager = tenancy.stager
            if stager is not None:
                self._take_arrivals(stager)
            arrived, freed = self._arrived, tenancy.freed
            self._arrived, tenancy.freed, self._dirty = [], False, False
            view.begin(self._now, arrived, freed)
            promises: Sequence[JobPlacement] = ()
            wake_staged: float | None = None
            try:
                if stager is not None:
                    wake_staged = self._before(view, stager)
                decided = self.policy.schedule(view)
                if not isinstance(decided, Pass):
                    raise Unusable(f"answered {decided!r:.80}", hint="a Pass was expected")
                placements = [view.keep(placement) for placement in decided.starts]
                promises = decided.promises
            except (Exception, SystemExit) as error:
                raise self._outside.blamed(error, self._now, self.queue.head) from error
            finally:
                view.finish(promises)
            try:
                for placed in placements:  # what moves at once sees nobody who was only tried
                    self._start(placed)
                if decided.kills:
                    self._kill(decided.kills)
            except (Exception, SystemExit) as error:
                raise self._outside.blamed(error, self._now, self.queue.head) from error
            if self._outside.foreign:
                self._outside.check_wish(
                    *(decided.wake_at, self._now, self.queue.head),
                    something=bool(decided.starts or decided.kills or arrived or freed),
                    nothing_to_come=not tenancy.running and tenancy.no_more_jobs,
                )
            wish = decided.wake_at if wake_staged is None else min(wake_staged, decided.wake_at or inf)
            calls, now = self._calls, self._now
            if wish is not None or calls.wish is not None:
                tenancy.out += calls.wished(wish, now)
            if tenancy.sets.timer.next < LATEST:  # bytes that somebody may wait for go by themselves then
                tenancy.out += calls.by(tenancy.sets.timer.next, now)
            if tenancy.node_choice is not None:
                # who was patient for near nodes is tried again when that is over
                tenancy.out += calls.at(tenancy.node_choice.patience.next_end(now), now)
            if stager is not None:
                stager.wait_on()
            tenancy.waits.pass_over(self._now, arrived, freed, self.queue.head, self.queue.__contains__)
            if self._lacking and self._stand_apart():
                continue
            if decided.starts and self._settle():  # a set that was there before is known of since a start
                continue
            if stager is not None and (
                self._give_way(stager) or (decided.starts and stager.line) or stager.news
            ):
                # who started is in nobody's way any more: what was promised since counts on its data
                continue
            if not self._hopeless and not self._stuck():
                return
            for job_id, hold in self._hopeless.items():
                waiting = self._waiting(job_id)
                if waiting is not None:
                    if job_id in self.queue:
                        self.queue.remove(job_id)
                    self._reject(waiting, f"can never start: {tenancy.sentence(hold)}", hold)
            self._hopeless.clear()
            self._settle()
            # those behind a rejected job have not been tried
            tenancy.freed = True
            if not len(self.queue) and tenancy.stager is None:
                return

    # ---- jobs that wait for data sets ---------------------------------------------------------------------

    def _settle(self) -> bool:
        """See ``Sets.settle``."""
        return self.tenancy.sets.settle(self._line_up, self._reject)

    def _stand_apart(self) -> bool:
        """Jobs of the queue whose data sets have gone wait for them again; whether any does."""
        moved = False
        for job in self._lacking.values():
            if self._waiting(job.id) is None or not self.tenancy.sets.stands_apart(job):
                continue
            moved = True
            if job.id in self.queue:
                self.queue.remove(job.id)
            if self.tenancy.stager is not None and job.staged is not None:
                self.tenancy.stager.cancel(job)
                job.staged = None
        self._lacking.clear()
        if moved:
            self.tenancy.freed = True  # those behind have not been tried
            self._settle()
        return moved

    # ---- staging before there are nodes -------------------------------------------------------------------

    def _waiting(self, job_id: str) -> WaitingJob | None:
        found = self.queue.get(job_id)
        if found is None and self.tenancy.stager is not None:
            found = next((job for job in self.tenancy.stager.apart() if job.id == job_id), None)
        return found

    def _take_arrivals(self, stager: Stager) -> None:
        """Jobs whose staging was a job of its own join the queue."""
        for job in stager.taken_over():
            self.tenancy.join(job)
            self._join(job)

    def _before(self, view: PassView, stager: Stager) -> float | None:
        """Before the queue policy is asked: begin to stage what may be staged, and keep nodes for a job whose
        data has been there for too long; when to be called for the next one that may be."""
        from batfs.scheduling.ahead import keep_nodes_for_overdue

        stager.begin(self.queue.head, view)
        for job_id, hold in stager.lacking.items():
            if hold.never:  # and it doesn't wait for it: it is rejected
                self._hopeless[job_id] = hold
            else:
                self._lacking[job_id] = stager.line[job_id]
        stager.lacking.clear()
        if getattr(self.policy, "orderly", False):
            return None
        start, wake_at = keep_nodes_for_overdue(view, stager, self.tenancy.config.staged_patience)
        if start is not None:
            self._start(start)
        return wake_at

    def _give_way(self, stager: Stager) -> bool:
        """Jobs behind the first of the queue give it the space that it lacks; whether any did at once."""
        from batfs.scheduling.ahead import give_way

        gives = give_way(self.tenancy, self._view, stager, self.queue.head)
        self._dirty = self._dirty or gives
        return gives and self.tenancy.freed

    def _held_back(self, job: WaitingJob, hold: Hold) -> None:
        """Called for every failed attempt to start a job now."""
        self.tenancy.waits.held_back(job, hold, self._now)
        if hold.never:
            self._hopeless[job.id] = hold
        elif hold.reason == MISSING:
            self._lacking[job.id] = job

    def _stuck(self) -> bool:
        """Whether nothing can ever change any more while jobs wait: after some tries the head is given up."""
        tenancy = self.tenancy
        stager = tenancy.stager
        if (
            tenancy.running
            or not tenancy.no_more_jobs
            or self._calls.any
            or (stager is not None and stager.busy)
            or tenancy.hopeful
        ):
            return False
        head = self.queue.head or (None if stager is None else next(stager.apart(), None))
        if head is None:
            return False
        # a policy that draws may find room where it has found none
        self._in_vain += 1
        if self._in_vain >= TRIES:
            self._in_vain = 0
            self._hopeless[head.id] = tenancy.waits.reason(head.id) or LACK_OF_NODES
        return True

    def _start(self, booked: Booked) -> None:
        job = booked.job
        if job.id not in self.queue:
            raise InvariantError(f"the queue policy starts {job.id}, which is not waiting")
        self.queue.remove(job.id)
        if self.tenancy.node_choice is not None:
            self.tenancy.node_choice.patience.over(job.id)
        self._starts += 1
        self._in_vain = 0
        self.tenancy.start(booked)

    def _kill(self, job_ids: Sequence[str]) -> None:
        running = self.tenancy.running
        for job_id in job_ids:
            waiting = None if job_id in running else self._waiting(job_id)
            if waiting is not None and waiting.staged is not None:
                if job_id in self.queue:
                    self.queue.remove(job_id)
                self._reject(waiting, "cancelled while its data was brought to it", None)
                self.tenancy.freed = True
                continue
            if job_id not in running:
                raise InvariantError(f"the queue policy kills {job_id}, which is not running")
        self.tenancy.kill([job_id for job_id in job_ids if job_id in running])

    def _reject(self, job: WaitingJob, reason: str, hold: Hold | None) -> None:
        self._rejections += 1
        if self.tenancy.node_choice is not None:
            self.tenancy.node_choice.patience.over(job.id)
        self.tenancy.reject(job, reason, hold)

    # ---- invariants ---------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Everything that must hold between two messages; InvariantError says what doesn't."""
        tenancy, queue, counts = self.tenancy, self.queue, self.counts
        validate(tenancy)
        apart = [] if tenancy.stager is None else [*tenancy.stager.apart()]
        held = self._dependencies.held.values()
        tenancy.account.validate([*queue, *apart, *held], tenancy.running.values())
        for job_id in tenancy.running:
            if job_id in queue:
                raise InvariantError(f"it must hold that a job waits or runs: {job_id} does both")
        alive = self._alive + len(tenancy.running)
        if counts["submitted"] != alive + counts["done"] + counts["rejected"]:
            raise InvariantError(f"it must hold that no job gets lost: {counts}, {alive} alive")

    @property
    def _alive(self) -> int:
        """Jobs that wait."""
        stager = self.tenancy.stager
        return (
            len(self.queue)
            + len(self._dependencies.held)
            + (0 if stager is None else sum(1 for _ in stager.apart()))
        )

    def _holders(self) -> Iterator[str]:
        """A line for each job that holds or waits for something."""
        yield from self.tenancy.holders()
        for waiting in self.queue:
            hold = self.tenancy.waits.reason(waiting.id)
            why = "" if hold is None else f": {self.tenancy.sentence(hold)}"
            yield f"{waiting.id} waits for {waiting.nodes} nodes{why}"
        for waiting in self._dependencies.held.values():
            yield f"{waiting.id} waits for data sets"
