"""The same machine with more nodes: what ``nodes=x2`` means for a platform that is only a file.

Nodes are added like those that are there, one after the other in the order of their ids. A ``<cluster>`` or
``<cabinet>`` gets more numbers in its ``radical``. A ``<host>`` is copied with the storages that belong to it
(their property ``node``), with the links that are its own (all routes that use them begin or end there), and
with every route and ``host_link`` it has. A route between two copies of one node is made like one from that
node to another. Names go on where the numbers in the others end. Routes to what is shared stay, so more nodes
share the same way to the storages.

What can't be copied without inventing something is refused: hosts that zones are joined by, nodes of a torus,
fat tree or dragonfly, a machine of one host element (which links are its own can't be told).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from batfs.errors import InputError
from batfs.platform.build import Builder
from batfs.platform.machine import Platform, platform_of
from batfs.platform.topologies import expand_radical
from batfs.platform.xml import read_elements
from batfs.records import field, record

_ROUTES: Final = ("route", "bypassRoute")
_ZONE_ROUTES: Final = ("zoneRoute", "ASroute", "bypassZoneRoute", "bypassASroute")
_NUMBERED: Final = re.compile(r"(.*?)(\d+)(\D*)")
_HINT: Final = "make a larger platform with batfs platform new"


@record(frozen=False, eq=False)
class _Element:
    tag: str
    given: dict[str, str]
    line: int
    parts: list[_Element] = field(default_factory=list)

    def every(self) -> Iterator[_Element]:
        yield self
        for part in self.parts:
            yield from part.every()

    def replay(self, builder: Builder) -> None:
        builder.begin(self.tag, dict(self.given), self.line)
        for part in self.parts:
            part.replay(builder)
        builder.end(self.tag, dict(self.given), self.line)

    def like(self, names: Mapping[str, str]) -> _Element:
        """A copy with every name that ``names`` has replaced."""
        given = {
            key: names.get(value, value) if key in _NAMES else value for key, value in self.given.items()
        }
        if self.tag == "prop" and given["id"] == "node":
            given["value"] = names.get(given["value"], given["value"])
        return _Element(self.tag, given, self.line, [part.like(names) for part in self.parts])


_NAMES: Final = ("id", "src", "dst", "up", "down")


def load_larger(
    path: str | os.PathLike[str], nodes: Sequence[str], count: int, *, config: Mapping[str, str] | None = None
) -> Platform:
    """The platform with ``count`` compute nodes instead of ``nodes`` (their names, in the order of ids; fewer
    than ``count``). InputError where nodes can't be added."""
    file = Path(path)
    top = _Element("", {}, 0)
    stack = [top]

    def begin(tag: str, given: dict[str, str], line: int) -> None:
        element = _Element(tag, given, line)
        stack[-1].parts.append(element)
        stack.append(element)

    def end(tag: str, given: dict[str, str], line: int) -> None:
        stack.pop()

    refused = read_elements(file, begin, end)
    try:
        _Larger(top, nodes).grow(count)
        builder = Builder(config or {})
        for element in top.parts:
            element.replay(builder)
        builder.refused += refused
        builder.seal(file)
    except InputError as error:
        raise error.at(file=file) from None
    return platform_of(builder, file)


