"""The standard workload format, version 2.2, of the Parallel Workloads Archive.

A line per job with 18 numbers, -1 where unknown; header comments ``; Key: value``. See D. G. Feitelson and
others, "The standard workload format", https://www.cs.huji.ac.il/labs/parallel/workload/swf.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batfs.errors import InputError
from batfs.texts import Text, read_text
from batfs.workload.account import Report
from batfs.workload.foreign import foreign_workload
from batfs.workload.model import Json
from batfs.workload.numbers import plain
from batfs.workload.recorded import RecordedJob

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
    ``strict`` refuses the log for the first line that can't be read, which is left out otherwise.
    ``dependencies``: what becomes of fields 17 and 18: ``recorded``, jobs are submitted when the log says, or
    ``shift``, a job is submitted no earlier than the recorded end of the one before it, plus the think time.
    """

    size: Literal["allocated", "requested"] = "allocated"
    processors_per_node: int | None = None
    strict: bool = True
    dependencies: Literal["recorded", "shift"] = "recorded"


@dataclass(frozen=True, slots=True)
class SwfLog:
    """A whole log: ``header`` (repeated keys joined by newlines) and the jobs in the file's order."""

    header: dict[str, str]
    jobs: list[RecordedJob]
    nodes: int | None  # of the machine, from the header


def read_swf(
    path: str | Path, options: SwfOptions, report: Report, progress: Callable[[int], None] | None = None
) -> SwfLog:
    """The jobs of an SWF file, packed (gzip, bzip2, xz) or not: :func:`parse_swf` of its text."""
    return parse_swf(read_text(path), options, report, path, progress)


