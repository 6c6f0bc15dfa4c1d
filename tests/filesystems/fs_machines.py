"""Tiny machines for the tests of the models; no platform file needed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from batfs.filesystems.interface import Hold, IoPlan, Volume
from batfs.filesystems.site import FileSystems, make_filesystems
from batfs.protocol.messages import Resource
from batfs.storage.interface import Share, Storage
from batfs.storage.ledger import Ledger
from batfs.storage.view import SystemView
from batfs.units import parse_size


def node(id: int, name: str = "", **properties: str) -> Resource:
    return Resource(id, name or f"n{id}", "compute_node", properties=properties)


def storage(id: int, filesystem: str, size: str = "1TB", name: str = "", **properties: str) -> Resource:
    return Resource(
        id, name or f"s{id}", "storage", properties={"filesystem": filesystem, "size": size, **properties}
    )


class Machine:
    """Nodes, storages, the models over them and the books: what a scheduler would join."""

    def __init__(
        self,
        nodes: Sequence[Resource],
        storages: Sequence[Resource],
        config: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self.nodes = nodes
        self.systems: FileSystems = make_filesystems(config or {}, nodes, storages, **more)
        self.ledger = Ledger(
            Storage(
                i,
                s.name,
                parse_size(s.property("size") or "0"),
                s.property("filesystem") or "",
                properties={},
            )
            for i, s in enumerate(self.systems.storages)
        )
        self.view = SystemView(self.ledger)
        self.rng = random.Random(1)
        self.kept: dict[str, int] = {}  # for tests: bytes by key

    def plan(self, nodes: Sequence[int], *volumes: Volume, job: str = "w0!1") -> tuple[IoPlan, ...] | Hold:
        return self.systems.plan(job, nodes, volumes, 0.0, float("inf"), self.view, self.rng)

    def plans(self, nodes: Sequence[int], *volumes: Volume, job: str = "w0!1") -> tuple[IoPlan, ...]:
        found = self.plan(nodes, *volumes, job=job)
        assert not isinstance(found, Hold), found.sentence()
        return found

    def one(self, nodes: Sequence[int], volume: Volume, job: str = "w0!1") -> IoPlan:
        return self.plans(nodes, volume, job=job)[0]

    def reserve(self, plan: IoPlan) -> Any:
        shares = tuple(Share(self.systems.position[p.storage], p.size) for p in plan.placements if p.size)
        return self.ledger.reserve(shares)
