"""batfs-sched and the pybatsim scheduler over a real socket, against a few lines that play Batsim."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

ROOT = Path(__file__).parents[2]
CONFIG = {
    "redis-enabled": False,
    "redis-hostname": "127.0.0.1",
    "redis-port": 6379,
    "redis-prefix": "default",
    "profiles-forwarded-on-submission": False,
    "dynamic-jobs-enabled": False,
    "dynamic-jobs-acknowledged": False,
    "profile-reuse-enabled": False,
    "sched-config": "",
    "forward-unknown-events": False,
}


def endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


class PlayedBatsim:
    """One side of the conversation; ``ask`` sends a request and returns the reply."""

    def __init__(self, where: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REQ)
        self.socket.setsockopt(zmq.RCVTIMEO, 20_000)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(where)

    def ask(self, now: float, *events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        message = {"now": now, "events": [{"timestamp": now, "type": t, "data": d} for t, d in events]}
        self.socket.send_string(json.dumps(message))
        reply = json.loads(self.socket.recv())
        assert reply["now"] >= now
        events_back: list[dict[str, Any]] = reply["events"]
        return events_back

    def close(self) -> None:
        self.socket.close()
        self.context.term()


def beginning(**config: Any) -> tuple[str, dict[str, Any]]:
    compute = [
        {"id": k, "name": f"n{k}", "state": "idle", "properties": {"role": ""}, "zone_properties": {}}
        for k in range(4)
    ]
    disk = {"role": "storage", "size": "100", "filesystem": "pfs"}
    storages = [{"id": 4, "name": "pfs", "state": "idle", "properties": disk, "zone_properties": {}}]
    profiles = {
        "io": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 60, "io_writes": 20},
        "huge": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_writes": 101},
        "plain": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0},
        "nap": {"type": "delay", "delay": 5, "io_reads": 7},
    }
    return "SIMULATION_BEGINS", {
        "nb_resources": 5,
        "nb_compute_resources": 4,
        "nb_storage_resources": 1,
        "allow_compute_sharing": False,
        "allow_storage_sharing": True,
        "config": {**CONFIG, **config},
        "compute_resources": compute,
        "storage_resources": storages,
        "workloads": {"w0": "/w.json"},
        "profiles": {"w0": profiles},
    }


def submission(name: str, profile: str, nodes: int, at: float) -> tuple[str, dict[str, Any]]:
    described = {"id": f"w0!{name}", "subtime": at, "walltime": 100.0, "res": nodes, "profile": profile}
    return "JOB_SUBMITTED", {"job_id": f"w0!{name}", "job": described}


def completion(name: str) -> tuple[str, dict[str, Any]]:
    state = {"job_state": "COMPLETED_SUCCESSFULLY", "return_code": 0, "alloc": "0"}
    return "JOB_COMPLETED", {"job_id": f"w0!{name}", **state}


def story(batsim: PlayedBatsim) -> list[list[dict[str, Any]]]:
    """Two jobs that share a storage too small for both, one that never fits, a kill, and the end."""
    replies = [batsim.ask(0.0, beginning())]
    replies.append(batsim.ask(1.0, submission("1", "io", 2, 1.0), submission("2", "io", 1, 1.0)))
    replies.append(batsim.ask(2.0, submission("3", "huge", 1, 2.0), submission("4", "plain", 1, 2.0)))
    killed = {"job_ids": ["w0!1"], "job_progress": {"w0!1": {"profile_name": "io", "progress": 0.5}}}
    replies.append(batsim.ask(5.0, completion("1"), ("JOB_KILLED", killed)))
    replies.append(batsim.ask(9.0, ("NOTIFY", {"type": "no_more_static_job_to_submit"})))
    replies.append(batsim.ask(11.0, completion("2"), completion("4")))
    replies.append(batsim.ask(12.0, ("SIMULATION_ENDS", {})))
    return replies


SCHED = (sys.executable, "-m", "batfs.decision.command")


@pytest.mark.slow
def test_over_a_socket_the_three_ways_agree(tmp_path: Path) -> None:
    where = endpoint()
    with started(*SCHED, "-s", where, "--policy", "first_fit", "-e", str(tmp_path / "out")) as process:
        batsim = PlayedBatsim(where)
        ours = story(batsim)
        batsim.close()
        assert process.wait(10) == 0
    kinds = [[event["type"] for event in reply] for reply in ours]
    assert kinds == [
        [],
        ["EXECUTE_JOB"],
        ["SET_JOB_METADATA", "REJECT_JOB"],  # what never fits is found when it is submitted
        ["EXECUTE_JOB", "EXECUTE_JOB"],
        [],
        [],
        [],
    ]
    first = ours[1][0]["data"]
    assert first["alloc"] == "0-1"
    assert first["additional_io_job"]["alloc"] == "0-1 4"
    assert first["additional_io_job"]["profile"] == {
        "type": "parallel",
        "cpu": [0, 0, 0],
        "com": [0, 0, 10, 0, 0, 10, 30, 30, 0],
    }
    assert ours[2][0]["data"]["metadata"].startswith("can never start: ")
    assert '"' not in ours[2][0]["data"]["metadata"]
    rows = (tmp_path / "out_io_jobs.csv").read_text().splitlines()
    assert rows[2].startswith("1,w0,pfs,4,60,20,4:60,4:20,0,0,0-1 4,0.000000,,0-1")
    # job 2 lacked 60 bytes from 1 to 5
    assert rows[3].startswith("2,w0,pfs,4,60,20,4:60,4:20,0,0,0 4,4.000000,")
    provenance = json.loads((tmp_path / "out_provenance.json").read_text())
    assert provenance["configuration"]["policy"] == "first_fit"
    assert provenance["results"] == {"submitted": 4, "started": 3, "done": 3, "rejected": 1}

    # pybatsim's own launcher and connection
    where = endpoint()
    launcher = "from batsim.cmds.launcher import main; import sys; sys.exit(main())"
    options = '{"policy": "first_fit"}'
    command = (sys.executable, "-c", launcher, "schedulers/batfsSched.py", "-o", options, "-s", where)
    with started(*command) as process:
        batsim = PlayedBatsim(where)
        theirs = story(batsim)
        batsim.close()
        assert process.wait(10) == 0, process.communicate()
    assert theirs == ours


def test_batsim_goes_away() -> None:
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        batsim.ask(0.0, beginning())
        batsim.ask(1.0, submission("1", "io", 2, 1.0))
        # thinking is no reason to give up
        time.sleep(2.5)
        assert process.poll() is None
        batsim.close()
        _, said = process.communicate(timeout=5)
        assert process.returncode == 1
        assert said.splitlines()[-1] == (
            "batfs-sched: Batsim went away in mid-simulation (its connection closed)"
        )
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("sched_config", "said"),
    [
        ('{"polcy": "random"}', "--sched-cfg: unknown key 'polcy'"),
        ("policy = 'randm'", "unknown allocation policy 'randm'"),
        ("policy = ", "--sched-cfg: malformed TOML"),
        ("/no/such/file.toml", "/no/such/file.toml: cannot read: No such file or directory"),
    ],
)
def test_bad_settings_from_batsim_end_both_sides(sched_config: str, said: str) -> None:
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        # an answer that Batsim ends on, instead of waiting for ever
        with pytest.raises(KeyError):
            batsim.ask(0.0, beginning(**{"sched-config": sched_config}))
        _, errors = process.communicate(timeout=5)
        batsim.close()
        assert process.returncode == 2
        assert said in errors.splitlines()[-1]
        assert "Traceback" not in errors


JOB = submission("1", "plain", 2, 1.0)[1]
MALFORMED = {
    "a number that is a text": ({"now": "soon", "events": []}, "Expected `float`, got `str` - at `$.now`"),
    "no time": ({"events": []}, "missing required field `now`"),
    "no events": ({"now": 1.0}, "missing required field `events`"),
    "events that are none": ({"now": 1.0, "events": [7]}, "$.events[0]"),
    "an unknown event": ({"now": 1.0, "events": [{"timestamp": 1, "type": "X", "data": {}}]}, "'X'"),
    "a job without an id": (("JOB_SUBMITTED", {"job": JOB["job"]}), "`job_id` in events[0].data"),
    "a job without nodes": (("JOB_SUBMITTED", {**JOB, "job": {**JOB["job"], "res": None}}), "$.job.res"),
    "an end of no job": (("JOB_COMPLETED", {"job_state": "X", "return_code": 0, "alloc": ""}), "job_id"),
    "an end of somebody's": (completion("unheard of"), "can't be followed (KeyError: 'w0!unheard of')"),
    "a kill without progress": (("JOB_KILLED", {"job_ids": ["w0!1"]}), "job_progress"),
    "an unknown notice": (
        ("NOTIFY", {"type": "5-1"}),
        "can't be followed (Exception: Unknown NOTIFY type 5-1",
    ),
    "a notice of nothing": (("NOTIFY", {}), "`type` in events[0].data (NOTIFY)"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_message_of_batsims_is_named(what: str) -> None:
    """Whatever it makes fail, and where: the simulator is told, the exit code is 1, and no defect of ours."""
    message, named = MALFORMED[what]
    if isinstance(message, tuple):
        message = {"now": 1.0, "events": [{"timestamp": 1.0, "type": message[0], "data": message[1]}]}
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        batsim.ask(0.0, beginning())
        batsim.socket.send_string(json.dumps(message))
        assert b"gave up" in batsim.socket.recv()
        _, said = process.communicate(timeout=20)
        batsim.close()
    assert process.returncode == 1, said
    assert "not Batsim 4's" in said.splitlines()[-1]
    assert named in said.splitlines()[-1]


def test_a_simulation_that_begins_on_nothing_is_named() -> None:
    kind, data = beginning()
    del data["storage_resources"]
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        with pytest.raises(KeyError):
            batsim.ask(0.0, (kind, data))
        _, said = process.communicate(timeout=20)
        batsim.close()
    assert process.returncode == 1
    assert "missing required field `storage_resources` in events[0].data (SIMULATION_BEGINS)" in said


def test_a_simulation_may_end_in_its_first_message() -> None:
    """A workload without jobs: nothing comes after it, and nothing is waited for."""
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        batsim.ask(0.0, beginning(), ("SIMULATION_ENDS", {}))
        _, said = process.communicate(timeout=20)
        batsim.close()
    assert process.returncode == 0, said


def test_settings_by_sched_cfg_count_between_file_and_flags(tmp_path: Path) -> None:
    file = tmp_path / "base.toml"
    file.write_text('policy = "random"\nqueue = "easy"\nseed = 3\n')
    from batfs.scheduling.config import Layer, Settings, read_config

    settings = Settings(read_config(file), Layer("flags", {"seed": 5}))
    config = settings.configuration('{"queue": "fcfs", "seed": 4}')
    assert (config.policy, config.queue, config.seed) == ("random", "fcfs", 5)


def test_a_delay_with_io_is_told_once() -> None:
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        batsim = PlayedBatsim(where)
        batsim.ask(0.0, beginning())
        replies = batsim.ask(1.0, submission("1", "nap", 1, 1.0), submission("2", "nap", 1, 1.0))
        assert [set(event["data"]) for event in replies] == [{"job_id", "alloc"}] * 2
        batsim.ask(6.0, completion("1"), completion("2"))
        batsim.ask(7.0, ("SIMULATION_ENDS", {}))
        _, said = process.communicate(timeout=5)
        batsim.close()
    assert said.count("Batsim ignores I/O") == 1


def test_interrupts_and_an_occupied_port() -> None:
    where = endpoint()
    with started(*SCHED, "-s", where) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"batfs-sched: listening on {where}\n"
        with started(*SCHED, "-s", where) as second:
            _, said = second.communicate(timeout=10)
            assert second.returncode == 1
            assert said == f"batfs-sched: cannot listen on {where}: Address already in use\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=5)
        assert process.returncode == 143
        assert said == "batfs-sched: terminated\n"
