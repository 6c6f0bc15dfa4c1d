"""Sets of machines in the core, as built and interpreted, against sets of Python's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import interpreted, nodes
from batfs.resource_sets import format_resources, parse_resources

PLAIN: Any = interpreted("nodes")
BOTH = pytest.mark.parametrize("core", [nodes, PLAIN], ids=["as built", "interpreted"])

IDS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, 3000)), max_size=200)


@BOTH
@given(IDS)
def test_text_is_read_back_and_has_no_run_in_two(core: Any, ids: set[int]) -> None:
    text = core.text_of(sorted(ids))
    assert text == format_resources(ids)
    assert (set(parse_resources(text)) if ids else set()) == ids
    ends = [int(token.rpartition("-")[2]) for token in text.split()]
    begins = [int(token.partition("-")[0]) for token in text.split()]
    assert all(begin > end + 1 for end, begin in zip(ends, begins[1:], strict=False))


@BOTH
@pytest.mark.parametrize(
    ("ids", "text"),
    [((), ""), ((7,), "7"), ((0, 1), "0-1"), ((0, 2, 3, 4, 9), "0 2-4 9"), (tuple(range(5000)), "0-4999")],
)
def test_texts_by_hand(core: Any, ids: tuple[int, ...], text: str) -> None:
    assert core.text_of(ids) == core.text_of(list(ids)) == text


@BOTH
@given(IDS)
def test_bits_and_their_prefixes(core: Any, ids: set[int]) -> None:
    every = sum(1 << i for i in ids)
    assert core.positions(every) == tuple(sorted(ids))
    for count in range(1, len(ids) + 1):
        low = core.prefix(every, count)
        chosen = every & ((1 << low) - 1)
        assert chosen.bit_count() == count
        assert chosen >> (low - 1) == 1
    with pytest.raises(ValueError, match="not so many"):
        core.prefix(every, len(ids) + 1)