def parse_swf(
    text: Text,
    options: SwfOptions,
    report: Report,
    path: str | Path,
    progress: Callable[[int], None] | None = None,
) -> SwfLog:
    """The jobs of a log after the cleaning rules, each counted in ``report``:

    - a partial execution (status 2, 3, 4) is left out, since another line stands for the whole job;
    - so is a job without submission time, one that never ran (run time unknown, or 0 and cancelled) and one
      without any number of processors;
    - a run time of 0 (less than the log can tell) becomes 1 second;
    - a requested time that is unknown or 0 is none.

    More than 18 fields, a row of column names and comments that are indented are taken as they are meant.
    ``progress`` is told the lines read so far. InputError names the line of anything that isn't SWF, with
    ``strict`` only; otherwise it is left out.
    """
    if options.processors_per_node is not None and options.processors_per_node < 1:
        raise InputError(f"processors per node is {options.processors_per_node}, expected at least 1")
    header: dict[str, str] = {}
    rows: list[RecordedJob] = []
    per_node = options.processors_per_node
    longer, before = 0, report.records
    seen: dict[str, int] = {}
    for number, line in enumerate(text.text.split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        if words[0][0] == ";":
            _header_line(line, header)
            continue
        if per_node is None:  # the header stands before the first job
            per_node = _per_node(header)
        if report.records == before and _names_columns(words):
            report.notes.append(f"line {number} names the columns: not a job")
            continue
        report.records += 1
        longer += len(words) > len(FIELDS)
        try:
            job = _job(_numbers(words[: len(FIELDS)]), options, per_node, report, seen)
        except InputError as error:
            place = f"line {number}"
            if options.strict:
                raise error.at(file=path, place=place) from None
            report.unreadable(place, str(error))
            continue
        if job is not None:
            seen[job.id] = number
            rows.append(job)
        if progress is not None and number % 1000 == 0:
            progress(number)
    if longer:
        report.notes.append(f"{longer} lines have more than {len(FIELDS)} fields: the others aren't used")
    if not rows and report.unread:
        from batfs.workload.joblog.tables import is_swf  # the job logs' room imports this one

        what = foreign_workload(text.text[:50000].encode())
        if what is not None and not is_swf(text.text):
            raise InputError(f"not a log in the standard workload format: {what}", file=path)
    report.notes += text.notes
    per_node = per_node or _per_node(header)
    report.clock, report.origin = _clock(header, report)
    jobs = _dependent(rows, options, report)
    return SwfLog(header, jobs, _machine(header, per_node))


def _names_columns(words: Sequence[str]) -> bool:
    """A first row of column names, as a spreadsheet writes it."""
    return len(words) > 3 and not any(_finite(word) for word in words)


def _dependent(jobs: list[RecordedJob], options: SwfOptions, report: Report) -> list[RecordedJob]:
    """Fields 17 and 18: counted where they aren't kept to; with ``shift`` the submission is."""
    ends = {job.id: (job.start if job.start is not None else job.submission) + job.runtime for job in jobs}
    found: list[RecordedJob] = []
    for job in jobs:
        swf = job.extra.get("swf", {})
        before = ends.get(str(swf.get("preceding_job", -1)))
        if before is None:
            found.append(job)
            continue
        think = max(0.0, float(swf.get("think_time", 0)))
        if options.dependencies == "shift":
            if job.submission < before + think:
                report.change("submitted when the job before it had ended (fields 17 and 18)")
                job = replace(job, submission=before + think)
        else:
            report.assume("depends on another job (fields 17 and 18): not kept to (--dependencies shift)")
        found.append(job)
    return found


def _header_line(line: str, header: dict[str, str]) -> None:
    """``; Key: value``; a key that is there again goes on below."""
    key, colon, value = line.lstrip("; \t").partition(":")
    if colon and " " not in key.strip():
        key, value = key.strip(), value.strip()
        header[key] = f"{header[key]}\n{value}" if key in header else value


def _numbers(words: Sequence[str]) -> list[float]:
    if len(words) != len(FIELDS):
        raise InputError(f"found {len(words)} fields, expected {len(FIELDS)}")
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if not values or any(value - value != 0 for value in values):  # inf and nan
        wrong = next(i for i, word in enumerate(words) if not _finite(word))
        raise InputError(f"field {wrong + 1} ({FIELDS[wrong]}) is {words[wrong]!r}, expected a number")
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


def _clock(header: dict[str, str], report: Report) -> tuple[float | None, float | None]:
    """Seconds after midnight, local time, and since 1970, of the log's time 0; None where it isn't told.

    The header's clock is a convenience: one that makes no sense is ignored, with a note.
    """
    word = (header.get("UnixStartTime", "").split() or [""])[0]
    if not word or word in ("-1", "0"):
        return None, None
    zone: tzinfo | None = None
    try:
        report.zone = header.get("TimeZoneString", "").strip()
        zone = ZoneInfo(report.zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        report.zone = "UTC"
        offset = (header.get("TimeZone", "0").split() or ["0"])[0]
        try:
            zone = timezone(timedelta(seconds=int(offset)))
        except (ValueError, OverflowError):
            report.notes.append(f"TimeZone {offset[:40]!r} of the header isn't one: ignored")
            return None, None
    try:
        start = float(word)
        local = datetime.fromtimestamp(start, zone)
    except (ValueError, OverflowError, OSError):
        report.notes.append(f"UnixStartTime {word[:40]!r} of the header isn't seconds since 1970: ignored")
        return None, None
    return float(local.hour * 3600 + local.minute * 60 + local.second), start


def _job(
    row: list[float], options: SwfOptions, per_node: int, report: Report, seen: Mapping[str, int]
) -> RecordedJob | None:
    values = dict(zip(FIELDS, row, strict=True))
    if values["job"] != int(values["job"]):
        raise InputError(f"the job number is {values['job']}")
    reason = _reason_to_leave_out(values)
    if reason is not None:
        report.leave_out(reason)
        return None
    name = str(int(values["job"]))
    if name in seen:
        raise InputError(f"the job number {name} is that of line {seen[name]}")
    first, second = values["processors"], values["requested_processors"]
    if options.size == "requested":
        first, second = second, first
    processors = int(first) if first >= 1 else int(second)
    runtime = values["run_time"]
    if runtime == 0:
        report.change("run time of 0 made 1 s")
        runtime = 1.0
    requested = values["requested_time"]
    kept: dict[str, Json] = {key: plain(values[key]) for key in _KEPT if values[key] != -1}
    if per_node != 1:
        kept["processors"] = processors
    nodes = -(-processors // per_node)
    if nodes * per_node != processors:
        report.assume("shares no node: its processors rounded up to whole nodes")
        report.rounded += (nodes - processors / per_node) * runtime
    return RecordedJob(
        id=name,
        submission=values["submit"],
        nodes=nodes,
        runtime=runtime,
        requested_time=requested if requested > 0 else None,
        extra={"swf": kept} if kept else {},
        start=values["submit"] + max(0.0, values["wait"]),
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
