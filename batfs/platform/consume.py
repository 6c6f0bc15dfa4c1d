"""What many flows use at once, with array operations.

Hosts of star-shaped zones (and of a Dragonfly's routers) have links of their own, their *ports*: every
flow that leaves or enters such a host crosses them, and nobody else does. The rest of a route, its *core*,
is the same for all hosts of the same kind. So the links of n*n flows are n sums by source, n sums by
destination, and a few cores. Any other host is a kind of its own, whose core is the whole route.

Bytes of one link are added in the order of the flows, one by one, so that the sums are bit for bit those
of a simulator that adds flow after flow.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from batfs._core.arrays import FloatArray as Floats
from batfs._core.arrays import IntArray as Indices
from batfs._core.arrays import NDArray, doubles, integers, np
from batfs.platform.model import Consumption, Link, Route
from batfs.platform.zones import NetPoint, Zone
from batfs.records import record

FEW = 48  # up to so many flows a plain loop is quicker
DENSE_KINDS = 2000  # up to so many kinds a square table of cores is kept
MAX_CORES = 1 << 18


def distinct(values: NDArray[Any]) -> Indices:
    """Whole numbers, each once and ascending. ``np.unique`` does as much, but imports numpy's masked arrays
    first, which takes a fifth of a run of one job."""
    ranked: Indices = np.sort(values, axis=None)
    first = np.ones(len(ranked), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
    return ranked[first]


@record
class Ports:
    """``width`` links of each host in a row, -1 for none."""

    links: array[int]
    width: int

    @property
    def table(self) -> Indices:
        """int64[hosts, width]."""
        return np.asarray(self.links).reshape(-1, self.width)


@record
class Tables:
    """What flows between hosts cross: the kind of each host, the core of each pair of kinds, and the ports.

    ``table[a * kinds + b]`` (int32) is the core of flows from kind a to kind b, -1 while it isn't known; core
    c crosses the links ``numbered[rows[width * c + i]]``, i < ``lengths[c]``, and takes ``latencies[c]``
    seconds; ``out``, ``into``, ``both`` are each host's own links (as source, as destination, as either).
    """

    kind: array[int]
    kinds: int
    table: array[int]
    rows: array[int]
    width: int
    lengths: array[int]
    numbered: array[int]
    latencies: array[float]
    out: Ports
    into: Ports
    both: Ports


class Consumer:
    """Sums flows over links for one platform; ``route`` gives the way between two hosts."""

    def __init__(
        self,
        points: Sequence[NetPoint],
        links: Sequence[Link],
        zones: Sequence[Zone],
        route: Callable[[int, int], Route],
    ) -> None:
        self._route = route
        self._points = points
        self._links = links
        self._zones = zones
        self._fatpipe = [link.fatpipe for link in links]
        self._ready = False
        self.version = 0  # changes whenever arrays of `tables` are replaced by others

    def kind(self, host: int) -> int:
        """The number of a host's kind."""
        if not self._ready:
            self._prepare()
        return self._kind[host]

    def ports(self, host: int) -> set[int]:
        """The links of a host that only its own flows cross."""
        if not self._ready:
            self._prepare()
        return self._port_links[host]

    def tables(self) -> Tables | None:
        """The arrays that ``consume`` works with, for code that walks flows itself; None if there is no
        square table.

        They are to be asked for again whenever :attr:`version` has changed.
        """
        if not self._ready:
            self._prepare()
        if self._table is None:
            return None
        return Tables(
            self._kind,
            self._kinds,
            self._table,
            self._rows,
            self._width,
            self._lengths,
            self._numbered,
            self._latencies,
            self._out,
            self._in,
            self._both,
        )

    def add_core(self, key: int) -> None:
        """Find the core of flows between the kinds ``divmod(key, kinds)``."""
        self._core(key, *self._ends(key))

    # -- kinds and ports ------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._ready = True
        size = len(self._points)
        users, special = self._survey()
        kinds: dict[Hashable, int] = {}
        self._kind = integers(size)
        members: list[int] = []
        self._example: list[tuple[int, int]] = []
        out: list[tuple[int, ...]] = [()] * size
        into: list[tuple[int, ...]] = [()] * size
        both: list[tuple[int, ...]] = [()] * size
        for index, point in enumerate(self._points):
            key: Hashable = index
            found = None if point in special or point.zone is None else point.zone.ports(point)
            if found is not None:
                up, down = found[1], found[2]
                own = {link for link in (*up, *down) if users[link] == 1}
                if not any([self._fatpipe[link] for link in own]):  # noqa: C419 (few: quicker than a generator)
                    key = (id(point.zone), found[0], self._shape(up, own), self._shape(down, own))
                    both[index] = tuple([link for link in up if link in own and link in down])
                    out[index] = tuple([link for link in up if link in own and link not in down])
                    into[index] = tuple([link for link in down if link in own and link not in up])
            kind = kinds.setdefault(key, len(kinds))
            self._kind[index] = kind
            if kind == len(members):
                members.append(1)
                self._example.append((index, index))
            else:
                members[kind] += 1
                self._example[kind] = (self._example[kind][0], index)
        self._port_links = [{*out[i], *into[i], *both[i]} for i in range(size)]
        self._leave = [(*out[i], *both[i]) for i in range(size)]
        self._enter = [(*into[i], *both[i]) for i in range(size)]
        self._run: Indices | None = None
        self._out, self._in, self._both = _padded(out), _padded(into), _padded(both)
        self._kinds = len(members)
        self._reset()

    def _shape(self, links: Sequence[int], own: set[int]) -> tuple[Hashable, ...]:
        """What makes two hosts' lists alike: latencies of their own links, identity of common ones."""
        return tuple([("own", self._links[link].latency) if link in own else link for link in links])

    def _survey(self) -> tuple[Counter[int], set[NetPoint]]:
        """How many hosts use each link as theirs (declared routes count as many), and special hosts.

        Special are gateways and ends of bypass routes: other hosts' traffic passes them, or theirs goes
        another way than their neighbours'.
        """
        users: Counter[int] = Counter()
        special: set[NetPoint] = set()
        for zone in self._zones:
            for way in zone.declared():
                users.update(dict.fromkeys(way.links, 2))
                special.update(gate for gate in (way.gw_src, way.gw_dst) if gate is not None)
            for ends in zone.bypass:
                special.update(ends)
            for point in zone.members:
                found = zone.ports(point)
                if found is not None:
                    for link in {*found[1], *found[2]}:
                        users[link] += 1
        return users, special

    # -- cores ----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        """Forget all cores (they are found again when needed)."""
        self.version += 1
        self._core_of: dict[int, int] = {}
        self._core_links: list[tuple[int, ...]] = []
        self._core_times: list[float] = []
        self._odd: set[int] = set()  # cores of flows that don't use the ports of both their hosts
        self._table: array[int] | None = None
        if self._kinds <= DENSE_KINDS:
            self._table = array("i", [-1]) * self._kinds**2
        # links met in cores so far, numbered in that order; number 0 stands for none
        self._number: dict[int, int] = {}
        self._numbered = integers(len(self._links) + 1, -1)
        self._wide = bytearray(len(self._links) + 1)
        self._width = 4
        self._rows = integers(64 * self._width)
        self._latencies = doubles(64)
        self._lengths = integers(64)

    def _core(self, key: int, src: int, dst: int) -> int:
        """The core of flows of this key, taken from the example src -> dst."""
        found = self._core_of.get(key)
        if found is not None:
            return found
        route = self._route(src, dst)
        links = route.links
        core = self._core_of[key] = len(self._core_links)
        if key >= 0:
            # a route into or out of a zone whose gateway is a router may leave out the host's own link
            if not {*self._leave[src], *self._enter[dst]}.issubset(links):
                self._odd.add(core)
            ports, others = self._port_links[src], self._port_links[dst]
            links = tuple([link for link in links if link not in ports and link not in others])
        self._core_links.append(links)
        self._core_times.append(route.latency)
        if core >= len(self._latencies):
            self.version += 1
            self._latencies = self._latencies + doubles(core)
            self._rows = self._rows + integers(len(self._rows))
            self._lengths = self._lengths + integers(core)
        if len(links) > self._width:
            self.version += 1
            wider, missing = array("l"), integers(len(links) - self._width)
            for first in range(0, len(self._rows), self._width):
                wider += self._rows[first : first + self._width]
                wider += missing
            self._rows, self._width = wider, len(links)
        for link in links:
            if link not in self._number:
                number = self._number[link] = len(self._number) + 1
                self._numbered[number] = link
                self._wide[number] = self._fatpipe[link]
        first = core * self._width
        self._rows[first : first + len(links)] = array("l", [self._number[link] for link in links])
        self._latencies[core] = route.latency
        self._lengths[core] = len(links)
        if self._table is not None and key >= 0:
            self._table[key] = core
        return core

    def _ends(self, key: int) -> tuple[int, int]:
        """Two hosts whose route has this key's core."""
        if key < 0:
            return divmod(-1 - key, len(self._points))
        a, b = divmod(key, self._kinds)
        return self._example[a][0], self._example[b][1]

    def _cores(self, keys: Indices) -> Indices:
        """The core of each flow; one only when all are the same.

        Keys are pairs of kinds; below zero, pairs of hosts whose core is the whole route.
        """
        if len(self._core_links) > MAX_CORES:
            self._reset()
        if (keys == keys[0]).all():
            key = int(keys[0])
            return np.array([self._core(key, *self._ends(key))])
        if self._table is not None and int(keys.min()) >= 0:
            cores: Indices = np.asarray(self._table)[keys].astype(np.int64)
            missing = np.flatnonzero(cores < 0)
            if not missing.size:
                return cores
            for key in distinct(keys[missing]).tolist():
                self._core(key, *self._ends(key))
            return self._cores(keys)
        found_keys = distinct(keys)
        place = np.searchsorted(found_keys, keys)
        ids = [self._core(key, *self._ends(key)) for key in found_keys.tolist()]
        found: Indices = np.array(ids, dtype=np.int64)[place]
        return found

    def _crosses_own_ports(self, hosts: list[int]) -> bool:
        """True when a self-route of these goes over the host's ports (a cluster without loopbacks)."""
        return any(not self._port_links[host].isdisjoint(self._route(host, host).links) for host in hosts)

    def _keys(self, src: Indices, dst: Indices) -> Indices:
        """The pair of kinds of each flow; one only when all are seen to be the same."""
        kind, runs = np.asarray(self._kind), self._run
        if runs is None:  # hosts of one kind that follow each other have one number
            runs = self._run = np.cumsum(np.diff(kind, prepend=-1) != 0)
        for ends in (src, dst):
            if runs[ends.min()] != runs[ends.max()]:
                break
        else:
            src, dst = src[:1], dst[:1]
        keys: Indices = kind[src] * self._kinds + kind[dst]
        return keys

    # -- summing --------------------------------------------------------------------------------------

    def consume(
        self, src: Sequence[int] | Indices, dst: Sequence[int] | Indices, volumes: Sequence[float] | Floats
    ) -> Consumption:
        """See :meth:`batfs.platform.Platform.consume`."""
        if len(src) == 0:
            return Consumption(np.zeros(0, np.int64), np.zeros(0), 0.0, 0.0)
        if not self._ready:
            self._prepare()
        src, dst = np.asarray(src, dtype=np.int64), np.asarray(dst, dtype=np.int64)
        volumes = np.asarray(volumes, dtype=np.float64)
        if len(src) <= FEW:
            return self._few(src.tolist(), dst.tolist(), volumes.tolist())
        keys = self._keys(src, dst)
        crossing, ported = volumes, True
        own = src == dst
        if own.any():
            # self-routes aren't routes between two of a kind
            ported = not self._crosses_own_ports(distinct(src[own]).tolist())
            pairs = -1 - (src * len(self._points) + dst)
            keys = np.where(own, pairs, keys) if ported else pairs
            crossing = np.where(own, 0.0, volumes)
        cores = self._cores(keys)
        if ported and self._odd and not self._odd.isdisjoint(distinct(cores).tolist()):
            ported = False  # whole routes, one for each pair of hosts
            cores = self._cores(-1 - (src * len(self._points) + dst))
        links, weights = self._core_weights(cores, volumes)
        found, sums = [links], [weights]
        if ported:
            for ports, ends in ((self._out, src), (self._in, dst)):
                if ports.width:
                    some, more = _port_weights(ports.table, ends, crossing)
                    found.append(some)
                    sums.append(more)
            if self._both.width:
                ends = np.stack((src, dst), axis=1).reshape(-1)
                some, more = _port_weights(self._both.table, ends, np.repeat(crossing, 2))
                found.append(some)
                sums.append(more)
        latencies = np.asarray(self._latencies)[cores]
        if len(latencies) == 1:
            latency = float(latencies[0])
            latency_volume = latency * float(volumes.max())
        else:
            latency = float(latencies.max())
            latency_volume = float((latencies * volumes).max()) if latency > 0 else 0.0
        return Consumption(np.concatenate(found), np.concatenate(sums), latency, latency_volume)

    def _few(self, src: list[int], dst: list[int], volumes: list[float]) -> Consumption:
        sums: dict[int, float] = {}
        latency = latency_volume = 0.0
        if len(self._core_links) > MAX_CORES:
            self._reset()
        fatpipe, kinds, known = self._fatpipe, self._kind, self._core_of
        for a, b, volume in zip(src, dst, volumes, strict=True):
            if a == b:
                route = self._route(a, a)
                links, time = route.links, route.latency
            else:
                key = kinds[a] * self._kinds + kinds[b]
                core = known.get(key)
                if core is None:
                    core = self._core(key, a, b)
                time = self._core_times[core]
                if core in self._odd:
                    links = self._route(a, b).links
                else:
                    links = (*self._leave[a], *self._core_links[core], *self._enter[b])
            for link in links:
                if link not in sums:
                    sums[link] = volume
                elif fatpipe[link]:
                    sums[link] = max(sums[link], volume)
                else:
                    sums[link] += volume
            if time > 0:
                latency = max(latency, time)
                latency_volume = max(latency_volume, time * volume)
        used = np.fromiter(sums.keys(), np.int64, len(sums))
        return Consumption(used, np.fromiter(sums.values(), np.float64, len(sums)), latency, latency_volume)

    def _core_weights(self, cores: Indices, volumes: Floats) -> tuple[Indices, Floats]:
        if len(cores) == 1:
            times = Counter(self._core_links[int(cores[0])])
            each = [
                float(volumes.max()) if self._fatpipe[link] else _in_order(volumes, count)
                for link, count in times.items()
            ]
            return np.fromiter(times, np.int64, len(times)), np.array(each, dtype=np.float64)
        lengths = np.asarray(self._lengths)[cores]
        width = int(lengths.max())
        if width == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        crossing = np.flatnonzero(lengths)
        if 2 * len(crossing) < len(cores):
            cores, volumes = cores[crossing], volumes[crossing]
        flat = np.asarray(self._rows).reshape(-1, self._width)[cores, :width].reshape(-1)
        values = np.repeat(volumes, width)
        sums: Floats = np.bincount(flat, weights=values).astype(np.float64, copy=False)
        wide = np.frombuffer(self._wide, bool, len(sums))
        if wide.any():
            sums[wide] = 0.0
            chosen = wide[flat]
            np.maximum.at(sums, flat[chosen], values[chosen])
        sums[0] = 0.0
        used = np.flatnonzero(sums)
        return np.asarray(self._numbered)[used], sums[used]


def _in_order(volumes: Floats, times: int) -> float:
    """The sum taken one by one, each volume ``times`` times in a row."""
    values = volumes if times == 1 else np.repeat(volumes, times)
    return float(np.add.accumulate(values)[-1])


def _port_weights(ports: Indices, ends: Indices, volumes: Floats) -> tuple[Indices, Floats]:
    sums: Floats = np.bincount(ends, weights=volumes).astype(np.float64, copy=False)
    hosts = np.flatnonzero(sums)
    links = ports[hosts]
    weights = sums[hosts]
    if links.shape[1] > 1:
        weights = np.repeat(weights, links.shape[1])
    links = links.reshape(-1)
    real = links >= 0
    return (links, weights) if real.all() else (links[real], weights[real])


def _padded(lists: Sequence[tuple[int, ...]]) -> Ports:
    """One row per list, filled up with -1."""
    width = max(map(len, lists), default=0)
    if width == 1:
        return Ports(array("l", [entry[0] if entry else -1 for entry in lists]), 1)
    rows = integers(len(lists) * width, -1)
    for index, entry in enumerate(lists):
        for column, link in enumerate(entry):
            rows[index * width + column] = link
    return Ports(rows, width)
