"""The rows of the gallery: jobs in steps whatever their names, medians, jobs that were cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.cli.main import main
from batfs.report.gallery import EXHIBITS, Exhibit, flags_of, gallery, simulated
from batfs.report.set_picture import REFERENCE, readers, with_sets
from batfs.workload import read_workload, requested_io

PLATFORM = Path(__file__).parents[2] / "platforms" / "taurus_storage.xml"
GB = 10**9


def rows(
    folder: Path, jobs: list[dict[str, Any]], profiles: dict[str, Any], model: str
) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "given.json"
    full = [{"subtime": 10_000 * k, "res": 1, "walltime": 9000} | job for k, job in enumerate(jobs)]
    file.write_text(json.dumps({"nb_res": 16, "jobs": full, "profiles": profiles}))
    return [one.row() for one in gallery(PLATFORM, file, {model: EXHIBITS[model]}, folder / "out")]


def profile(reads: int, seconds: int = 10) -> dict[str, Any]:
    return {"type": "parallel_homogeneous", "cpu": seconds * 10**9, "com": 0, "io_reads": reads}


@pytest.mark.parametrize("kind", ["plain", "composed"])
def test_a_job_with_dots_in_its_name_gives_the_row_of_one_without(tmp_path: Path, kind: str) -> None:
    """Its steps are called w0.1.5.0.stage_in and so on; what is before the number is the job."""
    profiles: dict[str, Any] = {
        "io": profile(40 * GB),
        "seq": {"type": "composed", "seq": ["io"], "repeat": 2},
    }
    found = [
        rows(
            tmp_path / name,
            [{"id": name, "profile": "io" if kind == "plain" else "seq"}],
            profiles,
            "burst_buffer",
        )
        for name in ("a1", "1.5", "x.2.stage_in")
    ]
    assert found[0] == found[1] == found[2]
    assert found[0][1]["mean_staging_time"] > 1
    assert found[0][1]["mean_waiting_time"] == pytest.approx(0, abs=0.1)


def test_the_median_of_an_even_number_is_the_middle_of_two(tmp_path: Path) -> None:
    """Of two jobs one moves nothing: mean and median of the I/O times are half of the other's."""
    jobs = [{"id": "1", "profile": "none"}, {"id": "2", "profile": "io"}]
    [_, row] = rows(tmp_path, jobs, {"none": profile(0), "io": profile(40 * GB)}, "pfs")
    assert row["max_io_time"] > 1
    assert row["median_io_time"] == row["mean_io_time"] == row["max_io_time"] / 2


def test_a_job_that_runs_out_of_time_is_counted_and_is_no_fast_io(tmp_path: Path) -> None:
    jobs = [{"id": "1", "profile": "io"}, {"id": "2", "profile": "io", "walltime": 12}]
    [none, row] = rows(tmp_path, jobs, {"io": profile(40 * GB)}, "pfs")
    assert (none["unsuccessful"], row["unsuccessful"]) == (0, 1)
    assert row["mean_io_time"] == row["max_io_time"] > 10


def test_what_is_staged_before_there_are_nodes_is_staging_and_no_io(tmp_path: Path) -> None:
    """Ahead the copy comes before the job's start: it waits so long, and its nodes don't."""
    jobs = [{"id": "1", "profile": "io"}]
    given = {"io": profile(40 * GB)}
    found = {}
    for mode in ("held", "ahead"):
        file = tmp_path / f"{mode}.json"
        full = [{"subtime": 0, "res": 1, "walltime": 9000} | job for job in jobs]
        file.write_text(json.dumps({"nb_res": 16, "jobs": full, "profiles": given}))
        exhibit = Exhibit("nvme_pool", "nvme", {"backing": "lustre", "staging": mode})
        [_, shown] = gallery(PLATFORM, file, {"nvme_pool": exhibit}, tmp_path / mode)
        found[mode] = shown.jobs["1"]
    held, ahead = found["held"], found["ahead"]
    assert held.staging == pytest.approx(ahead.staging, abs=0.01)
    assert ahead.stage_in == 0.0
    assert ahead.io == pytest.approx(held.io - held.stage_in, abs=0.01)
    assert ahead.waited == pytest.approx(held.stage_in, abs=0.01)
    [(begin, end)] = ahead.ahead
    assert (begin, end) == (pytest.approx(0.0, abs=0.01), pytest.approx(ahead.start, abs=0.01))


def test_jobs_that_share_data_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve jobs in groups of five: as many bytes as before, each reader waits for its group's writer; and
    the command draws it."""
    folder = tmp_path / "out"
    words = ["gallery", "-n", "12", "--model", "pfs", "--model", "burst_buffer", "--data-sets"]
    assert main([*words, "-o", str(folder), "--json"]) == 0
    assert str(folder / "gallery-data_sets.png") in json.loads(capsys.readouterr().out)["files"]
    plain = read_workload(folder / "burst_buffer.json", "w0")
    shared = read_workload(folder / "burst_buffer-data_sets.json", "w0")
    before, after = (
        [requested_io(w.profiles[job.profile]) for job in sorted(w.jobs, key=lambda j: int(j.name))]
        for w in (plain, shared)
    )
    for k, (one, other) in enumerate(zip(before, after, strict=True)):
        assert sum(part.reads for part in one) == sum(part.reads for part in other)
        if k % 5 in (0, 2):
            assert sum(part.writes for part in one) == sum(part.writes for part in other)
    reads = readers(shared)
    assert set(reads) == {REFERENCE, "set0", "set1", "set2"}
    assert [len(reads[name]) for name in (REFERENCE, "set0", "set1", "set2")] == [3, 4, 4, 1]
    exhibit = EXHIBITS["burst_buffer"]
    shown = simulated(
        *(PLATFORM, folder / "burst_buffer-data_sets.json", "bb", exhibit),
        with_sets(flags_of(exhibit, 0, "easy"), exhibit),
        {},
    )
    assert {row.filesystem for row in shown.storage.sets} == {"lustre"}
    for row in shown.storage.sets:
        for job in reads.get(row.name, ()):
            assert shown.jobs[job].start >= (row.created or 0.0)
