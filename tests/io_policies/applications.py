"""Applications that compute and write on a machine with one file system, and what became of them.

Every node computes 1 Gflop/s; the file system ``pfs`` takes and gives 100 MB/s. Nothing else limits a
transfer, so times are seconds of work and bytes / bandwidth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fs_tiny import Ran, composed, job, simulate_tiny, watched, work

MB, GB = 10**6, 10**9
PFS = {"filesystem": "pfs", "size": "100TB", "read": "100MBps", "write": "100MBps"}
#: Two throttles and the end they share, last in order.
THROTTLES: dict[str, dict[str, Any]] = {
    "~end": {"service": "throttle", "read": "1GBps", "write": "1TBps"},
    "~t0": {"service": "throttle", "throttle_bandwidth": "1GBps", "read": "1GBps", "write": "1GBps"},
    "~t1": {"service": "throttle", "throttle_bandwidth": "1GBps", "read": "1GBps", "write": "1GBps"},
}


def io(reads: int = 0, writes: int = 0, filesystem: str = "pfs") -> dict[str, Any]:
    """A profile's I/O, in phases of its own."""
    entry = {"filesystem": filesystem, "reads": reads, "writes": writes, "options": {"timing": "phases"}}
    return {"io": [entry]}


def once(name: str, seconds: float, *, nodes: int = 1, at: float = 0.0, **amounts: int) -> dict[str, Any]:
    """Reads, computes, writes."""
    return job(name, nodes, seconds * 1e9, at, **io(**amounts))


def periodic(
    name: str, times: int, seconds: float, writes: int, *, nodes: int = 1, at: float = 0.0
) -> dict[str, Any]:
    """``times`` times: computes, then writes."""
    child = {f"c{name}": work(seconds, **io(writes=writes))}
    return composed(name, [f"c{name}"], child, nodes, repeat=times, at=at)


def run(
    folder: Path,
    policy: str,
    jobs: Sequence[dict[str, Any]],
    *,
    nodes: int | None = None,
    storages: Mapping[str, Any] | None = None,
    members: Mapping[str, Mapping[str, Any]] | None = None,
    **config: Any,
) -> Ran:
    """Every application has its nodes from its submission on. ``members``: more of jobs, by name."""
    for one in jobs:
        one["job"].update((members or {}).get(one["job"]["id"], {}))
    wanted = nodes or sum(one["job"]["res"] for one in jobs)
    config = {"io_policy": policy, "measure_io": True, **config}
    return simulate_tiny(
        folder, wanted, storages or {"pfs": PFS}, jobs, config, dynamic=True, process=watched()
    )


def spans(ran: Ran) -> dict[str, tuple[float, float]]:
    """Each transfer, by job and kind (``a.write``, ``a.write1``, ...): from when its first piece started
    until its last one ended."""
    found: dict[tuple[str, int, str], tuple[float, float]] = {}
    for name, (start, end) in ran.kinds().items():
        _, job_name, step, kind = name.split(".")
        if kind == "compute":
            continue
        key = job_name, int(step.partition("-")[0]), kind
        first, last = found.get(key, (start, end))
        found[key] = min(first, start), max(last, end)
    out: dict[str, tuple[float, float]] = {}
    for (job_name, _, kind), span in sorted(found.items()):
        count = sum(key.startswith(f"{job_name}.{kind}") for key in out)
        out[f"{job_name}.{kind}{count or ''}"] = (round(span[0], 3), round(span[1], 3))
    return out
