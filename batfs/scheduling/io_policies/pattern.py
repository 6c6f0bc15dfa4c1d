"""PerSched: a schedule of periodic applications' I/O, computed ahead and repeated.

Source: Aupy, Gainaru, Le Fevre, "Periodic I/O scheduling for super-computers", PMBS 2017, for one shared
link of bandwidth B. An application computes w seconds on beta nodes, then moves v bytes with at most b
bytes/s, over and over. A *pattern* of length T holds some instances of each, so that the bandwidths used
never add up to more than B, and is repeated for ever. Its system efficiency is sum(beta n w / T) /
sum(beta).

For each T, instances are put in one by one: of the applications whose next instance still fits, the one with
the least n (w + v/b) / T (slowed down most), ties to the least w / (v/b). The first instance of one goes
where its I/O is shortest; the others begin as early as they can in a gap between two of its instances that
holds them, with all the bandwidth that is left at each moment, again where that is shortest. Every T from
the longest application's w + v/b (or what is given) to K times that is tried, each (1 + epsilon) times the
one before; the best efficiency wins. The search ends early when a pattern is within two thousandths of what
no schedule can exceed, sum(beta w / (w + v/b)) / sum(beta).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from batfs.records import record

_NEAR = 1e-9
#: What a pattern may lack of the upper limit for the search to end.
_ENOUGH = 2e-3


class Periodic(NamedTuple):
    """An application: seconds of ``work``, then ``volume`` bytes at ``rate`` bytes/s at most; ``weight``: its
    nodes."""

    work: float
    volume: float
    rate: float
    weight: float

    @property
    def alone(self) -> float:
        """Seconds of one instance with nobody else."""
        return self.work + self.volume / self.rate


class Stretch(NamedTuple):
    """``rate`` bytes/s from ``begin`` to ``end`` (seconds; may run past the end of the pattern)."""

    begin: float
    end: float
    rate: float


@record
class Pattern:
    """``slots[k]``: the transfers of application k, each a list of stretches, in the order of their
    beginnings. ``length``: seconds."""

    length: float
    slots: Sequence[Sequence[Sequence[Stretch]]]

    def efficiency(self, applications: Sequence[Periodic]) -> float:
        done = sum(a.weight * len(s) * a.work for a, s in zip(applications, self.slots, strict=True))
        return done / self.length / sum(a.weight for a in applications)

    def dilation(self, applications: Sequence[Periodic]) -> float:
        """The largest of T / n over w + v/b; infinite if one has no instance."""
        return max(
            self.length / len(s) / a.alone if s else inf
            for a, s in zip(applications, self.slots, strict=True)
        )


def upper_limit(applications: Sequence[Periodic]) -> float:
    """The system efficiency that no schedule exceeds: everybody as if alone."""
    return sum(a.weight * a.work / a.alone for a in applications) / sum(a.weight for a in applications)


def persched(
    applications: Sequence[Periodic],
    bandwidth: float,
    *,
    shortest: float | None = None,
    longest: float = 10.0,
    step: float = 0.01,
) -> Pattern:
    """The best pattern found. ``shortest``: the first length tried (the longest instance if None);
    ``longest``: times that, the last; ``step``: epsilon."""
    first = shortest or max(a.alone for a in applications)
    enough = upper_limit(applications) * (1 - _ENOUGH)
    best, length = None, first
    while length <= longest * first * (1 + _NEAR):
        found = _filled(applications, bandwidth, length)
        if best is None or found.efficiency(applications) > best.efficiency(applications):
            best = found
            if best.efficiency(applications) >= enough:
                break
        length *= 1 + step
    assert best is not None
    return best


def _filled(applications: Sequence[Periodic], bandwidth: float, length: float) -> Pattern:
    free = _Free(bandwidth, length)
    slots: list[list[list[Stretch]]] = [[] for _ in applications]
    # (from, to): where the next transfer of an application may lie, its work before and after it left out
    gaps: list[list[tuple[float, float]]] = [[] for _ in applications]
    alive = {k for k, a in enumerate(applications) if a.alone <= length * (1 + _NEAR)}
    while alive:
        k = min(alive, key=lambda k: _slowness(applications[k], len(slots[k])))
        one = applications[k]
        begins = gaps[k] if slots[k] else [(t, t + length - one.work) for t in free.times]
        best: tuple[float, tuple[float, float], list[Stretch]] | None = None
        open_still = []
        for gap in begins:
            found = free.fill(gap[0], one.rate, one.volume, gap[1])
            if found is None:
                continue
            open_still.append(gap)
            if best is None or found[-1].end - gap[0] < best[0] * (1 - _NEAR):
                best = found[-1].end - gap[0], gap, found
        if best is None:
            alive.discard(k)
            continue
        took, gap, stretches = best
        free.take(stretches)
        end = gap[0] + took
        if slots[k]:
            open_still.remove(gap)
            gaps[k] = open_still
        if gap[1] - (end + one.work) >= one.volume / one.rate * (1 - _NEAR):
            gaps[k].append((end + one.work, gap[1]))
        slots[k].append(stretches)
    return Pattern(length, [sorted(one) for one in slots])


def _slowness(one: Periodic, instances: int) -> tuple[float, float]:
    return instances * one.alone, one.work / (one.volume / one.rate)


class _Free:
    """The bandwidth that is left over one pattern: ``rates[i]`` from ``times[i]`` on."""

    def __init__(self, bandwidth: float, length: float) -> None:
        self.length = length
        self.times = [0.0]
        self.rates = [bandwidth]
        self._least = bandwidth * _NEAR

    def fill(self, begin: float, most: float, volume: float, end: float) -> list[Stretch] | None:
        """``volume`` bytes from ``begin`` on with all that is left, up to ``most``; None if that lasts beyond
        ``end``."""
        times, rates, length, least = self.times, self.rates, self.length, self._least
        base = begin // length * length
        at = begin - base
        i = bisect_right(times, at) - 1
        out: list[Stretch] = []
        while base + at <= end:
            until = times[i + 1] if i + 1 < len(times) else length
            rate = min(most, rates[i])
            if rate > least:
                needed = volume / rate
                if at + needed <= until * (1 + 1e-12):
                    out.append(Stretch(base + at, base + at + needed, rate))
                    return out if base + at + needed <= end * (1 + _NEAR) else None
                if until > at:
                    out.append(Stretch(base + at, base + until, rate))
                    volume -= rate * (until - at)
            at, i = until, i + 1
            if at >= length:
                at, i, base = 0.0, 0, base + length
        return None

    def take(self, stretches: Sequence[Stretch]) -> None:
        for begin, end, rate in stretches:
            base = begin // self.length * self.length
            first = self._cut(begin - base)
            last = len(self.times) if end - base >= self.length else self._cut(end - base)
            for i in range(first, last):
                self.rates[i] -= rate

    def _cut(self, at: float) -> int:
        """The index at which ``at`` begins, made if it isn't there."""
        i = bisect_right(self.times, at) - 1
        if self.times[i] == at:
            return i
        self.times.insert(i + 1, at)
        self.rates.insert(i + 1, self.rates[i])
        return i + 1
