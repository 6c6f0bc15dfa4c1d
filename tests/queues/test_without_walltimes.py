"""Jobs without a requested time under policies that backfill or plan: announced, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batfs.cli.main import main

PLATFORM = str(Path(__file__).parents[2] / "platforms" / "io_example.xml")


@pytest.mark.parametrize(
    "queue", ["easy", "easy_storage", "sjf_storage", "conservative", "plan", "plan_io", "fcfs", "fit_io"]
)
@pytest.mark.parametrize("walltime", [None, 100])
def test_planning_without_walltimes_is_announced_once(
    queue: str, walltime: float | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    job = {"subtime": 0, "res": 1, "profile": "nap"} | ({} if walltime is None else {"walltime": walltime})
    jobs = [{"id": name, **job} for name in ("a", "b", "c")]
    workload = {"nb_res": 2, "jobs": jobs, "profiles": {"nap": {"type": "delay", "delay": 5}}}
    (tmp_path / "w.json").write_text(json.dumps(workload))
    words = [
        "run",
        "-p",
        PLATFORM,
        "-w",
        str(tmp_path / "w.json"),
        "--queue",
        queue,
        "-e",
        str(tmp_path / "r"),
    ]
    assert main(words) == 0
    said = "".join(capfd.readouterr()).count("has no requested time")
    assert said == (1 if walltime is None and queue != "fcfs" else 0)
