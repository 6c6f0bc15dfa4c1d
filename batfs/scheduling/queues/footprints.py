"""What waiting jobs would take of each file system, and how long their staging would take: for planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, nextafter

from batfs.filesystems.interface import Hold, IoPlan
from batfs.scheduling.interface import JobPlacement, QueueView, WaitingJob


class Footprints:
    """Remembers, of each waiting job that was ever placed on trial, the bytes held and the seconds staged."""

    def __init__(self) -> None:
        self._sizes: dict[str, Mapping[str, int]] = {}
        self._staging: dict[str, float] = {}
        self._asked: dict[str, Mapping[str, int]] = {}

    def __contains__(self, job: WaitingJob) -> bool:
        return not job.volumes or job.staged is not None or job.id in self._sizes

    def measure(self, view: QueueView, placed: JobPlacement) -> None:
        job = placed.job
        if job.volumes and job.staged is None:
            self._sizes[job.id] = bytes_by_file_system(placed.plans, view)
            self._staging[job.id] = placed.stages.total

    def any_fits(self, view: QueueView, waiting: Iterable[WaitingJob]) -> bool:
        """Whether any of these could start now; on the way, what each takes that wasn't measured before."""
        fits = False
        for job in waiting:
            if job.nodes > view.free_nodes.bit_count() or (fits and job in self):
                continue
            placed = view.place(job)
            if not isinstance(placed, Hold):
                fits = True
                self.measure(view, placed)
                view.undo(placed)
        return fits

    def forget(self, job_id: str) -> None:
        self._sizes.pop(job_id, None)
        self._staging.pop(job_id, None)
        self._asked.pop(job_id, None)

    def sizes(self, view: QueueView, job: WaitingJob) -> Mapping[str, int]:
        """Bytes of each file system: as many as its last placement took, or, before one, as its model would
        hold (a capacity asked for, copies, what ``reserve`` counts)."""
        if job.staged is not None and job.staged.holds:  # it has its bytes
            return {}
        known = self._sizes.get(job.id)
        if known is None:
            known = self._asked.get(job.id)
        if known is None:
            known = self._asked[job.id] = view.footprint(job)
        return known

    def staging(self, job: WaitingJob) -> float:
        """Seconds expected for staging in and out, 0 before a first placement."""
        return self._staging.get(job.id, 0.0)


def room_by_file_system(view: QueueView) -> tuple[dict[str, int], dict[str, int]]:
    """(capacity, bytes free now) of each file system, in the order of their names. A promise holds nothing
    before its start; what is away has nothing free."""
    table = view.storage.storages
    capacity = dict.fromkeys(sorted({storage.filesystem for storage in table}), 0)
    free = dict(capacity)
    now = view.storage.free(view.now, nextafter(view.now, inf)).tolist()
    for storage, here in zip(table, now, strict=True):
        capacity[storage.filesystem] += storage.capacity
        free[storage.filesystem] += max(0, here)
    return capacity, free


def bytes_by_file_system(plans: Iterable[IoPlan], view: QueueView, *, kept: bool = True) -> dict[str, int]:
    """Bytes held on the storages of each file system, those behind tiers too; without ``kept``, those only
    that go with the job."""
    sizes: dict[str, int] = {}
    table, positions = view.storage.storages, view.storage_positions
    for plan in plans:
        for placement in plan.placements:
            if kept or not placement.key:
                name = table[positions[placement.storage]].filesystem
                sizes[name] = sizes.get(name, 0) + placement.size
    return sizes
