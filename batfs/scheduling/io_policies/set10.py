"""IO-Sets' set-10: applications of like rhythm one after the other, those of unlike rhythm side by side."""

from __future__ import annotations

from math import floor, log10

from batfs.errors import InputError
from batfs.plugins import Size
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start, Transfer

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
    """

    name = "set10"

    def __init__(self, most: int = 10, chunk: Size = 0) -> None:
        if most < 1:
            raise InputError(f"the option 'most' of the I/O policy 'set10' is {most}, expected at least 1")
        self._most = most
        self._chunk = chunk

    def schedule(self, view: IoView) -> IoPass:
        busy: dict[int, set[str]] = {}
        for transfer in view.moving:
            busy.setdefault(set_of(transfer), set()).update(transfer.file_systems)
        starting: list[tuple[int, Transfer]] = []
        for transfer in sorted(view.waiting, key=lambda t: t.since) if self._chunk else view.waiting:
            number = set_of(transfer)
            taken = busy.setdefault(number, set())
            if taken.isdisjoint(transfer.file_systems):
                starting.append((number, transfer))
            taken.update(transfer.file_systems)
        if not starting:
            return IoPass()
        periods = [a.period for a in view.applications]
        greatest = max(max(busy), *(_decade(p) for p in periods if p is not None), -_FEW)
        return IoPass(
            [
                Start(transfer, self._chunk or None, weight=min(self._most, 10 ** (greatest - number)))
                for number, transfer in starting
            ]
        )


def set_of(transfer: Transfer) -> int:
    """The set of the application it belongs to."""
    period = transfer.application.period
    return _decade(transfer.alone if period is None else period)


def _decade(seconds: float) -> int:
    return max(-_FEW, floor(log10(seconds) + 0.5)) if seconds > 0 else -_FEW
