"""A job that holds something, and what is told of it: the record when it is over, a line while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from batfs.filesystems.interface import Hold
from batfs.records import record
from batfs.resource_sets import format_ascending
from batfs.scheduling.interface import StartedJob, WaitingJob
from batfs.scheduling.lives import LiveJob
from batfs.scheduling.machine import Booked, Machine
from batfs.scheduling.observer import JobRecord
from batfs.scheduling.waits import Waited
from batfs.workload.model import IoProfile

if TYPE_CHECKING:
    from batfs.scheduling.io_times import IoTimes


@record(frozen=False, eq=False)
class Running(StartedJob):
    """A job that holds something: the interface's record, and what to give back.

    ``dropped``: why its bytes don't move, if they don't. ``left``: its nodes are free, whatever its bytes
    still do. ``io_times``: what its transfers took, once its nodes are free, if that is measured.
    """

    booked: Booked
    waited: Waited
    io: IoProfile | None = None
    io_ids: Sequence[int] = ()
    transfers: Sequence[tuple[int, int]] = ()
    life: LiveJob | None = None
    dropped: str = ""
    left: bool = False
    io_times: IoTimes | None = None


def record_of(job: Running, state: str, machine: Machine, waits_known: bool) -> JobRecord:
    """What observers are told of a job that has ended in ``state`` (Batsim's word)."""
    booked, waited, life = job.booked, job.waited, job.life
    waiting, hold = booked.job, waited.hold
    return JobRecord(  # by place: names would take twice the time
        waiting.job,
        waiting.volumes,
        booked.plans,
        booked.ids,
        job.io_ids if life is None else life.resources,
        waited.seconds,
        hold,
        "" if hold is None else hold.sentence(machine.names),
        not job.dropped,
        waits_known,
        waiting.profile,
        job.io if life is None else None,
        state,
        job.io_times,
    )


def record_of_rejected(
    job: WaitingJob, waited: Waited, hold: Hold | None, reason: str, waits_known: bool
) -> JobRecord:
    """The same of one that will never run."""
    return JobRecord(job.job, job.volumes, (), (), (), waited.seconds, hold, reason, False, waits_known)


def holders(running: Iterable[Running], staged: Iterable[Booked], machine: Machine) -> Iterator[str]:
    """A line for each job that runs, and for each that is staged without nodes."""
    names = machine.names
    for job in running:
        bytes_on = [
            f"{share.size} on {names[machine.storage_ids[share.index]]}"
            for line in job.booked.held.lines
            for share in line.shares
        ]
        nodes = "" if job.left else f" on {format_ascending(job.booked.ids)}"
        yield f"{job.id} {job.state}{nodes}, holds {', '.join(bytes_on) or 'no bytes'}"
    for booked in staged:
        size = sum(share.size for line in booked.held.lines for share in line.shares)
        yield f"{booked.job.id} has no nodes yet and holds {size} bytes"
