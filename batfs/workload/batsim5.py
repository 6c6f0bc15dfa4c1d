"""Batsim 5's jobs and profiles: JSON object <-> record, with its own rules (those of 5.0.0-rc2).

A profile says the same in a workload file and in a message, but the members have other names; both are read
and written here. What a record can't say (members that Batsim 5 ignores, the text of ``extra_data``) its
``extra`` remembers, see :mod:`batfs.workload.extradata`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Final

from batfs._core.arrays import doubles
from batfs.errors import InputError, nearest
from batfs.workload.extradata import MEMBER, ExtraData, read_extra, written_extra
from batfs.workload.fields import missing, need_integer, need_number, need_object, need_string, wrong
from batfs.workload.jobs import check_distinct, full_id
from batfs.workload.model import (
    Composed,
    DataStaging,
    Delay,
    Job,
    Json,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    Profile,
    Smpi,
    UsageTrace,
)
from batfs.workload.profiles import KNOWN_TYPES as BATSIM4_TYPES
from batfs.workload.profiles import numbers

Names = Mapping[str, str]

EACH: Final = "DefinedAmountsUsedForEachValue"
SPREAD: Final = "DefinedAmountsSpreadUniformly"
UINT32: Final = 2**32 - 1

DELAY: Final = "DelayProfile"
TASK: Final = "ParallelTaskProfile"
HOMOGENEOUS: Final = "ParallelTaskHomogeneousProfile"
SEQUENCE: Final = "SequentialCompositionProfile"
STORAGE: Final = "ParallelTaskOnStorageHomogeneousProfile"
STAGING: Final = "ParallelTaskDataStagingBetweenStoragesProfile"
TRACE: Final = "TraceReplayProfile"
# in Batsim's schema, but it aborts on them
UNBUILT: Final = ("ForkJoinCompositionProfile", "ParallelTaskMergeCompositionProfile")

#: What a message calls the members that a workload file calls otherwise.
IN_MESSAGES: Final[Mapping[str, Names]] = {
    TASK: {"cpu": "computation_vector", "com": "communication_matrix"},
    HOMOGENEOUS: {"cpu": "computation_amount", "com": "communication_amount"},
    SEQUENCE: {"repeat": "repetition_count", "seq": "profile_ids"},
    STORAGE: {"storage": "storage_name"},
    STAGING: {"nb_bytes": "bytes_to_transfer", "from": "emitter_storage_name", "to": "receiver_storage_name"},
}
_SAME: Final[Names] = {}


class _Members:
    """The members of one profile object, by the names of workload files."""

    def __init__(self, obj: Mapping[str, Json], place: str, names: Names, in_file: bool) -> None:
        self.obj = obj
        self.place = place
        self.names = names
        self.in_file = in_file  # else members of a message, which may be left out where they have a default
        self.known: set[str] = set()

    def has(self, name: str) -> bool:
        key = self.names.get(name, name)
        self.known.add(key)
        return self.obj.get(key) is not None

    def get(self, name: str, default: Json = None) -> tuple[Json, str]:
        """A member and its place; the default if it isn't there, InputError if that is None."""
        key = self.names.get(name, name)
        place = f"{self.place}.{key}"
        if self.has(name):
            return self.obj[key], place
        if default is None:
            missing(self.obj, key, self.place, self.known)
        return default, place

    def number(self, name: str, *, positive: bool = False, default: float | None = None) -> float:
        value, place = self.get(name, default if self.in_file or default is not None else 0.0)
        return need_number(value, place, positive=positive)

    def text(self, name: str, default: str | None = None) -> str:
        return need_string(*self.get(name, default))


def parse_profile(obj: Json, place: str = "profile", workload: str = "") -> Profile:
    """The record of a profile object of a Batsim 5 workload file; InputError at ``place`` or a member of it.

    ``workload``: its name, which may stand before the names of a sequence's profiles.
    """
    obj = need_object(obj, place)
    if "type" not in obj:
        missing(obj, "type", place)
    kind = need_string(obj["type"], f"{place}.type")
    members = _Members(obj, place, _SAME, True)
    members.known |= {"type", "ret", MEMBER}
    ret = need_integer(obj["ret"], f"{place}.ret", least=-2) if "ret" in obj else 0
    return _profile(kind, members, ret, f"{workload}!", f"{place}.type", obj.get(MEMBER))


