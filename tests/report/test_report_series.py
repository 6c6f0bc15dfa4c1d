"""Step functions and their reduction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pandas", reason="the extra 'report' is not installed")

from batfs.report.series import Steps, add, counted, intervals, reduce_steps

STEPS = st.lists(st.tuples(st.floats(0, 1000), st.integers(-50, 50)), min_size=1, max_size=400).map(
    lambda rows: counted(np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows]))
)


def test_intervals_by_hand() -> None:
    steps = intervals(np.array([0.0, 2.0]), np.array([4.0, 5.0]), np.array([1.0, 10.0]))
    assert steps.times.tolist() == [0, 2, 4, 5]
    assert steps.values.tolist() == [1, 11, 10, 0]
    assert steps.at(np.array([-1.0, 0.0, 3.0, 4.5, 9.0])).tolist() == [0, 1, 11, 10, 0]
    assert steps.means(np.array([0.0, 4.0, 8.0])).tolist() == [(2 + 22) / 4, 10 / 4]
    assert steps.peaks(np.array([0.0, 4.0, 8.0])).tolist() == [11, 10]


def test_simultaneous_end_and_start_make_no_dip() -> None:
    steps = intervals(np.array([0.0, 3.0]), np.array([3.0, 6.0]))
    assert steps.times.tolist() == [0, 6]


@given(STEPS, STEPS)
def test_sum(first: Steps, second: Steps) -> None:
    moments = np.linspace(-1, 1001, 97)
    assert add(first, second).at(moments) == pytest.approx(first.at(moments) + second.at(moments))


@settings(deadline=None)
@given(STEPS, st.integers(2, 40))
def test_reduction_keeps_extremes(steps: Steps, buckets: int) -> None:
    """In every bucket the lowest, highest, first and last breakpoint are kept, and nothing is invented."""
    small = reduce_steps(steps, buckets)
    assert len(small.times) <= max(4 * buckets, len(steps.times) if len(steps.times) <= 4 * buckets else 0)
    kept = dict(zip(small.times.tolist(), small.values.tolist(), strict=True))
    assert all(
        kept[t] == v for t, v in zip(steps.times.tolist(), steps.values.tolist(), strict=True) if t in kept
    )
    if len(steps.times) > 4 * buckets:
        first, last = steps.times[0], steps.times[-1]
        where = np.minimum(((steps.times - first) * (buckets / (last - first))).astype(int), buckets - 1)
        again = np.minimum(((small.times - first) * (buckets / (last - first))).astype(int), buckets - 1)
        for bucket in set(where.tolist()):
            before, after = steps.values[where == bucket], small.values[again == bucket]
            assert (before.min(), before.max()) == (after.min(), after.max())
            assert (before[0], before[-1]) == (after[0], after[-1])
