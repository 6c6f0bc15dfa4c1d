"""Batsim's workload file, of either generation: reading it as strictly as Batsim, and writing it.

A file is one JSON object with ``nb_res``, ``profiles`` and ``jobs``. It is parsed in one go and each
JSON object is let go as soon as its record exists, so a workload is never held twice.
"""

from __future__ import annotations

import gc
import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from batfs import files, json_text, texts
from batfs.errors import InputError, nearest
from batfs.workload.fields import member_place, missing, need_integer, need_object, wrong
from batfs.workload.jobs import job_to_json, parse_jobs
from batfs.workload.model import NO_EXTRA, Composed, Job, Json, Parallel, Profile, UsageTrace, Workload
from batfs.workload.profiles import KNOWN_TYPES, parse_profile, profile_to_json

_TOP = ("nb_res", "profiles", "jobs")
_ONCE = (b"nb_res", b"profiles", b"jobs")


def read_workload(path: str | Path, name: str = "w0", generation: int | None = None) -> Workload:
    """The workload in the file ``path``, under ``name`` (Batsim calls its workloads w0, w1, ...).

    ``generation``: 4 or 5, the Batsim whose file it must be; None: either, as its types of profiles say.

    InputError with the file and the place in it for whatever Batsim would refuse, and for what it would only
    stumble over later: a composed profile that contains itself, a matrix of the wrong size inside one.
    """
    try:
        with _no_collector():
            # nobody else holds the text: it goes once parsed
            return _parse(_read(path), name, str(path), generation)
    except InputError as error:
        raise error.at(file=path) from error.__cause__


def parse_workload(data: bytes, name: str = "w0", path: str = "", generation: int | None = None) -> Workload:
    """:func:`read_workload` for a text in memory; ``path`` only tells where relative trace files are."""
    with _no_collector():
        return _parse(data, name, path, generation)


def _read(path: str | Path) -> bytes:
    return texts.as_utf8(texts.unpacked(texts.read_bytes(path, "the workload"), path), path)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the cyclic garbage collector: among millions of new records it finds nothing, slowly."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _generation(profiles: Mapping[str, Json]) -> int:
    """Whose types the profiles have; Batsim 4's when there is none that tells."""
    for raw in profiles.values():
        kind = raw.get("type") if isinstance(raw, dict) else None
        if kind in KNOWN_TYPES:
            return 4
        from batfs.workload import batsim5

        if kind in batsim5.KNOWN_TYPES:
            return 5
    return 4


def _parse(data: bytes, name: str, path: str, generation: int | None) -> Workload:
    document, text = _document(data)
    for key in _TOP:
        if key not in document:
            missing(document, key, "", _TOP)
    nb_res = need_integer(document["nb_res"], "nb_res", least=1)
    raw_profiles = need_object(document.pop("profiles"), "profiles")
    raw_jobs = document.pop("jobs")
    if not isinstance(raw_jobs, list):
        wrong(raw_jobs, "an array of jobs", "jobs")
    if text.count(b'"type"') != len(raw_profiles) or any(text.count(b'"%s"' % key) != 1 for key in _ONCE):
        _refuse_repeated_members(data)
    del data, text, document["nb_res"]
    generation = _generation(raw_profiles) if generation is None else generation
    read, read_jobs = parse_profile, parse_jobs
    if generation == 5:
        from batfs.workload import batsim5

        read, read_jobs = partial(batsim5.parse_profile, workload=name), batsim5.parse_jobs
    for key, value in raw_profiles.items():  # in place: a raw object is gone once its record is there
        try:
            raw_profiles[key] = read(value, "")
        except InputError:  # the same again, with its place: too dear to make for each of a million
            read(value, member_place("profiles", key))
            raise
    profiles: dict[str, Profile] = raw_profiles
    composed = _check_composed(profiles)
    jobs = read_jobs(raw_jobs, name, profiles)
    _check_sizes(jobs, profiles, composed)
    _check_traces(profiles, path)
    jobs.sort(key=lambda job: (job.submission_time, job.id))
    removed = _collect(jobs, profiles)
    return Workload(name, nb_res, jobs, profiles, path, document or NO_EXTRA, removed, generation)


