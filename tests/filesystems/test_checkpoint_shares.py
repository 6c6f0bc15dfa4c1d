"""Checkpoints cut a job's own I/O as they cut its computation: R / r + C + c K / w, where overlapped I/O is
hidden by C. Nodes of 1 Gflop/s; the buffer reads 1 GB/s and writes 600 MB/s; the target behind 500 MB/s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fs_tiny import Ran, job, simulate_tiny, sleep
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.filesystems.script import cut_io
from batfs.workload.model import IoProfile

MB = 10**6
STORAGES = {
    "b0": {"filesystem": "bb", "size": "20GB", "read": "1GBps", "write": "600MBps"},
    "s0": {"filesystem": "lustre", "read": "500MBps", "write": "500MBps"},
}
TABLES = {"bb": {"model": "burst_buffer", "backing": "lustre"}, "lustre": {"model": "pfs"}}


def run(folder: Path, seconds: float, reads: int, writes: int, times: int, size: int, **more: Any) -> Ran:
    options = {"checkpoints": times, "checkpoint_bytes": size}
    io = [{"filesystem": "bb", "reads": reads, "writes": writes, "options": options}]
    one = job("1", 1, seconds * 1e9, io=io, **more)
    return simulate_tiny(folder, 1, STORAGES, [one], {"filesystems": TABLES}, dynamic=True)


def held(ran: Ran) -> float:
    """Seconds from the beginning until the last part has computed."""
    return max(
        end for name, (_, end) in ran.kinds().items() if name.endswith((".compute", ".checkpoint", ".io"))
    )


def close(seconds: float) -> object:
    return pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize("profile", ["merged", "beside"])
def test_io_that_the_computation_hides(tmp_path: Path, profile: str) -> None:
    """C = 9 s, 4,200 MB written at 600 MB/s are 7 s, 2 checkpoints of 600 MB are 1 s each: 9 + 2 = 11 s. Each
    of the three parts computes 3 s and writes 1,400 MB meanwhile. All of it beside the first part alone would
    make that one 7 s, 15 s in all. A sleep can't be merged with I/O, which then runs beside it."""
    more = {} if profile == "merged" else {"profile": sleep(9.0)}
    ran = run(tmp_path, 9.0, 0, 4200 * MB, 2, 600 * MB, **more)
    assert held(ran) == close(11.0)
    kinds = [name.rsplit(".", 1)[1] for name in ran.kinds()]
    assert kinds.count("io") == (0 if profile == "merged" else 3)


def test_staging_in_comes_before_it(tmp_path: Path) -> None:
    """R / r = 1,500 MB at 500 MB/s: 3 s; C = 4 s, in which 1,500 MB are read at 1 GB/s; K / w = 2 s, once."""
    assert held(run(tmp_path, 4.0, 1500 * MB, 0, 1, 1200 * MB)) == close(3 + 4 + 2)


def test_io_that_is_slower_than_the_computation(tmp_path: Path) -> None:
    """3,600 MB at 600 MB/s are 6 s, 3 s in each of two parts that compute 1 s; a checkpoint of 1 s between
    them: 7 s."""
    assert held(run(tmp_path, 2.0, 0, 3600 * MB, 1, 600 * MB)) == close(7.0)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_every_byte_is_in_one_part(volumes: list[int], parts: int) -> None:
    """The parts add up to the whole, transfer by transfer, and differ by a byte at most in each."""
    n = len(volumes)
    io = IoProfile(
        np.arange(n + 1), np.full(n, n), np.arange(n), np.array(volumes, dtype=float), np.full(n + 1, 6.0)
    )
    shares = cut_io(io, parts)
    assert len(shares) == parts
    total = np.zeros(n)
    for share in shares:
        assert share is not None
        part = np.zeros(n)
        part[share.destinations] = share.volumes
        assert (np.abs(part - np.array(volumes) / parts) < 1).all()
        assert (share.volumes > 0).all()
        assert share.flops is not None
        assert share.flops.tolist() == [6.0 / parts] * (n + 1)
        total += part
    assert total.tolist() == volumes
