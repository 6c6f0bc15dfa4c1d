"""Workloads from Darshan logs.

Darshan records, for each run of a program, the bytes each file was read and written, when, and how long the
processes were at it. Here the logs of one scheduler job become one job: bytes per file system (by mount
point), metadata operations, and *phases*, the stretches of time in which the job read or wrote. Logs are read
through PyDarshan (:mod:`batfs.workload.darshan_log`, in a process of its own); a damaged one is skipped and
named.
"""

from __future__ import annotations

import hashlib
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from batfs.errors import InputError, MissingExtraError
from batfs.workload.io import RequestedIo
from batfs.workload.model import Json
from batfs.workload.recorded import RecordedJob, Report, plain
from batfs.workload.schedulerlog import SchedulerJob

PATIENCE: Final = 300.0  # seconds one log may take
_SUFFIX: Final = "*.darshan"


@dataclass(frozen=True, slots=True)
class DarshanOptions:
    """How logs become jobs.

    ``processes_per_node`` sizes jobs that no scheduler log knows. ``names`` maps mount points and types of
    file systems (``lustre``) to batfs's names, the longest mount point first; unmapped ones keep their type.
    ``gap``: reads (or writes) no further apart than this many seconds are one phase. ``only_logged``: leave
    out jobs of the scheduler log that have no Darshan log.
    """

    processes_per_node: int = 1
    names: Mapping[str, str] | None = None
    gap: float = 1.0
    only_logged: bool = False


