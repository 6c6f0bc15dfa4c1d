"""Requests for space from a trace.

A trace says how many bytes a job read and wrote, not how much space it needed: one stands in for the other,
and which is a stated choice (``capacity_from``). A CSV may give the space itself.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from batfs import units
from batfs.errors import InputError, unknown
from batfs.storage.interface import SpaceRequest
from batfs.texts import utf8_text
from batfs.workload.storalloc import read_trace
from batfs.workload.zones import Zone, check_zone, to_timestamp

CAPACITY_FROM = {
    "sum": "bytes read and written",
    "written": "bytes written",
    "read": "bytes read",
    "max": "the larger of the bytes read and written",
}


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """``size`` bytes wanted from ``arrival`` (seconds since 1970, UTC, or of a clock of its own) for
    ``duration`` seconds. ``records`` rows of the trace are in it."""

    key: str
    arrival: float
    duration: float
    size: int
    records: int = 1

    def at(self, start: float) -> SpaceRequest:
        """The request for space, if it begins at ``start``; it keeps its duration."""
        return SpaceRequest(self.size, start, start + self.duration, self.key)


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Requests in order of arrival (those of one instant as in the file), and how they were made.

    ``without_bytes`` jobs asked for nothing and are left out. ``no_length``: requests that ended as they
    began, which last 1 s.
    """

    requests: Sequence[TraceRequest]
    source: str
    records: int
    without_bytes: int
    no_length: int
    capacity_from: str
    zone: Zone
    merged: bool


def read_requests(
    path: str | PathLike[str], *, capacity_from: str = "sum", zone: Zone = "UTC", merge: bool = True
) -> RequestTrace:
    """The requests of a trace: StorAlloc's YAML (``jobs``), or a CSV by suffix.

    A request arrives when its job starts and lasts until the job's end. A CSV has a header with ``id``,
    ``start``, ``end`` or ``duration`` (seconds), and ``size`` (bytes, or with a unit) or ``read`` and
    ``written``. With ``merge``, rows of one id become one request: sizes added, from the first start to the
    last end. Times without an offset are read in ``zone``; plain numbers are seconds.
    """
    if capacity_from not in CAPACITY_FROM:
        raise unknown("stand-in for capacity", capacity_from, CAPACITY_FROM)
    check_zone(zone)
    file = Path(path)
    if file.suffix.lower() == ".csv":
        rows = _csv_rows(file, capacity_from, zone)
        wanted = _merged(rows) if merge else _numbered(rows)
    else:
        wanted = [
            TraceRequest(
                job.id,
                job.start,
                job.duration,
                _stand_in(job.read_bytes, job.written_bytes, capacity_from),
                job.records,
            )
            for job in read_trace(file, zone=zone, merge=merge)
        ]
    requests = [request for request in wanted if request.size > 0]
    brief = sum(request.duration == 0 for request in requests)
    if brief:  # less than the clock can tell
        requests = [replace(request, duration=request.duration or 1.0) for request in requests]
    requests.sort(key=lambda request: request.arrival)
    return RequestTrace(
        requests=requests,
        source=str(path),
        records=sum(request.records for request in wanted),
        without_bytes=len(wanted) - len(requests),
        no_length=brief,
        capacity_from=capacity_from,
        zone=zone,
        merged=merge,
    )


def _stand_in(read: int, written: int, capacity_from: str) -> int:
    if capacity_from == "sum":
        return read + written
    if capacity_from == "max":
        return max(read, written)
    return read if capacity_from == "read" else written


def _merged(rows: Iterable[TraceRequest]) -> list[TraceRequest]:
    found: dict[str, TraceRequest] = {}
    for row in rows:
        known = found.get(row.key)
        if known is None:
            found[row.key] = row
        else:
            start = min(known.arrival, row.arrival)
            end = max(known.arrival + known.duration, row.arrival + row.duration)
            found[row.key] = TraceRequest(
                row.key, start, end - start, known.size + row.size, known.records + row.records
            )
    return list(found.values())


def _numbered(rows: Iterable[TraceRequest]) -> list[TraceRequest]:
    out: list[TraceRequest] = []
    seen: dict[str, int] = {}
    for row in rows:
        number = seen.get(row.key, 0)
        seen[row.key] = number + 1
        key = f"{row.key}#{number}" if number else row.key
        out.append(TraceRequest(key, row.arrival, row.duration, row.size))
    return out


def _csv_rows(file: Path, capacity_from: str, zone: Zone) -> list[TraceRequest]:
    reader = csv.DictReader(io.StringIO(utf8_text(file), newline=""), strict=True)
    try:
        columns = list(reader.fieldnames or ())
        _check_columns(columns, file)
        return [_csv_row(row, file, f"line {reader.line_num}", capacity_from, zone) for row in reader]
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}", file=file, place=f"line {reader.line_num}") from error


def _check_columns(columns: Sequence[str], file: Path) -> None:
    needed = ("id", "start", ("end", "duration"), ("size", "read", "written"))
    for need in needed:
        any_of = (need,) if isinstance(need, str) else need
        if not any(column in columns for column in any_of):
            raise InputError(
                f"has no column {' or '.join(any_of)}; it has: {', '.join(columns) or 'none'}",
                file=file,
                place="line 1",
                hint="expected id, start, end or duration, and size or read and written",
            )


def _csv_row(
    row: dict[str, str | None], file: Path, place: str, capacity_from: str, zone: Zone
) -> TraceRequest:
    def cell(column: str) -> str:
        text = row.get(column)
        if text is None or not text.strip():
            raise InputError(f"nothing in the column {column!r}", file=file, place=place)
        return text.strip()

    def time(column: str) -> float:
        text = cell(column)
        try:
            return to_timestamp(_number(text) if _number(text) is not None else text, zone)
        except InputError as error:
            raise error.at(file, place) from None

    def size(column: str) -> int:
        try:
            return units.parse_size(cell(column))
        except InputError as error:
            raise error.at(file, place) from None

    start = time("start")
    if row.get("duration") is not None:
        duration = _number(cell("duration"))
        if duration is None:
            raise InputError(f"{row['duration']!r} is not a duration in seconds", file=file, place=place)
    else:
        duration = time("end") - start
    if not (math.isfinite(duration) and duration >= 0):
        raise InputError(f"the duration must be above 0, not {duration:g} s", file=file, place=place)
    if row.get("size") is not None:
        bytes_ = size("size")
    else:
        read = size("read") if row.get("read") is not None else 0
        written = size("written") if row.get("written") is not None else 0
        bytes_ = _stand_in(read, written, capacity_from)
    return TraceRequest(cell("id"), start, duration, bytes_)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
