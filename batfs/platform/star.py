"""Star-shaped zones: ``<cluster>``, ``<zone routing="Cluster">`` and Vivaldi clouds.

Each element has a list of links up to the hub and one down from it; a route is the source's up-list, then
the destination's down-list without the links already taken.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from batfs.errors import InputError
from batfs.platform.model import Network, NoRouteError
from batfs.platform.zones import Declared, Hop, NetPoint, Path, Zone

NOTHING: tuple[int, ...] = ()


class StarZone(Zone):
    keyword = "Cluster"

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        super().__init__(name, parent, network, line)
        self.up: dict[int, tuple[int, ...]] = {}
        self.down: dict[int, tuple[int, ...]] = {}
        self.loopback: dict[int, tuple[int, ...]] = {}

    def connect(self, point: NetPoint, up: Sequence[int], down: Sequence[int]) -> None:
        """Give an element its links to and from the hub."""
        self.up[point.rank] = tuple(up)
        self.down[point.rank] = tuple(down)

    def add_route(
        self,
        src: NetPoint,
        dst: NetPoint,
        hops: Sequence[Hop],
        *,
        gw_src: NetPoint | None = None,
        gw_dst: NetPoint | None = None,
        symmetrical: bool = True,
    ) -> None:
        if src is not dst:
            raise InputError(
                f"a zone with routing {self.keyword!r} takes no route from {src.name!r} to {dst.name!r}",
                hint="its hosts are joined by host_link; only a loopback (src = dst) may be declared",
            )
        if src.inner is not None:
            raise InputError(f"a zone with routing {self.keyword!r} can't join zones such as {src.name!r}")
        self.loopback[src.rank] = tuple(hop[0] for hop in hops)

    def declared(self) -> list[Declared]:
        return [*super().declared(), *(Declared(links, None, None) for links in self.loopback.values())]

    def ports(self, point: NetPoint) -> tuple[Hashable, tuple[int, ...], tuple[int, ...]] | None:
        return None, self.up.get(point.rank, NOTHING), self.down.get(point.rank, NOTHING)

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        if src.inner is not None or dst.inner is not None or src.zone is not self or dst.zone is not self:
            raise NoRouteError(
                f"no route from {src.name!r} to {dst.name!r}: "
                f"the zone {self.name!r} (routing {self.keyword!r}) can't join zones"
            )
        latency, latencies = path.latency, self.network.latencies
        if src is dst and src.rank in self.loopback:
            lists: tuple[tuple[int, ...], ...] = (self.loopback[src.rank],)
        else:
            lists = (self.up.get(src.rank, NOTHING), self.down.get(dst.rank, NOTHING))
        taken: list[int] = []
        for links in lists:
            for link in links:
                if link not in taken:
                    taken.append(link)
                    latency += latencies[link]
        path.links.extend(taken)
        path.latency = latency


class VivaldiZone(StarZone):
    """A star whose latencies come from coordinates: distance in a plane plus two heights, in ms."""

    keyword = "Vivaldi"

    def ports(self, point: NetPoint) -> tuple[Hashable, tuple[int, ...], tuple[int, ...]] | None:
        return None  # latencies differ from pair to pair

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        super().local_route(src, dst, path)
        ends = []
        for point in (src, dst):
            if point.coordinates is None:
                raise NoRouteError(
                    f"no route from {src.name!r} to {dst.name!r}: {point.name!r} in the Vivaldi zone "
                    f"{self.name!r} has no coordinates"
                )
            ends.append(point.coordinates)
        (x1, y1, z1), (x2, y2, z2) = ends
        plane = math.sqrt((x1 - x2) * (x1 - x2) + (y1 - y2) * (y1 - y2))
        path.latency += (plane + abs(z1) + abs(z2)) / 1000.0