def find_logs(paths: Iterable[Path]) -> list[Path]:
    """The logs in ``paths``: files as given, directories searched for ``*.darshan``, sorted by name."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(_SUFFIX))
            if not inside:
                raise InputError(f"no {_SUFFIX} in this directory", file=path)
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError("no such file or directory", file=path)
    return found


class _Reader:
    """The program that reads logs; started again when a log takes too long."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(orjson.dumps(str(path)) + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
            line = process.stdout.readline() if ready else b""
        except BrokenPipeError:
            ready, line = [process.stdout], process.stdout.readline()
        if not line:
            self.close()
            return {"error": "damaged: the reader ended" if ready else "damaged: it can't be read in time"}
        answer: dict[str, Any] = orjson.loads(line)
        if "missing" in answer:
            self.close()
            raise MissingExtraError("reading Darshan logs (PyDarshan with its C library)", "darshan")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        self._scratch = tempfile.TemporaryDirectory(prefix="batfs-darshan-")
        command = [sys.executable, "-m", "batfs.workload.darshan_log", self._scratch.name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        return self._process

    def close(self) -> None:
        """End the program and the child that may be at a log, and remove what they left."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()
            self._process = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _digest(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return str(path).encode()  # what is wrong with it will be said when it is read


def read_logs(
    paths: Sequence[Path], report: Report, progress: Callable[[int], None] | None = None
) -> list[dict[str, Any]]:
    """What each readable log says, as :func:`batfs.workload.darshan_log.read_log` puts it.

    The others are counted in ``report`` and named in its notes.
    """
    reader = _Reader()
    logs: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    try:
        for number, path in enumerate(paths):
            report.records += 1
            digest = _digest(path)
            if digest in seen:
                report.leave_out("the same log again")
                continue
            seen.add(digest)
            answer = reader.read(path)
            if "error" in answer:
                report.leave_out("damaged or unreadable log")
                report.notes.append(f"{path.name}: {answer['error']}")
            else:
                if answer["partial"]:
                    report.change("log is incomplete: Darshan ran out of memory for its records")
                logs.append(answer)
            if progress is not None:
                progress(number + 1)
    finally:
        reader.close()
    return logs


def to_jobs(
    logs: Sequence[Mapping[str, Any]],
    scheduler: Mapping[str, SchedulerJob] | None,
    options: DarshanOptions,
    report: Report,
) -> list[RecordedJob]:
    """One job for each scheduler job id among ``logs``; with a scheduler log, its times and nodes count.

    A job without a scheduler's record is submitted when its first program starts and ends with its last.
    """
    if options.processes_per_node < 1:
        raise InputError(f"processes per node is {options.processes_per_node}, expected at least 1")
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for log in sorted(logs, key=lambda log: (log["start"], log["end"])):
        grouped.setdefault(log["job"], []).append(log)
    jobs = [_job(name, runs, (scheduler or {}).get(name), options) for name, runs in grouped.items()]
    if scheduler is not None:
        for name in grouped:
            if name not in scheduler:
                report.change("not in the scheduler log: times from Darshan, nodes from its processes")
        for name, known in scheduler.items():
            if name in grouped:
                continue
            if options.only_logged:
                report.leave_out("no Darshan log")
            else:
                report.change("no Darshan log: I/O from the model")
                jobs.append(known.recorded())
    return jobs


def _job(
    name: str, runs: Sequence[Mapping[str, Any]], known: SchedulerJob | None, options: DarshanOptions
) -> RecordedJob:
    start = min(run["start"] for run in runs) if known is None else known.start
    # Darshan's run time counts a started second as one; it may be longer than end - start
    end = max(run["start"] + max(run["seconds"], run["end"] - run["start"]) for run in runs)
    parts = _file_systems(runs, options)
    processes = max(run["processes"] for run in runs)
    detail: dict[str, Json] = {
        "logs": len(runs),
        "processes": processes,
        "metadata_operations": sum(
            use["metadata_operations"] for run in runs for use in run["mounts"].values()
        ),
    }
    for key in ("read_seconds", "write_seconds", "metadata_seconds"):  # summed over processes
        detail[key] = round(math.fsum(use[key] for run in runs for use in run["mounts"].values()), 6)
    detail["phases"] = phases(runs, start, options)
    executables = sorted({run["executable"] for run in runs} - {""})
    extra: dict[str, Json] = {"executables": executables} if executables else {}
    if known is not None:
        job = known.recorded()
        return replace(job, io=parts, extra={**job.extra, **extra}, io_extra={"darshan": detail})
    return RecordedJob(
        id=name,
        submission=start,
        nodes=-(-processes // options.processes_per_node),
        runtime=max(1.0, round(end - start, 6)),
        io=parts,
        extra=extra,
        io_extra={"darshan": detail},
    )


def named(mount: str, kind: str, names: Mapping[str, str]) -> str:
    """batfs's name of a file system: by the longest mount point in ``names`` above it, else by its type."""
    inside = [place for place in names if place.startswith("/") and _under(mount, place)]
    return names[max(inside, key=len)] if inside else names.get(kind, kind)


def _under(mount: str, place: str) -> bool:
    return mount == place or mount.startswith(place.rstrip("/") + "/")


def _file_systems(runs: Sequence[Mapping[str, Any]], options: DarshanOptions) -> tuple[RequestedIo, ...]:
    """Bytes per file system; ``shared`` when files that all processes share hold at least half of them."""
    totals: dict[str, list[int]] = {}
    for run in runs:
        for mount, use in run["mounts"].items():
            total = totals.setdefault(named(mount, use["type"], options.names or {}), [0, 0, 0, 0])
            for i, key in enumerate(("reads", "writes", "files", "shared_bytes")):
                total[i] += use[key]
    return tuple(
        RequestedIo(
            name, reads, writes, max(1, files), "shared" if 2 * shared >= reads + writes else "per_node"
        )
        for name, (reads, writes, files, shared) in sorted(totals.items())
        if reads or writes
    )


def phases(runs: Sequence[Mapping[str, Any]], start: float, options: DarshanOptions) -> list[dict[str, Json]]:
    """The stretches of time in which the job read or wrote, in order of their begin.

    Each file's bytes of one direction lie in one interval (Darshan keeps its first and last access);
    intervals of a direction that overlap or are at most ``gap`` seconds apart are one phase. Seconds from the
    job's start.
    """
    found: list[dict[str, Json]] = []
    for direction in ("reads", "writes"):
        intervals = sorted(
            (
                run["start"] - start + first,
                run["start"] - start + last,
                named(mount, use["type"], options.names or {}),
                size,
            )
            for run in runs
            for mount, use in run["mounts"].items()
            for kind, first, last, size in use["intervals"]
            if kind == direction
        )
        phase: dict[str, Json] | None = None
        for first, last, name, size in intervals:
            if phase is None or first > phase["end"] + options.gap:
                phase = {"begin": first, "end": last, "bytes": {}}
                found.append({"direction": direction, **phase})
                phase = found[-1]
            phase["end"] = max(phase["end"], last)
            phase["bytes"][name] = phase["bytes"].get(name, 0) + size
    for item in found:
        by_name = item.pop("bytes")
        direction = item.pop("direction")
        item["begin"], item["end"] = (plain(round(item[key], 6)) for key in ("begin", "end"))
        item["io"] = [{"filesystem": name, direction: size} for name, size in sorted(by_name.items())]
    return sorted(found, key=lambda item: (item["begin"], item["end"]))
