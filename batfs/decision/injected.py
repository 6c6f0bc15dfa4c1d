"""What the jobs of a scheduler behind the proxy hold here: bytes, transfers, and the records of them.

:class:`~batfs.decision.injector.Injector` decides what is sent to whom; these are its books.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from batfs.filesystems.interface import Hold, IoRequest, Placement
from batfs.filesystems.profile import build_profile
from batfs.protocol import messages as m
from batfs.resource_sets import format_resources
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.lives import LiveJob
from batfs.scheduling.machine import Booked, FileSystems, Machine
from batfs.scheduling.observer import JobRecord, Observer


@dataclass(slots=True, eq=False)
class Started:
    """A job of the other side's that runs, and what it holds here."""

    booked: Booked
    transfers: Sequence[tuple[int, int]] = ()
    live: LiveJob | None = None
    io: str = ""
    waited: float = 0.0
    hold: Hold | None = None
    told: bool = False  # whether the other side knows that it is over


@dataclass(slots=True, eq=False)
class HeldBack:
    """An EXECUTE_JOB that waits for room."""

    decision: m.ExecuteJob
    since: float
    hold: Hold


class JobBooks:
    """``started``: jobs with I/O that run, by id. ``observer``: None if nobody keeps records."""

    def __init__(
        self, machine: Machine, files: FileSystems, rng: random.Random, observer: Observer | None
    ) -> None:
        self._machine = machine
        self._files = files
        self._rng = rng
        self._observer = observer
        self.started: dict[str, Started] = {}

    def book(self, waiting: WaitingJob, ids: tuple[int, ...]) -> Booked | Hold:
        """Reserve what the job needs on these nodes, or say what is missing."""
        machine = self._machine
        placements: Sequence[Placement]
        start = machine.ledger.now
        end = start + waiting.walltime
        plans = self._files.plan(waiting.id, ids, waiting.volumes, start, end, machine.view, self._rng)
        if isinstance(plans, Hold):
            return plans
        if len(plans) == 1:
            placements = plans[0].placements
        else:
            placements = [p for plan in plans for p in plan.placements]
        held = machine.book(waiting.id, placements, start, end)
        if isinstance(held, Hold):
            return held
        # which nodes are free is the other side's affair
        return Booked(waiting, 0, start, plans, ids=ids, held=held)

    def begin(self, now: float, booked: Booked, before: HeldBack | None) -> Started:
        """The job starts; ``before``: it had to wait for room."""
        waiting = booked.job
        self._machine.keep(booked.held)
        started = self.started[waiting.id] = Started(booked)
        if before is not None:
            started.waited, started.hold = now - before.since, before.hold
        files = self._files
        for volume, plan in zip(waiting.volumes, booked.plans, strict=True):
            if plan.file_system in files.attending:
                files.started(IoRequest(waiting.id, booked.ids, volume, now, booked.end), plan, now)
        return started

    def use(self, started: Started) -> None:
        """A job of one step uses its bytes from now on."""
        self._machine.use(started.booked.held.lines, 1)

    def merge(self, started: Started) -> m.IoJob | None:
        """The I/O to be merged into a job of one step, whose transfers count from now on; None if none."""
        booked, machine = started.booked, self._machine
        profile = build_profile(booked.plans, booked.ids)
        if profile is None:
            return None
        io_ids = profile.resources()
        started.transfers = machine.transfers_of(profile, io_ids)
        if self._observer is not None:
            started.io = format_resources(io_ids)
        machine.count_transfers(started.transfers, 1)
        return m.IoJob(io_ids, f"batfs_io_{booked.job.job.name}", profile)

    def finish(self, now: float, started: Started, success: bool) -> None:
        """The job is over: its bytes are free, except what the file systems keep."""
        machine, booked = self._machine, started.booked
        job = booked.job
        del self.started[job.id]
        machine.count_transfers(started.transfers, -1)
        if started.live is None or started.live.in_use:
            machine.use(booked.held.lines, -1)
        machine.end(booked.held.lines)
        if self._files.attending:
            self._files.ended(job.id, success, now)
            for key in self._files.released():
                machine.drop(key)
        if self._observer is None:
            return
        reason = "" if started.hold is None else started.hold.sentence(machine.names)
        self._observer.job_over(
            JobRecord(
                job.job,
                job.volumes,
                booked.plans,
                format_resources(booked.ids),
                started.io,
                started.waited,
                started.hold,
                reason,
                bool(started.io),
            )
        )
