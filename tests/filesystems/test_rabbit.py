"""Near-node storage against arithmetic done by hand, from one plan to whole simulations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from fs_machines import Machine, node, storage
from hypothesis import given, settings
from hypothesis import strategies as st

import batfs
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.filesystems import traffic as t
from batfs.filesystems.interface import Hold, Traffic, Volume


def chassis(dynamic: bool = True, rabbits: int = 1, **options: object) -> Machine:
    """Nodes 0 and 1 in chassis a, 2 and 3 in b, each with ``rabbits`` storages of 100 bytes (from 10 and from
    20 on); node 4 in a chassis without; a target 30."""
    return Machine(
        [node(0, chassis="a"), node(1, chassis="a"), node(2, chassis="b"), node(3, chassis="b"), node(4)],
        [
            *(storage(10 + k, "rabbit", "100B", chassis="a") for k in range(rabbits)),
            *(storage(20 + k, "rabbit", "100B", chassis="b") for k in range(rabbits)),
            storage(30, "lustre", "1kB"),
        ],
        {"filesystems": {"rabbit": {"model": "rabbit", "backing": "lustre", **options}}},
        dynamic_jobs=dynamic,
    )


def pairs(traffic: Any) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for one in traffic:
        for source, destination, size in zip(*(c.tolist() for c in one.columns), strict=True):
            if size:
                found[source, destination] = found.get((source, destination), 0) + size
    return found


def held(plan: Any) -> dict[int, int]:
    return {p.storage: p.size for p in plan.placements}


def test_each_node_has_a_file_system_on_the_rabbit_of_its_chassis() -> None:
    """Nodes 0, 1 and 2 write 90 bytes: 30 each; 60 on Rabbit 10, 30 on Rabbit 20."""
    plan = chassis(stage_out=False).one((0, 1, 2), Volume("rabbit", 0, 90))
    assert pairs(plan.writes) == {(0, 10): 30, (1, 10): 30, (2, 20): 30}
    assert held(plan) == {10: 60, 20: 30}


def test_a_lustre_lies_on_all_rabbits_of_the_job_by_its_nodes_there() -> None:
    """Two nodes in a, one in b: 60 of 90 bytes on 10, 30 on 20, and of each a third from every node."""
    plan = chassis(stage_out=False, type="lustre").one((0, 1, 2), Volume("rabbit", 0, 90))
    assert pairs(plan.writes) == {(n, 10): 20 for n in range(3)} | {(n, 20): 10 for n in range(3)}
    assert held(plan) == {10: 60, 20: 30}


def test_a_gfs2_is_shared_by_the_nodes_of_a_chassis() -> None:
    """The same bytes as three file systems, but those of nodes 0 and 1 are one: with 61 bytes on 10 to
    share, one of them writes 31."""
    plan = chassis(stage_out=False, type="gfs2").one((0, 1, 2), Volume("rabbit", 0, 91))
    assert pairs(plan.writes) == {(0, 10): 31, (1, 10): 30, (2, 20): 30}
    assert held(plan) == {10: 61, 20: 30}


def test_a_job_says_its_own_type() -> None:
    plan = chassis(stage_out=False).one((0, 2), Volume("rabbit", 40, 0, options={"type": "lustre"}))
    assert pairs(plan.reads) == {(r, n): 10 for r in (10, 20) for n in (0, 2)}


def test_servers_anywhere_are_the_policys_choice() -> None:
    """One server for a job in chassis a: with 80 bytes on 10, worst fit takes 20."""
    m = chassis(stage_out=False, type="lustre", servers=1, policy="worst_fit")
    m.reserve(m.one((0,), Volume("rabbit", 0, 5)))
    first = m.ledger.held(0)
    assert first == 5
    plan = m.one((0, 1), Volume("rabbit", 0, 40), job="w0!2")
    assert pairs(plan.writes) == {(0, 20): 20, (1, 20): 20}


def test_a_lustre_without_a_rabbit_near_is_on_one_anywhere() -> None:
    plan = chassis(stage_out=False, type="lustre").one((4,), Volume("rabbit", 0, 10))
    assert sum(held(plan).values()) == 10


def test_a_rabbit_of_several_storages_spreads_every_allocation() -> None:
    """Two storages a Rabbit, 30 bytes of node 0: 15 on each."""
    plan = chassis(rabbits=2, stage_out=False).one((0,), Volume("rabbit", 0, 30))
    assert pairs(plan.writes) == {(0, 10): 15, (0, 11): 15}


def test_capacity_and_what_is_staged_are_apart_from_what_moves() -> None:
    """80 bytes for two nodes in two chassis, 40 on each Rabbit, whatever moves: 500 bytes are read and
    300 written there, 60 come in and 10 go out. The target holds 60 + 10."""
    options = {"capacity": 80, "stage_in": 60, "stage_out": 10}
    plan = chassis().one((0, 2), Volume("rabbit", 500, 300, options=options))
    assert t.by_source(plan.reads) == {10: 250, 20: 250}
    assert t.by_destination(plan.writes) == {10: 150, 20: 150}
    assert [(m.kind, pairs([m.traffic])) for m in plan.stage_in] == [
        ("stage_in", {(30, 10): 30}),
        ("stage_in", {(30, 20): 30}),
    ]
    assert [(m.kind, pairs([m.traffic])) for m in plan.stage_out] == [
        ("stage_out", {(10, 30): 5}),
        ("stage_out", {(20, 30): 5}),
    ]
    on_rabbits = {s: size for s, size in held(plan).items() if s < 30}
    assert on_rabbits == {10: 40, 20: 40}
    assert sum(p.size for p in plan.placements if p.storage == 30) == 70


def test_no_room() -> None:
    """Two nodes of one chassis want 60 bytes each of 100: 20 are missing there; spread there is room, so it
    isn't for ever. 201 bytes fit nowhere."""
    m = chassis(stage_out=False)
    outcome = m.plan((0, 1), Volume("rabbit", 0, 120))
    assert isinstance(outcome, Hold)
    assert (outcome.storages, outcome.missing, outcome.never) == ((10,), 20, False)
    assert not isinstance(m.plan((0, 2), Volume("rabbit", 0, 120)), Hold)
    outcome = m.plan((0, 2), Volume("rabbit", 0, 201))
    assert isinstance(outcome, Hold)
    assert outcome.never


