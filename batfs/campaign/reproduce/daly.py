"""How long a job takes that writes checkpoints and loses what it did since the last one, again and again.

J. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3), 2006:
work of T seconds in T/tau parts, each followed by a checkpoint of delta seconds, on a machine that fails
after exponential times of mean M and takes R seconds to read the last checkpoint again, is expected to take

    M e^(R/M) (e^((tau + delta)/M) - 1) T/tau

and least where tau is about sqrt(2 delta M) (1 + sqrt(delta/2M)/3 + delta/18M) - delta (for delta < 2M).
Here jobs of one node each do that, with ``batfs``'s random faults and checkpoints on each node's own disk.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from batfs.campaign.single import run_once
from batfs.files import write_text
from batfs.platform.writer import Writer

#: Bytes/s of a disk: a checkpoint of so many bytes takes a second.
_BANDWIDTH = 10**9


class Setting(NamedTuple):
    """Seconds: mean time between failures, and of a checkpoint (to write, and to read again)."""

    mtbf: float = 5000.0
    checkpoint: int = 60


class Point(NamedTuple):
    """One interval (s): expected and simulated time per second of work, and how many parts were simulated."""

    interval: float
    expected: float
    simulated: float
    parts: int

    def to_json(self) -> dict[str, float]:
        return {**self._asdict(), "difference": self.simulated / self.expected - 1.0}


def expected(interval: float, setting: Setting) -> float:
    """Daly's expected time per second of work."""
    mean, write = setting
    return mean * math.exp(write / mean) * math.expm1((interval + write) / mean) / interval


def best_interval(setting: Setting) -> float:
    """Daly's higher order estimate of the interval that takes least (s)."""
    mean, write = setting
    if write >= 2 * mean:
        return mean
    part = write / (2 * mean)
    return math.sqrt(2 * write * mean) * (1 + math.sqrt(part) / 3 + part / 9) - write


def simulate(
    interval: float, setting: Setting, folder: Path, *, nodes: int = 20, parts: int = 200, seed: int = 0
) -> Point:
    """``nodes`` jobs of ``parts`` parts each; ``folder`` is for scratch."""
    platform, workload, prefix = folder / "nodes.xml", folder / "jobs.json", folder / "run"
    write_text(platform, _platform(nodes))
    write_text(workload, _workload(nodes, parts, interval, setting))
    fault = {"node": "*", "mtbf": setting.mtbf, "repair": 0}
    run_once(
        str(platform),
        str(workload),
        prefix,
        {"faults": {"random": [fault], "seed": seed}, "node_order": "name"},
        dynamic_jobs=True,
    )
    ends: dict[str, float] = {}
    with Path(f"{prefix}_jobs.csv").open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["workload_name"] == "batfs":
                job = row["job_id"].split(".")[1]
                ends[job] = max(ends.get(job, 0.0), float(row["finish_time"]))
    # the last part of a job has no checkpoint: in Daly's estimate it has
    mean, write = setting
    last = mean * math.exp(write / mean) * (math.exp((interval + write) / mean) - math.exp(interval / mean))
    took = sum(ends.values()) + last * nodes
    return Point(interval, expected(interval, setting), took / (interval * parts * nodes), parts * nodes)


def curve(setting: Setting, factors: Sequence[float], folder: Path, **more: int) -> list[Point]:
    """Intervals that are these times the best one."""
    best = best_interval(setting)
    return [simulate(best * factor, setting, folder, **more) for factor in factors]


def _platform(nodes: int) -> str:
    out = Writer("nodes with a disk each, which keeps checkpoints")
    with out.inside("zone", id="machine", routing="Full"):
        out.element("host", id="master_host", speed="1Gf")
        out.link("front", "10GBps", "0s", "FATPIPE")
        for k in range(nodes):
            out.element("host", id=f"n{k}", speed="1Gf")
            disk = {"role": "storage", "size": "1PB", "filesystem": "disk", "node": f"n{k}"}
            out.element("host", {**disk, "model": "burst_buffer"}, id=f"d{k}", speed="0f")
            out.link(f"io{k}", f"{_BANDWIDTH}Bps", "0s")
        for k in range(nodes):
            out.route(f"n{k}", f"d{k}", f"io{k}")
            for host in (f"n{k}", f"d{k}"):
                out.route(host, "master_host", "front")
    return out.text()


def _workload(nodes: int, parts: int, interval: float, setting: Setting) -> str:
    options = {"checkpoints": parts - 1, "checkpoint_bytes": setting.checkpoint * _BANDWIDTH}
    entry = {"filesystem": "disk", "options": options}
    profiles = {"work": {"type": "delay", "delay": parts * interval, "io": [entry]}}
    jobs = [{"id": str(k), "subtime": 0, "res": 1, "profile": "work"} for k in range(nodes)]
    return orjson.dumps({"nb_res": nodes, "jobs": jobs, "profiles": profiles}).decode()
