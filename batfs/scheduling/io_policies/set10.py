"""IO-Sets' set-10: applications of like rhythm one after the other, those of unlike rhythm side by side."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import floor, log10
from typing import TypeAlias

from batfs.errors import InputError
from batfs.plugins import Size
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import Application, IoPass, IoView, Start, Transfer

#: The set of what takes no time at all: 10^-9 s.
_FEW = 9


@IO_POLICIES.register("set10")
class Set10:
    """Sets by the order of magnitude of the characteristic time, exclusive within a set, weights between.

    The characteristic time w of an application is the mean time between the beginnings of two of its I/O
    phases when nobody slows it; its set is i = round(log10 w). Within a set one transfer moves at a time, in
    the order in which they were asked for; between sets the bandwidth is shared by the priorities 10^-i, so
    that who does I/O often is hardly held up by who does it seldom.

    Source: Boito, Pallez, Teylo, Vidal, "IO-Sets: simple and efficient approaches for I/O bandwidth
    management", IEEE TPDS 2023. There w is known; here it is estimated as the job goes: the mean of the
    computation before a blocking transfer plus what that takes alone (before the first one ends, from what
    is seen of it).

    The weights are numbers of tasks: of the sets of the jobs under way the one with the greatest i gets 1,
    each decade below it ten times as much, at most ``most`` (with 10: sets i and i+1 share 10:1, and so do i
    and i+2). One that runs keeps its weight; ``chunk``: transfers ask anew after so many bytes.

    A transfer belongs to the set in which its application is when it begins to wait. What waits stands in
    lines, one for each set and file system, so that a call costs the same however many there are.
    """

    name = "set10"

    def __init__(self, most: int = 10, chunk: Size = 0) -> None:
        if most < 1:
            raise InputError(f"the option 'most' of the I/O policy 'set10' is {most}, expected at least 1")
        self._most = most
        self._chunk = chunk
        self._lines: dict[int, _Lines] = {}  # by set
        self._moving: dict[str, int] = {}  # the sets of what was started
        self._rhythms: list[tuple[int, int, Application]] = []  # a heap, the greatest set first
        self._came = 0

    def schedule(self, view: IoView) -> IoPass:
        self._heed(view)
        busy: dict[int, set[str]] = {}
        moving = self._moving
        self._moving = {t.id: moving[t.id] if t.id in moving else set_of(t) for t in view.moving}
        for transfer in view.moving:
            busy.setdefault(self._moving[transfer.id], set()).update(transfer.file_systems)
        starting: list[tuple[int, int, Transfer]] = []
        greatest = max(busy, default=-_FEW)
        for number, lines in [*self._lines.items()]:
            heads = _heads(lines)
            if not heads:
                del self._lines[number]
                continue
            greatest = max(greatest, number)
            taken = busy.get(number, set())
            for _, systems in heads:
                line = lines[systems]
                while line and taken.isdisjoint(systems):
                    place, transfer = line.popleft()
                    if transfer.waits:
                        taken.update(systems)
                        starting.append((place, number, transfer))
                taken.update(systems)
        if not starting:
            return IoPass()
        starting.sort(key=lambda one: one[0])
        self._moving.update((transfer.id, number) for _, number, transfer in starting)
        greatest = max(greatest, self._greatest())
        return IoPass(
            [
                Start(transfer, self._chunk or None, weight=min(self._most, 10 ** (greatest - number)))
                for _, number, transfer in starting
            ]
        )

    def _heed(self, view: IoView) -> None:
        """Those that have begun to wait go to the ends of their lines, applications to where they are now."""
        for transfer in view.came:
            self._came += 1
            lines = self._lines.setdefault(set_of(transfer), {})
            lines.setdefault(transfer.file_systems, deque()).append((self._came, transfer))
            application = transfer.application
            if application.period is not None:
                heappush(self._rhythms, (-_decade(application.period), self._came, application))
        if len(self._rhythms) > 8 * len(view.applications) + 64:
            known = [(a, p) for a in view.applications if (p := a.period) is not None]
            self._rhythms = sorted((-_decade(p), k, a) for k, (a, p) in enumerate(known))

    def _greatest(self) -> int:
        """The greatest set of any job under way."""
        rhythms = self._rhythms
        while rhythms:
            number, _, application = rhythms[0]
            if not application.over and _decade(application.period or 0.0) == -number:
                return -number
            heappop(rhythms)
        return -_FEW


#: What waits of a set, by the file systems that it needs: (its number, in the order of coming; it).
_Lines: TypeAlias = dict[tuple[str, ...], deque[tuple[int, Transfer]]]


def _heads(lines: _Lines) -> list[tuple[int, tuple[str, ...]]]:
    """Where each line begins, in order. What doesn't wait any more leaves its line; empty lines go."""
    for systems, line in [*lines.items()]:
        while line and not line[0][1].waits:
            line.popleft()
        if not line:
            del lines[systems]
    return sorted((line[0][0], systems) for systems, line in lines.items())


def set_of(transfer: Transfer) -> int:
    """The set of the application it belongs to."""
    period = transfer.application.period
    return _decade(transfer.alone if period is None else period)


def _decade(seconds: float) -> int:
    return max(-_FEW, floor(log10(seconds) + 0.5)) if seconds > 0 else -_FEW
