"""StorAlloc's four policies as they are, for comparison, with the mistakes that define them.

They choose a server, a node, a disk in StorAlloc; here a group is a node (``server/node`` where there are
several servers), and a storage a disk. Their free space is capacity less *everything that overlaps the
window at any moment*, whether or not it is there at once. ``storalloc_random`` and ``storalloc_worst_fit``
don't ask whether the request fits: the ledger then refuses what they chose, and a replay counts that as
*failed*, not *refused*. Source: StorAlloc's description in its papers and its observed behaviour; none of its
code. One thing is put right: the draws are seeded.
"""

from __future__ import annotations

import math
import random
from typing import Final

from batfs._core.arrays import np
from batfs.storage.interface import Choice, IntArray, Share, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, draw
from batfs.storage.view import candidates

_GB: Final = 1e9  # StorAlloc's unit, in which it rounds


def overlap_free(view: StorageView, request: SpaceRequest) -> IntArray:
    """int64[m]: StorAlloc's free space; negative where reservations follow each other in the window."""
    return view.capacities - view.overlapping_bytes(request.start, request.end)


def _servers(view: StorageView, among: IntArray) -> list[list[list[int]]]:
    """Servers, their nodes, their disks (indices of storages), each in order of first appearance."""
    names, groups = view.storages.group_names, view.storages.groups
    servers: dict[str, dict[int, list[int]]] = {}
    for index in among.tolist():
        group = int(groups[index])
        server = names[group].rpartition("/")[0]
        servers.setdefault(server, {}).setdefault(group, []).append(index)
    return [list(nodes.values()) for nodes in servers.values()]


@POLICIES.register("storalloc_random")
class StorallocRandom:
    """A server drawn uniformly, then one of its nodes, then a disk; no look at any capacity."""

    name = "storalloc_random"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        servers = _servers(view, candidates(view, request))
        if not servers:
            return None
        nodes = servers[draw(rng, len(servers)) if len(servers) > 1 else 0]
        disks = nodes[draw(rng, len(nodes))]
        return (Share(disks[draw(rng, len(disks))], request.size),)


@POLICIES.register("storalloc_round_robin")
class StorallocRoundRobin:
    """The next server's next node's next disk, if it has *more* free space than asked.

    Each try moves on to the next server; the node moves on whenever the servers begin anew, and each node
    has a place in its disks of its own. A counter of failed tries outlives the request, granted ones too: at
    5 the next look refuses, and sets it back.
    """

    name = "storalloc_round_robin"
    tries = 5

    def __init__(self) -> None:
        self._server = 0
        self._node = -1
        self._disks: dict[tuple[int, int], int] = {}
        self._failed = 0

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        servers = _servers(view, candidates(view, request))
        if not servers:
            return None
        free = overlap_free(view, request)
        while self._failed < self.tries:
            server = self._server % len(servers)
            self._server += 1
            if server == 0:
                self._node += 1
            node = self._node % len(servers[server])
            disks = servers[server][node]
            visits = self._disks.get((server, node), 0)
            self._disks[server, node] = visits + 1
            index = disks[visits % len(disks)]
            if free[index] > request.size:
                return (Share(index, request.size),)
            self._failed += 1
        self._failed = 0
        return None


@POLICIES.register("storalloc_worst_fit")
class StorallocWorstFit:
    """The largest free percentage over the window; of ties one is drawn, the first with double weight.

    No check that the request fits.
    """

    name = "storalloc_worst_fit"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        disks = [
            disk for nodes in _servers(view, candidates(view, request)) for node in nodes for disk in node
        ]
        if not disks:
            return None
        free, capacities = overlap_free(view, request).tolist(), view.capacities.tolist()
        percent = [free[disk] * 100 / max(capacities[disk], 1) for disk in disks]
        best = max(percent)
        alike = [disk for disk, share in zip(disks, percent, strict=True) if share == best]
        alike.insert(0, alike[0])  # it is among the candidates twice
        return (Share(alike[draw(rng, len(alike))], request.size),)


@POLICIES.register("storalloc_worst_case")
class StorallocWorstCase:
    """The best expected bandwidth among disks with room, ties drawn.

    With D the request's duration, W a disk's write bandwidth, n the allocations that overlap it and m the
    longest overlap: ((D - m) W + m W / (n + 1)) / D, rounded to 3 digits of GB/s (W where there are none).
    The node's: its network less the read bandwidths of its busy disks if that is positive, else network /
    (busy disks + 1). The smaller of the two counts.
    """

    name = "storalloc_worst_case"

    def choose(self, view: StorageView, request: SpaceRequest, rng: random.Random) -> Choice | None:
        nodes = [node for nodes in _servers(view, candidates(view, request)) for node in nodes]
        room = np.maximum(overlap_free(view, request), 0)
        scores: dict[int, float] = {}
        bandwidth = _Bandwidth(view, request)
        for node in nodes:
            limit = bandwidth.node(node)
            for disk in node:
                if room[disk] >= request.size:
                    scores[disk] = min(bandwidth.disk(disk), limit)
        if not scores:
            return None
        best = max(scores.values())
        alike = [disk for disk, score in scores.items() if score == best]
        return (Share(alike[draw(rng, len(alike))], request.size),)


class _Bandwidth:
    """What StorAlloc expects disks and nodes to give a request, in GB/s."""

    def __init__(self, view: StorageView, request: SpaceRequest) -> None:
        self._duration = request.end - max(request.start, view.now)
        self._overlaps: list[int] = view.overlaps(request.start, request.end).tolist()
        self._longest: list[float] = view.longest_overlap(request.start, request.end).tolist()
        storages = view.storages
        self._write: list[float] = (storages.bandwidths("write", _GB) / _GB).tolist()
        self._read: list[float] = (storages.bandwidths("read", 0.0) / _GB).tolist()
        self._network: list[float] = (storages.bandwidths("network", math.inf) / _GB).tolist()

    def disk(self, disk: int) -> float:
        write, n = self._write[disk], self._overlaps[disk]
        if n == 0:
            return write
        whole, longest = self._duration, self._longest[disk]
        if whole == math.inf:  # an endless overlap is all of an endless window, any other nothing of it
            return round(write / (n + 1) if longest == math.inf else write, 3)
        return round(((whole - longest) * write + longest * (write / (n + 1))) / whole, 3)

    def node(self, disks: list[int]) -> float:
        busy = [disk for disk in disks if self._overlaps[disk] > 0]
        network = self._network[disks[0]]
        taken = sum(self._read[disk] for disk in busy)
        return network - taken if taken < network else network / (len(busy) + 1)
