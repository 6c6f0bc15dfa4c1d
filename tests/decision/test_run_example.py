"""The worked example of Batsim's documentation ("File System model"), from the profile to the end time."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from batfs.decision.experiment import Experiment, load
from batfs.decision.run import run
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.simulator import SimulationOptions, simulate

ROOT = Path(__file__).parents[2]

# Two nodes, a disk on each, and a central storage that gets the id 10 (names sort by bytes).
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="site" routing="Full">
    <host id="master_host" speed="1Gf"/>
    <host id="node0" speed="1Gf"/>
    <host id="node1" speed="1Gf"/>
    {disks}
    {others}
    <host id="nfs" speed="0f">
      <prop id="role" value="storage"/><prop id="size" value="4TB"/><prop id="filesystem" value="nfs"/>
    </host>
    <link id="nic0" bandwidth="125MBps" latency="0s"/>
    <link id="nic1" bandwidth="125MBps" latency="0s"/>
    <link id="control" bandwidth="125MBps" latency="0s"/>
    <link id="nfs_read" bandwidth="100MBps" latency="1ms"/>
    <link id="nfs_write" bandwidth="50MBps" latency="1ms"/>
    <link id="disk0_read" bandwidth="150MBps" latency="0.11ms"/>
    <link id="disk0_write" bandwidth="80MBps" latency="0.11ms"/>
    <link id="disk1_read" bandwidth="150MBps" latency="0.11ms"/>
    <link id="disk1_write" bandwidth="80MBps" latency="0.11ms"/>
    <route src="node0" dst="node1"><link_ctn id="nic0"/><link_ctn id="nic1"/></route>
    <route src="master_host" dst="node0"><link_ctn id="control"/></route>
    <route src="master_host" dst="node1"><link_ctn id="control"/></route>
    {routes}
  </zone>
</platform>
"""


def route(source: str, destination: str, *links: str) -> str:
    inner = "".join(f'<link_ctn id="{link}"/>' for link in links)
    return f'<route src="{source}" dst="{destination}" symmetrical="NO">{inner}</route>'


def write_platform(path: Path) -> Path:
    disk = (
        '<host id="disk{k}" speed="0f"><prop id="role" value="storage"/><prop id="size" value="1TB"/>'
        '<prop id="filesystem" value="disk"/><prop id="node" value="node{k}"/></host>'
    )
    other = (
        '<host id="free{k}" speed="0f"><prop id="role" value="storage"/><prop id="size" value="1TB"/>'
        '<prop id="filesystem" value="unused"/></host>'
    )
    routes = []
    for k in (0, 1):
        routes += [
            route(f"node{k}", f"disk{k}", f"disk{k}_write"),
            route(f"disk{k}", f"node{k}", f"disk{k}_read"),
            route("nfs", f"node{k}", "nfs_read", f"nic{k}"),
            route(f"node{k}", "nfs", f"nic{k}", "nfs_write"),
        ]
    text = PLATFORM.format(
        disks="\n".join(disk.format(k=k) for k in (0, 1)),
        others="\n".join(other.format(k=k) for k in range(4, 10)),
        routes="\n".join(routes),
    )
    path.write_text(text)
    return path


