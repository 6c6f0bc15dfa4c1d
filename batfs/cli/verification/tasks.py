"""Random parallel tasks on random machines, here and in SimGrid itself.

Many small worlds (a zone each, with links of its own) share one run, since a process can hold only one
SimGrid. It is used through its Python module (Debian's ``python3-simgrid`` or PyPI's ``simgrid``), by
whichever Python has that.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from batfs.errors import BatfsError, InputError
from batfs.platform import load_platform
from batfs.simulator.actors import Flow, Maestro, Script
from batfs.simulator.engine import Engine
from batfs.simulator.work import Workshop, dense_demand

SCRIPT: Final = Path(__file__).with_name("simgrid_tasks.py")
HEAD: Final = "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
GAMMA: Final = 4194304.0  # SimGrid's network/TCP-gamma
LIMIT: Final = 600.0  # s for SimGrid's part of a batch
PATIENCE: Final = 5.0  # s for a world of which SimGrid makes no end (another takes some 0.1 s)

World = tuple[str, list[dict[str, Any]]]


def python_with_simgrid(wanted: str | None = None) -> tuple[str, str] | None:
    """A Python that can import SimGrid, and SimGrid's version; None where there is none.

    ``wanted``: the only one to try. Else this one, then the system's.
    """
    found = [wanted] if wanted is not None else [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    for python in dict.fromkeys(found):
        if python is None or shutil.which(python) is None:
            continue
        code = "import simgrid; print('VERSION', '.'.join(map(str, simgrid.simgrid_version)) "
        code += "if isinstance(simgrid.simgrid_version, (tuple, list)) else simgrid.simgrid_version)"
        tried = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        for line in tried.stdout.splitlines():
            if tried.returncode == 0 and line.startswith("VERSION "):
                return python, line[8:]
    return None


def world(rng: random.Random, number: int) -> World:
    """A zone of a few hosts with random links and routes, and the tasks that run on it."""
    name = f"w{number}"
    hosts = [f"{name}h{i}" for i in range(rng.randint(2, 6))]
    cluster = rng.random() < 0.4
    if cluster:
        fat = rng.choice(["SHARED", "FATPIPE"])
        backbone = (
            f'bb_bw="{rng.uniform(1e6, 5e8)}Bps" bb_lat="{rng.uniform(0, 1e-4)}s" bb_sharing_policy="{fat}"'
        )
        sharing = rng.choice(["SPLITDUPLEX", "SHARED"])
        loopback = 'loopback_bw="1e9Bps" loopback_lat="1e-6s"' if rng.random() < 0.3 else ""
        core = rng.choice([1, 1, 4])
        text = (
            f'<cluster id="{name}" prefix="{name}h" suffix="" radical="0-{len(hosts) - 1}" '
            f'speed="{rng.uniform(1e8, 2e9)}f" core="{core}" bw="{rng.uniform(1e6, 1e9)}Bps" '
            f'lat="{rng.uniform(0, 1e-3)}s" sharing_policy="{sharing}" {loopback} '
            f"{backbone if rng.random() < 0.7 else ''}/>\n"
        )
    else:
        links = [f"{name}l{i}" for i in range(rng.randint(1, 7))]
        text = f'<zone id="{name}" routing="Full">\n'
        for host in hosts:
            core = rng.choice([1, 1, 2])
            text += f'<host id="{host}" speed="{rng.choice([1e9, rng.uniform(1e8, 3e9)])}f" core="{core}"/>\n'
        for link in links:
            policy = "FATPIPE" if rng.random() < 0.25 else "SHARED"
            text += (
                f'<link id="{link}" bandwidth="{rng.choice([1e8, rng.uniform(1e6, 1e9)])}Bps" '
                f'latency="{rng.choice([0, rng.uniform(0, 0.02)])}s" sharing_policy="{policy}"/>\n'
            )
        for a in hosts:
            for b in hosts:
                if a != b:
                    used = "".join(
                        f'<link_ctn id="{link}"/>' for link in rng.choices(links, k=rng.randint(1, 3))
                    )
                    text += f'<route src="{a}" dst="{b}" symmetrical="NO">{used}</route>\n'
        text += "</zone>\n"
    tasks = []
    for _ in range(rng.randint(1, 7)):
        chosen = rng.sample(hosts, rng.randint(1, len(hosts)))
        if rng.random() < 0.15:
            chosen = [*chosen, chosen[0]]
        n = len(chosen)
        flops = [rng.choice([0.0, 1e9, rng.uniform(1e6, 5e9)]) for _ in chosen]
        volumes = [
            0.0
            if rng.random() < 0.4 or (i == j and not cluster)
            else rng.choice([1e7, rng.uniform(1.0, 5e8)])
            for i in range(n)
            for j in range(n)
        ]
        # executors on one host that exchange bytes, and self-transfers, meet on the default loopback, where
        # SimGrid may hang: left out, except in clusters
        for i in range(n):
            for j in range(n):
                if chosen[i] == chosen[j] and not cluster:
                    volumes[i * n + j] = 0.0
        start = rng.choice([0.0, 0.0, rng.uniform(0.0, 5.0)])
        tasks.append({"start": start, "hosts": chosen, "flops": flops, "bytes": volumes})
    return text, tasks


def slow_world(rng: random.Random, number: int) -> World:
    """A zone whose FATPIPE links serve tasks of very different rates: 10,000 rounds a solve and more."""
    name = f"w{number}"
    hosts = [f"{name}h{i}" for i in range(4)]
    text = f'<zone id="{name}" routing="Full">\n'
    text += "".join(f'<host id="{host}" speed="1Gf"/>\n' for host in hosts)
    for link, bandwidth, policy in (
        ("a", 1e9, "FATPIPE"),
        ("b", 10 ** rng.uniform(7, 9.5), "FATPIPE"),
        ("s", 10 ** rng.uniform(8, 10), "SHARED"),
    ):
        text += (
            f'<link id="{name}{link}" bandwidth="{bandwidth}Bps" latency="0" sharing_policy="{policy}"/>\n'
        )
    for a in hosts:
        for b in hosts:
            if a != b:
                links = dict.fromkeys(rng.choice(["a", "b", "as", "bs", "ab"]))
                used = "".join(f'<link_ctn id="{name}{link}"/>' for link in links)
                text += f'<route src="{a}" dst="{b}" symmetrical="NO">{used}</route>\n'
    tasks = []
    for k in range(rng.randint(2, 4)):
        slow = k == 0 or rng.random() < 0.5  # as long as it computes, 5 or 10 s
        volume = 10 ** (rng.uniform(3.5, 6) if slow else rng.uniform(7, 10))
        flops = [rng.choice([1e10, 5e9]) if slow else 0.0, 0.0]
        tasks.append(
            {"start": 0.0, "hosts": rng.sample(hosts, 2), "flops": flops, "bytes": [0.0, volume, 0.0, 0.0]}
        )
    return text + "</zone>\n", tasks


def written(worlds: Sequence[World], folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The platform file of all these worlds, and their tasks."""
    platform = folder / "worlds.xml"
    zones = "".join(text for text, _ in worlds)
    platform.write_text(
        f'{HEAD}<platform version="4.1">\n<zone id="all" routing="Full">\n{zones}</zone>\n</platform>\n',
        encoding="utf-8",
    )
    return platform, [task for _, found in worlds for task in found]


