# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True
"""The kernel that turns a task's flops and flows into rows, flow by flow in SimGrid's own order.

The job's own matrix (uniform or none) and the I/O's flows are walked together, row by row and column by
column, and each flow's bytes are added to the links it crosses: what ``simulator.work.merge`` and
``Platform.consume`` do with arrays. Compiled by Cython; interpreted it does the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from batfs._core import gather_layout as places_of

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.math import frexp, ldexp
else:
    from math import frexp, ldexp

HOSTS = cython.declare(cython.longlong, places_of.HOSTS)
UNIFORM = cython.declare(cython.longlong, places_of.UNIFORM)
FLOWS = cython.declare(cython.longlong, places_of.FLOWS)
WITH_FLOPS = cython.declare(cython.longlong, places_of.WITH_FLOPS)
RESOURCES = cython.declare(cython.longlong, places_of.RESOURCES)
KINDS = cython.declare(cython.longlong, places_of.KINDS)
WIDTH = cython.declare(cython.longlong, places_of.WIDTH)
OUT = cython.declare(cython.longlong, places_of.OUT)
INTO = cython.declare(cython.longlong, places_of.INTO)
BOTH = cython.declare(cython.longlong, places_of.BOTH)
EPOCH = cython.declare(cython.longlong, places_of.EPOCH)
KEY = cython.declare(cython.longlong, places_of.KEY)
COUNT = cython.declare(cython.longlong, places_of.COUNT)
A_HOSTS = cython.declare(cython.longlong, places_of.A_HOSTS)
A_PLACES = cython.declare(cython.longlong, places_of.A_PLACES)
A_SOURCES = cython.declare(cython.longlong, places_of.A_SOURCES)
A_DESTINATIONS = cython.declare(cython.longlong, places_of.A_DESTINATIONS)
A_VOLUMES = cython.declare(cython.longlong, places_of.A_VOLUMES)
A_FLOPS = cython.declare(cython.longlong, places_of.A_FLOPS)
A_KIND = cython.declare(cython.longlong, places_of.A_KIND)
A_TABLE = cython.declare(cython.longlong, places_of.A_TABLE)
A_ROWS = cython.declare(cython.longlong, places_of.A_ROWS)
A_LENGTHS = cython.declare(cython.longlong, places_of.A_LENGTHS)
A_NUMBERED = cython.declare(cython.longlong, places_of.A_NUMBERED)
A_LATENCIES = cython.declare(cython.longlong, places_of.A_LATENCIES)
A_OUT = cython.declare(cython.longlong, places_of.A_OUT)
A_INTO = cython.declare(cython.longlong, places_of.A_INTO)
A_BOTH = cython.declare(cython.longlong, places_of.A_BOTH)
A_FATPIPE = cython.declare(cython.longlong, places_of.A_FATPIPE)
A_SPEEDS = cython.declare(cython.longlong, places_of.A_SPEEDS)
A_SEEN = cython.declare(cython.longlong, places_of.A_SEEN)
A_PLACE = cython.declare(cython.longlong, places_of.A_PLACE)
A_RESOURCES = cython.declare(cython.longlong, places_of.A_RESOURCES)
A_WEIGHTS = cython.declare(cython.longlong, places_of.A_WEIGHTS)
DISTINCT = cython.declare(cython.longlong, places_of.DISTINCT)
A_CAPACITIES = cython.declare(cython.longlong, places_of.A_CAPACITIES)
STORAGES = cython.declare(cython.longlong, places_of.STORAGES)
WRITTEN = cython.declare(cython.longlong, places_of.WRITTEN)
READ = cython.declare(cython.longlong, places_of.READ)
A_AMOUNTS = cython.declare(cython.longlong, places_of.A_AMOUNTS)
MAPPED = cython.declare(cython.longlong, places_of.MAPPED)
A_COUNTS = cython.declare(cython.longlong, places_of.A_COUNTS)
A_RUNS = cython.declare(cython.longlong, places_of.A_RUNS)
A_HOST_OF = cython.declare(cython.longlong, places_of.A_HOST_OF)
VOLUME = cython.declare(cython.longlong, places_of.VOLUME)
LATENCY = cython.declare(cython.longlong, places_of.LATENCY)
LATENCY_VOLUME = cython.declare(cython.longlong, places_of.LATENCY_VOLUME)
BOUND = cython.declare(cython.longlong, places_of.BOUND)
REACH = cython.declare(cython.longlong, places_of.REACH)
FLOPS = cython.declare(cython.longlong, places_of.FLOPS)
NO_FLOPS = cython.declare(cython.longlong, places_of.NO_FLOPS)
ALL_THE_SAME = cython.declare(cython.longlong, places_of.ALL_THE_SAME)
DONE = cython.declare(cython.longlong, places_of.DONE)
MISSING = cython.declare(cython.longlong, places_of.MISSING)
SELF = cython.declare(cython.longlong, places_of.SELF)

# whole numbers up to here (just below 2 ** 53) are exact in a float64, and so are their sums
EXACT = cython.declare(cython.double, 9.0e15)
INFINITY = cython.declare(cython.double, float("inf"))
HUGE = cython.declare(cython.double, 1e300)
MANY = cython.declare(cython.longlong, 6)  # executors from which on it pays to count what is no whole number

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cclass
class Work:
    """Rows (resource, weight), the latency to pay first (s), and the bound on the rate (1/s, 0 for none).

    ``reach``: the least of capacity / weight over the rows (1/s), below 0 where nobody has worked it out.
    ``columns``: resources and weights as they were given: arrays, sequences, or the bytes of arrays.
    """

    columns = cython.declare(tuple, visibility="public")
    latency = cython.declare(cython.double, visibility="public")
    bound = cython.declare(cython.double, visibility="public")
    reach = cython.declare(cython.double, visibility="public")

    def __init__(
        self, resources: Any, weights: Any, latency: float, bound: float, reach: float = -1.0
    ) -> None:
        self.columns = (resources, weights)
        self.latency = latency
        self.bound = bound
        self.reach = reach

    @property
    def resources(self) -> Any:
        """int64[rows], or a sequence."""
        found = self.columns[0]
        return array("l", found) if type(found) is bytes else found

    @property
    def weights(self) -> Any:
        """float64[rows], or a sequence."""
        found = self.columns[1]
        return array("d", found) if type(found) is bytes else found

    def alone(self, capacity: Sequence[float]) -> float:
        """Seconds that it takes with nobody to share with; ``capacity``: of each resource."""
        rate: cython.double = self.bound if self.bound > 0.0 else INFINITY
        reach: cython.double = self.reach
        if reach < 0.0:
            rows = zip(self.resources, self.weights, strict=True)
            reach = min([capacity[r] / weight for r, weight in rows], default=INFINITY)
        if reach < rate:
            rate = reach
        return self.latency + 1.0 / rate if rate > 0.0 else INFINITY


@cython.cclass
class Way:
    """From one host to another: what a transfer of any volume uses.

    ``crossed``: how often each of the ``resources`` is; ``latency`` in seconds; ``gamma``: TCP's window in
    bytes.
    """

    resources: bytes
    crossed: object  # float64
    weights: object  # float64, of the work in hand
    latency: cython.double
    gamma: cython.double

    def __init__(
        self, resources: Sequence[int], crossed: Sequence[int], latency: float, gamma: float
    ) -> None:
        self.resources = array("l", resources).tobytes()
        self.crossed = array("d", crossed)
        self.weights = array("d", crossed)
        self.latency = latency
        self.gamma = gamma

    def work(self, volume: cython.double) -> Work:
        """That of ``volume`` bytes (> 0)."""
        size: cython.longlong = len(self.resources)
        address: cython.longlong = self.weights.buffer_info()[0]
        times: cython.p_double = floats(self.crossed.buffer_info()[0])
        weights: cython.p_double = floats(address)
        for i in range(size // 8):
            weights[i] = volume * times[i]
        bound: cython.double = 0.0
        if self.latency > 0.0:
            bound = self.gamma / (2.0 * (self.latency * volume))
        return Work(self.resources, octets(address, size), self.latency, bound)


def gather(parameters: cython.longlong, numbers: cython.longlong) -> cython.longlong:
    """Fill the rows. ``parameters``, ``numbers``: the addresses of the buffers whose places ``gather_layout``
    names.

    Returns DONE, MISSING (a core is not known yet: ``KEY``) or SELF (a flow from a host to itself).
    """
    return fill(integers(parameters), floats(numbers))


def rows_of(parameters: cython.longlong, numbers: cython.longlong, gamma: cython.double) -> Work:
    """What :func:`gather` has found. ``gamma``: TCP's window, bytes."""
    p: cython.p_longlong = integers(parameters)
    x: cython.p_double = floats(numbers)
    bound: cython.double = x[BOUND]
    if x[LATENCY_VOLUME] > 0.0:
        window: cython.double = gamma / (2.0 * x[LATENCY_VOLUME])
        if bound <= 0.0 or window < bound:
            bound = window
    size: cython.longlong = 8 * p[COUNT]
    return Work(octets(p[A_RESOURCES], size), octets(p[A_WEIGHTS], size), x[LATENCY], bound, x[REACH])


