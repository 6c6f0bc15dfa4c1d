"""What flows use where a cluster's gateway is its router: routes may leave out a node's own link."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from batfs.platform import load_platform

PLATFORM = """<?xml version="1.0"?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="root" routing="Full">
    <cluster id="c" topology="DRAGONFLY" topo_parameters="2,1;2,1;2,1;2" prefix="n" radical="0-15" suffix=""
             speed="1Gf" bw="1GBps" lat="10us" loopback_bw="1GBps" loopback_lat="0"/>
    <zone id="outside" routing="Full">
      <host id="store" speed="1Gf"/>
    </zone>
    <link id="uplink" bandwidth="2GBps" latency="50us"/>
    <zoneRoute src="outside" dst="c" gw_src="store" gw_dst="nc_router"><link_ctn id="uplink"/></zoneRoute>
  </zone>
</platform>
"""


@pytest.mark.parametrize("flows", [1, 4, 47, 120])
def test_flows_use_their_routes(flows: int, tmp_path: Path) -> None:
    path = tmp_path / "platform.xml"
    path.write_text(PLATFORM)
    platform = load_platform(path)
    store = platform.host_index["store"]
    assert [platform.links[i].name for i in platform.route(store, 3).links] == ["uplink"]
    rng = random.Random(flows)
    for _ in range(40):
        ends = [(rng.randrange(17), rng.randrange(17)) for _ in range(flows)]
        volumes = [float(rng.randrange(1, 100)) for _ in ends]
        used: Counter[int] = Counter()
        latency = latency_volume = 0.0
        for (a, b), volume in zip(ends, volumes, strict=True):
            route = platform.route(a, b)
            for link in route.links:
                used[link] += volume if not platform.links[link].fatpipe else 0
            latency = max(latency, route.latency)
            latency_volume = max(latency_volume, route.latency * volume)
        src, dst = (np.array(column) for column in zip(*ends, strict=True))
        found = platform.consume(src, dst, np.array(volumes))
        shared = {
            int(link): weight
            for link, weight in zip(found.links, found.weights, strict=True)
            if not platform.links[int(link)].fatpipe
        }
        assert shared == pytest.approx({link: weight for link, weight in used.items() if weight})
        assert found.latency == pytest.approx(latency)
        assert found.latency_volume == pytest.approx(latency_volume)
