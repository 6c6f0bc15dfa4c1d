"""The kernel that turns a task's flops and flows into rows, flow by flow in SimGrid's own order.

It is the compiled twin of ``work.merge`` and ``Platform.consume``: the job's own matrix (uniform or none) and
the I/O's flows are walked together, row by row and column by column, and each flow's bytes are added to the
links it crosses. Like ``kernels`` it is plain Python that numba compiles.
"""

from __future__ import annotations

from typing import Any

# places in the parameters: counts first, then addresses of buffers
HOSTS, UNIFORM, FLOWS, WITH_FLOPS, RESOURCES = (
    0,
    1,
    2,
    3,
    4,
)  # numbers of executors, of those in the matrix, ...
KINDS, WIDTH, OUT, INTO, BOTH = 5, 6, 7, 8, 9  # kinds of hosts, and widths of the tables of links
EPOCH, KEY, COUNT = 10, 11, 12  # count of calls; answers: the missing core's key, the number of rows
A_HOSTS, A_PLACES, A_SOURCES, A_DESTINATIONS, A_VOLUMES, A_FLOPS = 13, 14, 15, 16, 17, 18
A_KIND, A_TABLE, A_ROWS, A_LENGTHS, A_NUMBERED, A_LATENCIES = 19, 20, 21, 22, 23, 24
A_OUT, A_INTO, A_BOTH, A_FATPIPE, A_SPEEDS = 25, 26, 27, 28, 29
A_SEEN, A_PLACE, A_RESOURCES, A_WEIGHTS = 30, 31, 32, 33
DISTINCT = 34  # whether all executors are on different hosts, for sure
A_CAPACITIES = 35
# even I/O: on how many storages (they come last; 0: the flows are given), whether written and read
STORAGES, WRITTEN, READ, A_AMOUNTS = 36, 37, 38, 39
# whether HOSTS holds resource ids, and the table of their hosts
MAPPED, A_HOST_OF = 40, 41
PARAMETERS = 42
# places in the numbers: the uniform volume in, the answers out, the flops of each executor in the matrix
VOLUME, LATENCY, LATENCY_VOLUME, BOUND, REACH, FLOPS = 0, 1, 2, 3, 4, 5
NUMBERS = 6

# what WITH_FLOPS says: none, those of the buffer, the same for each in the matrix
NO_FLOPS, EACH_ITS_OWN, ALL_THE_SAME = 0, 1, 2

DONE, MISSING, SELF = 0, 1, 2


EXACT = 9.0e15  # whole numbers up to here (just below 2 ** 53) are exact in a float64, and so are their sums


def countable(
    uniform: int,
    flows: int,
    each: float,
    places: Any,
    sources: Any,
    destinations: Any,
    volumes: Any,
) -> bool:
    """Whether the matrix's share of each link can be counted instead of summed.

    So it is when all volumes are whole numbers (their sums are exact in any order) and no flow joins two
    executors of the matrix (whose bytes would come together). Each host must have one executor only.
    """
    if each != float(int(min(each, EXACT))) or places[uniform - 1] != uniform - 1:
        return False
    total = 2.0 * each * uniform * uniform
    for flow in range(flows):
        volume = volumes[flow]
        total += 2.0 * volume
        if total > EXACT or volume != float(int(volume)):
            return False
        if sources[flow] < uniform and destinations[flow] < uniform:
            return False
    return total <= EXACT


def take(
    link: int,
    times: int,
    each: float,
    epoch: int,
    count: int,
    first_link: int,
    fatpipe: Any,
    seen: Any,
    place: Any,
    resources: Any,
    weights: Any,
) -> int:
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


def spread(p: Any, amounts: Any, sources: Any, destinations: Any, volumes: Any) -> int:
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


def gather(p: Any, x: Any, integers: Any, small: Any, floats: Any) -> int:
    """Fill the rows. ``integers``, ``small`` and ``floats`` turn addresses into buffers (int64, int32,
    float64).

    Returns DONE, MISSING (a core is not known yet: ``KEY``) or SELF (a flow from a host to itself).
    """
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
    if p[STORAGES] > 0:
        p[FLOWS] = spread(p, integers(p[A_AMOUNTS]), sources, destinations, volumes)
    flows = p[FLOWS]
    outs, intos, boths = integers(p[A_OUT]), integers(p[A_INTO]), integers(p[A_BOTH])
    if (
        uniform > 2
        and p[DISTINCT] != 0
        and countable(uniform, flows, each, places, sources, destinations, volumes)
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
    row_place = 0  # place in `places` of the next executor that is in the matrix
    flow = 0
    for i in range(p[HOSTS]):
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
            own_out, own_into, own_both = p[OUT], p[INTO], p[BOTH]
            for k in range(total + own_out + own_into + 2 * own_both):
                if k < total:
                    link = numbered[rows[core * width + k]]
                elif k < total + own_out:
                    link = outs[src * own_out + k - total]
                elif k < total + own_out + own_into:
                    link = intos[dst * own_into + k - total - own_out]
                elif k < total + own_out + own_into + own_both:
                    link = boths[src * own_both + k - total - own_out - own_into]
                else:
                    link = boths[dst * own_both + k - total - own_out - own_into - own_both]
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
