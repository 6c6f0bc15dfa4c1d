"""The times of ``batfs explain`` are the simulated ones: alone, and with every other node doing the same.

Where they aren't, because parts of a job meet in ways that depend on its computation, they are called bounds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, composed, job, simulate_tiny, write_inputs

from batfs.cli.explain import show
from batfs.cli.main import main
from batfs.decision.experiment import announced
from batfs.decision.explain import explain
from batfs.decision.explained import Explanation
from batfs.decision.files import make_on
from batfs.platform import load_platform, number_resources
from batfs.scheduling.config import Layer, Settings
from batfs.workload import read_workload

MB = 10**6
NODES = 6
#: Seconds: the messages of a run, and times that travel with six decimals, once a step.
ERROR = 1e-4

STORAGES: dict[str, dict[str, str]] = {
    **{
        f"p{i}": {"filesystem": "pfs", "read": f"{90 + 30 * i}MBps", "write": f"{50 + 20 * i}MBps"}
        for i in range(3)
    },
    **{
        f"d{i}": {"filesystem": "dfs", "node": f"n{i}", "read": "150MBps", "write": f"{70 + 9 * i}MBps"}
        for i in range(NODES)
    },
    **{f"b{i}": {"filesystem": "bb", "read": "300MBps", "write": f"{200 + 50 * i}MBps"} for i in range(2)},
    **{f"v{i}": {"filesystem": "nvme", "read": f"{400 - 90 * i}MBps", "write": "100MBps"} for i in range(3)},
    **{f"c{i}": {"filesystem": "cache", "read": "500MBps", "write": "250MBps"} for i in range(2)},
}
MODELS = {
    "pfs": [
        "pfs",
        "pfs:stripe_count=0",
        "pfs:efficiency=1:1 8:0.5,stripe_count=2",
        "pfs:stripe_count=2,timing=phases",
        "pfs:metadata_servers=n5,operation_work=2e7",
        "pfs:gateways=n4 n5,gateways_per_job=1",
    ],
    "dfs": ["dfs", "dfs:replication=2,locality=0.3", "dfs:replication=2,timing=phases"],
    "bb": ["burst_buffer", "burst_buffer:backing=pfs", "burst_buffer:backing=pfs,timing=phases"],
    "nvme": ["nvme_pool", "nvme_pool:block_size=50MB", "nvme_pool:per=node"],
    "cache": ["cache:backing=pfs", "cache:backing=dfs,write=back", "cache:backing=pfs,write=around"],
}
SPECS = [(name, spec) for name, specs in MODELS.items() for spec in specs]


def explained(folder: Path, config: dict[str, Any], dynamic: bool) -> Explanation:
    """The first job of what was simulated in that folder."""
    platform = load_platform(folder / "platform.xml")
    machine = number_resources(platform)
    workload = read_workload(folder / "workload.json", "w0")
    compute, storages = announced(machine)
    settings_of = Settings(flags=Layer("test", config)).configuration()
    files = make_on(settings_of, compute, storages, dynamic, platform)
    one = workload.jobs[0]
    profile, profiles = workload.profiles[one.profile], workload.profiles
    seed = settings_of.seed
    return explain(platform, machine, files, one, profile, None, seed=seed, profiles=profiles)


def simulated(ran: Ran, found: Explanation) -> dict[str, float]:
    """Seconds of each part of job 0, by its word."""
    stages = {
        "stage in, before the job": {m.kind for p in found.plans for m in p.stage_in},
        "stage out, after the job": {m.kind for p in found.plans for m in p.stage_out},
        "beside the job": {m.kind for p in found.plans for m in p.background},
        "read phase": {"read"},
        "write phase": {"write"},
    }
    out = {}
    for when, kinds in stages.items():
        spans = [
            span
            for name, span in ran.kinds().items()
            if name.split(".")[1] == "0" and name.rpartition(".")[2] in kinds
        ]
        if spans:
            out[when] = max(end for _, end in spans) - min(start for start, _ in spans)
    out["during the job"] = ran.duration("0")
    return out


@pytest.mark.parametrize(("name", "spec"), SPECS, ids=[spec for _, spec in SPECS])
@pytest.mark.parametrize("seed", range(3))
def test_each_part_takes_as_long_as_simulated(name: str, spec: str, seed: int, tmp_path: Path) -> None:
    """Two file systems at once every other time, reads and writes, with and without computation."""
    rng = random.Random(f"{spec} {seed}")
    used = [(name, spec), *rng.sample([s for s in SPECS if s[0] != name], seed % 2)]
    config: dict[str, Any] = {
        "policy": rng.choice(["first_fit", "round_robin", "worst_fit", "random"]),
        "filesystems": {one: {"model": model} for one, model in used},
    }
    dynamic = spec != "cache:backing=pfs" if seed < 2 else False
    dynamic = dynamic or any("phases" in model for _, model in used)
    io = [
        {"filesystem": one, "reads": rng.randint(1, 900) * MB, "writes": rng.randint(0, 900) * MB, "files": 7}
        for one, _ in used
    ]
    wide, cpu = rng.randint(1, 3), rng.choice([0.0, 3e9])

    def run(count: int) -> Ran:
        jobs = [job(str(k), wide, cpu, io=io) for k in range(count)]
        return simulate_tiny(tmp_path, NODES, STORAGES, jobs, config, dynamic=dynamic)

    alone = run(1)
    found = explained(tmp_path, config, dynamic)
    assert found.hold is None
    assert found.parts
    for ran, which in ((alone, 0), (run(1 + found.parts[0].copies), 1)):
        said = simulated(ran, found)
        for part in found.parts:
            assert not part.bound
            assert part.computing is not None
            assert part.computing[which] == pytest.approx(said[part.when], abs=ERROR)
            if not cpu:
                assert part.ideal[which] == pytest.approx(said[part.when], abs=ERROR)


TARGET = {"s0": {"filesystem": "lustre", "read": "100MBps", "write": "50MBps"}}


def test_a_fatpipe_is_not_shared(tmp_path: Path) -> None:
    """Two jobs of one node read 800 MB over one FATPIPE of 100 MB/s: 8 s each, alone and together; over a
    shared link together 16 s."""
    for fat, shared in ((True, 8.0), (False, 16.0)):
        one = [job("0", io_reads=800 * MB)]
        platform, _ = write_inputs(tmp_path, 2, TARGET, one)
        if fat:
            link = '<link id="s0_read" bandwidth="100MBps" '
            text = platform.read_text()
            assert link in text
            platform.write_text(text.replace(link, f'{link}sharing_policy="FATPIPE" '))
        (part,) = explained(tmp_path, {}, False).parts
        assert part.copies == 1
        assert part.ideal == pytest.approx((8.0, shared))
        assert {link.link: link.shared for link in part.links}["s0_read"] == pytest.approx(shared)


def test_a_smaller_neighbour_leaves_its_share(tmp_path: Path) -> None:
    """Stripes of 400 MB: both jobs read 600 MB, 400 MB from one of two targets and 200 MB from the
    other. The simulator says how long that takes; twice the time alone is no more than a guess."""
    storages = {**TARGET, "s1": TARGET["s0"]}
    config = {"filesystem": "pfs:stripe_count=2,stripe_size=400MB", "policy": "round_robin"}
    jobs = [job(str(k), io_reads=600 * MB) for k in range(2)]
    alone = simulate_tiny(tmp_path, 2, storages, jobs[:1], config)
    (part,) = explained(tmp_path, config, False).parts
    both = simulate_tiny(tmp_path, 2, storages, jobs, config)
    assert part.ideal == pytest.approx((alone.duration("0"), both.duration("0")), abs=ERROR)


def test_what_is_computed_meanwhile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """8 s of I/O and 20 s of work together are 20 s; with another such job the I/O takes 16 s, and all still
    20 s."""
    for profile in (
        {"type": "parallel_homogeneous", "cpu": 20e9, "com": 0},
        {"type": "delay", "delay": 20},
    ):
        one = job("0", profile=profile, io_reads=800 * MB)
        files = write_inputs(tmp_path, 2, TARGET, [one])
        (part,) = explained(tmp_path, {}, True).parts
        assert part.ideal == pytest.approx((8.0, 16.0))
        assert part.computing == pytest.approx((20.0, 20.0))
        words = ["explain", "-p", str(files[0]), "-w", str(files[1]), "--enable-dynamic-jobs"]
        assert main(words) == 0
        out = capsys.readouterr().out
        assert "with what the job computes: 20.000 s alone, 20.000 s with the others" in out
        assert "at least" not in out
        assert main([*words, "--json"]) == 0
        (said,) = json.loads(capsys.readouterr().out)["parts"]
        assert not said["bound"]
        assert said["computing_seconds_shared"] == pytest.approx(20.0)


def test_phases_that_all_begin_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three jobs on two targets by turns, the first for what a job loads, the second for what it saves: all
    read 400 MB from s0 (at 100 MB/s) in 12 s instead of 4 s, and then write 100 MB to s1 (at 50 MB/s) in 6 s
    instead of 2 s, twice; in the simulation, too."""
    storages = {**TARGET, "s1": TARGET["s0"]}
    children = {
        "load": {"type": "delay", "delay": 1, "io_reads": 400 * MB},
        "save": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_writes": 100 * MB},
    }
    jobs = [composed(str(k), ["load", "save", "save"], children) for k in range(3)]
    config = {"policy": "round_robin"}
    ran = simulate_tiny(tmp_path, 3, storages, jobs, config, dynamic=True)
    found = explained(tmp_path, config, True)
    assert [part.ideal for part in found.parts] == [pytest.approx((4, 12)), pytest.approx((2, 6))]
    took = {name: end - start for name, (start, end) in ran.kinds().items() if name.startswith("w0.0.")}
    assert took["w0.0.1.io"] == pytest.approx(12, abs=ERROR)
    for step in ("w0.0.2.compute", "w0.0.3.compute"):
        assert took[step] == pytest.approx(6, abs=ERROR)
    show(found, everything=False)
    out = capsys.readouterr().out
    assert out.count("12.000 s if all begin this part together") == 1
    assert out.count("6.000 s if all begin this part together") == 1
    assert [part["together_from"] for part in found.as_dict()["parts"]] == ["part", "part"]


