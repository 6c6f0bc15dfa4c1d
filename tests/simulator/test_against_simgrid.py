"""Random platforms and parallel tasks: batfs and SimGrid itself agree on the end of every task.

Where no Python has SimGrid's module (Debian: ``python3-simgrid``) the tests are skipped.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batfs import _core as core
from batfs.cli.verification import tasks as verification
from batfs.cli.verification.tasks import World, slow_world, world


def compare(worlds: Sequence[World], folder: Path, interpreted: bool = False) -> int:
    """Simulate the worlds here and in SimGrid; how many tasks ended at the same time."""
    found = verification.python_with_simgrid()
    if found is None:
        pytest.skip("SimGrid's Python module is not installed (Debian: python3-simgrid)")
    platform, tasks = verification.written(worlds, folder)
    theirs = verification.theirs(platform, tasks, found[0])
    ours = verification.ours(platform, tasks, interpreted)
    for task, mine, simgrid in zip(tasks, ours, theirs, strict=True):
        assert mine == pytest.approx(simgrid, rel=1e-9, abs=1e-9), task
    return len(theirs)


@pytest.mark.parametrize("seed", range(4))
def test_ends_agree(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    assert compare([world(rng, number) for number in range(75)], tmp_path) > 200


def test_ends_agree_after_rounds_leapt_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SimGrid makes each of them."""
    leapt: list[int] = []
    kernels = core.interpreted("solver")
    plain = kernels.leap

    def leap(*arguments: Any) -> int:
        found: int = plain(*arguments)
        leapt.append(found)
        return found

    monkeypatch.setattr(kernels, "leap", leap)
    rng = random.Random(5)
    assert compare([slow_world(rng, number) for number in range(12)], tmp_path, interpreted=True) > 24
    assert sum(leapt) > 100_000
