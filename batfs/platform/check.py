"""What can be wrong with a platform that loads: the checks of ``batfs check``, one function each.

A check takes a :class:`Subject` and yields findings. Faults count; notes are told only on request. A
platform whose storages carry none of batfs's properties is taken as plain Batsim's, and not asked for them.
"""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from batfs.errors import InputError
from batfs.platform.machine import Platform, load_platform
from batfs.platform.measures import (
    Measure,
    file_systems,
    measure,
    measured,
    near_node,
    pattern,
    rate,
    summary,
)
from batfs.platform.model import NoRouteError, Route
from batfs.platform.numbering import Machine, MachineResource, number_resources
from batfs.platform.shortest import GraphZone
from batfs.platform.star import StarZone
from batfs.platform.zones import NetPoint, Zone
from batfs.units import format_bandwidth, parse_bandwidth, parse_size

MAX_PAIRS = 60_000  # pairs of kinds of hosts tried one by one; above that a sample is
ODD = 5.0  # a value that far from its many siblings is a fault
PROPERTIES = ("size", "filesystem", "node", "server", "rack", "read_bandwidth", "write_bandwidth")
OWN = (*PROPERTIES, "role", "model", "service")


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` names the rule, ``place`` what it is about (a host, a link, a line)."""

    check: str
    place: str
    message: str
    note: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.check}]"


@dataclass(slots=True)
class Report:
    """All findings of one platform; ``checks`` are those that could be made.

    ``summary`` is what a baseline keeps, None if the platform can't be numbered or routed.
    """

    file: str
    findings: list[Finding] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    machine: Machine | None = None
    measures: dict[str, Measure] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    loaded: bool = False

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.note]


class Subject:
    """A numbered platform and what several checks look at."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.platform: Platform = machine.platform
        self.nodes = [resource.host for resource in machine.compute]

    def name(self, host: int) -> str:
        return self.platform.hosts[host].name

    def route(self, src: int, dst: int) -> Route | None:
        try:
            return self.platform.route(src, dst)
        except NoRouteError:
            return None

    @cached_property
    def plain(self) -> bool:
        """True when no storage carries a property of batfs's."""
        return not any(key in storage.properties for storage in self.machine.storages for key in PROPERTIES)

    @cached_property
    def far(self) -> dict[str, int]:
        """For each storage a node that isn't its own (the first one otherwise)."""
        found = {}
        for storage in self.machine.storages:
            near = near_node(self.machine, storage)
            others = (node for node in self.nodes if node != near)
            found[storage.name] = next(others, self.nodes[0] if self.nodes else -1)
        return found

    def far_from(self, node: int) -> int:
        """Another compute node, when there is one."""
        return next((other for other in self.nodes if other != node), node)

    def kinds(self, hosts: Sequence[int]) -> list[int]:
        """One host of each kind: hosts of a kind have the same routes but for links of their own."""
        seen: dict[int, int] = {}
        for host in hosts:
            seen.setdefault(self.platform.kind(host), host)
        return list(seen.values())

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """(storage, node) host pairs that stand for all, or a sample when these are too many."""
        nodes = self.kinds(self.nodes)
        storages = self.kinds([storage.host for storage in self.machine.storages])
        if len(nodes) * len(storages) <= MAX_PAIRS:
            return [(storage, node) for storage in storages for node in nodes]
        rng = random.Random(0)
        near = [(s.host, n) for s in self.machine.storages if (n := near_node(self.machine, s)) is not None]
        first = [(storages[0], node) for node in nodes] + [(storage, nodes[0]) for storage in storages]
        drawn = [(rng.choice(storages), rng.choice(nodes)) for _ in range(MAX_PAIRS // 4)]
        return list(dict.fromkeys([*near, *first, *drawn]))


Check = Callable[[Subject], Iterator[Finding]]
CHECKS: dict[str, Check] = {}


def _check(name: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


# -- reaching -------------------------------------------------------------------------------------------


@_check("route")
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
    master = subject.machine.master
    for host in subject.kinds([resource.host for resource in subject.machine.resources]):
        for src, dst in ((host, master), (master, host)):
            if subject.route(src, dst) is None:
                yield Finding(
                    "route",
                    subject.name(host),
                    f"no route from {subject.name(src)!r} to {subject.name(dst)!r}",
                )
                break


@_check("free-route")
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


@_check("zero-bandwidth")
def zero_bandwidth(subject: Subject) -> Iterator[Finding]:
    """A link without bandwidth never lets anything through (a backbone with bb_lat alone is one)."""
    for link in subject.platform.links:
        if link.bandwidth == 0:
            yield Finding("zero-bandwidth", link.name, "its bandwidth is 0: what crosses it never ends")


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


@_check("direction")
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


@_check("bandwidth")
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
        sides = dict(zip(keys, _own_links(subject, storage), strict=True))
        real = {key: sorted(links[link].bandwidth for link in sides[key]) for key in keys}

        def among(value: float, known: list[float]) -> bool:
            return any(math.isclose(value, one, rel_tol=0.01) for one in known)

        off = [key for key in told if real[key] and not among(told[key], real[key])]
        if len(off) == 2 and among(told[keys[0]], real[keys[1]]) and among(told[keys[1]], real[keys[0]]):
            yield Finding("bandwidth", storage.name, "the links for reading and writing are swapped")
            continue
        for key in off:
            found = " and ".join(format_bandwidth(value) for value in real[key])
            yield Finding(
                "bandwidth", storage.name, f"{key} is {format_bandwidth(told[key])}, its links have {found}"
            )


@_check("size")
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


@_check("property")
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


@_check("role")
def roles(subject: Subject) -> Iterator[Finding]:
    """What looks like a storage has that role."""
    for resource in subject.machine.compute:
        if "size" in resource.properties and "service" not in resource.properties:
            yield Finding(
                "role", resource.name, "it has a size, but is a compute node: role 'storage' is missing"
            )


@_check("node")
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


@_check("server")
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


# -- the odd one out ------------------------------------------------------------------------------------


def _odd_numbers(values: Mapping[str, float]) -> Iterator[tuple[str, float, float]]:
    """(name, its value, the usual one) for values far from what at least three quarters have."""
    groups: dict[str, list[str]] = {}
    for name in values:
        groups.setdefault(pattern(name), []).append(name)
    for names in groups.values():
        if len(names) < 4:
            continue
        usual, count = Counter(values[name] for name in names).most_common(1)[0]
        if 4 * count < 3 * len(names):
            continue
        for name in names:
            value = values[name]
            low, high = sorted((value, usual))
            if high > low * ODD:
                yield name, value, usual


@_check("odd-one-out")
def odd_ones(subject: Subject) -> Iterator[Finding]:
    """Of links and hosts whose names differ in a number only, none is far from the others."""
    links = subject.platform.links
    for what, values in (
        ("bandwidth", {link.name: link.bandwidth for link in links}),
        ("latency", {link.name: link.latency for link in links}),
    ):
        for name, value, usual in _odd_numbers(values):
            yield Finding("odd-one-out", name, f"its {what} is {value:g}, that of its like {usual:g}")
    speeds = {r.name: subject.platform.hosts[r.host].speed for r in subject.machine.compute}
    for name, value, usual in _odd_numbers(speeds):
        yield Finding("odd-one-out", name, f"its speed is {value:g}, that of its like {usual:g}")
    held: dict[str, float] = {}
    for storage in subject.machine.storages:
        try:
            held[storage.name] = float(parse_size(storage.properties.get("size", "")))
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


@_check("odd-way")
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


@_check("byte-order")
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


@_check("unused-link")
def unused_links(subject: Subject) -> Iterator[Finding]:
    """Links on no way between resources (told only on request: some are meant)."""
    platform = subject.platform
    if len(subject.machine.resources) > 400:
        return
    used: set[int] = {platform.link_index["__loopback__"]}
    hosts = [*(resource.host for resource in subject.machine.resources), subject.machine.master]
    for a in hosts:
        for b in hosts:
            route = subject.route(a, b)
            if route is not None:
                used.update(route.links)
    for link in platform.links:
        if link.index not in used:
            yield Finding("unused-link", link.name, "no way between resources crosses it", note=True)


# -- all together ---------------------------------------------------------------------------------------


def check_platform(
    path: str | os.PathLike[str],
    *,
    master: str = "master_host",
    roles: Sequence[str] = (),
    config: Mapping[str, str] | None = None,
    say: Callable[[str], None] | None = None,
) -> Report:
    """Load, number and check one platform. What is wrong with the file is in the report, never raised.

    ``say`` is told now and then what is being done.
    """
    tell = say or (lambda text: None)
    tell("loading")
    report = Report(str(path), checks=["load"])
    try:
        platform = load_platform(path, config=config)
    except InputError as error:
        report.findings.append(Finding("load", error.place or "file", _told(error)))
        return report
    report.loaded = True
    report.findings += [Finding("load", "file", note, note=True) for note in platform.notes]
    report.checks.append("numbering")
    try:
        machine = number_resources(platform, master=master, roles=roles)
    except InputError as error:
        report.findings.append(Finding("numbering", error.place or "file", _told(error)))
        return report
    report.machine = machine
    subject = Subject(machine)
    report.checks += CHECKS
    for name, check in CHECKS.items():
        tell(f"checking {name}")
        report.findings += check(subject)
    if any(finding.check == "route" for finding in report.faults) or not machine.compute:
        return report
    nodes = [resource.host for resource in machine.compute]
    chosen = measured(machine)
    if len(chosen) < len(machine.storages):
        told = f"bandwidths of {len(chosen)} of {len(machine.storages)} storages measured"
        report.findings.append(Finding("load", "file", told, note=True))
    for place, storage in enumerate(chosen):
        if place % 16 == 0:
            tell(f"measuring storage {place + 1} of {len(chosen)}")
        near = near_node(machine, storage)
        report.measures[storage.name] = measure(platform, nodes, storage.host, near)
    report.summary = summary(machine, report.measures)
    return report


def _told(error: InputError) -> str:
    return f"{error.problem} ({error.hint})" if error.hint else error.problem


__all__ = ["CHECKS", "Finding", "Report", "check_platform", "file_systems", "rate"]
