"""One exchange with the scheduler: the request goes out, and what comes back is applied, piece by piece.

Each decision is checked, waited for (a timestamp may lie ahead) and then sent to the server as a message of
its own, so the k-th of them arrives k message times later; the last message says that the scheduler is ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from batfs._core import desk as states
from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.numbers import six_decimals, six_decimals_profile
from batfs.simulator.actors import ENDS, Script

if TYPE_CHECKING:
    from batfs.simulator.server import Server


def converse(server: Server, request: m.Request) -> Script:
    """The request-reply actor. Wall-clock time passes in ``decide``, simulated time doesn't."""
    yield from deliver(server, server.ask(request), 0)


def deliver(server: Server, reply: m.Reply, first: int, message: Any = None) -> Script:
    """Send the decisions from number ``first`` on, and after them that the scheduler is ready.

    ``first`` past that, the number of decisions plus one: all has been sent. ``message``: the first of them,
    read and waited for already.
    """
    engine, send = server.engine, server.mailbox.send
    decisions = reply.decisions
    for i in range(first, len(decisions)):
        if message is None:
            message = parse(server, reply, i)
            ahead = decisions[i].timestamp - engine.now
            if ahead > 0.0:
                yield server.maestro.sleep(ahead)
        yield send(message)
        message = None
    if first <= len(decisions):
        ahead = reply.now - engine.now if message is None else 0.0
        if ahead > 0.0:
            yield server.maestro.sleep(ahead)
        yield send((server.on_ready, None), ENDS)


def parse(server: Server, reply: m.Reply, i: int) -> tuple[Any, Any]:
    """Decision ``i`` as a message to the server, with the checks Batsim makes on its arrival."""
    decision = reply.decisions[i]
    try:
        if decision.timestamp > reply.now:
            raise InputError(f"timestamp {decision.timestamp} must not be later than now = {reply.now}")
        message: tuple[Any, Any] = PARSERS[type(decision)](server, decision)
    except InputError as error:
        raise _at(server, i, decision, error) from None
    return message


def _at(server: Server, i: int, decision: m.Decision, error: InputError) -> InputError:
    return error.at(place=f"reply {server.requests}, events[{i}] ({NAMES[type(decision)]})")


def _execute(server: Server, decision: m.ExecuteJob) -> Any:
    io = decision.io_job
    if io is not None or decision.job_id not in server.jobs:
        job = server.job(decision.job_id, "EXECUTE_JOB")
        if io is not None:
            if not len(io.alloc):
                raise InputError("additional_io_job: the allocation is empty")
            if io.profile is not None:
                profile = six_decimals_profile(io.profile)
                server.register_profile(job.workload, io.profile_name, profile, "additional_io_job")
            else:
                workload = server.workloads[job.workload]
                if workload.get(io.profile_name) is None:
                    why = "was removed from memory" if workload.exists(io.profile_name) else "doesn't exist"
                    raise InputError(
                        f"additional_io_job: the profile {io.profile_name!r} of the workload "
                        f"{job.workload!r} {why}"
                    )
    return server.on_execute, decision


def _reject(server: Server, decision: m.RejectJob) -> Any:
    server.job(decision.job_id, "REJECT_JOB")
    return server.on_reject, decision


def _kill(server: Server, decision: m.KillJob) -> Any:
    if not decision.job_ids:
        raise InputError("KILL_JOB: 'job_ids' is empty")
    return server.on_kill, [server.job(job_id, "KILL_JOB") for job_id in decision.job_ids]


def _call(server: Server, decision: m.CallMeLater) -> Any:
    return server.on_call, decision.at


def _metadata(server: Server, decision: m.SetJobMetadata) -> Any:
    if '"' in decision.metadata:
        raise InputError(
            f"SET_JOB_METADATA: 'metadata' must not contain double quotes, found {decision.metadata!r}"
        )
    server.job(decision.job_id, "SET_JOB_METADATA")
    return server.on_metadata, decision


def _change_state(server: Server, decision: m.ChangeJobState) -> Any:
    if decision.state not in states.STATES:
        raise InputError(
            f"CHANGE_JOB_STATE: unknown state {decision.state!r}; known: {', '.join(states.STATES)}"
        )
    server.job(decision.job_id, "CHANGE_JOB_STATE")
    return server.on_change_state, decision


