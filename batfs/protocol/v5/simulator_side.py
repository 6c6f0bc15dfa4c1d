"""The simulator's half of Batsim 5's JSON: requests are written, hellos and replies are read.

Requests are Batsim's to the letter: doubles have at most 12 decimals, and the defaults are written out.
Replies are read as strictly as Batsim 5.0.0-rc2 reads them: unknown members and events, missing ones, wrong
kinds, timestamps that descend or lie after ``now`` are refused, with the place in the reply.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn, TypeVar

import msgspec
import orjson

from batfs.errors import InputError, nearest
from batfs.protocol import messages as m
from batfs.records import record
from batfs.resource_sets import parse_resources
from batfs.workload.batsim5 import UINT32, profile_of_message, profile_to_message
from batfs.workload.extradata import ExtraData, forwarded_text
from batfs.workload.model import NO_EXTRA, IoProfile, Job, Json, Profile

T = TypeVar("T", bound=msgspec.Struct)


# ---- requests ----------------------------------------------------------------------------------------------


def text_of(value: Json) -> str:
    """JSON of any value with Batsim 5's numbers."""
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, str):
        return orjson.dumps(value).decode()
    if isinstance(value, dict):
        return "{" + ",".join([f'"{key}":{text_of(item)}' for key, item in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([text_of(item) for item in value]) + "]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "true" if value else "false"
    return str(value)


def _double(value: float) -> str:
    text = f"{value:.12f}".rstrip("0")
    return text + "0" if text[-1] == "." else text


class RequestWriter:
    """Writes requests for a decision component that has asked for certain ``features``."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self._profiles: dict[int, tuple[object, str]] = {}  # texts of profiles that came before

    def encode(self, request: m.Request) -> bytes:
        """Batsim's JSON of a request, without the NUL that ends it on the wire."""
        parts = []
        for event in request.events:
            kind, body = self._event(event)
            parts.append(f'{{"timestamp":{_double(event.timestamp)},"event_type":"{kind}","event":{body}}}')
        return f'{{"now":{_double(request.now)},"events":[{",".join(parts)}]}}'.encode()

    def _event(self, event: m.Event) -> tuple[str, str]:
        if isinstance(event, m.JobSubmitted):
            return "JobSubmittedEvent", self._submitted(event)
        if isinstance(event, m.SimulationBegins):
            return "SimulationBeginsEvent", self._begins(event)
        if isinstance(event, m.JobKilled):
            return "JobsKilledEvent", self._killed(event)
        if isinstance(event, m.Notification):
            kind, body = _NOTIFICATIONS[event.kind](event.data)
            return kind, text_of(body)
        kind, body = _WRITERS[type(event)](event)
        return kind, text_of(body)

    def _profile(self, name: str, profile: Profile | IoProfile) -> str:
        """The ``ProfileAndId`` of a profile."""
        found = self._profiles.get(id(profile))
        if found is None or found[0] is not profile:
            assert not isinstance(profile, IoProfile)
            kind, table = profile_to_message(profile)
            if kind == "SequentialCompositionProfile":
                workload = name.partition("!")[0]
                table["profile_ids"] = [full_name(child, workload) for child in table["profile_ids"]]
            body = f'"profile_type":"{kind}","profile":{text_of(_floats(table))}'
            extra = forwarded_text(profile.extra)
            if extra:
                body += f',"extra_data":{text_of(extra)}'
            if len(self._profiles) >= KEPT_TEXTS:
                self._profiles.clear()
            found = self._profiles[id(profile)] = (profile, body)
        return f'{{"id":{text_of(name)},{found[1]}}}'

    def _submitted(self, event: m.JobSubmitted) -> str:
        job = event.job
        profile = full_name(job.profile, job.workload)
        table: dict[str, Json] = {"resource_request": job.requested_nodes, "walltime": _float(job.walltime)}
        extra = forwarded_text(job.extra)
        if extra:
            table["extra_data"] = extra
        table["profile_id"] = profile
        text = f'{{"job_id":{text_of(job.id)},"job":{text_of(table)}'
        if self.features.forward_profiles_on_job_submission and event.profile is not None:
            text += f',"profile":{self._profile(profile, event.profile)}'
        return f'{text},"submission_time":{_double(job.submission_time)}}}'

    def _begins(self, event: m.SimulationBegins) -> str:
        nodes, storages = event.compute_resources, event.storage_resources
        table: dict[str, Json] = {
            "host_number": len(nodes) + len(storages),
            "computation_host_number": len(nodes),
            "computation_hosts": [_host(host) for host in nodes],
            "storage_host_number": len(storages),
            "storage_hosts": [_host(host) for host in storages],
            "batsim_arguments": ["batfs", "sim", "--protocol", "5"],
            "batsim_execution_context_json": "{}",
            "workloads": _files(event.workloads),
        }
        if event.event_lists:
            table["external_event_lists"] = _files(event.event_lists)
        text = text_of(table)[:-1]
        if self.features.forward_profiles_on_simulation_begins:
            profiles = ",".join(
                self._profile(name, profile)
                for name, profile in sorted(
                    (f"{workload}!{name}", profile)
                    for workload, found in event.profiles.items()
                    for name, profile in found.items()
                )
            )
            text += f',"profiles":[{profiles}]'
        return text + ',"batsim_version":"v5.0.0-rc2","batsim_commit":""}'

    def _killed(self, event: m.JobKilled) -> str:
        progresses = [{"job_id": job, "wrapper": event.progress[job]} for job in sorted(event.progress)]
        text = text_of({"job_ids": list(event.job_ids), "progresses": progresses})
        if event.profiles:
            profiles = ",".join(self._profile(name, event.profiles[name]) for name in sorted(event.profiles))
            text = f'{text[:-1]},"profiles":[{profiles}]}}'
        return text


KEPT_TEXTS: Final = 1000


def full_name(name: str, workload: str) -> str:
    """``workload!name`` of a profile's name that may be full already."""
    return name if "!" in name else f"{workload}!{name}"


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _floats(table: Mapping[str, Json]) -> dict[str, Json]:
    """The table with its amounts as the doubles that they are."""
    return {
        key: value
        if key == "repetition_count"
        else float(value)
        if isinstance(value, int)
        else [float(x) if isinstance(x, int) else x for x in value]
        if isinstance(value, list)
        else value
        for key, value in table.items()
    }


def _files(names: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "filename": file} for name, file in sorted(names.items())]


def _pairs(properties: Mapping[str, str]) -> list[Json]:
    return [{"key": key, "value": properties[key]} for key in sorted(properties)]


def _host(host: m.Resource) -> dict[str, Json]:
    return {
        "id": host.id,
        "name": host.name,
        "pstate": host.pstate,
        "pstate_count": len(host.speeds),
        "state": host.state.upper(),
        "properties": _pairs(host.properties),
        "zone_properties": _pairs(host.zone_properties),
        "core_count": host.cores,
        "computation_speed": [float(speed) for speed in host.speeds],
    }


_Body = tuple[str, Mapping[str, Json]]

_WRITERS: Final[Mapping[type, Callable[[Any], _Body]]] = {
    m.JobCompleted: lambda e: (
        "JobCompletedEvent",
        {"job_id": e.job_id, "state": e.state, "return_code": e.return_code & UINT32},
    ),
    m.RequestedCall: lambda e: (
        "RequestedCallEvent",
        {"call_me_later_id": e.call_id, "last_periodic_call": e.last},
    ),
    m.SimulationEnds: lambda e: ("SimulationEndsEvent", {}),
    m.ResourceStateChanged: lambda e: (
        "HostsPStateChangedEvent",
        {"host_ids": e.resources, "pstate": int(e.state)},
    ),
}
#: The notification of an external event; its data has ``id`` and the text ``data``.
EXTERNAL_EVENT: Final = "generic_external_event"

_NOTIFICATIONS: Final[Mapping[str, Callable[[Mapping[str, Json]], _Body]]] = {
    "no_more_static_job_to_submit": lambda data: ("AllStaticJobsHaveBeenSubmittedEvent", {}),
    "no_more_external_event_to_occur": lambda data: ("AllStaticExternalEventsHaveBeenInjectedEvent", {}),
    EXTERNAL_EVENT: lambda data: (
        "ExternalEventOccurredEvent",
        {
            "id": data["id"],
            "external_event_type": "GenericExternalEvent",
            "external_event": {"data": data["data"]},
        },
    ),
}


# ---- replies -----------------------------------------------------------------------------------------------

_Count = Annotated[int, msgspec.Meta(ge=0, le=UINT32)]
_Time = Annotated[int, msgspec.Meta(ge=0)]
_Object = dict[str, Any]


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """A table of Batsim's schema. A member ``x`` that is one of several tables is beside its ``x_type``."""


class _Message(_Table):
    now: float
    events: list[_Object]


class _Event(_Table):
    timestamp: float
    event_type: str
    event: _Object


class _Features(_Table):
    dynamic_registration: bool = False
    profile_reuse: bool = False
    acknowledge_dynamic_jobs: bool = False
    forward_profiles_on_job_submission: bool = False
    forward_profiles_on_jobs_killed: bool = False
    forward_profiles_on_simulation_begins: bool = False


class _Hello(_Table):
    batprotocol_version: str
    decision_component_name: str
    decision_component_version: str
    decision_component_commit: str
    requested_simulation_features: _Features


class _Predefined(_Table):
    strategy: str = "SpreadOverHostsFirst"


class _Custom(_Table):
    mapping: list[_Count]


class _Allocation(_Table):
    host_allocation: str
    executor_placement_type: str
    executor_placement: _Object


class _Override(_Table):
    profile_id: str
    host_allocation: str
    executor_placement_type: str
    executor_placement: _Object


class _StoragePlacement(_Table):
    storage_name: str
    host_id: _Count = 0


class _Execute(_Table):
    job_id: str
    allocation: _Allocation
    profile_allocation_override: list[_Override] = []
    storage_placement: list[_StoragePlacement] = []


class _Reject(_Table):
    job_id: str


class _Kill(_Table):
    job_ids: list[str]


class _ProfileAndId(_Table):
    id: str
    profile_type: str
    profile: _Object
    extra_data: str = ""


class _RegisterProfile(_Table):
    profile: _ProfileAndId


class _Job(_Table):
    profile_id: str
    resource_request: _Count = 0
    walltime: float | None = None
    extra_data: str = ""


class _RegisterJob(_Table):
    job_id: str
    job: _Job


class _OneShot(_Table):
    time: _Time = 0
    time_unit: str = "Second"


class _Periodic(_Table):
    mode_type: str
    mode: _Object
    period: _Time = 0
    offset: _Time = 0
    time_unit: str = "Second"


class _Finite(_Table):
    nb_periods: _Count = 0


class _Nothing(_Table):
    pass


class _CallMeLater(_Table):
    call_me_later_id: str
    when_type: str
    when: _Object


class _Stop(_Table):
    call_me_later_id: str


class _ChangePState(_Table):
    host_ids: str
    pstate: _Count = 0


@record
class Features:
    """What a decision component asks for in its hello, and who it says it is."""

    dynamic_registration: bool = False
    profile_reuse: bool = False
    acknowledge_dynamic_jobs: bool = False
    forward_profiles_on_job_submission: bool = False
    forward_profiles_on_jobs_killed: bool = False
    forward_profiles_on_simulation_begins: bool = False
    name: str = ""
    version: str = ""


def decode_hello(text: bytes) -> Features:
    """What the answer to the first message asks for. InputError when it isn't a hello."""
    _, events = _message(text)
    if len(events) != 1 or events[0].event_type != "EDCHelloEvent":
        found = ", ".join(event.event_type for event in events) or "nothing"
        raise InputError(f"the first answer must hold one event, EDCHelloEvent; found {found}")
    hello = _table(events[0].event, _Hello, "EDCHelloEvent")
    wanted = hello.requested_simulation_features
    return Features(
        **{name: getattr(wanted, name) for name in wanted.__struct_fields__},
        name=hello.decision_component_name,
        version=hello.decision_component_version,
    )


def decode_reply(text: bytes) -> m.Reply:
    """The reply of a decision component, without its NUL. InputError, with the place, for whatever Batsim
    refuses or dies of while it reads."""
    now, events = _message(text)
    decisions = []
    for i, event in enumerate(events):
        reader = _READERS.get(event.event_type)
        place = f"events[{i}] ({event.event_type})"
        if reader is None:
            why = _UNREAD.get(event.event_type)
            if why is not None:
                raise InputError(why, place=place)
            close = nearest(event.event_type, _READERS)
            raise InputError(
                f"unknown event type {event.event_type!r}; known: {', '.join(_READERS)}",
                place=f"events[{i}]",
                hint=f"did you mean {close!r}?" if close else None,
            )
        decisions.append(reader(event.timestamp, event.event, place))
    return m.Reply(now, decisions)


_UNREAD: Final[Mapping[str, str]] = {
    "EDCHelloEvent": "the decision component says hello twice",
    "CreateProbeEvent": "probes measure energy, which batfs doesn't simulate",
    "StopProbeEvent": "probes measure energy, which batfs doesn't simulate",
    "TurnOnOffHostsEvent": "hosts that sleep belong to Batsim's energy model, which batfs doesn't simulate",
}


def _message(text: bytes) -> tuple[float, list[_Event]]:
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the decision component sent malformed JSON: {error}") from None
    message = _table(raw, _Message, "")
    before = None
    events = []
    for i, one in enumerate(message.events):
        event = _table(one, _Event, f"events[{i}]")
        where = f"events[{i}] ({event.event_type})"
        if event.timestamp > message.now:
            raise InputError(
                f"the timestamp {event.timestamp} must not be later than now = {message.now}", place=where
            )
        if before is not None and event.timestamp < before:
            raise InputError(
                f"the timestamp {event.timestamp} is before that of the event before it, {before}",
                place=where,
            )
        before = event.timestamp
        events.append(event)
    return message.now, events


_WRONG: Final = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<where>.*)`)?", re.DOTALL)


def _table(raw: Json, kind: type[T], place: str) -> T:
    try:
        return msgspec.convert(_without_null(raw), kind)
    except msgspec.ValidationError as error:
        _explain(str(error), kind, place)


def _without_null(value: Json) -> Json:
    """A member that is null isn't there."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_without_null(item) for item in value]
    return value


def _explain(text: str, kind: type[msgspec.Struct], place: str) -> NoReturn:
    """What msgspec found, in our words and with our place."""
    found = _WRONG.fullmatch(text)
    assert found is not None
    what, where = found["what"], found["where"] or ""
    place = f"{place}{where}" if place else where.removeprefix(".")
    hint = None
    names = re.findall(r"`([^`]*)`", what)
    if what.startswith("Object missing required field"):
        what = f"the member {names[0]!r} is missing"
    elif what.startswith("Object contains unknown field"):
        what = f"unknown member {names[0]!r}"
        known = _fields_at(kind, where)
        close = nearest(names[0], known)
        hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known) or 'none'}"
    elif what.startswith("Expected `"):
        wanted = what.removeprefix("Expected ").replace("`", "")
        what = f"expected {wanted.replace(', got ', ', found ')}"
    raise InputError(what, place=place or None, hint=hint)


