"""I/O volumes from a CSV, joined to the jobs of a trace by their ids, names or users.

Columns: ``job_id`` (or ``id``, ``job``), ``reads`` and ``writes`` in bytes (or ``io_reads``, ``io_writes``,
``read_bytes``, ``written_bytes``; units such as ``3GB`` are understood), and if it has one ``filesystem``.
Several lines of one job and file system add up. A table with ``job_name`` (or ``name``) or ``user`` in place
of an id holds for each job of that name or user.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from batfs.errors import InputError, nearest
from batfs.texts import read_text
from batfs.units import parse_size
from batfs.workload.account import Report
from batfs.workload.io import RequestedIo
from batfs.workload.recorded import RecordedJob

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "job_id": ("job_id", "id", "job", "JobID", "JobIDRaw"),
    "name": ("job_name", "name", "JobName"),
    "user": ("user", "User", "user_name"),
    "reads": ("reads", "io_reads", "read_bytes"),
    "writes": ("writes", "io_writes", "written_bytes", "write_bytes"),
    "filesystem": ("filesystem", "file_system"),
}
_KEYS: Final = ("job_id", "name", "user")


@dataclass(frozen=True, slots=True)
class IoTable:
    """Volumes by the value of ``key``: ``job_id``, ``name`` or ``user``."""

    key: str
    volumes: Mapping[str, tuple[RequestedIo, ...]]

    def of(self, job: RecordedJob) -> str | None:
        """What the table knows ``job`` by; None where the job has no such member."""
        if self.key == "job_id":
            return job.id
        found = job.extra.get(self.key, job.extra.get("swf", {}).get(self.key))
        return None if found is None else str(found)


def read_io_table(path: str | Path) -> IoTable:
    """The I/O of each job in the file; InputError with the line of what can't be understood."""
    volumes: dict[str, dict[str | None, tuple[int, int]]] = {}
    try:
        reader = csv.reader(io.StringIO(read_text(path).text, newline=""))
        header = next(reader, [])
        column = _columns(header, path)
        key = next(name for name in _KEYS if name in column)
        for row in reader:
            if not row:
                continue
            place = f"line {reader.line_num}"
            if len(row) != len(header):
                raise InputError(f"found {len(row)} columns, expected {len(header)}", file=path, place=place)
            of_job = volumes.setdefault(row[column[key]].strip(), {})
            filesystem = row[column["filesystem"]].strip() or None if "filesystem" in column else None
            reads, writes = (
                _size(row[column[name]], path, place) if name in column else 0 for name in ("reads", "writes")
            )
            before = of_job.get(filesystem, (0, 0))
            of_job[filesystem] = (before[0] + reads, before[1] + writes)
    except csv.Error as error:
        raise InputError(f"not a CSV file: {error}", file=path) from error
    return IoTable(
        key,
        {
            job: tuple(RequestedIo(name, *both) for name, both in parts.items())
            for job, parts in volumes.items()
        },
    )


def _columns(header: list[str], path: str | Path) -> dict[str, int]:
    names = [name.strip() for name in header]
    found = {
        key: names.index(next(name for name in words if name in names))
        for key, words in COLUMNS.items()
        if any(name in names for name in words)
    }
    if not set(_KEYS) & found.keys() or not {"reads", "writes"} & found.keys():
        close = nearest("reads" if set(_KEYS) & found.keys() else "job_id", names)
        raise InputError(
            f"found the columns {', '.join(names) or 'none'}; expected job_id, reads, writes"
            " (or job_name or user for the id)",
            file=path,
            place="line 1",
            hint=f"is {close!r} one of them?" if close else None,
        )
    return found


def _size(text: str, path: str | Path, place: str) -> int:
    if not text.strip():
        return 0
    try:
        return parse_size(text.strip())
    except InputError as error:
        raise error.at(file=path, place=place) from None


def join_io(jobs: Iterable[RecordedJob], table: IoTable, report: Report) -> Iterator[RecordedJob]:
    """``jobs`` with the volumes of ``table``; a job that isn't in it keeps what it has (nothing: 0 bytes)."""
    unused = set(table.volumes)
    for job in jobs:
        key = table.of(job)
        if key is not None and key in table.volumes:
            unused.discard(key)
            yield replace(job, io=table.volumes[key])
        else:
            report.change("no line in the I/O table")
            yield job if job.io is not None else replace(job, io=())
    if unused:
        what = {"job_id": "jobs", "name": "names", "user": "users"}[table.key]
        report.notes.append(f"{len(unused)} {what} of the I/O table aren't in the log")
