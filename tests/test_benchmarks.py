"""The benchmarks can be run: each module is imported, the smallest case of each kind gives a figure."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

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
