"""``batfs-sched`` as Batsim 5's decision component, over a socket, by a hand-written simulator's side."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from batfs.decision.edc import WorkloadProfiles, read_init
from batfs.errors import InputError
from batfs.protocol.v5 import hello
from batfs.workload.model import Composed, Delay
from tests.support.batsim5_rules import Rules, hello_faults

WORKLOAD = {
    "nb_res": 2,
    "jobs": [{"id": "a", "subtime": 1.5, "res": 2, "profile": "io", "walltime": 100}],
    "profiles": {
        "io": {
            "type": "ParallelTaskHomogeneousProfile",
            "cpu": 1e9,
            "com": 0,
            "ret": 7,
            "extra_data": '{"io_reads": 2000000000}',
        },
        "first": {"type": "DelayProfile", "delay": 2, "ret": 1},
        "steps": {"type": "SequentialCompositionProfile", "repeat": 2, "seq": ["first"]},
    },
}


class Batsim5:
    """The simulator's side; every reply is held against the rules."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, 30_000)
        self._socket.connect(endpoint)
        self.rules = Rules()

    def raw(self, message: bytes) -> bytes:
        self._socket.send(message)
        return self._socket.recv()

    def begin(self, init: str) -> dict[str, Any]:
        flags, text = hello.split_hello(self.raw(hello.init_message(init)))
        assert flags == 2
        said: dict[str, Any] = json.loads(hello.unframed(text))
        assert not hello_faults(said)
        return said

    def tell(self, now: float, *events: tuple[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        listed = [{"timestamp": now, "event_type": kind, "event": event} for kind, event in events]
        message = {"now": now, "events": listed}
        self.rules.request(message)
        answer = self.raw(hello.framed(json.dumps(message).encode()))
        assert answer.endswith(b"\0")
        reply = json.loads(hello.unframed(answer))
        assert not self.rules.reply(reply)
        return [(event["event_type"], event["event"]) for event in reply["events"]]

    def close(self) -> None:
        self._socket.close()
        self._context.term()


def host(number: int, name: str, **properties: str) -> dict[str, Any]:
    pairs = [{"key": key, "value": value} for key, value in sorted(properties.items())]
    return {"id": number, "name": name, "state": "IDLE", "properties": pairs, "zone_properties": []}


def begins(workload: str) -> tuple[str, dict[str, Any]]:
    store = host(2, "pfs", role="storage", size="10GB", filesystem="pfs")
    event = {
        "computation_hosts": [host(0, "n0"), host(1, "n1")],
        "storage_hosts": [store],
        "workloads": [{"name": "w0", "filename": workload}],
        "batsim_execution_context_json": "{}",
    }
    return "SimulationBeginsEvent", event


SUBMITTED = (
    "JobSubmittedEvent",
    {
        "job_id": "w0!a",
        "job": {"resource_request": 2, "walltime": 100.0, "profile_id": "w0!io"},
        "submission_time": 1.5,
        "profile": {
            "id": "w0!io",
            "profile_type": "ParallelTaskHomogeneousProfile",
            "profile": {
                "computation_amount": 1e9,
                "communication_amount": 0.0,
                "generation_strategy": "DefinedAmountsUsedForEachValue",
            },
            "extra_data": '{"io_reads": 2000000000}',
        },
    },
)


class Running:
    """``batfs-sched`` on a free port."""

    def __init__(self, folder: Path, *flags: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        command = [sys.executable, "-m", "batfs.decision.command", "-s", self.endpoint, *flags]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        self.batsim = Batsim5(self.endpoint)

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    (tmp_path / "w.json").write_text(json.dumps(WORKLOAD))
    running: list[Running] = []

    def begin(*flags: str) -> Running:
        running.append(Running(tmp_path, *flags))
        return running[-1]

    yield begin
    for one in running:
        one.batsim.close()
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def test_a_job_with_io_is_replaced_and_recorded(start: Any, tmp_path: Path) -> None:
    """1e9 flops on each of two nodes and 1 GB to each from the storage, under the job's own walltime. Its
    profile says 7 is its return code: it fails, although the task that took its place succeeds."""
    running = start("-e", "out/x", "--policy", "random", "--validate")
    batsim: Batsim5 = running.batsim
    features = batsim.begin('{"queue": "easy"}')["events"][0]["event"]["requested_simulation_features"]
    assert features["dynamic_registration"]
    assert not batsim.tell(0.0, begins("w.json"))
    reply = batsim.tell(1.5, SUBMITTED, ("AllStaticJobsHaveBeenSubmittedEvent", {}))
    assert [kind for kind, _ in reply] == [
        "RejectJobEvent",
        "RegisterProfileEvent",
        "RegisterJobEvent",
        "ExecuteJobEvent",
    ]
    (_, reject), (_, profile), (_, job), (_, execute) = reply
    assert reject["job_id"] == "w0!a"
    task = profile["profile"]["profile"]
    assert task["computation_vector"] == [1e9, 1e9, 0.0]
    assert task["communication_matrix"] == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e9, 1e9, 0.0]
    assert job["job"]["walltime"] == 100.0
    assert job["job"]["resource_request"] == 3
    assert execute["allocation"]["host_allocation"] == "0-2"
    done = {"job_id": execute["job_id"], "state": "COMPLETED_SUCCESSFULLY", "return_code": 0}
    assert batsim.tell(4.5, ("JobCompletedEvent", done)) == [("FinishRegistrationEvent", {})]
    assert not batsim.tell(4.5, ("SimulationEndsEvent", {}))
    code, said = running.end()
    assert code == 0, said
    assert "out/x_jobs.csv" in said
    [row] = csv.DictReader((tmp_path / "out/x_jobs.csv").open())
    assert (row["job_id"], row["workload_name"], row["profile"]) == ("a", "w0", "io")
    assert (float(row["submission_time"]), float(row["starting_time"])) == (1.5, 1.5)
    assert (float(row["execution_time"]), row["final_state"]) == (3.0, "COMPLETED_FAILED")
    assert row["allocated_resources"] == "0-1"
    [io] = csv.DictReader((tmp_path / "out/x_io_jobs.csv").open())
    assert (io["job_id"], io["read_bytes"], io["storages"]) == ("a", "2000000000", "2")
    provenance = json.loads((tmp_path / "out/x_provenance.json").read_text())
    assert provenance["configuration"]["queue"] == "easy"
    assert provenance["results"]["batsim"] == 5


def test_without_dynamic_jobs_the_registration_ends_with_the_last_decision(start: Any) -> None:
    running = start("-q")
    batsim: Batsim5 = running.batsim
    batsim.begin('{"dynamic_jobs": false}')
    batsim.tell(0.0, begins("w.json"))
    assert len(batsim.tell(1.5, SUBMITTED)) == 4
    assert batsim.tell(2.0, ("AllStaticJobsHaveBeenSubmittedEvent", {})) == [("FinishRegistrationEvent", {})]


def test_without_a_workload_there_is_nothing_to_wait_for(start: Any) -> None:
    """Batsim 5 without -w never says that all jobs have been submitted."""
    batsim: Batsim5 = start("-q").batsim
    batsim.begin("")
    kind, event = begins("")
    assert batsim.tell(0.0, (kind, {**event, "workloads": []})) == [("FinishRegistrationEvent", {})]


def test_an_unreadable_workload_is_named(start: Any) -> None:
    running = start()
    running.batsim.begin("")
    running.batsim.tell(0.0, begins("elsewhere.json"))
    running.process.terminate()
    _, said = running.end()
    assert "elsewhere.json" in said
    assert '"workload"' in said


@pytest.mark.parametrize(
    "init, said",
    [
        ('{"polcy": "random"}', "did you mean 'policy'"),
        ('{"policy": ', "malformed JSON"),
        ('{"workload": 3}', "neither a path"),
        ('{"dynamic_jobs": "yes"}', "not true or false"),
    ],
)
def test_a_wrong_init_string_is_one_sentence(start: Any, init: str, said: str) -> None:
    running = start()
    running.batsim.raw(hello.init_message(init))
    code, text = running.end()
    assert code == 2
    assert "init string" in text
    assert said in text
    assert "Traceback" not in text


BATSIM_4 = b'{"now": 0, "events": [{"timestamp": 0, "type": "SIMULATION_BEGINS", "data": {}}]}'


@pytest.mark.parametrize("wanted, first", [("4", hello.init_message("{}")), ("5", BATSIM_4)])
def test_the_other_generation_than_was_asked_for(start: Any, wanted: str, first: bytes) -> None:
    running = start("--protocol", wanted)
    running.batsim.raw(first)
    code, text = running.end()
    assert code == 1
    assert f"--protocol {wanted}" in text


def test_a_message_that_is_none(start: Any) -> None:
    running = start()
    running.batsim.begin("")
    running.batsim.raw(b'{"now": 0, "events": [{"event_type": "Nonsense", "timestamp": 0}]}\0')
    code, text = running.end()
    assert code == 1
    assert "Nonsense" in text
    assert "Traceback" not in text


def test_an_end_of_a_job_that_never_ran(start: Any, tmp_path: Path) -> None:
    running = start("-e", "out/x")
    batsim: Batsim5 = running.batsim
    batsim.begin("")
    batsim.tell(0.0, begins("w.json"))
    done = {"job_id": "w0!nobody", "state": "COMPLETED_SUCCESSFULLY", "return_code": 0}
    event = {"timestamp": 1.0, "event_type": "JobCompletedEvent", "event": done}
    batsim.raw(json.dumps({"now": 1.0, "events": [event]}).encode() + b"\0")
    code, text = running.end()
    assert code == 1
    assert "'w0!nobody' has completed, but it was not running" in text


def test_init_strings() -> None:
    assert read_init("  ") == (None, (), True)
    init = read_init('{"policy": "random", "workload": ["a.json", "b.json"], "dynamic-jobs": false}')
    assert init.settings is not None
    assert init.settings.values == {"policy": "random"}
    assert (init.workloads, init.dynamic_jobs) == (["a.json", "b.json"], False)
    toml = read_init('policy = "random"\nworkload = "a.json"\n')
    assert toml.workloads == ["a.json"]
    with pytest.raises(InputError, match="malformed TOML"):
        read_init("policy = \n")


def test_profiles_that_only_the_file_tells(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(json.dumps(WORKLOAD))
    said: list[str] = []
    found = WorkloadProfiles(said.append)({"w0": str(tmp_path / "w.json"), "w1": str(tmp_path / "none.json")})
    assert found["w0"]["steps"] == Composed(("first",), 2)
    assert found["w0"]["first"] == Delay(2.0, ret=1)
    assert found["w0"]["io"].extra == {"io_reads": 2000000000}
    assert found["w0"]["io"].ret == 7
    assert "w1" not in found
    assert len(said) == 1
