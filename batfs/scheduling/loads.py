"""What a transfer takes of the machine when it is alone: seconds, and bytes/s of each link.

The times are the simulator's (see ``docs/background/simulator.md``): latency once, then the slowest of its
shared links under all its bytes, of its fat pipes under each flow, of the window over each route, and of the
work that goes with it. Where the platform is unknown a storage's own bandwidths stand for links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.filesystems.interface import Topology
from batfs.records import record
from batfs.storage.interface import StorageView
from batfs.workload.model import IoProfile

#: Bytes of a TCP window: a transfer over a route of latency l moves at most so many bytes in 2 l seconds.
WINDOW = 4194304


@record
class Load:
    """``seconds`` alone; ``demand``: bytes/s that then go over each shared link, by number."""

    seconds: float
    demand: Mapping[int, float]


class Routes:
    """The routes between resources of the machine, by id. ``names`` of all of them."""

    def __init__(self, platform: Topology, names: Mapping[int, str]) -> None:
        self.platform = platform
        self._names = names
        self._known: dict[tuple[int, int], tuple[Sequence[int], float]] = {}

    def between(self, source: int, destination: int) -> tuple[Sequence[int], float]:
        """(links, latency in seconds); no links where nothing can be said."""
        key = source, destination
        found = self._known.get(key)
        if found is None:
            platform, names = self.platform, self._names
            at = platform.host_index
            try:
                route = platform.route(at[names[source]], at[names[destination]])
                found = tuple(route.links), float(route.latency)
            except InputError:
                found = (), 0.0
            self._known[key] = found
        return found

    def speed(self, resource: int) -> float:
        """Flop/s of a host; 0 if it isn't known."""
        hosts: Any = getattr(self.platform, "hosts", None)
        if hosts is None:
            return 0.0
        return float(hosts[self.platform.host_index[self._names[resource]]].speed)


class Loads:
    """Measures transfers. ``capacity``: bytes/s of each link that occurs in a load."""

    def __init__(self, routes: Routes | None, view: StorageView, positions: Mapping[int, int]) -> None:
        self._routes = routes
        self._view = view
        self._positions = positions
        self.capacity: dict[int, float] = {}

    def of(self, profile: IoProfile) -> Load:
        ids = profile.ids.tolist()
        flows = zip(
            [ids[k] for k in profile.sources.tolist()],
            [ids[k] for k in profile.destinations.tolist()],
            profile.volumes.tolist(),
            strict=True,
        )
        flops = {} if profile.flops is None else dict(zip(ids, profile.flops.tolist(), strict=True))
        if self._routes is None:
            return self._by_storages(list(flows))
        routes = self._routes
        links = routes.platform.links
        bytes_on: dict[int, float] = {}
        latest = longest = 0.0
        for source, destination, size in flows:
            route, latency = routes.between(source, destination)
            latest = max(latest, latency)
            longest = max(longest, 2 * latency * size / WINDOW)
            for link in route:
                if links[link].fatpipe:
                    longest = max(longest, size / links[link].bandwidth)
                else:
                    bytes_on[link] = bytes_on.get(link, 0.0) + size
        for resource, amount in flops.items():
            if amount > 0 and (speed := routes.speed(resource)) > 0:
                longest = max(longest, amount / speed)
        capacity = self.capacity
        for link, size in bytes_on.items():
            bandwidth = capacity[link] = float(links[link].bandwidth)
            longest = max(longest, size / bandwidth if bandwidth > 0 else float("inf"))
        return _load(latest + longest, longest, bytes_on)

    def _by_storages(self, flows: Sequence[tuple[int, int, float]]) -> Load:
        table = self._view.storages
        read, write = table.read_bandwidths, table.write_bandwidths
        bytes_on: dict[int, float] = {}
        for source, destination, size in flows:
            for resource, side in ((source, 0), (destination, 1)):
                place = self._positions.get(resource)
                if place is not None:
                    link = 2 * place + side
                    bytes_on[link] = bytes_on.get(link, 0.0) + size
        longest = 0.0
        for link, size in bytes_on.items():
            bandwidth = float((write if link % 2 else read)[link // 2])
            self.capacity[link] = float("inf") if np.isnan(bandwidth) else bandwidth
            longest = max(longest, size / self.capacity[link] if bandwidth else float("inf"))
        return _load(longest, longest, bytes_on)


def _load(seconds: float, longest: float, bytes_on: Mapping[int, float]) -> Load:
    if not 0 < longest < float("inf"):
        return Load(seconds, {})
    return Load(seconds, {link: size / longest for link, size in bytes_on.items()})
