"""Data sets between jobs: copied again, balanced, dropped; as moves and in whole simulations."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from fs_machines import Machine, node, storage
from fs_tiny import job, simulate_tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.filesystems import traffic as t
from batfs.filesystems.dfs import DistributedFileSystem
from batfs.filesystems.interface import IoRequest, Move, Volume
from batfs.simulator import read_events

MB = 10**6


def cluster(**options: object) -> Machine:
    """Six nodes in three racks, a disk of 1000 bytes in each: ids 10 to 15."""
    return Machine(
        [node(i, rack="aabbcc"[i]) for i in range(6)],
        [storage(10 + i, "hdfs", "1kB", node=f"n{i}") for i in range(6)],
        {"filesystems": {"hdfs": {"model": "dfs", "policy": "first_fit", **options}}},
        dynamic_jobs=True,
    )


class Books:
    """The kept bytes by key, as a scheduler books them."""

    def __init__(self, machine: Machine) -> None:
        self.m = machine
        self.model = machine.systems.models["hdfs"]
        assert isinstance(self.model, DistributedFileSystem)
        self.kept: dict[str, Any] = {}

    def run(self, name: str, nodes: tuple[int, ...], volume: Volume, success: bool = True) -> None:
        plan = self.m.one(nodes, volume, job=name)
        self.book(plan.placements)
        self.m.systems.started(IoRequest(name, nodes, volume, 0.0), plan, 0.0)
        self.m.systems.ended(name, success, 1.0)
        self.release()

    def book(self, placements: Any) -> None:
        from batfs.storage.interface import Share

        for p in placements:
            if p.key:
                assert p.key not in self.kept
                self.kept[p.key] = self.m.ledger.reserve([Share(self.m.systems.position[p.storage], p.size)])

    def release(self) -> None:
        for key in self.m.systems.released():
            self.m.ledger.release(self.kept.pop(key))

    def upkeep(self, success: bool = True) -> list[Move]:
        moves = self.m.systems.upkeep(self.m.view, self.m.rng, 0.0)
        for move in moves:
            self.book(move.placements)
        for move in moves:
            self.m.systems.moved(move, success)
        self.release()
        return moves

    def bytes_on(self) -> dict[int, int]:
        return {s: self.m.ledger.held(p) for s, p in self.m.systems.position.items()}


WRITE = Volume("hdfs", 0, 100, options={"data_set": "d"})


def test_lost_copies_are_made_again() -> None:
    """d has copies on 10, 12 and 13. Node 2 goes away: one copy is made from 10 on the first disk that has
    none, 11. Node 2 comes back: four copies are one too many, the last made (11) goes."""
    b = Books(cluster())
    b.run("w0!1", (0,), WRITE)
    assert b.upkeep() == []
    b.m.systems.lost([2])
    (move,) = b.upkeep()
    assert (t.by_source([move.traffic]), t.by_destination([move.traffic])) == ({10: 100}, {11: 100})
    assert b.upkeep() == []
    assert b.bytes_on() == {10: 100, 11: 100, 12: 100, 13: 100, 14: 0, 15: 0}
    b.m.systems.back([2])
    b.release()
    assert b.bytes_on() == {10: 100, 11: 0, 12: 100, 13: 100, 14: 0, 15: 0}


def test_a_copy_that_came_to_nothing_gives_its_bytes_back() -> None:
    b = Books(cluster())
    b.run("w0!1", (0,), WRITE)
    b.m.systems.lost([2])
    b.upkeep(success=False)
    assert b.bytes_on()[11] == 0
    assert len(b.upkeep()) == 1


def test_nothing_is_placed_on_what_is_away() -> None:
    b = Books(cluster())
    b.m.systems.lost([0, 2])
    plan = b.m.one((1,), WRITE)
    assert {p.storage for p in plan.placements} == {11, 13, 14}


def test_balancer() -> None:
    """Three sets of 100 bytes with one copy, all written by node 0: disk 10 is at 30 %, the mean at 5 %.
    With a threshold of 10 % the balancer moves bundles away until the fullest is within 15 %: two of them,
    to 11 and 12."""
    b = Books(cluster(replication=1, balance=0.1))
    for k in range(3):
        b.run(f"w0!{k}", (0,), Volume("hdfs", 0, 100, options={"data_set": f"d{k}"}))
    assert b.bytes_on()[10] == 300
    moves = b.upkeep()
    assert [move.kind for move in moves] == ["balance", "balance"]
    assert b.bytes_on() == {10: 100, 11: 100, 12: 100, 13: 0, 14: 0, 15: 0}
    assert b.upkeep() == []


def test_failed_and_deleted_sets_go() -> None:
    b = Books(cluster())
    b.run("w0!1", (0,), WRITE, success=False)
    assert not b.kept
    b.run("w0!2", (0,), WRITE)
    assert len(b.kept) == 3
    b.run("w0!3", (4,), Volume("hdfs", 100, 0, options={"data_set": "d", "delete": True}))
    assert not b.kept
    assert sum(b.bytes_on().values()) == 0


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_books_and_copies_always_agree(seed: int) -> None:
    """Jobs that succeed and fail, machines that come and go, moves that fail: what the books keep is what the
    model knows, byte for byte."""
    rng = random.Random(seed)
    b = Books(cluster(balance=0.05, replication=rng.randint(1, 3)))
    for k in range(15):
        what = rng.random()
        if what < 0.5:
            options = {"data_set": rng.choice("abc"), "delete": rng.random() < 0.2}
            volume = Volume("hdfs", rng.randint(0, 1) * 60, rng.randint(1, 60), options=options)
            from batfs.filesystems.interface import Hold

            if not isinstance(b.m.plan((rng.randrange(6),), volume), Hold):
                b.run(f"w0!{k}", (rng.randrange(6),), volume, rng.random() < 0.8)
        elif what < 0.6:
            b.m.systems.lost([rng.randrange(6)])
        elif what < 0.7:
            b.m.systems.back(list(range(6)))
            b.release()
        else:
            b.upkeep(rng.random() < 0.8)
        model = b.model
        assert isinstance(model, DistributedFileSystem)
        assert model.keeper.bytes_on() == b.bytes_on()


def test_replication_as_dynamic_jobs_in_a_simulation(tmp_path: Path) -> None:
    """n0 writes 80 MB with 2 copies in 1 s (d0 and, in the other rack, d2). n2 goes away at 5 s: d0 sends
    80 MB to d1, written at 80 MB/s: a dynamic job of 1 s. A job at 20 s reads the set; without dynamic jobs
    the same runs without the copy."""
    disks = {
        f"d{i}": {
            "filesystem": "hdfs",
            "node": f"n{i}",
            "rack": "ab"[i // 2],
            "read": "150MBps",
            "write": "80MBps",
        }
        for i in range(4)
    }
    io = {"filesystem": "hdfs", "options": {"data_set": "d"}}
    jobs = [
        job("1", io=[{**io, "writes": 80 * MB}]),
        job("2", at=20, io=[{**io, "reads": 75 * MB}]),
    ]
    events = tmp_path / "events.txt"
    events.write_text(
        '{"type": "machine_unavailable", "resources": "2", "timestamp": 5}\n'
        '{"type": "machine_available", "resources": "2", "timestamp": 15}\n'
    )
    config = {"filesystem": "dfs:replication=2", "policy": "first_fit"}
    for dynamic in (True, False):
        ran = simulate_tiny(
            tmp_path,
            4,
            disks,
            jobs,
            config,
            dynamic=dynamic,
            events=[read_events(events, forward_unknown=False)],
        )
        copies = [times for name, times in ran.kinds().items() if "replicate" in name]
        assert len(copies) == int(dynamic)
        if dynamic:
            assert copies[0][1] - copies[0][0] == pytest.approx(1.0, abs=1e-5)
            assert copies[0][0] == pytest.approx(5.0, abs=1e-3)
        assert ran.duration("2") == pytest.approx(0.5, abs=1e-5)


def test_balancing_sees_its_own_moves_and_settles() -> None:
    """400 of 1,000 bytes lie on disk 10, in bundles of 100; the mean is 400 / 6 = 67 a disk, 6.7 % of one. By
    ``balance=0.1`` 10 may hold 167: three bundles have to go, to three disks. All three are asked for at once
    (each counted as moved when the next is chosen), none twice, and then it is still: asked again before they
    have ended, and after."""
    m = cluster(replication=1, block_size=100, balance=0.1, upkeep=9)
    books = Books(m)
    books.run("w0!1", (0,), Volume("hdfs", 0, 400, options={"data_set": "x"}))
    first = list(m.systems.upkeep(m.view, m.rng, 2.0))
    assert [t.by_source([move.traffic]) for move in first] == [{10: 100}] * 3
    assert [t.by_destination([move.traffic]) for move in first] == [{11: 100}, {12: 100}, {13: 100}]
    for move in first:
        books.book(move.placements)
    assert not m.systems.upkeep(m.view, m.rng, 3.0)
    for k, move in enumerate(first):
        m.systems.moved(move, True)
        books.release()
        assert not m.systems.upkeep(m.view, m.rng, 4.0 + k)
    assert {disk: size for disk, size in books.model.keeper.bytes_on().items() if size} == dict.fromkeys(
        (10, 11, 12, 13), 100
    )


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_balancing_always_settles(seed: int) -> None:
    """Random sets, moves that end in any order, fail or find no room: after a bounded number of moves there
    are none left to make, and no disk is fuller than the mean by more than the threshold unless no bundle can
    be moved to a disk that is emptier afterwards."""
    rng = random.Random(seed)
    m = cluster(
        replication=rng.randrange(1, 3),
        block_size=rng.choice((10, 40)),
        balance=0.1,
        upkeep=rng.randrange(1, 5),
    )
    books = Books(m)
    for k in range(rng.randrange(1, 6)):
        nodes = (rng.randrange(6),)
        books.run(
            f"w0!{k}", nodes, Volume("hdfs", 0, rng.randrange(1, 200), options={"data_set": f"x{k % 3}"})
        )
    waiting: list[Move] = []
    for step in range(300):
        for move in m.systems.upkeep(m.view, m.rng, 2.0 + step):
            books.book(move.placements)
            waiting.append(move)
        if not waiting:
            break
        move = waiting.pop(rng.randrange(len(waiting)))
        m.systems.moved(move, rng.random() < 0.9)
        books.release()
    assert not waiting
    assert step < 200


@pytest.mark.parametrize(("room", "moves"), [(100, 1), (99, 0)])
def test_a_bundle_moves_where_it_fits_to_the_byte(room: int, moves: int) -> None:
    """Two sets of 100 bytes on disk 10 (20 % full); the other five have so much room, and as little of it is
    used: something of other jobs that the balancer doesn't see has the rest."""
    from batfs.storage.interface import Share

    b = Books(cluster(replication=1, balance=0.01))
    for k in range(2):
        b.run(f"w0!{k}", (0,), Volume("hdfs", 0, 100, options={"data_set": f"d{k}"}))
    for disk in range(1, 6):
        b.m.ledger.reserve([Share(disk, 1000 - room)])
    assert len(b.upkeep()) == moves
