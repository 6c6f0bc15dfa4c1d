"""From the elements of a platform file to hosts, links and zones, with SimGrid's defaults and checks."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, Final

from batfs.errors import InputError, nearest, unknown
from batfs.platform import settings
from batfs.platform.model import Host, Network
from batfs.platform.star import StarZone, VivaldiZone
from batfs.platform.topologies import ClusterSpec, ComputedZone, Counters, expand_radical
from batfs.platform.xml import read_elements
from batfs.platform.zones import Hop, NetPoint, Zone
from batfs.units import parse_bandwidth, parse_speed, parse_time

# module and class of each kind of zone: a platform's own are imported
ROUTINGS: Final = {
    "Full": ("zones", "FullZone"),
    "Floyd": ("shortest", "FloydZone"),
    "Dijkstra": ("shortest", "DijkstraZone"),
    "DijkstraCache": ("shortest", "DijkstraCacheZone"),
    "Cluster": ("star", "StarZone"),
    "Vivaldi": ("star", "VivaldiZone"),
    "None": ("zones", "Zone"),
}
TOPOLOGIES: Final = {
    "TORUS": ("topologies", "TorusZone"),
    "FAT_TREE": ("fat_tree", "FatTreeZone"),
    "DRAGONFLY": ("dragonfly", "DragonflyZone"),
}
_BY_LOWER: Final = {name.lower(): where for name, where in ROUTINGS.items()}

DEFAULT_LOOPBACK = "__loopback__"

_bandwidth = lru_cache(maxsize=4096)(parse_bandwidth)
_time = lru_cache(maxsize=4096)(parse_time)


@lru_cache(maxsize=4096)
def _speeds(text: str) -> tuple[float, ...]:
    return tuple(parse_speed(part.strip()) for part in text.split(","))


def _imported(module: str, kind: str) -> Any:
    return getattr(importlib.import_module(f"batfs.platform.{module}"), kind)


def _integer(text: str, what: str, least: int) -> int:
    try:
        value = int(float(text)) if text == "0.0" else int(text)
    except ValueError:
        raise InputError(f"{what} must be a whole number, found {text!r}") from None
    if value < least:
        raise InputError(f"{what} must be {least} or more, found {text!r}")
    return value


class Builder:
    """Takes a platform's elements one by one; afterwards ``root``, ``hosts`` and ``network`` are complete."""

    def __init__(self, config: Mapping[str, str]) -> None:
        self.given = settings.checked(config)
        self.config = dict(self.given)
        self.network = Network()
        self.hosts: list[Host] = []
        self.points: dict[str, NetPoint] = {}
        self.zones: list[Zone] = []
        self.root: Zone | None = None
        self.notes: list[str] = []
        self.refused: list[tuple[int, str]] = []
        self.dropped: list[tuple[int, str]] = []
        self.disks: list[tuple[int, str, str]] = []
        self.clusters: list[tuple[range, range]] = []
        self.loopback = -1
        self._zone: Zone | None = None
        self._properties: list[dict[str, str]] = []
        self._hops: list[Hop] = []
        self._links_of_hosts: list[tuple[dict[str, str], int]] = []
        self._cabinets: list[tuple[dict[str, str], int]] = []
        self._backbone: tuple[dict[str, str], int] | None = None
        self._counters = Counters()
        self._old_routers: dict[str, Zone] = {}

    # -- reading --------------------------------------------------------------------------------------

    def read(self, path: str | os.PathLike[str]) -> None:
        """Read the file and seal all zones."""
        self.refused += read_elements(path, self.begin, self.end)
        self.seal(path)

    def seal(self, path: str | os.PathLike[str]) -> None:
        """To be called once every element was taken."""
        if self.root is None:
            raise InputError("the platform holds no zone", file=path)
        for zone in self.zones:
            zone.seal(self.loopback)

    def begin(self, tag: str, given: dict[str, str], line: int) -> None:
        """The beginning of an element, its attributes checked and complete."""
        if tag in ("zone", "AS"):
            self._open_zone(given, line)
        elif tag in ("host", "link", "cluster", "config", "disk"):
            self._properties.append({})
        elif tag == "prop":
            properties = self._properties[-1]
            properties.setdefault(given["id"], given["value"])
        elif tag == "link_ctn":
            self._hops.append(self._hop(given))
        elif tag == "router":
            self._here("router")
            point = self._add_point(given["id"])
            point.coordinates = _coordinates(given["coordinates"], given["id"])
        elif tag == "peer":
            self._peer(given, line)
        elif tag == "host_link":
            self._links_of_hosts.append((given, line))
        elif tag == "cabinet":
            self._cabinets.append((given, line))
        elif tag == "backbone":
            self._backbone = (given, line)
        elif tag == "platform":
            self._version(given["version"])

    def end(self, tag: str, given: dict[str, str], line: int) -> None:
        """The end of an element; what it encloses was taken before."""
        if tag == "host":
            self._host(given, self._properties.pop(), line)
        elif tag == "link":
            self._link(given, self._properties.pop(), line)
        elif tag in ("route", "zoneRoute", "ASroute", "bypassRoute", "bypassZoneRoute", "bypassASroute"):
            self._route(tag, given, line)
        elif tag in ("zone", "AS"):
            self._close_zone()
        elif tag == "cluster":
            self._made_alike(partial(self._cluster, given, self._properties.pop(), line))
        elif tag == "config":
            self._set_config(self._properties.pop())
        elif tag == "disk":
            self._properties.pop()
            self.disks.append((line, given["id"], ""))
            parse_bandwidth(given["read_bw"])
            parse_bandwidth(given["write_bw"])

    def _version(self, text: str) -> None:
        try:
            version = round(float(text) * 100)
        except (ValueError, OverflowError):
            raise InputError(f"the platform's version {text!r} is not a number") from None
        if not 400 <= version <= 410:
            raise InputError(f"the platform's version is {text!r}; expected 4 to 4.1")

    def _set_config(self, properties: dict[str, str]) -> None:
        for key in sorted(properties):
            settings.check(key, properties[key])
            # what the command line says stands
            self.config.setdefault(settings.canonical(key), properties[key])

    # -- zones ----------------------------------------------------------------------------------------

    def _here(self, what: str) -> Zone:
        if self._zone is None:
            raise InputError(f"a {what} has to be in a zone")
        return self._zone

    def _register_zone(self, zone: Zone) -> None:
        if zone.name in self.points:
            raise InputError(f"the zone's name {zone.name!r} is already taken")
        self.points[zone.name] = zone.netpoint
        self.zones.append(zone)
        if zone.parent is None:
            if self.root is not None:
                raise InputError(
                    f"a second outermost zone {zone.name!r}; put it and {self.root.name!r} into one zone"
                )
            self.root = zone
            bandwidth = settings.number(self.config, "network/loopback-bw", 1e10)
            latency = settings.number(self.config, "network/loopback-lat", 0.0)
            self.loopback = self.network.add(DEFAULT_LOOPBACK, bandwidth, latency, fatpipe=True)

    def _open_zone(self, given: dict[str, str], line: int) -> None:
        where = _BY_LOWER.get(given["routing"].lower())
        if where is None:
            if given["routing"].lower() == "wifi":
                raise InputError("routing 'Wifi' is not supported by batfs")
            raise unknown("routing", given["routing"], ROUTINGS)
        zone: Zone = _imported(*where)(given["id"], self._zone, self.network, line)
        self._register_zone(zone)
        self._zone = zone
        self._properties.append(zone.properties)

    def _close_zone(self) -> None:
        zone = self._here("zone")
        self._properties.pop()
        if type(zone) is StarZone:
            self._populate(zone)
        for leftovers, what in (
            (self._links_of_hosts, "host_link"),
            (self._cabinets, "cabinet"),
            ([self._backbone] if self._backbone else [], "backbone"),
        ):
            if leftovers:
                raise InputError(
                    f"<{what} id={leftovers[0][0]['id']!r}> is in the zone {zone.name!r} with routing "
                    f"{zone.keyword!r}; it belongs in one with routing 'Cluster'"
                )
        self._zone = zone.parent

    def _populate(self, zone: StarZone) -> None:
        """The links of a ``routing="Cluster"`` zone, made when it closes."""
        through: tuple[int, ...] = ()
        if self._backbone is not None:
            given, line = self._backbone
            self._backbone = None
            through = (
                self.network.add(
                    given["id"], _bandwidth(given["bandwidth"]), _time(given["latency"]), line=line
                ),
            )
        for given, line in self._links_of_hosts:
            point = self.points.get(given["id"])
            if point is None or point.host < 0 or point.zone is not zone:
                names = [member.name for member in zone.members if member.host >= 0]
                raise self._unknown_at(f"host of the zone {zone.name!r}", given["id"], names, line)
            up, down = (self._plain_link(given[way], line) for way in ("up", "down"))
            zone.connect(point, (up, *through), (*through, down))
        self._links_of_hosts.clear()
        for given, line in self._cabinets:
            self._made_alike(partial(self._cabinet, zone, through, given, line))
        self._cabinets.clear()

    def _cabinet(self, zone: StarZone, through: tuple[int, ...], given: dict[str, str], line: int) -> None:
        speeds = _speeds(given["speed"])
        bandwidth, latency = _bandwidth(given["bw"]), _time(given["lat"])
        for number in expand_radical(given["radical"]):
            name = f"{given['prefix']}{number}{given['suffix']}"
            point = self._new_host(name, speeds, 1, 0, {}, line)
            up = self.network.add(f"link_{name}_UP", bandwidth, latency, line=line)
            down = self.network.add(f"link_{name}_DOWN", bandwidth, latency, line=line)
            zone.connect(point, (up, *through), (*through, down))

    def _made_alike(self, make: Callable[[], None]) -> None:
        """Note which hosts and links one element makes: they are alike, and count as one."""
        hosts, links = len(self.hosts), len(self.network.links)
        make()
        self.clusters.append((range(hosts, len(self.hosts)), range(links, len(self.network.links))))

    # -- hosts and links ------------------------------------------------------------------------------

    def _add_point(self, name: str, host: int = -1) -> NetPoint:
        if name in self.points:
            raise InputError(f"the name {name!r} is already taken by another host, router or zone")
        point = self.points[name] = NetPoint(name, self._zone, host=host)
        return point

    def _new_host(
        self,
        name: str,
        speeds: tuple[float, ...],
        cores: int,
        pstate: int,
        properties: Mapping[str, str],
        line: int,
    ) -> NetPoint:
        zone = self._here("host")
        if pstate >= len(speeds):
            raise InputError(f"the host {name!r} starts in pstate {pstate}, but has {len(speeds)} speeds")
        index = len(self.hosts)
        point = self._add_point(name, index)
        # zone properties are filled in when all are known, see load_platform
        self.hosts.append(Host(index, name, speeds, cores, pstate, properties, zone.name, {}, line))
        return point

    def _host(self, given: dict[str, str], properties: dict[str, str], line: int) -> None:
        self._here("host")
        cores = _integer(given["core"], "core", 1)
        pstate = _integer(given["pstate"], "pstate", 0)
        self.disks = [(at, disk, host or given["id"]) for at, disk, host in self.disks]
        point = self._new_host(given["id"], _speeds(given["speed"]), cores, pstate, properties, line)
        point.coordinates = _coordinates(given["coordinates"], given["id"])

    def _peer(self, given: dict[str, str], line: int) -> None:
        zone = self._here("peer")
        if not isinstance(zone, VivaldiZone):
            raise InputError(f"<peer id={given['id']!r}> has to be in a zone with routing 'Vivaldi'")
        point = self._new_host(given["id"], (parse_speed(given["speed"]),), 1, 0, {}, line)
        point.coordinates = _coordinates(given["coordinates"], given["id"])
        down = _bandwidth(given["bw_in"])
        up_link = self.network.add(f"link_{point.name}_UP", _bandwidth(given["bw_out"]), 0.0, line=line)
        down_link = self.network.add(f"link_{point.name}_DOWN", down, 0.0, line=line)
        zone.connect(point, (up_link,), (down_link,))
        if given["lat"]:
            self.notes.append(
                f"line {line}: the latency of the peer {point.name!r} is ignored, as SimGrid does; "
                "use the third coordinate"
            )

    def _link(self, given: dict[str, str], properties: dict[str, str], line: int) -> None:
        self._here("link")
        policy = given["sharing_policy"]
        if policy == "WIFI":
            raise InputError(f"the link {given['id']!r}: sharing_policy 'WIFI' is not supported by batfs")
        bandwidth, latency = _bandwidth(given["bandwidth"]), _time(given["latency"])
        if policy in ("SPLITDUPLEX", "FULLDUPLEX"):
            self.network.add_pair(given["id"], bandwidth, latency, properties=properties, line=line)
        else:
            fatpipe = policy == "FATPIPE"
            self.network.add(
                given["id"], bandwidth, latency, fatpipe=fatpipe, properties=properties, line=line
            )

    def _cluster(self, given: dict[str, str], properties: dict[str, str], line: int) -> None:
        radicals = expand_radical(given["radical"])
        speeds = _speeds(given["speed"])
        cores = _integer(given["core"], "core", 1)
        split = given["sharing_policy"] in ("SPLITDUPLEX", "FULLDUPLEX")

        def optional(name: str, bandwidth: bool) -> float:
            return (_bandwidth if bandwidth else _time)(given[name]) if given[name] else 0.0

        spec = ClusterSpec(
            given["id"],
            radicals,
            _bandwidth(given["bw"]),
            _time(given["lat"]),
            split,
            given["topo_parameters"],
            optional("loopback_bw", True),
            optional("loopback_lat", False),
            optional("limiter_link", True),
            self._counters,
            line,
        )
        if given["topology"] == "FLAT":
            backbone = (optional("bb_bw", True), optional("bb_lat", False))
            self._flat(given, spec, backbone, speeds, cores, properties)
            return
        zone: ComputedZone = _imported(*TOPOLOGIES[given["topology"]])(spec, self._zone, self.network)
        self._register_zone(zone)
        outer, self._zone = self._zone, zone
        for rank in range(zone.size()):
            name = f"{given['prefix']}{spec.radicals[rank]}{given['suffix']}"
            self._new_host(name, speeds, cores, 0, properties, line)
            zone.add_node(rank)
        zone.finish()
        self._zone = outer
        names = [f"{given['prefix']}{radical}{given['suffix']}" for radical in spec.radicals[zone.size() :]]
        if names:
            self.dropped.append(
                (
                    line,
                    f"the radical of the cluster {given['id']!r} names {len(spec.radicals)} hosts, its "
                    f"{zone.keyword} topology has {zone.size()}: as in SimGrid, {_some(names)} "
                    f"{'does' if len(names) == 1 else 'do'} not exist",
                )
            )
        # a router SimGrid made for such clusters up to 3.26, accepted when a gateway names it
        router = given["router_id"] or f"{given['prefix']}{given['id']}_router{given['suffix']}"
        self._old_routers[router] = zone

    def _flat(
        self,
        given: dict[str, str],
        spec: ClusterSpec,
        backbone: tuple[float, float],
        speeds: tuple[float, ...],
        cores: int,
        properties: dict[str, str],
    ) -> None:
        network, line = self.network, spec.line
        zone = StarZone(spec.id, self._zone, network, line)
        zone.properties.update(properties)
        self._register_zone(zone)
        outer, self._zone = self._zone, zone
        through: tuple[int, ...] = ()
        if backbone[0] > 0 or backbone[1] > 0:
            fatpipe = given["bb_sharing_policy"] == "FATPIPE"
            through = (network.add(f"{spec.id}_backbone", *backbone, fatpipe=fatpipe, line=line),)
        for number in spec.radicals:
            point = self._new_host(
                f"{given['prefix']}{number}{given['suffix']}", speeds, cores, 0, properties, line
            )
            name = f"{spec.id}_link_{number}"
            if spec.has_loopback:
                loop = network.add(
                    f"{name}_loopback",
                    spec.loopback_bandwidth,
                    spec.loopback_latency,
                    fatpipe=True,
                    line=line,
                )
                zone.loopback[point.rank] = (loop,)
            limiter: tuple[int, ...] = ()
            if spec.limiter > 0:
                limiter = (network.add(f"{name}_limiter", spec.limiter, 0.0, line=line),)
            if spec.split_duplex:
                up, down = network.add_pair(name, spec.bandwidth, spec.latency, line=line)
            else:
                up = down = network.add(name, spec.bandwidth, spec.latency, line=line)
            zone.connect(point, (*limiter, up, *through), (*through, down, *limiter))
        router = given["router_id"] or f"{given['prefix']}{spec.id}_router{given['suffix']}"
        zone.connect(self._add_point(router), (), ())
        self._zone = outer

    # -- routes ---------------------------------------------------------------------------------------

    def _unknown_at(self, kind: str, name: str, known: list[str], line: int) -> InputError:
        close = nearest(name, known)
        hint = f"did you mean {close!r}?" if close else None
        return InputError(f"unknown {kind} {name!r}", place=f"line {line}", hint=hint)

    def _plain_link(self, name: str, line: int) -> int:
        found = self.network.by_name.get(name)
        if found is None:
            raise self._unknown_at("link", name, list(self.network.by_name), line)
        return found

    def _hop(self, given: dict[str, str]) -> Hop:
        name, direction = given["id"], given["direction"]
        if direction == "NONE":
            link = self.network.by_name.get(name)
            if link is not None:
                return link, link
            if name in self.network.split:
                raise InputError(f"the SPLITDUPLEX link {name!r} needs direction='UP' or 'DOWN'")
        else:
            pair = self.network.split.get(name)
            if pair is not None:
                return pair if direction == "UP" else (pair[1], pair[0])
            if name in self.network.by_name:
                raise InputError(f"the link {name!r} is not SPLITDUPLEX, so it has no direction {direction}")
        close = nearest(name, [*self.network.by_name, *self.network.split])
        raise InputError(f"unknown link {name!r}", hint=f"did you mean {close!r}?" if close else None)

    def _end_of_route(self, name: str, role: str, line: int) -> NetPoint:
        found = self.points.get(name)
        if found is not None:
            return found
        zone = self._old_routers.get(name)
        if zone is not None:
            gateway = next(member.name for member in zone.members)
            self.refused.append(
                (
                    line,
                    f"{name!r} is taken as a router of the {zone.keyword} cluster {zone.name!r} without "
                    "links of its own, as in SimGrid up to 3.26; newer versions make no such router: name "
                    f"a host such as {gateway!r} as gateway",
                )
            )
            point = self.points[name] = NetPoint(name, zone)
            return point
        close = nearest(name, self.points)
        raise InputError(
            f"{role}={name!r} names no host, router or zone declared so far",
            hint=f"did you mean {close!r}?" if close else None,
        )

    def _route(self, tag: str, given: dict[str, str], line: int) -> None:
        zone = self._here("route")
        hops, self._hops = self._hops, []
        src, dst = (self._end_of_route(given[role], role, line) for role in ("src", "dst"))
        gw_src = gw_dst = None
        if "gw_src" in given:
            gw_src, gw_dst = (self._end_of_route(given[role], role, line) for role in ("gw_src", "gw_dst"))
        if tag.startswith("bypass"):
            zone.add_bypass(src, dst, hops, gw_src, gw_dst)
        else:
            zone.add_route(
                src,
                dst,
                hops,
                gw_src=gw_src,
                gw_dst=gw_dst,
                symmetrical=given["symmetrical"].upper() == "YES",
            )


def _some(names: list[str]) -> str:
    """``n12 to n23``, or the name when there is one."""
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _coordinates(text: str, name: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        x, y, z = (float(part) for part in text.split(" "))
    except ValueError:
        raise InputError(f"coordinates of {name!r} must be three numbers, found {text!r}") from None
    if not all(map(math.isfinite, (x, y, z))):
        raise InputError(f"coordinates of {name!r} must be finite, found {text!r}")
    return x, y, z
