"""The rows of the gallery: jobs in steps whatever their names, medians, jobs that were cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.report.gallery import EXHIBITS, gallery

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
