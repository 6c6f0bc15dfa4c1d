"""The decision component's half of Batsim 5's JSON: requests are read, replies are written.

The records are those of Batsim 4's messages. What an exchange means in this generation (one job replaced by
another, say) is not decided here: see ``batfs.decision.replacing``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from batfs.protocol import messages as m
from batfs.protocol.decision_side import WRONG, ProtocolError, not_batsims
from batfs.protocol.v5.profiles import profile_event
from batfs.resource_sets import format_resources
from batfs.workload.batsim5 import profile_of_message
from batfs.workload.extradata import read_extra
from batfs.workload.model import Job, Profile

#: What a GenericExternalEvent becomes; its text is the member ``data``.
GENERIC = "generic_external_event"
#: What the ids of batfs's calls begin with.
OUR_CALLS = "batfs "


def decode_request(text: bytes) -> m.Request:
    """A request of Batsim 5's JSON (without its NUL). Raises ProtocolError."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the simulator sent something that is not JSON: {error}") from None
    try:
        return m.Request(float(raw["now"]), [event_from_json(event) for event in raw["events"]])
    except WRONG as error:
        raise not_batsims(5, error) from error


def event_from_json(raw: Mapping[str, Any]) -> m.Event:
    """One event of a request; errors as Python raises them, but for ProtocolError."""
    kind = raw["event_type"]
    reader = _READERS.get(kind)
    if reader is None:
        raise ProtocolError(f"unknown event type {kind!r} from the simulator; known: {', '.join(_READERS)}")
    return reader(float(raw["timestamp"]), raw.get("event") or {})


def _pairs(found: Any) -> dict[str, str]:
    return {str(pair["key"]): str(pair["value"]) for pair in found or ()}


def _host(raw: Mapping[str, Any], role: str) -> m.Resource:
    state = str(raw.get("state", "IDLE")).lower()
    properties, zone = _pairs(raw.get("properties")), _pairs(raw.get("zone_properties"))
    return m.Resource(int(raw["id"]), str(raw["name"]), role, state, properties, zone)


def _begins(timestamp: float, data: Mapping[str, Any]) -> m.SimulationBegins:
    return m.SimulationBegins(
        timestamp=timestamp,
        compute_resources=[_host(raw, "compute_node") for raw in data.get("computation_hosts") or ()],
        storage_resources=[_host(raw, "storage") for raw in data.get("storage_hosts") or ()],
        allow_compute_sharing=True,
        allow_storage_sharing=True,
        config={},
        workloads={str(w["name"]): str(w["filename"]) for w in data.get("workloads") or ()},
        profiles={},
    )


def read_job(job_id: str, raw: Mapping[str, Any], submitted: float) -> Job:
    """A ``Job`` table. KeyError, TypeError or ValueError if it isn't one."""
    walltime = raw.get("walltime")
    return Job(
        job_id,
        submitted,
        int(raw["resource_request"]),
        str(raw["profile_id"]).rpartition("!")[2],
        None if walltime is None else float(walltime),
        read_extra(raw.get("extra_data"), {}, f"{job_id}.extra_data"),
    )


def _submitted(timestamp: float, data: Mapping[str, Any]) -> m.JobSubmitted:
    job = read_job(str(data["job_id"]), data["job"], float(data.get("submission_time", timestamp)))
    raw = data.get("profile")
    profile: Profile | None = None
    if raw is not None:
        place = f"{job.id}: the profile {job.profile}"
        extra = raw.get("extra_data")
        profile = profile_of_message(
            raw["profile_type"], raw.get("profile") or {}, extra, place, job.workload
        )
    return m.JobSubmitted(timestamp, job, profile)


def _completed(timestamp: float, data: Mapping[str, Any]) -> m.JobCompleted:
    code = int(data.get("return_code") or 0)
    signed = code - 2**32 if code >= 2**31 else code
    return m.JobCompleted(timestamp, str(data["job_id"]), str(data["state"]), signed, "")


def _killed(timestamp: float, data: Mapping[str, Any]) -> m.JobKilled:
    progress = {str(p["job_id"]): p.get("wrapper") for p in data.get("progresses") or ()}
    return m.JobKilled(timestamp, [str(i) for i in data["job_ids"]], progress)


def _external(timestamp: float, data: Mapping[str, Any]) -> m.Notification:
    said = (data.get("external_event") or {}).get("data", "")
    return m.Notification(timestamp, GENERIC, {"type": GENERIC, "data": said})


def _told(kind: str) -> Callable[[float, Mapping[str, Any]], m.Event]:
    return lambda t, d: m.Notification(t, kind, {"type": kind})


_READERS: dict[str, Callable[[float, Mapping[str, Any]], m.Event]] = {
    "SimulationBeginsEvent": _begins,
    "JobSubmittedEvent": _submitted,
    "JobCompletedEvent": _completed,
    "JobsKilledEvent": _killed,
    "RequestedCallEvent": lambda t, d: m.RequestedCall(t),
    "AllStaticJobsHaveBeenSubmittedEvent": _told("no_more_static_job_to_submit"),
    "AllStaticExternalEventsHaveBeenInjectedEvent": _told("no_more_external_event_to_occur"),
    "SimulationEndsEvent": lambda t, d: m.SimulationEnds(t),
    "ExternalEventOccurredEvent": _external,
    "HostsPStateChangedEvent": lambda t, d: m.ResourceStateChanged(
        t, str(d["host_ids"]), str(d.get("pstate", 0))
    ),
    "HostsTurnedOnOffEvent": lambda t, d: m.ResourceStateChanged(
        t, str(d["host_ids"]), str(d.get("state", 0))
    ),
    "ProbeDataEmittedEvent": _told("probe_data_emitted"),
}


