"""Policies that look at how quickly bytes would move: transfers under way, bandwidths, distances."""

from __future__ import annotations

from batfs._core.arrays import np
from batfs.storage.interface import FloatArray, IntArray, SpaceRequest, StorageView
from batfs.storage.policies.base import POLICIES, ScoringPolicy, most_free


@POLICIES.register("least_loaded")
class LeastLoaded(ScoringPolicy):
    """The fewest transfers under way; ties go to the most free bytes. Score: -transfers.

    A storage-only replay knows no transfers: there every reservation held counts as one.
    """

    name = "least_loaded"
    apart = True

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
    apart = True

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
    apart = True

    def score(self, view: StorageView, request: SpaceRequest, among: IntArray) -> FloatArray:
        residual = view.residual_bandwidth(request.near)
        if residual is not None:
            return residual[among]
        storages, transfers = view.storages, view.transfers
        groups = storages.groups
        disk = np.minimum(storages.bandwidths("read", 1.0), storages.bandwidths("write", 1.0))
        of_group = np.bincount(groups, weights=transfers, minlength=len(storages.group_names))
        network = storages.bandwidths("network", np.inf)
        return np.minimum(
            disk[among] / (transfers[among] + 1), network[among] / (of_group[groups[among]] + 1.0)
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
    apart = True

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
    disk = storages.bandwidths("write", 1.0)
    disk = disk * (1.0 - shared * (n / (n + 1)))  # the formula's first form, put shorter
    if not storages.server_can_limit:
        return disk
    groups, m = storages.groups, len(storages.group_names)
    busy = n > 0
    busy_disks = np.bincount(groups, weights=busy, minlength=m)
    taken = np.bincount(groups, weights=storages.bandwidths("read", 0.0) * busy, minlength=m)
    network = storages.bandwidths("network", np.inf)
    left = network - taken[groups]
    node = np.where(left > 0, left, network / (busy_disks[groups] + 1.0))
    return np.minimum(disk, node)
