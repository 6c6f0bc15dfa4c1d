import math
from typing import Any

import pytest

from batfs.storage.interface import Share, Storage
from batfs.storage.ledger import Ledger, LedgerError, NoRoomError


def book(*capacities: int, release_at_end: bool = True) -> Ledger:
    return Ledger((Storage(i, f"s{i}", c) for i, c in enumerate(capacities)), release_at_end=release_at_end)


def test_reserve_and_release() -> None:
    ledger = book(10, 20)
    line = ledger.reserve([Share(0, 4), Share(1, 5), Share(0, 6)], key="job1")
    assert line.shares == (Share(0, 10), Share(1, 5))
    assert ledger.free(0, math.inf).tolist() == [0, 15]
    assert (ledger.held(0), line.size, len(ledger)) == (10, 15, 1)
    ledger.validate()
    ledger.release(line)
    assert ledger.free(0, math.inf).tolist() == [10, 20]
    ledger.validate()


def test_released_twice_is_an_error() -> None:
    ledger = book(10)
    line = ledger.reserve([Share(0, 4)], key="job1")
    ledger.release(line)
    with pytest.raises(LedgerError, match="released already"):
        ledger.release(line)
    other = book(10)
    with pytest.raises(LedgerError, match="not of this ledger"):
        ledger.release(other.reserve([Share(0, 4)]))
    ended = ledger.reserve([Share(0, 4)], end=5.0)
    ledger.advance(5.0)
    with pytest.raises(LedgerError, match="released already"):
        ledger.release(ended)
    ledger.validate()


def test_all_or_nothing() -> None:
    ledger = book(10, 3)
    with pytest.raises(NoRoomError) as caught:
        ledger.reserve([Share(0, 4), Share(1, 5)])
    assert (caught.value.index, caught.value.missing) == (1, 2)
    with pytest.raises(NoRoomError):
        ledger.reserve([Share(0, 6), Share(0, 5)])
    assert ledger.free(0, 1).tolist() == [10, 3]
    assert len(ledger) == 0
    ledger.validate()


@pytest.mark.parametrize(
    "shares, window",
    [
        ([], (0.0, 1.0)),
        ([Share(0, 0)], (0.0, 1.0)),
        ([Share(0, -1)], (0.0, 1.0)),
        ([Share(2, 1)], (0.0, 1.0)),
        ([Share(-1, 1)], (0.0, 1.0)),
        ([Share(0, 1)], (1.0, 1.0)),
        ([Share(0, 1)], (-1.0, 1.0)),
        ([Share(0, 1)], (math.nan, 1.0)),
    ],
)
def test_nonsense_is_refused(shares: list[Share], window: tuple[float, float]) -> None:
    ledger = book(10, 10)
    with pytest.raises(LedgerError):
        ledger.reserve(shares, start=window[0], end=window[1])
    ledger.validate()


def test_a_booking_that_has_begun_and_ended_takes_nobody_along() -> None:
    """Of 100 bytes a holds 30 during [0, 50), b 40 during [10, 20), booked. Once b is gone a is still there
    until 50 and no longer, in what has counted both from the beginning."""
    ledger = book(100)
    ledger.reserve([Share(0, 30)], end=50.0)
    ledger.reserve([Share(0, 40)], start=10.0, end=20.0)
    spans = [(5.0, 8.0), (15.0, 60.0), (25.0, 60.0), (50.0, 60.0)]
    assert [ledger.overlaps(*span).tolist() for span in spans] == [[1], [2], [1], [0]]
    assert [ledger.overlapping_bytes(*span).tolist() for span in spans] == [[30], [70], [30], [0]]
    ledger.advance(10.0)
    ledger.advance(20.0)
    assert [ledger.overlaps(*span).tolist() for span in spans[2:]] == [[1], [0]]
    assert [ledger.overlapping_bytes(*span).tolist() for span in spans[2:]] == [[30], [0]]
    ledger.validate()


def test_an_exact_fit_in_time_and_space() -> None:
    ledger = book(10)
    ledger.reserve([Share(0, 10)], end=5.0)
    ledger.reserve([Share(0, 10)], start=5.0, end=6.0)
    with pytest.raises(NoRoomError):
        ledger.reserve([Share(0, 1)], start=4.0, end=7.0)
    ledger.reserve([Share(0, 10)], start=6.0)
    ledger.validate()


def test_free_space_is_capacity_less_the_peak_not_the_sum() -> None:
    # four 7 TB jobs one after another on 8 TB: each instant has 1 TB free
    ledger = book(8)
    for i in range(4):
        ledger.reserve([Share(0, 7)], start=10.0 * i, end=10.0 * i + 10)
    assert ledger.free(0, 40).tolist() == [1]
    assert ledger.overlapping_bytes(0, 40).tolist() == [28]
    assert ledger.overlaps(0, 40).tolist() == [4]
    assert ledger.overlaps(10, 20).tolist() == [1]
    ledger.reserve([Share(0, 1)], end=40.0)
    assert ledger.free(0, 40).tolist() == [0]
    assert ledger.free(40, 50).tolist() == [8]
    ledger.validate()


