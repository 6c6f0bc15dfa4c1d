"""``batfs sim``'s flags are Batsim's to the letter, and the decision process may be late, absent or rude."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

sys.path.insert(0, str(Path(__file__).parent))
from small import PLATFORM

ROOT = Path(__file__).parents[2]
WORKLOAD = {
    "nb_res": 2,
    "jobs": [{"id": "a", "subtime": 0, "res": 1, "profile": "d"}],
    "profiles": {"d": {"type": "delay", "delay": 1}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "p.xml").write_text(PLATFORM)
    (tmp_path / "w.json").write_text(json.dumps(WORKLOAD))
    return tmp_path


def started(folder: Path, flags: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "batfs", "sim", "-p", "p.xml", *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *flags: str) -> tuple[int, str, str]:
    process = started(folder, flags)
    out, complaint = process.communicate(timeout=60)
    return process.returncode, out, complaint


def conversation(
    folder: Path, answer: Callable[[dict[str, Any]], list[dict[str, Any]]], *flags: str
) -> tuple[int, str, list[dict[str, Any]]]:
    """Run beside a decision process that answers each request with the events of ``answer``."""
    requests = []
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        process = started(folder, [*flags, "-s", f"tcp://127.0.0.1:{port}"])
        while process.poll() is None:
            if rep.poll(50):
                request = json.loads(rep.recv())
                requests.append(request)
                rep.send_json({"now": request["now"], "events": answer(request)})
        assert process.stderr is not None
        return process.returncode, process.stderr.read(), requests


def test_no_workload_but_dynamic_jobs(folder: Path) -> None:
    """``batsim -p FILE [-w FILE...]``: all jobs may be the decision process's own."""

    def answer(request: dict[str, Any]) -> list[dict[str, Any]]:
        now = request["now"]
        if request["events"][0]["type"] != "SIMULATION_BEGINS":
            return []
        nap = {"workload_name": "made", "profile_name": "nap", "profile": {"type": "delay", "delay": 5}}
        job = {"job_id": "made!1", "job": {"id": "made!1", "subtime": 0, "res": 1, "profile": "nap"}}
        data = [
            ("REGISTER_PROFILE", nap),
            ("REGISTER_JOB", job),
            ("NOTIFY", {"type": "registration_finished"}),
            ("EXECUTE_JOB", {"job_id": "made!1", "alloc": "0"}),
        ]
        return [{"timestamp": now, "type": kind, "data": body} for kind, body in data]

    code, complaint, requests = conversation(folder, answer, "--enable-dynamic-jobs", "--mmax-workload")
    assert code == 0
    assert "1 jobs, 1 successful, 0 rejected; makespan 5.000000 s" in complaint
    begins = requests[0]["events"][0]["data"]
    assert (begins["workloads"], begins["profiles"]) == ({}, {})
    assert begins["nb_compute_resources"] == 3


def test_no_workload_at_all(folder: Path) -> None:
    """Nothing is submitted: the simulation begins and ends."""
    code, complaint, requests = conversation(folder, lambda request: [])
    assert code == 0, complaint
    assert [event["type"] for r in requests for event in r["events"]] == [
        "SIMULATION_BEGINS",
        "SIMULATION_ENDS",
    ]


IDLE = [
    ["--redis-hostname", "example", "--redis-port", "1234", "--redis-prefix", "mine"],
    ["--acknowledge-dynamic-jobs"],
    ["--forward-unknown-events"],
    ["--workflow-jobs-limit", "3"],
    ["--ignore-beyond-last-workflow"],
    ["--sg-log", "root.thres:debug"],
    ["--forward-profiles-on-submission", "--disable-schedule-tracing", "--disable-machine-state-tracing"],
]


@pytest.mark.parametrize("flags", IDLE, ids=lambda flags: flags[0])
def test_flags_without_effect_are_taken(flags: list[str], folder: Path) -> None:
    code, _, complaint = run(folder, "-w", "w.json", "--no-sched", *flags)
    assert code == 0
    assert "1 jobs, 1 successful, 0 rejected; makespan 1.000000 s" in complaint


def test_the_decision_process_is_told_of_redis_options(folder: Path) -> None:
    _, _, requests = conversation(folder, lambda request: [], *IDLE[0], "--forward-unknown-events")
    config = requests[0]["events"][0]["data"]["config"]
    given = {key: config[f"redis-{key}"] for key in ("enabled", "hostname", "port", "prefix")}
    assert given == {"enabled": False, "hostname": "example", "port": 1234, "prefix": "mine"}
    assert config["forward-unknown-events"] is False  # there are no events


