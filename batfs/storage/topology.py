"""A platform's network as the policies ``locality`` and ``max_bandwidth`` see it.

Routes are those of the platform file, as the simulator uses them. Answers are cached per compute node; what
changes is only how many transfers are under way at each storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from batfs.errors import InputError, unknown
from batfs.storage.interface import FloatArray, IntArray


class Topology(Protocol):
    """What is used of ``batfs.platform.Platform``."""

    @property
    def host_index(self) -> Mapping[str, int]: ...

    @property
    def links(self) -> Sequence[Any]: ...

    def route(self, src: int, dst: int) -> Any: ...


class _Routes(NamedTuple):
    """The links between one node and each storage, either way: the position of a ``storage`` and the index of
    a link in ``links``, storage by storage. ``reached``: the storages with any, and where each one's begin
    (``first``); ``missing``: those without a route."""

    storages: IntArray
    links: IntArray
    reached: IntArray
    first: IntArray
    missing: IntArray


class PlatformNetwork:
    """A :class:`~batfs.storage.interface.Network` over the storages called ``names``, in that order.

    ``transfers`` int64[m] is the owner's count of transfers under way at each storage, kept up to date.
    A storage without a route from a node is infinitely far from it, with no bandwidth.
    """

    def __init__(self, platform: Topology, names: Sequence[str], transfers: IntArray) -> None:
        self._platform = platform
        for name in names:
            if name not in platform.host_index:
                raise unknown("host of the platform file", name, platform.host_index)
        self._hosts = [platform.host_index[name] for name in names]
        self._transfers = transfers
        self._latencies: dict[str, FloatArray] = {}
        self._routes: dict[str, _Routes] = {}
        self._bandwidths: FloatArray = np.array([link.bandwidth for link in platform.links])
        self._shared = np.array([not link.fatpipe for link in platform.links], dtype=bool)

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
        for node in near:
            routes = self._route(node)
            # which transfers use a link that is met from elsewhere too is not known: each node by itself
            load = np.bincount(routes.links, self._transfers[routes.storages], len(self._bandwidths))
            left = self._bandwidths / (1.0 + load * self._shared)
            if len(routes.links):
                least = np.minimum.reduceat(left[routes.links], routes.first)
                out[routes.reached] = np.minimum(out[routes.reached], least)
            out[routes.missing] = 0.0
        return out

    def _latency(self, node: str) -> FloatArray:
        found = self._latencies.get(node)
        if found is None:
            source = self._platform.host_index[node]
            found = np.array([self._latency_of(source, host) for host in self._hosts], dtype=np.float64)
            self._latencies[node] = found
        return found

    def _latency_of(self, source: int, host: int) -> float:
        try:
            return float(self._platform.route(source, host).latency)
        except InputError:  # no route
            return float("inf")

    def _route(self, node: str) -> _Routes:
        found = self._routes.get(node)
        if found is None:
            source = self._platform.host_index[node]
            pairs: list[tuple[int, int]] = []
            missing: list[int] = []
            for position, host in enumerate(self._hosts):
                try:
                    there, back = self._platform.route(source, host), self._platform.route(host, source)
                except InputError:
                    missing.append(position)
                    continue
                pairs.extend((position, link) for link in sorted({*there.links, *back.links}))
            table: IntArray = np.array(pairs, dtype=np.int64).reshape(len(pairs), 2)
            reached, first = np.unique(table[:, 0], return_index=True)
            columns = (table[:, 0].copy(), table[:, 1].copy(), reached, first)
            found = self._routes[node] = _Routes(*columns, np.array(missing, dtype=np.int64))
        return found