class _Larger:
    def __init__(self, top: _Element, nodes: Sequence[str]) -> None:
        self.top = top
        self.nodes = list(nodes)
        self.home: dict[str, _Element] = {}  # element -> the zone it stands in, by its name
        self.hosts: dict[str, _Element] = {}
        self.makers: dict[str, _Element] = {}  # cluster or cabinet that makes a node
        self.routes: list[tuple[_Element, _Element]] = []
        self.links: dict[str, tuple[_Element, _Element]] = {}
        self.joins: list[tuple[_Element, _Element]] = []  # host_link
        self.gateways: set[str] = set()
        self._survey(top)
        self.names = {e.given["id"] for e in top.every() if "id" in e.given and e.tag != "prop"} | set(nodes)

    def _survey(self, zone: _Element) -> None:
        for part in zone.parts:
            name = part.given.get("id", "")
            if part.tag in ("host", "peer"):
                self.hosts[name], self.home[name] = part, zone
            elif part.tag in ("cluster", "cabinet"):
                for number in expand_radical(part.given["radical"]):
                    self.makers[f"{part.given['prefix']}{number}{part.given['suffix']}"] = part
            elif part.tag == "link":
                self.links[name] = (part, zone)
            elif part.tag == "host_link":
                self.joins.append((part, zone))
            elif part.tag in _ROUTES:
                self.routes.append((part, zone))
            elif part.tag in _ZONE_ROUTES:
                self.gateways |= {part.given["gw_src"], part.given["gw_dst"]}
            else:
                self._survey(part)

    def grow(self, count: int) -> None:
        """Add nodes until there are ``count``."""
        more: dict[int, int] = {}
        wanted: dict[str, int] = {}
        for k in range(count - len(self.nodes)):
            name = self.nodes[k % len(self.nodes)]
            maker = self.makers.get(name)
            if maker is None:
                wanted[name] = wanted.get(name, 0) + 1
            else:
                more[id(maker)] = more.get(id(maker), 0) + 1
        for maker in {id(e): e for e in self.makers.values()}.values():
            if id(maker) in more:
                self._extend(maker, more[id(maker)])
        if wanted:
            self._copy(wanted)

    def _extend(self, maker: _Element, more: int) -> None:
        given = maker.given
        if maker.tag == "cluster" and given["topology"].upper() in ("TORUS", "FAT_TREE", "DRAGONFLY"):
            raise InputError(
                f"nodes can't be added to the cluster {given['id']!r}: its topology is {given['topology']}",
                place=f"line {maker.line}",
                hint=_HINT,
            )
        first = max(expand_radical(given["radical"])) + 1
        given["radical"] += f",{first}-{first + more - 1}"

    # -- hosts ----------------------------------------------------------------------------------------

    def _copy(self, wanted: Mapping[str, int]) -> None:
        mine = {name: self._belongings(name) for name in self.nodes if name in self.hosts}
        owner = {thing: name for name, things in mine.items() for thing in things}
        if len(mine) < 2:
            raise InputError(
                f"nodes like {self.nodes[0]!r} can't be added: with one of a kind, which links are its own "
                "can't be told",
                hint=_HINT,
            )
        for name in wanted:
            if self.gateways & set(mine[name]):
                line = self.hosts[name].line
                raise InputError(
                    f"nodes like {name!r} can't be added: zones are joined by it",
                    place=f"line {line}",
                    hint=_HINT,
                )
        own = self._own_links(owner)
        # every copy: its node, and what is called what
        copies: list[tuple[str, dict[str, str]]] = []
        for _ in range(max(wanted.values())):
            for name in self.nodes:
                if wanted.get(name, 0) > sum(1 for one, _ in copies if one == name):
                    copies.append((name, self._named(name, mine[name], own[name])))
        for name, names in copies:
            self._add(mine[name], own[name], names)
        self._add_routes(copies, owner, {name: [*mine[name], *own[name]] for name in mine})

    def _belongings(self, node: str) -> list[str]:
        """The node and the storages that are its own."""
        found = [node]
        for name, host in self.hosts.items():
            if any(
                p.tag == "prop" and (p.given["id"], p.given["value"]) == ("node", node) for p in host.parts
            ):
                found.append(name)
        return found

    def _own_links(self, owner: Mapping[str, str]) -> dict[str, list[str]]:
        """Of each node the links that only its routes use, in the order in which they do."""
        users: dict[str, set[str]] = {}
        first: dict[str, list[str]] = {}
        for route, _ in self.routes:
            ends = {owner.get(route.given[end], "") for end in ("src", "dst")} - {""}
            for part in (part for part in route.parts if part.tag == "link_ctn"):
                link = self._declared(part.given["id"])
                # of two nodes at once it is neither's, until another route says whose
                known = users.get(link)
                users[link] = ends if known is None else known & ends
                for end in sorted(ends):
                    first.setdefault(end, []).append(link)
        for join, _ in self.joins:
            name = owner.get(join.given["id"], "")
            for link in map(self._declared, (join.given["up"], join.given["down"])):
                known = users.get(link)
                users[link] = {name} if known is None else known & {name}
                first.setdefault(name, []).append(link)
        return {
            name: [
                link
                for link in dict.fromkeys(first.get(name, ()))
                if users[link] == {name} and link in self.links
            ]
            for name in set(owner.values())
        }

    def _declared(self, link: str) -> str:
        """The name under which a link, or the link of which this is one direction, is declared."""
        return link if link in self.links else link.removesuffix("_UP").removesuffix("_DOWN")

    def _named(self, node: str, things: Sequence[str], links: Sequence[str]) -> dict[str, str]:
        found = {node: self._next(node)}
        for name in dict.fromkeys([*things, *links]):
            if name != node:
                told = name.replace(node, found[node]) if node in name else f"{name}~{found[node]}"
                while told in self.names:
                    told += "~"
                found[name] = told
        for link in links:
            found |= {f"{link}{way}": f"{found[link]}{way}" for way in ("_UP", "_DOWN")}
        self.names |= set(found.values())
        return found

    def _next(self, node: str) -> str:
        parts = _NUMBERED.fullmatch(node)
        if parts is None:
            k = 2
            while f"{node}-{k}" in self.names:
                k += 1
            return f"{node}-{k}"
        before, number, after = parts.groups()
        k = int(number) + 1
        while (name := f"{before}{k:0{len(number)}d}{after}") in self.names:
            k += 1
        return name

    def _add(self, things: Sequence[str], links: Sequence[str], names: Mapping[str, str]) -> None:
        for name in links:
            link, zone = self.links[name]
            _insert(zone, link, link.like(names))
        for name in things:
            _insert(self.home[name], self.hosts[name], self.hosts[name].like(names))
        for join, zone in list(self.joins):
            if join.given["id"] in things:
                _insert(zone, join, join.like(names))

    def _add_routes(
        self,
        copies: Sequence[tuple[str, dict[str, str]]],
        owner: Mapping[str, str],
        every_thing: Mapping[str, Sequence[str]],
    ) -> None:
        between: dict[frozenset[str], list[tuple[_Element, _Element]]] = {}
        peers: dict[str, list[str]] = {}
        for route, zone in self.routes:
            ends = frozenset(owner[route.given[end]] for end in ("src", "dst") if route.given[end] in owner)
            if len(ends) == 2:
                between.setdefault(ends, []).append((route, zone))
                for end in ends:
                    peers.setdefault(end, []).extend(ends - {end})
            elif ends:
                (node,) = ends
                for name, names in copies:
                    if name == node:
                        zone.parts.append(route.like(names))
        if not between:
            return
        every: list[tuple[str, Mapping[str, str]]] = [*((name, {}) for name in peers), *copies]
        for (a, names_a), (b, names_b) in combinations(every, 2):
            if not names_a and not names_b:
                continue
            stand_in = dict(names_b)
            other = b
            if a == b:
                # like the way to another node, whose own things stand for this one's
                other = next(iter(peers.get(a, ())), "")
                if len(every_thing.get(other, ())) != len(every_thing[a]):
                    raise InputError(
                        f"nodes like {a!r} can't be added: no route says how two of them are joined",
                        hint=_HINT,
                    )
                pairs = zip(every_thing[other], every_thing[a], strict=True)
                stand_in = {theirs: names_b[mine] for theirs, mine in pairs}
            for route, zone in between.get(frozenset((a, other)), ()):
                zone.parts.append(route.like({**names_a, **stand_in}))


def _insert(zone: _Element, after: _Element, new: _Element) -> None:
    """Beside the one it is like: where things stand decides on their numbers."""
    place = next(k for k, part in enumerate(zone.parts) if part is after)
    while place + 1 < len(zone.parts) and zone.parts[place + 1].tag == after.tag:
        place += 1
    zone.parts.insert(place + 1, new)
