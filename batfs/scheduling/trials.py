"""What the placements of one pass would do, for those that are planned after them.

A policy that counts transfers, an efficiency table, a cache: all of them look at what is under way. A job
placed to start now isn't under way yet when the next one of the same pass is planned, but it will have
started before it. So its transfers are counted, and the file systems told, as soon as another job is planned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batfs.filesystems.interface import IoRequest
from batfs.scheduling.machine import Booked, FileSystems, Machine

#: (position of a storage, transfers there) of what a job moves as soon as it begins.
First = Callable[[Booked], Sequence[tuple[int, int]]]


class Trials:
    """Placements that begin now, with I/O. The last one, after which nobody is planned, costs nothing."""

    def __init__(self, machine: Machine, files: FileSystems, first: First) -> None:
        self._machine = machine
        self._first = first
        self._files = files
        self._new: list[Booked] = []
        self._told: dict[int, Sequence[tuple[int, int]]] = {}

    def add(self, placed: Booked) -> None:
        self._new.append(placed)

    def remove(self, placed: Booked) -> None:
        """It was given up, or starts: then it is counted as what it is."""
        counted = self._told.pop(id(placed), None)
        if counted is None:
            self._new.remove(placed)
            return
        self._machine.expect(counted, -1)
        if (self._files.attending or placed.job.data_sets) and placed.job.staged is None:
            self._files.untried(placed.job.id)

    def tell(self) -> None:
        """Another job is about to be planned."""
        for placed in self._new:
            counted = self._told[id(placed)] = self._first(placed)
            self._machine.expect(counted, 1)
            # what is staged ahead is known since its staging began
            if (self._files.attending or placed.job.data_sets) and placed.job.staged is None:
                for volume, plan in zip(placed.job.volumes, placed.plans, strict=True):
                    asked = IoRequest(placed.job.id, placed.ids, volume, placed.start, placed.end)
                    self._files.tried(asked, plan)
        self._new.clear()
