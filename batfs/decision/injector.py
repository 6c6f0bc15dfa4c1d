"""The file systems for a decision process that knows nothing of them.

An :class:`Injector` stands between the simulator and any decision process: it is shown every event on its way
there and every decision on its way back. It keeps the books of the storages and gives each EXECUTE_JOB of a
job with I/O its ``additional_io_job``; with dynamic jobs on, also the staging, phases and checkpoints. What
the other side sees stays simple: a job it started runs until it completes.

Where the two could disagree:

- No room on the storages: the EXECUTE_JOB is held back until there is. A job that can never fit is rejected
  and reported as killed.
- A job with several steps is reported complete when its nodes are free; stage-out goes on by itself.
- Dynamic jobs are the injector's own affair: the other side is told they are off.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from batfs.decision.files import make_files as default_make_files
from batfs.decision.injected import HeldBack, JobBooks, Started
from batfs.errors import BatfsError, InputError
from batfs.filesystems.composed import Phases
from batfs.filesystems.interface import Hold
from batfs.filesystems.lifecycle import SUCCESS
from batfs.filesystems.script import MERGED, WORKLOAD, needs_script
from batfs.protocol import messages as m
from batfs.protocol.decision_side import LazyProfiles
from batfs.resource_sets import format_resources
from batfs.scheduling.config import Settings
from batfs.scheduling.core import MakeFiles
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import Booked, Machine
from batfs.scheduling.observer import JobRecord, Observer
from batfs.scheduling.storages import with_overrides
from batfs.workload.model import Composed, Profile

# Batsim aborts on a call whose time has passed when it handles the message.
_SOON = 0.1

_CODES = {SUCCESS: 0, "COMPLETED_FAILED": 1, "COMPLETED_WALLTIME_REACHED": -1, "COMPLETED_KILLED": -2}


class Injector:
    """See the module. ``say`` is given sentences for the user; ``observer`` keeps records."""

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
        self._observer = observer or Observer()
        self._observed = observer is not None
        self._say = say or (lambda sentence: None)
        self._jobs: dict[str, WaitingJob] = {}
        self._held: dict[str, HeldBack] = {}
        self._profiles: dict[str, Mapping[str, Profile]] = {}
        self._calls: list[float] = []
        self._their_calls: list[float] = []
        self._told: set[str] = set()
        self._in_steps: set[str] = set()
        self._their_kills: set[str] = set()
        self._machine: Machine | None = None
        self._dynamic = self._registering = False
        self._no_more = False
        self._alive = 0
        self._freed = False
        #: events for the other side that the simulator did not send, decisions it did not take itself
        self.events: list[m.Event] = []
        self.decisions: list[m.Decision] = []
        self.counts = {"with_io": 0, "held_back": 0, "staged": 0, "rejected": 0}

    # ---- events, on their way to the decision process -----------------------------------------------------

    def incoming(self, now: float, event: m.Event) -> m.Event | None:
        """The event as the other side shall see it; None if it is none of its business."""
        self.advance(now)
        if isinstance(event, m.JobSubmitted):
            return self._submitted(event)
        if isinstance(event, m.JobCompleted):
            return self._completed(now, event)
        if isinstance(event, m.SimulationBegins):
            return self._begins(event)
        if isinstance(event, m.JobKilled):
            theirs = [i for i in event.job_ids if not i.startswith(f"{WORKLOAD}!") and not self._several(i)]
            return replace(event, job_ids=theirs) if theirs else None
        if isinstance(event, m.RequestedCall):
            return self._called(now, event)
        if isinstance(event, m.Notification) and event.kind == "no_more_static_job_to_submit":
            self._no_more = True
        if isinstance(event, m.SimulationEnds):
            self._observer.ends(now)
        return event

    def raw_profile(self, job_id: str, name: str) -> Mapping[str, object] | None:
        """The profile of that name in the job's workload as the simulator sent it at the start, if it did."""
        profiles = self._profiles.get(job_id.partition("!")[0])
        return profiles.raw(name) if type(profiles) is LazyProfiles else None

    def passes_by(self, job_id: str) -> bool:
        """A job without I/O is submitted; False if the other side must not hear of it."""
        if job_id.startswith(f"{WORKLOAD}!"):
            return False
        self._alive += 1
        return True

    @property
    def idle(self) -> bool:
        """Whether :meth:`closing` has nothing to do."""
        if self._freed or self.events or self._registering:
            return False
        return not self._observed or self._machine is None or not self._machine.has_changed

    @property
    def only_watches(self) -> bool:
        """Whether :meth:`incoming` would return any JOB_SUBMITTED, JOB_COMPLETED and REQUESTED_CALL as they
        are: nothing runs in steps, and there is nothing to tell."""
        return self._machine is not None and not self._registering and not self.events and not self._calls

    def concerns(self, job_id: str) -> bool:
        """Whether an EXECUTE_JOB of this job may be changed: it has I/O."""
        return job_id in self._jobs

    def _several(self, job_id: str) -> bool:
        """Whether the job runs in steps: then its end is reported by us."""
        return job_id in self._in_steps

    def advance(self, now: float) -> None:
        """It is ``now``."""
        if self._machine is not None and now > self._machine.ledger.now:
            self._machine.ledger.advance(now)

    def _begins(self, event: m.SimulationBegins) -> m.Event:
        config = self._settings.configuration()
        self._rng = random.Random(config.seed)
        storages = with_overrides(event.storage_resources, config.storages)
        self._registering = bool(event.config.get("dynamic-jobs-enabled", False))
        self._dynamic = self._registering and event.allow_storage_sharing
        self.files = self._make_files(config, event.compute_resources, storages, self._dynamic)
        machine = self._machine = Machine(event.compute_resources, storages)
        self._lives = Lives(machine, self.files, self._rng)
        self._books = JobBooks(machine, self.files, self._rng, self._observer if self._observed else None)
        self._profiles = dict(event.profiles)
        self._phases = Phases(self.files, self._profiles, self._tell_once, dynamic_jobs=self._dynamic)
        self._observer.begins(machine.ledger.storages, machine.storage_ids)
        for sentence in self.files.announcements():
            self._say(sentence)
        if self._registering and not self._dynamic:
            self._say("storages can't be shared (--disable-storage-sharing): nothing is staged")
        if self.files.own_nodes:
            names = ", ".join(machine.names[node] for node in self.files.own_nodes)
            self._say(f"{names} serve file systems and are hidden from the scheduler behind the proxy")
        own = set(self.files.own_nodes)
        shown = [r for r in event.compute_resources if r.id not in own]
        return replace(event, compute_resources=shown, config={**event.config, "dynamic-jobs-enabled": False})

    def _submitted(self, event: m.JobSubmitted) -> m.Event | None:
        job = event.job
        if job.workload == WORKLOAD:
            return None
        self._alive += 1
        profile = event.profile
        if profile is None:
            try:
                profile = self._profiles[job.workload][job.profile]
            except KeyError:
                raise InputError(
                    f"the simulator submitted {job.id} without its profile {job.profile!r}",
                    hint="start Batsim with --forward-profiles-on-submission",
                ) from None
        if type(profile) is Composed:
            profile, volumes = self._phases.read(job, profile)
        else:
            volumes = self.files.volumes(job.id, profile)
        if volumes:
            self._jobs[job.id] = WaitingJob(job, profile, volumes, self._alive)
            problem = self.files.cannot(profile)
            if problem is not None:
                self._jobs[job.id].io_ignored = True
                self._tell_once(problem, f"{job.id} asks for I/O, but {problem}; nothing is moved for it")
        return event

    def _tell_once(self, key: str, sentence: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._say(f"{sentence} (said once for all such jobs)")

    def _completed(self, now: float, event: m.JobCompleted) -> m.Event | None:
        started = self._books.started.get(event.job_id)
        if started is not None and started.live is None:
            self._finish(now, started, event.state == SUCCESS)
            self._alive -= 1
            return event
        owner = self._lives.owner(event.job_id)
        if owner is not None:
            self.decisions += owner.completed(event.job_id, event.state, now)
            self._follow(now, owner)
            return None
        if event.job_id.startswith(f"{WORKLOAD}!"):
            self._lives.upkeep_over(event.job_id, event.state == SUCCESS)
            return None
        self._alive -= 1
        return event

    def _follow(self, now: float, live: LiveJob) -> None:
        """A job of several steps has moved on: report its end when its nodes are free."""
        life = live.life
        started = self._books.started[life.job.id]
        if life.nodes_free and not started.told:
            started.told = True
            self._alive -= 1
            alloc = format_resources(started.booked.ids)
            code = _CODES.get(life.result, 1)
            self._report(now, m.JobCompleted(now, life.job.id, life.result, code, alloc), life.job.profile)
        if life.over:
            self._finish(now, started, life.result == SUCCESS)

    def _report(self, now: float, completed: m.JobCompleted, profile: str) -> None:
        """An end that the simulator doesn't report itself; JOB_KILLED follows for who asked for the kill."""
        self.events.append(completed)
        if completed.job_id in self._their_kills:
            self._their_kills.discard(completed.job_id)
            progress = {completed.job_id: {"profile_name": profile, "progress": 0.0}}
            self.events.append(m.JobKilled(now, [completed.job_id], progress))

    def _finish(self, now: float, started: Started, success: bool) -> None:
        self._books.finish(now, started, success)
        self._freed = self._dynamic or bool(self._held)

    def _called(self, now: float, event: m.RequestedCall) -> m.Event | None:
        self.decisions += self._lives.tick(now)
        mine = [at for at in self._calls if at <= now + 1e-6]
        theirs = [at for at in self._their_calls if at <= now + 1e-6]
        if theirs or not mine:
            self._their_calls = self._their_calls[len(theirs) :]
            return event
        self._calls = self._calls[1:]
        return None

    # ---- decisions, on their way to the simulator ---------------------------------------------------------

    def outgoing(self, now: float, decision: m.Decision) -> list[m.Decision]:
        """What is sent to the simulator for one decision of the other side."""
        if isinstance(decision, m.ExecuteJob):
            return self._execute(now, decision)
        if isinstance(decision, m.KillJob):
            return self._kill(now, decision)
        if isinstance(decision, m.RejectJob):
            self._jobs.pop(decision.job_id, None)
            self._alive -= 1
        elif isinstance(decision, m.CallMeLater):
            self._their_calls = sorted([*self._their_calls, decision.at])
        elif isinstance(decision, m.Notify) and self._registering:
            return []  # registration is ours to finish
        elif isinstance(decision, m.RegisterJob | m.RegisterProfile):
            raise BatfsError("the scheduler behind the proxy registers dynamic jobs; they are off for it")
        return [decision]

    def _execute(self, now: float, decision: m.ExecuteJob) -> list[m.Decision]:
        waiting = self._jobs.get(decision.job_id)
        if waiting is None:
            return [decision]
        if decision.io_job is not None:
            self._tell_once(
                "io", f"{decision.job_id}: the scheduler gives it I/O of its own, which is left as it is"
            )
            return [decision]
        return self._try(now, decision, waiting)

    def _try(self, now: float, decision: m.ExecuteJob, waiting: WaitingJob) -> list[m.Decision]:
        booked = self._books.book(waiting, tuple(sorted(decision.alloc)))
        if isinstance(booked, Hold):
            return self._hold_back(now, decision, waiting, booked)
        return self._start(now, decision, booked)

    def _hold_back(
        self, now: float, decision: m.ExecuteJob, waiting: WaitingJob, hold: Hold
    ) -> list[m.Decision]:
        machine = self._machine
        assert machine is not None
        before = self._held.get(waiting.id)
        if not hold.never:
            if before is None:
                self.counts["held_back"] += 1
                self._held[waiting.id] = HeldBack(decision, now, hold)
            else:
                before.hold = hold
            return []
        self._held.pop(waiting.id, None)
        return self._give_up(now, waiting, decision, f"can never start: {hold.sentence(machine.names)}", hold)

    def _give_up(
        self, now: float, waiting: WaitingJob, decision: m.ExecuteJob, why: str, hold: Hold | None
    ) -> list[m.Decision]:
        """Reject it to the simulator, and report it as killed to the side that believes it runs."""
        del self._jobs[waiting.id]
        self._alive -= 1
        self.counts["rejected"] += 1
        alloc = format_resources(decision.alloc)
        completed = m.JobCompleted(now, waiting.id, "COMPLETED_KILLED", -2, alloc)
        self._report(now, completed, waiting.job.profile)
        self._observer.job_over(JobRecord(waiting.job, waiting.volumes, (), "", "", 0.0, hold, why, False))
        metadata = m.SetJobMetadata(now, waiting.id, why.replace('"', "'"))
        return [metadata, m.RejectJob(now, waiting.id)]

    def _start(self, now: float, decision: m.ExecuteJob, booked: Booked) -> list[m.Decision]:
        waiting = booked.job
        started = self._books.begin(now, booked, self._held.pop(waiting.id, None))
        del self._jobs[waiting.id]
        self.counts["with_io"] += 1
        mapped = decision.mapping is not None or decision.storage_mapping is not None
        if self._dynamic and (mapped or needs_script(waiting.profile, booked.plans)):
            return self._start_life(now, decision if mapped else None, started)
        self._books.use(started)
        if waiting.io_ignored or not self._mergeable(waiting, mapped):
            return [decision]
        io_job = self._books.merge(started)
        if io_job is None:
            return [decision]
        return [m.ExecuteJob(decision.timestamp, decision.job_id, decision.alloc, io_job=io_job)]

    def _mergeable(self, waiting: WaitingJob, mapped: bool) -> bool:
        if mapped:
            self._tell_once(
                "mapping",
                f"{waiting.id} is started with a mapping, which Batsim 4 can't combine with I/O; "
                "nothing is moved for it",
            )
        return not mapped and isinstance(waiting.profile, MERGED)

    def _start_life(self, now: float, mapped: m.ExecuteJob | None, started: Started) -> list[m.Decision]:
        self.counts["staged"] += 1
        self._in_steps.add(started.booked.job.id)
        live = started.live = self._lives.begin(started.booked, mapped)
        started.io = format_resources(live.resources)
        out = live.begin(now)
        self._follow(now, live)
        return out

    def _kill(self, now: float, decision: m.KillJob) -> list[m.Decision]:
        plain: list[str] = []
        out: list[m.Decision] = []
        for job_id in decision.job_ids:
            started = self._books.started.get(job_id)
            held = self._held.pop(job_id, None)
            if held is not None or self._several(job_id):
                self._their_kills.add(job_id)
            if held is not None:
                waiting = self._jobs[job_id]
                why = "killed while it waited for storage"
                out += self._give_up(now, waiting, held.decision, why, held.hold)
            elif started is not None and started.live is not None:
                if not started.told:
                    out += started.live.kill(now)
                    self._follow(now, started.live)
            else:
                plain.append(job_id)
        if plain:
            out.append(replace(decision, job_ids=plain))
        return out

    def alive(self, decisions: Sequence[m.Decision]) -> list[m.Decision]:
        """The decisions without kills of activities that have ended: their end may stand in the same message,
        after the event that led to the kill, and Batsim aborts on such a kill."""
        if not decisions or not any(isinstance(decision, m.KillJob) for decision in decisions):
            return list(decisions)
        out: list[m.Decision] = []
        for decision in decisions:
            if isinstance(decision, m.KillJob):
                left = [i for i in decision.job_ids if i in self._lives.owners or not self._ours(i)]
                if not left:
                    continue
                decision = replace(decision, job_ids=left)
            out.append(decision)
        return out

    def _ours(self, job_id: str) -> bool:
        return job_id.startswith(f"{WORKLOAD}!") or self._several(job_id)

    # ---- the end of an exchange ---------------------------------------------------------------------------

    def closing(self, now: float) -> list[m.Decision]:
        """After the last decision of a reply: jobs that waited for room, upkeep, the end of registration."""
        machine = self._machine
        if machine is None:
            return []
        if self.idle:
            return []
        out: list[m.Decision] = []
        if self._freed and self._held:
            # in the order in which they were held back
            for job_id, held in list(self._held.items()):
                out += self._try(now, replace(held.decision, timestamp=now), self._jobs[job_id])
        if self._dynamic and self._freed and self._alive:
            out += self._lives.upkeep(now)
        self._freed = False
        if self._observed:
            changes = machine.changes()
            if changes:
                self._observer.storages_changed(now, changes)
        if self.events:
            # the other side has something to hear, and the simulator nothing to say yet
            self._calls = sorted([*self._calls, now + _SOON])
            out.append(m.CallMeLater(now, now + _SOON))
        elif self._registering and self._no_more and not self._alive and not self._lives.busy:
            self._registering = False
            out.append(m.Notify(now, "registration_finished"))
        return out


class WithFileSystems:
    """Any :class:`~batfs.protocol.messages.DecisionProcess` with the file systems added to its jobs."""

    def __init__(self, inner: m.DecisionProcess, injector: Injector) -> None:
        self._inner = inner
        self._injector = injector

    def decide(self, request: m.Request) -> m.Reply:
        """One exchange; the inner process is asked only when there is something for it."""
        injector, now = self._injector, request.now
        due, injector.events = injector.events, []
        seen = [*due, *(e for event in request.events if (e := injector.incoming(now, event)) is not None)]
        seen += injector.events
        injector.events = []
        out, injector.decisions = injector.decisions, []
        if seen or not request.events:
            reply = self._inner.decide(m.Request(now, seen))
            now = reply.now
            for decision in reply.decisions:
                out += injector.outgoing(decision.timestamp, decision)
        out += injector.closing(now)
        return m.Reply(now, injector.alive(out))
