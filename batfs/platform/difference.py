"""What changed between two platforms: hosts, links, routes, and the bandwidths that come of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from batfs.platform.changes import Change, changes, link_changes
from batfs.platform.measures import between, measure, near_node, summary
from batfs.platform.model import NoRouteError
from batfs.platform.numbering import Machine

MAX_ROUTES = 20_000  # pairs compared; a seeded sample above


@dataclass(slots=True)
class Difference:
    """Changes by kind; ``compared`` of ``pairs`` routes were looked at."""

    hosts: list[Change] = field(default_factory=list)
    links: list[Change] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    bandwidths: list[Change] = field(default_factory=list)
    compared: int = 0
    pairs: int = 0

    def __bool__(self) -> bool:
        return bool(self.hosts or self.links or self.routes or self.bandwidths)


def compare(old: Machine, new: Machine, *, limit: int = MAX_ROUTES) -> Difference:
    """Everything that differs, old -> new. Routes are compared by link names and latency."""
    found = Difference()
    before, after = (summary(machine, {}) for machine in (old, new))
    for key in ("master", "hosts"):
        found.hosts += changes(before[key], after[key], "" if key == "hosts" else key)
    found.links = link_changes(before["links"], after["links"])
    _routes(old, new, limit, found)
    found.bandwidths = changes(before["file_systems"], after["file_systems"])
    found.bandwidths += _storages(old, new)
    return found


def _route(machine: Machine, a: str, b: str) -> tuple[str, float | None]:
    platform = machine.platform
    try:
        route = platform.route(platform.host_index[a], platform.host_index[b])
    except NoRouteError:
        return "no route", None
    return " ".join(platform.links[link].name for link in route.links) or "nothing", route.latency


def _routes(old: Machine, new: Machine, limit: int, found: Difference) -> None:
    names = [resource.name for resource in old.resources if resource.name in new.by_name]
    masters = [machine.platform.hosts[machine.master].name for machine in (old, new)]
    if masters[0] == masters[1]:
        names.append(masters[0])
    count = len(names)
    found.pairs = count * count
    if found.pairs <= limit:
        pairs = [(a, b) for a in names for b in names]
    else:
        rng = random.Random(0)
        pairs = [(rng.choice(names), rng.choice(names)) for _ in range(limit)]
        pairs = list(dict.fromkeys(pairs))
    found.compared = len(pairs)
    for a, b in pairs:
        (way, latency), (other, later) = _route(old, a, b), _route(new, a, b)
        if way != other:
            found.routes.append(f"{a} -> {b}: {way} -> {other}")
        elif latency != later:
            found.routes.append(f"{a} -> {b}: latency {latency:.6g} s -> {later:.6g} s")


def _storages(old: Machine, new: Machine) -> list[Change]:
    found: list[Change] = []
    for storage in old.storages:
        other = new.by_name.get(storage.name)
        if other is None or other.role != storage.role or not old.compute or not new.compute:
            continue
        try:
            measures = [
                measure(m.platform, [r.host for r in m.compute], s.host, near_node(m, s))
                for m, s in ((old, storage), (new, other))
            ]
        except NoRouteError:
            continue
        tables = [
            {name.replace("_", " "): getattr(entry, name) for name in type(entry).__slots__}
            for entry in measures
        ]
        found += changes(tables[0], tables[1], storage.name)
    return found


__all__ = ["Difference", "between", "compare"]
