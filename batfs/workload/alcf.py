"""ALCF's public tables of Darshan logs: a row for each run of a program, with the sums of its counters.

The columns are those of "ANL-ALCF-DARSHAN-THETA" as StorAlloc and Fives use them: COBALT_JOBID, the job's
QUEUED_, START_ and END_TIMESTAMP, NODES_USED, NPROCS, RUN_TIME, and TOTAL_<module>_<counter>. The scheduler's
table beside it (DIM_JOB_COMPOSITE) is a job table as any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from batfs.errors import InputError
from batfs.texts import read_text
from batfs.workload.account import Report
from batfs.workload.joblog.cells import number_of, text_of, time_of

_MARK: Final = "TOTAL_POSIX_BYTES_READ"
_MODULES: Final = ("POSIX", "STDIO", "MPIIO")
_SECONDS: Final = (("read_seconds", "READ"), ("write_seconds", "WRITE"), ("metadata_seconds", "META"))


def is_darshan_table(path: Path) -> bool:
    """Whether the file's first line names ALCF's columns of Darshan counters."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(4096)
        if not head.isascii() and not head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\xef\xbb\xbf")):
            return False
        if head.isascii() and b"," not in head:
            return False
        return _MARK in read_text(path).text.partition("\n")[0].upper()
    except (OSError, InputError):
        return False


def read_darshan_table(path: Path, report: Report) -> list[dict[str, Any]]:
    """The rows as :func:`batfs.workload.darshan_log.read_log` would tell of the logs; times are read as UTC.

    MPI-IO's bytes count where POSIX has none. A row that can't be read is counted in ``report``.
    """
    text = read_text(path)
    report.notes += text.notes
    report.kinds.append("ALCF's table of Darshan logs")
    rows = csv.DictReader(io.StringIO(text.text, newline=""))
    rows.fieldnames = [name.strip().strip('"').upper() for name in rows.fieldnames or ()]
    logs: list[dict[str, Any]] = []
    try:
        for row in rows:
            report.records += 1
            try:
                logs.append(_log(row))
            except InputError as error:
                report.unreadable(f"line {rows.line_num}", str(error))
    except csv.Error as error:
        raise InputError(f"is not CSV: {error}", file=path, place=f"line {rows.line_num}") from None
    return logs


def _log(row: Mapping[str, Any]) -> dict[str, Any]:
    def number(*names: str) -> float:
        for name in names:
            value = number_of(row.get(name) or "")
            if value is not None:
                return max(0.0, value)
        return 0.0

    if not (row.get("COBALT_JOBID") or row.get("JOBID")):
        raise InputError("it has no COBALT_JOBID")
    scale: list[str] = []
    start = time_of(row.get("START_TIMESTAMP") or row.get("START_TIME"), "UTC", scale)
    end = time_of(row.get("END_TIMESTAMP") or row.get("END_TIME"), "UTC", scale)
    if start is None or end is None or end < start:
        raise InputError("it has no start and end")
    sizes = {
        direction: {module: int(number(f"TOTAL_{module}_BYTES_{word}")) for module in _MODULES}
        for direction, word in (("reads", "READ"), ("writes", "WRITTEN"))
    }
    use: dict[str, Any] = {"type": "lustre", "intervals": [], "files": 1, "shared_bytes": 0}
    for direction, by_module in sizes.items():
        below = by_module["POSIX"] if by_module["POSIX"] else by_module["MPIIO"]
        use[direction] = below + by_module["STDIO"]
    instead = "POSIX" if sizes["reads"]["POSIX"] or sizes["writes"]["POSIX"] else "MPIIO"
    for key, word in _SECONDS:
        use[key] = number(f"TOTAL_{instead}_F_{word}_TIME") + number(f"TOTAL_STDIO_F_{word}_TIME")
    use["metadata_operations"] = int(number("TOTAL_POSIX_OPENS") + number("TOTAL_STDIO_OPENS"))
    return {
        "job": text_of(row.get("COBALT_JOBID") or row.get("JOBID")).split(".")[0],
        "user": row.get("USER_ID") or "",
        "processes": max(1, int(number("NPROCS", "CORES_USED", "NODES_USED"))),
        "start": start,
        "end": end,
        "seconds": number("RUN_TIME", "RUNTIME_SECONDS"),
        "executable": row.get("EXE_NAME_GENID") or "",
        "partial": False,
        "mounts": {"/lus": use},
        "nodes": int(number("NODES_USED")) or None,
    }
