"""What a checked platform is measured by: bandwidths and latencies between nodes and storages, and all that a
baseline remembers.

A bandwidth "alone" is one node's transfer with nothing else going on; "all at once" is every node taking
part in one transfer of equal shares, as Batsim runs a job's I/O: all flows advance together, so the first
link to fill up stops them all. Both respect SimGrid's TCP window bound (``network/TCP-gamma``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batfs._core.arrays import np
from batfs.platform import settings
from batfs.platform.machine import Platform
from batfs.platform.model import Consumption
from batfs.platform.numbering import Machine, MachineResource

GAMMA = 4194304.0  # SimGrid's default for network/TCP-gamma, bytes
FORMAT = 1
MAX_FLOWS = 20_000_000  # nodes times storages that are measured one by one


@dataclass(frozen=True, slots=True)
class Measure:
    """bytes/s and s of one storage: from (read) and to (write) the nodes."""

    read_alone: float
    write_alone: float
    read_all: float
    write_all: float
    read_latency: float
    write_latency: float


def rate(platform: Platform, used: Consumption, total: float) -> float:
    """bytes/s of ``total`` bytes moved by one parallel task that uses ``used``; infinite when it's free."""
    slowest = 0.0
    if len(used.links):
        with np.errstate(divide="ignore"):
            slowest = float(np.max(used.weights / platform.bandwidths[used.links]))
    gamma = settings.number(platform.config, "network/TCP-gamma", GAMMA)
    slowest = max(slowest, 2 * used.latency_volume / gamma)
    return total / slowest if slowest > 0 else float("inf")


def between(platform: Platform, sources: Sequence[int], targets: Sequence[int]) -> tuple[float, float]:
    """(bytes/s, largest latency) of one byte per flow, all at once."""
    used = platform.consume(sources, targets, np.ones(len(sources)))
    return rate(platform, used, float(len(sources))), used.latency


def measure(platform: Platform, nodes: Sequence[int], storage: int, near: int | None) -> Measure:
    """One storage against all nodes; ``near`` is the node a local disk belongs to, measured alone."""
    alone = nodes[0] if near is None else near
    everywhere = [storage] * len(nodes)
    read_alone, read_latency = between(platform, [storage], [alone])
    write_alone, write_latency = between(platform, [alone], [storage])
    read_all, _ = between(platform, everywhere, nodes)
    write_all, _ = between(platform, nodes, everywhere)
    return Measure(read_alone, write_alone, read_all, write_all, read_latency, write_latency)


def measured(machine: Machine) -> list[MachineResource]:
    """The storages worth measuring one by one: all, or evenly spread ones when that would take too long."""
    storages = machine.storages
    # where many nodes have ways of their own, each pair is a route to find
    kinds = {machine.platform.kind(node.host) for node in machine.compute}
    flows = MAX_FLOWS if len(kinds) <= 500 else MAX_FLOWS // 1000
    limit = max(5, flows // max(1, len(machine.compute)))
    if len(storages) <= limit:
        return storages
    return [storages[k * len(storages) // limit] for k in range(limit)]


def near_node(machine: Machine, storage: MachineResource) -> int | None:
    """Host index of the node a storage says it belongs to, if that is a compute node."""
    found = machine.by_name.get(storage.properties.get("node", ""))
    return found.host if found is not None and found.role == "compute_node" else None


def system_rates(machine: Machine, storages: Sequence[MachineResource]) -> tuple[float, float]:
    """(read, write) bytes/s of a whole file system when all nodes use it at once.

    Local disks serve their own nodes; otherwise nodes and storages are paired in turn until all have had
    their part.
    """
    platform, nodes = machine.platform, [r.host for r in machine.compute]
    local = [
        (storage.host, near) for storage in storages if (near := near_node(machine, storage)) is not None
    ]
    if len(local) == len(storages):
        pairs = local
    else:
        count = max(len(nodes), len(storages))
        pairs = [(storages[i % len(storages)].host, nodes[i % len(nodes)]) for i in range(count)]
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    return between(platform, ours, theirs)[0], between(platform, theirs, ours)[0]


def file_systems(machine: Machine) -> dict[str, list[MachineResource]]:
    """Storages by the name of their file system, as batfs groups them."""
    found: dict[str, list[MachineResource]] = {}
    for storage in machine.storages:
        found.setdefault(storage.properties.get("filesystem") or "storage", []).append(storage)
    return found


def pattern(name: str) -> str:
    """``node-17_cable_UP`` -> ``node-#_cable_UP``: names that differ in numbers only are of one kind."""
    return re.sub(r"\d+", "#", name)


def summary(machine: Machine, measures: Mapping[str, Measure]) -> dict[str, Any]:
    """What a baseline remembers of a platform, ready for JSON."""
    platform = machine.platform
    hosts = {
        resource.name: {
            "id": resource.id,
            "role": resource.role,
            "speed": list(platform.hosts[resource.host].speeds),
            "cores": platform.hosts[resource.host].cores,
            "properties": {k: v for k, v in sorted(resource.properties.items()) if k != "role"},
        }
        for resource in machine.resources
    }
    storages = {
        name: {key: getattr(measure, key) for key in Measure.__slots__}
        for name, measure in sorted(measures.items())
    }
    systems = {}
    for name, members in sorted(file_systems(machine).items()):
        read, write = system_rates(machine, members)
        systems[name] = {"storages": len(members), "read_all": read, "write_all": write}
    return {
        "format": FORMAT,
        "master": platform.hosts[machine.master].name,
        "hosts": hosts,
        "links": _links(platform),
        "storages": storages,
        "file_systems": systems,
    }


def _links(platform: Platform) -> dict[str, dict[str, Any]]:
    """By pattern of names: how many, what most are (bandwidth, latency, sharing), and the others."""
    groups: dict[str, dict[str, list[Any]]] = {}
    for link in platform.links:
        kind = [link.bandwidth, link.latency, "FATPIPE" if link.fatpipe else "SHARED"]
        groups.setdefault(pattern(link.name), {})[link.name] = kind
    told = {}
    for name, members in sorted(groups.items()):
        usual = list(Counter(map(tuple, members.values())).most_common(1)[0][0])
        others = {link: kind for link, kind in sorted(members.items()) if kind != usual}
        told[name] = {"count": len(members), "usual": usual, "others": others}
    return told
