"""What faults do, each state and rule calculated by hand on tiny machines.

Links are 1 GB/s (storages as said), nodes 1 Gf, latencies 0; a job that computes for c seconds has c x 1e9
flops. Times are compared to a millisecond: messages take less.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched

from batfs.scheduling.waits import UNAVAILABLE

GB = 10**9
ONE = {"s0": {"filesystem": "fs", "model": "pfs", "read": "100MBps", "write": "100MBps"}}
TWO = {**ONE, "s1": {"filesystem": "fs", "model": "pfs", "read": "100MBps", "write": "100MBps"}}
PHASES = {"filesystems": {"fs": {"timing": "phases"}}}


def fault(**more: Any) -> dict[str, Any]:
    return {"faults": {"fault": [more]}}


def faults(*several: dict[str, Any]) -> dict[str, Any]:
    return {"faults": {"fault": list(several)}}


def ran(folder: Path, storages: Any, jobs: Any, config: Any, *, nodes: int = 2, dynamic: bool = True) -> Ran:
    return simulate_tiny(folder, nodes, storages, jobs, config, dynamic=dynamic, process=watched())


def end_of(one: Ran, name: str) -> float:
    """When the last step of a job that runs in steps is over."""
    return max(end for kind, (_, end) in one.kinds().items() if kind.startswith(f"w0.{name}."))


def state_of(one: Ran, name: str) -> str:
    [record] = [r for r in one.records if r.job.name == name]
    return record.state


@pytest.mark.parametrize("timing", ["overlap", "phases"])
def test_what_waits_goes_on_where_it_was(tmp_path: Path, timing: str) -> None:
    """10 GB at 100 MB/s take 100 s. From 30 to 80 the storage is down: 150 s in all, in one task with the
    computation (of no length) or as a phase of its own."""
    one = ran(
        tmp_path,
        ONE,
        [job("a", io_reads=10 * GB)],
        {**fault(at=30, storage="s0", state="down", lasts=50), "filesystems": {"fs": {"timing": timing}}},
    )
    assert end_of(one, "a") == pytest.approx(150, abs=1e-2)
    assert state_of(one, "a") == "COMPLETED_SUCCESSFULLY"


def test_work_beside_the_io_stops_with_it(tmp_path: Path) -> None:
    """40 s of work and 10 GB as one task (100 s): both stop from 30 to 80."""
    config = fault(at=30, storage="s0", state="down", lasts=50)
    one = ran(tmp_path, ONE, [job("a", cpu=40e9, io_writes=10 * GB)], config)
    assert end_of(one, "a") == pytest.approx(150, abs=1e-2)


def test_a_later_entry_says_back(tmp_path: Path) -> None:
    config = faults(
        {"at": "30s", "storage": "s0", "state": "down"}, {"at": "1m", "storage": "s*", "state": "back"}
    )
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB)], config)
    assert end_of(one, "a") == pytest.approx(130, abs=1e-2)


def test_what_is_not_on_it_runs_on(tmp_path: Path) -> None:
    """a is on s0, b on s1 (worst fit): only a waits."""
    one = ran(
        tmp_path,
        TWO,
        [job("a", io_reads=10 * GB), job("b", io_reads=10 * GB)],
        {"policy": "worst_fit", **fault(at=30, storage="s0", state="down", lasts=50)},
    )
    assert end_of(one, "a") == pytest.approx(150, abs=1e-2)
    assert end_of(one, "b") == pytest.approx(100, abs=1e-2)


def test_jobs_fail(tmp_path: Path) -> None:
    """a holds bytes there and is killed at 30; b comes at 40 and finds no room until 80, for the fault."""
    config = fault(at=30, storage="s0", state="down", lasts=50, jobs="fail")
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB), job("b", at=40, io_reads=GB)], config)
    assert one.times("a")[1] == pytest.approx(30, abs=1e-2)
    assert state_of(one, "a") == "COMPLETED_KILLED"
    assert one.times("b") == pytest.approx((80, 90), abs=1e-2)
    [record] = [r for r in one.records if r.job.name == "b"]
    assert dict(record.waits) == {(UNAVAILABLE, "fs"): pytest.approx(40, abs=1e-2)}


def test_a_down_storage_is_hidden_from_policies(tmp_path: Path) -> None:
    """Best fit would put b beside a on s0."""
    config = {"policy": "best_fit", **fault(at=5, storage="s0", state="down", lasts=500, jobs="wait")}
    one = ran(tmp_path, TWO, [job("a", io_reads=GB), job("b", at=10, io_reads=GB)], config)
    assert [p.placements[0].storage for r in one.records if r.job.name == "b" for p in r.plans] == [3]
    assert one.records[-1].job.name == "a"


def test_lost_data_are_made_again(tmp_path: Path) -> None:
    """The job wrote for 30 of 100 s; the storage is back, empty, after 20: 30 + 20 + 100."""
    config = fault(at=30, storage="s0", state="down", lasts=20, data="lost")
    one = ran(tmp_path, ONE, [job("a", io_writes=10 * GB)], config)
    assert end_of(one, "a") == pytest.approx(150, abs=1e-2)


def test_what_never_comes_back(tmp_path: Path) -> None:
    """a can't wait for ever: it fails. b waited for a's space and c comes later: both are rejected."""
    size = {"s0": {**ONE["s0"], "size": "12GB"}}
    jobs = [
        job("a", io_reads=10 * GB),
        job("b", at=1, io_reads=10 * GB),
        job("c", at=40, io_reads=GB),
        job("d", at=41, cpu=1e9),
    ]
    one = ran(tmp_path, size, jobs, fault(at=30, storage="s0", state="down"))
    assert end_of(one, "a") == pytest.approx(30, abs=1e-2)
    assert state_of(one, "a") == "COMPLETED_KILLED"
    states = {r.job.name: r.reason for r in one.records}
    assert "can never start" in states["b"]
    assert "can never start" in states["c"]
    assert end_of(one, "d") == pytest.approx(42, abs=1e-2)


def test_jobs_that_need_the_other_storage_are_not_rejected(tmp_path: Path) -> None:
    config = fault(at=30, storage="s0", state="down")
    one = ran(tmp_path, TWO, [job("a", at=40, io_reads=GB)], config)
    assert end_of(one, "a") == pytest.approx(50, abs=1e-2)


def test_without_dynamic_jobs_they_fail(tmp_path: Path) -> None:
    config = fault(at=30, storage="s0", state="down", lasts=50)
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB)], config, dynamic=False)
    assert one.times("a")[1] == pytest.approx(30, abs=1e-2)
    assert any("--dynamic-jobs" in sentence for sentence in one.said)


def test_a_node_that_fails_starts_its_job_again(tmp_path: Path) -> None:
    """The work of 40 s is lost; the node is back after 10: 40 + 10 + 100. The other job doesn't notice."""
    config = fault(at=40, node="n0", state="down", lasts=10)
    one = ran(tmp_path, ONE, [job("a", cpu=100e9), job("b", cpu=100e9)], config)
    assert end_of(one, "a") == pytest.approx(150, abs=1e-2)
    assert end_of(one, "b") == pytest.approx(100, abs=1e-2)


