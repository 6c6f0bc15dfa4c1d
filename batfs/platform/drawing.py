"""A platform as text: its tree of zones, its storages, and the table of Batsim's resource ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from batfs.errors import InputError
from batfs.platform.measures import file_systems, near_node, pattern, system_rates
from batfs.platform.model import Link
from batfs.platform.numbering import Machine
from batfs.platform.shortest import GraphZone
from batfs.platform.star import StarZone
from batfs.platform.zones import Declared, FullZone, NetPoint, Zone
from batfs.units import format_bandwidth, format_size, format_time, parse_size

FEW = 4  # so many of a kind are named, more are counted


def grouped(names: Sequence[str]) -> list[str]:
    """``node-1, node-2, ... (16)``: names that differ in numbers only, as one entry."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(pattern(name), []).append(name)
    out = []
    for members in groups.values():
        if len(members) <= FEW:
            out += members
        else:
            out.append(f"{members[0]} … {members[-1]} ({len(members)})")
    return out


def tree(machine: Machine) -> Iterator[str]:
    """Lines of the drawing: zones with their hosts, routers, links and what they join."""
    yield from _zone(machine, machine.platform.root, "", "")


def _zone(machine: Machine, zone: Zone, lead: str, rest: str) -> Iterator[str]:
    yield f"{lead}{zone.name}  [{zone.keyword}]"
    parts: list[tuple[str, list[str]]] = []
    roles: dict[str, list[str]] = {"nodes": [], "storages": [], "master": [], "routers": [], "left out": []}
    for point in zone.members:
        if point.inner is not None:
            continue
        roles[_role(machine, point)].append(point.name)
    for title, names in roles.items():
        if names:
            parts.append((title, grouped(names)))
    links = list(_links(machine, zone))
    if links:
        parts.append(("links", links))
    ways = list(_joints(machine, zone))
    if ways:
        parts.append(("joins", ways))
    lines = [f"{title}: {', '.join(entries)}" for title, entries in parts if title not in ("links", "joins")]
    for title, entries in parts:
        if title in ("links", "joins"):
            shown = entries if len(entries) <= 40 else [*entries[:40], f"… and {len(entries) - 40} more"]
            lines += [f"{'—' if title == 'links' else '↔'} {entry}" for entry in shown]
    children = zone.children
    for number, line in enumerate(lines):
        last = number == len(lines) - 1 and not children
        yield f"{rest}{'└╴' if last else '│ '}{line}"
    alike: dict[str, list[Zone]] = {}
    for child in children:
        alike.setdefault(f"{pattern(child.name)} {child.keyword} {len(child.members)}", []).append(child)
    groups = list(alike.values())
    for number, members in enumerate(groups):
        last = number == len(groups) - 1
        yield from _zone(
            machine, members[0], f"{rest}{'└─' if last else '├─'}", rest + ("  " if last else "│ ")
        )
        if len(members) > 1:
            names = grouped([member.name for member in members[1:]])
            yield f"{rest}{'  ' if last else '│ '}  … and {len(members) - 1} like it: {', '.join(names)}"


def _role(machine: Machine, point: NetPoint) -> str:
    if point.host < 0:
        return "routers"
    if point.host == machine.master:
        return "master"
    resource = machine.by_name.get(point.name)
    if resource is None:
        return "left out"
    return "storages" if resource.role == "storage" else "nodes"


def _used(zone: Zone) -> Iterator[int]:
    """Links of a zone's own routes, in order, without repetitions."""
    seen: set[int] = set()
    lists: list[tuple[int, ...]] = []
    if isinstance(zone, StarZone):
        for rank in zone.up:
            lists += [zone.up[rank], zone.down.get(rank, ())]
    elif isinstance(zone, FullZone):
        lists = [route.links for route in zone.routes.values()]
    elif isinstance(zone, GraphZone):
        lists = [route.links for route in zone.edges.values()]
    for links in lists:
        for link in links:
            if link not in seen:
                seen.add(link)
                yield link


