"""Decision components as shared libraries: a small one in C, compiled here, starts every job at once."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = shutil.which("cc") or shutil.which("gcc")
SOURCE = Path(__file__).parent / "edc" / "first_hosts.c"
PLATFORM = Path(__file__).parents[2] / "platforms" / "io_example.xml"

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("edc") / "libfirst_hosts.so"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE)], check=True)
    return path


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    path = tmp_path / "w.json"
    profiles = {
        "sleep": {"type": "DelayProfile", "delay": 4.5},
        "work": {"type": "ParallelTaskHomogeneousProfile", "cpu": 3e9, "com": 0},
    }
    jobs = [
        {"id": "1", "subtime": 0, "res": 1, "profile": "sleep"},
        {"id": "2", "subtime": 10, "res": 2, "profile": "work", "walltime": 100},
    ]
    path.write_text(json.dumps({"nb_res": 2, "jobs": jobs, "profiles": profiles}))
    return path


def sim(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "batfs.cli.main", "sim", "--protocol", "5", "-p", str(PLATFORM), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_a_library_decides(library: Path, workload: Path, tmp_path: Path) -> None:
    done = sim("-w", str(workload), "-l", str(library), "init", "-e", f"{tmp_path}/out/", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "first_hosts: " in done.stderr  # it was told of the end
    rows = list(csv.DictReader((tmp_path / "out" / "jobs.csv").open()))
    assert [row["job_id"] for row in rows] == ["1", "2"]
    assert [row["allocated_resources"] for row in rows] == ["0", "0-1"]
    assert float(rows[0]["execution_time"]) == pytest.approx(4.5, abs=1e-6)
    assert float(rows[1]["starting_time"]) == pytest.approx(10, abs=1e-3)
    assert json.loads((tmp_path / "out" / "schedule.json").read_text())["nb_jobs_success"] == 2


def test_its_init_string_may_come_from_a_file(library: Path, workload: Path, tmp_path: Path) -> None:
    init = tmp_path / "init.txt"
    init.write_text("binary")
    done = sim("-w", str(workload), "-L", str(library), str(init), "-e", f"{tmp_path}/out/", cwd=tmp_path)
    assert done.returncode == 2
    assert "answers with flags = 1: binary flatbuffers" in done.stderr


def test_a_library_that_fails_is_named(library: Path, workload: Path, tmp_path: Path) -> None:
    done = sim("-w", str(workload), "-l", str(library), "fail", "-e", f"{tmp_path}/out/", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{library}: batsim_edc_init of the decision component failed: it returned 7" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-l", "./nothere.so", ""), "cannot load the decision component"),
        ((), "exactly one decision component is needed, none was given"),
        (
            ("-l", "a", "", "-s", "tcp://localhost:1", ""),
            "exactly one decision component is needed, 2 were given",
        ),
        (("-S", "tcp://localhost:1", "nothere.txt"), "cannot read the init file"),
        (("--enable-dynamic-jobs", "-s", "a", ""), "the decision component asks for it in its hello"),
        (("-s", "nowhere", ""), "cannot connect to the decision process"),
    ],
)
def test_what_cannot_be_a_component_is_refused(
    words: tuple[str, ...], said: str, workload: Path, tmp_path: Path
) -> None:
    done = sim("-w", str(workload), *words, "-e", f"{tmp_path}/out/", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_flags_may_come_from_a_file(library: Path, workload: Path, tmp_path: Path) -> None:
    config = tmp_path / "batsim.toml"
    config.write_text(
        f'workload = ["{workload}"]\nexport = "{tmp_path}/out/"\n'
        f'edc-library-str = ["{library}", ""]\ntrace-pstate-changes = true\n'
    )
    done = sim("-c", str(config), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "pstate_changes.csv").read_text().splitlines()[
        0
    ] == "time,machine_id,new_pstate"
