"""Jobs whose I/O is more than one profile beside them: staged, in phases, with checkpoints and drains.

``batfs.filesystems.lifecycle`` knows the steps; this keeps what they have under way in the machine's books,
and finds whose activity has ended.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from batfs._core.sheets import SUCCESS
from batfs.filesystems.interface import Hold, IoPlan, Move, Transfer
from batfs.filesystems.script import AHEAD, REBUILD, Activity, launch, move_activity, staging_in
from batfs.filesystems.traffic import from_transfers, split_evenly
from batfs.protocol import messages as m
from batfs.protocol.clock import due
from batfs.scheduling.machine import NOTHING_HELD, Booked, FileSystems, Held, Machine
from batfs.storage.ledger import Reservation
from batfs.workload.model import IoProfile

if TYPE_CHECKING:
    from batfs.filesystems.lifecycle import Gate, Life

_WHY_REJECTED = "runs in parts, as dynamic jobs of the workload batfs"


class LiveJob:
    """One job's life, with the transfers of each activity counted while it is under way.

    ``in_use``: whether its bytes are used yet (they are reserved from the stage-in on).
    ``resources``: every resource its I/O touches.
    """

    def __init__(self, lives: Lives, life: Life, lines: Sequence[Reservation]) -> None:
        self._lives = lives
        self._lines = lines
        self.life = life
        self.in_use = False
        self.resources = sorted(
            {
                resource
                for step in {id(step): step for step in self.life.steps}.values()
                for activity in (
                    *(*step.activities, *step.detached, *step.restores),
                    *(a for a, _ in step.spanning),
                )
                for profile in profiles_of(activity)
                for resource in profile.ids.tolist()
            }
        )
        self._all = frozenset(self.resources)
        self.transfers: dict[str, list[tuple[int, int]]] = {}

    def begin(self, now: float) -> list[m.Decision]:
        out = self.life.begin(now)
        if not self.life.executed and self.life.nodes:
            job_id = self.life.job.id
            out = [m.SetJobMetadata(now, job_id, _WHY_REJECTED), m.RejectJob(now, job_id), *out]
        self._sync()
        return out

    def completed(self, job_id: str, state: str, now: float) -> list[m.Decision]:
        life = self.life
        has_read = state == SUCCESS and life.live[job_id].activity.kind == "read" and not life.in_phases
        out = life.completed(job_id, state, now)
        if has_read and self._lives.files.attending:
            self._lives.files.has_read(life.job.id, now)
        self._sync()
        return out

    def kill(self, now: float) -> list[m.Decision]:
        out = self.life.kill(now)
        self._sync()
        return out

    def tick(self, now: float) -> list[m.Decision]:
        deadline = self.life.deadline
        if deadline is None or not due(deadline, now):
            return []
        out = self.life.tick(now)
        self._sync()
        return out

    def resume(self, now: float) -> list[m.Decision]:
        """Go on if what it needs is there again."""
        out = self.life.resume(now)
        self._sync()
        return out

    def pause(self, now: float, ids: Collection[int]) -> list[m.Decision]:
        """What touches these resources stands still until :meth:`resume`."""
        out = self.life.pause(now, ids)
        self._sync()
        return out

    def stopped(self, activity_id: str, part: float, now: float) -> list[m.Decision]:
        """So large a part of what was stopped was done."""
        out = self.life.stopped(activity_id, part, now)
        self._sync()
        return out

    def restart(self, now: float, lost: Collection[int]) -> tuple[list[m.Decision], float]:
        """Back to the last checkpoint; also how many seconds that undoes."""
        out = self.life.restart(now, lost)
        self._sync()
        return out

    def needs(self, ids: Collection[int]) -> bool:
        """Whether what it does, or will do, touches these resources."""
        life = self.life
        if self._all.isdisjoint(ids):
            return False
        every = [one.activity for one in life.live.values()] + life.held_activities
        for step in life.steps_to_come:
            every += [*step.activities, *step.detached, *(a for a, _ in step.spanning)]
        return any(life.touches(activity, ids) for activity in every)

    def count(self, job_id: str, moving: bool = True) -> None:
        """The transfers of an activity are under way from now on, or no longer."""
        machine, before = self._lives.machine, self.transfers[job_id]
        counted: list[tuple[int, int]] = []
        if moving:
            profiles = profiles_of(self.life.live[job_id].activity)
            counted = [t for p in profiles for t in machine.transfers_of(p)]
            machine.count_transfers(counted, 1)
        machine.count_transfers(before, -1)
        self.transfers[job_id] = counted

    def _sync(self) -> None:
        machine, owners = self._lives.machine, self._lives.owners
        for job_id in [i for i in self.transfers if i not in self.life.live]:
            machine.count_transfers(self.transfers.pop(job_id), -1)
            del owners[job_id]
        for job_id in self.life.live:
            if job_id not in self.transfers:
                owners[job_id] = self
                self.transfers[job_id] = []
                if self._lives.gate is None or not self._lives.gate.holds(job_id):
                    self.count(job_id)
        for job_id in self.life.stopped_at:
            self._lives.stopped[job_id] = self
        if self.life.stands_still:
            self._lives.paused[self.life.job.id] = self
        else:
            self._lives.paused.pop(self.life.job.id, None)
        # without nodes, or before it can begin (its storages may be away), nothing of it is used
        begun = self.life.nodes and self.life.state not in ("waiting", "staging in", "done")
        if begun and not self.in_use:
            self.in_use = True
            machine.use(self._lines, 1)


class Lives:
    """All of them, by the ids of their activities, and the moves that file systems make for themselves."""

    def __init__(self, machine: Machine, files: FileSystems, rng: random.Random) -> None:
        self.machine = machine
        self.files = files
        self._rng = rng
        #: who says when transfers start, if they don't start at once
        self.gate: Gate | None = None
        self.owners: dict[str, LiveJob] = {}
        self.paused: dict[str, LiveJob] = {}  # jobs that wait for a node or a storage that is away
        self.stopped: dict[str, LiveJob] = {}  # by activities of which nobody has said how far they were
        self._moves: dict[str, tuple[Move, Held, list[tuple[int, int]]]] = {}
        self._moved = 0

    @property
    def busy(self) -> bool:
        return bool(self.owners or self.paused or self.stopped or self._moves)

    def begin(
        self,
        booked: Booked,
        plans: Sequence[IoPlan],
        mapped: m.ExecuteJob | None = None,
        *,
        whole: bool = True,
    ) -> LiveJob:
        """``plans``: those of ``booked``, as far as they are still to be done; ``mapped``: how the job was to
        be executed, if with a mapping; ``whole``: see ``write_script``."""
        life = self._life(booked, booked.ids, plans, mapped, whole=whole)
        return LiveJob(self, life, booked.held.lines)

    def first_transfers(
        self, booked: Booked, plans: Sequence[IoPlan], *, in_steps: bool, whole: bool = True
    ) -> list[tuple[int, int]]:
        """(position of a storage, transfers there) of what it would move as soon as it began with these
        plans, but for what a policy may hold; ``in_steps``: whether it would :meth:`begin`."""
        if in_steps:
            life = self._life(booked, booked.ids, plans, whole=whole)
            profiles = [profile for activity in life.first for profile in profiles_of(activity)]
        else:
            merged = None if booked.job.io_ignored else booked.profile(plans)
            profiles = [] if merged is None else [merged]
        machine = self.machine
        return [t for profile in profiles for t in machine.transfers_of(profile)]

    def stage(self, booked: Booked) -> LiveJob:
        """The staging in of a job that has no nodes yet."""
        staging = staging_in(booked.plans, self.machine.position, AHEAD)
        return LiveJob(self, self._life(booked, (), (), staging=staging), booked.held.lines)

    def _life(
        self,
        booked: Booked,
        nodes: Sequence[int],
        plans: Sequence[IoPlan],
        mapped: m.ExecuteJob | None = None,
        **more: Any,
    ) -> Life:
        from batfs.filesystems.lifecycle import Life

        job, machine = booked.job, self.machine
        return Life(
            *(job.job, job.profile, nodes, plans, machine.position, job.volumes, mapped),
            away=machine.away,
            gate=self.gate,
            sent=booked.sent,
            **more,
        )

    @property
    def held(self) -> dict[str, list[Reservation]]:
        """Bytes of moves that go when the move is over, by its id."""
        return {job_id: list(held.lines) for job_id, (_, held, _) in self._moves.items()}

    @property
    def transfers(self) -> Iterator[Sequence[tuple[int, int]]]:
        """What is counted for each activity and each move under way."""
        for job in dict.fromkeys(self.owners.values()):
            yield from job.transfers.values()
        for _, _, transfers in self._moves.values():
            yield transfers

    def owner(self, activity_id: str) -> LiveJob | None:
        return self.owners.get(activity_id)

    def moves(self, activity_id: str, moving: bool) -> None:
        """An activity that was on hold moves, or the other way round."""
        owner = self.owners.get(activity_id)
        if owner is not None:
            owner.count(activity_id, moving)

    def tick(self, now: float) -> list[m.Decision]:
        """Time has passed: end what is past its walltime."""
        out: list[m.Decision] = []
        for job in dict.fromkeys([*self.owners.values(), *self.paused.values()]):
            out += job.tick(now)
        return out

    def upkeep(self, now: float) -> list[m.Decision]:
        """Start the moves that the file systems want now and that there is room for."""
        machine, files = self.machine, self.files
        out: list[m.Decision] = []
        for move in files.upkeep(machine.view, self._rng, now):
            activity = move_activity(move, machine.position)
            held = machine.book(move.kind, move.placements, now, float("inf"))
            if activity is None or isinstance(held, Hold):
                if not isinstance(held, Hold):
                    machine.release(held)
                files.moved(move, None)
                continue
            machine.keep(held)
            machine.use(held.lines, 1)
            self._begin_move(move, held, activity, now, out)
        return out

    def _begin_move(
        self, move: Move, held: Held, activity: Activity, now: float, out: list[m.Decision]
    ) -> str:
        machine = self.machine
        self._moved += 1
        name = f"upkeep.{self._moved}.{move.kind}"
        job_id, decisions = launch(activity, None, name, (), now, None)
        transfers = [t for p in profiles_of(activity) for t in machine.transfers_of(p)]
        machine.count_transfers(transfers, 1)
        self._moves[job_id] = (move, held, transfers)
        out += decisions
        return job_id

    def rebuild(
        self, target: int, sources: Sequence[int], size: int, now: float, out: list[m.Decision]
    ) -> str:
        """``size`` bytes for a storage that is rebuilt, evenly from ``sources``; the id of the move."""
        parts = split_evenly(size, len(sources)).tolist()
        transfers = [Transfer(s, target, part) for s, part in zip(sources, parts, strict=True) if part]
        move = Move(REBUILD, from_transfers(transfers), tag=str(target))
        activity = move_activity(move, self.machine.position)
        assert activity is not None, "it moves something"
        return self._begin_move(move, NOTHING_HELD, activity, now, out)

    def upkeep_over(self, job_id: str, success: bool) -> bool:
        """A move has ended; False if the id is none of ours."""
        if job_id not in self._moves:
            return False
        move, held, transfers = self._moves.pop(job_id)
        self.machine.end(held.lines, transfers, True)
        if move.kind != REBUILD:
            self.files.moved(move, success)
        for key in self.files.released():
            self.machine.drop(key)
        return True


def profiles_of(activity: Activity) -> list[IoProfile]:
    """Its transfers, as profiles."""
    return [p for p in (activity.profile, activity.io) if isinstance(p, IoProfile)]
