"""pybatsim's schedulers as queues: their jobs' bytes move, in every way to run them, and none is lost."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "filesystems"))
from fs_tiny import free_port, over_sockets, platform_xml  # noqa: E402

PLATFORM, IO = ROOT / "platforms" / "taurus_storage.xml", ROOT / "workloads" / "io.json"
#: Those of pybatsim's that need neither energy nor Bebida's options.
EIGHT = (
    *("easyBackfill", "fillerSched", "fillerSchedWithEvents", "randomSched"),
    *("schedEasySjfBackfill", "schedFcfs", "schedFiller", "schedSendRecv"),
)
#: pybatsim's own launcher in a process of its own. Only what no two processes share is fixed: the order of
#: jobs in a set, which goes by their addresses, and where random numbers begin.
LAUNCHER = """
import itertools, random, sys
import batfs.decision.pybatsim
from batsim.batsim import Job
from batsim.cmds.launcher import main
order, made = itertools.count(), Job.__init__
def init(self, *given):
    made(self, *given)
    self.batfs_order = next(order)
Job.__init__ = init
random.seed(0)
sys.exit(main())
"""
MB, GB = 10**6, 10**9


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def first_jobs(path: Path, count: int) -> Path:
    """The first jobs of workloads/io.json, a second later: pybatsim's API refuses to start one at 0."""
    whole = json.loads(IO.read_text())
    jobs = [{**job, "subtime": job["subtime"] + 1} for job in whole["jobs"][:count]]
    used = {job["profile"] for job in jobs}
    profiles = {name: profile for name, profile in whole["profiles"].items() if name in used}
    path.write_text(json.dumps({**whole, "jobs": jobs, "profiles": profiles}))
    return path


def tiny(folder: Path, jobs: list[dict[str, Any]], profiles: Mapping[str, Any], nodes: int = 2) -> list[str]:
    """Arguments: a machine with one storage that reads 100 MB/s, and these jobs."""
    storage = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}
    (folder / "p.xml").write_text(platform_xml(nodes, storage, control="1us"))
    (folder / "w.json").write_text(json.dumps({"nb_res": nodes, "jobs": jobs, "profiles": profiles}))
    return ["run", "-p", "p.xml", "-w", "w.json", "-e", "out/r"]


def rows(path: str | Path) -> list[dict[str, str]]:
    with open(path) as text:
        return list(csv.DictReader(text))


def times(path: str | Path) -> dict[str, tuple[str, str, str]]:
    return {
        row["job_id"]: (row["final_state"], row["starting_time"], row["finish_time"]) for row in rows(path)
    }


def moved(path: str | Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """What the rows of io_jobs.csv say of bytes."""
    columns = ("storages", "read_bytes", "written_bytes", "read_by_storage", "written_by_storage")
    return {
        (row["job_id"], row["file_system"]): tuple(row[column] for column in columns) for row in rows(path)
    }


READER = {"p": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 10 * GB}}


def test_the_bytes_of_a_pybatsim_queue_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """10 GB over a link of 100 MB/s: the job of 1 s takes 100 s, and says what it read. What the scheduler
    prints is in a file."""
    words = tiny(tmp_path, [{"id": "1", "subtime": 1, "res": 1, "profile": "p"}], READER)
    assert main([*words, "--queue", "pybatsim:fillerSched", "--policy", "worst_fit"]) == 0
    [row] = rows("out/r_jobs.csv")
    assert float(row["execution_time"]) == pytest.approx(100.0, abs=1e-3)
    [row] = rows("out/r_io_jobs.csv")
    assert row["read_bytes"] == "10000000000"
    assert len(rows("out/r_storage_states.csv")) == 3
    account = json.loads(Path("out/r_provenance.json").read_text())["results"]["bytes"]
    assert account == {"asked": 10 * GB, "moved": 10 * GB, "cut_short": 0, "dropped": {}, "left": 0}
    assert "openJobs" in Path("out/r_pybatsim.log").read_text()
    said = capsys.readouterr()
    assert "openJobs" not in said.out + said.err
    assert "out/r_pybatsim.log" in said.out
    assert "asked for" not in said.out
    assert main([*words, "--queue", "pybatsim:fillerSched", "-v", "-q"]) == 0
    assert "openJobs" in capsys.readouterr().err


