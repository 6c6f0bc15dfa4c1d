"""An entry that moves no bytes may say something of a data set all the same: on a tier that is for
the file system behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched

STORAGES = {
    "front0": {"filesystem": "front", "size": "200B", "read": "100Bps", "write": "100Bps"},
    "o0": {"filesystem": "lustre", "size": "1000B", "read": "10Bps", "write": "10Bps"},
}
FRONTS = ("burst_buffer:backing=lustre", "nvme_pool:backing=lustre", "cache:backing=lustre", "pfs")


def run(folder: Path, front: str, jobs: list[Any], dynamic: bool = True) -> Ran:
    config = {"filesystems": {"front": {"model": front}}, "default_filesystem": "lustre"}
    return simulate_tiny(folder, 2, STORAGES, jobs, config, dynamic=dynamic, process=watched())


def entry(writes: int, **options: Any) -> list[dict[str, Any]]:
    return [{"filesystem": "front", "reads": 0, "writes": writes, "options": options}]


@pytest.mark.parametrize("front", FRONTS)
def test_a_size_alone_makes_a_data_set(tmp_path: Path, front: str) -> None:
    """50 B are held when the job has ended, though it moved none."""
    ran = run(tmp_path, front, [job("a", cpu=1e9, io=entry(0, data_set="x", size=50))])
    assert [(row.name, row.size) for row in ran.sets] == [("x", 50)]


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("front", FRONTS)
def test_who_deletes_need_not_move(tmp_path: Path, front: str, dynamic: bool) -> None:
    """The set of 50 B that the first job writes goes with the second, which moves nothing, at 61 s."""
    jobs = [
        job("a", cpu=1e9, io=entry(50, data_set="x")),
        job("b", cpu=1e9, at=60.0, io=entry(0, data_set="x", delete=True)),
    ]
    ran = run(tmp_path, front, jobs, dynamic)
    assert [(row.name, row.size, row.ended) for row in ran.sets] == [("x", 50, pytest.approx(61.0, abs=0.1))]
    assert not any(ran.reserved.values())
