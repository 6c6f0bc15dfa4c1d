"""The same requests as jobs of ``batfs run`` get the same grants as in ``batfs alloc replay``.

Each request becomes a job of one node that computes for its duration and asks the NVMe-oF pool for its bytes
(moving a single one, so that the transfer never is what lasts). There are nodes enough for all, so that only
storage decides: the queue ``fcfs`` of the scheduler is then the replay's ``--when-full fifo``. Compared are
the bytes reserved on every storage after every change.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.storage.replay import read_requests
from batfs.storage.replay.run import Settings, run_replay

DATA = Path(__file__).parents[3] / "shared" / "data"

SYSTEM = """hosts:
- hostname: n1
  network_bw: 12.5
  disks:
  - {capacity: 1000, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme0n1}
  - {capacity: 500, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme1n1}
- hostname: n2
  network_bw: 12.5
  disks:
  - {capacity: 800, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme0n1}
"""

# one free node per job that can hold bytes at once, and more
NODES = 64


State = tuple[float, dict[str, int]]  # seconds since the first request, bytes reserved by storage


def grants_of_replay(system: str, trace: str, policy: str, block: int | None) -> list[State]:
    settings = Settings(system, policy, seed=5, block_size=block, when_full="fifo")
    run = run_replay(settings, read_requests(trace), details=True)
    used = {storage.name.replace("/", "_"): 0 for storage in run.table}
    names = list(used)
    states: list[State] = []
    for time, index, now, _ in run.series:
        used[names[index]] = now
        states.append((time - run.summary.begin, dict(used)))
    return settled(states)


def grants_of_run(folder: Path, system: str, trace: str, policy: str, block: int | None) -> list[State]:
    platform, workload, prefix = folder / "pool.xml", folder / "jobs.json", folder / "out" / "run"
    assert main(["platform", "from-storalloc", system, "--nodes", str(NODES), "-o", str(platform)]) == 0
    requests = read_requests(trace).requests
    speed = 1e9
    jobs = [
        {"id": r.key, "subtime": r.arrival - requests[0].arrival, "res": 1, "profile": r.key, "walltime": 1e9}
        for r in requests
    ]
    profiles = {
        r.key: {
            "type": "parallel_homogeneous",
            "cpu": r.duration * speed,
            "com": 0,
            "io": [{"filesystem": "nvme", "writes": 1, "options": {"capacity": r.size}}],
        }
        for r in requests
    }
    workload.write_text(json.dumps({"nb_res": NODES, "jobs": jobs, "profiles": profiles}))
    words = ["run", "-p", str(platform), "-w", str(workload), "--queue", "fcfs", "--policy", policy]
    words += ["--seed", "5", "-e", str(prefix), "-q"]
    if block:
        config = folder / "config.toml"
        config.write_text(f'[filesystems.nvme]\nmodel = "nvme_pool:block_size={block}"\n')
        words += ["--config", str(config)]
    assert main(words) == 0
    used: dict[str, int] = {}
    states: list[State] = []
    with open(f"{prefix}_storage_states.csv") as stream:
        for row in csv.DictReader(stream):
            used[row["name"]] = int(row["reserved_bytes"])
            states.append((float(row["time"]), dict(used)))
    return settled(states)


def settled(states: list[State]) -> list[State]:
    """The states that last: messages between scheduler and simulator take some microseconds each, so that
    what the replay does at one instant takes the run up to a millisecond."""
    last = [
        state for k, state in enumerate(states) if k + 1 == len(states) or states[k + 1][0] - state[0] > 0.005
    ]
    out: list[State] = []
    for time, used in last:
        if (out and out[-1][1] != used) or (not out and any(used.values())):
            out.append((time, used))
    return out


def same(run: list[State], replay: list[State]) -> None:
    assert [used for _, used in run] == [used for _, used in replay]
    assert [time for time, _ in run] == pytest.approx([time for time, _ in replay], abs=0.01)


def trace_of(folder: Path, seed: int) -> tuple[str, str]:
    """A system and forty requests that crowd it; no two of them end at one instant."""
    rng = random.Random(seed)
    lines, arrival = ["id,start,duration,size"], 0
    for number in range(40):
        arrival += 1 + int(60 * rng.random())
        duration = round(40 + 400 * rng.random(), 2) + 1e-4 * number
        lines.append(f"j{number},{arrival},{duration:.4f},{1 + int(rng.random() * 6e11)}")
    (folder / "system.yml").write_text(SYSTEM)
    (folder / "trace.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "system.yml"), str(folder / "trace.csv")


@pytest.mark.parametrize("policy", ["random", "round_robin", "first_fit", "best_fit", "worst_fit"])
@pytest.mark.parametrize("seed", [1, 2])
def test_grants_are_the_same(tmp_path: Path, policy: str, seed: int) -> None:
    system, trace = trace_of(tmp_path, seed)
    expected = grants_of_replay(system, trace, policy, None)
    assert len(expected) > 40
    same(grants_of_run(tmp_path, system, trace, policy, None), expected)


@pytest.mark.parametrize("policy", ["first_fit", "best_fit", "worst_fit"])
def test_grants_are_the_same_in_blocks(tmp_path: Path, policy: str) -> None:
    system, trace = trace_of(tmp_path, 3)
    expected = grants_of_replay(system, trace, policy, 10**11)
    same(grants_of_run(tmp_path, system, trace, policy, 10**11), expected)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the real inputs in {DATA}")
@pytest.mark.parametrize("policy, block", [("worst_fit", None), ("best_fit", 200 * 10**9)])
def test_grants_of_october_are_the_same(tmp_path: Path, policy: str, block: int | None) -> None:
    system = str(DATA / "storalloc/infra8TB-multi_node_multi_disk.yml")
    trace = str(DATA / "theta/IOJobsOct.yml")
    expected = grants_of_replay(system, trace, policy, block)
    same(grants_of_run(tmp_path, system, trace, policy, block), expected)