def _fields_at(kind: Any, where: str) -> Sequence[str]:
    """The members of the table at a path such as ``.allocation`` or ``.storage_placement[...]``."""
    for name in re.findall(r"\.(\w+)", where):
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = fields.get(name)
        kind = getattr(kind, "__args__", (kind,))[0]
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return ()
    return [field.name for field in msgspec.structs.fields(kind)]


def _union(kind: str, value: _Object, tables: Mapping[str, type[T]], place: str) -> T:
    table = tables.get(kind)
    if table is None:
        close = nearest(kind, tables)
        raise InputError(
            f"unknown type {kind!r}; known: {', '.join(tables)}",
            place=f"{place}_type",
            hint=f"did you mean {close!r}?" if close else None,
        )
    return _table(value, table, place)


def _one_of(value: str, known: Sequence[str], place: str) -> str:
    if value not in known:
        close = nearest(value, known)
        raise InputError(
            f"found {value!r}, expected {' or '.join(known)}",
            place=place,
            hint=f"did you mean {close!r}?" if close else None,
        )
    return value


_PLACEMENTS: Final[Mapping[str, type[_Table]]] = {
    "PredefinedExecutorPlacementStrategyWrapper": _Predefined,
    "CustomExecutorToHostMapping": _Custom,
}
_STRATEGIES: Final = ("SpreadOverHostsFirst", "FillOneHostCoresFirst")