def test_nobody_starts_on_a_node_that_failed(tmp_path: Path) -> None:
    config = fault(at=5, node="n0", state="down", lasts=45, jobs="fail")
    one = ran(tmp_path, ONE, [job("a", at=10, nodes=2, cpu=1e9)], config)
    assert one.times("a") == pytest.approx((50, 51), abs=1e-2)


def test_a_node_that_never_comes_back(tmp_path: Path) -> None:
    config = fault(at=5, node="n0", state="down", jobs="fail")
    one = ran(tmp_path, ONE, [job("a", at=10, nodes=2, cpu=1e9), job("b", at=11, cpu=1e9)], config)
    assert "asks for 2 nodes; jobs can have 1" in {r.job.name: r.reason for r in one.records}["a"]
    assert one.times("b") == pytest.approx((11, 12), abs=1e-2)


def test_nobody_waits_for_a_node_that_never_comes_back(tmp_path: Path) -> None:
    """a leaves a data set of 10 of 12 GB. b wants 5 GB, which an empty machine would have: it is rejected
    when nothing more can happen, for the node that has gone for ever brings nothing."""
    kept = {"filesystem": "fs", "writes": 10 * GB, "options": {"data_set": "x"}}
    jobs = [job("a", io=[kept]), job("b", at=1, io_reads=5 * GB)]
    size = {"s0": {**ONE["s0"], "size": "12GB"}}
    one = ran(tmp_path, size, jobs, fault(at=5, node="n1", state="down", jobs="fail"))
    assert "3000000000 bytes missing on s0" in {r.job.name: r.reason for r in one.records}["b"]


