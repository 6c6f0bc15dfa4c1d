"""Cases (a), (b), (c) and (e): whole processes on generated inputs (seeded, the same everywhere)."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
HEAD = (
    "<?xml version='1.0'?>\n"
    '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n'
    '<platform version="4.1">\n'
)


def write_platform(path: Path, nodes: int, storages: int) -> None:
    """A cluster, its parallel file system behind one uplink, and the master beside them."""
    width = max(50, 10 * storages)
    path.write_text(
        f"""{HEAD}<zone id="site" routing="Full">
<cluster id="nodes" prefix="node_" radical="0-{nodes - 1}" suffix="" speed="1Gf" bw="1.25GBps" lat="20us"
 bb_bw="{nodes}GBps" bb_lat="5us" router_id="nodes_router"/>
<cluster id="targets" prefix="ost_" radical="0-{storages - 1}" suffix="" speed="0f" bw="2.5GBps" lat="50us"
 router_id="targets_router">
<prop id="role" value="storage"/><prop id="filesystem" value="pfs"/><prop id="size" value="400TB"/>
</cluster>
<zone id="front" routing="Full"><host id="master_host" speed="1Gf"/></zone>
<link id="front_link" bandwidth="10GBps" latency="5us"/>
<link id="uplink" bandwidth="{width}GBps" latency="5us"/>
<zoneRoute src="nodes" dst="targets" gw_src="nodes_router" gw_dst="targets_router"><link_ctn
id="uplink"/></zoneRoute> <zoneRoute src="nodes" dst="front" gw_src="nodes_router"
gw_dst="master_host"><link_ctn id="front_link"/></zoneRoute> <zoneRoute src="targets" dst="front"
gw_src="targets_router" gw_dst="master_host"><link_ctn id="front_link"/></zoneRoute> </zone>
</platform>
""".replace("\n bb_bw", " bb_bw").replace("\n router_id", " router_id")
    )


def write_workload(path: Path, jobs: int, nodes: int, widths: list[int], between: float) -> None:
    """Homogeneous jobs with I/O, in Poisson arrivals ``between`` seconds apart on average."""
    rng = random.Random(20_000)
    profiles: dict[str, Any] = {}
    entries = []
    now = 0.0
    for i in range(jobs):
        width = rng.choice(widths)
        name = f"p{i % 500}_{width}"
        if name not in profiles:
            profiles[name] = {
                "type": "parallel_homogeneous",
                "cpu": rng.randrange(10**10, 10**11),
                "com": rng.randrange(10**5, 10**7),
                "io_reads": rng.randrange(10**9),
                "io_writes": rng.randrange(10**9),
            }
        now += rng.expovariate(1.0 / between)
        entries.append({"id": str(i), "subtime": round(now, 3), "res": width, "profile": name})
    path.write_text(json.dumps({"nb_res": nodes, "jobs": entries, "profiles": profiles}))


def write_dense(path: Path, jobs: int, nodes: int, profiles: int) -> None:
    """``parallel`` jobs on all nodes, with full matrices; ``profiles`` different ones."""
    rng = random.Random(300)
    table = {
        f"dense{k}": {
            "type": "parallel",
            "cpu": [rng.randrange(10**9, 10**10) for _ in range(nodes)],
            "com": [0 if i == j else rng.randrange(10**4, 10**6) for i in range(nodes) for j in range(nodes)],
        }
        for k in range(profiles)
    }
    entries = []
    now = 0.0
    for i in range(jobs):
        now += rng.expovariate(1.0 / 8.0)
        entries.append(
            {"id": str(i), "subtime": round(now, 3), "res": nodes, "profile": f"dense{i % profiles}"}
        )
    path.write_text(json.dumps({"nb_res": nodes, "jobs": entries, "profiles": table}))


class Once(NamedTuple):
    """Wall-clock and processor time of one process (seconds, its children's included), its memory (bytes)."""

    seconds: float
    processor: float
    memory: int


def once(command: Sequence[str], folder: Path, limit: float | None = None) -> Once | None:
    """One whole process in ``folder``; None when it takes more than ``limit`` seconds of processor time (each
    of its own processes by itself) and is ended for that: what else runs on the machine decides nothing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def limited() -> None:
        if limit is not None:
            _, most = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), most))

    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=limited,
    )
    assert process.stderr is not None
    with process.stderr:
        complaint = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    if status != 0:
        if process.returncode == -signal.SIGXCPU:
            return None
        raise SystemExit(f"{' '.join(command)} failed: {complaint.decode()[-500:]}")
    return Once(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run(command: Sequence[str], folder: Path, repeat: int = 1) -> tuple[float, int]:
    """Best wall-clock time of whole processes, and the largest memory (bytes).

    Each writes into an empty folder: to replace a file costs the disk's time, up to 3 ms each.
    """
    best, memory = float("inf"), 0
    for _ in range(repeat):
        shutil.rmtree(folder / "out", ignore_errors=True)
        found = once(command, folder)
        assert found is not None
        best, memory = min(best, found.seconds), max(memory, found.memory)
    return best, memory


def batfs(*words: str) -> list[str]:
    return [sys.executable, "-m", "batfs", *words]


def batsim_seconds(folder: Path, platform: str, workload: str, limit: float | None = None) -> float | None:
    """The same with the real Batsim and pybatsim's FCFS, where both are on PATH and take no longer than
    ``limit`` seconds; on the clock."""
    batsim, pybatsim = shutil.which("batsim"), shutil.which("pybatsim")
    if batsim is None or pybatsim is None:
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    begin = time.perf_counter()
    scheduler = subprocess.Popen(
        [pybatsim, "-s", endpoint, "schedFcfs"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        subprocess.run(
            [batsim, "-p", platform, "-w", workload, "-s", endpoint, "-e", "batsim", "-q"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit,
        )
        scheduler.wait(60)
    except subprocess.TimeoutExpired:
        return None
    finally:
        scheduler.kill()
        scheduler.wait()
    return time.perf_counter() - begin


def result(
    case: str, what: str, jobs: int, seconds: float, memory: int, batsim: float | None
) -> dict[str, Any]:
    against = None if batsim is None else f"batsim {batsim:.1f} s: {batsim / seconds:.1f} times"
    found = {"case": case, "what": what, "jobs": jobs, "seconds": seconds, "per job": seconds / jobs}
    return {**found, "memory": memory, "against": against, "batsim": batsim}


def wide_jobs(folder: Path, jobs: int) -> list[dict[str, Any]]:
    """(a) many jobs of 1 to 64 nodes on 128 nodes with one PFS, FCFS."""
    write_platform(folder / "a.xml", 128, 1)
    write_workload(folder / "a.json", jobs, 128, [1, 2, 4, 8, 16, 32, 64], 12.0)
    command = batfs(
        "run", "-p", "a.xml", "-w", "a.json", "--queue", "fcfs", "--policy", "random", "-e", "out/a", "-q"
    )
    seconds, memory = run(command, folder, 2)
    return [
        result(
            "a",
            "batfs run, FCFS, one PFS, 128 nodes",
            jobs,
            seconds,
            memory,
            batsim_seconds(folder, "a.xml", "a.json"),
        )
    ]


def dense_matrices(folder: Path) -> list[dict[str, Any]]:
    """(b) dense 128 x 128 matrices: four profiles, taken in turn."""
    write_platform(folder / "b.xml", 128, 1)
    write_dense(folder / "b.json", 300, 128, 4)
    write_dense(folder / "start.json", 1, 128, 1)
    options = ["--queue", "fcfs", "--policy", "random", "-q"]
    start, _ = run(batfs("run", "-p", "b.xml", "-w", "start.json", "-e", "out/s", *options), folder, 5)
    seconds, memory = run(batfs("run", "-p", "b.xml", "-w", "b.json", "-e", "out/b", *options), folder, 5)
    found = result(
        "b",
        "batfs run, dense 128 x 128 matrices",
        300,
        seconds,
        memory,
        batsim_seconds(folder, "b.xml", "b.json"),
    )
    return [result("b", "the same with one job: the start alone", 1, start, memory, None), found]


def large_machine(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """(c) 10,000 nodes and 1,000 storages."""
    write_platform(folder / "c.xml", 10_000, 1_000)
    results = []
    for jobs in sizes:
        write_workload(folder / "c.json", jobs, 10_000, [1, 2, 4, 8, 16, 32, 64], 0.2)
        options = ["--queue", "fcfs", "--policy", "round_robin", "--disable-schedule-tracing", "-q"]
        command = batfs("run", "-p", "c.xml", "-w", "c.json", "-e", "out/c", *options)
        seconds, memory = run(command, folder)
        results.append(result("c", "batfs run, 10,000 nodes, 1,000 storages", jobs, seconds, memory, None))
    first, last = results[0], results[-1]
    last["against"] = f"{last['per job'] / first['per job']:.2f} times the cost of a job at {first['jobs']}"
    return results


def decision_process(folder: Path) -> list[dict[str, Any]]:
    """(e) ``batfs-sched`` on a socket: what it takes per job, measured in ``batfs sim`` (scheduling_time)."""
    jobs = 2_000
    write_platform(folder / "e.xml", 128, 1)
    write_workload(folder / "e.json", jobs, 128, [1, 2, 4, 8, 16, 32, 64], 12.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = "import sys; from batfs.decision.command import main; sys.exit(main())"
    scheduler = subprocess.Popen(
        [sys.executable, "-c", program, "-s", endpoint, "--policy", "random", "-e", "out/sched"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run(batfs("sim", "-p", "e.xml", "-w", "e.json", "-s", endpoint, "-e", "e_out", "-q"), folder)
    finally:
        scheduler.kill()
        scheduler.wait()
    header, values = (folder / "e_out_schedule.csv").read_text().splitlines()
    seconds = float(dict(zip(header.split(","), values.split(","), strict=True))["scheduling_time"])
    return [result("e", "batfs-sched over a socket (waiting for it)", jobs, seconds, 0, None)]
