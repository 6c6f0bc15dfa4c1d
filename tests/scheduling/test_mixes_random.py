"""Data sets, faults, kills and staging at once, on every model: no byte is lost, nobody waits for ever.

Random machines of four nodes in two chassis with a file system of each model, random jobs on them. Every
invariant is checked after every message (``validate``): what the storages hold is what jobs, moves and data
sets have, what jobs asked for is moved, cut short, dropped or left. BATFS_MIXES says how many histories.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from fs_tiny import Ran, composed, job, sleep, work, write_inputs
from histories import QUEUES, kept_by_sets
from test_faults_random import NoIo, random_faults

from batfs.decision.files import make_on
from batfs.decision.injector import Injector, WithFileSystems
from batfs.filesystems.site import FileSystems
from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.simulator import JobResult, SimulationOptions, simulate
from batfs.workload import read_workload

COUNT = int(os.environ.get("BATFS_MIXES", "40"))
PARTS = 8
GB = 10**9
NODES = 4
CHASSIS = {k: {"chassis": "ab"[k // 2]} for k in range(NODES)}
SYSTEMS = ("fs", "bb", "hdfs", "nvme", "cache", "rabbit")
POLICIES = ("round_robin", "random", "worst_fit", "best_fit", "first_fit", "least_loaded")


def storages_of(rng: random.Random) -> dict[str, dict[str, Any]]:
    """Small enough that jobs wait for space now and then."""

    def size(low: int, high: int) -> str:
        return f"{rng.randrange(low, high)}GB"

    rates = {"read": "200MBps", "write": "100MBps"}
    found: dict[str, dict[str, Any]] = {}
    for k in range(3):
        found[f"s{k}"] = {"filesystem": "fs", "size": size(60, 120)}
    for k in range(2):
        found[f"b{k}"] = {"filesystem": "bb", "size": size(12, 40)}
        found[f"v{k}"] = {"filesystem": "nvme", "size": size(12, 40)}
        found[f"c{k}"] = {"filesystem": "cache", "size": size(8, 30)}
        found[f"r{k}"] = {"filesystem": "rabbit", "size": size(12, 40), "chassis": "ab"[k]}
    for k in range(NODES):
        found[f"d{k}"] = {"filesystem": "hdfs", "size": size(20, 60), "node": f"n{k}"}
    return {name: {**rates, **one} for name, one in found.items()}


def systems_of(rng: random.Random) -> dict[str, dict[str, Any]]:
    modes = ("held", "ahead", "two_step")
    common = {
        "missing": rng.choice(["fill", "fill", "wait", "error"]),
        "timing": rng.choice(["overlap", "phases"]),
    }
    purge = rng.choice(["", "", "lru", "watermark:high=0.8,low=0.4", "age:after=30s"])
    backed = {"backing": "fs"} if rng.random() < 0.8 else {}
    staged = {"staging": rng.choice(modes), "stage_out": rng.random() < 0.7} if backed else {}
    most = rng.choice([0, 1, 4])
    found: dict[str, dict[str, Any]] = {
        "fs": {
            "model": "pfs",
            "stripe_count": rng.choice([0, 1, 2]),
            "efficiency": rng.choice(["", "1:1 4:0.5"]),
        },
        "bb": {"model": "burst_buffer", **backed, **staged, "per": rng.choice(["node", "job"])},
        "hdfs": {"model": "dfs", "replication": rng.choice([1, 2])},
        "nvme": {"model": "nvme_pool", **backed, **staged, "block_size": "1GB"},
        "cache": {"model": "cache", "backing": "fs", "write": rng.choice(["through", "around", "back"])},
        "rabbit": {"model": "rabbit", **backed, **staged, "servers": rng.choice([0, 1]), "type": "lustre"},
    }
    if rng.random() < 0.5:
        found["cache"]["staging"] = rng.choice(modes)
    for name, one in found.items():
        one |= common
        if "staging" in one:
            one["max_staging"] = most
        if purge and name != "cache":
            one["purge"] = purge
        for key in [key for key, value in one.items() if value == ""]:
            del one[key]
    return found


def entry_of(rng: random.Random, cut: bool) -> dict[str, Any]:
    """``cut``: with checkpoints, where the model has them."""
    where = rng.choice(SYSTEMS)
    entry: dict[str, Any] = {"filesystem": where}
    entry |= {key: rng.choice([0, rng.randrange(1, 9)]) * GB for key in ("reads", "writes")}
    options: dict[str, Any] = {}
    if rng.random() < 0.6:
        options["data_set"] = rng.choice("xyz")
        options["write"] = rng.choice(["append", "overwrite", "replace"])
        options |= rng.choice(
            [{}, {}, {"size": rng.randrange(1, 9) * GB}, {"delete": True}, {"pin": True}, {"missing": "fill"}]
        )
        options |= rng.choice(
            [{}, {}, {"life": "job"}, {"life": "campaign"}, {"life": rng.randrange(50, 300)}]
        )
    elif cut and where in ("bb", "rabbit"):
        options |= {"checkpoints": rng.randint(1, 3), "checkpoint_bytes": GB}
    if where == "rabbit" and rng.random() < 0.5:
        options["type"] = rng.choice(["xfs", "gfs2", "lustre"])
    if rng.random() < 0.2:
        options["timing"] = rng.choice(["overlap", "phases"])
    return {**entry, "options": options} if options else entry


def jobs_of(rng: random.Random) -> list[dict[str, Any]]:
    jobs = []
    for k in range(rng.randint(3, 10)):
        kind = rng.choice(["plain", "plain", "plain", "delay", "composed", "none"])
        more: dict[str, Any] = {} if rng.random() < 0.3 else {"walltime": rng.choice([20, 90, 400, 900])}
        nodes, at = rng.randint(1, NODES), float(rng.randint(0, 150))
        io = [entry_of(rng, kind == "plain") for _ in range(rng.choice([1, 1, 2, 3]))]
        if kind == "composed":
            phases = {
                f"{k}a": work(rng.randint(1, 30), io=io),
                f"{k}b": sleep(rng.randint(1, 30)),
                f"{k}c": work(rng.randint(1, 20), io=[entry_of(rng, False)]),
            }
            names = rng.sample(sorted(phases), rng.randint(1, 3))
            jobs.append(composed(f"j{k}", names, phases, nodes, at=at, repeat=rng.choice([1, 1, 2]), **more))
            continue
        if kind == "delay":
            more["profile"] = sleep(rng.randint(1, 100))
        if kind != "none":
            more["io"] = io
        jobs.append(job(f"j{k}", nodes, rng.randint(0, 60) * 1e9, at, **more))
    return jobs


def initial_sets(rng: random.Random) -> list[dict[str, Any]]:
    """Some of those that the jobs use lie there from the beginning."""
    found = []
    for name in rng.sample("xyz", rng.randint(1, 3)):
        for where in rng.sample(["fs", "hdfs"], rng.randint(1, 2)):
            one = {"name": name, "filesystem": where, "size": rng.randrange(1, 9) * GB}
            one |= rng.choice([{}, {"life": 60.0}, {"life": "campaign", "campaign": "w0"}, {"pin": True}])
            found.append(one | ({"nodes": ["n1"]} if rng.random() < 0.3 else {}))
    return found


def history(folder: Path, seed: int) -> Ran:
    """One of them, with all that must hold in the end."""
    rng = random.Random(seed)
    behind_a_proxy, dynamic = rng.random() < 0.25, rng.random() < 0.8
    storages, jobs, systems = storages_of(rng), jobs_of(rng), systems_of(rng)
    if behind_a_proxy or not dynamic:  # nothing can be staged before there are nodes
        for one in systems.values():
            one.pop("staging", None)
    inner = rng.choice(QUEUES[:6] if behind_a_proxy else QUEUES)
    kills = f"{Path(__file__).with_name('killing.py')}:Killing"
    queue = f"{kills}:inner={inner},rate={rng.choice([0, 0.1, 0.3])},seed={seed}"
    files = {
        "validate": True,
        "policy": rng.choice(POLICIES),
        "filesystems": systems,
        "seed": seed,
    }
    if rng.random() < 0.7:
        files["faults"] = random_faults(rng, nodes=not behind_a_proxy)
        for one in files["faults"]["fault"]:
            if "storage" in one and rng.random() < 0.4:
                one["storage"] = rng.choice(["v0", "v*", "c0", "c*", "r0", "r1", "r*"])
    if rng.random() < 0.3:
        files["chunk"] = "1500MB"
    if rng.random() < 0.3:
        files["io_policy"] = rng.choice(["exclusive", "fcfs", "set10"])
    if rng.random() < 0.4:  # what all stagings together may take
        limit = rng.choice([{"staging_share": 0.3}, {"staging_rate": "50MBps"}])
        for name in ("bb", "nvme", "cache", "rabbit"):
            systems[name] |= limit
    if rng.random() < 0.4:
        files["data_sets"] = initial_sets(rng)
    paths = write_inputs(folder, NODES, storages, jobs, properties=CHASSIS)
    platform = load_platform(paths[0])
    machine, ran = number_resources(platform), Ran()

    def keep(result: JobResult) -> None:
        ran.jobs[result.job_id if "!" in result.job_id else f"{result.workload}!{result.job_id}"] = result

    make: Any = lambda config, compute, known, on: make_on(config, compute, known, on, platform)  # noqa: E731
    process: m.DecisionProcess
    if behind_a_proxy:
        first = Scheduler(
            Settings(flags=Layer("test", {"queue": queue})),
            lambda config, compute, storages, on: NoIo(storages),  # type: ignore[arg-type, return-value]
        )
        injector = Injector(
            Settings(flags=Layer("test", files)), make_files=make, observer=ran, say=ran.said.append
        )
        process = WithFileSystems(first, injector)
    else:
        scheduler = Scheduler(
            Settings(flags=Layer("test", {**files, "queue": queue})), make, say=ran.said.append, observer=ran
        )
        process = scheduler
    result = simulate(
        *(platform, machine, [read_workload(paths[1], "w0")], process),
        SimulationOptions(dynamic_jobs=dynamic, on_job=keep),
    )
    assert not result.deadlock, result.stuck
    tenancy = injector.tenancy if behind_a_proxy else scheduler.session.tenancy
    account, ledger = tenancy.account, tenancy.machine.ledger
    assert account.left == 0
    assert account.asked == account.moved + account.cut_short + sum(account.dropped.values())
    assert not tenancy.running
    assert not tenancy.lives.busy
    assert not tenancy.machine.transfers.any()
    assert len(ledger) == len(tenancy.machine.kept)
    # nothing is held any more but by the data sets that are there
    kept = kept_by_sets(cast(FileSystems, tenancy.files))
    assert {k: ledger.held(k) for k in range(len(storages)) if ledger.held(k)} == kept
    return ran


@pytest.mark.parametrize("part", range(PARTS))
def test_every_byte_is_somewhere_and_everybody_ends(tmp_path: Path, part: int) -> None:
    # 9113: a set that a job must find is gone when it would be staged
    for seed in (*range(part, COUNT, PARTS), *([9113] if part == 0 else [])):
        history(tmp_path, seed)


def main(first: int, count: int) -> None:
    """As many as one likes, by hand: python tests/scheduling/test_mixes_random.py FIRST COUNT."""
    import tempfile
    import traceback

    bad = 0
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                history(Path(folder), seed)
            except Exception:
                bad += 1
                print(f"seed {seed}:", traceback.format_exc().strip()[-900:], flush=True)
                if bad > 9:
                    break
    print(f"{bad} of {seed - first + 1} went wrong")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
