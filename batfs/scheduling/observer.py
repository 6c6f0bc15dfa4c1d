"""What the scheduler tells whoever keeps records; the scheduler itself writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from batfs._core.sheets import Ended
from batfs.filesystems.data_sets import SetRow
from batfs.filesystems.interface import Hold, IoPlan, Volume
from batfs.resource_sets import format_ascending
from batfs.scheduling.waits import OF_SPACE
from batfs.storage.interface import StorageTable
from batfs.workload.model import IoProfile, Job, Profile

if TYPE_CHECKING:
    from batfs.scheduling.io_times import Idle, IoTimes


class JobRecord(Ended):
    """One job that is over, or was rejected (then ``plans`` and ``ids`` are empty and ``reason`` is set).

    ``plans`` go with ``volumes`` one by one. ``ids``: of its nodes; ``io_ids``: of all resources that its I/O
    touched; both ascend. ``hold`` is the last lack of space that kept it from starting. ``profile`` and
    ``io`` are what was executed as one task; ``io`` is None where the job's bytes moved in tasks of their
    own. ``state``: how it ended, in Batsim's words. ``waits``: seconds of its wait by cause and file system
    (``waits.Key``), which add up to it if all of them are known (``waits_known``; a proxy knows the lack of
    space alone). ``io_times``: what became of its transfers, if there is an I/O policy or they are measured.
    """

    __slots__ = ()

    job: Job
    volumes: Sequence[Volume]
    plans: Sequence[IoPlan]
    ids: Sequence[int]
    io_ids: Sequence[int]
    waits: Mapping[tuple[str, str], float]
    hold: Hold | None
    reason: str
    moved: bool
    waits_known: bool
    profile: Profile | None
    io: IoProfile | None
    state: str
    io_times: IoTimes | None

    @property
    def nodes(self) -> str:
        """Its nodes as text (``0-3 10``)."""
        return format_ascending(self.ids)

    @property
    def io_resources(self) -> str:
        """The same of what its I/O touched."""
        return format_ascending(self.io_ids)

    @property
    def storage_waiting_time(self) -> float:
        """Seconds during which only bytes kept it from starting."""
        return sum(seconds for (cause, _), seconds in self.waits.items() if cause in OF_SPACE)


#: One storage after a change: its position, bytes held, bytes of jobs that have begun to use them, transfers
#: under way (pairs of a source and a destination).
StorageState: TypeAlias = tuple[int, int, int, int]


class Observer:
    """Does nothing; subclasses keep what they want."""

    def begins(self, storages: StorageTable, ids: Sequence[int]) -> None:
        """The machine is known: its storages and their resource ids, in the same order."""

    def job_over(self, record: JobRecord) -> None:
        """A job ended or was rejected. Only jobs with volumes, and rejected ones, are told."""

    def waiter_over(self, record: JobRecord) -> None:
        """A job without volumes ended that had to wait: ``record.waits`` says for what."""

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        """What changed at ``now``, one state per storage, ascending; at most one call per message."""

    def data_set_over(self, row: SetRow) -> None:
        """A data set has gone, or is left when the simulation is over."""

    def idled(self, idle: Idle) -> None:
        """Told before the end, where there is an I/O policy or transfers are measured."""

    def failures(self, counts: Mapping[str, float]) -> None:
        """Told before the end, where there are faults: see ``faults.FaultCounts``."""

    def ends(self, now: float) -> None:
        """The simulation is over."""


class Several(Observer):
    """Tells each of them, in their order."""

    def __init__(self, *others: Observer | None) -> None:
        self._others = [other for other in others if other is not None]

    def begins(self, storages: StorageTable, ids: Sequence[int]) -> None:
        for other in self._others:
            other.begins(storages, ids)

    def job_over(self, record: JobRecord) -> None:
        for other in self._others:
            other.job_over(record)

    def waiter_over(self, record: JobRecord) -> None:
        for other in self._others:
            other.waiter_over(record)

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        for other in self._others:
            other.storages_changed(now, states)

    def data_set_over(self, row: SetRow) -> None:
        for other in self._others:
            other.data_set_over(row)

    def idled(self, idle: Idle) -> None:
        for other in self._others:
            other.idled(idle)

    def failures(self, counts: Mapping[str, float]) -> None:
        for other in self._others:
            other.failures(counts)

    def ends(self, now: float) -> None:
        for other in self._others:
            other.ends(now)
