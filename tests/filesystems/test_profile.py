"""The I/O profile: every way of building it gives what a dictionary of transfers gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs._core.flows import build_profile, merge
from batfs.filesystems import traffic as t
from batfs.filesystems.base import read_grid, write_grid
from batfs.filesystems.interface import IoPlan, Traffic, Transfer


def obvious(plan: IoPlan) -> dict[tuple[int, int], int]:
    """The slow way: one dictionary entry per pair of ids."""
    found: Counter[tuple[int, int]] = Counter()
    for part in (*plan.reads, *plan.writes, *plan.internal):
        for s, d, size in zip(*(column.tolist() for column in part.columns), strict=True):
            if size and s != d:
                found[s, d] += size
    return dict(found)


def check(plan: IoPlan) -> None:
    expected = obvious(plan)
    profile = build_profile(plan)
    if not expected and not any(plan.flops.values()):
        assert profile is None
        return
    assert profile is not None
    ids = profile.ids.tolist()
    assert ids == sorted({i for pair in expected for i in pair} | {i for i, f in plan.flops.items() if f > 0})
    got = [
        ((ids[s], ids[d]), v)
        for s, d, v in zip(
            profile.sources.tolist(), profile.destinations.tolist(), profile.volumes.tolist(), strict=True
        )
    ]
    assert [pair for pair, _ in got] == sorted(expected)  # row-major, each pair once
    assert dict(got) == expected
    com = np.array(profile.dense()["com"]).reshape(len(ids), len(ids))
    assert com.sum() == sum(expected.values())


ids = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted)


@st.composite
def grids(draw: st.DrawFn) -> Traffic:
    rows, columns = draw(ids), draw(ids)
    sizes = draw(
        st.lists(st.integers(0, 5), min_size=len(rows) * len(columns), max_size=len(rows) * len(columns))
    )
    return t.from_grid(rows, columns, np.array(sizes, dtype=np.int64).reshape(len(rows), len(columns)))


@st.composite
def lists(draw: st.DrawFn) -> Traffic:
    rows = draw(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 9)), max_size=12))
    return t.from_transfers(Transfer(*row) for row in rows)


traffics = st.lists(st.one_of(grids(), lists()), max_size=3)


@given(traffics, traffics, traffics, st.dictionaries(st.integers(0, 30), st.floats(0, 1e9), max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_traffic(
    reads: list[Traffic], writes: list[Traffic], internal: list[Traffic], flops: dict[int, float]
) -> None:
    check(IoPlan("x", reads=reads, writes=writes, internal=internal, flops=flops))


@given(ids, ids, st.integers(1, 10**12), st.integers(1, 10**12), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_nodes_and_storages_in_any_order_of_ids(
    nodes: list[int], storages: list[int], reads: int, writes: int, reading: bool, writing: bool
) -> None:
    storages = sorted(set(storages) - set(nodes)) or [99]
    n, m = len(nodes), len(storages)
    r = [t.from_grid(storages, nodes, t.split_rows(t.split_evenly(reads, m), n))] if reading else []
    w = [t.from_grid(nodes, storages, t.split_rows(t.split_evenly(writes, m), n).T)] if writing else []
    check(IoPlan("x", reads=r, writes=w))


def test_dense_form_of_two_nodes_and_one_storage() -> None:
    """Nodes 3 and 4 read 5 bytes each from storage 9 and write 2 and 1 bytes to it: rows are sources."""
    plan = IoPlan(
        "x",
        reads=[t.from_grid([9], [3, 4], np.array([[5, 5]]))],
        writes=[t.from_grid([3, 4], [9], np.array([[2], [1]]))],
    )
    profile = build_profile(plan)
    assert profile is not None
    assert profile.ids.tolist() == [3, 4, 9]
    assert profile.dense() == {"type": "parallel", "cpu": [0, 0, 0], "com": [0, 0, 2, 0, 0, 1, 5, 5, 0]}


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_split_by_weights_is_exact_and_fair(size: int, weights: list[int]) -> None:
    parts = t.split_by(size, weights).tolist()
    assert sum(parts) == size
    total = sum(weights) or len(weights)
    for part, weight in zip(parts, weights if sum(weights) else [1] * len(weights), strict=True):
        assert abs(part - size * weight / total) < 1 + 1e-3 * size / 1e12
        assert weight or not part


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=12), st.integers(1, 12))
def test_split_rows_keeps_rows_exact_and_columns_even(sizes: list[int], parts: int) -> None:
    split = t.split_rows(sizes, parts)
    assert split.sum(axis=1).tolist() == sizes
    assert split.max(axis=1).tolist() == [-(-s // parts) for s in sizes]
    columns = split.sum(axis=0)
    assert columns.max() - columns.min() <= 1


def test_split_by_breaks_ties_by_index() -> None:
    """10 over weights 1, 1, 1: 3 each and one left over, which goes to the first."""
    assert t.split_by(10, [1, 1, 1]).tolist() == [4, 3, 3]


def test_sums_by_end() -> None:
    given = t.from_grid([1, 2], [7, 8], np.array([[1, 2], [0, 4]]))
    assert t.by_source([given]) == {1: 3, 2: 4}
    assert t.by_destination([given]) == {7: 1, 8: 6}
    assert t.total([given, given]) == 14


amounts = st.lists(st.one_of(st.integers(0, 40), st.integers(0, 10**13)), min_size=1, max_size=5)


@given(ids, st.integers(-5, 40), amounts, amounts, st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_evenly_is_a_matrix_that_nobody_had_to_make(
    nodes: list[int], first: int, reads: list[int], writes: list[int], reading: bool, writing: bool
) -> None:
    """Even traffic is the grid of ``split_rows`` with its remainders in turn: same matrix, sums and profile,
    wherever the storages' ids lie."""
    m, n = min(len(reads), len(writes)), len(nodes)
    storages = [i for i in range(max(0, first), 99) if i not in nodes][:m]
    r = read_grid(storages, nodes, reads[:m])
    w = write_grid(nodes, storages, writes[:m])
    for even, grid in (
        (r, t.from_grid(storages, nodes, t.split_rows(reads[:m], n))),
        (w, t.from_grid(nodes, storages, t.split_rows(writes[:m], n).T)),
    ):
        assert [column.tolist() for column in even.columns] == [column.tolist() for column in grid.columns]
        assert t.by_source([even]) == t.by_source([grid])
        assert t.by_destination([even]) == t.by_destination([grid])
        assert t.size(even) == t.size(grid)
    check(IoPlan("x", reads=[r] if reading else [], writes=[w] if writing else []))


