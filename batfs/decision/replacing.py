"""What a decision process for Batsim 4 decides, as Batsim 5 can be told.

Batsim 5 merges no I/O into a job, so it is merged here. A job that is started with an ``additional_io_job``
is rejected and replaced, in one reply, by a parallel task over its nodes and the storages, which is
registered and executed under another id; a dynamic job with I/O is registered so merged. Towards the decision
process the job keeps its id, and nothing else is different from Batsim 4: ids of machines too are Batsim 4's
(byte order of names within each role; Batsim 5 puts ``node-2`` before ``node-10``), so that the same workload
on the same machine is decided alike under both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import orjson

from batfs._core.arrays import np
from batfs.errors import BatfsError, InputError
from batfs.filesystems.script import WORKLOAD
from batfs.protocol import messages as m
from batfs.protocol.v5.decision_side import GENERIC, milliseconds
from batfs.records import record, replace
from batfs.resource_sets import format_resources, parse_resources
from batfs.workload.model import (
    HOMOGENEOUS,
    FloatArray,
    Homogeneous,
    IntArray,
    IoProfile,
    Job,
    Parallel,
    Profile,
    of_each,
)

_NO_MORE_JOBS = "no_more_static_job_to_submit"
_AVAILABILITY = ("event_machine_available", "event_machine_unavailable")


class Numbering:
    """Batsim 5's ids of the machines, and those that the decision process knows them by."""

    def __init__(
        self, compute: Sequence[m.Resource], storages: Sequence[m.Resource], *, renumber: bool = True
    ) -> None:
        """``renumber``: False keeps the ids as they are."""
        order: Any = _by_name if renumber else _by_id
        ours = [*sorted(compute, key=order), *sorted(storages, key=order)]
        self.theirs: list[int] = [resource.id for resource in ours]
        self.ours = {resource.id: position for position, resource in enumerate(ours)}
        self.names = {resource.name: position for position, resource in enumerate(ours)}
        #: whether both are the same, so that nothing needs to be translated
        self.same = self.theirs == list(range(len(ours)))

    def resources(self, found: Sequence[m.Resource]) -> list[m.Resource]:
        """The same machines under our ids, ascending."""
        return sorted((replace(r, id=self.ours[r.id]) for r in found), key=lambda r: r.id)

    def out(self, ids: Iterable[int]) -> list[int]:
        """Their ids of ours, one by one."""
        return [self.theirs[i] for i in ids]


def _by_name(resource: m.Resource) -> bytes:
    return resource.name.encode()


def _by_id(resource: m.Resource) -> int:
    return resource.id


@record(frozen=False, eq=False)
class _Known:
    """A job that has been submitted, or registered by the decision process."""

    job: Job
    profile: Profile | IoProfile | None
    dynamic: bool = False


