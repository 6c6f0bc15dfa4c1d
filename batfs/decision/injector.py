"""The file systems for a decision process that knows nothing of them.

An :class:`Injector` stands between the simulator and any decision process: it is shown every event on its way
there and every decision on its way back. What happens to the bytes of a job is its
:class:`~batfs.scheduling.tenancy.Tenancy`'s affair, as in batfs's own scheduler; the injector sees to it that
the other side gets a simple picture: a job it started runs until it completes.

Where the two could disagree:

- Storages, and nodes that serve file systems, are hidden from the other side (the setting ``show_storages``
  shows them).
- No room on the storages: the EXECUTE_JOB is held back until there is. A job that can never have its space
  is rejected as soon as that is known, mostly when it is submitted, and reported as killed to the other side
  once that has started it.
- A job with several steps is reported complete when its nodes are free; stage-out goes on by itself.
- A job that waits for data sets (``missing = wait``) is submitted to the other side when they exist: it would
  give it nodes before. That no more jobs come is told after the last of them.
- What its decisions lead to at the same instant (a job that can never start, data sets known of since a
  start) it is told of, and asked about, before the simulator is answered.
- Dynamic jobs and wake-ups of the injector's own are not heard of: the other side is told they are off. It
  may register jobs of its own all the same where they are on, and has I/O for those as well.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from batfs._core.sheets import SUCCESS
from batfs.decision.files import make_files as default_make_files
from batfs.errors import BatfsError, InputError
from batfs.filesystems.interface import Hold
from batfs.filesystems.staging_modes import HELD
from batfs.protocol import messages as m
from batfs.protocol.clock import LATEST, call_at
from batfs.protocol.decision_side import LazyProfiles
from batfs.records import replace
from batfs.resource_sets import format_resources, parse_resources
from batfs.scheduling.calls import Calls
from batfs.scheduling.config import Settings
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.invariants import validate
from batfs.scheduling.machine import Booked
from batfs.scheduling.observer import Observer
from batfs.scheduling.possible import TRIES
from batfs.scheduling.running import Running
from batfs.scheduling.storages import is_throttle
from batfs.scheduling.story import InvariantError, Story
from batfs.scheduling.tenancy import MakeFiles, Tenancy, is_ours
from batfs.workload.model import IoProfile, Profile

_CODES = {SUCCESS: 0, "COMPLETED_FAILED": 1, "COMPLETED_WALLTIME_REACHED": -1, "COMPLETED_KILLED": -2}
_MACHINES = ("event_machine_available", "event_machine_unavailable")

#: How often the other side is asked again within one exchange: who answers what it is told with more of the
#: same for ever (by registering jobs that can't be) hears of the rest by a call.
_ROUNDS = 1000


class _Call(NamedTuple):
    """A wake-up that was asked for, by the other side or by us."""

    at: float
    theirs: bool


class Injector:
    """See the module. ``say`` is given sentences for the user; ``observer`` keeps records."""

    tenancy: Tenancy
    """Made by the simulation's first event."""

    def __init__(
        self,
        settings: Settings,
        *,
        make_files: MakeFiles = default_make_files,
        observer: Observer | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._make_files = make_files
        self._observer = observer
        self._say = say or (lambda sentence: None)
        self._hidden: frozenset[int] = frozenset()
        self._jobs: dict[str, WaitingJob] = {}
        self._held: dict[str, m.ExecuteJob] = {}
        self._ours = Calls()  # what we want to be called for
        self._apart: dict[str, m.JobSubmitted] = {}  # jobs that wait for data sets: not told of yet
        self._last: m.Notification | None = None  # that no more come, which is to be told after them
        self._refused: dict[str, str] = {}  # jobs that were rejected before the other side started them
        self._calls: list[_Call] = []
        self._in_steps: set[str] = set()
        self._their_kills: set[str] = set()
        self._over: tuple[float, set[str]] = (0.0, set())  # whose ends were told at this very instant
        #: whether the simulation has begun
        self.began = False
        self._acknowledged = False
        self._registers = False  # whether the other side may register more jobs of its own
        self._registered: dict[tuple[str, str], Profile | IoProfile] = {}
        self._alive = 0
        self._story = Story()
        self._events: list[m.Event] = []  # for the other side, that the simulator did not send
        self._rounds = 0  # how often it was asked again since the simulator spoke last
        self.counts = {"with_io": 0, "held_back": 0, "staged": 0, "rejected": 0}

    # ---- events, on their way to the decision process -----------------------------------------------------

    def incoming(self, now: float, event: m.Event) -> m.Event | None:
        """The event as the other side shall see it; None if it is none of its business. InvariantError for
        one before the simulation began, or when it begins again."""
        if isinstance(event, m.SimulationBegins):
            if self.began:
                raise InvariantError("SimulationBegins in mid-simulation")
            return self._begins(event)
        if not self.began:
            raise InvariantError(f"{type(event).__name__} before the simulation began")
        self._story.add(now, (event,), ())
        self.advance(now)
        if isinstance(event, m.JobSubmitted):
            return self._submitted(event)
        if isinstance(event, m.JobCompleted):
            return self._completed(event)
        if isinstance(event, m.JobKilled):
            self.tenancy.killed(event)
            theirs = [i for i in event.job_ids if not is_ours(i) and i not in self._in_steps]
            return replace(event, job_ids=theirs) if theirs else None
        if isinstance(event, m.RequestedCall):
            return self._called(event)
        if isinstance(event, m.Notification):
            return self._notified(event)
        if isinstance(event, m.SimulationEnds):
            self.tenancy.ends()
        return event

    def heard(self, now: float, events: Sequence[m.Event]) -> list[m.Event]:
        """What the other side shall hear of a message: :meth:`incoming` of each event, and our own."""
        seen = self.untold()
        seen += [e for event in events if (e := self.incoming(now, event)) is not None]
        return seen + self.settled()

    def untold(self) -> list[m.Event]:
        """Events of our own that the other side has not been told of yet, when the simulator has spoken; each
        once."""
        self._rounds = 0
        events, self._events = self._events, []
        return events

    def again(self, now: float) -> list[m.Event]:
        """What has come of the other side's decisions that it shall hear of at this same instant: data sets
        that a job's start has made known, jobs given up. It is asked until there is nothing more."""
        if self.idle or self._rounds == _ROUNDS:
            return []
        self.advance(now)
        self._look_on(now)
        self._rounds += 1
        events, self._events = self._events, []
        return events

    def settled(self) -> list[m.Event]:
        """:meth:`untold` at the end of a message's events: now it is clear which jobs have all their data
        sets."""
        self._settle()
        events, self._events = self._events, []
        return events

    def _settle(self) -> None:
        """Jobs whose data sets exist now are submitted to the other side; those whose never will are
        rejected, and it never hears of them."""
        if not self.began or not self._apart:
            return
        self.tenancy.sets.settle(self._submit, self._reject)
        if not self._apart and self._last is not None:
            self._events.append(replace(self._last, timestamp=self.tenancy.now))
            self._last = None

    def _submit(self, waiting: WaitingJob) -> None:
        """The other side hears of a job that stood apart."""
        self._jobs[waiting.id] = waiting
        self._events.append(replace(self._apart.pop(waiting.id), timestamp=self.tenancy.now))

    def raw_profile(self, job_id: str, name: str) -> Mapping[str, object] | None:
        """The profile of that name in the job's workload as the simulator sent it at the start, if it did."""
        profiles = self.tenancy.profiles.get(job_id.partition("!")[0])
        return profiles.raw(name) if type(profiles) is LazyProfiles else None

    def passes_by(self, job_id: str) -> bool:
        """A job without I/O is submitted; False if the other side must not hear of it."""
        if is_ours(job_id):
            return False
        self._alive += 1
        return True

    @property
    def idle(self) -> bool:
        """Whether :meth:`closing` has nothing to do."""
        if not self.began:
            return True
        tenancy = self.tenancy
        if (
            self._events
            or self._apart
            or tenancy.registering
            or tenancy.config.validate
            or tenancy.outages is not None
        ):
            return False
        if self._held and (tenancy.freed or not tenancy.running):
            return False
        return self._observer is None or not tenancy.machine.has_changed

    @property
    def only_watches(self) -> bool:
        """Whether :meth:`incoming` would return any JOB_COMPLETED and REQUESTED_CALL as they are: nothing
        runs in steps, and there is nothing to tell."""
        return (
            self.began
            and not self._events
            and not self._apart
            and not self.tenancy.registering
            and self.tenancy.outages is None
            and not any(not call.theirs for call in self._calls)
        )

    def concerns(self, job_id: str) -> bool:
        """Whether an EXECUTE_JOB of this job may be changed: it has I/O."""
        return job_id in self._jobs or job_id in self._refused

    def advance(self, now: float) -> None:
        """It is ``now``."""
        if self.began:
            self.tenancy.advance(now)

    def _begins(self, event: m.SimulationBegins) -> m.Event:
        tenancy = self.tenancy = Tenancy(
            event,
            self._settings.configuration(),
            self._make_files,
            observer=self._observer,
            say=self._say,
            left=self._report_end,
        )
        if tenancy.outages is not None and tenancy.outages.plan.of_nodes:
            raise InputError(
                "the proxy knows no jobs without I/O, so it can't let nodes fail",
                place="faults",
                hint="batfs's own scheduler can; storages fail here too",
            )
        self._refuse_staging_ahead(tenancy)
        self.began = True
        self._acknowledged = event.dynamic_jobs_acknowledged
        own = tenancy.files.own_nodes
        if own:
            names = ", ".join(tenancy.machine.names[node] for node in own)
            self._say(f"{names} serve file systems and are hidden from the scheduler behind the proxy")
        storages = () if tenancy.config.show_storages else tenancy.machine.storage_ids
        limits = [r.id for r in event.storage_resources if is_throttle(r)]
        self._hidden = frozenset((*own, *storages, *limits))
        compute, shown = (
            [r for r in resources if r.id not in self._hidden]
            for resources in (event.compute_resources, event.storage_resources)
        )
        config = {**event.config, "dynamic-jobs-enabled": False}
        return replace(event, compute_resources=compute, storage_resources=shown, config=config)

    def _refuse_staging_ahead(self, tenancy: Tenancy) -> None:
        for name, model in getattr(tenancy.files, "models", {}).items():
            if getattr(model, "staging", HELD) != HELD:
                raise InputError(
                    f"the file system {name!r} stages before jobs have nodes, and a scheduler that isn't "
                    "batfs's own can't be told: it gives them nodes before their data is there",
                    place="staging",
                    hint="staging=held",
                )

    def _submitted(self, event: m.JobSubmitted, *, known: bool = False) -> m.Event | None:
        """``known``: the other side knows of it already."""
        if is_ours(event.job.id):
            return None
        registered = self._registered.get((event.job.workload, event.job.profile))
        if registered is not None:
            if isinstance(registered, IoProfile):  # bytes and work as such: nothing more is asked for
                self._alive += 1
                return event
            event = replace(event, profile=registered)
        waiting = self.tenancy.read(event)
        self._alive += 1
        if waiting.volumes:
            if self.tenancy.files.stages_ahead and self.tenancy.files.staging(waiting.volumes) is not None:
                self.tenancy.tell_once(
                    "ahead",
                    f"{waiting.id} asks to be staged before it has nodes, and a scheduler that isn't batfs's "
                    "own can't be told that its data isn't there: it is staged while it has them (said once "
                    "for all such jobs)",
                )
            if self._is_hopeless(waiting):
                return event
            if not known and self.tenancy.sets.stands_apart(waiting):
                self._apart[waiting.id] = event
                return None
            self._jobs[waiting.id] = waiting
        return event

    def _is_hopeless(self, waiting: WaitingJob) -> bool:
        """Reject a job that asks for what the machine hasn't got; the other side hears of it, at the latest
        when it starts it."""
        lacks = self.tenancy.never(waiting)
        if lacks is None:
            return False
        why = f"can never start: {self.tenancy.sentence(lacks)}"
        if waiting.id in self._held:
            self._give_up(waiting, why, lacks)
        else:
            self._jobs.pop(waiting.id, None)
            self._refused[waiting.id] = waiting.job.profile
            self._reject(waiting, why, lacks)
        return True

    def _completed(self, event: m.JobCompleted) -> m.Event | None:
        job = self.tenancy.completed(event.job_id, event.state)
        if isinstance(job, Running) and job.life is not None:
            return None  # its end is reported when its nodes are free
        if job is None and is_ours(event.job_id):
            self.tenancy.move_over(event.job_id, event.state == SUCCESS)
            return None
        self._alive -= 1
        if self._over[0] != self.tenancy.now:
            self._over = (self.tenancy.now, set())
        self._over[1].add(event.job_id)
        return event

    def _called(self, event: m.RequestedCall) -> m.Event | None:
        """A call goes to who asked for it: the simulator answers each once, in the order of their dates."""
        self.tenancy.called()
        call = self._calls.pop(0) if self._calls else None
        return event if call is None or call.theirs else None

    def _notified(self, event: m.Notification) -> m.Event | None:
        self.tenancy.notified(event)
        if event.kind == "no_more_static_job_to_submit" and self._apart:
            self._last = event
            return None
        if event.kind not in _MACHINES or not self._hidden:
            return event
        ids = parse_resources(str(event.data["resources"]))
        shown = [i for i in ids if i not in self._hidden]
        if len(shown) == len(ids):
            return event
        return replace(event, data={**event.data, "resources": format_resources(shown)}) if shown else None

    # ---- what the other side is told of ends that the simulator doesn't report ----------------------------

    def _report_end(self, job: Running) -> None:
        """A job of several steps has left its nodes."""
        assert job.life is not None
        life = job.life.life
        self._alive -= 1
        alloc = format_resources(job.booked.ids)
        code = _CODES.get(life.result, 1)
        completed = m.JobCompleted(self.tenancy.now, job.id, life.result, code, alloc)
        self._report(completed, life.job.profile)

    def _report(self, completed: m.JobCompleted, profile: str) -> None:
        """JOB_KILLED follows for who asked for the kill."""
        self._events.append(completed)
        if completed.job_id in self._their_kills:
            self._their_kills.discard(completed.job_id)
            progress = {completed.job_id: {"profile_name": profile, "progress": 0.0}}
            self._events.append(m.JobKilled(completed.timestamp, [completed.job_id], progress))

    # ---- decisions, on their way to the simulator ---------------------------------------------------------

    def outgoing(self, now: float, decision: m.Decision) -> list[m.Decision]:
        """What is sent to the simulator for one decision of the other side. InvariantError for one before
        the simulation began."""
        if not self.began:
            raise InvariantError(f"{type(decision).__name__} before the simulation began")
        self._story.add(now, (), (decision,))
        self.advance(now)
        if isinstance(decision, m.ExecuteJob):
            refused = self._refused.pop(decision.job_id, None)
            if refused is not None:
                self._report_killed(decision, refused)
                return []
            waiting = self._jobs.get(decision.job_id)
            if waiting is None or not self._ours_to_give(decision):
                return [decision]
            self._try(decision, waiting)
            return self.own()
        if isinstance(decision, m.KillJob):
            self._kill(decision)
            return self.own()
        if isinstance(decision, m.RejectJob):
            if self._refused.pop(decision.job_id, None) is not None:
                return []  # as we have done
            waiting = self._jobs.pop(decision.job_id, None)
            if waiting is not None:
                self.tenancy.account.drop("rejected by the scheduler", waiting.size)
            self._alive -= 1
        elif isinstance(decision, m.CallMeLater):
            bisect.insort(self._calls, _Call(decision.at, True))
        elif isinstance(decision, m.Notify) and self.tenancy.registering:
            self._registers = False
            return []  # registration is ours to finish
        elif isinstance(decision, m.RegisterProfile):
            self._needs_registration()
            self._registered[decision.workload, decision.name] = decision.profile
        elif isinstance(decision, m.RegisterJob):
            self._needs_registration()
            if not self._acknowledged:
                self._submitted(m.JobSubmitted(now, decision.job), known=True)
        return [decision]

    def _needs_registration(self) -> None:
        if not self.tenancy.registering:
            raise BatfsError(
                "the scheduler registers jobs of its own, which needs --enable-dynamic-jobs, before it said "
                "that registration is finished"
            )
        self._registers = True

    def opening(self) -> list[m.Decision]:
        """Before the first decision of a reply: what our side has decided by itself. What was held back comes
        before what the other side starts now."""
        if not self.began:
            return []
        tenancy = self.tenancy
        if tenancy.outages is not None:
            tenancy.strike()
            if tenancy.lost_for_ever:
                tenancy.lost_for_ever = False
                for waiting in list(self._jobs.values()):
                    self._is_hopeless(waiting)
        if self._held and tenancy.freed:
            self._retry(tenancy.now)
        return self.own()

    def own(self) -> list[m.Decision]:
        """The decisions that gathered on our side since this was asked last."""
        tenancy = self.tenancy
        # of jobs without bytes we don't know whether they run; a scheduler that takes the events of a message
        # one by one may kill at a call what a later event says has ended
        over = self._over[1] if self._over[0] == tenancy.now else ()
        tenancy.only_alive(
            lambda job_id: not is_ours(job_id) and job_id not in self._in_steps and job_id not in over
        )
        out, tenancy.out = tenancy.out, []
        for decision in out:
            if type(decision) is m.CallMeLater:
                bisect.insort(self._calls, _Call(decision.at, False))
        return out

    def _ours_to_give(self, decision: m.ExecuteJob) -> bool:
        if decision.io_job is None:
            return True
        self.tenancy.account.drop("the scheduler gives I/O of its own", self._jobs.pop(decision.job_id).size)
        self.tenancy.tell_once(
            "io",
            f"{decision.job_id}: the scheduler gives it I/O of its own, which is left as it is "
            "(said once for all such jobs)",
        )
        return False

    def _try(self, decision: m.ExecuteJob, waiting: WaitingJob) -> bool:
        """Start the job if there is room for it now."""
        tenancy = self.tenancy
        # which nodes are free is the other side's affair
        booked = Booked(waiting, 0, tenancy.now, ids=tuple(sorted(decision.alloc)))
        hold = tenancy.plan(booked) or tenancy.reserve(booked)
        if hold is not None:
            self._hold_back(decision, waiting, hold)
            return False
        self._held.pop(waiting.id, None)
        del self._jobs[waiting.id]
        self.counts["with_io"] += 1
        running = tenancy.start(booked, decision)
        if running.life is not None:
            self.counts["staged"] += 1
            self._in_steps.add(waiting.id)
        return True

    def _hold_back(self, decision: m.ExecuteJob, waiting: WaitingJob, hold: Hold) -> None:
        # what went before is the other side's affair
        now = self.tenancy.now
        self.tenancy.waits.held_back(waiting, hold, now, since=now)
        if not self._held:
            self.tenancy.freed = False  # what was given back so far has been looked at
        if waiting.id not in self._held:
            self.counts["held_back"] += not hold.never
            self._held[waiting.id] = decision
        if hold.never:
            self._give_up(waiting, f"can never start: {self.tenancy.sentence(hold)}", hold)

    def _give_up(self, waiting: WaitingJob, why: str, hold: Hold | None) -> None:
        """Reject a job that is held back, and report it as killed to the side that believes it runs."""
        decision = self._held.pop(waiting.id)
        del self._jobs[waiting.id]
        self._report_killed(decision, waiting.job.profile)
        self._reject(waiting, why, hold)

    def _reject(self, waiting: WaitingJob, why: str, hold: Hold | None) -> None:
        self._apart.pop(waiting.id, None)
        self._alive -= 1
        self.counts["rejected"] += 1
        self.tenancy.reject(waiting, why, hold)

    def _report_killed(self, decision: m.ExecuteJob, profile: str) -> None:
        alloc = format_resources(decision.alloc)
        self._report(
            m.JobCompleted(self.tenancy.now, decision.job_id, "COMPLETED_KILLED", -2, alloc), profile
        )

    def _kill(self, decision: m.KillJob) -> None:
        tenancy, left = self.tenancy, []
        ended = {event.job_id for event in self._events if type(event) is m.JobCompleted}
        for job_id in decision.job_ids:
            if job_id in ended:  # they are yet to hear of it; Batsim answers kills of what is over, too
                self._events.append(m.JobKilled(tenancy.now, [job_id], {}))
                continue
            waiting = self._jobs.get(job_id)
            if job_id in self._held or job_id in self._in_steps:
                self._their_kills.add(job_id)
            if job_id in self._held and waiting is not None:
                why = "killed while it waited for storage"
                self._give_up(waiting, why, tenancy.waits.reason(job_id))
            elif job_id not in self._in_steps or job_id in tenancy.running:
                left.append(job_id)
        if left:
            tenancy.kill(left)

    # ---- the end of an exchange ---------------------------------------------------------------------------

    def closing(self, now: float) -> list[m.Decision]:
        """After the last decision of the last answer: jobs that waited for room, upkeep, the end of
        registration."""
        if self.idle:
            return []
        tenancy = self.tenancy
        self.advance(now)
        self._look_on(now)
        if self._held:
            self._ours.came(now)
            if tenancy.sets.timer.next < LATEST:  # bytes that they wait for may go by themselves then
                tenancy.out += self._ours.by(tenancy.sets.timer.next, now)
        if self._events:
            # the other side was asked often enough (see _ROUNDS), and the simulator has nothing to say yet
            tenancy.out.append(m.CallMeLater(now, call_at(now, now)))
        busy = self._alive or self._registers or self._events
        tenancy.close(alive=bool(busy) or not tenancy.no_more_jobs)
        tenancy.tell_changes()
        if tenancy.config.validate:
            self._validate()
        return self.own()

    def _look_on(self, now: float) -> None:
        """What the other side's decisions let happen."""
        self._retry(now)
        self._settle()

    def _retry(self, now: float) -> None:
        """Start what was held back and has room now, in the order in which it was. Where nothing is held,
        moves, is away or comes any more, room can only be missing for ever: then the first of them is given
        up."""
        tenancy = self.tenancy
        while self._held:
            if tenancy.freed:
                tenancy.freed = False
                for job_id, decision in list(self._held.items()):
                    self._try(replace(decision, timestamp=now), self._jobs[job_id])
            if tenancy.running or tenancy.lives.busy or tenancy.hopeful or not self._held:
                return
            if not tenancy.no_more_jobs:  # one that comes may make or delete data sets
                return
            job_id = next(iter(self._held))
            # a policy that draws may find room where it has found none
            again = replace(self._held[job_id], timestamp=now)
            for _ in range(TRIES):
                if job_id in self._held:
                    self._try(again, self._jobs[job_id])
            if job_id not in self._held:
                continue
            hold = tenancy.waits.reason(job_id)
            why = "" if hold is None else f": {tenancy.sentence(hold)}"
            self._give_up(self._jobs[job_id], f"can never start{why}", hold)
            tenancy.freed = True

    def _validate(self) -> None:
        try:
            validate(self.tenancy)
            apart = self.tenancy.sets.dependencies.held.values()
            self.tenancy.account.validate([*self._jobs.values(), *apart], self.tenancy.running.values())
        except InvariantError as error:
            raise self._story.told(error.problem, self._holders()) from error

    def _holders(self) -> Iterator[str]:
        yield from self.tenancy.holders()
        for job_id in self._held:
            yield f"{job_id} is held back"
        for job_id in self._apart:
            yield f"{job_id} waits for data sets"


class WithFileSystems:
    """Any :class:`~batfs.protocol.messages.DecisionProcess` with the file systems added to its jobs."""

    def __init__(self, inner: m.DecisionProcess, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    @property
    def draws(self) -> bool:
        """Whether the inner process has drawn random numbers of its own."""
        return bool(getattr(self._inner, "draws", False))

    def decide(self, request: m.Request) -> m.Reply:
        """One exchange; the inner process is asked only when there is something for it."""
        injector, now = self._injector, request.now
        seen = injector.heard(now, request.events)
        out = injector.opening()
        if seen or not request.events:
            now = self._ask(now, seen, out)
        while seen := injector.again(now):
            out += injector.own()
            now = self._ask(now, seen, out)
        out += injector.closing(now)
        return m.Reply(now, out)

    def _ask(self, now: float, events: list[m.Event], out: list[m.Decision]) -> float:
        """The inner process's time; what is sent for its decisions goes ``out``."""
        reply = self._inner.decide(m.Request(now, events))
        for decision in reply.decisions:
            out += self._injector.outgoing(decision.timestamp, decision)
        return reply.now
