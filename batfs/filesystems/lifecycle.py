"""The life of one job that needs more than one EXECUTE_JOB: a pure state machine.

    life = Life(job, profile, nodes, plans, storages)
    decisions = life.begin(now)
    decisions = life.completed(job_id, state, now)      # for every id in life.live
    ... until life.over

Whoever drives it (the scheduler's core, the proxy) looks after each call at ``state``, ``nodes_free`` and
``over``: nodes may be given away once ``nodes_free``, bytes once ``over``. A failure, a kill or the walltime
ends the steps; what is detached (drains) runs to its end, since real data can't be left half on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from batfs._core.sheets import SUCCESS
from batfs.filesystems.composed import Phased, write_phases
from batfs.filesystems.interface import IoPlan, Volume
from batfs.filesystems.script import BESIDE, WORKLOAD, Activity, Step, launch, left_over, write_script
from batfs.protocol import messages as m
from batfs.protocol.clock import call_at, due
from batfs.records import record, replace
from batfs.workload.model import IoProfile, Job, Profile

FAILED = "COMPLETED_FAILED"
KILLED = "COMPLETED_KILLED"
WALLTIME = "COMPLETED_WALLTIME_REACHED"


@record
class Done:
    """One activity that has ended, for the records: times in seconds, bytes moved by its traffic."""

    id: str
    kind: str
    start: float
    end: float
    moved: int
    state: str


@record(frozen=False)
class _Live:
    activity: Activity
    start: float
    detached: bool
    until: int  # the step it has to end with, by its place in the script


class Gate(Protocol):
    """Who says when transfers start: ``batfs.scheduling.gate``. Each is known by its activity's id."""

    def ask(
        self, job: Job, name: str, activity: Activity, now: float, deadline: float | None, *, blocking: bool
    ) -> list[m.Decision]:
        """A transfer is wanted; what starts it, if it starts at once. ``name``: its id without the workload.
        ``deadline``: when it has to end (seconds). ``blocking``: the job's nodes wait for it."""
        ...

    def at_once(self, activity: Activity) -> bool:
        """Whether it would start as soon as it is asked for."""
        ...

    def holds(self, activity_id: str) -> bool:
        """Whether nothing of it is under way."""
        ...

    def unsent(self, activity_id: str) -> Activity | None:
        """What is left of a transfer if what is under way of it is sent again; None if the id is none's."""
        ...

    def withdraw(self, activity_id: str, now: float) -> list[str] | None:
        """Nobody wants it any more: the dynamic jobs to kill, after which it ends; none if it is over with
        that. None if the id is no transfer's."""
        ...


