"""Scheduler logs as tables: Slurm's ``sacct -P``, ALCF's public job logs, any CSV with such columns, or SWF.

Slurm:  sacct -P -X --format=JobIDRaw,Submit,Start,End,NNodes,TimelimitRaw
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.workload.recorded import RecordedJob, Report
from batfs.workload.swf import SwfOptions, read_swf
from batfs.workload.zones import Zone, to_timestamp

# what we need: the names it goes by (compared in lower case), the first one present counts
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "id": ("job_id", "jobidraw", "jobid", "cobalt_jobid", "id", "job"),
    "submit": ("submit", "queued_timestamp", "submission_time", "submissiontime"),
    "start": ("start", "start_timestamp", "start_time", "starttime"),
    "end": ("end", "end_timestamp", "end_time", "endtime"),
    "nodes": ("nnodes", "allocnodes", "nodes_used", "nodesused", "nodes"),
    "limit": (
        "timelimitraw",
        "timelimit",
        "walltime_seconds",
        "walltimeseconds",
        "requested_time",
        "walltime",
    ),
}
_NEEDED: Final = ("id", "submit", "start", "end", "nodes")
_CLOCK: Final = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_NONE: Final = ("", "unknown", "none", "null", "unlimited", "partition_limit")


@dataclass(frozen=True, slots=True)
class SchedulerJob:
    """A job as the scheduler saw it; times in seconds on one clock, ``requested_time`` None: none."""

    id: str
    submission: float
    start: float
    end: float
    nodes: int
    requested_time: float | None = None

    def recorded(self) -> RecordedJob:
        runtime = max(1.0, self.end - self.start)
        wait = {"wait": self.start - self.submission}
        return RecordedJob(
            self.id, self.submission, self.nodes, runtime, self.requested_time, extra={"recorded": wait}
        )


def read_scheduler_log(path: Path, zone: Zone, report: Report) -> dict[str, SchedulerJob]:
    """The jobs of a log by id, those that never ran left out (counted in ``report``).

    ``zone`` is the clock's of times without an offset. InputError names the line of what isn't understood.
    """
    if path.name.removesuffix(".gz").endswith(".swf"):
        return _from_swf(path, report)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not a text file: {error}", file=path) from error
    first = text.partition("\n")[0]
    delimiter = max("|,;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    header = [name.strip().strip('"').lower() for name in next(reader, [])]
    column = _columns(header, path)
    jobs: dict[str, SchedulerJob] = {}
    for row in reader:
        if not row:
            continue
        place = f"line {reader.line_num}"
        if len(row) != len(header):
            raise InputError(f"found {len(row)} columns, expected {len(header)}", file=path, place=place)
        try:
            job = _job(
                {key: row[index].strip() for key, index in column.items()},
                header[column.get("limit", 0)],
                zone,
            )
        except InputError as error:
            raise error.at(file=path, place=place) from None
        if job is None:
            report.leave_out("never ran")
        elif job.id in jobs:
            raise InputError(f"the job id {job.id!r} is there twice", file=path, place=place)
        else:
            jobs[job.id] = job
    return jobs


def _columns(header: Sequence[str], path: Path) -> dict[str, int]:
    found = {
        key: header.index(next(name for name in names if name in header))
        for key, names in COLUMNS.items()
        if any(name in header for name in names)
    }
    missing = [key for key in _NEEDED if key not in found]
    if missing:
        wanted = "; ".join(f"{key}: {', '.join(COLUMNS[key])}" for key in missing)
        raise InputError(f"a column is missing ({wanted})", file=path, place="line 1")
    return found


def _job(row: Mapping[str, str], limit_name: str, zone: Zone) -> SchedulerJob | None:
    if any(row[key].lower() in _NONE for key in ("start", "end")):
        return None
    submit, start, end = (_time(row[key], zone) for key in ("submit", "start", "end"))
    if end < start:
        raise InputError(f"the job ends ({row['end']}) before it starts ({row['start']})")
    try:
        nodes = int(float(row["nodes"]))
    except ValueError:
        raise InputError(f"the number of nodes is {row['nodes']!r}") from None
    if nodes < 1:
        return None
    return SchedulerJob(
        row["id"], min(submit, start), start, end, nodes, _limit(row.get("limit", ""), limit_name)
    )


def _time(text: str, zone: Zone) -> float:
    try:
        return float(text)
    except ValueError:
        return to_timestamp(text, zone)


def _limit(text: str, column: str) -> float | None:
    """Seconds; TimelimitRaw is in minutes, Timelimit ``[days-]hours:minutes:seconds``."""
    if text.lower() in _NONE:
        return None
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        days, first, second, third = clock.groups()
        parts = [int(first), int(second)] if third is None else [int(first), int(second), int(third)]
        if third is None:  # minutes:seconds, after days hours:minutes
            parts = [0, *parts] if days is None else [*parts, 0]
        hours, minutes, seconds = parts
        return int(days or 0) * 86400.0 + hours * 3600 + minutes * 60 + seconds
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"the requested time is {text!r}") from None
    if not value > 0:
        return None
    return value * 60 if column == "timelimitraw" else value


def _from_swf(path: Path, report: Report) -> dict[str, SchedulerJob]:
    """An SWF's times are counted from its header's UnixStartTime."""
    log = read_swf(path, SwfOptions(), report)
    try:
        origin = float(log.header.get("UnixStartTime", "0").split()[0])
    except (ValueError, IndexError):
        origin = 0.0
    jobs = {}
    for job in log.jobs:
        wait = max(0.0, float(job.extra.get("swf", {}).get("wait", 0)))
        submit = origin + job.submission
        start = submit + wait
        jobs[job.id] = SchedulerJob(job.id, submit, start, start + job.runtime, job.nodes, job.requested_time)
    return jobs
