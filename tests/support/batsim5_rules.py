"""What Batsim 5 takes from a decision component, strictly: members, their types, and what must exist by then.

``rules = Rules(features)``; ``rules.request(message)`` for what Batsim says; ``rules.reply(message)`` gives
the faults of what it is told, as texts. Stricter than rc2 itself, which accepts some of these and dies of
others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Id = Annotated[str, Meta(pattern=r"^[^!]+![^!]+$")]
Hosts = Annotated[str, Meta(pattern=r"^\d+(-\d+)?( \d+(-\d+)?)*$")]
U32 = Annotated[int, Meta(ge=0, lt=2**32)]
U64 = Annotated[int, Meta(ge=0)]
Amount = Annotated[float, Meta(ge=0)]
Name = Annotated[str, Meta(pattern=r'^[^,"]+$')]
Strategy = Literal["DefinedAmountsUsedForEachValue", "DefinedAmountsSpreadUniformly"]


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """No member but those named."""


class Features(Strict):
    dynamic_registration: bool
    profile_reuse: bool
    acknowledge_dynamic_jobs: bool
    forward_profiles_on_job_submission: bool
    forward_profiles_on_jobs_killed: bool
    forward_profiles_on_simulation_begins: bool


class EDCHelloEvent(Strict):
    batprotocol_version: str
    decision_component_name: Name
    decision_component_version: Name
    decision_component_commit: str
    requested_simulation_features: Features


class DelayProfile(Strict):
    delay: Annotated[float, Meta(gt=0)]


class ParallelTaskProfile(Strict):
    computation_vector: list[Amount] | UnsetType = UNSET
    communication_matrix: list[Amount] | UnsetType = UNSET

    def size(self) -> int:
        if self.computation_vector:
            return len(self.computation_vector)
        return round(len(self.communication_matrix or ()) ** 0.5)

    def __post_init__(self) -> None:
        n = self.size()
        if not n:
            raise ValueError("neither vector nor matrix")
        if self.communication_matrix and len(self.communication_matrix) != n * n:
            raise ValueError(f"{len(self.communication_matrix)} elements for {n} executors")


class ParallelTaskHomogeneousProfile(Strict):
    computation_amount: Amount = 0
    communication_amount: Amount = 0
    generation_strategy: Strategy = "DefinedAmountsUsedForEachValue"


class SequentialCompositionProfile(Strict):
    profile_ids: Annotated[list[Id], Meta(min_length=1)]
    repetition_count: Annotated[int, Meta(ge=1)] = 1


class ParallelTaskOnStorageHomogeneousProfile(Strict):
    storage_name: str
    generation_strategy: Literal["DefinedAmountsSpreadUniformly"]  # the other one writes what is to be read
    bytes_to_read: Amount = 0
    bytes_to_write: Amount = 0


class TraceReplayProfile(Strict):
    filename: str
    trace_type: Literal["SMPI", "FractionalComputation"] = "SMPI"


class ProfileAndId(Strict):
    id: Id
    profile_type: str
    profile: dict[str, Any]
    extra_data: str | UnsetType = UNSET


class Job(Strict):
    resource_request: Annotated[int, Meta(gt=0, lt=2**32)]
    profile_id: Id
    walltime: Annotated[float, Meta(gt=0)] | None = None
    extra_data: str | UnsetType = UNSET


class Predefined(Strict):
    strategy: Literal["SpreadOverHostsFirst", "FillOneHostCoresFirst"] = "SpreadOverHostsFirst"


class Custom(Strict):
    mapping: Annotated[list[U32], Meta(min_length=1)]


class Allocation(Strict):
    host_allocation: Hosts
    executor_placement_type: Literal[
        "PredefinedExecutorPlacementStrategyWrapper", "CustomExecutorToHostMapping"
    ]
    executor_placement: dict[str, Any]

    def mapping(self) -> list[int]:
        custom = self.executor_placement_type == "CustomExecutorToHostMapping"
        found = msgspec.convert(self.executor_placement, Custom if custom else Predefined)
        return found.mapping if isinstance(found, Custom) else []


class Override(Allocation):
    profile_id: Id


class StorageHost(Strict):
    storage_name: str
    host_id: U32


class ExecuteJobEvent(Strict):
    job_id: Id
    allocation: Allocation
    profile_allocation_override: list[Override] = []
    storage_placement: list[StorageHost] = []


class RejectJobEvent(Strict):
    job_id: Id


class KillJobsEvent(Strict):
    job_ids: Annotated[list[Id], Meta(min_length=1)]


class RegisterProfileEvent(Strict):
    profile: ProfileAndId


class RegisterJobEvent(Strict):
    job_id: Id
    job: Job


class FinishRegistrationEvent(Strict):
    pass


class OneShot(Strict):
    time: U64
    time_unit: Literal["Second", "Millisecond"] = "Second"


class Periodic(Strict):
    period: Annotated[int, Meta(gt=0)]
    mode_type: Literal["Infinite", "FinitePeriodNumber"]
    mode: dict[str, Any]
    offset: Literal[0] = 0
    time_unit: Literal["Second", "Millisecond"] = "Second"


class CallMeLaterEvent(Strict):
    call_me_later_id: str
    when_type: Literal["OneShot", "Periodic"]
    when: dict[str, Any]

    def __post_init__(self) -> None:
        msgspec.convert(self.when, OneShot if self.when_type == "OneShot" else Periodic)


class StopCallMeLaterEvent(Strict):
    call_me_later_id: str


class ForceSimulationStopEvent(Strict):
    pass


_PROFILES = {
    kind.__name__: kind
    for kind in (
        DelayProfile,
        ParallelTaskProfile,
        ParallelTaskHomogeneousProfile,
        SequentialCompositionProfile,
        ParallelTaskOnStorageHomogeneousProfile,
        TraceReplayProfile,
    )
}
_EVENTS = {
    kind.__name__: kind
    for kind in (
        ExecuteJobEvent,
        RejectJobEvent,
        KillJobsEvent,
        RegisterProfileEvent,
        RegisterJobEvent,
        FinishRegistrationEvent,
        CallMeLaterEvent,
        StopCallMeLaterEvent,
        ForceSimulationStopEvent,
    )
}


class Entry(Strict):
    timestamp: float
    event_type: str
    event: dict[str, Any]


class Message(Strict):
    now: float
    events: list[Entry]


def expand(hosts: str) -> list[int]:
    """The ids of an interval set, which has to ascend."""
    found: list[int] = []
    for word in hosts.split(" "):
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
        if len(found) == len(set(found)) and found == sorted(found) and int(last or first) >= int(first):
            continue
        raise ValueError(f"{hosts!r} does not ascend")
    return found


def hello_faults(message: Any) -> list[str]:
    """Of the answer to the first message."""
    try:
        found = msgspec.convert(message, Message)
        [only] = found.events
        if only.event_type != "EDCHelloEvent":
            return [f"{only.event_type} instead of the hello"]
        msgspec.convert(only.event, EDCHelloEvent)
    except (msgspec.ValidationError, ValueError) as error:
        return [str(error)]
    return []


class Rules:
    """Follows one conversation: jobs, profiles and machines that exist."""

    def __init__(self, *, dynamic_registration: bool = True) -> None:
        self._dynamic = dynamic_registration
        self._jobs: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._profile_of: dict[str, str] = {}
        self._profiles: dict[str, Any] = {}
        self._hosts: set[int] | None = None
        self._finished = self._ended = False
        self._now = 0.0

    def request(self, message: Any) -> None:
        """What Batsim says."""
        self._now = message["now"]
        for entry in message["events"]:
            kind, event = entry["event_type"], entry["event"]
            if kind == "SimulationBeginsEvent":
                hosts = [*event.get("computation_hosts", ()), *(event.get("storage_hosts") or ())]
                self._hosts = {host["id"] for host in hosts}
                for profile in event.get("profiles") or ():
                    self._profiles[profile["id"]] = None
            elif kind == "JobSubmittedEvent":
                self._jobs[event["job_id"]] = "submitted"
                self._sizes[event["job_id"]] = event["job"]["resource_request"]
                self._profile_of[event["job_id"]] = event["job"]["profile_id"]
                if event.get("profile"):
                    self._profiles[event["profile"]["id"]] = None
                    if event["profile"]["profile_type"] == "ParallelTaskProfile":
                        self._profiles[event["profile"]["id"]] = msgspec.convert(
                            event["profile"]["profile"], ParallelTaskProfile, strict=False
                        )
            elif kind == "JobCompletedEvent":
                self._jobs[event["job_id"]] = "completed"
            elif kind == "SimulationEndsEvent":
                self._ended = True

    def reply(self, message: Any) -> list[str]:
        """The faults of a reply."""
        try:
            found = msgspec.convert(message, Message)
        except msgspec.ValidationError as error:
            return [str(error)]
        faults: list[str] = []
        if found.now < self._now - 1e-9:
            faults.append(f"now is {found.now}, before the request's {self._now}")
        if self._ended and found.events:
            faults.append("events after the end")
        last = 0.0
        for entry in found.events:
            if not last <= entry.timestamp <= found.now:
                faults.append(f"timestamp {entry.timestamp} after {last} in a reply at {found.now}")
            last = entry.timestamp
            kind = _EVENTS.get(entry.event_type)
            if kind is None:
                faults.append(f"{entry.event_type} is not sent to Batsim")
                continue
            try:
                self._event(msgspec.convert(entry.event, kind))
            except (msgspec.ValidationError, ValueError) as error:
                faults.append(f"{entry.event_type}: {error}")
        return faults

    def _event(self, event: Any) -> None:
        if isinstance(event, RegisterProfileEvent | RegisterJobEvent | FinishRegistrationEvent):
            if not self._dynamic:
                raise ValueError("registration without the feature")
            if self._finished:
                raise ValueError("after FinishRegistration")
        match event:
            case FinishRegistrationEvent():
                self._finished = True
            case RegisterProfileEvent():
                self._register_profile(event.profile)
            case RegisterJobEvent():
                self._register_job(event)
            case ExecuteJobEvent() | RejectJobEvent():
                if self._jobs.get(event.job_id) not in ("submitted", "registered"):
                    raise ValueError(f"{event.job_id} is {self._jobs.get(event.job_id, 'unknown')}")
                rejected = isinstance(event, RejectJobEvent)
                self._jobs[event.job_id] = "rejected" if rejected else "running"
                if isinstance(event, ExecuteJobEvent):
                    self._allocation(event)
            case KillJobsEvent():
                for job_id in event.job_ids:
                    if self._jobs.get(job_id) != "running":
                        raise ValueError(f"{job_id} is {self._jobs.get(job_id, 'unknown')}")

    def _register_profile(self, profile: ProfileAndId) -> None:
        if profile.id in self._profiles:
            raise ValueError(f"the profile {profile.id} exists already")
        kind = _PROFILES.get(profile.profile_type)
        if kind is None:
            raise ValueError(f"no profile type {profile.profile_type}")
        read = msgspec.convert(profile.profile, kind)
        self._profiles[profile.id] = read
        if isinstance(read, SequentialCompositionProfile):
            unknown = [child for child in read.profile_ids if child not in self._profiles]
            if unknown:
                raise ValueError(f"the child {unknown[0]} is unknown")

    def _register_job(self, event: RegisterJobEvent) -> None:
        if event.job_id in self._jobs:
            raise ValueError(f"{event.job_id} exists already")
        self._jobs[event.job_id] = "registered"
        self._sizes[event.job_id] = event.job.resource_request
        self._profile_of[event.job_id] = event.job.profile_id
        if event.job.profile_id not in self._profiles:
            raise ValueError(f"the profile {event.job.profile_id} isn't registered")
        profile = self._profiles[event.job.profile_id]
        if isinstance(profile, ParallelTaskProfile) and profile.size() != event.job.resource_request:
            raise ValueError(f"{profile.size()} executors, {event.job.resource_request} requested")

    def _allocation(self, event: ExecuteJobEvent) -> None:
        for allocation in (event.allocation, *event.profile_allocation_override):
            ids = expand(allocation.host_allocation)
            if self._hosts is not None and not self._hosts.issuperset(ids):
                raise ValueError(f"machines {sorted(set(ids) - self._hosts)} don't exist")
            mapping = allocation.mapping()
            if mapping and max(mapping) >= len(ids):
                raise ValueError(f"a mapping beyond {len(ids)} machines")
            profile = self._profiles.get(self._profile_of.get(event.job_id, ""))
            if (
                allocation is event.allocation
                and mapping
                and isinstance(profile, ParallelTaskProfile)
                and len(mapping) != self._sizes[event.job_id]
            ):
                raise ValueError(f"a mapping of {len(mapping)} for {self._sizes[event.job_id]} executors")
