"""Metadata operations: those that files stand for, those that a job names, and what tiers pass on of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import Ran, job, simulate_tiny

from batfs.errors import InputError
from batfs.filesystems.interface import Volume
from batfs.workload.io import requested_io
from batfs.workload.model import ParallelHomogeneous

MB = 10**6
STORAGES = {
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "100MBps"},
    "b0": {"filesystem": "bb", "size": "10GB", "read": "1GBps", "write": "1GBps"},
    "b1": {"filesystem": "bb", "size": "10GB", "read": "1GBps", "write": "1GBps"},
}
SERVER = {2: {"service": "metadata", "filesystem": "lustre"}}


def run(folder: Path, front: str, io: dict[str, Any], nodes: int = 2) -> Ran:
    """One job with this I/O; an operation takes 1 ms of the one metadata server."""
    table = {"lustre": {"model": "pfs:operation_work=1e6"}, "bb": {"model": front}}
    jobs = [job("1", nodes, 0.0, io=[io])]
    config = {"filesystems": table, "policy": "round_robin"}
    return simulate_tiny(folder, 3, STORAGES, jobs, config, dynamic=True, properties=SERVER)


def close(seconds: float) -> object:
    return pytest.approx(seconds, abs=1e-4)


def test_files_without_bytes_take_their_time(tmp_path: Path) -> None:
    """1,000 files x 3 operations x 2 nodes x 1 ms = 6 s; named, 10 + 5 operations are 15 ms."""
    ran = run(tmp_path, "burst_buffer", {"filesystem": "lustre", "files": 1000})
    assert ran.duration("1") == close(6.0)
    ran = run(tmp_path, "burst_buffer", {"filesystem": "lustre", "operations": {"open": 10, "stat": 5}})
    assert ran.duration("1") == close(0.015)


def test_named_operations_stand_in_the_place_of_those_of_files(tmp_path: Path) -> None:
    """2,000 operations of the whole job take 2 s, however many nodes and files there are."""
    for files in (1, 5000):
        entry = {"filesystem": "lustre", "reads": MB, "files": files, "operations": {"open": 2000}}
        assert run(tmp_path, "burst_buffer", entry).duration("1") == close(2.0)


def test_a_pool_passes_operations_without_bytes_on(tmp_path: Path) -> None:
    """3,000 operations take 3 s on the server of the file system behind it, as of a burst buffer."""
    ran = run(tmp_path, "nvme_pool:backing=lustre", {"filesystem": "bb", "operations": {"mkdir": 3000}})
    assert ran.duration("1") == close(3.0)


@pytest.mark.parametrize(("front", "kind"), [("burst_buffer", "stage_in"), ("cache", "job")])
def test_tiers_pass_operations_on(tmp_path: Path, front: str, kind: str) -> None:
    """Without bytes, 3,000 operations on a tier take 3 s on the server of the file system behind it; and so
    do 1,000 files (3 operations each, opened once) staged from there: 100 MB at 100 MB/s would be 1 s.
    Of a cache, both nodes open them: 6 s."""
    model = f"{front}:backing=lustre"
    ran = run(tmp_path, model, {"filesystem": "bb", "operations": {"mkdir": 3000}})
    assert ran.duration("1") == close(3.0)
    entry = {"filesystem": "bb", "reads": 100 * MB, "files": 1000, "options": {"data_set": "x"}}
    if front == "burst_buffer":
        del entry["options"]
        ran = run(tmp_path, model, entry)
        moves = {end - start for name, (start, end) in ran.kinds().items() if name.endswith("stage_in")}
        assert len(ran.kinds()) == 2
        # 500 files from each of the two buffers, at the same time on one server
        assert max(moves) == close(3.0)
    else:
        assert run(tmp_path, model, entry).duration("1") == close(6.0)


def test_staged_files_are_touched_once_shared_out_over_the_buffers() -> None:
    """Two buffers stage 7 files in and out: 4 + 3 files each way, and of 20 operations in proportion to the
    bytes: 60 read and 40 written, half of each on each buffer: 6 + 6 and 4 + 4."""
    m = Machine(
        [node(0), node(1), node(5, service="metadata", filesystem="lustre")],
        [storage(10, "bb", "100B"), storage(11, "bb", "100B"), storage(20, "lustre", "1kB")],
        {"filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre"}}},
        dynamic_jobs=True,
    )
    plan = m.one((0, 1), Volume("bb", 60, 40, 7))
    asked = [(request.part.split(".")[0], request.volume.files) for request, _ in plan.behind]
    assert asked == [("stage_in", 4), ("stage_in", 3), ("stage_out", 4), ("stage_out", 3)]
    work = [move.flops[5] for move in (*plan.stage_in, *plan.stage_out)]
    assert work == [4 * 3 * 2e4, 3 * 3 * 2e4] * 2
    named = m.one((0, 1), Volume("bb", 60, 40, operations={"open": 20}))
    assert [move.flops[5] for move in (*named.stage_in, *named.stage_out)] == [1.2e5, 1.2e5, 8e4, 8e4]


def test_an_entry_without_bytes_may_ask_for_space_or_checkpoints() -> None:
    profile = ParallelHomogeneous(
        1.0,
        0.0,
        {
            "io": [
                {"filesystem": "a"},
                {"filesystem": "b", "reads": 0, "pattern": "per_node"},
                {"filesystem": "c", "options": {"capacity": 100}},
                {"filesystem": "d", "files": 1},
                {"filesystem": "e", "operations": {"open": 0}},
                {"filesystem": "f", "operations": {"open": 1}},
            ]
        },
    )
    assert [part.filesystem for part in requested_io(profile)] == ["c", "d", "f"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"open": -1}, r"io\[0\]\.operations\.open.*not negative|operations\.open: found -1"),
        ({"open": 1.5}, r"operations\.open: found 1\.5, expected an integer"),
        (["open"], r"operations: found an array of 1, expected an object"),
        (7, r"operations: found 7, expected an object"),
    ],
)
def test_operations_that_are_none(given: object, said: str) -> None:
    profile = ParallelHomogeneous(1.0, 0.0, {"io": [{"filesystem": "a", "operations": given}]})
    with pytest.raises(InputError, match=said):
        requested_io(profile)
