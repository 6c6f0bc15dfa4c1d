"""StorAlloc's files: descriptions of storage systems and traces of I/O jobs.

Systems (YAML, or TOML by suffix): ``hosts`` with ``hostname``, ``ipv4``, ``network_bw`` (GB/s) and ``disks``
with ``capacity`` (GB), ``read_bandwidth`` and ``write_bandwidth`` (GB/s); GB is 10^9 bytes.
Traces (YAML): ``jobs``, one row per Darshan record, each with the whole job's window. Both of StorAlloc and
of its successor Fives. Times without an offset are in a zone the caller states (:mod:`batfs.workload.zones`).
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from batfs import texts
from batfs.errors import InputError, nearest
from batfs.workload.foreign import foreign_json, foreign_workload
from batfs.workload.zones import Zone, to_timestamp

GB = 10**9


@dataclass(frozen=True, slots=True)
class Disk:
    """``name`` is unique in its host; ``capacity`` bytes, bandwidths bytes/s; ``device`` as /dev/nvme0n1."""

    name: str
    capacity: int
    read_bandwidth: float
    write_bandwidth: float
    device: str = ""
    model: str = ""
    serial: str = ""


@dataclass(frozen=True, slots=True)
class StorageHost:
    """A server and its disks; ``network_bandwidth`` bytes/s."""

    name: str
    address: str
    network_bandwidth: float
    disks: tuple[Disk, ...]


@dataclass(frozen=True, slots=True)
class TraceJob:
    """A job of a trace. Times are seconds since 1970 in UTC; bytes are of the whole job.

    ``records`` is the number of rows that were merged into it; ``place`` the first of them (``jobs[3]``).
    ``extra`` holds the other members of that row.
    """

    id: str
    submission: float
    start: float
    end: float
    read_bytes: int
    written_bytes: int
    nodes: int | None = None
    cores: int | None = None
    walltime: float | None = None
    records: int = 1
    place: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Seconds from start to end, whole days included."""
        return self.end - self.start


def read_system(path: str | PathLike[str]) -> tuple[StorageHost, ...]:
    """The hosts of a system file, in its order. InputError names the place of anything wrong."""
    file = Path(path)
    document = load_document(file)
    hosts = _list(document, "hosts", file)
    out: list[StorageHost] = []
    for h, host in enumerate(hosts):
        place = f"hosts[{h}]"
        row = _Row(host, file, place)
        disks: list[Disk] = []
        for d, disk in enumerate(row.list("disks")):
            inner = _Row(disk, file, f"{place}.disks[{d}]")
            device = inner.text("block_device", "")
            name = Path(device).name or f"disk{d}"
            disks.append(
                Disk(
                    name=name if name not in {x.name for x in disks} else f"{name}-{d}",
                    capacity=_whole(inner.number("capacity", most=9e9) * GB),
                    read_bandwidth=inner.number("read_bandwidth") * GB,
                    write_bandwidth=inner.number("write_bandwidth") * GB,
                    device=device,
                    model=inner.text("model", ""),
                    serial=inner.text("serial", ""),
                )
            )
        name = row.text("hostname")
        if any(name == other.name for other in out):
            raise InputError(f"the host {name!r} is there twice", file=file, place=f"{place}.hostname")
        out.append(StorageHost(name, row.text("ipv4", ""), row.number("network_bw") * GB, tuple(disks)))
    return tuple(out)


def read_trace(path: str | PathLike[str], *, zone: Zone = "UTC", merge: bool = True) -> tuple[TraceJob, ...]:
    """The jobs of a trace in order of start (then submission, then place in the file).

    With ``merge`` the rows of one id become one job: bytes added up, the earliest submission and start,
    the latest end. Without it each row is a job of its own, its id followed by ``#1``, ``#2``, ... from the
    second on. InputError for a row that doesn't make sense (an end not after its start, negative bytes).
    """
    file = Path(path)
    rows = [
        _job(row, file, f"jobs[{n}]", zone) for n, row in enumerate(_list(load_document(file), "jobs", file))
    ]
    jobs: dict[str, TraceJob] = {}
    seen: dict[str, int] = {}
    for row in rows:
        known = jobs.get(row.id)
        if known is None:
            jobs[row.id] = row
        elif merge:
            jobs[row.id] = _merged(known, row)
        else:
            seen[row.id] = seen.get(row.id, 0) + 1
            name = f"{row.id}#{seen[row.id]}"
            jobs[name] = replace(row, id=name)
    return tuple(sorted(jobs.values(), key=lambda job: (job.start, job.submission)))


def _merged(a: TraceJob, b: TraceJob) -> TraceJob:
    return replace(
        a,
        submission=min(a.submission, b.submission),
        start=min(a.start, b.start),
        end=max(a.end, b.end),
        read_bytes=a.read_bytes + b.read_bytes,
        written_bytes=a.written_bytes + b.written_bytes,
        records=a.records + b.records,
    )


_JOB_FIELDS = frozenset(
    (
        *("id", "submissionTime", "startTime", "endTime", "readBytes", "writtenBytes"),
        *("nodesUsed", "coresUsed", "walltimeSeconds"),
    )
)


