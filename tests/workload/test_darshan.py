"""From Darshan logs (PyDarshan's own examples) and scheduler logs to a workload."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.workload import read_workload, requested_io
from batfs.workload.account import Report
from batfs.workload.darshan import DarshanOptions, named, phases, to_jobs
from batfs.workload.phases import io_over_phases

try:
    import darshan
except (ImportError, RuntimeError) as error:  # no wheel with its C library for this Python
    pytest.skip(f"PyDarshan can't be used: {error}", allow_module_level=True)
LOGS = Path(darshan.__file__).parent / "examples" / "example_logs"
EXAMPLE = LOGS / "example.darshan"  # job 4478544, 2048 processes, 117 s
BAD_OST = LOGS / "sample-badost.darshan"


def convert(words: list[str], out: Path) -> dict[str, Any]:
    assert main(["workload", "from-darshan", *words, "-o", str(out)]) == 0
    return {job.name: job for job in read_workload(out).jobs}


def test_bytes_are_what_pydarshan_itself_sums_up(tmp_path: Path) -> None:
    out = tmp_path / "w.json"
    jobs = convert([str(LOGS), "--processes-per-node", "32"], out)
    workload = read_workload(out)
    assert len(jobs) == 6
    for log in sorted(LOGS.glob("*.darshan")):
        report = darshan.DarshanReport(str(log), read_all=True)
        sums = {"READ": 0, "WRITTEN": 0}
        for module in ("POSIX", "STDIO"):
            if module not in report.modules:
                continue
            counters = report.records[module].to_df()["counters"]
            streams = [n for n, name in report.name_records.items() if name.startswith("<")]
            kept = counters[~counters["id"].isin(streams)]
            for word in sums:
                sums[word] += int(kept[f"{module}_BYTES_{word}"].clip(lower=0).sum())
        job = jobs[str(report.metadata["job"]["jobid"])]
        profile = workload.profiles[job.profile]
        assert (profile.extra.get("io_reads", 0), profile.extra.get("io_writes", 0)) == (
            sums["READ"],
            sums["WRITTEN"],
        )
        assert profile.extra["darshan"]["processes"] == report.metadata["job"]["nprocs"]


def test_file_systems_phases_and_operations_of_a_job(tmp_path: Path) -> None:
    out = tmp_path / "w.json"
    jobs = convert([str(EXAMPLE), "--processes-per-node", "24"], out)
    job = jobs["4478544"]
    assert job.requested_nodes == -(-2048 // 24)
    assert job.extra["executables"] == ["vpicio_uni"]
    profile = read_workload(out).profiles["4478544"]
    (io,) = requested_io(profile)
    assert (io.filesystem, io.writes) == ("lustre", 2199023263277 - 3029 - 280)
    detail = profile.extra["darshan"]
    assert detail["metadata_operations"] >= 2049  # POSIX_OPENS of the one big file
    assert io.operations["open"] >= 2049
    assert sum(io.operations.values()) <= detail["metadata_operations"]
    assert detail["write_seconds"] == pytest.approx(100397.6, abs=0.1)
    (phase,) = detail["phases"]
    assert phase["end"] <= 117
    # the same file system under another name
    convert([str(EXAMPLE), "--name", "lustre=pfs"], out)
    assert requested_io(read_workload(out).profiles["4478544"])[0].filesystem == "pfs"
    convert([str(EXAMPLE), "--name", "/scratch2=big", "--name", "lustre=pfs"], out)
    assert requested_io(read_workload(out).profiles["4478544"])[0].filesystem == "big"


@pytest.mark.parametrize("damage", ["cut", "header", "empty", "zeros", "text"])
def test_a_damaged_log_is_named_skipped_and_counted(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    data = bytearray(EXAMPLE.read_bytes())
    data = {
        "cut": data[: len(data) // 2],
        "header": data[:100],
        "empty": data[:0],
        "zeros": data[:5000] + bytes(100) + data[5100:],
        "text": bytearray(b"not a log\n" * 100),
    }[damage]
    logs = tmp_path / "logs"
    logs.mkdir()
    shutil.copy(BAD_OST, logs / "good.darshan")
    (logs / "bad.darshan").write_bytes(data)
    out = tmp_path / "w.json"
    assert main(["workload", "from-darshan", str(logs), "--json", "-o", str(out)]) == 0
    report = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert (report["records"], report["jobs"]) == (2, 1)
    assert report["left_out"] == {"damaged or unreadable log": 1}
    assert report["notes"][0].startswith("bad.darshan: damaged: ")
    assert read_workload(out).extra["converted"]["left_out"] == report["left_out"]
    assert sorted(path.name for path in logs.iterdir()) == ["bad.darshan", "good.darshan"]
    assert not list(scratch.iterdir())


def test_the_same_log_twice_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(EXAMPLE, tmp_path / "again.darshan")
    out = tmp_path / "w.json"
    convert([str(EXAMPLE), str(tmp_path / "again.darshan")], out)
    assert "the same log again" in capsys.readouterr().out
    assert requested_io(read_workload(out).profiles["4478544"])[0].writes == 2199023259968


def test_only_damaged_logs_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.darshan").write_text("no")
    assert main(["workload", "from-darshan", str(tmp_path)]) == 2
    assert "no job is left" in capsys.readouterr().err
    assert main(["workload", "from-darshan", str(tmp_path / "none")]) == 2
    (tmp_path / "e").mkdir()
    assert main(["workload", "from-darshan", str(tmp_path / "e")]) == 2
    assert main(["workload", "from-darshan", str(EXAMPLE), "--name", "lustre"]) == 2


SACCT = """\
JobIDRaw|Submit|Start|End|NNodes|TimelimitRaw
4478544|2017-03-20T01:00:00|2017-03-20T02:07:40|2017-03-20T02:10:00|86|30
77|2017-03-20T01:00:00|2017-03-20T03:00:00|2017-03-20T03:10:00|2|Partition_Limit
78|2017-03-20T01:00:00|Unknown|Unknown|2|10
"""


def test_joined_with_a_scheduler_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "sacct.txt"
    table.write_text(SACCT)
    out = tmp_path / "w.json"
    words = [
        str(LOGS),
        "--jobs",
        str(table),
        "--zone",
        "America/Los_Angeles",
        "--keep-times",
        "--io",
        "constant:reads=5",
    ]
    jobs = convert(words, out)
    shown = capsys.readouterr().out
    assert "never ran" in shown
    assert "not in the scheduler log" in shown
    job = jobs["4478544"]
    assert (job.requested_nodes, job.walltime) == (86, 1800)
    assert job.submission_time == 1489996800  # 08:00 UTC
    assert job.extra["recorded"] == {"wait": 4060}
    profiles = read_workload(out).profiles
    # the program started at 09:07:47 UTC, 7 s after its job
    assert profiles["4478544"].extra["darshan"]["phases"][0]["begin"] == pytest.approx(7, abs=5)
    assert jobs["77"].walltime is None
    assert profiles[jobs["77"].profile].extra["io_reads"] == 10
    assert "77" not in convert([*words, "--only-logged"], out)


def run(start: float, *intervals: tuple[str, float, float, int]) -> dict[str, Any]:
    use = {"type": "lustre", "intervals": [list(i) for i in intervals]}
    return {"start": start, "mounts": {"/lus": use}}


def test_phases_join_what_overlaps_or_is_near() -> None:
    runs = [
        run(
            100.0,
            ("reads", 0.0, 2.0, 5),
            ("reads", 2.5, 3.0, 6),
            ("writes", 1.0, 9.0, 7),
            ("reads", 8.0, 9.0, 1),
        ),
        run(110.0, ("writes", 0.5, 1.0, 8)),
    ]
    found = phases(runs, 98.0, DarshanOptions(gap=1.0))
    assert found == [
        {"begin": 2, "end": 5, "io": [{"filesystem": "lustre", "reads": 11}]},
        {"begin": 3, "end": 11, "io": [{"filesystem": "lustre", "writes": 7}]},
        {"begin": 10, "end": 11, "io": [{"filesystem": "lustre", "reads": 1}]},
        {"begin": 12.5, "end": 13, "io": [{"filesystem": "lustre", "writes": 8}]},
    ]


def test_names_of_file_systems() -> None:
    names = {"/lus": "a", "/lus/home": "b", "nfs": "c"}
    assert named("/lus", "lustre", names) == "a"
    assert named("/lus/home/x", "lustre", names) == "b"
    assert named("/lustre", "lustre", names) == "lustre"
    assert named("/h", "nfs", names) == "c"


def test_two_programs_of_one_job_are_one_job() -> None:
    def log(start: float, processes: int, size: int) -> dict[str, Any]:
        use = dict.fromkeys(
            ("reads", "metadata_operations", "read_seconds", "write_seconds", "metadata_seconds"), 0
        )
        use |= {"type": "gpfs", "writes": size, "shared_bytes": 0, "files": 2, "intervals": []}
        return {
            "job": "9", "start": start, "end": start + 10, "seconds": 11.0, "processes": processes,
            "executable": "x", "mounts": {"/g": use},
        }  # fmt: skip

    report = Report("r")
    (job,) = to_jobs([log(50, 64, 7), log(5, 32, 5)], None, DarshanOptions(processes_per_node=32), report)
    assert (job.submission, job.runtime, job.nodes) == (5, 56, 2)
    assert job.io is not None
    assert [(io.filesystem, io.writes, io.files, io.pattern) for io in job.io] == [
        ("gpfs", 12, 4, "per_node")
    ]
    assert job.io_extra["darshan"]["logs"] == 2


def test_every_example_of_pydarshan_converts_with_counts_that_add_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve logs of twelve jobs; as composed jobs they have the same bytes, and paths can be named apart."""
    examples, out = str(LOGS.parent), tmp_path / "w.json"
    volumes = []
    for compute in ("recorded", "without-io", "phases"):
        words = ["workload", "from-darshan", examples, "--compute", compute, "--json", "-o", str(out)]
        assert main(words) == 0
        report = json.loads(capsys.readouterr().out.partition("\n")[2])
        assert report["records"] == report["jobs"] == len(list(LOGS.parent.rglob("*.darshan")))
        workload = read_workload(out)
        volumes.append(
            {
                job.name: [
                    (io.filesystem, io.reads, io.writes)
                    for io in io_over_phases(workload.profiles[job.profile], workload.profiles)
                ]
                for job in workload.jobs
            }
        )
    assert volumes[0] == volumes[1]
    assert {name: sorted(io) for name, io in volumes[2].items()} == volumes[0]
    assert main(["workload", "from-darshan", str(EXAMPLE), "--name", "/nowhere=x"]) == 2
    assert "/scratch2 (lustre)" in capsys.readouterr().err
