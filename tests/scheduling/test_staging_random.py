"""Random machines and workloads that stage before there are nodes: no job is stuck, no byte is lost.

BATFS_STAGING says how many machines (120 in the suite; 10,000 and more by hand). Every invariant is checked
after every message, so bytes are conserved and no storage is ever over its capacity; every job has to end.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any, cast

import pytest
from fs_tiny import Ran, job, simulate_tiny
from histories import QUEUES, kept_by_sets

from batfs.filesystems.site import FileSystems
from batfs.scheduling.config import Settings
from batfs.scheduling.core import Scheduler

COUNT = int(os.environ.get("BATFS_STAGING", "120"))
PARTS = 8
POLICIES = ("round_robin", "random", "worst_fit", "best_fit", "first_fit")
IO_POLICIES = ("fcfs", "exclusive", "set10", "shortest_first:chunk=50B", "tbf:rate=30Bps,burst=60B")
TIERS = ("burst_buffer", "nvme_pool", "cache")


def machine(rng: random.Random) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """(nodes, storages, configuration)."""
    nodes, size = rng.randrange(1, 7), rng.choice([200, 500, 1000])
    storages: dict[str, Any] = {}
    for k in range(rng.randrange(1, 4)):
        storages[f"bb{k}"] = {"filesystem": "bb", "size": f"{size}B", "read": "100Bps", "write": "50Bps"}
    wide = size * rng.choice([1, 2, 20])
    for k in range(rng.randrange(1, 3)):
        storages[f"ost{k}"] = {"filesystem": "lustre", "size": f"{wide}B", "read": "20Bps", "write": "40Bps"}
    mode, most = rng.choice(["ahead", "two_step"]), rng.randrange(4)
    model, more = rng.choice(TIERS), ""
    if model == "burst_buffer":
        more = rng.choice(["", ",stage_out=false", ",per=job,stripes=2"])
    elif model == "nvme_pool":
        more = rng.choice(["", ",stage_out=false", ",per=node", f",block_size={size // 5}B"])
    elif model == "cache":
        more = rng.choice(["", ",write=around", ",write=back", ",missing=wait"])
    more += rng.choice(["", "", "", ",staging_share=0.5", ",staging_rate=10Bps"])
    config: dict[str, Any] = {
        "filesystems": {"bb": {"model": f"{model}:backing=lustre,staging={mode},max_staging={most}{more}"}},
        "default_filesystem": "lustre",
        "policy": rng.choice(POLICIES),
        "queue": rng.choice(QUEUES),
        "staged_patience": rng.choice([0.0, 20.0, 1e6]),
        "passes": rng.choice(["message", "event"]),
        "seed": rng.randrange(1000),
    }
    return nodes, storages, config


def workload(rng: random.Random, nodes: int, size: int, named: float) -> list[dict[str, Any]]:
    """``named``: how many of ten read and write data sets of which there are three."""
    jobs = []
    for k in range(rng.randrange(2, 13)):
        io: list[dict[str, Any]] = []
        kind = rng.random()
        if kind < 0.6:
            options: dict[str, Any] = {"staging": "held"} if rng.random() < 0.15 else {}
            reads, writes = rng.randrange(size), rng.choice([0, rng.randrange(size // 2)])
            if rng.random() < named:  # some are never there
                options["data_set"] = rng.choice("xyz")
            io.append({"filesystem": "bb", "reads": reads, "writes": writes, "options": options})
        if kind > 0.45:
            io.append({"filesystem": "lustre", "reads": 0, "writes": rng.randrange(1, size)})
        seconds = rng.randrange(1, 30)
        late = rng.random() < 0.1  # ended by its walltime
        more: dict[str, Any] = {"walltime": seconds / 2 if late else 60.0 + seconds}
        if rng.random() < 0.1:
            more = {}
        at = float(rng.randrange(40))
        jobs.append(job(str(k), rng.randrange(1, nodes + 1), seconds * 1e9, at, io=io, **more))
    return jobs


def simulated(folder: Path, seed: int) -> tuple[Ran, list[dict[str, Any]], FileSystems]:
    """What happened, the jobs, and the file systems as they are in the end."""
    rng = random.Random(seed)
    nodes, storages, config = machine(rng)
    size = int(storages["bb0"]["size"].removesuffix("B"))
    model = config["filesystems"]["bb"]["model"]
    jobs = workload(rng, nodes, size, 0.9 if model.startswith("cache") else 0.1)
    if rng.random() < 0.3:
        config["io_policy"] = rng.choice(IO_POLICIES)
    made: list[Scheduler] = []

    def process(settings: Settings, make: Any, ran: Ran) -> Scheduler:
        made.append(Scheduler(settings, make, say=ran.said.append, observer=ran))
        return made[0]

    ran = simulate_tiny(folder, nodes, storages, jobs, config, dynamic=True, process=process)
    return ran, jobs, cast(FileSystems, made[0].session.tenancy.files)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_deadlock_and_nobody_starves(tmp_path: Path, part: int) -> None:
    staged = 0
    # in 755 and 6026 staging was begun and given up for ever: what gave way to the first of the queue was
    # staged again at once while a plan didn't start it
    for seed in (*range(part, COUNT, PARTS), *([755, 6026] if part == 0 else [])):
        ran, jobs, files = simulated(tmp_path, seed)
        assert not ran.result.deadlock, seed
        for one in jobs:
            assert f"w0!{one['job']['id']}" in ran.jobs, seed
        for record in ran.records:
            if record.nodes and record.state == "COMPLETED_SUCCESSFULLY":
                waited = sum(record.waits.values())
                began = [t.start for i, t in ran.jobs.items() if _of(i, record.job.id) and t.alloc]
                if record.io_times is not None:  # an I/O policy may hold its first transfer
                    began = [record.io_times.began]
                assert waited <= min(began) - record.job.submission_time + 1e-3, seed
                assert abs(waited - (min(began) - record.job.submission_time)) < 1e-3, (seed, record.job.id)
        staged += sum(kind.endswith("stage_ahead") for kind in ran.kinds())
        # nothing is held any more but by the data sets that are there
        assert {k: size for k, size in ran.reserved.items() if size} == kept_by_sets(files), seed
    assert staged or COUNT < PARTS


def _of(activity: str, job_id: str) -> bool:
    """Whether it is the job itself or a step that held its nodes."""
    name = job_id.replace("!", ".")
    apart = (".stage_ahead", ".stage_out", ".drain")
    return activity == job_id or (activity.startswith(f"batfs!{name}.") and not activity.endswith(apart))
