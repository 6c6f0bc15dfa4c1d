"""The simulator's half of Batsim's JSON: requests are written, replies are read.

Requests are Batsim's to the letter: every double has 6 decimals, integers stay integers. Replies are read
as strictly as Batsim reads them: unknown types, missing or superfluous members and wrong
kinds are refused, with the place in the reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from batfs import json_text
from batfs.errors import InputError, unknown
from batfs.protocol import messages as m
from batfs.resource_sets import parse_resources
from batfs.workload import forwarded_job, full_id, parse_job, parse_profile, profile_to_json
from batfs.workload.model import IoProfile, Json, Parallel, Profile

# ---- requests ----------------------------------------------------------------------------------------------


def text_of(value: Json) -> str:
    """JSON of any value with Batsim's numbers."""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, str):
        return json_text.dumps(value).decode()
    if isinstance(value, dict):
        return "{" + ",".join([f"{text_of(str(key))}:{text_of(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([text_of(item) for item in value]) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "true" if value else "false"
    return str(value)


def encode_request(request: m.Request, *, profiles: bool = True) -> bytes:
    """Batsim's JSON of a request; ``profiles``: JOB_SUBMITTED carries the job's profile."""
    parts = []
    for event in request.events:
        kind, data = _WRITERS[type(event)]
        body = data(event) if profiles or type(event) is not m.JobSubmitted else _job_submitted(event, False)
        parts.append(f'{{"timestamp":{event.timestamp:.6f},"type":"{kind}","data":{body}}}')
    return f'{{"now":{request.now:.6f},"events":[{",".join(parts)}]}}'.encode()


def _resources(resources: Iterable[m.Resource]) -> str:
    return text_of(
        [
            {
                "id": r.id,
                "name": r.name,
                "state": r.state,
                "properties": dict(r.properties),
                "zone_properties": dict(r.zone_properties),
            }
            for r in resources
        ]
    )


def _profile_text(profile: Profile | IoProfile) -> str:
    return text_of(profile.dense() if isinstance(profile, IoProfile) else profile_to_json(profile))


def _simulation_begins(event: m.SimulationBegins) -> str:
    nodes, storages = len(event.compute_resources), len(event.storage_resources)
    tables = []
    for workload, found in event.profiles.items():
        entries = ",".join([f"{text_of(name)}:{_profile_text(p)}" for name, p in found.items()])
        tables.append(f"{text_of(workload)}:{{{entries}}}")
    profiles = ",".join(tables)
    return (
        f'{{"nb_resources":{nodes + storages},'
        f'"nb_compute_resources":{nodes},"nb_storage_resources":{storages},'
        f'"allow_compute_sharing":{text_of(event.allow_compute_sharing)},'
        f'"allow_storage_sharing":{text_of(event.allow_storage_sharing)},"config":{text_of(dict(event.config))},'
        f'"compute_resources":{_resources(event.compute_resources)},'
        f'"storage_resources":{_resources(event.storage_resources)},'
        f'"workloads":{text_of(dict(event.workloads))},"profiles":{{{profiles}}}}}'
    )


def _job_submitted(event: m.JobSubmitted, profile: bool = True) -> str:
    text = f'{{"job_id":{text_of(event.job.id)},"job":{text_of(forwarded_job(event.job))}'
    if profile and event.profile is not None:
        text += f',"profile":{_profile_text(event.profile)}'
    return text + "}"


_WRITERS: dict[type, tuple[str, Callable[[Any], str]]] = {
    m.SimulationBegins: ("SIMULATION_BEGINS", _simulation_begins),
    m.JobSubmitted: ("JOB_SUBMITTED", _job_submitted),
    m.JobCompleted: (
        "JOB_COMPLETED",
        lambda e: (
            f'{{"job_id":{text_of(e.job_id)},"job_state":"{e.state}","return_code":{e.return_code},"alloc":"{e.alloc}"}}'
        ),
    ),
    m.JobKilled: (
        "JOB_KILLED",
        lambda e: text_of({"job_ids": list(e.job_ids), "job_progress": dict(e.progress)}),
    ),
    m.ResourceStateChanged: (
        "RESOURCE_STATE_CHANGED",
        lambda e: text_of({"resources": e.resources, "state": e.state}),
    ),
    m.RequestedCall: ("REQUESTED_CALL", lambda e: "{}"),
    m.SimulationEnds: ("SIMULATION_ENDS", lambda e: "{}"),
    m.Answer: ("ANSWER", lambda e: text_of(dict(e.data))),
    m.FromJobMessage: ("FROM_JOB_MSG", lambda e: text_of({"job_id": e.job_id, "msg": e.message})),
    m.Notification: ("NOTIFY", lambda e: text_of(dict(e.data))),
}


# ---- replies -----------------------------------------------------------------------------------------------


def decode_reply(text: bytes | str) -> m.Reply:
    """The reply of a decision process. Raises InputError, with the place, for whatever Batsim refuses."""
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the decision process sent malformed JSON: {error}") from None
    if not isinstance(raw, dict):
        raise InputError(f"found {_kind(raw)}, expected an object with 'now' and 'events'")
    now = _number(raw, "now", "")
    events = _member(raw, "events", list, "an array", "")
    decisions = []
    for i, event in enumerate(events):
        decisions.append(_decision(event, now, f"events[{i}]"))
    return m.Reply(now, decisions)


def _decision(event: Json, now: float, place: str) -> m.Decision:
    if not isinstance(event, dict):
        raise InputError(f"found {_kind(event)}, expected an object", place=place)
    kind = _name(event, "type", place)
    timestamp = _number(event, "timestamp", place)
    if timestamp > now:
        raise InputError(f"timestamp {timestamp} must not be later than now = {now}", place=place)
    reader = _READERS.get(kind)
    if reader is None:
        raise unknown("event type", kind, _READERS, place=place)
    place = f"{place} ({kind})"
    return reader(timestamp, _member(event, "data", dict, "an object", place), f"{place}.data")


def _kind(value: Json) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _member(obj: Mapping[str, Json], key: str, kind: type, expected: str, place: str) -> Any:
    if key not in obj:
        raise InputError(f"the member {key!r} is missing", place=place or None)
    value = obj[key]
    if not isinstance(value, kind):
        raise InputError(f"{key!r} is {_kind(value)}, expected {expected}", place=place or None)
    return value


LONGEST_NAME: Final = 1024  # characters
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def _is_name(value: str) -> bool:
    """Whether it can be the name of something: not too long, and of one line."""
    return len(value) <= LONGEST_NAME and _CONTROL.search(value) is None


def _name(obj: Mapping[str, Json], key: str, place: str) -> str:
    """A member that names something."""
    value: str = _member(obj, key, str, "a string", place)
    if not _is_name(value):
        raise InputError(f"{key!r} is {_cut(value)}, expected a printable name", place=place or None)
    return value


def _cut(text: str) -> str:
    """In quotes, and cut where it's long."""
    return repr(text) if len(text) <= 80 else f"{text[:60]!r}... ({len(text)} characters)"


def _listed(names: Iterable[str]) -> str:
    """The names in quotes; of many the first."""
    names = list(names)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(_cut, names[:8])) + more if names else "nothing"


def _number(obj: Mapping[str, Json], key: str, place: str) -> float:
    if key not in obj:
        raise InputError(f"the member {key!r} is missing", place=place or None)
    value = obj[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{key!r} is {_kind(value)}, expected a number", place=place or None)
    return float(value)


def _exactly(data: Mapping[str, Json], place: str, *keys: str) -> None:
    if len(data) != len(keys):
        known = ", ".join(repr(key) for key in keys) or "no member"
        raise InputError(f"expected {known} and nothing else, found {_listed(data)}", place=place)


_OPTIONAL = ("mapping", "storage_mapping", "additional_io_job")


def _execute(timestamp: float, data: Mapping[str, Json], place: str) -> m.ExecuteJob:
    job_id = _name(data, "job_id", place)
    alloc = _alloc(data, place)
    extra = [key for key in data if key not in ("job_id", "alloc")]
    if len(extra) > 1:
        raise InputError(
            f"has {len(data)} members, Batsim accepts 2 or 3: besides 'job_id' and 'alloc' at most one of "
            f"{', '.join(map(repr, _OPTIONAL))}; found {_listed(extra)}",
            place=place,
        )
    mapping = storage_mapping = io_job = None
    for key in extra:
        where = f"{place}.{key}"
        if key not in _OPTIONAL:
            raise unknown("member", _cut(key)[1:-1], ("job_id", "alloc", *_OPTIONAL), place=place)
        value = _member(data, key, dict, "an object", place)
        if key == "mapping":
            mapping = {_integer_text(e, where): _integer_text(p, f"{where}.{e}") for e, p in value.items()}
            if not mapping:
                raise InputError("the mapping is empty", place=where)
        elif key == "storage_mapping":
            for label, found in value.items():
                if not _is_name(label):
                    raise InputError(f"the label {_cut(label)} is no printable name", place=where)
                if isinstance(found, bool) or not isinstance(found, int):
                    raise InputError(f"{label!r} is {_kind(found)}, expected an integer id", place=where)
            storage_mapping = dict(value)
        else:
            io_job = _io_job(value, where)
    return m.ExecuteJob(timestamp, job_id, alloc, mapping, storage_mapping, io_job)


def _alloc(data: Mapping[str, Json], place: str) -> tuple[int, ...]:
    text = _member(data, "alloc", str, "a string such as '0-3 10'", place)
    try:
        return parse_resources(text)
    except InputError as error:
        raise error.at(place=f"{place}.alloc") from None


def _integer_text(value: Json, place: str) -> int:
    """An integer, or a string that is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isascii():
        try:
            return int(value)
        except ValueError:
            pass
    raise InputError(f"found {_cut(str(value))}, expected an integer", place=place)


def _io_job(data: Mapping[str, Json], place: str) -> m.IoJob:
    alloc = _alloc(data, place)
    name = _name(data, "profile_name", place)
    if "profile" not in data:
        return m.IoJob(alloc, name)
    raw = _member(data, "profile", dict, "an object", place)
    profile = parse_profile(raw, f"{place}.profile")
    size = profile.size if isinstance(profile, Parallel) else len(alloc)
    if size != len(alloc):
        raise InputError(
            f"the parallel profile {name!r} is for {size} machines, its 'alloc' has {len(alloc)}", place=place
        )
    return m.IoJob(alloc, name, profile)


def _reject(timestamp: float, data: Mapping[str, Json], place: str) -> m.RejectJob:
    _exactly(data, place, "job_id")
    return m.RejectJob(timestamp, _name(data, "job_id", place))


def _kill(timestamp: float, data: Mapping[str, Json], place: str) -> m.KillJob:
    _exactly(data, place, "job_ids")
    names = _member(data, "job_ids", list, "an array of job ids", place)
    if not names:
        raise InputError("'job_ids' is empty", place=place)
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"'job_ids' holds {_kind(name)}, expected strings", place=place)
        if not _is_name(name):
            raise InputError(f"'job_ids' holds {_cut(name)}, expected printable names", place=place)
    return m.KillJob(timestamp, names)


def _call(timestamp: float, data: Mapping[str, Json], place: str) -> m.CallMeLater:
    _exactly(data, place, "timestamp")
    return m.CallMeLater(timestamp, _number(data, "timestamp", place))


def _set_state(timestamp: float, data: Mapping[str, Json], place: str) -> m.SetResourceState:
    _exactly(data, place, "resources", "state")
    resources = _member(data, "resources", str, "a string", place)
    return m.SetResourceState(timestamp, resources, _name(data, "state", place))


def _metadata(timestamp: float, data: Mapping[str, Json], place: str) -> m.SetJobMetadata:
    _exactly(data, place, "job_id", "metadata")
    job_id = _name(data, "job_id", place)
    metadata = _member(data, "metadata", str, "a string", place)
    if '"' in metadata:
        raise InputError(f"'metadata' must not contain double quotes, found {_cut(metadata)}", place=place)
    return m.SetJobMetadata(timestamp, job_id, metadata)


def _change_state(timestamp: float, data: Mapping[str, Json], place: str) -> m.ChangeJobState:
    job_id = _name(data, "job_id", place)
    return m.ChangeJobState(timestamp, job_id, _name(data, "job_state", place))


def _to_job(timestamp: float, data: Mapping[str, Json], place: str) -> m.ToJobMessage:
    _exactly(data, place, "job_id", "msg")
    job_id = _name(data, "job_id", place)
    return m.ToJobMessage(timestamp, job_id, _member(data, "msg", str, "a string", place))


def _register_job(timestamp: float, data: Mapping[str, Json], place: str) -> m.RegisterJob:
    _exactly(data, place, "job_id", "job")
    job_id = _name(data, "job_id", place)
    workload, separator, name = job_id.partition("!")
    if not (workload and separator and name) or "!" in name:
        raise InputError(f"'job_id' is {job_id!r}, expected 'WORKLOAD!NAME'", place=place)
    raw = _member(data, "job", dict, "an object", place)
    identifier = raw.get("id")
    if identifier is not None and full_id(identifier, workload, f"{place}.job.id") != job_id:
        raise InputError(
            f"the job's own id {_cut(str(identifier))} is not {job_id!r}", place=f"{place}.job.id"
        )
    return m.RegisterJob(timestamp, parse_job(raw, workload, None, f"{place}.job"))


def _register_profile(timestamp: float, data: Mapping[str, Json], place: str) -> m.RegisterProfile:
    _exactly(data, place, "workload_name", "profile_name", "profile")
    workload = _name(data, "workload_name", place)
    name = _name(data, "profile_name", place)
    raw = _member(data, "profile", dict, "an object", place)
    return m.RegisterProfile(timestamp, workload, name, parse_profile(raw, f"{place}.profile"))


def _notify(timestamp: float, data: Mapping[str, Json], place: str) -> m.Notify:
    _exactly(data, place, "type")
    kind = _name(data, "type", place)
    known = ("registration_finished", "continue_registration")
    if kind not in known:
        raise unknown("notification type", kind, known, place=place)
    return m.Notify(timestamp, kind)


def _query(timestamp: float, data: Mapping[str, Json], place: str) -> m.Query:
    _exactly(data, place, "requests")
    requests = _member(data, "requests", dict, "an object", place)
    if not requests:
        raise InputError("'requests' is empty", place=place)
    for name in requests:
        if name != "consumed_energy":
            raise unknown("request", _cut(name)[1:-1], ("consumed_energy",), place=place)
    return m.Query(timestamp, requests)


_READERS: dict[str, Callable[[float, Mapping[str, Json], str], m.Decision]] = {
    "EXECUTE_JOB": _execute,
    "REJECT_JOB": _reject,
    "KILL_JOB": _kill,
    "CALL_ME_LATER": _call,
    "SET_RESOURCE_STATE": _set_state,
    "SET_JOB_METADATA": _metadata,
    "CHANGE_JOB_STATE": _change_state,
    "TO_JOB_MSG": _to_job,
    "REGISTER_JOB": _register_job,
    "REGISTER_PROFILE": _register_profile,
    "NOTIFY": _notify,
    "QUERY": _query,
}
