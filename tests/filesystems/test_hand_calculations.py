"""Whole simulations on tiny machines whose times follow from a few divisions, written out in each test.

Nodes have 1 GB/s each way and compute 1 Gflop/s; storages read and write at the rates given.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fs_tiny import job, simulate_tiny

MB = 10**6
PFS = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}
TWO = {
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
    "s1": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
}


def close(value: float) -> object:
    """Messages between Batsim's parts take some nanoseconds each."""
    return pytest.approx(value, abs=1e-5)


def test_pfs_alone(tmp_path: Path) -> None:
    """2 nodes read 800 MB and write 200 MB on one target: the read link carries 800 MB at 100 MB/s = 8 s, the
    write link 200 MB at 50 MB/s = 4 s, both at the same time; computing takes 5 s. All of it is one parallel
    task, as long as its slowest part: 8 s."""
    ran = simulate_tiny(tmp_path, 2, PFS, [job("1", 2, 5e9, io_reads=800 * MB, io_writes=200 * MB)])
    assert ran.duration("1") == close(8.0)


def test_pfs_two_jobs_share_a_target(tmp_path: Path) -> None:
    """A and B read 400 MB each from the one target at 100 MB/s: 50 MB/s each, 8 s. B alone would take 4 s."""
    jobs = [job("a", io_reads=400 * MB), job("b", io_reads=400 * MB)]
    ran = simulate_tiny(tmp_path, 2, PFS, jobs)
    assert ran.duration("a") == close(8.0)
    assert ran.duration("b") == close(8.0)


def test_pfs_stripes_double_the_bandwidth(tmp_path: Path) -> None:
    """800 MB over 2 targets of 100 MB/s: 4 s; over one: 8 s."""
    for stripes, seconds in ((1, 8.0), (2, 4.0)):
        config = {"filesystem": f"pfs:stripe_count={stripes},stripe_size=1MB"}
        ran = simulate_tiny(tmp_path, 2, TWO, [job("1", 2, io_reads=800 * MB)], config)
        assert ran.duration("1") == close(seconds)


def test_gateway_is_the_bottleneck(tmp_path: Path) -> None:
    """2 nodes read 2000 MB from four targets that give 4 x 1 GB/s, through one gateway whose link takes
    1 GB/s in: 2 s. Without it each node takes 1000 MB at 1 GB/s: 1 s."""
    fast = {f"s{i}": {"filesystem": "lustre", "read": "1GBps", "write": "1GBps"} for i in range(4)}
    serve = {2: {"service": "gateway", "filesystem": "lustre"}}
    for properties, seconds in (({}, 1.0), (serve, 2.0)):
        ran = simulate_tiny(
            tmp_path,
            3,
            fast,
            [job("1", 2, io_reads=2000 * MB)],
            {"filesystem": "pfs:stripe_count=4,stripe_size=1MB"},
            properties=properties,
        )
        assert ran.duration("1") == close(seconds)


def test_metadata_server_is_shared(tmp_path: Path) -> None:
    """1000 files x 3 operations x 1e6 flops = 3e9 flops on a server of 1 Gflop/s: 3 s for one job, 6 s for
    each of two at once; the 1 MB they read is nothing beside it."""
    serve = {2: {"service": "metadata", "filesystem": "lustre"}}
    io = [{"filesystem": "lustre", "reads": MB, "files": 1000}]
    config = {"filesystem": "pfs:operation_work=1e6"}
    one = simulate_tiny(tmp_path, 3, PFS, [job("1", io=io)], config, properties=serve)
    assert one.duration("1") == close(3.0)
    two = simulate_tiny(tmp_path, 3, PFS, [job("1", io=io), job("2", io=io)], config, properties=serve)
    assert two.duration("1") == close(6.0)


