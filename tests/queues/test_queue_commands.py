"""Every registered queue policy through ``batfs run`` and ``batfs compare``, staging and all."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.scheduling.queues import known_queue_policies

PLATFORM = Path(__file__).parents[2] / "platforms" / "bb_cluster.xml"
NODES = 64


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    """Thirty jobs that compete for nodes and for burst buffers; staged in and out."""
    draw = random.Random(8)
    profiles, jobs = {}, []
    for k in range(30):
        work = draw.randrange(100, 2000)
        nodes = draw.choice([1, 4, 16, 24, 40])
        # of 12.8 TB in eight buffers; a node's are on one
        reads = min(draw.randrange(500, 5000), 1500 * nodes) * 10**9
        volume = {"filesystem": "bb", "reads": reads, "writes": 10**9}
        io = [volume] if k % 3 else []
        profiles[str(k)] = {"type": "parallel_homogeneous", "cpu": work * 1e9, "com": 1e6, "io": io}
        walltime = work * draw.choice([2, 4]) + 2000
        jobs.append({"id": str(k), "subtime": 60 * k, "res": nodes, "profile": str(k), "walltime": walltime})
    path = tmp_path_factory.mktemp("queues") / "jobs.json"
    path.write_text(json.dumps({"nb_res": NODES, "jobs": jobs, "profiles": profiles}), encoding="utf-8")
    return path


FLAGS = ("--enable-dynamic-jobs", "--filesystem", "bb=burst_buffer:backing=lustre")


@pytest.mark.parametrize("queue", known_queue_policies())
def test_every_queue_policy_in_a_run(queue, workload, tmp_path):
    out = tmp_path / "out" / "x"
    words = ["run", "-p", str(PLATFORM), "-w", str(workload), *FLAGS, "--queue", queue, "--validate", "-q"]
    assert main([*words, "-e", str(out)]) == 0
    with open(f"{out}_io_jobs.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert any(float(row["storage_waiting_time"]) > 0 for row in rows)
    with open(f"{out}_storage_states.csv", newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            assert 0 <= int(row["used_bytes"]) <= int(row["reserved_bytes"]) <= int(row["capacity"])
    held = []
    with open(f"{out}_jobs.csv", newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["starting_time"] and row["final_state"] != "REJECTED":
                assert float(row["starting_time"]) >= float(row["submission_time"])
                if row["workload_name"] == "w0":
                    held.append((float(row["starting_time"]), float(row["finish_time"]), row))
    assert len(held) == 30
    for start, _, _ in held:
        there = sum(int(row["requested_number_of_resources"]) for s, e, row in held if s <= start < e)
        assert there <= NODES


@pytest.mark.slow
def test_they_are_compared(workload, tmp_path):
    words = ["compare", "-p", str(PLATFORM), "-w", str(workload), "--seeds", "1", "-o", str(tmp_path / "out")]
    for queue in ("easy_storage", "plan", "plan_io:patience=1"):
        words += ["--queue", queue]
    words += ["--filesystem", "bb=burst_buffer:backing=lustre"]
    assert main(words) == 0
    summary = (tmp_path / "out" / "summary.csv").read_text(encoding="utf-8")
    for queue in ("easy_storage", "plan_io:patience=1"):
        assert queue in summary