class Life:
    """``result`` is the final state in Batsim's words once ``over`` (success unless a step failed).

    ``volumes``: those that the plans are for, one by one; only a composed profile with phases needs them.
    ``mapped``: how the job was to be executed, if with a mapping. ``away``: ids of nodes that can't be used,
    as they are at any time: a step that would begin on one of them waits (``paused``) for ``resume``, with
    its walltime running.
    ``executed``: whether the job itself is sent to Batsim; if not (it is cut by checkpoints or phases),
    whoever drives the life rejects the original, as Kopanski's artifact does; one that ends before the job
    was sent rejects it by itself. ``staging``: these steps are all of this life, and the job has no nodes;
    ``sent``: how many activities of the job were sent in an earlier one. ``gate``: who says when transfers
    start, if they don't start at once; I/O beside a computation always does. The walltime counts from the
    first step after staging in; ``deadline`` says when it is over, once that is known.
    """

    def __init__(
        self,
        job: Job,
        profile: Profile,
        nodes: Sequence[int],
        plans: Sequence[IoPlan],
        storages: Collection[int],
        volumes: Sequence[Volume] = (),
        mapped: m.ExecuteJob | None = None,
        *,
        away: Collection[int] = (),
        gate: Gate | None = None,
        whole: bool = True,
        staging: Sequence[Step] | None = None,
        sent: int = 0,
    ) -> None:
        self._gate = gate
        self.job = job
        self.nodes = tuple(nodes)
        self._mapped = mapped
        self._away = away
        self.paused = False
        self.in_phases = isinstance(profile, Phased)
        self.steps: list[Step] = (
            list(staging)
            if staging is not None
            else write_phases(job, profile, nodes, volumes, plans, storages, merging=mapped is None)
            if isinstance(profile, Phased)
            else write_script(job, profile, nodes, plans, storages, merging=mapped is None, whole=whole)
        )
        self.executed = any(a.is_job for step in self.steps for a in step.activities)
        self.state = "waiting"
        self.result = SUCCESS
        self.live: dict[str, _Live] = {}
        self.log: list[Done] = []
        self.deadline: float | None = None
        self.nodes_free = staging is not None
        self.over = False
        self._next = 0
        self._count = sent
        self._stopped = False
        self._sent = False
        # what stands still after a fault, and what is being stopped: to go on, or for good
        self._halted: list[_Live] = []
        self._stopping: dict[str, bool] = {}
        self._unsent: dict[str, Activity] = {}
        self.stopped_at: dict[str, _Live] = {}  # of which nobody has said yet how far it was
        self._rewinding = False
        self._marks: list[tuple[int, Sequence[Activity]]] = [(0, ())]
        self._since = 0.0  # from then on a restart would do things again; standing still doesn't count
        self._still: float | None = None  # since when it stands still
        self._extra: list[Step] = []

    @property
    def sent(self) -> int:
        """Activities sent so far, for names."""
        return self._count

    @property
    def first(self) -> list[Activity]:
        """What would start at once at the beginning."""
        found: list[Activity] = []
        for step in self.steps:
            found += [*step.activities, *(activity for activity, _ in step.spanning), *step.detached]
            if step.activities:
                break
        gate = self._gate
        return [a for a in found if gate is None or a.kind in BESIDE or gate.at_once(a)]

    def begin(self, now: float) -> list[m.Decision]:
        """Start the first step."""
        self._since = now
        return self._advance(now)

    def completed(self, job_id: str, state: str, now: float) -> list[m.Decision]:
        """An activity of ours has ended in ``state`` (Batsim's word)."""
        ended = self.live.pop(job_id)
        activity = ended.activity
        self.log.append(Done(job_id, activity.kind, ended.start, now, activity.moved, state))
        goes_on = self._stopping.pop(job_id, None)
        if goes_on is not None and state == KILLED and not (self._stopped and not ended.detached):
            if goes_on:
                rest = self._unsent.pop(job_id, None)
                if rest is None:
                    self.stopped_at[job_id] = ended
                else:
                    self._halt(ended, rest)
                self._stand_still(now)
            return self._rewound(now) if self._rewinding else [*self.resume(now), *self._settle(now)]
        if self._rewinding and not ended.detached and state in (SUCCESS, KILLED):
            return self._rewound(now)
        if ended.detached:
            return self._settle(now)
        if state != SUCCESS and not self._stopped:
            self._stopped = True
            self.result = state
            self._forget_halted()
            others = [i for i, other in self.live.items() if not other.detached]
            if others:
                # the job is over: what ran beside it has nobody to run for
                return self._kill(now, others)
        if self._waiting():
            return []
        return self._settle(now) if self._stopped else self._advance(now)

    def tick(self, now: float) -> list[m.Decision]:
        """Called when time has passed: ends a job whose walltime is over though Batsim can't know it (its
        own walltime starts with the computation, ours with the read phase). Every other activity has a
        walltime that ends with the job's: Batsim ends it at this very moment, and which of both comes first
        would be chance."""
        walltime = self.job.walltime
        if self.deadline is None or walltime is None or not due(self.deadline, now) or self._stopped:
            return []
        late = [
            i
            for i, other in self.live.items()
            if (other.activity.is_job and not due(other.start + walltime, now)) or self._on_hold(i, other)
        ]
        return self._stop(now, WALLTIME, late) if late or self._blocked else []

    def kill(self, now: float) -> list[m.Decision]:
        """End the job now. Detached moves go on."""
        return [] if self._stopped else self._stop(now, KILLED)

    def resume(self, now: float) -> list[m.Decision]:
        """Nodes or storages are there again: begin the step that waited for them, go on with what stood
        still."""
        out: list[m.Decision] = []
        for halted in [one for one in self._halted if self._there(one.activity)]:
            self._halted.remove(halted)
            steps = halted.until - self._next + 1
            out += self._launch(halted.activity, now, detached=halted.detached, steps=steps)
        return [*out, *self._advance(now)] if self.paused else out

    # ---- faults -------------------------------------------------------------------------------------------

    @property
    def stands_still(self) -> bool:
        """Whether something of it waits for what is away."""
        return self.paused or bool(self._halted)

    @property
    def steps_to_come(self) -> Sequence[Step]:
        return () if self._stopped else (*self._extra, *self.steps[self._next :])

    @property
    def held_activities(self) -> list[Activity]:
        """What stands still, or is being stopped to go on later."""
        return [one.activity for one in (*self._halted, *self.stopped_at.values())]

    def touches(self, activity: Activity, ids: Collection[int]) -> bool:
        """Whether it needs one of these resources."""
        if any(i in ids for i in activity.alloc or self.nodes):
            return True
        both = (activity.profile, activity.io)
        return any(isinstance(p, IoProfile) and any(i in ids for i in p.resources()) for p in both)

    def pause(self, now: float, ids: Collection[int]) -> list[m.Decision]:
        """These storages are away: what touches them stops where it is, until :meth:`resume`. Of what Batsim
        runs as a task of its own it says how far it was (:meth:`stopped`); of a transfer under an I/O policy
        the pieces under way are sent again."""
        touching = [
            i for i, one in self.live.items() if i not in self._stopping and self.touches(one.activity, ids)
        ]
        return self._halt_all(now, touching, goes_on=True)

    def stopped(self, activity_id: str, part: float, now: float) -> list[m.Decision]:
        """So large a part of an activity was done when it was stopped."""
        ended = self.stopped_at.pop(activity_id)
        rest = left_over(ended.activity, part)
        if rest is None or (self._stopped and not ended.detached):
            return [] if self._waiting() else self._settle(now) if self._stopped else self._advance(now)
        self._halt(ended, rest)
        return self.resume(now)

    def restart(self, now: float, lost: Collection[int] = ()) -> tuple[list[m.Decision], float]:
        """Stop, and do again what was done since the last checkpoint that isn't ``lost`` with these storages
        (or since the job began). Drains go on, but for those that touch what is lost. Also how many seconds
        of the job that undoes."""
        if self._stopped or self.over:
            return [], 0.0
        only_drains = self._next == len(self.steps) and not self._waiting()
        if lost:
            self._halted = [one for one in self._halted if not self.touches(one.activity, lost)]
        drains = [
            i for i, one in self.live.items() if one.detached and lost and self.touches(one.activity, lost)
        ]
        out = self._halt_all(now, [i for i in drains if i not in self._stopping], goes_on=False)
        for i in drains:
            self._stopping[i] = False
        if only_drains:
            return [*out, *self._settle(now)], 0.0
        undone = (now if self._still is None else self._still) - self._since
        self._since, self._still = now, None
        if lost:
            self._marks = [mark for mark in self._marks if not self._is_lost(mark, lost)]
        self._forget_halted()
        self.paused = False
        going = [i for i, one in self.live.items() if not one.detached]
        out += self._halt_all(now, [i for i in going if i not in self._stopping], goes_on=False)
        for i in going:
            self._stopping[i] = False
        if self.nodes_free and lost:  # what it wrote is gone, and so are its nodes
            self._stopped, self.result = True, FAILED
            return [*out, *self._settle(now)], undone
        self._rewinding = True
        return [*out, *self._rewound(now)], undone

    def _is_lost(self, mark: tuple[int, Sequence[Activity]], lost: Collection[int]) -> bool:
        """Whether a job can't go on from there: the checkpoint is gone, or what was staged in is."""
        place, restores = mark
        if not place:
            return False
        staged = [a for step in self.steps if step.state == "staging in" for a in step.activities]
        return any(self.touches(activity, lost) for activity in (*restores, *staged))

    def _rewound(self, now: float) -> list[m.Decision]:
        """Once everything has stopped: begin again."""
        if not self._rewinding or any(not one.detached for one in self.live.values()):
            return []
        self._rewinding = False
        self._next, restores = self._marks[-1]
        self._extra = [Step("running", list(restores))] if restores else []
        self._since, self._still = now, None
        return self._advance(now)

    @property
    def _blocked(self) -> bool:
        """Whether the job itself, not only its drains, waits for what is away or has to begin again."""
        halted = (*self._halted, *self.stopped_at.values())
        return self.paused or self._rewinding or any(not one.detached for one in halted)

    def _forget_halted(self) -> None:
        """All but drains, for the job is over or begins again."""
        self._halted = [one for one in self._halted if one.detached]
        for i in [i for i, one in self.stopped_at.items() if not one.detached]:
            del self.stopped_at[i]

    def _stand_still(self, now: float) -> None:
        """If nothing of the job itself goes on, it does so until something is launched."""
        if self._still is None and all(one.detached for one in self.live.values()):
            self._still = now

    def _halt(self, ended: _Live, rest: Activity) -> None:
        self._halted.append(replace(ended, activity=rest))

    def _halt_all(self, now: float, ids: Sequence[str], *, goes_on: bool) -> list[m.Decision]:
        sent: list[str] = []
        for job_id in ids:
            rest = self._gate.unsent(job_id) if self._gate is not None else None
            pieces = self._gate.withdraw(job_id, now) if self._gate is not None else None
            if pieces == []:
                ended = self.live.pop(job_id)
                if goes_on and rest is not None:
                    self._halt(ended, rest)
                    self._stand_still(now)
                continue
            self._stopping[job_id] = goes_on
            if rest is not None:
                self._unsent[job_id] = rest
            sent += [job_id] if pieces is None else pieces
        return [m.KillJob(now, sent)] if sent else []

    # ---- inside -------------------------------------------------------------------------------------------

    def _stop(self, now: float, result: str, live: Sequence[str] | None = None) -> list[m.Decision]:
        """``live``: the activities to kill; all that aren't detached if None."""
        if live is None or self._blocked:
            live = [i for i, other in self.live.items() if not other.detached]
        if not live and not self._blocked:
            return []
        self._forget_halted()
        self._rewinding = False
        live = [i for i in live if i not in self._stopping]
        self._stopped = True
        self.paused = False
        self.result = result
        return self._kill(now, live) if live else self._settle(now)

    def _on_hold(self, activity_id: str, live: _Live) -> bool:
        """Whether nothing of it is under way that Batsim could end at the job's walltime."""
        return self._gate is not None and live.activity.limited and self._gate.holds(activity_id)

    def _kill(self, now: float, ids: Sequence[str]) -> list[m.Decision]:
        """End these activities; of those on hold nothing is under way: they are over with that."""
        gate = self._gate
        if gate is None:
            return [m.KillJob(now, ids)]
        sent: list[str] = []
        for job_id in ids:
            pieces = gate.withdraw(job_id, now)
            sent += [job_id] if pieces is None else pieces
            if pieces == []:
                ended = self.live.pop(job_id)
                self.log.append(Done(job_id, ended.activity.kind, ended.start, now, 0, "COMPLETED_KILLED"))
        out: list[m.Decision] = [m.KillJob(now, sent)] if sent else []
        return out + self._settle(now)

    def _waiting(self) -> bool:
        """Whether something has to end before the next step (or, once stopped, the end)."""
        return self._rewinding or self._waiting_for(self._next)

    def _waiting_for(self, step: int) -> bool:
        there = self.live.values()
        return any(not one.detached and (self._stopped or one.until < step) for one in there) or any(
            not one.detached and one.until < step for one in (*self._halted, *self.stopped_at.values())
        )

    def _advance(self, now: float) -> list[m.Decision]:
        """Start steps until one has something to wait for."""
        out: list[m.Decision] = []
        while not self._waiting() and (self._extra or self._next < len(self.steps)):
            step = self._extra[0] if self._extra else self.steps[self._next]
            self._mark(now, step)
            self.paused = bool(self._away) and not self._can_begin(step)
            if self.paused:
                self._stand_still(now)
                return out
            if self._extra:
                self._extra.clear()
            else:
                self._next += 1
            self.state = step.state
            if not step.holds_nodes:
                self.nodes_free = True
            if step.state == "running" and self.deadline is None and self.job.walltime is not None:
                self.deadline = now + self.job.walltime
                if self._next < len(self.steps) and self.steps[self._next].state == "running":
                    out.append(m.CallMeLater(now, call_at(self.deadline, now)))
            for activity in step.activities:
                out += self._launch(activity, now)
            for activity, steps in step.spanning:
                out += self._launch(activity, now, steps=steps)
            for activity in step.detached:
                out += self._launch(activity, now, detached=True)
        if not self._waiting():
            out += self._settle(now)
        return out

    def _mark(self, now: float, step: Step) -> None:
        """A restart would begin here, if this is where the job begins to run or to stage out, or comes after
        a checkpoint."""
        place = self._next
        if self._extra or place <= self._marks[-1][0]:
            return
        before = self.steps[place - 1]
        if before.restores or before.state != step.state:
            self._marks.append((place, before.restores))
            self._since, self._still = now, None

    def _can_begin(self, step: Step) -> bool:
        """Whether nothing that it needs is away."""
        every = (*step.activities, *step.detached, *(a for a, _ in step.spanning))
        return all(self._there(activity) for activity in every)

    def _there(self, activity: Activity) -> bool:
        return not self._away or not self.touches(activity, self._away)

    def _launch(
        self, activity: Activity, now: float, *, detached: bool = False, steps: int = 0
    ) -> list[m.Decision]:
        name = f"{self.job.workload}.{self.job.name}.{self._count}.{activity.kind}"
        self._count += 1
        if self._still is not None and not detached:
            self._since, self._still = self._since + now - self._still, None
        deadline = self.deadline if activity.limited else None
        if self._gate is not None and activity.kind not in BESIDE:
            self.live[f"{WORKLOAD}!{name}"] = _Live(activity, now, detached, self._next - 1 + steps)
            blocking = not detached and not self.nodes_free
            return self._gate.ask(self.job, name, activity, now, deadline, blocking=blocking)
        # Batsim refuses a walltime of 0
        walltime = None if deadline is None else max(deadline - now, 1e-5)
        self._sent = self._sent or activity.is_job
        job_id, decisions = launch(activity, self.job, name, self.nodes, now, walltime, self._mapped)
        self.live[job_id] = _Live(activity, now, detached, self._next - 1 + steps)
        return decisions

    def _settle(self, now: float) -> list[m.Decision]:
        """After the last step (or a failure): what is still held."""
        out: list[m.Decision] = []
        if not self._waiting() and (self._stopped or self._next == len(self.steps)):
            if self.executed and not self._sent:
                # Batsim waits for every job of a workload to be run or rejected
                self._sent = True
                out += [
                    m.SetJobMetadata(now, self.job.id, f"never started: {self.result} while {self.state}"),
                    m.RejectJob(now, self.job.id),
                ]
            self.nodes_free = True
            if self.live or self._halted or self.stopped_at:
                self.state = "staging out"
            else:
                self.state = "done"
                self.over = True
        return out