def beside(
    parameters: cython.longlong,
    numbers: cython.longlong,
    nodes: tuple,
    ids: Sequence[int],
    each: cython.double,
    uniform: cython.double,
    even: object,
    host_of: cython.longlong,
    gamma: cython.double,
) -> Work | None:
    """The work of a task on the first of these ids, its ``nodes``, with ``each`` flops on each and
    ``uniform`` bytes between each two, beside the ``even`` I/O of all of them; None where others come first,
    or :func:`gather` isn't done."""
    count: cython.longlong = len(nodes)
    if count > len(ids):
        return None
    for i in range(count):
        node: cython.longlong = nodes[i]
        first: cython.longlong = ids[i]
        if node != first:
            return None
    whose: cython.longlong = ALL_THE_SAME if each > 0.0 else 0
    enter(parameters, numbers, ids, count, uniform, whose, each, (even.written, even.read), host_of, True)
    if fill(integers(parameters), floats(numbers)) != DONE:
        return None
    return rows_of(parameters, numbers, gamma)


@cython.cfunc
def octets(address: cython.longlong, size: cython.longlong) -> bytes:
    """A copy of that many bytes."""
    if cython.compiled:
        return PyBytes_FromStringAndSize(
            cython.cast(cython.p_char, cython.cast(cython.size_t, address)), size
        )
    import ctypes

    return ctypes.string_at(address, size)