def _hosts(text: str, place: str) -> tuple[int, ...]:
    if not text.strip():
        return ()  # refused when the job is to be executed
    try:
        return parse_resources(text)
    except InputError as error:
        raise error.at(place=place) from None


def _placement(found: _Allocation | _Override, place: str) -> m.Placement:
    alloc = _hosts(found.host_allocation, f"{place}.host_allocation")
    where = f"{place}.executor_placement"
    placed = _union(found.executor_placement_type, found.executor_placement, _PLACEMENTS, where)
    if isinstance(placed, _Custom):
        return m.Placement(alloc, dict(enumerate(placed.mapping)))
    assert isinstance(placed, _Predefined)
    strategy = _one_of(placed.strategy, _STRATEGIES, f"{where}.strategy")
    return m.Placement(alloc, None, strategy == "FillOneHostCoresFirst")


def _execute(timestamp: float, raw: _Object, place: str) -> m.ExecuteJob:
    event = _table(raw, _Execute, place)
    main = _placement(event.allocation, f"{place}.allocation")
    overrides = {
        one.profile_id: _placement(one, f"{place}.profile_allocation_override[{i}]")
        for i, one in enumerate(event.profile_allocation_override)
    }
    storages = {one.storage_name: one.host_id for one in event.storage_placement}
    return m.ExecuteJob(
        timestamp,
        _job_id(event.job_id, place),
        main.alloc,
        main.mapping,
        storages or None,
        None,
        main.fill_cores,
        overrides or None,
    )


