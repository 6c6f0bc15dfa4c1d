"""What plans count for a waiting job: what its model would hold; and whole queues, by hand.

Four nodes of 1 Gflop/s, one drive of 100 GB; jobs ask for space by the option ``capacity``.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import job, simulate_tiny, work
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.filesystems.interface import Placement, Volume
from batfs.scheduling.queues.footprints import Footprints
from batfs.scheduling.stages import Stages

GB = 10**9
DRIVE = {"s0": {"filesystem": "pool", "size": "100GB", "read": "1GBps", "write": "1GBps"}}
EVERY = ("easy_storage", "sjf_storage", "fit_io", "conservative", "plan", "plan_io")


def starts(folder: Path, queue: str, *jobs: tuple[str, int, int, float, int]) -> dict[str, float]:
    """(name, submission, nodes, walltime and run time, GB) -> when each starts, in whole hundredths."""
    made = []
    for name, at, nodes, seconds, space in jobs:
        io: Any = [{"filesystem": "pool", "options": {"capacity": space * GB}}] if space else None
        profile = work(seconds, io=io) if io else work(seconds)
        made.append(job(name, nodes, at=at, walltime=seconds + 0.5, profile=profile))
    config = {"filesystem": "nvme_pool", "policy": "first_fit", "queue": queue}
    ran = simulate_tiny(folder, 4, DRIVE, made, config)
    return {name: round(ran.times(name)[0]) for name, *_ in jobs}


@pytest.mark.parametrize("queue", EVERY)
def test_space_counts_in_every_plan(tmp_path: Path, queue: str) -> None:
    """1 holds 60 GB until 100; 2 wants 80 and is to have them then. 3 would hold 40 for 1,000 s and has to
    wait until 150; 4 holds 20, for which there is room beside 2, and goes ahead."""
    found = starts(
        tmp_path,
        queue,
        ("1", 0, 1, 100, 60),
        ("2", 1, 1, 50, 80),
        ("3", 2, 1, 1000, 40),
        ("4", 3, 1, 1000, 20),
    )
    assert found == {"1": 0, "2": 100, "3": 150, "4": 3}


@pytest.mark.parametrize("queue", EVERY)
def test_a_short_job_fills_the_hole(tmp_path: Path, queue: str) -> None:
    """3 holds 40 GB for 90 s, from 2 to 92: before 2 needs 80 at 100."""
    found = starts(tmp_path, queue, ("1", 0, 1, 100, 60), ("2", 1, 1, 50, 80), ("3", 2, 1, 90, 40))
    assert found == {"1": 0, "2": 100, "3": 2}


@pytest.mark.parametrize("queue", ["easy", *EVERY])
def test_nodes_alone(tmp_path: Path, queue: str) -> None:
    """2 wants all nodes at 100; 3 is over by then, 4 is not."""
    found = starts(
        tmp_path, queue, ("1", 0, 2, 100, 0), ("2", 1, 4, 50, 0), ("3", 2, 2, 50, 0), ("4", 3, 2, 200, 0)
    )
    assert found == {"1": 0, "2": 100, "3": 2, "4": 150}


@pytest.mark.parametrize("queue", ["easy", "easy_storage", "conservative"])
def test_a_node_that_the_head_leaves_over(tmp_path: Path, queue: str) -> None:
    """2 needs three of four nodes at 100: one long job may have the fourth, not two."""
    found = starts(
        tmp_path, queue, ("1", 0, 2, 100, 0), ("2", 1, 3, 50, 0), ("3", 2, 1, 1000, 0), ("4", 3, 1, 1000, 0)
    )
    assert found == {"1": 0, "2": 100, "3": 2, "4": 150}


KEPT = {"filesystem": "fs", "writes": 6 * GB, "options": {"data_set": "x"}}
DISK = {"filesystem": "fs", "model": "pfs", "size": "10GB", "read": "1GBps", "write": "1GBps"}


def test_a_plan_expects_no_data_set_back(tmp_path: Path) -> None:
    """On two nodes a leaves a data set of 6 of 10 GB. b, which wants both nodes and 5 GB, will never start. A
    plan that expected the 6 GB back when a is over, at 20, would keep the other node free for b until then;
    c has it at once."""
    jobs = [
        job("a", cpu=10e9, walltime=20, io=[KEPT]),
        job("b", nodes=2, cpu=10e9, at=1, walltime=20, io_reads=5 * GB),
        job("c", cpu=1000e9, at=2, walltime=1000),
    ]
    ran = simulate_tiny(tmp_path, 2, {"s0": DISK}, jobs, {"queue": "plan_io"})
    assert ran.times("c")[0] == pytest.approx(2, abs=1e-6)


def test_nor_one_of_a_job_that_has_its_data_but_no_nodes(tmp_path: Path) -> None:
    """As above, on three nodes: d has two for 1,000 s. s, which wants three, has 1 GB staged ahead and the
    6 GB of its data set reserved meanwhile; b wants the third node and 5 GB. c has it at once."""
    buffer = {**DISK, "filesystem": "bb", "model": "burst_buffer:per=job"}
    jobs = [
        job("d", nodes=2, cpu=1000e9, walltime=1000),
        job("s", nodes=3, cpu=10e9, at=1, walltime=20, io=[{"filesystem": "bb", "reads": GB}, KEPT]),
        job("b", cpu=10e9, at=3, walltime=20, io=[{"filesystem": "fs", "reads": 5 * GB}]),
        job("c", cpu=900e9, at=4, walltime=900),
    ]
    config = {"queue": "plan_io", "staging": "ahead", "filesystems": {"bb": {"backing": "fs"}}}
    ran = simulate_tiny(tmp_path, 3, {"s0": DISK, "b0": buffer}, jobs, config, dynamic=True)
    assert ran.kinds()["w0.s.0.stage_ahead"] == pytest.approx((1, 2), abs=1e-6)
    assert ran.times("c")[0] == pytest.approx(4, abs=1e-6)


MODELS: dict[str, dict[str, str]] = {
    "pfs": {"fs": "pfs:stripe_count=2,stripe_size=8"},
    "reserve reads": {"fs": "pfs:reserve=reads"},
    "reserve writes": {"fs": "nvme_pool:reserve=writes"},
    "reserve max": {"fs": "pfs:reserve=max,stripe_count=1"},
    "nvme": {"fs": "nvme_pool:block_size=50"},
    "dfs": {"fs": "dfs:replication=3,block_size=10"},
    "dfs reads": {"fs": "dfs:replication=2,block_size=10,reserve=reads"},
    "dfs writes": {"fs": "dfs:replication=2,block_size=10,reserve=writes"},
    "dfs max": {"fs": "dfs:replication=2,block_size=10,reserve=max"},
    "buffer": {"fs": "burst_buffer:backing=back", "back": "dfs:replication=2,block_size=10"},
    "buffer scratch": {"fs": "burst_buffer:per=job,stripes=2,checkpoint_copies=1"},
    "buffer without stage-out": {"fs": "burst_buffer:backing=back,stage_out=false", "back": "pfs"},
    "rabbit": {"fs": "rabbit:backing=back", "back": "dfs:replication=2,block_size=10"},
    "rabbit lustre": {"fs": "rabbit:backing=back,type=lustre,stage_out=false", "back": "pfs"},
    "cache": {"fs": "cache:backing=back", "back": "nvme_pool"},
}


@pytest.mark.parametrize("name", MODELS)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 4), st.integers(0, 3), st.integers(0, 90))
@settings(max_examples=25, deadline=None)
def test_the_footprint_is_what_is_held(
    name: str, reads: int, writes: int, nodes: int, times: int, size: int
) -> None:
    """On every file system as many bytes as the placements of the plan have."""
    front = [
        storage(
            20 + k,
            "fs",
            "10kB",
            node=f"n{k}" if "dfs" in MODELS[name]["fs"] else "",
            chassis=f"c{k % 2}",
        )
        for k in range(4)
    ]
    back = [storage(30 + k, "back", "10kB", node=f"n{k}") for k in range(4)] if "back" in MODELS[name] else []
    tables = {fs: {"model": model} for fs, model in MODELS[name].items()}
    m = Machine(
        [node(k, chassis=f"c{k // 2}") for k in range(4)],
        [*front, *back],
        {"filesystems": tables},
        dynamic_jobs=True,
    )
    options: dict[str, Any] = {}
    if any(tier in MODELS[name]["fs"] for tier in ("burst_buffer", "rabbit")) and times:
        options = {"checkpoints": times, "checkpoint_bytes": size}
    if "nvme_pool" in MODELS[name]["fs"] and "reserve" not in MODELS[name]["fs"]:
        options = {"capacity": reads + writes + size}
    volume = Volume("fs", reads, writes, options=options)
    held = {"fs": 0, "back": 0}
    for placement in m.one(tuple(range(nodes)), volume).placements:
        held["fs" if placement.storage < 30 else "back"] += placement.size
    footprint = m.systems.footprint((volume,), nodes)
    assert {fs: size for fs, size in footprint.items() if size} == {
        fs: size for fs, size in held.items() if size
    }


class Asked:
    """A view that counts how often it is asked what a job would hold."""

    def __init__(self) -> None:
        self.storage_positions = {7: 0}
        self.times = 0
        self.storage: Any = SimpleNamespace(storages=[SimpleNamespace(filesystem="pool")])

    def footprint(self, job: Any) -> dict[str, int]:
        self.times += 1
        return {"pool": 100}


def test_a_trial_knows_more_than_the_model() -> None:
    """What the model would hold is asked for once; what a placement took counts from then on; who is
    forgotten is asked about anew."""
    view: Any = Asked()
    one: Any = SimpleNamespace(id="w0!1", volumes=(Volume("pool", 1, 0),), staged=None)
    known = Footprints()
    assert [known.sizes(view, one) for _ in range(2)] == [{"pool": 100}] * 2
    assert (view.times, known.staging(one), one in known) == (1, 0.0, False)
    plan: Any = SimpleNamespace(placements=[Placement(7, 64)])
    placed: Any = SimpleNamespace(job=one, plans=[plan], stages=Stages(2.0, 3.0))
    known.measure(view, placed)
    assert (known.sizes(view, one), known.staging(one), one in known) == ({"pool": 64}, 5.0, True)
    known.forget("w0!1")
    assert (known.sizes(view, one), known.staging(one), one in known) == ({"pool": 100}, 0.0, False)
    assert view.times == 2
