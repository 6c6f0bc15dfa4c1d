"""The search for the cheapest size that meets the targets, apart from how a size is measured.

What is assumed: more of something doesn't make it worse, but for noise. A few sizes from one end to the other
are measured first (the curve); then the bracket between the last that doesn't meet the targets and the first
that does is halved. As small anomalies are common in scheduling, the next smaller sizes are looked at, too.
All sizes are run with the same seeds and so with the same jobs (common random numbers), and a size gets more
seeds only as long as its interval holds the limit.

Whether a size meets the targets is said of the mean over its runs. The interval of the answer are the sizes
for which the data don't exclude that they are it: from the first whose interval reaches the good side, to the
first whose interval is wholly there; on a fine grid to four steps, on the side of the wider interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from batfs.records import record

#: A size: an index into the values of each knob.
Place: TypeAlias = tuple[int, ...]
#: Sizes measured first, from one end to the other, of many.
_COARSE: Final = 5
#: On a grid of so many sizes the ends of an interval are found to four of them.
_FINE: Final = 30
#: So many sizes below the answer are looked at for anomalies.
_BELOW: Final = 2


class Judged(Protocol):
    """What is known of a size: by the mean of its runs, and within their interval."""

    @property
    def meets(self) -> bool: ...
    @property
    def may(self) -> bool:
        """Whether its interval reaches the good side."""
        ...

    @property
    def surely(self) -> bool:
        """Whether its interval is wholly on the good side."""
        ...


Judge: TypeAlias = Callable[[Place], Judged]


@record
class Span:
    """The interval of one knob's answer, as indices: ``low`` None: even less may do; ``high`` None: even the
    most doesn't surely."""

    low: int | None
    high: int | None


@record
class Answer:
    """The cheapest place that meets the targets (None: none does), and of each knob the interval, the others
    as they are there."""

    place: Place | None
    spans: tuple[Span, ...] = ()


def halve(low: int, high: int, good: Callable[[int], bool], slack: int = 1) -> tuple[int, int]:
    """Indices at most ``slack`` apart of which the first isn't good and the second is, as ``low`` and
    ``high`` are."""
    while high - low > slack:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return low, high


def coarse(count: int) -> list[int]:
    """Places evenly spread over ``count``, both ends among them: few of few."""
    points = max(2, min(_COARSE, count // 8))
    return sorted({round(k * (count - 1) / (points - 1)) for k in range(points)})


def cheapest(counts: Sequence[int], judge: Judge, cost: Callable[[Place], float]) -> Answer:
    """The answer over the grid of one or two knobs with so many values each."""
    place = _one(counts[0], judge) if len(counts) == 1 else _two(counts, judge, cost)
    if place is None:
        return Answer(None)
    spans = []
    for axis, count in enumerate(counts):

        def along(k: int, axis: int = axis, place: Place = place) -> Judged:
            return judge((*place[:axis], k, *place[axis + 1 :]))

        known = coarse(count) if len(counts) == 1 else []
        spans.append(_span(place[axis], count, along, known))
    return Answer(place, tuple(spans))


def _one(count: int, judge: Judge) -> Place | None:
    points = coarse(count)
    met = [k for k in points if judge((k,)).meets]
    if not met:
        return None
    high = met[0]
    before = [k for k in points if k < high]
    low = before[-1] if before else -1
    found = halve(low, high, lambda k: judge((k,)).meets)[1]
    below = found - 1
    while below > max(-1, found - 1 - _BELOW):
        if judge((below,)).meets:
            found = below
        below -= 1
    return (found,)


def _two(counts: Sequence[int], judge: Judge, cost: Callable[[Place], float]) -> Place | None:
    """Along the border between what meets and what doesn't: with less of the one it takes more of the
    other, or as much. What can't be cheaper than what was found isn't looked at."""
    best: Place | None = None
    least = 0
    for i in reversed(range(counts[0])):
        if best is not None and cost((i, least)) >= cost(best):
            continue
        if judge((i, least)).meets:
            found = least
        elif judge((i, counts[1] - 1)).meets:
            last = counts[1] - 1
            found = halve(least, last, lambda j, i=i: judge((i, j)).meets)[1]  # type: ignore[misc]
        else:
            break  # with even less of the first the most of the second isn't enough either
        least = found
        if best is None or cost((i, found)) < cost(best):
            best = (i, found)
    return best


def _span(at: int, count: int, judge: Callable[[int], Judged], known: Sequence[int]) -> Span:
    """``known``: places that are measured already, ascending."""
    slack = 4 if count >= _FINE else 1
    low: int | None = at
    if at > 0 and judge(at - 1).may:
        outside, inside = None, at - 1
        for k in sorted({0, *known}, reverse=True):
            if k >= inside:
                continue
            if not judge(k).may:
                outside = k
                break
            inside = k
        low = None
        if outside is not None:
            low = halve(outside, inside, lambda k: judge(k).may, slack)[0] + 1
    high: int | None = at
    if not judge(at).surely:
        high, before = None, at
        for k in sorted({*known, count - 1}):
            if k <= at:
                continue
            if judge(k).surely:
                high = halve(before, k, lambda k: judge(k).surely, slack)[1]
                break
            before = k
    return Span(low, high)


def knee(costs: Sequence[float], values: Sequence[float]) -> int | None:
    """The place where a curve of ``values`` over ascending ``costs`` bends most: farthest from the line
    between its ends, both axes from 0 to 1 (Satopää, Albrecht, Irwin, Raghavan, "Finding a Kneedle in a
    Haystack", ICDCSW 2011). None where the curve doesn't fall, or hangs over that line."""
    if len(costs) < 3 or not costs[-1] > costs[0] or not values[-1] < values[0]:
        return None
    wide, high = costs[-1] - costs[0], values[0] - values[-1]
    under = [
        1 - (cost - costs[0]) / wide - (value - values[-1]) / high
        for cost, value in zip(costs, values, strict=True)
    ]
    best = max(range(len(costs)), key=lambda k: under[k])
    return best if under[best] > 0.05 else None
