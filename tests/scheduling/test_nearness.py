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
from batfs.scheduling.nodes import NodeOrder, make_selection, runs


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


#: Four nodes, 0 and 1 in chassis a and rack r, 2 and 3 in b and s; where one file system's storages are, its
#: model, and the nodes near the data that a job on node 3 has left, by level.
PLACES = {k: {"chassis": "ab"[k // 2], "rack": "rs"[k // 2]} for k in range(4)}


def storages(**near: str) -> dict[str, Any]:
    """One for each place: ``node``, ``chassis`` or ``rack`` with what they are called."""
    [(key, names)] = near.items()
    return {
        f"d{name}": {"filesystem": "disk", "size": "20GB", key: f"n{name}" if key == "node" else name}
        for name in names
    }


SYSTEMS: dict[str, tuple[str, dict[str, Any], Any]] = {
    "buffers in nodes": ("burst_buffer", storages(node="0123"), {"node": "3"}),
    "a DFS": ("dfs:replication=1", storages(node="0123"), {"node": "3"}),
    "Rabbits": ("rabbit", storages(chassis="ab"), {"chassis": "2-3"}),
    "targets in racks": ("pfs:stripe_count=1", storages(rack="rs"), {"rack": "2-3"}),
    "a pool in chassis": ("nvme_pool", storages(chassis="ab"), {"chassis": "2-3"}),
}


def held_on(system: str, *jobs: dict[str, Any], folder: Path, selection: str, **more: Any) -> Ran:
    """Two data sets from the beginning, of 1 and 2 GB: by nodes 0 and 3 where it matters who writes, else
    each on the storage that is emptiest, the first of equals first."""
    model, disks, levels = SYSTEMS[system]
    by = [{"nodes": [n]} if "node" in levels or model == "rabbit" else {} for n in ("n0", "n3")]
    sets = [
        {"name": "first", "size": "1GB", "filesystem": "disk", **by[0]},
        {"name": "it", "size": "2GB", "filesystem": "disk", **by[1]},
    ]
    config = {
        "filesystem": model,
        "policy": "worst_fit",
        "data_sets": sets,
        "node_selection": selection,
        "validate": True,
    }
    return simulate_tiny(folder, 4, disks, list(jobs), config, process=watched(), properties=PLACES, **more)


def reading(name: str, at: float = 0.0, nodes: int = 1) -> dict[str, Any]:
    entry = {"filesystem": "disk", "reads": 10**9, "options": {"data_set": "it", "missing": "error"}}
    return job(name, nodes, at=at, io=[entry], walltime=500)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
def test_near_data_on_every_model(tmp_path: Path, system: str, dynamic: bool) -> None:
    """``lowest`` takes node 0; ``data_locality`` a node on, in the chassis or in the rack of the data."""
    [near] = SYSTEMS[system][2].values()
    run = {
        rule: held_on(system, reading("1"), folder=tmp_path, selection=rule, dynamic=dynamic)
        for rule in ("lowest", "data_locality")
    }
    assert place(run["lowest"], "1")[1] == "0"
    assert place(run["data_locality"], "1")[1] == near[0]
    # two nodes: of those on a node's own disk the other is in its chassis
    both = held_on(system, reading("1", nodes=2), folder=tmp_path, selection="data_locality", dynamic=dynamic)
    assert place(both, "1")[1] == "2-3"


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(("blocked", "start"), [(5.0, 6.0), (30.0, 11.0)])
def test_patience_on_every_model(tmp_path: Path, system: str, blocked: float, start: float) -> None:
    """Nodes 2 and 3 are taken at 0 s, for 6 or 31 s; the reader that comes at 1 s waits for them for 10 s at
    most, then takes node 0."""
    [(level, near)] = SYSTEMS[system][2].items()
    jobs = [
        job("0", 2, cpu=1e9, walltime=500),
        job("1", 2, cpu=(blocked + 1) * 1e9, walltime=500),
        reading("2", at=1.0),
    ]
    rule = f"data_locality:patience=10,level={level}"
    found = place(held_on(system, *jobs, folder=tmp_path, selection=rule), "2")
    assert found[0] == pytest.approx(start, abs=1e-3)
    assert found[1] == (near[0] if blocked == 5.0 else "0")
    assert found[2] == pytest.approx(start - 1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("system", "nodes", "size", "without", "beside"),
    [
        ("buffers in nodes", 1, 19.0, "0", "1"),
        ("Rabbits", 2, 18.5, "0-1", "2-3"),
        ("a pool in chassis", 2, 18.5, "0-1", "2-3"),
    ],
)
def test_room_beside_data_sets(
    tmp_path: Path, system: str, nodes: int, size: float, without: str, beside: str
) -> None:
    """2 GB lie near node 0, on a disk or a Rabbit of 20 GB: 18 GB are left there, not enough for one node's
    19 GB, nor for two of 9.25 GB each."""
    model, disks, _ = SYSTEMS[system]
    writes = job("1", nodes, io=[{"filesystem": "disk", "writes": int(size * 10**9)}], walltime=500)
    for sets, expected in (([], without), ([{"name": "it", "size": "2GB", "nodes": ["n0"]}], beside)):
        config = {"filesystem": model, "node_selection": "near_storage", "data_sets": sets, "validate": True}
        ran = simulate_tiny(tmp_path, 4, disks, [writes], config, process=watched(), properties=PLACES)
        assert place(ran, "1")[1] == expected


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
    st.sampled_from(["copies", *SYSTEMS]),
)
def test_nobody_starves(
    queue: str,
    tmp_path: Path,
    jobs: list[dict[str, Any]],
    patience: int,
    selection: str,
    dynamic: bool,
    system: str,
) -> None:
    """Every job runs; what it waited for adds up to its wait, and no job waited longer for near nodes than
    it had patience."""
    model, disks, levels = SYSTEMS.get(system, ("dfs:replication=2", DISKS, {"node": ""}))
    more = f",level={next(iter(levels))}" if selection == "data_locality" else ""
    config = {
        "filesystem": model,
        "node_selection": f"{selection}:patience={patience}{more}",
        "queue": queue,
        "validate": True,
        "data_sets": [{"name": "x", "filesystem": "disk", "size": "2GB"}],
    }
    # what needs more room than there is on one place is rejected: then there is no record of a start
    ran = simulate_tiny(
        tmp_path, 4, disks, jobs, config, process=watched(), dynamic=dynamic, properties=PLACES
    )
    for record in ran.records:
        waited = record.waits
        near = sum(s for (cause, _), s in waited.items() if cause == "locality")
        assert near <= patience + 1e-5
        began = ran.times(record.job.name)[0] if not dynamic else None
        if began is not None:
            assert sum(waited.values()) == pytest.approx(began - record.job.submission_time, abs=1e-5)
    with_io = {j["job"]["id"] for j in jobs if "io" in j["profile"]}
    assert {r.job.name for r in ran.records} >= with_io


@given(st.integers(0, 2**70 - 1))
def test_runs_of_nodes_are_those_of_its_bits(nodes: int) -> None:
    found = runs(nodes)
    assert sum(((1 << end) - 1) >> begin << begin for begin, end in found) == nodes
    edges = [edge for span in found for edge in span]
    assert edges == sorted(set(edges))  # ascending, none empty, none touching another
