"""batfs's scheduler and a scheduler behind the proxy that takes the same decisions: the same bytes,
reservations and times. See ``differential`` for what is drawn; by hand it is run for thousands of seeds."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import differential as d
import pytest
from fs_tiny import free_port, over_sockets, write_inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whoever_decides_the_bytes_are_the_same(tmp_path: Path, seed: int) -> None:
    """In this process: the scheduler; the scheduler as a pybatsim scheduler, as ``batfs-sched`` is; and a
    pybatsim scheduler behind the proxy, in records and in bytes."""
    assert d.differing(seed, tmp_path / "x") == ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 11, 12, 20])
def test_and_over_sockets(tmp_path: Path, seed: int) -> None:
    """The same drawn workloads with ``batfs sim`` beside ``batfs-sched``, beside ``batfs-proxy`` with the
    other scheduler within it, and beside ``batfs-proxy`` and the other scheduler as a third process."""
    rng = random.Random(seed)
    tight, dynamic = rng.random() < 0.4, rng.random() < 0.7
    storages, config = d.random_storages(rng, tight), d.random_config(rng, tight)
    files = write_inputs(tmp_path, d.NODES, storages, d.random_jobs(rng, kills=not tight))
    events = d.write_events(rng, tmp_path / "events.txt")
    (tmp_path / "ours.py").write_text(d.OURS)
    (tmp_path / "fixed.py").write_text(d.THEIRS)
    (tmp_path / "config.json").write_text(json.dumps({**config, "platform": str(files[0])}))
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    common = ["-s", front, "--config", "config.json"]
    launcher = [d.sys.executable, "-m", "batsim.cmds.launcher", "fixed.py", "-s", back]
    ways = {
        "sched": ["batfs.decision.command", *common, "--queue", "ours.py:Fixed"],
        "hosted": ["batfs.decision.proxy_command", *common, "--queue", "pybatsim:fixed.py"],
        "third": ["batfs.decision.proxy_command", *common, "--to", back, "--", *launcher],
    }
    more = ["--events", str(events), *(["--enable-dynamic-jobs"] if dynamic else [])]
    found, columns = {}, ("starting_time", "finish_time")
    for name, command in ways.items():
        jobs = over_sockets(tmp_path, files, front, [command[0], "-e", name, *command[1:]], *more)
        with open(tmp_path / f"{name}_io_jobs.csv") as text:
            rows = sorted(tuple(row.values())[:11] for row in csv.DictReader(text))
        ended = {
            job: (row["final_state"], *(round(float(row[c] or 0), 3) for c in columns))
            for job, row in jobs.items()
        }
        found[name] = (ended, rows)
    assert found["hosted"] == found["sched"]
    assert found["third"] == found["sched"]
