"""Floyd and Dijkstra zones: the declared routes make a graph, the way with the fewest links is taken.

Ties go as SimGrid's loops let them go, so the search is done in its order. Elements that hang on the rest
by a single neighbour (hosts on a switch) can't change another pair's way; they are peeled off first, and a
platform of ten thousand hosts on one switch costs next to nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import pairwise

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.platform.model import Network, NoRouteError
from batfs.platform.routing import extend
from batfs.platform.zones import Declared, Hop, NetPoint, Path, Zone, already, follow

#: How many ways a zone remembers.
WAYS = 2**16

UNREACHED = 2**64 - 1  # SimGrid's cost of an unreached node, whose sums wrap around


class GraphZone(Zone):
    """What Floyd and Dijkstra share: the declared edges, and the peeling of dead ends."""

    advice: str | None = None

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        super().__init__(name, parent, network, line)
        self.edges: dict[tuple[int, int], Declared] = {}
        # peeled elements and the one neighbour each hung on
        self._hangs_on: dict[int, int] = {}
        self._core: list[int] = []

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
        if (src.rank, dst.rank) in self.edges:
            raise already(src, dst)
        if symmetrical and src is dst:
            raise InputError(
                f"the route from {src.name!r} to itself already exists as its own reverse",
                hint="say symmetrical='NO'",
            )
        self.edges[src.rank, dst.rank] = Declared([hop[0] for hop in hops], gw_src, gw_dst)
        if symmetrical:
            if (dst.rank, src.rank) in self.edges:
                raise already(dst, src, back=True)
            back = [hop[1] for hop in reversed(hops)]
            self.edges[dst.rank, src.rank] = Declared(back, gw_dst, gw_src)

    def declared(self) -> list[Declared]:
        return [*super().declared(), *self.edges.values()]

    def _peel(self) -> None:
        neighbours: list[set[int]] = [set() for _ in self.members]
        for a, b in self.edges:
            if a != b:
                neighbours[a].add(b)
                neighbours[b].add(a)
        leaves = [rank for rank, near in enumerate(neighbours) if len(near) == 1]
        while leaves:
            leaf = leaves.pop()
            if len(neighbours[leaf]) != 1:
                continue
            (root,) = neighbours[leaf]
            self._hangs_on[leaf] = root
            neighbours[leaf].clear()
            neighbours[root].discard(leaf)
            if len(neighbours[root]) == 1:
                leaves.append(root)
        self._core = [rank for rank in range(len(self.members)) if rank not in self._hangs_on]

    def _ascent(self, rank: int) -> list[int]:
        """From an element to the core element its dead end hangs on, both included."""
        way = [rank]
        while way[-1] in self._hangs_on:
            way.append(self._hangs_on[way[-1]])
        return way

    def _steps(self, src: int, dst: int) -> list[int]:
        """Elements on the way, both ends included; InputError when there is none."""
        up, down = self._ascent(src), self._ascent(dst)
        if up[-1] == down[-1]:
            while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
                up.pop()
                down.pop()
            return up + down[-2::-1]
        return up[:-1] + self._core_steps(up[-1], down[-1]) + down[-2::-1]

    def _core_steps(self, src: int, dst: int) -> list[int]:
        raise NotImplementedError

    def _edge(self, a: int, b: int, src: NetPoint, dst: NetPoint) -> Declared:
        found = self.edges.get((a, b))
        if found is None:
            raise self.no_route(src, dst)
        return found

    def no_route(self, src: NetPoint, dst: NetPoint) -> NoRouteError:
        return NoRouteError(
            f"no route from {src.name!r} to {dst.name!r} in the zone {self.name!r} "
            f"(routing {self.keyword!r}): no chain of declared routes joins them",
            hint=self.advice,
        )


class FloydZone(GraphZone):
    keyword = "Floyd"

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        super().__init__(name, parent, network, line)
        self._position: dict[int, int] = {}
        self._predecessor: np.ndarray[tuple[int, int], np.dtype[np.int64]] | None = None
        self._long_loop = False
        self._ways: dict[tuple[int, int], list[Declared]] = {}

    def seal(self, loopback: int) -> None:
        if not self.joins_zones:
            for rank in range(len(self.members)):
                self.edges.setdefault((rank, rank), Declared([loopback], None, None))
        # a declared loopback of three links or more can lose against a trip to a neighbour and back
        self._long_loop = any(a == b and len(route.links) > 2 for (a, b), route in self.edges.items())
        if self._long_loop:
            self._core = list(range(len(self.members)))
        else:
            self._peel()
        self._position = {rank: i for i, rank in enumerate(self._core)}

    def _search(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """Predecessors on the best ways between core elements; -1 where there is none."""
        size = len(self._core)
        far = np.int64(2**61)
        cost = np.full((size, size), far)
        predecessor = np.full((size, size), -1, dtype=np.int64)
        for (a, b), route in self.edges.items():
            if a in self._position and b in self._position:
                i, j = self._position[a], self._position[b]
                cost[i, j] = len(route.links)
                predecessor[i, j] = i
        for middle in range(size):
            through = cost[:, middle, None] + cost[None, middle, :]
            better = (through < cost) & (cost[:, middle, None] < far) & (cost[None, middle, :] < far)
            np.copyto(cost, through, where=better)
            np.copyto(predecessor, np.broadcast_to(predecessor[middle], cost.shape), where=better)
        return predecessor

    def _core_steps(self, src: int, dst: int) -> list[int]:
        if self._predecessor is None:
            self._predecessor = self._search()
        way = [self._position[dst]]
        start = self._position[src]
        while True:
            before = int(self._predecessor[start, way[-1]])
            if before < 0:
                raise self.no_route(self.members[src], self.members[dst])
            way.append(before)
            if before == start:
                return [self._core[i] for i in reversed(way)]

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        routes = self._ways.get((src.rank, dst.rank))
        if routes is None:
            routes = self._way(src, dst)
        previous: NetPoint | None = None
        for route in routes:
            if self.joins_zones and previous is not None and previous is not route.gw_src:
                assert route.gw_src is not None
                extend(previous, route.gw_src, path)
            follow(self.network, route.links, path)
            previous = route.gw_dst
        if self.joins_zones:
            path.gw_src, path.gw_dst = routes[0].gw_src, routes[-1].gw_dst

    def _way(self, src: NetPoint, dst: NetPoint) -> list[Declared]:
        """The declared routes between two elements: the same ones serve all that is behind a gateway."""
        if src is dst:
            steps = self._core_steps(src.rank, dst.rank) if self._long_loop else [src.rank, src.rank]
        else:
            steps = self._steps(src.rank, dst.rank)
        routes = [self._edge(a, b, src, dst) for a, b in pairwise(steps)]
        if len(self._ways) >= WAYS:
            self._ways.clear()
        self._ways[src.rank, dst.rank] = routes
        return routes


class DijkstraZone(GraphZone):
    keyword = "Dijkstra"

    def __init__(self, name: str, parent: Zone | None, network: Network, line: int) -> None:
        super().__init__(name, parent, network, line)
        self._nodes: list[int] = []
        self._number: dict[int, int] = {}
        self._out: list[list[tuple[int, int]]] = []
        self._found: dict[int, list[int]] = {}

    def seal(self, loopback: int) -> None:
        # graph nodes are numbered as routes first name them
        for a, b in self.edges:
            for rank in (a, b):
                if rank not in self._number:
                    self._number[rank] = len(self._nodes)
                    self._nodes.append(rank)
        if not self.joins_zones:
            for rank in self._nodes:
                self.edges.setdefault((rank, rank), Declared([loopback], None, None))
        self._out = [[] for _ in self._nodes]
        for (a, b), route in self.edges.items():
            self._out[self._number[a]].append((self._number[b], len(route.links)))
        # one-way routes can leave nodes unreached, and those disturb SimGrid's search: see _search
        if all((b, a) in self.edges for a, b in self.edges):
            self._peel()
        else:
            self._core = list(range(len(self.members)))
            self.advice = (
                "routes that lead one way only can leave nodes unreached, which breaks SimGrid's Dijkstra "
                "for others too; declare both directions or use Floyd"
            )

    def _search(self, start: int) -> list[int]:
        """Predecessors on the best ways from a graph node.

        As in SimGrid an unreached node's cost wraps around when an edge is added to it, so that a node
        that leads here but can't be reached from here can take over a way (and break it).
        """
        costs = [UNREACHED] * len(self._nodes)
        costs[start] = 0
        before = [0] * len(self._nodes)
        queue = [(float(cost), node) for node, cost in enumerate(costs)]
        heapq.heapify(queue)
        while queue:
            node = heapq.heappop(queue)[1]
            for target, length in self._out[node]:
                cost = (length + costs[node]) & UNREACHED
                if cost < costs[target]:
                    before[target] = node
                    costs[target] = cost
                    heapq.heappush(queue, (float(cost), target))
        return before

    def _core_steps(self, src: int, dst: int) -> list[int]:
        start = self._number[src]
        before = self._found.get(start)
        if before is None:
            before = self._found[start] = self._search(start)
        way = [self._number[dst]]
        while way[-1] != start:
            nearer = before[way[-1]]
            if (self._nodes[nearer], self._nodes[way[-1]]) not in self.edges or len(way) > len(self._nodes):
                raise self.no_route(self.members[src], self.members[dst])
            way.append(nearer)
        return [self._nodes[i] for i in reversed(way)]

    def local_route(self, src: NetPoint, dst: NetPoint, path: Path) -> None:
        for point in (src, dst):
            if point.rank not in self._number:
                raise NoRouteError(
                    f"no route from {src.name!r} to {dst.name!r}: no route of the zone {self.name!r} "
                    f"(routing {self.keyword!r}) names {point.name!r}"
                )
        if src is dst:
            follow_back(self.network, self._edge(src.rank, src.rank, src, dst).links, path)
            return
        steps = self._steps(src.rank, dst.rank)
        later: NetPoint | None = None
        for a, b in zip(steps[-2::-1], steps[:0:-1], strict=False):
            route = self._edge(a, b, src, dst)
            if later is None:
                path.gw_dst = route.gw_dst
            elif self.joins_zones and route.gw_dst is not later:
                assert route.gw_dst is not None
                raise NoRouteError(
                    f"no route from {src.name!r} to {dst.name!r}: it enters the zone "
                    f"{self.members[b].name!r} at {route.gw_dst.name!r} and leaves it at {later.name!r}, "
                    f"which routing {self.keyword!r} can't join",
                    hint="SimGrid crashes here; use Floyd, or one gateway for both zoneRoutes",
                )
            follow_back(self.network, route.links, path)
            later = path.gw_src = route.gw_src


class DijkstraCacheZone(DijkstraZone):
    """The same ways; SimGrid remembers them, and so does batfs for both."""

    keyword = "DijkstraCache"


def follow_back(network: Network, links: Sequence[int], path: Path) -> None:
    """As SimGrid's Dijkstra composes: each hop goes before what is there, its links reversed."""
    path.links[:0] = reversed(links)
    latency, latencies = path.latency, network.latencies
    for link in links:
        latency += latencies[link]
    path.latency = latency
