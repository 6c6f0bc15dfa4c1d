"""``batfs-sched`` and ``batfs-proxy`` with ``batfs sim --protocol 5``, over sockets, against Batsim 4's
way."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from batfs.decision.experiment import Experiment, load
from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.run import run
from batfs.protocol import messages as m
from batfs.scheduling.config import Settings, flags_layer, parse_filesystem_flags
from batfs.simulator import SimulationOptions, simulate

ROOT = Path(__file__).parents[2]
TAURUS = ROOT / "platforms/taurus_storage.xml"
FCFS = ROOT / "tests/support/fcfs_batsim5.py"
JOBS = 60


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first jobs of workloads/io.json in both generations' forms."""
    raw = json.loads((ROOT / "workloads/io.json").read_text())
    jobs = raw["jobs"][:JOBS]
    used = {job["profile"] for job in jobs}
    four = {**raw, "jobs": jobs, "profiles": {k: v for k, v in raw["profiles"].items() if k in used}}
    profiles = {}
    for name, profile in four["profiles"].items():
        extra = {k: v for k, v in profile.items() if k.startswith("io")}
        assert profile["type"] in ("parallel_homogeneous", "parallel_homogeneous_total")
        total = profile["type"].endswith("total")
        profiles[name] = {
            "type": "ParallelTaskHomogeneousProfile",
            "generation_strategy": "DefinedAmountsSpreadUniformly"
            if total
            else "DefinedAmountsUsedForEachValue",
            "cpu": profile["cpu"],
            "com": profile["com"] * (next(j["res"] for j in jobs if j["profile"] == name) - 1)
            if total
            else profile["com"],
            "extra_data": json.dumps(extra),
        }
    folder = tmp_path_factory.mktemp("workloads")
    paths = folder / "four.json", folder / "five.json"
    for path, what in zip(paths, (four, {**four, "profiles": profiles}), strict=True):
        path.write_text(json.dumps(what))
    return paths


def endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def simulated(folder: Path, workload: Path, decider: list[str], address: str, init: str = "") -> str:
    """Run the pair; what the decision side says at last."""
    command = [
        sys.executable,
        "-m",
        "batfs",
        "sim",
        "--protocol",
        "5",
        "-p",
        str(TAURUS),
        "-w",
        str(workload),
    ]
    with subprocess.Popen(decider, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            done = subprocess.run(
                [*command, "-e", "out/batsim", "-s", address, init],
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert done.returncode == 0, done.stderr
    assert process.returncode == 0, said
    return said


def rows(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    with path.open() as stream:
        found = list(csv.DictReader(stream))
    keys = [k for k in ("workload_name", "job_id", "file_system") if k in found[0]]
    return {tuple(row[k] for k in keys): row for row in found}


def assert_same(one: Path, two: Path, within: float) -> None:
    """``within``: seconds; of batfs's own jobs a millisecond: the end that is written is the one that is
    told, and from a storage that takes 0.33 ms on taurus."""
    a, b = (rows(Path(f"{prefix}_jobs.csv")) for prefix in (one, two))
    assert a.keys() == b.keys()
    for key, row in a.items():
        assert row["final_state"] == b[key]["final_state"], key
        if row["final_state"] != "REJECTED":
            assert row["allocated_resources"] == b[key]["allocated_resources"], key
            for column in ("submission_time", "starting_time", "finish_time"):
                limit = max(within, 1e-3) if key[0] == "batfs" else within
                assert float(row[column]) == pytest.approx(float(b[key][column]), abs=limit), (key, column)
    a, b = (rows(Path(f"{prefix}_io_jobs.csv")) for prefix in (one, two))
    assert a.keys() == b.keys()
    for key, row in a.items():
        for column in ("storages", "read_by_storage", "written_by_storage", "staged_bytes"):
            assert row[column] == b[key][column], (key, column)


@pytest.mark.parametrize(
    "flags",
    [
        ["--queue", "easy"],
        ["--filesystem", "lustre=pfs:timing=phases", "--filesystem", "bb=burst_buffer:backing=lustre"],
    ],
)
def test_batfs_sched(workloads: tuple[Path, Path], tmp_path: Path, flags: list[str]) -> None:
    address = endpoint()
    sched = [sys.executable, "-m", "batfs.decision.command", "-s", address, "-e", "out/edc", *flags]
    said = simulated(tmp_path, workloads[1], sched, address, '{"policy": "random"}')
    assert f"{JOBS} jobs submitted, {JOBS} started, {JOBS} ended, 0 rejected" in said
    values = {"policy": "random", **parse_filesystem_flags(flags[1::2] if flags[0] == "--filesystem" else [])}
    if flags[0] == "--queue":
        values["queue"] = flags[1]
    experiment = Experiment(platform=TAURUS, workloads=[workloads[0]], dynamic_jobs=True)
    run(experiment, Settings(flags=flags_layer(values)), tmp_path / "out/four")
    assert_same(tmp_path / "out/four", tmp_path / "out/edc", 1e-4)


class Fcfs4:
    """The same first come, first served for Batsim 4."""

    def __init__(self) -> None:
        self.free: list[int] = []
        self.queue: list[tuple[str, int]] = []
        self.held: dict[str, list[int]] = {}

    def decide(self, request: m.Request) -> m.Reply:
        for event in request.events:
            if isinstance(event, m.SimulationBegins):
                self.free = [r.id for r in event.compute_resources]
            elif isinstance(event, m.JobSubmitted):
                self.queue.append((event.job.id, event.job.requested_nodes))
            elif isinstance(event, m.JobCompleted):
                self.free = sorted([*self.free, *self.held.pop(event.job_id)])
        out: list[m.Decision] = []
        while self.queue and self.queue[0][1] <= len(self.free):
            job, count = self.queue.pop(0)
            self.held[job], self.free = self.free[:count], self.free[count:]
            out.append(m.ExecuteJob(request.now, job, self.held[job]))
        return m.Reply(request.now, out)


@pytest.mark.parametrize("staged", [False, True])
def test_batfs_proxy(workloads: tuple[Path, Path], tmp_path: Path, staged: bool) -> None:
    """A component that knows nothing of I/O behind the proxy: what moves, and when, is what moves with the
    same policy behind Batsim 4's proxy."""
    flags = ["bb=burst_buffer:backing=lustre"] if staged else []
    front, back = endpoint(), endpoint()
    proxy = [
        *(sys.executable, "-m", "batfs.decision.proxy_command", "-s", front, "--to", back, "-e", "out/proxy"),
        *("--policy", "random", *(word for flag in flags for word in ("--filesystem", flag))),
        *("--", sys.executable, str(FCFS), back),
    ]
    said = simulated(tmp_path, workloads[1], proxy, front)
    assert f"I/O given to {JOBS} jobs" in said
    settings = Settings(flags=flags_layer({"policy": "random", **parse_filesystem_flags(flags)}))
    loaded = load(Experiment(platform=TAURUS, workloads=[workloads[0]]), settings.configuration())
    four: dict[str, Any] = {}
    simulate(
        loaded.platform,
        loaded.machine,
        loaded.workloads,
        WithFileSystems(Fcfs4(), Injector(settings)),
        SimulationOptions(dynamic_jobs=True, on_job=lambda job: four.__setitem__(job.job_id, job)),
    )
    five = {f"{w}!{j}": row for (w, j), row in rows(tmp_path / "out/proxy_jobs.csv").items()}
    assert four.keys() == five.keys()
    for job_id, job in four.items():
        assert job.state == five[job_id]["final_state"]
        if not job.rejected:
            assert job.start == pytest.approx(float(five[job_id]["starting_time"]), abs=0.05), job_id
            assert job.end == pytest.approx(float(five[job_id]["finish_time"]), abs=0.05), job_id


def test_a_binary_component_is_refused(workloads: tuple[Path, Path], tmp_path: Path) -> None:
    """One that answers with flags 1: one sentence, and Batsim's side ends too."""
    front, back = endpoint(), endpoint()
    binary = (
        "import sys, zmq; s = zmq.Context().socket(zmq.REP); s.bind(sys.argv[1]); s.recv(); "
        "s.send(bytes([1, 0, 0, 0]) + b'binary'); s.poll(5000)"
    )
    proxy = [sys.executable, "-m", "batfs.decision.proxy_command", "-s", front, "--to", back]
    command = ["sim", "--protocol", "5", "-p", str(TAURUS), "-w", str(workloads[1]), "-s", front, ""]
    with subprocess.Popen(
        [*proxy, "--", sys.executable, "-c", binary, back], stderr=subprocess.PIPE, text=True
    ) as process:
        done = subprocess.run(
            [sys.executable, "-m", "batfs", *command, "-e", str(tmp_path / "x")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "binary flatbuffers" in said
    assert "Traceback" not in said + done.stderr
    assert done.returncode != 0


def test_batfs_run_protocol_5(workloads: tuple[Path, Path], tmp_path: Path) -> None:
    """In one command what batfs-sched and batfs sim do in two: the same to a microsecond."""
    address = endpoint()
    sched = [sys.executable, "-m", "batfs.decision.command", "-s", address, "-e", "out/edc"]
    simulated(tmp_path, workloads[1], sched, address, '{"policy": "random"}')
    for k, workload in enumerate(workloads):
        command = [
            "run",
            "--protocol",
            "5",
            "-p",
            str(TAURUS),
            "-w",
            str(workload),
            "--policy",
            "random",
            "--dynamic-jobs",
            "-q",
        ]
        subprocess.run(
            [sys.executable, "-m", "batfs", *command, "-e", str(tmp_path / f"out/run{k}")], check=True
        )
        assert_same(tmp_path / f"out/run{k}", tmp_path / "out/edc", 1.5e-6)
