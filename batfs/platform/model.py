"""The records of a machine: hosts, links, routes, and what a set of flows uses of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batfs._core.arrays import FloatArray as Floats
from batfs._core.arrays import IntArray as Indices
from batfs.errors import InputError
from batfs.records import field, record

NO_PROPERTIES: Final[Mapping[str, str]] = {}


class NoRouteError(InputError):
    """No route between two hosts, where SimGrid would stop as well."""


@record(frozen=False, eq=False)
class Host:
    """A host: ``speeds`` in flop/s per core, one per pstate; ``zone`` is the name of the zone it is in.

    ``zone_properties`` are those of all enclosing zones, inner zones overriding outer ones (what Batsim
    calls so). ``line`` is where the platform file declares it.
    """

    index: int
    name: str
    speeds: tuple[float, ...]
    cores: int
    pstate: int
    properties: Mapping[str, str]
    zone: str
    zone_properties: Mapping[str, str]
    line: int

    @property
    def speed(self) -> float:
        """flop/s of one core in the initial pstate."""
        return self.speeds[self.pstate]


@record(frozen=False, eq=False)
class Link:
    """A link: ``bandwidth`` bytes/s, ``latency`` seconds; ``fatpipe`` links don't share their bandwidth.

    A SPLITDUPLEX link of the file is two of these, ``name_UP`` and ``name_DOWN``.
    """

    index: int
    name: str
    bandwidth: float
    latency: float
    fatpipe: bool
    properties: Mapping[str, str]
    line: int


@record
class Route:
    """Link indices in order, with repetitions, and the sum of latencies in seconds.

    The sum is taken in SimGrid's own order, so it is the same to the last bit; a limiter's latency is not
    in it, and a Vivaldi zone adds the distance of coordinates.
    """

    links: tuple[int, ...]
    latency: float


@record
class Consumption:
    """What a set of flows uses: distinct link indices and the bytes each carries.

    SHARED links carry the sum over flows (a link met twice in a route counts twice), FATPIPE links the
    largest. ``latency`` is the largest route latency (s), ``latency_volume`` the largest product of route
    latency and bytes (s * bytes), which SimGrid's TCP window bound needs.
    """

    links: Indices
    weights: Floats
    latency: float
    latency_volume: float


@record(frozen=False)
class Network:
    """Links under construction, by name; shared by all zones of a platform."""

    links: list[Link] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    by_name: dict[str, int] = field(default_factory=dict)
    split: dict[str, tuple[int, int]] = field(default_factory=dict)
    twin: dict[int, int] = field(default_factory=dict)

    def add(
        self,
        name: str,
        bandwidth: float,
        latency: float,
        *,
        fatpipe: bool = False,
        properties: Mapping[str, str] = NO_PROPERTIES,
        line: int = 0,
    ) -> int:
        """A new link's index; InputError when the name is taken."""
        if name in self.by_name:
            first = self.links[self.by_name[name]].line
            where = f" on line {first}" if first else " as the default loopback"
            raise InputError(f"the link {name!r} was already declared{where}")
        index = len(self.links)
        self.links.append(Link(index, name, bandwidth, latency, fatpipe, properties, line))
        self.latencies.append(latency)
        self.by_name[name] = index
        return index

    def add_pair(
        self,
        name: str,
        bandwidth: float,
        latency: float,
        *,
        properties: Mapping[str, str] = NO_PROPERTIES,
        line: int = 0,
        listed: bool = True,
    ) -> tuple[int, int]:
        """The two halves of a SPLITDUPLEX link; ``listed`` ones can be named with a direction in routes."""
        up = self.add(f"{name}_UP", bandwidth, latency, properties=properties, line=line)
        down = self.add(f"{name}_DOWN", bandwidth, latency, properties=properties, line=line)
        if listed:
            self.split[name] = (up, down)
        return up, down
