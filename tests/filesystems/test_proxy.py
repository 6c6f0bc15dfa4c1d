"""The file systems for schedulers that know nothing of them: in this process and over sockets."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, free_port, over_sockets, write_inputs
from fs_tiny import job as job_at
from fs_tiny import simulate_tiny as simulate_at_once
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.pybatsim_process import PybatsimProcess, load_pybatsim
from batfs.protocol import messages as m
from batfs.resource_sets import parse_resources
from batfs.scheduling.config import Layer, Settings

MB = 10**6
PFS = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}
SMALL = {"s0": {**PFS["s0"], "size": "2GB"}}
BUFFER = {
    "b0": {"filesystem": "bb", "size": "1GB", "read": "500MBps", "write": "400MBps"},
    "s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"},
}
STAGED = {"filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre"}}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pybatsim writes out_events.csv where it is started."""
    monkeypatch.chdir(tmp_path)


def job(name: str, *given: Any, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """Everything begins at 1 s: pybatsim's schedulers fail on a job that starts at 0."""
    return job_at(name, *given, at=at + 1, **more)


def simulate_tiny(*given: Any, **more: Any) -> Ran:
    """Messages take 1 ms."""
    return simulate_at_once(*given, control="1ms", **more)


def near(seconds: float) -> Any:
    """Up to some messages."""
    return pytest.approx(seconds, abs=0.02)


def behind_proxy(scheduler: str) -> Any:
    """A pybatsim scheduler, unchanged, behind an injector."""

    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        injector = Injector(settings, make_files=files, say=ran.said.append)
        return WithFileSystems(PybatsimProcess(load_pybatsim(scheduler)), injector)

    return make


def mixed_jobs(count: int, seed: int, nodes: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        job(
            f"{k:03}",
            rng.randint(1, nodes),
            rng.randint(1, 20) * 1e9,
            at=rng.randint(0, 30 * count // 4),
            walltime=1000,
            io_reads=rng.randint(0, 5) * 100 * MB,
            io_writes=rng.randint(0, 3) * 100 * MB,
        )
        for k in range(count)
    ]


@pytest.mark.parametrize(("theirs", "ours"), [("schedFcfs", "fcfs"), ("schedEasySjfBackfill", "easy")])
def test_pybatsims_schedulers_get_the_times_of_ours(tmp_path: Path, theirs: str, ours: str) -> None:
    """Where pybatsim's scheduler and batfs's own take the same decisions, every job starts and ends at the
    same time with the same I/O: all jobs take half of the machine, so that there is nothing to backfill and
    any free nodes serve."""
    jobs = mixed_jobs(25, 3, 4)
    for one in jobs:
        one["job"]["res"] = 2
    plain = simulate_tiny(tmp_path, 4, PFS, jobs, {"queue": ours})
    proxied = simulate_tiny(tmp_path, 4, PFS, jobs, process=behind_proxy(theirs))
    assert len(plain.jobs) == 25
    assert {k: (j.start, j.end) for k, j in proxied.jobs.items()} == {
        k: (near(j.start), near(j.end)) for k, j in plain.jobs.items()
    }
    given = [d.io_job for d in proxied.sent if isinstance(d, m.ExecuteJob)]
    assert sum(io is not None for io in given) == sum(
        bool(j["profile"]["io_reads"] or j["profile"]["io_writes"]) for j in jobs
    )


def test_without_the_proxy_there_is_no_io(tmp_path: Path) -> None:
    """The same job through schedFcfs alone takes its 1 s of computing, with the proxy 4 s of reading."""
    one = [job("1", 1, 1e9, io_reads=400 * MB)]
    alone = simulate_tiny(
        tmp_path, 1, PFS, one, process=lambda s, f, r: PybatsimProcess(load_pybatsim("schedFcfs"))
    )
    assert alone.duration("1") == near(1.0)
    proxied = simulate_tiny(tmp_path, 1, PFS, one, process=behind_proxy("schedFcfs"))
    assert proxied.duration("1") == near(4.0)


def test_staging_for_a_scheduler_that_knows_nothing_of_it(tmp_path: Path) -> None:
    """Stage-in 4 s, 5 s of computing, stage-out 2 s after it: the scheduler sees one job of 9 s on the node
    from 1 s on, so the next starts at 10 s; the simulation ends by itself though the scheduler never
    finishes registration."""
    io = [{"filesystem": "bb", "reads": 400 * MB, "writes": 100 * MB}]
    jobs = [job("1", 1, 5e9, io=io), job("2", 1, 1e9)]
    ran = simulate_tiny(tmp_path, 1, BUFFER, jobs, STAGED, dynamic=True, process=behind_proxy("schedFcfs"))
    assert ran.times("1") == (near(5.0), near(10.0))
    assert ran.times("2")[0] == near(10.0)
    assert list(ran.kinds()) == ["w0.1.0.stage_in", "w0.1.2.stage_out"]
    assert not ran.result.deadlock


def test_a_job_without_room_is_held_back_and_one_that_never_fits_rejected(tmp_path: Path) -> None:
    """2 GB of storage: 1 and 2 of 1.5 GB each at once don't fit, so 2, though started by the scheduler at 1
    s, begins when 1 has read its 1500 MB at 100 MB/s, at 16 s. 3 asks for 3 GB: rejected, and the scheduler
    goes on with 4 when both nodes are free, at 31 s."""
    jobs = [
        job("1", io_reads=1500 * MB),
        job("2", io_reads=1500 * MB),
        job("3", io_reads=3000 * MB, at=1),
        job("4", 2, 1e9, at=2),
    ]
    ran = simulate_tiny(tmp_path, 2, SMALL, jobs, process=behind_proxy("schedFcfs"))
    assert ran.times("2")[0] == near(16.0)
    assert ran.jobs["w0!3"].rejected
    assert "can never start" in ran.jobs["w0!3"].metadata
    assert ran.times("4")[0] == pytest.approx(31.0, abs=0.3)


def test_nobody_is_given_up_while_jobs_may_come(tmp_path: Path) -> None:
    """2 GB of storage, two nodes. 1 writes 1,500 MB at 50 MB/s, until 31 s, and they stay. 2 wants as many
    and has a node, but no room; nothing else runs from 31 s on. 3 comes at 41 s and deletes the set when it
    ends, at 42 s: 2 begins."""
    kept = {"data_set": "x", "life": "campaign"}
    jobs = [
        job("1", io=[{"filesystem": "lustre", "writes": 1500 * MB, "options": kept}]),
        job("2", io_reads=1500 * MB),
        job("3", 1, 1e9, at=40, io=[{"filesystem": "lustre", "options": {"data_set": "x", "delete": True}}]),
    ]
    ran = simulate_tiny(tmp_path, 2, SMALL, jobs, process=behind_proxy("schedFcfs"))
    assert ran.times("2") == (near(42.0), near(57.0))


def test_who_waits_for_what_has_gone_for_ever_is_rejected_at_once(tmp_path: Path) -> None:
    """1 has the node until 11 s, 2 waits for it. At 5 s the storage that 2 would read from is lost: 2 is
    rejected then, not when the scheduler starts it, and 3 follows on 1."""
    jobs = [job("1", 1, 10e9), job("2", io_reads=MB), job("3", 1, 1e9)]
    faults = {"fault": [{"at": 5.0, "storage": "s0", "state": "down", "jobs": "fail"}]}
    ran = simulate_tiny(tmp_path, 1, PFS, jobs, {"faults": faults}, process=behind_proxy("schedFcfs"))
    rejections = [sent for sent in ran.sent if isinstance(sent, m.RejectJob)]
    assert [(one.job_id, one.timestamp) for one in rejections] == [("w0!2", near(5.0))]
    assert "for ever" in ran.jobs["w0!2"].metadata
    assert ran.times("3")[0] == pytest.approx(11.0, abs=0.3)


class Reckless:
    """Starts jobs on any free nodes, and kills them at random."""

    def __init__(self, seed: int, nodes: int) -> None:
        self.rng = random.Random(seed)
        self.free = set(range(nodes))
        self.queue: list[Any] = []
        self.running: dict[str, tuple[int, ...]] = {}
        self.killed: set[str] = set()
        self.seen: list[str] = []

    def decide(self, request: m.Request) -> m.Reply:
        out: list[m.Decision] = []
        for event in request.events:
            if isinstance(event, m.JobSubmitted):
                assert event.job.workload == "w0"
                self.queue.append(event.job)
            elif isinstance(event, m.JobCompleted):
                self.seen.append(event.job_id)
                self.free |= set(self.running.pop(event.job_id))
                assert set(parse_resources(event.alloc)) <= self.free
            elif isinstance(event, m.JobKilled):
                assert set(event.job_ids) <= self.killed | set(self.seen)
        for one in list(self.queue):
            if one.requested_nodes <= len(self.free):
                self.queue.remove(one)
                nodes = tuple(sorted(self.free))[: one.requested_nodes]
                self.free -= set(nodes)
                self.running[one.id] = nodes
                out.append(m.ExecuteJob(request.now, one.id, nodes))
        for job_id in list(self.running):
            if job_id not in self.killed and self.rng.random() < 0.05 and not out:
                self.killed.add(job_id)
                out.append(m.KillJob(request.now, [job_id]))
        return m.Reply(request.now, out)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kills_at_any_moment_leave_nothing_behind(tmp_path: Path, seed: int, dynamic: bool) -> None:
    """Jobs with staging, checkpoints and phases, killed while they wait for room, stage in, compute or drain:
    every job is reported to the scheduler exactly once, and no byte stays reserved."""
    rng = random.Random(seed)
    jobs = []
    for k in range(8):
        options: Mapping[str, Any] = rng.choice(
            [{}, {"timing": "phases"}, {"checkpoints": 2, "checkpoint_bytes": 50 * MB}, {"stage_out": False}]
        )
        io = [
            {
                "filesystem": "bb",
                "reads": rng.randint(0, 6) * 100 * MB,
                "writes": 100 * MB,
                "options": options,
            }
        ]
        jobs.append(
            job(f"{k}", rng.randint(1, 2), 3e9, at=rng.randint(0, 10), io=io, walltime=rng.choice([2, 50]))
        )
    inner = Reckless(seed, 3)
    injectors: list[Injector] = []

    def make(settings: Any, files: Any, ran: Ran) -> m.DecisionProcess:
        injectors.append(Injector(settings, make_files=files))
        return WithFileSystems(inner, injectors[0])

    ran = simulate_tiny(tmp_path, 3, BUFFER, jobs, STAGED, dynamic=dynamic, process=make)
    assert not ran.result.deadlock
    assert sorted(inner.seen) == sorted(f"w0!{k}" for k in range(8))
    machine = injectors[0].tenancy.machine
    assert len(machine.ledger) == 0
    assert not machine.transfers.any()


@pytest.mark.parametrize("processes", [2, 3])
def test_over_sockets_with_pybatsims_launcher(tmp_path: Path, processes: int) -> None:
    """batfs sim, batfs-proxy and pybatsim's launcher with schedFcfs as three processes, or the scheduler
    within the proxy: the times of a run in one process, and an io_jobs.csv."""
    jobs = mixed_jobs(12, 5, 3)
    expected = simulate_tiny(tmp_path, 3, PFS, jobs, process=behind_proxy("schedFcfs"))
    platform, workload = write_inputs(tmp_path, 3, PFS, jobs, control="1ms")
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    launcher = str(Path(sys.executable).parent / "pybatsim")
    scheduler = ["--queue", "pybatsim:schedFcfs"]
    if processes == 3:
        scheduler = ["--to", back, "--", launcher, "schedFcfs", "-s", back]
    proxy = ["batfs.decision.proxy_command", "-s", front, "-e", str(tmp_path / "proxied"), *scheduler]
    got = over_sockets(tmp_path, (platform, workload), front, proxy)
    error = (tmp_path / "said.log").read_text()
    for name, result in expected.jobs.items():
        assert float(got[name]["starting_time"]) == pytest.approx(result.start, abs=1e-5), error
        assert float(got[name]["finish_time"]) == pytest.approx(result.end, abs=1e-5)
    io = (tmp_path / "proxied_io_jobs.csv").read_text().splitlines()
    assert len(io) == 1 + sum(bool(j["profile"]["io_reads"] or j["profile"]["io_writes"]) for j in jobs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--queue", "pybatsim:schedFcfs", "--to", "tcp://127.0.0.1:1"], "leave out --scheduler"),
        (["--queue", "pybatsim:schedFcfs", "--", "pybatsim", "schedFcfs"], "leave out --scheduler"),
        (["--queue", "pybatsim:schedFcsf"], "did you mean 'schedFcfs'?"),
        (["--queue", "pybatsim:schedFcfs:{"], "malformed JSON"),
        (["--policy", "wurst_fit"], "worst_fit"),
    ],
)
def test_wrong_words_end_with_2_before_batsim_comes(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from batfs.decision.proxy_command import main

    try:
        code: Any = main(["-s", "tcp://127.0.0.1:*", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_says_so_when_no_scheduler_answers(tmp_path: Path) -> None:
    """A scheduler that ends at once: the proxy says so and ends with 1, and so does the simulator."""
    from batfs.decision.peers import SchedulerGoneError
    from batfs.decision.scheduler_link import SchedulerLink

    link = SchedulerLink(f"tcp://127.0.0.1:{free_port()}", patience=0.2)
    begin = time.monotonic()
    with pytest.raises(SchedulerGoneError, match="no scheduler answers"):
        link.ask(b"{}")
    link.close()
    assert time.monotonic() - begin < 10


def test_what_is_not_changed_passes_byte_for_byte() -> None:
    """Messages with members nobody knows and numbers in any form: those without I/O leave the proxy as they
    came; the EXECUTE_JOB of a job with I/O keeps what it had and gets its additional_io_job."""
    import orjson

    from batfs.decision.proxy import RawProxy

    def nobody(text: bytes) -> bytes:
        raise NotImplementedError(text)

    proxy = RawProxy(Injector(Settings(flags=Layer("test", {"show_storages": True}))))
    resources: dict[str, Any] = {"state": "idle", "zone_properties": {}}
    data = {
        "nb_resources": 3,
        "nb_compute_resources": 2,
        "nb_storage_resources": 1,
        "allow_compute_sharing": False,
        "allow_storage_sharing": True,
        "config": {"dynamic-jobs-enabled": False},
        "compute_resources": [
            {**resources, "id": k, "name": f"n{k}", "properties": {"role": ""}} for k in range(2)
        ],
        "storage_resources": [
            {**resources, "id": 2, "name": "s0", "properties": {"role": "storage", "size": "1TB"}}
        ],
        "workloads": {"w0": "w.json"},
        "profiles": {"w0": {}},
    }
    begins = {"now": 0.0, "events": [{"timestamp": 0.0, "type": "SIMULATION_BEGINS", "data": data}]}
    asked = proxy.request(orjson.dumps(begins))
    assert asked is not None
    assert orjson.loads(asked) == begins
    nothing = b'{"now": 0.00, "events": [], "odd":1e0}'
    assert proxy.reply(nothing, nobody) == nothing

    def submitted(name: str, extra: str) -> bytes:
        return (
            '{"now":1.000000, "events":[{"timestamp":1.0,"type":"JOB_SUBMITTED","data":'
            f'{{"job_id":"w0!{name}","job":{{"id":"w0!{name}","subtime":1,"walltime":9,"res":2,"profile":"p","odd":[]}},'
            f'"profile":{{"type":"parallel_homogeneous","cpu":1.50e9,"com":0{extra}}}}}}},'
            '{"timestamp":1.0,"type":"UNHEARD_OF","data":{}}]}'
        ).encode()

    def executed(name: str) -> bytes:
        return (
            f'{{"now":1.0, "events":[{{"timestamp":1.00,"type":"EXECUTE_JOB","odd":true,'
            f'"data":{{"job_id":"w0!{name}","alloc":"0-1"}}}}]}}'
        ).encode()

    for name, extra in (("a", ""), ("b", ',"io_reads":300,"io_writes":0')):
        text = submitted(name, extra)
        assert proxy.request(text) == text
    assert proxy.reply(executed("a"), nobody) == executed("a")
    assert proxy.request(b'{"now":2,"events":[]}') == b'{"now":2,"events":[]}'
    [event] = orjson.loads(proxy.reply(executed("b"), nobody))["events"]
    io = event["data"].pop("additional_io_job")
    assert event == orjson.loads(executed("b"))["events"][0]
    assert io["alloc"] == "0-2"
    assert io["profile"]["com"] == [0, 0, 0, 0, 0, 0, 150, 150, 0]
    assert not proxy.over
    last = b'{"now":3.0,"events":[{"timestamp":3.0,"type":"SIMULATION_ENDS","data":{}}]}'
    assert proxy.request(last) == last
    assert proxy.over