class Translation:
    """Events of Batsim 5 (records of ``batfs.protocol.v5.decision_side``) for one that decides for Batsim 4,
    and its decisions for Batsim 5.

    ``config`` is what goes into ``SimulationBegins.config``; ``dynamic_jobs`` whether jobs may be registered
    by the decision process; ``profiles`` gives the profiles of a workload file by workload, for what Batsim 5
    doesn't forward: the children of sequences and return codes. ``watch`` is told every job's fate.
    ``renumber``: machines get Batsim 4's ids (else both sides know Batsim 5's).
    """

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        dynamic_jobs: bool,
        profiles: Callable[[Mapping[str, str]], Mapping[str, Mapping[str, Profile]]],
        watch: Watcher | None = None,
        renumber: bool = True,
    ) -> None:
        self._config = {**config, "dynamic-jobs-enabled": dynamic_jobs, "dynamic-jobs-acknowledged": False}
        self._dynamic = dynamic_jobs
        self._renumber = renumber
        self._read_profiles = profiles
        self._watch = watch or Watcher()
        self._profiles: Mapping[str, Mapping[str, Profile]] = {}
        self._numbering = Numbering((), ())
        self._known: dict[str, _Known] = {}
        self._registered: dict[tuple[str, str], Profile | IoProfile] = {}
        #: executed and not yet over: our id by theirs, and theirs by ours
        self._running: dict[str, str] = {}
        self._theirs: dict[str, str] = {}
        #: those of the replaced jobs that this message says have ended
        self._ended: dict[str, str] = {}
        self._calls: set[int] = set()
        self._undecided = 0
        self._no_more = self._finished = False

    # ---- events -------------------------------------------------------------------------------------------

    def begin_message(self) -> None:
        """Another message of Batsim's begins."""
        self._ended.clear()

    def closing(self, now: float) -> list[m.Decision]:
        """What is sent after all decisions of a reply: the end of the registration, where nobody else ends
        it."""
        return self._finish(now) if not self._dynamic and self._no_more and not self._undecided else []

    def seen(self, event: m.Event) -> list[m.Event]:
        """What one event is for the decision process."""
        if isinstance(event, m.JobCompleted):
            return [self._completed(event)]
        if isinstance(event, m.JobSubmitted):
            self._known[event.job.id] = _Known(event.job, event.profile)
            self._undecided += 1
            self._watch.submitted(event.job)
        elif isinstance(event, m.SimulationBegins):
            return self._begins(event)
        elif isinstance(event, m.JobKilled):
            # each one's end came before, in the same message
            names = {i: self._ended.get(i, i) for i in event.job_ids}
            progress = {names.get(i, i): found for i, found in event.progress.items()}
            return [replace(event, job_ids=list(names.values()), progress=progress)]
        elif isinstance(event, m.RequestedCall):
            self._calls = {at for at in self._calls if at / 1000.0 > event.timestamp}
        elif isinstance(event, m.Notification):
            if event.kind == _NO_MORE_JOBS:
                self._no_more = True
            elif event.kind == GENERIC:
                return [self._generic(event)]
        elif isinstance(event, m.ResourceStateChanged):
            return []
        return [event]

    def _begins(self, event: m.SimulationBegins) -> list[m.Event]:
        numbering = self._numbering = Numbering(
            event.compute_resources, event.storage_resources, renumber=self._renumber
        )
        self._profiles = self._read_profiles(event.workloads)
        begins = replace(
            event,
            compute_resources=numbering.resources(event.compute_resources),
            storage_resources=numbering.resources(event.storage_resources),
            config=self._config,
            profiles=self._profiles,
        )
        if event.workloads:
            return [begins]
        # Batsim says so only of workloads that it was given
        self._no_more = True
        return [begins, m.Notification(event.timestamp, _NO_MORE_JOBS, {"type": _NO_MORE_JOBS})]

    def _completed(self, event: m.JobCompleted) -> m.Event:
        ours = self._running.pop(event.job_id, event.job_id)
        self._theirs.pop(ours, None)
        known = self._known.pop(ours, None)
        if ours != event.job_id:
            self._ended[event.job_id] = ours
        if known is not None and (known.dynamic or ours != event.job_id):
            event = replace(event, job_id=ours)
            code = self._return_code(known)
            if code and event.state == "COMPLETED_SUCCESSFULLY":
                # `ret` stands in the file only, and a registered profile can't have one
                event = replace(event, state="COMPLETED_FAILED", return_code=code)
        self._watch.over(event.timestamp, event)
        return event

    def _return_code(self, known: _Known) -> int:
        profile = known.profile
        if not known.dynamic:
            profile = self._profiles.get(known.job.workload, {}).get(known.job.profile)
        return 0 if profile is None or isinstance(profile, IoProfile) else profile.ret

    def _generic(self, event: m.Notification) -> m.Event:
        """Batsim 5's machines never fail; an event whose text is one of Batsim 4's events of availability
        (``{"type": "machine_unavailable", "resources": "0-3"}``; ids as Batsim 5 numbers them, or names)
        means the same here."""
        try:
            said = orjson.loads(str(event.data.get("data", "")))
            kind = "event_" + str(said["type"]).removeprefix("event_")
            if kind not in _AVAILABILITY:
                return event
            numbering = self._numbering
            text = str(said["resources"])
            if all(word in numbering.names for word in text.split()):
                ids = [numbering.names[word] for word in text.split()]
            else:
                ids = [numbering.ours[i] for i in parse_resources(text)]
        except (orjson.JSONDecodeError, TypeError, KeyError, InputError):
            return event
        resources = format_resources(sorted(ids))
        return m.Notification(event.timestamp, kind, {**said, "type": kind, "resources": resources})

    # ---- decisions ----------------------------------------------------------------------------------------

    def sent(self, decision: m.Decision) -> list[m.Decision]:
        """What Batsim 5 is sent for one decision."""
        if isinstance(decision, m.ExecuteJob):
            return self._execute(decision)
        if isinstance(decision, m.CallMeLater):
            at = milliseconds(decision.at)
            if at in self._calls:
                return []
            self._calls.add(at)
            return [replace(decision, at=at / 1000.0)]
        elif isinstance(decision, m.RejectJob):
            self._undecided -= 1
            known = self._known.pop(decision.job_id, None)
            if known is not None:
                self._watch.rejected(decision.timestamp, decision.job_id)
        elif isinstance(decision, m.KillJob):
            # Batsim 5 aborts on a kill of what has ended or was never started
            ids = [self._theirs[i] for i in decision.job_ids if i in self._theirs]
            return [replace(decision, job_ids=ids)] if ids else []
        elif isinstance(decision, m.SetJobMetadata):
            self._watch.metadata(decision.job_id, decision.metadata)
            return []
        elif isinstance(decision, m.RegisterProfile):
            # sent with the job that uses it: its I/O is known then
            self._registered[decision.workload, decision.name] = decision.profile
            return []
        elif isinstance(decision, m.RegisterJob):
            job = decision.job
            profile = self._registered.pop((job.workload, job.profile), None)
            self._known[job.id] = _Known(job, profile, dynamic=True)
            self._watch.submitted(replace(job, submission_time=decision.timestamp))
            return []
        elif isinstance(decision, m.Notify):
            return self._finish(decision.timestamp) if decision.kind == "registration_finished" else []
        elif isinstance(decision, m.SetResourceState | m.ChangeJobState | m.ToJobMessage | m.Query):
            raise BatfsError(f"Batsim 5 has no event for a {type(decision).__name__}")
        return [decision]

    def _finish(self, now: float) -> list[m.Decision]:
        if self._finished:
            return []
        self._finished = True
        return [m.Notify(now, "registration_finished")]

    def _execute(self, decision: m.ExecuteJob) -> list[m.Decision]:
        now, known = decision.timestamp, self._known[decision.job_id]
        if not known.dynamic:
            self._undecided -= 1
        self._watch.started(now, decision)
        alloc = self._numbering.out(decision.alloc)
        job = known.job
        mapping = self._mapping(decision, alloc, known.profile)
        merged = self._merged(decision, known, alloc)
        if merged is None:
            self._begun(job.id, job.id)
            out: list[m.Decision] = []
            if known.dynamic:
                profile = known.profile
                if profile is None:
                    raise BatfsError(f"{job.id} is registered with a profile that is not known")
                out = [m.RegisterProfile(now, job.workload, job.profile, profile), m.RegisterJob(now, job)]
            return [*out, replace(decision, alloc=sorted(alloc), mapping=mapping)]
        ids, profile = merged
        if known.dynamic:
            name, before = job.id, []
        else:
            name = f"{WORKLOAD}!{job.workload}.{job.name}+io"
            before = [m.RejectJob(now, job.id)]
        self._begun(job.id, name)
        new = Job(name, now, len(ids), name.partition("!")[2], job.walltime)
        # a job tells its end from the first machine of its allocation, which may be nearer to the master than
        # the one that Batsim 4 tells it from: a dynamic job's allocation stays what it is there
        away = min(alloc) != ids[0]
        execute = m.ExecuteJob(now, name, sorted(alloc) if away else ids)
        if away:
            execute = replace(execute, overrides={f"{new.workload}!{new.profile}": m.Placement(ids)})
        return [
            *before,
            m.RegisterProfile(now, new.workload, new.profile, profile),
            m.RegisterJob(now, new),
            execute,
        ]

    def _begun(self, ours: str, theirs: str) -> None:
        self._running[theirs] = ours
        self._theirs[ours] = theirs

    def _mapping(
        self, decision: m.ExecuteJob, alloc: Sequence[int], profile: Profile | IoProfile | None
    ) -> Mapping[int, int] | None:
        """Executor -> place in the ascending ids of Batsim 5; None for the k-th on the k-th."""
        if decision.mapping is None and (
            self._numbering.same or isinstance(profile, HOMOGENEOUS) or _ascending(alloc)
        ):
            return None
        places = {host: place for place, host in enumerate(sorted(alloc))}
        own = decision.mapping or dict(enumerate(range(len(alloc))))
        return {executor: places[alloc[place]] for executor, place in own.items()}

    def _merged(
        self, decision: m.ExecuteJob, known: _Known, alloc: Sequence[int]
    ) -> tuple[list[int], Profile] | None:
        """(ids, task) of the job and its I/O as one; None if the job runs as it is. A homogeneous task
        without flops on one node would end Batsim 5: it is replaced too."""
        io = None if decision.io_job is None else decision.io_job.profile
        own = known.profile
        if io is None:
            if isinstance(own, HOMOGENEOUS) and len(alloc) == 1 and not own.cpu and not known.dynamic:
                return list(alloc), Parallel(np.zeros(1), np.zeros((1, 1)))
            return None
        if not isinstance(io, IoProfile) or not isinstance(own, (Parallel, IoProfile, *HOMOGENEOUS)):
            raise BatfsError(f"{decision.job_id}: I/O can't be merged into its profile")
        io_ids = self._numbering.out(io.resources())
        ids = sorted({*alloc, *io_ids})
        place = {host: k for k, host in enumerate(ids)}
        flops, matrix = merge(own, [place[i] for i in alloc], io, [place[i] for i in io_ids], len(ids))
        return ids, Parallel(flops, matrix)