CHECKPOINTS = [{"filesystem": "bb", "reads": 0, "options": {"checkpoints": 3, "checkpoint_bytes": GB}}]
BUFFER = {
    "b0": {"filesystem": "bb", "model": "burst_buffer", "read": "100MBps", "write": "100MBps"},
}


def test_restart_from_the_last_checkpoint(tmp_path: Path) -> None:
    """100 s of work in 4 parts, after each of the first 3 a checkpoint of 1 GB (10 s): parts begin at 0, 35,
    70, 105. The node fails at 80, 10 s into the third part, and is back at 85: the checkpoint is read again
    (10 s), the third part done (25), the checkpoint written (10), the last part done (25): 155."""
    one = ran(
        tmp_path,
        BUFFER,
        [job("a", cpu=100e9, io=CHECKPOINTS)],
        fault(at=80, node="n0", state="down", lasts=5),
        nodes=1,
    )
    assert end_of(one, "a") == pytest.approx(155, abs=2e-2)
    kinds = [name.rpartition(".")[2] for name in one.kinds()]
    assert sorted(kinds) == ["checkpoint"] * 3 + ["compute"] * 5 + ["restart"]


def test_a_lost_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    """The same, but it is the buffer that fails, and its data are lost: all begins anew at once, since what
    comes first doesn't need the buffer: 80 + 130."""
    one = ran(
        tmp_path,
        BUFFER,
        [job("a", cpu=100e9, io=CHECKPOINTS)],
        fault(at=80, storage="b0", state="down", lasts=5, data="lost"),
        nodes=1,
    )
    assert end_of(one, "a") == pytest.approx(210, abs=2e-2)


def test_staging_stands_still(tmp_path: Path) -> None:
    """10 GB staged in at 100 MB/s from 0, read from the buffer as it computes. The PFS is down from 40 to
    60: 120 s of staging, 100 of reading. It is down again from 130 to 1000, when only the buffer is read."""
    storages = {
        "b0": {**BUFFER["b0"], "filesystem": "bb"},
        "s0": ONE["s0"],
    }
    config = {
        "filesystems": {"bb": {"backing": "fs"}},
        **faults(
            {"at": 40, "storage": "s0", "state": "down", "lasts": 20},
            {"at": 130, "storage": "s0", "state": "down", "lasts": 870},
        ),
    }
    one = ran(tmp_path, storages, [job("a", io=[{"filesystem": "bb", "reads": 10 * GB}])], config)
    assert end_of(one, "a") == pytest.approx(220, abs=2e-2)


def test_the_walltime_runs_on(tmp_path: Path) -> None:
    config = fault(at=30, storage="s0", state="down", lasts=500)
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB, walltime=120)], config)
    assert state_of(one, "a") == "COMPLETED_WALLTIME_REACHED"
    assert end_of(one, "a") == pytest.approx(30, abs=1e-2)
    assert one.records[0].state == "COMPLETED_WALLTIME_REACHED"


@pytest.mark.parametrize("how", ["exclusive", "fair"])
def test_under_an_io_policy_the_piece_is_sent_again(tmp_path: Path, how: str) -> None:
    """With an I/O policy (or measured) the transfer under way is sent again: 30 + 50 + 100."""
    config = {
        **fault(at=30, storage="s0", state="down", lasts=50),
        **PHASES,
        "io_policy": how,
        "measure_io": True,
    }
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB)], config)
    assert end_of(one, "a") == pytest.approx(180, abs=2e-2)


# ---- degraded, and efficiency -----------------------------------------------------------------------------


