"""Members that look as if they meant something and don't: bytes that would vanish, dependencies nobody keeps.

Members that no type knows are free, and forwarded. A few are traps: those that are nearly a member of a job's
I/O, I/O written into the job instead of its profile, and jobs that are said to depend on others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from batfs.workload.fields import member_place
from batfs.workload.io import IO
from batfs.workload.model import Composed, Job, Json, ParallelHomogeneousPfs, Profile, Workload

# what else people call the bytes of a job, without separators
_READS: Final = frozenset(
    ("ioread", "readbytes", "bytesread", "bytestoread", "reads", "readvolume", "ioreadbytes")
)
_WRITES: Final = frozenset(
    (
        "iowrite",
        "iowritten",
        "writebytes",
        "writtenbytes",
        "byteswritten",
        "bytestowrite",
        "writes",
        "written",
        "writevolume",
        "iowritebytes",
    )
)
# members by which a job is said to wait for others: name -> whether its value says so
_DEPENDENCIES: Final = ("dependencies", "dependency", "depends_on", "deps", "afterok", "preceding_job")


def meant(member: str) -> str | None:
    """The member of a job's I/O that ``member`` is a slip of; None when it is one, or none is near."""
    if member in IO:
        return None
    plain = re.sub(r"[^a-z]", "", member.lower())
    for known, words in (("io_reads", _READS), ("io_writes", _WRITES)):
        if plain in words or _one_off(plain, known.replace("_", "")):
            return known
    return "io" if plain == "io" else None


def _one_off(a: str, b: str) -> bool:
    """Whether one letter more, less, another or swapped with its neighbour makes one of the other."""
    if a == b:
        return True
    if len(a) < len(b):
        a, b = b, a
    at = next((i for i in range(len(b)) if a[i] != b[i]), len(b))
    if len(a) == len(b):
        swapped = a[:at] + a[at + 1 : at + 2] + a[at : at + 1] + a[at + 2 :]
        return a[at + 1 :] == b[at + 1 :] or swapped == b
    return len(a) == len(b) + 1 and a[at + 1 :] == b[at:]


def traps(workload: Workload) -> Iterator[tuple[str, str]]:
    """(place, what is wrong there), each member of a profile or kind of job once at least."""
    for name, profile in workload.profiles.items():
        yield from _profile(member_place("profiles", name), profile)
    for job in workload.jobs:
        if job.extra:
            yield from _job(job)


def _profile(place: str, profile: Profile) -> Iterator[tuple[str, str]]:
    for member, value in profile.extra.items():
        if isinstance(profile, ParallelHomogeneousPfs) and member.startswith("bytes_to_"):
            continue  # an optional one that spells out its default
        known = meant(member)
        if known is not None and _says(value):
            text = f"not a member batfs knows; did you mean {known}? Its bytes are not moved"
            yield f"{place}.{member}", text
    if isinstance(profile, Composed) and "nb" in profile.extra:
        yield f"{place}.nb", "not a member Batsim 4 knows; did you mean repeat? (Batsim 1 called it so)"


def _job(job: Job) -> Iterator[tuple[str, str]]:
    for member, value in job.extra.items():
        if not _says(value):
            continue
        if member in IO or meant(member) is not None:
            yield (
                f"job {job.name}",
                f"{member} in the job: a job's I/O is a member of its profile, and not moved here",
            )
        elif member in _DEPENDENCIES and _waits(value):
            yield f"job {job.name}", f"{member} is not kept to: jobs start as soon as the queue lets them"


def _says(value: Json) -> bool:
    """Whether a member asks for anything: bytes, or a list of entries."""
    return bool(value) and not isinstance(value, bool)


def _waits(value: Json) -> bool:
    return not (isinstance(value, int | float) and value < 0)


def notes(workloads: Iterable[Workload]) -> list[str]:
    """What whoever simulates them should hear: one sentence for each kind of trap, with the first place."""
    first: dict[str, tuple[str, int]] = {}
    for workload in workloads:
        for place, text in traps(workload):
            where, count = first.get(text, (f"{workload.path}: {place}", 0))
            first[text] = where, count + 1
    return [
        f"{where}: {text}" + (f" (and {count - 1} more)" if count > 1 else "")
        for text, (where, count) in first.items()
    ]
