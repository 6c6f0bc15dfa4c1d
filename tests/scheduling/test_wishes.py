"""A queue policy's wish to be called at some time: checked, and no wish keeps a simulation going for ever."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.scheduling import outside

ROOT = Path(__file__).parents[2]
POLICY = """import numpy as np
from batfs.scheduling.interface import Pass

class Q:
    name = "q"
    def schedule(self, view):
        now, starts = view.now, []
        if {start}:
            starts = [p for p in map(view.place, view.queue) if p is not None]
        return Pass(starts, wake_at={wish})
"""
NO_TIME = ("float('nan')", "float('inf')", "-float('inf')", "-5", "1e300", "'soon'", "True", "[]", "np.nan")
AGAIN = ("now", "now - 1 if now > 1 else 0", "now + 1e-9", "now + 0.2", "now + 1000")


def run(tmp_path: Path, wish: str, start: bool) -> int:
    (tmp_path / "q.py").write_text(POLICY.format(wish=wish, start=start))
    return main(
        ["run", "-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json", "-q",
         "-e", str(tmp_path / "r"), "--queue", f"{tmp_path / 'q.py'}:Q"]
    )  # fmt: skip


@pytest.mark.parametrize("wish", NO_TIME)
@pytest.mark.parametrize("start", [False, True])
def test_a_wish_for_no_time_is_blamed_on_its_policy(
    tmp_path: Path, wish: str, start: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, wish, start) == 2
    said = capsys.readouterr().err
    assert re.search(r"q\.py: line 6: at 0 s.*, the queue policy wishes to be called at ", said), said


@pytest.mark.parametrize("wish", AGAIN)
def test_wishes_without_an_end(
    tmp_path: Path, wish: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that never starts anything and always wants to be called again: it is ended with its name."""
    monkeypatch.setattr(outside, "MOST_IN_VAIN", 5000)
    assert run(tmp_path, wish, False) == 2
    said = capsys.readouterr().err
    assert re.search(
        r"q\.py: line 6: at \S+ s, with 'w0!job1' at the head of the queue, the queue policy was called \d+ "
        "times in a row at its own wish, and nothing happened",
        said,
    ), said


@pytest.mark.parametrize("wish", [*AGAIN, "None", "np.float64(now + 7)", "np.int64(now + 7)"])
def test_wishes_of_a_policy_that_works_are_granted(tmp_path: Path, wish: str) -> None:
    assert run(tmp_path, wish, True) == 0
