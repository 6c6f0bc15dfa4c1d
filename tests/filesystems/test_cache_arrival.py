"""A cache is warm when its data has arrived. Nodes have 1 GB/s each way; the target behind reads and writes
100 MB/s, the cache 1 GB/s unless said otherwise; there are no latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import Ran, job, simulate_tiny, watched
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.filesystems import traffic as t
from batfs.filesystems.cache import led_through
from batfs.filesystems.interface import IoRequest, Traffic, Volume
from batfs.filesystems.lru import Cache

MB = 10**6


def reads(name: str, at: float, size: int = 1000 * MB, data_set: str = "x", **more: Any) -> dict[str, Any]:
    options = {"data_set": data_set, **more.pop("options", {})}
    io = [{"filesystem": "fast", "reads": size, "options": options}]
    return job(name, 1, more.pop("cpu", 0.0), at, io=io, **more)


def run(folder: Path, jobs: list[dict[str, Any]], *, write: str = "200MBps", **options: Any) -> Ran:
    storages = {
        "c0": {"filesystem": "fast", "size": "2GB", "read": "1GBps", "write": write, **options.pop("c0", {})},
        "s0": {"filesystem": "lustre", "read": "100MBps", "write": "100MBps", **options.pop("s0", {})},
    }
    tables = {"fast": {"model": "cache", "backing": "lustre", **options}, "lustre": {"model": "pfs"}}
    return simulate_tiny(folder, 4, storages, jobs, {"filesystems": tables}, dynamic=True, process=watched())


def found(ran: Ran) -> dict[str, tuple[int, int, int]]:
    """Of each job: bytes read from the cache, from behind, and copied."""
    out = {}
    for record in ran.records:
        [plan] = record.plans
        at = t.by_source(plan.reads)
        out[record.job.name] = at.get(4, 0) // MB, at.get(5, 0) // MB, t.total(plan.internal) // MB
    return dict(sorted(out.items()))


def test_a_second_reader_joins_the_first(tmp_path: Path) -> None:
    """a brings x in 10 s. b comes after 1 s: x isn't here, so it reads from behind too, and copies nothing,
    because a does. They share the target: a has read 100 MB when b comes, both then get 50 MB/s: a ends at
    1 + 900 / 50 = 19 s; b has read 900 MB by then, the last 100 MB come at 100 MB/s: 20 s. c at 30 s reads
    from the cache at 1 GB/s: 1 s."""
    ran = run(tmp_path, [reads("a", 0), reads("b", 1), reads("c", 30)])
    assert found(ran) == {"a": (0, 1000, 1000), "b": (0, 1000, 0), "c": (1000, 0, 0)}
    ends = [ran.times(name)[1] for name in "abc"]
    assert ends == pytest.approx([19.0, 20.0, 31.0], abs=1e-4)


def test_jobs_that_start_together_bring_it_once(tmp_path: Path) -> None:
    """a and b start in one pass: a copies, b doesn't; the cache of 2 GB then has room for y as well."""
    jobs = [
        reads("a", 0),
        reads("b", 0),
        reads("c", 50, data_set="y"),
        reads("d", 90),
        reads("e", 90, data_set="y"),
    ]
    ran = run(tmp_path, jobs)
    assert found(ran) == {
        "a": (0, 1000, 1000),
        "b": (0, 1000, 0),
        "c": (0, 1000, 1000),
        "d": (1000, 0, 0),
        "e": (1000, 0, 0),
    }


def test_a_longer_reader_copies_the_rest(tmp_path: Path) -> None:
    """a brings 600 MB of x; b, meanwhile, reads 1,000 MB from behind and copies the other 400."""
    ran = run(tmp_path, [reads("a", 0, 600 * MB), reads("b", 1), reads("c", 90)])
    assert found(ran) == {"a": (0, 600, 600), "b": (0, 1000, 400), "c": (1000, 0, 0)}