def _links(machine: Machine, zone: Zone) -> Iterator[str]:
    links = machine.platform.links
    groups: dict[tuple[str, float, float, bool], list[Link]] = {}
    for index in _used(zone):
        link = links[index]
        if link.name != "__loopback__":
            key = (pattern(link.name), link.bandwidth, link.latency, link.fatpipe)
            groups.setdefault(key, []).append(link)
    for (kind, bandwidth, latency, fatpipe), members in groups.items():
        names = [link.name for link in members]
        up = (kind.removesuffix("_DOWN") + "_UP", bandwidth, latency, fatpipe)
        down = (kind.removesuffix("_UP") + "_DOWN", bandwidth, latency, fatpipe)
        if kind.endswith("_DOWN") and len(groups.get(up, ())) == len(names):
            continue  # told with its other half
        both = kind.endswith("_UP") and len(groups.get(down, ())) == len(names)
        if both:
            names = [name.removesuffix("_UP") for name in names]
        policy = ", not shared" if fatpipe else ""
        each = " each way" if both else ""
        speed = f"{format_bandwidth(bandwidth)}{each}"
        yield f"{', '.join(grouped(names))}: {speed}, {format_time(latency)}{policy}"


def _joints(machine: Machine, zone: Zone) -> Iterator[str]:
    if not zone.joins_zones:
        return
    routes: dict[tuple[int, int], Declared] = {}
    if isinstance(zone, FullZone):
        routes = zone.routes
    elif isinstance(zone, GraphZone):
        routes = zone.edges
    seen: set[tuple[int, int]] = set()
    for (a, b), route in routes.items():
        back = routes.get((b, a))
        if (b, a) in seen or a == b:
            continue
        seen.add((a, b))
        arrow = "↔" if back is not None else "→"
        gates = f"{route.gw_src.name if route.gw_src else '?'} {arrow} "
        gates += route.gw_dst.name if route.gw_dst else "?"
        yield f"{zone.members[a].name} {arrow} {zone.members[b].name} ({gates})"


def resource_rows(machine: Machine) -> list[tuple[str, ...]]:
    """(id, name, role, zone, file system, size, belongs to) per resource, in order of ids."""
    rows: list[tuple[str, ...]] = []
    for resource in machine.resources:
        size = resource.properties.get("size", "")
        try:
            size = format_size(parse_size(size)) if size else ""
        except InputError:
            size = f"{size}?"
        properties = resource.properties
        rows.append(
            (
                str(resource.id),
                resource.name,
                resource.role,
                machine.platform.hosts[resource.host].zone,
                properties.get("filesystem", ""),
                size,
                properties.get("node", "") or properties.get("server", ""),
            )
        )
    return rows


def folded(machine: Machine, rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The table with runs of like resources in one row (``0-15``)."""
    out: list[tuple[str, ...]] = []
    run: list[tuple[str, ...]] = []

    def flush() -> None:
        if len(run) <= FEW:
            out.extend(run)
        else:
            first, last = run[0], run[-1]
            zones = {row[3] for row in run}
            owners = {row[6] for row in run}
            zone = first[3] if len(zones) == 1 else f"{len(zones)} zones"
            owner = first[6] if len(owners) == 1 else f"{len(owners)} hosts"
            name = f"{first[1]} … {last[1]}"
            out.append((f"{first[0]}-{last[0]}", name, first[2], zone, first[4], first[5], owner))
        run.clear()

    for row in rows:
        if run and (pattern(row[1]), row[2], row[4], row[5]) != (
            pattern(run[0][1]),
            run[0][2],
            run[0][4],
            run[0][5],
        ):
            flush()
        run.append(row)
    flush()
    return out


def system_rows(machine: Machine) -> list[tuple[str, ...]]:
    """(file system, storages, capacity, read, write of all nodes at once) per file system."""
    rows: list[tuple[str, ...]] = []
    for name, storages in file_systems(machine).items():
        try:
            capacity = format_size(sum(parse_size(s.properties["size"]) for s in storages))
        except (InputError, KeyError):
            capacity = "?"
        read = write = "?"
        if machine.compute:
            try:
                read, write = (format_bandwidth(value) for value in system_rates(machine, storages))
            except InputError:
                read = write = "no route"
        local = all(near_node(machine, storage) is not None for storage in storages)
        rows.append(
            (name, str(len(storages)), capacity, read, write, "its own node" if local else "all nodes")
        )
    return rows
