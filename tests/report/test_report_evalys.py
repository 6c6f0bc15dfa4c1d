"""Batsim-format files load in evalys, the analysis library of Batsim's authors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

jobset = pytest.importorskip("evalys.jobset", reason="evalys is not installed")
metrics = pytest.importorskip("evalys.metrics")

from batfs.report import load_run  # noqa: E402
from batfs.report.series import busy_nodes  # noqa: E402
from batfs.report.statistics import job_table  # noqa: E402

WriteRun = Callable[..., Path]


def test_jobs_load_and_agree(tmp_path: Path, write_run: WriteRun) -> None:
    """Jobs, allocations, queue and busy nodes as evalys reads them are ours."""
    prefix = write_run(tmp_path / "r", jobs=150)
    run = load_run(prefix)
    theirs = jobset.JobSet.from_csv(f"{prefix}_jobs.csv")
    ran = theirs.df[theirs.df["success"] == 1]
    assert len(theirs.df) == len(run.jobs)
    assert ran["waiting_time"].mean() == pytest.approx(job_table(run)["waiting_time"].mean())
    allocated = {
        str(job): str(nodes) for job, nodes in zip(ran["jobID"], ran["allocated_resources"], strict=True)
    }
    ours = dict(zip(run.finished["job_id"], run.finished["allocated_resources"], strict=True))
    assert allocated == ours
    # evalys works out some times anew, a microsecond off: the area under its curve, not each step, is ours
    load = metrics.compute_load(ran, "starting_time", "finish_time", "proc_alloc")
    area = (load["load"].to_numpy()[:-1] * np.diff(load.index.to_numpy(dtype=float))).sum()
    assert area == pytest.approx(busy_nodes(run).integral(np.array([run.span[1]]))[0], rel=1e-5)
