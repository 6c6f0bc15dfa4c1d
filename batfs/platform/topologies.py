"""Clusters whose links are made by rule and whose routes are computed: what all share, and the torus.

Link names, the order links are made in and the ways taken are SimGrid's, oddities included: limiters add
no latency; a Dragonfly forgets which chassis it is in after a green hop (it assumes the first one).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from batfs.errors import InputError
from batfs.platform.model import Network, NoRouteError
from batfs.platform.zones import NetPoint, Path, Zone
from batfs.records import field, record


@record(frozen=False)
class Counters:
    """SimGrid's process-wide counters, here one set per platform."""

    fat_tree_position: int = 0
    fat_tree_link: int = 0
    dragonfly_link: int = 0


@record(frozen=False)
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


def whole(text: str, what: str) -> int:
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
        own = src is dst and self.loopbacks
        hops = [self.loopbacks[src.rank]] if own else self.hops(src.rank, dst.rank)
        path.links += hops
        for link in hops:
            latency += latencies[link]
        path.latency = latency

    def hops(self, src: int, dst: int) -> list[int]:
        """The links from one node to another."""
        raise NotImplementedError


class TorusZone(ComputedZone):
    keyword = "Torus"

    def __init__(self, spec: ClusterSpec, parent: Zone | None, network: Network) -> None:
        super().__init__(spec, parent, network)
        self.dimensions = [whole(text, "a dimension") for text in spec.parameters.split(",")]
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

    def hops(self, src: int, dst: int) -> list[int]:
        found: list[int] = []
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
                    found.append(self.limiters[node])
                cable = self._cables[node][j][0] if rightward else self._cables[following][j][1]
                found.append(cable)
                node, here = following, beyond
        if self.limiters:
            found.append(self.limiters[dst])
        return found


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
