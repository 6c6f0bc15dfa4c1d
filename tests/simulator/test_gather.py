"""The compiled way from a task to its rows against the plain one, on the platforms at hand."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batfs._core import gather, interpreted
from batfs._core.flows import Even, Flows
from batfs.platform import load_platform, number_resources
from batfs.simulator import work as work_module
from batfs.simulator.work import Demand, Work, Workshop, merge
from batfs.workload.model import IoProfile

PLATFORMS = Path(__file__).parents[2] / "platforms"
NAMES = ("taurus_storage.xml", "pfs_cluster.xml", "dfs_cluster.xml", "bb_cluster.xml")


def as_dict(work: Work) -> dict[int, float]:
    found: dict[int, float] = {}
    for resource, weight in zip(work.resources, work.weights, strict=True):
        assert int(resource) not in found
        found[int(resource)] = float(weight)
    return found


def random_even(rng: random.Random, nodes: list[int], storages: list[int]) -> IoProfile:
    def part() -> tuple[list[int], list[int]]:
        amounts = [rng.choice([len(nodes), rng.randrange(len(nodes), 10**10)]) for _ in storages]
        return amounts, [rng.randrange(len(nodes)) for _ in storages]

    ways = rng.choice([(True, False), (False, True), (True, True)])
    written, read = (part() if way else None for way in ways)
    return IoProfile.evenly(Even(nodes, storages, written, read))


@pytest.mark.parametrize("core", [gather, interpreted("gather")], ids=["as built", "interpreted"])
def test_one_way_takes_any_volume(core: Any) -> None:
    """Two links, one of them crossed twice; half a second, and a window of 100 bytes."""
    way, endless = core.Way([3, 5], [1, 2], 0.5, 100.0), core.Way((), (), 0.0, 100.0)
    ten, one = way.work(10), way.work(1.0)
    assert as_dict(ten) == {3: 10.0, 5: 20.0}
    assert as_dict(one) == {3: 1.0, 5: 2.0}
    assert (ten.latency, ten.bound, one.bound) == (0.5, 10.0, 100.0)
    assert (as_dict(endless.work(1.0)), endless.work(1.0).bound) == ({}, 0.0)


def test_even_bytes_are_those_of_a_plain_matrix() -> None:
    """Five bytes on three nodes: one each, and one more from node 1 on; so for all four columns and rows."""
    io = IoProfile.evenly(Even((2, 3, 5), (8, 9), ([5, 6], [1, 0]), ([4, 5], [2, 2])))
    com = np.array(io.dense()["com"]).reshape(5, 5)
    assert io.ids.tolist() == io.resources() == [2, 3, 5, 8, 9]
    assert com.tolist() == [
        [0, 0, 0, 1, 2],
        [0, 0, 0, 2, 2],
        [0, 0, 0, 2, 2],
        [1, 1, 2, 0, 0],
        [2, 1, 2, 0, 0],
    ]


def test_how_long_work_takes_alone_by_hand() -> None:
    """Rates 1/s: 8 bytes of weight 2 make 4, 9 of 3 make 3, the bound allows 2.5; each after 0.5 s."""
    capacity = [8.0, 9.0]
    assert Work([0, 1], [2.0, 3.0], 0.5, 0.0).alone(capacity) == 0.5 + 1.0 / 3.0
    assert Work([0, 1], [2.0, 3.0], 0.5, 2.5).alone(capacity) == 0.5 + 1.0 / 2.5
    assert Work([0, 1], [2.0, 3.0], 0.5, 2.5, 2.0).alone(()) == 1.0  # the rows are known to allow 2
    assert Work([], [], 0.5, 2.5).alone(capacity) == 0.5 + 1.0 / 2.5
    assert Work([], [], 0.5, 0.0).alone(capacity) == 0.5
    assert Work([0], [1.0], 0.5, 0.0).alone([0.0]) == float("inf")


@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_way_gives_the_same_rows(name: str) -> None:
    platform = load_platform(PLATFORMS / name)
    machine = number_resources(platform)
    host_of = np.array([r.host for r in machine.resources], np.int64)
    plain, quick = (Workshop(platform, 4194304.0, gathering=gathering) for gathering in (False, True))
    rng = random.Random(7)
    storages = list(range(machine.nb_compute, machine.nb_compute + machine.nb_storage))
    compared = 0
    for _ in range(150):
        size = min(rng.choice([1, 2, 3, 5, 16, 40]), machine.nb_compute)
        nodes = np.array(sorted(rng.sample(range(machine.nb_compute), size)), np.int64)
        chosen = sorted(rng.sample(storages, min(rng.choice([1, 2]), len(storages))))
        ids = np.concatenate([nodes, np.array(chosen, np.int64)])
        com = rng.choice([0.0, float(rng.randrange(1, 10**9)), rng.uniform(0.1, 1e6), 1e18])
        cpu = rng.choice([0.0, 1e9])
        pairs = {
            (rng.randrange(len(ids)), rng.randrange(len(ids))): float(rng.randrange(1, 10**10))
            for _ in range(rng.randrange(1, 12))
        }
        if rng.random() < 0.6:  # between nodes and storages only, as most file systems do
            pairs = {(s, d): v for (s, d), v in pairs.items() if (s < size) != (d < size)}
        flows = sorted((s, d, v) for (s, d), v in pairs.items() if s != d)
        io = IoProfile(
            ids,
            np.array([s for s, _, _ in flows], np.int64),
            np.array([d for _, d, _ in flows], np.int64),
            np.array([v for _, _, v in flows]),
        )
        flops = np.full(size, cpu) if cpu > 0 else None
        mine = Demand(size, flops, com)
        even = rng.random() < 0.5
        if even:
            io = random_even(rng, nodes.tolist(), chosen)
        more = Demand(len(ids), None, flows=io)
        found = quick.merged(mine, tuple(nodes.tolist()), more, io.resources(), host_of)
        demand, together = merge(mine, nodes, more, ids)
        expected = plain.work(demand, host_of[together])
        assert as_dict(found) == pytest.approx(as_dict(expected), rel=1e-12)
        exact = as_dict(expected)
        if com.is_integer() and all(weight < 2**53 for weight in exact.values()):
            assert as_dict(found) == exact
            compared += 1
        assert (found.latency, found.bound) == (expected.latency, pytest.approx(expected.bound, rel=1e-12))
    assert compared > 30


@pytest.mark.parametrize("name", [*NAMES, "nvme_pool.xml"])
def test_even_bytes_are_counted_as_a_walk_over_their_flows_would(name: str) -> None:
    """Rows of links in the same order, with the same bits, as flow by flow (which is the way where hosts may
    repeat); with bytes between the nodes too the matrix comes first, so there only the sums are compared."""
    platform = load_platform(PLATFORMS / name)
    machine = number_resources(platform)
    host_of = np.array([r.host for r in machine.resources], np.int64)
    workshop = Workshop(platform, 4194304.0, gathering=True)
    gatherer = workshop.gatherer
    if gatherer is None:
        pytest.skip("the core is not compiled here")
    rng = random.Random(11)
    storages = list(range(machine.nb_compute, machine.nb_compute + machine.nb_storage))
    for k in range(300):
        size = min(rng.choice([1, 2, 3, 5, 16, 40]), machine.nb_compute)
        nodes = sorted(rng.sample(range(machine.nb_compute), size))
        chosen = sorted(rng.sample(storages, rng.randint(1, len(storages))))
        io = random_even(rng, nodes, chosen)
        com = rng.choice([0.0, 0.0, float(rng.randrange(1, 10**6)), 0.5, 1e6 / 3, 0.1])
        found, walked = (
            gatherer.work(
                *(io.resources(), Demand(size, None, com, each=1e9), io, 4194304.0, None, None, host_of),
                distinct=distinct,
            )
            for distinct in (True, False)
        )
        assert found is not None
        assert walked is not None
        if com == 0.0:
            assert found.resources.tolist() == walked.resources.tolist(), k
            assert found.weights.tolist() == walked.weights.tolist()
        elif com.is_integer():
            assert as_dict(found) == as_dict(walked)
        else:  # counted, and added up in the order of the walk
            assert found.resources.tolist() == walked.resources.tolist(), k
            assert found.weights.tolist() == walked.weights.tolist()
        assert (found.latency, found.bound, found.reach) == (walked.latency, walked.bound, walked.reach)


def test_routes_that_somebody_else_learned(tmp_path: Path) -> None:
    """A task with a flow to itself learns its routes the plain way, and the tables grow: the next task's rows
    come from the new ones. 12 hosts have 144 routes, the tables start with 64."""
    hosts = "".join(f'<host id="h{i:02}" speed="1Gf"/>' for i in range(12))
    links = "".join(f'<link id="l{i:02}" bandwidth="{i + 1}MBps" latency="{i}us"/>' for i in range(12))
    routes = "".join(
        f'<route src="h{i:02}" dst="h{j:02}"><link_ctn id="l{i:02}"/>'
        + (f'<link_ctn id="l{(i + j) % 12:02}"/>' * (j % 3))
        + f'<link_ctn id="l{j:02}"/></route>'
        for i in range(12)
        for j in range(i)
    )
    file = tmp_path / "p.xml"
    file.write_text(
        "<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
        f'<platform version="4.1"><zone id="z" routing="Full">{hosts}{links}{routes}</zone></platform>'
    )
    quick, plain = (Workshop(load_platform(file), 4194304.0, gathering=way) for way in (True, False))
    rng = random.Random(1)
    for size, own in ((3, False), (12, True), (9, False), (12, False), (12, True), (5, False)):
        places = np.array([(i, j) for i in range(size) for j in range(size) if i != j or (own and i == 2)])
        volumes = np.array([float(rng.randrange(1, 10**9)) for _ in places])
        demand = Demand(size, None, flows=Flows(places[:, 0].copy(), places[:, 1].copy(), volumes))
        chosen = np.array(sorted(rng.sample(range(12), size)))
        found, expected = quick.work(demand, chosen), plain.work(demand, chosen)
        assert as_dict(found) == as_dict(expected)
        assert (found.latency, found.bound) == (expected.latency, expected.bound)


def platform_of_own_kinds(path: Path, hosts: int) -> Path:
    """Hosts with a declared route between every two: no two of them are of one kind."""
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">']
    lines += ['<platform version="4.1"><zone id="all" routing="Full">']
    lines += [f'<host id="h{i}" speed="1Gf"/>' for i in range(hosts)]
    pairs = [(i, k) for i in range(hosts) for k in range(i + 1, hosts)]
    lines += [f'<link id="l{i}_{k}" bandwidth="{i + k}MBps" latency="{i + 1}us"/>' for i, k in pairs]
    lines += [f'<route src="h{i}" dst="h{k}"><link_ctn id="l{i}_{k}"/></route>' for i, k in pairs]
    path.write_text("\n".join([*lines, "</zone></platform>"]))
    return path


@pytest.mark.parametrize("case", ["uniform", "flows", "even"])
def test_what_a_task_needs_of_routes_is_learnt_at_once(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 hosts of 24 kinds: up to 552 routes for one task, and the kernel walks it twice, not 553 times.

    Of the flows, those without bytes need no route: none is looked for.
    """
    platform = load_platform(platform_of_own_kinds(tmp_path / "p.xml", 24))
    plain, quick = (Workshop(platform, 4194304.0, gathering=gathering) for gathering in (False, True))
    if quick.gatherer is None:
        pytest.skip("the core is not compiled here")
    calls = []
    kernel = work_module.gather_rows
    monkeypatch.setattr(work_module, "gather_rows", lambda *where: calls.append(1) or kernel(*where))
    learnt: list[int] = []
    add = quick.gatherer._consumer.add_core
    monkeypatch.setattr(quick.gatherer._consumer, "add_core", lambda key: learnt.append(key) or add(key))
    hosts = np.arange(24)
    if case == "uniform":
        demand, routes = Demand(24, None, 1000.0), 24 * 23
    elif case == "flows":
        pairs = [(i, k, 7.0 if (i + k) % 3 else 0.0) for i in range(24) for k in range(24) if i != k]
        sources, destinations, volumes = (np.array(column) for column in zip(*pairs, strict=True))
        demand, routes = Demand(24, None, flows=Flows(sources, destinations, volumes)), 368
        moving = volumes > 0.0
        same = Demand(24, None, flows=Flows(sources[moving], destinations[moving], volumes[moving]))
    else:
        even = Even(tuple(range(20)), (20, 21, 22, 23), ([40, 0, 3, 20], [0, 0, 1, 0]), None)
        demand, routes = Demand(24, None, flows=IoProfile.evenly(even)), 20 * 3
    found, expected = quick.work(demand, hosts), plain.work(same if case == "flows" else demand, hosts)
    assert as_dict(found) == as_dict(expected)
    assert (found.latency, found.bound) == (expected.latency, expected.bound)
    assert len(calls) == 2
    assert len(learnt) == len(set(learnt)) == routes
