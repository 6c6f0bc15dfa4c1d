"""Batsim's messages as typed records; no sockets and no text here (see ``codec`` and ``v5``).

A *request* goes from the simulator to the decision process: the events since the last one. A *reply*
carries decisions back. In-process, the simulator calls :meth:`DecisionProcess.decide` with these records
directly; over a socket they are encoded as Batsim's JSON. Both paths carry the same values: times and
other doubles in a request are already rounded to Batsim 4's 6 decimals, or to Batsim 5's 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from batfs.records import field, record
from batfs.workload.model import IoProfile, Job, Profile

Json: TypeAlias = Any


# ---- simulator -> decision process ------------------------------------------------------------------------


@record
class Resource:
    """A machine as Batsim announces it; ``role`` is ``compute_node`` or ``storage``.

    ``cores``, ``speeds`` (flops/s of a core in each pstate) and ``pstate`` are Batsim 5's.
    """

    id: int
    name: str
    role: str
    state: str = "idle"
    properties: Mapping[str, str] = field(default_factory=dict)
    zone_properties: Mapping[str, str] = field(default_factory=dict)
    cores: int = 1
    speeds: Sequence[float] = ()
    pstate: int = 0

    def property(self, key: str) -> str | None:
        """The host's own property, else its zones'."""
        return self.properties.get(key, self.zone_properties.get(key))


@record
class SimulationBegins:
    """The machine and the settings. ``config`` has Batsim 4's keys (``dynamic-jobs-enabled``, ...).

    ``workloads`` and ``event_lists`` (external events; Batsim 5) are names of files by name.
    """

    timestamp: float
    compute_resources: Sequence[Resource]
    storage_resources: Sequence[Resource]
    allow_compute_sharing: bool
    allow_storage_sharing: bool
    config: Mapping[str, Json]
    workloads: Mapping[str, str]
    profiles: Mapping[str, Mapping[str, Profile]]
    event_lists: Mapping[str, str] = field(default_factory=dict)

    @property
    def dynamic_jobs(self) -> bool:
        return bool(self.config.get("dynamic-jobs-enabled", False))

    @property
    def dynamic_jobs_acknowledged(self) -> bool:
        return bool(self.config.get("dynamic-jobs-acknowledged", False))


@record
class JobSubmitted:
    """``profile`` is given with ``--forward-profiles-on-submission`` (and always in-process)."""

    timestamp: float
    job: Job
    profile: Profile | None = None


@record
class JobCompleted:
    """``state``: COMPLETED_SUCCESSFULLY, COMPLETED_FAILED, COMPLETED_WALLTIME_REACHED, COMPLETED_KILLED."""

    timestamp: float
    job_id: str
    state: str
    return_code: int
    alloc: str


@record
class JobKilled:
    """``progress`` of the jobs that were really killed, in the form of the generation; ``profiles``: theirs
    by full name, if asked for (Batsim 5)."""

    timestamp: float
    job_ids: Sequence[str]
    progress: Mapping[str, Json]
    profiles: Mapping[str, Profile | IoProfile] = field(default_factory=dict)


@record
class ResourceStateChanged:
    timestamp: float
    resources: str
    state: str


@record
class RequestedCall:
    """``call_id`` and ``last`` (of a number of periodic calls) are Batsim 5's."""

    timestamp: float
    call_id: str = ""
    last: bool = False


@record
class SimulationEnds:
    timestamp: float


@record
class Answer:
    timestamp: float
    data: Mapping[str, Json]


@record
class FromJobMessage:
    timestamp: float
    job_id: str
    message: Json


@record
class Notification:
    """``kind``: no_more_static_job_to_submit, event_machine_available, ...; ``data`` is the whole object."""

    timestamp: float
    kind: str
    data: Mapping[str, Json] = field(default_factory=dict)


