"""What one job of a workload does with data sets, where these lie, and who writes what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batfs.decision.explained import SetUse
from batfs.filesystems.composed import Phases
from batfs.filesystems.data_sets import set_request
from batfs.filesystems.interface import Volume
from batfs.filesystems.site import FileSystems
from batfs.scheduling.dependencies import Dependencies
from batfs.scheduling.interface import WaitingJob
from batfs.workload.model import Composed, Job, Profile


def set_uses(
    files: FileSystems,
    job: Job,
    volumes: Sequence[Volume],
    jobs: Sequence[Job],
    profiles: Mapping[str, Profile],
) -> list[SetUse]:
    """Of the job with these volumes; ``jobs`` and ``profiles``: the whole workload."""
    does: dict[tuple[str, str], list[str]] = {}
    places: dict[tuple[str, str], Volume] = {}
    for volume in volumes:
        book = files.book_of(volume)
        if book is None:
            continue
        asked = set_request(volume.options)
        key = book.filesystem, asked.name
        places.setdefault(key, volume)
        words = does.setdefault(key, [])
        if volume.reads:
            words.append(f"reads (missing = {asked.missing or book.missing})")
        if volume.writes:
            words.append(f"writes ({asked.write})")
        if asked.delete:
            words.append("deletes")
    if not does:
        return []
    dependencies, waits = _dependencies(files, job, volumes, jobs, profiles)
    submitted = {one.id: one.submission_time for one in jobs}
    out: list[SetUse] = []
    for key, words in does.items():
        system, name = key
        found = files.data_sets[system].sets.get(name)
        makers = [i for i in dependencies.makers(key) if i != job.id]
        out.append(
            SetUse(
                name,
                system,
                tuple(dict.fromkeys(words)),
                None if found is None else found.size,
                files.where(places[key]),
                tuple((i, submitted[i]) for i in makers),
                key in waits,
            )
        )
    return out


def _dependencies(
    files: FileSystems,
    job: Job,
    volumes: Sequence[Volume],
    jobs: Sequence[Job],
    profiles: Mapping[str, Profile],
) -> tuple[Dependencies, set[tuple[str, str]]]:
    """Who writes what, and the data sets that the job would wait for."""
    dependencies = Dependencies(files, files.data_sets)
    phases = Phases(files, {job.workload: profiles}, lambda *_: None, dynamic_jobs=files.dynamic_jobs)
    for order, one in enumerate(jobs):
        profile = profiles[one.profile]
        if one.id == job.id:
            theirs: Sequence[Volume] = volumes
        elif isinstance(profile, Composed):
            profile, theirs = phases.read(one, profile)
        else:
            theirs = files.volumes(one.id, profile)
        waiting = WaitingJob(one, profile, tuple(theirs), order)
        if waiting.data_sets:
            dependencies.read(waiting)
    lacking = {key for key in dependencies.needs(job.id) if not files.data_sets[key[0]].exists(key[1])}
    return dependencies, lacking
