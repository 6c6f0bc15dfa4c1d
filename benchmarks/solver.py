"""Case (d): the solver alone, on random systems of 10 to 10,000 activities, against SimGrid's own.

All activities start at once and end one by one, so a run solves as many systems as there are activities.
SimGrid's side is the same with ``parallel_execute`` of its Python module (Debian: python3-simgrid); its
time is that of ``engine.run()``, ours that of the engine from the first start to the last end.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from batfs.platform import load_platform
from batfs.simulator.actors import Flow, Maestro, Script
from batfs.simulator.engine import Engine
from batfs.simulator.work import Workshop, dense_demand
from benchmarks.cases import HEAD

MOST_ENDS = 1_000  # with more activities, only so many ends are waited for
PYTHON = "/usr/bin/python3"
THEIRS = """
import json, sys, time
from simgrid import Actor, Engine, Host, this_actor
engine = Engine(["d", "--cfg=host/model:ptask_L07", "--log=root.thres:critical", "--cfg=contexts/factory:%s"])
engine.load_platform(sys.argv[1])
tasks = json.load(open(sys.argv[2]))
def run(task):
    hosts = [Host.by_name(name) for name in task["hosts"]]
    this_actor.parallel_execute(hosts, task["flops"], task["bytes"])
for i, task in enumerate(tasks):
    Actor.create(str(i), Host.by_name(task["hosts"][0]), run, task)
begin = time.perf_counter()
engine.run()
print("SECONDS", time.perf_counter() - begin, Engine.clock)
"""


def write(folder: Path, activities: int) -> list[dict[str, Any]]:
    """A cluster with a shared backbone; each task on two to four random nodes."""
    rng = random.Random(activities)
    nodes = max(8, activities)
    (folder / "d.xml").write_text(
        f'{HEAD}<cluster id="c" prefix="n" radical="0-{nodes - 1}" suffix="" speed="1Gf" bw="1GBps" lat="0s" '
        'bb_bw="100GBps" bb_lat="0s"/>\n</platform>\n'
    )
    tasks = []
    for _ in range(activities):
        hosts = rng.sample(range(nodes), rng.randint(2, 4))
        n = len(hosts)
        tasks.append(
            {
                "hosts": [f"n{i}" for i in hosts],
                "flops": [rng.uniform(1e8, 1e10) for _ in hosts],
                "bytes": [0.0 if i == j else rng.uniform(1e6, 1e9) for i in range(n) for j in range(n)],
            }
        )
    (folder / "d.json").write_text(json.dumps(tasks))
    return tasks


def ours(folder: Path, tasks: list[dict[str, Any]]) -> tuple[float, float]:
    platform = load_platform(folder / "d.xml")
    engine = Engine(
        [*(h.cores * h.speed for h in platform.hosts), *(link.bandwidth for link in platform.links)],
        [*(False for _ in platform.hosts), *(link.fatpipe for link in platform.links)],
        [*(h.name for h in platform.hosts), *(link.name for link in platform.links)],
    )
    workshop = Workshop(platform, 4194304.0)
    maestro = Maestro(engine)
    ended = 0

    def run(task: dict[str, Any]) -> Script:
        nonlocal ended
        n = len(task["hosts"])
        hosts = np.array([platform.host_index[name] for name in task["hosts"]])
        demand = dense_demand(np.array(task["flops"]), np.array(task["bytes"]).reshape(n, n))
        yield Flow(maestro, workshop.work(demand, hosts))
        ended += 1

    for task in tasks:
        maestro.create(run(task), 0)
    begin = time.perf_counter()
    most = min(len(tasks), MOST_ENDS)
    while ended < most and not maestro.run(1):
        pass
    return time.perf_counter() - begin, engine.now


def theirs(folder: Path, factory: str) -> tuple[float, float] | None:
    try:
        ran = subprocess.run(
            [PYTHON, "-c", THEIRS % factory, str(folder / "d.xml"), str(folder / "d.json")],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    line = next(line for line in ran.stdout.splitlines() if line.startswith("SECONDS"))
    _, seconds, end = line.split()
    return float(seconds), float(end)


def measure(folder: Path) -> list[dict[str, Any]]:
    """(d) at 10, 100, 1,000 and 10,000 activities (SimGrid up to 1,000: a thread each)."""
    results = []
    for activities in (10, 100, 1_000, 10_000):
        tasks = write(folder, activities)
        seconds, end = ours(folder, tasks)
        found: dict[str, Any] = {
            "case": "d",
            "what": f"solver alone, {activities} activities",
            "jobs": activities,
            "seconds": seconds,
            "per job": seconds / min(activities, MOST_ENDS),
        }
        simgrid = theirs(folder, "thread") if activities <= 1_000 else None
        if simgrid is not None:
            same = abs(simgrid[1] - end) <= 1e-9 * end
            found["against"] = (
                f"SimGrid {simgrid[0]:.3f} s: {simgrid[0] / seconds:.1f} times"
                f"{'' if same else ' (ENDS DIFFER)'}"
            )
            found["simgrid"] = simgrid[0]
        results.append(found)
    return results