def enter(
    parameters: cython.longlong,
    numbers: cython.longlong,
    ids: Iterable[int],
    matrix: cython.longlong,
    uniform: cython.double,
    flops: cython.longlong,
    each: cython.double,
    even: tuple[tuple[Sequence[int], Sequence[int]] | None, ...] | None,
    host_of: cython.longlong,
    distinct: cython.bint,
) -> None:
    """Write a task into the buffers, which have room for it: its executors ``ids``; how many of them, the
    first ones, are in the matrix of ``uniform`` bytes; whose ``flops`` are given (WITH_FLOPS), and how many
    each; what is written and read of ``even`` I/O: (amounts, starts) of the storages, which come last;
    the address of the table of the ids' hosts (0: they are hosts), and whether these are all different."""
    p: cython.p_longlong = integers(parameters)
    x: cython.p_double = floats(numbers)
    hosts: cython.p_longlong = integers(p[A_HOSTS])
    count: cython.longlong = 0
    resource: cython.longlong
    for resource in ids:
        hosts[count] = resource
        count += 1
    p[HOSTS] = count
    p[UNIFORM] = matrix
    x[VOLUME] = uniform
    p[WITH_FLOPS] = flops
    x[FLOPS] = each
    places: cython.p_longlong = integers(p[A_PLACES])
    if uniform > 0.0:
        for i in range(matrix):
            places[i] = i
    p[A_HOST_OF] = host_of
    p[MAPPED] = host_of != 0
    p[DISTINCT] = distinct
    p[FLOWS] = p[STORAGES] = 0
    if even is not None:
        written, read = even
        amounts: cython.p_longlong = integers(p[A_AMOUNTS])
        storages: cython.longlong = len((read if written is None else written)[0])
        p[STORAGES] = storages
        p[WRITTEN], p[READ] = written is not None, read is not None
        place: cython.longlong = 0
        amount: cython.longlong
        nodes: cython.longlong = count - storages
        for part in even:
            if part is not None:
                sizes, starts = part
                for k in range(storages):
                    amount = sizes[k]
                    amounts[place] = amount // nodes
                    amounts[place + 1] = amount % nodes
                    amounts[place + 2] = starts[k]
                    place += 3


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def integers(address: cython.longlong) -> cython.p_longlong:
    """The int64 buffer at an address."""
    if cython.compiled:
        return cython.cast(cython.p_longlong, cython.cast(cython.size_t, address))
    return at("c_int64", address)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def small(address: cython.longlong) -> cython.p_int:
    """The int32 buffer at an address."""
    if cython.compiled:
        return cython.cast(cython.p_int, cython.cast(cython.size_t, address))
    return at("c_int32", address)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def floats(address: cython.longlong) -> cython.p_double:
    """The float64 buffer at an address."""
    if cython.compiled:
        return cython.cast(cython.p_double, cython.cast(cython.size_t, address))
    return at("c_double", address)


def at(kind: str, address: int) -> Any:
    """Numbers of that kind from an address on, for the interpreted form (which knows no end of them
    either)."""
    import ctypes

    return ctypes.cast(address, ctypes.POINTER(getattr(ctypes, kind)))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def whole(value: cython.double) -> cython.double:
    """Without its fraction; EXACT where it is larger."""
    least: cython.double = value if value < EXACT else EXACT
    return (
        float(int(least))
        if not cython.compiled
        else cython.cast(cython.double, cython.cast(cython.longlong, least))
    )


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def countable(
    uniform: cython.longlong,
    flows: cython.longlong,
    beside: cython.double,
    each: cython.double,
    places: cython.p_longlong,
    sources: cython.p_longlong,
    destinations: cython.p_longlong,
    volumes: cython.p_double,
) -> cython.bint:
    """Whether the matrix's share of each link can be counted instead of summed.

    So it is when all volumes are whole numbers (their sums are exact in any order) and no flow joins two
    executors of the matrix (whose bytes would come together). Each host must have one executor only.
    ``beside``: bytes of even I/O between these executors and storages.
    """
    if each != whole(each) or places[uniform - 1] != uniform - 1:
        return False
    total = 2.0 * each * uniform * uniform + 2.0 * beside
    for flow in range(flows):
        volume = volumes[flow]
        total += 2.0 * volume
        if total > EXACT or volume != whole(volume):
            return False
        if sources[flow] < uniform and destinations[flow] < uniform:
            return False
    return total <= EXACT


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def take(
    link: cython.longlong,
    times: cython.longlong,
    each: cython.double,
    epoch: cython.longlong,
    count: cython.longlong,
    first_link: cython.longlong,
    fatpipe: cython.p_longlong,
    seen: cython.p_longlong,
    place: cython.p_longlong,
    resources: cython.p_longlong,
    weights: cython.p_double,
) -> cython.longlong:
    """``times`` flows of ``each`` bytes cross a link; returns how many rows there are then."""
    if seen[link] != epoch:
        seen[link] = epoch
        place[link] = count
        resources[count] = first_link + link
        weights[count] = each if fatpipe[link] != 0 else each * times
        return count + 1
    if fatpipe[link] == 0:
        weights[place[link]] += each * times
    elif each > weights[place[link]]:
        weights[place[link]] = each
    return count


@cython.cfunc
@cython.exceptval(check=False)
def spread(
    p: cython.p_longlong,
    amounts: cython.p_longlong,
    sources: cython.p_longlong,
    destinations: cython.p_longlong,
    volumes: cython.p_double,
) -> cython.longlong:
    """The flows of even I/O, row by row; returns how many. ``amounts``: (bytes of each node, how many nodes
    have one more, the first of these) of each storage, what is written before what is read."""
    storages = p[STORAGES]
    nodes = p[HOSTS] - storages
    flow = 0
    if p[WRITTEN] != 0:
        for i in range(nodes):
            for k in range(storages):
                place = i - amounts[3 * k + 2]
                if place < 0:
                    place += nodes
                volume = amounts[3 * k]
                if place < amounts[3 * k + 1]:
                    volume += 1
                sources[flow] = i
                destinations[flow] = nodes + k
                volumes[flow] = volume
                flow += 1
    first = 3 * storages if p[WRITTEN] != 0 else 0
    if p[READ] != 0:
        for k in range(storages):
            for i in range(nodes):
                place = i - amounts[first + 3 * k + 2]
                if place < 0:
                    place += nodes
                volume = amounts[first + 3 * k]
                if place < amounts[first + 3 * k + 1]:
                    volume += 1
                sources[flow] = nodes + k
                destinations[flow] = i
                volumes[flow] = volume
                flow += 1
    return flow


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def met(
    link: cython.longlong,
    epoch: cython.longlong,
    count: cython.longlong,
    first_link: cython.longlong,
    seen: cython.p_longlong,
    place: cython.p_longlong,
    resources: cython.p_longlong,
    weights: cython.p_double,
) -> cython.longlong:
    """A link has a row from now on; returns how many there are then."""
    if link < 0 or seen[link] == epoch:
        return count
    seen[link] = epoch
    place[link] = count
    resources[count] = first_link + link
    weights[count] = 0.0
    return count + 1


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def nth(
    k: cython.longlong,
    total: cython.longlong,
    core: cython.longlong,
    src: cython.longlong,
    dst: cython.longlong,
    width: cython.longlong,
    out: cython.longlong,
    into: cython.longlong,
    both: cython.longlong,
    numbered: cython.p_longlong,
    links: cython.p_longlong,
    outs: cython.p_longlong,
    intos: cython.p_longlong,
    boths: cython.p_longlong,
) -> cython.longlong:
    """The ``k``-th link of a flow: the core's, ``total`` of them, then the hosts' own; below 0 for none."""
    if k < total:
        return numbered[links[core * width + k]]
    k -= total
    if k < out:
        return outs[src * out + k]
    k -= out
    if k < into:
        return intos[dst * into + k]
    k -= into
    return boths[src * both + k] if k < both else boths[dst * both + k - both]


