"""The clock as Batsim prints it: six decimals, rounded as Python does, whatever the clock says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batfs._core import interpreted, loop, solver

PLAIN: Any = interpreted("loop")


@pytest.mark.parametrize("core", [loop, PLAIN], ids=["as built", "interpreted"])
@given(
    st.one_of(
        st.floats(0, 1e18),
        st.floats(0, 1e6),
        st.integers(0, 10**13).map(lambda n: (n + 0.5) / 1e6),
        st.integers(0, 2**50).map(lambda n: n / 2**7),
    )
)
@example(99_999_999.999_999_5)
@example(2.5e-6)
def test_dates_are_rounded_to_six_decimals(core: Any, now: float) -> None:
    activities = core.Activities([1.0], [False], solver.Solver())
    activities.arrays["clock"][0] = now
    assert activities.now == now
    assert activities.date == round(now, 6)
