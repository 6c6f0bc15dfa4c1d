"""Profiles that a decision component registers, as Batsim 5's messages carry them."""

from __future__ import annotations

from typing import Any

from batfs._core.arrays import np
from batfs.errors import BatfsError, InputError
from batfs.workload.batsim5 import profile_to_message
from batfs.workload.model import (
    HOMOGENEOUS,
    FloatArray,
    IoProfile,
    Parallel,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
)


class UnsayableError(BatfsError):
    """A profile that Batsim 5 has no form for."""


def profile_event(workload: str, name: str, profile: Profile | IoProfile, size: int = 0) -> dict[str, Any]:
    """The ``ProfileAndId`` of a RegisterProfileEvent. ``size``: executors, where the form depends on them (a
    ``parallel_homogeneous_total``). Vectors and matrices are numpy arrays. UnsayableError."""
    kind, table = _table(workload, profile, size)
    return {"id": f"{workload}!{name}", "profile_type": kind, "profile": table}


def _table(workload: str, profile: Profile | IoProfile, size: int) -> tuple[str, dict[str, Any]]:
    if isinstance(profile, IoProfile):
        n = len(profile.ids)
        return _task(np.zeros(n) if profile.flops is None else profile.flops, profile.matrix())
    if isinstance(profile, Parallel):
        return _task(profile.cpu, profile.com)
    if isinstance(profile, HOMOGENEOUS) and size == 1 and not profile.cpu:
        return _task(np.zeros(1), np.zeros(1))  # Batsim 5 aborts on a homogeneous task without flops there
    if isinstance(profile, ParallelHomogeneousTotal):
        # Batsim 4 gives each pair com / n, Batsim 5 com / (n² - n)
        profile = ParallelHomogeneousSpread(profile.cpu, profile.com * max(size - 1, 0))
    try:
        kind, table = profile_to_message(profile)
    except InputError as error:
        raise UnsayableError(str(error)) from None
    if "profile_ids" in table:
        table["profile_ids"] = [i if "!" in i else f"{workload}!{i}" for i in table["profile_ids"]]
    return kind, table


def _task(flops: FloatArray, matrix: FloatArray) -> tuple[str, dict[str, Any]]:
    """A parallel task; what is nowhere above 0 is left out, but not both."""
    table: dict[str, Any] = {}
    if matrix.any():
        table["communication_matrix"] = matrix.ravel()
    if flops.any() or not table:
        table["computation_vector"] = flops
    return "ParallelTaskProfile", table
