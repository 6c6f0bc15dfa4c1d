"""Composed jobs whose phases bring I/O: by hand, through whole simulations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, simulate_tiny, sleep, watched, work
from fs_tiny import job as job_of

from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.records import io_rows
from batfs.protocol import messages as m

MB = 10**6
PFS = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}
PHASES = {"filesystem": "pfs:timing=phases"}


def near(*seconds: float) -> Any:
    return pytest.approx(seconds if len(seconds) > 1 else seconds[0], abs=1e-3)


def steps(ran: Ran) -> list[tuple[str, float, float]]:
    """(kind, start, end) of the steps of the only job, in their order."""
    found = [
        (int(n), kind, times) for name, times in ran.kinds().items() for _, _, n, kind in [name.split(".")]
    ]
    return [(kind, *times) for _, kind, times in sorted(found)]


def row(ran: Ran) -> list[str]:
    """File system, storages, bytes read and written, in all and by storage, of the only record."""
    [one] = [text for record in ran.records for text in io_rows(record)]
    return one.split(",")[2:8]


def test_overlapped_by_hand(tmp_path: Path) -> None:
    """One node of 1 Gf; storage 100 MB/s out, 50 MB/s in.

    load: 1 s of computing and 300 MB read: max(1, 3) = 3 s. nap: sleeps 2 s, 150 MB written beside it:
    max(2, 3) = 3 s. work: 4 s, nothing moves. Twice: 2 x (3 + 3 + 4) = 20 s. Reserved 300 + 150 MB, once;
    moved 600 MB and 300 MB.
    """
    children = {
        "load": work(1, io_reads=300 * MB),
        "nap": sleep(2, io_writes=150 * MB),
        "work": work(4),
    }
    job = composed("1", ["load", "nap", "work"], children, repeat=2)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], dynamic=True, process=watched())
    assert steps(ran) == [
        (kind, near(start), near(end))
        for t in (0, 10)
        for kind, start, end in (
            ("compute", t, t + 3),
            ("compute", t + 3, t + 5),
            ("io", t + 3, t + 6),
            ("compute", t + 6, t + 10),
        )
    ]
    assert ran.jobs["w0!1"].rejected
    assert row(ran) == ["lustre", "1", f"{600 * MB}", f"{300 * MB}", f"1:{600 * MB}", f"1:{300 * MB}"]
    assert ran.peak == 450 * MB
    assert ran.said == []


def test_phases_by_hand(tmp_path: Path) -> None:
    """Reads before and writes after each phase: load: 3 s + 1 s; nap: 2 s + 150 MB / 50 MB/s = 3 s; work:
    4 s. Twice: 2 x (4 + 5 + 4) = 26 s."""
    children = {
        "load": work(1, io_reads=300 * MB),
        "nap": sleep(2, io_writes=150 * MB),
        "work": work(4),
    }
    job = composed("1", ["load", "nap", "work"], children, repeat=2)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], PHASES, dynamic=True, process=watched())
    assert steps(ran) == [
        (kind, near(start), near(end))
        for t in (0, 13)
        for kind, start, end in (
            ("read", t, t + 3),
            ("compute", t + 3, t + 4),
            ("compute", t + 4, t + 6),
            ("write", t + 6, t + 9),
            ("compute", t + 9, t + 13),
        )
    ]
    assert row(ran)[2:4] == [f"{600 * MB}", f"{300 * MB}"]
    assert ran.peak == 450 * MB


def test_the_jobs_own_io_beside_that_of_its_phases(tmp_path: Path) -> None:
    """The job reads 900 MB from an own storage s1 at 50 MB/s, 18 s, beside both of its phases: 3 s (300 MB at
    100 MB/s) and 4 s; the inner one writes 250 MB to s0, 5 s, beside twice 2 s of its own. It is over when
    all is: after 18 s."""
    storages = {**PFS, "s1": {"filesystem": "nfs", "read": "50MBps"}}
    children = {
        "load": work(1, io_reads=300 * MB),
        "inner": {"type": "composed", "seq": ["two"], "repeat": 2, "io_writes": 250 * MB},
        "two": {"type": "parallel_homogeneous", "cpu": 2e9, "com": 1},
    }
    io = [{"filesystem": "nfs", "reads": 900 * MB}]
    job = composed("1", ["load", "inner", "two"], children, io=io)
    ran = simulate_tiny(
        tmp_path, 1, storages, [job], {"default_filesystem": "lustre"}, dynamic=True, process=watched()
    )
    assert steps(ran) == [
        ("compute", near(0), near(3)),
        ("io", near(0), near(18)),
        ("compute", near(3), near(5)),
        ("io", near(3), near(8)),
        ("compute", near(5), near(7)),
        ("compute", near(8), near(10)),
    ]


def test_the_jobs_own_phases_around_those_of_its_phases(tmp_path: Path) -> None:
    """The job reads 200 MB first (2 s) and writes 100 MB last (2 s); between them load (1 s of computing,
    300 MB read: 3 s) and 4 s of work; its phases overlap (their own word)."""
    io = [{"filesystem": "lustre", "reads": 300 * MB, "options": {"timing": "overlap"}}]
    children = {"load": work(1, io=io), "work": work(4)}
    job = composed("1", ["load", "work"], children, io_reads=200 * MB, io_writes=100 * MB)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], PHASES, dynamic=True, process=watched())
    assert steps(ran) == [
        ("read", near(0), near(2)),
        ("compute", near(2), near(5)),
        ("compute", near(5), near(9)),
        ("write", near(9), near(11)),
    ]
    assert row(ran)[2:4] == [f"{500 * MB}", f"{100 * MB}"]


def test_phases_without_io_that_can_be_one_are_one(tmp_path: Path) -> None:
    """Sleeps add up and so do computations that send nothing: 3 x (1 + 2) s of sleep are one step, then load
    (3 s), then 5 x 2 s of work and the 1 s after it are one; what sends is left as it is."""
    children = {
        "naps": {"type": "composed", "seq": ["a", "b"], "repeat": 3},
        "a": sleep(1),
        "b": sleep(2),
        "load": work(1, io_reads=300 * MB),
        "works": {"type": "composed", "seq": ["c"], "repeat": 5},
        "c": work(2),
        "d": work(1),
        "e": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 1e3},
    }
    job = composed("1", ["naps", "load", "works", "d", "e", "e"], children)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], dynamic=True)
    assert [(start, end) for _, start, end in steps(ran)] == [
        (near(0), near(9)),
        (near(9), near(12)),
        (near(12), near(23)),
        (near(23), near(24)),
        (near(24), near(25)),
    ]


@pytest.mark.parametrize(
    ("seq", "ret", "inner", "expected"),
    [
        # a child that fails stops the rest: load 3 s, fails 1 s
        (["load", "fails", "load"], 0, {}, [("compute", 0, 3), ("compute", 3, 4)]),
        # a composed one does when it is over, all of its repetitions
        (["inner", "load"], 0, {"ret": 3}, [("compute", 0, 3), ("compute", 3, 6)]),
        # so does the job's own code
        (["load"], 2, {}, [("compute", 0, 3)]),
    ],
)
def test_return_codes(
    tmp_path: Path, seq: list[str], ret: int, inner: dict[str, Any], expected: list[Any]
) -> None:
    children = {
        "load": work(1, io_reads=300 * MB),
        "fails": work(1, ret=1),
        "inner": {"type": "composed", "seq": ["load"], "repeat": 2, **inner},
    }
    children = {name: child for name, child in children.items() if name in (*seq, "load")}
    ran = simulate_tiny(
        tmp_path, 1, PFS, [composed("1", seq, children, ret=ret)], dynamic=True, process=watched()
    )
    assert steps(ran) == [(kind, near(start), near(end)) for kind, start, end in expected]
    states = [j.state for name, j in ran.jobs.items() if name.startswith("batfs!")]
    assert states[-1] == "COMPLETED_FAILED"
    assert set(states[:-1]) <= {"COMPLETED_SUCCESSFULLY"}
    assert row(ran)[2] == f"{(2 if inner else 1) * 300 * MB}"


def test_the_walltime_is_that_of_all_steps(tmp_path: Path) -> None:
    """3 + 4 + 3 + 4 s in 8 s: the second load is ended 1 s after its start."""
    children = {"load": work(1, io_reads=300 * MB), "work": work(4)}
    job = composed("1", ["load", "work"], children, repeat=2, walltime=8)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], dynamic=True)
    assert [(start, end) for _, start, end in steps(ran)] == [
        (near(0), near(3)),
        (near(3), near(7)),
        (near(7), near(8)),
    ]
    assert ran.jobs["batfs!w0.1.2.compute"].state in ("COMPLETED_WALLTIME_REACHED", "COMPLETED_KILLED")


def test_a_phase_that_cant_be_sent_leaves_the_job_whole(tmp_path: Path) -> None:
    """A recv names profiles of the workload, so the job is executed as it is, 5 s, and its 2 x 300 MB move
    beside it, 6 s; that is said."""
    children = {
        "load": work(2, io_reads=300 * MB),
        "hears": {"type": "recv", "regex": ".*", "success": "", "failure": "", "timeout": "late"},
        "late": work(0.5),
    }
    job = composed("1", ["load", "hears"], children, repeat=2)
    # 'late' is referred to by nobody Batsim knows of, unless it is composed too
    children["keeps"] = {"type": "composed", "seq": ["late"]}
    ran = simulate_tiny(tmp_path, 1, PFS, [job], dynamic=True, process=watched())
    assert ran.duration("1") == near(5)
    assert steps(ran) == [("io", near(0), near(6))]
    assert row(ran)[2:4] == [f"{600 * MB}", "0"]
    assert "a phase that is a recv" in ran.said[0]


def test_without_dynamic_jobs_it_is_said_and_nothing_moves(tmp_path: Path) -> None:
    """3 x (1 + 4) s of computing; its bytes hold their space."""
    children = {"load": work(1, io_reads=300 * MB), "work": work(4)}
    job = composed("1", ["load", "work"], children, repeat=3)
    ran = simulate_tiny(tmp_path, 1, PFS, [job], process=watched())
    assert ran.duration("1") == near(15)
    assert "composed: its I/O needs dynamic jobs" in ran.said[0]
    assert row(ran) == ["lustre", "1", "0", "0", "", ""]
    assert ran.peak == 300 * MB


def test_staging_is_once_and_checkpoints_are_each_time(tmp_path: Path) -> None:
    """A buffer (500 MB/s out, 400 in) before the file system (100 out, 50 in). Staged in once: 400 MB at 100
    MB/s, 4 s. Then twice: load reads them from the buffer, max(1, 0.8) = 1 s; work computes 2 + 2 s with a
    checkpoint of 200 MB between (0.5 s), drained at 50 MB/s beside what follows (4 s), and nothing waits
    for it. 4 + 2 x (1 + 4.5) = 15 s; the last drain begins at 12.5 + 0.5 = 13 s and ends at 17 s."""
    buffer = {"b0": {"filesystem": "bb", "read": "500MBps", "write": "400MBps"}, **PFS}
    config = {"filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre"}}}
    io = [{"filesystem": "bb", "reads": 400 * MB}]
    checkpoint = {"checkpoints": 1, "checkpoint_bytes": 200 * MB, "stage_out": False}
    more = [{"filesystem": "bb", "writes": 1, "options": checkpoint}]
    children = {"load": work(1, io=io), "work": work(4, io=more)}
    job = composed("1", ["load", "work"], children, repeat=2)
    ran = simulate_tiny(tmp_path, 1, buffer, [job], config, dynamic=True, process=watched())
    main = [step for step in steps(ran) if step[0] in ("stage_in", "compute", "checkpoint")]
    assert main == [
        ("stage_in", near(0), near(4)),
        ("compute", near(4), near(5)),
        ("compute", near(5), near(7)),
        ("checkpoint", near(7), near(7.5)),
        ("compute", near(7.5), near(9.5)),
        ("compute", near(9.5), near(10.5)),
        ("compute", near(10.5), near(12.5)),
        ("checkpoint", near(12.5), near(13)),
        ("compute", near(13), near(15)),
    ]
    drains = [step for step in steps(ran) if step[0] == "drain"]
    assert drains == [("drain", near(7.5), near(11.5)), ("drain", near(13), near(17))]
    [one] = [text.split(",") for record in ran.records for text in io_rows(record)]
    # read twice, staged once, drained twice
    assert (one[4], one[5], one[9]) == (f"{800 * MB}", "2", f"{800 * MB}")


class Mapping:
    """A scheduler behind the proxy that runs every job of four executors on two nodes."""

    def decide(self, request: m.Request) -> m.Reply:
        jobs = [event.job for event in request.events if isinstance(event, m.JobSubmitted)]
        mapping = {k: k // 2 for k in range(4)}
        return m.Reply(request.now, [m.ExecuteJob(request.now, j.id, (0, 1), mapping) for j in jobs])


@pytest.mark.parametrize("phased", [True, False])
def test_a_mapping_goes_for_every_phase(tmp_path: Path, phased: bool) -> None:
    """Two executors on a node take twice the time: 2 x 1 s. Batsim can't combine a mapping with I/O, so the
    300 MB move beside it (3 s), for each phase as for a job that isn't composed."""
    one = job_of("1", 4, 1e9, io_reads=300 * MB)
    if phased:
        one = composed("1", ["load", "work"], {"load": work(1, io_reads=300 * MB), "work": work(1)}, 4)

    def behind(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(Mapping(), Injector(settings, make_files=files, say=ran.said.append))

    ran = simulate_tiny(tmp_path, 4, PFS, [one], dynamic=True, process=behind)
    sent = [d for d in ran.sent if isinstance(d, m.ExecuteJob)]
    assert all((d.mapping is None) == (d.io_job is not None) for d in sent)
    if phased:
        assert steps(ran) == [
            ("compute", near(0), near(2)),
            ("io", near(0), near(3)),
            ("compute", near(3), near(5)),
        ]
        assert len([d for d in sent if d.mapping is not None]) == 2
    else:
        assert ran.times("1") == (near(0), near(2))
        assert steps(ran) == [("io", near(0), near(3))]
    assert ran.said == []


def test_a_phase_finds_what_an_earlier_one_adds_to_a_data_set(tmp_path: Path) -> None:
    """A job writes 300 MB of a set twice over, then reads them: the set holds 300 MB, and does so when the
    job is over; they are read where they were written."""
    disks = {f"d{k}": {"filesystem": "dfs", "node": f"n{k}"} for k in range(2)}
    options = {"data_set": "x"}
    children = {
        "make": work(1, io=[{"filesystem": "dfs", "writes": 300 * MB, "options": options}]),
        "use": work(1, io=[{"filesystem": "dfs", "reads": 300 * MB, "options": options}]),
    }
    config = {"filesystem": "dfs:replication=1"}
    job = composed("1", ["make", "make", "use"], children)
    ran = simulate_tiny(tmp_path, 2, disks, [job], config, dynamic=True, process=watched())
    assert row(ran)[1:4] == ["2", f"{300 * MB}", f"{600 * MB}"]
    assert (ran.peak, sum(ran.reserved.values())) == (300 * MB, 300 * MB)


@pytest.mark.parametrize("timing", ["overlap", "phases"])
@pytest.mark.parametrize("inner", [False, True])
def test_a_phase_that_runs_again_is_served_by_the_cache(tmp_path: Path, timing: str, inner: bool) -> None:
    """Three times 300 MB through a cache that fills: at 100 MB/s the first time, 3 s, then at 500 MB/s,
    0.6 s, beside 1 s of computing or before it; each time 50 MB go through it at 50 MB/s, 1 s. The same when
    they are the I/O of a composed profile within the job. The space is that of 300 MB + 50 MB; 350 MB are
    copied to the cache the first time, then 50 MB."""
    storages = {**PFS, "c0": {"filesystem": "cache", "size": "1GB", "read": "500MBps", "write": "500MBps"}}
    config = {"filesystems": {"cache": {"model": "cache", "backing": "lustre", "timing": timing}}}
    entry = {"filesystem": "cache", "reads": 300 * MB, "writes": 50 * MB, "options": {"data_set": "x"}}
    profile = work(1, io=[entry])
    children = {"load": profile}
    seq = ["load"]
    if inner:
        children = {"load": work(1), "all": {"type": "composed", "seq": ["load"], "io": [entry]}}
        seq = ["all"]
    job = composed("1", seq, children, repeat=3)
    ran = simulate_tiny(tmp_path, 1, storages, [job], config, dynamic=True, process=watched())
    ends: dict[str, list[tuple[float, float]]] = {}
    for kind, start, end in steps(ran):
        ends.setdefault(kind, []).append((start, end))
    if timing == "phases":
        assert ends["read"] == [near(0, 3), near(5, 5.6), near(7.6, 8.2)]
        assert ends["write"] == [near(4, 5), near(6.6, 7.6), near(9.2, 10.2)]
    else:
        assert ends["io" if inner else "compute"] == [near(0, 3), near(3, 4), near(4, 5)]
    assert ran.peak == 350 * MB
    [one] = [text.split(",") for record in ran.records for text in io_rows(record)]
    assert one[4:7] == [f"{900 * MB}", f"{150 * MB}", f"1:{600 * MB} 2:{300 * MB}"]
    assert one[8] == f"{(350 + 50 + 50) * MB}"


def test_a_phase_is_served_by_a_cache_that_an_earlier_one_fills(tmp_path: Path) -> None:
    """load reads 300 MB at 100 MB/s through the cache, which keeps them: 3 s. again reads them from there, at
    500 MB/s: 0.6 s, but computes for 1 s."""
    storages = {**PFS, "c0": {"filesystem": "cache", "size": "1GB", "read": "500MBps", "write": "500MBps"}}
    config = {"filesystems": {"cache": {"model": "cache", "backing": "lustre"}}}
    io = [{"filesystem": "cache", "reads": 300 * MB, "options": {"data_set": "x"}}]
    children = {"load": work(1, io=io), "again": work(1, io=io)}
    job = composed("1", ["load", "again"], children)
    ran = simulate_tiny(tmp_path, 1, storages, [job], config, dynamic=True, process=watched())
    assert steps(ran) == [("compute", near(0), near(3)), ("compute", near(3), near(4))]
    assert row(ran)[4] == f"1:{300 * MB} 2:{300 * MB}"