def _job(row: Any, file: Path, place: str, zone: Zone) -> TraceJob:
    members = _Row(row, file, place)
    start = members.time("startTime", zone)
    end = members.time("endTime", zone)
    if end <= start:  # an end in the hour that is there twice, when clocks go back
        end = members.time("endTime", zone, second=True)
    if end < start:
        raise InputError(
            f"the end {members.get('endTime')!r} is not after the start {members.get('startTime')!r}",
            file=file,
            place=f"{place}.endTime",
        )
    submission = members.time("submissionTime", zone) if "submissionTime" in members else start
    return TraceJob(
        id=members.text("id"),
        submission=submission,
        start=start,
        end=end,
        read_bytes=_whole(members.number("readBytes")),
        written_bytes=_whole(members.number("writtenBytes")),
        nodes=_maybe(members, "nodesUsed"),
        cores=_maybe(members, "coresUsed"),
        walltime=members.number("walltimeSeconds") if "walltimeSeconds" in members else None,
        place=place,
        extra={key: value for key, value in members.row.items() if key not in _JOB_FIELDS},
    )


def _maybe(row: _Row, key: str) -> int | None:
    return _whole(row.number(key)) if key in row else None


def _whole(value: float) -> int:
    return int(value) if isinstance(value, int) else round(value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml's parser where it is there: twenty times quicker on a year's trace.

    ``1.5e9`` is a number, as in YAML 1.2; YAML 1.1 wants a point *and* a sign in it, and makes a text of it.
    """


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+.0123456789"),
)

# a YAML file's items with every alias written out, at most
MOST_ITEMS = 50_000_000


def _check_aliases(text: str, loader: Any, file: Path) -> None:
    """InputError when a file's aliases stand for more items than any file has (each doubles the last)."""
    if "*" not in text:
        return
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        else:
            total += 1
        if total > MOST_ITEMS:
            raise InputError(f"its aliases stand for more than {MOST_ITEMS} items", file=file)


def load_document(file: Path) -> Any:
    """What a YAML file (or TOML, by its suffix) holds; InputError with the line where it is none."""
    text = texts.utf8_text(file)
    try:
        if ".toml" in file.suffixes[-2:]:
            return tomllib.loads(text)
        _check_aliases(text, _Loader, file)
        return yaml.load(text, Loader=_Loader)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {error}", file=file) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else f"line {mark.line + 1}"
        problem = getattr(error, "problem", None) or "can't be read"
        what = foreign_workload(text[:50000].encode())
        raise InputError(f"is not YAML: {problem}", file=file, place=line, hint=what) from error
    except (ValueError, RecursionError) as error:  # an impossible date, a document nested too deep
        raise InputError(f"is not YAML: {error}", file=file) from error


def _list(document: Any, key: str, file: Path) -> Sequence[Any]:
    if not isinstance(document, dict) or not isinstance(document.get(key), list):
        what = (
            foreign_json(document) if isinstance(document, dict) else foreign_workload(texts.read_bytes(file))
        )
        found = ", ".join(map(str, document)) if isinstance(document, dict) else type(document).__name__
        raise InputError(f"a mapping with a list {key!r} was expected; found: {found}", file=file, hint=what)
    return document[key]  # type: ignore[no-any-return]


class _Row:
    """A mapping of the file, read member by member with errors that name the place."""

    def __init__(self, row: Any, file: Path, place: str) -> None:
        if not isinstance(row, dict):
            raise InputError(f"a mapping was expected, not {type(row).__name__}", file=file, place=place)
        self.row: dict[str, Any] = row
        self.file = file
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self.row.get(key) is not None

    def get(self, key: str) -> Any:
        if key not in self:
            close = nearest(key, map(str, self.row))
            raise InputError(
                f"{key!r} is missing",
                file=self.file,
                place=self.place,
                hint=f"there is {close!r}" if close else None,
            )
        return self.row[key]

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self:
            return default
        value = self.get(key)
        if isinstance(value, (dict, list, bool)):
            raise self._wrong(key, value, "a text")
        return str(value)

    def number(self, key: str, most: float = 9e18) -> float:
        """Not negative, finite, and small enough that bytes fit into 64 bits."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(key, value, "a number")
        if not math.isfinite(value) or value < 0:
            raise self._wrong(key, value, "a finite number, not negative,")
        if value > most:
            raise self._wrong(key, value, f"at most {most:g}")
        return value

    def list(self, key: str) -> Sequence[Any]:
        value = self.get(key)
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list")
        return value

    def time(self, key: str, zone: Zone, *, second: bool = False) -> float:
        value = self.get(key)
        try:
            return to_timestamp(value, zone, second=second)
        except InputError as error:
            raise error.at(self.file, f"{self.place}.{key}") from None

    def _wrong(self, key: str, value: Any, expected: str) -> InputError:
        return InputError(
            f"{expected} was expected, not {value!r}", file=self.file, place=f"{self.place}.{key}"
        )
