"""The data sets of a machine from the scheduler's side: when they go, and what is told of them.

Where they lie is the file systems' affair (``batfs.filesystems.data_sets``); here are the moments: a job that
names one has come, has started, is over; time has passed; no more jobs come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from batfs.filesystems.data_sets import DataSets, SetRow, Timer
from batfs.filesystems.interface import Hold, IoRequest
from batfs.scheduling.dependencies import Dependencies
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.machine import Booked, FileSystems, Machine
from batfs.scheduling.observer import Observer
from batfs.scheduling.waits import Waits
from batfs.workload.model import Job


class _Tenancy(Protocol):
    """What is used of ``batfs.scheduling.tenancy``."""

    now: float
    no_more_jobs: bool
    files: FileSystems
    machine: Machine
    waits: Waits

    def join(self, job: WaitingJob) -> None: ...

    def sentence(self, hold: Hold) -> str: ...

    def drop_released(self) -> None: ...

    def gave_back(self) -> None: ...


def campaign_of(job: Job) -> str:
    """Whose data sets live as long as this job's: those of its member ``campaign``, else of its workload."""
    return str(job.extra.get("campaign", job.workload))


def tell_started(files: FileSystems, booked: Booked, now: float) -> None:
    """The file systems that want to know hear that a job begins with these plans; those of data sets do."""
    job, attending = booked.job, files.attending
    campaign = (campaign_of(job.job),) if job.data_sets else ()
    for volume, plan in zip(job.volumes, booked.plans, strict=True):
        if job.data_sets or plan.file_system in attending:
            asked = IoRequest(job.id, booked.ids, volume, now, booked.end)
            files.started(asked, plan, now, *campaign)


class Sets:
    """``timer.next``: when one goes by itself (s). All that is done here is done for jobs that name data
    sets, or where something purges them."""

    def __init__(self, tenancy: _Tenancy, observer: Observer | None) -> None:
        self._tenancy = tenancy
        self._files: Any = tenancy.files
        self._observer = observer
        self._campaigns: dict[str, int] = {}  # jobs of each that are not over
        self.books: Mapping[str, DataSets] = getattr(tenancy.files, "data_sets", {})
        self.dependencies = Dependencies(tenancy.files, self.books)
        self.timer: Timer = getattr(tenancy.files, "timer", Timer())
        self.purges = any(sets.purge is not None for sets in self.books.values())

    def read(self, job: WaitingJob) -> None:
        """A job that names data sets was submitted."""
        self.dependencies.read(job)
        campaign = campaign_of(job.job)
        self._campaigns[campaign] = self._campaigns.get(campaign, 0) + 1

    def stands_apart(self, job: WaitingJob) -> bool:
        """Whether a job waits from now on, apart from the queue, for data sets that aren't there."""
        lacks = self.dependencies.hold(job) if job.data_sets else None
        if lacks is not None:
            self._tenancy.waits.held_back(job, lacks, self._tenancy.now)
        return lacks is not None

    def settle(
        self,
        join: Callable[[WaitingJob], None],
        reject: Callable[[WaitingJob, str, Hold], None],
    ) -> bool:
        """Jobs that stand apart whose data sets are there ``join`` the end of the queue, those whose never
        will be are rejected; whether there were any of the first."""
        tenancy, dependencies = self._tenancy, self.dependencies
        if not dependencies.held:
            return False
        ready = dependencies.due()
        for job in ready:
            tenancy.waits.lines_up(job.id, tenancy.now)
            tenancy.join(job)
            join(job)
        while dependencies.doubt and tenancy.no_more_jobs:
            for job, hold in dependencies.hopeless():
                reject(job, f"can never start: {tenancy.sentence(hold)}", hold)
        return bool(ready)

    def over(self, job: WaitingJob) -> None:
        """It is over, or was rejected."""
        self.dependencies.over(job)
        campaign = campaign_of(job.job)
        self._campaigns[campaign] -= 1
        self._end_campaigns()
        self.changed()

    def no_more_jobs(self) -> None:
        """None will be submitted any more."""
        if self._campaigns:
            self._end_campaigns()
            self.changed()

    def _end_campaigns(self) -> None:
        if not self._tenancy.no_more_jobs:
            return
        for campaign in [name for name, left in self._campaigns.items() if not left]:
            del self._campaigns[campaign]
            for sets in self.books.values():
                sets.end_campaign(campaign, self._tenancy.now)

    def changed(self) -> None:
        """Something may be there, or gone: what is past its life goes, the purge policies look at the rest,
        and it is told."""
        tenancy = self._tenancy
        self._files.time_has_come(tenancy.now)
        if self.purges:
            ledger = tenancy.machine.ledger
            self._files.purge(ledger.held, ledger.storages.capacities.tolist(), tenancy.now)
        self._tell()

    def time_has_come(self) -> None:
        """Time has passed: sets go by their life or their age."""
        if self._files.time_has_come(self._tenancy.now):
            self._tell()

    def make_room(self, hold: Hold) -> bool:
        """Whether something could be purged for a job that lacks this."""
        if not hold.storages or not self._files.make_room(hold, self._tenancy.now):
            return False
        self._tell()
        return True

    def _tell(self) -> None:
        tenancy = self._tenancy
        before = len(tenancy.machine.kept)
        tenancy.drop_released()
        if len(tenancy.machine.kept) != before:
            tenancy.gave_back()
        for sets in self.books.values():
            self._tell_of(sets.rows())

    def _tell_of(self, rows: Iterable[SetRow]) -> None:
        if self._observer is not None:
            for row in rows:
                self._observer.data_set_over(row)

    def ends(self) -> None:
        """The simulation is over: what is still there is told."""
        self._tell()
        for sets in self.books.values():
            self._tell_of(sets.rows_left())
