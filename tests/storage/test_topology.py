"""Distances and bandwidths left, from a platform file."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.platform import load_platform, number_resources
from batfs.storage.interface import Share, SpaceRequest, Storage
from batfs.storage.ledger import Ledger
from batfs.storage.policies import make_policy
from batfs.storage.topology import PlatformNetwork
from batfs.storage.view import SystemView

PLATFORMS = Path(__file__).parents[2] / "platforms"

# s0 is near a, s1 behind a slow link as well; s2 is behind a FATPIPE
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="z" routing="Full">
    <host id="a" speed="1Gf"/> <host id="b" speed="1Gf"/>
    <host id="s0" speed="1f"/> <host id="s1" speed="1f"/> <host id="s2" speed="1f"/>
    <link id="near" bandwidth="100MBps" latency="1ms"/>
    <link id="slow" bandwidth="60MBps" latency="2ms"/>
    <link id="fat" bandwidth="80MBps" latency="4ms" sharing_policy="FATPIPE"/>
    <route src="a" dst="s0"><link_ctn id="near"/></route>
    <route src="a" dst="s1"><link_ctn id="near"/><link_ctn id="slow"/></route>
    <route src="a" dst="s2"><link_ctn id="fat"/></route>
    <route src="b" dst="s0"><link_ctn id="slow"/></route>
    <route src="b" dst="s1"><link_ctn id="slow"/></route>
    <route src="b" dst="s2"><link_ctn id="fat"/></route>
  </zone>
</platform>
"""
NAMES = ["s0", "s1", "s2"]


@pytest.fixture
def network(tmp_path: Path) -> tuple[PlatformNetwork, np.ndarray]:
    file = tmp_path / "p.xml"
    file.write_text(PLATFORM)
    transfers = np.zeros(3, dtype=np.int64)
    return PlatformNetwork(load_platform(file), NAMES, transfers), transfers


def test_distances_are_mean_latencies(network: tuple[PlatformNetwork, np.ndarray]) -> None:
    net, _ = network
    assert net.distance(["a"]) == pytest.approx([1e-3, 3e-3, 4e-3])
    assert net.distance(["a", "b"]) == pytest.approx([1.5e-3, 2.5e-3, 4e-3])
    assert net.distance([]) is None


def test_bandwidth_left_on_the_worst_link(network: tuple[PlatformNetwork, np.ndarray]) -> None:
    net, transfers = network
    assert net.residual_bandwidth(["a"]) == pytest.approx([100e6, 60e6, 80e6])
    transfers[:] = [1, 1, 5]
    # from a: near carries 2 (s0, s1), slow 1; the FATPIPE is shared by nobody
    assert net.residual_bandwidth(["a"]) == pytest.approx([100e6 / 3, 30e6, 80e6])
    # from b too: slow carries 2
    assert net.residual_bandwidth(["a", "b"]) == pytest.approx([20e6, 20e6, 80e6])
    assert net.residual_bandwidth([]) is None


def test_policies_go_by_it(network: tuple[PlatformNetwork, np.ndarray]) -> None:
    net, transfers = network
    view = SystemView(
        Ledger(Storage(i, n, 10) for i, n in enumerate(NAMES)), transfers=transfers, network=net
    )

    def choose(policy: str, near: str) -> Share:
        choice = make_policy(policy).choose(view, SpaceRequest(1, 0.0, near=(near,)), random.Random(0))
        assert choice is not None
        return choice[0]

    assert choose("locality", "a").index == 0
    assert choose("max_bandwidth", "a").index == 0
    transfers[0] = 1
    assert choose("max_bandwidth", "a").index == 2
    assert choose("locality", "b").index == 0  # 0 and 1 are as near: the lower


