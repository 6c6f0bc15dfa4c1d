"""A job's life inside the simulator, if it is more than one parallel task: the script that executes it.

The rules are those of Batsim 4.2.1's job execution: how a profile becomes parallel tasks and sleeps, the
walltime budget shared by all children, return codes, progress. What every job does is in ``_core.desk``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from batfs._core.desk import (
    KILLED,
    KILLED_CODE,
    RUNNING,
    WALLTIME_REACHED,
    SimJob,
    Task,
)
from batfs.errors import InputError
from batfs.simulator.actors import ENDS, Actor, Flow, Script, Then
from batfs.simulator.profiles import PARALLEL_TYPES, IoTask
from batfs.workload.model import Composed, Delay, IoProfile, Json, Profile, Recv, Send, UsageTrace

if TYPE_CHECKING:
    from batfs.simulator.server import Server

AT_ONCE: Final = frozenset((IoProfile, *PARALLEL_TYPES))


def progress(task: Task, now: float) -> dict[str, Json]:
    """Batsim's progress of a killed job: the chain of current tasks, and how far the last one is."""
    if isinstance(task.profile, Composed):
        found: dict[str, Json] = {"profile_name": task.name, "current_task_index": task.index}
        if task.child is not None:
            found["current_task"] = progress(task.child, now)
        return found
    found = {"profile_name": task.name}
    if task.flow is not None or task.required > 0.0:
        found["progress"] = round(task.share(now), 6)
    elif task.child is not None:  # what a message led to
        found |= {"current_task_index": 0, "current_task": progress(task.child, now)}
    return found  # Batsim doesn't know how far a send, a recv or a usage trace is


def execute(server: Server, job: SimJob, notify: bool = True) -> Script:
    """The job's own actor, from its start to the server's receipt of its completion."""
    server.begin(job)
    walltime = job.job.walltime
    budget = Budget(-1.0 if walltime is None else walltime)
    io = None if job.io is None else server.io_task(job)
    code = yield from run_task(server, job, job.task, budget, io)
    server.conclude(job, code)
    if notify and code != KILLED_CODE:
        yield server.mailbox.send((server.on_job_completed, job), ENDS)


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
    outcome = yield server.flow_of(job, task, budget.left, io)
    budget.left -= server.engine.now - before
    return server.code_of(job, task, outcome)


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
            server.finish(job)
        killed.append(job)
    yield server.mailbox.send((server.on_killed, (jobs, killed, progress)), ENDS)
