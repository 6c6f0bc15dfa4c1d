"""What ``batfs explain`` says is what a simulation of that job alone takes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from fs_tiny import composed, job, simulate_tiny, write_inputs

from batfs.cli.main import main

MB = 10**6
STORAGES = {
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
    "s1": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
}


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["explain", *words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_bottleneck_and_times_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """2 of 4 nodes read 800 MB from one of two targets: 8 s at 100 MB/s on s0_read, the bottleneck. One such
    job more fits on the other nodes; first fit gives it the same target: 16 s. Round robin gives it the
    other: 8 s."""
    platform, workload = write_inputs(tmp_path, 4, STORAGES, [job("7", 2, io_reads=800 * MB)])
    words = ("-p", str(platform), "-w", str(workload), "--job", "7")
    for policy, shared in (("first_fit", 16.0), ("round_robin", 8.0)):
        found = explained(capsys, *words, "--policy", policy)
        (part,) = found["parts"]  # type: ignore[misc]
        assert part["bottleneck"] == "s0_read"
        assert part["ideal_seconds_alone"] == pytest.approx(8.0)
        assert part["jobs_beside_it"] == 1
        assert part["ideal_seconds_shared"] == pytest.approx(shared)
        assert [f["links"] for f in part["flows"]] == [["s0_read", "n0_down"], ["s0_read", "n1_down"]]


def test_ideal_time_is_the_simulated_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(4)
    for k in range(6):
        one = job(
            "1", rng.randint(1, 4), io_reads=rng.randint(1, 900) * MB, io_writes=rng.randint(1, 900) * MB
        )
        config = {"filesystem": f"pfs:stripe_count={k % 2 + 1}"}
        ran = simulate_tiny(tmp_path, 4, STORAGES, [one], config)
        platform, workload = tmp_path / "platform.xml", tmp_path / "workload.json"
        found = explained(
            capsys, "-p", str(platform), "-w", str(workload), "--filesystem", config["filesystem"]
        )
        (part,) = found["parts"]  # type: ignore[misc]
        assert part["ideal_seconds_alone"] == pytest.approx(ran.duration("1"), abs=1e-5)


def test_a_composed_job_by_its_phases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The phases with I/O, how often they run, and the ideal time of one execution; under ``phases`` the
    simulated times of their reads and writes; without dynamic jobs that nothing moves."""
    children = {
        "load": {"type": "delay", "delay": 1, "io_reads": 400 * MB},
        "steps": {"type": "composed", "seq": ["save"], "repeat": 3},
        "save": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_writes": 100 * MB},
    }
    one = composed("1", ["load", "steps"], children, 2)
    config = {"filesystem": "pfs:timing=phases"}
    ran = simulate_tiny(tmp_path, 4, STORAGES, [one], config, dynamic=True)
    files = ("-p", str(tmp_path / "platform.xml"), "-w", str(tmp_path / "workload.json"))
    found = explained(capsys, *files, "--filesystem", config["filesystem"], "--enable-dynamic-jobs")
    assert [(p["when"], p["times"], p["bytes"]) for p in found["parts"]] == [  # type: ignore[attr-defined]
        ("read phase of the phase 'load'", 1, 400 * MB),
        ("write phase of the phase 'save'", 3, 100 * MB),
    ]
    kinds = ran.kinds()
    for part, step in zip(found["parts"], ("w0.1.0.read", "w0.1.3.write"), strict=True):  # type: ignore[call-overload]
        start, end = kinds[step]
        assert part["ideal_seconds_alone"] == pytest.approx(end - start, abs=1e-5)
    assert f"it runs in {len(kinds)} steps" in found["notes"][0]  # type: ignore[index]
    (note,) = explained(capsys, *files)["notes"]  # type: ignore[misc]
    assert "needs dynamic jobs" in note


def test_text_for_a_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform, _ = write_inputs(tmp_path, 4, STORAGES, [job("7", 2, io_reads=800 * MB)])
    assert main(["explain", "-p", str(platform), "--reads", "800MB", "--nodes", "4"]) == 0
    out = capsys.readouterr().out
    assert "the bottleneck is s0_read" in out
    assert "s0_read > n3_down" in out


def test_what_cant_be_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform, workload = write_inputs(tmp_path, 2, STORAGES, [job("7", 2, io_reads=3 * 10**12)])
    assert main(["explain", "-p", str(platform), "-w", str(workload)]) == 1
    assert "for ever" in capsys.readouterr().out
    for words, said in (
        (["-w", str(workload), "--job", "8"], "unknown job '8'"),
        (["-w", str(workload), "--on", "1"], "asks for 2 nodes"),
        ([], "which job?"),
    ):
        assert main(["explain", "-p", str(platform), *words]) == 2
        assert said in capsys.readouterr().err
