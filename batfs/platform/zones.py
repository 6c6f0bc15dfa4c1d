"""Zones: what they hold and how each kind finds the way between two of its elements.

The rules are SimGrid 3.34's (``src/kernel/routing``). Latencies are added one link at a time in the order
SimGrid adds them, so that sums agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from batfs.errors import InputError
from batfs.platform.model import Network, NoRouteError

# one link of a declared route: (link on the way there, link on the way back)
Hop = tuple[int, int]


class NetPoint:
    """An end of routes: a host (``host`` >= 0), a router, or a zone seen from outside (``inner``)."""

    __slots__ = ("coordinates", "host", "inner", "name", "rank", "zone")

    def __init__(self, name: str, zone: Zone | None, *, host: int = -1, inner: Zone | None = None) -> None:
        self.name = name
        self.zone = zone
        self.host = host
        self.inner = inner
        self.coordinates: tuple[float, float, float] | None = None
        self.rank = -1
        if zone is not None:
            self.rank = len(zone.members)
            zone.members.append(self)


class Path:
    """A route under construction."""

    __slots__ = ("gw_dst", "gw_src", "latency", "links")

    def __init__(self, latency: float = 0.0) -> None:
        self.links: list[int] = []
        self.latency = latency
        self.gw_src: NetPoint | None = None
        self.gw_dst: NetPoint | None = None


class Declared:
    """A declared route or its reverse: links in order, and gateways when it joins zones."""

    __slots__ = ("gw_dst", "gw_src", "links")

    def __init__(self, links: Sequence[int], gw_src: NetPoint | None, gw_dst: NetPoint | None) -> None:
        self.links = tuple(links)
        self.gw_src = gw_src
        self.gw_dst = gw_dst


class Zone:
    """A zone of any kind; subclasses know its routing."""

    keyword = "None"

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        self.name = name
        self.parent = parent
        self.network = network
        self.line = line
        self.members: list[NetPoint] = []
        self.children: list[Zone] = []
        self.properties: dict[str, str] = {}
        self.bypass: dict[tuple[NetPoint, NetPoint], Declared] = {}
        self.netpoint = NetPoint(name, parent, inner=self)
        if parent is not None:
            parent.children.append(self)

    @property
    def joins_zones(self) -> bool:
        """True when its elements are zones, false when they are hosts and routers."""
        return bool(self.children)

    def encloses(self, point: NetPoint) -> bool:
        zone = point.zone
        while zone is not None:
            if zone is self:
                return True
            zone = zone.parent
        return False

    def all_properties(self) -> dict[str, str]:
        """Own properties over those of the enclosing zones."""
        above = {} if self.parent is None else self.parent.all_properties()
        return {**above, **self.properties}

    # -- declaring ------------------------------------------------------------------------------------

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
        raise InputError(f"the zone {self.name!r} (routing {self.keyword!r}) takes no routes")

    def add_bypass(
        self,
        src: NetPoint,
        dst: NetPoint,
        hops: Sequence[Hop],
        gw_src: NetPoint | None = None,
        gw_dst: NetPoint | None = None,
    ) -> None:
        """A one-way shortcut that goes before every other route."""
        _check_links(src, dst, hops)
        if (src, dst) in self.bypass:
            raise InputError(f"the bypass route from {src.name!r} to {dst.name!r} already exists")
        self.bypass[src, dst] = Declared([hop[0] for hop in hops], gw_src, gw_dst)

    def check_route(
        self,
        src: NetPoint,
        dst: NetPoint,
        hops: Sequence[Hop],
        gw_src: NetPoint | None,
        gw_dst: NetPoint | None,
    ) -> None:
        """SimGrid's checks of a route's ends, links and gateways."""
        _check_links(src, dst, hops)
        for end in (src, dst):
            if end.zone is not self:
                inside = end.zone.name if end.zone else "no zone"
                raise InputError(f"{end.name!r} is in the zone {inside!r}, not in {self.name!r}")
        if gw_src is None or gw_dst is None:
            for end in (src, dst):
                if end.inner is not None:
                    raise InputError(f"{end.name!r} is a zone; join zones with a zoneRoute")
            return
        for end, gateway in ((src, gw_src), (dst, gw_dst)):
            if end.inner is None:
                raise InputError(f"{end.name!r} is not a zone; a zoneRoute joins zones")
            if gateway.inner is not None:
                raise InputError(f"the gateway {gateway.name!r} is a zone; it has to be a host or a router")
            if not end.inner.encloses(gateway):
                inside = gateway.zone.name if gateway.zone else "no zone"
                raise InputError(f"the gateway {gateway.name!r} is in {inside!r}, not in {end.name!r}")
        if gw_src is gw_dst:
            raise InputError(f"a zoneRoute can't lead from {gw_src.name!r} to itself")

    def seal(self, loopback: int) -> None:
        """Called once everything is declared; ``loopback`` is the platform's default loopback link."""

    # -- asking ---------------------------------------------------------------------------------------

    def declared(self) -> list[Declared]:
        """Every route that the file declares in this zone."""
        return [*self.bypass.values()]

    def ports(self, point: NetPoint) -> tuple[Hashable, tuple[int, ...], tuple[int, ...]] | None:
        """(kind, links out, links in) of an element whose routes are out-links, a middle, in-links.

        The middle depends only on the kinds of the two ends and on the links they have in common. None
        when routes have no such shape here.
        """
        return None

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        """Append to ``path`` the way between two elements of this zone, and set its gateways."""
        raise NoRouteError(
            f"no route from {src.name!r} to {dst.name!r}: the zone {self.name!r} has routing 'None'"
        )


