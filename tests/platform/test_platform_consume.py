"""What many flows use, against adding flow after flow."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from batfs.platform import NoRouteError, Platform, load_platform
from batfs.platform.generate import generate
from batfs.platform.spec import make_spec


def one_by_one(
    platform: Platform, flows: list[tuple[int, int, float]]
) -> tuple[dict[int, float], float, float]:
    """The obvious version: (bytes per link, largest latency, largest latency x bytes)."""
    sums: dict[int, float] = {}
    latency = latency_volume = 0.0
    for src, dst, volume in flows:
        route = platform.route(src, dst)
        for link in route.links:
            if platform.links[link].fatpipe:
                sums[link] = max(sums.get(link, 0.0), volume)
            else:
                sums[link] = sums.get(link, 0.0) + volume
        latency = max(latency, route.latency)
        latency_volume = max(latency_volume, route.latency * volume)
    return sums, latency, latency_volume


def check(platform: Platform, flows: list[tuple[int, int, float]]) -> None:
    src, dst, volumes = (list(column) for column in zip(*flows, strict=True))
    used = platform.consume(src, dst, volumes)
    assert len(set(used.links.tolist())) == len(used.links)
    found = dict(zip(used.links.tolist(), used.weights.tolist(), strict=True))
    assert (found, used.latency, used.latency_volume) == one_by_one(platform, flows)


def routable(platform: Platform) -> list[tuple[int, int]]:
    found = []
    for src in range(len(platform.hosts)):
        for dst in range(len(platform.hosts)):
            try:
                platform.route(src, dst)
            except NoRouteError:
                continue
            found.append((src, dst))
    return found


def test_recorded_platforms(golden: list[Path]) -> None:
    rng = random.Random(7)
    for file in golden:
        if file.parent.name.startswith("118"):
            continue
        platform = load_platform(file)
        pairs = routable(platform)
        for count in (1, 5, 30, 200):
            chosen = [rng.choice(pairs) for _ in range(count)]
            check(platform, [(a, b, rng.uniform(1, 1e9)) for a, b in chosen])
        # a dense matrix, row by row, without and with its diagonal
        hosts = sorted({a for a, b in pairs if a == b})[:24]
        known = set(pairs)
        for diagonal in (False, True):
            dense = [
                (a, b, rng.uniform(1, 1e9))
                for a in hosts
                for b in hosts
                if (diagonal or a != b) and (a, b) in known
            ]
            if dense:
                check(platform, dense)


@pytest.mark.parametrize("extra", ["", 'limiter_link="900MBps"', 'loopback_bw="3GBps"'])
@pytest.mark.parametrize("policy", ["SPLITDUPLEX", "SHARED"])
@pytest.mark.parametrize(
    "backbone", ["", 'bb_bw="5GBps" bb_lat="1us"', 'bb_bw="5GBps" bb_sharing_policy="FATPIPE"']
)
def test_flat_cluster(tmp_path: Path, extra: str, policy: str, backbone: str) -> None:
    file = tmp_path / "p.xml"
    file.write_text(
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd"><platform version="4.1">'
        '<zone id="top" routing="Full">'
        f'<cluster id="c" prefix="n" suffix="" radical="0-15" speed="1Gf" bw="1GBps" lat="10us" '
        f'sharing_policy="{policy}" {extra} {backbone}/>'
        '<zone id="io" routing="Full"><host id="pfs" speed="0"/></zone>'
        '<link id="in" bandwidth="1GBps" latency="1ms"/><link id="out" bandwidth="1GBps" latency="2ms"/>'
        '<zoneRoute src="c" dst="io" gw_src="nc_router" gw_dst="pfs" symmetrical="NO">'
        '<link_ctn id="out"/></zoneRoute>'
        '<zoneRoute src="io" dst="c" gw_src="pfs" gw_dst="nc_router" symmetrical="NO">'
        '<link_ctn id="in"/></zoneRoute>'
        "</zone></platform>"
    )
    platform = load_platform(file)
    rng = random.Random(3)
    size = len(platform.hosts)
    for own in (False, True):
        flows = [(a, b, rng.uniform(1, 1e9)) for a in range(size) for b in range(size) if own or a != b]
        check(platform, flows)
    check(platform, [(a, size - 1, 1.0 + a) for a in range(size - 1) for _ in range(3)])


def test_no_flows(golden: list[Path]) -> None:
    used = load_platform(golden[0]).consume([], [], [])
    assert (used.links.size, used.weights.size, used.latency, used.latency_volume) == (0, 0, 0.0, 0.0)
    assert used.links.dtype == np.int64


def test_random_platforms(random_platform: Callable[[int], str], tmp_path: Path) -> None:
    rng = random.Random(11)
    for seed in range(40):
        file = tmp_path / f"{seed}.xml"
        file.write_text(random_platform(seed))
        platform = load_platform(file)
        pairs = routable(platform)
        for count in (3, 60, 400):
            chosen = [rng.choice(pairs) for _ in range(count)]
            check(platform, [(a, b, rng.uniform(1, 1e9)) for a, b in chosen])


def test_a_large_platform(tmp_path: Path) -> None:
    """Hosts of few kinds: cores are shared, whatever the number of flows."""
    file = tmp_path / "p.xml"
    spec = make_spec({"nodes": {"count": 600, "racks": 3}, "pfs": {"servers": 2, "targets": 2}})
    file.write_text(generate(spec))
    platform = load_platform(file)
    rng = random.Random(5)
    size = len(platform.hosts)
    for count in (1, 4, 10, 50, 500):
        check(
            platform,
            [(rng.randrange(size), rng.randrange(size), rng.uniform(1, 1e9)) for _ in range(count)],
        )


def test_a_cluster_with_a_router_of_old(shared: Path) -> None:
    """Its nodes reach other zones without their own links: see dragonfly.py."""
    platform = load_platform(shared / "data" / "kth" / "dragonfly96-sg334.xml")
    rng = random.Random(1)
    size = len(platform.hosts)
    for count in (1, 3, 40, 49, 400):
        for _ in range(5):
            ends = [(rng.randrange(size), rng.randrange(size)) for _ in range(count)]
            check(platform, [(a, b, rng.uniform(1, 1e9)) for a, b in ends])
