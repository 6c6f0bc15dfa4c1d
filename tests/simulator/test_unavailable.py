"""Machines that events make unavailable: a state that running jobs don't notice.

The expected numbers follow Batsim's books: a machine is idle, computing or unavailable; seconds are added
to a state when the machine leaves it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from batfs.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from small import run

DELAY = {"d": {"type": "delay", "delay": 10}}


def away(at: float, ids: str) -> dict[str, Any]:
    return {"type": "machine_unavailable", "timestamp": at, "resources": ids}


def back(at: float, ids: str) -> dict[str, Any]:
    return {"type": "machine_available", "timestamp": at, "resources": ids}


def states(folder: Path, jobs: list[dict[str, Any]], events: list[dict[str, Any]], **options: Any) -> Any:
    found = run(folder, jobs, DELAY, events=events, **options)
    counts = [
        (float(row["time"]), int(row["nb_idle"]), int(row["nb_computing"]))
        for row in found.files["machine_states"]
    ]
    schedule = found.files["schedule"][0]
    times = tuple(float(schedule[f"time_{state}"]) for state in ("computing", "idle", "unavailable"))
    return counts, times


def test_idle(tmp_path: Path) -> None:
    """Node 1 is away from 2 to 30. Job a is on node 0 until 10: 3 nodes less the one away less the one busy.

    Job b has all three from 40 to 50. Computing 10 + 3 * 10 = 40, unavailable 28; idle: node 0 30, node 1
    2 + 10, node 2 40.
    """
    jobs = [{"id": "a", "res": 1, "profile": "d"}, {"id": "b", "res": 3, "subtime": 40, "profile": "d"}]
    counts, times = states(tmp_path, jobs, [away(2, "1"), back(30, "1")])
    assert [c[1:] for c in counts] == [(2, 1), (2 - 1 + 1, 0), (0, 3), (3, 0)]
    assert times == pytest.approx((40.0, 82.0, 28.0), abs=1e-3)


def test_back_while_the_job_goes_on(tmp_path: Path) -> None:
    """Node 0 computes from 0 to 10 and is away from 2 to 5: 7 s computing, 3 s unavailable."""
    jobs = [{"id": "a", "res": 1, "profile": "d"}, {"id": "b", "res": 1, "subtime": 4, "profile": "d"}]
    counts, times = states(tmp_path, jobs, [away(2, "0"), back(5, "0")])
    # b starts on node 1 while a's node counts nowhere; at 10 a ends, at 14 b
    assert [c[1:] for c in counts] == [(2, 1), (1, 1), (2, 1), (3, 0)]
    assert times == pytest.approx((7.0 + 10.0, 4.0, 3.0), abs=1e-3)


def test_never_back(tmp_path: Path) -> None:
    """Seconds of a state that is never left are not counted, nor is the end of a job on such a machine."""
    jobs = [{"id": "a", "res": 1, "profile": "d"}, {"id": "b", "res": 1, "profile": "d"}]
    counts, times = states(tmp_path, jobs, [away(2, "0")])
    assert [c[1:] for c in counts] == [(2, 1), (1, 2), (1, 1), (2, 0)]
    assert times == pytest.approx((2.0 + 10.0, 0.0, 0.0), abs=1e-3)


def test_away_and_back_in_one_instant(tmp_path: Path) -> None:
    """In one instant machines become available first, whatever the file's order."""
    jobs = [{"id": "a", "res": 1, "subtime": 9, "profile": "d"}]
    counts, times = states(tmp_path, jobs, [away(2, "0"), away(5, "1"), back(5, "0")])
    assert [c[1:] for c in counts] == [(1, 1), (2, 0)]
    assert times[2] == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ([away(2, "0"), away(3, "0-1")], "machine 0 ('n0') is unavailable already"),
        ([back(3, "2")], "machine 2 ('n2') is available already"),
        ([away(3, "2-3")], "machine 3 doesn't exist"),
        ([away(3, "0-99999999999")], "more ids than any machine has"),
    ],
)
def test_what_batsim_aborts_on(events: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        states(tmp_path, [{"id": "a", "res": 1, "subtime": 9, "profile": "d"}], events)
    assert message in str(caught.value)
