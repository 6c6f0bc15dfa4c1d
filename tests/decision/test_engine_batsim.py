"""``batfs run --engine batsim`` with programs that play Batsim: one that works, and ones that fail."""

from __future__ import annotations

import csv
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batfs.decision.engine import BatsimError, generation_of, run_with_batsim
from batfs.decision.experiment import Experiment
from batfs.decision.run import run
from batfs.errors import BatfsError, InputError
from batfs.records import replace
from batfs.scheduling.config import Layer, Settings

ROOT = Path(__file__).parents[2]

PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="site" routing="Full">
    <cluster id="c" prefix="n" suffix="" radical="0-3" speed="1Gf" bw="1GBps" lat="10us"/>
    <cluster id="s" prefix="st" suffix="" radical="0-1" speed="0f" bw="2GBps" lat="10us">
      <prop id="role" value="storage"/><prop id="size" value="10GB"/><prop id="filesystem" value="pfs"/>
    </cluster>
    <cluster id="m" prefix="master_host" suffix="" radical="0-0" speed="1Gf" bw="1GBps" lat="10us"/>
    <link id="core" bandwidth="4GBps" latency="10us"/>
    <zoneRoute src="c" dst="s" gw_src="nc_router" gw_dst="sts_router"><link_ctn id="core"/></zoneRoute>
    <zoneRoute src="c" dst="m" gw_src="nc_router" gw_dst="master_hostm_router">
      <link_ctn id="core"/></zoneRoute>
    <zoneRoute src="s" dst="m" gw_src="sts_router" gw_dst="master_hostm_router">
      <link_ctn id="core"/></zoneRoute>
  </zone>
</platform>
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    (tmp_path / "p.xml").write_text(PLATFORM)
    io = '{"type": "parallel_homogeneous", "cpu": 1e9, "com": 1e6, "io_reads": 4e9, "io_writes": 3000000000}'
    jobs = ", ".join(
        f'{{"id": "{k}", "subtime": {k}, "res": {1 + k % 4}, "profile": "io", "walltime": 100}}'
        for k in range(12)
    )
    (tmp_path / "w.json").write_text(f'{{"nb_res": 4, "jobs": [{jobs}], "profiles": {{"io": {io}}}}}')
    return Experiment(tmp_path / "p.xml", [tmp_path / "w.json"], master="master_host0")


