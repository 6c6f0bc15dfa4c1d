"""The ground floor: units, resource sets, whole-or-nothing files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs.errors import InputError, unknown
from batfs.files import partial_path, writing
from batfs.resource_sets import format_ascending, format_resources, parse_resources
from batfs.units import parse_bandwidth, parse_size, parse_speed, parse_time


@pytest.mark.parametrize(
    ("text", "value"),
    [("1Gf", 1e9), ("100.5Mf", 100.5e6), ("2gigaflops", 2e9), ("7", 7.0), ("0f", 0.0), ("1e3kf", 1e6)],
)
def test_speed(text: str, value: float) -> None:
    assert parse_speed(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1kBps", 1e3), ("8kbps", 1e3), ("1KiBps", 1024.0), ("150MBps", 150e6), ("1Gbps", 125e6), ("3", 3.0)],
)
def test_bandwidth(text: str, value: float) -> None:
    assert parse_bandwidth(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("0.11ms", 0.11e-3), ("2m", 120.0), ("1w", 604800.0), ("5", 5.0)]
)
def test_time(text: str, value: float) -> None:
    assert math.isclose(parse_time(text), value, rel_tol=1e-15)


@pytest.mark.parametrize("text", ["1 Gf", "Gf", "1gf", "nan", "inf", "-1Gf", "1GfX", "0x10", ""])
def test_speed_refuses(text: str) -> None:
    with pytest.raises(InputError):
        parse_speed(text)


def test_bandwidth_small_k_only() -> None:
    with pytest.raises(InputError, match="unknown unit 'KBps'"):
        parse_bandwidth("1KBps")


def test_size() -> None:
    assert parse_size("4TiB") == 4 * 1024**4
    with pytest.raises(InputError, match="whole number"):
        parse_size("0.5B")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("3 GiB", 3 * 2**30),  # as people and df write them
        ("4 TB", 4 * 10**12),
        ("900G", 900 * 10**9),
        ("900Gi", 900 * 2**30),
        (" 2gb ", 2 * 10**9),
        ("12 bytes", 12),
        ("1 kB", 1000),
        ("9007199254740993", 2**53 + 1),  # exact beyond the integers a double has
        ("9007199254740993kB", (2**53 + 1) * 1000),
        ("0.1GiB", 107374182),  # 107374182.4
        ("1.0000000009GB", 1000000001),
        ("0.0 GB", 0),
        ("1e3", 1000),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("3 Gb", "means bits"),
        ("3 Gib", "is GiB meant"),
        ("3 GBs", "unknown unit"),
        ("3 iB", "unknown unit"),
        ("GB", "not a size"),
        ("-1GB", "not negative"),
        ("nan", "not a size"),
        ("1e400", "finite"),
        ("1e999999999", "finite"),
        ("1e-9", "less than a byte"),
        ("1e-999999999GB", "less than a byte"),
        ("1,5GB", "unknown unit"),
    ],
)
def test_what_is_no_size_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_size(text)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_resource_sets_round_trip(ids: set[int]) -> None:
    assert parse_resources(format_resources(ids)) == tuple(sorted(ids))


def test_resource_sets_canonical() -> None:
    assert format_resources([3, 1, 2, 2, 10]) == "1-3 10"
    assert format_resources([0, 1]) == "0-1"


@pytest.mark.parametrize("text", ["", "0,3", "3-1", "a", "1-", "-1"])
def test_resource_sets_refuse(text: str) -> None:
    with pytest.raises(InputError):
        parse_resources(text)


def test_unknown_lists_the_known() -> None:
    error = unknown("policy", "randm", ["random", "best_fit"])
    assert str(error) == "unknown policy 'randm'; known: best_fit, random (did you mean 'random'?)"


def test_writing_is_whole_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), writing(target) as stream:
        stream.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert not partial_path(target).exists()
    with pytest.raises(RuntimeError), writing(target, keep_partial=True) as stream:
        stream.write("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert partial_path(target).read_text() == "half"


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ascending_ids_are_written_as_any_others(ids: set[int]) -> None:
    ascending = sorted(ids)
    assert format_ascending(ascending) == format_resources(ascending)
    assert parse_resources(format_ascending(ascending)) == tuple(ascending)
