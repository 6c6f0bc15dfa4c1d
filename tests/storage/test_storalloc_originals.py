"""``storalloc_*`` decide as StorAlloc does: against a plain transcription of its rules, over seeded draws.

The transcription works as StorAlloc: servers of nodes of disks in GB, lists of allocations, no ledger, no
arrays. Both draw from generators of one seed, by the same rule for an index below n.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from batfs.storage.interface import Share, SpaceRequest, Storage
from batfs.storage.ledger import Ledger, NoRoomError
from batfs.storage.policies import make_policy
from batfs.storage.policies.base import draw
from batfs.storage.replay.engine import replay
from batfs.storage.replay.requests import TraceRequest
from batfs.storage.replay.waiting import make_when_full
from batfs.storage.split import block_sizes, choose_blocks
from batfs.storage.table import StorageTable
from batfs.storage.view import SystemView

GB = 10**9


@dataclass
class Allocation:
    size: int
    start: float
    end: float

    def overlap(self, start: float, end: float) -> float:
        return max(0.0, min(self.end, end) - max(self.start, start))


@dataclass
class Disk:
    capacity: int
    read: float
    write: float
    index: int = 0
    allocations: list[Allocation] = field(default_factory=list)


@dataclass
class Node:
    network: float
    disks: list[Disk]


Servers = list[list[Node]]


def all_disks(servers: Servers) -> list[Disk]:
    return [disk for nodes in servers for node in nodes for disk in node.disks]


def left(disk: Disk, size: int, start: float, end: float) -> int:
    return disk.capacity - sum(a.size for a in disk.allocations if a.overlap(start, end) != 0)


class Random:
    def choose(
        self, servers: Servers, size: int, start: float, end: float, rng: random.Random
    ) -> Disk | None:
        nodes = servers[draw(rng, len(servers)) if len(servers) > 1 else 0]
        node = nodes[draw(rng, len(nodes))]
        return node.disks[draw(rng, len(node.disks))]


class RoundRobin:
    def __init__(self) -> None:
        self.server, self.node, self.visits, self.failed = 0, -1, {}, 0

    def choose(
        self, servers: Servers, size: int, start: float, end: float, rng: random.Random
    ) -> Disk | None:
        while True:
            if self.failed == 5:
                self.failed = 0
                return None
            s = self.server % len(servers)
            self.server += 1
            if s == 0:
                self.node += 1
            n = self.node % len(servers[s])
            disks = servers[s][n].disks
            d = self.visits.get((s, n), 0) % len(disks)
            self.visits[s, n] = self.visits.get((s, n), 0) + 1
            if left(disks[d], size, start, end) > size:
                return disks[d]
            self.failed += 1


class WorstFit:
    def choose(
        self, servers: Servers, size: int, start: float, end: float, rng: random.Random
    ) -> Disk | None:
        found = [(left(d, size, start, end) * 100 / d.capacity, d) for d in all_disks(servers)]
        found.sort(key=lambda pair: -pair[0])
        candidates = [found[0][1]] + [disk for share, disk in found if share == found[0][0]]
        return candidates[draw(rng, len(candidates))]


class WorstCase:
    def choose(
        self, servers: Servers, size: int, start: float, end: float, rng: random.Random
    ) -> Disk | None:
        scored = []
        for nodes in servers:
            for node in nodes:
                busy = [d for d in node.disks if any(a.overlap(start, end) for a in d.allocations)]
                taken = sum(d.read for d in busy)
                network = node.network - taken if node.network - taken > 0 else node.network / (len(busy) + 1)
                for disk in node.disks:
                    room, spans = disk.capacity, []
                    for a in sorted(disk.allocations, key=lambda a: -a.end):
                        if a.end <= start:
                            break
                        if a.overlap(start, end):
                            spans.append(a.overlap(start, end))
                            room = max(room - a.size, 0)
                    if room < size:
                        continue
                    speed = disk.write
                    if spans:
                        m, d = max(spans), end - start
                        speed = round(((d - m) * speed + m * (speed / (len(spans) + 1))) / d, 3)
                    scored.append((min(speed, network), disk))
        if not scored:
            return None
        best = max(score for score, _ in scored)
        alike = [disk for score, disk in scored if score == best]
        return alike[draw(rng, len(alike))]


ORIGINALS = {
    "storalloc_random": Random,
    "storalloc_round_robin": RoundRobin,
    "storalloc_worst_fit": WorstFit,
    "storalloc_worst_case": WorstCase,
}


def system(rng: random.Random, servers: int) -> tuple[Servers, StorageTable]:
    made: Servers = []
    for _ in range(servers):
        made.append(
            [
                Node(
                    rng.choice([12.5, 5.0, 3.0]),
                    [
                        Disk(rng.choice([800, 1000, 1600]), 3.13, rng.choice([2.93, 2.0]))
                        for _ in range(rng.randint(1, 3))
                    ],
                )
                for _ in range(rng.randint(1, 3))
            ]
        )
    rows = []
    for s, nodes in enumerate(made):
        for n, node in enumerate(nodes):
            for disk in node.disks:
                disk.index = len(rows)
                group = f"host{n}" if servers == 1 else f"server{s}/host{n}"
                speeds = (disk.read * GB, disk.write * GB, node.network * GB)
                rows.append(Storage(disk.index, f"d{disk.index}", disk.capacity * GB, "", group, *speeds))
    return made, StorageTable(rows)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("servers", [1, 2, 3])
@pytest.mark.parametrize("name", ORIGINALS)
def test_decision_for_decision(name: str, servers: int, seed: int) -> None:
    rng = random.Random(f"{seed} {servers}")
    theirs, table = system(rng, servers)
    ledger = Ledger(table, release_at_end=True)
    view, policy, plain = SystemView(ledger), make_policy(name), ORIGINALS[name]()
    ours, others = random.Random(seed), random.Random(seed)
    now, counts = 0.0, {"granted": 0, "refused": 0, "failed": 0}
    for _ in range(300):
        now += rng.choice([0, 30, 60, 300])
        ledger.advance(now)
        size, end = rng.choice([50, 100, 150, 400, 700]), now + rng.choice([600, 1800, 3600])
        # requests above 200 GB come in blocks, which see each other; the first without a place refuses all
        sizes = block_sizes(size, 200 if seed % 2 else None)
        choice = choose_blocks(
            policy, view, SpaceRequest(size * GB, now, end), [part * GB for part in sizes], ours
        )
        wanted: list[tuple[Disk, Allocation]] | None = []
        for part in sizes:
            disk = plain.choose(theirs, part, now, end, others)
            if disk is None:
                for placed, allocation in wanted:
                    placed.allocations.remove(allocation)
                wanted = None
                break
            allocation = Allocation(part, now, end)
            disk.allocations.append(allocation)
            wanted.append((disk, allocation))
        expected = None if wanted is None else tuple(Share(d.index, a.size * GB) for d, a in wanted)
        assert choice == expected
        if choice is None or wanted is None:
            counts["refused"] += 1
            continue
        try:
            if len(choice) > 1:
                ledger.check(choice, now, end)
            for share in choice:
                ledger.reserve((share,), start=now, end=end)
        except NoRoomError:
            counts["failed"] += 1
            for placed, allocation in wanted:
                placed.allocations.remove(allocation)
        else:
            counts["granted"] += 1
    assert counts["granted"] > 50
    assert counts["refused"] == 0 or name in ("storalloc_round_robin", "storalloc_worst_case")


def test_the_counter_of_failed_tries_survives() -> None:
    """50 never fits on the disk of 10, so each of four grants on the other costs a failed try; the fifth
    failure, of the fifth request, has it refused at its next look, after a single try of its own."""
    table = StorageTable([Storage(0, "a", 10, "", "a"), Storage(1, "b", 100, "", "b")])
    view, policy, rng = SystemView(Ledger(table)), make_policy("storalloc_round_robin"), random.Random(0)

    def ask(size: int) -> int | None:
        choice = policy.choose(view, SpaceRequest(size, 0.0, 9.0), rng)
        return None if choice is None else choice[0].index

    assert [ask(50) for _ in range(5)] == [1, 1, 1, 1, None]
    # the refusal set the counter back, and left the places where they were
    assert [ask(50) for _ in range(5)] == [1, 1, 1, 1, 1]
    assert ask(50) is None


def test_the_first_of_the_ties_has_double_weight() -> None:
    """Of three alike it is drawn in half of the cases: 1500 of 3000, give or take 4 deviations of 27."""
    table = StorageTable([Storage(i, f"d{i}", 10, "", "g") for i in range(3)])
    view, rng = SystemView(Ledger(table)), random.Random(1)
    policy = make_policy("storalloc_worst_fit")
    drawn = [policy.choose(view, SpaceRequest(1, 0.0, 9.0), rng) for _ in range(3000)]
    hits = [sum(choice == (Share(i, 1),) for choice in drawn) for i in range(3)]
    assert abs(hits[0] - 1500) < 110
    assert abs(hits[1] - 750) < 100


def test_storallocs_retry_moves_the_start_and_keeps_the_end() -> None:
    """10 bytes on 10, held until 700: a request from 0 to 2000 starts at 900 (the third move), and still
    ends at 2000; one in blocks isn't tried again; one of 200 s has nothing left to move."""
    table = StorageTable([Storage(0, "d", 10, "", "g")])
    requests = [
        TraceRequest("held", 0.0, 700.0, 9),
        TraceRequest("late", 0.0, 2000.0, 9),
        TraceRequest("split", 1.0, 2000.0, 19),
        TraceRequest("short", 2.0, 200.0, 9),
    ]
    seen = {}
    summary = replay(
        table,
        requests,
        make_policy("storalloc_worst_case"),
        block_size=10,
        when_full=make_when_full("storalloc"),
        outcome=lambda o: seen.update({o.request.key: (o.state, o.start, o.tries)}),
    )
    assert seen["late"] == ("granted", 900.0, 4)
    assert seen["split"][::2] == ("refused", 1)
    assert seen["short"][::2] == ("refused", 1)
    assert summary.end == 2000.0