def _job_id(text: str, place: str) -> str:
    workload, _, name = text.partition("!")
    if not workload or not name or "!" in name:
        raise InputError(f"found the job id {text!r}, expected 'WORKLOAD!NAME'", place=f"{place}.job_id")
    return text


def _kill(timestamp: float, raw: _Object, place: str) -> m.KillJob:
    event = _table(raw, _Kill, place)
    if not event.job_ids:
        raise InputError("'job_ids' is empty", place=place)
    return m.KillJob(timestamp, [_job_id(job, place) for job in event.job_ids])


def _register_profile(timestamp: float, raw: _Object, place: str) -> m.RegisterProfile:
    event = _table(raw, _RegisterProfile, place).profile
    workload, _, name = event.id.partition("!")
    if not workload or not name:
        raise InputError(f"found the id {event.id!r}, expected 'WORKLOAD!NAME'", place=f"{place}.profile.id")
    where = f"{place}.profile.profile"
    profile = profile_of_message(event.profile_type, event.profile, event.extra_data or None, where, workload)
    return m.RegisterProfile(timestamp, workload, name, profile)


def _register_job(timestamp: float, raw: _Object, place: str) -> m.RegisterJob:
    event = _table(raw, _RegisterJob, place)
    identifier = _job_id(event.job_id, place)
    job = event.job
    workload = identifier.partition("!")[0]
    walltime = job.walltime if job.walltime is not None and job.walltime >= 0 else None
    profile = job.profile_id.removeprefix(f"{workload}!")
    if not profile:
        raise InputError("found an empty name", place=f"{place}.job.profile_id")
    extra = ExtraData(job.extra_data) if job.extra_data else NO_EXTRA
    return m.RegisterJob(
        timestamp, Job(identifier, timestamp, job.resource_request, profile, walltime, extra)
    )


