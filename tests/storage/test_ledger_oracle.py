"""The ledger against a slow timeline that keeps every second of every storage apart."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.storage.interface import Share, SpaceRequest, Storage
from batfs.storage.ledger import Ledger, LedgerError, NoRoomError, Reservation
from batfs.storage.policies import make_policy
from batfs.storage.split import block_sizes, choose_blocks
from batfs.storage.view import SystemView

HORIZON = 40  # times are whole seconds below this; END stands for "never"
END = float("inf")


@dataclass
class Line:
    shares: tuple[Share, ...]
    start: int
    end: float


class Timeline:
    """Who holds what in each second [t, t + 1)."""

    def __init__(self, capacities: list[int], binding: bool) -> None:
        self.capacities, self.binding = capacities, binding
        self.now = 0
        self.lines: dict[int, Line] = {}

    def there(self, line: Line, t: int) -> bool:
        if not self.binding and t == self.now and line.start <= t:
            return True  # held until released
        return line.start <= t < line.end

    def seconds(self, start: int, end: float) -> range:
        return range(max(start, self.now), int(min(end, HORIZON + 1)))

    def used(self, index: int, t: int) -> int:
        there = (line for line in self.lines.values() if self.there(line, t))
        return sum(s.size for line in there for s in line.shares if s.index == index)

    def free(self, start: int, end: float) -> list[int]:
        return [
            c - max(self.used(i, t) for t in self.seconds(start, end)) for i, c in enumerate(self.capacities)
        ]

    def overlapping(self, start: int, end: float) -> list[list[Line]]:
        return [
            [
                line
                for line in self.lines.values()
                if any(s.index == i for s in line.shares)
                and any(self.there(line, t) for t in self.seconds(start, end))
            ]
            for i in range(len(self.capacities))
        ]

    def longest(self, start: int, end: float) -> list[float]:
        return [
            max(
                (sum(self.there(line, t) for t in self.seconds(start, end)) for line in lines),
                default=0,
            )
            for lines in self.overlapping(start, end)
        ]

    def advance(self, to: int) -> None:
        self.now = to
        if self.binding:
            self.lines = {k: line for k, line in self.lines.items() if line.end > to}


times = st.integers(0, HORIZON - 1)
windows = st.tuples(times, st.one_of(st.integers(1, HORIZON), st.just(END))).map(
    lambda w: (w[0], w[0] + w[1] if w[1] == END else min(HORIZON, w[0] + w[1]))
)
shares = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), min_size=1, max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), windows, shares),
        st.tuples(st.just("reserve"), windows, shares),
        st.tuples(st.just("release"), st.integers(0, 30)),
        st.tuples(st.just("move"), st.integers(0, 30), times),
        st.tuples(st.just("advance"), st.integers(0, 6)),
        st.tuples(st.just("ask"), windows),
    ),
    min_size=3,
    max_size=25,
)


def merged(parts: list[tuple[int, int]]) -> tuple[Share, ...]:
    sizes: dict[int, int] = {}
    for index, size in parts:
        sizes[index] = sizes.get(index, 0) + size
    return tuple(Share(i, s) for i, s in sizes.items())


def compare(ledger: Ledger, slow: Timeline, start: int, end: float) -> None:
    begin = max(start, slow.now)
    if begin >= end:
        return
    free = slow.free(start, end)
    assert ledger.free(start, end).tolist() == free
    assert [ledger.room(i, start, end) for i in range(3)] == free
    plain = begin == slow.now and ledger.next_change == math.inf  # nothing ahead: then it is said for sure
    for size in (1, min(free), min(free) + 1):
        fits = ledger.fits_everywhere(size, start)
        assert fits == (size <= min(free)) if plain else not fits or size <= min(free)
    overlapping = slow.overlapping(start, end)
    assert ledger.overlaps(start, end).tolist() == [len(lines) for lines in overlapping]
    assert ledger.overlapping_bytes(start, end).tolist() == [
        sum(s.size for line in lines for s in line.shares if s.index == i)
        for i, lines in enumerate(overlapping)
    ]
    if slow.binding and end <= HORIZON:
        assert ledger.longest_overlap(start, end).tolist() == slow.longest(start, end)


def play(script: list[tuple], binding: bool) -> None:  # type: ignore[type-arg]
    capacities = [20, 13, 30]
    ledger = Ledger((Storage(i, f"s{i}", c) for i, c in enumerate(capacities)), release_at_end=binding)
    held = [0, 0, 0]
    ledger.listen(lambda _time, index, now_held: held.__setitem__(index, now_held))
    slow = Timeline(capacities, binding)
    lines: list[Reservation] = []
    for step in script:
        if step[0] == "reserve":
            (start, end), parts = step[1], step[2]
            start = max(start, slow.now)
            if start >= end:
                continue
            free = slow.free(start, end)
            fits = all(s.size <= free[s.index] for s in merged(parts))
            wanted = [Share(*part) for part in parts]
            if fits:
                line = ledger.reserve(wanted, start=start, end=end)
                lines.append(line)
                slow.lines[line.id] = Line(merged(parts), start, end)
            else:
                with pytest.raises(NoRoomError):
                    ledger.reserve(wanted, start=start, end=end)
        elif step[0] == "release" and lines:
            line = lines[step[1] % len(lines)]
            if line.id in slow.lines:
                ledger.release(line)
                del slow.lines[line.id]
            else:
                with pytest.raises(LedgerError):
                    ledger.release(line)
        elif step[0] == "move" and lines:
            line, end = lines[step[1] % len(lines)], step[2]
            known = slow.lines.get(line.id)
            if known is None or end <= max(known.start, slow.now) or not binding:
                continue
            old, known.end = known.end, end
            if all(slow.used(i, t) <= c for i, c in enumerate(capacities) for t in slow.seconds(0, HORIZON)):
                ledger.set_end(line, end)
            else:
                known.end = old
                with pytest.raises(NoRoomError):
                    ledger.set_end(line, end)
        elif step[0] == "advance":
            to = slow.now + step[1]
            if to >= HORIZON or (
                not binding and any(slow.now < line.start <= to for line in slow.lines.values())
            ):
                continue
            slow.advance(to)
            ledger.advance(to)
        elif step[0] == "ask":
            compare(ledger, slow, *step[1])
        compare(ledger, slow, slow.now, END)
        compare(ledger, slow, slow.now, min(slow.now + 4, HORIZON))
        for line in list(slow.lines.values())[-3:]:  # windows that touch a reservation's bounds
            for bound in (line.start, line.end):
                if bound < HORIZON:
                    compare(ledger, slow, int(bound), min(int(bound) + 3, HORIZON))
                    compare(ledger, slow, slow.now, bound)
        assert held == [slow.used(i, slow.now) for i in range(3)]
        ledger.validate()


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_ledger_agrees_with_a_timeline(script: list[tuple]) -> None:  # type: ignore[type-arg]
    play(script, binding=True)


@settings(max_examples=80, deadline=None)
@given(steps)
def test_and_when_ends_are_promises(script: list[tuple]) -> None:  # type: ignore[type-arg]
    play(script, binding=False)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(steps, st.booleans())
def test_thousands_of_scenarios(script: list[tuple], binding: bool) -> None:  # type: ignore[type-arg]
    play(script, binding)


POLICIES = [
    "random", "round_robin", "round_robin:over=group", "first_fit", "best_fit", "worst_fit",
    "worst_fit_percent", "worst_case", "least_loaded", "max_bandwidth", "power_of_two", "locality", "lustre",
    "striped:k=2", "weighted:best_fit=1,worst_case=2",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(st.integers(1, 60), windows), max_size=12),
    st.one_of(st.none(), st.integers(1, 9)),
    st.integers(0, 5),
)
def test_policies_choose_what_fits_with_splits(
    text: str, requests: list[tuple[int, tuple[int, float]]], block: int | None, smallest: int
) -> None:
    """Whatever a policy answers fits and adds up; a single-storage policy refuses only if nothing fits."""
    capacities = [20, 13, 30]
    table = [Storage(i, f"s{i}", c, group="ab"[i // 2]) for i, c in enumerate(capacities)]
    ledger, slow = Ledger(table, release_at_end=True), Timeline(capacities, True)
    policy, rng = make_policy(text), random.Random(1)
    for size, (start, end) in requests:
        request = SpaceRequest(size, start, end)
        sizes = block_sizes(size, block, min(smallest, block or 0))
        assert sum(sizes) == size
        choice = choose_blocks(policy, SystemView(ledger), request, sizes, rng)
        free = slow.free(start, end)
        if choice is None:
            if len(sizes) == 1 and not text.startswith("striped"):
                assert max(free) < size
            continue
        assert sum(share.size for share in choice) == size
        line = ledger.reserve(choice, start=start, end=end)
        slow.lines[line.id] = Line(line.shares, start, end)
        compare(ledger, slow, 0, END)
        ledger.validate()


def test_ends_that_are_whole_numbers_leave_room_for_one_without_end() -> None:
    """The latest ends are kept as floats, also when all that were there first are whole numbers."""
    ledger = Ledger(Storage(i, f"s{i}", 10) for i in range(2))
    for index in (0, 1):
        ledger.reserve([Share(index, 1)], start=0, end=1)
    assert ledger.longest_overlap(0, 10).tolist() == [1.0, 1.0]
    ledger.reserve([Share(0, 1)], start=0, end=math.inf)
    assert ledger.longest_overlap(0, 10).tolist() == [10.0, 1.0]
