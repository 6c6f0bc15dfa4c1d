"""What a parallel task uses: from flops and flows on hosts to rows of the engine (BATSIM.md A2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from batfs.platform import Platform

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

NOTHING: Indices = np.empty(0, np.int64)
NO_WEIGHTS: Floats = np.empty(0)


@dataclass(slots=True)
class Work:
    """Rows (resource, weight), the latency to pay first (s), and the bound on the rate (1/s, 0 for none)."""

    resources: Indices
    weights: Floats
    latency: float
    bound: float


@dataclass(slots=True)
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


def dense_demand(flops: Floats | None, matrix: Floats) -> Demand:
    """A demand from a dense matrix float64[n, n]; entries that are not positive move nothing."""
    size = len(matrix)
    places = np.flatnonzero(matrix > 0.0)
    return Demand(
        size, flops, sources=places // size, destinations=places % size, volumes=matrix.ravel()[places]
    )


def merge(job: Demand, job_ids: Indices, io: Demand, io_ids: Indices) -> tuple[Demand, Indices]:
    """Batsim's merge of a job's task and its I/O: both on the sorted union of their ids (BATSIM.md D)."""
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


class Workshop:
    """Turns demands into work on one platform. Resources are hosts first (their CPUs), then links."""

    def __init__(self, platform: Platform, gamma: float) -> None:
        self.platform = platform
        self.gamma = gamma
        self.hosts = len(platform.hosts)
        self.speeds = np.array([host.speed for host in platform.hosts])

    def one_host(self, host: int, flops: float) -> Work:
        """A task with a single executor: only its flops count, bytes are not even looked at."""
        if flops <= 0.0:
            return Work(NOTHING, NO_WEIGHTS, 0.0, 0.0)
        return Work(np.array([host]), np.array([flops]), 0.0, float(self.speeds[host]) / flops)

    def work(self, demand: Demand, hosts: Indices) -> Work:
        """The rows of ``demand`` with its executors on ``hosts`` (int64[n] host indices, repeats allowed)."""
        flops = demand.flops
        if len(hosts) == 1:
            return self.one_host(int(hosts[0]), 0.0 if flops is None else float(flops[0]))
        bound = 0.0
        resources, weights = NOTHING, NO_WEIGHTS
        if flops is not None:
            busy = np.flatnonzero(flops > 0.0)
            if len(busy):
                resources = hosts[busy]
                weights = flops[busy]
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
