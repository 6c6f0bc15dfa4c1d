"""Checks of routes and storages: what must hold on any platform with storages.

A platform whose storages carry none of batfs's properties is taken as plain Batsim's, and not asked for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from batfs.errors import InputError
from batfs.platform.measures import near_node
from batfs.platform.model import NoRouteError
from batfs.platform.numbering import MachineResource
from batfs.platform.subject import OWN, Finding, Subject, check
from batfs.units import format_bandwidth, format_size, parse_bandwidth, parse_part, parse_size

SLOW = 1.0  # seconds of a link's latency
NARROW = 1000.0  # bytes/s of a link
SMALL = 10**6  # bytes of a storage
HUGE = 2**63 - 1  # what is counted in 64 bits

# -- reaching -------------------------------------------------------------------------------------------


@check("route")
def reachable(subject: Subject) -> Iterator[Finding]:
    """Every node reaches every storage, and back."""
    missing: dict[int, tuple[str, int]] = {}
    for storage, node in subject.pairs:
        for src, dst in ((storage, node), (node, storage)):
            try:
                subject.platform.route(src, dst)
            except NoRouteError as error:
                message, count = missing.get(storage, (error.problem, 0))
                missing[storage] = (message, count + 1)
    for storage, (message, count) in missing.items():
        more = f" (and {count - 1} more)" if count > 1 else ""
        yield Finding("route", subject.name(storage), f"{message}{more}")
    yield from _master(subject)


def _master(subject: Subject) -> Iterator[Finding]:
    """Batsim's own messages go from the master to itself, and from the nodes of a job to the master."""
    master = subject.machine.master
    if master < 0:
        return
    name = subject.name(master)
    if subject.route(master, master) is None:
        zone = subject.platform.hosts[master].zone
        text = f"the zone {zone!r} gives it no route to itself, which Batsim's own messages take"
        yield Finding("route", name, text)
    for host in subject.kinds(subject.nodes):
        if subject.route(host, master) is None:
            text = f"no route from {subject.name(host)!r} to the master {name!r}"
            yield Finding("route", subject.name(host), text)
    for host in subject.kinds([storage.host for storage in subject.machine.storages]):
        if subject.route(host, master) is None:
            text = f"no route to the master {name!r}: only jobs that run on storages alone (staging) need one"
            yield Finding("route", subject.name(host), text, note=True)


@check("free-route")
def free_routes(subject: Subject) -> Iterator[Finding]:
    """No transfer is free: an undeclared route in a Full zone is, silently."""
    free: dict[int, list[str]] = {}
    for storage, node in subject.pairs:
        for src, dst in ((storage, node), (node, storage)):
            route = subject.route(src, dst)
            if route is not None and not route.links and route.latency == 0:
                free.setdefault(storage, []).append(f"from {subject.name(src)!r} to {subject.name(dst)!r}")
    for storage, ways in free.items():
        more = f" (and {len(ways) - 1} more)" if len(ways) > 1 else ""
        yield Finding(
            "free-route", subject.name(storage), f"no links {ways[0]}{more}: transfers cost nothing"
        )
    nodes = subject.kinds(subject.nodes)[:200]
    count, first = 0, ""
    for a in nodes:
        for b in nodes:
            if a != b:
                route = subject.route(a, b)
                if route is not None and not route.links and route.latency == 0:
                    count += 1
                    first = first or f"from {subject.name(a)!r} to {subject.name(b)!r}"
    if count and count < len(nodes) * (len(nodes) - 1):
        more = f" (and {count - 1} more)" if count > 1 else ""
        yield Finding("free-route", first.split("'")[1], f"no links {first}{more}: transfers cost nothing")
    elif count:
        # no network at all may be meant (workloads of delays)
        yield Finding("free-route", "nodes", "no network joins the nodes: transfers cost nothing", note=True)


@check("zero-bandwidth")
def zero_bandwidth(subject: Subject) -> Iterator[Finding]:
    """A link without bandwidth never lets anything through (a backbone with bb_lat alone is one)."""
    for link in subject.platform.links:
        if link.bandwidth == 0:
            yield Finding("zero-bandwidth", link.name, "its bandwidth is 0: what crosses it never ends")


@check("dropped-hosts")
def dropped_hosts(subject: Subject) -> Iterator[Finding]:
    """Every host that a cluster's radical names exists: a topology has as many as its parameters make."""
    for line, text in subject.platform.dropped:
        yield Finding("dropped-hosts", f"line {line}", text)


@check("disk")
def disks(subject: Subject) -> Iterator[Finding]:
    """SimGrid's ``<disk>`` moves nothing: a storage is a host with the role storage."""
    for line, disk, host in subject.platform.disks:
        text = (
            f"the <disk> {disk!r} of {host!r} is ignored by Batsim and batfs: a storage is a <host> with the "
            "role 'storage' of its own, joined to the node by a link for reads and one for writes"
        )
        yield Finding("disk", f"line {line}", text, note=bool(subject.machine.storages))


