"""The books in the core, as built and interpreted, against sums of what is live."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batfs._core import books, interpreted
from batfs._core.arrays import integers
from batfs.storage.interface import Share

PLAIN: Any = interpreted("books")
BOTH = pytest.mark.parametrize("core", [books, PLAIN], ids=["as built", "interpreted"])
SIZES = (100, 250, 2**60)


class Refused(Exception):
    pass


def make(core: Any) -> Any:
    """A book that has nothing ahead, refuses what it is in doubt of, and remembers whom it told."""

    class Ledger(core.Book):  # type: ignore[misc, name-defined]
        told: list[Any]

        def _reserve(self, shares: Any, begin: float, end: float, key: str) -> Any:
            sizes = {s.index: s.size for s in shares}
            if any(size > SIZES[i] - self.held(i) for i, size in sizes.items()):
                raise Refused
            return self._enter(tuple(shares), begin, end, key)

        def _release_other(self, line: Any) -> None:
            raise Refused

        def _more_held(self, line: Any) -> None:
            self.told.append((line.id, 1))

        def _less_held(self, line: Any) -> None:
            self.told.append((line.id, -1))

        def _will_end(self, line: Any) -> None:
            self.told.append((line.id, line.end))

    none = SimpleNamespace(on={}, are_none=True)
    ledger = Ledger(SIZES, 0.0, none)
    ledger.told = []
    return ledger


STEPS = st.lists(
    st.one_of(
        st.dictionaries(st.integers(0, 2), st.integers(1, 200), min_size=1),
        st.integers(0, 9),  # which of the live ones is released
    )
)


@BOTH
@given(STEPS, st.booleans())
def test_what_is_held_is_what_is_live(core: Any, steps: list[Any], plain: bool) -> None:
    ledger, live, told = make(core), [], []
    ledger.plain = plain
    uses = core.Uses(ledger, integers(3))
    for now, step in enumerate(steps):
        ledger.advance(float(now))
        held = [sum(s.size for line in live for s in line.shares if s.index == i) for i in range(3)]
        touched: set[int] = set()
        if isinstance(step, dict):
            shares = [Share(i, size) for i, size in step.items()]
            if any(held[i] + size > SIZES[i] for i, size in step.items()):
                with pytest.raises(Refused):
                    ledger.reserve(shares)
            else:
                line = ledger.reserve(shares, end=now + 5.0, key="j")
                live.append(line)
                told += [(line.id, 1)] if not plain else []
                told.append((line.id, now + 5.0))
                assert (line.state, line.key, line.size) == (core.HELD, "j", sum(step.values()))
                touched = set(step)
                uses.touch([line])
                uses.use([line], 1)
        elif step < len(live):
            line = live.pop(step)
            told += [(line.id, -1)] if not plain else []
            touched = {s.index for s in line.shares}
            uses.use([line], -1)
            uses.end([line])
            assert line.state == core.RELEASED
            with pytest.raises(Refused):
                ledger.release(line)
        held = [sum(s.size for line in live for s in line.shares if s.index == i) for i in range(3)]
        counts = [sum(s.index == i for line in live for s in line.shares) for i in range(3)]
        assert [ledger.held(i) for i in range(3)] == held == list(uses.used)
        assert list(ledger.free_now) == [most - size for most, size in zip(SIZES, held, strict=True)]
        assert list(ledger.count) == counts
        assert ledger.told == told
        assert ledger.fits_everywhere(60, float(now)) == (min(ledger.free_now) >= 60)
        assert not ledger.fits_everywhere(1, now + 1.0)
        assert uses.has_changed == bool(touched)
        assert uses.changes() == [(i, held[i], held[i], 0) for i in sorted(touched)]
        assert uses.changes() == []


@BOTH
def test_transfers_on_trial_are_not_told_nor_writes_counted_apart(core: Any) -> None:
    active = integers(6)
    uses = core.Uses(make(core), active)
    uses.expect([(0, 4), (2, 1)], 1)
    assert not uses.has_changed
    uses.count_transfers([(2, 3), (5, 3)], 1)
    assert uses.changes() == [(2, 0, 0, 4)]
    uses.expect([(0, 4), (2, 1)], -1)
    uses.count_transfers(((2, 3), (5, 3)), -1)
    assert uses.changes() == [(2, 0, 0, 0)]
    assert not any(active)


@BOTH
@pytest.mark.parametrize("shares", [[Share(7, 1)], [Share(0, 0)], [Share(0, 101)], [Share(0, True)]])
def test_what_makes_no_sense_is_left_to_the_ledger(core: Any, shares: list[Share]) -> None:
    class Strict(core.Book):  # type: ignore[misc, name-defined]
        def _reserve(self, shares: Any, begin: float, end: float, key: str) -> Any:
            raise Refused

    ledger = Strict(SIZES, 0.0, SimpleNamespace(on={}, are_none=True))
    with pytest.raises(Refused):
        ledger.reserve(shares)
    with pytest.raises(Refused):
        ledger.reserve([Share(0, 1)], start=-1.0)
    assert ledger.reserve([Share(0, 1)], end=math.inf).id == 0


@BOTH
def test_many_shares_are_taken_at_once_where_each_has_room_of_its_own(core: Any) -> None:
    class Strict(core.Book):  # type: ignore[misc, name-defined]
        def _reserve(self, shares: Any, begin: float, end: float, key: str) -> Any:
            raise Refused

    ledger = Strict(SIZES, 0.0, SimpleNamespace(on={}, are_none=True))
    line = ledger.reserve([Share(0, 100), Share(2, 7)])
    assert (line.size, list(ledger.free_now), list(ledger.count)) == (107, [0, 250, 2**60 - 7], [1, 0, 1])
    # not in order, twice, more than there is, nowhere, nothing
    for shares in ([2, 1], [1, 1], [0, 1], [1, 3], []):
        with pytest.raises(Refused):
            ledger.reserve([Share(i, 1) for i in shares])
    ledger.release(line)
    assert list(ledger.free_now) == list(SIZES)


@BOTH
def test_the_fullest_that_storages_and_groups_have_been(core: Any) -> None:
    """Group 0 has storages of 100 and 2**60 bytes, group 1 one of 250; the last, of 0, counts for no part.

    60 + 2**59 bytes are the most of group 0 at first, and 60 of 100 its largest part; then 2**60 - 1, which a
    double can't tell from 2**60.
    """
    fills = core.Fills((100, 250, 2**60, 0), (0, 1, 0, 1), 2)
    fills.changed([(0, 60, 0, 0), (2, 2**59, 0, 0)])
    fills.changed([(0, 50, 0, 0), (1, 25, 0, 0)])
    fills.changed([(1, 5, 0, 0), (3, 4, 0, 0)])
    assert (list(fills.peaks), list(fills.shares)) == ([60 + 2**59, 25], [0.6, 0.1])
    fills.changed([(2, 2**60 - 1, 0, 0), (0, 0, 0, 0)])
    assert (list(fills.peaks), list(fills.shares)) == ([2**60 - 1, 25], [1.0, 0.1])
