"""Whole runs on Rabbits: over sockets, under both of Batsim's protocols, behind the proxy, and cut off.

Four nodes in two chassis, a Rabbit of 4 GB in each and a target behind them; every storage reads and writes
100 MB/s. The job ``1`` (two nodes) copies 1 GB in (10 s), works for 10 s and copies 500 MB out (5 s).
"""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from fs_tiny import Ran, free_port, job, over_sockets, simulate_tiny, watched, write_inputs
from test_proxy import behind_proxy

from batfs.campaign.single import run_once
from batfs.cli.main import main as batfs
from batfs.platform import load_platform

ROOT = Path(__file__).parents[2]
KILLING = ROOT / "tests/scheduling/killing.py"
GB = 10**9
RATES = {"read": "100MBps", "write": "100MBps"}
STORAGES: dict[str, Any] = {
    "r0": {"filesystem": "rabbit", "size": "4GB", "chassis": "a", **RATES},
    "r1": {"filesystem": "rabbit", "size": "4GB", "chassis": "b", **RATES},
    "s0": {"filesystem": "lustre", "size": "100GB", **RATES},
}
CHASSIS = {k: {"chassis": "ab"[k // 2]} for k in range(4)}
CONFIG = {"filesystems": {"rabbit": {"model": "rabbit", "backing": "lustre"}}}


def space(capacity: int, stage_in: int = 0, stage_out: int = 0) -> list[dict[str, Any]]:
    options = {"capacity": capacity, "stage_in": stage_in, "stage_out": stage_out}
    return [{"filesystem": "rabbit", "reads": 0, "writes": 0, "options": options}]


def persistent(reads: int = 0, **options: Any) -> list[dict[str, Any]]:
    """A line about the persistent storage ``p``, as the scripts' reader writes it."""
    own = {"data_set": "p", "stage_in": False, "stage_out": False, **options}
    return [{"filesystem": "rabbit", "reads": reads, "writes": 0, "options": own}]


def copies(**more: Any) -> dict[str, Any]:
    return job("1", 2, 10e9, io=space(4 * GB, GB, GB // 2), **{"walltime": 100, **more})


def all_of_it(at: float, name: str = "2") -> dict[str, Any]:
    """Wants every node and every byte of both Rabbits."""
    return job(name, 4, 1e9, at, io=space(8 * GB), walltime=100)


def storages_of_p() -> list[dict[str, Any]]:
    """``3`` makes p (2 GB on the Rabbit of its chassis), ``4`` reads it from 2 to 22 s, ``5`` destroys it at
    6, when ``4`` is at it; ``6`` wants everything at 30."""
    kept = {"type": "lustre", "size": 2 * GB}
    return [
        job("3", 2, 1e9, io=persistent(**kept), walltime=100),
        job("4", 2, 10e9, 2, io=persistent(2 * GB, missing="wait", **kept), walltime=100),
        job("5", 1, 1e9, 5, io=persistent(delete=True), walltime=100),
        all_of_it(30, "6"),
    ]


def ran(folder: Path, jobs: Any, *, dynamic: bool = True, process: Any = None, **config: Any) -> Ran:
    settings = {**CONFIG, "validate": True, **config}
    process = process or watched()
    return simulate_tiny(
        folder, 4, STORAGES, jobs, settings, dynamic=dynamic, process=process, properties=CHASSIS
    )


def moves(one: Ran) -> dict[str, tuple[float, float]]:
    return {kind.split(".")[-1]: times for kind, times in one.kinds().items()}


# ---- kills ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "over", "copied_out"),
    [(5, 5, False), (15, 15, False), (22, 25, True)],
    ids=["copying in", "at work", "copying out"],
)
def test_killed(tmp_path: Path, at: float, over: float, copied_out: bool) -> None:
    """Its bytes are free at once, and what it would have copied out isn't; once it copies out it is over for
    whoever could kill it, and the copy goes on. ``2`` begins when all is free."""
    one = ran(tmp_path, [copies(), all_of_it(1)], queue=f"{KILLING}:KillingAt:at={at},victim=w0!1")
    assert one.times("2")[0] == pytest.approx(over, abs=1e-2)
    assert ("stage_out" in moves(one)) is copied_out
    [record] = [r for r in one.records if r.job.name == "1"]
    assert record.state == ("COMPLETED_SUCCESSFULLY" if copied_out else "COMPLETED_KILLED")
    assert one.reserved.values()
    assert not any(one.reserved.values())


@pytest.mark.parametrize(("walltime", "over"), [(5, 15), (12, 25)])
def test_walltimes_count_from_the_work_on(tmp_path: Path, walltime: float, over: float) -> None:
    """Copying in and out count for nothing: 12 s are enough for 25."""
    one = ran(tmp_path, [copies(walltime=walltime), all_of_it(1)])
    assert one.times("2")[0] == pytest.approx(over, abs=1e-2)
    assert ("stage_out" in moves(one)) is (walltime > 10)


@pytest.mark.parametrize(("at", "killed"), [(4, "4"), (40, "6")])
def test_persistent_storage_destroyed_while_it_is_read(tmp_path: Path, at: float, killed: str) -> None:
    """Its name is gone at once (``7`` waits in vain and is rejected), its bytes when ``4`` is over, also by a
    kill: ``6`` begins at 30."""
    late = job("7", 1, 1e9, 8, io=persistent(GB, missing="wait", type="lustre", size=2 * GB), walltime=100)
    jobs = [*storages_of_p(), late, all_of_it(3, "8")]
    one = ran(tmp_path, jobs, queue=f"{KILLING}:KillingAt:inner=filler,at={at},victim=w0!{killed}")
    assert one.times("4")[1] == pytest.approx(4 if killed == "4" else 22, abs=1e-2)
    assert one.times("6")[0] >= 30 - 1e-3
    assert "REJECTED" in one.jobs["w0!7"].state
    assert not any(one.reserved.values())


# ---- the same everywhere ----------------------------------------------------------------------------------


def everything() -> list[dict[str, Any]]:
    later = [("1", 60.0), ("9", 90.0)]
    more = [{**copies(), "job": {**copies()["job"], "id": name, "subtime": at}} for name, at in later]
    return [*storages_of_p(), *more]


def files_of(folder: Path, **more: Any) -> tuple[Path, Path, Path]:
    config = folder / "batfs.toml"
    config.write_text("validate = true\n[filesystems.rabbit]\nmodel = 'rabbit'\nbacking = 'lustre'\n")
    return (*write_inputs(folder, 4, STORAGES, everything(), properties=CHASSIS, **more), config)


def test_over_a_socket_and_under_either_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """batfs-sched and batfs sim give the bytes of a run in one process; under Batsim 5 the times are the same
    within its whole milliseconds."""
    platform, workload, config = files_of(tmp_path)
    found = []
    common = ["--config", str(config), "--queue", "easy_storage"]
    for protocol in "45":
        command = ["run", "-p", str(platform), "-w", str(workload), "--dynamic-jobs", "--json"]
        capsys.readouterr()
        assert batfs([*command, "--protocol", protocol, "-e", str(tmp_path / f"p{protocol}"), *common]) == 0
        found.append(orjson.loads(capsys.readouterr().out))
    assert found[0]["turnaround_time"] == pytest.approx(found[1]["turnaround_time"], abs=0.02)
    where = f"tcp://127.0.0.1:{free_port()}"
    decisions = ["batfs.decision.command", "-s", where, *common, "-q", "-e", str(tmp_path / "there")]
    over_sockets(tmp_path, (platform, workload), where, decisions, "--enable-dynamic-jobs")
    assert (tmp_path / "p4_jobs.csv").read_bytes() == (tmp_path / "sim_jobs.csv").read_bytes()
    here, there = (rows_of(tmp_path / f"{name}_io_jobs.csv") for name in ("p4", "there"))
    for row in here:
        row["alone_time"] = ""  # batfs-sched knows no links
    assert here == there


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("dynamic", [True, False])
def test_behind_the_proxy(tmp_path: Path, dynamic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """pybatsim's first come, first served with the file systems added to its jobs, in one process and over a
    socket."""
    monkeypatch.chdir(tmp_path)  # pybatsim writes out_events.csv where it is started
    here = simulate_tiny(
        *(tmp_path, 4, STORAGES, everything(), {**CONFIG, "validate": True}),
        dynamic=dynamic,
        process=behind_proxy("schedFcfs"),
        properties=CHASSIS,
        control="1ms",
    )
    platform, workload, config = files_of(tmp_path, control="1ms")
    where = f"tcp://127.0.0.1:{free_port()}"
    command = ["batfs.decision.proxy_command", "--queue", "pybatsim:schedFcfs", "-s", where]
    command += ["--config", str(config), "-e", str(tmp_path / "proxy")]
    options = ["--enable-dynamic-jobs"] if dynamic else []
    got = over_sockets(tmp_path, (platform, workload), where, command, *options)
    assert got.keys() == here.jobs.keys()
    for name, result in here.jobs.items():
        if not result.rejected:
            assert float(got[name]["starting_time"]) == pytest.approx(result.start, abs=1e-5)
            assert float(got[name]["finish_time"]) == pytest.approx(result.end, abs=1e-5)
    if dynamic:
        [copied] = [times for kind, times in here.kinds().items() if kind.startswith("w0.1.0.stage_in")]
        assert copied[1] - copied[0] == pytest.approx(10, abs=0.02)
    assert here.duration("4") == pytest.approx(20, abs=0.02)
    assert here.times("6")[0] == pytest.approx(30, abs=0.02)


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    """Ctrl-C while jobs copy in and out: it ends soon, nothing incomplete has the name of a whole file."""
    _, _, config = files_of(tmp_path)
    one = copies()
    jobs = [{**one, "job": {**one["job"], "id": str(k), "subtime": float(k)}} for k in range(6_000)]
    platform, workload = write_inputs(tmp_path, 4, STORAGES, jobs, properties=CHASSIS)
    out = tmp_path / "out"
    out.mkdir()
    words: Sequence[str] = ["run", "-p", str(platform), "-w", str(workload), "--config", str(config)]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a child inherits
    process = subprocess.Popen(
        [sys.executable, "-m", "batfs", *words, "--dynamic-jobs", "-e", str(out / "x"), "-q"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    partial, until = out / "x_jobs.csv.partial", time.monotonic() + 60
    while not partial.exists() or not partial.stat().st_size:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in said
    assert all(path.name.endswith(".partial") for path in out.iterdir())


def test_a_platform_read_once_serves_several_runs(tmp_path: Path) -> None:
    """The routes that one run has found change nothing for the next."""
    platform, workload, _ = files_of(tmp_path)
    read = load_platform(platform)
    for k, policy in enumerate(("round_robin", "worst_fit")):
        words = (str(platform), str(workload))
        settings = {**CONFIG, "policy": policy}
        run_once(*words, tmp_path / f"shared{k}", settings, dynamic_jobs=True, read=read)
        run_once(*words, tmp_path / f"alone{k}", settings, dynamic_jobs=True)
        for name in ("jobs", "io_jobs", "storage_states"):
            found = [(tmp_path / f"{which}{k}_{name}.csv").read_bytes() for which in ("shared", "alone")]
            assert found[0] == found[1]
