"""A year of the KTH SP2, from its log to a simulated schedule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batfs.cli.main import main
from batfs.workload import read_workload

KTH = Path(__file__).parents[2].parent / "shared" / "data" / "kth" / "KTH-SP2-1996-2.1-cln.swf"


@pytest.mark.slow
@pytest.mark.skipif(not KTH.is_file(), reason="the KTH-SP2 log is not beside the project")
def test_the_whole_log_is_simulated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine, whole, part = tmp_path / "machine.xml", tmp_path / "kth.json", tmp_path / "part.json"
    size = ["--set", "pfs.size=50TB", "-o", str(machine)]
    assert main(["platform", "new", "--nodes", "100", "--pfs", "4x2", *size]) == 0
    words = [str(KTH), "-p", str(machine), "--io", "lognormal", "-o", str(whole)]
    assert main(["workload", "from-swf", *words]) == 0
    assert main(["workload", "describe", str(whole), "-p", str(machine)]) == 0
    assert main(["workload", "cut", str(whole), "--first", "3000", "-o", str(part)]) == 0
    found = {}
    for workload, policy in ((whole, "random"), (part, "worst_fit")):
        capsys.readouterr()
        flags = ["--disable-schedule-tracing", "--disable-machine-state-tracing", "--queue", "easy", "--json"]
        prefix = str(tmp_path / policy)
        assert (
            main(["run", "-p", str(machine), "-w", str(workload), "--policy", policy, "-e", prefix, *flags])
            == 0
        )
        found[policy] = json.loads(capsys.readouterr().out)
    assert (found["random"]["jobs"], found["worst_fit"]["jobs"]) == (28_475, 3000)
    workload = read_workload(whole)
    reads = sum(workload.profiles[job.profile].extra["io_reads"] for job in workload.jobs)
    (lustre,) = found["random"]["file_systems"].values()
    assert lustre["read_bytes"] == reads