@cython.cfunc
@cython.exceptval(check=False)
def meet(
    p: cython.p_longlong,
    core: cython.longlong,
    src: cython.longlong,
    dst: cython.longlong,
    count: cython.longlong,
) -> cython.longlong:
    """All links between two hosts have rows: the core's (below 0: those have), then the hosts' own, in the
    order of a flow. Returns how many rows there are then."""
    links, lengths, numbered = integers(p[A_ROWS]), integers(p[A_LENGTHS]), integers(p[A_NUMBERED])
    outs, intos, boths = integers(p[A_OUT]), integers(p[A_INTO]), integers(p[A_BOTH])
    seen, place = integers(p[A_SEEN]), integers(p[A_PLACE])
    resources, weights = integers(p[A_RESOURCES]), floats(p[A_WEIGHTS])
    out, into, both = p[OUT], p[INTO], p[BOTH]
    width, epoch, first_link = p[WIDTH], p[EPOCH], p[RESOURCES]
    total = lengths[core] if core >= 0 else 0
    for k in range(total + out + into + 2 * both):
        link = nth(k, total, core, src, dst, width, out, into, both, numbered, links, outs, intos, boths)
        count = met(link, epoch, count, first_link, seen, place, resources, weights)
    return count


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def crossed(
    link: cython.longlong,
    total: cython.longlong,
    largest: cython.longlong,
    fatpipe: cython.p_longlong,
    place: cython.p_longlong,
    weights: cython.p_double,
) -> cython.longlong:
    """Flows of ``total`` bytes, the largest of so many, cross a link that has a row."""
    if link >= 0:
        row = place[link]
        if fatpipe[link] == 0:
            weights[row] += total
        elif weights[row] < largest:
            weights[row] = largest
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def among(
    start: cython.longlong,
    rest: cython.longlong,
    nodes: cython.longlong,
    begin: cython.longlong,
    end: cython.longlong,
) -> cython.longlong:
    """How many of ``rest`` nodes from ``start`` on (and from the first after the last) are in begin..end."""
    stop = start + rest
    low = begin if begin > start else start
    high = end if end < stop else stop
    found = high - low if high > low else 0
    if stop > nodes:
        high = end if end < stop - nodes else stop - nodes
        if high > begin:
            found += high - begin
    return found


@cython.cfunc
@cython.exceptval(check=False)
def even_total(p: cython.p_longlong, amounts: cython.p_longlong) -> cython.double:
    """Bytes of even I/O; more than EXACT where some node gets nothing from some storage."""
    nodes = p[HOSTS] - p[STORAGES]
    total = 0.0
    ways = (1 if p[WRITTEN] != 0 else 0) + (1 if p[READ] != 0 else 0)
    for k in range(ways * p[STORAGES]):
        if amounts[3 * k] <= 0:
            return 2.0 * EXACT
        total += amounts[3 * k] * nodes + amounts[3 * k + 1]
    return total