def program(path: Path, text: str) -> str:
    path.write_text(
        f"#!{sys.executable}\nimport os, sys, time, signal\nsys.path.insert(0, {str(ROOT)!r})\n{text}"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


WORKING = "from batfs.cli.main import main\nsys.exit(main(['sim', *sys.argv[1:]]))\n"

# speaks the protocol up to a point
PARTLY = """
import json, zmq
where = sys.argv[sys.argv.index("-s") + 1]
context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.connect(where)
config = {k: False for k in ("redis-enabled", "profiles-forwarded-on-submission", "dynamic-jobs-enabled",
    "dynamic-jobs-acknowledged", "profile-reuse-enabled", "forward-unknown-events")}
config |= {"redis-hostname": "", "redis-port": 1, "redis-prefix": "", "sched-config": ""}
size = {"role": "storage", "size": "10GB", "filesystem": "pfs"}
data = {"nb_resources": 3, "nb_compute_resources": 1, "nb_storage_resources": 2,
    "allow_compute_sharing": False, "allow_storage_sharing": True, "config": config,
    "compute_resources": [{"id": 0, "name": "n0", "state": "idle", "properties": {},
        "zone_properties": {}}],
    "storage_resources": [{"id": k, "name": f"st{k - 1}", "state": "idle", "properties": size,
        "zone_properties": {}} for k in (1, 2)],
    "workloads": {}, "profiles": {}}
event = {"timestamp": 0, "type": "SIMULATION_BEGINS", "data": data}
socket.send_string(json.dumps({"now": 0, "events": [event]}))
socket.recv()
print("[network] about to fail", flush=True)
"""


def settings(**values: object) -> Settings:
    return Settings(flags=Layer("test", values))


@pytest.mark.slow
def test_a_working_one_gives_the_same_run(experiment: Experiment, tmp_path: Path) -> None:
    batsim = program(tmp_path / "batsim", WORKING)
    chosen = settings(policy="random", queue="easy", seed=3)
    theirs = run_with_batsim(experiment, chosen, tmp_path / "theirs", batsim=batsim)
    ours = run(experiment, chosen, tmp_path / "ours")
    for suffix in ("_jobs.csv", "_machine_states.csv", "_io_jobs.csv", "_storage_states.csv"):
        assert (tmp_path / f"theirs{suffix}").read_bytes() == (tmp_path / f"ours{suffix}").read_bytes(), (
            suffix
        )
    assert theirs.summary["states"] == ours.summary["states"] == {"COMPLETED_SUCCESSFULLY": 12}
    assert theirs.summary["file_systems"] == ours.summary["file_systems"]
    assert theirs.summary["makespan"] == pytest.approx(ours.summary["makespan"], abs=2e-6)
    assert not list(tmp_path.glob("*.partial*"))


def test_one_that_fails_at_once(experiment: Experiment, tmp_path: Path) -> None:
    batsim = program(tmp_path / "batsim", "print('no such option: --nonsense')\nsys.exit(3)\n")
    (tmp_path / "out_jobs.csv").write_text("from before")
    before = time.monotonic()
    with pytest.raises(BatsimError, match=r"Batsim failed \(exit status 3\): no such option: --nonsense"):
        run_with_batsim(experiment, settings(), tmp_path / "out", batsim=batsim)
    assert time.monotonic() - before < 10
    assert (tmp_path / "out_jobs.csv").read_text() == "from before"
    assert not (tmp_path / "out_io_jobs.csv").exists()


def test_one_that_aborts_in_mid_simulation(experiment: Experiment, tmp_path: Path) -> None:
    batsim = program(tmp_path / "batsim", PARTLY + "os.abort()\n")
    with pytest.raises(BatsimError, match=r"Batsim failed \(SIGABRT\): \[network\] about to fail"):
        run_with_batsim(experiment, settings(), tmp_path / "out", batsim=batsim)


def test_one_that_leaves_quietly(experiment: Experiment, tmp_path: Path) -> None:
    batsim = program(tmp_path / "batsim", PARTLY + "os._exit(0)\n")
    with pytest.raises(Exception, match=r"went away in mid-simulation|ended before the simulation was over"):
        run_with_batsim(experiment, settings(), tmp_path / "out", batsim=batsim)


def test_ours_fails_and_theirs_is_ended(experiment: Experiment, tmp_path: Path) -> None:
    """A scheduler that raises: Batsim, which would wait for its answer for ever, is gone afterwards."""
    (tmp_path / "broken.py").write_text(
        "class Broken:\n    name = 'broken'\n    def schedule(self, view):\n        raise ZeroDivisionError\n"
    )
    pid_file = tmp_path / "pid"
    text = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{WORKING}"
    batsim = program(tmp_path / "batsim", text)
    with pytest.raises(BatfsError, match=r"broken\.py: line 4.*ZeroDivisionError"):
        run_with_batsim(
            experiment, settings(queue=f"{tmp_path}/broken.py:Broken"), tmp_path / "out", batsim=batsim
        )
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_there_is_none(experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no batsim on PATH"):
        run_with_batsim(experiment, settings(), tmp_path / "out")


@pytest.mark.slow
def test_terminated_in_the_middle_both_are_gone(experiment: Experiment, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    text = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n{PARTLY}\ntime.sleep(60)\n"
    batsim = program(tmp_path / "batsim", text)
    command = [sys.executable, "-m", "batfs", "run", "-p", str(experiment.platform), "-w"]
    command += [str(experiment.workloads[0]), "-m", "master_host0", "-e", str(tmp_path / "out")]
    command += ["--engine", "batsim", "--batsim-bin", batsim]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    until = time.monotonic() + 30
    while not pid_file.exists() or not pid_file.read_text():
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 143
    assert said.splitlines()[-1] == "batfs run: terminated"
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


WORKING5 = "from batfs.cli.main import main\nsys.exit(main(['sim', '--protocol', '5', *sys.argv[1:]]))\n"


@pytest.mark.slow
def test_batsim_5_gives_the_same_run(experiment: Experiment, tmp_path: Path) -> None:
    """It is known by its version. The workload is converted for it, and that file goes with the run."""
    batsim = program(tmp_path / "batsim", WORKING5)
    assert generation_of(batsim) == 5
    chosen = settings(policy="random", queue="easy", seed=3)
    (tmp_path / "out").mkdir()
    theirs = run_with_batsim(experiment, chosen, tmp_path / "out/theirs", batsim=batsim)
    ours = run(experiment, chosen, tmp_path / "ours")
    both = []
    for prefix in (tmp_path / "out/theirs", tmp_path / "ours"):
        with Path(f"{prefix}_jobs.csv").open() as stream:
            both.append({row["job_id"]: row for row in csv.DictReader(stream)})
    assert both[0].keys() == both[1].keys()
    for job_id, row in both[1].items():
        other = both[0][job_id]
        assert other["allocated_resources"] == row["allocated_resources"]
        assert float(other["starting_time"]) == pytest.approx(float(row["starting_time"]), abs=1e-3)
        assert float(other["finish_time"]) == pytest.approx(float(row["finish_time"]), abs=1e-3)
    for name, figures in theirs.summary["file_systems"].items():
        for figure in ("read_bytes", "written_bytes", "jobs"):
            assert figures[figure] == ours.summary["file_systems"][name][figure]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "theirs_batsim_jobs.csv" in names
    assert not [name for name in names if name.endswith(".partial")]


def test_what_batsim_5_cannot_do(experiment: Experiment, tmp_path: Path) -> None:
    batsim = program(tmp_path / "batsim", WORKING5)
    (tmp_path / "events.txt").write_text("")
    with pytest.raises(InputError, match="leave out --events"):
        run_with_batsim(
            replace(experiment, events=[tmp_path / "events.txt"]), settings(), tmp_path / "out", batsim=batsim
        )
    with pytest.raises(InputError, match="Batsim 4 only"):
        run_with_batsim(experiment, settings(queue="pybatsim:schedFcfs"), tmp_path / "out", batsim=batsim)


@pytest.mark.parametrize(
    "said, generation",
    [("v4.2.1", 4), ("5.0.0-rc2", 5), ("batsim: v5.1.0 (commit 1234abc)", 5), ("nothing of the kind", 4)],
)
def test_versions(tmp_path: Path, said: str, generation: int) -> None:
    assert generation_of(program(tmp_path / "batsim", f"print({said!r})\n")) == generation
