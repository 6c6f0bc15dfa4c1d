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

from batfs.filesystems.composed import Phased, write_phases
from batfs.filesystems.interface import IoPlan, Volume
from batfs.filesystems.script import BESIDE, WORKLOAD, Activity, Step, launch, write_script
from batfs.protocol import messages as m
from batfs.protocol.clock import due, on_wire
from batfs.records import record
from batfs.workload.model import IoProfile, Job, Profile

SUCCESS = "COMPLETED_SUCCESSFULLY"
WALLTIME = "COMPLETED_WALLTIME_REACHED"

#: Seconds. Batsim aborts when the time asked for has passed on its clock by the time it handles the message,
#: and every decision before it in the reply delays that by the latency of a message.
SOON = 0.1


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

    def holds(self, activity_id: str) -> bool:
        """Whether nothing of it is under way."""
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
    was sent rejects it by itself. ``gate``: who says when transfers start, if they don't start at once; I/O
    beside a computation always does. The walltime counts from the first step after staging in; ``deadline``
    says when it is over, once that is known.
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
    ) -> None:
        self._gate = gate
        self.job = job
        self.nodes = tuple(nodes)
        self._mapped = mapped
        self._away = away
        self.paused = False
        self.in_phases = isinstance(profile, Phased)
        self.steps: list[Step] = (
            write_phases(job, profile, nodes, volumes, plans, storages, merging=mapped is None)
            if isinstance(profile, Phased)
            else write_script(job, profile, nodes, plans, storages, merging=mapped is None)
        )
        self.executed = any(a.is_job for step in self.steps for a in step.activities)
        self.state = "waiting"
        self.result = SUCCESS
        self.live: dict[str, _Live] = {}
        self.log: list[Done] = []
        self.deadline: float | None = None
        self.nodes_free = False
        self.over = False
        self._next = 0
        self._count = 0
        self._stopped = False
        self._sent = False

    def begin(self, now: float) -> list[m.Decision]:
        """Start the first step."""
        return self._advance(now)

    def completed(self, job_id: str, state: str, now: float) -> list[m.Decision]:
        """An activity of ours has ended in ``state`` (Batsim's word)."""
        ended = self.live.pop(job_id)
        activity = ended.activity
        self.log.append(Done(job_id, activity.kind, ended.start, now, activity.moved, state))
        if ended.detached:
            return self._settle(now)
        if state != SUCCESS and not self._stopped:
            self._stopped = True
            self.result = state
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
        return self._stop(now, WALLTIME, late) if late or self.paused else []

    def kill(self, now: float) -> list[m.Decision]:
        """End the job now. Detached moves go on."""
        return [] if self._stopped else self._stop(now, "COMPLETED_KILLED")

    def resume(self, now: float) -> list[m.Decision]:
        """Nodes are there again: begin the step that waited for them."""
        return self._advance(now) if self.paused else []

    # ---- inside -------------------------------------------------------------------------------------------

    def _stop(self, now: float, result: str, live: Sequence[str] | None = None) -> list[m.Decision]:
        """``live``: the activities to kill; all that aren't detached if None."""
        if live is None or self.paused:
            live = [i for i, other in self.live.items() if not other.detached]
        if not live and not self.paused:
            return []
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
        return any(
            not other.detached and (self._stopped or other.until < self._next) for other in self.live.values()
        )

    def _advance(self, now: float) -> list[m.Decision]:
        """Start steps until one has something to wait for."""
        out: list[m.Decision] = []
        while not self._waiting() and self._next < len(self.steps):
            step = self.steps[self._next]
            self.paused = bool(self._away) and not self._can_begin(step)
            if self.paused:
                return out
            self._next += 1
            self.state = step.state
            if not step.holds_nodes:
                self.nodes_free = True
            if step.state == "running" and self.deadline is None and self.job.walltime is not None:
                self.deadline = now + self.job.walltime
                if self._next < len(self.steps) and self.steps[self._next].state == "running":
                    out.append(m.CallMeLater(now, on_wire(max(self.deadline, now + SOON))))
            for activity in step.activities:
                out += self._launch(activity, now)
            for activity, steps in step.spanning:
                out += self._launch(activity, now, steps=steps)
            for activity in step.detached:
                out += self._launch(activity, now, detached=True)
        if not self._waiting():
            out += self._settle(now)
        return out

    def _can_begin(self, step: Step) -> bool:
        """Whether no node that it needs is away."""
        for activity in (*step.activities, *step.detached, *(a for a, _ in step.spanning)):
            if any(node in self._away for node in activity.alloc or self.nodes):
                return False
            for profile in (activity.profile, activity.io):
                if isinstance(profile, IoProfile) and any(i in self._away for i in profile.resources()):
                    return False
        return True

    def _launch(
        self, activity: Activity, now: float, *, detached: bool = False, steps: int = 0
    ) -> list[m.Decision]:
        name = f"{self.job.workload}.{self.job.name}.{self._count}.{activity.kind}"
        self._count += 1
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
            if self.live:
                self.state = "staging out"
            else:
                self.state = "done"
                self.over = True
        return out
