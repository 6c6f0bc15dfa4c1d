"""Burst buffer, NVMe-oF pool and cache against arithmetic done by hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import job, simulate_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.filesystems import traffic as t
from batfs.filesystems.dfs import DistributedFileSystem
from batfs.filesystems.interface import Hold, IoPlan, IoRequest, Volume
from batfs.filesystems.lru import Cache
from batfs.workload.model import Composed, ParallelHomogeneousTotal


def buffers(dynamic: bool = True, **options: object) -> Machine:
    """Two nodes, two buffers of 100 bytes (10 in the rack of node 0, 11 in that of node 1), a target 20."""
    return Machine(
        [node(0, rack="a"), node(1, rack="b")],
        [
            storage(10, "bb", "100B", rack="a"),
            storage(11, "bb", "100B", rack="b"),
            storage(20, "lustre", "1kB"),
        ],
        {"filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre", **options}}},
        dynamic_jobs=dynamic,
    )


def sent(moves: object) -> list[tuple[str, dict[int, int], dict[int, int]]]:
    return [(m.kind, t.by_source([m.traffic]), t.by_destination([m.traffic])) for m in moves]  # type: ignore[attr-defined]


def test_nearest_buffer_and_staging() -> None:
    """2 nodes read 60 and write 40 bytes: 30 + 20 each, on the buffer in its rack. 30 bytes come from 20 to
    each buffer before, 20 go from each to 20 after. Held: 50 on each buffer, 60 + 40 on the target."""
    plan = buffers(placement="topology").one((0, 1), Volume("bb", 60, 40))
    assert t.by_source(plan.reads) == {10: 30, 11: 30}
    assert t.by_destination(plan.writes) == {10: 20, 11: 20}
    assert sent(plan.stage_in) == [
        ("stage_in", {20: 30}, {10: 30}),
        ("stage_in", {20: 30}, {11: 30}),
    ]
    assert sent(plan.stage_out) == [
        ("stage_out", {10: 20}, {20: 20}),
        ("stage_out", {11: 20}, {20: 20}),
    ]
    held: dict[int, int] = {}
    for placement in plan.placements:
        held[placement.storage] = held.get(placement.storage, 0) + placement.size
    assert held == {10: 50, 11: 50, 20: 100}


def test_checkpoints_need_their_space_twice() -> None:
    """2 checkpoints of 30 bytes from one node that writes 40: 40 + 2 * 30 = 100 fill the buffer exactly; one
    byte more doesn't fit. Each is written to the buffer (blocking) and drained to the target."""
    m = buffers(placement="topology")
    options = {"checkpoints": 2, "checkpoint_bytes": 30}
    plan = m.one((0,), Volume("bb", 0, 40, options=options))
    assert plan.checkpoints is not None
    assert plan.checkpoints.times == 2
    assert sent(plan.checkpoints.writes) == [("checkpoint", {0: 30}, {10: 30})]
    assert sent(plan.checkpoints.drains) == [("drain", {10: 30}, {20: 30})]
    assert {p.storage: p.size for p in plan.placements if p.storage == 10} == {10: 100}
    outcome = m.plan((0,), Volume("bb", 0, 41, options=options))
    assert isinstance(outcome, Hold)
    assert (outcome.reason, outcome.missing, outcome.never) == ("BurstBufferResources", 1, True)


def test_a_nodes_share_is_never_split() -> None:
    """With 60 bytes taken on each buffer, 50 bytes of one node fit nowhere though 80 are free in all: 10 are
    missing."""
    m = buffers()
    for _ in range(2):
        m.reserve(m.one((0,), Volume("bb", 0, 60)))
    outcome = m.plan((0,), Volume("bb", 0, 50))
    assert isinstance(outcome, Hold)
    assert (outcome.missing, outcome.never) == (10, False)


def test_capacity_behind_counts_too() -> None:
    """The target has 1000 bytes; 950 are taken: staging out 60 bytes has no room there."""
    m = buffers()
    m.reserve(m.one((0,), Volume("lustre", 0, 950)))
    outcome = m.plan((0,), Volume("bb", 0, 60))
    assert isinstance(outcome, Hold)
    assert (outcome.reason, outcome.storages, outcome.missing) == ("StorageCapacity", (20,), 10)


def test_striped_buffer_of_a_job() -> None:
    """per=job over both buffers: 3 nodes write 60 bytes: 30 on each buffer, 10 from each node to each."""
    m = Machine(
        [node(i) for i in range(3)],
        [storage(10, "bb", "100B"), storage(11, "bb", "100B")],
        {"filesystems": {"bb": {"model": "burst_buffer:per=job,stripes=2"}}},
    )
    plan = m.one((0, 1, 2), Volume("bb", 0, 60))
    assert t.by_destination(plan.writes) == {10: 30, 11: 30}
    assert t.by_source(plan.writes) == {0: 20, 1: 20, 2: 20}


