"""The decision process's half of Batsim's JSON: requests are read, replies are written.

``codec`` re-exports both functions. Messages come from a program we trust to be Batsim (or ``batfs sim``),
so reading checks that the shape is right and says what is wrong, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from batfs.errors import BatfsError
from batfs.protocol import messages as m
from batfs.protocol.io_text import io_text
from batfs.resource_sets import format_resources
from batfs.workload.model import IoProfile, Job, Profile


class ProtocolError(BatfsError):
    """A message that is not what Batsim 4's protocol says."""


#: What reading a message raises that has not the form it should have.
WRONG = (KeyError, TypeError, ValueError, AttributeError)


def malformed(sentence: str, error: Exception) -> ProtocolError:
    """``sentence``, with what is wrong with the message according to ``error``, one of :data:`WRONG`."""
    what = f"member {error} is missing" if isinstance(error, KeyError) else str(error)
    return ProtocolError(f"{sentence}: {what}")


def not_batsims(generation: int, error: Exception) -> ProtocolError:
    """The same of the simulator."""
    return malformed(f"the simulator sent a message that is not Batsim {generation}'s", error)


# ---- requests ----------------------------------------------------------------------------------------------


def decode_request(text: bytes | str) -> m.Request:
    """A :class:`~batfs.protocol.messages.Request` of Batsim's JSON. Raises ProtocolError."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the simulator sent something that is not JSON: {error}") from None
    return request_from_json(raw)


def request_from_json(raw: Any) -> m.Request:
    """The same from a decoded JSON object."""
    try:
        return m.Request(float(raw["now"]), [event_from_json(event) for event in raw["events"]])
    except WRONG as error:
        raise not_batsims(4, error) from error


def event_from_json(raw: Mapping[str, Any]) -> m.Event:
    """One event of a request; errors as Python raises them, but for ProtocolError."""
    kind = raw["type"]
    reader = _READERS.get(kind)
    if reader is None:
        raise ProtocolError(f"unknown event type {kind!r} from the simulator; known: {', '.join(_READERS)}")
    return reader(float(raw["timestamp"]), raw.get("data") or {})


class LazyProfiles(Mapping[str, Profile]):
    """Profiles of one workload, read when they are looked at: Batsim sends all of them at the start."""

    def __init__(self, raw: Mapping[str, Any], workload: str) -> None:
        self._raw = raw
        self._workload = workload
        self._read: dict[str, Profile] = {}

    def __getitem__(self, name: str) -> Profile:
        profile = self._read.get(name)
        if profile is None:
            profile = self._read[name] = profile_from_wire(
                self._raw[name], f"{self._workload}: profiles.{name}"
            )
        return profile

    def raw(self, name: str) -> Mapping[str, Any] | None:
        """The profile as it was sent; None if there is none."""
        found: Mapping[str, Any] | None = self._raw.get(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


#: Times of profiles that must be above 0, which Batsim prints with 6 decimals: what arrives as 0 is less than
#: half a millionth, and not none.
_TIMES = ("delay", "sleeptime", "polltime")
_ROUNDED = 5e-7


def profile_from_wire(raw: Any, place: str) -> Profile:
    """A profile as the simulator forwards it, its numbers rounded to 6 decimals. InputError at ``place``."""
    from batfs.workload import parse_profile

    if type(raw) is dict:
        rounded = [key for key in _TIMES if raw.get(key) == 0 and type(raw[key]) is not bool]
        if rounded:
            raw = {**raw, **dict.fromkeys(rounded, _ROUNDED)}
    return parse_profile(raw, place)


def need_text(value: object, what: str) -> str:
    """``value``; TypeError, which names ``what``, for anything but text."""
    if not isinstance(value, str):
        raise TypeError(f"{what} is {value!r:.60}, not text")
    return value


def need_ids(values: object) -> list[str]:
    """Ids of jobs; TypeError for what can't be a list of them."""
    if not isinstance(values, list):
        raise TypeError(f"job_ids is {values!r:.60}, not a list")
    return [need_text(value, "a member of job_ids") for value in values]