def test_what_a_failed_job_was_bringing_never_arrives(tmp_path: Path) -> None:
    """b is killed after 3 of its 4 s: of x only what a brought is here."""
    jobs = [reads("a", 0, 600 * MB), reads("b", 20, walltime=3), reads("c", 40)]
    ran = run(tmp_path, jobs)
    assert ran.jobs["w0!b"].state == "COMPLETED_WALLTIME_REACHED"
    assert found(ran)["b"] == (600, 400, 400)
    assert found(ran)["c"] == (600, 400, 400)


def test_in_phases_it_is_here_when_it_has_been_read(tmp_path: Path) -> None:
    """a reads x in 10 s and then computes 30 s. b comes at 9 s, before x is here, c at 25 s, after."""
    ran = run(
        tmp_path,
        [reads("a", 0, cpu=30e9, options={"timing": "phases"}), reads("b", 9), reads("c", 25)],
    )
    assert found(ran) == {"a": (0, 1000, 1000), "b": (0, 1000, 0), "c": (1000, 0, 0)}


def test_what_is_written_is_here_when_its_job_has_ended(tmp_path: Path) -> None:
    """a writes x through in 10 s; b reads it meanwhile, from behind; c finds it."""
    io = [{"filesystem": "fast", "writes": 1000 * MB, "options": {"data_set": "x"}}]
    ran = run(tmp_path, [job("a", 1, 0.0, io=io), reads("b", 5), reads("c", 50)])
    assert found(ran)["b"] == (0, 1000, 0)
    assert found(ran)["c"] == (1000, 0, 0)


@pytest.mark.parametrize(
    ("options", "through"),
    [
        ({"c0": {"server": "oss1"}, "s0": {"server": "oss1"}}, True),
        ({"c0": {"server": "oss1"}, "s0": {"server": "oss2"}}, False),
        ({}, False),
        ({"fill_by": "servers"}, True),
        ({"c0": {"server": "oss1"}, "s0": {"server": "oss1"}, "fill_by": "nodes"}, False),
    ],
)
def test_a_cache_in_the_servers_is_filled_by_them(
    tmp_path: Path, options: dict[str, Any], through: bool
) -> None:
    """Storage-side, the target sends to the cache and the cache to the node: the node's own link out carries
    nothing. By the nodes, they read from the target and write into the cache. Either takes 10 s."""
    ran = run(tmp_path, [reads("a", 0), reads("b", 20)], **options)
    [a, b] = (record.plans[0] for record in sorted(ran.records, key=lambda r: r.job.name))
    pairs = [(p.sources.tolist(), p.destinations.tolist()) for p in (*a.reads, *a.internal)]
    assert pairs == ([([4], [0]), ([5], [4])] if through else [([5], [0]), ([0], [4])])
    assert t.by_source(b.reads) == {4: 1000 * MB}
    assert ran.duration("a") == pytest.approx(10.0, abs=1e-4)


