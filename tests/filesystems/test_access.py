"""What access patterns cost, by hand: clients that wait for requests, targets that lose time on each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import batfs
from batfs.errors import InputError

# four nodes of 1 Gflop/s with cables of 10 GB/s, one or two targets of 1 GB/s behind servers of their own
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
<zone id="site" routing="Full">
<cluster id="nodes" prefix="node_" radical="0-3" suffix="" speed="1Gf" bw="10GBps" lat="0"
 router_id="r_nodes"/>
<cluster id="servers" prefix="oss_" radical="0-1" suffix="" speed="1Gf" bw="100GBps" lat="0"
 router_id="r_oss">
<prop id="service" value="gateway"/></cluster>
<zone id="front" routing="Full"><host id="master_host" speed="1Gf"/></zone>
{targets}
<link id="core" bandwidth="1000GBps" latency="0"/>
{routes}
</zone></platform>
"""
TARGET = """<zone id="z{k}" routing="Full">
<host id="ost_{k}" speed="0f"><prop id="role" value="storage"/><prop id="filesystem" value="lustre"/>
<prop id="size" value="100TB"/>{server}</host>
<router id="r_z{k}"/><link id="disk_{k}" bandwidth="1GBps" latency="0"/>
<route src="ost_{k}" dst="r_z{k}"><link_ctn id="disk_{k}"/></route></zone>"""


def machine(folder: Path, *, targets: int = 1, served: bool = True) -> Path:
    places = ["nodes", "servers", "front", *(f"z{k}" for k in range(targets))]
    ways = {"nodes": "r_nodes", "servers": "r_oss", "front": "master_host"}
    ways |= {f"z{k}": f"r_z{k}" for k in range(targets)}
    routes = "".join(
        f'<zoneRoute src="{a}" dst="{b}" gw_src="{ways[a]}" gw_dst="{ways[b]}">'
        '<link_ctn id="core"/></zoneRoute>'
        for i, a in enumerate(places)
        for b in places[i + 1 :]
    )
    server = '<prop id="server" value="oss_{k}"/>'
    text = "".join(TARGET.format(k=k, server=server.format(k=k) if served else "") for k in range(targets))
    path = folder / "machine.xml"
    path.write_text(PLATFORM.format(targets=text, routes=routes))
    return path


def seconds(
    folder: Path, entry: dict[str, Any], *, nodes: int = 2, cpu: float = 0, targets: int = 1, **options: Any
) -> float:
    """The run time of one job with that ``io`` entry on so many nodes."""
    platform = machine(folder, targets=targets, served=options.pop("served", True))
    profile = {"type": "parallel_homogeneous", "cpu": cpu, "com": 0}
    profile["io"] = [{"filesystem": "lustre", **entry}]
    workload = {
        "nb_res": 4,
        "jobs": [{"id": "a", "subtime": 0, "walltime": 1e9, "res": nodes, "profile": "p"}],
        "profiles": {"p": profile},
    }
    (folder / "w.json").write_text(json.dumps(workload))
    dynamic = options.pop("dynamic_jobs", False)
    lustre = {"model": "pfs", "stripe_count": targets} | options
    run = batfs.simulate(platform, folder / "w.json", filesystems={"lustre": lustre}, dynamic_jobs=dynamic)
    [job] = run.jobs.to_dict("records")
    assert job["success"]
    return float(job["execution_time"])


GB = 10**9


def test_without_parameters_a_pattern_costs_nothing(tmp_path: Path) -> None:
    """4 GB from one target of 1 GB/s: 4 s, whatever the entry says of its requests."""
    plain = seconds(tmp_path, {"reads": 4 * GB})
    said = {"access": "random", "request_size": 4096, "processes_per_node": 32, "collective": True}
    assert plain == pytest.approx(4, abs=1e-6)
    assert seconds(tmp_path, {"reads": 4 * GB, **said}) == plain


def test_a_process_waits_for_each_of_its_requests(tmp_path: Path) -> None:
    """Random reads of 4 KiB, 0.1 ms each: 40.96 MB/s a process. 2 nodes x 4 processes: 327.68 MB/s, so
    3.2768 GB take 10 s; the target alone would need 3.2768 s."""
    entry = {"reads": 3_276_800_000, "access": "random", "request_size": 4096, "processes_per_node": 4}
    assert seconds(tmp_path, entry, client="latency:0.1ms") == pytest.approx(10, abs=1e-5)


def test_requests_on_the_way_at_once(tmp_path: Path) -> None:
    """Sequential requests of 1 MiB, 10 ms each and 8 at once, over streams of 2**30 B/s: 8 MiB in 10 ms +
    1/1024 s are 764.5 MB/s, below the stream's 1.07 GB/s. One process: 1 GB takes 1.308 s. With a depth of 1
    it is 8 times that, with one of 100 the stream's time, 0.931 s, less than the target's 1 s."""
    entry = {"writes": GB, "request_size": 1 << 20}
    takes = 0.01 + 2**-10
    for depth, expected in ((8, GB / (8 * 2**20) * takes), (1, GB / 2**20 * takes), (100, 1.0)):
        found = seconds(tmp_path, entry, nodes=1, client=f"latency:10ms depth:{depth} stream:1GiB")
        assert found == pytest.approx(expected, abs=1e-5)


def test_a_node_is_bounded_by_its_own_rate(tmp_path: Path) -> None:
    """Two nodes of 0.1 GB/s each: 4 GB take 20 s, with however many processes."""
    entry = {"writes": 4 * GB, "processes_per_node": 64}
    assert seconds(tmp_path, entry, client="node:0.1GB stream:0.1GB") == pytest.approx(20, abs=1e-5)


