"""Hosts, links, routes and latencies agree with SimGrid's own, bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batfs.platform import NoRouteError, Platform, load_platform

Ask = Callable[..., dict[str, Any]]


def compare(platform: Platform, answer: dict[str, Any]) -> int:
    """Assert agreement; the number of routes compared."""
    names = [link.name for link in platform.links]
    assert sorted(host.name for host in platform.hosts) == sorted(entry[0] for entry in answer["hosts"])
    for name, speeds, cores, pstate in answer["hosts"]:
        host = platform.host(name)
        assert (list(host.speeds), host.cores, host.pstate) == (speeds, cores, pstate)
    assert {link.name: [link.bandwidth, link.latency] for link in platform.links} == answer["links"]
    for src, dst, links, latency in answer["routes"]:
        if links is None:
            with pytest.raises(NoRouteError, match="no chain of declared routes"):
                platform.route(platform.host_index[src], platform.host_index[dst])
            continue
        route = platform.route(platform.host_index[src], platform.host_index[dst])
        assert [names[link] for link in route.links] == links, (src, dst)
        assert route.latency == latency, (src, dst)
    return len(answer["routes"])


def routable(platform: Platform, limit: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of hosts SimGrid can be asked about, a sample when there are more than ``limit``."""
    names = [host.name for host in platform.hosts]
    pairs = [(a, b) for a in names for b in names]
    if len(pairs) > limit:
        pairs = random.Random(seed).sample(pairs, limit)
    found = []
    for a, b in pairs:
        try:
            platform.route(platform.host_index[a], platform.host_index[b])
        except NoRouteError as error:
            # where there is no way SimGrid says so too; elsewhere it aborts or crashes
            if "no chain of declared routes" not in str(error) or platform.root.joins_zones:
                continue
        found.append((a, b))
    return found


@pytest.mark.slow
def test_recorded_platforms(golden: list[Path], simgrid: Ask) -> None:
    compared = 0
    for file in golden:
        platform = load_platform(file)
        compared += compare(platform, simgrid(file, routable(platform, 1500)))
    assert compared > 15_000


@pytest.mark.slow
def test_random_platforms(random_platform: Callable[[int], str], simgrid: Ask, tmp_path: Path) -> None:
    compared = 0
    for seed in range(80):
        file = tmp_path / f"{seed}.xml"
        file.write_text(random_platform(seed))
        platform = load_platform(file)
        pairs = routable(platform, 400, seed)
        if platform.root.joins_zones:
            assert len(pairs) == min(400, len(platform.hosts) ** 2)  # these are made so that all are joined
        compared += compare(platform, simgrid(file, pairs))
    assert compared > 8000


@pytest.mark.parametrize("policy", ["SHARED", "SPLITDUPLEX"])
def test_fat_tree_with_limiters(policy: str, simgrid: Ask, tmp_path: Path) -> None:
    file = tmp_path / "p.xml"
    file.write_text(
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">'
        '<zone id="top" routing="Full"><cluster id="ft" prefix="n" suffix="" radical="0-15" speed="1Gf" '
        f'bw="1GBps" lat="2us" topology="FAT_TREE" topo_parameters="2;4,4;2,2;1,2" limiter_link="900MBps" '
        f'sharing_policy="{policy}"/></zone></platform>'
    )
    platform = load_platform(file)
    assert compare(platform, simgrid(file)) == 256


def test_a_router_of_old_clusters(shared: Path) -> None:
    """The router that SimGrid made for Dragonfly clusters up to 3.26 is accepted, with a note."""
    platform = load_platform(shared / "data" / "kth" / "dragonfly96-sg334.xml")
    assert ["node_cluster_router" in note for note in platform.notes] == [True]
    pfs, node = platform.host_index["pfs"], platform.host_index["node_9"]
    # the transfer crosses the file system's link alone
    assert [platform.links[link].name for link in platform.route(pfs, node).links] == ["link_pfs"]
    assert [platform.links[link].name for link in platform.route(node, pfs).links] == ["link_pfs"]


def test_none_zones_load_and_route_nothing(shared: Path) -> None:
    platform = load_platform(shared / "data" / "kth" / "dragonfly96.xml")
    master = platform.host_index["master"]
    with pytest.raises(NoRouteError, match="routing 'None'"):
        platform.route(master, master)
