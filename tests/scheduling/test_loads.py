"""What is under way when a job is planned: also what jobs of the same pass will do, and moves between tiers.
Nodes have 1 GB/s each way; there are no latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched

from batfs.filesystems import traffic as t

MB = 10**6
DRIVES = {
    f"v{k}": {
        "filesystem": "nvme",
        "server": f"oss{k}",
        "size": "300GB",
        "read": "100MBps",
        "write": "100MBps",
    }
    for k in range(3)
}
COUNTING = ("least_loaded", "max_bandwidth", "power_of_two:d=3,by=transfers")


def where(ran: Ran) -> dict[str, list[int]]:
    return {
        record.job.name: sorted({p.storage for plan in record.plans for p in plan.placements})
        for record in sorted(ran.records, key=lambda record: record.job.name)
    }


def run(folder: Path, nodes: int, storages: Any, jobs: Any, **config: Any) -> Ran:
    return simulate_tiny(folder, nodes, storages, jobs, config, dynamic=True, process=watched())


@pytest.mark.parametrize("policy", COUNTING)
@pytest.mark.parametrize("times", [(0, 0, 0), (0, 1, 2)])
def test_jobs_that_start_together_spread_as_those_that_start_apart(
    tmp_path: Path, policy: str, times: tuple[int, ...]
) -> None:
    """Three jobs read 1,400 MB each. Whether they come at once or a second apart, each finds the drives of
    those before it busy and takes another: 14 s each; all on one drive would take 42 s."""
    jobs = [job(str(k), 1, io_reads=1400 * MB, at=at) for k, at in enumerate(times)]
    ran = run(tmp_path, 4, DRIVES, jobs, filesystem="nvme_pool", policy=policy)
    assert where(ran) == {"0": [4], "1": [5], "2": [6]}
    assert [ran.duration(name) for name in "012"] == pytest.approx([14.0] * 3, abs=1e-4)


@pytest.mark.parametrize(
    "queue", ["fcfs", "easy", "easy_storage", "conservative", "filler", "plan", "plan_io"]
)
def test_under_every_queue_policy(tmp_path: Path, queue: str) -> None:
    """Four jobs of one node each, one of them tried and not started where the policy tries more than it
    starts: three drives get one each, and one a second. In the end nothing is counted as under way."""
    jobs = [job(str(k), 1, io_reads=1400 * MB, walltime=100) for k in range(5)]
    ran = run(tmp_path, 4, DRIVES, jobs, filesystem="nvme_pool", policy="least_loaded", queue=queue)
    at_once = [found for name, found in where(ran).items() if name != "4"]
    assert sorted(map(len, at_once)) == [1] * 4
    assert {storage for [storage] in at_once} == {4, 5, 6}


def test_clients_of_one_pass_slow_each_other_down(tmp_path: Path) -> None:
    """At 1 client a target gives all it has, at 3 half. a and b start at once, a on one node: 1 client,
    nothing on top. b on two: with a's transfer 3 clients, twice the bytes."""
    target = {"s0": DRIVES["v0"] | {"filesystem": "lustre"}}
    jobs = [job("a", 1, io_reads=100 * MB), job("b", 2, io_reads=100 * MB)]
    ran = run(tmp_path, 3, target, jobs, filesystem="pfs:efficiency=1:1 3:0.5")
    extra = {record.job.name: t.total(record.plans[0].internal) for record in ran.records}
    assert extra == {"a": 0, "b": 100 * MB}


BUFFERS = {
    "b0": {"filesystem": "bb", "size": "10GB", "read": "1GBps", "write": "100MBps"},
    "b1": {"filesystem": "bb", "size": "10GB", "read": "1GBps", "write": "100MBps"},
    "s0": {"filesystem": "lustre", "read": "1GBps", "write": "1GBps"},
}
TIERS = {"bb": {"model": "burst_buffer", "backing": "lustre"}, "lustre": {"model": "pfs"}}


@pytest.mark.parametrize("at", [0, 2])
def test_a_buffer_that_is_staged_into_is_loaded(tmp_path: Path, at: float) -> None:
    """a stages 1,000 MB into b0 for 10 s. b, at once or 2 s later, finds b0 busy and takes b1."""
    io = [{"filesystem": "bb", "reads": 1000 * MB}]
    jobs = [job("a", 1, io=io), job("b", 1, io=io, at=at)]
    ran = run(tmp_path, 2, BUFFERS, jobs, filesystems=TIERS, policy="least_loaded")
    assert where(ran) == {"a": [2, 4], "b": [3, 4]}


@pytest.mark.parametrize("gate", [{}, {"measure_io": True}, {"chunk": "1GB"}])
@pytest.mark.parametrize("both", [False, True])
def test_who_starts_first_is_slowed_by_nobody_after_it(
    tmp_path: Path, gate: dict[str, Any], both: bool
) -> None:
    """At 1 client a target gives 100 MB/s, at 2 half. a and b start at once and read 500 MB, a in a phase of
    its own, b beside its computation, or as a does: a has the target to itself, b moves 1,000 MB. At 50 MB/s
    each a takes 10 s; b has 500 MB left, 5 s more. So it is where transfers are asked for, in pieces or
    not."""
    target = {"s0": DRIVES["v0"] | {"filesystem": "lustre"}}
    timings = ("phases", "phases" if both else "overlap")
    ios = [[{"filesystem": "lustre", "reads": 500 * MB, "options": {"timing": timing}}] for timing in timings]
    jobs = [job(name, 1, io=io) for name, io in zip("ab", ios, strict=True)]
    ran = run(tmp_path, 2, target, jobs, filesystem="pfs:efficiency=1:1 2:0.5", **gate)
    ends = [
        max(one.end for name, one in ran.jobs.items() if f"w0!{job}" == name or f"w0.{job}." in name)
        for job in "ab"
    ]
    assert ends == pytest.approx([10, 15], abs=1e-4)


def test_both_ends_of_a_move_are_counted(tmp_path: Path) -> None:
    """While a buffer is staged into, out of and drained, one transfer is under way there and one on the
    target; while the job reads and writes, one each way on the buffer."""
    options = {"checkpoints": 1, "checkpoint_bytes": 100 * MB}
    io = [{"filesystem": "bb", "reads": 100 * MB, "writes": 100 * MB, "options": options}]
    seen: list[tuple[float, int, int]] = []

    class Watch(Ran):
        def storages_changed(self, now: float, states: Any) -> None:
            seen.extend((now, position, moving) for position, _, _, moving in states)

    def process(settings: Any, make: Any, ran: Ran) -> Any:
        from batfs.scheduling.core import Scheduler

        return Scheduler(settings, make, observer=Watch())

    storages = {name: given for name, given in BUFFERS.items() if name != "b1"}
    simulate_tiny(
        tmp_path,
        1,
        storages,
        [job("1", 1, 2e9, io=io)],
        {"filesystems": TIERS},
        dynamic=True,
        process=process,
    )
    buffer = [count for _, position, count in seen if position == 0]
    target = [count for _, position, count in seen if position == 1]
    # stage-in; compute + read + write; checkpoint; drain + compute ...; the drain over; stage-out; nothing
    assert buffer[0] == 1
    assert target[0] == 1
    assert max(buffer) == 3  # drained, read and written at once
    assert buffer[-1] == target[-1] == 0