@cython.cfunc
@cython.exceptval(check=False)
def count_even(p: cython.p_longlong, x: cython.p_double, count: cython.longlong) -> cython.longlong:
    """The rows of even I/O whose sums are exact in any order: each host's and each core's bytes at once, in
    the order in which a walk from flow to flow would meet the links. Returns how many rows there are then;
    below 0: a core is not known yet."""
    hosts, amounts = integers(p[A_HOSTS]), integers(p[A_AMOUNTS])
    kind, table = integers(p[A_KIND]), small(p[A_TABLE])
    links, lengths, numbered = integers(p[A_ROWS]), integers(p[A_LENGTHS]), integers(p[A_NUMBERED])
    latencies = floats(p[A_LATENCIES])
    fatpipe, place, weights = integers(p[A_FATPIPE]), integers(p[A_PLACE]), floats(p[A_WEIGHTS])
    outs, intos, boths = integers(p[A_OUT]), integers(p[A_INTO]), integers(p[A_BOTH])
    out, into, both = p[OUT], p[INTO], p[BOTH]
    kinds, width = p[KINDS], p[WIDTH]
    storages = p[STORAGES]
    nodes = p[HOSTS] - storages
    first = 0  # place of the amounts of this way
    for way in range(2):
        writing = way == 0
        if (p[WRITTEN] if writing else p[READ]) == 0:
            continue
        rows, columns = nodes if writing else storages, storages if writing else nodes
        row_at, column_at = 0 if writing else nodes, nodes if writing else 0
        for r in range(rows):
            src = hosts[row_at + r]
            alike = r > 0 and kind[src] == kind[hosts[row_at + r - 1]]
            for c in range(columns):
                dst = hosts[column_at + c]
                if r > 0 and c > 0 and kind[dst] == kind[hosts[column_at + c - 1]]:
                    continue
                if not alike:
                    key = kind[src] * kinds + kind[dst]
                    core = table[key]
                    if core < 0:
                        p[KEY] = key
                        return -1
                count = meet(p, -1 if alike else core, src, dst, count)
                if alike:
                    break
        # each host's own links
        for i in range(nodes + storages):
            total = 0
            largest = 0
            if i < nodes:
                for k in range(storages):
                    turn = i - amounts[first + 3 * k + 2]
                    if turn < 0:
                        turn += nodes
                    volume = amounts[first + 3 * k]
                    if turn < amounts[first + 3 * k + 1]:
                        volume += 1
                    total += volume
                    if volume > largest:
                        largest = volume
            else:
                volume = amounts[first + 3 * (i - nodes)]
                rest = amounts[first + 3 * (i - nodes) + 1]
                total = volume * nodes + rest
                largest = volume + (1 if rest > 0 else 0)
            host = hosts[i]
            if writing == (i < nodes):
                for k in range(out):
                    crossed(outs[host * out + k], total, largest, fatpipe, place, weights)
            else:
                for k in range(into):
                    crossed(intos[host * into + k], total, largest, fatpipe, place, weights)
            for k in range(both):
                crossed(boths[host * both + k], total, largest, fatpipe, place, weights)
        # cores: hosts of one kind stand together, so runs of equal kinds are few
        begin = 0
        while begin < nodes:
            end = begin + 1
            while end < nodes and kind[hosts[end]] == kind[hosts[begin]]:
                end += 1
            start = 0
            while start < storages:
                stop = start + 1
                while stop < storages and kind[hosts[nodes + stop]] == kind[hosts[nodes + start]]:
                    stop += 1
                total = 0
                largest = 0
                for k in range(start, stop):
                    volume = amounts[first + 3 * k]
                    more = among(amounts[first + 3 * k + 2], amounts[first + 3 * k + 1], nodes, begin, end)
                    total += volume * (end - begin) + more
                    if more > 0:
                        volume += 1
                    if volume > largest:
                        largest = volume
                src, dst = hosts[begin], hosts[nodes + start]
                key = kind[src] * kinds + kind[dst] if writing else kind[dst] * kinds + kind[src]
                core = table[key]
                for k in range(lengths[core]):
                    crossed(numbered[links[core * width + k]], total, largest, fatpipe, place, weights)
                paid = latencies[core]
                if paid > x[LATENCY]:
                    x[LATENCY] = paid
                if paid * largest > x[LATENCY_VOLUME]:
                    x[LATENCY_VOLUME] = paid * largest
                start = stop
            begin = end
        first += 3 * storages
    return count


def repeat(start: cython.double, each: cython.double, times: cython.longlong) -> float:
    """``start`` (>= 0) with ``each`` (> 0) added to it so many times, one after the other."""
    return repeated(start, each, times)


@cython.cfunc
@cython.exceptval(check=False)
def repeated(start: cython.double, each: cython.double, times: cython.longlong) -> cython.double:
    """See :func:`repeat`; the same bits in a few steps for each power of two that the sum passes.

    Between two powers of two all numbers are multiples of one unit, so a sum grows by ``each`` rounded to
    units. Where that is a tie the rounding is to the even one of two, which the sum is from then on: what the
    second sum between the same powers adds is what all later ones there do.
    """
    total: cython.double = start
    one: cython.double
    two: cython.double
    step: cython.double
    top: cython.double
    more: cython.longlong
    while times > 0:
        one = total + each
        times -= 1
        if one == total:
            return total
        total = one
        if times < 4:
            continue
        two = one + each
        total = two + each
        times -= 2
        step = total - two
        top = above(one)
        if step > 0.0 and total < top and top < HUGE:
            more = int((top - total) / step) - 2
            if more > times:
                more = times
            if more > 0:
                total += more * step
                times -= more
    return total


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def above(value: cython.double) -> cython.double:
    """The power of two next above a number."""
    exponent: cython.int = 0
    if cython.compiled:
        frexp(value, cython.address(exponent))
    else:
        exponent = frexp(value)[1]
        if exponent > 1023:
            return INFINITY
    return ldexp(1.0, exponent)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def apart(
    uniform: cython.longlong,
    flows: cython.longlong,
    places: cython.p_longlong,
    sources: cython.p_longlong,
    destinations: cython.p_longlong,
) -> cython.bint:
    """Whether the executors of the matrix come first, and no flow joins two of them, or one with itself."""
    if places[uniform - 1] != uniform - 1:
        return False
    for flow in range(flows):
        if sources[flow] == destinations[flow]:
            return False
        if sources[flow] < uniform and destinations[flow] < uniform:
            return False
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def settled(
    link: cython.longlong,
    rows: cython.longlong,
    each: cython.double,
    usual: cython.longlong,
    sum_of_usual: cython.double,
    counts: cython.p_longlong,
    place: cython.p_longlong,
    weights: cython.p_double,
) -> cython.longlong:
    """A link is given what the pairs of the first ``rows`` rows add to it; ``usual`` times to nothing is
    known."""
    times = counts[4 * link + 1] + counts[4 * link + 2] * rows - counts[4 * link + 3]
    if times > 0:
        before = weights[place[link]]
        if times == usual and before == 0.0:
            weights[place[link]] = sum_of_usual
        else:
            weights[place[link]] = repeated(before, each, times)
        counts[4 * link + 3] += times
    return times


