"""What an exchange costs under an I/O policy: jobs of five phases each, more and more of them.

    python benchmarks/io_policies.py [--jobs 20000] [--policy set10]

Jobs arrive as quickly as a machine of 200 nodes takes them, so that some hundred applications compete for a
file system at any time, however many there are in all. The cost of an exchange (one message of the
simulator, answered) is to stay the same in the first and in the last tenth of the run; without an I/O policy
it is shown beside it.
"""

from __future__ import annotations

import argparse
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

NODES, PHASES = 200, 5


def inputs(jobs: int, folder: Path) -> tuple[Path, Path]:
    """A machine with one file system of 10 GB/s, and jobs whose rhythms lie in three decades."""
    hosts = "".join(f'<host id="n{k:03}" speed="1Gf"/>' for k in range(NODES))
    links = "".join(f'<link id="l{k:03}" bandwidth="1GBps" latency="0"/>' for k in range(NODES))
    routes = "".join(
        f'<route src="n{k:03}" dst="pfs"><link_ctn id="l{k:03}"/><link_ctn id="io"/></route>'
        f'<route src="n{k:03}" dst="master_host"><link_ctn id="front"/></route>'
        for k in range(NODES)
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
        rows.append({"id": str(k), "subtime": 10.0 * k, "res": 1, "profile": str(k)})
    workload.write_bytes(orjson.dumps({"nb_res": NODES, "jobs": rows, "profiles": profiles}))
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


def measure(jobs: int, policy: str, folder: Path) -> list[float]:
    """Microseconds of an exchange, tenth by tenth."""
    files = inputs(jobs, folder)
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
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--policy", default="set10")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for policy in dict.fromkeys(["fair", args.policy]):
            tenths = measure(args.jobs, policy, Path(scratch))
            print(f"{policy:<16} {args.jobs} jobs of {PHASES} phases: microseconds of an exchange, by tenths")
            print("  " + " ".join(f"{cost:.0f}" for cost in tenths))


if __name__ == "__main__":
    main()
