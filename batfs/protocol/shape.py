"""The shape of Batsim 4's requests, to say what is wrong with one that could not be handled.

Reading them takes it for granted (:mod:`batfs.protocol.decision_side`, pybatsim); a message that made it fail
is held against these types afterwards, so that a good one costs nothing.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from batfs.workload.model import Json


class Event(Struct):
    timestamp: float
    type: str
    data: dict[str, Json] = {}


class Request(Struct):
    now: float
    events: list[Event]


class Resource(Struct):
    id: int
    name: str
    state: str
    properties: dict[str, str]
    zone_properties: dict[str, str]


class Begins(Struct):
    nb_resources: int
    nb_compute_resources: int
    nb_storage_resources: int
    allow_compute_sharing: bool
    allow_storage_sharing: bool
    config: dict[str, Json]
    compute_resources: list[Resource]
    storage_resources: list[Resource]
    workloads: dict[str, str]
    profiles: dict[str, dict[str, dict[str, Json]]]


class Job(Struct):
    id: str
    subtime: float
    res: int
    profile: str
    walltime: float = -1.0


class Submitted(Struct):
    job_id: str
    job: Job
    profile: dict[str, Json] | None = None


class Completed(Struct):
    job_id: str
    job_state: str
    return_code: int
    alloc: str


class Killed(Struct):
    job_ids: list[str]
    job_progress: dict[str, dict[str, Json]]


class Resources(Struct):
    resources: str
    state: str


class Notice(Struct):
    type: str


class FromJob(Struct):
    job_id: str
    msg: Json


_DATA: Final[dict[str, type]] = {
    "SIMULATION_BEGINS": Begins,
    "JOB_SUBMITTED": Submitted,
    "JOB_COMPLETED": Completed,
    "JOB_KILLED": Killed,
    "RESOURCE_STATE_CHANGED": Resources,
    "NOTIFY": Notice,
    "FROM_JOB_MSG": FromJob,
}
_OTHERS: Final = ("REQUESTED_CALL", "SIMULATION_ENDS", "ANSWER")


def fault(raw: Any) -> str:
    """What is wrong with the form of a request, and where; nothing for a good one."""
    try:
        request = msgspec.convert(raw, Request)
        for number, event in enumerate(request.events):
            kind = _DATA.get(event.type)
            if kind is None:
                if event.type in _OTHERS:
                    continue
                return f"unknown event type {event.type!r} at events[{number}]"
            try:
                msgspec.convert(event.data, kind)
            except msgspec.ValidationError as error:
                return f"{error} in events[{number}].data ({event.type})"
    except (msgspec.ValidationError, RecursionError) as error:
        return str(error)
    return ""
