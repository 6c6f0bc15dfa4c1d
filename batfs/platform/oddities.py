"""Checks by comparison: of hosts and links that are alike in name, none is unlike the others. And notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from batfs.errors import InputError
from batfs.platform.measures import pattern
from batfs.platform.numbering import MachineResource
from batfs.platform.shortest import GraphZone
from batfs.platform.star import StarZone
from batfs.platform.subject import Finding, Subject, check
from batfs.platform.zones import NetPoint, Zone
from batfs.units import parse_size

ODD = 5.0  # a value that far from its many siblings is a fault

# -- the odd one out ------------------------------------------------------------------------------------


class _Likes:
    """What is compared with what: a cluster counts as one, and only beside clusters of as many hosts."""

    def __init__(self, subject: Subject) -> None:
        self._made: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._sizes: list[tuple[int, str]] = []
        roles = {resource.host: resource.role for resource in subject.machine.resources}
        for number, (hosts, links) in enumerate(subject.platform.clusters):
            self._made[0].update(dict.fromkeys(hosts, number))
            self._made[1].update(dict.fromkeys(links, number))
            self._sizes.append((len(hosts), roles.get(hosts.start, "")))

    def host(self, index: int) -> tuple[Any, Any]:
        """(what it is like, what it counts as one with)."""
        return self._of(self._made[0].get(index), index)

    def link(self, index: int) -> tuple[Any, Any]:
        return self._of(self._made[1].get(index), index)

    def _of(self, cluster: int | None, index: int) -> tuple[Any, Any]:
        return (None, ("one", index)) if cluster is None else (self._sizes[cluster], ("cluster", cluster))


def _odd_numbers(values: Mapping[str, tuple[float, tuple[Any, Any]]]) -> Iterator[tuple[str, float, float]]:
    """(name, its value, the usual one) for values far from what at least three quarters of its likes have.

    One name stands for those that count as one with it.
    """
    groups: dict[Any, dict[Any, str]] = {}
    for name, (_, (kind, unit)) in values.items():
        groups.setdefault((pattern(name), kind), {}).setdefault(unit, name)
    for units in groups.values():
        names = list(units.values())
        if len(names) < 4:
            continue
        usual, count = Counter(values[name][0] for name in names).most_common(1)[0]
        if 4 * count < 3 * len(names):
            continue
        for name in names:
            value = values[name][0]
            low, high = sorted((value, usual))
            if high > low * ODD:
                yield name, value, usual


@check("odd-one-out")
def odd_ones(subject: Subject) -> Iterator[Finding]:
    """Of links and hosts whose names differ in a number only, none is far from the others."""
    links, likes = subject.platform.links, _Likes(subject)
    for what, values in (
        ("bandwidth", {link.name: (link.bandwidth, likes.link(link.index)) for link in links}),
        ("latency", {link.name: (link.latency, likes.link(link.index)) for link in links}),
    ):
        for name, value, usual in _odd_numbers(values):
            yield Finding("odd-one-out", name, f"its {what} is {value:g}, that of its like {usual:g}")
    hosts = subject.platform.hosts
    speeds = {r.name: (hosts[r.host].speed, likes.host(r.host)) for r in subject.machine.compute}
    for name, value, usual in _odd_numbers(speeds):
        yield Finding("odd-one-out", name, f"its speed is {value:g}, that of its like {usual:g}")
    held: dict[str, tuple[float, tuple[Any, Any]]] = {}
    for storage in subject.machine.storages:
        try:
            size = float(parse_size(storage.properties.get("size", "")))
            held[storage.name] = size, likes.host(storage.host)
        except InputError:
            continue
    for name, value, usual in _odd_numbers(held):
        yield Finding("odd-one-out", name, f"its size is {value:g}, that of its like {usual:g}")
    groups: dict[str, list[MachineResource]] = {}
    for storage in subject.machine.storages:
        groups.setdefault(pattern(storage.name), []).append(storage)
    for members in groups.values():
        names = Counter(storage.properties.get("filesystem", "") for storage in members)
        common, count = names.most_common(1)[0]
        if len(members) < 4 or 4 * count < 3 * len(members):
            continue
        for storage in members:
            mine = storage.properties.get("filesystem", "")
            if mine and mine != common and names[mine] == 1:
                yield Finding(
                    "odd-one-out", storage.name, f"its file system is {mine!r}, that of its like {common!r}"
                )


@check("odd-way")
def odd_ways(subject: Subject) -> Iterator[Finding]:
    """Hosts alike in name hang on the rest by links of the same kinds, and by their own."""
    platform, machine = subject.platform, subject.machine
    names = {resource.name for resource in machine.resources}
    for zone in platform.zones:
        ways = _ways(zone)
        groups: dict[str, list[NetPoint]] = {}
        for point in zone.members:
            if point.name in names and point.rank in ways:
                groups.setdefault(pattern(point.name), []).append(point)
        for members in groups.values():
            kinds = {
                point: frozenset(
                    (way, pattern(end), tuple(pattern(platform.links[link].name) for link in links))
                    for way, end, links in ways[point.rank]
                )
                for point in members
            }
            usual, count = Counter(kinds.values()).most_common(1)[0]
            if len(members) >= 4 and 4 * count >= 3 * len(members):
                for point, kind in kinds.items():
                    if kind != usual:
                        yield Finding("odd-way", point.name, _odd_way(kind, usual))
            for point in members:
                for _, end, links in ways[point.rank]:
                    for link in links:
                        name = platform.links[link].name
                        other = _named_in(name, names)
                        if other and other not in (point.name, end) and pattern(other) == pattern(point.name):
                            yield Finding(
                                "odd-way", point.name, f"its way crosses {name!r}, the link of {other!r}"
                            )


Way = tuple[str, str, tuple[int, ...]]  # "out" or "in", the other end, the links


def _ways(zone: Zone) -> dict[int, list[Way]]:
    """By rank, the declared ways between an element and its neighbours (none in computed topologies)."""
    found: dict[int, list[Way]] = {}
    if isinstance(zone, StarZone):
        for rank, links in zone.up.items():
            found[rank] = [("out", "", links), ("in", "", zone.down.get(rank, ()))]
    elif isinstance(zone, GraphZone):
        for (a, b), route in zone.edges.items():
            if a != b:
                found.setdefault(a, []).append(("out", zone.members[b].name, route.links))
                found.setdefault(b, []).append(("in", zone.members[a].name, route.links))
    return found


def _odd_way(kind: frozenset[tuple[str, str, tuple[str, ...]]], usual: frozenset[Any]) -> str:
    def told(ways: frozenset[Any]) -> str:
        way, end, links = min(ways)
        return f"{way} over {' '.join(links) or 'nothing'}" + (f" ({end})" if end else "")

    if not kind - usual:
        return f"it lacks a way its like have: {told(usual - kind)}"
    if not usual - kind:
        return f"it has a way its like don't: {told(kind - usual)}"
    return f"it goes {told(kind - usual)}, its like {told(usual - kind)}"


def _named_in(link: str, names: set[str]) -> str | None:
    """The longest host name that begins the link's name (``node-3_cable`` -> ``node-3``)."""
    for end in range(len(link), 0, -1):
        if link[:end] in names and not link[end : end + 1].isalnum():
            return link[:end]
    return None


