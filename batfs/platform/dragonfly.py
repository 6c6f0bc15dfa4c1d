"""Dragonflies: groups of chassis of blades of nodes, minimal routing."""

from __future__ import annotations

from collections.abc import Hashable

from batfs.errors import InputError
from batfs.platform.model import Network
from batfs.platform.topologies import ClusterSpec, ComputedZone, whole
from batfs.platform.zones import NetPoint, Zone
from batfs.records import field, record


@record(frozen=False)
class _Router:
    group: int
    chassis: int
    blade: int
    limiter: int
    nodes: list[tuple[int, int]] = field(default_factory=list)
    green: dict[int, int] = field(default_factory=dict)
    black: dict[int, int] = field(default_factory=dict)
    blue: int = -1


class DragonflyZone(ComputedZone):
    """``groups,cables;chassis,cables;blades,cables;nodes``: blue, black and green cables, minimal routing."""

    keyword = "Dragonfly"

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec, parent, network)
        parts = [part.split(",") for part in spec.parameters.split(";")]
        if [len(part) for part in parts] != [2, 2, 2, 1]:
            raise InputError(
                "topo_parameters of a DRAGONFLY: groups,cables;chassis,cables;blades,cables;nodes "
                f"(such as '3,2;2,1;3,1;2'), found {spec.parameters!r}"
            )
        self.groups = whole(parts[0][0], "the number of groups")
        self.blue_cables = whole(parts[0][1], "the number of cables between groups")
        self.chassis = whole(parts[1][0], "the number of chassis per group")
        self.black_cables = whole(parts[1][1], "the number of cables between chassis")
        self.blades = whole(parts[2][0], "the number of blades per chassis")
        self.green_cables = whole(parts[2][1], "the number of cables between blades")
        self.nodes = whole(parts[3][0], "the number of nodes per blade")
        self.routers: list[_Router] = []
        self.check()
        if self.groups > self.blades:
            raise InputError(
                f"a DRAGONFLY of {self.groups} groups needs at least as many blades per chassis, "
                f"found {self.blades}",
                hint="the cable to group n starts at blade n; SimGrid reads past its tables here",
            )

    def size(self) -> int:
        return self.groups * self.chassis * self.blades * self.nodes

    def _at(self, group: int, chassis: int, blade: int) -> _Router:
        return self.routers[(group * self.chassis + chassis) * self.blades + blade]

    def finish(self) -> None:
        number = 2 * self.size()
        for group in range(self.groups):
            for chassis in range(self.chassis):
                for blade in range(self.blades):
                    number -= 1
                    limiter = self.limiter(number) if self.limiters else -1
                    self.routers.append(_Router(group, chassis, blade, limiter))
        counters = self.spec.counters

        def cable(name: str, times: int) -> tuple[int, int]:
            made = self.pair(f"{name}_{counters.dragonfly_link}", times)
            counters.dragonfly_link += 1
            return made

        for i, router in enumerate(self.routers):
            router.nodes = [cable(f"local_link_from_router_{i}_to_node_{j}", 1) for j in range(self.nodes)]
        for i in range(self.groups * self.chassis):
            first = i * self.blades
            for j in range(self.blades):
                for k in range(j + 1, self.blades):
                    name = f"green_link_in_chassis_{i % self.chassis}_between_routers_{j}_and_{k}"
                    up, down = cable(name, self.green_cables)
                    self.routers[first + j].green[k] = up
                    self.routers[first + k].green[j] = down
        for i in range(self.groups):
            for j in range(self.chassis):
                for k in range(j + 1, self.chassis):
                    for blade in range(self.blades):
                        name = f"black_link_in_group_{i}_between_chassis_{j}_and_{k}_blade_{blade}"
                        up, down = cable(name, self.black_cables)
                        self._at(i, j, blade).black[k] = up
                        self._at(i, k, blade).black[j] = down
        for i in range(self.groups):
            for j in range(i + 1, self.groups):
                here = i * self.blades * self.chassis + j
                there = j * self.blades * self.chassis + i
                name = f"blue_link_between_group_{i}_and_{j}_routers_{here}_and_{there}"
                up, down = cable(name, self.blue_cables)
                self.routers[here].blue = up
                self.routers[there].blue = down

    def ports(self, point: NetPoint) -> tuple[Hashable, tuple[int, ...], tuple[int, ...]] | None:
        if len(self.members) > self.size():
            # an old-style router of its own: the way to it leaves out the hosts' links
            return None
        router, node = self._locate(point.rank)
        limiter = (self.limiters[point.rank],) if self.limiters else ()
        up, down = router.nodes[node]
        return point.rank // self.nodes, (*limiter, up), (down, *limiter)

    def _locate(self, rank: int) -> tuple[_Router, int]:
        return self.routers[rank // self.nodes], rank % self.nodes

    def hops(self, src: int, dst: int) -> list[int]:
        mine, my_node = self._locate(src)
        target, its_node = self._locate(dst)
        first, last = (self.limiters[src], self.limiters[dst]) if self.limiters else (-1, -1)
        found = [first, mine.nodes[my_node][0]]
        here = mine
        if target is not mine:
            if target.group != here.group:
                if here.blade != target.group:
                    found += (here.limiter, here.green[target.group])
                    here = self._at(mine.group, mine.chassis, target.group)
                if here.chassis != 0:
                    found += (here.limiter, here.black[0])
                    here = self._at(mine.group, 0, target.group)
                found += (here.blue, here.limiter)
                here = self._at(target.group, 0, mine.group)
            if target.blade != here.blade:
                found += (here.limiter, here.green[target.blade])
                here = self._at(target.group, 0, target.blade)
            if target.chassis != here.chassis:
                found += (here.limiter, here.black[target.chassis])
        found += (target.limiter, target.nodes[its_node][1], last)
        return found if self.limiters else [link for link in found if link >= 0]
