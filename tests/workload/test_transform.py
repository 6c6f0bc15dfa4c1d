"""Describing, checking, cutting and scaling workloads."""

from __future__ import annotations

import json
import statistics as plain_statistics
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.cli.main import main
from batfs.cli.workloads.common import summary
from batfs.errors import InputError
from batfs.workload import parse_workload, profile_to_json, read_workload, requested_io, write_workload
from batfs.workload.check import MachineFacts, check_workload
from batfs.workload.model import ParallelHomogeneous, Workload
from batfs.workload.nominal import NominalTimes
from batfs.workload.statistics import distribution, statistics
from batfs.workload.transform import Cut, Scale, cut, product, scale, split

IO = Path(__file__).parents[2] / "workloads" / "io.json"


def made(jobs: list[dict[str, Any]], **profiles: Any) -> Workload:
    full = [{"id": str(i), "subtime": 10 * i, "res": 1, "profile": "p"} | job for i, job in enumerate(jobs)]
    return parse_workload(json.dumps({"nb_res": 8, "jobs": full, "profiles": profiles}).encode())


HOM = {"type": "parallel_homogeneous", "cpu": 3e9, "com": 0}


def test_nominal_times_of_every_kind() -> None:
    workload = made(
        [{"profile": name, "res": 2} for name in ("d", "h", "t", "p", "c", "s", "r")],
        d={"type": "delay", "delay": 7},
        h=HOM,
        t={"type": "parallel_homogeneous_total", "cpu": 4e9, "com": 1},
        p={"type": "parallel", "cpu": [1e9, 5e9], "com": [0] * 4},
        c={"type": "composed", "seq": ["d", "i", "i"], "repeat": 3},
        i={"type": "composed", "seq": ["h"], "repeat": 2},
        s={"type": "send", "msg": {}, "sleeptime": 1},
        r={"type": "recv"},
    )
    times = NominalTimes(workload.profiles, 1e9)
    found = {job.profile: times.seconds(job.profile, 2) for job in workload.jobs}
    assert found == {"d": 7, "h": 3, "t": 2, "p": 5, "c": 3 * (7 + 6 + 6), "s": 1, "r": 0.005}


def test_nesting_may_be_deep() -> None:
    depth = 3000
    profiles: dict[str, Any] = {f"c{i}": {"type": "composed", "seq": [f"c{i + 1}"]} for i in range(depth)}
    profiles[f"c{depth}"] = HOM
    workload = made([{"profile": "c0"}], **profiles)
    assert NominalTimes(workload.profiles, 1e9).seconds("c0", 1) == 3


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=50))
def test_distributions_agree_with_the_standard_library(values: list[float]) -> None:
    found = distribution(values)
    assert found.mean == pytest.approx(plain_statistics.fmean(values))
    assert found.deviation == pytest.approx(plain_statistics.pstdev(values), abs=1e-3)
    assert found.quantiles[2] == pytest.approx(plain_statistics.median(values))
    assert (found.quantiles[0], found.quantiles[-1]) == (min(values), max(values))


def test_statistics_by_hand() -> None:
    io = {"io": [{"filesystem": "a", "reads": 5}, {"filesystem": "b", "writes": 7}]}
    workload = made([{"res": 2, "walltime": 60}, {"res": 4}, {"subtime": 40}], p=HOM | io)
    found = statistics(workload, 1e9)
    assert (found.jobs, found.span, found.without_walltime) == (3, 40, 2)
    assert found.offered_load == pytest.approx((2 + 4 + 1) * 3 / (8 * 40))
    assert found.size_counts == {1: 1, 2: 1, 4: 1}
    assert (found.reads.total, found.writes.total) == (15, 21)
    assert (found.filesystems["a"].reads, found.filesystems["b"].writes) == ([5, 5, 5], [7, 7, 7])
    assert found.between.quantiles == (10, 15, 20, 25, 29, 30)