def profile_of_message(
    kind: str, table: Mapping[str, Json], extra_data: str | None, place: str, workload: str = ""
) -> Profile:
    """The record of a ``ProfileAndId``'s profile in a message, read as strictly as Batsim's schema.

    ``workload``: the profile's own, whose name is taken off the names of a sequence's profiles.
    """
    members = _Members(table, place, IN_MESSAGES.get(kind, _SAME), False)
    profile = _profile(kind, members, 0, f"{workload}!", f"{place}_type", extra_data)
    for key in table:
        if key not in members.known:
            close = nearest(key, members.known)
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(sorted(members.known))}"
            raise InputError(f"unknown member {key!r} of a {kind}", place=place, hint=hint)
    return profile


def _profile(kind: str, members: _Members, ret: int, prefix: str, place: str, extra_data: Json) -> Profile:
    parse = _PARSERS.get(kind)
    if parse is None:
        if kind in UNBUILT:
            raise InputError(
                f"profiles of type {kind!r} are not implemented in Batsim 5.0.0-rc2", place=place
            )
        close = nearest(kind, _PARSERS)
        hint = f"did you mean {close!r}?" if close else None
        if kind in BATSIM4_TYPES:
            hint = "that is Batsim 4's: 'batfs workload convert --to batsim5' makes a file of Batsim 5"
        raise InputError(
            f"unknown profile type {kind!r}; known: {', '.join(_PARSERS)}", place=place, hint=hint
        )
    make = parse(members, prefix)
    others = {k: v for k, v in members.obj.items() if k not in members.known} if members.in_file else {}
    return make(read_extra(extra_data, others, f"{members.place}.{MEMBER}"), ret)


Make = Callable[[Mapping[str, Json], int], Profile]


def _delay(m: _Members, prefix: str) -> Make:
    duration = m.number("delay", positive=True)
    return lambda extra, ret: Delay(duration, extra, ret)


def _parallel(m: _Members, prefix: str) -> Make:
    found: dict[str, tuple[array[float], bytes | None]] = {}
    for name in ("cpu", "com"):
        if m.has(name):
            values, place = m.get(name)
            if not isinstance(values, list):
                wrong(values, "an array of numbers", place)
            found[name] = numbers(values, place)
    if not found:
        raise InputError(
            f"needs {m.names.get('cpu', 'cpu')!r} or {m.names.get('com', 'com')!r}", place=m.place
        )
    place = f"{m.place}.{m.names.get('com', 'com')}"
    size = len(found["com"][0]) if "com" in found else 0
    n = len(found["cpu"][0]) if "cpu" in found else math.isqrt(size)
    if n == 0:
        wrong(
            [], "at least one number", f"{m.place}.{m.names.get('cpu', 'cpu')}" if "cpu" in found else place
        )
    if "com" in found and size != n * n:
        why = f"{n} x {n} = {n * n} since the vector has {n}" if "cpu" in found else "a square number of them"
        raise InputError(f"the matrix has {size} numbers, expected {why}", place=place)
    cpu, cpu_kinds = found.get("cpu") or (doubles(n), None)
    com, com_kinds = found.get("com") or (doubles(n * n), None)
    integers = b""
    if cpu_kinds is not None or com_kinds is not None:
        integers = (cpu_kinds or bytes(n)) + (com_kinds or bytes(n * n))
    absent = "" if len(found) == 2 else "com" if "cpu" in found else "cpu"
    return lambda extra, ret: Parallel.read(cpu, com, extra, ret=ret, integers=integers, absent=absent)


def _strategy(m: _Members) -> str:
    """The strategy; one that Batsim doesn't know is the default, silently in a file."""
    if not m.has("generation_strategy"):
        return EACH
    found = m.text("generation_strategy")
    if found not in (EACH, SPREAD):
        if not m.in_file:
            close = nearest(found, (EACH, SPREAD))
            hint = f"did you mean {close!r}?" if close else None
            raise InputError(
                f"unknown generation_strategy {found!r}; known: {EACH}, {SPREAD}", place=m.place, hint=hint
            )
        m.known.discard("generation_strategy")  # kept as one of the members that are ignored
        return EACH
    return found


def _homogeneous(m: _Members, prefix: str) -> Make:
    cpu, com = m.number("cpu"), m.number("com")
    of = ParallelHomogeneousSpread if _strategy(m) == SPREAD else ParallelHomogeneous
    return lambda extra, ret: of(cpu, com, extra, ret)