_UNITS: Final = ("Second", "Millisecond")


def _call(timestamp: float, raw: _Object, place: str) -> m.Decision:
    event = _table(raw, _CallMeLater, place)
    where = f"{place}.when"
    tables: Mapping[str, type[_Table]] = {"OneShot": _OneShot, "Periodic": _Periodic}
    when = _union(event.when_type, event.when, tables, where)
    if isinstance(when, _OneShot):
        unit = _one_of(when.time_unit, _UNITS, f"{where}.time_unit")
        at = float(when.time) if unit == "Second" else when.time / 1e3
        return m.CallMeLater(timestamp, at, event.call_me_later_id)
    assert isinstance(when, _Periodic)
    if when.offset:
        raise InputError(f"found {when.offset}, expected 0: Batsim has no others", place=f"{where}.offset")
    if not when.period:
        raise InputError("found 0, expected a whole number above 0", place=f"{where}.period")
    unit = _one_of(when.time_unit, _UNITS, f"{where}.time_unit")
    modes: Mapping[str, type[_Table]] = {"Infinite": _Nothing, "FinitePeriodNumber": _Finite}
    mode = _union(when.mode_type, when.mode, modes, f"{where}.mode")
    count = None
    if isinstance(mode, _Finite):
        count = mode.nb_periods
        if not count:
            raise InputError("found 0, expected a number above 0", place=f"{where}.mode.nb_periods")
    period = when.period * (1000 if unit == "Second" else 1)
    return m.CallPeriodically(timestamp, event.call_me_later_id, period, count)


def _change_pstate(timestamp: float, raw: _Object, place: str) -> m.SetResourceState:
    event = _table(raw, _ChangePState, place)
    _hosts(event.host_ids, f"{place}.host_ids")
    return m.SetResourceState(timestamp, event.host_ids, str(event.pstate))


def _finish(timestamp: float, raw: _Object, place: str) -> m.Notify:
    _table(raw, _Nothing, place)
    return m.Notify(timestamp, "registration_finished")


def _force_stop(timestamp: float, raw: _Object, place: str) -> m.ForceStop:
    _table(raw, _Nothing, place)
    return m.ForceStop(timestamp)


_READERS: Final[Mapping[str, Callable[[float, _Object, str], m.Decision]]] = {
    "ExecuteJobEvent": _execute,
    "RejectJobEvent": lambda t, raw, place: m.RejectJob(
        t, _job_id(_table(raw, _Reject, place).job_id, place)
    ),
    "KillJobsEvent": _kill,
    "RegisterProfileEvent": _register_profile,
    "RegisterJobEvent": _register_job,
    "FinishRegistrationEvent": _finish,
    "CallMeLaterEvent": _call,
    "StopCallMeLaterEvent": lambda t, raw, place: m.StopCall(t, _table(raw, _Stop, place).call_me_later_id),
    "ForceSimulationStopEvent": _force_stop,
    "ChangeHostsPStateEvent": _change_pstate,
}
