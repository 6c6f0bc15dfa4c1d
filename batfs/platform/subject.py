"""What checks look at and what they say: the numbered platform, findings, the report; and their registry."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from batfs.platform.machine import Platform
from batfs.platform.measures import Measure, near_node
from batfs.platform.model import NoRouteError, Route
from batfs.platform.numbering import Machine

MAX_PAIRS = 60_000  # pairs of kinds of hosts tried one by one; above that a sample is
PROPERTIES = ("size", "filesystem", "node", "server", "rack", "read_bandwidth", "write_bandwidth")
OWN = (*PROPERTIES, "role", "model", "service", "shared_bandwidth", "mix_efficiency")


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` names the rule, ``place`` what it is about (a host, a link, a line).

    A ``note`` is no fault; one that is ``told`` is shown without being asked for.
    """

    check: str
    place: str
    message: str
    note: bool = False
    told: bool = False

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
    platform: Platform | None = None
    machine: Machine | None = None
    measures: dict[str, Measure] = field(default_factory=dict)
    summary: dict[str, Any] | None = None
    loaded: bool = False

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.note]

    def line(self, finding: Finding) -> int:
        """The line of the file that a finding is about; 0 when it is about none."""
        word, _, rest = finding.place.partition(" ")
        if word == "line":
            return int(rest.partition(",")[0])
        if self.platform is None:
            return 0
        name = finding.place
        if name in self.platform.host_index:
            return self.platform.host(name).line
        if name in self.platform.link_index:
            return self.platform.links[self.platform.link_index[name]].line
        return next((zone.line for zone in self.platform.zones if zone.name == name), 0)


class Subject:
    """A numbered platform and what several checks look at."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.platform: Platform = machine.platform
        self.nodes = [resource.host for resource in machine.compute]

    def name(self, host: int) -> str:
        return self.platform.hosts[host].name

    def route(self, src: int, dst: int) -> Route | None:
        """The way from one host to another; None where there is none, or where -1 stands for a host."""
        if src < 0 or dst < 0:
            return None
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


def check(name: str) -> Callable[[Check], Check]:
    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register
