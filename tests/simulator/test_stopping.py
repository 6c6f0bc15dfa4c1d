"""SIGINT and SIGTERM in mid-run: a quick end, partial files marked as such, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq

ROOT = Path(__file__).parent.parent.parent
PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1"><zone id="z" routing="Full">
<host id="master_host" speed="1Gf"/><host id="n0" speed="1Gf"/></zone></platform>
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("waiting", [False, True], ids=["computing", "waiting for a reply"])
def test_signal(number: signal.Signals, waiting: bool, tmp_path: Path) -> None:
    (tmp_path / "p.xml").write_text(PLATFORM)
    jobs = [{"id": "a", "subtime": 0, "res": 1, "profile": "d"}]
    text = json.dumps({"nb_res": 1, "jobs": jobs, "profiles": {"d": {"type": "delay", "delay": 1}}})
    (tmp_path / "w.json").write_text(text)
    (tmp_path / "out_jobs.csv").write_text("from before\n")
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "batfs", "sim", "-p", "p.xml", "-w", "w.json", "-e", "out", "-q"),
                *("-s", f"tcp://127.0.0.1:{port}"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert socket.poll(30_000)
            request = json.loads(socket.recv())
            if not waiting:  # an endless conversation: a wake-up for every wake-up
                socket.send_json({"now": 0.0, "events": []})
                for k in range(200):
                    assert socket.poll(10_000)
                    request = json.loads(socket.recv())
                    now = request["now"]
                    call = {"timestamp": now, "type": "CALL_ME_LATER", "data": {"timestamp": now + 1}}
                    if k < 199:
                        socket.send_json({"now": now, "events": [call]})
            process.send_signal(number)
            begin = time.monotonic()
            complaint = process.communicate(timeout=20)[1]
            assert time.monotonic() - begin < 20
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert number.name in complaint
    assert "Traceback" not in complaint
    assert (tmp_path / "out_jobs.csv").read_text() == "from before\n"
    assert (tmp_path / "out_jobs.csv.partial").exists()
    assert not (tmp_path / "out_schedule.csv").exists()
