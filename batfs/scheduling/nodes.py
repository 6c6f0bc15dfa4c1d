"""Sets of nodes as integers, the order of nodes, and the selections that pick nodes from a set.

A machine of n nodes is n bits. Everything here costs a few big-integer operations (n/30 machine words
each), never a Python loop over nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from batfs._core.nodes import positions, prefix
from batfs.errors import InputError, unknown
from batfs.plugins import PluginError, Registry, parse_spec, place_in
from batfs.protocol.messages import Resource
from batfs.scheduling.config import NODE_ORDERS
from batfs.scheduling.interface import NodeSet

#: ``count`` bits out of ``free``, or None if the rule finds none.
Selection: TypeAlias = Callable[[NodeSet, int], NodeSet | None]

SELECTIONS: Registry[Any] = Registry(
    "node selection",
    "batfs.node_selections",
    {"batfs.scheduling.nearness": ("data_locality", "near_storage")},
)

# Sets of nodes are kept as ids until there are so many of these.
_KEPT_IDS = 500_000


def runs(nodes: NodeSet) -> list[tuple[int, int]]:
    """The maximal runs of ones as (first bit, last bit + 1), ascending."""
    found: list[tuple[int, int]] = []
    base = 0
    while nodes:
        skip = (nodes & -nodes).bit_length() - 1
        nodes >>= skip
        length = (~nodes & (nodes + 1)).bit_length() - 1
        base += skip
        found.append((base, base + length))
        nodes >>= length
        base += length
    return found


def lowest(free: NodeSet, count: int) -> NodeSet | None:
    """The ``count`` lowest nodes in node order."""
    if count <= 0 or free.bit_count() < count:
        return None
    return free & ((1 << prefix(free, count)) - 1)


def block(free: NodeSet, count: int) -> NodeSet | None:
    """The lowest run of ``count`` consecutive nodes; None when no run is that long."""
    if count <= 0:
        return None
    starts = free  # bit k survives while bits k .. k+have-1 are all free
    have = 1
    while have < count and starts:
        step = min(have, count - have)
        starts &= starts >> step
        have += step
    if not starts:
        return None
    return ((1 << count) - 1) << ((starts & -starts).bit_length() - 1)


def contiguous(free: NodeSet, count: int) -> NodeSet | None:
    """Consecutive nodes if there are, the lowest such run; else as few and as long runs as possible
    (longest first, the lower of equals)."""
    whole = block(free, count)
    if whole is not None or free.bit_count() < count:
        return whole
    chosen = 0
    for first, end in sorted(runs(free), key=lambda run: (run[0] - run[1], run[0])):
        length = min(end - first, count)
        chosen |= ((1 << length) - 1) << first
        count -= length
        if count == 0:
            break
    return chosen


#: Selections that find ``count`` nodes whenever there are as many; any other may be picky.
UNDEMANDING = frozenset(("lowest", "contiguous", "data_locality", "near_storage"))

SELECTIONS.register("lowest")(lowest)
SELECTIONS.register("contiguous")(contiguous)
SELECTIONS.register("block")(block)


def make_selection(name: str) -> tuple[Selection, Any]:
    """The selection that ``name`` (or ``file.py:name``) and its options name; the answers of one from outside
    are checked. One that looks at a job's data is a class (see ``nearness``): the second of the two, and
    the first is what serves where no job is known; of others the second is None."""
    spec = parse_spec(name, SELECTIONS.kind)
    select = SELECTIONS.get(spec.name)
    if not callable(select):
        raise InputError(f"the {SELECTIONS.kind} {name!r} can't be called")
    if isinstance(select, type):
        made = SELECTIONS.make_with(name, "choose", "choose(view)")
        return lowest, made
    if spec.options:
        raise InputError(f"the {SELECTIONS.kind} {spec.name!r} has no options; found {name!r}")
    if str(getattr(select, "__module__", "")).startswith("batfs."):
        known: Selection = select
        return known, None
    return lambda free, count: checked(select, name, (free, count), free, count), None


def checked(
    select: Callable[..., Any], name: str, arguments: Sequence[Any], free: NodeSet, count: int
) -> NodeSet | None:
    """What a selection from outside answers, if it is one: PluginError otherwise."""
    story = f"the {SELECTIONS.kind} {name!r}"
    try:
        found: Any = select(*arguments)
    except (Exception, SystemExit) as error:
        raise PluginError.of(error, story) from error
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool):
        problem = f"answered {found!r:.80}; a set of nodes is an integer, one bit a node"
    elif found & ~free:
        problem = f"chose the nodes {list(positions(found & ~free))[:20]}, which aren't free"
    elif found.bit_count() != count:
        problem = f"chose {found.bit_count()} nodes for a job of {count}"
    else:
        return found
    file, line = place_in(select)
    raise PluginError(f"{story} {problem}", file=file, place=line)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts ``node_2`` before ``node_10``: digits compare as numbers."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


class NodeOrder:
    """Which bit stands for which compute node.

    ``order`` is ``"id"`` (Batsim's ids, which follow byte-wise names: node_10 before node_2) or ``"name"``
    (names with their digits as numbers, ties by id), in which neighbours are neighbours.
    """

    def __init__(self, resources: Sequence[Resource], order: str = "id") -> None:
        if order not in NODE_ORDERS:
            raise unknown("node order", order, NODE_ORDERS)
        ranked = sorted(resources, key=lambda r: r.id)
        if order == "name":
            ranked.sort(key=lambda r: natural_key(r.name))
        self._ids = tuple(r.id for r in ranked)
        self._bit_of = {resource_id: bit for bit, resource_id in enumerate(self._ids)}
        self._plain = self._ids == tuple(range(len(self._ids)))
        self._known: dict[NodeSet, tuple[int, ...]] = {}
        self._room = _KEPT_IDS

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def all(self) -> NodeSet:
        return (1 << len(self._ids)) - 1

    def ids(self, nodes: NodeSet) -> tuple[int, ...]:
        """Resource ids of a set of nodes, ascending."""
        known = self._known.get(nodes)
        if known is None:
            found = positions(nodes)
            if not self._plain:
                ids = self._ids
                found = tuple(sorted([ids[k] for k in found]))
            known = self._remember(nodes, found)
        return known

    def _remember(self, nodes: NodeSet, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The same sets come again, at the least when a job ends."""
        self._room -= len(ids) + 10
        if self._room < 0:
            self._known.clear()
            self._room = _KEPT_IDS
        self._known[nodes] = ids
        return ids

    def set_of(self, ids: Sequence[int]) -> NodeSet:
        """The set of those resource ids that are compute nodes."""
        nodes = 0
        for resource_id in ids:
            bit = self._bit_of.get(resource_id)
            if bit is not None:
                nodes |= 1 << bit
        return nodes
