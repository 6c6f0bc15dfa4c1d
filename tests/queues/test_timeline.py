"""The timeline against a brute-force oracle that keeps a list of holds and looks at every instant."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core.nodes import positions
from batfs.scheduling.timeline import Hold, Shares, Timeline, first_nodes, just_after

NODES = 7
CAPACITIES = (10, 6)


class Oracle:
    """What is free, from the list of holds alone."""

    def __init__(self, closed: bool) -> None:
        self.holds: list[Hold] = []
        self.closed = closed

    def nodes_at(self, t: float) -> int:
        free = (1 << NODES) - 1
        for hold in self.holds:
            if hold.start <= t < hold.node_end:
                free &= ~hold.nodes
        return free

    def bytes_at(self, t: float) -> list[int]:
        free = list(CAPACITIES)
        for hold in self.holds:
            if hold.start <= t < hold.end:
                for storage, size in hold.shares:
                    free[storage] -= size
        return free

    def instants(self, start: float, end: float) -> list[float]:
        times = {t for hold in self.holds for t in (hold.start, hold.end, hold.node_end)}
        return sorted({start, *(t for t in times if start < t < end)})

    def free_nodes(self, start: float, end: float) -> int:
        free = (1 << NODES) - 1
        for t in self.instants(start, end):
            free &= self.nodes_at(t)
        return free

    def free_bytes(self, start: float, end: float) -> list[int]:
        return [min(column) for column in zip(*map(self.bytes_at, self.instants(start, end)), strict=True)]

    def node_end(self, end: float) -> float:
        return just_after(end) if self.closed else end

    def earliest_nodes(self, count: int, duration: float, after: float) -> tuple[float, int]:
        for t in self.instants(after, float("inf")):
            free = self.free_nodes(t, self.node_end(t + duration))
            if free.bit_count() >= count:
                return t, free
        raise AssertionError


times = st.integers(0, 20).map(float)
actions = st.lists(
    st.tuples(
        times,
        st.integers(1, 8).map(float),
        st.integers(0, 2**NODES - 1),
        st.tuples(st.integers(0, 6), st.integers(0, 4)),
        st.booleans(),
    ),
    max_size=25,
)


def played(
    actions: list[tuple[float, float, int, tuple[int, int], bool]], closed: bool
) -> tuple[Timeline, Oracle]:
    """Both after the same holds and releases; what doesn't fit must be refused."""
    timeline, oracle = Timeline(NODES, CAPACITIES, closed=closed), Oracle(closed)
    for start, duration, nodes, sizes, release in actions:
        if release and oracle.holds:
            timeline.release(oracle.holds.pop(len(oracle.holds) // 2))
            continue
        shares: Shares = tuple((s, size) for s, size in enumerate(sizes) if size)
        hold = timeline.make(start, duration, nodes, shares)
        fits = nodes & ~oracle.free_nodes(start, hold.node_end) == 0 and all(
            size <= free for size, free in zip(sizes, oracle.free_bytes(start, hold.end), strict=True)
        )
        if fits:
            timeline.hold(hold)
            oracle.holds.append(hold)
        else:
            with pytest.raises(ValueError, match=r"held twice|over its capacity"):
                timeline.hold(hold)
    return timeline, oracle


@given(actions, st.booleans(), times, times)
def test_what_is_free_over_a_window(actions, closed, start, length):
    timeline, oracle = played(actions, closed)
    assert timeline.free_nodes(start, start + length) == oracle.free_nodes(start, start + length)
    assert timeline.free_bytes(start, start + length) == oracle.free_bytes(start, start + length)


@given(actions, st.booleans(), st.integers(1, NODES), times, times)
def test_earliest_nodes(actions, closed, count, duration, after):
    timeline, oracle = played(actions, closed)
    assert timeline.earliest_nodes(count, duration, after) == oracle.earliest_nodes(count, duration, after)


@given(actions, st.booleans(), st.integers(1, NODES), st.integers(0, 10), st.integers(1, 9).map(float))
def test_earliest_fit_on_nodes_and_bytes(actions, closed, count, size, duration):
    timeline, oracle = played(actions, closed)

    def place(nodes: int, free: list[int]) -> Shares | None:
        return ((0, size),) if free[0] >= size else None

    fit = timeline.earliest_fit(count, duration, [0.0, *timeline.byte_ends()], place)
    assert fit is not None
    start, nodes, shares = fit
    # nothing earlier would have done
    for t in oracle.instants(0.0, start) if start > 0 else []:
        enough = oracle.free_nodes(t, oracle.node_end(t + duration)).bit_count() >= count
        assert not (enough and oracle.free_bytes(t, t + duration)[0] >= size)
    assert nodes == first_nodes(oracle.free_nodes(start, oracle.node_end(start + duration)), count)
    timeline.hold(timeline.make(start, duration, nodes, shares))


@given(actions, st.booleans())
def test_taking_everything_back_restores_the_empty_timeline(actions, closed):
    timeline, oracle = played(actions, closed)
    for hold in oracle.holds:
        timeline.release(hold)
    node_times, node_free, byte_times, byte_free = timeline.arrays()
    assert len(node_times) == len(byte_times) == 1
    assert node_free[0, 0] == 2**NODES - 1
    assert tuple(byte_free[0]) == CAPACITIES


@given(actions)
def test_arrays_are_the_steps(actions):
    timeline, oracle = played(actions, False)
    node_times, node_free, byte_times, byte_free = timeline.arrays()
    assert all(a < b for a, b in pairwise(node_times))
    for t, free in zip(node_times[1:], node_free[1:, 0], strict=True):
        assert int(free) == oracle.nodes_at(t)
    for t, row in zip(byte_times[1:], byte_free[1:], strict=True):
        assert row.tolist() == oracle.bytes_at(t)


@given(st.integers(0, 2**130 - 1), st.integers(0, 130))
def test_first_nodes(nodes, count):
    assert positions(first_nodes(nodes, count)) == positions(nodes)[:count]


@pytest.mark.parametrize("time", [0.0, 1.0, 627.0, 86400.5, 1e6, 2.3e7])
def test_just_after_is_later_by_next_to_nothing(time):
    assert time < just_after(time) < time + 1e-6


def test_a_closed_timeline_keeps_a_node_at_its_end():
    timeline = Timeline(2, closed=True)
    timeline.hold(timeline.make(0.0, 10.0, 0b11))
    assert timeline.free_nodes(10.0, 11.0) == 0
    assert timeline.earliest_nodes(1, 5.0, 0.0) == (just_after(10.0), 0b11)
    assert timeline.earliest_nodes(3, 5.0, 0.0) is None
    assert timeline.earliest_nodes(2, 5.0, 0.0, among=0b01) is None
