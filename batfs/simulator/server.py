"""Batsim's server: the one actor that holds the state of jobs and machines and speaks to the scheduler.

It takes one message at a time from its mailbox, handles it, and asks the scheduler whenever that one is
ready, something has happened and nobody else waits to be heard. Messages are pairs
of a method of this class and its argument.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.resource_sets import format_resources
from batfs.simulator import jobs as states
from batfs.simulator import submitters
from batfs.simulator.actors import Actor, Comm, Flow, Maestro, Mailbox, Script, Then, Waiting
from batfs.simulator.jobs import Budget, SimJob, Task
from batfs.simulator.machines import Machines
from batfs.simulator.replies import converse, exchange
from batfs.simulator.tasks import Tasks
from batfs.workload.model import Job, Json, UsageTrace

if TYPE_CHECKING:
    from batfs.platform import Machine
    from batfs.simulator.engine import Engine
    from batfs.simulator.options import SimulationOptions
    from batfs.simulator.outputs import Outputs
    from batfs.workload.model import Workload


class Server(Tasks):
    """The server and its books. ``decide`` is the scheduler: a request in, a reply out."""

    __slots__ = (
        *("actor", "completed", "decide", "ended", "ending", "events", "farewells"),
        *("killing", "known_ids", "maestro", "mailbox", "master", "outputs", "registration_over", "requests"),
        *("running", "scheduler_ready", "static", "submitted", "submitters", "to_create", "to_forget"),
        "waiting",
    )

    def __init__(
        self,
        engine: Engine,
        machine: Machine,
        workloads: Sequence[Workload],
        decision_process: m.DecisionProcess,
        options: SimulationOptions,
        outputs: Outputs,
    ) -> None:
        super().__init__(engine, machine, workloads)
        self.options = options
        self.outputs = outputs
        self.static = workloads
        self.decide = decision_process.decide
        self.maestro = Maestro(engine)
        self.actor: Actor  # its own, set by whoever creates it
        self.mailbox = Mailbox(self.maestro, self.message_rows, machine.master)
        self.machines = Machines(machine, outputs)
        self.master = machine.master
        self.jobs: dict[str, SimJob] = {}
        self.known_ids: set[str] | None = None
        self.events: list[m.Event] = []
        self.to_create: tuple[Script, int, SimJob | None] | None = None
        self.to_forget: list[SimJob] = []
        self.scheduler_ready = False
        self.requests = 0
        self.ending = False
        self.ended = False
        self.submitters = {"job": 0, "event": 0}
        self.farewells = {"job": 0, "event": 0}
        self.registration_over = not options.dynamic_jobs
        self.submitted = self.completed = self.running = self.waiting = self.killing = 0

    # ---- actors ----

    def _create(self, actor: Actor) -> None:
        """The kernel call that creates an actor: it is ready before its creator."""
        assert self.to_create is not None
        script, host, job = self.to_create
        self.to_create = None
        created = self.maestro.create(script, host)
        if job is not None:
            job.actors.append(created)
        self.maestro.ready.append(actor)

    def start_created(self) -> None:
        """Create an actor that sleeps or computes first thing, and let it do so; nobody else is awake."""
        assert self.to_create is not None
        script, host, job = self.to_create
        self.to_create = None
        actor = self.maestro.enrol(script, host)
        if job is not None:
            job.actors.append(actor)
        self.maestro.begin(actor)

    def script(self) -> Script:
        """The server's life."""
        create = Then(self._create)
        queue = self.mailbox.queue
        maestro, receive = self.maestro, self.mailbox.receive
        self._begin()
        yield create
        while not self.ended:
            comm: Comm | None = yield receive
            while comm is not None:
                handler, argument = comm.message
                handler(argument)
                comm = None
                if self.to_create is not None:
                    yield create
                while self.scheduler_ready and not self.ended and comm is None:
                    if not maestro.alone:
                        yield None
                    if queue or not (self.events or self._ends()):
                        break
                    if not maestro.alone or maestro.cancelled:
                        self._ask()
                        yield create
                        break
                    comm = exchange(self)
                    if comm is not None:
                        yield Waiting(comm)

    # ---- asking the scheduler ----

    def date(self) -> float:
        """The clock as Batsim prints it, with 6 decimals."""
        return self.engine.date

    def _begin(self) -> None:
        from batfs.simulator.beginning import simulation_begins

        self.events.append(simulation_begins(self))
        self._ask()

    def _ends(self) -> bool:
        """Whether the scheduler is to be told, once, that the simulation ends."""
        if self.ending or not self._finished():
            return False
        self.ending = True
        self.events.append(m.SimulationEnds(self.date()))
        return True

    def _ask(self) -> None:
        self.to_create = (converse(self, self.request()), self.master, None)

    def request(self) -> m.Request:
        """What happened, for the scheduler; jobs whose end is in it leave memory."""
        request = m.Request(self.date(), self.events)
        self.events = []
        self.scheduler_ready = False
        for job in self.to_forget:
            self.forget(job)
        self.to_forget.clear()
        self.requests += 1
        return request

    def replay(self, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
        """Execute a usage trace; its return code."""
        from batfs.simulator.usage import replay

        return replay(self, job, task, profile, budget)

    def progress(self, job: SimJob, task: Task) -> Json:
        """How far a job is that is about to be killed."""
        return task.progress(self.engine.now)

    def label(self, owner: Any) -> str:
        """What a flow belongs to, in words: the job whose task it is, or a message."""
        if isinstance(owner, Flow):
            for job in self.machines.running.values():
                if job.task is not None and owner in job.task.flows():
                    return job.job.id
            return "a task"
        return "a message"

    def check_end(self) -> None:
        """Called when nothing can happen any more although the server waits: Batsim reports a deadlock."""

    def job_id_taken(self, job_id: str) -> bool:
        """Whether a job of that id exists or existed."""
        if self.known_ids is None:
            self.known_ids = {job.id for workload in self.static for job in workload.jobs}
        if job_id in self.known_ids:
            return True
        self.known_ids.add(job_id)
        return False

    def left(self) -> tuple[list[str], list[str]]:
        """Ids of the jobs that were submitted and not started, and of those that run."""
        found: tuple[list[str], list[str]] = ([], [])
        for job_id, job in self.jobs.items():
            if job.state in (states.SUBMITTED, states.RUNNING):
                found[job.state == states.RUNNING].append(job_id)
        return found

    def forget(self, job: SimJob) -> None:
        """A finished or rejected job and its profile leave memory."""
        self.jobs.pop(job.job.id, None)
        if job.io is not None and job.io.profile is not None and not self.options.keep_io_profiles:
            self.workloads[job.workload].dynamic.pop(job.io.profile_name, None)
        if not self.options.profile_reuse:
            self.drop_profile(job)

    def _finished(self) -> bool:
        return (
            self.farewells == self.submitters
            and self.registration_over
            and self.completed == self.submitted
            and not (self.running or self.waiting or self.killing)
        )

    # ---- messages ----

    def on_hello(self, kind: str) -> None:
        """A submitter starts."""

    def on_bye(self, kind: str) -> None:
        self.farewells[kind] += 1
        if self.farewells[kind] == self.submitters[kind]:
            what = "no_more_static_job_to_submit" if kind == "job" else "no_more_external_event_to_occur"
            self.events.append(m.Notification(self.date(), what, {"type": what}))

    def on_submitted(self, batch: list[Job]) -> None:
        date = self.date()
        for job in batch:
            workload = self.workloads[job.workload]
            profile = workload.profiles[job.profile]
            record = SimJob(job, profile, workload.name)
            record.state = states.SUBMITTED
            self.jobs[job.id] = record
            self.events.append(m.JobSubmitted(date, job, profile))
        self.submitted += len(batch)

    def on_external(self, batch: list[submitters.ExternalEvent]) -> None:
        date = self.date()
        for event in batch:
            if event.kind in submitters.MACHINE_EVENTS:
                self.machines.check(event.resources, event.kind)
                available = event.kind == "machine_available"
                self.machines.set_available(event.resources, self.engine.now, available)
                kind = f"event_{event.kind}"
                data: Json = {"type": kind, "resources": format_resources(event.resources)}
                self.events.append(m.Notification(date, kind, data))
            else:
                self.events.append(m.Notification(date, event.kind, event.data))

    def on_ready(self, _: None) -> None:
        self.scheduler_ready = True
        if self.ending:
            self.ended = True

    def on_job_completed(self, job: SimJob) -> None:
        self.running -= 1
        self._report(job)

    def _report(self, job: SimJob) -> None:
        self.completed += 1
        self.events.append(
            m.JobCompleted(self.date(), job.job.id, job.state, job.return_code, job.alloc_text)
        )
        self.outputs.job_done(job)
        self.to_forget.append(job)

    def on_from_job(self, sent: tuple[SimJob, Json]) -> None:
        self.events.append(m.FromJobMessage(self.date(), sent[0].job.id, sent[1]))

    def on_to_job(self, sent: tuple[SimJob, Json]) -> None:
        job, message = sent
        if job.inbox is None:
            job.inbox = deque()
        job.inbox.append(message)

    def on_waited(self, call_id: str) -> None:
        self.waiting -= 1
        self.events.append(m.RequestedCall(self.date(), call_id))

    def on_call(self, target: float) -> None:
        now = self.engine.now
        if target <= now:
            raise InputError(
                f"CALL_ME_LATER asks to be woken at {target:.6f}, which is not after {now:.6f}, the time at "
                "which the simulator handles it"
            )
        self.waiting += 1
        self.to_create = (submitters.wait_until(self, target), self.master, None)

    def on_execute(self, decision: m.ExecuteJob) -> None:
        job = self.job(decision.job_id, "EXECUTE_JOB")
        if job.state != states.SUBMITTED:
            raise InputError(f"EXECUTE_JOB: the job {job.job.id!r} is {job.state}, it must be SUBMITTED")
        self.place(job, decision)
        job.state = states.RUNNING
        self.running += 1
        host = self.machines.hosts[job.alloc[0]]
        self.to_create = (states.execute(self, job), host, job)

    def on_reject(self, decision: m.RejectJob) -> None:
        job = self.job(decision.job_id, "REJECT_JOB")
        if job.state != states.SUBMITTED:
            raise InputError(f"REJECT_JOB: the job {job.job.id!r} is {job.state}, it must be SUBMITTED")
        job.state = states.REJECTED
        self.completed += 1
        self.outputs.job_done(job)
        self.to_forget.append(job)

    def on_kill(self, killed: list[SimJob]) -> None:
        wanted = []
        for job in killed:
            if not job.kill_requested:
                if job.state != states.RUNNING and job.state not in states.COMPLETE:
                    raise InputError(
                        f"KILL_JOB: the job {job.job.id!r} is {job.state}, neither being executed "
                        "nor completed"
                    )
                job.kill_requested = True
                wanted.append(job)
        if wanted:
            self.killing += 1
            self.to_create = (states.kill(self, wanted), self.master, None)

    def on_killed(self, result: tuple[list[SimJob], list[SimJob], dict[str, Json]]) -> None:
        asked, killed, progress = result
        self.killing -= 1
        for job in killed:
            self.running -= 1
            self._report(job)
        self.events.append(m.JobKilled(self.date(), [job.job.id for job in asked], progress))

    def on_metadata(self, decision: m.SetJobMetadata) -> None:
        self.job(decision.job_id, "SET_JOB_METADATA").metadata = decision.metadata

    def on_change_state(self, decision: m.ChangeJobState) -> None:
        job = self.job(decision.job_id, "CHANGE_JOB_STATE")
        state = decision.state
        now = self.engine.now
        if job.state == states.SUBMITTED and state == states.RUNNING:
            job.start = now
            self.running += 1
        elif job.state == states.SUBMITTED and state == states.REJECTED:
            self.completed += 1
        elif job.state == states.RUNNING and state in states.COMPLETE:
            job.runtime = now - job.start
            self.running -= 1
            self.completed += 1
        else:
            raise InputError(
                f"CHANGE_JOB_STATE: the job {job.job.id!r} can't go from {job.state} to {state}; a "
                "SUBMITTED job "
                "can become RUNNING or REJECTED, a RUNNING one COMPLETED_..."
            )
        job.state = state

    def on_registered(self, job: SimJob) -> None:
        """A dynamic job is counted, and announced when acknowledgements are on."""
        self.submitted += 1
        if self.options.acknowledge_dynamic_jobs:
            self.events.append(m.JobSubmitted(self.date(), job.job, job.profile))  # type: ignore[arg-type]

    def on_profile(self, _: None) -> None:
        """A profile was registered (at parse time); only the message counts."""

    def on_notify(self, kind: str) -> None:
        self.registration_over = kind == "registration_finished"
