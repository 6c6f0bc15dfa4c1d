"""Files that are nearly right: what is wrong in them is named, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.errors import InputError

ROOT = Path(__file__).parents[2]
PLATFORM = f"{ROOT}/platforms/io_example.xml"


def test_bytes_that_are_no_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workload = json.loads((ROOT / "workloads" / "io_example.json").read_text())
    name = next(name for name, profile in workload["profiles"].items() if "io_reads" in profile)
    workload["profiles"][name]["io_reads"] = {"a": 1}
    (tmp_path / "w.json").write_text(json.dumps(workload))
    out = str(tmp_path / "x.json")
    assert main(["workload", "cut", str(tmp_path / "w.json"), "--first", "50", "-o", out]) == 2
    assert f"profiles.{name}.io_reads" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def edited(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: edited(item) if key != "format" else item for key, item in value.items()}
    if isinstance(value, list):
        return [edited(item) for item in value]
    return "much" if isinstance(value, int | float) and not isinstance(value, bool) else value


def test_a_baseline_whose_numbers_are_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = tmp_path / "b.json"
    assert main(["check", PLATFORM, "--baseline", str(baseline), "--update"]) == 0
    baseline.write_text(json.dumps(edited(json.loads(baseline.read_text()))))
    assert main(["check", PLATFORM, "--baseline", str(baseline)]) in (1, 2)
    assert "defect" not in capsys.readouterr().err


@pytest.mark.parametrize("field", ['"' + "x" * 200_000 + '"', '"a\rb"c'])
def test_a_table_with_fields_that_are_none(
    tmp_path: Path, field: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_bytes(f'job_id,submit,{field},end,"nodes"\n1,2,{field},4,5\n'.encode())
    assert main(["workload", "from-log", str(log), "-o", str(tmp_path / "x.json")]) in (0, 2)
    assert "defect" not in capsys.readouterr().err


def test_storages_that_are_none(tmp_path: Path) -> None:
    from batfs.report.statistics import parse_bytes

    assert parse_bytes("10:800 11:5") == [(10, 800), (11, 5)]
    for text in ("6-7", "6", "a:b", "1:2:3"):
        with pytest.raises(InputError, match="expected ID:BYTES"):
            parse_bytes(text)


SUBMISSIONS = (
    "nodes,submission,tasks,ior-easy-write,ior-hard-write,ior-easy-read,ior-hard-read\n"
    "10,a/b/lustre/1,100,10,1,12,2\n10,c/d/daos/2,100,20,18,30,25\n4,e/f/beegfs/3,40,5,0.5,6,1\n"
)
REQUESTS = "start,id,duration,size\n0,a,100,1GB\n5,b,10,2GB\n"
LOG = (
    "State,JobID,Submit,Start,End,ElapsedRaw,NNodes\n"
    "COMPLETED,1,2024-01-01T00:00:00,2024-01-01T00:01:00,2024-01-01T00:11:00,600,4\n"
)
SYSTEM = """hosts:
- hostname: h
  network_bw: 1
  disks: [{vendor: v, model: m, serial: s, capacity: 8000, read_bandwidth: 1, write_bandwidth: 1}]
"""
TABLES = {
    "submissions": (SUBMISSIONS, ["reproduce", "io500", "table.csv"]),
    "requests": (REQUESTS, ["alloc", "replay", "system.yml", "table.csv"]),
    "log": (LOG, ["workload", "from-log", "table.csv", "-o", "w.json"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_ends_anywhere(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of too few cells and of too many, and no row: a result, or a sentence."""
    monkeypatch.chdir(tmp_path)
    text, words = TABLES[name]
    (tmp_path / "system.yml").write_text(SYSTEM)
    cells = [k for k, letter in enumerate(text) if letter in ",\n"]
    shapes = [text[:k] for k in cells] + [text[:k] + "\n" + text[k:] for k in cells]
    shapes += [text[:k] + "," + text[k:] for k in cells]
    for shape in shapes:
        (tmp_path / "table.csv").write_text(shape)
        assert main(words) in (0, 1, 2), shape
    assert "defect" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["jobs", "io_jobs", "storage_states", "schedule", "machine_states"])
def test_a_run_whose_files_end_anywhere(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "-p", PLATFORM, "-w", f"{ROOT}/workloads/io_example.json", "-q", "-e", "r"]) == 0
    table = tmp_path / f"r_{kind}.csv"
    text = table.read_text()
    cells = [k for k, letter in enumerate(text) if letter in ",\n"]
    for k in cells[:: max(1, len(cells) // 40)]:
        table.write_text(text[:k])
        assert main(["report", "r", "--json"]) in (0, 2), text[:k]
    assert "defect" not in capsys.readouterr().err
