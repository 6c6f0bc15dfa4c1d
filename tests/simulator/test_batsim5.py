"""Recorded conversations of the real Batsim 5.0.0-rc2: batfs must say the same and compute the same times.

The recordings (``batfs/cli/verification/batsim5.tar.xz``) hold, for each case, its inputs and flags, every
request and reply, and Batsim's ``jobs.csv``; for each error what Batsim died of. Cases are replayed in this
process through the same JSON as on the wire, a few over a real socket. Numbers agree to 1e-6 of the larger
one, or to 1e-6 below one.
"""

from __future__ import annotations

import argparse
import csv
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from batfs.cli import sim, sim5
from batfs.cli.verification import recordings5
from batfs.cli.verification.recordings5 import (
    Recording,
    differences,
    names,
    run,
    table_differences,
    text_of,
)
from batfs.errors import InputError
from batfs.protocol import messages as m
from batfs.protocol.v5.hello import init_text, unframed
from batfs.simulator import simulate
from batfs.simulator.v5.command import prepare

# over a socket as well: process handling, the shortest of each kind
OVER_SOCKET = ("001-delay", "040-no-workload", "041-events", "043-periodic", "046-merge-io", "054-force-stop")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batsim5")
    recordings5.unpack(folder)
    return folder


@pytest.mark.parametrize("name", names("cases"))
def test_says_and_computes_what_batsim_5_does(name: str, recorded: Path, tmp_path: Path) -> None:
    recording = Recording(recorded / "cases" / name)
    component = run(recording, f"{tmp_path}/")
    assert list(differences(component.asked, recording.requests, "requests")) == []
    assert list(table_differences(tmp_path / "jobs.csv", recording.folder / "jobs.csv")) == []


@pytest.mark.parametrize("name", names("errors"))
def test_names_the_cause_of_what_batsim_5_dies_of(name: str, recorded: Path, tmp_path: Path) -> None:
    recording = Recording(recorded / "errors" / name)
    with pytest.raises(InputError) as caught:
        run(recording, f"{tmp_path}/")
    assert CAUSES[name.partition("-")[0]] in str(caught.value)


# by the numbers of the recordings: what the message must name
CAUSES = {
    "001": "the job 'w0!zz' is not known",
    "002": "machine 9 doesn't exist",
    "003": "the allocation is empty",
    "004": "'executor_placement_type' is missing",
    "005": "puts executor 1 on host 5 of an allocation of 2",
    "006": "the job 'w0!a' is not known: it was never submitted, or it ended",
    "007": "the job 'w0!a' is REJECTED",
    "008": "the job 'w0!a' is REJECTED",
    "009": "the profile 'w0!p' is no longer there",
    "010": "no job uses the profile 'e'",
    "011": "the job 'w0!a' is RUNNING",
    "012": "the job 'w0!q' is not known",
    "013": "unknown member 'why'",
    "014": "unknown event type 'NoSuchEvent'",
    "015": "malformed JSON",
    "016": "the timestamp 1.0 is before that of the event before it, 1.5",
    "017": "the job id 'x!1' already exists",
    "018": "the profile name 'p' already exists in the workload 'x'",
    "019": "asks for 3 resources, its profile 'p' is for 2",
    "020": "the matrix has 3 numbers, expected 2 x 2 = 4",
    "021": "'ParallelTaskMergeCompositionProfile' are not implemented",
    "022": "'ForkJoinCompositionProfile' are not implemented",
    "023": "1 submitted jobs were neither executed nor rejected (w0!a)",
    "024": "the registration of jobs was never finished",
    "025": "don't divide one another",
    "026": "'decision_component_commit' is missing",
    "027": "must hold one event, EDCHelloEvent; found nothing",
    "028": "says hello twice",
    "029": "a homogeneous task without flops, on one host",
    "030": "never settle",
    "031": "jobs[0].walltime: found 0",
    "032": "the profile 'zz' doesn't exist",
    "033": "the allocation is empty",
    "034": "jobs[0].res: found -2",
    "035": "unknown profile type 'parallel_homogeneous'",
    "036": "profiles.p.delay: found 0",
    "037": "asks for 2 nodes, its profile 'p' is for 3",
    "038": "profiles.p.cpu: found -1",
    "039": "profiles.p.seq: found an array of 0",
    "040": "profiles.q.repeat: found 0",
    "041": "the member 'nb_res' is missing",
    "042": "needs the storage 'x'",
    "043": "'ForkJoinCompositionProfile' are not implemented",
    "044": "'a!b' contains a '!'",
    "045": "jobs[0].extra_data: found 5",
    "046": "'data' is an object, expected a string",
    "047": "no host has the role 'master'",
    "048": "unknown role 'king'",
    "049": "unknown event type 'failure'",
    "050": "cannot read the workload",
}


