"""The scheduler: events in, decisions out. No clock, no socket, no file, nothing global.

One :class:`Scheduler` is driven by ``decide(request) -> reply``, by our simulator in the same process, by
Batsim over a socket, or through pybatsim; all three give it the same records and get the same decisions.
It joins a queue policy (which job, which nodes), the file systems (where bytes live, what moves) and the
machine's books, and tells an observer what is worth recording.

A job's life: WAITING -> (STAGING_IN ->) RUNNING (-> STAGING_OUT) -> DONE, or WAITING -> REJECTED.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from batfs.errors import InputError
from batfs.filesystems.composed import Phases
from batfs.filesystems.interface import Hold, IoRequest
from batfs.filesystems.lifecycle import SUCCESS
from batfs.filesystems.profile import build_profile
from batfs.filesystems.script import WORKLOAD as BATFS_WORKLOAD
from batfs.filesystems.script import needs_script
from batfs.protocol import messages as m
from batfs.records import record
from batfs.resource_sets import format_ascending, parse_resources
from batfs.scheduling.config import Configuration, Settings
from batfs.scheduling.interface import JobState, NodeSet, QueuePolicy, StartedJob, WaitingJob
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import Booked, FileSystems, InvariantError, Machine
from batfs.scheduling.observer import JobRecord, Observer
from batfs.scheduling.queue import WaitingQueue
from batfs.scheduling.queues import make_queue_policy
from batfs.scheduling.storages import with_overrides
from batfs.scheduling.view import NODES, PassView
from batfs.scheduling.waits import StorageWaits
from batfs.storage.ledger import Reservation
from batfs.storage.topology import PlatformNetwork
from batfs.workload.even import EvenProfile
from batfs.workload.model import Composed, IoProfile

# Batsim aborts when the time asked for has passed on its clock by the time it handles the message, and every
# decision before it in the reply delays that by the latency of a message.
_WAKE_MARGIN = 0.1
_OURS = f"{BATFS_WORKLOAD}!"  # what the ids of our dynamic jobs begin with


#: (configuration, compute resources, storages, whether dynamic jobs can be sent) -> the file systems.
MakeFiles: TypeAlias = Callable[
    [Configuration, Sequence[m.Resource], Sequence[m.Resource], bool], FileSystems
]


@record(frozen=False, eq=False)
class Running(StartedJob):
    """A job that holds something: the interface's record, and what to give back."""

    booked: Booked
    io: IoProfile | None
    transfers: Sequence[tuple[int, int]]
    waited: float
    hold: Hold | None
    life: LiveJob | None = None
    io_ids: Sequence[int] = ()


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
        self._observer = observer or Observer()
        self._observed = observer is not None
        self._say = say or (lambda sentence: None)
        self.config: Configuration = self._settings.configuration()
        self.now = 0.0
        self.queue = WaitingQueue()
        self.running: dict[str, Running] = {}
        self.machine: Machine | None = None
        self.counts = dict.fromkeys(("submitted", "started", "done", "rejected"), 0)
        self._out: list[m.Decision] = []
        self._arrived: list[WaitingJob] = []
        self._freed = True
        self._dirty = False
        self._waits = StorageWaits()
        self._hopeless: dict[str, Hold] = {}
        self._wake_ups: set[float] = set()
        self._profiles: dict[str, Any] = {}
        self._no_more_jobs = False
        self._dynamic = False
        self._registering = False
        self._told: set[str] = set()
        self._handlers: dict[type, Callable[[Any], None]] = {
            m.SimulationBegins: self._begins,
            m.JobSubmitted: self._submitted,
            m.JobCompleted: self._completed,
            m.RequestedCall: self._called,
            m.Notification: self._notified,
            m.SimulationEnds: self._ends,
        }

    # ---- the conversation ---------------------------------------------------------------------------------

    def decide(self, request: m.Request) -> m.Reply:
        """One message's events, in order; then one pass of the queue policy if something has changed."""
        if request.now < self.now:
            raise InvariantError(f"time runs back from {self.now} to {request.now}")
        now = self.now = request.now
        out = self._out = []
        machine = self.machine
        if machine is not None:
            machine.ledger.advance(now)
        each = self.config.passes == "event"
        handlers = self._handlers
        for event in request.events:
            handle = handlers.get(type(event))
            if handle is not None:
                handle(event)
                if each and self._dirty:
                    self._pass()
        freed = self._freed
        if self._dirty:
            self._pass()
        machine = self.machine
        if machine is not None:
            changes = machine.changes()
            if changes:
                self._observer.storages_changed(now, changes)
        for decision in out:
            if type(decision) is m.KillJob:
                out = self._out = self._only_alive(out)
                break
        if self._registering:
            over = self._no_more_jobs and not self.running and not len(self.queue)
            if self._dynamic and not over and freed:
                out += self._lives.upkeep(now)
            if over and not self._lives.busy:
                self._registering = False
                out.append(m.Notify(now, "registration_finished"))
        if self.config.validate:
            self.validate()
        return m.Reply(now, out)

    # ---- events -------------------------------------------------------------------------------------------

    def _begins(self, event: m.SimulationBegins) -> None:
        if self.machine is not None:
            raise InvariantError("a second simulation began; a scheduler serves one")
        config = self.config = self._settings.configuration(str(event.config.get("sched-config", "")))
        self.rng = random.Random(config.seed)
        self.policy: QueuePolicy = make_queue_policy(config.queue)
        storages = with_overrides(event.storage_resources, config.storages)
        self._registering = bool(event.config.get("dynamic-jobs-enabled", False))
        self._dynamic = self._registering and event.allow_storage_sharing
        if self._registering and not self._dynamic:
            self._say("storages can't be shared (--disable-storage-sharing): nothing is staged")
        self.files = self.make_files(config, event.compute_resources, storages, self._dynamic)
        self.machine = Machine(
            event.compute_resources,
            storages,
            own_nodes=self.files.own_nodes,
            node_order=config.node_order,
            node_selection=config.node_selection,
        )
        platform = getattr(self.files, "platform", None)
        if platform is not None:  # what the policies locality and max_bandwidth go by
            names = [storage.name for storage in storages]
            self.machine.view.network = PlatformNetwork(platform, names, self.machine.transfers)
        self._profiles = dict(event.profiles)
        self._view = PassView(self.machine, self.files, self.queue, self.running, self.rng, self._held_back)
        self._lives = Lives(self.machine, self.files, self.rng)
        self._phases = Phases(self.files, self._profiles, self._tell_once, dynamic_jobs=self._dynamic)
        self._observer.begins(self.machine.ledger.storages, self.machine.storage_ids)
        for sentence in self.files.announcements():
            self._say(sentence)

    def _submitted(self, event: m.JobSubmitted) -> None:
        job = event.job
        if job.id.startswith(_OURS):
            return  # a dynamic job of ours, acknowledged
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
        waiting = WaitingJob(job, profile, volumes, self.counts["submitted"])
        self.counts["submitted"] += 1
        machine = self.machine
        assert machine is not None
        if waiting.nodes > machine.largest_job:
            self._reject(
                waiting, f"asks for {waiting.nodes} nodes; jobs can have {machine.largest_job}", None
            )
            return
        if volumes:
            problem = self.files.cannot(profile)
            if problem is not None:
                waiting.io_ignored = True
                self._tell_once(
                    problem,
                    f"{job.id} asks for I/O, but {problem}; its bytes hold their space and nothing is moved "
                    "(said once for all such jobs)",
                )
        self.queue.add(waiting)
        self._arrived.append(waiting)
        self._dirty = True

    def _tell_once(self, key: str, sentence: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._say(sentence)

    def _completed(self, event: m.JobCompleted) -> None:
        job = self.running.get(event.job_id)
        if job is not None and job.life is None:
            self._finish(job, event.state == SUCCESS)
            return
        owner = self._lives.owner(event.job_id)
        if owner is not None:
            self._out += owner.completed(event.job_id, event.state, self.now)
            self._follow(self.running[owner.life.job.id])
        elif self._lives.upkeep_over(event.job_id, event.state == SUCCESS):
            self._freed = self._dirty = True
        else:
            raise InvariantError(f"{event.job_id} has completed, but it was not running")

    def _follow(self, job: Running) -> None:
        """A job with a life of several steps has moved on: give back what it no longer needs."""
        live, machine = job.life, self.machine
        assert live is not None
        assert machine is not None
        job.state = JobState(live.life.state)
        if live.life.nodes_free and job.nodes:
            machine.return_nodes(job.nodes)
            job.nodes = 0
            self._freed = self._dirty = True
        if live.life.over:
            self._finish(job, live.life.result == SUCCESS)

    def _finish(self, job: Running, success: bool) -> None:
        """The job is over: nodes and bytes are free, except what the file systems keep."""
        machine = self.machine
        assert machine is not None
        del self.running[job.id]
        machine.return_nodes(job.nodes)
        machine.count_transfers(job.transfers, -1)
        lines = job.booked.held.lines
        if job.life is None or job.life.in_use:
            machine.use(lines, -1)
        machine.end(lines)
        waiting = job.booked.job
        if waiting.volumes:
            files = self.files
            if files.attending:
                files.ended(job.id, success, self.now)
                for key in files.released():
                    machine.drop(key)
            if self._observed:
                self._record(job)
        job.state = JobState.DONE
        self.counts["done"] += 1
        self._freed = self._dirty = True

    def _called(self, event: m.RequestedCall) -> None:
        self._wake_ups = {at for at in self._wake_ups if at > self.now}
        waiting = [*self._lives.paused]
        self._out += self._lives.tick(self.now)
        for job_id in waiting:  # one whose walltime is over ends at once
            self._follow(self.running[job_id])
        self._dirty = True

    def _notified(self, event: m.Notification) -> None:
        if event.kind == "no_more_static_job_to_submit":
            self._no_more_jobs = True
            self._dirty = self._dirty or bool(len(self.queue))
        elif event.kind in ("event_machine_available", "event_machine_unavailable"):
            assert self.machine is not None
            ids = parse_resources(str(event.data["resources"]))
            there = event.kind == "event_machine_available"
            self.machine.set_available(ids, there)
            if there:
                for live in [*self._lives.paused.values()]:
                    self._out += live.resume(self.now)
                    self._follow(self.running[live.life.job.id])
            (self.files.back if there else self.files.lost)(ids)
            for key in self.files.released():
                self.machine.drop(key)
            self._freed = self._dirty = True

    def _ends(self, event: m.SimulationEnds) -> None:
        for job in self.running.values():
            raise InvariantError(f"the simulation ended while {job.id} was running")
        machine = self.machine
        if machine is not None and len(machine.ledger) != len(machine.kept):
            raise InvariantError(
                f"{len(machine.ledger) - len(machine.kept)} reservations were never released"
            )
        self._observer.ends(self.now)

    # ---- a pass -------------------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Call the queue policy, start what it decided; again while jobs were rejected for good."""
        if not len(self.queue):  # nothing to decide; what was freed is told when somebody waits
            self._dirty = False
            self._arrived = []
            return
        view = self._view
        while True:
            arrived, freed = self._arrived, self._freed
            self._arrived, self._freed, self._dirty = [], False, False
            view.begin(self.now, arrived, freed)
            try:
                decided = self.policy.schedule(view)
                for placement in decided.starts:
                    self._start(view.keep(placement))
            finally:
                view.finish()
            if decided.kills:
                self._kill(decided.kills)
            if decided.wake_at is not None:
                self._wake(decided.wake_at)
            if not self._hopeless and not self._stuck():
                return
            for job_id, hold in self._hopeless.items():
                waiting = self.queue.get(job_id)
                if waiting is not None:
                    self.queue.remove(job_id)
                    self._reject(waiting, f"can never start: {self._sentence(hold)}", hold)
            self._hopeless.clear()
            # those behind a rejected job have not been tried
            self._freed = True
            if not len(self.queue):
                return

    def _held_back(self, job: WaitingJob, hold: Hold) -> None:
        """Called for every failed attempt to start a job now."""
        if hold is NODES:
            self._waits.nodes_lack(job.id, self.now)
        else:
            self._waits.held(job.id, hold, self.now)
            if hold.never:
                self._hopeless[job.id] = hold

    def _stuck(self) -> bool:
        """Whether nothing can ever change any more while jobs wait: then the head is given up."""
        head = self.queue.head
        assert self.machine is not None
        if (
            head is None
            or self.running
            or not self._no_more_jobs
            or self._wake_ups
            or self.machine.some_unavailable
        ):
            return False
        self._hopeless[head.id] = self._waits.reason(head.id) or NODES
        return True

    def _start(self, booked: Booked) -> None:
        machine = self.machine
        assert machine is not None
        job = booked.job
        if job.id not in self.queue:
            raise InvariantError(f"the queue policy starts {job.id}, which is not waiting")
        self.queue.remove(job.id)
        machine.take_nodes(booked.nodes)
        machine.keep(booked.held)
        waited, hold = self._waits.over(job.id, self.now) if job.volumes else (0.0, None)
        running = Running(booked, JobState.RUNNING, booked.nodes, booked, None, (), waited, hold)
        self.running[job.id] = running
        self.counts["started"] += 1
        now, files = self.now, self.files
        attending = files.attending
        for volume, plan in zip(job.volumes, booked.plans, strict=True):
            if plan.file_system in attending:
                files.started(IoRequest(job.id, booked.ids, volume, now, booked.end), plan, now)
        if self._dynamic and booked.plans and needs_script(job.profile, booked.plans):
            running.life = self._lives.begin(booked)
            self._out += running.life.begin(self.now)
            self._follow(running)
            return
        machine.use(booked.held.lines, 1)
        io_job = None
        if booked.plans and not job.io_ignored:
            profile = running.io = build_profile(booked.plans, booked.ids)
            if profile is not None:
                running.io_ids = profile.resources()
                io_job = m.IoJob(running.io_ids, f"batfs_io_{job.job.name}", profile)
                running.transfers = machine.transfers_of(profile, running.io_ids)
                machine.count_transfers(running.transfers, 1)
        self._out.append(m.ExecuteJob(self.now, job.id, booked.ids, io_job=io_job))

    def _kill(self, job_ids: Sequence[str]) -> None:
        plain: list[str] = []
        for job_id in job_ids:
            job = self.running.get(job_id)
            if job is None:
                raise InvariantError(f"the queue policy kills {job_id}, which is not running")
            if job.life is None:
                plain.append(job_id)
            else:
                self._out += job.life.kill(self.now)
                self._follow(job)
        if plain:
            self._out.append(m.KillJob(self.now, plain))

    def _wake(self, at: float) -> None:
        at = max(at, self.now + _WAKE_MARGIN)
        if not any(pending <= at for pending in self._wake_ups):
            self._wake_ups.add(at)
            self._out.append(m.CallMeLater(self.now, at))

    def _only_alive(self, decisions: Sequence[m.Decision]) -> list[m.Decision]:
        """Kills only of what still runs: a later event of the same message may have ended it, and Batsim
        aborts when a job that it has reported is killed."""
        out: list[m.Decision] = []
        for decision in decisions:
            if isinstance(decision, m.KillJob):
                ids = [i for i in decision.job_ids if self._under_way(i)]
                if not ids:
                    continue
                decision = m.KillJob(decision.timestamp, ids)
            out.append(decision)
        return out

    def _under_way(self, job_id: str) -> bool:
        job = self.running.get(job_id)
        return (job is not None and job.life is None) or self._lives.owner(job_id) is not None

    # ---- records ------------------------------------------------------------------------------------------

    def _record(self, job: Running) -> None:
        waiting = job.booked.job
        assert self.machine is not None
        nodes = self.machine.order.text(job.booked.nodes)
        self._observer.job_over(
            JobRecord(
                job=waiting.job,
                volumes=waiting.volumes,
                plans=job.booked.plans,
                nodes=nodes,
                io_resources=self._io_resources(job, nodes),
                storage_waiting_time=job.waited,
                hold=job.hold,
                reason="" if job.hold is None else self._sentence(job.hold),
                moved=not waiting.io_ignored,
                profile=waiting.profile,
                io=job.io if job.life is None else None,
            )
        )

    def _io_resources(self, job: Running, nodes: str) -> str:
        if job.life is not None:
            return format_ascending(job.life.resources)
        if job.io is None:
            return ""
        ids, own = job.io_ids, job.booked.ids
        count = len(own)
        # usually all its nodes and then storages, which come after every node: the text is there already
        even = type(job.io) is EvenProfile and job.io.nodes is own
        if len(ids) > count and ids[count] > ids[count - 1] + 1 and (even or tuple(ids[:count]) == own):
            rest = ids[count:]
            return f"{nodes} {rest[0] if len(rest) == 1 else format_ascending(rest)}"
        return format_ascending(ids)

    def _reject(self, job: WaitingJob, reason: str, hold: Hold | None) -> None:
        # Batsim aborts on a double quote in metadata
        self._out.append(m.SetJobMetadata(self.now, job.id, reason.replace('"', "'")))
        self._out.append(m.RejectJob(self.now, job.id))
        self.counts["rejected"] += 1
        waited, _ = self._waits.over(job.id, self.now)
        self._observer.job_over(JobRecord(job.job, job.volumes, (), "", "", waited, hold, reason, False))

    def _sentence(self, hold: Hold) -> str:
        assert self.machine is not None
        return hold.sentence(self.machine.names)

    # ---- invariants ---------------------------------------------------------------------------------------

    def validate(self) -> None:
        """Everything that must hold between two messages; InvariantError says what doesn't."""
        if self.machine is None:
            return
        held: dict[str, tuple[NodeSet, Sequence[Reservation]]] = {
            job.id: (job.nodes, job.booked.held.lines) for job in self.running.values()
        }
        held |= {job_id: (0, lines) for job_id, lines in self._lives.held.items()}
        self.machine.validate(held)
        for job in self.running.values():
            if job.id in self.queue:
                raise InvariantError(f"{job.id} runs and waits")
            if job.nodes.bit_count() != job.booked.job.nodes and (job.nodes or job.life is None):
                raise InvariantError(f"{job.id} has {job.nodes.bit_count()} nodes")
        counts = self.counts
        alive = len(self.queue) + len(self.running)
        if counts["submitted"] != alive + counts["done"] + counts["rejected"]:
            raise InvariantError(f"jobs got lost: {counts}, {alive} alive")
