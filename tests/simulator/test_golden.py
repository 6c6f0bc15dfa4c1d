"""Recorded conversations of the real Batsim 4.2.1: batfs must say the same and compute the same times.

The recordings are those that ``batfs verify`` replays (``batfs/cli/verification``), in-process; a few are
replayed as ``batfs sim`` over a real socket, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from batfs.cli import sim
from batfs.cli.verification.recordings import (
    Recording,
    compare_files,
    differences,
    flags_of,
    names,
    normal,
    replay,
    rows,
    unpack,
)
from batfs.errors import BatfsError, InputError

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    unpack(folder)
    return folder


@pytest.mark.parametrize("interpreted", [False, True], ids=["compiled", "interpreted"])
@pytest.mark.parametrize("name", names("cases"))
def test_case(golden: Path, name: str, interpreted: bool, tmp_path: Path) -> None:
    case = golden / "cases" / name
    ends = replay(case, tmp_path / "out", interpreted=interpreted).jobs
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
        replay(case, tmp_path / "out")
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
    flags = flags_of(case)
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