def _properties(raw: object, what: str) -> dict[str, str]:
    """Properties of a host: words, whichever way a number among them is written."""
    found = raw or {}
    if not isinstance(found, dict):
        raise TypeError(f"{what} is {raw!r:.60}, not an object")
    for key, value in found.items():
        if not isinstance(value, str | int | float):
            raise TypeError(f"{what}.{key} is {value!r:.60}, not text")
    return {key: str(value) for key, value in found.items()}


def _resource(raw: Mapping[str, Any], role: str) -> m.Resource:
    return m.Resource(
        id=int(raw["id"]),
        name=str(raw["name"]),
        role=role,
        state=str(raw.get("state", "idle")),
        properties=_properties(raw.get("properties"), "properties"),
        zone_properties=_properties(raw.get("zone_properties"), "zone_properties"),
    )


def _profiles(workload: str, raw: object) -> LazyProfiles:
    if not isinstance(raw, dict):
        raise TypeError(f"profiles.{workload} is {raw!r:.60}, not an object")
    return LazyProfiles(raw, workload)


def _simulation_begins(timestamp: float, data: Mapping[str, Any]) -> m.SimulationBegins:
    return m.SimulationBegins(
        timestamp=timestamp,
        compute_resources=[_resource(r, "compute_node") for r in data["compute_resources"]],
        storage_resources=[_resource(r, "storage") for r in data["storage_resources"]],
        allow_compute_sharing=bool(data["allow_compute_sharing"]),
        allow_storage_sharing=bool(data["allow_storage_sharing"]),
        config=dict(data["config"]),
        workloads={
            name: need_text(file, f"workloads.{name}") for name, file in (data.get("workloads") or {}).items()
        },
        profiles={name: _profiles(name, raw) for name, raw in (data.get("profiles") or {}).items()},
    )


_JOB_MEMBERS = frozenset(("id", "subtime", "walltime", "res", "profile"))


def job_from_json(raw: Mapping[str, Any]) -> Job:
    """A job as Batsim forwards it: ``id`` is full, ``walltime`` -1 or absent for none."""
    walltime = float(raw.get("walltime", -1))
    return Job(
        id=str(raw["id"]),
        submission_time=float(raw["subtime"]),
        requested_nodes=int(raw["res"]),
        profile=str(raw["profile"]),
        walltime=None if walltime < 0 else walltime,
        extra={key: value for key, value in raw.items() if key not in _JOB_MEMBERS},
    )


def _job_submitted(timestamp: float, data: Mapping[str, Any]) -> m.JobSubmitted:
    if "job" not in data:
        raise ProtocolError(
            "JOB_SUBMITTED without a job description (Batsim's --enable-redis isn't supported)"
        )
    job = job_from_json(data["job"])
    raw = data.get("profile")
    profile = None if raw is None else profile_from_wire(raw, f"{job.workload}: profiles.{job.profile}")
    return m.JobSubmitted(timestamp, job, profile)


def _job_completed(timestamp: float, data: Mapping[str, Any]) -> m.JobCompleted:
    return m.JobCompleted(
        timestamp,
        need_text(data["job_id"], "job_id"),
        need_text(data["job_state"], "job_state"),
        int(data["return_code"]),
        str(data.get("alloc", "")),
    )


_READERS: dict[str, Callable[[float, Mapping[str, Any]], m.Event]] = {
    "SIMULATION_BEGINS": _simulation_begins,
    "JOB_SUBMITTED": _job_submitted,
    "JOB_COMPLETED": _job_completed,
    "JOB_KILLED": lambda t, d: m.JobKilled(t, need_ids(d["job_ids"]), dict(d.get("job_progress") or {})),
    "RESOURCE_STATE_CHANGED": lambda t, d: m.ResourceStateChanged(
        t, need_text(d["resources"], "resources"), str(d["state"])
    ),
    "REQUESTED_CALL": lambda t, d: m.RequestedCall(t),
    "SIMULATION_ENDS": lambda t, d: m.SimulationEnds(t),
    "ANSWER": lambda t, d: m.Answer(t, dict(d)),
    "FROM_JOB_MSG": lambda t, d: m.FromJobMessage(t, need_text(d["job_id"], "job_id"), d["msg"]),
    "NOTIFY": lambda t, d: m.Notification(t, str(d["type"]), dict(d)),
}


