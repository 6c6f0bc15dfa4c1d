"""Under ``timing=phases`` whatever a read causes runs in the read phase, whatever a write causes in the write
phase. Nodes have 1 GB/s each way; storages read and write at the rates given; there are no latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import job, simulate_tiny

MB = 10**6
FAST = {"filesystem": "lustre", "read": "1GBps", "write": "1GBps"}
TARGETS = {f"s{i}": FAST for i in range(4)}
SLOW = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}


def phases(
    folder: Path,
    storages: Any,
    model: str,
    reads: int,
    writes: int,
    *,
    properties: Any = None,
    where: str = "lustre",
    nodes: int = 2,
    **entry: Any,
) -> dict[str, float]:
    """Seconds of the read phase, the computation (1 s) and the write phase of one job on two nodes."""
    io = [{"filesystem": where, "reads": reads, "writes": writes, **entry}]
    table = {where: {"model": model}, **({} if where == "lustre" else {"lustre": {"model": "pfs"}})}
    ran = simulate_tiny(
        folder,
        nodes + len(properties or {}),
        storages,
        [job("1", nodes, 1e9, io=io)],
        {"filesystems": table, "policy": "first_fit"},
        dynamic=True,
        properties=properties,
    )
    found = {kind.rsplit(".", 1)[1]: end - start for kind, (start, end) in ran.kinds().items()}
    return {"compute": ran.duration("1"), **found}


def close(**seconds: float) -> object:
    return pytest.approx(seconds, abs=1e-4)


def test_forwarding_goes_with_the_direction_that_causes_it(tmp_path: Path) -> None:
    """One gateway (1 GB/s each way) carries all: 2,000 MB read come in and go out in 2 s, 1,000 MB written in
    1 s. Run together with the writes, the forwarding of the reads would make that phase 3 s."""
    gateway = {2: {"service": "gateway", "filesystem": "lustre"}}
    model = "pfs:stripe_count=4,stripe_size=1MB,timing=phases"
    assert phases(tmp_path, TARGETS, model, 2000 * MB, 1000 * MB, properties=gateway) == close(
        read=2.0, compute=1.0, write=1.0
    )
    assert phases(tmp_path, TARGETS, model, 2000 * MB, 0, properties=gateway) == close(read=2.0, compute=1.0)
    assert phases(tmp_path, TARGETS, model, 0, 1000 * MB, properties=gateway) == close(compute=1.0, write=1.0)


def test_overhead_goes_with_the_direction_that_causes_it(tmp_path: Path) -> None:
    """At half of its bandwidth the target moves twice the bytes: 400 MB read at 100 MB/s are 8 s, 200 MB
    written at 50 MB/s are 8 s."""
    model = "pfs:efficiency=1:0.5,timing=phases"
    assert phases(tmp_path, SLOW, model, 400 * MB, 200 * MB) == close(read=8.0, compute=1.0, write=8.0)
    assert phases(tmp_path, SLOW, model, 400 * MB, 0) == close(read=8.0, compute=1.0)


def test_a_fill_goes_with_the_reads(tmp_path: Path) -> None:
    """400 MB come from the target at 100 MB/s in 4 s, and are copied into the cache at 50 MB/s in 8 s. What
    is written (50 MB) is written through in 1 s, and copied in 1 s."""
    storages = {
        **SLOW,
        "c0": {"filesystem": "fast", "size": "10GB", "read": "1GBps", "write": "50MBps"},
    }
    model = "cache:backing=lustre,timing=phases"
    found = phases(tmp_path, storages, model, 400 * MB, 50 * MB, where="fast", options={"data_set": "x"})
    assert found == close(read=8.0, compute=1.0, write=1.0)


def test_metadata_goes_with_the_bytes(tmp_path: Path) -> None:
    """1,000 operations of 4e6 flops are 4 s on a server of 1 Gflop/s. All of them in the write phase of a job
    that only writes, in the read phase of one that only reads; three quarters and one quarter of them where
    300 MB are read and 100 MB written (the bytes take 3 s and 2 s)."""
    server = {2: {"service": "metadata", "filesystem": "lustre"}}
    model = "pfs:operation_work=4e6,timing=phases"
    given = {"properties": server, "operations": {"open": 600, "close": 400}}
    assert phases(tmp_path, SLOW, model, 0, 5 * MB, **given) == close(compute=1.0, write=4.0)
    assert phases(tmp_path, SLOW, model, 5 * MB, 0, **given) == close(read=4.0, compute=1.0)
    assert phases(tmp_path, SLOW, model, 300 * MB, 100 * MB, **given) == close(
        read=3.0, compute=1.0, write=2.0
    )
    assert phases(tmp_path, SLOW, model, 0, 0, **given) == close(read=4.0, compute=1.0)
