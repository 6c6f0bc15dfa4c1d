"""The machines' states at the server's desk, as built and interpreted, against sets of Python's.

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


@BOTH
@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 9), min_size=1))))
def test_who_shares(core: Any, moves: list[tuple[bool, set[int]]]) -> None:
    """Each set of machines starts a job beside those that compute there, or the oldest job ends."""
    states = core.States(10)
    freed: list[tuple[int, ...]] = []
    states.trace = SimpleNamespace(
        job_started=lambda job_id, alloc, now: None, machines_idle=lambda ids, now: freed.append(ids)
    )
    jobs: list[Any] = []
    computed = now = 0.0
    for moment, (ends, chosen) in enumerate(moves, start=1):
        busy = {i for job in jobs for i in job.alloc}
        computed += len(busy) * (moment - now)
        now = float(moment)
        if ends and jobs:
            job = jobs.pop(0)
            freed.clear()
            states.end(job, now)
            left = {i for one in jobs for i in one.alloc}
            assert sorted(i for ids in freed for i in ids) == sorted(set(job.alloc) - left)
        else:
            job = core.SimJob(SimpleNamespace(id=f"w0!{moment}"), None, "w0")
            job.alloc, job.start = tuple(sorted(chosen)), now
            states.start(job, now)
            jobs.append(job)
        busy = {i for job in jobs for i in job.alloc}
        assert [i for i in range(10) if states.busy[i]] == sorted(busy)
        assert (states.idle, states.computing) == (10 - len(busy), len(busy))
    states.leave_simple()
    for i in range(10):
        states.spend(i, now)
    assert states.time_computing == computed
    assert states.time_idle == 10 * now - computed
