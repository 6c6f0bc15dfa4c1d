"""What an exchange costs under an I/O policy: jobs of five phases each, more and more of them.

    python benchmarks/io_policies.py [--jobs 1000 5000 20000] [--nodes 200] [--policy set10]

Jobs on one node each arrive more quickly than the machine takes them, so that all but a few of its nodes wait
for the file system at any time, however many jobs there are in all. The cost of an exchange (one message of
the simulator, answered) is to stay the same in the first and in the last tenth of the run, with few jobs and
with many; without an I/O policy it is shown beside it. How it depends on how many wait at once is seen with
several ``--nodes``.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from batfs.decision.files import files_on
from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.simulator import SimulationOptions, simulate
from batfs.workload import read_workload

PHASES = 5


def inputs(jobs: int, nodes: int, folder: Path) -> tuple[Path, Path]:
    """A machine with one file system of 10 GB/s, and jobs whose rhythms lie in three decades."""
    hosts = "".join(f'<host id="n{k:03}" speed="1Gf"/>' for k in range(nodes))
    links = "".join(f'<link id="l{k:03}" bandwidth="1GBps" latency="0"/>' for k in range(nodes))
    routes = "".join(
        f'<route src="n{k:03}" dst="pfs"><link_ctn id="l{k:03}"/><link_ctn id="io"/></route>'
        f'<route src="n{k:03}" dst="master_host"><link_ctn id="front"/></route>'
        for k in range(nodes)
    )
    platform, workload = folder / "platform.xml", folder / "workload.json"
    platform.write_text(
        "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
        f'<platform version="4.1"><zone id="z" routing="Full"><host id="master_host" speed="1Gf"/>{hosts}'
        '<host id="pfs" speed="0f"><prop id="role" value="storage"/><prop id="size" value="1000PB"/>'
        f'<prop id="filesystem" value="pfs"/></host>{links}<link id="io" bandwidth="10GBps" latency="0"/>'
        f'<link id="front" bandwidth="10GBps" latency="0" sharing_policy="FATPIPE"/>{routes}'
        '<route src="pfs" dst="master_host"><link_ctn id="front"/></route></zone></platform>\n'
    )
    draw = random.Random(1)
    profiles: dict[str, Any] = {}
    rows = []
    for k in range(jobs):
        work = 10 ** draw.uniform(1, 3)
        entry = {"filesystem": "pfs", "writes": int(work * 4e8), "options": {"timing": "phases"}}
        profiles[f"s{k}"] = {"type": "delay", "delay": work, "io": [entry]}
        profiles[f"{k}"] = {"type": "composed", "seq": [f"s{k}"], "repeat": PHASES}
        rows.append({"id": str(k), "subtime": 2000.0 / nodes * k, "res": 1, "profile": str(k)})
    workload.write_bytes(orjson.dumps({"nb_res": nodes, "jobs": rows, "profiles": profiles}))
    return platform, workload


class Timed:
    """A scheduler whose answers are timed."""

    def __init__(self, inner: Scheduler) -> None:
        self._inner = inner
        self.seconds: list[float] = []

    def decide(self, request: m.Request) -> m.Reply:
        before = time.process_time()
        reply = self._inner.decide(request)
        self.seconds.append(time.process_time() - before)
        return reply


def measure(jobs: int, nodes: int, policy: str, folder: Path) -> list[float]:
    """Microseconds of an exchange, tenth by tenth."""
    files = inputs(jobs, nodes, folder)
    platform = load_platform(files[0])
    settings = Settings(flags=Layer("the benchmark", {"io_policy": policy, "filesystem": "pfs"}))
    timed = Timed(Scheduler(settings, files_on(platform)))
    options = SimulationOptions(dynamic_jobs=True)
    simulate(platform, number_resources(platform), [read_workload(files[1], "w0")], timed, options)
    size = len(timed.seconds) // 10
    return [1e6 * sum(timed.seconds[k * size : (k + 1) * size]) / size for k in range(10)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 5000, 20_000])
    parser.add_argument("--nodes", type=int, nargs="+", default=[200])
    parser.add_argument("--policy", nargs="+", default=["fair", "set10"])
    args = parser.parse_args()
    print(f"microseconds of an exchange by tenths of the run, jobs of {PHASES} phases")
    with tempfile.TemporaryDirectory() as scratch:
        for jobs, nodes, policy in itertools.product(args.jobs, args.nodes, args.policy):
            tenths = measure(jobs, nodes, policy, Path(scratch))
            costs = " ".join(f"{cost:4.0f}" for cost in tenths)
            mean = sum(tenths) / len(tenths)
            print(f"{policy:<16} {jobs:6} jobs {nodes:5} nodes  {costs}   mean {mean:.0f}", flush=True)


if __name__ == "__main__":
    main()
