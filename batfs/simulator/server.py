"""Batsim's server: the one actor that holds the state of jobs and machines and speaks to the scheduler.

It takes one message at a time from its mailbox, handles it, and asks the scheduler whenever that one is
ready, something has happened and nobody else waits to be heard. Messages are pairs of a method of this class
and its argument. What it does for every job is in ``_core.desk``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batfs._core import desk as states
from batfs._core.desk import Service, SimJob, Task
from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.numbers import six_decimals_job
from batfs.resource_sets import format_resources
from batfs.simulator import jobs, submitters
from batfs.simulator.actors import Flow, Maestro, Mailbox, Script
from batfs.simulator.jobs import Budget
from batfs.simulator.machines import Machines
from batfs.simulator.replies import converse, deliver, parse
from batfs.simulator.tasks import Tasks
from batfs.workload.model import Composed, DataStaging, IoProfile, Json, UsageTrace

if TYPE_CHECKING:
    from batfs.platform import Machine
    from batfs.simulator.engine import Engine
    from batfs.simulator.options import SimulationOptions
    from batfs.simulator.outputs import Outputs
    from batfs.workload.model import Workload


# what the desk has to know by its class: see `Desk.meet`
PROFILES = (jobs.AT_ONCE, Composed, IoProfile, DataStaging)
RECORDS = (
    m.Request,
    m.JobSubmitted,
    m.JobCompleted,
    m.SimulationEnds,
    m.ExecuteJob,
    m.KillJob,
    m.RegisterJob,
)


class Server(Tasks):
    """The server and its books. ``decide`` is the scheduler: a request in, a reply out."""

    __slots__ = ("static",)

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
        self.outputs = outputs
        self.static = workloads
        self.maestro = Maestro(engine)
        self.mailbox = Mailbox(self.maestro, self.message_rows, machine.master)
        self.machines = Machines(machine, options, outputs)
        self.master = machine.master
        self.registration_over = not options.dynamic_jobs
        self.meet(decision_process, options, PROFILES, RECORDS, six_decimals_job)

    def script(self) -> Any:
        """The server's life."""
        return Service(self)

    # ---- asking the scheduler ----

    def open(self) -> None:
        from batfs.simulator.beginning import simulation_begins

        self.events.append(simulation_begins(self))
        self.ask_apart()

    def ask_apart(self) -> None:
        self.to_create = (converse(self, self.request()), self.master, None)

    parse = parse
    deliver = deliver

    def execution(self, job: SimJob) -> Script:
        return jobs.execute(self, job)

    def computes_at_once(self, job: SimJob, profile: Any) -> bool:
        return jobs.computes_at_once(self, job, profile)

    def replay(self, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
        """Execute a usage trace; its return code."""
        from batfs.simulator.usage import replay

        return replay(self, job, task, profile, budget)

    def progress(self, job: SimJob, task: Task) -> Json:
        """How far a job is that is about to be killed."""
        return jobs.progress(task, self.engine.now)

    def label(self, owner: Any) -> str:
        """What a flow belongs to, in words: the job whose task it is, or a message."""
        if isinstance(owner, Flow):
            for job in self.machines.running.values():
                if job.task is not None and owner in job.task.flows():
                    return str(job.id)
            return "a task"
        return "a message"

    def check_end(self) -> None:
        """Called when nothing can happen any more although the server waits: Batsim reports a deadlock."""

    def static_ids(self) -> set[str]:
        """The ids of the jobs of the workloads' files."""
        return {job.id for workload in self.static for job in workload.jobs}

    def left(self) -> tuple[list[str], list[str]]:
        """Ids of the jobs that were submitted and not started, and of those that run."""
        found: tuple[list[str], list[str]] = ([], [])
        for job_id, job in self.jobs.items():
            if job.state in (states.SUBMITTED, states.RUNNING):
                found[job.state == states.RUNNING].append(job_id)
        return found

    # ---- messages ----

    def on_hello(self, kind: str) -> None:
        """A submitter starts."""

    def on_bye(self, kind: str) -> None:
        self.farewells[kind] += 1
        if self.farewells[kind] == self.submitters[kind]:
            what = "no_more_static_job_to_submit" if kind == "job" else "no_more_external_event_to_occur"
            self.events.append(m.Notification(self.date(), what, {"type": what}))

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

    def refuse_execution(self, decision: m.ExecuteJob) -> None:
        job = self.job(decision.job_id, "EXECUTE_JOB")
        raise InputError(f"EXECUTE_JOB: the job {job.job.id!r} is {job.state}, it must be SUBMITTED")

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
            self.to_create = (jobs.kill(self, wanted), self.master, None)

    def on_killed(self, result: tuple[list[SimJob], list[SimJob], dict[str, Json]]) -> None:
        asked, killed, progress = result
        self.killing -= 1
        for job in killed:
            self.running -= 1
            self.report(job)
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

    def on_profile(self, _: None) -> None:
        """A profile was registered (at parse time); only the message counts."""

    def on_notify(self, kind: str) -> None:
        self.registration_over = kind == "registration_finished"