@pytest.mark.parametrize("queue", ["fcfs", "pybatsim:schedFcfs"])
def test_io_is_left_out_by_request_and_the_bytes_are_said(
    tmp_path: Path, queue: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = tiny(tmp_path, [{"id": "1", "subtime": 1, "res": 1, "profile": "p"}], READER)
    assert main([*words, "--queue", queue, "--no-io", "--validate"]) == 0
    assert float(rows("out/r_jobs.csv")[0]["execution_time"]) == pytest.approx(1.0, abs=1e-3)
    assert (
        "bytes     10 GB asked for, 0 B moved; 10 GB dropped: left out by --no-io" in capsys.readouterr().out
    )


@pytest.mark.parametrize("queue", ["fcfs", "pybatsim:schedFcfs"])
def test_what_became_of_every_byte(tmp_path: Path, queue: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One job reads 1 GB, one of 2 TB can never start, one reads 10 GB in 50 s of walltime, and a delay
    takes no I/O without dynamic jobs: 1 GB, 2 TB, 10 GB and 3 GB."""
    task = {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0}
    profiles = {
        "a": {**task, "io_reads": GB},
        "b": {**task, "io_writes": 2000 * GB},
        "c": {**task, "io_reads": 10 * GB},
        "d": {"type": "delay", "delay": 1, "io_reads": 3 * GB},
    }
    jobs = [
        {"id": f"{k}", "subtime": 1 + 300 * k, "res": 1, "profile": name, "walltime": 50}
        for k, name in enumerate(profiles)
    ]
    assert main([*tiny(tmp_path, jobs, profiles), "--queue", queue, "--validate"]) == 0
    account = json.loads(Path("out/r_provenance.json").read_text())["results"]["bytes"]
    assert account == {
        "asked": 2014 * GB,
        "moved": GB,
        "cut_short": 10 * GB,
        "dropped": {
            "of jobs that were rejected": 2000 * GB,
            "on a profile that takes no I/O without dynamic jobs": 3 * GB,
        },
        "left": 0,
    }
    out = capsys.readouterr().out
    assert "bytes     2.014 TB asked for, 1 GB moved; 10 GB of jobs that ended early; 2 TB dropped: of" in out


def test_an_account_that_loses_a_byte_is_found() -> None:
    from batfs.scheduling.account import ByteAccount
    from batfs.scheduling.story import InvariantError

    account = ByteAccount()
    account.asked, account.moved = 10, 9
    with pytest.raises(InvariantError, match="every byte asked for"):
        account.validate([], [])


SCHEDULER = """
import json
from batsim.batsim import BatsimScheduler
from procset import ProcSet

class Mine(BatsimScheduler):
    def onJobSubmission(self, job):
{}
    def onJobCompletion(self, job):
        pass
"""
DELAYS = [
    {"id": "1", "subtime": 1, "res": 1, "profile": "d"},
    {"id": "2", "subtime": 1, "res": 2, "profile": "d"},
]
DELAY = {"d": {"type": "delay", "delay": 1}}


def mine(body: str) -> list[str]:
    Path("mine.py").write_text(SCHEDULER.format("\n".join(f"        {line}" for line in body.splitlines())))
    return ["--queue", "pybatsim:mine.py"]


def test_a_failing_schedulers_own_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """json.loads fails within Python's library, at line 8 of the user's file."""
    assert main([*tiny(tmp_path, DELAYS, DELAY), *mine('self.extra = json.loads("{")')]) == 1
    error = capsys.readouterr().err
    assert "failed at t=1.000" in error
    assert "in mine.py, line 8 (by decoder.py, line" in error


def test_a_scheduler_that_leaves_the_process_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*tiny(tmp_path, DELAYS, DELAY), *mine('import sys\nsys.exit("no rejection")')]) == 1
    assert "gave up at t=1.000" in (error := capsys.readouterr().err)
    assert "in mine.py, line 9: no rejection" in error


def test_a_job_that_is_forgotten_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scheduler starts jobs of one node only; no bandwidth has to do with it."""
    body = (
        "if job.requested_resources == 1:\n    job.allocation = ProcSet(0)\n    self.bs.execute_jobs([job])"
    )
    assert main([*tiny(tmp_path, DELAYS, DELAY), *mine(body), "-q"]) == 1
    error = capsys.readouterr().err
    assert "1 job (w0!2) was submitted and neither started nor rejected by the scheduler" in error
    assert "bandwidth" not in error


def test_a_flow_that_stands_still_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = tiny(tmp_path, [{"id": "1", "subtime": 1, "res": 1, "profile": "p"}], READER)
    text = Path("p.xml").read_text()
    Path("p.xml").write_text(
        text.replace('id="s0_read" bandwidth="100MBps"', 'id="s0_read" bandwidth="0Bps"')
    )
    assert main([*words, "-q"]) == 1
    error = capsys.readouterr().err
    assert "1 job (w0!1) started and can't go on: is a bandwidth" in error
    assert "neither started" not in error


def test_registered_jobs_run_and_have_io(tmp_path: Path) -> None:
    """A scheduler that registers a job of its own, of 1 GB to read at 100 MB/s: 10 s. And one that forgets
    the job it registered: the message names it."""
    body = """
profiles = {"nap": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 10**9}}
self.bs.register_profiles("made", profiles)
one = self.bs.register_job("made!1", 1, 60, "nap")
self.bs.notify_registration_finished()
self.bs.reject_jobs([job])
one.allocation = ProcSet(0)
self.bs.execute_jobs([one])""".strip()
    words = tiny(tmp_path, DELAYS[:1], DELAY)
    assert main([*words, *mine(body), "--enable-dynamic-jobs", "--validate", "-q"]) == 0
    made = {row["workload_name"]: row for row in rows("out/r_jobs.csv")}["made"]
    assert float(made["execution_time"]) == pytest.approx(10.0, abs=1e-3)
    [row] = rows("out/r_io_jobs.csv")
    assert (row["workload_name"], row["read_bytes"]) == ("made", "1000000000")


def test_a_registered_job_that_is_forgotten_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """
self.bs.register_profiles("made", {"nap": {"type": "delay", "delay": 5}})
self.bs.register_job("made!1", 1, 60, "nap")
self.bs.reject_jobs([job])""".strip()
    words = tiny(tmp_path, DELAYS[:1], DELAY)
    assert main([*words, *mine(body), "--enable-dynamic-jobs", "-q"]) == 1
    assert "1 job (made!1) was submitted and neither started nor rejected" in capsys.readouterr().err


def test_a_file_for_pybatsim_4_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("four.py").write_text("from pybatsim.batsim.batsim import BatsimScheduler\n")
    assert main([*tiny(tmp_path, DELAYS, DELAY), "--queue", "pybatsim:four.py"]) == 2
    error = capsys.readouterr().err
    assert "four.py: is written for pybatsim 4" in error
    assert "pybatsim 3.2" in error
    assert "batfs sim" in error


def test_a_file_that_fails_at_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.py").write_text("import json\n\njson.loads('{')\n")
    assert main([*tiny(tmp_path, DELAYS, DELAY), "--queue", "pybatsim:broken.py"]) == 2
    assert "in broken.py, line 3" in capsys.readouterr().err


@pytest.mark.parametrize("scheduler", EIGHT)
def test_the_same_run_is_the_same_schedule_in_run_and_compare(tmp_path: Path, scheduler: str) -> None:
    """The first 40 jobs of workloads/io.json, twice with ``run`` and as ``compare`` does them."""
    from batfs.campaign.single import run_once

    workload = first_jobs(tmp_path / "w.json", 40)
    sharing = ["--enable-compute-sharing"] * (scheduler == "randomSched")
    for name in "ab":
        words = ["run", "-q", "-p", str(PLATFORM), "-w", str(workload), "-e", name, "--validate", *sharing]
        assert main([*words, "--queue", f"pybatsim:{scheduler}"]) == 0
    for file in ("jobs.csv", "io_jobs.csv", "storage_states.csv"):
        assert Path(f"a_{file}").read_bytes() == Path(f"b_{file}").read_bytes()
    account = json.loads(Path("a_provenance.json").read_text())["results"]["bytes"]
    assert account["asked"] == account["moved"] + account["cut_short"] > 0
    if not sharing:  # compare has no such flag
        run_once(PLATFORM, workload, "c", {"queue": f"pybatsim:{scheduler}"})
        assert times("a_jobs.csv") == times("c_jobs.csv")
        assert Path("a_io_jobs.csv").read_bytes() == Path("c_io_jobs.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", EIGHT)
@pytest.mark.parametrize("processes", [2, 3])
def test_behind_the_proxy_it_is_the_same(tmp_path: Path, scheduler: str, processes: int) -> None:
    """``batfs run --queue``, the scheduler within ``batfs-proxy``, and three processes: the same bytes,
    starts and ends."""
    workload = first_jobs(tmp_path / "w.json", 40)
    sharing = ["--enable-compute-sharing"] * (scheduler == "randomSched")
    words = ["run", "-q", "-p", str(PLATFORM), "-w", str(workload), "-e", "run", *sharing]
    assert main([*words, "--queue", f"pybatsim:{scheduler}"]) == 0
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    (tmp_path / "launcher.py").write_text(LAUNCHER)
    inside = ["--queue", f"pybatsim:{scheduler}"]
    if processes == 3:
        inside = ["--to", back, "--", sys.executable, "launcher.py", scheduler, "-s", back]
    proxy = ["batfs.decision.proxy_command", "-s", front, "-e", "proxied", *inside]
    over_sockets(tmp_path, (PLATFORM, workload), front, proxy, *sharing)
    assert times("sim_jobs.csv") == times("run_jobs.csv")
    assert moved("proxied_io_jobs.csv") == moved("run_io_jobs.csv")
    accounts = [
        json.loads(Path(f"{name}_provenance.json").read_text())["results"]["bytes"]
        for name in ("run", "proxied")
    ]
    assert accounts[0] == accounts[1]