def _check_links(src: NetPoint, dst: NetPoint, hops: Sequence[Hop]) -> None:
    if not hops:
        raise InputError(f"the route from {src.name!r} to {dst.name!r} is empty; it needs a link_ctn")


def follow(network: Network, links: Sequence[int], path: Path) -> None:
    """Append links and add their latencies, one at a time."""
    path.links.extend(links)
    latency, latencies = path.latency, network.latencies
    for link in links:
        latency += latencies[link]
    path.latency = latency


def already(src: NetPoint, dst: NetPoint, *, back: bool = False) -> InputError:
    """The error for a route declared twice."""
    hint = (
        "the reverse is declared too: say symmetrical='NO' on both"
        if back
        else "routes are symmetrical by default: say symmetrical='NO' to declare each direction"
    )
    return InputError(f"the route from {src.name!r} to {dst.name!r} already exists", hint=hint)


class FullZone(Zone):
    """Every route is declared; between hosts an undeclared one is empty and free, as in SimGrid."""

    keyword = "Full"

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        super().__init__(name, parent, network, line)
        self.routes: dict[tuple[int, int], Declared] = {}

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
        self.check_route(src, dst, hops, gw_src, gw_dst)
        if (src.rank, dst.rank) in self.routes:
            raise already(src, dst)
        self.routes[src.rank, dst.rank] = Declared([hop[0] for hop in hops], gw_src, gw_dst)
        if symmetrical and src is not dst:
            if (dst.rank, src.rank) in self.routes:
                raise already(dst, src, back=True)
            back = [hop[1] for hop in reversed(hops)]
            self.routes[dst.rank, src.rank] = Declared(back, gw_dst, gw_src)

    def seal(self, loopback: int) -> None:
        if not self.joins_zones:
            for rank in range(len(self.members)):
                if (rank, rank) not in self.routes:
                    self.routes[rank, rank] = Declared([loopback], None, None)

    def declared(self) -> list[Declared]:
        return [*super().declared(), *self.routes.values()]

    def declares(self, src: NetPoint, dst: NetPoint) -> bool:
        """False for the pairs whose traffic is silently free."""
        return (src.rank, dst.rank) in self.routes

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        found = self.routes.get((src.rank, dst.rank))
        if found is not None:
            path.gw_src, path.gw_dst = found.gw_src, found.gw_dst
            follow(self.network, found.links, path)
