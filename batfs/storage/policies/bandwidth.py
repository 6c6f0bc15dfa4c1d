"""Policies that look at how quickly bytes would move: transfers under way, bandwidths, distances."""

from __future__ import annotations

import numpy as np

from batfs.storage.interface import FloatArray, IntArray, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, ScoringPolicy, most_free


@POLICIES.register("least_loaded")
class LeastLoaded(ScoringPolicy):
    """The fewest transfers under way; ties go to the most free bytes. Score: -transfers.

    A storage-only replay knows no transfers: there every reservation held counts as one.
    """

    name = "least_loaded"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return -view.transfers[among]

    def tie_break(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return most_free(view, request, among)


@POLICIES.register("locality")
class Locality(ScoringPolicy):
    """The nearest in the network; ties go to the most free bytes. Score: -mean latency of the routes.

    Where no network is known, a storage whose group (server) or ``node`` property is one of the request's
    nodes is at distance 0 and every other at 1.
    """

    name = "locality"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        distance = view.distance(request.near)
        if distance is None:
            near, storages = set(request.near), view.storages
            here = (
                storages[i].group in near or storages[i].properties.get("node") in near
                for i in among.tolist()
            )
            return np.fromiter((0.0 if yes else -1.0 for yes in here), np.float64, len(among))
        return -distance[among]

    def tie_break(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return most_free(view, request, among)


@POLICIES.register("max_bandwidth")
class MaxBandwidth(ScoringPolicy):
    """The best bandwidth left along the route; ties go to the most free bytes. Score: bytes/s.

    Where no network is known: the smaller of disk / (its transfers + 1) and network / (its group's
    transfers + 1), with the slower of the disk's read and write bandwidths.
    """

    name = "max_bandwidth"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        residual = view.residual_bandwidth(request.near)
        if residual is not None:
            return residual[among]
        storages, transfers = view.storages, view.transfers
        disk = np.fmin(storages.read_bandwidths, storages.write_bandwidths)
        of_group = np.zeros(len(storages.group_names), dtype=np.int64)
        np.add.at(of_group, storages.groups, transfers)
        return np.minimum(
            known(disk, 1.0)[among] / (transfers[among] + 1),
            known(storages.network_bandwidths, np.inf)[among] / (of_group[storages.groups[among]] + 1),
        )

    def tie_break(self, view: StorageView, request: SpaceRequest, among: IntArray) -> IntArray:
        return most_free(view, request, among)


@POLICIES.register("worst_case")
class WorstCase(ScoringPolicy):
    """StorAlloc's expected bandwidth over the window, if everything there transfers all the time.

    With D the request's duration, W a disk's write bandwidth, n the reservations that overlap the window
    and m the longest overlap of one of them (seconds): disk = ((D - m) W + m W / (n + 1)) / D. With N the
    network bandwidth of the server and b its disks with reservations: node = N - sum of their read
    bandwidths if that is positive, else N / (b + 1). Score: the smaller of disk and node.

    Source: StorAlloc's policy of that name. Here it asks for room by the peak of the window, and ties go
    to the lowest index; ``storalloc_worst_case`` is the original.
    """

    name = "worst_case"

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        return expected_bandwidth(view, request)[among]


def expected_bandwidth(view: StorageView, request: SpaceRequest) -> FloatArray:
    """float64[m] bytes/s: the score of :class:`WorstCase` for every storage."""
    storages, duration = view.storages, request.end - max(request.start, view.now)
    n = view.overlaps(request.start, request.end)
    longest = view.longest_overlap(request.start, request.end)
    # the part m / D of the window; an endless reservation in an endless window shares all of it
    if duration == np.inf:
        shared: FloatArray = np.where(longest == np.inf, 1.0, 0.0)
    else:
        shared = longest / duration
    disk = known(storages.write_bandwidths, 1.0)
    disk = (1.0 - shared) * disk + shared * disk / (n + 1)
    busy = n > 0
    groups = len(storages.group_names)
    busy_disks = np.bincount(storages.groups[busy], minlength=groups)
    reads = known(storages.read_bandwidths, 0.0)
    taken = np.bincount(storages.groups[busy], weights=reads[busy], minlength=groups)
    network = known(storages.network_bandwidths, np.inf)
    left = network - taken[storages.groups]
    node = np.where(left > 0, left, network / (busy_disks[storages.groups] + 1))
    return np.minimum(disk, node)


def known(bandwidths: FloatArray, otherwise: float) -> FloatArray:
    """Unknown bandwidths (NaN) as the mean of the known ones, or ``otherwise`` where none is known."""
    unknown = np.isnan(bandwidths)
    if not unknown.any():
        return bandwidths
    mean = otherwise if unknown.all() else float(bandwidths[~unknown].mean())
    return np.where(unknown, mean, bandwidths)
