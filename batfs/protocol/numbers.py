"""Batsim's 6 decimals: what its ``%6f`` leaves of a number.

Every double Batsim writes has 6 decimals, and profiles and jobs that come in a message are written out once
more before they are read; so 115223578.55555557 becomes 115223578.555556, and 1e-7 becomes 0. Integers stay.
"""

from __future__ import annotations

from array import array

from batfs._core.arrays import Doubles, np
from batfs._core.loop import six_decimals as rounded
from batfs.records import replace
from batfs.workload import parse_profile, profile_to_json
from batfs.workload.model import (
    HOMOGENEOUS,
    DataStaging,
    Delay,
    IoProfile,
    Job,
    Json,
    Parallel,
    Profile,
)


def six_decimals(value: Json) -> Json:
    """``value`` with every double in it rounded to 6 decimals, at any depth."""
    if isinstance(value, float):
        return value if value.is_integer() else round(value, 6)
    if isinstance(value, dict):
        return {key: six_decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [six_decimals(item) for item in value]
    return value


def _rounded(values: Doubles) -> Doubles:
    if isinstance(values, array):
        return values if all(map(float.is_integer, values)) else array("d", [round(v, 6) for v in values])
    broken = np.flatnonzero(values != np.floor(values))
    if not len(broken):
        return values
    values = values.copy()
    for i in broken.tolist():
        values[i] = round(float(values[i]), 6)
    return values


def six_decimals_profile(profile: Profile | IoProfile) -> Profile | IoProfile:
    """The profile as Batsim has it after it came in a message; InputError where the rounding spoils it."""
    if isinstance(profile, IoProfile):
        # its volumes are whole numbers, by contract
        if profile.flops is None:
            return profile
        flops = _rounded(profile.flops)
        return profile if flops is profile.flops else profile.with_flops(np.asarray(flops))
    if isinstance(profile, Parallel):
        numbers = profile.numbers
        cpu, com = map(_rounded, numbers)
        if cpu is numbers[0] and com is numbers[1]:
            return profile
        return replace(profile, cpu=np.asarray(cpu), com=np.asarray(com).reshape(len(cpu), len(cpu)))
    if isinstance(profile, DataStaging):
        whole = float(profile.size).is_integer()
    elif isinstance(profile, Delay):
        whole = float(profile.duration).is_integer()
    elif isinstance(profile, HOMOGENEOUS):
        whole = float(profile.cpu).is_integer() and float(profile.com).is_integer()
    else:
        whole = False
    if whole:
        return profile
    return parse_profile(six_decimals(profile_to_json(profile)), "profile")


def six_decimals_job(job: Job) -> Job:
    """The job as Batsim has it after it came in a message; with a walltime of 0 where there is none left."""
    submission, walltime = rounded(job.submission_time), job.walltime
    limit = None if walltime is None else rounded(walltime)
    if submission == job.submission_time and limit == walltime:
        return job
    return Job(job.id, submission, job.requested_nodes, job.profile, limit, job.extra)
