"""What faults do to a machine, to the jobs on it and to what they hold.

A storage that is *down* has no room for anybody: allocation policies don't see it, promises on it don't
stand, and what it holds stays in the books. A job is *concerned* if it holds bytes there or still moves some
over it:

- ``wait``: what touches the storage stops where it is and goes on from there when it is back; the rest of the
  job goes on meanwhile, its nodes are held, and its walltime runs;
- ``restart``: the job stops and does again what it did since its last checkpoint (it reads that first), or
  since it began; it keeps its nodes and its bytes, and waits with them for what has failed;
- ``fail``: it is killed.

Where there is nothing to wait for (the storage never comes back) jobs fail. What a node ran when it fails is
restarted or killed; the disks in it are down with it. *Degraded* storages move fewer bytes in a second.

All of this is done by decisions that every simulator knows: jobs that can wait or restart run as dynamic
jobs, which are killed and started again with what is left of them. Without dynamic jobs they fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from batfs.filesystems.interface import Hold
from batfs.filesystems.script import cuttable
from batfs.protocol import messages as m
from batfs.records import record
from batfs.scheduling.calls import Calls
from batfs.scheduling.faults.plan import DOWN, FAIL, LOST, WAIT, FaultPlan
from batfs.scheduling.faults.rebuilds import Rebuilds, not_sent
from batfs.scheduling.faults.timeline import Happening, Timeline
from batfs.scheduling.lives import LiveJob, Lives
from batfs.scheduling.machine import Booked, FileSystems, Machine
from batfs.storage.table import Storage

#: Seconds: Batsim 5 calls at whole milliseconds, so a fault is no later than what is called for it.
_SLACK = 1e-3


@record(frozen=False)
class FaultCounts:
    """What happened: faults, jobs killed for them, times that jobs waited or began again, and node-seconds
    of work that were done again."""

    faults: int = 0
    failed: int = 0
    paused: int = 0
    restarted: int = 0
    lost_node_seconds: float = 0.0

    def summary(self) -> dict[str, float]:
        """Plain values."""
        return {
            "faults": self.faults,
            "failed": self.failed,
            "paused": self.paused,
            "restarted": self.restarted,
            "lost_node_seconds": self.lost_node_seconds,
        }


class Concerned(Protocol):
    """What is used of a job that runs (``tenancy.Running``)."""

    @property
    def id(self) -> str: ...
    @property
    def booked(self) -> Booked: ...
    @property
    def io_ids(self) -> Sequence[int]: ...
    @property
    def life(self) -> LiveJob | None: ...
    @property
    def left(self) -> bool: ...


class Outages:
    """A plan of faults on ``machine``. ``dynamic``: whether moves can be sent, ``sending``: whether they
    still can. ``kill`` ends jobs, ``follow`` is called with a life that has moved on, ``gone`` with
    resources that will never be there again."""

    def __init__(
        self,
        plan: FaultPlan,
        machine: Machine,
        files: FileSystems,
        lives: Lives,
        seed: int,
        *,
        dynamic: bool,
        sending: Callable[[], bool],
        say: Callable[[str], None],
        kill: Callable[[Sequence[str]], None],
        follow: Callable[[LiveJob], object],
        gone: Callable[[Sequence[int]], None],
    ) -> None:
        self.plan = plan
        self.counts = FaultCounts()
        self._machine, self._files, self._lives = machine, files, lives
        self._kill, self._follow, self._gone = kill, follow, gone
        storages: Sequence[Storage] = machine.ledger.storages
        self._disks: dict[str, list[int]] = {}
        for storage, storage_id in zip(storages, machine.storage_ids, strict=True):
            self._disks.setdefault(str(storage.properties.get("node", "")), []).append(storage_id)
        nodes = {machine.names[i]: i for i in machine.order.ids(machine.all)}
        ids = {storage.name: i for storage, i in zip(storages, machine.storage_ids, strict=True)}
        self._timeline = Timeline(plan, nodes, ids, seed)
        self._names = machine.names
        self._calls = Calls()
        self._sending = sending
        self.stops = plan.stops and dynamic
        self._rebuilds = Rebuilds(machine, lives)
        for sentence in dict.fromkeys(not_sent(plan, storages, dynamic=dynamic)):
            say(sentence)
        if plan.stops and not dynamic:
            say("jobs can't wait or restart after a fault without dynamic jobs (--dynamic-jobs): they fail")

    def in_steps(self, booked: Booked) -> bool:
        """Whether a job is to run in steps so that it can stop and go on."""
        return self.stops and cuttable(booked.job.profile)

    @property
    def hopeful(self) -> bool:
        """Whether something that is down will be back."""
        machine = self._machine
        return any(self._timeline.returns(i) for i in (*machine.down, *machine.away))

    def lacked_by(self, hold: Hold, filesystem: Callable[[int], str]) -> bool:
        """Whether what a job lacks would be there if storages of that file system weren't down."""
        machine = self._machine
        if hold.reason == "Unavailable":
            return True
        if not hold.storages or not machine.down:
            return False
        name = filesystem(hold.storages[0])
        down = [machine.position[i] for i in machine.down if filesystem(i) == name]
        ledger = machine.ledger
        room = sum(ledger.storages[k].capacity - ledger.held(k) for k in down)
        return bool(down) and room + len(down) >= hold.missing  # hidden ones count as one byte too full

    def call(self, now: float) -> list[m.Decision]:
        """See that the next fault is heard of."""
        at = min(self._timeline.next_at, self._rebuilds.next_at)
        self._calls.came(now)
        return [] if at == math.inf else self._calls.by(at, now)

    # ---- what happens -------------------------------------------------------------------------------------

    def strike(self, now: float, running: Mapping[str, Concerned], out: list[m.Decision]) -> bool:
        """What has happened up to ``now``; False if that is nothing. Decisions are added to ``out``."""
        happened: list[Happening] = []
        if self._timeline.next_at <= now + _SLACK:
            happened = self._timeline.due(now + _SLACK)
            for one in happened:
                if one.back:
                    self._ends(one, now, out)
                else:
                    self._begins(one, now, running, out)
        over = self._rebuild(now, out)
        return over or bool(happened)

    def resume(self, now: float, out: list[m.Decision]) -> None:
        """Jobs go on with what is there again."""
        for live in list(self._lives.paused.values()):
            out += live.resume(now)
            self._follow(live)

    def _storages(self, one: Happening) -> list[int]:
        """The storages that go with a resource: itself, or the disks in a node."""
        if not one.fault.node:
            return [one.resource]
        return self._disks.get(self._names[one.resource], [])

    def _begins(
        self, one: Happening, now: float, running: Mapping[str, Concerned], out: list[m.Decision]
    ) -> None:
        machine, fault = self._machine, one.fault
        self.counts.faults += not one.follows
        if fault.state != DOWN:
            machine.view.set_health(machine.position[one.resource], fault.bandwidth)
            if fault.rebuild:
                self._rebuilds.begin(one.resource, fault.rebuild, fault.rate, now)
            return
        storages = self._storages(one)
        machine.set_down(storages, one.until)
        if fault.node:
            machine.set_failed([one.resource], True)
        touched = frozenset((*storages, one.resource))
        self._files.lost(sorted(touched))
        for_ever = one.until == math.inf and not self._timeline.returns(one.resource)
        if for_ever:
            if fault.node:
                machine.lose_nodes([one.resource])
            self._gone(sorted(touched))
        lost = touched & set(storages) if fault.data == LOST else frozenset[int]()
        for job in list(running.values()):
            if self._concerns(job, touched, one.resource if fault.node else None):
                self._strike_job(job, FAIL if for_ever else fault.jobs, touched, lost, now, out)

    def _ends(self, one: Happening, now: float, out: list[m.Decision]) -> None:
        machine, fault = self._machine, one.fault
        if fault.state != DOWN:
            machine.view.set_health(machine.position[one.resource], 1.0)
            self._rebuilds.stop(one.resource)
            return
        storages = self._storages(one)
        machine.set_down(storages, None)
        if fault.node:
            machine.set_failed([one.resource], False)
        touched = sorted({*storages, one.resource})
        if fault.data == LOST:
            self._files.erased(storages)
        self._files.back(touched)
        self.resume(now, out)

    def _concerns(self, job: Concerned, touched: Collection[int], node: int | None) -> bool:
        if node is not None and not job.left and node in job.booked.ids:
            return True
        position = self._machine.position
        places = {position[i] for i in touched if i in position}
        if any(share.index in places for line in job.booked.held.lines for share in line.shares):
            return True
        if job.life is not None:
            return bool(places) and job.life.needs([i for i in touched if i in position])
        return any(i in touched for i in job.io_ids)

    def _strike_job(
        self,
        job: Concerned,
        how: str,
        touched: Collection[int],
        lost: Collection[int],
        now: float,
        out: list[m.Decision],
    ) -> None:
        live, counts = job.life, self.counts
        if live is not None and not live.life.executed and how != FAIL:
            if how == WAIT or (job.left and not lost):
                counts.paused += 1
                out += live.pause(now, [i for i in touched if i in self._machine.position])
            else:
                decisions, undone = live.restart(now, lost)
                out += decisions
                counts.restarted += 1
                counts.lost_node_seconds += undone * len(job.booked.ids)
            self._follow(live)
        elif live is not None and job.left:
            out += live.kill(now)
            self._follow(live)
            counts.failed += 1
        else:
            counts.failed += 1
            self._kill([job.id])

    def moved(self, move: str, now: float, out: list[m.Decision]) -> None:
        """A move has ended: the next piece of a rebuild, if it was one."""
        self._rebuilds.arrived(move, now)
        self._rebuild(now, out)

    def _rebuild(self, now: float, out: list[m.Decision]) -> bool:
        """Go on with what is built again; whether that is over for any storage. If nobody said how long it is
        degraded, it no longer is."""
        over = self._rebuilds.go_on(now, now + _SLACK, self._sending(), out)
        for storage in over:
            if self._timeline.rebuilt(storage):
                self._machine.view.set_health(self._machine.position[storage], 1.0)
        return bool(over)


def done_part(progress: Any) -> float:
    """How far a killed job was (0 to 1), as either Batsim says it of a task or a delay."""
    while isinstance(progress, Mapping):
        if isinstance(progress.get("progress"), int | float):
            return min(1.0, max(0.0, float(progress["progress"])))
        progress = progress.get("kill_progress") or progress.get("current_task")
    return 0.0
