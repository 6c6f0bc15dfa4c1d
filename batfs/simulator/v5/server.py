"""Batsim 5's server. What it shares with Batsim 4's is in ``batfs.simulator.server``.

It looks for something to say before it waits for a message, so that the first request goes out when all
submitters have said hello. Decisions are checked when they are handled, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from batfs._core import desk as states
from batfs._core.desk import SimJob, Task
from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.v5.simulator_side import EXTERNAL_EVENT
from batfs.resource_sets import parse_resources
from batfs.simulator import jobs, submitters
from batfs.simulator.actors import ENDS, Actor, Comm, Script, Then
from batfs.simulator.jobs import Budget
from batfs.simulator.server import Server
from batfs.simulator.v5.outputs import Outputs5, all_idle
from batfs.simulator.v5.periodic import Delivery, PeriodicCalls
from batfs.simulator.v5.placing import Placing
from batfs.workload.model import Composed, IoProfile, Job, Json, Parallel, UsageTrace

if TYPE_CHECKING:
    from batfs.workload.model import Profile

#: Periodic calls in a row that come when all is over, and are not stopped: then they never will be.
IDLE_CALLS: Final = 100
SHOWN: Final = 5  # jobs named in a message


class Server5(Placing, Server):
    """The server and its books, as Batsim 5 keeps them."""

    __slots__ = ("_date", "calls", "idle_calls", "replier", "reply", "stop_asked", "to_pass")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._date = 0.0  # of the last message
        all_idle(self.machines)
        self.calls = PeriodicCalls(self)
        self.to_pass: list[Callable[[], None]] = []  # what the server has to tell the periodic calls' actor
        self.reply: Script | None = None  # hands out the decisions of the last reply,
        self.replier: Actor | None = None  # and its actor
        self.stop_asked = False
        self.idle_calls = 0

    # ---- the loop ----

    def date(self) -> float:
        """The clock as Batsim 5 prints it, with 12 decimals."""
        self._date = round(self.engine.now, 12)
        return self._date

    def script(self) -> Script:
        """The server's life."""
        create = Then(self.create_actor)
        queue, maestro = self.mailbox.queue, self.maestro
        self.scheduler_ready = True
        self.events.append(self._simulation_begins())
        yield None  # to create the actor of periodic calls is a kernel call
        while not self.ended:
            if self.scheduler_ready:
                if not maestro.alone:
                    yield None  # to look into the mailbox is a kernel call
                if not queue:
                    if not self.events and not self.ending and self.finished():
                        yield Delivery(self, lambda: None)  # the periodic calls' actor is told to end
                        self.ending = True
                        self.events.append(m.SimulationEnds(self.date()))
                    if self.events:
                        self._ask()
                        yield create
            comm: Comm = yield self.mailbox.receive
            handler, argument = comm.message
            if self.stop_asked and handler != self.on_ready:
                continue
            handler(argument)
            if self.to_create is not None:
                yield create
            while self.to_pass:
                yield Delivery(self, self.to_pass.pop(0))
        self.maestro.stopped = self.stop_asked

    def create_actor(self, actor: Actor) -> None:
        assert self.to_create is not None
        script, host, job = self.to_create
        self.to_create = None
        created = self.maestro.create(script, host)
        if job is not None:
            job.actors.append(created)
        elif script is self.reply:
            self.replier = created
        self.maestro.ready.append(actor)

    def _ask(self) -> None:
        request = self.request()
        self.reply = self._reply(self.ask(request))
        self.to_create = (self.reply, self.master, None)

    def _reply(self, reply: m.Reply) -> Script:
        """Hand the decisions to the server, each at its time, and then say that all were."""
        engine, send = self.engine, self.mailbox.send
        for i, decision in enumerate(reply.decisions):
            ahead = decision.timestamp - engine.now
            if ahead > 0.0:
                yield self.maestro.sleep(ahead)
            yield send((self.on_decision, (i, decision)))
        ahead = reply.now - engine.now
        if ahead > 0.0:
            yield self.maestro.sleep(ahead)
        yield send((self.on_ready, None), ENDS)

    def finished(self) -> bool:
        return self.stop_asked or super().finished()

    def _over(self) -> bool:
        """Whether all is over but for calls that have been asked for."""
        return (
            self.farewells == self.submitters
            and self.registration_over
            and self.completed == self.submitted
            and not (self.running or self.killing)
        )

    def check_end(self) -> None:
        """InputError with the reasons why nothing can happen any more."""
        if self.ended:
            return
        waiting = [job.job.id for job in self.jobs.values() if job.state == states.SUBMITTED]
        reasons = []
        if waiting:
            more = f" and {len(waiting) - SHOWN} more" if len(waiting) > SHOWN else ""
            names = ", ".join(waiting[:SHOWN])
            reasons.append(
                f"{len(waiting)} submitted jobs were neither executed nor rejected ({names}{more})"
            )
        if not self.registration_over:
            reasons.append(
                "the registration of jobs was never finished (FinishRegistrationEvent), which the hello's "
                "dynamic_registration demands"
            )
        why = "; ".join(reasons) or "jobs are running that can't end"
        raise InputError(f"at t={self.engine.now:.6f} s nothing can happen any more: {why}")

    # ---- the first event ----

    def _simulation_begins(self) -> m.SimulationBegins:
        hosts = self.machine.platform.hosts
        found = []
        for r in self.machine.resources:
            host = hosts[r.host]
            found.append(
                m.Resource(
                    r.id,
                    r.name,
                    r.role,
                    "idle",
                    r.properties,
                    r.zone_properties,
                    host.cores,
                    host.speeds,
                    host.pstate,
                )
            )
        if isinstance(self.outputs, Outputs5):
            for pstate in sorted({one.pstate for one in found}):
                ids = tuple(one.id for one in found if one.pstate == pstate)
                self.outputs.pstate_changed(0.0, ids, pstate)
        nodes = self.machine.nb_compute
        return m.SimulationBegins(
            self.date(),
            found[:nodes],
            found[nodes:],
            True,
            True,
            {},
            {name: str(Path(w.path).absolute()) for name, w in self.workloads.items()},
            {name: w.profiles for name, w in self.workloads.items()},
            dict(self.options.event_lists),
        )

    # ---- messages ----

    def on_decision(self, numbered: tuple[int, m.Decision]) -> None:
        i, decision = numbered
        self.idle_calls = 0
        try:
            _HANDLERS[type(decision)](self, decision)
        except InputError as error:
            raise error.at(place=f"reply {self.requests}.events[{i}]") from None

    def on_external(self, batch: list[submitters.ExternalEvent]) -> None:
        for event in batch:
            # Batsim doesn't look at the clock here: the time is that of whatever was told last
            data: dict[str, Json] = {"type": EXTERNAL_EVENT, **event.data}
            self.events.append(m.Notification(self._date, EXTERNAL_EVENT, data))

    def on_periodic(self, due: Iterable[tuple[str, bool]]) -> None:
        date = self.date()
        for name, last in due:
            self.events.append(m.RequestedCall(date, name, last))
            if last:
                self.waiting -= 1
        self.idle_calls += self._over()
        if self.idle_calls > IDLE_CALLS and all(left is None for _, left in self.calls.calls.values()):
            names = ", ".join(repr(name) for name in sorted(self.calls.calls))
            raise InputError(
                f"at t={self.engine.now:.6f} s everything has ended but the infinite periodic call {names}, "
                f"and {IDLE_CALLS} of them were answered without a decision: there would be no end",
                hint="StopCallMeLaterEvent stops it",
            )

    def on_call_stopped(self, _: None) -> None:
        self.waiting -= 1

    def on_killed(self, result: tuple[list[SimJob], list[SimJob], dict[str, Json]]) -> None:
        asked, killed, progress = result
        self.killing -= 1
        for job in killed:
            self.running -= 1
            self.report(job)
        profiles: dict[str, Profile | IoProfile] = {}
        if self.options.forward_profiles_on_kill:
            for job in killed:
                assert job.task is not None
                profiles[self.full_name(job, job.task)] = job.profile
        # as for external events, the time of what was told last
        self.events.append(m.JobKilled(self._date, [job.job.id for job in asked], progress, profiles))

    # ---- decisions ----

    def execute(self, decision: m.ExecuteJob) -> None:
        job = self.job(decision.job_id, "ExecuteJobEvent")
        if job.state != states.SUBMITTED:
            raise InputError(f"ExecuteJobEvent: the job {job.job.id!r} is {job.state}, it must be SUBMITTED")
        self.place(job, decision)
        job.state = states.RUNNING
        self.running += 1
        self.to_create = (jobs.execute(self, job), self.machines.hosts[job.alloc[0]], job)

    def reject(self, decision: m.RejectJob) -> None:
        job = self.job(decision.job_id, "RejectJobEvent")
        if job.state != states.SUBMITTED:
            raise InputError(f"RejectJobEvent: the job {job.job.id!r} is {job.state}, it must be SUBMITTED")
        self.on_reject(decision)

    def kill(self, decision: m.KillJob) -> None:
        wanted = []
        for job_id in decision.job_ids:
            job = self.job(job_id, "KillJobsEvent")
            if job.kill_requested:
                continue
            if job.state != states.RUNNING and job.state not in states.COMPLETE:
                raise InputError(
                    f"KillJobsEvent: the job {job.job.id!r} is {job.state}, only one that runs can be killed"
                )
            job.kill_requested = True
            wanted.append(job)
        self.killing += 1
        self.to_create = (jobs.kill(self, wanted), self.master, None)

    def call(self, decision: m.CallMeLater) -> None:
        self.waiting += 1
        self.to_create = (submitters.wait_until(self, decision.at, decision.call_id), self.master, None)

    def call_periodically(self, decision: m.CallPeriodically) -> None:
        self.waiting += 1
        self.to_pass.append(lambda: self.calls.add(decision))

    def stop_call(self, decision: m.StopCall) -> None:
        self.to_pass.append(lambda: self.calls.stop(decision.call_id))

    def force_stop(self, decision: m.ForceStop) -> None:
        self.stop_asked = True
        assert self.replier is not None
        self.maestro.kill(self.replier)
        self.mailbox.queue.clear()
        self.events.clear()
        self.scheduler_ready = True

    def finish_registration(self, decision: m.Notify) -> None:
        self.registration_over = True

    def register_job(self, decision: m.RegisterJob) -> None:
        job = decision.job
        self.known_workload(job.workload)
        if self.job_id_taken(job.id):
            raise InputError(f"RegisterJobEvent: the job id {job.id!r} already exists")
        home, profile = self.find_profile(job.profile, job.workload, "RegisterJobEvent")
        if isinstance(profile, Parallel) and profile.size != job.requested_nodes:
            raise InputError(
                f"RegisterJobEvent: the job {job.id!r} asks for {job.requested_nodes} resources, its profile "
                f"{job.profile!r} is for {profile.size}"
            )
        now = self.date()
        job = Job(job.id, now, job.requested_nodes, job.profile, job.walltime, job.extra)
        record = SimJob(job, profile, home)
        record.state = states.SUBMITTED
        self.jobs[job.id] = record
        self.submitted += 1
        if isinstance(self.outputs, Outputs5):
            self.outputs.registered.add(job.id)
        if self.options.acknowledge_dynamic_jobs:
            self.events.append(m.JobSubmitted(now, job, profile))  # type: ignore[arg-type]

    def register_new_profile(self, decision: m.RegisterProfile) -> None:
        profile, what = decision.profile, "RegisterProfileEvent"
        self.known_workload(decision.workload)
        children = {}
        if isinstance(profile, Composed):
            for name in profile.sequence:
                home, children[name] = self.find_profile(name, decision.workload, what)
                self.workloads[home].past[name.rpartition("!")[2]] = children[name]
        if isinstance(profile, UsageTrace) and not Path(profile.trace).is_file():
            raise InputError(f"{what}: the trace file {profile.trace!r} doesn't exist")
        self.register_profile(decision.workload, decision.name, profile, what)

    def change_pstate(self, decision: m.SetResourceState) -> None:
        ids = parse_resources(decision.resources)
        self.machines.check(ids, "ChangeHostsPStateEvent")
        hosts = self.machine.platform.hosts
        for i in ids:
            host = hosts[self.machines.hosts[i]]
            if int(decision.state) != host.pstate:
                raise InputError(
                    f"ChangeHostsPStateEvent: host {i} ({host.name!r}) is in pstate {host.pstate}; batfs "
                    "doesn't simulate others",
                    hint="Batsim does",
                )
        if isinstance(self.outputs, Outputs5):
            self.outputs.pstate_changed(self.engine.now, ids, int(decision.state))
        self.events.append(m.ResourceStateChanged(self._date, decision.resources, decision.state))

    def replay(self, job: SimJob, task: Task, profile: UsageTrace, budget: Budget) -> Script:
        from batfs.simulator.v5.traces import replay

        return replay(self, job, task, profile, budget)

    def drop_profile(self, job: SimJob) -> None:
        """The names of a finished job's profile, and of what a sequence holds, are gone."""
        waiting = [(job.workload, job.job.profile)]
        while waiting:
            workload, name = waiting.pop()
            home, mark, local = name.rpartition("!")
            home = home if mark else workload
            known = self.workloads[home]
            if local in known.gone:
                continue
            profile = known.get(local)
            known.gone.add(local)
            known.dynamic.pop(local, None)
            if isinstance(profile, Composed):
                waiting.extend((home, child) for child in profile.sequence)


_HANDLERS: Final[dict[type, Callable[[Server5, Any], None]]] = {
    m.ExecuteJob: Server5.execute,
    m.RejectJob: Server5.reject,
    m.KillJob: Server5.kill,
    m.CallMeLater: Server5.call,
    m.CallPeriodically: Server5.call_periodically,
    m.StopCall: Server5.stop_call,
    m.ForceStop: Server5.force_stop,
    m.Notify: Server5.finish_registration,
    m.RegisterJob: Server5.register_job,
    m.RegisterProfile: Server5.register_new_profile,
    m.SetResourceState: Server5.change_pstate,
}
