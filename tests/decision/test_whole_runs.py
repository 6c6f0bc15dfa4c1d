"""Scheduler, file systems and simulator together on random workloads: bytes add up, nothing is over capacity.

Dynamic jobs on and off, kills by a queue policy at random moments, walltimes that are too short; ``validate``
recomputes the books after every message.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batfs.decision.experiment import Experiment
from batfs.decision.run import run
from batfs.scheduling.config import Layer, Settings
from batfs.workload import write_workload
from batfs.workload.model import Delay, Job, ParallelHomogeneous, Workload

ROOT = Path(__file__).parents[2]

# starts whatever fits, and kills running jobs now and then
KILLER = """
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass

class Killer:
    name = "killer"

    def __init__(self, every: int = 3) -> None:
        self.every = every
        self.passes = 0

    def schedule(self, view):
        self.passes += 1
        starts = [placed for job in view.queue if not isinstance(placed := view.place(job), Hold)]
        running = list(view.running)
        kills = [view.rng.choice(running)] if running and self.passes % self.every == 0 else []
        return Pass(starts, kills, wake_at=view.now + 7.0 if running and not kills else None)
"""

STORAGES = ("disk", "nfs", "lustre", "bb", "nvme")


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    jobs, profiles = [], {}
    for k in range(draw(st.integers(1, 10))):
        parts = draw(st.lists(st.sampled_from(STORAGES), max_size=3, unique=True))
        io = [
            {
                "filesystem": name,
                "reads": draw(st.sampled_from([0, 1, 10**6 + 7, 3 * 10**10])),
                "writes": draw(st.sampled_from([0, 13, 5 * 10**9, 10**11])),
            }
            for name in parts
        ]
        extra = {"io": io} if io else {}
        if draw(st.integers(0, 9)) == 0:
            profile: Delay | ParallelHomogeneous = Delay(draw(st.integers(1, 50)), extra)
        else:
            profile = ParallelHomogeneous(draw(st.sampled_from([0.0, 1e9, 5e11])), 1e3, extra)
        profiles[f"p{k}"] = profile
        walltime = draw(st.sampled_from([None, 5.0, 100.0, 1000.0]))
        at = float(draw(st.integers(0, 30)))
        jobs.append(Job(f"w0!{k}", at, draw(st.integers(1, 8)), f"p{k}", walltime))
    jobs.sort(key=lambda job: (job.submission_time, job.id))
    return Workload("w0", 16, jobs, profiles)


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True], ids=["plain", "dynamic"])
@pytest.mark.parametrize("queue", ["easy", "KILLER"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workload=workloads(), policy=st.sampled_from(["random", "round_robin", "worst_fit", "first_fit"]))
def test_bytes_add_up(dynamic: bool, queue: str, tmp_path: Path, workload: Workload, policy: str) -> None:
    write_workload(tmp_path / "w.json", workload)
    if queue == "KILLER":
        (tmp_path / "killer.py").write_text(KILLER)
        queue = f"{tmp_path}/killer.py:Killer"
    flags = {"policy": policy, "queue": queue, "validate": True}
    experiment = Experiment(
        ROOT / "platforms/taurus_storage.xml", [tmp_path / "w.json"], dynamic_jobs=dynamic
    )
    result = run(experiment, Settings(flags=Layer("test", flags)), tmp_path / "out")
    assert not result.deadlock
    rows = list(csv.DictReader((tmp_path / "out_io_jobs.csv").open(newline="")))
    started = {row["job_id"] for row in rows if row["allocated_resources"]}
    read = written = 0
    for job in workload.jobs:
        profile = workload.profiles[job.profile]
        moved = dynamic or not isinstance(profile, Delay)
        asked = {part["filesystem"]: part for part in profile.extra.get("io", ())}
        asked = {name: part for name, part in asked.items() if part["reads"] or part["writes"]}
        ours = {row["file_system"]: row for row in rows if row["job_id"] == job.name}
        if job.name in started:
            assert ours.keys() == asked.keys()
        for name, row in ours.items():
            expected = asked[name] if moved and job.name in started else {"reads": 0, "writes": 0}
            for key, by, amount in (
                ("read_bytes", "read_by_storage", expected["reads"]),
                ("written_bytes", "written_by_storage", expected["writes"]),
            ):
                assert int(row[key]) == amount
                assert sum(int(pair.split(":")[1]) for pair in row[by].split()) == amount
            read += int(row["read_bytes"])
            written += int(row["written_bytes"])
    totals = result.summary["file_systems"].values()
    assert (read, written) == (
        sum(t["read_bytes"] for t in totals),
        sum(t["written_bytes"] for t in totals),
    )
    last: dict[str, str] = {}
    for state in csv.DictReader((tmp_path / "out_storage_states.csv").open(newline="")):
        assert 0 <= int(state["used_bytes"]) <= int(state["reserved_bytes"]) <= int(state["capacity"])
        assert int(state["active_transfers"]) >= 0
        last[state["storage"]] = state["reserved_bytes"]
    assert set(last.values()) == {"0"}
