"""Promises that move forward, many at once, in the core.

When a job ends early, hundreds of promises may each have an earlier stay. To find it is a matter of nodes,
bytes and times alone where a job's bytes go to one storage that a policy of the core's rules chooses, and its
plan is the same wherever that is: then the core does all of it, and here is written down what it did. What is
otherwise (stages, stripes, copies, data sets, policies that look at transfers) is left to the queue policy,
one by one; the results are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batfs._core import steps
from batfs._core.arrays import np
from batfs.filesystems.interface import IoPlan
from batfs.protocol.clock import SAME
from batfs.records import replace
from batfs.scheduling.interface import NodeSet
from batfs.scheduling.machine import Booked
from batfs.scheduling.nodes import lowest
from batfs.scheduling.stages import NO_STAGES
from batfs.scheduling.timeline import Hold as Stay
from batfs.scheduling.timeline import Timeline
from batfs.storage.interface import Share
from batfs.storage.policies.classic import RoundRobin, rule_of

if TYPE_CHECKING:
    from batfs.scheduling.view import PassView

#: What is added before a time is rounded: see ``protocol.clock.on_calendar``.
SHIFT = 0.5e-3 - SAME

Pair = tuple[Booked, Stay]
Spans = list[tuple[float, float]] | None


class _Known:
    """What doesn't change of a waiting job: ``kind``, the bytes it needs, what it draws; its plans so far,
    and where it was moved last."""

    __slots__ = ("draw", "kind", "last", "need", "plans")

    def __init__(self, kind: int, need: int = 0, draw: float = 0.0) -> None:
        self.kind = kind
        self.need = need
        self.draw = draw
        self.plans: dict[int, tuple[IoPlan, ...]] = {}
        self.last: Booked | None = None


class Forward:
    """For one scheduler; :meth:`begin` in each pass."""

    def __init__(self, view: PassView) -> None:
        self._view = view
        self._known: dict[int, tuple[object, _Known]] = {}
        self._pairs: Sequence[Pair] = ()
        self._jobs: list[_Known] = []
        self._timeline = Timeline(0)
        self._policy: Any = None  # of those whose bytes move here
        self._among: Any = None
        self._core: Any = None
        self._arrays: tuple[Any, ...] = ()

    def begin(self, timeline: Timeline, pairs: Sequence[Pair]) -> bool:
        """Whether any of ``pairs``, promises and their nodes on the ``timeline``, soonest first, may be moved
        here."""
        tenancy = self._view.tenancy
        machine = tenancy.machine
        if machine.down or machine.view.health is not None or machine.select is not lowest:
            return False
        if tenancy.node_choice is not None or not pairs:
            return False
        if len(self._known) > 64 + 2 * len(pairs):
            self._known.clear()
        jobs = self._jobs = [self._of(placed) for placed, _ in pairs]
        self._pairs, self._timeline = pairs, timeline
        words = max(1, -(-timeline.nodes // 64))
        bits = b"".join([stay.nodes.to_bytes(8 * words, "little") for _, stay in pairs])
        stays = (
            np.array([stay.start for _, stay in pairs], np.float64),
            np.array([stay.end for _, stay in pairs], np.float64),
            np.array([placed.job.walltime for placed, _ in pairs], np.float64),
            np.array([placed.job.nodes for placed, _ in pairs], np.int64),
            np.frombuffer(bits, "<u8").astype(np.uint64).reshape(len(pairs), words),
        )
        kinds = [
            known.kind if _plain(placed, known) else steps.OTHER
            for (placed, _), known in zip(pairs, jobs, strict=True)
        ]
        if not any(kinds):
            return False
        where = [
            placed.held.lines[0].shares[0].index if kind == steps.BYTES else -1
            for (placed, _), kind in zip(pairs, kinds, strict=True)
        ]
        room = (
            np.array(kinds, np.int64),
            np.array([known.need for known in jobs], np.int64),
            np.array(where, np.int64),
            np.array([known.draw for known in jobs], np.float64),
        )
        among = np.zeros(0, np.int64) if self._among is None else self._among
        rule = None if len(among) < 2 else rule_of(self._policy)
        storages = among.copy(), machine.ledger.capacities.copy(), steps.FIRST if rule is None else rule
        moved = np.zeros(len(pairs), np.int64)
        self._arrays = stays[0], stays[1], stays[4], room[2], moved
        self._core = steps.Promises(stays, moved, room, storages, (SHIFT, SAME))
        return True

    def _of(self, placed: Booked) -> _Known:
        job = placed.job
        found = self._known.get(job.order)
        if found is None or found[0] is not job:
            found = self._known[job.order] = job, self._look_at(placed)
        return found[1]

    def _look_at(self, placed: Booked) -> _Known:
        job, tenancy = placed.job, self._view.tenancy
        if job.data_sets or job.walltime == float("inf"):
            return _Known(steps.OTHER)
        if not job.volumes:
            return _Known(steps.NODES)
        asked = tenancy.files.on_one(job.volumes)
        if asked is None or (len(asked[1]) > 1 and rule_of(asked[0]) is None):
            return _Known(steps.OTHER)
        if self._policy is None:
            self._policy, self._among = asked
        elif asked[0] is not self._policy or asked[1] is not self._among:
            return _Known(steps.OTHER)
        draw = 0.0
        if rule_of(self._policy) == steps.DRAW:
            draw = tenancy.draws_of(job).random()
        return _Known(steps.BYTES, placed.plans[0].placements[0].size, draw)

    def run(self, begin: int, spans: Spans) -> tuple[int, Spans, list[tuple[Booked, Stay]]]:
        """From the ``begin``-th on: (the first that somebody else has to look at, the ``spans`` in which
        something is free that was held before (None: perhaps at any time), what has moved with its nodes)."""
        view = self._view
        starts, ends, sets, places, moved = self._arrays
        turn = self._policy if isinstance(self._policy, RoundRobin) and len(self._among) > 1 else None
        moved[:] = 0
        stop, spans, last = self._core.forward(
            self._timeline.steps,
            view.tenancy.machine.ledger.books,
            begin,
            view.now,
            (view.free_nodes, view.all_nodes),
            spans,
            -1 if turn is None else turn.last,
        )
        if turn is not None:
            turn.last = last
        which = np.flatnonzero(moved)
        columns = which, starts[which], ends[which], places[which]
        bits, width = sets[which].astype("<u8").tobytes(), 8 * sets.shape[1]
        nodes = [int.from_bytes(bits[at : at + width], "little") for at in range(0, len(bits), width)]
        there = zip(*(column.tolist() for column in columns), nodes, strict=True)
        return stop, spans, [self._noted(*one) for one in there]

    def _noted(self, k: int, start: float, end: float, place: int, nodes: NodeSet) -> tuple[Booked, Stay]:
        """The core has moved the ``k``-th: who holds it, and what, say so too."""
        known, machine = self._jobs[k], self._view.tenancy.machine
        placed, _ = self._pairs[k]
        plans = placed.plans
        if known.kind == steps.BYTES:
            [line] = placed.held.lines
            [share] = line.shares
            if place != share.index:
                share = Share(place, share.size)
                plans = known.plans.get(place, ())
                if not plans:
                    if len(known.plans) > 15:
                        known.plans.clear()
                    [plan] = placed.plans
                    there = (replace(plan.placements[0], storage=machine.storage_ids[place]),)
                    plans = known.plans[place] = (replace(plan, placements=there),)
            machine.ledger.moved(line, start, end, share)
        # no ids: its traffic is led to its nodes when it is asked for again (``PassView.again``)
        moved = Booked(
            placed.job, nodes, start, plans, placed.stages, 0.0, (), placed.held, ahead=True, sought=True
        )
        self._view.exchange(placed, moved)
        known.last = moved
        return moved, Stay(start, end, end, nodes)


def _plain(placed: Booked, known: _Known) -> bool:
    """Whether it is as it was when its job was looked at: nothing is staged, one storage holds its bytes."""
    if placed.job.staged is not None:
        return False
    if placed is known.last:  # made here, of one that was
        return True
    if placed.lead or placed.stages is not NO_STAGES:
        return False
    if known.kind != steps.BYTES:
        return not placed.plans
    lines, plans = placed.held.lines, placed.plans
    if placed.held.kept or len(lines) != 1 or len(lines[0].shares) != 1 or len(plans) != 1:
        return False
    plan = plans[0]
    if type(plan) is not IoPlan or len(plan.placements) != 1 or plan.placements[0].key:
        return False
    return all(traffic.even is not None for traffic in (*plan.reads, *plan.writes))
