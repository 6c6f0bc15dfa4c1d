"""The machine of the experiment: a Dragonfly whose chassis each give their first node to a burst buffer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from batfs._core.nodes import positions
from batfs.scheduling.timeline import Shares

Pieces: TypeAlias = tuple[tuple[int, int, int], ...]
"""(position in the job's nodes, burst buffer, bytes): one a node, or several where a node's bytes are split;
nodes ascending."""


@dataclass(frozen=True)
class Layout:
    """``groups`` x ``chassis`` x ``routers`` x ``nodes`` hosts, numbered in that order.

    The first host of each chassis is a burst buffer of ``capacity`` bytes, the others compute. Compute nodes
    and burst buffers are both counted from 0 in the order of their host numbers. ``split``: a node's bytes
    may be split over several burst buffers where no single one has room for them.
    """

    groups: int = 3
    chassis: int = 4
    routers: int = 3
    nodes: int = 3
    capacity: int = 40_000_000_000
    split: bool = False

    @property
    def hosts_per_chassis(self) -> int:
        return self.routers * self.nodes

    @property
    def nb_buffers(self) -> int:
        return self.groups * self.chassis

    @property
    def nb_nodes(self) -> int:
        return self.nb_buffers * (self.hosts_per_chassis - 1)

    @cached_property
    def node_hosts(self) -> tuple[int, ...]:
        """The host number of each compute node."""
        size = self.hosts_per_chassis
        return tuple(host for host in range(self.nb_buffers * size) if host % size)

    @cached_property
    def buffer_hosts(self) -> tuple[int, ...]:
        """The host number of each burst buffer."""
        return tuple(range(0, self.nb_buffers * self.hosts_per_chassis, self.hosts_per_chassis))

    @cached_property
    def preferences(self) -> tuple[tuple[int, ...], ...]:
        """For a node of each chassis, the burst buffers in the order it tries them: its own, the others of
        its group, then those of other groups in the order of their host numbers *as text*."""
        by_text = sorted(range(self.nb_buffers), key=lambda b: str(self.buffer_hosts[b]))
        orders = []
        for own in range(self.nb_buffers):
            first = own - own % self.chassis
            group = range(first, first + self.chassis)
            orders.append((own, *(b for b in group if b != own), *(b for b in by_text if b not in group)))
        return tuple(orders)

    def pieces_of(self, nodes: int, share: int, free: list[int]) -> Pieces | None:
        """Burst buffers for ``share`` bytes of each node of the bitset ``nodes``, node by node: all in the
        first of its chassis' order with room for them, else, if that is allowed, over as few as possible
        (the roomiest first; the lowest number of equals). None if there is no room. Changes ``free``."""
        count = nodes.bit_count()
        if sum(free) < count * share:
            return None
        if share and not self.split and sum([room // share for room in free]) < count:
            return None
        per_chassis = self.hosts_per_chassis - 1
        pieces = []
        for k, node in enumerate(positions(nodes)):
            for buffer in self.preferences[node // per_chassis]:
                if free[buffer] >= share:
                    free[buffer] -= share
                    pieces.append((k, buffer, share))
                    break
            else:
                left = share
                while left:
                    buffer = free.index(max(free))
                    size = min(left, free[buffer])
                    free[buffer] -= size
                    left -= size
                    pieces.append((k, buffer, size))
        return tuple(pieces)

    def shares(self, pieces: Pieces) -> Shares:
        """What a job with these pieces holds on each burst buffer."""
        held: dict[int, int] = {}
        for _, buffer, size in pieces:
            held[buffer] = held.get(buffer, 0) + size
        return tuple(sorted(held.items()))
