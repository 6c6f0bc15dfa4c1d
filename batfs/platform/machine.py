"""The platform as the rest of batfs sees it, and how it is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path as FilePath

from batfs._core.arrays import FloatArray as Floats
from batfs._core.arrays import IntArray as Indices
from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.platform.build import Builder
from batfs.platform.consume import Consumer
from batfs.platform.model import Consumption, Host, Link, NoRouteError, Route
from batfs.platform.routing import extend
from batfs.platform.zones import NetPoint, Path, Zone

MAX_ROUTES = 1 << 17  # routes kept; above that all are forgotten and found again


class Platform:
    """Hosts, links, zones and routes of one SimGrid platform.

    ``hosts`` and ``links`` are in order of declaration (link 0 is the default loopback), ``config`` holds
    the effective SimGrid options, ``notes`` what a user should know about how the file was read, with the
    line: ``refused`` what SimGrid (and so Batsim) refuses, ``dropped`` hosts that it leaves out in silence;
    ``disks`` (line, id, host) are declared and used by nobody; ``clusters`` are the hosts and the links that
    one element each made.
    """

    def __init__(self, builder: Builder, file: FilePath) -> None:
        assert builder.root is not None
        self.file = file
        self.root: Zone = builder.root
        self.zones: list[Zone] = builder.zones
        self.hosts: list[Host] = builder.hosts
        self.links: list[Link] = builder.network.links
        self.config: dict[str, str] = builder.config
        self.notes: list[str] = [*builder.notes, *(text for _, text in builder.refused)]
        self.refused: list[tuple[int, str]] = builder.refused
        self.dropped: list[tuple[int, str]] = builder.dropped
        self.disks: list[tuple[int, str, str]] = builder.disks
        self.clusters: list[tuple[range, range]] = builder.clusters
        self.points: dict[str, NetPoint] = builder.points
        self.host_index: dict[str, int] = {host.name: host.index for host in self.hosts}
        self.link_index: dict[str, int] = builder.network.by_name
        self._host_points = [self.points[host.name] for host in self.hosts]
        self._routes: dict[int, Route] = {}
        self._consumer = Consumer(self._host_points, self.links, self.zones, self.route)

    @cached_property
    def bandwidths(self) -> Floats:
        """Of the links, bytes/s."""
        return np.array([link.bandwidth for link in self.links])

    @property
    def warnings(self) -> list[str]:
        """What whoever simulates on it should be told first: one sentence each, with the place."""
        said = [f"{self.file}: line {line}: {text} (Batsim refuses the file)" for line, text in self.refused]
        return said + [f"{self.file}: line {line}: {text}" for line, text in self.dropped]

    def route(self, src: int, dst: int) -> Route:
        """The way from one host to another (indices; equal ones give the self-route).

        Raises NoRouteError where SimGrid finds none (or crashes).
        """
        key = src * len(self.hosts) + dst
        found = self._routes.get(key)
        if found is None:
            path = Path()
            try:
                extend(self._host_points[src], self._host_points[dst], path)
            except NoRouteError as error:
                # name the hosts that were asked for, not the gateways in between
                asked = f"no route from {self.hosts[src].name!r} to {self.hosts[dst].name!r}"
                problem = error.problem if error.problem.startswith(asked) else f"{asked}: {error.problem}"
                raise NoRouteError(problem, file=self.file, hint=error.hint) from None
            if len(self._routes) >= MAX_ROUTES:
                self._routes.clear()
            found = self._routes[key] = Route(tuple(path.links), path.latency)
        return found

    def consume(
        self, src: Sequence[int] | Indices, dst: Sequence[int] | Indices, volumes: Sequence[float] | Floats
    ) -> Consumption:
        """What flows use: ``src`` and ``dst`` host indices, ``volumes`` bytes above 0, all of one length.

        Sums are taken in the order given. NoRouteError as for :meth:`route`.
        """
        return self._consumer.consume(src, dst, volumes)

    def kind(self, host: int) -> int:
        """Hosts of one kind have the same routes, but for links next to them that are theirs alone."""
        return self._consumer.kind(host)

    def ports(self, host: int) -> set[int]:
        """Those links of a host."""
        return self._consumer.ports(host)

    @property
    def consumer(self) -> Consumer:
        """What adds flows up, for code that needs its tables."""
        return self._consumer

    def host(self, name: str) -> Host:
        """The host of that name; InputError when there is none."""
        index = self.host_index.get(name)
        if index is None:
            raise InputError(f"no host named {name!r}", file=self.file)
        return self.hosts[index]


def load_platform(path: str | os.PathLike[str], *, config: Mapping[str, str] | None = None) -> Platform:
    """Read a SimGrid platform strictly; ``config`` are SimGrid options that go before the file's own.

    Raises InputError, with the line, for whatever SimGrid refuses and for what batfs doesn't simulate.
    """
    builder = Builder(config or {})
    builder.read(path)
    return platform_of(builder, FilePath(path))


def platform_of(builder: Builder, file: FilePath) -> Platform:
    """The platform that a builder has taken all elements of."""
    properties = {zone.name: zone.all_properties() for zone in builder.zones}
    for host in builder.hosts:
        host.zone_properties = properties[host.zone]
    return Platform(builder, file)