# ---- replies -----------------------------------------------------------------------------------------------


def encode_reply(reply: m.Reply) -> bytes:
    """Batsim 5's JSON of a reply; arrays become dense text here. Raises ProtocolError for a decision that
    this generation has no event for."""
    events = decisions_to_json(reply.decisions, reply.now)
    return orjson.dumps({"now": reply.now, "events": events}, option=orjson.OPT_SERIALIZE_NUMPY)


def decisions_to_json(decisions: Sequence[m.Decision], now: float) -> list[dict[str, Any]]:
    """The events of one reply; arrays are numpy's, which orjson writes."""
    sizes: dict[str, int] = {}  # executors of the jobs registered in this reply, by their profile
    for decision in decisions:
        if isinstance(decision, m.RegisterJob):
            sizes[f"{decision.job.workload}!{decision.job.profile}"] = decision.job.requested_nodes
    return [_decision(decision, now, sizes) for decision in decisions]


def _decision(decision: m.Decision, now: float, sizes: Mapping[str, int]) -> dict[str, Any]:
    writer = _EVENTS.get(type(decision))
    if writer is None:
        raise ProtocolError(f"Batsim 5 has no event for a {type(decision).__name__}")
    kind, event = writer(decision, sizes)
    # timestamps have to ascend and none may lie beyond the reply's own time
    return {"timestamp": now, "event_type": kind, "event": event}


def _execute(decision: m.ExecuteJob, sizes: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    if decision.io_job is not None:
        raise ProtocolError("Batsim 5 takes no additional_io_job")
    event: dict[str, Any] = {"job_id": decision.job_id, "allocation": _placed(decision)}
    if decision.overrides:
        event["profile_allocation_override"] = [
            {"profile_id": name, **_placed(placed)} for name, placed in decision.overrides.items()
        ]
    if decision.storage_mapping:
        event["storage_placement"] = [
            {"storage_name": label, "host_id": host} for label, host in decision.storage_mapping.items()
        ]
    return "ExecuteJobEvent", event


def _placed(placed: m.ExecuteJob | m.Placement) -> dict[str, Any]:
    placement: dict[str, Any] = {}
    kind = "PredefinedExecutorPlacementStrategyWrapper"
    if placed.mapping is not None:
        kind = "CustomExecutorToHostMapping"
        placement["mapping"] = [placed.mapping[k] for k in range(len(placed.mapping))]
    elif placed.fill_cores:
        placement["strategy"] = "FillOneHostCoresFirst"
    return {
        "host_allocation": format_resources(placed.alloc),
        "executor_placement_type": kind,
        "executor_placement": placement,
    }


def milliseconds(at: float) -> int:
    """The first whole millisecond that is not before ``at`` (s): Batsim 5 knows no finer calls."""
    found = max(round(at * 1000.0), 0)
    return found + 1 if found / 1000.0 < at else found


def _call(decision: m.CallMeLater, sizes: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    at = milliseconds(decision.at)
    when = {"time": at, "time_unit": "Millisecond"}
    return "CallMeLaterEvent", {"call_me_later_id": f"{OUR_CALLS}{at}", "when_type": "OneShot", "when": when}


def _register_job(decision: m.RegisterJob, sizes: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    job = decision.job
    table: dict[str, Any] = {
        "resource_request": job.requested_nodes,
        "profile_id": f"{job.workload}!{job.profile}",
    }
    if job.walltime is not None:
        table["walltime"] = job.walltime
    return "RegisterJobEvent", {"job_id": job.id, "job": table}


def _register_profile(decision: m.RegisterProfile, sizes: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    size = sizes.get(f"{decision.workload}!{decision.name}", 0)
    return "RegisterProfileEvent", {
        "profile": profile_event(decision.workload, decision.name, decision.profile, size)
    }


def _notify(decision: m.Notify, sizes: Mapping[str, int]) -> tuple[str, dict[str, Any]]:
    if decision.kind != "registration_finished":
        raise ProtocolError(f"Batsim 5 has no event for the notification {decision.kind!r}")
    return "FinishRegistrationEvent", {}


_EVENTS: dict[type, Callable[[Any, Mapping[str, int]], tuple[str, dict[str, Any]]]] = {
    m.ExecuteJob: _execute,
    m.RejectJob: lambda d, sizes: ("RejectJobEvent", {"job_id": d.job_id}),
    m.KillJob: lambda d, sizes: ("KillJobsEvent", {"job_ids": list(d.job_ids)}),
    m.CallMeLater: _call,
    m.RegisterJob: _register_job,
    m.RegisterProfile: _register_profile,
    m.Notify: _notify,
}
