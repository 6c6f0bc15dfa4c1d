# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Where the copies of many bundles of blocks go: HDFS's rule, bundle after bundle. Compiled by Cython.

Disks are known by their places 0..m-1 in the ascending positions that a policy sees. Which of several a
policy takes is worked out here for those whose choice is a matter of places (``MODES``); any other is asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

# what the policy does among those that fit
ROUND, DRAW, RANK, ASK = 0, 1, 2, 3
_ROUND = cython.declare(cython.longlong, ROUND)
_DRAW = cython.declare(cython.longlong, DRAW)
_RANK = cython.declare(cython.longlong, RANK)

# kinds of items: a write with its copies; a read from the reader's own disk or else near it; a read near it
WRITE, OWN, NEAR = 0, 1, 2
_WRITE = cython.declare(cython.longlong, WRITE)
_OWN = cython.declare(cython.longlong, OWN)

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Copies:
    """``racks``, ``nodes`` int64[m]: rack and node of each disk (-1: a data server of its own). ``first``
    int64[nodes + 1], ``own`` int64[.]: the places of each node's disks. ``rack_of`` int64[nodes]: its rack
    (-1: unknown). ``positions`` int64[m] ascending; ``room`` int64[m]: bytes left, below 0 for none.

    ``mode``: ROUND (the first from the place ``after`` on, then the first), DRAW (uniform, of ``source()``),
    RANK (the least of ``ranks`` int64[m]) or ASK: ``source(positions int64[k], size)`` says which, or None.
    """

    racks: cython.longlong[::1]
    nodes: cython.longlong[::1]
    first: cython.longlong[::1]
    own: cython.longlong[::1]
    rack_of: cython.longlong[::1]
    positions: cython.longlong[::1]
    room: cython.longlong[::1]
    ranks: cython.longlong[::1]
    near: cython.longlong[::1]
    taken: cython.longlong[::1]
    chosen: cython.longlong[::1]
    mode: cython.longlong
    after: cython.longlong
    stamp: cython.longlong
    source: object

    def __init__(
        self,
        disks: tuple[Any, ...],
        positions: Any,
        room: Any,
        mode: int,
        after: int,
        ranks: Any,
        source: Any,
    ) -> None:
        """``disks``: racks, nodes, first, own, rack_of."""
        self.racks, self.nodes, self.first, self.own, self.rack_of = disks
        self.positions, self.room, self.ranks = positions, room, ranks
        self.mode, self.after, self.source = mode, after, source
        self.near = np.zeros(len(positions), np.int64)
        self.taken = np.zeros(len(positions), np.int64)
        self.chosen = np.zeros(len(positions), np.int64)
        self.stamp = 0

    def reached(self) -> int:
        """``after`` now."""
        return self.after

    def place(self, sizes: Any, nodes: Any, kinds: Any, most: int, hold: tuple[bool, bool], out: Any) -> int:
        """The places of the copies of each item into ``out`` int64[items, most], -1 where there is none:
        ``most`` of a write, one of a read. ``hold``: whether what is (read, written) takes room. Returns how
        many items found room: the next one doesn't."""
        size_of: cython.longlong[::1] = sizes
        node_of: cython.longlong[::1] = nodes
        kind_of: cython.longlong[::1] = kinds
        found: cython.longlong[:, ::1] = out
        held_read: cython.bint = hold[0]
        held_written: cython.bint = hold[1]
        for item in range(size_of.shape[0]):
            size = size_of[item]
            node = node_of[item]
            if kind_of[item] == _WRITE:
                count = copies_of(self, size, node, most, True, False)
                if count < 0:
                    return item
                for k in range(count):
                    found[item, k] = self.chosen[k]
                    if held_written:
                        self.room[self.chosen[k]] -= size
                continue
            disk: cython.longlong = -1
            if kind_of[item] == _OWN:
                disk = roomiest(self, node, size)
            if disk < 0:
                # copies lie by the rule anywhere but on the reader; it takes the nearest
                count = copies_of(self, size, node, most, False, True)
                if count < 0:
                    return item
                disk = nearest(self, node, count)
            found[item, 0] = disk
            if held_read:
                self.room[disk] -= size
        return size_of.shape[0]

    def avoiding(self, size: int, avoid: Any, most: int, out: Any) -> int:
        """Places of ``most`` copies that nobody in particular writes, on none of the places ``avoid``, nor
        (where that goes) on their nodes; returns how many, -1 if some finds no room."""
        self.stamp += 1
        without: cython.longlong[::1] = avoid
        for k in range(without.shape[0]):
            self.near[without[k]] = self.taken[without[k]] = self.stamp
        count = follow(self, size, 0, most)
        found: cython.longlong[::1] = out
        for k in range(count):
            found[k] = self.chosen[k]
        return count


@cython.cfunc
@cython.exceptval(check=False)
def roomiest(s: Copies, node: cython.longlong, size: cython.longlong) -> cython.longlong:
    """The disk of a node with most room, if that is enough; else -1."""
    best: cython.longlong = -1
    most: cython.longlong = size - 1
    if node >= 0:
        for k in range(s.first[node], s.first[node + 1]):
            if s.room[s.own[k]] > most:
                best = s.own[k]
                most = s.room[best]
    return best