@pytest.mark.parametrize("timing", ["overlap", "phases"])
def test_a_degraded_storage_takes_longer(tmp_path: Path, timing: str) -> None:
    """From 5 on half of 100 MB/s: 10 GB take 200 s. The job of 0 keeps the factor of its start (50 s), and
    so does that of 20 when it is whole again at 30; that of 300 has all of it."""
    config = {
        **fault(at=5, storage="s0", state="degraded", bandwidth=0.5, lasts=25),
        "filesystems": {"fs": {"timing": timing}},
    }
    jobs = [job("a", io_reads=GB // 10), job("b", at=20, io_reads=10 * GB), job("c", at=300, io_writes=GB)]
    one = ran(tmp_path, ONE, jobs, config, dynamic=timing == "phases")
    ends = [end_of(one, name) if timing == "phases" else one.times(name)[1] for name in "abc"]
    assert ends == pytest.approx([1, 220, 310], abs=1e-2)


def test_a_rebuild_moves_bytes_and_ends_the_degradation(tmp_path: Path) -> None:
    """s1 sends s0 10 GB from 0 on: 100 s at 100 MB/s. It is degraded until then: a write at 10 of 1 GB at
    half the bandwidth shares the link with it (2 GB at 50 MB/s: 40 s); then one at 200 takes 10 s."""
    config = {
        **fault(at=0, storage="s0", state="degraded", bandwidth=0.5, rebuild="10GB"),
        "policy": "first_fit",
    }
    jobs = [job("a", at=10, io_writes=GB), job("b", at=200, io_writes=GB)]
    one = ran(tmp_path, TWO, jobs, config)
    assert one.duration("a") == pytest.approx(40, abs=1e-2)
    [rebuilt] = [times for name, times in one.kinds().items() if name.endswith(".rebuild")]
    assert rebuilt == pytest.approx((0, 120), abs=1e-2)
    assert one.duration("b") == pytest.approx(10, abs=1e-2)


@pytest.mark.parametrize("model", ["pfs", "dfs:replication=1", "nvme_pool", "burst_buffer", "cache"])
def test_every_model_has_efficiency_by_transfers(tmp_path: Path, model: str) -> None:
    """Two nodes write 10 GB at half the bandwidth: 200 s."""
    storages = {"s0": {"filesystem": "fs", "read": "100MBps", "write": "100MBps"}}
    spec = f"{model}{',' if ':' in model else ':'}efficiency=1:1 2:0.5"
    if model == "cache":
        storages["p0"] = {"filesystem": "pfs", "model": "pfs"}
        spec += ",backing=pfs,write=back"
    config = {"filesystems": {"fs": {"model": spec}}}
    entry: dict[str, Any] = {"filesystem": "fs", "writes": 10 * GB}
    if model == "cache":
        entry["options"] = {"data_set": "d"}
    one = ran(tmp_path, storages, [job("a", nodes=2, io=[entry])], config)
    assert one.duration("a") == pytest.approx(200, rel=1e-3)


def test_checkpoints_pay_for_it_too(tmp_path: Path) -> None:
    """Three checkpoints of 1 GB at a quarter of 100 MB/s: 40 s each."""
    config = {"filesystems": {"bb": {"efficiency": "1:0.25"}}}
    one = ran(tmp_path, BUFFER, [job("a", cpu=10e9, io=CHECKPOINTS)], config)
    assert end_of(one, "a") == pytest.approx(130, abs=2e-2)


# ---- pieces that follow the load --------------------------------------------------------------------------

TABLE = {"efficiency": "1:1 2:0.5", "timing": "phases"}


def test_a_phase_follows_the_load_piece_by_piece(tmp_path: Path) -> None:
    """In pieces of 1 GB: alone a takes 10 s a piece. b begins at 15 with 1 GB: two transfers, so its piece
    moves 2 GB; a's second piece is half done. Both at 50 MB/s: at 25 that is over (0.5 GB), and a's third
    piece pays double as well, since b is there: 2 GB. b has 1.5 GB left, which takes 30 s: until 55. a's
    third piece has 0.5 GB left then, at 100 MB/s: until 60. The last is alone: until 70."""
    config = {"filesystems": {"fs": TABLE}, "chunk": "1GB"}
    one = ran(tmp_path, ONE, [job("a", io_reads=4 * GB), job("b", at=15, io_reads=GB)], config)
    kinds = one.kinds()
    pieces = [times for name, times in kinds.items() if name.startswith("w0.a.") and name.endswith(".read")]
    assert [end for _, end in sorted(pieces)] == pytest.approx([10, 25, 60, 70], abs=2e-2)
    assert end_of(one, "b") == pytest.approx(55, abs=2e-2)


def test_without_pieces_it_keeps_the_factor_of_its_start(tmp_path: Path) -> None:
    """a was alone when it began: 4 GB. From 15 on b shares with it, at half its efficiency, 2 GB in 40 s;
    then a has 0.5 GB left."""
    config = {"filesystems": {"fs": TABLE}}
    one = ran(tmp_path, ONE, [job("a", io_reads=4 * GB), job("b", at=15, io_reads=GB)], config)
    assert end_of(one, "b") == pytest.approx(55, abs=2e-2)
    assert end_of(one, "a") == pytest.approx(60, abs=2e-2)


def test_staging_and_drains_follow_it_too(tmp_path: Path) -> None:
    """A degraded PFS is whole again at 25: of 4 GB staged in in pieces of 1 GB the first takes 20 s, the
    second, begun at 20, too, the others 10 each: 60 s. Checkpoints of 1 GB pay for what the buffer is."""
    storages = {"b0": {**BUFFER["b0"], "filesystem": "bb", "write": "1GBps", "read": "1GBps"}, **ONE}
    config = {
        **fault(at=0, storage="s0", state="degraded", bandwidth=0.5, lasts=25),
        "filesystems": {"bb": {"backing": "fs"}},
        "chunk": "1GB",
    }
    entry = {"filesystem": "bb", "reads": 4 * GB}
    one = ran(tmp_path, storages, [job("a", at=1e-3, io=[entry])], config)
    ends = sorted(end for name, (_, end) in one.kinds().items() if name.endswith(".stage_in"))
    assert ends == pytest.approx([20, 40, 50, 60], abs=2e-2)


def test_a_piece_under_way_is_sent_again_and_only_that(tmp_path: Path) -> None:
    """10 GB in pieces of 1 GB; down from 35 to 85: the fourth begins anew at 85 and 6 follow: 155."""
    config = {**fault(at=35, storage="s0", state="down", lasts=50), **PHASES, "chunk": "1GB"}
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB)], config)
    assert end_of(one, "a") == pytest.approx(155, abs=2e-2)


