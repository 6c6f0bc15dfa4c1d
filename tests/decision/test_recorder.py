"""What a run records of itself is whole, or called partial."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batfs.decision.records import Recorder
from batfs.filesystems.data_sets import SetRow
from batfs.storage.interface import Storage, StorageTable


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
