"""What a run records of itself is whole, or called partial."""

from __future__ import annotations

import csv
import inspect
import os
from pathlib import Path
from typing import Any

import pytest

from batfs.decision.experiment import Experiment
from batfs.decision.records import IO_JOBS_COLUMNS, Recorder, io_rows
from batfs.decision.run import run
from batfs.filesystems.data_sets import SetRow
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.observer import JobRecord, Observer, Several
from batfs.storage.interface import Storage, StorageTable

ROOT = Path(__file__).parents[2]


def test_a_disk_that_is_full_when_the_last_rows_are_written(tmp_path: Path) -> None:
    """12 kB of states don't fit; the rows of the files after them were never written, so none is whole."""
    (tmp_path / "r_storage_states.csv.partial").symlink_to("/dev/full")
    storages = StorageTable([Storage(i, f"disk{i}", 10, "fs", "site") for i in range(600)])
    row = SetRow("a", "fs", 10, 10, "me", 0.0, None, 0, 10, None, "", "")
    with pytest.raises(OSError, match="No space left"), Recorder(tmp_path / "r") as recorder:
        recorder.begins(storages, range(600))
        recorder.data_set_over(row)
    assert sorted(os.listdir(tmp_path)) == [
        "r_data_sets.csv.partial",
        "r_io_jobs.csv.partial",
        "r_storage_states.csv.partial",
    ]


def test_files_that_have_no_rows_do_not_stay_from_an_earlier_run(tmp_path: Path) -> None:
    for name in ("waits", "io_times", "data_sets"):
        (tmp_path / f"r_{name}.csv").write_text("of an earlier run")
    with pytest.raises(KeyboardInterrupt), Recorder(tmp_path / "r"):
        raise KeyboardInterrupt
    assert len(list(tmp_path.glob("r_*.csv"))) == 3
    with Recorder(tmp_path / "r") as recorder:
        pass
    assert recorder.paths == [tmp_path / "r_io_jobs.csv", tmp_path / "r_storage_states.csv"]
    assert sorted(tmp_path.glob("r_*.csv")) == recorder.paths


TOLD = [name for name in vars(Observer) if not name.startswith("_")]


class Ears(Observer):
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def __getattribute__(self, name: str) -> Any:
        if name in TOLD:
            return lambda *what: self.heard.append((name, what))
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", TOLD)
def test_all_of_several_are_told_everything(name: str) -> None:
    ears = Ears(), Ears()
    what = tuple(object() for _ in inspect.signature(getattr(Observer, name)).parameters)[1:]
    getattr(Several(ears[0], None, ears[1]), name)(*what)
    assert [one.heard for one in ears] == [[(name, what)]] * 2


def test_who_observes_a_run_hears_of_its_faults_also_when_files_are_written(tmp_path: Path) -> None:
    heard = []
    faults = {"fault": [{"at": 1.0, "storage": "*", "state": "degraded", "bandwidth": 0.5, "lasts": 10.0}]}
    settings = Settings(flags=Layer("test", {"faults": faults}))
    experiment = Experiment(ROOT / "platforms/io_example.xml", [ROOT / "workloads/io_example.json"])
    for prefix in (None, tmp_path / "r"):
        ears = Ears()
        run(experiment, settings, prefix, observer=ears)
        heard.append([name for name, _ in ears.heard])
    assert heard[0] == heard[1]
    assert "failures" in heard[0]


class Rows(Observer):
    """The rows of each job as the general way writes them, without the time alone."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def job_over(self, record: JobRecord) -> None:
        self.rows += io_rows(record)


def test_the_commonest_case_has_the_row_that_all_have(tmp_path: Path) -> None:
    """What was on one storage is written by the core; the row is that of the general way."""
    rows = Rows()
    experiment = Experiment(ROOT / "platforms/taurus_storage.xml", [ROOT / "workloads/io.json"])
    run(experiment, Settings(), tmp_path / "r", observer=rows)
    with open(tmp_path / "r_io_jobs.csv", newline="") as stream:
        written = [{**row, "alone_time": ""} for row in csv.DictReader(stream)]
    assert written == list(csv.DictReader(rows.rows, IO_JOBS_COLUMNS))
    assert len({row["storages"] for row in written if " " not in row["storages"]}) > 1
    assert any(float(row["storage_waiting_time"]) > 0 for row in written)
