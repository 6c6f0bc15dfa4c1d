"""The machines' states at the server's desk, as built and interpreted, against a set of Python's.

What the desk does with messages and jobs is compared in ``test_core`` (whole runs, compiled and interpreted)
and in ``tests/simulator/test_actors`` (against the plain order of sub-rounds).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import desk, interpreted

PLAIN: Any = interpreted("desk")
BOTH = pytest.mark.parametrize("core", [desk, PLAIN], ids=["as built", "interpreted"])


@BOTH
@given(st.lists(st.sets(st.integers(0, 60), min_size=1)))
def test_who_computes(core: Any, moves: list[set[int]]) -> None:
    """Each set of machines starts a job if all of them are idle; else the jobs on them end."""
    states = core.States(61)
    jobs: list[Any] = []
    since, computed, told = [0.0] * 61, 0.0, 0
    states.tell = lambda now, idle, computing: changes.append((now, idle, computing))
    changes: list[tuple[float, int, int]] = []
    for moment, chosen in enumerate(moves, start=1):
        now, ids = float(moment), tuple(sorted(chosen))
        inside = [job for job in jobs if chosen & set(job.alloc)]
        assert states.are_idle(ids) == (not inside)
        if not inside:
            job = core.SimJob(SimpleNamespace(id=f"w0!{moment}"), None, "w0")
            job.alloc, job.start = ids, now
            states.start(job, now)
            jobs.append(job)
        for job in inside:
            states.end(job, now)
            jobs.remove(job)
            computed += len(job.alloc) * (now - job.start)
            for i in job.alloc:
                since[i] = now
        told += len(inside) or 1
        busy = {i for job in jobs for i in job.alloc}
        assert [i for i in range(61) if states.busy[i]] == sorted(busy)
        assert list(states.since) == since
        assert states.running == {job.id: job for job in jobs}
        assert (states.idle, states.computing) == (61 - len(busy), len(busy))
        assert states.time_computing == computed
        assert len(changes) == told
        assert changes[-1] == (now, 61 - len(busy), len(busy))
