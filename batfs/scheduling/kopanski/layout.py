"""The machine of the experiment: a Dragonfly whose chassis each give their first node to a burst buffer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from batfs.scheduling.timeline import Shares, node_numbers


@dataclass(frozen=True)
class Layout:
    """``groups`` x ``chassis`` x ``routers`` x ``nodes`` hosts, numbered in that order.

    The first host of each chassis is a burst buffer of ``capacity`` bytes, the others compute. Compute nodes
    and burst buffers are both counted from 0 in the order of their host numbers. ``tight``: a node's bytes go
    to the fullest burst buffer with room, wherever it is, instead of the nearest.
    """

    groups: int = 3
    chassis: int = 4
    routers: int = 3
    nodes: int = 3
    capacity: int = 40_000_000_000
    tight: bool = False

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

    def buffers_of(self, nodes: int, share: int, free: list[int]) -> list[int] | None:
        """The burst buffer of each node of the bitset ``nodes``, ascending: one per node for all of its
        ``share`` bytes, the first in its order with room. None if a node finds none. Changes ``free``."""
        if self.tight:
            return self._fullest(nodes.bit_count(), share, free)
        per_chassis = self.hosts_per_chassis - 1
        chosen = []
        for node in node_numbers(nodes):
            for buffer in self.preferences[node // per_chassis]:
                if free[buffer] >= share:
                    free[buffer] -= share
                    chosen.append(buffer)
                    break
            else:
                return None
        return chosen

    def _fullest(self, count: int, share: int, free: list[int]) -> list[int] | None:
        chosen: list[int] = []
        while len(chosen) < count:
            # the lowest number of equally full ones
            fitting = [(room, buffer) for buffer, room in enumerate(free) if room >= share]
            if not fitting:
                return None
            buffer = min(fitting)[1]
            while len(chosen) < count and free[buffer] >= share:
                free[buffer] -= share
                chosen.append(buffer)
        return chosen

    def shares(self, buffers: list[int], share: int) -> Shares:
        """What a job with these burst buffers holds on each."""
        return tuple((b, share * buffers.count(b)) for b in sorted(set(buffers)))