def test_node_local_buffers_serve_their_node_alone() -> None:
    m = Machine(
        [node(0), node(1), node(2)],
        [storage(10, "bb", "100B", node="n0"), storage(11, "bb", "100B", node="n1")],
        {"filesystems": {"bb": {"model": "burst_buffer"}}},
    )
    assert t.by_destination(m.one((0, 1), Volume("bb", 0, 80)).writes) == {10: 40, 11: 40}
    outcome = m.plan((2,), Volume("bb", 0, 1))
    assert isinstance(outcome, Hold)
    assert outcome.never


def test_without_dynamic_jobs_staging_is_announced_and_left_out() -> None:
    m = buffers(dynamic=False)
    (said,) = m.systems.announcements()
    assert "'bb'" in said
    assert "--enable-dynamic-jobs" in said
    assert buffers(dynamic=True).systems.announcements() == []
    plan = m.one((0,), Volume("bb", 30, 20, options={"checkpoints": 1}))
    assert not plan.needs_dynamic_jobs
    assert (t.total(plan.reads), t.total(plan.writes)) == (30, 20)


def test_wrong_options_of_a_job_are_said_at_submission() -> None:
    m = buffers()
    for options, words in (
        ({"checkpints": 1}, "did you mean 'checkpoints'"),
        ({"checkpoints": -1}, "must not be negative"),
        ({"checkpoints": 1.5}, "whole numbers"),
    ):
        io = [{"filesystem": "bb", "writes": 1, "options": options}]
        with pytest.raises(InputError, match=words) as caught:
            m.systems.volumes("w0!3", ParallelHomogeneousTotal(1, 0, {"io": io}))
        assert "w0!3" in str(caught.value)
    io = [{"filesystem": "bb", "writes": 1, "options": {"checkpoints": 1}}]
    with pytest.raises(InputError, match="can't cut a composed profile"):
        m.systems.volumes("w0!3", Composed(("a",), 1, {"io": io}))


def pool(**options: object) -> Machine:
    return Machine(
        [node(0), node(1)],
        [storage(10, "nvme", "100B"), storage(11, "nvme", "100B"), storage(12, "nvme", "100B")],
        {"filesystems": {"nvme": {"model": "nvme_pool", "policy": "first_fit", **options}}},
    )


def test_namespaces_in_blocks() -> None:
    """250 bytes in blocks of 80: 80, 80, 80, 10. First fit: 10, 11, 12, and the rest of 10 bytes on 10 again:
    90, 80, 80. Reads of 125 bytes follow the bytes held: 125 * 80/250 = 40 for a block, 5 for the rest."""
    plan = pool(block_size="80B").one((0, 1), Volume("nvme", 125, 125))
    assert [(p.storage, p.size) for p in plan.placements] == [(10, 90), (11, 80), (12, 80)]
    assert t.by_source(plan.reads) == {10: 45, 11: 40, 12: 40}
    assert t.by_destination(plan.writes) == {10: 45, 11: 40, 12: 40}
    assert plan.notes == {"namespaces": 4}


def test_namespace_of_each_node() -> None:
    plan = pool(per="node").one((0, 1), Volume("nvme", 0, 150))
    (writes,) = plan.writes
    assert list(zip(*(a.tolist() for a in writes.columns), strict=True)) == [(0, 10, 75), (1, 11, 75)]


def test_pool_without_room() -> None:
    m = pool(block_size="80B")
    outcome = m.plan((0,), Volume("nvme", 0, 330))
    assert isinstance(outcome, Hold)
    assert outcome.never  # five blocks of 80 (the last smaller) don't fit on three drives of 100
    outcome = pool().plan((0,), Volume("nvme", 0, 101))
    assert isinstance(outcome, Hold)
    assert outcome.never


def test_capacity_asked_for_beyond_the_io() -> None:
    m = pool()
    plan = m.one((0,), Volume("nvme", 0, 10, options={"capacity": 90}))
    assert [(p.storage, p.size) for p in plan.placements] == [(10, 90)]
    with pytest.raises(InputError, match="at least 10"):
        m.systems.models["nvme"].check(Volume("nvme", 0, 10, options={"capacity": 9}))


def tier(**options: object) -> Machine:
    return Machine(
        [node(0), node(1)],
        [storage(10, "fast", "100B"), storage(20, "lustre", "1kB")],
        {"filesystems": {"fast": {"model": "cache", "backing": "lustre", **options}}},
        dynamic_jobs=True,
    )