def test_time_moves_bookings_in_and_out() -> None:
    seen: list[tuple[float, int, int]] = []
    ledger = book(10, 10)
    ledger.listen(lambda time, index, held: seen.append((time, index, held)))
    ledger.reserve([Share(0, 4)], end=3.0)
    ledger.reserve([Share(0, 10), Share(1, 1)], start=3.0, end=5.0)
    ledger.advance(10.0)
    assert seen == [(0.0, 0, 4), (3.0, 0, 0), (3.0, 0, 10), (3.0, 1, 1), (5.0, 0, 0), (5.0, 1, 0)]
    assert ledger.now == 10.0
    with pytest.raises(LedgerError, match="run back"):
        ledger.advance(9.0)
    ledger.validate()


def test_a_booking_given_back_early_was_never_held() -> None:
    seen: list[tuple[float, int, int]] = []
    ledger = book(10)
    ledger.listen(lambda time, index, held: seen.append((time, index, held)))
    line = ledger.reserve([Share(0, 7)], start=3.0, end=5.0)
    assert ledger.free(0, 4).tolist() == [3]
    ledger.release(line)
    assert ledger.free(0, 4).tolist() == [10]
    ledger.advance(9.0)
    assert seen == []
    ledger.validate()


def test_held_until_release() -> None:
    # as a scheduler uses it: the end is the walltime's promise, the bytes stay until the job has gone
    ledger = book(10, release_at_end=False)
    line = ledger.reserve([Share(0, 7)], end=5.0)
    assert ledger.free(5.0, 6.0).tolist() == [10]
    ledger.advance(8.0)
    assert ledger.free(8.0, 9.0).tolist() == [3]
    assert ledger.room(0, 8.0, 9.0) == 3
    with pytest.raises(NoRoomError):
        ledger.reserve([Share(0, 4)])
    ledger.release(line)
    ledger.validate()


def test_an_end_can_be_moved_where_there_is_room() -> None:
    ledger = book(10)
    line = ledger.reserve([Share(0, 7)], end=5.0)
    ledger.reserve([Share(0, 7)], start=6.0, end=9.0)
    ledger.set_end(line, 6.0)
    with pytest.raises(NoRoomError):
        ledger.set_end(line, 6.5)
    assert line.end == 6.0
    ledger.validate()
    ledger.advance(5.5)
    assert ledger.held(0) == 7
    ledger.set_end(line, 5.75)
    ledger.validate()
    ledger.advance(5.75)
    assert ledger.held(0) == 0
    ledger.advance(7.0)
    assert ledger.held(0) == 7
    ledger.validate()


def test_arrays_are_read_only() -> None:
    ledger = book(10)
    with pytest.raises(ValueError, match="read-only"):
        ledger.free(0, 1)[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        ledger.capacities[0] = 3


def test_no_storages() -> None:
    ledger = book()
    assert ledger.free(0, 1).tolist() == []
    ledger.advance(5.0)
    ledger.validate()


def test_bookings_on_promised_ends() -> None:
    ledger = book(10, release_at_end=False)
    line = ledger.reserve([Share(0, 7)], end=5.0)
    booking = ledger.reserve([Share(0, 10)], start=5.0, end=6.0)
    ledger.validate()
    ledger.release(booking)
    booking = ledger.reserve([Share(0, 10)], start=5.0, end=6.0)
    with pytest.raises(NoRoomError):  # the promise wasn't kept
        ledger.advance(5.0)
    assert booking.state == "released"
    ledger.advance(5.5)
    late = ledger.reserve([Share(0, 8)], start=6.0, end=7.0)
    assert ledger.free(5.5, 7.0).tolist() == [2]
    assert ledger.room(0, 5.5, 7.0) == 2
    ledger.validate()
    ledger.release(line)
    ledger.advance(6.5)
    assert late.state == "held"
    ledger.validate()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda ledger, line: setattr(line, "end", ledger.now), "past its end"),
        (lambda ledger, line: setattr(line, "end", 50.0), "no end for"),
        (lambda ledger, line: setattr(line, "start", ledger.now + 1), "is held"),
        (lambda ledger, line: ledger.on[0].pop(line.id), "isn't on storage 0"),
        (lambda ledger, line: ledger.free_now.__setitem__(0, 7), "bytes free on 's0'"),
        (lambda ledger, line: ledger.count.__setitem__(0, 2), "reservations on 's0'"),
    ],
)
def test_books_that_are_wrong_are_found(wrong: Any, says: str) -> None:
    """4 of 10 bytes from 1 to 9; at 3 somebody meddles with it."""
    ledger = book(10, 20)
    ledger.advance(1.0)
    line = ledger.reserve([Share(0, 4)], end=9.0)
    ledger.advance(3.0)
    ledger.validate()
    wrong(ledger, line)
    with pytest.raises(LedgerError, match=says):
        ledger.validate()
