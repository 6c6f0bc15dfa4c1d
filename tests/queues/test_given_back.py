"""What a plan on amounts expects back: nodes when they are free, bytes when they are."""

from __future__ import annotations

import pytest

from batfs.scheduling.queues.plan_io import _given_back


@pytest.mark.parametrize(
    ("left", "gone", "expected"),
    [
        (10.0, 10.0, [(10.0, (3, 50, 7))]),
        (10.0, 14.0, [(10.0, (3, 0, 0)), (14.0, (0, 50, 7))]),  # the job stages out for 4 s
    ],
)
def test_nodes_and_bytes_each_in_their_time(
    left: float, gone: float, expected: list[tuple[float, tuple[int, ...]]]
) -> None:
    assert _given_back(left, gone, (3, 50, 7)) == expected