# ---- what is kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data, last", [("recovered", 1.0), ("lost", 10.0)])
def test_a_cache_that_is_down_is_passed_by(tmp_path: Path, data: str, last: float) -> None:
    """1 GB from behind at 100 MB/s in 10 s, into the cache with that; found there at 1 GB/s in 1 s, until it
    is down: 10 s again; and once it is back, if its data are."""
    storages = {
        "c0": {"filesystem": "c", "model": "cache:backing=fs", "size": "10GB"},
        "s0": {**ONE["s0"]},
    }
    entry = {"filesystem": "c", "reads": GB, "options": {"data_set": "d"}}
    jobs = [job(str(k), at=at, io=[entry]) for k, at in enumerate((0, 20, 45, 65))]
    config = fault(at=40, storage="c0", state="down", lasts=20, data=data, jobs="restart")
    one = ran(tmp_path, storages, jobs, config)
    took = [end_of(one, str(k)) - at for k, at in enumerate((0, 20, 45, 65))]
    assert took == pytest.approx([10, 1, 10, last], abs=1e-2)


def test_copies_that_are_lost_are_made_again(tmp_path: Path) -> None:
    """1 GB of a data set in two copies on three disks of 100 MB/s. One of them is lost at 100: it is copied
    again at once, between the two others, which takes 10 s at most. At 200 another is lost, and the set is
    read whole from what was made again."""
    storages = {
        f"d{k}": {**ONE["s0"], "filesystem": "hdfs", "model": "dfs:replication=2", "node": f"n{k}"}
        for k in range(3)
    }
    entry = {"filesystem": "hdfs", "options": {"data_set": "x"}}
    jobs = [job("a", io=[{**entry, "writes": GB}]), job("b", at=300, io=[{**entry, "reads": GB}])]
    down = {"state": "down", "lasts": 90, "data": "lost", "jobs": "fail"}
    config = faults({"at": 100, "storage": "d0", **down}, {"at": 200, "storage": "d1", **down})
    one = ran(tmp_path, storages, jobs, config, nodes=3)
    copies = sorted(times for name, times in one.kinds().items() if name.endswith(".replicate"))
    first = [(start, end) for start, end in copies if start < 190]
    assert first[0][0] == pytest.approx(100, abs=2e-2)
    assert max(end for _, end in first) <= 110.1
    [written] = [r for r in one.records if r.job.name == "a"]
    [read] = [r for r in one.records if r.job.name == "b"]
    assert read.state == written.state == "COMPLETED_SUCCESSFULLY"
    assert not read.plans[0].placements  # nothing had to be put there for it


