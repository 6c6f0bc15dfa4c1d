"""What a parallel task uses: from flops and flows on hosts to rows of the engine (BATSIM.md A2)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batfs._core import gather_layout as gather
from batfs._core.gather import COMPILED
from batfs._core.gather import gather as gather_rows
from batfs.platform import Platform
from batfs.records import record
from batfs.workload.even import EvenProfile

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_TRANSFERS = 1 << 17  # pairs of hosts whose route is kept
NOTHING: Indices = np.empty(0, np.int64)
NO_WEIGHTS: Floats = np.empty(0)
_NO_FLOWS = (NOTHING, NOTHING, NO_WEIGHTS)


@record(frozen=False)
class Work:
    """Rows (resource, weight), the latency to pay first (s), and the bound on the rate (1/s, 0 for none).

    ``reach``: the least of capacity / weight over the rows (1/s), below 0 where nobody has worked it out.
    """

    resources: Indices | Sequence[int]
    weights: Floats | Sequence[float]
    latency: float
    bound: float
    reach: float = -1.0


@record(frozen=False)
class Demand:
    """A task before it meets hosts: ``flops`` float64[n] or None, and its matrix of bytes.

    The matrix is either ``uniform`` (so many bytes between each two distinct executors) or sparse:
    ``sources``, ``destinations`` int64[t] (positions 0..n-1) and ``volumes`` float64[t] > 0, row by row.
    """

    size: int
    flops: Floats | None
    uniform: float = 0.0
    sources: Indices | None = None
    destinations: Indices | None = None
    volumes: Floats | None = None

    def flows(self) -> tuple[Indices, Indices, Floats]:
        """The matrix as flows, whatever its form."""
        if self.uniform > 0.0:
            sources, destinations = all_pairs(self.size)
            return sources, destinations, np.full(len(sources), self.uniform)
        if self.sources is None or self.destinations is None or self.volumes is None:
            return NOTHING, NOTHING, NO_WEIGHTS
        return self.sources, self.destinations, self.volumes


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


def dense_demand(flops: Floats | None, matrix: Floats) -> Demand:
    """A demand from a dense matrix float64[n, n]; entries that are not positive move nothing."""
    size = len(matrix)
    places = np.flatnonzero(matrix > 0.0)
    return Demand(
        size, flops, sources=places // size, destinations=places % size, volumes=matrix.ravel()[places]
    )


def merge(job: Demand, job_ids: Indices, io: Demand, io_ids: Indices) -> tuple[Demand, Indices]:
    """Batsim's merge of a job's task and its I/O: both on the sorted union of their ids (BATSIM.md D)."""
    count = len(job_ids)
    silent = job.uniform <= 0.0 and job.sources is None
    if silent and len(io_ids) >= count and np.array_equal(io_ids[:count], job_ids):
        # the usual case: the job's nodes come first among the I/O's ids, and exchange nothing themselves
        flops = io.flops
        if job.flops is not None:
            flops = np.zeros(len(io_ids)) if io.flops is None else io.flops.copy()
            flops[:count] += job.flops
        sources, destinations, volumes = io.flows()
        return Demand(len(io_ids), flops, 0.0, sources, destinations, volumes), io_ids
    ids = np.union1d(job_ids, io_ids)
    size = len(ids)
    job_places, io_places = np.searchsorted(ids, job_ids), np.searchsorted(ids, io_ids)
    flops = None
    if job.flops is not None or io.flops is not None:
        flops = np.zeros(size)
        if job.flops is not None:
            flops[job_places] += job.flops
        if io.flops is not None:
            flops[io_places] += io.flops
    job_from, job_to, job_volumes = job.flows()
    io_from, io_to, io_volumes = io.flows()
    if not len(job_volumes):
        merged = Demand(size, flops, 0.0, io_places[io_from], io_places[io_to], io_volumes)
        return merged, ids
    if not len(io_volumes):
        return Demand(size, flops, 0.0, job_places[job_from], job_places[job_to], job_volumes), ids
    keys = np.concatenate(
        [job_places[job_from] * size + job_places[job_to], io_places[io_from] * size + io_places[io_to]]
    )
    places = np.argsort(keys, kind="stable")
    keys = keys[places]
    volumes = np.concatenate([job_volumes, io_volumes])[places]
    again = np.flatnonzero(keys[1:] == keys[:-1])
    if len(again):  # a pair that both use: the job's bytes plus the I/O's
        volumes[again] += volumes[again + 1]
        keys, volumes = np.delete(keys, again + 1), np.delete(volumes, again + 1)
    return Demand(size, flops, 0.0, keys // size, keys % size, volumes), ids


class Gatherer:
    """The compiled way from demands to work (see ``_core.gather``), on buffers that grow as needed."""

    def __init__(self, workshop: Workshop) -> None:
        self._consumer = workshop.platform.consumer
        self._host_of: Indices | None = None
        links = workshop.platform.links
        self._hosts = workshop.hosts
        self._speeds = workshop.speeds
        self._capacities = np.array(
            [host.cores * host.speed for host in workshop.platform.hosts] + [link.bandwidth for link in links]
        )
        self._fatpipe = np.array([link.fatpipe for link in links], np.int64)
        self._seen = np.zeros(len(links), np.int64)
        self._place = np.zeros(len(links), np.int64)
        self._room = 0
        self._flow_room = 0
        self._parameters = np.zeros(gather.PARAMETERS, np.int64)
        self._numbers = np.zeros(gather.NUMBERS)
        self.parameters: Any = memoryview(self._parameters.data)
        self.numbers: Any = memoryview(self._numbers.data)
        self._addresses = self._parameters.ctypes.data, self._numbers.ctypes.data
        p = self.parameters
        p[gather.RESOURCES] = self._hosts
        p[gather.A_FATPIPE] = self._fatpipe.ctypes.data
        p[gather.A_SPEEDS] = self._speeds.ctypes.data
        p[gather.A_CAPACITIES] = self._capacities.ctypes.data
        p[gather.A_SEEN] = self._seen.ctypes.data
        p[gather.A_PLACE] = self._place.ctypes.data
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
        self._hosts_in = np.zeros(size, np.int64)
        self._places_in = np.zeros(size, np.int64)
        self._host_places: Any = memoryview(self._hosts_in.data)
        self._flops_in = np.zeros(size)
        rows = size + len(self._seen)  # one per CPU and one per link at most
        self._resources = np.zeros(rows, np.int64)
        self._weights = np.zeros(rows)
        p[gather.A_HOSTS], p[gather.A_PLACES] = self._hosts_in.ctypes.data, self._places_in.ctypes.data
        p[gather.A_FLOPS] = self._flops_in.ctypes.data
        p[gather.A_RESOURCES] = self._resources.ctypes.data
        p[gather.A_WEIGHTS] = self._weights.ctypes.data

    def _make_flow_room(self, size: int) -> None:
        """Buffers for that many flows."""
        self._flow_room = size
        p = self.parameters
        self._sources_in = np.zeros(size, np.int64)
        self._destinations_in = np.zeros(size, np.int64)
        self._volumes_in = np.zeros(size)
        p[gather.A_SOURCES] = self._sources_in.ctypes.data
        p[gather.A_DESTINATIONS] = self._destinations_in.ctypes.data
        p[gather.A_VOLUMES] = self._volumes_in.ctypes.data

    def _make_storage_room(self, size: int) -> None:
        """A buffer for even I/O on that many storages: three numbers a way."""
        self._storage_room = size
        self._amounts_in = np.zeros(6 * size, np.int64)
        self._amounts: Any = memoryview(self._amounts_in.data)
        self.parameters[gather.A_AMOUNTS] = self._amounts_in.ctypes.data

    def _fetch_tables(self) -> bool:
        tables = self._consumer.tables()
        if tables is None:
            return False
        self._tables = tables  # keeps the arrays alive
        self._version = self._consumer.version
        p = self.parameters
        p[gather.KINDS], p[gather.WIDTH] = tables.kinds, tables.rows.shape[1]
        p[gather.OUT], p[gather.INTO] = tables.out.shape[1], tables.into.shape[1]
        p[gather.BOTH] = tables.both.shape[1]
        for place, table in (
            (gather.A_KIND, tables.kind),
            (gather.A_TABLE, tables.table),
            (gather.A_ROWS, tables.rows),
            (gather.A_LENGTHS, tables.lengths),
            (gather.A_NUMBERED, tables.numbered),
            (gather.A_LATENCIES, tables.latencies),
            (gather.A_OUT, tables.out),
            (gather.A_INTO, tables.into),
            (gather.A_BOTH, tables.both),
        ):
            p[place] = table.ctypes.data
        return True

    def work(
        self,
        hosts: Indices,
        flops: Floats | None,
        uniform: float,
        places: Indices,
        flows: tuple[Indices, Indices, Floats],
        gamma: float,
        distinct: bool = False,
    ) -> Work | None:
        """The rows of a task on ``hosts``; None when the plain way must be taken (a flow to itself).

        ``places``: the executors between which ``uniform`` bytes flow; ``flows`` row by row, as in a Demand.
        ``flops``: of each executor, or None for none. ``distinct``: the hosts are all different, for sure.
        """
        p = self.parameters
        sources, destinations, volumes = flows
        size, count = len(hosts), len(volumes)
        if size > self._room:
            self._make_room(2 * size)
        if count > self._flow_room:
            self._make_flow_room(2 * count)
        p[gather.HOSTS], p[gather.FLOWS], p[gather.DISTINCT] = size, count, distinct
        p[gather.STORAGES], p[gather.MAPPED] = 0, 0
        self._hosts_in[:size] = hosts
        if count:
            self._sources_in[:count] = sources
            self._destinations_in[:count] = destinations
            self._volumes_in[:count] = volumes
        p[gather.UNIFORM] = len(places)
        self.numbers[gather.VOLUME] = uniform
        if uniform > 0.0:
            self._places_in[: len(places)] = places
        if flops is None:
            p[gather.WITH_FLOPS] = gather.NO_FLOPS
        else:
            p[gather.WITH_FLOPS] = gather.EACH_ITS_OWN
            self._flops_in[:size] = flops
        return self._gather(gamma)

    def even(self, cpu: float, com: float, io: EvenProfile, host_of: Indices, gamma: float) -> Work | None:
        """The rows of a homogeneous task (``cpu`` flops a node, ``com`` bytes a pair) with even I/O.

        ``host_of`` int64[resources], all different: the host of each resource id.
        """
        p = self.parameters
        n, m = len(io.nodes), len(io.storages)
        size, written, read = n + m, io.written, io.read
        if size > self._room:
            self._make_room(2 * size)
        if 2 * n * m > self._flow_room:
            self._make_flow_room(4 * n * m)
        if m > self._storage_room:
            self._make_storage_room(2 * m)
        places = self._host_places
        places[:size] = array(places.format, io.resources())
        if host_of is not self._host_of:
            self._host_of = host_of
            p[gather.A_HOST_OF] = host_of.ctypes.data
        amounts = self._amounts
        place = 0
        for part in (written, read):
            if part is not None:
                for amount, start in zip(*part, strict=True):
                    amounts[place], amounts[place + 1] = divmod(amount, n)
                    amounts[place + 2] = start
                    place += 3
        p[gather.HOSTS], p[gather.UNIFORM], p[gather.DISTINCT], p[gather.STORAGES] = size, n, 1, m
        p[gather.WRITTEN], p[gather.READ], p[gather.MAPPED] = written is not None, read is not None, 1
        x = self.numbers
        x[gather.VOLUME] = com
        if com > 0.0:
            self._places_in[:n] = all_places(n)
        if cpu > 0.0:
            p[gather.WITH_FLOPS] = gather.ALL_THE_SAME
            x[gather.FLOPS] = cpu
        else:
            p[gather.WITH_FLOPS] = gather.NO_FLOPS
        return self._gather(gamma)

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
            self._consumer.add_core(p[gather.KEY])
        count = p[gather.COUNT]
        x = self.numbers
        bound: float = x[gather.BOUND]
        latency_volume = x[gather.LATENCY_VOLUME]
        if latency_volume > 0.0:
            window = gamma / (2.0 * latency_volume)
            bound = window if bound <= 0.0 else min(bound, window)
        resources, weights = self._resources[:count].copy(), self._weights[:count].copy()
        return Work(resources, weights, x[gather.LATENCY], bound, x[gather.REACH])


class Workshop:
    """Turns demands into work on one platform. Resources are hosts first (their CPUs), then links."""

    def __init__(self, platform: Platform, gamma: float, *, gathering: bool = COMPILED) -> None:
        """``gathering``: whether tasks go through the core's kernel rather than through arrays."""
        self.platform = platform
        self.gamma = gamma
        self.hosts = len(platform.hosts)
        self._transfers: dict[int, tuple[tuple[int, ...], tuple[int, ...], float]] = {}
        self.speeds = np.array([host.speed for host in platform.hosts])
        gatherer = Gatherer(self) if gathering else None
        self._gatherer = gatherer if gatherer is not None and gatherer.usable else None

    def merged(
        self, job: Demand, job_ids: Indices, io: Demand, io_ids: Indices, host_of: Indices
    ) -> Work | None:
        """The work of a job and its I/O together, compiled; None when the plain way must be taken."""
        gatherer = self._gatherer
        if gatherer is None or job.sources is not None or io.uniform > 0.0:
            return None
        count = len(job_ids)
        flops: Floats | None
        if len(io_ids) >= count and io_ids[:count].tobytes() == job_ids.tobytes():
            ids, places = io_ids, all_places(count)
            flops, (sources, destinations, volumes) = io.flops, io.flows()
            if job.flops is not None:
                flops = np.zeros(len(ids)) if flops is None else flops.copy()
                flops[:count] += job.flops
        else:
            ids = np.union1d(job_ids, io_ids)
            places, io_places = np.searchsorted(ids, job_ids), np.searchsorted(ids, io_ids)
            sources, destinations, volumes = io.flows()
            sources, destinations = io_places[sources], io_places[destinations]
            flops = np.zeros(len(ids))
            if job.flops is not None:
                flops[places] += job.flops
            if io.flops is not None:
                flops[io_places] += io.flops
        if len(ids) < 2:
            return None
        flows = (sources, destinations, volumes)
        distinct = job.uniform > 0.0 and bool((ids[1:] > ids[:-1]).all())
        return gatherer.work(host_of[ids], flops, job.uniform, places, flows, self.gamma, distinct)

    def even(self, cpu: float, com: float, io: EvenProfile, host_of: Indices) -> Work | None:
        """:meth:`merged` for the commonest task: see :meth:`Gatherer.even`."""
        gatherer = self._gatherer
        return None if gatherer is None else gatherer.even(cpu, com, io, host_of, self.gamma)

    def transfer(self, source: int, destination: int, volume: float) -> Work:
        """A single transfer between two hosts."""
        key = source * self.hosts + destination
        found = self._transfers.get(key)
        if found is None:
            route = self.platform.route(source, destination)
            links = self.platform.links
            times: dict[int, int] = {}
            for link in route.links:
                times[link] = 1 if links[link].fatpipe else times.get(link, 0) + 1
            resources = tuple(link + self.hosts for link in times)
            found = self._transfers[key] = (resources, tuple(times.values()), route.latency)
            if len(self._transfers) > MAX_TRANSFERS:
                self._transfers.clear()
        resources, counts, latency = found
        bound = 0.0
        if latency > 0.0:
            bound = self.gamma / (2.0 * (latency * volume))
        return Work(resources, [volume * count for count in counts], latency, bound)

    def one_host(self, host: int, flops: float) -> Work:
        """A task with a single executor: only its flops count, bytes are not even looked at."""
        if flops <= 0.0:
            return Work(NOTHING, NO_WEIGHTS, 0.0, 0.0)
        return Work(np.array([host]), np.array([flops]), 0.0, float(self.speeds[host]) / flops)

    def work(self, demand: Demand, hosts: Indices) -> Work:
        """The rows of ``demand`` with its executors on ``hosts`` (int64[n] host indices, repeats allowed)."""
        flops = demand.flops
        if self._gatherer is not None and len(hosts) > 1:
            matrix = demand.uniform > 0.0
            flows = _NO_FLOWS if matrix else demand.flows()
            if matrix or len(flows[0]):
                places = all_places(len(hosts)) if matrix else NOTHING
                found = self._gatherer.work(hosts, flops, demand.uniform, places, flows, self.gamma)
                if found is not None:
                    return found
        if len(hosts) == 1:
            return self.one_host(int(hosts[0]), 0.0 if flops is None else float(flops[0]))
        bound = 0.0
        resources, weights = NOTHING, NO_WEIGHTS
        if flops is not None:
            busy = flops > 0.0
            if busy.all():
                resources, weights = hosts, flops
            else:
                resources, weights = hosts[busy], flops[busy]
            if len(resources):
                bound = float((self.speeds[resources] / weights).min())
        latency = 0.0
        sources, destinations, volumes = demand.flows()
        if len(volumes):
            used = self.platform.consume(hosts[sources], hosts[destinations], volumes)
            latency = used.latency
            if len(used.links):
                resources = np.concatenate([resources, used.links + self.hosts])
                weights = np.concatenate([weights, used.weights])
            if used.latency_volume > 0.0:
                window = self.gamma / (2.0 * used.latency_volume)
                bound = window if bound <= 0.0 else min(bound, window)
        return Work(resources, weights, latency, bound)