@given(
    st.lists(
        st.tuples(st.integers(20, 23), st.integers(0, 5), st.integers(1, 10**9)), min_size=1, max_size=9
    ),
    st.dictionaries(st.integers(10, 13), st.integers(1, 10**9), min_size=1),
    st.integers(1, 100),
)
@settings(max_examples=200, deadline=None)
def test_bytes_led_through_a_cache_are_the_same_bytes(
    transfers: list[tuple[int, int, int]], filled: dict[int, int], percent: int
) -> None:
    """Every node gets what it got, every target sends what it sent, the cache passes on what it gets."""
    import numpy as np

    columns = [np.array(column, dtype=np.int64) for column in zip(*transfers, strict=True)]
    reads = [Traffic(*columns)]
    total = t.total(reads)
    wanted = max(1, total * percent // 100)
    sizes = t.split_by(wanted, list(filled.values()))
    led = {s: int(size) for s, size in zip(filled, sizes, strict=True) if size}
    copied, served = led_through(reads, led)
    assert t.by_destination(served) == t.by_destination(reads)
    assert t.total([copied]) == wanted
    direct = {s: size for s, size in t.by_source(served).items() if s >= 20}
    sent = t.by_source([copied])
    assert {s: direct.get(s, 0) + sent.get(s, 0) for s in t.by_source(reads)} == t.by_source(reads)
    assert sum(t.by_source(served).values()) - sum(direct.values()) == wanted


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_what_comes_arrives_or_is_given_up(seed: int, storages: int) -> None:
    """At any time the books balance and nothing is read that hasn't arrived; in the end nothing is on its
    way, and what has arrived is what was brought by jobs that succeeded."""
    import random

    rng = random.Random(seed)
    cache = Cache({s: rng.randrange(20, 60) for s in range(storages)})
    under_way: dict[str, tuple[str, int]] = {}
    arrived: dict[str, int] = {}
    for step in range(80):
        name, job_id = rng.choice("abc"), str(step)
        size = rng.randrange(1, 20)
        room = cache.choose(size, name)
        if room is not None and rng.random() < 0.6:
            before = set(cache.entries)
            assert cache.insert(name, room, job_id)
            for gone in before - set(cache.entries):
                arrived.pop(gone, None)
            cache.use(name, job_id)
            under_way[job_id] = (name, size)
        if under_way and rng.random() < 0.5:
            done = rng.choice(sorted(under_way))
            name, size = under_way.pop(done)
            cache.leave(done)
            if rng.random() < 0.5:
                cache.arrive(done)
                arrived[name] = arrived.get(name, 0) + size
            else:
                cache.give_up(done)
        cache.check()
        for entry_name, entry in cache.entries.items():
            assert sum(entry.here.values()) == arrived.get(entry_name, 0)


def test_gateways_go_round_within_a_pass() -> None:
    """Two jobs planned before either has started get a gateway each, as if one had come after the other."""
    m = Machine(
        [node(0), node(1), *(node(k, service="gateway", filesystem="lustre") for k in (5, 6))],
        [storage(20, "lustre", "1kB")],
    )
    volume = Volume("lustre", 10, 0)
    first = m.one((0,), volume, job="w0!1")
    asked = IoRequest("w0!1", (0,), volume, 0.0)
    m.systems.tried(asked, first)
    second = m.one((1,), volume, job="w0!2")
    assert (first.notes["gateways"], second.notes["gateways"]) == ([5], [6])
    m.systems.untried("w0!1")
    assert m.one((1,), volume, job="w0!2").notes["gateways"] == [5]


def test_a_storage_that_loses_its_data_takes_only_that_along() -> None:
    """x has 10 bytes on the first of three caches, y 20 on the second and 5 on the third; z brings 30 more to
    the second. When that loses what it has, y's 20 are gone there; what z brings comes still."""
    cache = Cache({1: 100, 2: 100, 3: 100})
    cache.insert("x", {1: 10})
    cache.insert("y", {2: 20, 3: 5})
    cache.insert("z", {2: 30}, "w0!1")
    cache.erase(2)
    assert {name: entry.bytes_on for name, entry in cache.entries.items()} == {
        "x": {1: 10},
        "y": {3: 5},
        "z": {2: 30},
    }
    assert cache.free == {1: 90, 2: 70, 3: 95}


@pytest.mark.parametrize("second", [0.0, 1.0])
def test_what_finds_no_room_takes_none_from_others(tmp_path: Path, second: float) -> None:
    """A cache of 100 B. The first job reads sets of 60 and of 60 B: the other finds no room beside the one.
    The second job's 30 B do, whether it starts in the same pass or later."""
    storages = {
        "o0": {"filesystem": "fs", "size": "1GB", "read": "1Bps"},
        "c0": {"filesystem": "cache", "size": "100B"},
    }
    jobs = [
        job(
            name, at=at, io=[{"filesystem": "cache", "reads": n, "options": {"data_set": s}} for s, n in sets]
        )
        for name, at, sets in (("1", 0.0, [("a", 60), ("b", 60)]), ("2", second, [("c", 30)]))
    ]
    config = {
        "default_filesystem": "fs",
        "filesystems": {"fs": {"model": "pfs"}, "cache": {"model": "cache", "backing": "fs"}},
    }
    ran = simulate_tiny(tmp_path, 2, storages, jobs, config, process=watched())
    [plan] = next(record.plans for record in ran.records if record.job.name == "2")
    assert t.total(plan.internal) == 30
