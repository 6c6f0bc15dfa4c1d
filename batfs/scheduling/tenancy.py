"""What happens to a job's bytes, from what it asks for to the record of it.

A :class:`Tenancy` is made when the simulation begins and the machine is known. The scheduler, which decides
what starts, and the proxy, which stands before a scheduler that knows nothing of storage, are shells over it:

    read          what the job asks of the file systems
    plan, reserve where its bytes go, and that they are held
    start         the job is on its way: its I/O merged with it, or a life of several steps
    completed     one of its activities, or all of it, is over: bytes are given back and the record is told

It has no queue and takes no decisions; what is to be sent to the simulator gathers in ``out``. Records in,
records out: which protocol they travel by is no concern of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from math import inf, nextafter
from typing import TYPE_CHECKING, TypeAlias

from batfs._core.sheets import SUCCESS
from batfs.errors import InputError
from batfs.filesystems.interface import Hold, IoPlan
from batfs.filesystems.nodeless import staged
from batfs.filesystems.script import WORKLOAD, needs_script
from batfs.filesystems.staging_modes import TWO_STEP
from batfs.protocol import messages as m
from batfs.protocol.clock import LATEST, on_calendar
from batfs.records import replace
from batfs.resource_sets import parse_resources
from batfs.scheduling.account import ByteAccount
from batfs.scheduling.config import Configuration
from batfs.scheduling.interface import JobState, WaitingJob
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import Booked, FileSystems, Machine
from batfs.scheduling.making import make_gate, make_machine, make_outages
from batfs.scheduling.observer import Observer
from batfs.scheduling.possible import EmptyMachine
from batfs.scheduling.running import Running, holders, record_of, record_of_rejected
from batfs.scheduling.sets import Sets, tell_started
from batfs.scheduling.stages import NO_STAGES, Stages, StageTimes
from batfs.scheduling.storages import throttles, with_overrides
from batfs.scheduling.waits import LACK_OF_NODES, Waits
from batfs.workload.model import Composed

if TYPE_CHECKING:
    from batfs.filesystems.composed import Phases
    from batfs.scheduling.io_needs import IoNeeds, IoProgress
    from batfs.scheduling.node_choice import NodeChoice
    from batfs.scheduling.staging import Stager

_SEEDS = (1 << 64) - 1

_OURS = f"{WORKLOAD}!"  # what the ids of our dynamic jobs begin with

#: (configuration, compute resources, storages, whether dynamic jobs can be sent) -> the file systems.
MakeFiles: TypeAlias = Callable[
    [Configuration, Sequence[m.Resource], Sequence[m.Resource], bool], FileSystems
]
Say: TypeAlias = Callable[[str], None]


def is_ours(job_id: str) -> bool:
    """Whether it is a dynamic job of batfs's own."""
    return job_id.startswith(_OURS)


