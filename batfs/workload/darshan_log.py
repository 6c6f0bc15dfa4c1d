"""One Darshan log, read through PyDarshan; run as a program, the reader of many logs.

The library under PyDarshan crashes on some damaged logs and, closing one it took for its own, may unlink a
file by a garbled name. So logs are never opened in batfs's own process: this module runs as a program that
reads paths from its input, opens a copy of each log in a child process within a scratch folder, and answers
with a line of JSON: the log's numbers, or what is wrong with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from batfs import json_text
from batfs.errors import InputError
from batfs.texts import read_unpacked

#: Modules whose bytes reach a file system. MPI-IO ends up in POSIX or DFS, so a file's bytes of it count only
#: where these have no record of that file; DAOS objects are what lies below DFS.
_MODULES = ("POSIX", "STDIO", "DFS", "DAOS", "MPI-IO")
_PREFIX = {"POSIX": "POSIX", "STDIO": "STDIO", "MPI-IO": "MPIIO", "DFS": "DFS", "DAOS": "DAOS"}
#: Counters of metadata operations, and what the operations are called in an ``io`` entry.
_METADATA = {
    "POSIX": {
        "OPENS": "open",
        "STATS": "stat",
        "FSYNCS": "sync",
        "FDSYNCS": "sync",
        "RENAME_SOURCES": "rename",
    },
    "STDIO": {"OPENS": "open", "FLUSHES": "sync"},
    "MPI-IO": {"INDEP_OPENS": "open", "COLL_OPENS": "open", "SYNCS": "sync"},
    "DFS": {"OPENS": "open", "LOOKUPS": "lookup", "DUPS": "open", "REMOVES": "remove", "STATS": "stat"},
    "DAOS": {"OBJ_OPENS": "open"},
}
#: Counters of requests, and of how they follow each other: ``consec`` begin where the one before ended,
#: ``seq`` anywhere behind it (which consecutive ones do too).
_REQUESTS = {
    "READS": "read.count",
    "WRITES": "write.count",
    "CONSEC_READS": "read.consec",
    "CONSEC_WRITES": "write.consec",
    "SEQ_READS": "read.seq",
    "SEQ_WRITES": "write.seq",
    "INDEP_READS": "read.count",
    "INDEP_WRITES": "write.count",
    "COLL_READS": "read.collective",
    "COLL_WRITES": "write.collective",
}
_OPERATIONS = tuple(dict.fromkeys(name for counters in _METADATA.values() for name in counters.values()))
#: Modules that have bytes too, on their way through the ones above: named where those are absent.
_ABOVE = ("H5D", "PNETCDF_VAR", "MDHIM", "BG/Q")


class DamagedLog(Exception):
    """The log can't be read, or what it says can't be."""


def read_log(path: str, prefixes: Sequence[str] = ()) -> dict[str, Any]:
    """Job, processes, times and, for each mount point, files, bytes, operations, seconds and intervals.

    ``requests`` counts, by direction, those of each kind (``_REQUESTS``); of modules without such counters
    nothing. Times of intervals are seconds since the log's start. ``prefixes`` are paths that count as mount
    points of their own, of the type of what they are in. ``uncounted`` names modules with bytes that no
    module counted here may have seen. Raises DamagedLog.
    """
    import darshan

    report = darshan.DarshanReport(path, read_all=False)
    job = report.metadata["job"]
    start = job["start_time_sec"] + job.get("start_time_nsec", 0) / 1e9
    end = job["end_time_sec"] + job.get("end_time_nsec", 0) / 1e9
    if not 0 < start <= end < 2**40 or job["nprocs"] < 1:
        raise DamagedLog(f"its job ran from {start} to {end} on {job['nprocs']} processes")
    mounts = sorted(report.mounts, key=lambda mount: -len(mount[0]))
    modules = [name for name in _MODULES if name in report.modules]
    if "DFS" in modules and "DAOS" in modules:
        modules.remove("DAOS")
    found: dict[str, dict[str, Any]] = {}
    files: dict[str, set[int]] = {}
    below: set[int] = set()
    for module in modules:
        records = list(_records(report, module))  # which also fills the table of names
        if module in ("POSIX", "DFS"):
            below.update(identifier for identifier, _, _ in records)
        for identifier, rank, values in records:
            where, kind = _mount(report.name_records.get(identifier, ""), mounts, prefixes)
            if where is None:
                continue  # standard input and output
            if module in ("DFS", "DAOS"):
                where, kind = ("daos" if kind == "unknown" else where), "daos"
            use = found.setdefault(where, _nothing(kind))
            if (
                module == "MPI-IO" and identifier in below
            ):  # its bytes are counted; that it is collective is not
                for key in ("read.collective", "write.collective"):
                    use["requests"][key] = use["requests"].get(key, 0) + int(values.get(key, 0))
                continue
            files.setdefault(where, set()).add(identifier)
            _add(use, values, rank)
    for where, use in found.items():
        use["files"] = len(files[where])
    exe = str(report.metadata.get("exe", "")).split(" ")[0]
    result = {
        "job": str(job["jobid"]),
        "user": job["uid"],
        "processes": job["nprocs"],
        "start": start,
        "end": end,
        "seconds": float(job.get("run_time", end - start)),
        "executable": os.path.basename(exe),
        "partial": any(report.modules[name].get("partial_flag") for name in modules),
        "uncounted": [] if {"POSIX", "DFS", "MPI-IO"} & set(modules) else _uncounted(report),
        "mounts": found,
    }
    _keep_open.append(report)  # closing may write: leave that to no one
    return result


_keep_open: list[Any] = []


def _uncounted(report: Any) -> list[str]:
    return [name for name in _ABOVE if name in report.modules]


def _nothing(kind: str) -> dict[str, Any]:
    numbers = ("reads", "writes", "shared_bytes", "metadata_operations")
    times = ("read_seconds", "write_seconds", "metadata_seconds")
    return {
        "type": kind,
        "intervals": [],
        "operations": {},
        "requests": {},
        **dict.fromkeys(numbers, 0),
        **dict.fromkeys(times, 0.0),
    }


def _records(report: Any, module: str) -> Iterator[tuple[int, int, Mapping[str, float]]]:
    """(file id, rank or -1 for a file all ranks share, counters by name without the module's prefix)."""
    report.mod_read_all_records(module)
    prefix = _PREFIX[module] + "_"
    names = [name.removeprefix(prefix) for name in report.counters[module]["counters"]]
    times = [name.removeprefix(prefix) for name in report.counters[module]["fcounters"]]
    wanted = _METADATA[module]
    for record in report.records[module]:
        counters = dict(zip(names, record["counters"].tolist(), strict=True))
        values: dict[str, float] = dict(zip(times, record["fcounters"].tolist(), strict=True))
        values["reads"] = counters.get("BYTES_READ", 0)
        values["writes"] = counters.get("BYTES_WRITTEN", 0)
        for counter, operation in wanted.items():
            values[operation] = values.get(operation, 0) + max(0, counters.get(counter, 0))
        for counter, kind in _REQUESTS.items():
            if counter in counters:
                values[kind] = values.get(kind, 0) + max(0, counters[counter])
        if min(values["reads"], values["writes"]) < -1 or any(
            value - value != 0 for value in values.values()
        ):
            raise DamagedLog(f"its {module} records hold impossible numbers")
        yield int(record["id"]), int(record["rank"]), values


def _add(use: dict[str, Any], values: Mapping[str, float], rank: int) -> None:
    for direction, word in (("reads", "READ"), ("writes", "WRITE")):
        size = max(0, int(values[direction]))
        use[direction] += size
        if rank < 0:
            use["shared_bytes"] += size
        first, last = values.get(f"F_{word}_START_TIMESTAMP", 0.0), values.get(f"F_{word}_END_TIMESTAMP", 0.0)
        if size and 0 <= first <= last:
            use["intervals"].append([direction, first, last, size])
    for operation in _OPERATIONS:
        count = int(values.get(operation, 0))
        if count:
            use["operations"][operation] = use["operations"].get(operation, 0) + count
            use["metadata_operations"] += count
    for kind in dict.fromkeys(_REQUESTS.values()):
        if values.get(kind):
            use["requests"][kind] = use["requests"].get(kind, 0) + int(values[kind])
    use["read_seconds"] += max(0.0, values.get("F_READ_TIME", 0.0))
    use["write_seconds"] += max(0.0, values.get("F_WRITE_TIME", 0.0))
    use["metadata_seconds"] += max(0.0, values.get("F_META_TIME", 0.0))


def _mount(path: str, mounts: list[tuple[str, str]], prefixes: Sequence[str] = ()) -> tuple[str | None, str]:
    """The mount point (or longer prefix) a file is under, and its type; None: it is in no file system."""
    if path.startswith("<"):
        return None, ""
    place, kind = next((mount for mount in mounts if _under(path, mount[0])), ("/", "unknown"))
    inside = [prefix for prefix in prefixes if len(prefix) > len(place) and _under(path, prefix)]
    return max(inside, key=len, default=place), kind


def _under(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def answer(path: str, scratch: str, prefixes: Sequence[str] = ()) -> dict[str, Any]:
    """:func:`read_log` in a child process on a copy; ``{"error": ...}`` when it fails in whatever way."""
    copy, out, said = (os.path.join(scratch, name) for name in ("log.darshan", "result", "messages"))
    try:
        Path(copy).write_bytes(read_unpacked(path))
    except InputError as error:
        return {"error": error.problem}
    except OSError as error:
        return {"error": f"cannot read: {error.strerror}"}
    Path(out).unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _child(copy, out, said, prefixes)
    _, status = os.waitpid(child, 0)
    complaints = [line for line in Path(said).read_text(errors="replace").splitlines() if "rror" in line]
    # whether a damaged log ends in a complaint, an exception or a crash is a matter of chance
    if complaints:
        return {"error": f"damaged: {complaints[0].strip().removeprefix('Error: ').rstrip('.')}"}
    if os.WIFSIGNALED(status) or not os.path.exists(out):
        return {"error": "damaged: unreadable"}
    result: dict[str, Any] = orjson.loads(Path(out).read_bytes())
    return result


def _child(copy: str, out: str, said: str, prefixes: Sequence[str]) -> None:
    """Read one log and leave at once, without the library's closing work."""
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.chdir(os.path.dirname(copy))
    try:
        result = read_log(copy, prefixes)
    except DamagedLog as error:
        result = {"error": f"damaged: {error}"}
    except BaseException as error:
        result = {"error": f"damaged: {type(error).__name__}: {error}"}
    Path(out + "~").write_bytes(json_text.dumps(result))
    os.replace(out + "~", out)
    os._exit(0)


def main() -> None:
    """Answer each ``[path, prefixes]`` on standard input (JSON, one a line) with a line of JSON."""
    try:
        import darshan  # noqa: F401
    except (ImportError, RuntimeError):  # without its C library, which not every wheel brings
        print('{"missing": true}', flush=True)
        return
    scratch = sys.argv[1]  # a folder of the caller's, who removes it
    for line in sys.stdin.buffer:
        path, prefixes = json.loads(line)
        sys.stdout.buffer.write(json_text.dumps(answer(path, scratch, prefixes)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
