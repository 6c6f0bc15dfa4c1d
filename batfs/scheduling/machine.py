"""Who holds what right now: the nodes and the storages of the machine, and the way to take and give back."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from batfs._core.arrays import integers, np
from batfs._core.books import Reservation, Uses
from batfs._core.flows import build_profile
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Move, Placement, Staging, Volume
from batfs.plugins import parse_spec
from batfs.protocol.messages import Resource
from batfs.records import field, record
from batfs.resource_sets import format_resources
from batfs.scheduling.interface import JobPlacement, NodeSet
from batfs.scheduling.nodes import UNDEMANDING, NodeOrder, Selection, make_selection
from batfs.scheduling.storages import storage_table
from batfs.scheduling.story import InvariantError
from batfs.storage.interface import AllocationPolicy, Share, StorageView
from batfs.storage.ledger import Ledger, NoRoomError
from batfs.storage.view import SystemView
from batfs.workload.model import IntArray, IoProfile, Profile


class FileSystems(Protocol):
    """What the scheduler uses of ``batfs.filesystems.site``."""

    @property
    def own_nodes(self) -> Sequence[int]: ...

    @property
    def attending(self) -> Collection[str]: ...

    def volumes(self, job_id: str, profile: Profile) -> tuple[Volume, ...]: ...

    def cannot(self, profile: Profile) -> str | None: ...

    def plan(
        self,
        job_id: str,
        nodes: Sequence[int],
        volumes: Sequence[Volume],
        start: float,
        end: float,
        view: StorageView,
        rng: random.Random,
    ) -> tuple[IoPlan, ...] | Hold: ...

    def footprint(self, volumes: Sequence[Volume], nodes: int) -> Mapping[str, int]: ...

    def on_one(self, volumes: Sequence[Volume]) -> tuple[AllocationPolicy, IntArray] | None: ...

    @property
    def stages_ahead(self) -> bool: ...

    def staging(self, volumes: Sequence[Volume]) -> Staging | None: ...

    def settled(
        self,
        job_id: str,
        nodes: Sequence[int],
        volumes: Sequence[Volume],
        plans: Sequence[IoPlan],
        window: tuple[float, float],
        view: StorageView,
    ) -> tuple[IoPlan, ...]: ...

    def announcements(self) -> Sequence[str]: ...

    def started(self, request: IoRequest, plan: IoPlan, now: float, campaign: str = "") -> None: ...

    def tried(self, request: IoRequest, plan: IoPlan) -> None: ...

    def untried(self, job_id: str) -> None: ...

    def has_read(self, job_id: str, now: float) -> None: ...

    def has_staged(self, job_id: str, now: float) -> None: ...

    def ended(self, job_id: str, success: bool, now: float) -> None: ...

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]: ...

    def moved(self, move: Move, success: bool | None) -> None: ...

    def lost(self, resources: Sequence[int]) -> None: ...

    def back(self, resources: Sequence[int]) -> None: ...

    def slowed(self, profile: IoProfile, view: StorageView) -> IoProfile: ...

    def erased(self, storages: Sequence[int]) -> None: ...

    def released(self) -> Sequence[str]: ...

    def is_current(self, plans: Sequence[IoPlan]) -> bool: ...


@record
class Held:
    """Reservations of one plan: ``lines`` go with the job; ``kept`` outlive it, each under its key."""

    lines: Sequence[Reservation] = ()
    kept: Mapping[str, Reservation] = MappingProxyType({})

    @property
    def all(self) -> list[Reservation]:
        return [*self.lines, *self.kept.values()]


NOTHING_HELD = Held()


@record(frozen=False, eq=False)
class Booked(JobPlacement):
    """A placement with what it holds: node ids and the ledger's reservations. ``sought``: it is one of many
    stays that are tried for the job, at this time or that. ``sent``: how many of its activities were sent
    before."""

    ids: tuple[int, ...] = ()
    held: Held = field(default_factory=lambda: NOTHING_HELD)
    ahead: bool = False
    sought: bool = False
    sent: int = 0
    merged: tuple[Sequence[IoPlan], IoProfile | None] | None = None

    def profile(self, plans: Sequence[IoPlan]) -> IoProfile | None:
        """``build_profile(plans)``, made once for the same: a placement is counted on trial, then starts."""
        if self.merged is None or self.merged[0] is not plans:
            self.merged = plans, build_profile(plans)
        return self.merged[1]


def _spread(compute: Sequence[Resource]) -> Mapping[int, int]:
    """Of each node that says its chassis: which of the nodes there it is, by id. Nodes in ascending order of
    this are spread over the chassis."""
    found: dict[int, int] = {}
    counts: dict[str, int] = {}
    for host in compute:
        if chassis := host.property("chassis"):
            found[host.id] = counts[chassis] = counts.get(chassis, -1) + 1
    return found


class Machine(Uses):
    """Nodes and storages. ``free`` and ``all`` are sets of nodes (see ``nodes``)."""

    ledger: Ledger

    def __init__(
        self,
        compute: Sequence[Resource],
        storages: Sequence[Resource],
        *,
        own_nodes: Sequence[int] = (),
        node_order: str = "id",
        node_selection: str = "lowest",
    ) -> None:
        self.order = NodeOrder(compute, node_order)
        self.select: Selection
        self.select, self.near = make_selection(node_selection)
        self.picky = parse_spec(node_selection).name not in UNDEMANDING
        self.spread_order = _spread(compute)
        self._services = self.order.set_of(own_nodes)
        self._unavailable: NodeSet = 0
        self._failed: NodeSet = 0
        self._gone: NodeSet = 0
        #: storages, by id, that are down after a fault, and when they are expected back
        self.down: dict[int, float] = {}
        #: ids of nodes that are away, and of storages that are down: nothing is started there
        self.away: set[int] = set()
        self.busy: NodeSet = 0
        self.all: NodeSet = self.order.all & ~self._services
        self.largest_job = self.all.bit_count()  # nodes a job may ask for at most
        self.free: NodeSet = self.all
        self.storage_ids = tuple(r.id for r in storages)
        self.position = {resource_id: k for k, resource_id in enumerate(self.storage_ids)}
        self.names = {r.id: r.name for r in (*compute, *storages)}
        ledger, count = Ledger(storage_table(storages)), len(storages)
        # where reads and writes share a link, the writes are counted apart, behind all of them
        self._mixing = any("shared_bandwidth" in s.properties for s in storages)
        super().__init__(ledger, integers(2 * count if self._mixing else count))
        self.view = SystemView(ledger, transfers=self.active)
        self.kept: dict[str, Reservation] = {}

    # ---- nodes --------------------------------------------------------------------------------------------

    def take_nodes(self, nodes: NodeSet) -> None:
        """InvariantError when one of them is not free."""
        if nodes & ~self.free:
            taken = format_resources(self.order.ids(nodes & ~self.free))
            raise InvariantError(f"the nodes {taken} were given out while in use or unavailable")
        self.free &= ~nodes
        self.busy |= nodes

    def return_nodes(self, nodes: NodeSet) -> None:
        """InvariantError when one of them was not in use."""
        if nodes & ~self.busy:
            idle = format_resources(self.order.ids(nodes & ~self.busy))
            raise InvariantError(f"the nodes {idle} were given back twice")
        self.busy &= ~nodes
        self.free |= nodes & self.all

    def set_available(self, ids: Sequence[int], available: bool) -> None:
        """Machines come and go (external events); jobs that run on them run on."""
        nodes = self.order.set_of(ids)
        gone = self.order.ids(nodes)
        (self.away.difference_update if available else self.away.update)(gone)
        self._unavailable = self._unavailable & ~nodes if available else self._unavailable | nodes
        self._recount()

    def set_failed(self, ids: Sequence[int], failed: bool) -> None:
        """The same for nodes that fail, or are there again."""
        nodes = self.order.set_of(ids)
        self._failed = self._failed | nodes if failed else self._failed & ~nodes
        (self.away.update if failed else self.away.difference_update)(self.order.ids(nodes))
        self._recount()

    def _recount(self) -> None:
        self.all = self.order.all & ~self._services & ~self._unavailable & ~self._failed
        self.free = self.all & ~self.busy

    def lose_nodes(self, ids: Sequence[int]) -> None:
        """They will never be there again."""
        gone = self.order.set_of(ids) & ~self._services
        self.largest_job -= (gone & ~self._gone).bit_count()
        self._gone |= gone

    @property
    def some_unavailable(self) -> bool:
        """Whether nodes are away that nobody says will stay so."""
        return bool((self._unavailable | self._failed) & ~self._gone)

    @property
    def idle_failed(self) -> NodeSet:
        """Nodes that would be free but for a fault."""
        return self._failed & self.order.all & ~self._services & ~self._unavailable & ~self.busy

    def set_down(self, ids: Sequence[int], until: float | None) -> None:
        """Storages are down, expected back at ``until``; None: they are there again. What they hold stays in
        the books."""
        for storage in ids:
            if until is None:
                self.down.pop(storage, None)
                self.away.discard(storage)
                self.view.show(self.position[storage])
            else:
                self.down[storage] = until
                self.away.add(storage)
                self.view.hide(self.position[storage], until)

    # ---- bytes --------------------------------------------------------------------------------------------

    def book(self, job_id: str, placements: Sequence[Placement], start: float, end: float) -> Held | Hold:
        """Reserve all the placements during [start, end), or say what is missing and reserve none.

        Those with a key are kept until :meth:`drop` (a data set that outlives the job).
        """
        if self.down:
            moment = max(start, self.view.now)
            lacking = [p for p in placements if moment < self.down.get(p.storage, moment)]
            if lacking:  # a promise from before the fault
                return Hold("Unavailable", (lacking[0].storage,), sum(p.size for p in lacking))
        if len(placements) == 1 and not placements[0].key:  # the common case, quickly
            [one] = placements
            if not one.size:
                return NOTHING_HELD
            try:
                share = Share(self.position[one.storage], one.size)
                return Held((self.ledger.reserve((share,), start=start, end=end, key=job_id),))
            except NoRoomError as error:
                return self._no_room(placements, error)
        position = self.position
        own = [Share(position[p.storage], p.size) for p in placements if p.size and not p.key]
        keyed: dict[str, list[Share]] = {}
        if len(own) < len(placements):
            for p in placements:
                if p.size and p.key:
                    keyed.setdefault(p.key, []).append(Share(position[p.storage], p.size))
        if not own and not keyed:
            return NOTHING_HELD
        lines: list[Reservation] = []
        kept: dict[str, Reservation] = {}
        try:
            if own:
                lines.append(self.ledger.reserve(own, start=start, end=end, key=job_id))
            for key, shares in keyed.items():
                kept[key] = self.ledger.reserve(shares, start=start, key=key)
        except NoRoomError as error:
            # a model that promised room which isn't there (a plugin that doesn't look at the view)
            self.release(Held(lines, kept))
            return self._no_room(placements, error)
        return Held(lines, kept)

    def _no_room(self, placements: Sequence[Placement], error: NoRoomError) -> Hold:
        wanted = sum(p.size for p in placements if self.position[p.storage] == error.index)
        never = wanted > self.ledger.storages[error.index].capacity
        return Hold("StorageCapacity", (self.storage_ids[error.index],), error.missing, never)

    def release(self, held: Held) -> None:
        """Give back a trial, kept bytes too."""
        for line in held.all:
            self.ledger.release(line)

    def keep(self, held: Held) -> None:
        """A trial becomes real: its kept bytes stay and are in use from now on."""
        if held.kept:
            for key, line in held.kept.items():
                if key in self.kept:
                    raise InvariantError(f"bytes are kept under {key!r} already")
                self.kept[key] = line
            self.use(list(held.kept.values()), 1)
        self.touch(held.lines)

    def drop(self, key: str) -> None:
        """Kept bytes are free."""
        line = self.kept.pop(key, None)
        if line is None:
            raise InvariantError(f"no bytes are kept under {key!r}")
        self.use([line], -1)
        self.ledger.release(line)

    def transfers_of(self, profile: IoProfile) -> Sequence[tuple[int, int]]:
        """(position of a storage, transfers that start or end there); their writes stand for positions behind
        all of them where these are counted apart."""
        found = profile.transfers(self.position)
        if not self._mixing:
            return found
        ids, first, position = profile.resources(), len(self.storage_ids), self.position
        ends = np.bincount(profile.destinations, minlength=len(ids)).tolist()
        writes = [(first + position[i], n) for i, n in zip(ids, ends, strict=True) if n and i in position]
        return [*found, *writes]

    @cached_property
    def transfers(self) -> IntArray:
        """int64[m]: transfers under way at each storage, as the view shows them (``active``, but for the
        writes)."""
        return np.asarray(self.active)[: len(self.storage_ids)]

    def text(self, nodes: NodeSet) -> str:
        return format_resources(self.order.ids(nodes))
