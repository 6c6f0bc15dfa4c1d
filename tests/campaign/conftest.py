"""A small machine and workload that all tests of this room run on."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight nodes and four storages of unequal speed around one router."""
    hosts = [f'<host id="node{i}" speed="1Gf"/>' for i in range(8)]
    links = [f'<link id="l{i}" bandwidth="1GBps" latency="10us"/>' for i in range(8)]
    routes = [f'<route src="node{i}" dst="hub"><link_ctn id="l{i}"/></route>' for i in range(8)]
    for i, speed in enumerate((100, 200, 300, 400)):
        hosts.append(
            f'<host id="disk{i}" speed="0f"><prop id="role" value="storage"/><prop id="size" value="200GB"/>'
            '<prop id="filesystem" value="pfs"/></host>'
        )
        links.append(f'<link id="d{i}" bandwidth="{speed}MBps" latency="50us"/>')
        routes.append(f'<route src="disk{i}" dst="hub"><link_ctn id="d{i}"/></route>')
    hosts.append('<host id="master_host" speed="1Gf"/><router id="hub"/>')
    links.append('<link id="m" bandwidth="1GBps" latency="1us"/>')
    routes.append('<route src="master_host" dst="hub"><link_ctn id="m"/></route>')
    path = tmp_path_factory.mktemp("inputs") / "machine.xml"
    inside = "\n".join([*hosts, *links, *routes])
    path.write_text(
        "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
        f'<platform version="4.1">\n<zone id="all" routing="Floyd">\n{inside}\n</zone>\n</platform>\n'
    )
    return path


@pytest.fixture(scope="session")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty jobs that compete for nodes and for storage."""
    path = tmp_path_factory.mktemp("inputs") / "jobs.json"
    write_jobs(path, 60, seed=7)
    return path


def write_jobs(path: Path, count: int, seed: int) -> None:
    """A workload of ``count`` jobs of 1 to 4 nodes, each with reads and writes."""
    draw = random.Random(seed)
    profiles, listed, now = {}, [], 0.0
    for i in range(count):
        now += draw.expovariate(1 / 8)
        profiles[f"p{i}"] = {
            "type": "parallel_homogeneous",
            "cpu": draw.randrange(1, 30) * 10**9,
            "com": 0,
            "io_reads": draw.randrange(1, 60) * 10**8,
            "io_writes": draw.randrange(1, 20) * 10**8,
        }
        listed.append(
            {
                "id": str(i),
                "subtime": round(now, 3),
                "res": draw.choice((1, 2, 4)),
                "walltime": 3000,
                "profile": f"p{i}",
            }
        )
    path.write_text(json.dumps({"nb_res": 8, "jobs": listed, "profiles": profiles}))
