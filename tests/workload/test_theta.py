"""The replay of Theta: bursts, comparison and statistics on a trace small enough to work out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batfs.campaign.reproduce.agreement import agreement, cohen, pearson
from batfs.campaign.reproduce.theta import (
    LAYOUTS,
    Comparison,
    Layout,
    burst_workload,
    compare,
    read_bursts,
    replay,
    with_process_rate,
)
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.platform.generate import generate
from batfs.platform.spec import make_spec
from batfs.workload import requested_io

THETA = Path(__file__).parents[2].parent / "shared" / "data" / "theta" / "theta2022_week4.yaml"

# times are 2022-01-22 00:00:00 UTC and later
TRACE = """\
jobs:
- {id: 1, startTime: '2022-01-22 00:00:00', endTime: '2022-01-22 00:10:00', readBytes: 4000, writtenBytes: 0,
   nodesUsed: 1, readTimeSeconds: 12, writeTimeSeconds: 0,
   runs: [{dStartTime: 1642809600, nprocs: 2, readBytes: 1000, writtenBytes: 0},
          {dStartTime: 1642809700, nprocs: 4, readBytes: 3000, writtenBytes: 0}]}
- {id: 2, startTime: '2022-01-22 00:00:10', endTime: '2022-01-22 00:10:00', readBytes: 0, writtenBytes: 8000,
   nodesUsed: 2, readTimeSeconds: 0, writeTimeSeconds: 5,
   runs: [{dStartTime: 1642809610, nprocs: 1, readBytes: 0, writtenBytes: 8000}]}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.yaml"
    path.write_text(TRACE)
    return path


def test_bursts_and_their_workload(trace: Path) -> None:
    bursts, jobs = read_bursts(trace)
    assert [(b.id, b.size, b.processes) for b in bursts] == [
        ("1.0.read", 1000, 2),
        ("2.0.write", 8000, 1),
        ("1.1.read", 3000, 4),
    ]
    workload = burst_workload(bursts, Layout("x", 1, True))
    assert [(j.name, j.submission_time, j.requested_nodes) for j in workload.jobs] == [
        ("1.0.read", 0, 1),
        ("2.0.write", 10, 2),
        ("1.1.read", 100, 1),
    ]
    (io,) = requested_io(workload.profiles["1.1.read"])
    assert (io.filesystem, io.reads, io.writes, io.files) == ("lustre", 3000, 0, 4)
    read, write = compare(bursts, jobs, {"1.0.read": 0.5, "1.1.read": 0.25, "2.0.write": 2.0})
    # processes weighted by bytes: (2 x 1000 + 4 x 3000) / 4000
    assert (read.processes, read.measured, read.simulated) == (3.5, pytest.approx(12 / 3.5), 0.75)
    assert (write.job, write.measured, write.simulated) == ("2", 5, 2)


def test_the_simulated_seconds_are_bytes_over_bandwidth(tmp_path: Path) -> None:
    spec = {
        "nodes": {"count": 4, "bandwidth": "10GBps", "latency": "1us"},
        "pfs": {
            "file_system": "lustre", "servers": 2, "targets": 1, "size": "1TB", "latency": "1us",
            "read_bandwidth": "1GBps", "write_bandwidth": "500MBps", "server_bandwidth": "10GBps",
        },
    }  # fmt: skip
    platform = tmp_path / "platform.xml"
    platform.write_text(generate(make_spec(spec)))
    trace = tmp_path / "trace.yaml"
    trace.write_text(TRACE.replace("000,", "000000000,").replace("000}", "000000000}"))
    found = {
        (layout.name, c.direction): c.simulated
        for layout in LAYOUTS
        for c in replay(trace, platform, layout, tmp_path).comparisons
    }
    one, per_process, all_targets = (layout.name for layout in LAYOUTS)
    # 1e9 and 3e9 bytes read from one target at 1 GB/s, 8e9 written to it at 0.5 GB/s; two targets take half
    assert found[one, "read"] == pytest.approx(4, rel=1e-3)
    assert found[one, "write"] == pytest.approx(16, rel=1e-3)
    assert found[per_process, "read"] == pytest.approx(2, rel=1e-3)
    assert found[per_process, "write"] == pytest.approx(16, rel=1e-3)
    assert found[all_targets, "write"] == pytest.approx(8, rel=1e-3)


def test_the_fitted_rate_is_that_of_the_others() -> None:
    jobs = [Comparison(str(i), "read", 100 * i, 1, 1.0, 1.0, 0.001) for i in (1, 2, 3)]
    # rates 100, 200, 300 bytes/s; the first job is compared with the median of 200 and 300
    assert [c.simulated for c in with_process_rate(jobs)] == [100 / 250, 200 / 200, 300 / 150]


def test_statistics_by_hand_and_against_scipy() -> None:
    assert pearson([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    assert pearson([1, 1, 1], [2, 4, 6]) == 0
    # means 3 and 2, both with variance 1
    assert cohen([2, 3, 4], [1, 2, 3]) == pytest.approx(1)
    pairs = [(1.0, 3.0), (10.0, 3.0), (5.0, 8.0), (2.5, 1.0), (100.0, 40.0)]
    found = agreement(pairs)
    assert found.ratio == pytest.approx(2.5)
    stats = pytest.importorskip("scipy.stats")
    columns = [list(column) for column in zip(*pairs, strict=True)]
    assert found.pearson == pytest.approx(stats.pearsonr(*columns).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(*columns).statistic)
    with pytest.raises(InputError, match="at least 3"):
        agreement(pairs[:2])


def test_traces_without_runs_are_refused(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.write_text(TRACE.replace("runs:", "walks:"))
    assert main(["reproduce", "theta", str(trace)]) == 2
    assert "jobs[0]: the job has no 'runs'" in capsys.readouterr().err
    trace.write_text(TRACE.replace("nprocs: 4", "nprocs: many"))
    assert main(["reproduce", "theta", str(trace)]) == 2
    assert "jobs[0].runs[1]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not THETA.is_file(), reason="the trace of Theta is not beside the project")
def test_the_page_on_theta_tells_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "theta", str(THETA), "--json"]) == 0
    replays = {r["layout"]["name"]: r["agreement"] for r in json.loads(capsys.readouterr().out)}
    page = (Path(__file__).parents[2] / "docs" / "background" / "theta.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in page.splitlines() if "| " in line
    ]
    per_process = replays["a file per process, each on one target"]

    def row(found: dict[str, float], label: str) -> list[str]:
        numbers = [
            f"{found[key]:.2f}" for key in ("pearson", "pearson_log", "spearman", "cohen", "cohen_log")
        ]
        return [label, str(found["count"]), *numbers, f"{found['ratio']:.2g}"]

    assert row(per_process["per process"]["read"], "a file per process: read") in rows
    assert row(per_process["per process"]["write"], "write") in rows
    assert row(per_process["fitted"]["read"], "read") in rows
    assert row(per_process["fitted"]["write"], "write") in rows
    one = replays["one file on one target"]["per process"]
    assert row(one["read"], "one file on one target: read") in rows
