"""Any history of faults: nothing is lost in the books, nobody waits for ever, both protocols agree."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from driving import OnePool
from fs_tiny import Ran, free_port, job, over_sockets, sleep, write_inputs

from batfs.cli.main import main as batfs
from batfs.decision.files import make_on
from batfs.decision.injector import Injector, WithFileSystems
from batfs.platform import load_platform, number_resources
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.simulator import SimulationOptions, simulate
from batfs.workload import read_workload

GB = 10**9
STORAGES = {
    **{f"s{k}": {"filesystem": "fs", "model": "pfs", "size": "60GB"} for k in range(3)},
    **{f"b{k}": {"filesystem": "bb", "model": "burst_buffer", "size": "40GB"} for k in range(2)},
    **{f"d{k}": {"filesystem": "hdfs", "model": "dfs", "size": "90GB", "node": f"n{k}"} for k in range(4)},
}
STORAGES = {name: {**one, "read": "200MBps", "write": "100MBps"} for name, one in STORAGES.items()}


class NoIo(OnePool):
    """For a scheduler that knows nothing of I/O."""

    attending = ()

    def volumes(self, job_id: str, profile: object) -> tuple[()]:
        return ()


def random_jobs(rng: random.Random) -> list[dict[str, Any]]:
    jobs = []
    for k in range(rng.randint(3, 9)):
        kind = rng.choice(["plain", "phases", "bb", "checkpoints", "hdfs", "none"])
        sizes = {"reads": rng.randint(0, 8) * GB, "writes": rng.randint(0, 8) * GB}
        io: list[dict[str, Any]] = [{"filesystem": "fs", **sizes}]
        if kind == "phases":
            io[0]["options"] = {"timing": "phases"}
        elif kind == "bb":
            io = [{"filesystem": "bb", **sizes}]
        elif kind == "checkpoints":
            options = {"checkpoints": rng.randint(1, 3), "checkpoint_bytes": GB}
            io = [{"filesystem": "bb", "reads": 0, "options": options}]
        elif kind == "hdfs":
            io = [{"filesystem": "hdfs", **sizes, "options": {"data_set": rng.choice("xy")}}]
        more: dict[str, Any] = {} if kind == "none" else {"io": io}
        if rng.random() < 0.3:
            more["profile"] = sleep(rng.randint(1, 100))
        if rng.random() < 0.5:
            more["walltime"] = rng.randint(60, 600)
        cpu = rng.randint(0, 100) * 1e9
        jobs.append(job(f"j{k}", rng.randint(1, 3), cpu, at=rng.randint(0, 120), **more))
    return jobs


REBUILDS: list[dict[str, Any]] = [
    *({}, {"rebuild": 0}, {"rebuild": 5 * GB}),
    *({"rebuild": 5 * GB, "rebuild_time": 80}, {"rebuild": 5 * GB, "rebuild_rate": 10**9}),
]


def random_faults(rng: random.Random, nodes: bool = True) -> dict[str, Any]:
    """Whatever fails comes back."""
    faults = []
    for _ in range(rng.randint(1, 8)):
        if nodes and rng.random() < 0.3:
            what: dict[str, Any] = {"node": f"n{rng.randrange(4)}", "jobs": rng.choice(["fail", "restart"])}
        else:
            what = {"storage": rng.choice([*STORAGES, "s*", "b*"])}
            what["data"] = rng.choice(["recovered", "lost"])
            how = ["fail", "restart"] + ["wait"] * (what["data"] == "recovered")
            what["jobs"] = rng.choice(how)
        fault = {"at": rng.randint(0, 300), "state": "down", "lasts": rng.choice([0, 1, 30, 200]), **what}
        if "storage" in what and rng.random() < 0.2:
            fault = {**{k: fault[k] for k in ("at", "lasts", "storage")}, "state": "degraded"}
            fault |= {"bandwidth": 0.5, **rng.choice(REBUILDS)}
        elif "storage" in what and rng.random() < 0.3:
            fault["then"] = {"bandwidth": 0.7, "lasts": 60, **rng.choice(REBUILDS)}
            if fault["then"].get("rebuild") and rng.random() < 0.5:
                del fault["then"]["lasts"]
        faults.append(fault)
    found: dict[str, Any] = {"fault": faults}
    if rng.random() < 0.3:
        law = {"law": "weibull", "shape": 0.7} if rng.random() < 0.5 else {}
        found["random"] = [{"storage": "s*", "mtbf": 300, "repair": 20, "jobs": "restart", **law}]
    return found


def history(folder: Path, seed: int, *, behind_a_proxy: bool = False) -> Ran:
    rng = random.Random(seed)
    jobs, faults = random_jobs(rng), random_faults(rng, nodes=not behind_a_proxy)
    dynamic = rng.random() < 0.8
    backing = {"backing": "fs"} if rng.random() < 0.7 else {}
    settings: dict[str, Any] = {
        "validate": True,
        "queue": rng.choice(["fcfs", "easy", "easy_storage", "conservative", "filler"]),
        "policy": rng.choice(["round_robin", "worst_fit", "random", "best_fit"]),
        "io_policy": rng.choice(["fair", "fair", "exclusive"]),
        "filesystems": {
            "bb": backing,
            "fs": {"efficiency": "1:1 4:0.5"},
            "hdfs": {"replication": 2},
        },
        "chunk": rng.choice(["", "1500MB"]),
        "seed": seed,
        "faults": faults,
    }
    files = write_inputs(folder, 4, STORAGES, jobs)
    platform = load_platform(files[0])
    machine, ran = number_resources(platform), Ran()
    make: Any = lambda config, compute, known, on: make_on(config, compute, known, on, platform)  # noqa: E731
    layer = Settings(flags=Layer("test", settings))
    process: m.DecisionProcess
    if behind_a_proxy:
        first = Scheduler(Settings(), lambda config, compute, storages, on: NoIo(storages))  # type: ignore[arg-type, return-value]
        injector = Injector(layer, make_files=make, observer=ran, say=ran.said.append)
        process = WithFileSystems(first, injector)
    else:
        scheduler = Scheduler(layer, make, say=ran.said.append, observer=ran)
        process = scheduler
    result = simulate(
        *(platform, machine, [read_workload(files[1], "w0")], process),
        SimulationOptions(dynamic_jobs=dynamic, on_job=lambda one: None),
    )
    assert not result.deadlock, result.stuck
    tenancy = injector.tenancy if behind_a_proxy else scheduler.session.tenancy
    account = tenancy.account
    assert account.left == 0
    assert account.asked == account.moved + account.cut_short + sum(account.dropped.values())
    assert not tenancy.running
    assert len(tenancy.machine.ledger) == len(tenancy.machine.kept)
    assert not tenancy.lives.busy
    assert not tenancy.machine.transfers.any()
    return ran


@pytest.mark.parametrize("seed", range(60))
def test_every_byte_is_somewhere_and_everybody_ends(tmp_path: Path, seed: int) -> None:
    history(tmp_path, seed)


@pytest.mark.parametrize("seed", range(1000, 1020))
def test_behind_a_proxy_too(tmp_path: Path, seed: int) -> None:
    history(tmp_path, seed, behind_a_proxy=True)


def test_the_same_under_either_batsim_and_over_sockets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """batfs-sched and batfs sim give the bytes of a run in one process. Under Batsim 5, whose calls come at
    whole milliseconds, the same happens and the times are within some of these."""
    faults = tmp_path / "faults.toml"
    faults.write_text(
        """
        [[fault]]
        at = 20
        storage = "s0"
        state = "down"
        lasts = 15.5
        [[fault]]
        at = 40
        storage = "b*"
        state = "down"
        data = "lost"
        lasts = 5
        [[random]]
        node = "*"
        mtbf = 200
        repair = 10
        [[fault]]
        at = 30
        storage = "s1"
        state = "degraded"
        bandwidth = 0.25
        rebuild = "2GB"
        [[fault]]
        at = 60
        storage = "s0"
        state = "down"
        lasts = 5
        then = {bandwidth = 0.5, rebuild = "2GB", rebuild_rate = "100MBps"}
        """
    )
    checkpoints = [{"filesystem": "bb", "reads": 0, "options": {"checkpoints": 3, "checkpoint_bytes": GB}}]
    jobs = [
        *(job("a", 2, 60e9, io_reads=4 * GB), job("b", 1, 120e9, at=1, io=checkpoints)),
        *(job("c", 2, 10e9, at=2, io_writes=2 * GB), job("d", 1, at=35, io_writes=GB)),
        job("e", 4, 20e9, at=50, walltime=200),
    ]
    files = write_inputs(tmp_path, 4, STORAGES, jobs)
    common = ["--queue", "easy", "--faults", str(faults), "--seed", "3"]
    alone, there, five = tmp_path / "alone", tmp_path / "there", tmp_path / "five"
    found = []
    for prefix, protocol in ((alone, "4"), (five, "5")):
        command = ["run", "-p", str(files[0]), "-w", str(files[1]), "--dynamic-jobs", "-e", str(prefix)]
        capsys.readouterr()
        assert batfs([*command, "--protocol", protocol, "--json", *common]) == 0
        found.append(orjson.loads(capsys.readouterr().out))
    assert found[0]["faults"] == pytest.approx(found[1]["faults"], abs=0.1)
    assert found[0]["faults"]["restarted"] > 1
    assert found[0]["turnaround_time"] == pytest.approx(found[1]["turnaround_time"], abs=0.05)
    where = f"tcp://127.0.0.1:{free_port()}"
    decisions = ["batfs.decision.command", "-s", where, *common, "-q", "-e", str(there)]
    over_sockets(tmp_path, files, where, decisions, "--enable-dynamic-jobs")
    for one, other in ((alone, tmp_path / "sim"), (alone, there)):
        ending = "_jobs.csv" if other != there else "_io_jobs.csv"
        assert Path(f"{one}{ending}").read_bytes() == Path(f"{other}{ending}").read_bytes()


def main(first: int, count: int) -> None:
    """As many as one likes, by hand: python tests/scheduling/test_faults_random.py FIRST COUNT."""
    import tempfile
    import traceback

    bad = 0
    for seed in range(first, first + count):
        for proxy in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    history(Path(folder), seed, behind_a_proxy=proxy)
                except Exception:
                    bad += 1
                    print(f"seed {seed}, proxy {proxy}:", traceback.format_exc().strip()[-700:])
                    if bad > 4:
                        return
    print(f"{bad} of {2 * count} went wrong")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
