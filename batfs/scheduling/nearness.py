"""Nodes near the data: selections that look at where a job's data and its space are, and their patience.

A selection that looks is a class with ``choose(view)`` and ``near(view)``, both pure functions of a
:class:`NodeView`. With ``patience`` it lets a job wait for near nodes, at most so long (delay scheduling:
M. Zaharia et al., "Delay Scheduling: A Simple Technique for Achieving Locality and Fairness in Cluster
Scheduling", EuroSys 2010): see :class:`Patience`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Literal, Protocol, TypeAlias, get_args

from batfs.plugins import Seconds
from batfs.protocol.clock import due, on_wire
from batfs.protocol.messages import Resource
from batfs.records import record
from batfs.scheduling.interface import NodeSet
from batfs.scheduling.nodes import SELECTIONS, NodeOrder, lowest

Level: TypeAlias = Literal["node", "chassis", "rack"]
LEVELS: tuple[Level, ...] = get_args(Level)


@record
class Home:
    """The space near some nodes, as one job sees it: ``nodes``, bytes of ``room`` on all their storages
    together, and bytes that each node of the job would hold there (``need``)."""

    nodes: NodeSet
    room: int
    need: int

    def fits(self, free: NodeSet) -> int:
        """How many nodes of the job find nodes and room here."""
        there = (free & self.nodes).bit_count()
        return min(there, self.room // self.need) if self.need else there


@record
class NodeView:
    """What a selection sees: choose ``count`` of the nodes ``free`` (``all``: those that jobs may ever have).

    ``data``: bytes that the job will read, by nodes they are near, at each level: on nodes with the storage,
    in their chassis, in their rack. ``homes``: the space it could have near nodes.
    """

    free: NodeSet
    count: int
    all: NodeSet
    data: Mapping[Level, Mapping[NodeSet, int]]
    homes: Sequence[Home]


class NearSelection(Protocol):
    """``patience``: seconds that a job waits for near nodes at most."""

    patience: float

    def choose(self, view: NodeView) -> NodeSet | None:
        """``count`` nodes of ``free``, or None if the rule finds none."""
        ...

    def near(self, view: NodeView) -> NodeSet:
        """The nodes that are near, free or not."""
        ...


def _fill(free: NodeSet, count: int, sets: Iterable[NodeSet]) -> NodeSet | None:
    """``count`` nodes: of the first set as many as are free, then of the next, then any; lowest first."""
    if count <= 0 or free.bit_count() < count:
        return None
    chosen = 0
    for nodes in (*sets, free):
        there = free & nodes & ~chosen
        part = lowest(there, min(count - chosen.bit_count(), there.bit_count()))
        chosen |= part or 0
    return chosen


@SELECTIONS.register("data_locality")
class DataLocality:
    """Nodes nearest to the data that a job reads: with it on their storages, in their chassis or rack.

    Those near most bytes first, the lowest of equals; then any. What counts is where the data sets lie that
    a job's ``data_set`` options name (all copies of them). With ``patience``, a job waits so many seconds
    for nodes within ``level`` of its data (node, chassis, rack), then takes what there is.
    """

    def __init__(self, *, patience: Seconds = 0.0, level: Level = "node") -> None:
        self.patience = patience
        self.level: Level = level

    def choose(self, view: NodeView) -> NodeSet | None:
        order: list[NodeSet] = []
        for level in LEVELS:
            there = view.data.get(level, {})
            order += sorted(there, key=lambda nodes: (-there[nodes], nodes & -nodes))
        return _fill(view.free, view.count, order)

    def near(self, view: NodeView) -> NodeSet:
        near = 0
        for level in LEVELS[: LEVELS.index(self.level) + 1]:
            for nodes in view.data.get(level, {}):
                near |= nodes
        return near


@SELECTIONS.register("near_storage")
class NearStorage:
    """Nodes in chassis whose own storage (a Rabbit, a buffer) has room for them, in as few chassis as can be.

    The chassis that holds just the whole job, the tightest of those; else the one that holds most of it, and
    so on; the lowest of equals. When there is no room for all, other nodes: the job then waits for space as
    it would elsewhere. With ``patience``, a job waits so many seconds for nodes that have storage near them.
    """

    def __init__(self, *, patience: Seconds = 0.0) -> None:
        self.patience = patience

    def choose(self, view: NodeView) -> NodeSet | None:
        fitting = [(home.fits(view.free), home.nodes & view.free) for home in view.homes]
        fitting = [(fits, nodes) for fits, nodes in fitting if fits]
        order: list[NodeSet] = []
        missing = view.count
        while fitting and missing > 0:
            whole = [pair for pair in fitting if pair[0] >= missing]
            best = min(whole or fitting, key=lambda p: (p[0] if whole else -p[0], p[1] & -p[1]))
            fitting.remove(best)
            taken = lowest(best[1], min(best[0], missing)) or 0
            order.append(taken)
            missing -= taken.bit_count()
        return _fill(view.free, view.count, [*order, self.near(view)])

    def near(self, view: NodeView) -> NodeSet:
        near = 0
        for home in view.homes:
            near |= home.nodes
        return near


class Whereabouts:
    """Which nodes are near each storage: on its own node, in its chassis, in its rack, by the properties
    ``node``, ``chassis`` and ``rack`` (those of its node, where it says none itself)."""

    def __init__(self, compute: Sequence[Resource], storages: Sequence[Resource], order: NodeOrder) -> None:
        by_name: dict[str, Resource] = {host.name: host for host in compute}
        members: dict[tuple[Level, str], list[int]] = {}
        for host in compute:
            members.setdefault(("node", host.name), []).append(host.id)
            for level in LEVELS[1:]:
                if place := host.property(level):
                    members.setdefault((level, place), []).append(host.id)
        sets = {key: order.set_of(ids) for key, ids in members.items()}
        self._near: dict[int, dict[Level, NodeSet]] = {}
        #: storages by file system and by the nodes they are nearest to
        self.homes: dict[str, dict[NodeSet, list[int]]] = {}
        for storage in storages:
            owner = by_name.get(storage.property("node") or "")
            found: dict[Level, NodeSet] = {}
            for level in LEVELS:
                place = storage.property(level)
                if not place and owner is not None:
                    place = owner.name if level == "node" else owner.property(level)
                if place and (nodes := sets.get((level, place), 0)):
                    found[level] = nodes
            self._near[storage.id] = found
            nearest = found.get("node") or found.get("chassis")
            if nearest:
                system = storage.property("filesystem") or "storage"
                self.homes.setdefault(system, {}).setdefault(nearest, []).append(storage.id)

    def of(self, data: Mapping[int, int]) -> dict[Level, dict[NodeSet, int]]:
        """Bytes by storage as bytes by the nodes that they are near."""
        out: dict[Level, dict[NodeSet, int]] = {}
        for storage, size in data.items():
            for level, nodes in self._near.get(storage, {}).items():
                there = out.setdefault(level, {})
                there[nodes] = there.get(nodes, 0) + size
        return out


class Patience:
    """Which jobs wait for near nodes, and until when. A job's patience begins when it could have started for
    the first time, on nodes that are less near than others that it may have some day; when it is over, the
    job takes what there is. So nobody waits for ever, and not once longer than that."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends: dict[str, float] = {}

    def lets_wait(self, job_id: str, chosen: NodeSet, near: NodeSet, view: NodeView, now: float) -> bool:
        """Whether the job rather waits than takes ``chosen``."""
        if not self.seconds:
            return False
        could = min(view.count, (near & view.all).bit_count())
        if (chosen & near).bit_count() >= could:
            return False
        end = self._ends.setdefault(job_id, on_wire(now + self.seconds))
        return not due(end, now)

    def over(self, job_id: str) -> None:
        """The job doesn't wait any more."""
        self._ends.pop(job_id, None)

    def next_end(self, now: float) -> float:
        """When the next patience is over; infinite if nobody's is under way."""
        return min((end for end in self._ends.values() if not due(end, now)), default=inf)