def _sequence(m: _Members, prefix: str) -> Make:
    repeat, place = m.get("repeat", 1)
    # a file's must be above 0; a message may say 0
    times = (
        need_integer(repeat, place, least=1)
        if m.in_file
        else need_integer(repeat, place, least=0, most=UINT32)
    )
    seq, place = m.get("seq")
    if not isinstance(seq, list) or not seq:
        wrong(seq, "a non-empty array of profile names", place)
    names = tuple(need_string(name, f"{place}[{i}]").removeprefix(prefix) for i, name in enumerate(seq))
    return lambda extra, ret: Composed(names, times, extra, ret)


def _storage(m: _Members, prefix: str) -> Make:
    if m.in_file and not m.has("bytes_to_read") and not m.has("bytes_to_write"):
        raise InputError("needs 'bytes_to_read' or 'bytes_to_write' (or both)", place=m.place)
    read, written = m.number("bytes_to_read", default=0), m.number("bytes_to_write", default=0)
    if not m.in_file or m.has("storage"):
        label = m.text("storage")
    else:
        label = m.text("host", "pfs")  # Batsim's older name of it
    amounts = "spread" if _strategy(m) == SPREAD else "read"
    return lambda extra, ret: ParallelHomogeneousPfs(read, written, label, extra, ret, amounts)


def _staging(m: _Members, prefix: str) -> Make:
    size, source, destination = m.number("nb_bytes"), m.text("from"), m.text("to")
    return lambda extra, ret: DataStaging(size, source, destination, extra, ret)


_TRACES: Final[Mapping[str, type[Smpi] | type[UsageTrace]]] = {
    "SMPI": Smpi,
    "FractionalComputation": UsageTrace,
}


def _trace(m: _Members, prefix: str) -> Make:
    kind = m.text("trace_type", None if m.in_file else "SMPI")
    of = _TRACES.get(kind)
    if of is None:
        raise InputError(
            f"unknown trace type {kind!r}; known: {', '.join(_TRACES)}", place=f"{m.place}.trace_type"
        )
    name = m.text("filename")
    return lambda extra, ret: of(name, extra, ret)


_PARSERS: Final[Mapping[str, Callable[[_Members, str], Make]]] = {
    DELAY: _delay,
    TASK: _parallel,
    HOMOGENEOUS: _homogeneous,
    SEQUENCE: _sequence,
    STORAGE: _storage,
    STAGING: _staging,
    TRACE: _trace,
}
KNOWN_TYPES: Final = (*_PARSERS, *UNBUILT)


# ---- written -----------------------------------------------------------------------------------------------


def profile_to_json(profile: Profile) -> dict[str, Json]:
    """The object of a profile in a Batsim 5 workload file. InputError for one that Batsim 5 can't say."""
    obj = _object(profile)
    if profile.ret != 0:
        obj["ret"] = profile.ret
    return _with_extra(obj, profile.extra)


def profile_to_message(profile: Profile) -> tuple[str, dict[str, Json]]:
    """The type of a profile and its table as messages have it; ``extra_data`` isn't part of it."""
    obj = _object(profile)
    kind = obj.pop("type")
    if isinstance(profile, ParallelHomogeneous | ParallelHomogeneousPfs):
        obj.setdefault("generation_strategy", EACH)
    if isinstance(profile, Composed):
        obj.setdefault("repeat", profile.repeat)
    names = IN_MESSAGES.get(kind, _SAME)
    return kind, {names.get(key, key): value for key, value in obj.items()}


def _with_extra(obj: dict[str, Json], extra: Mapping[str, Json]) -> dict[str, Json]:
    if isinstance(extra, ExtraData):
        obj.update(extra.others)
        if extra.written is not None:
            obj[MEMBER] = extra.written
    elif extra:
        obj[MEMBER] = written_extra(extra)
    return obj


def _object(profile: Profile) -> dict[str, Json]:
    write = _JSON.get(type(profile))
    found = None if write is None else write(profile)
    if found is None:
        kind = type(profile).__name__
        raise InputError(
            f"Batsim 5 has no profile for a {kind}",
            hint="'batfs workload convert --to batsim5' converts what can be",
        )
    return found


def _parallel_json(p: Parallel) -> dict[str, Json]:
    n = len(p.cpu)
    found = p.cpu.tolist() + p.com.ravel().tolist()
    if p.integers:
        found = [int(x) if whole else x for x, whole in zip(found, p.integers, strict=True)]
    obj: dict[str, Json] = {"type": TASK}
    if p.absent != "cpu":
        obj["cpu"] = found[:n]
    if p.absent != "com":
        obj["com"] = found[n:]
    return obj