@given(ids, st.lists(st.integers(40, 10**12), min_size=1, max_size=3), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_even_bytes_stay_even_beside_work_on_their_nodes(
    nodes: list[int], sizes: list[int], reading: bool, elsewhere: bool
) -> None:
    """Work on nodes or storages is a column of its own; on another resource (77) it needs a place."""
    storages = [40 + k for k in range(len(sizes))]
    moved = [read_grid(storages, nodes, sizes)] if reading else [write_grid(nodes, storages, sizes)]
    flops = {nodes[-1]: 3.0, storages[0]: 0.0, (77 if elsewhere else nodes[0]): 5.0}
    profile = merge(moved, flops)
    plain = merge([Traffic(*traffic.columns) for traffic in moved], flops)
    assert profile is not None and plain is not None and plain.even is None  # noqa: PT018
    assert (profile.even is None) == elsewhere
    assert profile.dense() == plain.dense()
    assert profile.ids.tolist() == plain.ids.tolist()


def test_work_that_only_reading_causes_is_no_work_of_writing() -> None:
    plan = IoPlan("fs", flops={0: 5.0, 1: 3.0}, read_flops={0: 5.0, 1: 1.0})
    assert plan.caused_flops == ({0: 5.0, 1: 1.0}, {1: 2.0})
    assert IoPlan("fs", flops={0: 5.0}).caused_flops == ({0: 5.0}, {})