Event: TypeAlias = (
    SimulationBegins
    | JobSubmitted
    | JobCompleted
    | JobKilled
    | ResourceStateChanged
    | RequestedCall
    | SimulationEnds
    | Answer
    | FromJobMessage
    | Notification
)


@record
class Request:
    now: float
    events: Sequence[Event]


# ---- decision process -> simulator ------------------------------------------------------------------------


@record
class IoJob:
    """``additional_io_job``: the resources ``alloc`` (ascending ids) and the profile they execute.

    ``profile`` is registered under ``profile_name`` (new in the job's workload); None means that name must
    already be known. An :class:`IoProfile` stays sparse until a socket needs it dense.
    """

    alloc: Sequence[int]
    profile_name: str
    profile: IoProfile | Profile | None = None


@record
class Placement:
    """Where a task's executors run: ``alloc``, ascending ids, and on which of them each is.

    ``mapping``: executor -> position in ``alloc``. Without: executor k on the k-th machine, round and round,
    or with ``fill_cores`` as many on each machine as it has cores.
    """

    alloc: Sequence[int]
    mapping: Mapping[int, int] | None = None
    fill_cores: bool = False


@record
class ExecuteJob:
    """At most one of ``mapping``, ``storage_mapping`` and ``io_job`` (a rule of Batsim 4's).

    ``alloc``: ascending ids. ``mapping``: executor -> position in alloc. ``storage_mapping``: label -> id.
    ``fill_cores`` and ``overrides`` (placements of profiles by full name) are Batsim 5's.
    """

    timestamp: float
    job_id: str
    alloc: Sequence[int]
    mapping: Mapping[int, int] | None = None
    storage_mapping: Mapping[str, int] | None = None
    io_job: IoJob | None = None
    fill_cores: bool = False
    overrides: Mapping[str, Placement] | None = None


@record
class RejectJob:
    timestamp: float
    job_id: str


@record
class KillJob:
    timestamp: float
    job_ids: Sequence[str]


@record
class CallMeLater:
    """``call_id`` is Batsim 5's."""

    timestamp: float
    at: float
    call_id: str = ""


@record
class CallPeriodically:
    """Batsim 5: calls at every multiple of ``period`` (ms), ``count`` times, or until stopped (None)."""

    timestamp: float
    call_id: str
    period: int
    count: int | None = None


@record
class StopCall:
    """Batsim 5: no more periodic calls of that id."""

    timestamp: float
    call_id: str


@record
class ForceStop:
    """Batsim 5: the simulation ends here, whatever still runs."""

    timestamp: float


@record
class SetResourceState:
    timestamp: float
    resources: str
    state: str


@record
class SetJobMetadata:
    """``metadata`` must not hold a double quote (Batsim aborts on one)."""

    timestamp: float
    job_id: str
    metadata: str


@record
class ChangeJobState:
    timestamp: float
    job_id: str
    state: str


@record
class ToJobMessage:
    timestamp: float
    job_id: str
    message: Json


@record
class RegisterJob:
    """A dynamic job; needs ``--enable-dynamic-jobs``."""

    timestamp: float
    job: Job


@record
class RegisterProfile:
    timestamp: float
    workload: str
    name: str
    profile: Profile | IoProfile


@record
class Notify:
    """``kind``: registration_finished or continue_registration."""

    timestamp: float
    kind: str


@record
class Query:
    timestamp: float
    requests: Mapping[str, Json]


Decision: TypeAlias = (
    ExecuteJob
    | RejectJob
    | KillJob
    | CallMeLater
    | CallPeriodically
    | StopCall
    | ForceStop
    | SetResourceState
    | SetJobMetadata
    | ChangeJobState
    | ToJobMessage
    | RegisterJob
    | RegisterProfile
    | Notify
    | Query
)


@record
class Reply:
    now: float
    decisions: Sequence[Decision]


class DecisionProcess(Protocol):
    """Who the simulator asks. One call per request; the reply to SimulationEnds ends the conversation."""

    def decide(self, request: Request) -> Reply: ...
