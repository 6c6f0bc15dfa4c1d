"""First come, first served."""

from __future__ import annotations

from batfs.filesystems.interface import Hold
from batfs.scheduling.interface import JobPlacement, Pass, QueueView
from batfs.scheduling.queues import QUEUE_POLICIES


@QUEUE_POLICIES.register("fcfs")
class Fcfs:
    """Start jobs in submission order; the first one that lacks nodes or bytes stops the pass.

    No job ever overtakes another, so a wide job leaves nodes idle while it waits.
    """

    name = "fcfs"
    orderly = True

    def schedule(self, view: QueueView) -> Pass:
        starts = start_in_order(view)
        return Pass(starts) if starts else NOTHING


NOTHING = Pass()


def start_in_order(view: QueueView) -> list[JobPlacement]:
    """Place jobs from the head of the queue on until one doesn't fit. Costs only what it starts, plus one."""
    # jobs that waited before this pass wait on when nothing was freed
    if not view.freed and len(view.queue) > len(view.arrived):
        return []
    starts: list[JobPlacement] = []
    for job in view.queue:
        placed = view.place(job)
        if isinstance(placed, Hold):
            break
        starts.append(placed)
    return starts