def _ascending(ids: Sequence[int]) -> bool:
    return all(a < b for a, b in pairwise(ids))


def merge(
    own: Parallel | IoProfile | Homogeneous,
    nodes: Sequence[int],
    io: IoProfile,
    places: Sequence[int],
    size: int,
) -> tuple[FloatArray, FloatArray]:
    """(flops [size], bytes [size, size]) of a job's task and its I/O together, as Batsim 4 merges them.

    ``nodes``, ``places``: where the executors of each are among the ``size`` machines of both.
    """
    flops, matrix = np.zeros(size), np.zeros((size, size))
    at: IntArray = np.array(nodes, dtype=np.int64)
    if isinstance(own, Parallel):
        if len(own.cpu) != len(at):
            raise BatfsError(f"a parallel profile for {len(own.cpu)} nodes can't be executed on {len(at)}")
        flops[at] += own.cpu
        matrix[np.ix_(at, at)] += own.com
    elif isinstance(own, IoProfile):
        _add(own, at, flops, matrix)
    else:
        cpu, com = of_each(own, len(at))
        flops[at] += cpu
        if com:
            matrix[np.ix_(at, at)] += com * ~np.eye(len(at), dtype=bool)
    _add(io, np.array(places, dtype=np.int64), flops, matrix)
    return flops, matrix


