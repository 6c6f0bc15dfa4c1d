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
        route = platform.route(platform.host_index[src], platform.host_index[dst])
        assert [names[link] for link in route.links] == links, (src, dst)
        assert route.latency == latency, (src, dst)
    return len(answer["routes"])


def routable(platform: Platform, limit: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of hosts that have a route, a sample when there are more than ``limit``."""
    names = [host.name for host in platform.hosts]
    pairs = [(a, b) for a in names for b in names]
    if len(pairs) > limit:
        pairs = random.Random(seed).sample(pairs, limit)
    found = []
    for a, b in pairs:
        try:
            platform.route(platform.host_index[a], platform.host_index[b])
        except NoRouteError:
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
