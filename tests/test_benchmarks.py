"""The benchmarks can be run: each module is imported, the smallest case of each kind gives a figure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
NAMES = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if not p.stem.startswith("__"))


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    importlib.import_module(f"benchmarks.{name}")


def test_the_solver_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten tasks at once: it ends, later than it begins, and twice at the same time."""
    monkeypatch.syspath_prepend(str(ROOT))
    solver = importlib.import_module("benchmarks.solver")
    tasks = solver.write(tmp_path, 10)
    (_, first), (_, second) = solver.ours(tmp_path, tasks), solver.ours(tmp_path, tasks)
    assert first == second > 0
    sys.modules.pop("benchmarks.solver", None)


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.scaling")


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(scaling: Any, exponent: float) -> None:
    costs = {size: 3e-4 * size**exponent for size in (10, 100, 1_000)}
    assert scaling.slope(costs) == pytest.approx(exponent, abs=1e-12)


def test_one_size_has_no_exponent(scaling: Any) -> None:
    assert scaling.slope({10: 1.0}) is None
    assert scaling.slope({10: 1.0, 100: 0.0}) is None


def test_what_drowns_in_the_start_is_not_fitted(scaling: Any) -> None:
    """0.1 s more than a start of 1 s tells nothing; 9 s and 99 s more do: (10 - 1)/9 and (100 - 1)/99 s."""
    found = {10: (1.1, 1.0, 1), 100: (10.0, 1.0, 9), 1_000: (100.0, 1.0, 99), 10_000: None}
    line = scaling.measure("jobs", "made up", list(found), found.__getitem__)
    assert line.points == {100: 1.0, 1_000: 1.0}
    assert list(line.drowned) == [10]
    assert line.exponent == pytest.approx(0.0, abs=1e-12)
    assert line.over == 10_000
    assert scaling.verdict(line).startswith("at most 0")


def test_growth_beyond_what_is_allowed_is_said(scaling: Any) -> None:
    """A second a job at 10 and ten at 100: the exponent is 1, where "jobs" allow 0."""
    found = {10: (11.0, 1.0, 10), 100: (1_001.0, 1.0, 100)}
    line = scaling.measure("jobs", "made up", list(found), found.__getitem__)
    assert line.exponent == pytest.approx(1.0)
    assert scaling.verdict(line) == "ABOVE 0"


def test_jobs_that_are_rejected_are_no_measurement(scaling: Any, tmp_path: Path) -> None:
    """Ten jobs for two nodes on a machine of one: the run succeeds quickly, and says nothing of speed."""
    meter = scaling.Meter(tmp_path, 60.0, 1)
    scaling.cases.write_platform(tmp_path / "p.xml", 1, 1)
    scaling.write_jobs(tmp_path / "w.json", 10, 2, [2], 10.0)
    with pytest.raises(SystemExit, match="0 of 1 jobs were completed"):
        meter.simulated(10)


def test_jobs_that_run_are_measured(scaling: Any, tmp_path: Path) -> None:
    meter = scaling.Meter(tmp_path, 60.0, 1)
    scaling.cases.write_platform(tmp_path / "p.xml", 4, 1)
    scaling.write_jobs(tmp_path / "w.json", 10, 4, [1, 2], 10.0)
    total, start, units = meter.simulated(10)
    assert units == 9
    assert total > 0 < start


def test_a_process_over_the_limit_is_ended(scaling: Any, tmp_path: Path) -> None:
    """By processor time: to sleep for longer takes none."""
    busy = [sys.executable, "-c", "while True: pass"]
    asleep = [sys.executable, "-c", "import time; time.sleep(1.2)"]
    assert scaling.cases.once(busy, tmp_path, 1.0) is None
    found = scaling.cases.once(asleep, tmp_path, 1.0)
    assert found.processor < 1.0 < found.seconds


def test_a_line_that_fails_leaves_the_others(scaling: Any) -> None:
    """What was measured before stays, and the verdict says why there is no more."""

    def cost(size: int) -> tuple[float, float, int]:
        if size > 10:
            raise SystemExit("batfs run: the policy needs options")
        return 2.0, 1.0, 10

    line = scaling.measure("storages", "made up", [10, 100, 1_000], cost)
    assert line.points == {10: 0.1}
    assert scaling.verdict(line) == "FAILED: batfs run: the policy needs options"


def test_every_allocation_and_queue_policy_runs_on_its_axis(scaling: Any, tmp_path: Path) -> None:
    """Each line of both axes at its smallest: none asks for options that it isn't given."""
    meter = scaling.Meter(tmp_path, 60.0, 1)
    meter.simulated = lambda jobs, *flags: asked.append(flags)
    asked: list[tuple[str, ...]] = []
    for lines in (scaling.storages_of_a_machine, scaling.waiting_jobs):
        for _, cost in lines(meter):
            cost(10)
    scaling.cases.write_platform(tmp_path / "p.xml", 4, 2)
    scaling.write_jobs(tmp_path / "w.json", 2, 4, [1], 0.0)
    assert len(asked) > 20
    from batfs.scheduling.queues import QUEUE_POLICIES
    from batfs.storage.policies import POLICIES

    for flag, spec in asked:
        registry = POLICIES if flag == "--policy" else QUEUE_POLICIES
        make = {"--policy": "choose", "--queue": "schedule"}[flag]
        assert hasattr(registry.make(spec), make)


def test_batsim_stands_beside_where_it_is_on_path(
    scaling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program of that name that takes 0.02 s for each job of its workload: 20 ms a job."""
    program = "#!{}\nimport json, sys, time\nw = json.load(open(sys.argv[sys.argv.index('-w') + 1]))\n"
    program += "time.sleep(0.02 * len(w['jobs']))\n"
    for name, text in (("batsim", program.format(sys.executable)), ("pybatsim", "#!/bin/sh\n")):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    meter = scaling.Meter(tmp_path, 60.0, 1)
    scaling.cases.write_platform(tmp_path / "p.xml", 2, 1)

    def cost(jobs: int) -> Any:
        scaling.write_jobs(tmp_path / "w.json", jobs, 2, [1], 10.0)
        return meter.simulated(jobs)

    line = scaling.measure("jobs", "made up", [20], cost, meter)
    assert 0.015 < line.beside[20] < 0.2
    scaling.show(line)
    assert "Batsim, on the clock" in capsys.readouterr().out
