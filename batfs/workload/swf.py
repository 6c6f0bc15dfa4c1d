"""The standard workload format, version 2.2, of the Parallel Workloads Archive.

A line per job with 18 numbers, -1 where unknown; header comments ``; Key: value``. See D. G. Feitelson and
others, "The standard workload format", https://www.cs.huji.ac.il/labs/parallel/workload/swf.html.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final, Literal, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batfs.errors import InputError
from batfs.workload.model import Json
from batfs.workload.recorded import RecordedJob, Report, plain

FIELDS: Final = (
    "job",
    "submit",
    "wait",
    "run_time",
    "processors",
    "cpu_time",
    "memory",
    "requested_processors",
    "requested_time",
    "requested_memory",
    "status",
    "user",
    "group",
    "executable",
    "queue",
    "partition",
    "preceding_job",
    "think_time",
)
# fields a job keeps under "swf", for policies and analyses; the others are in the job already
_KEPT: Final = ("wait", "cpu_time", "memory", "requested_memory", *FIELDS[10:])

COMPLETED, FAILED, CANCELLED = 1, 0, 5
PARTIAL: Final = (2, 3, 4)  # executions between checkpoints; another line stands for the whole job


@dataclass(frozen=True, slots=True)
class SwfOptions:
    """How an SWF line is read.

    ``size``: take the ``allocated`` processors (field 5) or the ``requested`` ones (field 8), and the other
    where that is unknown. ``processors_per_node``: None takes MaxProcs / MaxNodes of the header, else 1.
    """

    size: Literal["allocated", "requested"] = "allocated"
    processors_per_node: int | None = None


@dataclass(frozen=True, slots=True)
class SwfLog:
    """A whole log: ``header`` (repeated keys joined by newlines) and the jobs in the file's order."""

    header: dict[str, str]
    jobs: list[RecordedJob]
    nodes: int | None  # of the machine, from the header


def read_swf(
    path: str | Path, options: SwfOptions, report: Report, progress: Callable[[int], None] | None = None
) -> SwfLog:
    """The jobs of an SWF file (``.gz`` too) after the cleaning rules, each counted in ``report``:

    - a partial execution (status 2, 3, 4) is left out, since another line stands for the whole job;
    - so is a job without submission time, one that never ran (run time unknown, or 0 and cancelled) and one
      without any number of processors;
    - a run time of 0 (less than the log can tell) becomes 1 second;
    - a requested time that is unknown or 0 is none.

    ``progress`` is told the lines read so far. InputError names the line of anything that isn't SWF.
    """
    header: dict[str, str] = {}
    jobs: list[RecordedJob] = []
    per_node = options.processors_per_node
    with _open(path) as stream:
        for number, line in enumerate(stream, start=1):
            if line.startswith(";"):
                _header_line(line, header)
                continue
            if not line.strip():
                continue
            if per_node is None:  # the header stands before the first job
                per_node = _per_node(header)
            report.records += 1
            job = _job(_numbers(line, path, number), options, per_node, report, path, number)
            if job is not None:
                jobs.append(job)
            if progress is not None and number % 1000 == 0:
                progress(number)
    per_node = per_node or _per_node(header)
    report.clock = _clock(header)
    return SwfLog(header, jobs, _machine(header, per_node))


@contextmanager
def _open(path: str | Path) -> Iterator[TextIO]:
    """The text of a file that may be gzipped; bytes that aren't UTF-8 only ever occur in comments."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            data = gzip.GzipFile(fileobj=raw) if packed else raw
            with io.TextIOWrapper(data, encoding="utf-8", errors="replace") as text:
                yield text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"damaged gzip file: {error}", file=path) from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error


def _header_line(line: str, header: dict[str, str]) -> None:
    key, colon, value = line.lstrip("; \t").partition(":")
    if colon and " " not in key.strip():
        key, value = key.strip(), value.strip()
        header[key] = f"{header[key]}\n{value}" if key in header else value


def _numbers(line: str, path: str | Path, number: int) -> list[float]:
    words = line.split()
    if len(words) != len(FIELDS):
        raise InputError(
            f"found {len(words)} fields, expected {len(FIELDS)}", file=path, place=f"line {number}"
        )
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if not values or any(value - value != 0 for value in values):  # inf and nan
        wrong = next(i for i, word in enumerate(words) if not _finite(word))
        raise InputError(
            f"field {wrong + 1} ({FIELDS[wrong]}) is {words[wrong]!r}, expected a number",
            file=path,
            place=f"line {number}",
        )
    return values


def _finite(word: str) -> bool:
    try:
        value = float(word)
    except ValueError:
        return False
    return value - value == 0


def _count(header: dict[str, str], key: str) -> int | None:
    words = header.get(key, "").split()
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) > 0 else None


def _per_node(header: dict[str, str]) -> int:
    processors, nodes = _count(header, "MaxProcs"), _count(header, "MaxNodes")
    return processors // nodes if processors and nodes and processors % nodes == 0 else 1


def _machine(header: dict[str, str], per_node: int) -> int | None:
    processors, nodes = _count(header, "MaxProcs"), _count(header, "MaxNodes")
    return processors // per_node if processors else nodes


def _clock(header: dict[str, str]) -> float | None:
    """Seconds after midnight, local time, of the log's time 0; None where the header doesn't tell."""
    start = _count(header, "UnixStartTime")
    if start is None:
        return None
    try:
        zone: tzinfo = ZoneInfo(header.get("TimeZoneString", "").strip())
    except (ValueError, OSError, ZoneInfoNotFoundError):
        words = header.get("TimeZone", "0").split()
        try:
            zone = timezone(timedelta(seconds=int(words[0]) if words else 0))
        except ValueError:
            return None
    local = datetime.fromtimestamp(start, zone)
    return float(local.hour * 3600 + local.minute * 60 + local.second)


def _job(
    row: list[float], options: SwfOptions, per_node: int, report: Report, path: str | Path, line: int
) -> RecordedJob | None:
    values = dict(zip(FIELDS, row, strict=True))
    if values["job"] != int(values["job"]):
        raise InputError(f"the job number is {values['job']}", file=path, place=f"line {line}")
    reason = _reason_to_leave_out(values)
    if reason is not None:
        report.leave_out(reason)
        return None
    first, second = values["processors"], values["requested_processors"]
    if options.size == "requested":
        first, second = second, first
    processors = int(first) if first > 0 else int(second)
    runtime = values["run_time"]
    if runtime == 0:
        report.change("run time of 0 made 1 s")
        runtime = 1.0
    requested = values["requested_time"]
    kept: dict[str, Json] = {key: plain(values[key]) for key in _KEPT if values[key] != -1}
    if per_node != 1:
        kept["processors"] = processors
    return RecordedJob(
        id=str(int(values["job"])),
        submission=values["submit"],
        nodes=-(-processors // per_node),
        runtime=runtime,
        requested_time=requested if requested > 0 else None,
        extra={"swf": kept} if kept else {},
    )


def _reason_to_leave_out(values: Mapping[str, float]) -> str | None:
    status, runtime = int(values["status"]), values["run_time"]
    if status in PARTIAL:
        return "partial execution (status 2, 3 or 4)"
    if values["submit"] < 0:
        return "no submission time"
    if runtime < 0 or (runtime == 0 and status == CANCELLED):
        return "never ran"
    if values["processors"] < 1 and values["requested_processors"] < 1:
        return "no number of processors"
    return None
