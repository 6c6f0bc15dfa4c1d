"""Runs with staging, phases and checkpoints: their steps are no jobs, and jobs last as long as these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batfs.decision.experiment import Experiment
from batfs.decision.run import run
from batfs.report.page import write_report
from batfs.report.parts import moves_by_kind
from batfs.report.run import Run, read_run
from batfs.report.statistics import job_table, summarize
from batfs.scheduling.config import Layer, Settings
from batfs.simulator import JobResult

PLATFORM = Path(__file__).parents[2] / "platforms" / "bb_cluster.xml"
GB = 10**9


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Run, dict[str, JobResult], dict[str, Any]]:
    """Five jobs, far apart, on the buffers ``bb`` before ``lustre``: without I/O, staged, in phases, cut by 2
    checkpoints, composed of the second and the first, twice over. Then what the simulator said of every job
    and step, and the run's own summary."""
    folder = tmp_path_factory.mktemp("steps")

    def io(**options: Any) -> list[dict[str, Any]]:
        return [{"filesystem": "bb", "reads": 20 * GB, "writes": 10 * GB, "options": options}]

    wanted = [None, io(), io(timing="phases"), io(checkpoints=2, checkpoint_bytes=GB)]
    composed: dict[str, Any] = {"type": "composed", "seq": ["p1", "p0"], "repeat": 2}
    jobs = [
        {"id": f"{k}", "subtime": 10000 * k, "walltime": 9000, "res": 2, "profile": f"p{k}"}
        for k in range(len(wanted) + 1)
    ]
    profiles: dict[str, Any] = {
        f"p{k}": {"type": "parallel_homogeneous", "cpu": 10**11, "com": 0} | ({"io": one} if one else {})
        for k, one in enumerate(wanted)
    } | {"p4": composed}
    workload = folder / "w.json"
    workload.write_text(json.dumps({"nb_res": 2, "jobs": jobs, "profiles": profiles}))
    table = {"bb": {"model": "burst_buffer", "backing": "lustre"}}
    seen: dict[str, JobResult] = {}
    result = run(
        Experiment(PLATFORM, [workload], dynamic_jobs=True),
        Settings(flags=Layer("", {"filesystems": table})),
        folder / "x",
        on_job=lambda job: seen.update({job.job_id: job}),
    )
    return read_run(f"{folder}/x_"), seen, result.summary


@pytest.fixture
def staged(everything: tuple[Run, dict[str, JobResult], Any]) -> tuple[Run, dict[str, JobResult]]:
    return everything[:2]


def test_only_what_users_submitted_is_a_job(staged: tuple[Run, dict[str, JobResult]]) -> None:
    run_, seen = staged
    assert run_.jobs["job_id"].tolist() == ["0", "1", "2", "3", "4"]
    assert len(run_.steps) == len(seen) - 5 > 0
    figures = summarize(run_)
    assert figures["jobs"] == 5
    assert figures["refused_jobs"] == 0  # those cut into parts were rejected as they were
    assert figures["max_waiting_time"] == pytest.approx(0.0, abs=1.0)
    assert set(run_.steps["job"]) == {"w0!1", "w0!2", "w0!3", "w0!4"}


def test_a_job_lasts_from_its_first_step_to_the_last_that_held_its_nodes(
    staged: tuple[Run, dict[str, JobResult]],
) -> None:
    run_, seen = staged
    table = job_table(run_).set_index("job")
    for k in range(5):
        mine = [
            job
            for name, job in seen.items()
            if (name == f"w0!{k}" and not job.rejected) or name.startswith(f"batfs!w0.{k}.")
        ]
        held = [job for job in mine if not job.job_id.endswith(("stage_out", "drain"))]
        row = table.loc[f"w0!{k}"]
        assert row["starting_time"] == pytest.approx(min(job.start for job in held), abs=1e-5)
        assert row["finish_time"] == pytest.approx(max(job.end for job in held), abs=1e-5)
        assert row["execution_time"] == pytest.approx(row["finish_time"] - row["starting_time"], abs=1e-5)
        assert row["turnaround_time"] == pytest.approx(row["finish_time"] - 10000 * k, abs=1e-5)
        assert row["final_state"] == "COMPLETED_SUCCESSFULLY"
        assert row["allocated_resources"] == "0-1"
    assert table.loc["w0!1", "execution_time"] > table.loc["w0!0", "execution_time"]


def test_steps_by_kind_in_the_report(staged: tuple[Run, dict[str, JobResult]], tmp_path: Path) -> None:
    run_, seen = staged
    counts = {kind: count for kind, count, _, _ in moves_by_kind(run_.steps)}
    kinds = [name.rpartition(".")[2] for name in seen if name.startswith("batfs!")]
    assert counts == {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert {"stage_in", "stage_out", "read", "write", "compute", "checkpoint", "drain"} <= set(counts)
    page = write_report([run_], tmp_path / "r.html").read_text()
    assert "Steps beside the jobs" in page
    assert "stage in" in page


def test_the_summary_of_the_run_says_the_same(
    everything: tuple[Run, dict[str, JobResult], dict[str, Any]],
) -> None:
    run_, _, summary = everything
    assert summary["jobs"] == 5
    assert summary["states"] == {"COMPLETED_SUCCESSFULLY": 5}
    figures = summarize(run_)
    assert summary["makespan"] == pytest.approx(figures["makespan"], abs=1e-5)
    for name in ("waiting_time", "turnaround_time", "bounded_slowdown"):
        assert summary[name]["mean"] == pytest.approx(figures[f"mean_{name}"], abs=1e-5)
        assert summary[name]["max"] == pytest.approx(figures[f"max_{name}"], abs=1e-5)