def test_describe_as_a_page_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "describe", str(IO)]) == 0
    page = capsys.readouterr().out
    for word in ("300 jobs", "offered load", "lustre", "requested time", "submissions by hour"):
        assert word in page
    assert main(["workload", "describe", str(IO), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["jobs"] == 300
    assert set(found["filesystems"]) == {"bb", "disk", "lustre", "nfs", "nvme"}


@pytest.mark.slow
def test_describe_with_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pictures = []
    for name in ("a.svg", "b.svg", "a.png"):
        assert main(["workload", "describe", str(IO), "--figure", str(tmp_path / name)]) == 0
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[2][1:4] == b"PNG"
    assert main(["workload", "describe", str(IO), "--figure", str(tmp_path / "a.gif")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.svg"]


def test_check_finds_each_trap() -> None:
    workload = made(
        [
            {"res": 20, "walltime": 9},
            {"id": "a,b", "walltime": 3},
            {"profile": "sleep"},
            {"profile": "bad"},
            {"profile": "big"},
            {"profile": "pfs"},
            {"profile": "mpi"},
            {"profile": "whole"},
        ],
        p=HOM,
        sleep={"type": "delay", "delay": 1, "io_reads": 5},
        bad=HOM | {"io_reads": -5},
        big=HOM | {"io": [{"filesystem": "bb", "writes": 10**12}, {"filesystem": "lustr", "reads": 1}]},
        pfs={"type": "parallel_homogeneous_pfs", "bytes_to_read": 4},
        mpi={"type": "smpi", "trace": "t"},
        whole={"type": "composed", "seq": ["part"]},
        part=HOM | {"io_writes": 5},
        huge=HOM | {"io_writes": 2**60},
    )
    found = check_workload(workload, MachineFacts(4, 1e9, {"bb": 10**11, "lustre": None}))
    said = [(finding.severity, finding.place, finding.message) for finding in found]
    for severity, place, words in (
        ("error", "job 0", "more nodes than the 4"),
        ("warning", "nb_res", "nb_res is 8"),
        ("warning", "job a,b", "CSV"),
        ("warning", "job a,b", "it is killed"),
        ("warning", "profiles.sleep", "ignores"),
        ("error", "profiles.bad.io_reads", "not negative"),
        ("error", "profiles.big", "holds (100 GB)"),
        ("warning", "profiles.big", "'lustr'"),
        ("note", "profiles.pfs", "allocation policies"),
        ("error", "profiles.mpi", "SMPI"),
        ("note", "profiles.whole", "its phases have I/O: each moves in its turn"),
        ("note", "profiles.huge", "no job uses it"),
        ("note", "job 2", "without walltime"),
    ):
        assert any(s == severity and p == place and words in m for s, p, m in said), (severity, place, words)
    assert [finding.severity for finding in found] == sorted(
        (f.severity for f in found), key=["error", "warning", "note"].index
    )


def test_check_is_silent_on_good_workloads_and_counts_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["workload", "check", str(IO), str(IO.with_name("io_example.json"))]) == 0
    assert capsys.readouterr().out.count("ok") == 2
    bad = tmp_path / "bad.json"
    bad.write_text('{"nb_res": 1, "jobs": [], "profiles"}')
    assert main(["workload", "check", str(IO), str(bad)]) == 2
    assert "line 1, column 37" in capsys.readouterr().err
    trap = made([{}, {}, {}], p={"type": "delay", "delay": 1, "io_reads": 5})
    (finding,) = [f for f in check_workload(trap) if f.severity == "note"]
    assert finding.count == 3 or finding.message.startswith("without")


def test_cut_by_time_size_number_and_id() -> None:
    workload = made(
        [{}, {"res": 2}, {"res": 3, "profile": "c"}, {}], p=HOM, c={"type": "composed", "seq": ["q"]}, q=HOM
    )
    late = cut(workload, Cut(begin=10, end=30))
    assert [(j.name, j.submission_time) for j in late.jobs] == [("1", 0), ("2", 10)]
    assert set(late.profiles) == {"p", "c", "q"}
    assert [j.submission_time for j in cut(workload, Cut(begin=10, keep_times=True)).jobs] == [10, 20, 30]
    assert [j.name for j in cut(workload, Cut(first=2)).jobs] == ["0", "1"]
    assert set(cut(workload, Cut(first=2)).profiles) == {"p"}
    assert [j.name for j in cut(workload, Cut(least=2, most=2)).jobs] == ["1"]
    assert [(j.name, j.submission_time) for j in cut(workload, Cut(ids=["3", "1"])).jobs] == [
        ("1", 0),
        ("3", 20),
    ]
    with pytest.raises(InputError, match="no job is called 'x'"):
        cut(workload, Cut(ids=["x"]))
    with pytest.raises(InputError, match="no job is left"):
        cut(workload, Cut(begin=1000))


def test_split_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workload = parse_workload(IO.read_bytes())
    parts = list(split(workload, 7200))
    assert [j.name for part in parts for j in part.jobs] == [j.name for j in workload.jobs]
    assert all(0 <= j.submission_time < 7200 for part in parts for j in part.jobs)
    assert main(["workload", "cut", str(IO), "--split", "6h", "-o", str(tmp_path / "part.json")]) == 0
    assert (tmp_path / "part-0.json").exists()
    assert main(["workload", "cut", str(IO), "--split", "6h"]) == 2


@cache
def first_twenty() -> Workload:
    """Read once for all examples."""
    return cut(parse_workload(IO.read_bytes()), Cut(first=20))


@given(st.floats(0.1, 8), st.floats(0, 8), st.floats(0, 8))
def test_scaling_scales(runtime: float, reads: float, writes: float) -> None:
    workload = first_twenty()
    new = scale(workload, Scale(runtime=runtime, reads=reads, writes=writes))
    for old_job, new_job in zip(workload.jobs, new.jobs, strict=True):
        old, scaled = workload.profiles[old_job.profile], new.profiles[new_job.profile]
        assert isinstance(old, ParallelHomogeneous)
        assert isinstance(scaled, ParallelHomogeneous)
        assert scaled.cpu == pytest.approx(old.cpu * runtime)
        before, after = requested_io(old), requested_io(scaled)  # which also checks that totals are sums
        read = sum(io.reads for io in after)
        asked = sum(io.reads for io in before) * Fraction(repr(reads))
        assert 0 <= read - asked < max(1, len(before))
        assert sum(io.writes for io in after) >= sum(io.writes for io in before) * writes * (1 - 1e-12)
        json.dumps(profile_to_json(scaled))


@given(st.integers(1, 10**15), st.decimals("0.01", "99", places=2))
def test_products_are_those_of_the_decimals_one_typed(value: int, factor: Decimal) -> None:
    """100 x 1.1 is 110, though the float nearest to 1.1 is a little above it."""
    assert product(value, float(factor)) == -(-value * int(factor * 100) // 100)


def test_a_machine_of_100_nodes_times_1_1_has_110() -> None:
    new = scale(made([{"res": 70}, {"res": 100}], p=HOM), Scale(nodes=1.1))
    assert [new.nb_res, *(job.requested_nodes for job in new.jobs)] == [9, 77, 110]  # of 8, 70 and 100
    io = made([{}], p={"type": "parallel_homogeneous", "cpu": 1, "com": 0, "io_reads": 100, "io_writes": 70})
    [io_after] = requested_io(scale(io, Scale(reads=1.1, writes=1.1)).profiles["p"])
    assert (io_after.reads, io_after.writes) == (110, 77)


def test_times_of_totals_stay_whatever_the_rounding_of_nodes() -> None:
    """1 and 3 nodes times 1.5 are 2 and 5: the totals grow by 2 and by 5/3, in a profile each; what has no
    totals below it stays one profile."""
    workload = made(
        [
            {"res": 1, "profile": "s"},
            {"res": 3, "profile": "s"},
            {"res": 2, "profile": "s"},
            {"profile": "s_2"},
        ],
        s={"type": "composed", "seq": ["t", "h"], "repeat": 2},
        t={"type": "parallel_homogeneous_total", "cpu": 3e9, "com": 0},
        h={"type": "parallel_homogeneous", "cpu": 1e9, "com": 0},
        s_2={"type": "delay", "delay": 1},
    )
    new = scale(workload, Scale(nodes=1.5))
    assert [job.requested_nodes for job in new.jobs] == [2, 5, 3, 2]
    before, after = statistics(workload), statistics(new)
    assert after.columns["runtimes"] == pytest.approx(before.columns["runtimes"], rel=1e-12)
    assert sum(name.startswith("t") for name in new.profiles) == 3
    assert sum(name.startswith("h") for name in new.profiles) == 1
    assert new.profiles["s_2"] == workload.profiles["s_2"]


def test_a_job_with_two_entries_of_one_file_system_is_one_job(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It reads 1 byte and writes 5: one job, median and most 6. And 1 and 9 GB have the median 5 GB."""
    two = [{"filesystem": "bb", "reads": 1}, {"filesystem": "bb", "writes": 5}]
    profiles = {
        "two": {"type": "delay", "delay": 1, "io": two},
        "one": {"type": "delay", "delay": 1, "io": [{"filesystem": "lustre", "reads": 10**9}]},
        "nine": {"type": "delay", "delay": 1, "io": [{"filesystem": "lustre", "reads": 9 * 10**9}]},
    }
    workload = made([{"profile": name} for name in profiles], **profiles)
    found = statistics(workload).to_json()["filesystems"]
    assert (found["bb"]["jobs"], found["bb"]["writes"]["median"]) == (1, 5)
    assert found["lustre"]["reads"]["median"] == 5e9
    write_workload(tmp_path / "w.json", workload)
    assert main(["workload", "describe", str(tmp_path / "w.json")]) == 0
    page = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert page["bb"] == ["bb", "1", "1", "B", "5", "B", "6", "B", "6", "B"]
    assert page["lustre"][-4:] == ["5", "GB", "9", "GB"]


def test_scaling_to_a_load_and_to_other_sizes() -> None:
    workload = parse_workload(IO.read_bytes())
    assert statistics(scale(workload, Scale(load=1.3))).offered_load == pytest.approx(1.3)
    wide = scale(workload, Scale(nodes=2.5))
    assert wide.nb_res == 40
    assert [j.requested_nodes for j in wide.jobs[:5]] == [
        -(-5 * j.requested_nodes // 2) for j in workload.jobs[:5]
    ]
    with pytest.raises(InputError, match="not both"):
        scale(workload, Scale(load=1, arrivals=2))
    with pytest.raises(InputError, match=r"profiles\.p"):
        scale(made([{}], p={"type": "parallel", "cpu": [1], "com": [0]}), Scale(nodes=2))
    with pytest.raises(InputError, match="runtime is -1"):
        scale(workload, Scale(runtime=-1))


def test_the_clock_moves_with_the_cut() -> None:
    workload = parse_workload(IO.read_bytes())
    assert workload.extra["clock"] == 0
    assert cut(workload, Cut(begin=5000)).extra["clock"] == 5000


def test_a_composed_jobs_bytes_are_those_of_all_its_phases(capsys: pytest.CaptureFixture[str]) -> None:
    """It loads 800 MB once and saves 200 MB three times: in the statistics, by file system, and in a line."""
    workload = read_workload(IO.with_name("io_composed.json"))
    found = statistics(workload)
    assert (found.columns["reads"], found.columns["writes"]) == ([800_000_000], [600_000_000])
    assert {name: use.jobs for name, use in found.filesystems.items()} == {"disk": 1, "nfs": 1}
    assert main(["workload", "check", str(IO.with_name("io_composed.json"))]) == 0
    assert "its phases have I/O" in capsys.readouterr().out
    assert summary(workload).endswith("800 MB read, 600 MB written")