REFUSED = [
    (["--enable-redis"], "batfs doesn't simulate redis"),
    (["-E"], "batfs doesn't simulate energy"),
    (["-W", "flow.xml"], "batfs doesn't simulate workflows"),
    (["--WS", "flow.xml", "3"], "batfs doesn't simulate workflows"),
    (["--redis-port", "many"], "invalid int value: 'many'"),
    (["--workflow-jobs-limit", "-1"], "invalid count value: '-1'"),
    (["--enable-profile-reuse"], "--enable-profile-reuse needs --enable-dynamic-jobs"),
    (["--connect-timeout", "nan"], "invalid number of seconds value: 'nan'"),
    (["--sched-cfg", "a", "--sched-cfg-file", "b"], "not allowed with argument"),
]


@pytest.mark.parametrize(("flags", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_flags_that_are_refused(flags: list[str], message: str, folder: Path) -> None:
    code, _, complaint = run(folder, "-w", "w.json", "--no-sched", *flags)
    assert code == 2
    assert message in complaint
    assert "Traceback" not in complaint


def test_the_execution_context_is_batsims(folder: Path) -> None:
    code, out, _ = run(folder, "-w", "w.json", "--dump-execution-context", "-e", "x")
    assert code == 0
    assert json.loads(out) == {
        "socket_endpoint": "tcp://localhost:28000",
        "redis_enabled": False,
        "redis_hostname": "127.0.0.1",
        "redis_port": 6379,
        "redis_prefix": "default",
        "export_prefix": "x",
        "external_scheduler": True,
    }


# ---- the other side ----


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_nobody_is_there(folder: Path) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    begin = time.monotonic()
    code, _, complaint = run(folder, "-w", "w.json", "-s", endpoint, "--connect-timeout", "0.5")
    assert code == 1
    assert complaint.startswith(f"batfs sim: no answer from {endpoint} for 0.5 s: nobody is there")
    assert complaint.count("\n") == 1
    assert time.monotonic() - begin < 30
    assert not (folder / "out_jobs.csv").exists()


def test_somebody_else_is_there(folder: Path) -> None:
    """A server of another protocol, which closes each connection: the time runs out."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        code, _, complaint = run(folder, "-w", "w.json", "-s", endpoint, "--connect-timeout", "1")
        server.shutdown(socket.SHUT_RDWR)
    assert code == 1
    assert "no answer from" in complaint


@pytest.mark.parametrize("answered", [0, 2])
def test_it_goes_away(answered: int, folder: Path) -> None:
    """A decision process that dies while it owes an answer: at once, however long the first might take."""
    with zmq.Context() as context:
        rep = context.socket(zmq.REP)
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        process = started(folder, ["-w", "w.json", "-s", f"tcp://127.0.0.1:{port}"])
        for _ in range(answered):
            assert rep.poll(20_000)
            rep.send_json({"now": json.loads(rep.recv())["now"], "events": []})
        assert rep.poll(20_000)
        rep.recv()
        rep.close(0)
    complaint = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert f"its connection closed before it answered request {answered + 1}" in complaint
    assert "Traceback" not in complaint


def test_a_planner_may_think(folder: Path) -> None:
    """After the first answer there is no limit; SIGINT still ends it at once."""
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        flags = ["-w", "w.json", "-s", f"tcp://127.0.0.1:{port}", "--connect-timeout", "5"]
        process = started(folder, flags)
        assert rep.poll(20_000)
        rep.send_json({"now": json.loads(rep.recv())["now"], "events": []})
        time.sleep(6)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        complaint = process.communicate(timeout=20)[1]
        assert time.monotonic() - begin < 5
    assert process.returncode == 130
    assert "stopped by SIGINT" in complaint


def test_an_answer_in_several_parts(folder: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        process = started(folder, ["-w", "w.json", "-s", f"tcp://127.0.0.1:{port}"])
        assert rep.poll(20_000)
        rep.recv()
        rep.send_multipart([b"{}", b"{}", b""])
        complaint = process.communicate(timeout=20)[1]
    assert process.returncode == 2
    assert "reply 1: the decision process sent a message of 3 parts, expected one" in complaint