def ours(path: Path, tasks: list[dict[str, Any]], interpreted: bool = False) -> list[float]:
    """The end of each task (s) as this simulator has it."""
    platform = load_platform(path)
    engine = Engine(
        [*(h.cores * h.speed for h in platform.hosts), *(link.bandwidth for link in platform.links)],
        [*(False for _ in platform.hosts), *(link.fatpipe for link in platform.links)],
        [*(h.name for h in platform.hosts), *(link.name for link in platform.links)],
        interpreted=interpreted,
    )
    workshop = Workshop(platform, GAMMA)
    maestro = Maestro(engine)
    ends = [0.0] * len(tasks)

    def run(i: int) -> Script:
        task = tasks[i]
        if task["start"] > 0:
            yield maestro.sleep(task["start"])
        n = len(task["hosts"])
        hosts = np.array([platform.host_index[name] for name in task["hosts"]])
        demand = dense_demand(np.array(task["flops"]), np.array(task["bytes"]).reshape(n, n))
        work = workshop.work(demand, hosts)
        yield Flow(maestro, work)
        ends[i] = engine.now

    for i in range(len(tasks)):
        maestro.create(run(i), 0)
    while not maestro.run(1):
        pass
    return ends


def parted(worlds: Sequence[World], folder: Path) -> tuple[list[World], list[World]]:
    """The worlds whose tasks end here, and those that are refused: SimGrid would solve them for ever."""
    ending: list[World] = []
    endless: list[World] = []
    for world in worlds:
        try:
            ours(*written([world], folder))
        except InputError:
            endless.append(world)
        else:
            ending.append(world)
    return ending, endless


def goes_on(world: World, folder: Path, python: str) -> bool:
    """Whether SimGrid is still at it after PATIENCE seconds."""
    try:
        theirs(*written([world], folder), python, PATIENCE)
    except Unended:
        return True
    return False


class Unended(BatfsError):
    """SimGrid took too long."""


def theirs(path: Path, tasks: list[dict[str, Any]], python: str, limit: float = LIMIT) -> list[float]:
    """The end of each task (s) as SimGrid has it. Unended where it takes more than ``limit`` seconds."""
    given = path.with_name("tasks.json")
    given.write_text(json.dumps(tasks), encoding="utf-8")
    try:
        ran = subprocess.run(
            [python, str(SCRIPT), str(path), str(given)],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unended(f"SimGrid didn't end {len(tasks)} tasks within {limit:g} s") from None
    for line in ran.stdout.splitlines():
        if line.startswith("ENDS "):
            return [float.fromhex(end) for end in json.loads(line[5:])]
    last = (ran.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
    raise BatfsError(f"SimGrid failed (exit status {ran.returncode}): {last}")
