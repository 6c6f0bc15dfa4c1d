"""Sets of machines in the core, as built and interpreted, against sets of Python's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import interpreted, nodes

PLAIN: Any = interpreted("nodes")
BOTH = pytest.mark.parametrize("core", [nodes, PLAIN], ids=["as built", "interpreted"])

IDS = st.sets(st.one_of(st.integers(0, 40), st.integers(0, 3000)), max_size=200)


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