@cython.cfunc
@cython.exceptval(check=False)
def count_alike(p: cython.p_longlong, x: cython.p_double, count: cython.longlong) -> cython.longlong:
    """The rows of a matrix of volumes that are no whole numbers, and of flows from and to others: the links
    in the order, and with the sums, of a walk over all pairs. Returns how many rows there are then; below
    0: a core is not known yet.

    All pairs add the same, so it is enough to count them, and to add that many (see :func:`repeated`) before
    a flow adds something else. Of each link ``counts`` holds: the epoch, if the matrix uses it; how often
    pairs of the rows so far do; how often each row does, besides; how many of these have been added.
    """
    hosts, runs = integers(p[A_HOSTS]), integers(p[A_RUNS])
    sources, destinations = integers(p[A_SOURCES]), integers(p[A_DESTINATIONS])
    volumes = floats(p[A_VOLUMES])
    kind, table = integers(p[A_KIND]), small(p[A_TABLE])
    links, lengths, numbered = integers(p[A_ROWS]), integers(p[A_LENGTHS]), integers(p[A_NUMBERED])
    latencies = floats(p[A_LATENCIES])
    fatpipe, seen, place = integers(p[A_FATPIPE]), integers(p[A_SEEN]), integers(p[A_PLACE])
    resources, weights = integers(p[A_RESOURCES]), floats(p[A_WEIGHTS])
    outs, intos, boths = integers(p[A_OUT]), integers(p[A_INTO]), integers(p[A_BOTH])
    counts = integers(p[A_COUNTS])
    out, into, both = p[OUT], p[INTO], p[BOTH]
    kinds, width, epoch, first_link = p[KINDS], p[WIDTH], p[EPOCH], p[RESOURCES]
    uniform, flows, each, first_row = p[UNIFORM], p[FLOWS], x[VOLUME], count
    # hosts of one kind stand together, so runs of equal kinds are few
    last = 0
    runs[0] = 0
    for i in range(1, uniform):
        if kind[hosts[i]] != kind[hosts[i - 1]]:
            last += 1
            runs[last] = i
    last += 1
    runs[last] = uniform
    for a in range(last):
        for b in range(last):
            if a == b and runs[a + 1] - runs[a] == 1:
                continue
            key = kind[hosts[runs[a]]] * kinds + kind[hosts[runs[b]]]
            core = table[key]
            if core < 0:
                p[KEY] = key
                return -1
            for k in range(lengths[core]):
                link = numbered[links[core * width + k]]
                if link >= 0:
                    counts[4 * link] = epoch
                    counts[4 * link + 1] = counts[4 * link + 2] = counts[4 * link + 3] = 0
    for i in range(uniform):
        host = hosts[i]
        for k in range(out + into + both):
            if k < out:
                link = outs[host * out + k]
            elif k < out + into:
                link = intos[host * into + k - out]
            else:
                link = boths[host * both + k - out - into]
            if link >= 0:
                counts[4 * link] = epoch
                counts[4 * link + 1] = counts[4 * link + 2] = counts[4 * link + 3] = 0
    for i in range(uniform):
        host = hosts[i]
        for k in range(into):
            if intos[host * into + k] >= 0:
                counts[4 * intos[host * into + k] + 2] += 1
        for k in range(both):
            if boths[host * both + k] >= 0:
                counts[4 * boths[host * both + k] + 2] += 1
    usual = uniform - 1
    sum_of_usual = repeated(0.0, each, usual)
    flow = 0
    rows = 0
    for i in range(p[HOSTS]):
        src = hosts[i]
        if i < uniform:
            rows = i + 1
            for a in range(last):
                # after the first row only the first of its kind meets links that are new
                meeting = True
                times = runs[a + 1] - runs[a]
                if runs[a] <= i < runs[a + 1]:
                    times -= 1
                for j in range(runs[a], runs[a + 1]):
                    if j == i:
                        continue
                    if not meeting:
                        break
                    meeting = i == 0
                    dst = hosts[j]
                    count = meet(p, table[kind[src] * kinds + kind[dst]], src, dst, count)
                if times == 0:
                    continue
                core = table[kind[src] * kinds + kind[hosts[runs[a]]]]
                for k in range(lengths[core]):
                    link = numbered[links[core * width + k]]
                    if link >= 0:
                        counts[4 * link + 1] += times
                paid = latencies[core]
                if paid > x[LATENCY]:
                    x[LATENCY] = paid
                if paid * each > x[LATENCY_VOLUME]:
                    x[LATENCY_VOLUME] = paid * each
            # its own links; those that lead to it are not used by itself
            for k in range(out):
                if outs[src * out + k] >= 0:
                    counts[4 * outs[src * out + k] + 1] += uniform - 1
            for k in range(both):
                if boths[src * both + k] >= 0:
                    counts[4 * boths[src * both + k] + 1] += uniform - 2
            for k in range(into):
                if intos[src * into + k] >= 0:
                    counts[4 * intos[src * into + k] + 1] -= 1
        while flow < flows and sources[flow] == i:
            volume = volumes[flow]
            dst = hosts[destinations[flow]]
            flow += 1
            if volume <= 0.0:
                continue
            key = kind[src] * kinds + kind[dst]
            core = table[key]
            if core < 0:
                p[KEY] = key
                return -1
            paid = latencies[core]
            if paid > x[LATENCY]:
                x[LATENCY] = paid
            if paid * volume > x[LATENCY_VOLUME]:
                x[LATENCY_VOLUME] = paid * volume
            total = lengths[core]
            for k in range(total + out + into + 2 * both):
                link = nth(
                    k, total, core, src, dst, width, out, into, both, numbered, links, outs, intos, boths
                )
                if link < 0:
                    continue
                count = met(link, epoch, count, first_link, seen, place, resources, weights)
                if fatpipe[link] != 0:
                    if volume > weights[place[link]]:
                        weights[place[link]] = volume
                    continue
                if counts[4 * link] == epoch:
                    settled(link, rows, each, usual, sum_of_usual, counts, place, weights)
                weights[place[link]] += volume
    for row in range(first_row, count):
        link = resources[row] - first_link
        if counts[4 * link] == epoch:
            if fatpipe[link] == 0:
                settled(link, rows, each, usual, sum_of_usual, counts, place, weights)
            elif weights[row] < each and counts[4 * link + 1] + counts[4 * link + 2] * rows > 0:
                weights[row] = each
    return count


