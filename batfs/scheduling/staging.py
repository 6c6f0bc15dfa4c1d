"""Staging in before a job has nodes: which waiting jobs are staged, when, and whose bytes give way.

A job with ``staging = "ahead"`` keeps its place in the queue: its space is reserved and filled, from storage
to storage, while it waits, and it starts when both its data and its nodes are there. With ``"two_step"`` the
staging is a job of its own without nodes, in a queue of its own in order of submission; the computing job
joins the *end* of the queue when it is done, with its bytes.

The rules:

1. *Order.* Jobs are staged in the order in which they were submitted, each as soon as there is room for all
   of its bytes and fewer than ``max_staging`` jobs stage into its file system. A job that lacks either keeps
   all behind it from the file systems it uses.
2. *All at once.* Its bytes on all file systems are reserved when its staging begins, until its stage-out is
   over: from then on it wants nothing but nodes. So nobody ever holds nodes and waits for bytes, and a job
   that holds bytes waits for nothing but transfers and nodes, which all end: no circle of waiting.
3. *Space follows the queue.* While the first of the queue waits for space, nothing begins to stage on the
   file systems it uses; if what waiting jobs behind it have staged there would be enough, or nothing runs any
   more, they give it back, the last first, and are staged again when it has started: until then nothing
   begins there, also while it waits for something else. Who has been promised a start keeps it, and no
   staging is given what has been promised to others.
4. *Once is enough.* What several jobs read from a cache is brought there once: the others' staging is over
   when that one's is. If it ends badly they are staged anew.
5. *Nobody is passed for ever.* A job whose data is there keeps its age. Under queue policies that start the
   first of the queue in the end whatever comes later, it is that one some day. Under all others (``filler``,
   ``plan``, policies from outside) nodes are kept for the one that has been ready longest once that is more
   than ``staged_patience``: see ``overdue``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Protocol

from batfs._core.sheets import SUCCESS
from batfs.filesystems.data_sets import MISSING
from batfs.filesystems.interface import Hold, IoPlan, Staging
from batfs.filesystems.nodeless import stand_ins
from batfs.filesystems.staging_modes import TWO_STEP
from batfs.protocol import messages as m
from batfs.protocol.clock import on_calendar
from batfs.records import field, record
from batfs.scheduling.interface import WaitingJob
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import NOTHING_HELD, Booked, FileSystems, Held, Machine
from batfs.scheduling.sets import tell_started
from batfs.scheduling.stages import MESSAGES, Stages
from batfs.scheduling.waits import NO_DATA, Waits
from batfs.workload.model import Job

#: Staging that takes longer than expected is expected to end in so many seconds, again and again.
OVERTIME = 60.0


@record(frozen=False, eq=False)
class StagedAhead:
    """The staging of one job. ``before``, ``after``: seconds expected for staging in and out. ``booked``: its
    bytes, from the beginning of its staging on; ``live``: what moves; ``began``, ``ready``: when it began and
    was over (s). ``sent``: dynamic jobs sent so far. ``awaits``: jobs whose staging brings bytes that it
    reads, too. ``given_up``: nobody wants it any more, its transfers
    are being ended; ``cancelled``: with its job. ``joined``: whether the job is in the queue."""

    rule: Staging
    before: float
    after: float
    booked: Booked | None = None
    live: LiveJob | None = None
    began: float = inf
    ready: float = inf
    sent: int = 0
    awaits: set[str] = field(default_factory=set)
    given_up: bool = False
    cancelled: bool = False
    joined: bool = True

    @property
    def holds(self) -> bool:
        return self.booked is not None and not self.given_up

    @property
    def plans(self) -> tuple[IoPlan, ...]:
        return () if self.booked is None else self.booked.plans

    @property
    def held(self) -> Held:
        return NOTHING_HELD if self.booked is None else self.booked.held

    def lead(self, now: float) -> float:
        if self.ready <= now:
            return 0.0
        if not self.holds:
            return max(self.before, MESSAGES)  # also what has nothing to move is staged first
        left = self.began + self.before - now
        return left if left > 0 else OVERTIME


class Promises(Protocol):
    """What the queue policy has promised in the last pass."""

    def unbook(self, job: WaitingJob) -> Booked | None:
        """Take back the bytes that a promise has booked for a job, which are about to be its own: the
        promise, if there is one."""
        ...

    def rebook(self, job: WaitingJob) -> None:
        """They are not: book them again."""
        ...


class Books(Protocol):
    """What is used of a machine's tenancy (``tenancy.Tenancy``)."""

    files: FileSystems
    machine: Machine
    waits: Waits
    lives: Lives
    out: list[m.Decision]
    now: float
    freed: bool

    @property
    def gate(self) -> Gate | None: ...

    def plan(self, placed: Booked, until: float | None = None) -> Hold | None: ...

    def reserve(self, placed: Booked, until: float | None = None) -> Hold | None: ...

    def gave_back(self) -> None: ...

    def drop_released(self) -> None: ...


