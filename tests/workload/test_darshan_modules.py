"""Which of a Darshan log's modules bytes are taken from, on reports made as PyDarshan gives them.

No log with DFS or DAOS records is at hand, so a report is made by hand: its modules, names of files, and
counters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from batfs.workload.darshan_log import read_log

darshan = pytest.importorskip("darshan")

BYTES = ("BYTES_READ", "BYTES_WRITTEN")
TIMES = (
    *("F_READ_TIME", "F_WRITE_TIME", "F_META_TIME"),
    *("F_READ_START_TIMESTAMP", "F_READ_END_TIMESTAMP", "F_WRITE_START_TIMESTAMP", "F_WRITE_END_TIMESTAMP"),
)


class Report:
    """``given``: module -> {file: (bytes read, bytes written)}."""

    def __init__(self, given: dict[str, dict[str, tuple[int, int]]], others: tuple[str, ...] = ()) -> None:
        job = {"start_time_sec": 100, "end_time_sec": 160, "nprocs": 4, "jobid": 7, "uid": 1}
        self.metadata = {"job": job, "exe": "/bin/app"}
        self.mounts = [("/", "xfs"), ("/lustre", "lustre")]
        self.modules = {name: {"partial_flag": False} for name in (*given, *others)}
        names = sorted({name for files in given.values() for name in files})
        self.name_records = dict(enumerate(names, 1))
        self._ids = {name: identifier for identifier, name in self.name_records.items()}
        self._given = given
        self.counters: dict[str, Any] = {}
        self.records: dict[str, list[Any]] = {}

    def mod_read_all_records(self, module: str) -> None:
        prefix = {"MPI-IO": "MPIIO"}.get(module, module)
        self.counters[module] = {
            "counters": [f"{prefix}_{name}" for name in BYTES],
            "fcounters": [f"{prefix}_{name}" for name in TIMES],
        }
        self.records[module] = [
            {
                "id": self._ids[name],
                "rank": 0,
                "counters": np.array(amounts),
                "fcounters": np.array([1.0, 1.0, 0.5, 1.0, 2.0, 3.0, 4.0]),
            }
            for name, amounts in self._given[module].items()
        ]


def read(monkeypatch: pytest.MonkeyPatch, report: Report) -> dict[str, Any]:
    monkeypatch.setattr(darshan, "DarshanReport", lambda path, read_all: report)
    return read_log("made.darshan")


def moved(found: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {where: (int(use["reads"]), int(use["writes"])) for where, use in found["mounts"].items()}


def test_dfs_is_counted_and_daos_below_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 and 5 bytes through DFS are the same bytes as DAOS's objects': counted once, as a file system
    `daos`."""
    given = {"DFS": {"/scratch/a": (10, 5)}, "DAOS": {"1234.5678": (10, 5)}}
    found = read(monkeypatch, Report(given))
    assert sum(r for r, _ in moved(found).values()) == 10
    assert sum(w for _, w in moved(found).values()) == 5
    assert {use["type"] for use in found["mounts"].values()} == {"daos"}


def test_daos_alone_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(monkeypatch, Report({"DAOS": {"1234.5678": (3, 4)}}))
    assert list(moved(found).values()) == [(3, 4)]


def test_mpi_io_counts_where_nothing_below_saw_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """File a is in POSIX too: its bytes are those. File b is MPI-IO's alone."""
    given = {"POSIX": {"/lustre/a": (8, 0)}, "MPI-IO": {"/lustre/a": (8, 0), "/lustre/b": (0, 2)}}
    assert moved(read(monkeypatch, Report(given))) == {"/lustre": (8, 2)}


@pytest.mark.parametrize("module", ["H5D", "PNETCDF_VAR"])
def test_libraries_above_are_named_when_nothing_below_is_there(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    assert read(monkeypatch, Report({"STDIO": {"/lustre/a": (1, 1)}}, (module,)))["uncounted"] == [module]
    given = {"POSIX": {"/lustre/a": (1, 1)}}
    assert read(monkeypatch, Report(given, (module,)))["uncounted"] == []
