"""Batsim's jobs: JSON object <-> record, with Batsim's own rules (``jobs.cpp``)."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final

from batfs.errors import InputError, nearest
from batfs.workload.fields import INT_MAX, missing, need_integer, need_number, need_object, need_string, shown
from batfs.workload.model import NO_EXTRA, Job, Json

_KNOWN: Final = frozenset(("id", "subtime", "res", "profile", "walltime"))
_RANKS: Final = "smpi_ranks_to_hosts_mapping"


def full_id(identifier: Json, workload: str, place: str) -> str:
    """``workload!name`` of an id as written (string or integer).

    Batsim's rule: an id that contains the workload's name anywhere must already be ``x!y``; any other gets
    ``workload!`` put before it. Neither part may hold a ``!``, and x must be the workload itself.
    """
    if type(identifier) is int:
        identifier = str(need_integer(identifier, place, least=-(2**31)))
    name = need_string(identifier, place) if isinstance(identifier, str) else None
    if name is None:
        raise InputError(f"found {shown(identifier)}, expected a string or an integer", place=place)
    if workload not in name:
        if "!" in name:
            raise InputError(
                f"the job name {name!r} contains a '!', which separates workload and job",
                place=place,
                hint=f"this workload is {workload!r}",
            )
        return f"{workload}!{name}"
    first, _, second = name.partition("!")
    if not second or "!" in second or not first:
        raise InputError(
            f"the id {name!r} contains the workload's name {workload!r}, so it must be of the form"
            f" '{workload}!NAME'",
            place=place,
        )
    if first != workload:
        raise InputError(
            f"the id {name!r} belongs to the workload {first!r}, not to {workload!r}", place=place
        )
    return name


def parse_job(obj: Json, workload: str, profiles: Container[str] | None = None, place: str = "job") -> Job:
    """The record of one job object; InputError at ``place`` or a member of it if it isn't valid.

    ``profiles`` are the names a job may refer to (None: not checked, as for a job of a message).
    """
    obj = need_object(obj, place)
    for key in ("id", "subtime", "res", "profile"):
        if key not in obj:
            missing(obj, key, place, _KNOWN)
    identifier = full_id(obj["id"], workload, f"{place}.id")
    subtime = need_number(obj["subtime"], f"{place}.subtime")
    walltime = obj.get("walltime", -1)
    need_number(walltime, f"{place}.walltime", non_negative=False)
    if walltime != -1 and walltime <= 0:
        raise InputError(
            f"found {shown(walltime)}, expected a number above 0, or -1 for none", place=f"{place}.walltime"
        )
    res = need_integer(obj["res"], f"{place}.res", least=1)
    profile = need_string(obj["profile"], f"{place}.profile")
    if profiles is not None and profile not in profiles:
        close = nearest(profile, profiles) if isinstance(profiles, Iterable) else None
        hint = f"did you mean {close!r}?" if close else None
        raise InputError(f"the profile {profile!r} doesn't exist", place=f"{place}.profile", hint=hint)
    extra = {key: value for key, value in obj.items() if key not in _KNOWN}
    if _RANKS in extra:
        _check_ranks(extra[_RANKS], res, f"{place}.{_RANKS}")
    if "walltime" in obj and walltime == -1:
        extra["walltime"] = walltime
    return Job(identifier, subtime, res, profile, None if walltime == -1 else walltime, extra or NO_EXTRA)


def _check_ranks(ranks: Json, nodes: int, place: str) -> None:
    """Batsim's ``smpi_ranks_to_hosts_mapping``: for each rank of the job's traces one of its nodes."""
    if not isinstance(ranks, list):
        raise InputError(f"found {shown(ranks)}, expected an array of places", place=place)
    for i, host in enumerate(ranks):
        if need_integer(host, f"{place}[{i}]", least=0) >= nodes:
            problem = f"found {host}, expected a place among the job's {nodes} nodes (they count from 0)"
            raise InputError(problem, place=f"{place}[{i}]")


def parse_jobs(objects: list[Json], workload: str, profiles: Mapping[str, Any]) -> list[Job]:
    """All jobs of a file in its order; ``objects`` is emptied on the way, so that nothing is held twice.

    Ordinary jobs take a short path; whatever is unusual goes through :func:`parse_job`.
    """
    names = {name: name for name in profiles}  # one string per profile, however many jobs name it
    jobs: list[Job] = []
    prefix = workload + "!"
    for i, obj in enumerate(objects):
        objects[i] = None
        try:
            name, subtime, res, profile = obj["id"], obj["subtime"], obj["res"], names[obj["profile"]]
            walltime = obj.get("walltime")
            ordinary = (
                type(name) is str
                and type(res) is int
                and (type(subtime) is float or type(subtime) is int)
                and 0 <= subtime < INT_MAX
                and 1 <= res <= INT_MAX
                and "!" not in name
                and workload not in name
                and (walltime is None or (type(walltime) in (int, float) and walltime > 0))
                and len(obj) == (4 if walltime is None else 5)
            )
        except (KeyError, TypeError, AttributeError):
            ordinary = False
        if ordinary:
            jobs.append(Job(prefix + name, subtime, res, profile, walltime, NO_EXTRA))
        else:
            job = parse_job(obj, workload, profiles, f"jobs[{i}]")
            jobs.append(job)
    check_distinct(jobs)
    return jobs


def check_distinct(jobs: list[Job]) -> None:
    """InputError, with the place of the second, when two jobs have one id."""
    if len({job.id for job in jobs}) == len(jobs):
        return
    seen: dict[str, int] = {}
    for i, job in enumerate(jobs):
        first = seen.setdefault(job.id, i)
        if first != i:
            raise InputError(f"the job id {job.id!r} is already that of jobs[{first}]", place=f"jobs[{i}].id")


def job_to_json(job: Job, workload: str | None = None) -> dict[str, Json]:
    """The object of ``job`` as a file has it; its id is short in a file of its own ``workload``, unless it
    has that name in it: it must be written in full then."""
    short = workload is not None and job.workload == workload and workload not in job.name
    identifier = job.name if short else job.id
    obj: dict[str, Json] = {"id": identifier, "subtime": job.submission_time, "res": job.requested_nodes}
    obj["profile"] = job.profile
    if job.walltime is not None:
        obj["walltime"] = job.walltime
    obj.update(job.extra)
    return obj


def forwarded_job(job: Job) -> dict[str, Json]:
    """The object Batsim forwards to its scheduler: the file's, with the full id.

    *Every* member called ``id``, at any depth, holds it, since Batsim replaces them in the text.
    """
    obj = job_to_json(job)
    for key, value in job.extra.items():
        if isinstance(value, (dict, list)):
            obj[key] = _with_id(value, job.id)
    return obj


def _with_id(value: Json, identifier: str) -> Json:
    if isinstance(value, dict):
        return {
            key: identifier if _is_id(key, item) else _with_id(item, identifier)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_id(item, identifier) for item in value]
    return value


def _is_id(key: str, item: Json) -> bool:
    return key == "id" and not isinstance(item, (dict, list))
