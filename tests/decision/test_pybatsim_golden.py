"""pybatsim's own schedulers, which nobody here wrote: the real Batsim's recorded jobs files, both ways."""

from __future__ import annotations

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from batfs.decision.experiment import Experiment
from batfs.decision.run import run
from batfs.scheduling.config import Layer, Settings

ROOT = Path(__file__).parents[2]
GOLDEN = next(
    (path for path in (ROOT.parent / "shared/golden", ROOT.parents[1] / "shared/golden") if path.is_dir()),
    None,
)
RECORDED = [] if GOLDEN is None else sorted((GOLDEN / "pybatsim").glob("*.jobs.csv"))
pytestmark = pytest.mark.skipif(GOLDEN is None, reason="no recordings of the real Batsim (../shared/golden)")


def arguments(case: Path) -> argparse.Namespace:
    from batfs.cli.sim import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(json.loads((case / "case.json").read_text())["args"])


def same(ours: Path, recorded: Path) -> None:
    with open(ours, newline="") as a, open(recorded, newline="") as b:
        rows, expected = list(csv.DictReader(a)), list(csv.DictReader(b))
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        assert set(row) == set(wanted)
        for key, text in wanted.items():
            try:
                number = float(text)
            except ValueError:
                assert row[key] == text, (wanted["job_id"], key)
            else:
                assert float(row[key]) == pytest.approx(number, rel=1e-6, abs=1.5e-6), (wanted["job_id"], key)


@pytest.mark.parametrize("recorded", RECORDED, ids=[path.name[: -len(".jobs.csv")] for path in RECORDED])
def test_in_process(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert GOLDEN is not None
    case_name, scheduler, *_ = recorded.name.split(".")
    case = GOLDEN / "cases" / case_name
    args = arguments(case)
    experiment = Experiment(
        platform=case / args.platform,
        workloads=[case / name for name in args.workload],
        master=args.master_host,
        roles=args.add_role_to_hosts,
        mmax=args.mmax,
        mmax_workload=args.mmax_workload,
        events=[case / name for name in args.events],
        forward_profiles=args.forward_profiles_on_submission,
    )
    monkeypatch.chdir(tmp_path)  # pybatsim's schedulers write files where they stand
    settings = Settings(flags=Layer("test", {"queue": f"pybatsim:{scheduler}"}))
    run(experiment, settings, tmp_path / "out")
    same(tmp_path / "out_jobs.csv", recorded)


@pytest.mark.slow
@pytest.mark.parametrize("recorded", RECORDED[:3], ids=[p.name[: -len(".jobs.csv")] for p in RECORDED[:3]])
def test_over_a_socket(recorded: Path, tmp_path: Path) -> None:
    """``batfs sim`` and ``pybatsim NAME``, two processes."""
    assert GOLDEN is not None
    case_name, scheduler, *_ = recorded.name.split(".")
    case = GOLDEN / "cases" / case_name
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    launcher = "from batsim.cmds.launcher import main; import sys; sys.exit(main())"
    # its default of two seconds is too short for a busy machine
    command = [sys.executable, "-c", launcher, scheduler, "-s", f"tcp://127.0.0.1:{port}", "-t", "60000"]
    with open(tmp_path / "log", "wb") as log:
        theirs = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    try:
        flags = json.loads((case / "case.json").read_text())["args"]
        flags += ["-s", f"tcp://127.0.0.1:{port}", "-e", str(tmp_path / "out")]
        subprocess.run(
            [sys.executable, "-m", "batfs", "sim", *flags], cwd=case, env=env, check=True, timeout=60
        )
        theirs.wait(20)
    finally:
        theirs.kill()
        theirs.wait()
    same(tmp_path / "out_jobs.csv", recorded)
