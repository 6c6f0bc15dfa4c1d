"""What a comparison says before its first run about its tests is what it makes after the last.

One list of figures serves both ends (``batfs.report.headline``): whatever is switched on, the figures shown
are among those announced, no test is made that was not; and where each kind of figure has runs to tell it,
as many comparisons are made as announced: settings x contexts (and all of them together) x figures.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from concurrent.futures import Executor, Future
from itertools import product
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pandas")

from batfs.campaign.ahead import ahead
from batfs.campaign.check import check_plan
from batfs.campaign.engine import run_campaign
from batfs.campaign.plan import make_plan
from batfs.campaign.results import Comparison, collect
from batfs.cli.main import main

ROOT = Path(__file__).parents[2]


class Here(Executor):
    """Does at once, in this process, what it is given."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **settings: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **settings))
        return done


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first twenty jobs of the shipped workload, all of whose plain bytes go to the burst buffer."""
    whole = json.loads((ROOT / "workloads/io.json").read_text())
    path = tmp_path_factory.mktemp("w") / "jobs.json"
    path.write_text(json.dumps({**whole, "jobs": whole["jobs"][:20]}))
    return path


def values(jobs: Path, **more: Any) -> dict[str, Any]:
    plain = {"platform": [str(ROOT / "platforms/taurus_storage.xml")], "workload": [str(jobs)]}
    return {**plain, "policy": ["worst_fit"], "seeds": 3, "resample": "shake", **more}


def announced(sentence: str) -> int:
    return int(re.search(r"up to (\d+) test", sentence)[1])  # type: ignore[index]


def compared(values_: dict[str, Any], folder: Path) -> tuple[int, tuple[str, ...], Comparison]:
    """(tests announced, figures announced, the comparison)."""
    plan = make_plan(values_)
    checked = check_plan(plan)
    said = announced(ahead(plan, checked.figures)[0])
    found = collect(run_campaign(plan, folder, executor=Here(), progress=False, checked=checked))
    assert not found.failures, found.failures[0].error
    return said, checked.figures, found


# what may be set, each alone and mixed: (the settings of the plan, keys of the scheduler's configuration)
STAGING: dict[str, Any] = {
    "none": {},
    "held": {"dynamic_jobs": True},
    "ahead": {"dynamic_jobs": True, "configuration": {"staging": "ahead"}},
    "varied": {"vary": {"staging": ["held", "ahead"]}},
    "limited": {"dynamic_jobs": True, "configuration": {"filesystems": {"bb": {"staging_rate": 1e9}}}},
}
IO: dict[str, Any] = {
    "nothing": {},
    "measured": {"configuration": {"measure_io": True}},
    "chunk": {"configuration": {"chunk": "20GB"}},
    "varied": {"io_policy": ["fair", "fcfs"]},
}
OTHERS: dict[str, Any] = {
    "nothing": {},
    "faults": {
        "configuration": {
            "faults": {"fault": [{"storage": "bb-2", "at": "10m", "state": "down", "lasts": "20m"}]}
        }
    },
    "primary": {"primary": "mean_waiting_time"},
    "null": {"null": True},
    "data sets": {"configuration": {"data_sets": [{"name": "input", "filesystem": "lustre", "size": "1GB"}]}},
    "without I/O": {"configuration": {"io": False}},
}


def mixed(*parts: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parts:
        inner = {**found.get("configuration", {}), **part.get("configuration", {})}
        found |= part
        if inner:
            found["configuration"] = inner
    if not {"vary", "io_policy"} & set(found):
        found["policy"] = ["worst_fit", "random"]
    return found


EVERY = list(product(STAGING, IO, OTHERS))


@pytest.mark.parametrize("which", random.Random(29).sample(EVERY, 24), ids=lambda which: ", ".join(which))
def test_no_test_that_was_not_announced(which: tuple[str, str, str], jobs: Path, tmp_path: Path) -> None:
    staging, io, other = which
    settings = mixed(STAGING[staging], IO[io], OTHERS[other])
    said, figures, found = compared(values(jobs, **settings), tmp_path)
    tests = [row for row in found.compared if not row.difference.descriptive]
    assert sum(row.difference.testable for row in tests) <= said
    shown = {row.metric.name for row in found.compared}
    assert shown <= set(figures)
    assert found.compared[0].difference.family == sum(row.difference.testable for row in tests)
    told = {
        "staged": any(run.stages_in for run in found.results),
        "watched": any(run.io_times is not None and len(run.io_times) for run in found.results),
    }
    # what the settings switch on was on
    dynamic = staging != "none" or io == "varied"
    moved = other != "without I/O"
    assert told["watched"] == (dynamic and moved and (io != "nothing" or staging == "limited"))
    assert told["staged"] == (dynamic and moved)
    if told["staged"] and (told["watched"] or "mean_dilation" not in figures):
        assert shown == set(figures)
        assert len(tests) == said


def test_several_contexts_and_their_union(jobs: Path, tmp_path: Path) -> None:
    """Three settings, two workloads: each context by itself and both together, 2 x 3 comparisons of each
    figure; one figure that varies everywhere makes as many tests as announced."""
    other = tmp_path / "other.json"
    whole = json.loads(jobs.read_text())
    other.write_text(json.dumps({**whole, "jobs": whole["jobs"][:10]}))
    plain = values(jobs, policy=["worst_fit", "random", "best_fit"])
    plain["workload"] = [str(jobs), str(other)]
    said, figures, found = compared(plain, tmp_path / "a")
    assert said == 6 * len(figures) == len(found.compared)
    said, _, found = compared({**plain, "primary": "mean_turnaround_time"}, tmp_path / "a")
    assert said == 6 == found.compared[0].difference.family


def test_the_command_says_it(jobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--vary staging=``: 13 figures, and the node-hours idle in staging."""
    words = ["compare", "-p", values(jobs)["platform"][0], "-w", str(jobs), "--seeds", "2", "--no-report"]
    assert main([*words, "-j", "1", "--vary", "staging=held,ahead", "-o", str(tmp_path / "o")]) == 0
    said = capsys.readouterr()
    assert announced(said.err) == 14
    assert "node-hours idle in staging" in said.out
