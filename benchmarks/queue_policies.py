"""What a pass of each queue policy costs while 10, 100 and 1,000 jobs wait.

A machine of 128 nodes and eight storages is filled by as many running jobs as fit; behind them a queue of the
length asked for. Measured are the passes of a policy, processor time, that follow when jobs end one by one
and as many others arrive, so that the queue keeps its length: median and longest, the first pass (which meets
the whole queue at once and, for the plans, compiles) apart. No simulator takes part.

Run: python -m benchmarks.queue_policies [--policies a,b] [--waiting 10,100,1000] [--passes N] [-o FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from batfs.filesystems.interface import Hold, IoPlan, Placement, Volume
from batfs.filesystems.traffic import from_grid, split_rows
from batfs.protocol import messages as m
from batfs.scheduling.config import Layer, Settings
from batfs.scheduling.core import Scheduler
from batfs.scheduling.interface import Pass, QueueView
from batfs.scheduling.queues import known_queue_policies
from batfs.workload.model import Job, ParallelHomogeneous

NODES = 128
STORAGES = 8
SIZE = 10**12


class OnePool:
    """One file system: a job's bytes on the first storage with room."""

    own_nodes: tuple[int, ...] = ()
    attending: tuple[str, ...] = ()

    def __init__(self, storages: list[m.Resource]) -> None:
        self.ids = [storage.id for storage in storages]

    def volumes(self, job_id: str, profile: Any) -> tuple[Volume, ...]:
        reads = profile.extra.get("io_reads", 0)
        return (Volume("pool", reads, 0),) if reads else ()

    def cannot(self, profile: object) -> None:
        return None

    def plan(
        self, job_id: str, nodes: Any, volumes: Any, start: float, end: float, view: Any, rng: Any
    ) -> tuple[IoPlan, ...] | Hold:
        [volume] = volumes
        free = view.free(start, end).tolist()
        place = next((k for k, room in enumerate(free) if room >= volume.reads), None)
        if place is None:
            return Hold("StorageCapacity", (self.ids[0],), volume.reads - max(free))
        target = self.ids[place]
        reads = from_grid([target], list(nodes), split_rows([volume.reads], len(nodes)))
        return (IoPlan("pool", (Placement(target, volume.reads),), (reads,), ()),)

    def announcements(self) -> tuple[str, ...]:
        return ()

    def upkeep(self, view: Any, rng: Any, now: float) -> tuple[()]:
        return ()

    def released(self) -> tuple[()]:
        return ()


class Timed:
    """A queue policy with the processor seconds of each of its passes."""

    def __init__(self, policy: Any) -> None:
        self.policy, self.name, self.seconds = policy, policy.name, [0.0]
        self.seconds.clear()

    def schedule(self, view: QueueView) -> Pass:
        begin = time.process_time()
        done: Pass = self.policy.schedule(view)
        self.seconds.append(time.process_time() - begin)
        return done


def measure(policy: str, waiting: int, passes: int) -> dict[str, Any]:
    draw = random.Random(waiting)
    compute = [m.Resource(k, f"n{k}", "compute_node") for k in range(NODES)]
    storages = [
        m.Resource(NODES + k, f"s{k}", "storage", properties={"size": str(SIZE), "filesystem": "pool"})
        for k in range(STORAGES)
    ]
    config = {"sched-config": "", "dynamic-jobs-enabled": False, "dynamic-jobs-acknowledged": False}
    settings = Settings(flags=Layer("benchmark", {"queue": policy}))
    scheduler = Scheduler(settings, lambda config, compute, storages, dynamic: OnePool(list(storages)))  # type: ignore[arg-type,return-value]
    scheduler.decide(
        m.Request(0.0, [m.SimulationBegins(0.0, compute, storages, False, True, config, {}, {})])
    )
    timed = scheduler.policy = Timed(scheduler.policy)
    count = 0

    def arrivals(now: float, number: int) -> list[m.Event]:
        nonlocal count
        events: list[m.Event] = []
        for _ in range(number):
            count += 1
            nodes = min(NODES, 1 + int(draw.expovariate(1 / 12)))
            extra = {"io_reads": draw.randrange(1, 60) * SIZE // 100} if draw.random() < 0.7 else {}
            job = Job(f"w0!{count}", now, nodes, str(count), float(draw.randrange(600, 86400)))
            events.append(m.JobSubmitted(now, job, ParallelHomogeneous(1.0, 0.0, extra)))
        return events

    def message(now: float, events: list[m.Event]) -> None:
        decisions = scheduler.decide(m.Request(now, events)).decisions
        running.extend(decision.job_id for decision in decisions if isinstance(decision, m.ExecuteJob))

    running: list[str] = []
    message(1.0, arrivals(1.0, 30))
    now = 2.0
    message(now, arrivals(now, max(0, waiting - len(scheduler.queue))))
    timed.seconds.clear()
    for _ in range(passes + 1):
        now += 60.0
        ended = running.pop(draw.randrange(len(running))) if running else None
        events: list[m.Event] = []
        if ended is not None:
            events.append(m.JobCompleted(now, ended, "COMPLETED_SUCCESSFULLY", 0, ""))
        message(now, events + arrivals(now, max(0, waiting - len(scheduler.queue))))
    first, rest = timed.seconds[0], timed.seconds[1:]
    return {
        "policy": policy,
        "waiting": waiting,
        "passes": len(rest),
        "first": first,
        "median": statistics.median(rest),
        "longest": max(rest),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue_policies", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--policies", default=",".join(known_queue_policies()), help="[%(default)s]")
    parser.add_argument("--waiting", default="10,100,1000", help="jobs in the queue [%(default)s]")
    parser.add_argument("--passes", type=int, default=50, help="passes measured [%(default)s]")
    parser.add_argument("-o", "--output", default="queue_policies.json", help="[%(default)s]")
    args = parser.parse_args()
    results = []
    print(f"{'policy':24} {'waiting':>8} {'median ms':>10} {'longest ms':>11} {'first ms':>10}")
    for policy in args.policies.split(","):
        for waiting in map(int, args.waiting.split(",")):
            got = measure(policy, waiting, args.passes)
            results.append(got)
            times = " ".join(f"{got[key] * 1e3:10.2f}" for key in ("median", "longest", "first"))
            print(f"{policy:24} {waiting:8} {times}", flush=True)
    record = {"machine": platform.platform(), "python": platform.python_version(), "results": results}
    Path(args.output).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
