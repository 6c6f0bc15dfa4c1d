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
