"""Nodes near the data: each rule by hand, and nobody waits for near nodes longer than it has patience."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "filesystems"))
from fs_tiny import Ran, job, simulate_tiny, watched

from batfs.errors import InputError
from batfs.protocol.messages import Resource
from batfs.scheduling.nearness import DataLocality, Home, NearStorage, NodeView, Whereabouts
from batfs.scheduling.nodes import NodeOrder, make_selection


def seen(
    free: int, count: int, data: Mapping[Any, Mapping[int, int]] | None = None, homes: Any = (), of: int = 8
) -> NodeView:
    return NodeView(free, count, (1 << of) - 1, data or {}, homes)


DATA: dict[Any, dict[int, int]] = {
    "node": {0b00000100: 10, 0b00100000: 30},
    "chassis": {0b00001100: 10, 0b00110000: 30},
    "rack": {0b11110000: 30, 0b00001111: 10},
}


@pytest.mark.parametrize(
    ("free", "count", "expected"),
    [
        (0b11111111, 1, 0b00100000),  # the node with most of it
        (0b11111111, 2, 0b00100100),  # then the other that has some
        (0b11111111, 3, 0b00110100),  # then the chassis of most
        (0b11111111, 4, 0b00111100),  # then the other chassis
        (0b11111111, 5, 0b01111100),  # then the rack of most
        (0b11011011, 1, 0b00010000),  # those with the data are taken: the chassis of most
        (0b11000011, 1, 0b01000000),  # its chassis too: the rack
        (0b00000011, 1, 0b00000001),  # any
        (0b00000011, 3, None),
    ],
)
def test_data_locality(free: int, count: int, expected: int | None) -> None:
    """Bytes: 30 on node 5, 10 on node 2; chassis 2-3 and 4-5, racks 0-3 and 4-7."""
    assert DataLocality().choose(seen(free, count, DATA)) == expected


def test_what_is_near_the_data() -> None:
    near = [DataLocality(level=level).near(seen(255, 1, DATA)) for level in ("node", "chassis", "rack")]
    assert near == [0b00100100, 0b00111100, 0b11111111]


@pytest.mark.parametrize(
    ("free", "count", "expected"),
    [
        (0b111111111, 1, 0b000000001),  # all three hold it: the tightest, that of one node's room
        (0b111111111, 2, 0b000001000 | 0b000010000),  # chassis b holds just two
        (0b111111111, 3, 0b111000000),  # c alone holds three
        (0b111111111, 4, 0b111000001),  # c, then a holds just the fourth
        (0b111111111, 6, 0b111000000 | 0b000011000 | 0b000000001),
        (0b111111111, 7, 0b111011011),  # there is no room for a seventh: near all the same
        (0b000000110, 1, 0b000000010),
    ],
)
def test_near_storage(free: int, count: int, expected: int) -> None:
    """Chassis a (nodes 0-2) has room for one node of the job, b (3-5) for two, c (6-8) for three."""
    homes = [Home(0b000000111, 15, 10), Home(0b000111000, 29, 10), Home(0b111000000, 30, 10)]
    assert NearStorage().choose(seen(free, count, homes=homes, of=9)) == expected


def test_where_storages_are() -> None:
    """A disk in node 1 (chassis a, rack r) and a Rabbit in chassis b."""
    nodes = [
        Resource(k, f"n{k}", "compute_node", properties={"chassis": "ab"[k // 2], "rack": "r"})
        for k in range(4)
    ]
    disk = Resource(10, "d", "storage", properties={"filesystem": "disk", "node": "n1"})
    rabbit = Resource(11, "r", "storage", properties={"filesystem": "rabbit", "chassis": "b"})
    where = Whereabouts(nodes, [disk, rabbit], NodeOrder(nodes))
    assert where.homes == {"disk": {0b0010: [10]}, "rabbit": {0b1100: [11]}}
    assert where.of({10: 5, 11: 7}) == {
        "node": {0b0010: 5},
        "chassis": {0b0011: 5, 0b1100: 7},
        "rack": {0b1111: 5},
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data_locality:patience=-1", "the time '-1' must be finite and not negative"),
        ("data_locality:level=row", "'row' is not one of node, chassis, rack"),
        ("near_storage:patince=1", "did you mean 'patience'"),
        ("lowest:patience=1", "'lowest' has no options"),
        ("datalocality", "unknown node selection"),
    ],
)
def test_mistakes(name: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        make_selection(name)
    assert message in str(error.value)


DISKS = {f"d{k}": {"filesystem": "disk", "size": "1TB", "node": f"n{k}"} for k in range(4)}


def delayed(folder: Path, patience: float, blocked: float, queue: str = "fcfs", **more: Any) -> Ran:
    """The writer leaves a data set on node 0, which a blocker then holds for so long; the reader comes a
    second later. The disks are as fast as the network: 1 GB takes a second."""
    disk = "dfs:replication=1"
    io = {"filesystem": "disk", "options": {"data_set": "it"}}
    jobs = [
        job("writer", 1, io=[{**io, "writes": 10**9}]),
        job("blocker", 1, cpu=blocked * 1e9, at=10.0, walltime=1000),
        job("reader", 1, at=11.0, io=[{**io, "reads": 10**9}], walltime=100),
        job("last", 1, cpu=1e9, at=12.0, walltime=100),
    ]
    config = {
        "filesystem": disk,
        "node_selection": f"data_locality:patience={patience:g}",
        "queue": queue,
        "validate": True,
    }
    return simulate_tiny(folder, 4, DISKS, jobs, config, process=watched(), **more)


def place(ran: Ran, name: str) -> tuple[float, str, float]:
    """(start, nodes, seconds waited for near nodes)."""
    [record] = [r for r in ran.records if r.job.id == f"w0!{name}"]
    start, _ = ran.times(name)
    return start, record.nodes, sum(s for (cause, _), s in record.waits.items() if cause == "locality")


@pytest.mark.parametrize(
    ("patience", "blocked", "start", "nodes", "waited"),
    [
        (0, 30, 11, "1", 0),  # no patience: the next node
        (10, 5, 15, "0", 4),  # the blocker is gone at 15: on node 0 with the data
        (10, 30, 21, "1", 10),  # patience is over at 21
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("queue", ["fcfs", "easy"])
def test_delay_scheduling(
    tmp_path: Path,
    patience: float,
    blocked: float,
    start: float,
    nodes: str,
    waited: float,
    dynamic: bool,
    queue: str,
) -> None:
    ran = delayed(tmp_path, patience, blocked, queue, dynamic=dynamic)
    found = place(ran, "reader")
    assert found[1] == nodes
    assert (found[0], found[2]) == pytest.approx((start, waited), abs=1e-3)
    # who comes after it waits behind it under fcfs, and goes ahead under easy
    last, _ = ran.times("last")
    assert last == pytest.approx(12 if queue == "easy" else max(12, start), abs=1e-3)


def test_two_rabbits_half_full(tmp_path: Path) -> None:
    """Nodes 0 and 1 in chassis a, 2 and 3 in b, Rabbits of 10 GB. The first job holds 6 GB in a; one of two
    nodes that needs 3 GB on each goes to b as a whole, where ``lowest`` would take nodes 1 and 2; and one of
    two nodes with 6 GB each goes to one node of each."""
    rabbits = {f"r{c}": {"filesystem": "rabbit", "size": "10GB", "chassis": c} for c in "ab"}
    places = {k: {"chassis": "ab"[k // 2]} for k in range(4)}

    def nodes(selection: str, size: int, holds: int) -> str:
        jobs = [
            job("1", 1, io_writes=holds, walltime=1000),
            job("2", 2, at=1.0, io_writes=size, walltime=1000),
        ]
        config = {"filesystem": "rabbit", "node_selection": selection, "validate": True}
        ran = simulate_tiny(tmp_path, 4, rabbits, jobs, config, process=watched(), properties=places)
        return next(r.nodes for r in ran.records if r.job.id == "w0!2")

    assert nodes("lowest", 6 * 10**9, 6 * 10**9) == "1-2"
    assert nodes("near_storage", 6 * 10**9, 6 * 10**9) == "2-3"
    assert nodes("near_storage", 12 * 10**9, 10**9) == "1-2"


@st.composite
def histories(draw: Any) -> list[dict[str, Any]]:
    jobs = []
    at = 0.0
    for k in range(draw(st.integers(1, 10))):
        at += draw(st.integers(0, 6))
        entry: dict[str, Any] = {"filesystem": "disk", "options": {"data_set": draw(st.sampled_from("xyz"))}}
        entry[draw(st.sampled_from(("reads", "writes")))] = draw(st.integers(1, 4)) * 10**9
        more = {"io": [entry]} if draw(st.booleans()) else {}
        seconds = draw(st.integers(1, 20))
        jobs.append(job(f"{k}", draw(st.integers(1, 4)), cpu=seconds * 1e9, at=at, walltime=500, **more))
    return jobs


@pytest.mark.parametrize("queue", ["fcfs", "easy", "conservative", "filler", "easy_storage", "plan"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    histories(),
    st.sampled_from((0, 3, 25)),
    st.sampled_from(("data_locality", "near_storage")),
    st.booleans(),
)
def test_nobody_starves(
    queue: str, tmp_path: Path, jobs: list[dict[str, Any]], patience: int, selection: str, dynamic: bool
) -> None:
    """Every job runs; what it waited for adds up to its wait, and no job waited longer for near nodes than
    it had patience."""
    config = {
        "filesystem": "dfs:replication=2",
        "node_selection": f"{selection}:patience={patience}",
        "queue": queue,
        "validate": True,
    }
    ran = simulate_tiny(tmp_path, 4, DISKS, jobs, config, process=watched(), dynamic=dynamic)
    for record in ran.records:
        waited = record.waits
        near = sum(s for (cause, _), s in waited.items() if cause == "locality")
        assert near <= patience + 1e-5
        began = ran.times(record.job.name)[0] if not dynamic else None
        if began is not None:
            assert sum(waited.values()) == pytest.approx(began - record.job.submission_time, abs=1e-5)
    with_io = {j["job"]["id"] for j in jobs if "io" in j["profile"]}
    assert {r.job.name for r in ran.records} >= with_io
