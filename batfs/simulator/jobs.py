"""A job's life inside the simulator: its record, its tree of tasks, and the script that executes it.

The rules are those of Batsim 4.2.1's job execution: how a profile becomes
parallel tasks and sleeps, the walltime budget shared by all children, return codes, progress.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from batfs.errors import InputError
from batfs.protocol.messages import ExecuteJob, IoJob
from batfs.simulator.actors import CANCELLED, ENDS, TIMED_OUT, Actor, Flow, Script, Then
from batfs.simulator.profiles import PARALLEL_TYPES, IoTask
from batfs.workload.model import Composed, Delay, IoProfile, Job, Json, Profile, Recv, Send, UsageTrace

if TYPE_CHECKING:
    from batfs.simulator.server import Server

SUBMITTED: Final = "SUBMITTED"
NOT_SUBMITTED: Final = "NOT_SUBMITTED"
RUNNING: Final = "RUNNING"
SUCCESS: Final = "COMPLETED_SUCCESSFULLY"
FAILED: Final = "COMPLETED_FAILED"
WALLTIME: Final = "COMPLETED_WALLTIME_REACHED"
KILLED: Final = "COMPLETED_KILLED"
REJECTED: Final = "REJECTED"
COMPLETE: Final = frozenset((SUCCESS, FAILED, WALLTIME, KILLED))
STATES: Final = (NOT_SUBMITTED, SUBMITTED, RUNNING, SUCCESS, FAILED, WALLTIME, KILLED, REJECTED)

AT_ONCE: Final = frozenset((IoProfile, *PARALLEL_TYPES))
WALLTIME_REACHED: Final = -1
KILLED_CODE: Final = -2
NO_TIME: Final = 1e-5  # Batsim's runtime of a job that took no time


class SimJob:
    """A job in memory, from submission to the report of its end."""

    __slots__ = (
        *("actors", "alloc", "alloc_text", "execution", "inbox", "io", "job", "kill_requested", "mapping"),
        *("metadata", "profile", "ranks", "return_code", "runtime", "start", "state", "storage_mapping"),
        *("task", "workload"),
    )

    def __init__(self, job: Job, profile: Profile | IoProfile, workload: str) -> None:
        self.job = job
        self.profile = profile
        self.workload = workload
        self.state = NOT_SUBMITTED
        self.start = -1.0
        self.runtime = -1.0
        self.return_code = -1
        self.alloc: tuple[int, ...] = ()
        self.alloc_text = ""
        self.mapping: tuple[int, ...] | None = None
        self.ranks: tuple[int, ...] | None = None  # the executor of each rank of a usage trace
        self.storage_mapping: Mapping[str, int] | None = None
        self.io: IoJob | None = None
        self.execution: ExecuteJob | None = None
        self.metadata = ""
        self.kill_requested = False
        self.actors: list[Actor] = []
        self.task: Task | None = None
        self.inbox: deque[Json] | None = None  # messages for it, once there are any


class Task:
    """One profile being executed: a leaf, or a composed one with its current child."""

    __slots__ = ("child", "flow", "index", "name", "profile", "required", "started")

    def __init__(self, name: str, profile: Profile | IoProfile) -> None:
        self.name = name
        self.profile = profile
        self.child: Task | None = None
        self.index = -1
        self.flow: Flow | None = None
        self.started = -1.0
        self.required = 0.0

    def progress(self, now: float) -> dict[str, Json]:
        """Batsim's progress of a killed job: the chain of current tasks, and how far the last one is."""
        if isinstance(self.profile, Composed):
            found: dict[str, Json] = {"profile_name": self.name, "current_task_index": self.index}
            if self.child is not None:
                found["current_task"] = self.child.progress(now)
            return found
        found = {"profile_name": self.name}
        if self.flow is not None or self.required > 0.0:
            found["progress"] = round(self.share(now), 6)
        elif self.child is not None:  # what a message led to
            found |= {"current_task_index": 0, "current_task": self.child.progress(now)}
        return found  # Batsim doesn't know how far a send, a recv or a usage trace is

    def share(self, now: float) -> float:
        """How much of a parallel task or a sleep is done, from 0 to 1."""
        if self.flow is not None:
            return self.flow.progress()
        return (now - self.started) / self.required if self.required > 0.0 else 0.0

    def flows(self) -> list[Flow]:
        """The parallel tasks in progress (one at most)."""
        found = [] if self.flow is None else [self.flow]
        return found if self.child is None else found + self.child.flows()


def execute(server: Server, job: SimJob, notify: bool = True) -> Script:
    """The job's own actor, from its start to the server's receipt of its completion."""
    job.start = start = server.engine.now
    walltime = job.job.walltime
    budget = Budget(-1.0 if walltime is None else walltime)
    job.task = Task(job.job.profile, job.profile)
    server.machines.start(job, start)
    io = None if job.io is None else server.io_task(job)
    run = (
        _run_parallel if type(job.profile) in AT_ONCE else run_task
    )  # the usual case, without a step between
    code = yield from run(server, job, job.task, budget, io)
    job.return_code = code
    if code == 0:
        job.state = SUCCESS
    elif code > 0:
        job.state = FAILED
    elif code == WALLTIME_REACHED:
        job.state = WALLTIME
    else:
        job.state = KILLED
    finish(server, job)
    if notify and code != KILLED_CODE:
        yield server.mailbox.send((server.on_job_completed, job), ENDS)


def finish(server: Server, job: SimJob) -> None:
    """The job's end now: its runtime, its machines, its trace."""
    now = server.engine.now
    if job.state in (WALLTIME, KILLED):
        server.outputs.job_killed(job, now)
    runtime = now - job.start
    job.runtime = runtime if runtime > 0.0 else NO_TIME
    server.machines.end(job, now)
    job.actors.clear()