def run(m: Machine, job: str, reads: int, writes: int, data_set: str, **options: object) -> dict[str, object]:
    volume = Volume("fast", reads, writes, options={"data_set": data_set, **options})
    plan = m.one((0,), volume, job=job)
    m.systems.started(IoRequest(job, (0,), volume, 0.0), plan, 0.0)
    m.systems.ended(job, True, 1.0)
    m.systems.models["fast"].cache.check()  # type: ignore[attr-defined]
    return {
        "reads": t.by_source(plan.reads),
        "writes": t.by_destination(plan.writes),
        "copied": t.by_destination(plan.internal),
    }


def test_cache_hits_misses_and_eviction() -> None:
    """100 bytes of cache. a (60) is missed and copied; read again it is hit; b (60) is missed and pushes a
    out; a is missed again. A set of 200 bytes can't be kept and goes past."""
    m = tier()
    assert run(m, "w0!1", 60, 0, "a") == {"reads": {20: 60}, "writes": {}, "copied": {10: 60}}
    assert run(m, "w0!2", 60, 0, "a") == {"reads": {10: 60}, "writes": {}, "copied": {}}
    assert run(m, "w0!3", 60, 0, "b") == {"reads": {20: 60}, "writes": {}, "copied": {10: 60}}
    assert run(m, "w0!4", 60, 0, "a")["reads"] == {20: 60}
    assert run(m, "w0!5", 200, 0, "c") == {"reads": {20: 200}, "writes": {}, "copied": {}}


def test_pinned_sets_stay() -> None:
    """a is pinned: b finds 40 bytes free, doesn't fit and is not kept; a is still hit."""
    m = tier()
    run(m, "w0!1", 60, 0, "a", pin=True)
    run(m, "w0!2", 60, 0, "b")
    assert run(m, "w0!3", 60, 0, "a")["reads"] == {10: 60}


@pytest.mark.parametrize(
    ("mode", "writes", "copied"),
    [("through", {20: 50}, {10: 50}), ("back", {10: 50}, {}), ("around", {20: 50}, {})],
)
def test_cache_write_modes(mode: str, writes: dict[int, int], copied: dict[int, int]) -> None:
    m = tier(write=mode)
    volume = Volume("fast", 0, 50, options={"data_set": "a"})
    plan = m.one((0,), volume)
    assert t.by_destination(plan.writes) == writes
    assert t.by_destination(plan.internal) == copied
    moved = sent(plan.stage_out)
    assert moved == ([("stage_out", {10: 50}, {20: 50})] if mode == "back" else [])
    assert {p.storage: p.size for p in plan.placements} == {20: 50}


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_cache_never_holds_more_than_it_has(seed: int, storages: int) -> None:
    rng = random.Random(seed)
    cache = Cache({s: rng.randrange(1, 50) for s in range(storages)})
    for step in range(60):
        name = rng.choice("abcdef")
        room = cache.choose(rng.randrange(1, 60), name)
        if room is not None and rng.random() < 0.9:
            assert cache.insert(name, room)
        entry = cache.find(name)
        if entry is not None:
            cache.touch(name)
            if rng.random() < 0.3:
                cache.use(name, str(step % 5))
        if rng.random() < 0.3:
            cache.leave(str(rng.randrange(5)))
        cache.check()


def before_dfs(kind: str, dynamic: bool = True, **options: object) -> Machine:
    """Two nodes with a disk each (20, 21: a DFS of two copies in blocks of 10 bytes); before it, under
    ``kind``, two buffers of 200 bytes (10, 11)."""
    nodes = [node(0), node(1)]
    front = [storage(10, "fast", "200B"), storage(11, "fast", "200B")]
    disks = [storage(20 + k, "disk", "1kB", node=f"n{k}") for k in range(2)]
    behind = {"model": "dfs", "replication": 2, "block_size": 10}
    table = {"fast": {"model": kind, "backing": "disk", **options}, "disk": behind}
    return Machine(nodes, [*front, *disks], {"filesystems": table}, dynamic_jobs=dynamic)


def go(m: Machine, job: str, volume: Volume, *, success: bool = True) -> IoPlan:
    """One job as a scheduler would run it: planned, started, ended; kept bytes in its own book."""
    plan = m.one((0, 1), volume, job=job)
    keys = [p.key for p in plan.placements if p.key]
    assert len(set(keys)) == len(keys)  # the books keep one reservation for each
    m.kept |= {p.key: p.size for p in plan.placements if p.key}
    m.systems.started(IoRequest(job, (0, 1), volume, 0.0), plan, 0.0)
    m.systems.ended(job, success, 1.0)
    for key in m.systems.released():
        del m.kept[key]
    return plan