BOUNDS = {
    # drains run beside what comes next, and writes of checkpoints beside drains
    "checkpoints": job(
        "0",
        2,
        1e9,
        io=[
            {
                "filesystem": "bb",
                "reads": 300 * MB,
                "writes": 500 * MB,
                "options": {"checkpoints": 3, "checkpoint_bytes": 200 * MB},
            }
        ],
    ),
    # the sequence's own I/O runs beside that of its phases
    "sequences": composed(
        "0",
        ["a", "a"],
        {"a": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 300 * MB}},
        2,
        io_reads=300 * MB,
    ),
    # what a sequence without I/O in its phases does beside its I/O
    "communication": composed(
        "0", ["a"], {"a": {"type": "parallel_homogeneous", "cpu": 0, "com": 1e9}}, 2, io_reads=300 * MB
    ),
}


@pytest.mark.parametrize("what", BOUNDS)
def test_a_bound_is_called_one(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is named so takes no less in the simulation."""
    config: dict[str, Any] = {"filesystem": "pfs"}
    storages = {name: given for name, given in STORAGES.items() if given["filesystem"] == "pfs"}
    if what == "checkpoints":
        config, storages = {"filesystems": {"bb": {"model": "burst_buffer:backing=pfs"}}}, STORAGES
    ran = simulate_tiny(tmp_path, NODES, storages, [BOUNDS[what]], config, dynamic=True)
    found = explained(tmp_path, config, True)
    ways = {"during the job": "io", "during the phase 'a'": "compute", "each checkpoint": "checkpoint"}
    for part in found.parts:
        spans = [span for name, span in ran.kinds().items() if name.rpartition(".")[2] == ways.get(part.when)]
        # moves of one checkpoint start together: the longest is as long as all of it
        longest = max((end - start for start, end in spans), default=part.ideal.alone)
        assert longest >= part.ideal.alone - ERROR
    bounds = [part for part in found.parts if part.bound]
    assert bounds
    assert all(part.computing is None for part in bounds)
    show(found, everything=False)
    out = capsys.readouterr().out
    assert out.count("ideal time alone: at least") == len(bounds)
    assert out.count("other nodes: at least") == len(bounds)
    assert [p["bound"] for p in found.as_dict()["parts"]].count(True) == len(bounds)
