"""Numbers of files and matrices in the core, compiled and interpreted, beside what numpy makes of them."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

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
