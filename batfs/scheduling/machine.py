"""Who holds what right now: the nodes and the storages of the machine, and the way to take and give back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from batfs.errors import BatfsError
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Move, Volume
from batfs.protocol.messages import Resource
from batfs.resource_sets import format_resources
from batfs.scheduling.interface import JobPlacement, NodeSet
from batfs.scheduling.nodes import SELECTIONS, UNDEMANDING, NodeOrder, Selection
from batfs.scheduling.observer import StorageState
from batfs.scheduling.storages import storage_table
from batfs.storage.interface import Share, StorageView
from batfs.storage.ledger import Ledger, NoRoomError, Reservation
from batfs.storage.view import SystemView
from batfs.workload.model import IntArray, IoProfile, Profile


class InvariantError(BatfsError):
    """The scheduler's own books disagree: a defect of batfs or of a plugin, not of the input."""


class FileSystems(Protocol):
    """What the scheduler uses of ``batfs.filesystems.site``."""

    @property
    def own_nodes(self) -> Sequence[int]: ...

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

    def announcements(self) -> Sequence[str]: ...

    def started(self, request: IoRequest, plan: IoPlan, now: float) -> None: ...

    def ended(self, job_id: str, success: bool, now: float) -> None: ...

    def upkeep(self, view: StorageView, rng: random.Random, now: float) -> Sequence[Move]: ...


@dataclass(slots=True, eq=False)
class Booked(JobPlacement):
    """A placement with what it holds: node ids and the ledger's reservations."""

    ids: tuple[int, ...] = ()
    lines: list[Reservation] = field(default_factory=list)
    ahead: bool = False