# -- notes ----------------------------------------------------------------------------------------------


@check("byte-order")
def byte_order(subject: Subject) -> Iterator[Finding]:
    """Batsim's ids follow names byte by byte: node-10 comes before node-2."""
    for resources in (subject.machine.compute, subject.machine.storages):
        numbers: dict[str, int] = {}
        for resource in resources:
            digits = "".join(c if c.isdigit() else " " for c in resource.name).split()
            key, number = pattern(resource.name), int(digits[-1]) if digits else 0
            if key in numbers and number < numbers[key]:
                yield Finding(
                    "byte-order",
                    resource.name,
                    f"ids of {key!r} don't follow the numbers (id {resource.id}); number from 100 or 1000",
                    note=True,
                )
                break
            numbers[key] = number


@check("unused-link")
def unused_links(subject: Subject) -> Iterator[Finding]:
    """Links on no way between resources (told only on request: some are meant)."""
    platform = subject.platform
    if len(subject.machine.resources) > 400:
        return
    used: set[int] = {platform.link_index["__loopback__"]}
    hosts = [resource.host for resource in subject.machine.resources]
    hosts += [subject.machine.master] if subject.machine.master >= 0 else []
    for a in hosts:
        for b in hosts:
            route = subject.route(a, b)
            if route is not None:
                used.update(route.links)
    for link in platform.links:
        if link.index not in used:
            yield Finding("unused-link", link.name, "no way between resources crosses it", note=True)
