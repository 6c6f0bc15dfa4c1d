"""From StorAlloc's and Fives's traces to a workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.workload import read_workload, requested_io

THETA = Path(__file__).parents[2].parent / "shared" / "data" / "theta"

TRACE = """\
jobs:
- {id: 7, startTime: '2020-10-01 20:00:00', endTime: '2020-10-01 20:10:00',
   submissionTime: '2020-10-01 19:00:00', readBytes: 5, writtenBytes: 0, nodesUsed: 3,
   walltimeSeconds: 900, metaTimeSeconds: 1.5}
- {id: 7, startTime: '2020-10-01 20:00:00', endTime: '2020-10-01 20:10:00',
   submissionTime: '2020-10-01 19:00:00', readBytes: 6, writtenBytes: 4, nodesUsed: 3, walltimeSeconds: 900}
- {id: 8, startTime: '2020-10-01T22:00:00+02:00', endTime: '2020-10-01 20:10:00',
   submissionTime: '2020-10-01 19:30:00', readBytes: 0, writtenBytes: 0, coresUsed: 100}
"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.yml"
    path.write_text(TRACE)
    return path


def test_rows_of_one_job_are_merged(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "w.json"
    words = ["workload", "from-storalloc", str(trace), "--cores-per-node", "64", "-o", str(out)]
    assert main([*words, "--filesystem", "lustre"]) == 0
    assert "row merged into the job with its id" in capsys.readouterr().out
    seven, eight = read_workload(out).jobs
    profiles = read_workload(out).profiles
    assert (seven.name, seven.submission_time, seven.requested_nodes, seven.walltime) == ("7", 0, 3, 900)
    assert [(io.filesystem, io.reads, io.writes) for io in requested_io(profiles["7"])] == [("lustre", 11, 4)]
    assert seven.extra["recorded"] == {"wait": 3600, "metaTimeSeconds": 1.5}
    assert (eight.submission_time, eight.requested_nodes, eight.walltime) == (1800, 2, None)
    assert requested_io(profiles["8"]) == ()
    assert profiles["8"].cpu == 600e9  # type: ignore[union-attr]
    assert main([*words, "--no-merge"]) == 0
    assert [job.name for job in read_workload(out).jobs] == ["7", "7#1", "8"]


def test_a_job_without_size_is_refused(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "from-storalloc", str(trace)]) == 2
    assert "jobs[2]: the job 8 has no number of nodes" in capsys.readouterr().err


@pytest.mark.skipif(not THETA.is_dir(), reason="the traces of Theta are not beside the project")
def test_thetas_traces(tmp_path: Path) -> None:
    out = tmp_path / "w.json"
    assert main(["workload", "from-storalloc", str(THETA / "IOJobsOct.yml"), "-o", str(out)]) == 0
    assert len(read_workload(out).jobs) == 105
    assert main(["workload", "from-storalloc", str(THETA / "theta2022_week4.yaml"), "-o", str(out)]) == 0
    workload = read_workload(out)
    assert len(workload.jobs) == 57
    assert sum(io.reads for p in workload.profiles.values() for io in requested_io(p)) > 8e11
    assert all("writeTimeSeconds" in job.extra["recorded"] for job in workload.jobs)


def test_measured_io_seconds_are_taken_off(trace: Path, tmp_path: Path) -> None:
    """Fives's seconds are sums over the processes: (6 + 2 + 4) s of 4 are 3 s of 600."""
    row = (
        "- {id: %d, startTime: '2020-10-01 20:00:00', endTime: '2020-10-01 20:%s:00', readBytes: 5,"
        " writtenBytes: 0, nodesUsed: 3, readTimeSeconds: 6, writeTimeSeconds: 2, metaTimeSeconds: 4.0,"
        " runs: [{nprocs: 4}]}\n"
    )
    trace.write_text("jobs:\n" + row % (1, "10") + row % (2, "00"))
    out = tmp_path / "w.json"
    assert main(["workload", "from-storalloc", str(trace), "--compute", "without-io", "-o", str(out)]) == 0
    workload = read_workload(out)
    assert workload.profiles["1"].cpu == 597e9  # type: ignore[union-attr]
    assert workload.extra["converted"]["changed"]["run time of 0 made 1 s"] == 1


def test_other_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "djc.csv"
    table.write_text("COBALT_JOBID,QUEUED_TIMESTAMP,START_TIMESTAMP\n1,2,3\n")
    assert main(["workload", "from-storalloc", str(table)]) == 2
    assert "from-log" in capsys.readouterr().err
    table.write_text("; MaxProcs: 16\n1 0 10 100 4 -1 -1 4 3600 -1 1 5 2 -1 1 0 -1 -1\n")
    assert main(["workload", "from-storalloc", str(table)]) == 2
    assert "from-swf" in capsys.readouterr().err
