"""Recorded conversations of the real Batsim 4.2.1: batfs must say the same and compute the same times.

The recordings (``golden.tar.xz``) come as in ``../shared/golden``: inputs, flags, every request and reply,
Batsim's files, and the end of every job with 17 digits. They are replayed in-process (through the same
JSON as on a socket), a few also as ``batfs sim`` over a real socket.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zmq

from batfs.cli import sim
from batfs.errors import BatfsError, InputError
from batfs.protocol import messages as m
from batfs.protocol.codec import decode_reply, encode_request
from batfs.simulator import JobResult
from batfs.simulator.command import prepare
from batfs.simulator.simulation import simulate

HERE = Path(__file__).parent
WALL_CLOCK = ("batsim_version", "scheduling_time", "simulation_time")


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(HERE / "golden.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def names(kind: str) -> list[str]:
    with tarfile.open(HERE / "golden.tar.xz") as archive:
        found = {
            name.split("/")[1]
            for name in archive.getnames()
            if name.startswith(kind + "/") and name.count("/") > 1
        }
    return sorted(found)


def close(a: float, b: float) -> bool:
    return abs(a - b) <= max(1.5e-6, 1e-6 * max(abs(a), abs(b)))


def differences(got: Any, expected: Any, where: str = "") -> str | None:
    if isinstance(got, bool) or isinstance(expected, bool) or not isinstance(got, (int, float, dict, list)):
        return None if got == expected else f"{where}: {got!r}, recorded {expected!r}"
    if isinstance(got, (int, float)):
        same = isinstance(expected, (int, float)) and close(got, expected)
        return None if same else f"{where}: {got!r}, recorded {expected!r}"
    if type(got) is not type(expected):
        return f"{where}: {got!r}, recorded {expected!r}"
    if isinstance(got, dict):
        if got.keys() != expected.keys():
            return f"{where}: members {sorted(got.keys() ^ expected.keys())} on one side only"
        items: Any = ((f"{where}.{key}", got[key], expected[key]) for key in got)
    else:
        if len(got) != len(expected):
            return f"{where}: {len(got)} entries, recorded {len(expected)}"
        items = ((f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True)))
    for place, a, b in items:
        found = differences(a, b, place)
        if found:
            return found
    return None


def normal(request: dict[str, Any]) -> dict[str, Any]:
    for event in request["events"]:
        if event["type"] == "SIMULATION_BEGINS":
            workloads = event["data"]["workloads"]
            event["data"]["workloads"] = {name: os.path.basename(path) for name, path in workloads.items()}
    return request


class Recording:
    """A decision process that answers with what was recorded, and compares what it is asked."""

    def __init__(self, case: Path, profiles: bool) -> None:
        lines = [json.loads(line) for line in (case / "transcript.jsonl").read_text().splitlines()]
        self.requests = [line["request"] for line in lines if "request" in line]
        self.replies = [line.get("reply", line.get("reply_raw")) for line in lines if "request" not in line]
        self.profiles = profiles
        self.asked = 0

    def decide(self, request: m.Request) -> m.Reply:
        text = encode_request(request, profiles=self.profiles)
        assert self.asked < len(self.requests), f"one request more than recorded: {text[:300]!r}"
        recorded = normal(self.requests[self.asked])
        assert differences(normal(json.loads(text)), recorded, f"request {self.asked}") is None
        reply = self.replies[self.asked]
        self.asked += 1
        return decode_reply(reply if isinstance(reply, str) else json.dumps(reply))


def replay(case: Path, prefix: Path, interpreted: bool = False) -> tuple[Recording, dict[str, float]]:
    """Simulate the case against its recording; exact ends of jobs by id."""
    parser = argparse.ArgumentParser()
    sim.add_arguments(parser)
    flags = json.loads((case / "case.json").read_text())["args"]
    before = Path.cwd()
    os.chdir(case)
    try:
        args = parser.parse_args([*flags, "-e", str(prefix)])
        platform, machine, workloads, options = prepare(args)
        recording = Recording(case, options.forward_profiles)
        ends: dict[str, float] = {}

        def note(job: JobResult) -> None:
            if not job.rejected:
                ends[job.job_id] = job.start + job.runtime

        options.on_job = note
        options.interpreted = interpreted
        simulate(platform, machine, workloads, recording, options)
    finally:
        os.chdir(before)
    return recording, ends


def rows(path: Path) -> list[list[str]]:
    with open(path, newline="") as file:
        return list(csv.reader(file))


def compare_files(got: Path, recorded: Path) -> None:
    ours, theirs = rows(got), rows(recorded)
    assert ours[0] == theirs[0]
    assert len(ours) == len(theirs)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        for name, x, y in zip(theirs[0], a, b, strict=True):
            if x != y and name not in WALL_CLOCK:
                assert close(float(x), float(y)), f"{recorded.name}: {name}: {x}, recorded {y} in {b}"


@pytest.mark.parametrize("interpreted", [False, True], ids=["compiled", "interpreted"])
@pytest.mark.parametrize("name", names("cases"))
def test_case(golden: Path, name: str, interpreted: bool, tmp_path: Path) -> None:
    case = golden / "cases" / name
    recording, ends = replay(case, tmp_path / "out", interpreted)
    assert recording.asked == len(recording.requests)
    for kind in ("jobs", "schedule", "machine_states"):
        compare_files(tmp_path / f"out_{kind}.csv", case / f"{kind}.csv")
    exact_ends = case / "exact_ends.csv"  # the later recordings have none
    for job, end in rows(exact_ends)[1:] if exact_ends.exists() else ():
        # a job that took no time is given 1e-5 s afterwards
        exact = float(end)
        assert abs(ends[job] - exact) <= 1e-14 * exact or abs(ends[job] - 1e-5 - exact) <= 1e-14, job
    assert not list(tmp_path.glob("*.partial"))


# what the message must name, by case
CAUSES = {
    "001-platform-not-xml": "DOCTYPE",
    "003-workload-missing": "nowhere.json",
    "004-platform-unknown-link": "eth_none",
    "006-platform-star-keyword": "Star",
    "007-platform-bad-unit": "GBs",
    "009-platform-duplicate-route": "already exists",
    "010-platform-link-without-latency": "latency",
    "012-platform-route-before-host": "after a route",
    "013-platform-host-and-subzone": "either zones or hosts",
    "015-no-master": "master",
    "016-two-masters": "two master hosts",
    "018-master-role-twice": "role twice",
    "019-unknown-role": "gpu",
    "021-mmax-too-large": "only 3 compute nodes",
    "022-unknown-profile": "nope",
    "024-walltime-zero": "walltime",
    "025-delay-zero": "delay",
    "027-unknown-profile-type": "magic",
    "028-composed-repeat-zero": "repeat",
    "030-duplicate-job-id": "w0!0",
    "031-reply-malformed-json": "malformed JSON",
    "033-reply-timestamp-after-now": "must not be later than now",
    "034-reply-unknown-event": "DO_MAGIC",
    "036-execute-unknown-host": "machine 9 doesn't exist",
    "037-execute-io-unknown-host": "machine 9 doesn't exist",
    "039-execute-wrong-size": "requires 2 machines, 3",
    "040-execute-busy-host": "is computing w0!0",
    "042-execute-flops-on-storage": "to the storage 3",
    "043-io-flops-on-storage": "to the storage 3",
    "045-io-profile-name-reused": "already exists",
    "046-io-pfs-type": "storage mapping",
    "048-io-on-composed-inline": "composed",
    "049-io-no-matrix": "no matrix",
    "051-kill-not-started": "neither being executed nor completed",
    "052-call-in-the-past": "0.500000",
    "054-register-job-unknown-workload": "'dyn' doesn't exist",
    "055-metadata-quotes": "double quotes",
    "057-missing-route": "no route from 'n1' to 'n2'",
    "058-pfs-two-storages": "2 storages",
    "063-dijkstra-gateway-mismatch": "Dijkstra",
}
# Batsim ends these with status 0: a report of a deadlock, or nothing wrong at all
NO_ERRORS = ("060-dynamic-never-finished", "061-zero-bandwidth-backbone", "064-floyd-gateway-mismatch-ok")


@pytest.mark.parametrize("name", names("errors"))
def test_error(golden: Path, name: str, tmp_path: Path) -> None:
    case = golden / "errors" / name
    if name in NO_ERRORS:
        recording, _ = replay(case, tmp_path / "out")
        assert recording.asked == len(recording.requests)
        return
    with pytest.raises(InputError) as caught:
        replay(case, tmp_path / "out")
    text = str(caught.value)
    assert CAUSES[name] in text
    assert "\n" not in text
    assert not list(tmp_path.glob("*.csv")), "no file is presented as whole"


@pytest.mark.parametrize("name", ["001-v1-one-link-weights", "090-kill-mid-run", "105-dynamic-staging-ack"])
def test_over_a_socket(golden: Path, name: str, tmp_path: Path) -> None:
    """``batfs sim`` as a process of its own, with Batsim's flags and a REP socket at the other end."""
    case = golden / "cases" / name
    recording = Recording(case, False)
    flags = json.loads((case / "case.json").read_text())["args"]
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        command = [*flags, "-s", f"tcp://127.0.0.1:{port}", "-e", str(tmp_path / "out"), "-q"]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
        process = subprocess.Popen(
            [sys.executable, "-m", "batfs", "sim", *command], cwd=case, env=environment
        )
        try:
            for k, expected in enumerate(recording.requests):
                assert socket.poll(20_000), f"no request {k}"
                assert (
                    differences(normal(json.loads(socket.recv())), normal(expected), f"request {k}") is None
                )
                socket.send_string(json.dumps(recording.replies[k]))
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    for kind in ("jobs", "schedule", "machine_states"):
        compare_files(tmp_path / f"out_{kind}.csv", case / f"{kind}.csv")


def test_the_command_refuses_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    sim.add_arguments(parser)
    for flags in (["-E"], ["-W", "flow.xml"], ["--enable-redis"], ["--WS", "flow.xml", "1"]):
        with pytest.raises(BatfsError, match="doesn't simulate"):
            parser.parse_args(["-p", "x", *flags])
