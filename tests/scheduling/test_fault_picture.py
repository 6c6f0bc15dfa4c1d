"""What the gallery's figure of faults shows, by hand: bytes a second, jobs, when what was away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from fs_tiny import job, write_inputs

from batfs.cli.main import main
from batfs.report.fault_picture import Course, course

GB = 10**9
TARGET = {"filesystem": "fs", "model": "pfs", "read": "100MBps", "write": "100MBps"}
STORAGES = {"s0": TARGET, "s1": TARGET}
THEN = {"bandwidth": 0.5, "rebuild": "1GB", "rebuild_time": 20}
DOWN = {"fault": [{"at": 30, "storage": "s0", "state": "down", "lasts": 50, "then": THEN}]}


def seen(folder: Path, timing: str, faults: dict[str, Any] | None = None) -> Course:
    """One job that reads 10 GB from s0, at 100 MB/s."""
    files = write_inputs(folder, 1, STORAGES, [job("a", io_reads=10 * GB)])
    flags = {"policy": "first_fit", "filesystems": {"fs": {"timing": timing}}}
    return course(*files, {**flags, "faults": faults} if faults else flags, {})


@pytest.mark.parametrize("timing", ["overlap", "phases"])
def test_what_moves_when(tmp_path: Path, timing: str) -> None:
    """Alone it reads until 100. With s0 away from 30 to 80 it stops, reads on from 80 and shares the write
    link of nobody: until 150. Then 1 GB of a rebuild moves for 20 s, 50 MB/s in the mean."""
    alone = seen(tmp_path, timing)
    assert alone.end == pytest.approx(100, abs=1e-2)
    assert alone.moving.at(np.array([50.0, 120.0])) == pytest.approx([1e8, 0], rel=1e-4)
    struck = seen(tmp_path, timing, DOWN)
    assert struck.end == pytest.approx(150, abs=1e-2)
    moments = np.array([15.0, 55.0, 100.0, 160.0])
    assert struck.moving.at(moments) == pytest.approx([1e8, 0, 1e8, 0], rel=1e-3)
    assert struck.alive.at(moments) == pytest.approx([1, 1, 1, 0])
    assert struck.away == [pytest.approx((30, 80))]
    assert struck.slow == [pytest.approx((80, 100), abs=0.2)]
    assert struck.rebuilding.means(np.array([80.0, 100.0]))[0] == pytest.approx(5e7, rel=1e-2)


def test_what_fails_is_looked_for_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_inputs(tmp_path, 1, STORAGES, [job("a", io_reads=GB)])
    words = ["gallery", "-p", str(files[0]), "-w", str(files[1]), "--model", "pfs=fs:stripe_count=1"]
    wrong = tmp_path / "f.toml"
    wrong.write_text('[[fault]]\nat = 1\nstorage = "s7"\nstate = "down"\n')
    assert main([*words, "--faults", str(wrong), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "f.toml: fault[0].storage: unknown storage 's7'; known: s0, s1" in said
    assert not (tmp_path / "out").exists()
    wrong.write_text('[[fault]]\nat = 1\nstorage = "s0"\nstate = "down"\nlasts = 2\n')
    assert main([*words, "--faults", str(wrong), "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "gallery-faults.png").stat().st_size > 5000