class Gate(Protocol):
    """What is used of ``gate.Gate``."""

    def begin(self, job: Job, nodes: int, now: float) -> None: ...

    def end(self, job_id: str) -> None: ...


class Stager:
    """See the module. ``line``: jobs whose staging has not begun, by id, in order; ``coming``: those that are
    staged; ``there``: those whose data is there, in the order in which it came."""

    def __init__(self, tenancy: Books) -> None:
        self._tenancy = tenancy
        self.line: dict[str, WaitingJob] = {}
        self.coming: dict[str, WaitingJob] = {}
        self.there: dict[str, WaitingJob] = {}
        self.lacking: dict[str, Hold] = {}  # by job: its data is no longer where it would come from
        self._systems: dict[str, frozenset[str]] = {}  # what the jobs use
        self._given_way_to = ""  # the job to which bytes were given back last

    # ---- what is known ------------------------------------------------------------------------------------

    @property
    def holding(self) -> list[WaitingJob]:
        """Waiting jobs that hold their bytes."""
        return [*(job for job in self.coming.values() if _of(job).holds), *self.there.values()]

    @property
    def busy(self) -> bool:
        """Whether transfers are under way."""
        return bool(self.coming)

    def apart(self) -> Iterator[WaitingJob]:
        """Jobs that aren't in the queue yet, in the order in which they are to be staged."""
        for job in (*self.there.values(), *self.coming.values(), *self.line.values()):
            if not _of(job).joined:
                yield job

    def held(self) -> Iterator[Booked]:
        """All that is held for jobs without nodes."""
        for job in (*self.coming.values(), *self.there.values()):
            booked = _of(job).booked
            if booked is not None:
                yield booked

    # ---- jobs come ----------------------------------------------------------------------------------------

    def add(self, job: WaitingJob, rule: Staging, stages: Stages) -> None:
        """``stages``: how long its staging is expected to take."""
        job.staged = StagedAhead(rule, stages.before, stages.after, joined=rule.mode != TWO_STEP)
        self.line[job.id] = job
        self._systems[job.id] = frozenset(self._tenancy.files.footprint(job.volumes, job.nodes)) | {
            volume.filesystem for volume in job.volumes
        }

    def begin(self, head: WaitingJob | None, promises: Promises) -> None:
        """Stage what may be staged now. ``head`` is first in the queue."""
        tenancy, blocked = self._tenancy, set[str]()
        if (
            head is not None
            and head.staged is None
            and (head.id == self._given_way_to or tenancy.waits.lacks_space(head.id))
        ):
            blocked |= set(tenancy.files.footprint(head.volumes, head.nodes))
        using: dict[str, int] = {}
        for job in self.coming.values():
            for name in _of(job).rule.most:
                using[name] = using.get(name, 0) + 1
        every = frozenset().union(*self._systems.values()) if self._systems else frozenset()
        for job in list(self.line.values()):
            if blocked >= every:
                break
            systems = self._systems[job.id]
            if not blocked.isdisjoint(systems):
                blocked |= systems
                continue
            most = _of(job).rule.most
            if any(limit and using.get(name, 0) >= limit for name, limit in most.items()):
                blocked |= systems
                continue
            hold = self._stage(job, promises)
            if hold is not None and hold.reason == MISSING:
                self.lacking[job.id] = hold
                continue
            if hold is not None:
                tenancy.waits.held_back(job, hold, tenancy.now)
                blocked |= systems
                continue
            for name in most:
                using[name] = using.get(name, 0) + 1

    def _stage(self, job: WaitingJob, promises: Promises) -> Hold | None:
        tenancy, staged, now = self._tenancy, _of(job), self._tenancy.now
        promise = promises.unbook(job)
        until = inf if promise is None else promise.end
        booked = Booked(job, 0, now, ids=stand_ins(job.nodes), sent=staged.sent)
        hold = tenancy.plan(booked, until)
        late = hold is not None or (promise is not None and on_calendar(now + booked.lead) > promise.start)
        if late and promise is not None and not job.data_sets:
            # another draw of the allocation policy has no room, or takes longer: where it was promised to go
            booked.plans, booked.stages, booked.lead = promise.plans, promise.stages, promise.lead
            hold = None
        hold = hold or tenancy.reserve(booked, until)
        if hold is not None:
            promises.rebook(job)
            return hold
        del self.line[job.id]
        self.coming[job.id] = job
        staged.booked, staged.began, staged.ready = booked, now, inf
        staged.given_up = False
        joins = {i for plan in booked.plans for i in plan.notes.get("joins", ())}
        staged.awaits = {i for i in joins if i in self.coming and i != job.id}
        leads = [_of(self.coming[i]).lead(now) for i in staged.awaits]
        staged.before, staged.after = max(booked.lead, *leads, 0.0), booked.stages.after
        machine, files = tenancy.machine, tenancy.files
        machine.keep(booked.held)
        if files.attending or job.data_sets:
            tell_started(files, booked, now)
        tenancy.waits.held_back(job, NO_DATA, now)
        if tenancy.gate is not None:
            tenancy.gate.begin(job.job, job.nodes, now)
        staged.live = tenancy.lives.stage(booked)
        tenancy.out += staged.live.begin(now)
        self.follow(job)
        return None

    def touches(self, job: WaitingJob, storages: set[int]) -> bool:
        """Whether bytes of a job without nodes are on one of these storages (ids), or on their way there."""
        for plan in _of(job).plans:
            if any(p.storage in storages for p in plan.placements):
                return True
            for traffic in (*plan.reads, *(move.traffic for move in plan.stage_in)):
                if any(not storages.isdisjoint(end.tolist()) for end in traffic.columns[:2]):
                    return True
        return False

    @property
    def news(self) -> bool:
        """Whether a job's data is there that isn't in the queue yet."""
        return any(not _of(job).joined for job in self.there.values())

    def wait_on(self) -> None:
        """At the end of a pass: who is staged still waits for that."""
        for job_id in self.coming:
            self._tenancy.waits.promised(job_id)

    def taken_over(self) -> list[WaitingJob]:
        """Jobs whose data has come and that are to join the queue now."""
        new = [job for job in self.there.values() if not _of(job).joined]
        for job in new:
            _of(job).joined = True
        return new

    # ---- transfers end ------------------------------------------------------------------------------------

    def follow(self, job: WaitingJob) -> None:
        """Its transfers have moved on."""
        staged = _of(job)
        live = staged.live
        if live is None or not live.life.over:
            return
        tenancy = self._tenancy
        if tenancy.gate is not None:
            tenancy.gate.end(job.id)
        staged.sent, staged.live = live.life.sent, None
        if staged.given_up or live.life.result != SUCCESS:
            del self.coming[job.id]
            self._free(job)
            return
        self._perhaps_there(job)

    def _perhaps_there(self, job: WaitingJob) -> None:
        """Its own transfers are over: if nobody else brings what it reads, its data is there."""
        staged, tenancy = _of(job), self._tenancy
        if staged.awaits or staged.live is not None:
            return
        del self.coming[job.id]
        staged.ready = tenancy.now
        self.there[job.id] = job
        if tenancy.files.attending:
            tenancy.files.has_staged(job.id, tenancy.now)
        tenancy.freed = True
        for other in self._joined(job):
            _of(other).awaits.discard(job.id)
            self._perhaps_there(other)

    def _joined(self, job: WaitingJob) -> list[WaitingJob]:
        """Those that wait for what it brings."""
        return [other for other in self.coming.values() if job.id in _of(other).awaits]

    def _free(self, job: WaitingJob) -> None:
        """Give back its bytes: it is as if it had never been staged."""
        tenancy, staged = self._tenancy, _of(job)
        booked, staged.booked = staged.booked, None
        assert booked is not None
        staged.awaits.clear()
        joined = self._joined(job)
        staged.began = staged.ready = inf
        tenancy.machine.end(booked.held.lines)
        if tenancy.files.attending or job.data_sets:
            tenancy.files.ended(job.id, False, tenancy.now)
            tenancy.drop_released()
        tenancy.gave_back()
        for other in joined:  # what they count on never comes
            if not _of(other).given_up:
                self.give_up(other)
        if staged.cancelled:
            self._systems.pop(job.id, None)
            return
        staged.given_up = False
        self.line = {**self.line, job.id: job}
        # those in the queue come first: its head's place is before all who aren't in it yet
        self.line = dict(sorted(self.line.items(), key=lambda item: (not _of(item[1]).joined, item[1].order)))

    # ---- bytes give way -----------------------------------------------------------------------------------

    def give_way(
        self, head: WaitingJob, hold: Hold, behind: Callable[[WaitingJob], bool], *, anyhow: bool
    ) -> bool:
        """Free what ``head``, the first of the queue, lacks, if those ``behind`` it hold enough of it without
        having nodes, the last to be staged first; whether anything is being given back. ``anyhow``: even if
        not."""
        position = self._tenancy.machine.position
        lacking = {position[storage] for storage in hold.storages}
        held: list[tuple[WaitingJob, int]] = []
        for job in (*self.there.values(), *self.coming.values()):
            staged = _of(job)
            if staged.given_up or not behind(job):
                continue
            size = sum(s.size for line in staged.held.lines for s in line.shares if s.index in lacking)
            if size or anyhow:
                held.append((job, size))
        held.sort(key=lambda pair: (_of(pair[0]).began, pair[0].order))
        if not held or (sum(size for _, size in held) < hold.missing and not anyhow):
            return False
        self._given_way_to = head.id
        missing = max(1, hold.missing)
        while held and missing > 0:
            job, size = held.pop()
            self.give_up(job)
            missing -= size
        return True

    def give_up(self, job: WaitingJob) -> None:
        """End its staging: its bytes are free when its transfers have ended. It will be staged again."""
        staged, tenancy = _of(job), self._tenancy
        if job.id in self.there:
            del self.there[job.id]
            self._free(job)
            return
        if staged.live is None:  # it only waits for others' transfers
            del self.coming[job.id]
            self._free(job)
            return
        staged.given_up = True
        tenancy.out += staged.live.kill(tenancy.now)
        self.follow(job)

    def cancel(self, job: WaitingJob) -> None:
        """Its job will never run."""
        staged = _of(job)
        staged.cancelled = True
        if staged.booked is None:
            self.line.pop(job.id, None)
            self._systems.pop(job.id, None)
        elif not staged.given_up:
            self.give_up(job)

    # ---- it starts ----------------------------------------------------------------------------------------

    def take(self, job: WaitingJob) -> StagedAhead:
        """The job has nodes: what it holds is its own from now on."""
        del self.there[job.id]
        self._systems.pop(job.id, None)
        return _of(job)

    def overdue(self, now: float, patience: float) -> WaitingJob | None:
        """The job whose data has been there longest, if that is longer than ``patience`` (seconds)."""
        for job in self.there.values():
            return job if now - _of(job).ready > patience else None
        return None

    def next_overdue(self, patience: float) -> float:
        """When :meth:`overdue` will have an answer if nothing else happens; infinite if never."""
        for job in self.there.values():
            return _of(job).ready + patience
        return inf


def _of(job: WaitingJob) -> StagedAhead:
    assert isinstance(job.staged, StagedAhead)
    return job.staged


def releases(jobs: Iterable[WaitingJob], now: float) -> Iterator[tuple[float, tuple[IoPlan, ...]]]:
    """(when, what) waiting jobs would give back that hold their bytes, if each started as soon as its data is
    there: for plans."""
    for job in jobs:
        staged = job.staged
        if staged is not None:
            yield on_calendar(now + staged.lead(now) + job.walltime + staged.after), staged.plans
