"""Policies that say whose turn it is; who comes first moves at full speed, as long as the links allow.

All of them go through the waiting transfers in an order of their own and start each that can move as fast as
alone beside those that move already: on no link may the rates add up to more than its bandwidth (the model of
Gainaru et al., "Scheduling the I/O of HPC applications under congestion", IPDPS 2015, where an application on
beta processors moves with min(beta b, B)). A link on which nothing moves always has room, so that none is
idle while a transfer waits that nobody keeps from it.

``chunk``: transfers move so many bytes at a time, and whoever is first then goes on: what comes close to
interrupting one that has started (0: it moves whole). ``strict``: a transfer that doesn't fit keeps the
links it needs from those behind it, so that many small ones can't hold up a large one for ever; with
``strict=false`` whatever fits goes. ``fill``: what is left of the bandwidth goes to the first that doesn't
fit, as a limited rate (this takes throttles in the platform).
"""

from __future__ import annotations

from typing import Literal

from batfs.plugins import Size
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start, Transfer

#: Part of a transfer's speed below which it isn't worth a start.
_LEAST = 0.05

#: Seconds of work: less is none, and comes of the digits in which a simulator writes times.
_LITTLE = 1e-3


class Ordered:
    """In the order of :meth:`key`, ties in the order in which they were asked for."""

    name = ""

    def __init__(self, chunk: Size = 0, strict: bool = True, fill: bool = False) -> None:
        self._chunk = chunk
        self._strict = strict
        self._fill = fill

    def key(self, transfer: Transfer, now: float) -> float:
        """What is served first has the least."""
        raise NotImplementedError

    def schedule(self, view: IoView) -> IoPass:
        now, room = view.now, view.room()
        throttles = view.throttles if self._fill else 0
        starts: list[Start] = []
        kept: set[int] = set()
        for transfer in sorted(view.waiting, key=lambda t: self.key(t, now)):
            if not kept.isdisjoint(transfer.demand):
                continue
            if room.fits(transfer):
                room.take(transfer)
                starts.append(Start(transfer, self._chunk or None))
            elif throttles and transfer.size and (share := room.share(transfer)) >= _LEAST:
                throttles -= 1
                rate = share * transfer.bandwidth
                room.take(transfer, rate)
                starts.append(Start(transfer, self._chunk or None, rate=rate))
            elif self._strict:
                kept.update(transfer.demand)
        return IoPass(starts)


@IO_POLICIES.register("fcfs")
class Fcfs(Ordered):
    """First come, first served: the order in which transfers were asked for, and nobody passes one that
    waits on the links it needs. Source: the baseline of every paper named here.

    Three transfers of 10 s that each fill the link, asked for at 0, 1 and 2 s, end at 10, 20 and 30 s.
    """

    name = "fcfs"

    def key(self, transfer: Transfer, now: float) -> float:
        return transfer.asked


@IO_POLICIES.register("shortest_first")
class ShortestFirst(Ordered):
    """The transfer with the least left to do alone (seconds): shortest job first, with ``chunk`` shortest
    remaining time first. It gives the least mean time for transfers on one link (Smith, 1956).

    Of 30, 10 and 20 s asked for at once on one link the ends are 60, 10 and 30 s: the mean is 33.3 s, that
    of first come first served 43.3 s.
    """

    name = "shortest_first"

    def key(self, transfer: Transfer, now: float) -> float:
        return transfer.seconds


@IO_POLICIES.register("min_dilation")
class MinDilation(Ordered):
    """The application that has been slowed down most: the least rho~/rho first, where rho~ = work / (now -
    began) is its efficiency so far and rho = work / (work + I/O alone) what it would have been alone; the
    quotient is (work + I/O alone) / (now - began), to four decimals: what differs by less was slowed down
    alike, and goes in the order of asking.

    Source: MinDilation in Gainaru et al., IPDPS 2015, and Aupy, Gainaru, Le Fevre, PMBS 2017.
    """

    name = "min_dilation"

    def key(self, transfer: Transfer, now: float) -> float:
        return round(transfer.application.progress(now), 4)


@IO_POLICIES.register("max_efficiency")
class MaxEfficiency(Ordered):
    """The application whose nodes gain most: system efficiency is sum(beta rho~) / N over applications on
    beta of N nodes, and a transfer of t seconds sets beta nodes free for as much work as comes between two
    transfers. First is the highest beta * (work per transfer) / t: Smith's rule (1956) for that sum.

    Source: the objective of MaxSysEff in Gainaru et al., IPDPS 2015; their order goes by beta * rho~ alone
    and leaves out what the transfer costs.

    Two applications on 4 and 1 nodes, alike but for that, want 10 s of the link at once: the wide one goes
    first, and 4 nodes wait 10 s while 1 waits 20 s, 60 node-seconds instead of 90.
    """

    name = "max_efficiency"

    def key(self, transfer: Transfer, now: float) -> float:
        application = transfer.application
        asked = application.transfers + 1
        gain = application.nodes * max(round(application.work(now), 3), _LITTLE) / asked
        return transfer.seconds / gain


@IO_POLICIES.register("round_robin")
class RoundRobin(Ordered):
    """The application whose last transfer ended longest ago (those that had none yet first, then in the order
    of their requests); with ``chunk`` turns of so many bytes. Source: RoundRobin in Gainaru et al., IPDPS
    2015.
    """

    name = "round_robin"

    def key(self, transfer: Transfer, now: float) -> float:
        last = transfer.application.last_end
        if transfer.left < transfer.size:  # it has had a turn, which ended when it began to wait again
            last = transfer.since
        return -1.0 if last is None else last


@IO_POLICIES.register("priority")
class Priority(Ordered):
    """By ``of``: ``io_priority`` (a number in the job's description in the workload, the highest first, 0 if
    there is none), ``nodes`` (wide jobs first), or ``started`` (applications whose transfer has begun before
    those that wait for their first piece: the Priority variant of Gainaru et al., IPDPS 2015, of use with
    ``chunk`` alone).
    """

    name = "priority"

    def __init__(
        self,
        of: Literal["io_priority", "nodes", "started"] = "io_priority",
        chunk: Size = 0,
        strict: bool = True,
        fill: bool = False,
    ) -> None:
        super().__init__(chunk, strict, fill)
        self._of = of

    def key(self, transfer: Transfer, now: float) -> float:
        if self._of == "nodes":
            return -transfer.application.nodes
        if self._of == "started":
            return 0.0 if transfer.left < transfer.size else 1.0
        given = transfer.application.extra.get("io_priority", 0)
        return -float(given) if isinstance(given, int | float) else 0.0
