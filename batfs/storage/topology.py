"""A platform's network as the policies ``locality`` and ``max_bandwidth`` see it.

Routes are those of the platform file, as the simulator uses them, and are found once for nodes of one kind,
which differ by their own links only; what changes is how many transfers are under way at each storage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from batfs._core.arrays import Integers, NDArray, np, shown
from batfs.errors import InputError, unknown
from batfs.records import record
from batfs.storage.interface import FloatArray, IntArray


class Topology(Protocol):
    """What is used of ``batfs.platform.Platform``."""

    @property
    def host_index(self) -> Mapping[str, int]: ...

    @property
    def links(self) -> Sequence[Any]: ...

    def route(self, src: int, dst: int) -> Any: ...

    def kind(self, host: int) -> int:
        """Hosts of one kind have the same routes, but for their own links (``ports``)."""
        ...

    def ports(self, host: int) -> set[int]: ...


@record
class _Routes:
    """The links between a node and each storage, either way.

    ``common`` are on the way to each storage that is ``reached`` over any. Of the others: the position of
    its storage and its place in ``bandwidths``, storage by storage (``narrow``: whether transfers share it);
    ``beyond``: the storages with such, and where each one's begin (``first``). ``missing``: storages without
    a route."""

    common: frozenset[int]
    reached: IntArray
    bandwidths: FloatArray
    narrow: NDArray[np.bool_]
    storages: IntArray
    places: IntArray
    beyond: IntArray
    first: IntArray
    missing: IntArray


class PlatformNetwork:
    """A :class:`~batfs.storage.interface.Network` over the storages called ``names``, in that order.

    ``transfers`` int64[m], or longer, is the owner's count of transfers under way at each storage, kept up to
    date.
    A storage without a route from a node is infinitely far from it, with no bandwidth.
    """

    def __init__(self, platform: Topology, names: Sequence[str], transfers: Integers) -> None:
        self._platform = platform
        for name in names:
            if name not in platform.host_index:
                raise unknown("host of the platform file", name, platform.host_index)
        self._hosts = [platform.host_index[name] for name in names]
        self._own = frozenset(self._hosts)  # a storage's way to itself is not that of its kind
        self._transfers = transfers
        self._latencies: dict[int, FloatArray] = {}
        self._routes: dict[int, tuple[int, _Routes]] = {}  # by kind: of which host
        self._met: dict[str, tuple[int, float, float]] = {}

    def distance(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m] seconds: mean over the nodes of the route's latency; None when no node is given."""
        if not near:
            return None
        total: FloatArray = np.zeros(len(self._hosts))
        for node in near:
            total += self._latency(node)
        return total / len(near)

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray | None:
        """float64[m] bytes/s: the smallest, over the nodes and the links of the routes to and from the
        storage, of bandwidth / (1 + transfers under way on the link), FATPIPE links at their bandwidth.

        A transfer at a storage is taken to use the links between that storage and these nodes: which node it
        really goes to is not known here, and the storage's own links are what transfers meet on.
        None when no node is given.
        """
        if not near:
            return None
        out: FloatArray = np.full(len(self._hosts), np.inf)
        slowest: dict[int, tuple[float, float]] = {}  # of the nodes that share routes
        for node in near:
            met = self._met.get(node)
            if met is None:
                met = self._met[node] = self._meet(self._platform.host_index[node])
            shared, narrow, fat = met
            before = slowest.get(shared)
            slowest[shared] = (
                (narrow, fat) if before is None else (min(narrow, before[0]), min(fat, before[1]))
            )
        transfers = shown(self._transfers)
        for shared, (narrow, fat) in slowest.items():
            # which transfers use a link that is met from elsewhere too is not known: each kind by itself
            routes = self._routes[shared][1]
            if len(routes.beyond):
                load = np.bincount(routes.places, transfers[routes.storages], len(routes.bandwidths))
                left = routes.bandwidths / (1.0 + load * routes.narrow)
                least = np.minimum.reduceat(left[routes.places], routes.first)
                out[routes.beyond] = np.minimum(out[routes.beyond], least)
            if len(routes.reached):
                most = min(fat, narrow / (1.0 + float(transfers[routes.reached].sum())))
                out[routes.reached] = np.minimum(out[routes.reached], most)
            out[routes.missing] = 0.0
        return out

    def _meet(self, host: int) -> tuple[int, float, float]:
        """(whose routes a host shares; of the links that all of its own cross, the least bandwidth of those
        that transfers share and of the FATPIPE ones)."""
        ports = self._platform.ports(host)
        shared = self._kind(host)
        found = self._routes.get(shared)
        if found is None:
            found = self._routes[shared] = host, self._routes_of(host)
        if found[0] != host and not self._platform.ports(found[0]) <= found[1].common:
            # a route into a zone may leave out a host's own links: it shares none then
            shared = -1 - host
            found = self._routes[shared] = host, self._routes_of(host)
        of, routes = found
        crossed = routes.common if of == host else (routes.common - self._platform.ports(of)) | ports
        links = [self._platform.links[link] for link in crossed]
        narrow = min([link.bandwidth for link in links if not link.fatpipe], default=math.inf)
        return shared, narrow, min([link.bandwidth for link in links if link.fatpipe], default=math.inf)

    def _kind(self, host: int) -> int:
        """What hosts with the same routes to the storages have in common; below 0 for a host alone."""
        return -1 - host if host in self._own else self._platform.kind(host)

    def _latency(self, node: str) -> FloatArray:
        host = self._platform.host_index[node]
        kind = self._kind(host)
        found = self._latencies.get(kind)
        if found is None:
            found = np.array([self._latency_of(host, storage) for storage in self._hosts], dtype=np.float64)
            self._latencies[kind] = found
        return found

    def _latency_of(self, source: int, host: int) -> float:
        try:
            return float(self._platform.route(source, host).latency)
        except InputError:  # no route
            return float("inf")

    def _routes_of(self, host: int) -> _Routes:
        ways: dict[int, set[int]] = {}
        missing: list[int] = []
        for position, storage in enumerate(self._hosts):
            try:
                there, back = self._platform.route(host, storage), self._platform.route(storage, host)
            except InputError:
                missing.append(position)
                continue
            if there.links or back.links:
                ways[position] = {*there.links, *back.links}
        common = frozenset(set.intersection(*ways.values()) if ways else ())
        pairs = [(position, link) for position, way in ways.items() for link in sorted(way - common)]
        table: IntArray = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
        links, places = np.unique(table[:, 1], return_inverse=True)
        storages = table[:, 0].copy()
        beyond, first = np.unique(storages, return_index=True)
        reached, without = np.array(list(ways), dtype=np.int64), np.array(missing, dtype=np.int64)
        bandwidths = np.array([self._platform.links[link].bandwidth for link in links.tolist()])
        narrow = np.array([not self._platform.links[link].fatpipe for link in links.tolist()], dtype=bool)
        return _Routes(common, reached, bandwidths, narrow, storages, places, beyond, first, without)
