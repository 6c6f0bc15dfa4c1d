"""Profiles as Batsim 5's messages carry them (its workload files use other names: ``batfs.workload``).

``extra_data`` is the only free member that Batsim 5 forwards. Where it is the text of a JSON object, its
members (``io_reads``, ``io_writes``, ``io``) stand in the record's ``extra``, as the unknown members of a
Batsim 4 profile do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import orjson

from batfs.errors import BatfsError
from batfs.workload.model import (
    NO_EXTRA,
    Composed,
    DataStaging,
    Delay,
    FloatArray,
    IoProfile,
    Json,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Smpi,
    UsageTrace,
)

Table: TypeAlias = Mapping[str, Any]

EACH: Final = "DefinedAmountsUsedForEachValue"
SPREAD: Final = "DefinedAmountsSpreadUniformly"


class UnsayableError(BatfsError):
    """A profile that Batsim 5 has no form for."""


def read_extra(text: object) -> Mapping[str, Json]:
    """The members of an ``extra_data``; one that is no JSON object is kept under that name."""
    if not text:
        return NO_EXTRA
    try:
        found = orjson.loads(str(text))
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"extra_data": text}


def local(profile_id: str) -> str:
    """The name of a profile within its workload."""
    return profile_id.partition("!")[2] or profile_id


# ---- read --------------------------------------------------------------------------------------------------


def read_profile(kind: str, table: Table, extra_data: object = None) -> Profile:
    """The record of a ``ProfileAndId``'s union. KeyError, TypeError or ValueError if it isn't one."""
    reader = _READERS.get(kind)
    if reader is None:
        raise ValueError(f"unknown profile type {kind!r}; known: {', '.join(_READERS)}")
    return reader(table, read_extra(extra_data))


def _parallel(t: Table, extra: Mapping[str, Json]) -> Profile:
    cpu, com = t.get("computation_vector"), t.get("communication_matrix")
    if cpu is None and com is None:
        raise ValueError("a parallel task with neither vector nor matrix")
    bytes_between = np.array(() if com is None else com, dtype=np.float64)
    n = round(len(bytes_between) ** 0.5) if cpu is None else len(cpu)
    if com is None:
        bytes_between = np.zeros(n * n)
    if len(bytes_between) != n * n:
        raise ValueError(f"a matrix of {len(bytes_between)} numbers for {n} executors")
    flops = np.zeros(n) if cpu is None else np.array(cpu, dtype=np.float64)
    return Parallel(flops, bytes_between.reshape(n, n), extra)


def _homogeneous(t: Table, extra: Mapping[str, Json]) -> Profile:
    spread = t.get("generation_strategy") == SPREAD
    of = ParallelHomogeneousSpread if spread else ParallelHomogeneous
    return of(float(t.get("computation_amount") or 0), float(t.get("communication_amount") or 0), extra)


def _sequence(t: Table, extra: Mapping[str, Json]) -> Profile:
    names = tuple(local(str(name)) for name in t["profile_ids"])
    return Composed(names, int(t.get("repetition_count", 1)), extra)


def _storage(t: Table, extra: Mapping[str, Json]) -> Profile:
    read, write = float(t.get("bytes_to_read") or 0), float(t.get("bytes_to_write") or 0)
    return ParallelHomogeneousPfs(read, write, str(t["storage_name"]), extra)


def _staging(t: Table, extra: Mapping[str, Json]) -> Profile:
    ends = str(t["emitter_storage_name"]), str(t["receiver_storage_name"])
    return DataStaging(float(t.get("bytes_to_transfer") or 0), *ends, extra)


def _trace(t: Table, extra: Mapping[str, Json]) -> Profile:
    of = UsageTrace if t.get("trace_type") == "FractionalComputation" else Smpi
    return of(str(t["filename"]), extra)


_READERS: Final[Mapping[str, Callable[[Table, Mapping[str, Json]], Profile]]] = {
    "DelayProfile": lambda t, extra: Delay(float(t["delay"]), extra),
    "ParallelTaskProfile": _parallel,
    "ParallelTaskHomogeneousProfile": _homogeneous,
    "SequentialCompositionProfile": _sequence,
    "ParallelTaskOnStorageHomogeneousProfile": _storage,
    "ParallelTaskDataStagingBetweenStoragesProfile": _staging,
    "TraceReplayProfile": _trace,
}


# ---- written -----------------------------------------------------------------------------------------------


def profile_event(workload: str, name: str, profile: Profile | IoProfile, size: int = 0) -> dict[str, Any]:
    """The ``ProfileAndId`` of a RegisterProfileEvent. ``size``: executors, where the form depends on them (a
    ``parallel_homogeneous_total``). Vectors and matrices are numpy arrays. UnsayableError."""
    kind, table = _table(workload, profile, size)
    return {"id": f"{workload}!{name}", "profile_type": kind, "profile": table}


def task(flops: FloatArray, matrix: FloatArray) -> tuple[str, dict[str, Any]]:
    """A parallel task; what is nowhere above 0 is left out, but not both."""
    table: dict[str, Any] = {}
    if matrix.any():
        table["communication_matrix"] = matrix.ravel()
    if flops.any() or not table:
        table["computation_vector"] = flops
    return "ParallelTaskProfile", table


def _table(workload: str, profile: Profile | IoProfile, size: int) -> tuple[str, dict[str, Any]]:
    if isinstance(profile, IoProfile):
        n = len(profile.ids)
        matrix = np.zeros(n * n)
        matrix[profile.sources * n + profile.destinations] = profile.volumes
        return task(np.zeros(n) if profile.flops is None else profile.flops, matrix)
    if isinstance(profile, Parallel):
        return task(profile.cpu, profile.com)
    if isinstance(profile, Delay):
        return "DelayProfile", {"delay": profile.duration}
    if isinstance(profile, ParallelHomogeneous | ParallelHomogeneousSpread | ParallelHomogeneousTotal):
        if size == 1 and not profile.cpu:
            return task(np.zeros(1), np.zeros(1))  # Batsim 5 aborts on a homogeneous task without flops there
        com = profile.com
        if isinstance(profile, ParallelHomogeneousTotal):
            com *= max(size - 1, 0)  # Batsim 4 gives each pair com / n, Batsim 5 com / (n² - n)
        table = {"computation_amount": profile.cpu, "communication_amount": com}
        each = isinstance(profile, ParallelHomogeneous)
        return "ParallelTaskHomogeneousProfile", {**table, "generation_strategy": EACH if each else SPREAD}
    if isinstance(profile, Composed):
        ids = [f"{workload}!{name}" for name in profile.sequence]
        return "SequentialCompositionProfile", {"repetition_count": profile.repeat, "profile_ids": ids}
    if isinstance(profile, UsageTrace | Smpi):
        kind = "SMPI" if isinstance(profile, Smpi) else "FractionalComputation"
        return "TraceReplayProfile", {"trace_type": kind, "filename": profile.trace}
    raise UnsayableError(f"Batsim 5 has no form for a {type(profile).__name__.lower()} profile")