class Budget:
    """Seconds left until the walltime; below 0 for none."""

    __slots__ = ("left",)

    def __init__(self, left: float) -> None:
        self.left = left


def run_task(server: Server, job: SimJob, task: Task, budget: Budget, io: IoTask | None) -> Script:
    """Execute one profile; returns its code (0, the profile's ``ret``, -1 for walltime, -2 for killed)."""
    profile = task.profile
    if isinstance(profile, Composed):
        return (yield from _run_composed(server, job, task, profile, budget, io))
    if type(profile) in AT_ONCE:
        return (yield from _run_parallel(server, job, task, budget, io))
    if isinstance(profile, Delay):
        task.started, task.required = server.engine.now, profile.duration
        over = yield from _delay(server, profile.duration, budget)
        return over or profile.ret
    if isinstance(profile, Send):
        yield server.mailbox.send((server.on_from_job, (job, profile.message)))
        over = yield from _delay(server, profile.sleep_time, budget)
        return over or profile.ret
    if isinstance(profile, Recv):
        return (yield from _receive(server, job, task, profile, budget))
    if isinstance(profile, UsageTrace):
        return (yield from server.replay(job, task, profile, budget))
    raise InputError(
        f"the job {job.job.id!r} executes the profile {task.name!r} of type 'smpi', which batfs "
        "doesn't simulate",
        hint="Batsim does",
    )


def computes_at_once(server: Server, job: SimJob, profile: Profile | IoProfile) -> bool:
    """Whether the first thing that a job does is a parallel task or a sleep."""
    if type(profile) in AT_ONCE:
        return True
    if isinstance(profile, Composed) and profile.repeat > 0 and profile.sequence:
        first = server.workloads[job.workload].profiles.get(profile.sequence[0])
        return first is not None and computes_at_once(server, job, first)
    return isinstance(profile, Delay) and profile.duration > 0.0


def _run_composed(
    server: Server, job: SimJob, task: Task, profile: Composed, budget: Budget, io: IoTask | None
) -> Script:
    ios: Sequence[IoTask | None] = [None] * len(profile.sequence)
    if io is not None:
        ios = io.children(job, task.name, profile)
    children = [server.child_profile(job, name) for name in profile.sequence]
    for repetition in range(profile.repeat):
        for i, name in enumerate(profile.sequence):
            task.index = repetition * len(children) + i
            task.child = Task(name, children[i])
            code = yield from run_task(server, job, task.child, budget, ios[i])
            if code != 0:
                return code
    return profile.ret


def _delay(server: Server, duration: float, budget: Budget) -> Script:
    left = budget.left
    if duration < left or left < 0.0:
        if duration > 0.0:
            yield server.maestro.sleep(duration)
        budget.left = left - duration
        return 0
    if left > 0.0:
        yield server.maestro.sleep(left)
    budget.left = 0.0
    return WALLTIME_REACHED


def _run_parallel(server: Server, job: SimJob, task: Task, budget: Budget, io: IoTask | None) -> Script:
    before = server.engine.now
    work = server.work_of(job, task, io)
    if io is not None and server.options.on_work is not None:
        server.options.on_work(job.job.id, work)
    task.flow = flow = Flow(server.maestro, work, budget.left)
    outcome = yield flow
    ret = getattr(task.profile, "ret", 0)
    if outcome == TIMED_OUT:
        ret = WALLTIME_REACHED
        job.actors[0].owned.append(flow)  # it goes on using its resources until this actor ends
    elif outcome == CANCELLED:
        ret = KILLED_CODE
    task.flow = None
    budget.left -= server.engine.now - before
    return ret


def _receive(server: Server, job: SimJob, task: Task, profile: Recv, budget: Budget) -> Script:
    chosen = ""
    if job.inbox is None:
        job.inbox = deque()
    if not job.inbox and profile.timeout:
        chosen = profile.timeout
    else:
        while not job.inbox:
            over = yield from _delay(server, profile.poll_time, budget)
            if over:
                return over
        message = job.inbox.popleft()
        text = message if isinstance(message, str) else str(message)
        try:
            matches = re.fullmatch(profile.regex, text) is not None
        except re.error as error:
            raise InputError(
                f"the profile {task.name!r} has a regular expression {profile.regex!r} that can't "
                f"be read: {error}"
            ) from None
        chosen = profile.success if matches else profile.failure
    if chosen:
        task.child = Task(chosen, server.child_profile(job, chosen))
        code = yield from run_task(server, job, task.child, budget, None)
        if code != 0:
            return code
    return profile.ret


def kill(server: Server, jobs: Sequence[SimJob]) -> Script:
    """The actor of one KILL_JOB: notes the progress of each running job and ends it."""
    progress: dict[str, Json] = {}
    killed = []
    for job in jobs:
        if job.state != RUNNING:
            continue
        assert job.task is not None
        flows = job.task.flows()
        if flows:
            yield None  # the remaining work is read by a kernel call
        progress[job.job.id] = server.progress(job, job.task)
        if flows:

            def cancel(actor: Actor, flows: list[Flow] = flows) -> None:
                for flow in flows:
                    flow.cancel()
                server.maestro.ready.append(actor)

            job.state = KILLED
            yield Then(cancel)
        else:
            for actor in list(job.actors):
                server.mailbox.withdraw(actor)
                yield server.maestro.end_of(actor)
            job.state = KILLED
            finish(server, job)
        killed.append(job)
    yield server.mailbox.send((server.on_killed, (jobs, killed, progress)), ENDS)