DISKS = {
    f"d{i}": {
        "filesystem": "hdfs",
        "node": f"n{i}",
        "rack": "ab"[i // 2],
        "read": "150MBps",
        "write": "80MBps",
    }
    for i in range(4)
}


def test_dfs_writes_its_copies(tmp_path: Path) -> None:
    """Node n0 writes 80 MB with 3 copies: its own disk and two others take 80 MB each at 80 MB/s at the same
    time: 1 s. One disk used twice would take 2 s."""
    config = {"filesystem": "dfs:replication=3", "policy": "first_fit"}
    ran = simulate_tiny(tmp_path, 4, DISKS, [job("1", io_writes=80 * MB)], config)
    assert ran.duration("1") == close(1.0)


def test_dfs_local_and_remote_reads(tmp_path: Path) -> None:
    """2 nodes read 300 MB: all local, 150 MB from each disk at 150 MB/s = 1 s. At locality 0 and first fit n0
    reads from d1 and n1 from d0, the same; but with 3 nodes n1 and n2 both read from d0: 2 x 150 MB = 2 s."""

    def run(nodes: int, locality: float) -> float:
        config = {"filesystem": f"dfs:replication=1,locality={locality}", "policy": "first_fit"}
        one = job("1", nodes, io_reads=150 * MB * nodes)
        return simulate_tiny(tmp_path, 4, DISKS, [one], config).duration("1")

    assert run(2, 1.0) == close(1.0)
    assert run(2, 0.0) == close(1.0)
    assert run(3, 0.0) == close(2.0)


POOL = {
    f"e{i}": {"filesystem": "nvme", "size": "1GB", "read": "500MBps", "write": "250MBps"} for i in range(2)
}


def test_nvme_namespaces(tmp_path: Path) -> None:
    """500 MB written to one namespace at 250 MB/s: 2 s; in blocks of 250 MB on two drives (round robin): 1
    s."""
    for block, seconds in (("0", 2.0), ("250MB", 1.0)):
        config = {"filesystem": f"nvme_pool:block_size={block}"}
        ran = simulate_tiny(tmp_path, 1, POOL, [job("1", io_writes=500 * MB)], config)
        assert ran.duration("1") == close(seconds)


def test_nvme_pool_makes_jobs_wait_for_room(tmp_path: Path) -> None:
    """Two drives of 1 GB; three jobs of 800 MB read at 500 MB/s take 1.6 s: the third waits for the first."""
    jobs = [job(str(i), io_reads=800 * MB) for i in range(3)]
    ran = simulate_tiny(tmp_path, 3, POOL, jobs, {"filesystem": "nvme_pool", "policy": "first_fit"})
    assert ran.times("1") == (close(0.0), close(1.6))
    assert ran.times("2") == (close(1.6), close(3.2))


BUFFER = {
    "b0": {"filesystem": "bb", "size": "1GB", "read": "500MBps", "write": "400MBps"},
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
}
STAGED = {"filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre"}}}


def bb(reads: int = 0, writes: int = 0, **options: object) -> dict[str, object]:
    return {"io": [{"filesystem": "bb", "reads": reads, "writes": writes, "options": options}]}


def test_burst_buffer_stages_in_and_out(tmp_path: Path) -> None:
    """400 MB in, 100 MB out, 5 s of computing. Stage-in: the target reads at 100 MB/s: 4 s. The job: 400 MB
    from the buffer at 500 MB/s and 100 MB to it, less than computing: 5 s. Stage-out: the target writes at
    50 MB/s: 2 s. A second job gets the node when the first has computed, at 4 + 5 = 9 s, and the buffer's
    space while the first stages out."""
    jobs = [job("1", 1, 5e9, **bb(400 * MB, 100 * MB)), job("2", 1, 1e9)]
    ran = simulate_tiny(tmp_path, 1, BUFFER, jobs, STAGED, dynamic=True)
    assert ran.kinds() == {
        "w0.1.0.stage_in": (close(0.0), close(4.0)),
        "w0.1.2.stage_out": (close(9.0), close(11.0)),
    }
    assert ran.times("1") == (close(4.0), close(9.0))
    assert ran.times("2") == (close(9.0), close(10.0))


def test_burst_buffer_without_dynamic_jobs(tmp_path: Path) -> None:
    """The same without dynamic jobs: nothing is staged, and that is said; the job takes its 5 s."""
    ran = simulate_tiny(tmp_path, 1, BUFFER, [job("1", 1, 5e9, **bb(400 * MB, 100 * MB))], STAGED)
    assert ran.times("1") == (close(0.0), close(5.0))
    assert not ran.kinds()
    assert any("staging" in sentence and "dynamic jobs" in sentence for sentence in ran.said)


