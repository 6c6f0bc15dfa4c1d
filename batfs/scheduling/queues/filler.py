"""Whatever fits, in submission order."""

from __future__ import annotations

from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import Pass, QueueView
from batfs.scheduling.queues import QUEUE_POLICIES


@QUEUE_POLICIES.register("filler")
class Filler:
    """Start every waiting job that fits now, in submission order; nothing is promised to those that don't.

    Keeps nodes and storages busy, but a wide or hungry job starves as long as smaller ones keep coming. The
    "filler" of Kopanski & Rzadca, Euro-Par 2021.
    """

    name = "filler"

    def schedule(self, view: QueueView) -> Pass:
        # unless something was given back, only who is new can fit
        candidates = view.queue.narrower(view) if view.freed else view.arrived
        placed = (view.place(job) for job in candidates)
        return Pass([placement for placement in placed if not isinstance(placement, Hold)])
