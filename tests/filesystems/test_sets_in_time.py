"""Data sets that go by themselves, where a scheduler decides and where the proxy does: at their time, and
heard of by whoever waits for their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, work
from test_proxy import behind_proxy

from batfs.protocol import messages as m
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import Observer, StorageState

AT_ONCE = """
from batsim.batsim import BatsimScheduler
from procset import ProcSet

class Once(BatsimScheduler):
    def onJobSubmission(self, job):
        job.allocation = ProcSet(int(job.id[3:]))
        self.bs.execute_jobs([job])
    def onJobCompletion(self, job):
        pass
"""
ONE = {"o": {"filesystem": "lustre", "size": "100B", "read": "10Bps", "write": "10Bps"}}


def run(folder: Path, who: str, jobs: Sequence[dict[str, Any]], *, purge: str = "", dynamic: bool) -> Ran:
    """On two nodes and a target of 100 bytes; ``who`` decides."""
    options: dict[str, Any] = {"model": "pfs"} | ({"purge": purge} if purge else {})
    (folder / "once.py").write_text(AT_ONCE)
    make = None if who == "scheduler" else behind_proxy(str(folder / "once.py"))
    config = {"filesystems": {"lustre": options}, "validate": True}
    return simulate_tiny(folder, 2, ONE, jobs, config, process=make, dynamic=dynamic)


@pytest.mark.parametrize("dynamic", [False, True], ids=["", "dynamic"])
@pytest.mark.parametrize("purge, gone", [("", 50.0), ("age:after=50s", 59.0)], ids=["life", "age"])
@pytest.mark.parametrize("who", ["scheduler", "proxy"])
def test_who_waits_for_bytes_hears_when_a_set_goes(
    tmp_path: Path, who: str, purge: str, gone: float, dynamic: bool
) -> None:
    """80 of 100 bytes are written from 1 to 9 s as a set that lives until 50 s, or goes when nobody has used
    it for 50 s. A job that comes at 20 s writes 50 bytes in 5 s: from when the set goes. Nothing else moves
    meanwhile that could wake anybody."""
    options = {"data_set": "x"} | ({} if purge else {"life": "50s"})
    jobs = [
        job("0", io=[{"filesystem": "lustre", "writes": 80, "options": options}], at=1.0),
        job("1", io=[{"filesystem": "lustre", "writes": 50}], at=20.0),
    ]
    ran = run(tmp_path, who, jobs, purge=purge, dynamic=dynamic)
    found = ran.jobs["w0!1"]
    assert (found.state, round(found.start, 3), round(found.runtime, 3)) == (
        "COMPLETED_SUCCESSFULLY",
        gone,
        5,
    )


def test_a_set_past_its_life_goes_with_the_last_job_that_uses_it(tmp_path: Path) -> None:
    """A set of 50 bytes that lives until 3 s is written from 1 to 6 s: its bytes are free at 6 s, at the
    message that says so, and not at the next one (of a job that computes until 9 s)."""

    held: dict[float, int] = {}

    class Books(Observer):
        def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
            held[round(now, 3)] = states[0][1]

    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        return Scheduler(settings, files, observer=Books())

    entry = {"filesystem": "lustre", "writes": 50, "options": {"data_set": "x", "life": "3s"}}
    jobs = [job("0", io=[entry], at=1.0), job("1", profile=work(8.0), at=1.0)]
    simulate_tiny(tmp_path, 2, ONE, jobs, {"filesystems": {"lustre": {"model": "pfs"}}}, process=make)
    assert held == {1.0: 50, 6.0: 0}
