"""What a parallel task uses: from flops and flows on hosts to rows of the engine."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from batfs._core import gather_layout as gather
from batfs._core.arrays import Doubles, Integers, address, doubles, integers, np
from batfs._core.arrays import FloatArray as Floats
from batfs._core.arrays import IntArray as Indices
from batfs._core.flows import Flows
from batfs._core.gather import COMPILED, beside, enter, entries, lacking, rows_of
from batfs._core.gather import Way as Way
from batfs._core.gather import Work as Work
from batfs._core.gather import gather as gather_rows
from batfs.platform import Platform
from batfs.platform.consume import distinct
from batfs.records import record
from batfs.workload.model import Homogeneous, IoProfile, of_each


@record(frozen=False)
class Demand:
    """A task before it meets hosts: what each of ``size`` executors computes, and its matrix of bytes.

    Flops are ``flops`` float64[n], or ``each`` of every executor. The matrix is either ``uniform`` (so many
    bytes between each two distinct executors) or sparse: ``flows`` between positions 0..n-1, row by row, all
    of them above 0.
    """

    size: int
    flops: Doubles | None
    uniform: float = 0.0
    flows: Flows | None = None
    each: float = 0.0

    def work(self) -> Floats | None:
        """Flops of each executor; None where none has any."""
        found = self.each_flops()
        return None if found is None else np.asarray(found)

    def each_flops(self) -> Doubles | None:
        """The same, in whatever array."""
        if self.flops is None and self.each > 0.0:
            return doubles(self.size, self.each)
        return self.flops

    def columns(self) -> tuple[Indices, Indices, Floats]:
        """The matrix as flows, whatever its form."""
        if self.uniform > 0.0:
            sources, destinations = all_pairs(self.size)
            return sources, destinations, np.full(len(sources), self.uniform)
        if self.flows is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        return self.flows.columns


@lru_cache(maxsize=256)
def all_pairs(size: int) -> tuple[Indices, Indices]:
    """Positions of all ordered pairs of distinct executors, row by row."""
    sources = np.repeat(np.arange(size), size - 1)
    destinations = np.tile(np.arange(size), size).reshape(size, size)
    return sources, destinations[~np.eye(size, dtype=bool)]


@lru_cache(maxsize=1024)
def all_places(size: int) -> Indices:
    """0, 1, ..., size - 1."""
    return np.arange(size)


def dense_demand(flops: Doubles, matrix: Doubles) -> Demand:
    """A demand from a dense matrix of n x n numbers, row by row; what is not positive moves nothing."""
    size = len(flops)
    most = size * size
    matrix, flops = in_a_row(matrix), in_a_row(flops)
    if len(matrix) != most:
        raise ValueError(f"a matrix of {len(matrix)} numbers for {size} executors")
    sources, destinations, volumes = integers(most), integers(most), doubles(most)
    count = entries(size, address(matrix), address(sources), address(destinations), address(volumes))
    del sources[count:], destinations[count:], volumes[count:]
    return Demand(size, flops if any(flops) else None, flows=Flows(sources, destinations, volumes))


def in_a_row(numbers: Doubles) -> array[float]:
    """Of whatever array, row by row."""
    return numbers if isinstance(numbers, array) else array("d", np.asarray(numbers, np.float64).tobytes())


def merge(job: Demand, job_ids: Indices, io: Demand, io_ids: Indices) -> tuple[Demand, Indices]:
    """Batsim's merge of a job's task and its I/O: both on the sorted union of their ids."""
    ids = distinct(np.concatenate([job_ids, io_ids]))
    size = len(ids)
    job_places, io_places = np.searchsorted(ids, job_ids), np.searchsorted(ids, io_ids)
    flops = _merged_flops(size, (job, job_places), (io, io_places))
    job_from, job_to, job_volumes = job.columns()
    io_from, io_to, io_volumes = io.columns()
    sources = np.concatenate([job_places[job_from], io_places[io_from]])
    destinations = np.concatenate([job_places[job_to], io_places[io_to]])
    volumes = np.concatenate([job_volumes, io_volumes])
    if len(job_volumes) and len(io_volumes):
        keys = sources * size + destinations
        places = np.argsort(keys, kind="stable")
        keys, volumes = keys[places], volumes[places]
        again = np.flatnonzero(keys[1:] == keys[:-1])
        if len(again):  # a pair that both use: the job's bytes plus the I/O's
            volumes[again] += volumes[again + 1]
            keys, volumes = np.delete(keys, again + 1), np.delete(volumes, again + 1)
        sources, destinations = keys // size, keys % size
    return Demand(size, flops, 0.0, Flows(sources, destinations, volumes)), ids


def _merged_flops(size: int, *parts: tuple[Demand, Indices]) -> Floats | None:
    """Flops of demands on the places of their executors, together."""
    found: Floats | None = None
    for demand, places in parts:
        own = demand.work()
        if own is not None:
            found = np.zeros(size) if found is None else found
            found[places] += own
    return found


class Gatherer:
    """The compiled way from demands to work (see ``_core.gather``), on buffers that grow as needed."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._consumer = workshop.platform.consumer
        self._host_of: Integers | None = None
        self._host_of_address = 0
        links = workshop.platform.links
        self._hosts = workshop.hosts
        self._speeds = workshop.speeds
        cpus = [host.cores * host.speed for host in workshop.platform.hosts]
        self._capacities = array("d", cpus + [link.bandwidth for link in links])
        self._fatpipe = array("l", [link.fatpipe for link in links])
        self._seen = integers(len(links))
        self._place = integers(len(links))
        self._counts = integers(4 * len(links))
        self._room = 0
        self._flow_room = 0
        self.parameters = integers(gather.PARAMETERS)
        self.numbers = doubles(gather.NUMBERS)
        self._addresses = address(self.parameters), address(self.numbers)
        p = self.parameters
        p[gather.RESOURCES] = self._hosts
        p[gather.A_FATPIPE] = address(self._fatpipe)
        p[gather.A_SPEEDS] = address(self._speeds)
        p[gather.A_CAPACITIES] = address(self._capacities)
        p[gather.A_SEEN] = address(self._seen)
        p[gather.A_PLACE] = address(self._place)
        p[gather.A_COUNTS] = address(self._counts)
        self._tables: Any = None
        self.usable = self._fetch_tables()
        if self.usable:
            self._make_room(256)
            self._make_flow_room(1024)
            self._make_storage_room(16)

    def _make_room(self, size: int) -> None:
        """Buffers for tasks of that many executors."""
        self._room = size
        p = self.parameters
        self._hosts_in = integers(size)
        self._places_in = integers(size)
        self._runs = integers(size + 1)
        self._flops_in = doubles(size)
        rows = size + len(self._seen)  # one per CPU and one per link at most
        self._resources = integers(rows)
        self._weights = doubles(rows)
        p[gather.A_HOSTS], p[gather.A_PLACES] = address(self._hosts_in), address(self._places_in)
        p[gather.A_FLOPS] = address(self._flops_in)
        p[gather.A_RUNS] = address(self._runs)
        p[gather.A_RESOURCES] = address(self._resources)
        p[gather.A_WEIGHTS] = address(self._weights)

    def _make_flow_room(self, size: int) -> None:
        """Buffers for that many flows."""
        self._flow_room = size
        p = self.parameters
        self._sources_in = integers(size)
        self._destinations_in = integers(size)
        self._volumes_in = doubles(size)
        p[gather.A_SOURCES] = address(self._sources_in)
        p[gather.A_DESTINATIONS] = address(self._destinations_in)
        p[gather.A_VOLUMES] = address(self._volumes_in)

    def _make_storage_room(self, size: int) -> None:
        """A buffer for even I/O on that many storages: three numbers a way."""
        self._storage_room = size
        self._amounts_in = integers(6 * size)
        self.parameters[gather.A_AMOUNTS] = address(self._amounts_in)

    def _fetch_tables(self) -> bool:
        tables = self._consumer.tables()
        if tables is None:
            return False
        self._tables = tables  # keeps the arrays alive
        self._version = self._consumer.version
        p = self.parameters
        p[gather.KINDS], p[gather.WIDTH] = tables.kinds, tables.width
        p[gather.OUT], p[gather.INTO], p[gather.BOTH] = tables.out.width, tables.into.width, tables.both.width
        for place, table in (
            (gather.A_KIND, tables.kind),
            (gather.A_TABLE, tables.table),
            (gather.A_ROWS, tables.rows),
            (gather.A_LENGTHS, tables.lengths),
            (gather.A_NUMBERED, tables.numbered),
            (gather.A_LATENCIES, tables.latencies),
            (gather.A_OUT, tables.out.links),
            (gather.A_INTO, tables.into.links),
            (gather.A_BOTH, tables.both.links),
        ):
            p[place] = address(table)
        return True

    def work(
        self,
        ids: Sequence[int] | Integers,
        job: Demand,
        flows: Flows | None,
        gamma: float,
        places: Indices | None = None,
        flops: Doubles | None = None,
        host_of: Integers | None = None,
        *,
        distinct: bool = False,
    ) -> Work | None:
        """The rows of a task on ``ids``, which are hosts unless ``host_of`` int64[ids] says whose they are;
        None when the plain way must be taken (a flow to itself).

        ``job``: what its executors compute and exchange, which stand at ``places`` among the ids (in front if
        None); its own flows don't count, those of the task are ``flows``. ``flops``: of all ids, instead of
        the job's. ``distinct``: the hosts are all different, for sure.
        """
        size, n = len(ids), job.size
        if size > self._room:
            self._make_room(2 * size)
        if host_of is not None and host_of is not self._host_of:
            self._set_hosts(host_of)
        whose = gather.EACH_ITS_OWN if flops is not None else gather.ALL_THE_SAME if job.each > 0.0 else 0
        even = None if flows is None else flows.even
        if even is not None:
            self._make_even_room(len(even.nodes), len(even.storages))
        enter(
            *self._addresses,
            ids,
            n,
            job.uniform,
            whose,
            job.each,
            None if even is None else (even.written, even.read),
            0 if host_of is None else self._host_of_address,
            distinct,
        )
        if even is None and flows is not None:
            self._put_columns(*flows.as_given)
        if places is not None and job.uniform > 0.0:
            np.asarray(self._places_in)[:n] = places
        if flops is not None:
            self._flops_in[:size] = flops if type(flops) is array else array("d", flops)
        return self._gather(gamma)

    def beside(
        self,
        profile: Homogeneous,
        nodes: tuple[int, ...],
        io: IoProfile,
        ids: Sequence[int],
        host_of: Integers,
    ) -> Work | None:
        """The rows of a homogeneous task on ``nodes``, the first of ``ids``, and even I/O on all of these;
        None of other I/O, or where the way is not known yet."""
        even = io.even
        if even is None or io.flops is not None or self._consumer.version != self._version:
            return None
        size, storages = len(ids), len(even.storages)
        if size != len(even.nodes) + storages:
            return None
        if size > self._room:
            self._make_room(2 * size)
        self._make_even_room(size - storages, storages)
        if host_of is not self._host_of:
            self._set_hosts(host_of)
        each, volume = of_each(profile, len(nodes))
        hosts = self._host_of_address
        return beside(*self._addresses, nodes, ids, each, volume, even, hosts, self._workshop.gamma)

    def _set_hosts(self, host_of: Integers) -> None:
        self._host_of = host_of
        self._host_of_address = address(host_of)

    def _put_columns(self, sources: Integers, destinations: Integers, volumes: Any) -> None:
        """Flows into the buffers. Of even ones the kernel makes the columns."""
        count = self.parameters[gather.FLOWS] = len(volumes)
        if count > self._flow_room:
            self._make_flow_room(2 * count)
        if type(sources) is array and type(destinations) is array:
            self._sources_in[:count], self._destinations_in[:count] = sources, destinations
            self._volumes_in[:count] = volumes
        else:
            np.asarray(self._sources_in)[:count] = sources
            np.asarray(self._destinations_in)[:count] = destinations
            np.asarray(self._volumes_in)[:count] = volumes

    def _make_even_room(self, nodes: int, storages: int) -> None:
        if 2 * nodes * storages > self._flow_room:
            self._make_flow_room(4 * nodes * storages)
        if storages > self._storage_room:
            self._make_storage_room(2 * storages)

    def _learn(self) -> None:
        """Find the cores that this task needs: the kernel stops at the first it misses, and begins anew.

        All at once: where each node is of a kind of its own (a thousand nodes in chassis), a task of all to
        all on 256 of them lacks 65,280, and walking again after each took 46 of 48 s of a run of 100 jobs.
        """
        for key in lacking(*self._addresses):
            self._consumer.add_core(key)

    def _gather(self, gamma: float) -> Work | None:
        """Call the kernel on what stands in the buffers."""
        p = self.parameters
        while True:
            if self._consumer.version != self._version:
                # somebody else learned routes in the meantime: the arrays are other ones
                self._fetch_tables()
            outcome = gather_rows(*self._addresses)
            if outcome == gather.DONE:
                break
            p[gather.MAPPED] = 0  # that has been done
            if outcome == gather.SELF:
                return None
            self._learn()
        return rows_of(*self._addresses, gamma)