@check("plausible")
def plausible(subject: Subject) -> Iterator[Finding]:
    """Sizes, latencies and bandwidths are of this world: a forgotten unit is bytes, or seconds."""
    odd: dict[int, str] = {}
    for link in subject.platform.links:
        if link.latency >= SLOW:
            odd[link.index] = f"its latency is {link.latency:g} s; without a unit it is in seconds"
        elif 0 < link.bandwidth < NARROW:
            text = f"its bandwidth is {link.bandwidth:g} B/s; without a unit it is in bytes a second"
            odd[link.index] = text
    crossed: set[int] = set()
    for pair in subject.pairs if odd else []:
        for src, dst in (pair, pair[::-1]):
            route = subject.route(src, dst)
            crossed.update(odd.keys() & route.links if route is not None else ())
    for index, text in odd.items():
        # between nodes it may be meant (a site far away); no storage is like that
        name = subject.platform.links[index].name
        yield Finding("plausible", name, text, note=index not in crossed, told=True)
    for storage in subject.machine.storages:
        try:
            size = parse_size(storage.properties.get("size", ""))
        except InputError:
            continue
        if 0 < size < SMALL:
            text = f"its size is {size} B; without a unit it is in bytes"
            yield Finding("plausible", storage.name, text)
        if size > HUGE:
            yield Finding("plausible", storage.name, f"its size is {format_size(size)}, more than 9.2 EB")


# -- storages -------------------------------------------------------------------------------------------


def _own_links(subject: Subject, storage: MachineResource) -> tuple[set[int], set[int]]:
    """The links on the storage's side of its way out and of its way in (with its server's cables)."""
    far = subject.far[storage.name]
    others: set[int] = set()
    for a, b in ((far, subject.machine.master), (subject.machine.master, far), (far, subject.far_from(far))):
        for src, dst in ((a, b), (b, a)):
            route = subject.route(src, dst)
            others.update(route.links if route is not None else ())
    sides = []
    for src, dst in ((storage.host, far), (far, storage.host)):
        route = subject.route(src, dst)
        sides.append(set(route.links if route is not None else ()) - others)
    return sides[0], sides[1]


@check("direction")
def directions(subject: Subject) -> Iterator[Finding]:
    """Reads leave a storage over its read link, writes enter over its write link."""
    links = subject.platform.links
    for storage in subject.machine.storages:
        out, into = _own_links(subject, storage)
        for side, right, wrong, way in (
            (out, "read", "write", "from the storage to a node"),
            (into, "write", "read", "from a node to the storage"),
        ):
            for link in sorted(side):
                name = links[link].name.lower()
                if wrong in name and right not in name:
                    text = f"the way {way} goes over {links[link].name!r}"
                    yield Finding("direction", storage.name, text)


def _shared(storage: MachineResource) -> float | str | None:
    """The bandwidth that reads and writes of a storage share, if they do; or what is wrong with it."""
    for key, parse in (("mix_efficiency", parse_part), ("shared_bandwidth", parse_bandwidth)):
        text = storage.properties.get(key)
        if text is not None:
            try:
                value = parse(text)
            except InputError as error:
                return f"{key}: {error.problem}"
            if key == "shared_bandwidth":
                return value
            if "shared_bandwidth" not in storage.properties:
                return "it has a mix_efficiency, but no shared_bandwidth"
    return None


def _shared_link(
    subject: Subject,
    storage: MachineResource,
    shared: float,
    told: Mapping[str, float],
    sides: Mapping[str, Collection[int]],
) -> Iterator[Finding]:
    """``shared_bandwidth`` is that of one link which both directions go over; neither is quicker alone."""
    links = subject.platform.links
    both = set.intersection(*(set(side) for side in sides.values()))
    if not any(math.isclose(links[link].bandwidth, shared, rel_tol=0.01) for link in both):
        text = f"no link of {format_bandwidth(shared)} is on the ways of both its reads and its writes"
        yield Finding("bandwidth", storage.name, text)
    for key, value in told.items():
        if value > shared * 1.01:
            text = f"{key} is {format_bandwidth(value)}, more than the {format_bandwidth(shared)} it shares"
            yield Finding("bandwidth", storage.name, text)


