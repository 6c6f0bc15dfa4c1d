"""I/O volumes from a CSV, joined to the jobs of a trace by their ids.

Columns: ``job_id`` (or ``id``, ``job``), ``reads`` and ``writes`` in bytes (or ``io_reads``, ``io_writes``,
``read_bytes``, ``written_bytes``; units such as ``3GB`` are understood), and if it has one ``filesystem``.
Several lines of one job and file system add up.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from batfs.errors import InputError, nearest
from batfs.units import parse_size
from batfs.workload.io import RequestedIo
from batfs.workload.recorded import RecordedJob, Report

COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "job_id": ("job_id", "id", "job"),
    "reads": ("reads", "io_reads", "read_bytes"),
    "writes": ("writes", "io_writes", "written_bytes", "write_bytes"),
    "filesystem": ("filesystem", "file_system"),
}


def read_io_table(path: str | Path) -> dict[str, tuple[RequestedIo, ...]]:
    """The I/O of each job id in the file; InputError with the line of what can't be understood."""
    volumes: dict[str, dict[str | None, tuple[int, int]]] = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            column = _columns(header, path)
            for row in reader:
                if not row:
                    continue
                place = f"line {reader.line_num}"
                if len(row) != len(header):
                    raise InputError(
                        f"found {len(row)} columns, expected {len(header)}", file=path, place=place
                    )
                of_job = volumes.setdefault(row[column["job_id"]].strip(), {})
                filesystem = row[column["filesystem"]].strip() or None if "filesystem" in column else None
                reads, writes = (
                    _size(row[column[key]], path, place) if key in column else 0
                    for key in ("reads", "writes")
                )
                before = of_job.get(filesystem, (0, 0))
                of_job[filesystem] = (before[0] + reads, before[1] + writes)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a CSV file: {error}", file=path) from error
    return {
        job: tuple(RequestedIo(name, *both) for name, both in parts.items()) for job, parts in volumes.items()
    }


def _columns(header: list[str], path: str | Path) -> dict[str, int]:
    names = [name.strip() for name in header]
    found = {
        key: names.index(next(name for name in words if name in names))
        for key, words in COLUMNS.items()
        if any(name in names for name in words)
    }
    if "job_id" not in found or not {"reads", "writes"} & found.keys():
        close = nearest("job_id" if "job_id" not in found else "reads", names)
        raise InputError(
            f"found the columns {', '.join(names) or 'none'}; expected job_id, reads, writes",
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


def join_io(
    jobs: Iterable[RecordedJob], table: Mapping[str, tuple[RequestedIo, ...]], report: Report
) -> Iterator[RecordedJob]:
    """``jobs`` with the volumes of ``table``; a job that isn't in it keeps what it has (nothing: 0 bytes)."""
    unused = set(table)
    for job in jobs:
        if job.id in table:
            unused.discard(job.id)
            yield replace(job, io=table[job.id])
        else:
            report.change("no line in the I/O table")
            yield job if job.io is not None else replace(job, io=())
    if unused:
        report.notes.append(f"{len(unused)} jobs of the I/O table aren't in the log")