def _add(io: IoProfile, at: IntArray, flops: FloatArray, matrix: FloatArray) -> None:
    if io.flops is not None:
        flops[at] += io.flops
    matrix[at[io.sources], at[io.destinations]] += io.volumes


class Replacing:
    """A :class:`~batfs.protocol.messages.DecisionProcess` for Batsim 5 around one for Batsim 4."""

    def __init__(self, inner: m.DecisionProcess, translation: Translation) -> None:
        self._inner = inner
        self._translation = translation

    def decide(self, request: m.Request) -> m.Reply:
        """One exchange of Batsim 5's."""
        translation = self._translation
        translation.begin_message()
        seen = [event for found in request.events for event in translation.seen(found)]
        reply = self._inner.decide(m.Request(request.now, seen))
        out = [sent for decision in reply.decisions for sent in translation.sent(decision)]
        return m.Reply(reply.now, [*out, *translation.closing(reply.now)])


class Watcher:
    """Told of each job's way under its own id; does nothing. Times in seconds."""

    def submitted(self, job: Job) -> None:
        """The job is known, at its ``submission_time``."""

    def started(self, now: float, decision: m.ExecuteJob) -> None:
        """It is executed on ``decision.alloc`` (ids as the decision process knows them)."""

    def over(self, now: float, event: m.JobCompleted) -> None:
        """It has ended."""

    def rejected(self, now: float, job_id: str) -> None:
        """It was rejected by the decision process."""

    def metadata(self, job_id: str, text: str) -> None:
        """What the decision process says of it."""
