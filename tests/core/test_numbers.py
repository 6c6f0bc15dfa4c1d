"""Numbers of files and matrices in the core, compiled and interpreted, beside what numpy makes of them."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import gather, interpreted, reading
from batfs._core.arrays import address, doubles, integers, shown
from batfs.workload.model import Parallel

CORES: list[Any] = [gather, interpreted("gather")]
READERS: list[Any] = [reading, interpreted("reading")]


@pytest.mark.parametrize("core", READERS, ids=["installed", "interpreted"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0),
        ([1, 0.0, 2.5, 7], 2),
        ([0.5], 0),
        ([True], -1),
        ([1, "2"], -1),
        ([None], -1),
        ([-1], -1),
        ([math.inf], -1),
        ([math.nan, 1], -1),
    ],
)
def test_numbers_are_read(core: Any, values: list[Any], expected: int) -> None:
    cells = doubles(len(values))
    assert core.read(values, cells) == expected
    if expected >= 0:
        assert cells.tolist() == values


@pytest.mark.parametrize("core", CORES, ids=["installed", "interpreted"])
def test_entries_of_a_matrix(core: Any) -> None:
    rng = random.Random(7)
    for size in (1, 2, 5, 17):
        matrix = np.array([max(0.0, rng.uniform(-1, 1)) for _ in range(size * size)])
        rows, columns, volumes = integers(size * size), integers(size * size), doubles(size * size)
        count = core.entries(size, address(matrix), address(rows), address(columns), address(volumes))
        where = np.flatnonzero(matrix > 0)
        assert rows[:count].tolist() == (where // size).tolist()
        assert columns[:count].tolist() == (where % size).tolist()
        assert volumes[:count].tolist() == matrix[where].tolist()


@pytest.mark.parametrize("core", READERS, ids=["installed", "interpreted"])
def test_what_two_parsers_may_see_differently(core: Any) -> None:
    for text in (
        b"",
        b"1e10",
        b'{"phase001": 1}',
        b"1" * 18,
        b"0.123456789012345678",
        b'"\\n\\\\"',
        b"1E+10, 234",
    ):
        assert not core.odd(text), text
    for text in (
        b"1" * 19,
        b"1e100",
        b"2E-100",
        b"2.5e+0001",
        b'"\\ud800"',
        b"[1e5,1e200]",
        b'"\\\\\\u0041"',
    ):
        assert core.odd(text), text


def test_arrays_are_shown_as_they_change() -> None:
    numbers = integers(3)
    seen = shown(numbers)
    numbers[1] = 5
    assert seen.tolist() == [0, 5, 0]
    assert seen.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        seen[0] = 1


def test_a_profile_that_was_read_has_arrays_when_asked() -> None:
    profile = Parallel.read(doubles(2, 1e9), doubles(4, 5.0), ret=3)
    assert (profile.size, profile.ret) == (2, 3)
    assert profile.com.tolist() == [[5.0, 5.0], [5.0, 5.0]]
    assert profile.cpu is profile.cpu
    cpu, com = Parallel(np.ones(2), np.arange(4.0).reshape(2, 2)).numbers
    assert (list(cpu), list(com)) == ([1.0, 1.0], [0.0, 1.0, 2.0, 3.0])


TEXTS = st.sampled_from(["com", "[1, 2, 3]", 'a"[1,2,3,4]', "\\", "NaN", "\u00e9"])
JSON: Any = st.recursive(
    st.one_of(
        st.none(), TEXTS, st.integers(-20, 10**16), st.floats(0, 1e20), st.lists(st.integers(0, 10**15))
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=12,
)


def whole(value: Any, most: int = 10**15) -> bool:
    """What is read apart."""
    return (
        isinstance(value, list) and len(value) >= 3 and all(type(n) is int and 0 <= n < most for n in value)
    )


def arrays_in(value: Any) -> list[list[int]]:
    if whole(value):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for one in inner for found in arrays_in(one)]


@pytest.mark.parametrize("core", READERS, ids=["installed", "interpreted"])
@given(document=JSON, indent=st.sampled_from([None, 0, 1]), escaped=st.booleans())
def test_arrays_of_whole_numbers_are_read_apart(
    core: Any, document: Any, indent: int | None, escaped: bool
) -> None:
    """What is left is JSON, and with the arrays in their places it is the document."""
    text, arrays = core.cut(json.dumps(document, indent=indent, ensure_ascii=escaped).encode(), 3)
    assert [numbers.tolist() for numbers in arrays] == arrays_in(document)
    left = iter(arrays)
    found = json.loads(text.decode(), parse_constant=lambda _: [int(n) for n in next(left)])
    assert found == document


@pytest.mark.parametrize("core", READERS, ids=["installed", "interpreted"])
@pytest.mark.parametrize(
    "array",
    [
        *("[01, 2, 3]", "[1,, 2, 3]", "[1, 2, 3,]", "[1 2, 3, 4]", "[-1, 2, 3]", "[1, 2, 3", "[1, 2, 3.0]"),
        *("[1, 2, 3e1]", "[1, 2, 1000000000000000]", "[,1, 2, 3]", "[]", "[1, 2]", "[1, 2, 3, NaN]"),
        "[1, 2, 3] Infinity",
    ],
)
def test_other_arrays_are_left(core: Any, array: str) -> None:
    assert core.cut(array.encode(), 3) == (array.encode(), [])
