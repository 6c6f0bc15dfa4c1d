"""A queue policy is called when it wishes to be, once, whatever else happens meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import driving
import pytest

from batfs.protocol import messages as m

POLICY = """
from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass

class Late:
    '''Says what WISHES has for the time of a pass; starts everything from START on.'''
    name = "late"
    def __init__(self):
        self.calls = []
    def schedule(self, view):
        self.calls.append(view.now)
        starts = []
        if view.now >= START:
            starts = [p for p in map(view.place, view.queue) if not isinstance(p, Hold)]
        return Pass(starts, wake_at=WISHES.get(view.now))
"""


def called(
    tmp_path: Path, wishes: dict[float, float], start: float, arrivals: list[float]
) -> tuple[list[float], list[float], Any]:
    """(when the policy was called, the calls asked for, what came out)."""
    file = tmp_path / "late.py"
    file.write_text(POLICY.replace("START", str(start)).replace("WISHES", repr(wishes)))
    jobs = [driving.job(str(k), at, 1, 10.0) for k, at in enumerate(arrivals)]
    calls: list[float] = []

    def look(scheduler: Any) -> None:
        calls[:] = scheduler.policy.calls

    result = driving.drive(
        {"queue": f"{file}:Late"},
        driving.begins(4, ()),
        jobs,
        {f"w0!{k}": 1.0 for k in range(len(arrivals))},
        after=look,
    )
    asked = [decision.at for decision in result.decisions if isinstance(decision, m.CallMeLater)]
    return calls, asked, result


@pytest.mark.parametrize(
    ("wishes", "arrivals", "calls", "asked"),
    [
        ({0.0: 5.0}, [0.0], [0.0, 5.0], [5.0]),
        # a pass without a wish in between: the wish stands
        ({0.0: 5.0}, [0.0, 2.0], [0.0, 2.0, 5.0], [5.0]),
        # the same wish again asks nothing more of the simulator
        ({0.0: 5.0, 2.0: 5.0}, [0.0, 2.0], [0.0, 2.0, 5.0], [5.0]),
        # an earlier one comes first; what was asked for before comes too, if anybody still waits
        ({0.0: 5.0, 2.0: 4.0, 4.0: 5.0}, [0.0, 2.0], [0.0, 2.0, 4.0, 5.0], [5.0, 4.0]),
        # a later one: called at the earlier time, too, and then at the later
        ({0.0: 4.0, 2.0: 5.0}, [0.0, 2.0], [0.0, 2.0, 4.0, 5.0], [4.0, 5.0]),
        # wishes more precise than the wire are called for at the first date after them that it has
        ({0.0: 4.99999951}, [0.0], [0.0, 5.0], [5.0]),
    ],
)
def test_called_when_it_wishes(
    tmp_path: Path, wishes: dict[float, float], arrivals: list[float], calls: list[float], asked: list[float]
) -> None:
    found, sent, result = called(tmp_path, wishes, 5.0, arrivals)
    assert found == calls
    assert sent == asked
    assert set(result.starts.values()) == {5.0}


@pytest.mark.parametrize(("wish", "calls"), [(0.5, [0.0, 0.5]), (5.0, [0.0])])
def test_who_wishes_to_be_called_is_called_though_nobody_waits(
    tmp_path: Path, wish: float, calls: list[float]
) -> None:
    """The only job runs from 0 to 1 s. A call wished for at 0.5 s comes then (a policy may want to kill it);
    one for 5 s, when nothing runs any more, is for nobody."""
    assert called(tmp_path, {0.0: wish}, 0.0, [0.0])[:2] == (calls, [wish])
