"""Burst buffers that batch scripts ask for: ``#DW`` lines of DataWarp and of Rabbits, Slurm's ``#BB`` lines.

``#DW jobdw capacity=2TiB ...`` reserves space for the job, ``#DW stage_in`` and ``#DW stage_out`` move files
between it and the parallel file system (Slurm's burst-buffer guide, Cray's DataWarp user guide). Rabbits'
dialect has ``#DW jobdw type=xfs capacity=1TiB name=NAME``, a file system for each node unless ``type`` is
``lustre``, and ``#DW copy_in`` and ``copy_out`` whose destination and source are in ``$DW_JOB_NAME`` (Near
Node Flash's documentation, "Rabbit User Interactions"); Flux has them in lines that begin with ``#FLUX:``.
How many bytes are moved isn't in a script: the capacity stands for them. Storage that outlives its job
(``create_persistent``, ``persistentdw``, ``destroy_persistent``, of both dialects) is a data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batfs.errors import InputError, unknown
from batfs.texts import read_text
from batfs.units import parse_size
from batfs.workload.account import Report
from batfs.workload.io import RequestedIo
from batfs.workload.model import Json
from batfs.workload.recorded import RecordedJob

_LINE: Final = re.compile(
    r"(?:#\s?(?:FLUX|flux):\s*)?(?:(?:--setattr[= ]|-S\s+)dw=[\"']*)?#(DW|BB)\s+(\S+)\s*([^\"]*)"
)
#: Types of Rabbits' file systems (DataWarp's are others), the first of which each node has one of.
_PER_NODE: Final = ("xfs", "raw", "gfs2")
_RABBIT: Final = (*_PER_NODE, "lustre")
_IN_JOB: Final = re.compile(r"\$\{?DW_JOB_(\w+)")
_PERSISTENT: Final = ("create_persistent", "persistentdw", "destroy_persistent")
_IN_PERSISTENT: Final = re.compile(r"\$\{?DW_PERSISTENT_(\w+)")
_NAME: Final = re.compile(
    r"#\s?(?:(?:FLUX|flux):\s*--job-name[= ]|SBATCH\s+(?:--job-name[= ]|-J\s*)|PBS\s+-N\s+|BSUB\s+-J\s+)"
    r"\s*(\S+)"
)
_LARGEST: Final = 1 << 22  # a batch script is short: what is longer is something else


@dataclass(slots=True)
class RabbitSpace:
    """One file system on Rabbits that a script asks for: bytes of ``capacity``, for each node unless the
    ``type`` is ``lustre``, and whether files are copied in and out."""

    type: str
    capacity: int
    copy_in: bool = False
    copy_out: bool = False

    def asked(self, filesystem: str, nodes: int) -> RequestedIo:
        """What a job of so many nodes asks of the file system for it: its capacity, of which it reads what is
        copied in and writes the rest; half of it each where both are copied."""
        size = _whole(self.type, self.capacity, nodes)
        reads = 0 if not self.copy_in else size // 2 if self.copy_out else size
        options = {
            "type": self.type,
            "capacity": size,
            "stage_in": self.copy_in,
            "stage_out": self.copy_out,
        }
        return RequestedIo(filesystem, reads, size - reads, options=options)


@dataclass(slots=True)
class Persistent:
    """Storage that outlives jobs, as one line of a script (``where``) has it: created there (bytes of
    ``capacity``, for each node where the ``type`` is one of Rabbits' but ``lustre``), used, with files copied
    in or not, or destroyed."""

    verb: str
    name: str
    where: str
    type: str = ""
    capacity: int = 0
    copy_in: bool = False

    def asked(self, filesystem: str | None, kind: str, size: int) -> RequestedIo:
        """What a job with this line asks of the storage, which is of this ``kind`` and so many bytes."""
        options: dict[str, Json] = {"data_set": self.name, "stage_in": False, "stage_out": False}
        reads = writes = 0
        if self.verb == "destroy_persistent":
            options["delete"] = True
        else:
            options["size"] = size
            if kind in _RABBIT:
                options["type"] = kind
        if self.verb == "persistentdw":
            options["missing"] = "wait"
            reads, writes = size, size if self.copy_in else 0
        own = "rabbit" if kind in _RABBIT else "bb"
        return RequestedIo(filesystem or own, reads, writes, options=options)


def _whole(kind: str, capacity: int, nodes: int) -> int:
    """The bytes of a storage of this type for a job of so many nodes."""
    return capacity * nodes if kind in _PER_NODE else capacity


@dataclass(frozen=True, slots=True)
class Script:
    """What one script asks for: bytes of capacity, and whether files are staged in and out; ``rabbits``: file
    systems on Rabbits."""

    path: Path
    name: str
    capacity: int
    stage_in: bool
    stage_out: bool
    rabbits: tuple[RabbitSpace, ...] = ()
    persistent: tuple[Persistent, ...] = ()


def read_scripts(folder: Path, report: Report) -> list[Script]:
    """The scripts in ``folder`` (and below) that ask for a burst buffer; others aren't of interest."""
    if not folder.is_dir():
        raise InputError("not a folder of batch scripts", file=folder)
    found: list[Script] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        try:
            text = read_text(path).text
        except InputError:
            continue  # not a text: not a script
        script = _script(path, text, report)
        if script is not None:
            found.append(script)
    return found


def _script(path: Path, text: str, report: Report) -> Script | None:
    capacity, stage_in, stage_out, name = 0, False, False, path.stem
    rabbits: dict[str, RabbitSpace] = {}
    persistent: list[Persistent] = []
    for number, line in enumerate(text.split("\n"), start=1):
        named = _NAME.match(line)
        if named:
            name = named[1].strip("'\"")
        match = _LINE.match(line.strip())
        if match is None:
            continue
        _, verb, rest = match.groups()
        options = dict(word.split("=", 1) for word in rest.split() if "=" in word)
        where = f"{path.name}: line {number}"
        try:
            if verb in _PERSISTENT:
                persistent.append(_read_persistent(verb, options, where))
            elif verb in ("copy_in", "copy_out") or (verb == "jobdw" and options.get("type") in _RABBIT):
                _read_rabbit(verb, options, rabbits, persistent)
            elif verb in ("jobdw", "swap") or "capacity" in options:
                capacity += parse_size(options.get("capacity", "0"))
            elif verb == "stage_in":
                stage_in = True
            elif verb == "stage_out":
                stage_out = True
            else:
                report.notes.append(f"{where}: {verb} isn't read")
        except InputError as error:
            raise error.at(file=path, place=f"line {number}") from None
    if not capacity and not rabbits and not persistent:
        return None
    return Script(path, name, capacity, stage_in, stage_out, tuple(rabbits.values()), tuple(persistent))


def _read_persistent(verb: str, options: Mapping[str, str], where: str) -> Persistent:
    """One line about persistent storage. InputError for what makes no sense."""
    for key in ("name", "capacity") if verb == "create_persistent" else ("name",):
        if not options.get(key):
            raise InputError(f"{verb} without {key}=")
    capacity = parse_size(options["capacity"]) if verb == "create_persistent" else 0
    return Persistent(verb, options["name"], where, options.get("type", ""), capacity)


def _read_rabbit(
    verb: str, options: Mapping[str, str], rabbits: dict[str, RabbitSpace], persistent: Sequence[Persistent]
) -> None:
    """One ``jobdw``, ``copy_in`` or ``copy_out`` of Rabbits' dialect. InputError for what makes no sense."""
    for key in ("capacity", "name") if verb == "jobdw" else ("source", "destination"):
        if key not in options:
            raise InputError(f"{verb} without {key}=")
    if verb == "jobdw":
        name = options["name"].replace("-", "_")  # as in the names of environment variables
        if name in rabbits:
            raise InputError(f"a second jobdw with the name {options['name']!r}")
        rabbits[name] = RabbitSpace(options["type"], parse_size(options["capacity"]))
        return
    end = options["destination" if verb == "copy_in" else "source"]
    inner = _IN_JOB.search(end)
    if inner is None:
        inner = _IN_PERSISTENT.search(end)
        if inner is not None and verb == "copy_in":
            for one in persistent:
                if one.verb == "persistentdw" and one.name.replace("-", "_") == inner[1]:
                    one.copy_in = True
        return
    if inner[1] not in rabbits:
        raise unknown("jobdw before this line", inner[1], rabbits)
    setattr(rabbits[inner[1]], verb, True)


def join_scripts(
    jobs: Iterable[RecordedJob], scripts: Sequence[Script], filesystem: str | None, report: Report
) -> list[RecordedJob]:
    """``jobs`` with the burst buffers of their scripts on ``filesystem`` (None: ``bb``, and ``rabbit`` for
    Rabbits).

    A script is a job's if its file's name holds the job's number, or if it has the job's name. What is staged
    in is read, what is staged out written, half of the capacity each where both are; without staging it is
    scratch space that is written. Persistent storage is a data set of its capacity, which a job that uses it
    waits for and reads, and writes where files are copied in.
    """
    by_number: dict[str, Script] = {}
    by_name: dict[str, Script] = {}
    for script in scripts:
        for number in re.findall(r"\d+", script.path.stem):
            by_number.setdefault(number, script)
        by_name.setdefault(script.name, script)
        by_name.setdefault(script.path.name, script)
    used: set[Path] = set()
    found: list[RecordedJob] = []
    pairs: list[tuple[RecordedJob, Script | None]] = []
    created: dict[str, tuple[str, int]] = {}  # type and bytes of persistent storages
    for job in jobs:
        number = re.match(r"\d+", job.id)
        mine = by_number.get(number[0] if number else job.id) or by_name.get(str(job.extra.get("name", "")))
        pairs.append((job, mine))
        for one in mine.persistent if mine is not None else ():
            if one.verb == "create_persistent":
                created.setdefault(one.name, (one.type, _whole(one.type, one.capacity, job.nodes)))
    for job, mine in pairs:
        if mine is None:
            found.append(job)
            continue
        used.add(mine.path)
        report.assume("bytes of its burst buffer: the capacity its script asks for")
        parts = [
            space.asked("rabbit" if filesystem is None else filesystem, job.nodes) for space in mine.rabbits
        ]
        half = mine.capacity // 2 if mine.stage_in and mine.stage_out else mine.capacity
        reads = half if mine.stage_in else 0
        options = {"stage_in": mine.stage_in, "stage_out": mine.stage_out}
        if mine.capacity:
            parts.append(RequestedIo(filesystem or "bb", reads, mine.capacity - reads, options=options))
        for one in mine.persistent:
            if one.name in created:
                parts.append(one.asked(filesystem, *created[one.name]))
            else:
                what = f"{one.verb} isn't read: no job of the log creates {one.name!r}"
                report.notes.append(f"{one.where}: {what}")
        found.append(replace(job, io=(*(job.io or ()), *parts)))
    unused = len({script.path for script in scripts} - used)
    if unused:
        report.notes.append(f"{unused} scripts with burst buffers belong to no job of the log")
    return found