@check("bandwidth")
def bandwidths(subject: Subject) -> Iterator[Finding]:
    """``read_bandwidth`` and ``write_bandwidth`` are those of links next to the storage."""
    links = subject.platform.links
    for storage in subject.machine.storages:
        keys = ("read_bandwidth", "write_bandwidth")
        told: dict[str, float] = {}
        for key in keys:
            text = storage.properties.get(key)
            if text is not None:
                try:
                    told[key] = parse_bandwidth(text)
                except InputError as error:
                    yield Finding("bandwidth", storage.name, f"{key}: {error.problem}")
        shared = _shared(storage)
        if isinstance(shared, str):
            yield Finding("bandwidth", storage.name, shared)
            continue
        sides = dict(zip(keys, _own_links(subject, storage), strict=True))
        real = {key: sorted(links[link].bandwidth for link in sides[key]) for key in keys}

        def among(value: float, known: list[float]) -> bool:
            return any(math.isclose(value, one, rel_tol=0.01) for one in known)

        if shared is not None:
            yield from _shared_link(subject, storage, shared, told, sides)
            continue
        off = [key for key in told if real[key] and not among(told[key], real[key])]
        if len(off) == 2 and among(told[keys[0]], real[keys[1]]) and among(told[keys[1]], real[keys[0]]):
            yield Finding("bandwidth", storage.name, "the links for reading and writing are swapped")
            continue
        for key in off:
            found = " and ".join(format_bandwidth(value) for value in real[key])
            yield Finding(
                "bandwidth", storage.name, f"{key} is {format_bandwidth(told[key])}, its links have {found}"
            )


@check("size")
def sizes(subject: Subject) -> Iterator[Finding]:
    """Every storage says how many bytes it holds and which file system it belongs to."""
    if subject.plain:
        return
    for storage in subject.machine.storages:
        text = storage.properties.get("size")
        if text is None:
            yield Finding("size", storage.name, "the property 'size' is missing")
        else:
            try:
                if parse_size(text) == 0:
                    yield Finding("size", storage.name, "its size is 0")
            except InputError as error:
                yield Finding("size", storage.name, f"size: {error.problem}")
        if not storage.properties.get("filesystem"):
            yield Finding("size", storage.name, "the property 'filesystem' is missing")


@check("property")
def properties(subject: Subject) -> Iterator[Finding]:
    """No property is a misspelling of one batfs knows."""
    for resource in subject.machine.resources:
        for key in resource.properties:
            if key in OWN:
                continue
            plain = key.lower().replace("-", "_")
            close = get_close_matches(plain, OWN, n=1, cutoff=0.8)
            squeezed = [own for own in OWN if own.replace("_", "") == plain.replace("_", "")]
            if close or squeezed:
                meant = (squeezed or close)[0]
                yield Finding("property", resource.name, f"unknown property {key!r}, did you mean {meant!r}?")


@check("role")
def roles(subject: Subject) -> Iterator[Finding]:
    """What looks like a storage has that role."""
    for resource in subject.machine.compute:
        if "size" in resource.properties and "service" not in resource.properties:
            yield Finding(
                "role", resource.name, "it has a size, but is a compute node: role 'storage' is missing"
            )


@check("node")
def local_disks(subject: Subject) -> Iterator[Finding]:
    """A local disk's node exists, and no other node is nearer to it."""
    many = len(subject.machine.storages) > 1000
    sample = subject.kinds(subject.nodes)[: 4 if many else 64]
    for storage in subject.machine.storages:
        name = storage.properties.get("node")
        if not name:
            continue
        near = near_node(subject.machine, storage)
        if near is None:
            yield Finding("node", storage.name, f"it belongs to {name!r}, which is no compute node")
            continue
        home = subject.route(storage.host, near)
        if home is None:
            continue
        for other in sample:
            route = subject.route(storage.host, other)
            if route is not None and other != near and len(route.links) < len(home.links):
                yield Finding(
                    "node", storage.name, f"it belongs to {name!r}, but is nearer to {subject.name(other)!r}"
                )
                break


@check("server")
def servers(subject: Subject) -> Iterator[Finding]:
    """Storages behind one server share a link that no other server's storages use."""
    groups: dict[str, list[MachineResource]] = {}
    for storage in subject.machine.storages:
        server = storage.properties.get("server")
        if server:
            groups.setdefault(server, []).append(storage)
    if len(groups) < 2 or not subject.nodes:
        return
    # towards one node for all, so that only the storages' side differs
    ways: dict[str, frozenset[int]] = {}
    users: Counter[int] = Counter()
    for members in groups.values():
        for storage in members:
            route = subject.route(storage.host, subject.nodes[0])
            ways[storage.name] = frozenset(route.links if route is not None else ())
            users.update(ways[storage.name])
    total = len(ways)
    for server, members in groups.items():
        votes: Counter[int] = Counter()
        for storage in members:
            votes.update(link for link in ways[storage.name] if 1 < users[link] < total)
        if len(members) < 2 or not votes:
            continue
        common, count = votes.most_common(1)[0]
        for storage in members:
            if common not in ways[storage.name] and 2 * count >= len(members):
                link = subject.platform.links[common].name
                yield Finding(
                    "server",
                    storage.name,
                    f"its server is {server!r}, but its way doesn't cross {link!r} as that of the others",
                )
