"""One workload under Batsim 4's rules and under Batsim 5's: the same decisions, the same times.

What a decision process may see of the difference is little: Batsim 4 rounds what it is sent to six decimals,
a job that is replaced starts a message or two later, and Batsim 5 calls at whole milliseconds, which is when
plans begin what doesn't begin at an event. Nothing that is decided may hang on these.
BATFS_GENERATIONS=1 runs every model under every queue policy, which takes minutes; otherwise a third of them.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from batfs.decision.experiment import Experiment
from batfs.decision.run import run
from batfs.scheduling.config import Settings, flags_layer, parse_filesystem_flags
from batfs.scheduling.queues import known_queue_policies
from batfs.scheduling.queues.agenda import in_whole_seconds

ROOT = Path(__file__).parents[2]
MODELS = {
    "as it is": [],
    "phases": ["lustre=pfs:timing=phases"],
    "staged": ["bb=burst_buffer:backing=lustre"],
    "cache": ["bb=cache:backing=lustre"],
    "dfs": ["disk=dfs:replication=2"],
    "phases and stages": ["lustre=pfs:timing=phases", "bb=burst_buffer:backing=lustre"],
}
#: What a message takes to be heard of the first node of a job (s), and some rounding.
HEARD = 1e-4
#: Of policies that ask to be called: some milliseconds, as one job begins after another (s).
CALLED = {"plan": 5e-3, "plan_io": 5e-3}


def rows(path: str, *key: str) -> dict[tuple[str, ...], dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return {tuple(row[k] for k in key): row for row in csv.DictReader(stream)}


def assert_alike(folder: Path, model: str, queue: str, seed: int, workload: str = "io.json") -> None:
    """300 of 300: nodes, storages, bytes and states are equal, times within a tenth of a millisecond and that
    by which calls come later."""
    flags = {"policy": "random", "queue": queue, "seed": seed, **parse_filesystem_flags(MODELS[model])}
    for generation in (4, 5):
        experiment = Experiment(
            platform=ROOT / "platforms/taurus_storage.xml",
            workloads=[ROOT / "workloads" / workload],
            dynamic_jobs=True,
            generation=generation,
        )
        run(experiment, Settings(flags=flags_layer(flags)), folder / str(generation))
    four, five = (rows(f"{folder}/{g}_jobs.csv", "workload_name", "job_id") for g in (4, 5))
    assert four.keys() == five.keys()
    for key, row in four.items():
        other = five[key]
        assert (row["final_state"], row["allocated_resources"]) == (
            other["final_state"],
            other["allocated_resources"],
        ), key
        # the end that is written is the one that is told: a storage's comes from farther away
        limit = CALLED.get(queue, 0.0) + (HEARD if key[0] != "batfs" else 10 * HEARD)
        for column in ("submission_time", "starting_time", "finish_time"):
            assert float(row[column] or 0) == pytest.approx(float(other[column] or 0), abs=limit), key
    four, five = (rows(f"{folder}/{g}_io_jobs.csv", "job_id", "file_system") for g in (4, 5))
    assert four.keys() == five.keys()
    for key, row in four.items():
        for column in ("storages", "read_by_storage", "written_by_storage", "staged_bytes"):
            assert row[column] == five[key][column], (key, column)


@pytest.mark.parametrize(
    "model, queue",
    [
        ("as it is", "plan_io"),
        ("phases", "plan"),
        ("staged", "plan_io"),
        ("phases and stages", "sjf_storage"),
    ],
)
def test_a_sample(tmp_path: Path, model: str, queue: str) -> None:
    assert_alike(tmp_path, model, queue, 0)


def test_phases_of_composed_profiles(tmp_path: Path) -> None:
    assert_alike(tmp_path, "phases and stages", "easy", 0, "io_composed.json")


PAIRS = [(model, queue) for model in MODELS for queue in known_queue_policies()]


@pytest.mark.slow
@pytest.mark.parametrize("model, queue", PAIRS if os.environ.get("BATFS_GENERATIONS") else PAIRS[::3])
def test_every_model_and_queue_policy(tmp_path: Path, model: str, queue: str) -> None:
    assert_alike(tmp_path, model, queue, 0)


def test_plans_count_in_whole_seconds() -> None:
    """Nearest, in order, what is yet to come after now; a microsecond more or less changes nothing."""
    times = [-np.inf, 3.2, 9.9999, 10.0001, 10.4, 11.6, np.inf]
    expected = [-np.inf, 3.0, 10.0, 11.0, 11.0, 12.0, np.inf]
    for noise in (0.0, 2e-6):
        assert in_whole_seconds([t + noise for t in times], 10.0 + noise).tolist() == expected
