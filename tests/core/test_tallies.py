"""A run's figures in the core, as built and interpreted, against sums by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import interpreted, tallies
from batfs.resource_sets import format_resources

PLAIN: Any = interpreted("tallies")
BOTH = pytest.mark.parametrize("core", [tallies, PLAIN], ids=["as built", "interpreted"])

IDS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, 3000)), max_size=200)


def ended(state: str, submitted: float, start: float, runtime: float, alloc: str, workload: str = "w") -> Any:
    return SimpleNamespace(
        state=state,
        submission_time=submitted,
        start=start,
        runtime=runtime,
        alloc=alloc,
        workload=workload,
        requested_nodes=5,
    )


@BOTH
def test_jobs_by_hand(core: Any) -> None:
    times = core.JobTimes(4, 10.0, "ours")
    times.add(ended("GOOD", 2.0, 5.0, 1.0, "0-1 9"))  # two nodes of the machine's, and a storage
    times.add(ended("BAD", 4.0, 4.0, 20.0, "3"))
    times.add(ended("GOOD", 0.0, 60.0, 20.0, ""))  # nobody says where
    times.add(ended("REJECTED", 1.0, -1.0, 0.0, ""))
    times.add(ended("GOOD", 0.0, 90.0, 9.0, "0-3", "ours"))  # counts for the end of all, and for nothing else
    assert times.states == {"GOOD": 2, "BAD": 1, "REJECTED": 1}
    assert (times.first, times.last, times.makespan) == (0.0, 80.0, 99.0)
    assert times.node_seconds == 2 * 1.0 + 1 * 20.0 + 5 * 20.0
    assert [list(found) for found in (times.waiting, times.turnaround)] == [[3, 0, 60], [4, 20, 80]]
    assert list(times.slowdown) == [1, 1, 4]  # 4 s over the threshold of 10 s, at least 1


@BOTH
@given(IDS, st.integers(0, 3100))
def test_ids_below_a_limit_are_counted_in_their_text(core: Any, ids: set[int], limit: int) -> None:
    assert core.count_below(format_resources(ids), limit) == sum(i < limit for i in ids)
    assert core.count_below("7-7 9", limit) == (limit > 7) + (limit > 9)


@BOTH
@pytest.mark.parametrize("text", ["a", "1-", "-1", "1-2-3", "1,2", "1- 2"])
def test_what_is_no_set_of_ids_is_refused(core: Any, text: str) -> None:
    with pytest.raises(ValueError, match="no set of ids"):
        core.count_below(text, 9)