class Tenancy:
    """See the module. ``observer`` is None if nobody keeps records. ``left`` is called when the nodes of a
    job in several steps are free. ``freed``: bytes or nodes were given back since somebody set it to False;
    ``done``: jobs that have ended.
    """

    def __init__(
        self,
        event: m.SimulationBegins,
        config: Configuration,
        make_files: MakeFiles,
        *,
        observer: Observer | None,
        say: Say,
        left: Callable[[Running], None] | None = None,
    ) -> None:
        self.config = config
        self.now = event.timestamp
        self.rng = random.Random(config.seed)
        self._sought = random.Random()
        self.out: list[m.Decision] = []
        self.running: dict[str, Running] = {}
        self.done = 0
        self.account = ByteAccount()
        self.freed = True
        self.no_more_jobs = False
        self._say = say
        self._told: set[str] = set()
        self._left = left
        self._observer = observer
        storages = with_overrides(event.storage_resources, config)
        self.registering = event.dynamic_jobs
        self.dynamic = self.registering and event.allow_storage_sharing
        if self.registering and not self.dynamic:
            say("storages can't be shared (--disable-storage-sharing): nothing is staged")

        def make() -> tuple[FileSystems, Machine]:
            files = make_files(config, event.compute_resources, storages, self.dynamic)
            return files, make_machine(event.compute_resources, storages, files, config)

        self.files, self.machine = files, machine = make()
        system_of = dict(
            zip(machine.storage_ids, [s.filesystem for s in machine.ledger.storages], strict=True)
        )
        self._system_of = lambda storage: system_of.get(storage) or "storage"
        self.waits = Waits(self._system_of, self._staged_out, self._lacks_by_fault)
        self.node_choice: NodeChoice | None = None
        if machine.near is not None:
            from batfs.scheduling.node_choice import NodeChoice

            self.node_choice = NodeChoice(machine, files, event.compute_resources, storages)
        self._leaving: dict[str, Running] = {}  # their nodes are free, their bytes aren't yet
        smallest = min([storage.capacity for storage in machine.ledger.storages], default=0)
        self._empty = EmptyMachine(make, smallest, config.seed)
        self.sets = Sets(self, observer)
        if config.data_sets:
            from batfs.scheduling.initial_sets import lay_out

            lay_out(config.data_sets, files, machine, self.rng)
        self.lives = Lives(machine, files, self.rng)
        #: resources that will never be there again were added since somebody set it to False
        self.lost_for_ever = False
        self.outages = make_outages(
            *(config, machine, files, self.lives),
            dynamic=self.dynamic,
            sending=lambda: self.dynamic and self.registering,
            say=say,
            kill=self.kill,
            follow=self._moved_on,
            gone=self._are_gone,
        )
        platform = getattr(files, "platform", None)
        limits = getattr(files, "staging_limits", {})
        self._stage_times = StageTimes(machine.view, machine.position, machine.names, platform, limits)
        self._stages: dict[str, Stages] = {}  # of waiting jobs
        #: What is staged before it has nodes; None until a job asks for that.
        self.stager: Stager | None = None
        self.profiles = dict(event.profiles)
        throttled = throttles(event.storage_resources)
        made = make_gate(
            *(config, machine, files, self.lives, self._stage_times.routes, throttled, system_of),
            dynamic=self.dynamic,
            say=say,
        )
        self.gate = None if made is None else made[0]
        self._loads = None if made is None else made[1]
        self._read = 0
        self._upkeep_due = True
        if observer is not None:
            observer.begins(machine.ledger.storages, machine.storage_ids)
        for sentence in files.announcements():
            say(sentence)

    @property
    def hopeful(self) -> bool:
        """Whether there may be more by itself: nodes or storages are away that come back, data sets go."""
        outages = self.outages
        back = self.machine.some_unavailable or (outages is not None and outages.hopeful)
        return back or self.sets.timer.next < LATEST

    def _are_gone(self, ids: Sequence[int]) -> None:
        self._empty.without(ids)
        self.lost_for_ever = True

    def _lacks_by_fault(self, hold: Hold, job: WaitingJob) -> bool:
        """Whether what a job lacks would be there but for a fault."""
        if self.outages is None:
            return False
        if hold is LACK_OF_NODES:
            free, nodes = self.machine.free, job.nodes
            return free.bit_count() < nodes <= (free | self.machine.idle_failed).bit_count()
        return self.outages.lacked_by(hold, self._system_of)

    @cached_property
    def _phases(self) -> Phases:
        from batfs.filesystems.composed import Phases

        return Phases(self.files, self.profiles, self.tell_once, dynamic_jobs=self.dynamic)

    @cached_property
    def io_needs(self) -> IoNeeds:
        """Measures what placements need of the machine's links."""
        from batfs.scheduling.io_needs import IoNeeds
        from batfs.scheduling.loads import Loads

        loads = self._loads
        if loads is None:
            loads = Loads(self._stage_times.routes, self.machine.view, self.machine.position)
        return IoNeeds(loads)

    def io_progress(self, job_id: str) -> IoProgress | None:
        """How far a running job's transfers have come; None if nobody watches them."""
        seen = None if self.gate is None else self.gate.progress(job_id, self.now)
        if seen is None:
            return None
        from batfs.scheduling.io_needs import IoProgress

        return IoProgress(seen[0], self.running[job_id].booked.job.size, seen[1])

    def tell_once(self, key: str, sentence: str) -> None:
        """A sentence for the user that holds for many jobs."""
        if key not in self._told:
            self._told.add(key)
            self._say(sentence)

    # ---- time, and machines that come and go ---------------------------------------------------------------

    def advance(self, now: float) -> None:
        """It is ``now``, or later already."""
        if now > self.now:
            self.now = now
        self.machine.ledger.advance(self.now)
        if self.gate is not None:
            self.gate.advance(self.now)
        if self.sets.timer.next <= self.now:
            self.sets.time_has_come()

    def called(self) -> None:
        """Time has passed: what is past its walltime ends."""
        stopping = [*self.lives.paused]
        if self.gate is not None:
            self.gate.called(self.now)
            stopping = [*dict.fromkeys([*stopping, *self.gate.jobs_on_hold])]
        self.out += self.lives.tick(self.now)
        for job_id in stopping:  # one whose walltime is over may end at once
            if job_id in self.running:
                self._follow(self.running[job_id])

    def strike(self) -> bool:
        """Faults up to now do what they do; False if there are none."""
        outages = self.outages
        if outages is None or not outages.strike(self.now, self.running, self.out):
            return False
        if self.stager is not None and self.machine.down:
            down = set(self.machine.down)
            for job in self.stager.holding:  # staged without nodes, there or behind: it is staged again
                if self.stager.touches(job, down):
                    self.stager.give_up(job)
        self.drop_released()
        self.gave_back()
        return True

    def killed(self, event: m.JobKilled) -> None:
        """How far jobs were that have been killed: what is left of those that only stand still."""
        stopped = self.lives.stopped
        if not stopped:
            return
        from batfs.scheduling.faults import done_part

        for job_id in event.job_ids:
            live = stopped.pop(job_id, None)
            if live is not None and job_id in live.life.stopped_at:
                self.out += live.stopped(job_id, done_part(event.progress.get(job_id)), self.now)
                self._moved_on(live)

    def notified(self, event: m.Notification) -> None:
        """What a notification means for machines and bytes."""
        if event.kind == "no_more_static_job_to_submit":
            self.no_more_jobs = True
            self.sets.no_more_jobs()
        elif event.kind in ("event_machine_available", "event_machine_unavailable"):
            ids = parse_resources(str(event.data["resources"]))
            there = event.kind == "event_machine_available"
            self.machine.set_available(ids, there)
            for live in [*self.lives.paused.values()] if there else ():
                self.out += live.resume(self.now)
                self._moved_on(live)
            (self.files.back if there else self.files.lost)(ids)
            self.drop_released()
            self.gave_back()

    # ---- what a job asks for, and where it can go ----------------------------------------------------------

    def read(self, event: m.JobSubmitted) -> WaitingJob:
        """The job with what it asks of the file systems. InputError when that makes no sense."""
        job, profile = event.job, event.profile
        if profile is None:
            try:
                profile = self.profiles[job.workload][job.profile]
            except KeyError:
                raise InputError(
                    f"the simulator submitted {job.id} without its profile {job.profile!r}",
                    hint="start Batsim with --forward-profiles-on-submission",
                ) from None
        if type(profile) is Composed:
            profile, volumes = self._phases.read(job, profile)
        else:
            volumes = self.files.volumes(job.id, profile)
        waiting = WaitingJob(job, profile, volumes, self._read)
        self._read += 1
        if volumes and not self.config.io:
            self.account.asked += waiting.size
            self.account.drop("left out by --no-io", waiting.size)
            waiting.volumes, waiting.size = (), 0
        elif volumes:
            self.account.asked += waiting.size
            problem = self.files.cannot(profile)
            if problem is not None:
                waiting.io_ignored = True
                self.tell_once(
                    problem,
                    f"{job.id} asks for I/O, but {problem}; its bytes hold their space and nothing is moved "
                    "(said once for all such jobs)",
                )
        if waiting.data_sets:
            self.sets.read(waiting)
        return waiting

    def line_up(self, job: WaitingJob) -> bool:
        """A job that can start some day is about to wait: whether it joins the queue now. It doesn't where it
        is staged first, by itself."""
        if not self.files.stages_ahead or not job.volumes:
            return True
        rule = self.files.staging(job.volumes)
        if rule is None:
            return True
        if rule.fixed:
            self.tell_once(
                f"fixed {rule.fixed}",
                f"{job.id} is staged while it has its nodes: where its bytes on {rule.fixed!r} lie depends "
                "on them (said once for all such jobs)",
            )
            return True
        stages = self._stage_times.of(self._empty.plans(job))
        if not stages.before:  # nothing is staged in
            return True
        if self.stager is None:
            from batfs.scheduling.staging import Stager

            self.stager = Stager(self)
        self.stager.add(job, rule, stages)
        return rule.mode != TWO_STEP

    def join(self, job: WaitingJob) -> None:
        """A job whose staging was a job of its own, or whose data sets are there now, joins the end of the
        queue."""
        job.order, job.queued = self._read, self.now
        self._read += 1

    def never(self, job: WaitingJob) -> Hold | None:
        """What the job would lack on an empty machine too; None if it can start some day."""
        return self._empty.never(job)

    def stages(self, job: WaitingJob) -> Stages:
        """The staging expected of a job when it was last planned; none before that."""
        return self._stages.get(job.id, NO_STAGES)

    def plan(self, placed: Booked, until: float | None = None) -> Hold | None:
        """Where the bytes of a placement's job go: its ``plans`` and the ``stages`` they mean; or why there
        is no room for them. ``until``: when they are given back, if that isn't known from its start."""
        job = placed.job
        end = until
        if end is None:
            end = on_calendar(placed.start + job.walltime + (self.stages(job).total if self.dynamic else 0.0))
        rng = self.rng
        if placed.sought:
            # how often a stay is looked for must not change what anybody else draws
            rng = self.draws_of(job)
        begin, view = placed.start - placed.lead, self.machine.view
        plans = self.files.plan(job.id, placed.ids, job.volumes, begin, end, view, rng)
        while isinstance(plans, Hold):
            if not self.sets.purges or placed.ahead or plans.never or not self.sets.make_room(plans):
                return plans
            plans = self.files.plan(job.id, placed.ids, job.volumes, begin, end, view, rng)
        placed.plans = plans
        if self.dynamic:
            stages = self._stage_times.of(plans)
            if job.staged is not None:  # its nodes don't wait for its data
                placed.lead, stages = stages.before, Stages(0.0, stages.after)
            placed.stages = stages
            if stages is not NO_STAGES:
                self._stages[job.id] = stages
        return None

    def draws_of(self, job: WaitingJob) -> random.Random:
        """What a stay that is looked for draws from, as it is at first each time."""
        self._sought.seed(job.order << 64 | self.config.seed & _SEEDS)
        return self._sought

    def reserve(self, placed: Booked, until: float | None = None) -> Hold | None:
        """Hold what the placement's plans need: its ``held``, or what is missing. What is on its way before
        the job has nodes is held from now on, ``until`` then."""
        plans = placed.plans
        placements = (
            plans[0].placements if len(plans) == 1 else [p for plan in plans for p in plan.placements]
        )
        begin, end = placed.start, placed.end
        if until is not None:
            end = until
        elif placed.lead:
            begin = max(nextafter(self.now, inf), begin - placed.lead)  # later than now: nothing is held yet
        held = self.machine.book(placed.job.id, placements, begin, end)
        if isinstance(held, Hold):
            return held
        placed.held = held
        return None

    # ---- its life ------------------------------------------------------------------------------------------

    def start(self, booked: Booked, asked: m.ExecuteJob | None = None) -> Running:
        """The job begins on ``booked``; ``asked``: how somebody else wants it executed."""
        machine, now, files, job = self.machine, self.now, self.files, booked.job
        self._stages.pop(job.id, None)
        machine.take_nodes(booked.nodes)
        plans: Sequence[IoPlan] = booked.plans
        if job.staged is None:
            machine.keep(booked.held)
        else:
            plans = self._with_data(booked)
        waited = self.waits.over(job.id, now)
        running = self.running[job.id] = Running(booked, JobState.RUNNING, booked.nodes, booked, waited)
        attending = files.attending
        if (attending or job.data_sets) and job.staged is None:
            tell_started(files, booked, now)
            if job.data_sets:
                self.sets.changed()
        mapped = asked is not None and (asked.mapping is not None or asked.storage_mapping is not None)
        in_steps = not mapped and self._cut(booked)
        if in_steps or (self.dynamic and booked.plans and (mapped or needs_script(job.profile, plans))):
            if self.gate is not None:
                self.gate.begin(job.job, job.nodes, now)
            running.life = self.lives.begin(booked, plans, asked if mapped else None, whole=not in_steps)
            self.out += running.life.begin(now)
            self._follow(running)
            return running
        machine.use(booked.held.lines, 1)
        io_job = None
        if mapped and booked.plans:
            running.dropped = "started with a mapping, without dynamic jobs"
            self.tell_once(
                "mapping",
                f"{job.id} is started with a mapping, which Batsim 4 can't combine with I/O; "
                "nothing is moved for it (said once for all such jobs)",
            )
        elif job.io_ignored:
            running.dropped = "on a profile that takes no I/O without dynamic jobs"
        elif booked.plans:
            profile = running.io = booked.profile(plans)
            if profile is not None:
                running.io_ids = profile.resources()
                io_job = m.IoJob(running.io_ids, f"batfs_io_{job.job.name}", profile)
                running.transfers = machine.transfers_of(profile)
                machine.count_transfers(running.transfers, 1)
        if asked is None:
            self.out.append(m.ExecuteJob(now, job.id, booked.ids, io_job=io_job))
        else:
            self.out.append(asked if io_job is None else replace(asked, io_job=io_job))
        return running

    def _cut(self, booked: Booked) -> bool:
        """Whether a job is to run in steps so that it can stop at a fault and go on."""
        return self.outages is not None and self.outages.in_steps(booked)

    def first_transfers(self, booked: Booked) -> Sequence[tuple[int, int]]:
        """(position of a storage, transfers there) of what a job would move as soon as it began."""
        job = booked.job
        plans = booked.plans if job.staged is None else staged(booked.plans)
        cut = self._cut(booked)
        in_steps = cut or (self.dynamic and needs_script(job.profile, plans))
        return self.lives.first_transfers(booked, plans, in_steps=in_steps, whole=not cut)

    def _with_data(self, booked: Booked) -> Sequence[IoPlan]:
        """The job on ``booked`` has its bytes already: what is left to do. They are held until it is over, as
        far as that is known."""
        assert self.stager is not None
        mine = self.stager.take(booked.job)
        booked.held, booked.sent = mine.held, mine.sent
        self._set_end(booked)
        return staged(booked.plans)

    def completed(self, job_id: str, state: str) -> Running | WaitingJob | None:
        """A job, or one of its steps, has ended in ``state`` (Batsim's word); the job, None if the id is none
        of ours. It is over when its ``state`` says so; it waits still if it has been staged."""
        job = self.running.get(job_id)
        if job is not None and job.life is None:
            self._finish(job, state)
            return job
        if self.gate is not None and (whole := self.gate.piece_of(job_id)) is not None:
            more, ended = self.gate.completed(job_id, state, self.now)
            self.out += more
            if ended is None:
                return self._whose(self.lives.owners[whole])
            job_id, state = whole, ended
        live = self.lives.owner(job_id)
        if live is None:
            return None
        self.out += live.completed(job_id, state, self.now)
        return self._moved_on(live)

    def _whose(self, live: LiveJob) -> Running | WaitingJob:
        job_id = live.life.job.id
        job = self.running.get(job_id)
        if job is not None:
            return job
        assert self.stager is not None
        return self.stager.coming[job_id]

    def _moved_on(self, live: LiveJob) -> Running | WaitingJob:
        job = self._whose(live)
        if isinstance(job, Running):
            self._follow(job)
        else:
            assert self.stager is not None
            self.stager.follow(job)
        return job

    def move_over(self, job_id: str, success: bool) -> bool:
        """A file system's own move has ended; False if the id is none of these."""
        if not self.lives.upkeep_over(job_id, success):
            return False
        if self.outages is not None:
            self.outages.moved(job_id, self.now, self.out)
        self.gave_back()
        return True

    def kill(self, job_ids: Sequence[str]) -> None:
        """End these jobs; what runs in steps stops where it is. Those that aren't known go as they came."""
        plain: list[str] = []
        for job_id in job_ids:
            job = self.running.get(job_id)
            if job is None or job.life is None:
                plain.append(job_id)
            elif not job.left:
                self.out += job.life.kill(self.now)
                self._follow(job)
        if plain:
            self.out.append(m.KillJob(self.now, plain))

    def only_alive(self, unknown: Callable[[str], bool] | None = None) -> None:
        """Kills in ``out`` only of what still runs: a later event of the same message may have ended it, and
        Batsim aborts when a job that it has reported is killed. ``unknown``: of which jobs we can't tell."""
        if m.KillJob not in map(type, self.out):
            return
        out: list[m.Decision] = []
        for decision in self.out:
            if isinstance(decision, m.KillJob):
                ids = [
                    i for i in decision.job_ids if self._under_way(i) or (unknown is not None and unknown(i))
                ]
                if not ids:
                    continue
                decision = m.KillJob(decision.timestamp, ids)
            out.append(decision)
        self.out = out

    def _under_way(self, job_id: str) -> bool:
        job = self.running.get(job_id)
        if self.gate is not None and self.gate.piece_of(job_id) is not None:
            return True
        return (job is not None and job.life is None) or self.lives.owner(job_id) is not None

    def close(self, *, alive: bool) -> None:
        """The end of an exchange: upkeep of the file systems, the end of registration, what has changed.
        ``alive``: whether jobs wait, run or may still come."""
        if self.gate is not None:
            self.out += self.gate.decide(self.now)
        if self.outages is not None and (alive or self.running):
            self.out += self.outages.call(self.now)
        if self.registering:
            if alive:
                if self.dynamic and self._upkeep_due:
                    self._upkeep_due = False
                    self.out += self.lives.upkeep(self.now)
            elif not self.lives.busy:
                self.registering = False
                self.out.append(m.Notify(self.now, "registration_finished"))

    def tell_changes(self) -> None:
        """The storages that have changed, to who keeps records."""
        changes = self.machine.changes()
        if changes and self._observer is not None:
            self._observer.storages_changed(self.now, changes)

    def ends(self) -> None:
        """The simulation is over."""
        if self._observer is not None:
            self.sets.ends()
            if self.gate is not None:
                self._observer.idled(self.gate.idle)
            if self.outages is not None:
                self._observer.failures(self.outages.counts.summary())
            self._observer.ends(self.now)

    # ---- inside --------------------------------------------------------------------------------------------

    def gave_back(self) -> None:
        """Something is free: who waits is tried again, and file systems look after themselves."""
        self.freed = self._upkeep_due = True

    def _staged_out(self, hold: Hold) -> bool:
        """Whether what a job lacks would be there without the stage-outs of jobs that have ended."""
        if not self._leaving:
            return False
        lacking = {self.machine.position[storage] for storage in hold.storages}
        held = sum(
            share.size
            for job in self._leaving.values()
            for line in job.booked.held.lines
            for share in line.shares
            if share.index in lacking
        )
        return bool(held > 0 and held >= hold.missing)

    def drop_released(self) -> None:
        """Kept bytes that the file systems no longer want are free."""
        for key in self.files.released():
            self.machine.drop(key)

    def _follow(self, job: Running) -> None:
        """A job with a life of several steps has moved on: give back what it no longer needs."""
        assert job.life is not None
        life = job.life.life
        before, job.state = job.state, JobState(life.state)
        if before == JobState.STAGING_IN and job.state == JobState.RUNNING:
            self._has_staged(job.booked)
        if life.nodes_free and not job.left:
            job.left = True
            if self.gate is not None:
                job.io_times = self.gate.leaves(job.id, self.now)
            self.machine.return_nodes(job.nodes)
            job.nodes = 0
            self._leaving[job.id] = job
            self.gave_back()
            if self._left is not None:
                self._left(job)
        if life.over:
            self._finish(job, life.result)

    def _has_staged(self, booked: Booked) -> None:
        """How long a job has staged in is known now: so is when its nodes and its bytes will be free."""
        booked.stages = replace(booked.stages, before=self.now - booked.start)
        if self.files.attending:
            self.files.has_staged(booked.job.id, self.now)
        self._set_end(booked)

    def _set_end(self, booked: Booked) -> None:
        ledger, end = self.machine.ledger, booked.end
        for line in booked.held.lines:
            if end > self.now:
                ledger.set_end(line, end)

    def _finish(self, job: Running, state: str) -> None:
        """The job is over: nodes and bytes are free, except what the file systems keep."""
        machine = self.machine
        del self.running[job.id]
        self._leaving.pop(job.id, None)
        if self.gate is not None:
            self.gate.end(job.id)
        machine.return_nodes(job.nodes)
        waiting = job.booked.job
        machine.end(job.booked.held.lines, job.transfers, job.life is None or job.life.in_use)
        if waiting.volumes:
            if self.files.attending or waiting.data_sets:
                self.files.ended(job.id, state == SUCCESS, self.now)
                self.drop_released()
            if waiting.data_sets:
                self.sets.over(waiting)
            size, account = waiting.size, self.account
            if job.dropped:
                account.drop(job.dropped, size)
            elif state == SUCCESS:
                account.moved += size
            else:
                account.cut_short += size
        if self._observer is not None and (waiting.volumes or job.waited.seconds):
            tell = self._observer.job_over if waiting.volumes else self._observer.waiter_over
            tell(record_of(job, state, machine, self.waits.kept))
        job.state = JobState.DONE
        self.done += 1
        self.gave_back()

    # ---- records -------------------------------------------------------------------------------------------

    def reject(self, job: WaitingJob, reason: str, hold: Hold | None) -> None:
        """The job will never run."""
        # Batsim aborts on a double quote in metadata
        self.out.append(m.SetJobMetadata(self.now, job.id, reason.replace('"', "'")))
        self.out.append(m.RejectJob(self.now, job.id))
        self._stages.pop(job.id, None)
        if self.stager is not None and job.staged is not None:
            self.stager.cancel(job)
        if job.data_sets:
            self.sets.over(job)
        self.account.drop("of jobs that were rejected", job.size)
        waited = self.waits.over(job.id, self.now)
        if self._observer is not None:
            self._observer.job_over(record_of_rejected(job, waited, hold, reason, self.waits.kept))

    def sentence(self, hold: Hold) -> str:
        """Why a job has to wait, with names."""
        return hold.sentence(self.machine.names)

    def holders(self) -> Iterator[str]:
        """A line for each job that runs, or is staged without nodes: its state, its nodes and its bytes."""
        return holders(self.running.values(), () if self.stager is None else self.stager.held(), self.machine)