def _to_job(server: Server, decision: m.ToJobMessage) -> Any:
    return server.on_to_job, (server.job(decision.job_id, "TO_JOB_MSG"), decision.message)


def _dynamic(server: Server, what: str) -> None:
    if not server.options.dynamic_jobs:
        raise InputError(f"{what}: dynamic jobs are not enabled", hint="--enable-dynamic-jobs")
    if server.registration_over:
        raise InputError(f"{what}: registration was declared finished before")


def _register_job(server: Server, decision: m.RegisterJob) -> Any:
    _dynamic(server, "REGISTER_JOB")
    job = decision.job
    record = server.registered(job)
    if record is not None:
        return server.on_registered, record
    if job.walltime is not None and six_decimals(job.walltime) <= 0.0:
        raise InputError(f"walltime {job.walltime} is 0 with Batsim's 6 decimals", place="job.walltime")
    workload = server.workloads.get(job.workload)
    if workload is None:
        raise InputError(
            f"REGISTER_JOB: the workload {job.workload!r} doesn't exist; known: "
            f"{', '.join(server.workloads)}",
            hint="a REGISTER_PROFILE makes its workload",
        )
    if server.job_id_taken(job.id):
        raise InputError(f"REGISTER_JOB: the job id {job.id!r} already exists")
    why = "was removed from memory" if workload.exists(job.profile) else "doesn't exist"
    raise InputError(f"REGISTER_JOB: the profile {job.profile!r} of the workload {workload.name!r} {why}")


def _register_profile(server: Server, decision: m.RegisterProfile) -> Any:
    _dynamic(server, "REGISTER_PROFILE")
    profile = six_decimals_profile(decision.profile)
    server.register_profile(decision.workload, decision.name, profile, "REGISTER_PROFILE")
    return server.on_profile, None


def _notify(server: Server, decision: m.Notify) -> Any:
    if decision.kind not in ("registration_finished", "continue_registration"):
        raise InputError(
            f"NOTIFY: unknown type {decision.kind!r}; known: registration_finished, continue_registration"
        )
    if not server.options.dynamic_jobs:
        raise InputError(
            f"NOTIFY {decision.kind}: dynamic jobs are not enabled", hint="--enable-dynamic-jobs"
        )
    return server.on_notify, decision.kind


def _set_state(server: Server, decision: m.SetResourceState) -> Any:
    raise InputError(
        "SET_RESOURCE_STATE needs Batsim's energy model (-E), which batfs doesn't simulate",
        hint="Batsim does",
    )


def _query(server: Server, decision: m.Query) -> Any:
    raise InputError(
        f"QUERY of {', '.join(decision.requests) or 'nothing'} needs Batsim's energy model (-E), which batfs "
        "doesn't simulate",
        hint="Batsim does",
    )


PARSERS: dict[type, Any] = {
    m.ExecuteJob: _execute,
    m.RejectJob: _reject,
    m.KillJob: _kill,
    m.CallMeLater: _call,
    m.SetJobMetadata: _metadata,
    m.ChangeJobState: _change_state,
    m.ToJobMessage: _to_job,
    m.RegisterJob: _register_job,
    m.RegisterProfile: _register_profile,
    m.Notify: _notify,
    m.SetResourceState: _set_state,
    m.Query: _query,
}

NAMES: dict[type, str] = {
    m.ExecuteJob: "EXECUTE_JOB",
    m.RejectJob: "REJECT_JOB",
    m.KillJob: "KILL_JOB",
    m.CallMeLater: "CALL_ME_LATER",
    m.SetJobMetadata: "SET_JOB_METADATA",
    m.ChangeJobState: "CHANGE_JOB_STATE",
    m.ToJobMessage: "TO_JOB_MSG",
    m.RegisterJob: "REGISTER_JOB",
    m.RegisterProfile: "REGISTER_PROFILE",
    m.Notify: "NOTIFY",
    m.SetResourceState: "SET_RESOURCE_STATE",
    m.Query: "QUERY",
}