class Workshop:
    """Turns demands into work on one platform. Resources are hosts first (their CPUs), then links."""

    def __init__(self, platform: Platform, gamma: float, *, gathering: bool = COMPILED) -> None:
        """``gathering``: whether tasks go through the core's kernel rather than through arrays."""
        self.platform = platform
        self.gamma = gamma
        self.hosts = len(platform.hosts)
        self.speeds = array("d", [host.speed for host in platform.hosts])
        gatherer = Gatherer(self) if gathering else None
        self.gatherer = gatherer if gatherer is not None and gatherer.usable else None

    def merged(
        self, job: Demand, job_ids: Sequence[int], io: Demand, io_ids: Sequence[int], host_of: Integers
    ) -> Work:
        """The work of a job and its I/O together, on the sorted union of their ids.

        ``host_of`` int64[ids]: the hosts of the resources, all different.
        """
        gatherer, count = self.gatherer, len(job_ids)
        if gatherer is not None and job.flows is None and io.uniform <= 0.0 and len(io_ids) > 1:
            ids, flows = io_ids, io.flows
            places: Indices | None = None
            flops: Doubles | None = None
            if tuple(io_ids[:count]) != job_ids:
                union = distinct(np.concatenate([job_ids, io_ids]))
                places, io_places = np.searchsorted(union, job_ids), np.searchsorted(union, io_ids)
                sources, destinations, volumes = io.columns()
                flows = Flows(io_places[sources], io_places[destinations], volumes)
                flops = _merged_flops(len(union), (job, places), (io, io_places))
                ids = union.tolist()
            elif job.flops is not None or io.flops is not None:
                # the job's nodes come first among the I/O's ids, as nearly always
                flops = _merged_flops(len(ids), (job, all_places(count)), (io, all_places(len(ids))))
            found = gatherer.work(ids, job, flows, self.gamma, places, flops, host_of, distinct=True)
            if found is not None:
                return found
        demand, together = merge(job, np.array(job_ids, np.int64), io, np.array(io_ids, np.int64))
        return self.work(demand, np.asarray(host_of)[together])

    def way(self, source: int, destination: int) -> Way:
        """What transfers between two hosts use."""
        route = self.platform.route(source, destination)
        links = self.platform.links
        times: dict[int, int] = {}
        for link in route.links:
            times[link] = 1 if links[link].fatpipe else times.get(link, 0) + 1
        resources = [link + self.hosts for link in times]
        return Way(resources, list(times.values()), route.latency, self.gamma)

    def one_host(self, host: int, flops: float) -> Work:
        """A task with a single executor: only its flops count, bytes are not even looked at."""
        if flops <= 0.0:
            return Work((), (), 0.0, 0.0)
        return Work((host,), (flops,), 0.0, self.speeds[host] / flops)

    def work(self, demand: Demand, hosts: Sequence[int] | Integers) -> Work:
        """The rows of ``demand`` with its executors on ``hosts`` (indices, repeats allowed)."""
        flows = None if demand.uniform > 0.0 else demand.flows
        moving = demand.uniform > 0.0 or (
            flows is not None and (flows.even is not None or len(flows.as_given[2]))
        )
        if self.gatherer is not None and len(hosts) > 1 and moving:
            found = self.gatherer.work(hosts, demand, flows, self.gamma, flops=demand.flops)
            if found is not None:
                return found
        flops = demand.each_flops()
        if len(hosts) == 1:
            return self.one_host(int(hosts[0]), 0.0 if flops is None else float(flops[0]))
        resources, weights, bound, latency = array("l"), array("d"), 0.0, 0.0
        if flops is not None:
            busy = [(host, amount) for host, amount in zip(hosts, flops, strict=True) if amount > 0.0]
            resources, weights = (
                array("l", [host for host, _ in busy]),
                array("d", [amount for _, amount in busy]),
            )
            if busy:
                bound = min([self.speeds[host] / amount for host, amount in busy])
        if moving:
            sources, destinations, volumes = demand.columns()
            where = np.asarray(hosts)
            used = self.platform.consume(where[sources], where[destinations], volumes)
            latency = used.latency
            resources.extend([link + self.hosts for link in used.links.tolist()])
            weights.extend(used.weights.tolist())
            if used.latency_volume > 0.0:
                window = self.gamma / (2.0 * used.latency_volume)
                bound = window if bound <= 0.0 else min(bound, window)
        return Work(resources, weights, latency, bound)
