"""A tiny platform as SimGrid XML and whole simulations on it, for checks by hand.

Every node has a network link of its own for each direction, every storage one for reads and one for writes;
there is nothing else: a transfer from storage s to node n crosses the read link of s and the down link of n.
Latencies are 0, so that a job's time is its bottleneck's alone; messages between Batsim's parts take about
1e-9 s, or what ``control`` says (pybatsim's schedulers fail on a job that starts at 0.000000).
"""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from batfs.decision.files import make_on
from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.observer import JobRecord, Observer, StorageState
from batfs.simulator import JobResult, SimulationOptions, simulate
from batfs.workload import read_workload

Storage = Mapping[str, Any]


def platform_xml(
    nodes: int,
    storages: Mapping[str, Storage],
    *,
    network: str = "1GBps",
    speed: str = "1Gf",
    properties: Mapping[int, Mapping[str, str]] | None = None,
    control: str = "0s",
) -> str:
    """Hosts n0, n1, ... and the storages by name, each {filesystem, size, read, write, properties...}."""
    out = [
        "<?xml version='1.0'?>",
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">',
        '<platform version="4.1"><zone id="all" routing="Full">',
        '<host id="master_host" speed="1Gf"/>',
    ]
    hosts: list[tuple[str, str, str]] = []  # name, link out of it, link into it
    for i in range(nodes):
        props = "".join(f'<prop id="{k}" value="{v}"/>' for k, v in (properties or {}).get(i, {}).items())
        out.append(f'<host id="n{i}" speed="{speed}">{props}</host>')
        hosts.append((f"n{i}", f"n{i}_up", f"n{i}_down"))
    for name, given in storages.items():
        props = {"role": "storage", "size": "1TB", **given}
        props.pop("read", None)
        props.pop("write", None)
        inner = "".join(f'<prop id="{k}" value="{v}"/>' for k, v in props.items())
        out.append(f'<host id="{name}" speed="0f">{inner}</host>')
        hosts.append((name, f"{name}_read", f"{name}_write"))
    for name, up, down in hosts:
        given = storages.get(name, {})
        out.append(f'<link id="{up}" bandwidth="{given.get("read", network)}" latency="0s"/>')
        out.append(f'<link id="{down}" bandwidth="{given.get("write", network)}" latency="0s"/>')
    out.append(f'<link id="control" bandwidth="1GBps" latency="{control}" sharing_policy="FATPIPE"/>')
    for a, up, _ in hosts:
        out.append(f'<route src="{a}" dst="master_host"><link_ctn id="control"/></route>')
        for b, _, down in hosts:
            if a != b:
                ends = f'<link_ctn id="{up}"/><link_ctn id="{down}"/>'
                out.append(f'<route src="{a}" dst="{b}" symmetrical="NO">{ends}</route>')
    out.append("</zone></platform>")
    return "\n".join(out)


