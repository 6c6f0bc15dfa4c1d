"""batfs's scheduler as a pybatsim scheduler: the same core, told through pybatsim's callbacks.

Runs under pybatsim's own launcher (``pybatsim schedulers/batfsSched.py -o '{"policy": "random"}'``) and,
over a better connection, in ``batfs-sched``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from batfs import process
from batfs.decision.files import make_files
from batfs.decision.pybatsim import BatsimScheduler, Job
from batfs.filesystems.script import WORKLOAD
from batfs.protocol import messages as m
from batfs.protocol.decision_side import (
    decision_to_json,
    job_from_json,
    profile_from_wire,
    request_from_json,
)
from batfs.scheduling.config import Settings, flags_layer
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import Observer


class BatfsScheduler(BatsimScheduler):  # type: ignore[misc]
    """``options`` are the keys of the configuration (``{"policy": "random", "queue": "easy"}``).

    Each message's events are gathered and given to the core when pybatsim says that there are no more.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        settings: Settings | None = None,
        observer: Observer | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(dict(options or {}))
        if settings is None:
            settings = Settings(flags=flags_layer(self.options, "the scheduler's options"))
        self.core = Scheduler(settings, make_files, observer=observer, say=say or _to_stderr)
        self._events: list[m.Event] = []
        self._over: list[str] = []

    # ---- callbacks ----------------------------------------------------------------------------------------

    def onBeforeEvents(self) -> None:
        self._events = []
        # pybatsim keeps every job for ever, and looks up killed ones in the message that completes them
        for job_id in self._over:
            self.bs.jobs.pop(job_id, None)
        self._over.clear()

    def onSimulationBegins(self) -> None:
        bs = self.bs
        data = {
            "compute_resources": list(bs.compute_resources.values()),
            "storage_resources": list(bs.storage_resources.values()),
            "allow_compute_sharing": bs.allow_compute_sharing,
            "allow_storage_sharing": bs.allow_storage_sharing,
            "config": bs.batconf,
            "workloads": bs.workloads,
            "profiles": bs.profiles,  # read when they are looked at: the phases of composed ones
        }
        raw = {
            "now": bs.time(),
            "events": [{"timestamp": bs.time(), "type": "SIMULATION_BEGINS", "data": data}],
        }
        self._events.extend(request_from_json(raw).events)

    def onJobSubmission(self, job: Any) -> None:
        if job.workload == WORKLOAD:
            return  # a dynamic job of ours, acknowledged without its profile
        described = job_from_json(job.json_dict)
        profile = profile_from_wire(job.profile_dict, f"{described.workload}: profiles.{described.profile}")
        self._events.append(m.JobSubmitted(self.bs.time(), described, profile))

    def onJobCompletion(self, job: Any) -> None:
        alloc = "" if job.allocation is None else str(job.allocation)
        self._events.append(
            m.JobCompleted(job.finish_time, job.id, job.job_state.name, int(job.return_code), alloc)
        )
        self._over.append(job.id)

    def onJobsKilled(self, jobs: Any) -> None:
        progress = {job.id: job.progress for job in jobs}
        self._events.append(m.JobKilled(self.bs.time(), list(progress), progress))

    def onRequestedCall(self) -> None:
        self._events.append(m.RequestedCall(self.bs.time()))

    def onNoMoreJobsInWorkloads(self) -> None:
        self._notify("no_more_static_job_to_submit")

    def onNoMoreExternalEvents(self) -> None:
        self._notify("no_more_external_event_to_occur")

    def onNotifyEventMachineUnavailable(self, machines: Any) -> None:
        self._notify("event_machine_unavailable", resources=str(machines))

    def onNotifyEventMachineAvailable(self, machines: Any) -> None:
        self._notify("event_machine_available", resources=str(machines))

    def onNotifyGenericEvent(self, event_data: Any) -> None:
        self._notify(str(event_data.get("type", "")), **event_data)

    def onMachinePStateChanged(self, nodeid: Any, pstate: Any) -> None:
        self._events.append(m.ResourceStateChanged(self.bs.time(), str(nodeid), str(pstate)))

    def onJobMessage(self, timestamp: float, job: Any, message: Any) -> None:
        self._events.append(m.FromJobMessage(timestamp, job.id, message))

    def onSimulationEnds(self) -> None:
        self._events.append(m.SimulationEnds(self.bs.time()))

    def onNoMoreEvents(self) -> None:
        bs = self.bs
        reply = self.core.decide(m.Request(bs.time(), self._events))
        arrays = bool(getattr(bs.network, "takes_arrays", False))
        for decision in reply.decisions:
            self._count(decision)
            bs._events_to_send.append(_writable(decision, arrays=arrays))

    # ---- inside -------------------------------------------------------------------------------------------

    def _notify(self, kind: str, **data: Any) -> None:
        self._events.append(m.Notification(self.bs.time(), kind, {**data, "type": kind}))

    def _count(self, decision: m.Decision) -> None:
        """pybatsim's launcher judges a run by these; and it must know dynamic jobs before they end."""
        bs = self.bs
        if isinstance(decision, m.ExecuteJob):
            bs.nb_jobs_scheduled += 1
        elif isinstance(decision, m.RejectJob):
            bs.nb_jobs_rejected += 1
            self._over.append(decision.job_id)
        elif isinstance(decision, m.RegisterJob) and not bs.ack_of_dynamic_jobs:
            job = decision.job
            bs.nb_jobs_submitted += 1
            bs.nb_jobs_submitted_from_scheduler += 1
            walltime = -1 if job.walltime is None else job.walltime
            known = Job(job.id, job.submission_time, walltime, job.requested_nodes, job.profile, {})
            known.job_state = Job.State.SUBMITTED
            bs.jobs[job.id] = known


class _Profile(dict[str, Any]):
    """An I/O profile with a short form: pybatsim formats every message for its log, wanted or not."""

    def __repr__(self) -> str:
        return "{...}"

    __str__ = __repr__


def _writable(decision: m.Decision, *, arrays: bool) -> dict[str, Any]:
    """The event as an object. pybatsim's own connection knows lists only (``arrays`` False)."""
    event = decision_to_json(decision)
    additional = event["data"].get("additional_io_job")
    for holder in (event["data"], additional):
        if holder is not None and "profile" in holder:
            profile = holder["profile"]
            if isinstance(profile, orjson.Fragment) and not arrays:
                profile = orjson.loads(orjson.dumps(profile))
            if isinstance(profile, dict):
                holder["profile"] = _Profile(
                    profile if arrays else {key: _plain(value) for key, value in profile.items()}
                )
    return event


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _to_stderr(sentence: str) -> None:
    process.say("batfs", sentence)
