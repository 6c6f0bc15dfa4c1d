"""One transfer at a time on each file system."""

from __future__ import annotations

from batfs.plugins import Size
from batfs.scheduling.io_policies import IO_POLICIES
from batfs.scheduling.io_policies.interface import IoPass, IoView, Start


@IO_POLICIES.register("exclusive")
class Exclusive:
    """A file system serves one transfer at a time, in the order in which they were asked for.

    A transfer that touches several file systems (staging) needs all of them. One that can't start keeps its
    file systems for itself: nothing that came later passes it there. ``chunk``: so many bytes at a time,
    after which the next one's turn comes (0: a transfer moves whole).

    Source: the serialisation of CALCioM (Dorier et al., IPDPS 2014, "first come first served"), and the
    exclusive access of Gainaru et al. (IPDPS 2015). Two applications that want V bytes of a file system of
    bandwidth B at once end at V/B and 2V/B, where sharing ends both at 2V/B.
    """

    name = "exclusive"

    def __init__(self, chunk: Size = 0) -> None:
        self._chunk = chunk

    def schedule(self, view: IoView) -> IoPass:
        taken = {system for transfer in view.moving for system in transfer.file_systems}
        # with chunks everybody has a turn: who waits longest this time is next
        order = sorted(view.waiting, key=lambda t: t.since) if self._chunk else view.waiting
        starts = []
        for transfer in order:
            if taken.isdisjoint(transfer.file_systems):
                starts.append(Start(transfer, self._chunk or None))
            taken.update(transfer.file_systems)
        return IoPass(starts)