def test_checkpoints_block_and_drain_beside_the_computation(tmp_path: Path) -> None:
    """6 s of computing cut in 3 parts of 2 s by 2 checkpoints of 200 MB: each blocks for 200/400 = 0.5 s, so
    the parts run in [0, 2], [2.5, 4.5], [5, 7]. A drain takes 200 MB at 50 MB/s = 4 s: the first starts at
    2.5, and would end at 6.5; from 5 s on it shares the target with the second. At 5 s 75 MB are left of the
    first, at 25 MB/s each: it ends at 8 s. By then the second has moved 75 MB; the other 125 at 50 MB/s take
    2.5 s: 10.5 s. The nodes are free at 7 s."""
    jobs = [job("1", 1, 6e9, **bb(0, 0, checkpoints=2, checkpoint_bytes=200 * MB)), job("2", 1, 1e9)]
    jobs[0]["profile"]["io"][0]["writes"] = 0
    jobs[0]["profile"]["io"][0]["reads"] = 1
    config = {"filesystems": {"bb": {**STAGED["filesystems"]["bb"], "stage_in": False}}}
    ran = simulate_tiny(tmp_path, 1, BUFFER, jobs, config, dynamic=True)
    kinds = {name.split(".", 2)[2]: times for name, times in ran.kinds().items()}
    assert kinds["0.compute"] == (close(0.0), close(2.0))
    assert [times for name, times in kinds.items() if name.endswith("checkpoint")] == [
        (close(2.0), close(2.5)),
        (close(4.5), close(5.0)),
    ]
    assert [times for name, times in kinds.items() if name.endswith("compute")] == [
        (close(0.0), close(2.0)),
        (close(2.5), close(4.5)),
        (close(5.0), close(7.0)),
    ]
    assert [times for name, times in kinds.items() if name.endswith("drain")] == [
        (close(2.5), close(8.0)),
        (close(5.0), close(10.5)),
    ]
    assert ran.times("2")[0] == close(7.0)


def test_phases(tmp_path: Path) -> None:
    """Read 400 MB (4 s), compute 3 s, write 100 MB (2 s), one after the other: the job computes in [4, 7] and
    its node is free at 9 s. Overlapped it takes as long as the slowest: 4 s."""
    one = job("1", 1, 3e9, io_reads=400 * MB, io_writes=100 * MB)
    jobs = [one, job("2", 1, 1e9)]
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, {"filesystem": "pfs:timing=phases"}, dynamic=True)
    assert ran.times("1") == (close(4.0), close(7.0))
    assert ran.times("2")[0] == close(9.0)
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, {"filesystem": "pfs"}, dynamic=True)
    assert ran.times("1") == (close(0.0), close(4.0))
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, {"filesystem": "pfs:timing=phases"})
    assert ran.times("1") == (close(0.0), close(4.0))
    assert any("phases" in sentence for sentence in ran.said)


def test_phases_keep_the_walltime(tmp_path: Path) -> None:
    """Reading takes 4 s, computing 5 s, the walltime is 6 s from the start of the reading: the computation is
    killed at 6 s, 2 s after it began; nothing is written."""
    one = job("1", 1, 5e9, io_reads=400 * MB, io_writes=100 * MB, walltime=6)
    ran = simulate_tiny(tmp_path, 1, PFS, [one], {"filesystem": "pfs:timing=phases"}, dynamic=True)
    assert ran.times("1") == (close(4.0), close(6.0))
    assert ran.jobs["w0!1"].state == "COMPLETED_KILLED"
    assert not any("write" in name for name in ran.kinds())


def test_io_of_a_delay_runs_beside_it_or_is_said_to_be_dropped(tmp_path: Path) -> None:
    """A delay of 3 s with 400 MB to read (4 s): its node is free after 4 s. Without dynamic jobs Batsim would
    ignore the I/O: it is said."""
    one = job("1", profile={"type": "delay", "delay": 3}, io_reads=400 * MB)
    jobs = [one, job("2", 1, 1e9)]
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, dynamic=True)
    assert ran.times("1") == (close(0.0), close(3.0))
    assert ran.times("2")[0] == close(4.0)
    ran = simulate_tiny(tmp_path, 1, PFS, jobs)
    assert ran.times("2")[0] == close(3.0)
    assert any("delay" in sentence for sentence in ran.said)


CACHED = {
    "c0": {"filesystem": "fast", "size": "1GB", "read": "800MBps", "write": "800MBps"},
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
}


def test_cache_hit_is_as_fast_as_the_cache(tmp_path: Path) -> None:
    """The first job misses: 400 MB from the target at 100 MB/s = 4 s; its node copies them into the cache
    meanwhile. The second hits: 400 MB at 800 MB/s = 0.5 s."""
    io = [{"filesystem": "fast", "reads": 400 * MB, "options": {"data_set": "a"}}]
    config = {"filesystems": {"fast": {"model": "cache", "backing": "lustre"}}}
    ran = simulate_tiny(tmp_path, 1, CACHED, [job("1", io=io), job("2", io=io)], config)
    assert ran.duration("1") == close(4.0)
    assert ran.duration("2") == close(0.5)
