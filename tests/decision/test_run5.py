"""``batfs run --protocol 5``: the decisions of a plain run, the times of Batsim 5."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]
PLATFORM = str(ROOT / "platforms" / "taurus_storage.xml")


def table(path: str) -> dict[str, dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return {row["job_id"]: row for row in csv.DictReader(stream)}


def traffic(path: str) -> list[tuple[str, ...]]:
    """Each job's storages and bytes."""
    columns = ("job_id", "file_system", "storages", "read_by_storage", "written_by_storage")
    with Path(path).open(newline="") as stream:
        return sorted(tuple(row[c] for c in columns) for row in csv.DictReader(stream))


@pytest.mark.parametrize("more", [(), ("--enable-dynamic-jobs",), ("--queue", "easy")])
def test_decides_as_a_plain_run(
    more: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same nodes, storages and bytes; starts and ends within 1e-4 s, which Batsim 4's rounding and the
    messages' times account for. A workload converted before gives the very same files."""
    monkeypatch.chdir(tmp_path)
    workload = str(ROOT / "workloads" / "io.json")
    assert main(["workload", "cut", workload, "--first", "60", "-o", "four.json"]) == 0
    assert main(["workload", "convert", "--to", "batsim5", "four.json", "-o", "five.json"]) == 0
    run = ["run", "-q", "-p", PLATFORM, "--policy", "random", "--seed", "3", *more]
    assert main([*run, "-w", "four.json", "-e", "out/plain"]) == 0
    assert main([*run, "-w", "four.json", "-e", "out/five", "--protocol", "5"]) == 0
    assert main([*run, "-w", "five.json", "-e", "out/converted", "--protocol", "5"]) == 0
    plain, five = table("out/plain_jobs.csv"), table("out/five_jobs.csv")
    assert plain.keys() == five.keys()
    for job, row in plain.items():
        other = five[job]
        assert row["allocated_resources"] == other["allocated_resources"]
        assert row["final_state"] == other["final_state"]
        for column in ("submission_time", "starting_time", "finish_time"):
            # the end of staging that is written is the one that is told: from a storage, farther away
            limit = 1e-3 if column == "finish_time" and ".stage_" in job else 1e-4
            assert float(row[column] or 0) == pytest.approx(float(other[column] or 0), abs=limit)
    assert traffic("out/plain_io_jobs.csv") == traffic("out/five_io_jobs.csv")
    for name in ("jobs.csv", "io_jobs.csv", "storage_states.csv", "batsim_jobs.csv"):
        assert Path(f"out/five_{name}").read_bytes() == Path(f"out/converted_{name}").read_bytes()


def test_what_batsim_5_lacks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = tmp_path / "events.txt"
    events.write_text('{"type": "machine_unavailable", "timestamp": 1, "resources": "0"}\n')
    run = ["run", "-p", PLATFORM, "-w", str(ROOT / "workloads" / "io.json"), "-e", str(tmp_path / "x")]
    assert main([*run, "--protocol", "5", "--events", str(events)]) == 2
    assert "Batsim 5 has no events of machines" in capsys.readouterr().err
    assert main([*run, "--protocol", "5", "--engine", "batsim"]) == 2
    assert "--protocol goes with batfs's own simulator" in capsys.readouterr().err
