"""What the file-system models cost: plans, profiles, reservations, the proxy.

    python benchmarks/file_systems.py [--json out/file_systems.json]

Times are the best of several rounds of one process; figures to compare are the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batfs.filesystems.interface import Hold, Volume
from batfs.filesystems.profile import build_profile
from batfs.filesystems.site import make_filesystems
from batfs.protocol.messages import Resource
from batfs.scheduling.storages import storage_table
from batfs.storage.interface import Share
from batfs.storage.ledger import Ledger
from batfs.storage.view import SystemView

INFINITE = float("inf")


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


def planning(nodes: int, storages: int, job: int, spec: str, local: bool = False) -> Callable[[], Any]:
    systems, view = machine(nodes, storages, spec, local)
    ids, volumes, rng = tuple(range(job)), (Volume("fs", 8 * 10**11, 10**11),), random.Random(1)

    def plan() -> Any:
        plans = systems.plan("w0!1", ids, volumes, 0.0, INFINITE, view, rng)
        assert not isinstance(plans, Hold)
        return build_profile(plans, ids)

    return plan


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


def proxy(jobs: int) -> tuple[float, float]:
    """(seconds of a whole run behind the injector, seconds of them in the injector itself): pybatsim's
    schedFcfs on the gallery's machine, in one process."""
    import logging

    from batfs.decision.injector import Injector, WithFileSystems
    from batfs.decision.pybatsim_process import PybatsimProcess, load_pybatsim
    from batfs.platform import load_platform, number_resources
    from batfs.report.gallery import EXHIBITS, directed, make_workload
    from batfs.scheduling.config import Settings
    from batfs.simulator import SimulationOptions, simulate
    from batfs.workload import read_workload, write_workload

    logging.disable(logging.CRITICAL)
    file = Path("platforms/taurus_storage.xml")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.json"
        write_workload(path, directed(make_workload(file, jobs, 1), EXHIBITS["pfs"]))
        workload = read_workload(path, "w0")
    platform = load_platform(file)
    spent = 0.0

    class Timed:
        def __init__(self, inner: Any) -> None:
            self.inner, self.seconds = inner, 0.0

        def decide(self, request: Any) -> Any:
            begin = time.perf_counter()
            try:
                return self.inner.decide(request)
            finally:
                self.seconds += time.perf_counter() - begin

    inside = Timed(PybatsimProcess(load_pybatsim("schedFcfs")))
    outside = Timed(WithFileSystems(inside, Injector(Settings())))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # pybatsim writes out_events.csv where it is started
        begin = time.perf_counter()
        simulate(platform, number_resources(platform), [workload], outside, SimulationOptions())
        total = time.perf_counter() - begin
    spent = outside.seconds - inside.seconds
    return total, spent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--jobs", type=int, default=300, help="of the run behind the proxy")
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
    for spec, local in (
        ("dfs", True),
        ("burst_buffer", False),
        ("burst_buffer:per=job,stripes=4", False),
        ("nvme_pool:block_size=200GB", False),
    ):
        rows.append((f"plan and profile, 16 nodes, {spec}", best(planning(64, 64, 16, spec, local), 30), "s"))
    few, many = reservations(100), reservations(10_000)
    rows += [
        ("release and reserve, 100 reservations alive", few, "s"),
        ("release and reserve, 10,000 reservations alive", many, "s"),
        ("  10,000 / 100", many / few, "x"),
    ]
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115  pybatsim prints every event
    total, spent = proxy(args.jobs)
    rows += [
        (f"run of {args.jobs} jobs behind the proxy, schedFcfs", total, "s"),
        ("  of which in the proxy", spent / total, "%"),
    ]
    for name, value, unit in rows:
        shown = f"{value * 1e6:12.1f} us" if unit == "s" and value < 1e-3 else f"{value:12.4f} {unit}"
        if unit == "s" and 1e-3 <= value < 1:
            shown = f"{value * 1e3:12.2f} ms"
        if unit == "%":
            shown = f"{value * 100:12.2f} %"
        print(f"{name:<55}{shown}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(
            json.dumps([{"name": n.strip(), "value": v, "unit": u} for n, v, u in rows], indent=2)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
