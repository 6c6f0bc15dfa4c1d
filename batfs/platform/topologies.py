"""Torus, fat tree and Dragonfly clusters: links made by rule, routes computed, none declared.

Link names, the order links are made in and the ways taken are SimGrid's, oddities included: limiters add
no latency; a Dragonfly forgets which chassis it is in after a green hop (it assumes the first one).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import prod

from batfs.errors import InputError
from batfs.platform.model import Network, NoRouteError
from batfs.platform.zones import NetPoint, Path, Zone


@dataclass(slots=True)
class Counters:
    """SimGrid's process-wide counters, here one set per platform."""

    fat_tree_position: int = 0
    fat_tree_link: int = 0
    dragonfly_link: int = 0


@dataclass(slots=True)
class ClusterSpec:
    """The attributes of a ``<cluster>``: bytes/s and seconds; 0 stands for an absent option."""

    id: str
    radicals: list[int]
    bandwidth: float
    latency: float
    split_duplex: bool
    parameters: str
    loopback_bandwidth: float = 0.0
    loopback_latency: float = 0.0
    limiter: float = 0.0
    counters: Counters = field(default_factory=Counters)
    line: int = 0

    @property
    def has_loopback(self) -> bool:
        return self.loopback_bandwidth > 0 or self.loopback_latency > 0


def _whole(text: str, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise InputError(f"topo_parameters: {what} must be a whole number, found {text!r}") from None
    if value <= 0:
        raise InputError(f"topo_parameters: {what} must be above 0, found {text!r}")
    return value


class ComputedZone(Zone):
    """What the three share: private loopbacks and limiters of nodes, pairs of links."""

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec.id, parent, network, spec.line)
        self.spec = spec
        self.loopbacks: list[int] = []
        self.limiters: list[int] = []

    def size(self) -> int:
        """The number of hosts the topology needs."""
        raise NotImplementedError

    def check(self) -> None:
        if self.size() > len(self.spec.radicals):
            raise InputError(
                f"the topology of the cluster {self.name!r} needs {self.size()} hosts, "
                f"its radical names {len(self.spec.radicals)}"
            )
        if self.spec.bandwidth <= 0:
            raise InputError(f"the cluster {self.name!r} needs a bw above 0")

    def add_node(self, rank: int) -> None:
        """The private links of the node just created."""
        spec = self.spec
        if spec.has_loopback:
            name = f"{spec.id}_link_{spec.radicals[rank]}_loopback"
            link = self.network.add(
                name, spec.loopback_bandwidth, spec.loopback_latency, fatpipe=True, line=spec.line
            )
            self.loopbacks.append(link)
        if spec.limiter > 0:
            self.limiters.append(self.limiter(rank))

    def limiter(self, number: int) -> int:
        return self.network.add(
            f"{self.spec.id}_link_{number}_limiter", self.spec.limiter, 0.0, line=self.spec.line
        )

    def pair(self, name: str, times: int = 1) -> tuple[int, int]:
        """(up, down) of a new cable; the same link twice unless SPLITDUPLEX."""
        spec = self.spec
        bandwidth = spec.bandwidth * times
        if spec.split_duplex:
            return self.network.add_pair(name, bandwidth, spec.latency, line=spec.line, listed=False)
        link = self.network.add(name, bandwidth, spec.latency, line=spec.line)
        return link, link

    def finish(self) -> None:
        """Called when all nodes are there."""

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        if src.zone is not self or dst.zone is not self or src.host < 0 or dst.host < 0:
            if src.inner is None and dst.inner is None:
                return  # as in SimGrid, a router's local routes are empty
            raise NoRouteError(f"no route from {src.name!r} to {dst.name!r} in the zone {self.name!r}")
        latency, latencies = path.latency, self.network.latencies
        if src is dst and self.loopbacks:
            hops = [(self.loopbacks[src.rank], True)]
        else:
            hops = self.hops(src.rank, dst.rank)
        for link, counts in hops:
            path.links.append(link)
            if counts:
                latency += latencies[link]
        path.latency = latency

    def hops(self, src: int, dst: int) -> list[tuple[int, bool]]:
        """(link, whether its latency counts) from one node to another."""
        raise NotImplementedError