@cython.cfunc
@cython.exceptval(check=False)
def fill(p: cython.p_longlong, x: cython.p_double) -> cython.longlong:
    """See :func:`gather`."""
    hosts, places = integers(p[A_HOSTS]), integers(p[A_PLACES])
    sources, destinations = integers(p[A_SOURCES]), integers(p[A_DESTINATIONS])
    volumes, flops = floats(p[A_VOLUMES]), floats(p[A_FLOPS])
    kind, table = integers(p[A_KIND]), small(p[A_TABLE])
    rows, lengths, numbered = integers(p[A_ROWS]), integers(p[A_LENGTHS]), integers(p[A_NUMBERED])
    latencies, speeds = floats(p[A_LATENCIES]), floats(p[A_SPEEDS])
    fatpipe, seen, place = integers(p[A_FATPIPE]), integers(p[A_SEEN]), integers(p[A_PLACE])
    resources, weights = integers(p[A_RESOURCES]), floats(p[A_WEIGHTS])
    first_link = p[RESOURCES]
    kinds, width = p[KINDS], p[WIDTH]
    out, into, both = p[OUT], p[INTO], p[BOTH]
    p[EPOCH] += 1
    epoch = p[EPOCH]
    count = 0
    bound = 0.0
    if p[MAPPED] != 0:
        host_of = integers(p[A_HOST_OF])
        for i in range(p[HOSTS]):
            hosts[i] = host_of[hosts[i]]
    if p[WITH_FLOPS] != NO_FLOPS:
        computing = p[UNIFORM] if p[WITH_FLOPS] == ALL_THE_SAME else p[HOSTS]
        for i in range(computing):
            work = x[FLOPS] if p[WITH_FLOPS] == ALL_THE_SAME else flops[i]
            if work > 0.0:
                host = hosts[i]
                resources[count] = host
                weights[count] = work
                count += 1
                limit = speeds[host] / work
                if bound <= 0.0 or limit < bound:
                    bound = limit
    latency = 0.0
    latency_volume = 0.0
    each = x[VOLUME]
    uniform = p[UNIFORM] if each > 0.0 else 0
    beside = even_total(p, integers(p[A_AMOUNTS])) if p[STORAGES] > 0 else 0.0
    evenly = (
        p[STORAGES] > 0
        and p[DISTINCT] != 0
        and 2.0 * beside <= EXACT
        and (uniform == 0 or uniform == p[HOSTS] - p[STORAGES])
    )
    if p[STORAGES] > 0:
        p[FLOWS] = 0 if evenly else spread(p, integers(p[A_AMOUNTS]), sources, destinations, volumes)
    flows = p[FLOWS]
    outs, intos, boths = integers(p[A_OUT]), integers(p[A_INTO]), integers(p[A_BOTH])
    if (
        uniform > 2
        and p[DISTINCT] != 0
        and countable(uniform, flows, beside if evenly else 0.0, each, places, sources, destinations, volumes)
    ):
        # all sums are exact, whatever their order: the matrix is counted, link by link
        others = uniform - 1
        for i in range(uniform):
            host = hosts[i]
            for k in range(p[OUT] + p[INTO] + p[BOTH]):
                times = others
                if k < p[OUT]:
                    link = outs[host * p[OUT] + k]
                elif k < p[OUT] + p[INTO]:
                    link = intos[host * p[INTO] + k - p[OUT]]
                else:
                    link = boths[host * p[BOTH] + k - p[OUT] - p[INTO]]
                    times = 2 * others
                if link >= 0:
                    count = take(
                        link, times, each, epoch, count, first_link, fatpipe, seen, place, resources, weights
                    )
        # hosts of one kind stand together, so runs of equal kinds are few
        begin = 0
        while begin < uniform:
            end = begin + 1
            while end < uniform and kind[hosts[end]] == kind[hosts[begin]]:
                end += 1
            start = 0
            while start < uniform:
                stop = start + 1
                while stop < uniform and kind[hosts[stop]] == kind[hosts[start]]:
                    stop += 1
                times = (end - begin) * (stop - start)
                if start == begin:
                    times -= end - begin
                if times > 0:
                    key = kind[hosts[begin]] * kinds + kind[hosts[start]]
                    core = table[key]
                    if core < 0:
                        p[KEY] = key
                        return MISSING
                    paid = latencies[core]
                    if paid > latency:
                        latency = paid
                    if paid * each > latency_volume:
                        latency_volume = paid * each
                    for k in range(lengths[core]):
                        link = numbered[rows[core * width + k]]
                        if link >= 0:
                            count = take(
                                link,
                                times,
                                each,
                                epoch,
                                count,
                                first_link,
                                fatpipe,
                                seen,
                                place,
                                resources,
                                weights,
                            )
                start = stop
            begin = end
        uniform = 0
    executors = p[HOSTS]
    if evenly and uniform == 0:
        x[LATENCY], x[LATENCY_VOLUME] = latency, latency_volume
        count = count_even(p, x, count)
        if count < 0:
            return MISSING
        latency, latency_volume = x[LATENCY], x[LATENCY_VOLUME]
        executors = 0
    elif evenly:
        flows = p[FLOWS] = spread(p, integers(p[A_AMOUNTS]), sources, destinations, volumes)
    if uniform >= MANY and p[DISTINCT] != 0 and apart(uniform, flows, places, sources, destinations):
        x[LATENCY], x[LATENCY_VOLUME] = latency, latency_volume
        count = count_alike(p, x, count)
        if count < 0:
            return MISSING
        latency, latency_volume = x[LATENCY], x[LATENCY_VOLUME]
        executors = 0
    row_place = 0  # place in `places` of the next executor that is in the matrix
    flow = 0
    for i in range(executors):
        in_matrix = uniform > 0 and row_place < uniform and places[row_place] == i
        column_place = 0
        src = hosts[i]
        while True:
            # the next column of row i: from the matrix, from the flows, or from both
            column = -1
            volume = 0.0
            if in_matrix:
                if column_place < uniform and places[column_place] == i:
                    column_place += 1
                if column_place < uniform:
                    column = places[column_place]
                    volume = each
            from_flows = flow < flows and sources[flow] == i
            if from_flows and (column < 0 or destinations[flow] <= column):
                if column >= 0 and destinations[flow] == column:
                    column_place += 1
                    volume += volumes[flow]
                else:
                    column = destinations[flow]
                    volume = volumes[flow]
                flow += 1
            elif column >= 0:
                column_place += 1
            if column < 0:
                break
            if volume <= 0.0:
                continue
            dst = hosts[column]
            if src == dst:
                return SELF
            key = kind[src] * kinds + kind[dst]
            core = table[key]
            if core < 0:
                p[KEY] = key
                return MISSING
            paid = latencies[core]
            if paid > 0.0:
                if paid > latency:
                    latency = paid
                product = paid * volume
                if product > latency_volume:
                    latency_volume = product
            total = lengths[core]
            for k in range(total + out + into + 2 * both):
                link = nth(
                    k, total, core, src, dst, width, out, into, both, numbered, rows, outs, intos, boths
                )
                if link < 0:
                    continue
                if seen[link] != epoch:
                    seen[link] = epoch
                    place[link] = count
                    resources[count] = first_link + link
                    weights[count] = volume
                    count += 1
                elif fatpipe[link] == 0:
                    weights[place[link]] += volume
                elif volume > weights[place[link]]:
                    weights[place[link]] = volume
        if in_matrix:
            row_place += 1
    capacities = floats(p[A_CAPACITIES])
    reach = -1.0
    for row in range(count):
        limit = capacities[resources[row]] / weights[row]
        if reach < 0.0 or limit < reach:
            reach = limit
    x[REACH] = reach
    p[COUNT] = count
    x[LATENCY] = latency
    x[LATENCY_VOLUME] = latency_volume
    x[BOUND] = bound
    return DONE