@cython.cfunc
@cython.exceptval(check=False)
def nearest(s: Copies, node: cython.longlong, count: cython.longlong) -> cython.longlong:
    """Of the copies just placed the one that a node reads: on itself, else in its rack, else the first."""
    for k in range(count):
        if s.nodes[s.chosen[k]] == node and node >= 0:
            return s.chosen[k]
    if node >= 0 and s.rack_of[node] >= 0:
        for k in range(count):
            if s.racks[s.chosen[k]] == s.rack_of[node]:
                return s.chosen[k]
    return s.chosen[0]


@cython.cfunc
def copies_of(
    s: Copies,
    size: cython.longlong,
    node: cython.longlong,
    most: cython.longlong,
    mine: cython.bint,
    elsewhere: cython.bint,
) -> cython.longlong:
    """Copies of ``size`` bytes; ``mine``: the first on the node's own disk if there is room. ``elsewhere``:
    none on the node's disks, unless there are no others. Below 0: some copy finds no room."""
    s.stamp += 1
    count: cython.longlong = 0
    disks: cython.longlong = s.positions.shape[0]
    if mine:
        disk = roomiest(s, node, size)
        if disk >= 0:
            take(s, disk, 0)
            count = 1
    if elsewhere and node >= 0 and s.first[node + 1] - s.first[node] < disks:
        for k in range(s.first[node], s.first[node + 1]):
            s.near[s.own[k]] = s.taken[s.own[k]] = s.stamp
    return follow(s, size, count, most)


@cython.cfunc
def follow(
    s: Copies, size: cython.longlong, count: cython.longlong, most: cython.longlong
) -> cython.longlong:
    """The copies from number ``count`` on; how many there are then, below 0 if one finds no room."""
    disks: cython.longlong = s.positions.shape[0]
    end: cython.longlong = most if most < disks else disks
    disk: cython.longlong
    while count < end:
        # the second in another rack than the first, the third in that of the second
        disk = -1
        if count == 1 or count == 2:
            disk = pick(s, size, 1 if count == 1 else 2, s.racks[s.chosen[count - 1]])
        if disk == -1:
            disk = pick(s, size, 0, 0)
        if disk == -1:
            disk = pick(s, size, 3, 0)
        if disk < 0:
            return -1
        take(s, disk, count)
        count += 1
    return count


@cython.cfunc
@cython.exceptval(check=False)
def take(s: Copies, disk: cython.longlong, count: cython.longlong) -> cython.longlong:
    """A disk has a copy: it is not to have another, nor are the others of its node."""
    s.chosen[count] = disk
    s.taken[disk] = s.stamp
    s.near[disk] = s.stamp
    node = s.nodes[disk]
    if node >= 0:
        for k in range(s.first[node], s.first[node + 1]):
            s.near[s.own[k]] = s.stamp
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def may(
    s: Copies, k: cython.longlong, size: cython.longlong, where: cython.longlong, rack: cython.longlong
) -> cython.bint:
    """Whether disk ``k`` is one of those asked for: see :func:`pick`."""
    if s.room[k] < size:
        return False
    if where == 3:
        return s.taken[k] != s.stamp
    if s.near[k] == s.stamp:
        return False
    if where == 1:
        return s.racks[k] != rack
    return where == 0 or s.racks[k] == rack


@cython.cfunc
def pick(s: Copies, size: cython.longlong, where: cython.longlong, rack: cython.longlong) -> cython.longlong:
    """The policy's choice among the disks with room: ``where`` 0 on other nodes, 1 in another rack than
    ``rack``, 2 in that rack, 3 on any other disk; -1 if there are none, -2 if it wants none."""
    disks: cython.longlong = s.positions.shape[0]
    best: cython.longlong = -1
    count: cython.longlong = 0
    if s.mode == _ROUND:
        for turn in range(disks):
            k = s.after + turn
            if k >= disks:
                k -= disks
            if may(s, k, size, where, rack):
                s.after = k + 1
                return k
        return -1
    if s.mode == _RANK:
        for k in range(disks):
            if may(s, k, size, where, rack) and (best < 0 or s.ranks[k] < s.ranks[best]):
                best = k
        return best
    for k in range(disks):
        if may(s, k, size, where, rack):
            count += 1
    if count == 0:
        return -1
    if s.mode == _DRAW:
        drawn: cython.double = s.source()
        left: cython.longlong = int(drawn * count)
        for k in range(disks):
            if may(s, k, size, where, rack):
                if left == 0:
                    return k
                left -= 1
    asked = np.empty(count, np.int64)
    among: cython.longlong[::1] = asked
    count = 0
    for k in range(disks):
        if may(s, k, size, where, rack):
            among[count] = s.positions[k]
            count += 1
    answer = s.source(asked, size)
    if answer is None:
        return -2
    position: cython.longlong = answer
    for k in range(disks):
        if s.positions[k] == position:
            return k
    return -1
