"""``batfs new``: what it writes runs, and so do the tests beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.cli.new import KINDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_runs_with_its_test(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", kind, "wide-first", "-o", str(tmp_path / "plugins")]) == 0
    told = capsys.readouterr().out
    plugin, test = tmp_path / "plugins" / "wide_first.py", tmp_path / "plugins" / "test_wide_first.py"
    assert f"{plugin}:WideFirst" in told
    assert str(test) in told
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "-c",
            "/dev/null",
            str(test),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    value = f"{plugin}:WideFirst"
    words = ["run", "-p", str(ROOT / "platforms/taurus_storage.xml"), "-w", str(ROOT / "workloads/io.json")]
    words += ["--dynamic-jobs", KINDS[kind], value, "-q", "-e", str(tmp_path / "out")]
    assert main(words) == 0
    ruff = Path(sys.executable).with_name("ruff")
    if ruff.exists():
        rules = ["--select", "E,F,W,B,UP", "--line-length", "110", "--isolated"]
        subprocess.run([ruff, "check", "-q", *rules, plugin, test], check=True)


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_mine.py").write_text("mine")
    assert main(["new", "queue", "mine", "-o", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["test_mine.py"]


@pytest.mark.parametrize("name", ["2nd", "a b", "class", "../x", ""])
def test_a_name_is_one(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "policy", name, "-o", str(tmp_path)]) == 2
    assert "can't be a name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