def test_a_node_without_a_rabbit_has_no_local_file_system() -> None:
    m = chassis()
    outcome = m.plan((4,), Volume("rabbit", 0, 1))
    assert isinstance(outcome, Hold)
    assert not outcome.never
    outcome = m.plan((0, 1, 2, 3, 4), Volume("rabbit", 0, 5))
    assert isinstance(outcome, Hold)
    assert outcome.never


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "zfs"}, "unknown type of a Rabbit's file system 'zfs'; known: gfs2"),
        ({"capacity": 1.5}, "capacity is 1.5, expected whole bytes"),
        ({"capacity": 10, "stage_in": 11}, "stage_in is 11, more than the capacity (10)"),
        ({"stage_out": -1}, "stage_out is -1"),
        ({"capacty": 1}, "did you mean 'capacity'"),
    ],
)
def test_mistakes_of_jobs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        chassis().systems.models["rabbit"].check(Volume("rabbit", 1, 1, options=options))
    assert message in str(error.value)


def test_a_storage_in_no_chassis_is_said() -> None:
    with pytest.raises(InputError, match="is in no chassis"):
        Machine([node(0)], [storage(10, "rabbit")], {"filesystems": {"rabbit": {"model": "rabbit"}}})


@given(
    st.sampled_from(("xfs", "raw", "gfs2", "lustre")),
    st.sets(st.integers(0, 3), min_size=1),
    st.integers(0, 60),
    st.integers(0, 60),
    st.none() | st.integers(0, 90),
    st.none() | st.integers(0, 60),
    st.integers(1, 3),
)
@settings(max_examples=200, deadline=None)
def test_bytes_are_conserved(
    kind: str,
    nodes: set[int],
    reads: int,
    writes: int,
    capacity: int | None,
    stage_in: int | None,
    rabbits: int,
) -> None:
    """Whatever the kind and the nodes: the nodes read and write all bytes, the Rabbits hold the capacity, as
    much is staged as is said, and only Rabbits of the job's own chassis are used."""
    options: dict[str, Any] = {"type": kind}
    if capacity is not None:
        options["capacity"] = capacity
    if stage_in is not None and (capacity is None or stage_in <= capacity):
        options["stage_in"] = stage_in
    m = chassis(rabbits=rabbits)
    volume = Volume("rabbit", reads, writes, options=options)
    outcome = m.plan(tuple(sorted(nodes)), volume)
    if isinstance(outcome, Hold):
        assert not outcome.never
        return
    [plan] = outcome
    moved: dict[str, list[Traffic]] = {"stage_in": [], "stage_out": []}
    for move in (*plan.stage_in, *plan.stage_out):
        moved[move.kind].append(move.traffic)
    assert t.total(plan.reads) == reads
    assert t.total(plan.writes) == writes
    assert t.total(moved["stage_in"]) == options.get("stage_in", reads)
    assert t.total(moved["stage_out"]) == writes
    on_rabbits = {s: size for s, size in held(plan).items() if s < 30}
    assert sum(on_rabbits.values()) == (reads + writes if capacity is None else capacity)
    own = {n // 2 for n in nodes}
    assert {(s - 10) // 10 for s in on_rabbits} <= own


def machine(folder: Path, *words: str) -> str:
    """Two chassis of 16 nodes; a node's PCIe link has 8 GB/s, a Rabbit writes 16 * 4 and reads 16 * 8 GB/s,
    its cable 40 GB/s, a node's cable 10 GB/s; two targets of 20 GB/s behind servers of 40."""
    file = folder / "machine.xml"
    sets = [
        *("nodes.bandwidth=10GBps", "nodes.latency=0s", "nodes.uplink_bandwidth=1TBps"),
        *("nodes.uplink_latency=0s", "rabbits.latency=0s", "rabbits.node_latency=0s"),
        *("rabbits.read_bandwidth=8GBps", "rabbits.write_bandwidth=4GBps", "rabbits.node_bandwidth=8GBps"),
        *("rabbits.cable_bandwidth=40GBps", "rabbits.cable_latency=0s", "pfs.servers=2", "pfs.targets=1"),
        *("pfs.read_bandwidth=20GBps", "pfs.write_bandwidth=20GBps", "pfs.latency=0s"),
        *("pfs.server_bandwidth=40GBps", "pfs.server_latency=0s", *words),
    ]
    flags = [word for one in sets for word in ("--set", one)]
    assert main(["platform", "new", "elcapitan", "--chassis", "2", *flags, "-o", str(file)]) == 0
    return str(file)


def ran(folder: Path, nodes: int, entry: dict[str, Any], *words: str, **more: Any) -> dict[str, Any]:
    """One job of no work on so many nodes, in the order of their names."""
    workload = folder / "w.json"
    profile = {"type": "parallel_homogeneous", "cpu": 0, "com": 0, "io": [entry]}
    jobs = [{"id": "1", "subtime": 0, "res": nodes, "profile": "p", "walltime": 100000}]
    workload.write_bytes(orjson.dumps({"nb_res": 32, "jobs": jobs, "profiles": {"p": profile}}))
    result = batfs.simulate(machine(folder, *words), str(workload), **more)
    [row] = result.jobs.to_dict("records") if hasattr(result.jobs, "to_dict") else list(result.jobs)
    return dict(row)


@pytest.mark.parametrize(
    ("nodes", "type", "writes", "seconds"),
    [
        (1, "xfs", 80, 10.0),  # its PCIe link
        (8, "xfs", 640, 10.0),  # eight PCIe links are as fast as the drives: 64 GB/s
        (16, "xfs", 1280, 20.0),  # the drives
        (32, "xfs", 2560, 20.0),  # two Rabbits
        (32, "gfs2", 2560, 20.0),
        # of 320 GB 160 lie on each Rabbit: the drives (the half that comes over a cable of 40 would take 2 s)
        (32, "lustre", 320, 2.5),
    ],
)
def test_simulated(tmp_path: Path, nodes: int, type: str, writes: int, seconds: float) -> None:
    entry = {"filesystem": "rabbit", "writes": writes * 10**9, "options": {"type": type}}
    row = ran(tmp_path, nodes, entry)
    assert float(row["execution_time"]) == pytest.approx(seconds, abs=1e-3)


def test_copy_in_and_copy_out_around_the_job(tmp_path: Path) -> None:
    """16 nodes: 80 GB come in from one target at 20 GB/s, 4 s; 128 GB are read at 8 GB/s a node, 1 s; 40 GB
    go out again, 2 s."""
    options = {"capacity": 2 * 10**11, "stage_in": 8 * 10**10, "stage_out": 4 * 10**10}
    entry = {"filesystem": "rabbit", "reads": 128 * 10**9, "writes": 0, "options": options}
    row = ran(tmp_path, 16, entry, dynamic_jobs=True)
    assert float(row["turnaround_time"]) > 0
    assert float(row["execution_time"]) == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize(
    ("options", "kind", "fixed"),
    [
        ({"type": "lustre", "servers": 2}, {}, ""),
        ({"type": "lustre", "servers": 2}, {"type": "xfs"}, "rabbit"),
        ({"servers": 2}, {}, "rabbit"),
        ({"servers": 2}, {"type": "lustre"}, ""),
        ({"type": "lustre"}, {}, "rabbit"),
    ],
)
def test_only_a_lustre_that_may_lie_anywhere_is_staged_before_there_are_nodes(
    options: dict[str, Any], kind: dict[str, Any], fixed: str
) -> None:
    m = chassis(staging="ahead", **options)
    rule = m.systems.staging([Volume("rabbit", 40, 0, options=kind)])
    assert rule is not None
    assert (rule.mode, rule.fixed) == ("ahead", fixed)


def test_the_command_on_nodes_that_idle_while_data_is_staged_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two chassis, twenty jobs: nodes idle if they are held, and under the other two none does."""
    figure = tmp_path / "idle.png"
    words = ["reproduce", "flux_rabbit", "--chassis", "2", "--count", "20", "--figure", str(figure)]
    assert main([*words, "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)["staging"]
    assert [one["staging"] for one in found] == ["held", "ahead", "two_step"]
    assert [one["idle"] > 0 for one in found] == [True, False, False]
    assert {one["jobs"] for one in found} == {20}
    assert figure.stat().st_size > 5000
    assert main([*words[:2], "--chassis", "1001"]) == 2
