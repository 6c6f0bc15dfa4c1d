"""Measurements from what jobs did: Darshan logs, and traces with each job's seconds of I/O (as Fives's).

Both tell the seconds that processes spent reading (writing), summed over them. Over their number that is what
one process took, so bytes over it is the bandwidth of all together. Others used the machine at the same time:
what is fitted is what a job could expect, and its spread says how much that varied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batfs.campaign.calibration.ior import Measurement
from batfs.errors import InputError
from batfs.workload.access import Way
from batfs.workload.darshan import access_of, named, read_logs
from batfs.workload.foreign import is_darshan


def is_recorded(path: Path) -> bool:
    """Whether this is a Darshan log, or a trace in YAML."""
    if path.suffix in (".yaml", ".yml"):
        return True
    try:
        with open(path, "rb") as stream:
            return is_darshan(stream.read(1 << 16)) or ".darshan" in path.name
    except OSError:
        return False


def read_recorded(
    paths: Sequence[Path], nodes: int = 0, processes: int = 0, mounted: str | None = None
) -> list[Measurement]:
    """What these logs and traces measured; ``mounted``: the type or the mount point of the file systems that
    count (None: all). InputError where nothing was."""
    from batfs.workload.account import Report

    traces = [path for path in paths if path.suffix in (".yaml", ".yml")]
    found = [m for path in traces for m in _trace(path)]
    logs = [path for path in paths if path not in traces]
    if logs:
        report = Report("Darshan logs")
        for log in read_logs(logs, report):
            found += _log(log, nodes, processes, mounted)
    if not found:
        of = "" if mounted is None else f" on {mounted}"
        raise InputError(f"no reads or writes that took time{of}", file=paths[0])
    return found


def _log(log: Mapping[str, Any], nodes: int, processes: int, mounted: str | None) -> list[Measurement]:
    count = int(log["processes"])
    used = int(log.get("nodes") or 0) or nodes or -(-count // max(1, processes))
    each = -(-count // used)
    found = []
    for mount, use in sorted(log["mounts"].items()):
        if mounted is not None and mounted not in (mount, named(mount, use["type"], {})):
            continue
        access = access_of(use.get("requests", {}), use["reads"], use["writes"], each)
        own = 2 * use["shared_bytes"] < use["reads"] + use["writes"]
        where = f"job {log['job']}: {mount}"
        for direction, size, way in (
            ("read", use["reads"], access.reads),
            ("write", use["writes"], access.writes),
        ):
            seconds = float(use[f"{direction}_seconds"]) / count
            if size > 0 and seconds > 0:
                found.append(Measurement(direction, used, each, way, own, size / seconds, where))
    return found


def _trace(path: Path) -> list[Measurement]:
    """A trace with the seconds of I/O of each job. It doesn't tell requests and files: sequential ones, a
    file a process, are assumed."""
    from batfs.campaign.reproduce.theta import compare, read_bursts

    bursts, jobs = read_bursts(path)
    return [
        Measurement(
            *(c.direction, c.nodes, max(1, round(c.processes / c.nodes)), Way(), True, c.size / c.measured),
            f"{path.name}: job {c.job}",
        )
        for c in compare(bursts, jobs, dict.fromkeys((burst.id for burst in bursts), 0.0))
    ]
