"""Plans for jobs whose nodes aren't known yet: what is staged ahead has its place before its job has nodes.

A model is asked with stand-ins, negative ids, in the place of nodes; what it answers is led to the nodes once
they are known. The bytes stay where they were put. A model whose answer depends on which nodes there are
(buffers in the nodes, local copies) says so: its ``nodeless`` is False.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from batfs._core.arrays import IntArray, np
from batfs._core.flows import evenly
from batfs.filesystems.interface import IoPlan, Move, RepeatedPlan, Traffic
from batfs.records import replace


@lru_cache(maxsize=64)
def stand_ins(count: int) -> tuple[int, ...]:
    """Ids for so many nodes that nobody knows: -count to -1."""
    return tuple(range(-count, 0))


def known(nodes: Sequence[int]) -> bool:
    """Whether they are nodes of the machine."""
    return not nodes or nodes[0] >= 0


def on_nodes(plans: Sequence[IoPlan], nodes: Sequence[int]) -> tuple[IoPlan, ...]:
    """``plans`` made for stand-ins, on ``nodes``: ascending ids, one for each of them."""
    there = _Nodes(nodes)
    return tuple(there.plan(plan) for plan in plans)


def staged(plans: Sequence[IoPlan]) -> tuple[IoPlan, ...]:
    """What is left to do of ``plans`` when their data is there."""
    return tuple(replace(plan, stage_in=()) if plan.stage_in else plan for plan in plans)


def elsewhere(plan: IoPlan, nodes: Sequence[int], storage: int) -> IoPlan:
    """A plan of a request that is ``on_one`` storage as it is on another one, or on other nodes (as many)."""
    [placement] = plan.placements
    reads, writes = (
        [
            evenly(nodes, (storage,), traffic.even.written, traffic.even.read)
            for traffic in side
            if traffic.even is not None
        ]
        for side in (plan.reads, plan.writes)
    )
    return replace(
        plan,
        placements=(replace(placement, storage=storage),),
        reads=reads or (),
        writes=writes or (),
    )


class _Nodes:
    """The k-th of the stand-ins is the k-th of the nodes."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = tuple(nodes)
        self._table: IntArray = np.array(self._nodes, dtype=np.int64)  # -n, the first, finds the first
        self._some: dict[Sequence[int], tuple[int, ...]] = {}  # the same object for the same nodes

    def plan(self, plan: IoPlan) -> IoPlan:
        checkpoints = plan.checkpoints
        if checkpoints is not None:
            checkpoints = replace(
                checkpoints, writes=self._moves(checkpoints.writes), drains=self._moves(checkpoints.drains)
            )
        made = replace(
            plan,
            reads=self._traffics(plan.reads),
            writes=self._traffics(plan.writes),
            internal=self._traffics(plan.internal),
            flops=self._work(plan.flops),
            read_flops=None if plan.read_flops is None else self._work(plan.read_flops),
            stage_in=self._moves(plan.stage_in),
            stage_out=self._moves(plan.stage_out),
            background=self._moves(plan.background),
            checkpoints=checkpoints,
            behind=tuple((asked, self.plan(answered)) for asked, answered in plan.behind),
        )
        if isinstance(made, RepeatedPlan) and made.again is not None:
            made.again = self.plan(made.again)
        return made

    def _ids(self, ids: Sequence[int]) -> Sequence[int]:
        if known(ids):
            return ids
        key = tuple(ids)
        found = self._some.get(key)
        if found is None:
            found = self._some[key] = tuple(self._nodes[i] if i < 0 else i for i in key)
        return found

    def _traffics(self, traffics: Sequence[Traffic]) -> Sequence[Traffic]:
        return [self._traffic(traffic) for traffic in traffics]

    def _traffic(self, traffic: Traffic) -> Traffic:
        even = traffic.even
        if even is not None:
            return evenly(self._ids(even.nodes), even.storages, even.written, even.read)
        sources, destinations, sizes = traffic.columns
        return Traffic(self._column(sources), self._column(destinations), sizes)

    def _column(self, ids: IntArray) -> IntArray:
        return np.where(ids < 0, self._table[np.minimum(ids, -1)], ids)

    def _moves(self, moves: Sequence[Move]) -> Sequence[Move]:
        return [
            replace(move, traffic=self._traffic(move.traffic), flops=self._work(move.flops)) for move in moves
        ]

    def _work(self, flops: Mapping[int, float]) -> Mapping[int, float]:
        return {self._nodes[i] if i < 0 else i: amount for i, amount in flops.items()}
