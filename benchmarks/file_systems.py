"""What the file-system models cost: plans, profiles, reservations. For the proxy see ``proxy.py``.

    python benchmarks/file_systems.py [--json out/file_systems.json]

Times are the best of several rounds of one process; figures to compare are the ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from batfs._core.flows import build_profile
from batfs.filesystems.interface import Hold, Volume
from batfs.filesystems.site import make_filesystems
from batfs.protocol.messages import Resource
from batfs.scheduling.storages import storage_table
from batfs.storage.interface import Share
from batfs.storage.ledger import Ledger
from batfs.storage.view import SystemView

INFINITE = float("inf")

#: (model, storages, whether each belongs to a node) of the large plans.
LARGE = (
    ("pfs", 100, False),
    ("pfs:stripe_count=0", 100, False),
    ("dfs:replication=1", 1000, True),
    ("dfs", 1000, True),
    ("dfs", 100, False),
    ("burst_buffer", 100, False),
    ("burst_buffer", 1000, True),
    ("burst_buffer:per=job,stripes=100", 100, False),
    ("nvme_pool", 100, False),
    ("nvme_pool:per=node", 100, False),
    ("nvme_pool:block_size=10GB", 100, False),
)


def best(action: Callable[[], Any], rounds: int, repeat: int = 3) -> float:
    """Seconds a call."""
    found = INFINITE
    for _ in range(repeat):
        begin = time.perf_counter()
        for _ in range(rounds):
            action()
        found = min(found, (time.perf_counter() - begin) / rounds)
    return found


def machine(nodes: int, storages: int, spec: str, local: bool = False) -> Any:
    """(file systems, view) of a machine with one file system."""
    compute = [Resource(i, f"n{i}", "compute_node", properties={"rack": str(i // 40)}) for i in range(nodes)]
    disks = [
        Resource(
            nodes + i,
            f"s{i}",
            "storage",
            properties={"filesystem": "fs", "size": "100TB"} | ({"node": f"n{i}"} if local else {}),
        )
        for i in range(storages)
    ]
    systems = make_filesystems({"filesystem": spec}, compute, disks, dynamic_jobs=True)
    return systems, SystemView(Ledger(storage_table(systems.storages)))


def placing(nodes: int, storages: int, job: int, spec: str, local: bool = False) -> Callable[[], Any]:
    systems, view = machine(nodes, storages, spec, local)
    ids, volumes, rng = tuple(range(job)), (Volume("fs", 8 * 10**11, 10**11),), random.Random(1)
    return partial(systems.plan, "w0!1", ids, volumes, 0.0, INFINITE, view, rng)


def planning(nodes: int, storages: int, job: int, spec: str, local: bool = False) -> Callable[[], Any]:
    place, ids = placing(nodes, storages, job, spec, local), tuple(range(job))

    def plan() -> Any:
        plans = place()
        assert not isinstance(plans, Hold)
        return with_arrays(plans, ids)

    return plan


def with_arrays(plans: Any, ids: tuple[int, ...] = ()) -> Any:
    """The I/O profile of some plans, all of it made."""
    profile = build_profile(plans)
    assert profile is not None
    assert len(profile.ids)
    assert len(profile.volumes) == len(profile.sources)
    return profile


def reservations(live: int, storages: int = 1000) -> float:
    """Seconds of one reserve and release with so many reservations alive."""
    systems, _ = machine(1, storages, "pfs")
    ledger = Ledger(storage_table(systems.storages))
    lines = [ledger.reserve([Share(k % storages, 10**9)]) for k in range(live)]
    rng = random.Random(2)

    def exchange() -> None:
        k = int(rng.random() * live)
        ledger.release(lines[k])
        lines[k] = ledger.reserve([Share(k % storages, 10**9)])

    return best(exchange, 5000)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[tuple[str, float, str]] = []
    big = planning(1000, 100, 1000, "pfs:stripe_count=0")
    rows += [
        ("plan and profile, 64 nodes x 1 storage", best(planning(128, 1, 64, "pfs"), 3000), "s"),
        ("plan and profile, 64 nodes x 1 of 8 storages", best(planning(128, 8, 64, "pfs"), 1000), "s"),
        ("plan and profile, 1,000 nodes x 100 storages", best(big, 20), "s"),
    ]
    profile = big()
    dense = best(profile.dense, 1, 1)
    plan_time = rows[-1][1]
    rows.append(("  its dense matrix, for comparison", dense, "s"))
    rows.append(("  dense / sparse", dense / plan_time, "x"))
    for spec, disks, local in LARGE:
        where = "their own disks" if local else f"{disks} storages"
        plan = placing(1000, disks, 1000, spec, local)
        plans = plan()
        name = f"1,000 nodes x {where}, {spec}"
        rows.append((f"plan, {name}", best(plan, 3), "s"))
        rows.append(("  its profile", best(partial(with_arrays, plans), 3), "s"))
    few, many = reservations(100), reservations(10_000)
    rows += [
        ("release and reserve, 100 reservations alive", few, "s"),
        ("release and reserve, 10,000 reservations alive", many, "s"),
        ("  10,000 / 100", many / few, "x"),
    ]
    for name, value, unit in rows:
        shown = f"{value * 1e6:12.1f} us" if unit == "s" and value < 1e-3 else f"{value:12.4f} {unit}"
        if unit == "s" and 1e-3 <= value < 1:
            shown = f"{value * 1e3:12.2f} ms"
        print(f"{name:<68}{shown}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(
            json.dumps([{"name": n.strip(), "value": v, "unit": u} for n, v, u in rows], indent=2)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
