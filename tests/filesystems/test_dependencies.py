"""``missing = wait``: jobs that stand apart from the queue until the data sets they read exist; by hand.

One node writes or reads 100 MB/s, so that 800 MB take 8 s.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import (
    Ran,
    composed,
    free_port,
    job,
    over_sockets,
    simulate_tiny,
    watched,
    work,
    write_inputs,
)
from test_raw_proxy import OnTheWire

from batfs.cli.main import main
from batfs.decision.experiment import Experiment
from batfs.decision.injector import Injector, WithFileSystems
from batfs.decision.run import run as run_whole
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings

MB = 10**6
FCFS5 = Path(__file__).parents[1] / "support/fcfs_batsim5.py"
LAUNCHER = str(Path(sys.executable).parent / "pybatsim")
FAST = {"filesystem": "fs", "size": "100GB", "read": "100MBps", "write": "100MBps"}


def writes(name: str, data_set: str, at: float = 0.0, **more: Any) -> dict[str, Any]:
    return job(
        name, at=at, io=[{"filesystem": "fs", "writes": 800 * MB, "options": {"data_set": data_set}}], **more
    )


def reads(name: str, data_set: str, at: float = 0.0, makes: str = "", **more: Any) -> dict[str, Any]:
    """A job that waits for a data set; it ``makes`` another."""
    io = [{"filesystem": "fs", "reads": 800 * MB, "options": {"data_set": data_set, "missing": "wait"}}]
    if makes:
        io.append({"filesystem": "fs", "writes": 800 * MB, "options": {"data_set": makes}})
    return job(name, at=at, io=io, **more)


def run(folder: Path, nodes: int, jobs: list[dict[str, Any]], *, dynamic: bool = False, **config: Any) -> Ran:
    given = {"filesystems": {"fs": {"model": "pfs"}}, **config}
    return simulate_tiny(folder, nodes, {"a": FAST}, jobs, given, dynamic=dynamic, process=watched())


def waited(ran: Ran, name: str) -> dict[str, float]:
    record = next(r for r in ran.records if r.job.id.endswith(f"!{name}"))
    return {cause: round(seconds, 3) for (cause, _), seconds in record.waits.items()}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("queue", ["fcfs", "easy", "easy_storage", "conservative", "filler", "sjf_storage"])
def test_it_starts_when_the_set_exists_and_keeps_nobody_back(
    tmp_path: Path, queue: str, dynamic: bool
) -> None:
    """Two nodes. The reader comes at 0 and wants both; the writer comes at 10 and ends at 18; a job that came
    at 1 for both nodes passes the reader, which stands apart. The reader's 18 s of waiting are one cause."""
    jobs = [
        reads("r", "x", nodes=2, walltime=1000),
        job("other", nodes=2, cpu=5e9, at=1, walltime=1000),
        writes("w", "x", at=10, walltime=1000),
    ]
    ran = run(tmp_path, 2, jobs, dynamic=dynamic, queue=queue)
    assert ran.times("other")[0] == pytest.approx(1.0, abs=1e-3)
    assert ran.times("w") == pytest.approx((10.0, 18.0), abs=1e-3)
    assert ran.times("r") == pytest.approx((18.0, 26.0), abs=1e-3)
    assert waited(ran, "r") == {"dependency": pytest.approx(18.0, abs=1e-2)}


def test_a_set_that_was_there_before_is_there_when_its_first_reader_starts(tmp_path: Path) -> None:
    """Two nodes. The reader that waits came at 0; one for which the set was there all along (``fill``) comes
    at 10 and reads until 26, as both share 100 MB/s: the first starts at 10, too, not at the next message."""
    entry = {"filesystem": "fs", "reads": 800 * MB, "options": {"data_set": "x", "missing": "fill"}}
    ran = run(tmp_path, 2, [reads("r", "x"), job("f", at=10, io=[entry])])
    assert [ran.times(name) for name in "rf"] == [pytest.approx((10.0, 26.0), abs=1e-3)] * 2


