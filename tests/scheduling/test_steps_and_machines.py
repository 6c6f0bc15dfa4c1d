"""The next step of a job isn't begun on a machine that has become unavailable: it waits, with its walltime
running. One node of 1 Gflop/s; the target reads and writes 100 MB/s; there are no latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, job, simulate_tiny, work

from batfs.simulator import read_events

MB = 10**6
TARGET = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "100MBps"}}


def run(folder: Path, jobs: Any, away: tuple[float, float], nodes: int = 1, **more: Any) -> Ran:
    events = folder / "events.txt"
    events.write_text(
        f'{{"type": "machine_unavailable", "resources": "0", "timestamp": {away[0]}}}\n'
        f'{{"type": "machine_available", "resources": "0", "timestamp": {away[1]}}}\n'
    )
    told = [read_events(events, forward_unknown=False)]
    return simulate_tiny(folder, nodes, more.pop("storages", TARGET), jobs, more, dynamic=True, events=told)


def flat(spans: Any) -> list[float]:
    return [time for span in sorted(spans) for time in span]


def near(spans: list[tuple[float, float]]) -> object:
    return pytest.approx(flat(spans), abs=1e-4)


def phased(**more: Any) -> dict[str, Any]:
    io = [{"filesystem": "lustre", "reads": 500 * MB, "writes": 500 * MB, "options": {"timing": "phases"}}]
    return job("1", 1, 5e9, io=io, **more)


def test_a_step_under_way_ends_and_the_next_waits(tmp_path: Path) -> None:
    """Reading ends at 5 s though the machine goes at 3; computing waits until it is back at 12, ends at 17;
    writing ends at 22."""
    ran = run(tmp_path, [phased()], (3, 12))
    steps = [*ran.kinds().values(), ran.times("1")]
    assert flat(steps) == near([(0.0, 5.0), (12.0, 17.0), (17.0, 22.0)])


def test_a_machine_that_is_back_in_time_costs_nothing(tmp_path: Path) -> None:
    ran = run(tmp_path, [phased()], (1, 4))
    assert sorted([*ran.kinds().values(), ran.times("1")])[-1] == pytest.approx((10.0, 15.0), abs=1e-4)


def test_its_walltime_runs_on(tmp_path: Path) -> None:
    """With 8 s it is over at 8, while the computation waits: what was never sent is rejected, the node is
    free for the next job as soon as the machine is back, and no byte stays reserved (the books are checked
    after every message, and at the end)."""
    ran = run(tmp_path, [phased(walltime=8), job("2", 1, 1e9, at=1)], (3, 12))
    assert ran.jobs["w0!1"].state == "REJECTED"
    assert ran.times("2") == pytest.approx((12.0, 13.0), abs=1e-4)


def test_other_machines_go_on(tmp_path: Path) -> None:
    """The job on node 1 isn't held up by node 0."""
    ran = run(tmp_path, [job("0", 1, 1e9), phased()], (3, 30), nodes=2)
    assert sorted([*ran.kinds().values()])[-1] == pytest.approx((10.0, 15.0), abs=1e-4)


def test_phases_of_a_composed_job_wait(tmp_path: Path) -> None:
    """Three executions of a phase of 4 s (200 MB, 2 s, beside 4 s of work); the machine is away from 5 to 20:
    the second ends at 8, the third is 20 to 24."""
    children = {"step": work(4.0, io=[{"filesystem": "lustre", "writes": 200 * MB}])}
    ran = run(tmp_path, [composed("1", ["step"], children, repeat=3)], (5, 20))
    assert flat(ran.kinds().values()) == near([(0.0, 4.0), (4.0, 8.0), (20.0, 24.0)])


def test_parts_between_checkpoints_wait(tmp_path: Path) -> None:
    """Staging concerns storages alone: it goes on while the machine is away (0.5 to 9), and the parts wait.
    Stage-in 1 s; two parts of 2 s, a checkpoint of 1 s between them: 9 to 14."""
    fast = {"read": "100MBps", "write": "100MBps"}
    storages = {"b0": {"filesystem": "bb", "size": "10GB", **fast}, **TARGET}
    options = {"checkpoints": 1, "checkpoint_bytes": 100 * MB}
    io = [{"filesystem": "bb", "reads": 100 * MB, "options": options}]
    tables = {"bb": {"model": "burst_buffer", "backing": "lustre"}, "lustre": {"model": "pfs"}}
    ran = run(tmp_path, [job("1", 1, 4e9, io=io)], (0.5, 9), storages=storages, filesystems=tables)
    steps = {name.split(".")[-1] + name.split(".")[2]: times for name, times in ran.kinds().items()}
    assert steps["stage_in0"] == pytest.approx((0.0, 1.0), abs=1e-4)
    parts = sorted(times for name, times in steps.items() if name.startswith(("compute", "checkpoint")))
    assert flat(parts) == near([(9.0, 11.0), (11.0, 12.0), (12.0, 14.0)])
