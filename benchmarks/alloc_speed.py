"""How quick the allocator is: processor time, process start and trace reading aside.

(a) a year of 24,001 requests, split at 200 GB, on 8 disks of 1 TB on 4 nodes, under each policy
    (StorAlloc takes 284 s for its year; goal: under 1 s each);
(b) a million requests on 1,000 disks (goal: under 60 s), and a tenth of them: the cost per request is flat
    when the ratio is near 1;
(c) the ledger alone at 10,000 storages with 100,000 live reservations.

Run: python benchmarks/alloc_speed.py [a] [b] [c]
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from batfs.storage.interface import Share, SpaceRequest, Storage, StorageTable
from batfs.storage.ledger import Ledger
from batfs.storage.policies import known_policies, make_policy
from batfs.storage.replay import replay
from batfs.storage.view import SystemView
from benchmarks.alloc_trace import YEAR, synthetic_year

TB, GB = 10**12, 10**9


def system(disks: int, per_node: int, capacity: int) -> StorageTable:
    return StorageTable(
        Storage(i, f"d{i}", capacity, "", f"n{i // per_node}", 3.13e9, 2.93e9, 12.5e9) for i in range(disks)
    )


def year() -> None:
    requests, table = synthetic_year(), system(8, 2, TB)
    print("a year of 24,001 requests on 8 disks, processor seconds")
    for name in [*known_policies(), "striped:k=2", "weighted:worst_fit=1,worst_case=1"]:
        if name in ("weighted", "striped"):
            continue
        policy = make_policy(name)
        begin = time.process_time()
        summary = replay(table, requests, policy, block_size=200 * GB)
        took = time.process_time() - begin
        print(f"  {name:36} {took:6.2f}  granted {summary.granted}, refused {summary.refused}")


def million() -> None:
    table = system(1000, 4, 8 * TB)
    print("1,000 disks, processor microseconds per request")
    for name in ("worst_fit", "random", "worst_case"):
        per: list[float] = []
        for n in (100_000, 1_000_000):
            requests = synthetic_year(n, span=YEAR * n / 1_000_000)
            policy = make_policy(name)
            begin = time.process_time()
            replay(table, requests, policy)
            took = time.process_time() - begin
            per.append(took / n * 1e6)
            print(f"  {name:12} {n:9,} requests: {took:6.2f} s, {per[-1]:.1f} us each", flush=True)
        print(f"  {name:12} ratio {per[1] / per[0]:.2f}")


def ledger() -> None:
    print("the ledger at 10,000 storages and 100,000 live reservations, processor microseconds")
    for bookings in (0, 100, 1000):
        ledger_with(bookings, 10_000, 100_000)


def ledger_with(bookings: int, m: int, live: int) -> None:
    rng = random.Random(0)
    book = Ledger((Storage(i, f"s{i}", 10**15) for i in range(m)), release_at_end=True)
    for _ in range(live):
        book.reserve([Share(int(rng.random() * m), 10**6)], end=1e6 + 1e6 * rng.random())
    for k in range(bookings):
        book.reserve([Share(int(rng.random() * m), 5)], start=1e5 + k, end=1e6)
    view, policy = SystemView(book), make_policy("best_fit")
    where = [Share(int(rng.random() * m), 1000) for _ in range(2000)]
    lines = iter([book.reserve([share], end=1e6 + k) for k, share in enumerate(where)])
    shares = iter(where)
    request = SpaceRequest(1000, 0.0, 1e6)
    timed(f"{bookings} bookings: release", 2000, lambda: book.release(next(lines)))
    timed(f"{bookings} bookings: reserve", 2000, lambda: book.reserve([next(shares)], end=2e6))
    timed(f"{bookings} bookings: free from now", 2000, lambda: book.free(0.0, 1e7))
    timed(f"{bookings} bookings: free from later", 200, lambda: book.free(1.2e6, 1.5e6))
    timed(f"{bookings} bookings: best_fit chooses", 500, lambda: policy.choose(view, request, rng))


def timed(what: str, n: int, action: Callable[[], object]) -> None:
    begin = time.process_time()
    for _ in range(n):
        action()
    print(f"  {what:36} {(time.process_time() - begin) / n * 1e6:8.1f}", flush=True)


if __name__ == "__main__":
    for part in sys.argv[1:] or ("a", "b", "c"):
        {"a": year, "b": million, "c": ledger}[part]()