@pytest.mark.parametrize("after", [0, 1])
def test_who_asks_for_a_set_finds_it_beside_its_first_reader(tmp_path: Path, after: float) -> None:
    """Two nodes. One takes the set to have been there and starts at 0; one that would never run without it
    (``error``) comes a second later, or in the same message: it reads, too. Their 1,600 MB share 100 MB/s."""
    entries = [
        {"filesystem": "fs", "reads": 800 * MB, "options": {"data_set": "x", "missing": missing}}
        for missing in ("fill", "error")
    ]
    ran = run(tmp_path, 2, [job("1", io=[entries[0]]), job("2", at=after, io=[entries[1]])])
    assert max(ran.times(name)[1] for name in "12") == pytest.approx(16.0, abs=1e-3)
    assert ran.times("2")[0] == pytest.approx(after, abs=1e-3)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_set_that_the_job_itself_leaves_empty_is_not_waited_for(tmp_path: Path, dynamic: bool) -> None:
    """Its first phase makes the set without any bytes, the second wants to read from it: never."""
    entry = {"filesystem": "fs", "options": {"data_set": "x", "missing": "wait"}}
    children = {
        "first": work(1.0, io=[{**entry, "writes": 0}]),
        "then": work(1.0, io=[{**entry, "reads": 800 * MB}]),
    }
    jobs = [composed("1", list(children), children), job("2", cpu=5e9, at=10)]
    ran = run(tmp_path, 1, jobs, dynamic=dynamic)
    [rejected] = [sent for sent in ran.sent if isinstance(sent, m.SetJobMetadata)]
    assert (rejected.job_id, rejected.timestamp) == ("w0!1", pytest.approx(0.0, abs=1e-3))
    assert "is empty" in rejected.metadata


def test_it_joins_the_end_of_the_queue(tmp_path: Path) -> None:
    """One node. The reader came at 0, the writer runs from 0 to 8; a job that came at 1 is before the reader
    in the queue and runs from 8 to 13: the reader waited 8 s for data and 5 s for the node."""
    jobs = [reads("r", "x"), writes("w", "x"), job("other", cpu=5e9, at=1)]
    ran = run(tmp_path, 1, jobs)
    assert ran.times("r")[0] == pytest.approx(13.0, abs=1e-3)
    causes = waited(ran, "r")
    assert causes.pop("dependency") == pytest.approx(8.0, abs=1e-2)
    assert sum(causes.values()) == pytest.approx(5.0, abs=1e-2)


def test_a_chain(tmp_path: Path) -> None:
    """c waits for b's set, b for a's, submitted the wrong way round on three nodes: each as
    soon as the one before it is over."""
    ran = run(tmp_path, 3, [reads("c", "y"), reads("b", "x", makes="y"), writes("a", "x")])
    assert ran.times("a")[1] == pytest.approx(8.0, abs=1e-3)
    assert ran.times("b")[0] == pytest.approx(8.0, abs=1e-3)
    assert ran.times("c")[0] == pytest.approx(ran.times("b")[1], abs=1e-3)