class Listening:
    """Passes requests on and keeps the decisions."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.decisions: list[m.Decision] = []

    def decide(self, request: m.Request) -> m.Reply:
        reply = self.scheduler.decide(request)
        self.decisions += reply.decisions
        return reply


def test_the_documented_profile_is_sent(tmp_path: Path) -> None:
    """Row i, column j: bytes from the i-th to the j-th of 0 1 2 3 10."""
    experiment = Experiment(
        write_platform(tmp_path / "p.xml"), [ROOT / "workloads/io_example.json"], master="master_host"
    )
    settings = Settings()
    loaded = load(experiment, settings.configuration())
    listening = Listening(Scheduler(settings, lambda *given: loaded.files))  # type: ignore[arg-type,return-value]
    simulate(loaded.platform, loaded.machine, loaded.workloads, listening, SimulationOptions())
    [execute] = [d for d in listening.decisions if isinstance(d, m.ExecuteJob)]
    assert execute.job_id == "w0!job1"
    assert tuple(execute.alloc) == (0, 1)
    assert execute.io_job is not None
    assert tuple(execute.io_job.alloc) == (0, 1, 2, 3, 10)
    assert execute.io_job.profile.dense() == {  # type: ignore[union-attr]
        "type": "parallel",
        "cpu": [0, 0, 0, 0, 0],
        "com": [
            *[0, 0, 100000000, 0, 0],
            *[0, 0, 0, 100000000, 0],
            *[0, 0, 0, 0, 0],
            *[0, 0, 0, 0, 0],
            *[400000000, 400000000, 0, 0, 0],
        ],
    }


def test_it_ends_when_the_merged_profile_ends(tmp_path: Path) -> None:
    """By hand.

    Merged on 0-3 10: the job's own cpu 1e10/2 = 5e9 flop on each node and com 1e7/2 = 5e6 bytes each way
    between them, and the I/O. One activity, so its rate is the least capacity over weight:

    - cpu of a node:   5e9 flop at 1e9 flop/s                                  -> 5 s
    - nfs_read:        2 x 4e8 bytes at 1e8 bytes/s                            -> 8 s   (the bottleneck)
    - nic of a node:   4e8 read + 5e6 sent + 5e6 received at 1.25e8 bytes/s    -> 3.28 s
    - disk write:      1e8 bytes at 8e7 bytes/s                                -> 1.25 s
    - TCP gamma:       2 x 1e-3 s x 4e8 bytes / 4194304                        -> 0.19 s

    It first pays the longest latency of its routes, 1 ms (nfs to a node). The internal messages before the
    start cross the master's own loopback, 1e-10 s each; five of them precede it. So the job runs from
    5e-10 s to 8.001 s + 5e-10 s; to the six decimals of jobs.csv, from 0 to 8.001.
    """
    experiment = Experiment(write_platform(tmp_path / "p.xml"), [ROOT / "workloads/io_example.json"])
    result = run(experiment, Settings(), tmp_path / "out")
    assert not result.deadlock
    with open(tmp_path / "out_jobs.csv", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert float(row["starting_time"]) == pytest.approx(0.0, abs=1e-6)
    assert float(row["finish_time"]) == pytest.approx(8.001, abs=1e-6)
    assert row["final_state"] == "COMPLETED_SUCCESSFULLY"
    with open(tmp_path / "out_io_jobs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [
        (r["file_system"], r["storages"], r["read_by_storage"], r["written_by_storage"]) for r in rows
    ] == [
        ("nfs", "10", "10:800000000", ""),
        ("disk", "2 3", "", "2:100000000 3:100000000"),
    ]
    assert {r["io_resources"] for r in rows} == {"0-3 10"}
    states = (tmp_path / "out_storage_states.csv").read_text().splitlines()
    assert states[0] == "time,storage,name,filesystem,capacity,reserved_bytes,used_bytes,active_transfers"
    assert "0.000000,10,nfs,nfs,4000000000000,0,0,0" in states
    assert states[-1].endswith(",0,0,0")
    provenance = json.loads((tmp_path / "out_provenance.json").read_text())
    assert set(provenance["inputs"]) == {str(tmp_path / "p.xml"), str(ROOT / "workloads/io_example.json")}


def test_every_way_to_say_the_policy_gives_the_same(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('policy = "worst_fit"\nseed = 4\n[filesystems.nfs]\npolicy = "random"\n')
    experiment = Experiment(write_platform(tmp_path / "p.xml"), [ROOT / "workloads/io_example.json"])
    from batfs.scheduling.config import read_config

    flags = {"policy": "worst_fit", "seed": 4, "filesystems": {"nfs": {"policy": "random"}}}
    outputs = []
    for k, settings in enumerate((Settings(file=read_config(file)), Settings(flags=Layer("test", flags)))):
        run(experiment, settings, tmp_path / f"out{k}")
        outputs.append(
            [(tmp_path / f"out{k}{suffix}").read_bytes() for suffix in ("_jobs.csv", "_io_jobs.csv")]
        )
    assert outputs[0] == outputs[1]


def test_the_projects_own_example(tmp_path: Path) -> None:
    """platforms/io_example.xml by hand: the same merged profile, other links.

    - cpu of a node:          5e9 flop at 1e9 flop/s                           -> 5 s   (the bottleneck)
    - shared_storage_read:    2 x 4e8 bytes at 5e8 bytes/s                     -> 1.6 s
    - shared_server_cable_UP: 8e8 bytes at 1.25e9 bytes/s                      -> 0.64 s
    - node cable, down:       4e8 read + 5e6 received at 1.25e9 bytes/s        -> 0.324 s
    - disk write:             1e8 bytes at 8e7 bytes/s                         -> 1.25 s
    - TCP gamma:              2 x 2.4e-4 s x 4e8 bytes / 4194304               -> 0.046 s

    The longest latency is that of the storage to a node: 0.2 ms + 20 us + 20 us = 0.24 ms. So the job takes
    5.00024 s from its start at 5e-10 s (five messages over the master's own loopback).
    """
    experiment = Experiment(ROOT / "platforms/io_example.xml", [ROOT / "workloads/io_example.json"])
    run(experiment, Settings(), tmp_path / "out")
    with open(tmp_path / "out_jobs.csv", newline="") as stream:
        [job] = csv.DictReader(stream)
    assert job["allocated_resources"] == "0-1"
    assert float(job["starting_time"]) == 0.0
    assert float(job["execution_time"]) == pytest.approx(5.00024, abs=1e-9)
    with open(tmp_path / "out_io_jobs.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["file_system"]: row["read_by_storage"] for row in rows}["nfs"] == "10:800000000"
    assert {row["file_system"]: row["written_by_storage"] for row in rows}[
        "disk"
    ] == "2:100000000 3:100000000"
    assert {row["io_resources"] for row in rows} == {"0-3 10"}