def over_socket(recording: Recording, prefix: str, flags: int | None = None) -> tuple[int, str, list[Any]]:
    """(exit code, stderr, requests) of ``batfs sim --protocol 5`` with the recorded answers at its socket."""
    context = zmq.Context()
    socket = context.socket(zmq.REP)
    socket.setsockopt(zmq.LINGER, 0)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    init = recording.case.get("init", "")
    words = recording.arguments(prefix, "-s", f"tcp://localhost:{port}", init)
    command = [sys.executable, "-m", "batfs.cli.main", "sim", "--protocol", "5", *words]
    requests: list[Any] = []
    with subprocess.Popen(command, cwd=recording.folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = True
            while process.poll() is None:
                if not socket.poll(50):
                    continue
                message = socket.recv()
                if first:
                    first = False
                    assert init_text(message) == init
                    assert recording.hello is not None
                    answer = struct.pack("=I", recording.hello["flags"] if flags is None else flags)
                    socket.send(answer + text_of(recording.hello["hello"]))
                    continue
                requests.append(json.loads(unframed(message)))
                socket.send(text_of(recording.replies[len(requests) - 1]))  # a NUL isn't asked for
        finally:
            process.kill()
            socket.close()
            context.term()
        assert process.stderr is not None
        return process.returncode, process.stderr.read(), requests


@pytest.mark.parametrize("name", OVER_SOCKET)
def test_over_a_socket_it_is_the_same(name: str, recorded: Path, tmp_path: Path) -> None:
    recording = Recording(recorded / "cases" / name)
    code, said, requests = over_socket(recording, f"{tmp_path}/run_")
    assert code == 0, said
    assert list(differences(requests, recording.requests, "requests")) == []
    assert list(table_differences(tmp_path / "run_jobs.csv", recording.folder / "jobs.csv")) == []


def test_binary_messages_are_refused_in_one_sentence(recorded: Path, tmp_path: Path) -> None:
    code, said, _ = over_socket(Recording(recorded / "cases" / "001-delay"), f"{tmp_path}/", flags=1)
    assert code == 2
    assert "answers with flags = 1: binary flatbuffers" in said
    assert "Traceback" not in said


def test_the_summary_is_batsims_where_machines_are_not_counted(recorded: Path, tmp_path: Path) -> None:
    """All but the times of machines, which 5.0.0-rc2 counts as computing for ever after their first job."""
    recording = Recording(recorded / "cases" / "053-medium")
    run(recording, f"{tmp_path}/")
    got = json.loads((tmp_path / "schedule.json").read_text())
    expected = json.loads((recording.folder / "schedule.json").read_text())
    assert got.keys() == expected.keys()
    for key, value in expected.items():
        if key not in ("batsim_version", "time_computing", "time_idle"):
            assert got[key] == pytest.approx(value, abs=1.01e-6, rel=1e-6), key
    busy = got["time_computing"]
    rows = list(csv.DictReader((tmp_path / "jobs.csv").open()))
    alone = sum(
        float(row["execution_time"]) * sum(_sizes(row["allocated_resources"]))
        for row in rows
        if row["execution_time"]
    )
    assert 0 < busy <= alone + 1e-3  # jobs that share a storage compute on it once


def _sizes(text: str) -> Iterator[int]:
    for part in text.split():
        first, _, last = part.partition("-")
        yield int(last or first) - int(first) + 1


def test_machine_states_come_back_to_idle(recorded: Path, tmp_path: Path) -> None:
    recording = Recording(recorded / "cases" / "030-machine-states")
    run(recording, f"{tmp_path}/")
    rows = list(csv.DictReader((tmp_path / "machine_states.csv").open()))
    total = {int(row["nb_idle"]) + int(row["nb_computing"]) for row in rows}
    assert total == {4}
    assert rows[-1]["nb_computing"] == "0"
    theirs = list(csv.DictReader((recording.folder / "machine_states.csv").open()))
    assert [row["time"] for row in rows] == [row["time"] for row in theirs]


def test_the_generation_is_found_among_the_flags() -> None:
    for words in (["--protocol", "5"], ["-p", "x", "--protocol=5"], ["-q", "--protocol", "5", "-s", "a", ""]):
        assert sim.choose(words) is sim5
    for words in ([], ["--protocol", "4"], ["--protocol=4"], ["-p", "5"]):
        assert sim.choose(words) is sim


class Idle:
    """A component that asks for calls without end, and does nothing else."""

    def __init__(self) -> None:
        self.calls = 0

    def decide(self, request: m.Request) -> m.Reply:
        self.calls += 1
        decisions = [m.CallPeriodically(request.now, "tick", 1000)] if self.calls == 1 else []
        return m.Reply(request.now, decisions)


def test_calls_that_are_never_stopped_end_in_an_error(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(recorded / "cases" / "040-no-workload")
    monkeypatch.chdir(recording.folder)
    parser = argparse.ArgumentParser()
    sim5.add_arguments(parser)
    args = parser.parse_args([*recording.case["args"], "-s", "tcp://localhost:1", ""])
    platform, machine, workloads, options = prepare(args)
    options.outputs = None
    with pytest.raises(InputError, match="there would be no end"):
        simulate(platform, machine, workloads, Idle(), options)