def entries(
    size: cython.longlong,
    matrix: cython.longlong,
    sources: cython.longlong,
    destinations: cython.longlong,
    volumes: cython.longlong,
) -> cython.longlong:
    """The entries above 0 of the ``size`` x ``size`` matrix at that address, row by row, into three buffers
    that have room for all; how many there are."""
    cells: cython.p_double = floats(matrix)
    rows: cython.p_longlong = integers(sources)
    columns: cython.p_longlong = integers(destinations)
    found: cython.p_double = floats(volumes)
    row: cython.longlong
    column: cython.longlong
    count: cython.longlong = 0
    for row in range(size):
        for column in range(size):
            volume: cython.double = cells[row * size + column]
            if volume > 0.0:
                rows[count] = row
                columns[count] = column
                found[count] = volume
                count += 1
    return count


def lacking(parameters: cython.longlong, numbers: cython.longlong) -> list[int]:
    """The keys, ascending, of all cores that the task in the buffers needs and that aren't known yet: the one
    that :func:`gather` missed and, of pairs of hosts of one kind among several, no others."""
    p: cython.p_longlong = integers(parameters)
    x: cython.p_double = floats(numbers)
    hosts: cython.p_longlong = integers(p[A_HOSTS])
    kind: cython.p_longlong = integers(p[A_KIND])
    table: cython.p_int = small(p[A_TABLE])
    kinds: cython.longlong = p[KINDS]
    last: cython.longlong = p[KEY]
    found: set = {last}
    i: cython.longlong
    a: cython.longlong
    b: cython.longlong
    if x[VOLUME] > 0.0:
        places: cython.p_longlong = integers(p[A_PLACES])
        own: set = set()
        for i in range(p[UNIFORM]):
            own.add(kind[hosts[places[i]]])
        for a in own:
            for b in own:
                if a != b and table[a * kinds + b] < 0:
                    found.add(a * kinds + b)
    storages: cython.longlong = p[STORAGES]
    if storages:
        nodes: set = set()
        first: cython.longlong = p[HOSTS] - storages
        for i in range(first):
            nodes.add(kind[hosts[i]])
        amounts: cython.p_longlong = integers(p[A_AMOUNTS])
        place: cython.longlong = 0
        for way in (WRITTEN, READ):
            if p[way] == 0:
                continue
            for i in range(storages):
                if amounts[place] or amounts[place + 1]:
                    b = kind[hosts[first + i]]
                    for a in nodes:
                        key: cython.longlong = a * kinds + b if way == WRITTEN else b * kinds + a
                        if table[key] < 0:
                            found.add(key)
                place += 3
        return sorted(found)
    sources: cython.p_longlong = integers(p[A_SOURCES])
    destinations: cython.p_longlong = integers(p[A_DESTINATIONS])
    volumes: cython.p_double = floats(p[A_VOLUMES])
    for i in range(p[FLOWS]):
        if volumes[i] > 0.0 and sources[i] != destinations[i]:
            key = kind[hosts[sources[i]]] * kinds + kind[hosts[destinations[i]]]
            if key != last and table[key] < 0:
                found.add(key)
                last = key
    return sorted(found)
