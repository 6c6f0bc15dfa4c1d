"""Workloads from Darshan logs.

Darshan records, for each run of a program, the bytes each file was read and written, when, and how long the
processes were at it. Here the logs of one scheduler job become one job: bytes per file system (by mount
point), metadata operations, and *phases*, the stretches of time in which the job read or wrote. Logs are read
through PyDarshan (:mod:`batfs.workload.darshan_log`, in a process of its own); a damaged one is skipped and
named.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from batfs.errors import InputError, MissingExtraError
from batfs.scratch import scratch_folder
from batfs.texts import MOST, read_unpacked
from batfs.workload.access import PLAIN, Access, Way
from batfs.workload.account import Report
from batfs.workload.alcf import is_darshan_table, read_darshan_table
from batfs.workload.foreign import darshan2_version, foreign_workload, is_darshan
from batfs.workload.io import RequestedIo
from batfs.workload.joblog import SchedulerJob
from batfs.workload.model import Json
from batfs.workload.numbers import plain
from batfs.workload.recorded import Phase, RecordedJob

PATIENCE: Final = 300.0  # seconds one log may take
_SUFFIX: Final = "*.darshan*"  # also .darshan.gz, .darshan_partial
_EPOCH: Final = 1e8  # scheduler's times above this count from 1970
_TOLERANCE: Final = 60.0  # seconds by which Darshan's times may lie outside a job's
_QUARTER: Final = 900.0  # zones are whole quarters of an hour apart


@dataclass(frozen=True, slots=True)
class DarshanOptions:
    """How logs become jobs.

    ``names`` may also have paths, whose files are then apart from those of the mount point they are under.
    ``processes_per_node`` sizes jobs that no scheduler log knows. ``names`` maps mount points and types of
    file systems (``lustre``) to batfs's names, the longest mount point first; unmapped ones keep their type.
    ``gap``: reads (or writes) no further apart than this many seconds are one phase. ``only_logged``: leave
    out jobs of the scheduler log that have no Darshan log.
    """

    processes_per_node: int = 1
    names: Mapping[str, str] | None = None
    gap: float = 1.0
    only_logged: bool = False


def find_logs(paths: Iterable[Path], *, empty: bool = False) -> list[Path]:
    """The logs in ``paths``: files as given, directories searched for ``*.darshan*``, sorted by name.

    A directory without any is an InputError, unless ``empty`` ones are fine.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(log for log in path.rglob(_SUFFIX) if log.is_file())
            if not inside and not empty:
                raise InputError("no *.darshan in this directory", file=path)
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError("no such file or directory", file=path)
    return found


class _Reader:
    """The program that reads logs; started again when a log takes too long."""

    def __init__(self, prefixes: Sequence[str] = ()) -> None:
        self._prefixes = list(prefixes)
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = ExitStack()

    def read(self, path: Path) -> dict[str, Any]:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # json, not orjson: a path need not be text
            process.stdin.write(json.dumps([str(path), self._prefixes]).encode() + b"\n")
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
        scratch = self._scratch.enter_context(scratch_folder("darshan"))
        command = [sys.executable, "-m", "batfs.workload.darshan_log", str(scratch)]
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
        self._scratch.close()


def _digest(path: Path) -> bytes:
    try:
        if not path.is_file():
            return str(path).encode()
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError:
        return str(path).encode()  # what is wrong with it will be said when it is read


def _not_darshan(path: Path) -> str | None:
    """What a file is that is no log of Darshan 3, told by its first bytes; None where that isn't known."""
    if not path.is_file():
        return "no file"
    try:
        with open(path, "rb") as stream:
            head = stream.read(1 << 16)
        if is_darshan(head):
            return None
        text = read_unpacked(path) if head[:2] in (b"\x1f\x8b", b"BZ") else head
    except (OSError, InputError):
        return None
    version = darshan2_version(text)
    if version is not None:
        return f"a log of Darshan {version},: PyDarshan reads 3.0 and later only"
    return None if is_darshan(text) else foreign_workload(text[:50000], path)