class Machine:
    """Nodes and storages. ``free`` and ``all`` are sets of nodes (see ``nodes``)."""

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
        self.select: Selection = SELECTIONS.get(node_selection)
        self.picky = node_selection not in UNDEMANDING
        self._services = self.order.set_of(own_nodes)
        self._unavailable: NodeSet = 0
        self._busy: NodeSet = 0
        self.all: NodeSet = self.order.all & ~self._services
        self.free: NodeSet = self.all
        self.storage_ids = tuple(r.id for r in storages)
        self.position = {resource_id: k for k, resource_id in enumerate(self.storage_ids)}
        self.names = {r.id: r.name for r in (*compute, *storages)}
        self.ledger = Ledger(storage_table(storages))
        self.transfers: IntArray = np.zeros(len(storages), dtype=np.int64)
        self.view = SystemView(self.ledger, transfers=self.transfers)
        self._used = [0] * len(storages)
        self._changed: set[int] = set()

    # ---- nodes --------------------------------------------------------------------------------------------

    @property
    def largest_job(self) -> int:
        """Nodes a job may ask for at most."""
        return (self.order.all & ~self._services).bit_count()

    def take_nodes(self, nodes: NodeSet) -> None:
        """InvariantError when one of them is not free."""
        if nodes & ~self.free:
            taken = format_resources(self.order.ids(nodes & ~self.free))
            raise InvariantError(f"the nodes {taken} were given out while in use or unavailable")
        self.free &= ~nodes
        self._busy |= nodes

    def return_nodes(self, nodes: NodeSet) -> None:
        """InvariantError when one of them was not in use."""
        if nodes & ~self._busy:
            idle = format_resources(self.order.ids(nodes & ~self._busy))
            raise InvariantError(f"the nodes {idle} were given back twice")
        self._busy &= ~nodes
        self.free |= nodes & self.all

    def set_available(self, ids: Sequence[int], available: bool) -> None:
        """Machines come and go (external events); jobs that run on them run on."""
        nodes = self.order.set_of(ids)
        self._unavailable = self._unavailable & ~nodes if available else self._unavailable | nodes
        self.all = self.order.all & ~self._services & ~self._unavailable
        self.free = self.all & ~self._busy

    @property
    def some_unavailable(self) -> bool:
        return self._unavailable != 0

    # ---- bytes --------------------------------------------------------------------------------------------

    def book(self, key: str, plans: Sequence[IoPlan], start: float, end: float) -> list[Reservation] | Hold:
        """Reserve the placements of all plans during [start, end), or say what is missing."""
        position = self.position
        shares = [Share(position[p.storage], p.size) for plan in plans for p in plan.placements if p.size]
        if not shares:
            return []
        try:
            return [self.ledger.reserve(shares, start=start, end=end, key=key)]
        except NoRoomError as error:
            # a model that promised room which isn't there (a plugin that doesn't look at the view)
            size = sum(s.size for s in shares if s.index == error.index)
            never = size > self.ledger.storages[error.index].capacity
            return Hold("StorageCapacity", (self.storage_ids[error.index],), error.missing, never)

    def release(self, lines: Sequence[Reservation]) -> None:
        for line in lines:
            self.ledger.release(line)

    def use(self, lines: Sequence[Reservation], sign: int) -> None:
        """Bytes of ``lines`` are used from now on (sign 1) or no longer (-1)."""
        for line in lines:
            for share in line.shares:
                self._used[share.index] += sign * share.size
                self._changed.add(share.index)

    def transfers_of(self, profile: IoProfile) -> list[tuple[int, int]]:
        """(position of a storage, transfers that start or end there)."""
        ends = np.bincount(profile.sources, minlength=len(profile.ids))
        ends += np.bincount(profile.destinations, minlength=len(profile.ids))
        position = self.position
        ids, counts = profile.ids.tolist(), ends.tolist()
        # storages have the highest ids
        found: list[tuple[int, int]] = []
        for k in range(len(ids) - 1, -1, -1):
            place = position.get(ids[k])
            if place is None:
                break
            found.append((place, counts[k]))
        return found

    def count_transfers(self, transfers: Sequence[tuple[int, int]], sign: int) -> None:
        for position, count in transfers:
            self.transfers[position] += sign * count
            self._changed.add(position)

    def changes(self) -> list[StorageState]:
        """The storages that changed since the last call, as they are now."""
        if not self._changed:
            return []
        held, used, transfers = self.ledger.held, self._used, self.transfers
        states = [StorageState(k, held(k), used[k], int(transfers[k])) for k in sorted(self._changed)]
        self._changed.clear()
        return states

    def text(self, nodes: NodeSet) -> str:
        return format_resources(self.order.ids(nodes))

    # ---- invariants ---------------------------------------------------------------------------------------

    def validate(self, held: Mapping[str, tuple[NodeSet, Sequence[Reservation]]]) -> None:
        """``held``: what each job should hold. Disjoint nodes; busy and free are what they should be; every
        byte in the ledger belongs to one of these jobs, and no storage holds more than its capacity."""
        busy = 0
        for job_id, (nodes, _) in held.items():
            if busy & nodes:
                raise InvariantError(f"{job_id} shares the nodes {self.text(busy & nodes)} with another job")
            busy |= nodes
        if busy != self._busy:
            raise InvariantError("the busy nodes are not those of the jobs that run")
        if self.free != self.all & ~busy:
            raise InvariantError("the free nodes are not those that nobody holds")
        self.ledger.validate()
        sizes = [0] * len(self.storage_ids)
        lines = 0
        for _, reservations in held.values():
            for line in reservations:
                lines += 1
                for share in line.shares:
                    sizes[share.index] += share.size
        if lines != len(self.ledger):
            raise InvariantError(f"the ledger holds {len(self.ledger)} reservations, the jobs {lines}")
        for k, size in enumerate(sizes):
            capacity = self.ledger.storages[k].capacity
            if self.ledger.held(k) != size or not 0 <= size <= capacity:
                raise InvariantError(
                    f"storage {self.storage_ids[k]} holds {self.ledger.held(k)} bytes, its jobs {size}, "
                    f"capacity {capacity}"
                )
        if (self.transfers < 0).any():
            raise InvariantError("fewer than no transfers are active")