def job(name: str, nodes: int = 1, cpu: float = 0.0, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """A job with a profile of its own: ``cpu`` flops on each node, I/O and options in ``more``."""
    walltime = more.pop("walltime", None)
    profile = more.pop("profile", {"type": "parallel_homogeneous", "cpu": cpu, "com": 0})
    return {
        "job": {"id": name, "subtime": at, "res": nodes, "profile": f"p{name}"}
        | ({} if walltime is None else {"walltime": walltime}),
        "profile": {**profile, **more},
    }


def write_inputs(
    folder: Path, nodes: int, storages: Mapping[str, Storage], jobs: Sequence[dict[str, Any]], **more: Any
) -> tuple[Path, Path]:
    """(platform file, workload file)."""
    platform, workload = folder / "platform.xml", folder / "workload.json"
    platform.write_text(platform_xml(nodes, storages, **more))
    workload.write_bytes(
        orjson.dumps(
            {
                "nb_res": nodes,
                "jobs": [j["job"] for j in jobs],
                "profiles": {
                    **{j["job"]["profile"]: j["profile"] for j in jobs},
                    **{name: child for j in jobs for name, child in j.get("children", {}).items()},
                },
            }
        )
    )
    return platform, workload


def composed(
    name: str, seq: Sequence[str], children: Mapping[str, Any], nodes: int = 1, **more: Any
) -> dict[str, Any]:
    """A job of the composed profile ``seq`` (``repeat``, ``ret`` in ``more``) and the profiles below it."""
    own = {key: more.pop(key) for key in ("repeat", "ret") if key in more}
    made = job(name, nodes, profile={"type": "composed", "seq": seq, **own}, **more)
    return {**made, "children": children}


def work(seconds: float, **more: Any) -> dict[str, Any]:
    """A profile: so many seconds on each node of 1 Gf."""
    return {"type": "parallel_homogeneous", "cpu": seconds * 1e9, "com": 0, **more}


def sleep(seconds: float, **more: Any) -> dict[str, Any]:
    """A profile: a delay."""
    return {"type": "delay", "delay": seconds, **more}


class Ran(Observer):
    """What happened: results by full job id (dynamic jobs too), what was said and sent; with ``watched``
    also the records of jobs and the most bytes reserved at once."""

    def __init__(self) -> None:
        self.records: list[JobRecord] = []
        self.reserved: dict[int, int] = {}
        self.peak = 0
        self.jobs: dict[str, JobResult] = {}
        self.said: list[str] = []
        self.sent: list[m.Decision] = []
        self.idle: Any = None
        self.faults: dict[str, float] = {}
        self.sets: list[Any] = []  # rows of data sets
        self.result: Any = None

    def job_over(self, record: JobRecord) -> None:
        self.records.append(record)

    def idled(self, idle: Any) -> None:
        self.idle = idle

    def failures(self, counts: Mapping[str, float]) -> None:
        self.faults = dict(counts)

    def data_set_over(self, row: Any) -> None:
        self.sets.append(row)

    def storages_changed(self, now: float, states: Sequence[StorageState]) -> None:
        self.reserved |= {position: held for position, held, _, _ in states}
        self.peak = max(self.peak, sum(self.reserved.values()))

    def times(self, name: str) -> tuple[float, float]:
        found = self.jobs[name if "!" in name else f"w0!{name}"]
        return found.start, found.end

    def duration(self, name: str) -> float:
        start, end = self.times(name)
        return end - start

    def kinds(self) -> dict[str, tuple[float, float]]:
        """Dynamic jobs: kind and number -> (start, end)."""
        found = {
            k.partition("!")[2]: (v.start, v.end) for k, v in self.jobs.items() if k.startswith("batfs!")
        }
        return dict(sorted(found.items()))


def watched() -> Callable[[Settings, Any, Ran], m.DecisionProcess]:
    """For ``process``: batfs's scheduler, with what it records."""
    return lambda settings, make, ran: Scheduler(settings, make, say=ran.said.append, observer=ran)


#: Messages of one run: those that end need far fewer, and one that doesn't fails instead of hanging.
MOST_MESSAGES = 20_000


class Watch:
    """A decision process that keeps what the one inside it sends."""

    def __init__(self, inner: m.DecisionProcess, ran: Ran) -> None:
        self._inner, self._ran = inner, ran
        self._messages = 0

    def decide(self, request: m.Request) -> m.Reply:
        self._messages += 1
        assert self._messages < MOST_MESSAGES, f"no end: it is {request.now} s"
        reply = self._inner.decide(request)
        self._ran.sent += reply.decisions
        return reply


def simulate_tiny(
    folder: Path,
    nodes: int,
    storages: Mapping[str, Storage],
    jobs: Sequence[dict[str, Any]],
    config: Mapping[str, Any] | None = None,
    *,
    dynamic: bool = False,
    process: Callable[[Settings, Any, Ran], m.DecisionProcess] | None = None,
    properties: Mapping[int, Mapping[str, str]] | None = None,
    control: str = "0s",
    **options: Any,
) -> Ran:
    """One whole run, in this process; ``process`` makes another decision process than batfs's scheduler."""
    files = write_inputs(folder, nodes, storages, jobs, properties=properties, control=control)
    platform = load_platform(files[0])
    machine = number_resources(platform)
    ran = Ran()
    settings = Settings(flags=Layer("test", {"validate": True, **(config or {})}))
    make: Any = lambda config, compute, known, on: make_on(config, compute, known, on, platform)  # noqa: E731
    if process is None:
        inner: m.DecisionProcess = Scheduler(settings, make, say=ran.said.append)
    else:
        inner = process(settings, make, ran)

    def keep(result: JobResult) -> None:
        ran.jobs[result.job_id if "!" in result.job_id else f"{result.workload}!{result.job_id}"] = result

    switches = SimulationOptions(on_job=keep, dynamic_jobs=dynamic, **options)
    workload = read_workload(files[1], "w0")
    ran.result = simulate(platform, machine, [workload], Watch(inner, ran), switches)
    return ran


__all__ = [
    *("Ran", "composed", "job", "platform_xml", "simulate_tiny", "sleep", "watched", "work"),
    "write_inputs",
]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def over_sockets(
    folder: Path, files: Sequence[Path], where: str, command: Sequence[str], *more: str, protocol: int = 4
) -> dict[str, dict[str, str]]:
    """The jobs of a run of ``batfs sim`` and a decision process of ours (``python -m COMMAND``, which listens
    at ``where``), each a process that must end well. What the latter says is in ``said.log``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    python, log = [sys.executable, "-m"], folder / "said.log"
    with log.open("wb") as stream:
        decisions = subprocess.Popen([*python, *command], env=environment, cwd=folder, stderr=stream)
    try:
        sim = subprocess.run(
            [
                *(*python, "batfs", "sim", "-p", str(files[0]), "-w", str(files[1]), *more),
                *(("-e", str(folder / "sim"), "-q") if protocol == 4 else ("-e", str(folder / "sim_"))),
                *("--protocol", str(protocol)),
                *("-s", where, *(("",) if protocol == 5 else ())),
            ],
            env=environment,
            cwd=folder,
            capture_output=True,
            timeout=60,
        )
        assert sim.returncode == 0, sim.stderr.decode()
        assert decisions.wait(20) == 0, log.read_text()
    finally:
        if decisions.poll() is None:
            decisions.kill()
    with (folder / "sim_jobs.csv").open() as text:
        return {f"{row['workload_name']}!{row['job_id']}": row for row in csv.DictReader(text)}
