"""A plan counts what no job gives back, and somebody starts whenever somebody could."""

from __future__ import annotations

from pathlib import Path

import pytest
from fs_tiny import Ran, job, simulate_tiny

STORAGES = {
    "ost0": {"filesystem": "lustre", "size": "100B", "read": "10Bps", "write": "10Bps"},
    "ost1": {"filesystem": "lustre", "size": "100B", "read": "10Bps", "write": "10Bps"},
}


def run(folder: Path, jobs: list[object], queue: str, storages: int = 1) -> Ran:
    used = dict(list(STORAGES.items())[:storages])
    config = {"queue": queue, "default_filesystem": "lustre", "policy": "first_fit"}
    return simulate_tiny(folder, 2, used, jobs, config)  # type: ignore[arg-type]


def writing(size: int, **options: object) -> list[dict[str, object]]:
    return [{"filesystem": "lustre", "reads": 0, "writes": size, "options": options}]


@pytest.mark.parametrize("queue", ["plan", "plan_io", "filler", "plan:alpha=1"])
def test_what_a_data_set_holds_is_no_room_of_a_plan(tmp_path: Path, queue: str) -> None:
    """60 of 100 B are a data set's from 0 s on, written in 6 s; a job runs on one of two nodes until 100 s.
    At 9 and 10 s come jobs of 50 and of 30 B: the first has no room until the set goes, so the second starts
    when it comes and ends 3 s later, at 13 s. (A plan that counted 100 B put the first before it on the free
    node, and neither started before 100 s.)"""
    jobs = [
        job("long", cpu=100e9, at=0.0, walltime=100),
        job("set", at=0.0, io=writing(60, data_set="x", life=150), walltime=10),
        job("wide", at=9.0, io=writing(50), walltime=10),
        job("small", at=10.0, io=writing(30), walltime=10),
    ]
    ran = run(tmp_path, jobs, queue)
    assert ran.times("small") == pytest.approx((10.0, 13.0), abs=1e-3)


@pytest.mark.parametrize("queue", ["plan", "plan_io", "filler"])
def test_who_fits_by_file_system_only_holds_nobody_up(tmp_path: Path, queue: str) -> None:
    """Data sets hold 60 B on each of two targets of 100 B: 80 B are free, 40 on each. A job of 50 B on one
    target fits by file system, and on neither target; one of 30 B comes a second later and starts at 20 s."""
    jobs = [
        job("long", cpu=100e9, at=0.0, walltime=100),
        job("x", at=0.0, io=writing(60, data_set="x", life=150), walltime=10),
        job("y", at=10.0, io=writing(60, data_set="y", life=150), walltime=10),
        job("wide", at=19.0, io=writing(50), walltime=10),
        job("small", at=20.0, io=writing(30), walltime=10),
    ]
    ran = run(tmp_path, jobs, queue, storages=2)
    assert ran.times("small") == pytest.approx((20.0, 23.0), abs=1e-3)


@pytest.mark.parametrize("queue", ["plan", "filler"])
def test_storages_that_are_away_are_no_room_of_a_plan(tmp_path: Path, queue: str) -> None:
    """The only target is away from 5 to 25 s. One node runs a job until 100 s; one that comes at 10 s and
    writes 30 B starts when the target is back, and one without bytes at once."""
    jobs = [
        job("long", cpu=100e9, at=0.0, walltime=100),
        job("small", at=10.0, io=writing(30), walltime=10),
        job("plain", cpu=5e9, at=10.0, walltime=10),
    ]
    away = {"fault": [{"at": 5, "storage": "ost0", "state": "down", "lasts": 20}]}
    config = {"queue": queue, "default_filesystem": "lustre", "faults": away}
    ran = simulate_tiny(tmp_path, 2, {"ost0": STORAGES["ost0"]}, jobs, config)
    assert ran.times("plain") == pytest.approx((10.0, 15.0), abs=1e-3)
    assert ran.times("small")[0] == pytest.approx(25.0, abs=1e-2)
