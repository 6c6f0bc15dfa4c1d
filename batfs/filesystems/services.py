"""Hosts that serve a file system without storing anything: I/O forwarding gateways and metadata servers.

Both are hosts of the compute role, because Batsim refuses work on a storage-role host; the scheduler keeps
them out of job allocations (``own_nodes``). A host becomes one by its properties in the platform,
``service`` = ``gateway`` or ``metadata`` and ``filesystem`` = the file system's name, or by being named in
the file system's options.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeAlias

from batfs._core.arrays import np
from batfs.errors import InputError, unknown
from batfs.filesystems.interface import Setup, Traffic, Volume

GatewayChoice: TypeAlias = Literal["round_robin", "random", "nearest"]


def service_nodes(setup: Setup, service: str, named: str) -> tuple[int, ...]:
    """Ids of the hosts that serve ``setup.name``: those ``named`` (names, spaces between), else those whose
    properties say so. InputError for a name that is no compute resource."""
    by_name = {node.name: node.id for node in setup.nodes}
    if named:
        for name in named.split():
            if name not in by_name:
                raise unknown(f"{service} host", name, by_name)
        return tuple(sorted({by_name[name] for name in named.split()}))
    return tuple(
        sorted(
            node.id
            for node in setup.nodes
            if node.property("service") == service and node.property("filesystem") == setup.name
        )
    )


class Gateways:
    """I/O forwarding: a job's nodes speak with ``per_job`` gateways, which speak with the storages.

    Node i of n uses the gateway i*g div n of the g chosen (neighbours share one). Which gateways a job gets:
    ``round_robin`` over all of them from job to job, ``random``, or ``nearest`` (least mean route latency
    to the job's nodes, ties to the lower id; needs the platform).
    Model: I. Ohta et al., "Optimization techniques at the I/O forwarding layer", CLUSTER 2010: what is
    shared is the gateway's network and nothing is cached.
    """

    def __init__(self, setup: Setup, ids: Sequence[int], per_job: int, choice: GatewayChoice) -> None:
        if not 1 <= per_job <= len(ids):
            raise InputError(
                f"gateways_per_job is {per_job}, expected 1 to {len(ids)} (the gateways there are)"
            )
        if choice == "nearest" and setup.platform is None:
            raise InputError("gateway_choice 'nearest' needs the platform file", hint="give it with -p")
        self.ids = tuple(ids)
        self.per_job = per_job
        self.choice = choice
        self._setup = setup
        self._names = {node.id: node.name for node in setup.nodes}
        self._next = 0

    def choose(self, nodes: Sequence[int], rng: random.Random, before: int = 0) -> tuple[int, ...]:
        """The job's gateways. ``round_robin`` moves on with ``started``, not here; so many jobs will start
        ``before`` this one."""
        g = len(self.ids)
        if self.choice == "round_robin":
            picked = [(self._next + before * self.per_job + k) % g for k in range(self.per_job)]
        elif self.choice == "random":
            pool = list(range(g))
            picked = [pool.pop(int(rng.random() * len(pool))) for _ in range(self.per_job)]
        else:
            picked = sorted(range(g), key=lambda k: (self._distance(self.ids[k], nodes), k))[: self.per_job]
        return tuple(sorted(self.ids[k] for k in picked))

    def started(self) -> None:
        self._next = (self._next + self.per_job) % len(self.ids)

    def _distance(self, gateway: int, nodes: Sequence[int]) -> float:
        platform = self._setup.platform
        assert platform is not None
        at = platform.host_index[self._names[gateway]]
        return sum(float(platform.route(platform.host_index[self._names[n]], at).latency) for n in nodes)

    def redirect(
        self, traffic: Traffic, nodes: Sequence[int], gateways: Sequence[int], *, reading: bool
    ) -> tuple[Traffic, Traffic]:
        """Traffic between nodes and storages as (storages and gateways, gateways and nodes)."""
        sources, destinations, sizes = traffic.columns
        place = np.searchsorted(np.asarray(nodes), destinations if reading else sources)
        gates = np.asarray(gateways, dtype=np.int64)[place * len(gateways) // len(nodes)]
        if reading:
            return Traffic(sources, gates, sizes), Traffic(gates, destinations, sizes)
        return Traffic(gates, destinations, sizes), Traffic(sources, gates, sizes)


class MetadataServers:
    """Metadata operations as work (flops) on the metadata servers, shared there by all jobs at once.

    A job that says how many operations it has (``Volume.operations``) has so many. Of others a file costs
    ``operations`` operations from each process that opens it: all nodes of a job for a ``shared`` file, one
    node for a ``per_node`` one. One operation is ``work`` flops, so that a server of speed s answers s / work
    operations a second. The work is split evenly over the servers.
    """

    def __init__(self, ids: Sequence[int], operations: int, work: float) -> None:
        if operations < 0 or work < 0:
            raise InputError("operations_per_file and operation_work must not be negative")
        self.ids = tuple(ids)
        self.operations = operations
        self.work = work

    def flops(self, volume: Volume, nodes: int) -> dict[int, float]:
        if volume.operations:
            count = sum(volume.operations.values())
        else:
            count = volume.files_of(nodes) * self.operations * (nodes if volume.pattern == "shared" else 1)
        amount = count * self.work
        return {server: amount / len(self.ids) for server in self.ids} if amount else {}
