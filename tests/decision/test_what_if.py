"""``batfs run --what-if`` says what a run on the larger machine says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "platforms" / "taurus_storage.xml"
GB = 10**9


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve jobs of one node that each fill most of a burst buffer: two at a time, though nodes are idle."""
    file = tmp_path_factory.mktemp("w") / "w.json"
    io = [{"filesystem": "bb", "reads": 10 * GB, "writes": 140 * GB}]
    profile = {"type": "parallel_homogeneous", "cpu": 10**10, "com": 0, "io": io}
    jobs = [{"id": str(k), "subtime": k, "res": 1, "profile": "p"} for k in range(12)]
    file.write_text(json.dumps({"nb_res": 16, "jobs": jobs, "profiles": {"p": profile}}))
    return file


def run(capsys: Any, workload: Path, folder: Path, *more: str, platform: Path = PLATFORM) -> dict[str, Any]:
    capsys.readouterr()
    words = ["run", "-p", str(platform), "-w", str(workload), "-e", str(folder / "x"), "--json"]
    assert main([*words, "--policy", "worst_fit", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def agrees(outcome: dict[str, Any], before: dict[str, Any], real: dict[str, Any]) -> None:
    for name in ("waiting_time", "turnaround_time", "bounded_slowdown"):
        assert outcome[f"mean_{name}"]["with"] == pytest.approx(real[name]["mean"], rel=1e-12)
        difference = real[name]["mean"] - before[name]["mean"]
        assert outcome[f"mean_{name}"]["difference"] == pytest.approx(difference, abs=1e-9)
    assert outcome["makespan"]["with"] == pytest.approx(real["makespan"], rel=1e-12)


@pytest.mark.parametrize(
    "what, size", [("bb=x3", "600GB"), ("bb=1.2TB", "600GB"), ("storage=unlimited", "900TB")]
)
def test_larger_storage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path, what: str, size: str
) -> None:
    """Against a real run on a platform file with larger burst buffers (200 GB each in the file)."""
    text = PLATFORM.read_text()
    assert text.count('value="200GB"') == 2
    larger = tmp_path / "larger.xml"
    larger.write_text(text.replace('value="200GB"', f'value="{size}"'))
    found = run(capsys, workload, tmp_path, "--what-if", what)
    real = run(capsys, workload, tmp_path, platform=larger)
    [outcome] = found["what_if"]
    assert outcome["what_if"] == what
    agrees(outcome, found, real)
    assert outcome["mean_waiting_time"]["difference"] < -10
    if what == "storage=unlimited":
        assert outcome["mean_waiting_time"]["with"] == pytest.approx(0, abs=1e-6)


def test_faster_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path) -> None:
    """Every link named after a storage is a storage's own; a file in which these are twice as fast agrees."""
    from batfs.decision.experiment import Experiment, load
    from batfs.decision.run import run as run_once
    from batfs.scheduling.config import Layer, Settings

    slow = tmp_path / "nfs.json"
    slow.write_text(workload.read_text().replace('"bb"', '"nfs"'))
    workload = slow  # the central server is slower than a node's link
    found = run(capsys, workload, tmp_path, "--what-if", "bandwidth=x2")
    settings = Settings(flags=Layer("", {"policy": "worst_fit"}))
    plain = load(Experiment(PLATFORM, [workload]), settings.configuration())
    fast = load(Experiment(PLATFORM, [workload], storage_bandwidth=2.0), settings.configuration())
    changed = {
        new.name: new.bandwidth / old.bandwidth
        for old, new in zip(plain.platform.links, fast.platform.links, strict=True)
        if new.bandwidth != old.bandwidth
    }
    assert {"bb-1_read", "bb-1_write"} <= set(changed)
    assert set(changed.values()) == {2.0}
    assert not [name for name in changed if name.startswith("taurus") and "disk" not in name]
    real = run_once(Experiment(PLATFORM, [workload], storage_bandwidth=2.0), settings, None)
    agrees(found["what_if"][0], found, real.summary)
    assert found["what_if"][0]["mean_turnaround_time"]["difference"] < 0


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path) -> None:
    words = [
        "run",
        "-p",
        str(PLATFORM),
        "-w",
        str(workload),
        "-e",
        str(tmp_path / "x"),
        "--what-if",
        "bb=unlimited",
    ]
    assert main([*words, "--what-if", "nfs=x2"]) == 0
    said = capsys.readouterr().out
    [bb] = [line for line in said.splitlines() if line.startswith("bb=unlimited")]
    assert "(-" in bb
    [nfs] = [line for line in said.splitlines() if line.startswith("nfs=x2")]
    assert "(same)" in nfs


@pytest.mark.parametrize(
    "what, says",
    [
        ("bb", "expected WHAT=unlimited"),
        ("bbb=x2", "did you mean 'bb'"),
        ("bb=x0", "no factor above 0"),
        ("bb=much", "--what-if bb=much"),
        ("bandwidth=unlimited", "no factor"),
        ("nodes=x2", "batfs platform new"),
    ],
)
def test_wrong_wishes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workload: Path, what: str, says: str
) -> None:
    words = ["run", "-p", str(PLATFORM), "-w", str(workload), "-e", str(tmp_path / "x"), "--what-if", what]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