def _storage_json(p: ParallelHomogeneousPfs) -> dict[str, Json] | None:
    if p.amounts == "each":
        return None  # depends on how many nodes there are
    obj = {
        "type": STORAGE,
        "bytes_to_read": p.bytes_to_read,
        "bytes_to_write": p.bytes_to_write,
        "storage": p.label,
    }
    return {**obj, "generation_strategy": SPREAD} if p.amounts == "spread" else obj


def _sequence_json(p: Composed) -> dict[str, Json]:
    obj: dict[str, Json] = {"type": SEQUENCE, "seq": list(p.sequence)}
    return obj if p.repeat == 1 else {**obj, "repeat": p.repeat}


_JSON: Final[Mapping[type, Callable[[Any], dict[str, Json] | None]]] = {
    Delay: lambda p: {"type": DELAY, "delay": p.duration},
    Parallel: _parallel_json,
    ParallelHomogeneous: lambda p: {"type": HOMOGENEOUS, "cpu": p.cpu, "com": p.com},
    ParallelHomogeneousSpread: lambda p: (
        {"type": HOMOGENEOUS, "cpu": p.cpu, "com": p.com, "generation_strategy": SPREAD}
    ),
    ParallelHomogeneousPfs: _storage_json,
    DataStaging: lambda p: {"type": STAGING, "nb_bytes": p.size, "from": p.source, "to": p.destination},
    Composed: _sequence_json,
    UsageTrace: lambda p: {"type": TRACE, "trace_type": "FractionalComputation", "filename": p.trace},
    Smpi: lambda p: {"type": TRACE, "trace_type": "SMPI", "filename": p.trace},
}


# ---- jobs --------------------------------------------------------------------------------------------------

_JOB: Final = frozenset(("id", "subtime", "res", "profile", "walltime", MEMBER))


def parse_job(obj: Json, workload: str, profiles: Container[str] | None = None, place: str = "job") -> Job:
    """The record of a job object of a Batsim 5 workload file; InputError at ``place`` or a member of it.

    Submissions may lie before 0, and ``res`` may be 0, as Batsim 5 lets them.
    """
    obj = need_object(obj, place)
    for key in ("id", "subtime", "res", "profile"):
        if key not in obj:
            missing(obj, key, place, _JOB)
    identifier = full_id(obj["id"], workload, f"{place}.id")
    subtime = need_number(obj["subtime"], f"{place}.subtime", non_negative=False)
    walltime = None
    if "walltime" in obj:
        walltime = obj["walltime"]
        if walltime == -1:
            why = "found -1, expected a number above 0"
            raise InputError(
                why, place=f"{place}.walltime", hint="in Batsim 5 a job without walltime has no such member"
            )
        need_number(walltime, f"{place}.walltime", positive=True)
    res = need_integer(obj["res"], f"{place}.res", least=0)
    profile = need_string(obj["profile"], f"{place}.profile").removeprefix(f"{workload}!")
    if profiles is not None and profile not in profiles:
        close = nearest(profile, profiles) if isinstance(profiles, Iterable) else None
        hint = f"did you mean {close!r}?" if close else None
        raise InputError(f"the profile {profile!r} doesn't exist", place=f"{place}.profile", hint=hint)
    others = {key: value for key, value in obj.items() if key not in _JOB}
    extra = read_extra(obj.get(MEMBER), others, f"{place}.{MEMBER}")
    return Job(identifier, subtime, res, profile, walltime, extra)


def parse_jobs(objects: list[Json], workload: str, profiles: Mapping[str, Any]) -> list[Job]:
    """All jobs of a file in its order; ``objects`` is emptied on the way."""
    jobs: list[Job] = []
    for i, obj in enumerate(objects):
        objects[i] = None
        jobs.append(parse_job(obj, workload, profiles, f"jobs[{i}]"))
    check_distinct(jobs)
    return jobs


def job_to_json(job: Job, workload: str | None = None) -> dict[str, Json]:
    """The object of ``job`` as a Batsim 5 file has it; its id is short in a file of its own ``workload``."""
    identifier = job.name if workload is not None and job.workload == workload else job.id
    obj: dict[str, Json] = {"id": identifier, "subtime": job.submission_time, "res": job.requested_nodes}
    obj["profile"] = job.profile
    if job.walltime is not None:
        obj["walltime"] = job.walltime
    return _with_extra(obj, job.extra)