@pytest.mark.parametrize(
    ("jobs", "rejected"),
    [
        pytest.param([reads("r", "x")], {"r"}, id="nobody writes it"),
        pytest.param([reads("r", "x", makes="x")], {"r"}, id="itself alone"),
        pytest.param([reads("r", "x", makes="y"), reads("s", "y", makes="x")], {"r", "s"}, id="a circle"),
        pytest.param([reads("r", "x", makes="y"), reads("s", "y")], {"r", "s"}, id="behind one in vain"),
        pytest.param([reads("r", "x"), writes("w", "x", walltime=3)], {"r"}, id="its writer is killed"),
        pytest.param([reads("r", "x"), writes("w", "x"), reads("s", "z")], {"s"}, id="another's set"),
        pytest.param([writes("w", "x"), reads("r", "x", at=20)], set(), id="it was there before"),
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_rejected_when_nobody_can_write_it(
    tmp_path: Path, jobs: list[dict[str, Any]], rejected: set[str], dynamic: bool
) -> None:
    ran = run(tmp_path, 2, jobs, dynamic=dynamic)
    got = {name.removeprefix("w0!") for name, result in ran.jobs.items() if result.rejected}
    assert got == rejected
    assert len([name for name in ran.jobs if name.startswith("w0!")]) == len(jobs)


def test_a_set_that_goes_again(tmp_path: Path) -> None:
    """One node: x exists from 8 s and is deleted by a job that runs before the reader, which waits again, for
    a second writer at 30 s: it starts at 38 s."""
    gone = {"filesystem": "fs", "writes": 0, "options": {"data_set": "x", "delete": True}}
    jobs = [
        writes("w", "x"),
        job("d", cpu=5e9, at=1, io=[gone]),
        reads("r", "x", at=2),
        writes("again", "x", at=30),
    ]
    ran = run(tmp_path, 1, jobs)
    assert ran.times("r")[0] == pytest.approx(38.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs(tmp_path: Path, seed: int) -> None:
    """Jobs that read and write some of six sets at random: whoever runs starts after the end of a job that
    has written what it reads, and whoever is rejected reads something that no job which ran writes."""
    rng = random.Random(seed)
    jobs, needs, makes = [], {}, {}
    for k in range(14):
        name, need, make = f"j{k}", rng.choice(["", *"abcdef"]), rng.choice(["", *"abcdef"])
        needs[name], makes[name] = need, make
        at = float(rng.randrange(30))
        if need:
            jobs.append(reads(name, need, at, makes=make))
        elif make:
            jobs.append(writes(name, make, at))
        else:
            jobs.append(job(name, cpu=1e9, at=at))
    ran = run(tmp_path, 3, jobs, dynamic=bool(seed % 2), queue=rng.choice(["fcfs", "easy", "filler"]))
    results = {name: ran.jobs[f"w0!{name}"] for name in needs}
    ran_ok = [name for name, r in results.items() if not r.rejected]
    for name, result in results.items():
        if needs[name]:
            ends = [results[other].end for other in ran_ok if makes[other] == needs[name] and other != name]
            if result.rejected:
                assert not ends
            else:
                assert min(ends) <= result.start + 1e-6


def test_over_sockets(tmp_path: Path) -> None:
    """The same times over sockets as in one process, and the same rejection."""
    jobs = [reads("r", "x", at=1), writes("w", "x", at=5), reads("v", "z", at=2)]
    here = run(tmp_path, 2, jobs)
    files = write_inputs(tmp_path, 2, {"a": FAST}, jobs)
    (tmp_path / "batfs.toml").write_text("validate = true\n[filesystems.fs]\nmodel = 'pfs'\n")
    where = f"tcp://127.0.0.1:{free_port()}"
    command = ["batfs.decision.command", "-s", where, "--config", str(tmp_path / "batfs.toml")]
    got = over_sockets(tmp_path, files, where, [*command, "-e", str(tmp_path / "sched")])
    for name in ("w0!r", "w0!w"):
        assert float(got[name]["starting_time"]) == pytest.approx(here.jobs[name].start, abs=1e-5)
    assert "REJECTED" in got["w0!v"]["final_state"]
    header, *rows = [line.split(",") for line in (tmp_path / "sched_io_jobs.csv").read_text().splitlines()]
    seconds = {row[0]: row[header.index("wait_dependency")] for row in rows}
    assert float(seconds["r"]) == pytest.approx(12.0, abs=1e-2)


@pytest.mark.parametrize("seed", range(10))
def test_random_histories_with_staging_and_purges(tmp_path: Path, seed: int) -> None:
    """Sets that are waited for, filled, deleted, replaced, purged and staged, under any queue policy, with
    every invariant checked after each message: each job ends or is rejected."""
    rng = random.Random(seed)
    jobs = []
    for k in range(10):
        io = []
        for _ in range(rng.randint(0, 2)):
            options = {
                "data_set": rng.choice("abc"),
                "missing": rng.choice(["wait", "wait", "fill", "error"]),
                "delete": rng.random() < 0.2,
                "write": rng.choice(["append", "append", "overwrite", "replace"]),
                "life": rng.choice(["deleted", "deleted", "deleted", "job", "campaign", 20.0]),
            }
            moved = {"reads": rng.choice([0, 200 * MB]), "writes": rng.choice([0, 300 * MB])}
            io.append({"filesystem": rng.choice(["fs", "bb"]), **moved, "options": options})
        more = {"at": float(rng.randrange(30)), "walltime": rng.choice([20, 200, 1000]), "io": io}
        jobs.append(job(f"j{k}", nodes=rng.randint(1, 3), cpu=rng.choice([0, 5e9]), **more))
    buffer = {**FAST, "filesystem": "bb", "size": "3GB"}
    purge = rng.choice(["lru", "age:after=15", "watermark:high=0.1,low=0.05"])
    staging = rng.choice(["held", "ahead", "two_step"])
    config = {
        "queue": rng.choice(["fcfs", "easy", "easy_storage", "conservative", "filler", "sjf_storage"]),
        "filesystems": {
            "fs": {"model": "pfs", "purge": purge},
            "bb": {"model": "burst_buffer", "backing": "fs", "staging": staging},
        },
    }
    storages = {"a": FAST, "b": buffer}
    ran = simulate_tiny(tmp_path, 4, storages, jobs, config, dynamic=True, process=watched())
    assert {name for name in ran.jobs if name.startswith("w0!")} == {f"w0!j{k}" for k in range(10)}


class AnyNodes:
    """A scheduler that knows nothing of data: first come, first served, on the lowest free nodes."""

    def __init__(self, nodes: int) -> None:
        self.free = set(range(nodes))
        self.queue: list[Any] = []
        self.running: dict[str, tuple[int, ...]] = {}
        self.heard: list[str] = []

    def decide(self, request: m.Request) -> m.Reply:
        for event in request.events:
            if isinstance(event, m.JobSubmitted):
                self.heard.append(event.job.id)
                self.queue.append(event.job)
            elif isinstance(event, m.JobCompleted):
                self.free |= set(self.running.pop(event.job_id))
            elif isinstance(event, m.Notification):
                self.heard.append(event.kind)
        out: list[m.Decision] = []
        while self.queue and self.queue[0].requested_nodes <= len(self.free):
            one = self.queue.pop(0)
            nodes = self.running[one.id] = tuple(sorted(self.free))[: one.requested_nodes]
            self.free -= set(nodes)
            out.append(m.ExecuteJob(request.now, one.id, nodes))
        return m.Reply(request.now, out)


@pytest.mark.parametrize("dynamic", [False, True])
def test_behind_the_proxy(tmp_path: Path, dynamic: bool) -> None:
    """The scheduler behind it hears of the reader when the set exists, of the one that waits in vain never,
    and that no more come after both; the times are those of batfs's own fcfs."""
    jobs = [reads("r", "x", nodes=2), reads("v", "z"), writes("w", "x", at=10), job("o", 2, 5e9, at=1)]
    inner = AnyNodes(2)

    def process(settings: Any, make: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(inner, Injector(settings, make_files=make, observer=ran))

    here = run(tmp_path, 2, jobs, dynamic=dynamic)
    config = {"filesystems": {"fs": {"model": "pfs"}}}
    ran = simulate_tiny(tmp_path, 2, {"a": FAST}, jobs, config, dynamic=dynamic, process=process)
    for name in ("r", "w", "o"):
        assert ran.times(name) == pytest.approx(here.times(name), abs=1e-3)
    assert ran.times("r")[0] == pytest.approx(18.0, abs=1e-3)
    assert ran.jobs["w0!v"].rejected
    last = "no_more_static_job_to_submit"
    assert inner.heard == ["w0!o", "w0!w", "w0!r", last]
    assert waited(ran, "r")["dependency"] == pytest.approx(18.0, abs=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_behind_the_proxy(tmp_path: Path, seed: int) -> None:
    """The same jobs run and the same are rejected as under batfs's own fcfs, at the same times."""
    rng = random.Random(100 + seed)
    jobs = []
    for k in range(14):
        need, make, at = rng.choice(["", *"abcd"]), rng.choice(["", *"abcd"]), float(rng.randrange(30))
        one = reads(f"j{k}", need, at, makes=make) if need else writes(f"j{k}", make or "e", at)
        jobs.append(one)

    def process(settings: Any, make: Any, ran: Ran) -> m.DecisionProcess:
        return WithFileSystems(AnyNodes(3), Injector(settings, make_files=make, observer=ran))

    here = run(tmp_path, 3, jobs, dynamic=bool(seed % 2))
    config = {"filesystems": {"fs": {"model": "pfs"}}}
    ran = simulate_tiny(tmp_path, 3, {"a": FAST}, jobs, config, dynamic=bool(seed % 2), process=process)
    assert ran.jobs.keys() == here.jobs.keys()
    for name, result in here.jobs.items():
        assert ran.jobs[name].rejected == result.rejected, name
        assert ran.jobs[name].start == pytest.approx(result.start, abs=1e-3), name


def over_the_proxy(tmp_path: Path, generation: int, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of ``batfs sim`` with ``batfs-proxy`` before a scheduler of either generation."""
    files = write_inputs(tmp_path, 2, {"a": FAST}, jobs, control="1ms")
    (tmp_path / "batfs.toml").write_text("validate = true\n[filesystems.fs]\nmodel = 'pfs'\n")
    front, back = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    proxy = ["batfs.decision.proxy_command", "-s", front, "--config", str(tmp_path / "batfs.toml")]
    proxy += ["--to", back, "--"]
    if generation == 4:
        got = over_sockets(tmp_path, files, front, [*proxy, LAUNCHER, "schedFcfs", "-s", back])
    else:
        five = tmp_path / "five.json"
        assert main(["workload", "convert", str(files[1]), "-o", str(five), "--to", "batsim5"]) == 0
        behind = [sys.executable, str(FCFS5), back]
        proxy[1:1] = ["-e", str(tmp_path / "proxied")]
        over_sockets(tmp_path, (files[0], five), front, [*proxy, *behind], protocol=5)
        # there the jobs with I/O are run as others; the proxy tells what became of them
        with (tmp_path / "proxied_jobs.csv").open() as text:
            got = {f"{row['workload_name']}!{row['job_id']}": row for row in csv.DictReader(text)}
    return got


@pytest.mark.parametrize("generation", [4, 5])
def test_behind_the_proxy_over_sockets(tmp_path: Path, generation: int) -> None:
    """``batfs-proxy`` before a scheduler of either generation that knows nothing of data sets."""
    jobs = [reads("1", "x", at=1), reads("2", "z", at=2), writes("3", "x", at=5), job("4", 1, 2e9, at=30)]
    here = run(tmp_path, 2, jobs)
    got = over_the_proxy(tmp_path, generation, jobs)
    for name in ("w0!1", "w0!3", "w0!4"):
        assert float(got[name]["starting_time"]) == pytest.approx(here.jobs[name].start, abs=0.02), name
    assert "REJECTED" in got["w0!2"]["final_state"]


def fills(name: str, data_set: str, at: float = 0.0) -> dict[str, Any]:
    """A job that finds a data set, which is known of since it starts."""
    options = {"data_set": data_set, "missing": "fill"}
    return job(name, at=at, io=[{"filesystem": "fs", "reads": 800 * MB, "options": options}])


@pytest.mark.parametrize("shell", [WithFileSystems, OnTheWire])
def test_who_may_run_since_a_start_is_told_of_at_that_instant(tmp_path: Path, shell: Any) -> None:
    """One waits for a set that the job of 5 s finds when it starts, and finds a set itself that another waits
    for: all three start at 5, asked again within the exchange. One more waits in vain."""
    chain = reads("r", "x")
    chain["profile"]["io"] += fills("", "y")["profile"]["io"]
    jobs = [chain, reads("s", "y"), reads("v", "z"), fills("f", "x", at=5)]
    asked: list[float] = []

    class Counting(AnyNodes):
        def decide(self, request: m.Request) -> m.Reply:
            asked.append(request.now)
            return super().decide(request)

    def process(settings: Any, make: Any, ran: Ran) -> m.DecisionProcess:
        return shell(Counting(4), Injector(settings, make_files=make, observer=ran))

    config = {"filesystems": {"fs": {"model": "pfs"}}}
    ran = simulate_tiny(tmp_path, 4, {"a": FAST}, jobs, config, process=process)
    for name in "frs":
        assert ran.times(name)[0] == pytest.approx(5.0, abs=1e-5), name
    assert ran.jobs["w0!v"].rejected
    assert len([now for now in asked if 5.0 <= now < 5.2]) >= 3, asked


@pytest.mark.parametrize("generation", [4, 5])
def test_and_over_sockets_of_either_generation(tmp_path: Path, generation: int) -> None:
    """The same instant: 5 s and the milliseconds that messages take, not a call 0.1 s later."""
    jobs = [reads("1", "x", at=1), fills("2", "x", at=5)]
    got = over_the_proxy(tmp_path, generation, jobs)
    assert float(got["w0!1"]["starting_time"]) == pytest.approx(float(got["w0!2"]["starting_time"]), abs=0.01)


@pytest.mark.parametrize("staging", ["held", "ahead", "two_step"])
def test_under_batsim_5_as_under_batsim_4(tmp_path: Path, staging: str) -> None:
    """A chain of jobs that wait for each other's sets, through a buffer that stages: the same steps at the
    same times; a job joins the queue, and is staged, when its sets exist."""
    jobs = []
    for k in range(6):
        io = [{"filesystem": "bb", "writes": 200 * MB, "options": {"data_set": f"d{k}", "stage_in": False}}]
        if k:
            options = {"data_set": f"d{k - 1}", "missing": "wait", "stage_out": False}
            io.append({"filesystem": "bb", "reads": 200 * MB, "options": options})
        jobs.append(job(f"j{k}", 2, 1e9, float(5 - k), io=io))
    storages = {"a": FAST, "b": {**FAST, "filesystem": "bb"}}
    platform, workload = write_inputs(tmp_path, 4, storages, jobs)
    tables = {"fs": {"model": "pfs"}, "bb": {"model": f"burst_buffer:backing=fs,staging={staging}"}}
    found = []
    for generation in (4, 5):
        experiment = Experiment(
            platform=platform, workloads=[workload], dynamic_jobs=True, generation=generation
        )
        prefix = tmp_path / str(generation)
        run_whole(experiment, Settings(flags=Layer("test", {"filesystems": tables})), prefix)
        with Path(f"{prefix}_jobs.csv").open(newline="", encoding="utf-8") as stream:
            found.append({row["job_id"]: row for row in csv.DictReader(stream)})
    four, five = found
    assert four.keys() == five.keys()
    assert sum("stage" in name for name in four) == 11  # 6 out, 5 in
    for name, row in four.items():
        for column in ("starting_time", "finish_time"):
            assert float(row[column]) == pytest.approx(float(five[name][column]), abs=1e-2), name


@pytest.mark.parametrize(
    ("needs", "says"),
    [
        ({"a": ("y", "x"), "b": ("x", "y")}, {"a": "w0!b, which would write it, waits for w0!a in turn",
                                             "b": "w0!a, which would write it, waits for w0!b in turn"}),
        ({"a": ("z", "x"), "b": ("x", "y"), "c": ("y", "z")},
         dict.fromkeys("abc", "in turn")),
        ({"a": ("none", "x"), "b": ("x", "y")}, {"a": "no job that is left writes it",
                                                "b": "w0!a, which would write it, can never start either"}),
        ({"a": ("a", "b"), "b": ("b", "a"), "c": ("a", "c")},
         {"a": "in turn", "b": "in turn", "c": "w0!b, which would write it, can never start either"}),
    ],
    ids=["two in a circle", "three in a circle", "a chain from nowhere", "behind a circle"],
)  # fmt: skip
def test_why_nobody_writes_it_is_said(
    tmp_path: Path, needs: dict[str, tuple[str, str]], says: dict[str, str]
) -> None:
    """Jobs that (need one set, make another): each is rejected with what stands in its way."""
    ran = run(tmp_path, 2, [reads(name, need, makes=makes) for name, (need, makes) in needs.items()])
    reasons = {record.job.name: record.reason for record in ran.records}
    assert reasons.keys() == says.keys()
    for name, part in says.items():
        assert part in reasons[name], reasons