def test_a_storage_the_platform_does_not_have(tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(PLATFORM)
    with pytest.raises(InputError, match=r"unknown host of the platform file 's9'; known"):
        PlatformNetwork(load_platform(file), ["s9"], np.zeros(1, dtype=np.int64))


def test_no_route_is_infinitely_far() -> None:
    class Islands:
        host_index = {"a": 0, "s0": 1, "s1": 2}  # noqa: RUF012
        links = [SimpleNamespace(bandwidth=5e6, fatpipe=False)]  # noqa: RUF012

        def route(self, src: int, dst: int) -> SimpleNamespace:
            if 2 in (src, dst):
                raise InputError("no route")
            return SimpleNamespace(links=(0, 0), latency=1e-3)

        def kind(self, host: int) -> int:
            return host

        def ports(self, host: int) -> set[int]:
            return set()

    net = PlatformNetwork(Islands(), ["s0", "s1"], np.array([1, 0]))
    assert net.distance(["a"]).tolist() == [1e-3, np.inf]
    assert net.residual_bandwidth(["a"]).tolist() == [2.5e6, 0.0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_bandwidth_left_is_that_of_the_formula_to_the_last_bit(seed: int) -> None:
    """Against the definition, link by link: the least over the nodes and their links of bandwidth / (1 + the
    transfers at the storages behind that link), a FATPIPE link at its bandwidth, 0 without a route."""
    rng = random.Random(seed)
    links = [SimpleNamespace(bandwidth=rng.uniform(1e6, 1e9), fatpipe=rng.random() < 0.2) for _ in range(9)]
    hosts = {name: k for k, name in enumerate("abcd" + "wxyz")}
    routes = {
        (source, target): rng.sample(range(9), rng.randrange(0, 5)) if rng.random() < 0.9 else None
        for source in range(8)
        for target in range(8)
    }

    def route(source: int, target: int) -> Any:
        found = routes[source, target]
        if found is None:
            raise InputError("no route")
        return SimpleNamespace(links=found, latency=0.0)

    platform = SimpleNamespace(
        host_index=hosts, links=links, route=route, kind=lambda host: host, ports=lambda host: set()
    )
    transfers = np.array([rng.randrange(5) for _ in range(4)], dtype=np.int64)
    net = PlatformNetwork(platform, list("wxyz"), transfers)
    near = rng.sample("abcd", rng.randrange(1, 5))
    assert net.residual_bandwidth(near).tolist() == formula(platform, list("wxyz"), transfers, near)


@pytest.mark.parametrize(
    "name", [*("taurus_storage", "pfs_cluster", "dfs_cluster"), *("bb_cluster", "nvme_pool", "io_example")]
)
def test_nodes_of_one_kind_share_routes_and_nothing_else_changes(name: str) -> None:
    """On the project's platforms, near nodes and near storages (buffers of a tier)."""
    platform = load_platform(PLATFORMS / f"{name}.xml")
    resources = number_resources(platform).resources
    storages = [r.name for r in resources if r.role == "storage"][:40]
    hosts = [r.name for r in resources if r.role != "storage"]
    rng = random.Random(5)
    transfers = np.zeros(len(storages), dtype=np.int64)
    net = PlatformNetwork(platform, storages, transfers)
    for _ in range(12):
        transfers[:] = [rng.randrange(6) for _ in storages]
        near = rng.sample(hosts, min(len(hosts), rng.randrange(1, 6)))
        near += rng.sample(storages, rng.randrange(0, 2))
        assert net.residual_bandwidth(near).tolist() == formula(platform, storages, transfers, near)
        latencies = [
            [platform.route(platform.host_index[n], platform.host_index[s]).latency for s in storages]
            for n in near
        ]
        sums = np.zeros(len(storages))
        for latency in latencies:
            sums += latency
        assert net.distance(near).tolist() == (sums / len(near)).tolist()


def formula(platform: Any, storages: list[str], transfers: np.ndarray, near: list[str]) -> list[float]:
    """The definition."""
    expected = [np.inf] * len(storages)
    at, links = platform.host_index, platform.links
    for name in near:
        used: dict[int, set[int]] = {}
        for k, storage in enumerate(storages):
            try:
                there = platform.route(at[name], at[storage])
                back = platform.route(at[storage], at[name])
            except InputError:
                expected[k] = 0.0
                continue
            used[k] = {*there.links, *back.links}
        for k, mine in used.items():
            for link in mine:
                load = sum(int(transfers[j]) for j, others in used.items() if link in others)
                shared = 0.0 if links[link].fatpipe else float(load)
                expected[k] = min(expected[k], links[link].bandwidth / (1.0 + shared))
    return expected