def test_small_sequential_requests_are_put_together(tmp_path: Path) -> None:
    """4 KiB requests in order leave as 1 MiB: 1 GiB takes 1024 of them, 10 ms each, 10.24 s on one node."""
    entry = {"reads": 1 << 30, "request_size": 4096}
    assert seconds(tmp_path, entry, nodes=1, client="latency:10ms") == pytest.approx(10.24, abs=1e-5)
    narrow = seconds(tmp_path, entry, nodes=1, client="latency:10ms window:2MiB")
    assert narrow == pytest.approx(5.12, abs=1e-5)


def test_one_process_a_node_asks_for_all_in_a_collective_access(tmp_path: Path) -> None:
    """Requests of 16 MiB by one aggregator a node, 0.1 s each: 2 nodes move 2 GiB in 64 requests each: 6.4 s.
    Strided by themselves, 32 processes of 16 KiB requests: 2 GiB / (64 x 16 KiB) x 0.1 s = 204.8 s."""
    entry = {"writes": 2 << 30, "access": "strided", "request_size": 16 << 10, "processes_per_node": 32}
    alone = seconds(tmp_path, entry, client="latency:100ms")
    together = seconds(tmp_path, {**entry, "collective": True}, client="latency:100ms")
    assert alone == pytest.approx(204.8, abs=1e-4)
    assert together == pytest.approx(6.4, abs=1e-5)


def test_who_waits_does_not_compute(tmp_path: Path) -> None:
    """5 s of computation and 10 s of waiting by the same processes: 15 s; in phases the read comes first and
    the sum is the same."""
    entry = {"reads": 3_276_800_000, "access": "random", "request_size": 4096, "processes_per_node": 4}
    both = seconds(tmp_path, entry, cpu=5e9, client="latency:0.1ms")
    phased = seconds(tmp_path, entry, cpu=5e9, client="latency:0.1ms", timing="phases", dynamic_jobs=True)
    assert both == pytest.approx(15, abs=1e-4)
    assert phased == pytest.approx(15, abs=5e-3)


def test_directions_have_numbers_of_their_own(tmp_path: Path) -> None:
    """1 GB read in 1 ms requests of 1 MiB and 1 GB written in 2 ms ones: what both wait adds up."""
    entry = {"reads": GB, "writes": GB, "access": {"reads": "random"}, "request_size": {"reads": 1 << 20}}
    found = seconds(tmp_path, entry, nodes=1, client="read_latency:10ms write_latency:20ms")
    assert found == pytest.approx(GB / 2**20 * 0.03, abs=1e-4)


@pytest.mark.parametrize("served", [True, False])
def test_a_target_loses_time_on_each_request(tmp_path: Path, served: bool) -> None:
    """Half-performance length 1 MiB for random requests of 256 KiB: a fifth of 1 GB/s. 1 GB takes 5 s; where
    requests are sequential, 1 s. The overhead travels to the target's server, or as the job's bytes do."""
    server = "random_half:1MiB"
    entry = {"reads": GB, "access": "random", "request_size": 256 << 10}
    assert seconds(tmp_path, entry, server=server, served=served) == pytest.approx(5, abs=1e-5)
    assert seconds(tmp_path, {"reads": GB}, server=server, served=served) == pytest.approx(1, abs=1e-5)


def test_writers_take_locks_from_each_other(tmp_path: Path) -> None:
    """Interleaved writes of 1 MiB by w nodes with 3 MiB a lock: 1 + 3 (w - 1) / w times the time. One node
    1 s, two 2.5 s, four 3.25 s a GB; files of their own, or collective: 1 s."""
    entry = {"writes": GB, "access": "strided", "request_size": 1 << 20}
    for nodes, expected in ((1, 1.0), (2, 2.5), (4, 3.25)):
        found = seconds(tmp_path, entry, nodes=nodes, server="lock_half:3MiB")
        assert found == pytest.approx(expected, abs=1e-5)
    for change in ({"pattern": "per_process"}, {"collective": True}, {"access": "sequential"}):
        found = seconds(tmp_path, {**entry, **change}, nodes=4, server="lock_half:3MiB")
        assert found == pytest.approx(1, abs=1e-5)


def test_many_streams_slow_a_target(tmp_path: Path) -> None:
    """4 nodes x 4 processes on one target, half of its rate at 1 + 15 streams: 2 s a GB. Two targets with a
    file per process have 8 streams each: 1 + 7/15 times half a second."""
    entry = {"writes": GB, "processes_per_node": 4}
    assert seconds(tmp_path, entry, nodes=4, server="half_streams:15") == pytest.approx(2, abs=1e-5)
    own = {**entry, "pattern": "per_process"}
    found = seconds(tmp_path, own, nodes=4, targets=2, stripe_count=1, server="half_streams:15")
    assert found == pytest.approx(0.5 * (1 + 7 / 15), rel=3e-3)  # whole stripes


def test_a_file_for_each_process_is_opened_by_it(tmp_path: Path) -> None:
    """``per_process`` means at least so many files: 4 nodes x 3 processes, 12 files over two targets."""
    entry = {"writes": 12 * GB, "pattern": "per_process", "processes_per_node": 3}
    assert seconds(tmp_path, entry, nodes=4, targets=2, stripe_count=1) == pytest.approx(6, rel=3e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"client": "latensy:1ms"}, "did you mean 'latency'"),
        ({"client": "latency"}, "it has no value"),
        ({"client": "depth:0"}, "not a number above 0"),
        ({"client": "stream:0"}, "must be above 0"),
        ({"server": "half:3 kelvin"}, "kelvin"),
        ({"server": "half:fast"}, "is not a size"),
    ],
)
def test_parameters_that_are_wrong(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=r"filesystems\.lustre") as error:
        seconds(tmp_path, {"reads": 1}, **options)
    assert message in str(error.value)