def bytes_of(m: Machine, name: str) -> int:
    """Bytes of a data set of the DFS behind, once each; its books hold every copy."""
    model = m.systems.models["disk"]
    assert isinstance(model, DistributedFileSystem)
    parts = model.keeper.parts(name)
    assert sum(p.size * len(p.copies) for p in parts) == sum(
        size for key, size in m.kept.items() if key.startswith(f"disk/{name}#")
    )
    return sum(part.size for part in parts)


@pytest.mark.parametrize("mode", ["through", "back", "around"])
def test_a_cache_before_a_dfs_keeps_its_data_sets(mode: str) -> None:
    """A job writes 100 bytes of the set x through the cache (or back, in a stage-out for each buffer): they
    are in the DFS behind, twice. Another reads 100: none needs to be made up, whether they are found in the
    cache or behind. One that fails leaves nothing; one that deletes it leaves nothing at all."""
    m = before_dfs("cache", write=mode)
    x = {"data_set": "x"}
    go(m, "w0!1", Volume("fast", 0, 100, options=x))
    assert bytes_of(m, "x") == 100
    plan = go(m, "w0!2", Volume("fast", 100, 0, options=x))
    assert bytes_of(m, "x") == 100
    found = {10, 11} if mode != "around" else {20, 21}
    assert set(t.by_source(plan.reads)) <= found
    go(m, "w0!3", Volume("fast", 0, 50, options={"data_set": "y"}), success=False)
    assert bytes_of(m, "y") == 0
    go(m, "w0!4", Volume("fast", 10, 0, options={**x, "delete": True}))
    assert bytes_of(m, "x") == 0
    assert not m.kept
    assert m.systems.models["fast"].cache.find("x") is None  # type: ignore[attr-defined]


def test_a_burst_buffer_before_a_dfs_stages_data_sets() -> None:
    """What a job writes to the two buffers is staged out into the set x behind, from each buffer a part; the
    next job's stage-in reads it there. Checkpoints are drained, but belong to no set."""
    m = before_dfs("burst_buffer")
    x = {"data_set": "x", "checkpoints": 2, "checkpoint_bytes": 20}
    plan = go(m, "w0!1", Volume("fast", 0, 60, options=x))
    assert plan.checkpoints is not None
    assert bytes_of(m, "x") == 60
    plan = go(m, "w0!2", Volume("fast", 60, 0, options={"data_set": "x"}))
    assert [move.kind for move in plan.stage_in] == ["stage_in"] * 2
    assert sum(t.size(move.traffic) for move in plan.stage_in) == 60
    assert bytes_of(m, "x") == 60


def test_options_that_no_tier_knows_are_refused() -> None:
    model = before_dfs("burst_buffer").systems.models["fast"]
    model.check(Volume("fast", 1, 0, options={"data_set": "x"}))
    with pytest.raises(InputError, match=r"data_sat.*data_set"):
        model.check(Volume("fast", 1, 0, options={"data_sat": "x"}))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("kind", ["cache", "burst_buffer"])
def test_data_sets_behind_tiers_in_a_simulation(tmp_path: Path, kind: str, dynamic: bool) -> None:
    """Jobs that write, read and delete a set through a tier before a DFS; the scheduler's books agree after
    every message (``validate``), and every job succeeds."""
    fast = {"read": "100MBps", "write": "100MBps"}
    storages = {
        "b0": {"filesystem": "bb", "size": "2GB", **fast},
        "s0": {"filesystem": "disk", "size": "4GB", "node": "n0", **fast},
        "s1": {"filesystem": "disk", "size": "4GB", "node": "n1", **fast},
    }
    table = {"bb": {"model": kind, "backing": "disk"}, "disk": {"model": "dfs", "replication": 2}}

    def io(reads: int, writes: int, **options: Any) -> list[dict[str, Any]]:
        return [
            {"filesystem": "bb", "reads": reads, "writes": writes, "options": {"data_set": "x", **options}}
        ]

    jobs = [
        job("1", 2, 1e9, io=io(0, 200 * 10**6)),
        job("2", 1, 1e9, at=20, io=io(200 * 10**6, 0)),
        job("3", 1, 1e9, at=40, io=io(100 * 10**6, 0, delete=True)),
        job("4", 1, 1e9, at=60, io=io(100 * 10**6, 100 * 10**6)),
    ]
    ran = simulate_tiny(tmp_path, 2, storages, jobs, {"filesystems": table}, dynamic=dynamic)
    mine = [result for name, result in ran.jobs.items() if name.startswith("w0!")]
    assert [result.state for result in mine] == ["COMPLETED_SUCCESSFULLY"] * 4
