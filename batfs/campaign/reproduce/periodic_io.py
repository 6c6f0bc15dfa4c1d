"""Periodic I/O scheduling (Aupy, Gainaru, Le Fevre, PMBS 2017): ten sets of applications, beside what was
published.

The applications, the constants of the testbed, the authors' shortest patterns and the published figures are
facts of the material that goes with the paper (github.com/vlefevre/IO-scheduling-simu). An application
computes, then writes, over and over. On the testbed 640 processes write with 0.01 GB/s each to a file system
of 3 GB/s; here 64 of them are a node with a link of 0.64 GB/s. "Congestion" is everybody at once (the I/O
policy ``fair``), "online" the application slowed down most first (``min_dilation``), each simulated whole,
jobs, messages and all; "periodic" is the pattern that PerSched computes, as in the paper.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from batfs.campaign.single import run_once
from batfs.files import write_text
from batfs.platform.writer import Writer
from batfs.scheduling.io_policies.pattern import Pattern, Periodic, persched, upper_limit

#: Bytes/s of the file system, and of a node of 64 processes.
BANDWIDTH: Final = 3e9
NODE_BANDWIDTH: Final = 0.64e9
NODES: Final = 10
#: Phases simulated of a set, about, and of its slowest application at least.
_PHASES: Final = 3000
_LEAST: Final = 3

# seconds of work, bytes of a phase, nodes
_A: Final = (1.2 * 64, 235.8e9, 1)
_B: Final = (240.0 * 64, 423.4e9, 2)
_C: Final = (70.0 * 64, 128.2e9, 8)
_D: Final = (7554.0 * 64, 34304e9, 8)


class Published(NamedTuple):
    """What was measured ("measured": None where it wasn't) and simulated of a set."""

    limit: float
    congested: float
    online_measured: float
    online: float
    periodic_measured: float
    periodic: float
    online_dilation: float
    periodic_dilation: float


class Set(NamedTuple):
    """``first``: the shortest pattern that the authors tried (seconds)."""

    number: int
    counts: tuple[int, int, int, int]
    first: float
    published: Published

    @property
    def applications(self) -> list[Periodic]:
        kinds = [
            kind for kind, count in zip((_A, _B, _C, _D), self.counts, strict=True) for _ in range(count)
        ]
        return [
            Periodic(work, volume, min(nodes * NODE_BANDWIDTH, BANDWIDTH), nodes)
            for work, volume, nodes in kinds
        ]


SETS: Final = (
    Set(1, (10, 0, 0, 0), 900, Published(0.172, 0.064561, 0.08105, 0.0825, 0.0955, 0.0973, 2.091, 1.896)),
    Set(2, (8, 1, 0, 0), 16000, Published(0.334, 0.2501, 0.26988, 0.271, 0.286, 0.29, 1.658, 1.429)),
    Set(3, (6, 2, 0, 0), 16000, Published(0.495, 0.439038, 0.44003, 0.442, 0.471, 0.48, 1.291, 1.087)),
    Set(4, (4, 3, 0, 0), 16000, Published(0.656, 0.610826, 0.63979, 0.64, 0.639, 0.647, 1.029, 1.014)),
    Set(5, (2, 0, 0, 1), 495000, Published(0.816, 0.6091, 0.7913, 0.81, 0.814, 0.815, 1.039, 1.024)),
    Set(6, (2, 4, 0, 0), 16000, Published(0.818, 0.6219, 0.7512, 0.761, 0.804, 0.814, 1.035, 1.005)),
    Set(7, (2, 0, 1, 0), 4544, Published(0.827, 0.8116, 0.8177, 0.818, 0.82, 0.824, 1.012, 1.007)),
    Set(8, (0, 1, 0, 1), 495000, Published(0.977, 0.97502, 0.97549, 0.976, 0.976, 0.976, 1.005, 1.005)),
    Set(9, (0, 5, 0, 0), 16000, Published(0.979, 0.97438, 0.97644, 0.978, 0.978, 0.979, 1.004, 1.0)),
    Set(10, (0, 1, 1, 0), 16000, Published(0.988, 0.98547, 0.98601, 0.985, 0.9865, 0.986, 1.015, 1.009)),
)


class Figures(NamedTuple):
    """System efficiency, and the largest dilation of an application."""

    efficiency: float
    dilation: float


class Outcome(NamedTuple):
    """What came out for one set. ``length``: seconds of the pattern."""

    set: Set
    limit: float
    congested: Figures
    online: Figures
    periodic: Figures
    length: float
    pattern: Pattern

    def to_json(self) -> dict[str, Any]:
        return {
            "set": self.set.number,
            "limit": self.limit,
            **{name: getattr(self, name)._asdict() for name in ("congested", "online", "periodic")},
            "period": self.length,
            "published": self.set.published._asdict(),
        }


def reproduce(one: Set, folder: Path) -> Outcome:
    """All that there is of a set; ``folder`` is for scratch."""
    applications = one.applications
    pattern = persched(applications, BANDWIDTH, shortest=one.first)
    periodic = Figures(pattern.efficiency(applications), pattern.dilation(applications))
    congested, online = (simulated(applications, policy, folder) for policy in ("fair", "min_dilation"))
    return Outcome(one, upper_limit(applications), congested, online, periodic, pattern.length, pattern)


def simulated(applications: Sequence[Periodic], policy: str, folder: Path, **settings: Any) -> Figures:
    """The figures of a run under an I/O policy, from each application's whole phases."""
    platform, workload = folder / "testbed.xml", folder / "applications.json"
    write_text(platform, _platform())
    write_text(workload, _workload(applications))
    prefix = folder / policy.partition(":")[0]
    configuration = {"io_policy": policy, "filesystem": "pfs", **settings}
    run_once(str(platform), str(workload), prefix, configuration, dynamic_jobs=True)
    ends: dict[int, list[float]] = {}
    with Path(f"{prefix}_jobs.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["job_id"].endswith(".write") and row["final_state"] == "COMPLETED_SUCCESSFULLY":
                ends.setdefault(int(row["job_id"].split(".")[1]), []).append(float(row["finish_time"]))
    efficiency, dilation = 0.0, 0.0
    for k, one in enumerate(applications):
        took = max(ends[k]) / len(ends[k])
        efficiency += one.weight * one.work / took
        dilation = max(dilation, took / one.alone)
    return Figures(efficiency / sum(one.weight for one in applications), dilation)


def _platform() -> str:
    out, nodes = Writer("the testbed: 64 processes are a node"), [f"n{k}" for k in range(NODES)]
    with out.inside("zone", id="testbed", routing="Full"):
        out.element("host", id="master_host", speed="1Gf")
        for node in nodes:
            out.element("host", id=node, speed="1Gf")
        storage = {"role": "storage", "size": "1000PB", "filesystem": "pfs"}
        out.element("host", storage, id="pfs", speed="0f")
        for node in nodes:
            out.link(f"{node}_link", f"{NODE_BANDWIDTH:.0f}Bps", "0s")
        out.link("io", f"{BANDWIDTH:.0f}Bps", "0s")
        out.link("front", "10GBps", "0s", "FATPIPE")
        for node in nodes:
            out.route(node, "pfs", f"{node}_link", "io")
        for host in (*nodes, "pfs"):
            out.route(host, "master_host", "front")
    return out.text()


def _workload(applications: Sequence[Periodic]) -> str:
    """Each application as often as goes into some thousand phases of all of them together."""
    longest = max(one.alone for one in applications)
    rounds = sum(longest / one.alone for one in applications)
    until = longest * min(40.0, max(_LEAST, _PHASES / rounds))
    profiles: dict[str, Any] = {}
    jobs = []
    for k, one in enumerate(applications):
        entry = {"filesystem": "pfs", "writes": round(one.volume), "options": {"timing": "phases"}}
        profiles[f"step{k}"] = {"type": "delay", "delay": one.work, "io": [entry]}
        repeat = max(_LEAST, int(until / one.alone) + 1)
        profiles[f"{k}"] = {"type": "composed", "seq": [f"step{k}"], "repeat": repeat}
        jobs.append(
            {"id": str(k), "subtime": 0, "res": int(one.weight), "profile": str(k), "walltime": until}
        )
    return orjson.dumps({"nb_res": NODES, "jobs": jobs, "profiles": profiles}).decode()