def read_logs(
    paths: Sequence[Path],
    report: Report,
    progress: Callable[[int], None] | None = None,
    prefixes: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """What each readable log says, as :func:`batfs.workload.darshan_log.read_log` puts it.

    ``prefixes`` are paths whose files count apart. ALCF's tables of Darshan logs are read row by row. Other
    files are counted in ``report`` and named in its notes.
    """
    reader = _Reader(prefixes)
    logs: list[dict[str, Any]] = []
    seen: set[bytes] = set()
    try:
        for number, path in enumerate(paths):
            if is_darshan_table(path):
                logs += read_darshan_table(path, report)
                continue
            report.records += 1
            size = path.stat().st_size if path.is_file() else 0
            if size > MOST:  # not read to its end to be told from others
                other: str | None = f"{size} bytes; an input may have {MOST}"
            else:
                digest = _digest(path)
                if digest in seen:
                    report.leave_out("the same log again")
                    continue
                seen.add(digest)
                other = _not_darshan(path)
            if other is not None:
                report.leave_out("not a log of Darshan 3")
                report.notes.append(f"{path.name}: {other}")
                report.unread.append(f"{path.name}: {other}")
                continue
            answer = reader.read(path)
            if "error" in answer:
                report.leave_out("damaged or unreadable log")
                report.notes.append(f"{path.name}: {answer['error']}")
            else:
                if answer["partial"]:
                    report.change("log is incomplete: Darshan ran out of memory for its records")
                for module in answer.get("uncounted", ()):
                    report.assume(f"bytes in the module {module} alone: not counted")
                logs.append(answer)
            if progress is not None:
                progress(number + 1)
    finally:
        reader.close()
    return logs


def to_jobs(
    logs: Sequence[Mapping[str, Any]],
    scheduler: Sequence[SchedulerJob] | None,
    options: DarshanOptions,
    report: Report,
) -> list[RecordedJob]:
    """One job for each scheduler job among ``logs``; with a scheduler log, its times and nodes count.

    Logs belong to the scheduler's job of their number whose time they are in. A job without a scheduler's
    record is submitted when its first program starts and ends with its last. InputError for a name of
    ``options`` that no file is under.
    """
    if options.processes_per_node < 1:
        raise InputError(f"processes per node is {options.processes_per_node}, expected at least 1")
    _check_names(logs, options.names or {})
    owned, loose = _owned(logs, scheduler or (), report)
    taken = {job.id for job in scheduler or ()}
    jobs: list[RecordedJob] = []
    for name, runs in loose.items():
        unique = name if name not in taken else f"{name}#darshan"
        jobs.append(_job(unique, runs, None, options, report))
        report.join("further log of a job", len(runs) - 1) if len(runs) > 1 else None
        if scheduler is not None:
            report.change("not in the scheduler log: times from Darshan, nodes from its processes")
    for known in scheduler or ():
        runs = owned.get(known.id, [])
        if runs:
            report.join("Darshan log of a job in the scheduler log", len(runs))
            jobs.append(_job(known.id, runs, known, options, report))
        elif options.only_logged:
            report.leave_out("no Darshan log")
        else:
            report.change("no Darshan log: I/O from the model")
            jobs.append(known.recorded())
    return jobs


_Runs = dict[str, list[Mapping[str, Any]]]


def _owned(
    logs: Sequence[Mapping[str, Any]], scheduler: Sequence[SchedulerJob], report: Report
) -> tuple[_Runs, _Runs]:
    """The logs by the scheduler's job they belong to, and by their own number those that belong to none."""
    by_number: dict[str, list[SchedulerJob]] = {}
    for job in scheduler:
        by_number.setdefault(job.number, []).append(job)
    owned: _Runs = {}
    loose: _Runs = {}
    apart: list[tuple[Mapping[str, Any], SchedulerJob]] = []
    for log in sorted(logs, key=lambda log: (log["start"], log["end"])):
        named = by_number.get(log["job"], [])
        meeting = [job for job in named if _meets(log, job)]
        if meeting:
            owner = min(meeting, key=lambda job: abs(job.start - log["start"]))
            if owner.start < _EPOCH:
                report.assume("joined by its number alone: the scheduler log's times don't count from 1970")
            owned.setdefault(owner.id, []).append(log)
        else:
            if named:
                apart.append((log, min(named, key=lambda job: abs(job.start - log["start"]))))
            loose.setdefault(log["job"], []).append(log)
    if apart:
        shift = None if owned else _shift(apart)
        report.notes.append(_apart(apart, shift))
        if shift is not None:  # the zone is the one thing wrong: as if it were right
            report.assume("joined with Darshan's clock shifted to the scheduler log's", len(apart))
            for log, job in apart:
                loose.pop(log["job"], None)
                moved = {**log, "start": log["start"] + shift, "end": log["end"] + shift}
                owned.setdefault(job.id, []).append(moved)
    return owned, loose


def _meets(log: Mapping[str, Any], job: SchedulerJob) -> bool:
    if job.start < _EPOCH:
        return True
    begins, ends = float(log["start"]), float(log["end"])
    return begins >= job.start - _TOLERANCE and ends <= job.end + _TOLERANCE


_Apart = Sequence[tuple[Mapping[str, Any], SchedulerJob]]


def _shift(apart: _Apart) -> float | None:
    """The seconds, in whole quarters of an hour, that put each log into the job of its number, if any do."""
    least = max(job.start - log["start"] - _TOLERANCE for log, job in apart)
    most = min(job.end - log["end"] + _TOLERANCE for log, job in apart)
    whole = math.ceil(least / 3600) * 3600.0
    shift = whole if whole <= most else math.ceil(least / _QUARTER) * _QUARTER
    return shift if shift <= most and shift and abs(shift) <= 14 * 3600 else None


def _apart(apart: _Apart, shift: float | None) -> str:
    """What to say of logs whose job of that number ran at another time."""
    log, job = apart[0]
    several = len(apart) > 1
    text = (
        f"Darshan's times of {len(apart)} {'logs' if several else 'job'} lie outside the start and end that"
        f" the scheduler log has for that number, by {_hours(job.start - log['start'])}"
        f"{' and more' if several else ''}"
    )
    if shift is None:
        return f"{text}: not joined (was the number used again, or is --zone another?)"
    ahead = f"{_hours(shift)} {'ahead of' if shift > 0 else 'behind'} that of --zone"
    name = f" (from UTC: --zone Etc/GMT{-shift / 3600:+.0f})" if shift % 3600 == 0 else ""
    return f"{text}: joined as if its clock were {ahead}, which fits all of them; say --zone{name}"


def _hours(seconds: float) -> str:
    minutes = round(abs(seconds) / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _check_names(logs: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> None:
    places = {(mount, use["type"]) for log in logs for mount, use in log["mounts"].items()}
    for name in names if logs else ():
        if not any(_under(mount, name) if name.startswith("/") else kind == name for mount, kind in places):
            there = ", ".join(sorted({f"{mount} ({kind})" for mount, kind in places})) or "none"
            raise InputError(
                f"--name {name}={names[name]}: no file is under it", hint=f"there are {there[:400]}"
            )


def _job(
    name: str,
    runs: Sequence[Mapping[str, Any]],
    known: SchedulerJob | None,
    options: DarshanOptions,
    report: Report,
) -> RecordedJob:
    start = min(run["start"] for run in runs) if known is None else known.start
    # Darshan's run time counts a started second as one; it may be longer than end - start
    end = max(run["start"] + max(run["seconds"], run["end"] - run["start"]) for run in runs)
    processes = max(run["processes"] for run in runs)
    detail: dict[str, Json] = {
        "logs": len(runs),
        "processes": processes,
        "metadata_operations": sum(
            use["metadata_operations"] for run in runs for use in run["mounts"].values()
        ),
    }
    for key in _SECONDS:  # summed over processes
        detail[key] = round(math.fsum(use[key] for run in runs for use in run["mounts"].values()), 6)
    detail["phases"] = phases(runs, start, options)
    executables = sorted({run["executable"] for run in runs} - {""})
    extra: dict[str, Json] = {"executables": executables} if executables else {}
    # what one process spent in I/O, on average, in each run
    seconds = math.fsum(
        use[key] / run["processes"] for run in runs for use in run["mounts"].values() for key in _SECONDS
    )
    if known is None:
        runtime = round(end - start, 6)
        if runtime < 1:
            report.change("run of less than a second made 1 s")
        nodes = max((run.get("nodes") or 0 for run in runs), default=0)  # ALCF's tables know them
        nodes = nodes or -(-processes // options.processes_per_node)
        job = RecordedJob(name, start, nodes, max(1.0, runtime), start=start)
    else:
        job = known.recorded()
    parts = _file_systems(runs, options, -(-processes // max(1, job.nodes)))
    return replace(
        job,
        io=parts,
        extra={**job.extra, **extra},
        io_extra={"darshan": detail},
        io_seconds=round(seconds, 6),
        phases=tuple(_stretch(item) for item in detail["phases"]),
    )


_SECONDS: Final = ("read_seconds", "write_seconds", "metadata_seconds")


def _stretch(item: Mapping[str, Json]) -> Phase:
    parts = (
        RequestedIo(part["filesystem"], part.get("reads", 0), part.get("writes", 0)) for part in item["io"]
    )
    return Phase(float(item["begin"]), float(item["end"]), tuple(parts))


def named(mount: str, kind: str, names: Mapping[str, str]) -> str:
    """batfs's name of a file system: by the longest mount point in ``names`` above it, else by its type."""
    inside = [place for place in names if place.startswith("/") and _under(mount, place)]
    return names[max(inside, key=len)] if inside else names.get(kind, kind)


def _under(mount: str, place: str) -> bool:
    return mount == place or mount.startswith(place.rstrip("/") + "/")


def _file_systems(
    runs: Sequence[Mapping[str, Any]], options: DarshanOptions, per_node: int
) -> tuple[RequestedIo, ...]:
    """Bytes, metadata operations and requests per file system, of ``per_node`` processes on each node.

    ``shared`` when files that all processes share hold at least half of the bytes; else ``per_process`` when
    there is a file for each, or ``per_node``.
    """
    processes = max(run["processes"] for run in runs)
    totals: dict[str, list[int]] = {}
    operations: dict[str, dict[str, int]] = {}
    requests: dict[str, dict[str, int]] = {}
    for run in runs:
        for mount, use in run["mounts"].items():
            name = named(mount, use["type"], options.names or {})
            total = totals.setdefault(name, [0, 0, 0, 0])
            for i, key in enumerate(("reads", "writes", "files", "shared_bytes")):
                total[i] += use[key]
            for key, sums in (("operations", operations), ("requests", requests)):
                counted = sums.setdefault(name, {})
                for kind, count in use.get(key, {}).items():
                    counted[kind] = counted.get(kind, 0) + count
    return tuple(
        RequestedIo(
            *(name, reads, writes, max(1, files)),
            pattern=_pattern(2 * shared >= reads + writes, files >= processes > 1),
            operations=operations[name],
            access=access_of(requests[name], reads, writes, per_node),
        )
        for name, (reads, writes, files, shared) in sorted(totals.items())
        if reads or writes
    )


def _pattern(shared: bool, own: bool) -> str:
    return "shared" if shared else "per_process" if own else "per_node"


def access_of(counts: Mapping[str, int], reads: int, writes: int, per_node: int) -> Access:
    """What Darshan's counters say of the requests; plain where the log has none of them.

    A request's size is the mean, bytes over requests: with it the requests and the bytes both come out as
    recorded. They are sequential if half of them begin where the one before ended, strided if half of them
    lie behind it, else random; collective if most MPI-IO calls of that direction were.
    """
    ways = []
    for word, size in (("read", reads), ("write", writes)):
        count, consec, seq, together = (
            counts.get(f"{word}.{kind}", 0) for kind in ("count", "consec", "seq", "collective")
        )
        if not size or not (count or together):
            ways.append(Way())
            continue
        followed = count > 1 and bool(consec or seq)
        scattered = followed and 2 * consec < count - 1
        order = ("strided" if 2 * seq >= count - 1 else "random") if scattered else "sequential"
        ways.append(
            Way(order, max(1, round(size / max(count, together))), 2 * together > max(count, together))
        )
    return Access(ways[0], ways[1], per_node) if ways != [Way(), Way()] else PLAIN


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
