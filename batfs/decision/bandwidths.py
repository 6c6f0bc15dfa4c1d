"""The links by which only storages are reached, and what of bandwidth is a storage's own."""

from __future__ import annotations

from batfs.errors import InputError
from batfs.platform import Machine, Platform


def own_links(platform: Platform, machine: Machine) -> dict[str, tuple[list[int], list[int]]]:
    """Of each storage the links of its routes from and to a node (its own, else the first) that lie between
    no two nodes, by its name: those that its bytes are read over, and written over."""
    nodes = [r for r in machine.resources if r.role != "storage"]
    between: set[int] = set()
    for k, node in enumerate(nodes):
        other = nodes[k - 1].host
        if other != node.host:
            between |= {*platform.route(node.host, other).links, *platform.route(other, node.host).links}
    near = {r.name: r.host for r in machine.resources}
    found = {}
    for storage in machine.storages:
        host = near.get(storage.properties.get("node", ""), nodes[0].host if nodes else None)
        if host is not None and host != storage.host:
            found[storage.name] = (
                [link for link in platform.route(storage.host, host).links if link not in between],
                [link for link in platform.route(host, storage.host).links if link not in between],
            )
    return found


def own_bandwidths(platform: Platform, machine: Machine) -> dict[str, tuple[float, float]]:
    """Bytes/s that each storage can be read and written with at most, by its name: the slowest of its own
    links. Storages without any are left out."""
    try:
        found = own_links(platform, machine)
    except InputError:  # a host that can't be reached: whoever needs it will say so
        return {}
    return {
        name: (
            min(platform.links[link].bandwidth for link in reads),
            min(platform.links[link].bandwidth for link in writes),
        )
        for name, (reads, writes) in found.items()
        if reads and writes
    }