class TorusZone(ComputedZone):
    keyword = "Torus"

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec, parent, network)
        self.dimensions = [_whole(text, "a dimension") for text in spec.parameters.split(",")]
        self._strides = [prod(self.dimensions[:j]) for j in range(len(self.dimensions))]
        self._cables: list[list[tuple[int, int]]] = []
        self.check()

    def size(self) -> int:
        return prod(self.dimensions)

    def add_node(self, rank: int) -> None:
        super().add_node(rank)
        cables = []
        for size, stride in zip(self.dimensions, self._strides, strict=True):
            last = rank // stride % size == size - 1
            neighbour = rank - (size - 1) * stride if last else rank + stride
            cables.append(self.pair(f"{self.name}_link_from_{rank}_to_{neighbour}"))
        self._cables.append(cables)

    def hops(self, src: int, dst: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        node = src
        for j, (size, stride) in enumerate(zip(self.dimensions, self._strides, strict=True)):
            start, target = src // stride % size, dst // stride % size
            half = size // 2
            rightward = start < target <= start + half or (start > half and (start + half) % size >= target)
            here = start
            while here != target:
                beyond = (here + 1) % size if rightward else (here - 1) % size
                following = node + (beyond - here) * stride
                if self.limiters:
                    found.append((self.limiters[node], False))
                cable = self._cables[node][j][0] if rightward else self._cables[following][j][1]
                found.append((cable, True))
                node, here = following, beyond
        if self.limiters:
            found.append((self.limiters[dst], False))
        return found


class _TreeNode:
    __slots__ = ("children", "label", "level", "limiter", "number", "parents", "position")

    def __init__(self, number: int, level: int, position: int, label: list[int], limiter: int) -> None:
        self.number = number
        self.level = level
        self.position = position
        self.label = label
        self.limiter = limiter
        self.parents: list[tuple[_TreeNode, int]] = []
        self.children: list[tuple[_TreeNode, int]] = []


class FatTreeZone(ComputedZone):
    """``levels; children per level; parents per level; parallel cables per level``: d-mod-k routing."""

    keyword = "FatTree"

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec, parent, network)
        parts = spec.parameters.split(";")
        if len(parts) != 4:
            raise InputError(
                "topo_parameters of a FAT_TREE: levels;children,…;parents,…;cables,… "
                f"(such as '2;4,4;1,2;1,2'), found {spec.parameters!r}"
            )
        self.levels = _whole(parts[0], "the number of levels")
        vectors = []
        for text, what in zip(parts[1:], ("children", "parents", "cables"), strict=True):
            vector = [_whole(entry, f"the number of {what}") for entry in text.split(",")]
            if len(vector) != self.levels:
                raise InputError(
                    f"topo_parameters: {self.levels} levels, but {len(vector)} numbers of {what}"
                )
            vectors.append(vector)
        self.below, self.above, self.cables = vectors
        self._nodes: list[_TreeNode] = []
        self.check()
        if self.size() != len(spec.radicals):
            # SimGrid makes the tree's hosts and leaves the rest of the radical out
            spec.radicals = spec.radicals[: self.size()]

    def size(self) -> int:
        return prod(self.below)

    def _radices(self, level: int) -> list[int]:
        return [self.below[j] if j >= level else self.above[j] for j in range(self.levels)]

    def _label(self, level: int, position: int) -> list[int]:
        label = []
        for radix in self._radices(level):
            label.append(position % radix)
            position //= radix
        return label

    def add_node(self, rank: int) -> None:
        super().add_node(rank)
        limiter = self.limiters[rank] if self.limiters else -1
        position = self.spec.counters.fat_tree_position
        self.spec.counters.fat_tree_position += 1
        self._nodes.append(_TreeNode(rank, 0, position, self._label(0, rank), limiter))

    def finish(self) -> None:
        levels = [list(self._nodes)]
        number = 2 * len(self._nodes)
        for level in range(1, self.levels + 1):
            row = []
            for position in range(prod(self._radices(level))):
                number -= 1
                limiter = self.limiter(number) if self.limiters else -1
                row.append(_TreeNode(number, level, position, self._label(level, position), limiter))
            levels.append(row)
        counters = self.spec.counters
        for level in range(self.levels):
            children, parents, cables = self.below[level], self.above[level], self.cables[level]
            for node in levels[level]:
                node.parents = [(node, -1)] * (parents * cables)
            for node in levels[level + 1]:
                node.children = [(node, -1)] * (children * cables)
            radices = self._radices(level + 1)
            stride = prod(radices[:level])
            for node in levels[level]:
                base = sum(node.label[j] * prod(radices[:j]) for j in range(self.levels) if j != level)
                for k in range(parents):
                    above = levels[level + 1][base + k * stride]
                    for j in range(cables):
                        name = f"link_from_{node.number}_{above.number}_{counters.fat_tree_link}"
                        up, down = self.pair(name)
                        counters.fat_tree_link += 1
                        above.children[node.label[level] + j * children] = (node, down)
                        node.parents[above.label[level] + j * parents] = (above, up)

    def _over(self, root: _TreeNode, node: _TreeNode) -> bool:
        return root.level > node.level and root.label[root.level :] == node.label[root.level :]

    def hops(self, src: int, dst: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []
        source, target = self._nodes[src], self._nodes[dst]
        node = source
        while not self._over(node, target):
            choices = self.above[node.level] * self.cables[node.level]
            pick = target.position // prod(self.above[: node.level]) % choices
            if node.limiter >= 0:
                found.append((node.limiter, False))
            node, link = node.parents[pick]
            found.append((link, True))
        while node is not target:
            i = source.position % self.cables[node.level - 1] * self.below[node.level - 1]
            # SimGrid goes on counting in the child's ports from where it left the parent's
            while i < len(node.children):
                if i % self.below[node.level - 1] == target.label[node.level - 1]:
                    below, link = node.children[i]
                    found.append((link, True))
                    if node.limiter >= 0:
                        found.append((node.limiter, False))
                    node = below
                i += 1
        if node.limiter >= 0:
            found.append((node.limiter, False))
        return found


@dataclass(slots=True)
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
        self.groups = _whole(parts[0][0], "the number of groups")
        self.blue_cables = _whole(parts[0][1], "the number of cables between groups")
        self.chassis = _whole(parts[1][0], "the number of chassis per group")
        self.black_cables = _whole(parts[1][1], "the number of cables between chassis")
        self.blades = _whole(parts[2][0], "the number of blades per chassis")
        self.green_cables = _whole(parts[2][1], "the number of cables between blades")
        self.nodes = _whole(parts[3][0], "the number of nodes per blade")
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
        if not 0 <= point.rank < self.size():  # the zone's own router
            return None
        router, node = self._locate(point.rank)
        limiter = (self.limiters[point.rank],) if self.limiters else ()
        up, down = router.nodes[node]
        return point.rank // self.nodes, (*limiter, up), (down, *limiter)

    def _locate(self, rank: int) -> tuple[_Router, int]:
        return self.routers[rank // self.nodes], rank % self.nodes

    def hops(self, src: int, dst: int) -> list[tuple[int, bool]]:
        found: list[tuple[int, bool]] = []

        def through(router: _Router) -> None:
            if router.limiter >= 0:
                found.append((router.limiter, False))

        mine, my_node = self._locate(src)
        target, its_node = self._locate(dst)
        if self.limiters:
            found.append((self.limiters[src], False))
        found.append((mine.nodes[my_node][0], True))
        here = mine
        if target is not mine:
            if target.group != here.group:
                if here.blade != target.group:
                    through(here)
                    found.append((here.green[target.group], True))
                    here = self._at(mine.group, mine.chassis, target.group)
                if here.chassis != 0:
                    through(here)
                    found.append((here.black[0], True))
                    here = self._at(mine.group, 0, target.group)
                found.append((here.blue, True))
                through(here)
                here = self._at(target.group, 0, mine.group)
            if target.blade != here.blade:
                through(here)
                found.append((here.green[target.blade], True))
                here = self._at(target.group, 0, target.blade)
            if target.chassis != here.chassis:
                through(here)
                found.append((here.black[target.chassis], True))
        through(target)
        found.append((target.nodes[its_node][1], True))
        if self.limiters:
            found.append((self.limiters[dst], False))
        return found


TOPOLOGIES: dict[str, type[ComputedZone]] = {
    "TORUS": TorusZone,
    "FAT_TREE": FatTreeZone,
    "DRAGONFLY": DragonflyZone,
}


def expand_radical(text: str) -> list[int]:
    """``"0-2,7"`` -> 0, 1, 2, 7."""
    numbers: list[int] = []
    for group in text.split(","):
        ends = group.split("-")
        try:
            whole: Sequence[int] = [int(end) for end in ends]
        except ValueError:
            raise InputError(f"the radical {text!r} must look like '0-3,7'") from None
        if len(whole) > 2:
            raise InputError(f"the radical {text!r} must look like '0-3,7'")
        group_range = range(whole[0], whole[-1] + 1)
        if len(numbers) + len(group_range) > MAX_HOSTS:
            raise InputError(f"the radical {text!r} names more than {MAX_HOSTS} hosts")
        numbers.extend(group_range)
    return numbers


MAX_HOSTS = 2_000_000