# ---- replies -----------------------------------------------------------------------------------------------


def encode_reply(reply: m.Reply) -> bytes:
    """Batsim's JSON of a reply; an :class:`IoProfile` becomes dense here."""
    events = [decision_to_json(decision) for decision in reply.decisions]
    return orjson.dumps({"now": reply.now, "events": events}, option=orjson.OPT_SERIALIZE_NUMPY)


def decision_to_json(decision: m.Decision) -> dict[str, Any]:
    """One event of a reply: matrices are text or numpy arrays, which orjson writes."""
    kind, data = _WRITERS[type(decision)]
    return {"timestamp": decision.timestamp, "type": kind, "data": data(decision)}


def _any_profile(profile: Profile | IoProfile) -> dict[str, Any] | orjson.Fragment:
    if isinstance(profile, IoProfile):
        return orjson.Fragment(io_text(profile))
    from batfs.workload import profile_to_json

    return profile_to_json(profile)


def _execute(decision: m.ExecuteJob) -> dict[str, Any]:
    data: dict[str, Any] = {"job_id": decision.job_id, "alloc": format_resources(decision.alloc)}
    if decision.mapping is not None:
        data["mapping"] = {str(executor): place for executor, place in decision.mapping.items()}
    if decision.storage_mapping is not None:
        data["storage_mapping"] = dict(decision.storage_mapping)
    if decision.io_job is not None:
        data["additional_io_job"] = io_job_to_json(decision.io_job)
    return data


def io_job_to_json(io: m.IoJob) -> dict[str, Any]:
    """The ``additional_io_job`` of EXECUTE_JOB."""
    out: dict[str, Any] = {"alloc": format_resources(io.alloc), "profile_name": io.profile_name}
    if io.profile is not None:
        out["profile"] = _any_profile(io.profile)
    return out


def job_to_json(job: Job) -> dict[str, Any]:
    """The job of REGISTER_JOB."""
    return {
        **job.extra,
        "id": job.id,
        "subtime": job.submission_time,
        "walltime": -1 if job.walltime is None else job.walltime,
        "res": job.requested_nodes,
        "profile": job.profile,
    }


_WRITERS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    m.ExecuteJob: ("EXECUTE_JOB", _execute),
    m.RejectJob: ("REJECT_JOB", lambda d: {"job_id": d.job_id}),
    m.KillJob: ("KILL_JOB", lambda d: {"job_ids": list(d.job_ids)}),
    m.CallMeLater: ("CALL_ME_LATER", lambda d: {"timestamp": d.at}),
    m.SetResourceState: ("SET_RESOURCE_STATE", lambda d: {"resources": d.resources, "state": d.state}),
    m.SetJobMetadata: ("SET_JOB_METADATA", lambda d: {"job_id": d.job_id, "metadata": d.metadata}),
    m.ChangeJobState: ("CHANGE_JOB_STATE", lambda d: {"job_id": d.job_id, "job_state": d.state}),
    m.ToJobMessage: ("TO_JOB_MSG", lambda d: {"job_id": d.job_id, "msg": d.message}),
    m.RegisterJob: ("REGISTER_JOB", lambda d: {"job_id": d.job.id, "job": job_to_json(d.job)}),
    m.RegisterProfile: (
        "REGISTER_PROFILE",
        lambda d: {
            "workload_name": d.workload,
            "profile_name": d.name,
            "profile": _any_profile(d.profile),
        },
    ),
    m.Notify: ("NOTIFY", lambda d: {"type": d.kind}),
    m.Query: ("QUERY", lambda d: {"requests": dict(d.requests)}),
}