def test_who_reads_what_is_away_waits_for_it(tmp_path: Path) -> None:
    """The only copy is on a disk that is down from 100 to 150."""
    storages = {"d0": {**ONE["s0"], "filesystem": "hdfs", "model": "dfs:replication=1", "node": "n0"}}
    storages["d1"] = {**storages["d0"], "node": "n1"}
    entry = {"filesystem": "hdfs", "options": {"data_set": "x"}}
    jobs = [job("a", io=[{**entry, "writes": GB}]), job("b", at=110, io=[{**entry, "reads": GB}])]
    config = fault(at=100, storage="d*", state="down", lasts=50)
    one = ran(tmp_path, storages, jobs, config)
    [record] = [r for r in one.records if r.job.name == "b"]
    assert dict(record.waits) == {(UNAVAILABLE, "hdfs"): pytest.approx(40, abs=1e-2)}


def test_what_is_staged_ahead_is_staged_again(tmp_path: Path) -> None:
    """One node, busy until 100. b's 1 GB is staged ahead in 10 s, from 10 on; the buffer is away from 30 to
    50 and what lay there is lost: it is staged again from 50 to 60, and b starts at 100 all the same."""
    storages = {"b0": {**BUFFER["b0"], "filesystem": "bb"}, **ONE}
    config = {
        **fault(at=30, storage="b0", state="down", lasts=20, data="lost"),
        "filesystems": {"bb": {"backing": "fs"}},
        "staging": "ahead",
    }
    jobs = [job("a", cpu=100e9), job("b", at=10, cpu=1e9, io=[{"filesystem": "bb", "reads": GB}])]
    one = ran(tmp_path, storages, jobs, config, nodes=1)
    stages = sorted(times for name, times in one.kinds().items() if name.endswith(".stage_ahead"))
    assert [t for both in stages for t in both] == pytest.approx([10, 20, 50, 60], abs=2e-2)
    [compute] = [times for name, times in one.kinds().items() if name.endswith("compute") and "b" in name]
    assert compute[0] == pytest.approx(100, abs=2e-2)


def test_only_jobs_with_bytes_there_are_concerned(tmp_path: Path) -> None:
    """a computes 100 s with 1 GB kept on s0, b with as much on s1; neither moves anything at 50, when s0
    fails for those with bytes there."""
    spaces = {"filesystem": "fs", "reads": GB, "options": {"timing": "phases"}}
    jobs = [job(name, cpu=100e9, io=[spaces]) for name in "ab"]
    config = {"policy": "worst_fit", **fault(at=50, storage="s0", state="down", lasts=5, jobs="fail")}
    one = ran(tmp_path, TWO, jobs, config)
    assert {name: state_of(one, name) for name in "ab"} == {
        "a": "COMPLETED_KILLED",
        "b": "COMPLETED_SUCCESSFULLY",
    }
    assert max(end for name, (_, end) in one.kinds().items() if ".b." in name) == pytest.approx(10, abs=0.01)


def test_what_a_restart_undoes_is_counted_on_every_node(tmp_path: Path) -> None:
    """Two nodes from 0; at 30 what the job had done since it began is undone, and at 60 what it has done
    since it went on at 40: 2 x (30 + 20) node-seconds. In between it stands still, and does nothing twice."""
    config = faults(
        {"at": 30, "storage": "s0", "state": "down", "lasts": 10, "jobs": "restart"},
        {"at": 60, "storage": "s0", "state": "down", "lasts": 10, "jobs": "restart"},
    )
    one = ran(tmp_path, ONE, [job("a", 2, io_reads=10 * GB)], config)
    assert one.faults["lost_node_seconds"] == pytest.approx(100, abs=0.1)
    assert end_of(one, "a") == pytest.approx(170, abs=1e-2)


def test_what_stood_still_is_not_done_again(tmp_path: Path) -> None:
    """It moves from 0 to 30 and from 50 to 80, and waits in between: 60 s are undone, not 80."""
    config = faults(
        {"at": 30, "storage": "s0", "state": "down", "lasts": 20, "jobs": "wait"},
        {"at": 80, "storage": "s0", "state": "down", "lasts": 10, "jobs": "restart"},
    )
    one = ran(tmp_path, ONE, [job("a", io_reads=10 * GB)], config)
    assert one.faults["lost_node_seconds"] == pytest.approx(60, abs=0.1)
    assert end_of(one, "a") == pytest.approx(190, abs=1e-2)