def _document(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON object of a workload, and its text, which may be without its matrices; of another program's
    file an InputError says what it is."""
    try:
        document, apart, text = load_json(data, json_text.loads_numbers)
        if apart and apart != _matrices(document):  # elsewhere than where they are taken as they are
            document = load_json(data)
    except InputError as error:
        from batfs.workload.foreign import foreign_workload

        what = foreign_workload(data)
        if what is None:
            raise
        raise InputError(f"{what}; Batsim's workload was expected") from error
    if not isinstance(document, dict) or not {*_TOP} <= document.keys():
        from batfs.workload.foreign import foreign_json

        what = foreign_json(document)
        if what is not None:
            raise InputError(f"{what}; Batsim's workload was expected")
    return need_object(document, ""), text


def _matrices(document: Json) -> int:
    """How many arrays of float64 there are in profiles that may have such."""
    profiles = document.get("profiles") if type(document) is dict else None
    if type(profiles) is not dict or _generation(profiles) != 4:
        return 0
    parallel = [one for one in profiles.values() if type(one) is dict and one.get("type") == "parallel"]
    return sum(type(one.get(key)) is array for one in parallel for key in ("cpu", "com"))


def load_json(data: bytes, loads: Callable[[bytes], Any] = json_text.loads) -> Any:
    """Parsed JSON; InputError with line and column if it isn't JSON."""
    try:
        return loads(data)
    except json.JSONDecodeError as error:
        message, line, column = error.msg, error.lineno, error.colno
        try:
            data.decode()
        except UnicodeDecodeError as where:
            line = data.count(b"\n", 0, where.start) + 1
            column = where.start - data.rfind(b"\n", 0, where.start)
            message = f"byte 0x{data[where.start]:02x} is not valid UTF-8"
        if not data.strip():
            message = "the file is empty"
        raise InputError(f"malformed JSON: {message}", place=f"line {line}, column {column}") from None


def _refuse_repeated_members(data: bytes) -> None:
    """A member given twice: the parser keeps the last in silence, Batsim the first, or it refuses (profiles).

    Called only when a cheap count says that it may be so.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen: set[str] = set()
            for key, value in items:
                if key in seen:
                    what = "profile" if isinstance(value, dict) and "type" in value else "member"
                    place = "profiles" if what == "profile" else None
                    raise InputError(f"the {what} {key!r} is given twice", place=place)
                seen.add(key)
        return found

    json.loads(data, object_pairs_hook=pairs)


def _check_composed(profiles: Mapping[str, Profile]) -> list[str]:
    """Every child exists, and no profile contains itself; the composed profiles, children before parents."""
    done: dict[str, bool] = {}  # False while on the path from the start
    for start, profile in profiles.items():
        if not isinstance(profile, Composed) or start in done:
            continue
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(profile.sequence))]
        done[start] = False
        while stack:
            name, children = stack[-1]
            for child in children:
                found = profiles.get(child)
                if found is None:
                    raise _unknown_child(name, child, profiles)
                if done.get(child) is False:
                    place = f"{member_place('profiles', name)}.seq"
                    raise InputError(f"the profile {child!r} contains itself", place=place)
                if isinstance(found, Composed) and child not in done:
                    done[child] = False
                    stack.append((child, iter(found.sequence)))
                    break
            else:
                # a finished profile moves to the end: children stand before their parents
                del done[name]
                done[name] = True
                stack.pop()
    return list(done)


def _unknown_child(name: str, child: str, profiles: Mapping[str, Profile]) -> InputError:
    parent = profiles[name]
    assert isinstance(parent, Composed)
    place = f"{member_place('profiles', name)}.seq[{parent.sequence.index(child)}]"
    close = nearest(child, profiles)
    hint = f"did you mean {close!r}?" if close else None
    return InputError(f"the profile {child!r} doesn't exist", place=place, hint=hint)


def _check_sizes(jobs: list[Job], profiles: Mapping[str, Profile], composed: list[str]) -> None:
    """A ``parallel`` profile (alone or inside a composed one) has as many nodes as each job that uses it."""
    # what a profile demands of `res`, and which parallel profile it is that does
    sizes = {name: (p.size, name) for name, p in profiles.items() if isinstance(p, Parallel)}
    if not sizes:
        return
    for name in composed:
        parent = profiles[name]
        assert isinstance(parent, Composed)
        found = sorted({sizes[child] for child in parent.sequence if child in sizes})
        if found and found[0][0] != found[-1][0]:
            text = ", ".join(f"{child!r} for {size}" for size, child in found)
            place = f"{member_place('profiles', name)}.seq"
            raise InputError(f"holds parallel profiles for different numbers of nodes: {text}", place=place)
        if found:
            sizes[name] = found[0]
    for i, job in enumerate(jobs):
        if job.profile not in sizes:
            continue
        size, name = sizes[job.profile]
        if size != job.requested_nodes:
            through = "" if name == job.profile else f" (inside {job.profile!r})"
            problem = (
                f"the job asks for {job.requested_nodes} nodes, its profile {name!r}{through} is for {size}"
            )
            raise InputError(problem, place=f"jobs[{i}].res")


def _check_traces(profiles: Mapping[str, Profile], path: str) -> None:
    for name, profile in profiles.items():
        if isinstance(profile, UsageTrace) and not (Path(path).parent / profile.trace).is_file():
            place = f"{member_place('profiles', name)}.trace"
            raise InputError(
                f"the trace file {profile.trace!r} doesn't exist beside the workload", place=place
            )


def _collect(jobs: list[Job], profiles: dict[str, Profile]) -> tuple[str, ...]:
    """Remove the profiles that no job and no composed profile refers to, and name them."""
    used = {job.profile for job in jobs}
    for profile in profiles.values():
        if isinstance(profile, Composed):
            used.update(profile.sequence)
    if len(used) == len(profiles):
        return ()
    removed = tuple(name for name in profiles if name not in used)
    for name in removed:
        del profiles[name]
    return removed


def workload_lines(workload: Workload) -> Iterator[str]:
    """The text of a workload file in pieces: one job and one profile a line, in the workload's order.

    It is a file of the workload's generation. InputError for a profile that this one has no form for.
    """
    write_job, write_profile = job_to_json, profile_to_json
    if workload.generation == 5:
        from batfs.workload import batsim5

        write_job, write_profile = batsim5.job_to_json, batsim5.profile_to_json
    yield f'{{\n"nb_res": {workload.nb_res},\n'
    for key, value in workload.extra.items():
        yield f"{_text(key)}: {_text(value)},\n"
    yield '"jobs": ['
    between = "\n"
    for job in workload.jobs:
        yield f"{between}{_text(write_job(job, workload.name))}"
        between = ",\n"
    yield '\n],\n"profiles": {'
    between = "\n"
    for name, profile in workload.profiles.items():
        yield f"{between}{_text(name)}: {_text(write_profile(profile))}"
        between = ",\n"
    yield "\n}\n}\n"


def _text(value: Json) -> str:
    return json_text.dumps(value).decode()


def write_workload(path: str | Path, workload: Workload) -> None:
    """Write ``workload`` as a Batsim workload file, whole or not at all; its traces go with it."""
    from batfs.workload.traces import settled

    workload = settled(workload, Path(path))
    with files.writing(Path(path)) as stream:
        stream.writelines(workload_lines(workload))
