"""What waiting jobs would take of each file system, and how long their staging would take: for planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from batfs.filesystems.interface import IoPlan, Move
from batfs.filesystems.traffic import by_destination, by_source
from batfs.scheduling.interface import JobPlacement, QueueView, WaitingJob
from batfs.storage.interface import FloatArray


class Footprints:
    """Remembers, of each waiting job that was ever placed on trial, the bytes held and the seconds staged."""

    def __init__(self) -> None:
        self._sizes: dict[str, dict[str, int]] = {}
        self._staging: dict[str, float] = {}

    def __contains__(self, job: WaitingJob) -> bool:
        return not job.volumes or job.id in self._sizes

    def measure(self, view: QueueView, placed: JobPlacement) -> None:
        job = placed.job
        if job.volumes:
            self._sizes[job.id] = bytes_by_file_system(placed.plans)
            self._staging[job.id] = staging_time(placed.plans, view)

    def forget(self, job_id: str) -> None:
        self._sizes.pop(job_id, None)
        self._staging.pop(job_id, None)

    def sizes(self, job: WaitingJob) -> Mapping[str, int]:
        """Bytes of each file system: as many as its last placement took, or, before one, as it reads and
        writes."""
        known = self._sizes.get(job.id)
        if known is not None:
            return known
        sizes: dict[str, int] = {}
        for volume in job.volumes:
            sizes[volume.filesystem] = sizes.get(volume.filesystem, 0) + volume.reads + volume.writes
        return sizes

    def staging(self, job: WaitingJob) -> float:
        """Seconds expected for staging in and out, 0 before a first placement."""
        return self._staging.get(job.id, 0.0)


def bytes_by_file_system(plans: Iterable[IoPlan], *, kept: bool = True) -> dict[str, int]:
    """Bytes held; without ``kept``, those only that go with the job."""
    sizes: dict[str, int] = {}
    for plan in plans:
        held = sum(placement.size for placement in plan.placements if kept or not placement.key)
        sizes[plan.file_system] = sizes.get(plan.file_system, 0) + held
    return sizes


def staging_time(plans: Sequence[IoPlan], view: QueueView) -> float:
    """Seconds that the moves into and out of the storages take, as far as storages say their bandwidths: the
    slowest storage of each direction, its bandwidth shared with the transfers active on it now."""
    seconds = 0.0
    for plan in plans:
        for moves in (plan.stage_in, plan.stage_out):
            if moves:
                seconds += _slowest(moves, view)
    return seconds


def _slowest(moves: Sequence[Move], view: QueueView) -> float:
    storages, transfers = view.storage.storages, view.storage.transfers
    traffic = [move.traffic for move in moves]
    longest = 0.0
    for loads, column in (
        (by_source(traffic), storages.read_bandwidths),
        (by_destination(traffic), storages.write_bandwidths),
    ):
        longest = max(longest, _longest(loads, column, transfers.tolist(), view.storage_positions))
    return longest


def _longest(
    loads: Mapping[int, int], bandwidths: FloatArray, transfers: Sequence[int], positions: Mapping[int, int]
) -> float:
    longest = 0.0
    for resource, size in loads.items():
        position = positions.get(resource)
        if position is not None and not np.isnan(bandwidths[position]):
            longest = max(longest, size * (1 + transfers[position]) / float(bandwidths[position]))
    return longest
