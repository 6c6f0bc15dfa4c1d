"""A trace through the three processes in virtual time gives the grants of `batfs alloc replay`."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from service_harness import ENVIRONMENT, ROOT

from batfs.service.client import Client
from batfs.storage.policies import make_policy
from batfs.storage.replay.engine import Outcome, replay
from batfs.storage.replay.requests import read_requests
from batfs.storage.replay.system import read_storages
from batfs.storage.replay.waiting import make_when_full

SHARED = ROOT.parent / "shared" / "data"
BATFS = [sys.executable, "-m", "batfs", "service"]


def small_system(folder: Path) -> Path:
    path = folder / "small.yml"
    hosts = []
    for host in range(2):
        disks = [
            {"vendor": "v", "model": "m", "serial": f"{host}{d}", "capacity": 1000, "read_bandwidth": 3.0,
             "write_bandwidth": 2.0, "block_device": f"/dev/nvme{d}n1"} for d in range(2)
        ]  # fmt: skip
        hosts.append({"hostname": f"h{host}", "ipv4": "10.0.0.1", "network_bw": 12.5, "disks": disks})
    path.write_text(json.dumps({"hosts": hosts}))
    return path


def small_trace(folder: Path) -> Path:
    rng, path = random.Random(3), folder / "trace.csv"
    with open(path, "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["id", "start", "duration", "size"])
        at = 0
        for i in range(150):
            # whole numbers: several things at one instant
            at += rng.choice([0, 0, 5, 10, 20])
            rows.writerow([f"r{i}", at, rng.choice([5, 10, 40, 100]), rng.randint(1, 900) * 10**9])
    return path


def through_the_service(
    folder: Path, system: Path, trace: Path, policy: str, *words: str, wait: bool
) -> list[tuple[str, float, tuple[int, ...]]]:
    orchestrator = subprocess.Popen(
        [*BATFS, "orchestrator", "--simulate", "--bind", "tcp://127.0.0.1:*", "--policy", policy,
         "--log", str(folder / "log"), *words],
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert orchestrator.stdout is not None
    endpoint = orchestrator.stdout.readline().split()[-1]
    server = subprocess.Popen(
        [*BATFS, "server", "--system", str(system), "--connect", endpoint, "--log", str(folder / "slog")],
        env=ENVIRONMENT,
    )
    try:
        with Client(endpoint, timeout=20) as client:
            while not (disks := client.status()["disks"]):
                time.sleep(0.05)
        out = folder / "grants.csv"
        done = subprocess.run(
            [*BATFS, "replay", str(trace), "--connect", endpoint, "-o", str(out), *(["--wait"] * wait)],
            env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        names = {f"{d['server']}/{d['disk']}": i for i, d in enumerate(disks)}
        with open(out, newline="") as stream:
            found = []
            for row in csv.DictReader(stream):
                shares = [0] * len(names)
                for item in row["shares"].split():
                    disk, _, size = item.rpartition(":")
                    shares[names[disk]] += int(size)
                start = float(row["start"]) if row["state"] == "granted" else -1.0
                found.append((row["request"], start, tuple(shares)))
            return found
    finally:
        for process in (server, orchestrator):
            process.terminate()
            process.wait(10)
        orchestrator.stdout.close()


def in_process(
    system: Path, trace: Path, policy: str, *, wait: bool, block: int | None = None
) -> list[tuple[str, float, tuple[int, ...]]]:
    table = read_storages(system)
    outcomes: dict[str, Outcome] = {}
    requests = read_requests(trace).requests
    replay(
        table, requests, make_policy(policy), block_size=block,
        when_full=make_when_full("fifo" if wait else "refuse"),
        outcome=lambda o: outcomes.__setitem__(o.request.key, o),
    )  # fmt: skip
    found = []
    for request in requests:
        outcome, shares = outcomes[request.key], [0] * len(table)
        granted = outcome.state == "granted"
        for share in outcome.shares if granted else ():
            shares[share.index] += share.size
        found.append((request.key, outcome.start if granted else -1.0, tuple(shares)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "wait", "block"),
    [
        ("worst_fit", False, None),
        ("random", False, None),
        ("round_robin", True, None),
        ("best_fit", True, None),
        ("worst_case", False, 200 * 10**9),
    ],
)
def test_the_same_grants(tmp_path: Path, policy: str, wait: bool, block: int | None) -> None:
    system, trace = small_system(tmp_path), small_trace(tmp_path)
    words = ["--block-size", f"{block}B"] if block else []
    service = through_the_service(tmp_path, system, trace, policy, *words, wait=wait)
    assert service == in_process(system, trace, policy, wait=wait, block=block)
    assert any(start >= 0 for _, start, _ in service)
    assert wait or any(start < 0 for _, start, _ in service), "some are refused, or the test shows little"


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the real traces are not here")
def test_the_october_trace(tmp_path: Path) -> None:
    system, trace = (
        SHARED / "storalloc" / "infra8TB-multi_node_multi_disk.yml",
        SHARED / "theta" / "IOJobsOct.yml",
    )
    service = through_the_service(tmp_path, system, trace, "round_robin", wait=False)
    assert service == in_process(system, trace, "round_robin", wait=False)
