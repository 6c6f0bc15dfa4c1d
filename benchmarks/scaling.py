"""How costs grow: ``python -m benchmarks scaling [--only AXIS,...] [--limit SECONDS] [--large]``.

Each axis varies one size and leaves the rest alone. A line's figure is processor time (user and system, with
children, the least of ``--best`` whole processes), less that of the same command with next to nothing to do,
for each unit of work; the exponent is the slope of its logarithm over that of the size, by least squares: 0
where a job costs the same however large the thing is. What an axis may reach, and why, stands beside it
(:data:`AXES`).

A process that is quick because it did not do the work is no measurement: of every simulation it is checked
that all jobs were completed. Neither is a difference that drowns in the start's own noise: such a size is
shown in brackets and left out of the fit. A size that takes more processor time than ``--limit`` ends its
line, whatever else the machine does meanwhile. Where a ``batsim`` (and ``pybatsim``) is on PATH, what its
FCFS takes for the same files stands below.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import cases

#: processor seconds of a process, those of its start, the units of work between; None: over the limit
Cost = tuple[float, float, int] | None

#: what a process takes more than its start must be at least this part of it, to be told from its noise
TOLD = 0.25

#: seconds for each job of a burst until the next burst: more than the longest job takes
BETWEEN_BURSTS = 1_000.0

#: policies that are nothing without options
WITH_OPTIONS = {"weighted": "weighted:worst_fit=2,locality=1"}

#: exponents are told apart from what is allowed by more than the noise of a machine and a logarithm
SLACK = 0.25


class Axis(NamedTuple):
    """A size that is varied. ``unit``: what the cost is of; ``allowed``: the exponent, for ``reason``."""

    sizes: Sequence[int]
    large: Sequence[int]
    unit: str
    allowed: float
    reason: str
    lines: Callable[[Meter], Iterator[tuple[str, Callable[[int], Cost]]]]


class Line(NamedTuple):
    """The costs of one line by size (seconds a unit), and their exponent where two or more are known.

    ``drowned``: differences that can't be told from the noise of the start, likewise; not in the fit.
    """

    axis: str
    what: str
    points: dict[int, float]
    drowned: dict[int, float]
    exponent: float | None
    over: int | None
    problem: str = ""
    #: the same of Batsim and pybatsim's FCFS, on the clock, where a line is measured with them too
    beside: dict[int, float] | None = None


def less(total: float | None, start: float | None, units: int) -> Cost:
    """What so many units of work cost beside the start."""
    return None if start is None or total is None else (total, start, units)


class Meter:
    """Processes measured in a folder of their own."""

    def __init__(self, folder: Path, limit: float, best: int) -> None:
        self.folder, self.limit, self.best = folder, limit, best
        #: what Batsim took for the last simulation, where there is one and it plans as that did
        self.beside: Cost = None

    def processor(self, command: Sequence[str], after: Callable[[], None] = lambda: None) -> float | None:
        """The least processor time of the command; None when it takes longer than the limit."""
        found = math.inf
        for _ in range(self.best):
            shutil.rmtree(self.folder / "out", ignore_errors=True)
            (self.folder / "out").mkdir()
            once = cases.once(command, self.folder, self.limit)
            if once is None:
                return None
            after()
            found = min(found, once.processor)
        return found

    def simulated(self, jobs: int, *flags: str) -> Cost:
        """Seconds of ``batfs run`` on p.xml and w.json, less those with the first of the jobs only."""
        whole = json.loads((self.folder / "w.json").read_text())
        first = whole["jobs"][:1]
        profiles = {job["profile"]: whole["profiles"][job["profile"]] for job in first}
        one = {**whole, "jobs": first, "profiles": profiles}
        (self.folder / "one.json").write_text(json.dumps(one))
        start = self._run("one.json", 1, flags)
        total = self._run("w.json", jobs, flags)
        self.beside = None
        if not flags and total is not None:
            clock = [
                cases.batsim_seconds(self.folder, "p.xml", name, self.limit)
                for name in ("w.json", "one.json")
            ]
            self.beside = less(*clock, jobs - 1)
        return less(total, start, jobs - 1)

    def _run(self, workload: str, jobs: int, flags: Sequence[str]) -> float | None:
        out = ("-e", "out/x", "-q", "--disable-schedule-tracing")
        command = cases.batfs("run", "-p", "p.xml", "-w", workload, *out, *flags)
        return self.processor(command, lambda: all_completed(self.folder / "out" / "x_jobs.csv", jobs))


def all_completed(path: Path, jobs: int) -> None:
    """SystemExit unless that many jobs were completed: what was rejected at once costs nothing."""
    rows = path.read_text().splitlines()[1:]
    done = sum(",COMPLETED_SUCCESSFULLY," in row for row in rows)
    if done != jobs or len(rows) != jobs:
        raise SystemExit(f"{path.name}: {done} of {jobs} jobs were completed; this measures something else")


def slope(points: dict[int, float]) -> float | None:
    """The exponent of costs over sizes, by least squares of logarithms; None for fewer than two points."""
    known = [(math.log(size), math.log(cost)) for size, cost in points.items() if cost > 0]
    if len(known) < 2:
        return None
    x, y = (sum(values) / len(known) for values in zip(*known, strict=True))
    return sum((a - x) * (b - y) for a, b in known) / sum((a - x) ** 2 for a, _ in known)


def write_jobs(
    path: Path, jobs: int, nodes: int, widths: Sequence[int], between: float, burst: int = 0
) -> None:
    """Jobs of a minute to ten with I/O and walltimes, ``between`` seconds apart on average (0: at once).

    ``burst``: so many at once instead, and the next when these are long over.
    """
    rng = random.Random(jobs)
    profiles: dict[str, Any] = {}
    entries = []
    now = 0.0
    for i in range(jobs):
        seconds = rng.uniform(60.0, 600.0)
        io = {"io_reads": rng.randrange(10**8, 10**10), "io_writes": rng.randrange(10**8, 10**10)}
        profiles[f"p{i}"] = {"type": "parallel_homogeneous", "cpu": int(seconds * 1e9), "com": 0, **io}
        now += rng.expovariate(1.0 / between) if between else 0.0
        if burst and i and not i % burst:
            now += BETWEEN_BURSTS * burst
        # long enough for all that share one storage
        walltime = int(3 * seconds) + 36_000
        entries.append(
            {
                "id": str(i),
                "subtime": round(now, 3),
                "res": rng.choice(widths),
                "profile": f"p{i}",
                "walltime": walltime,
            }
        )
    path.write_text(json.dumps({"nb_res": nodes, "jobs": entries, "profiles": profiles}))


# ---- the axes ---------------------------------------------------------------------------------------------

Lines = Iterator[tuple[str, Callable[[int], Cost]]]


def _machine(meter: Meter, nodes: int, storages: int) -> None:
    cases.write_platform(meter.folder / "p.xml", nodes, storages)


def jobs_of_a_workload(meter: Meter) -> Lines:
    def cost(jobs: int) -> Cost:
        _machine(meter, 128, 1)
        write_jobs(meter.folder / "w.json", jobs, 128, [1, 2, 4, 8, 16], 20.0)
        return meter.simulated(jobs)

    yield "fcfs, 128 nodes", cost


def nodes_of_a_job(meter: Meter) -> Lines:
    def cost(nodes: int) -> Cost:
        _machine(meter, 2 * nodes, 4)
        write_jobs(meter.folder / "w.json", 1_000, 2 * nodes, [nodes], 600.0)
        return meter.simulated(1_000)

    yield "one PFS of 4 storages", cost


def live_activities(meter: Meter) -> Lines:
    def cost(live: int) -> Cost:
        jobs = max(1_000, live)
        _machine(meter, live, 1)
        write_jobs(meter.folder / "w.json", jobs, live, [1], 0.0)
        return meter.simulated(jobs)

    yield "jobs of a node on one storage", cost


def storages_of_a_machine(meter: Meter) -> Lines:
    from batfs.storage.policies import POLICIES

    for name in POLICIES.known():
        policy = WITH_OPTIONS.get(name, name)

        def cost(storages: int, policy: str = policy) -> Cost:
            _machine(meter, 128, storages)
            write_jobs(meter.folder / "w.json", 1_000, 128, [1, 2, 4, 8, 16], 200.0)
            return meter.simulated(1_000, "--policy", policy)

        yield policy, cost


def waiting_jobs(meter: Meter) -> Lines:
    from batfs.scheduling.queues import QUEUE_POLICIES

    for queue in [*QUEUE_POLICIES.known(), "plan:depth=0", "plan_io:depth=0"]:

        def cost(waiting: int, queue: str = queue) -> Cost:
            _machine(meter, 16, 4)
            jobs = waiting * max(
                1, 1_000 // waiting
            )  # small bursts again and again, to be told from the start
            write_jobs(meter.folder / "w.json", jobs, 16, [1, 2, 4, 8], 0.0, burst=waiting)
            return meter.simulated(jobs, "--queue", queue)

        yield queue, cost


def hosts_of_a_platform(meter: Meter) -> Lines:
    shapes: dict[str, Callable[[int], list[str]]] = {
        "flat": lambda n: [],
        "flat, a zone for ten hosts": lambda n: ["--racks", str(max(1, n // 10))],
        "torus": lambda n: ["--topology", "torus", "--parameters", f"{n // 10},10"],
        "fat tree": lambda n: ["--topology", "fat_tree", "--parameters", f"2;10,{n // 10};1,10;1,1"],
        "dragonfly": lambda n: ["--topology", "dragonfly", "--parameters", f"2,1;1,1;5,1;{n // 10}"],
    }
    for shape, flags in shapes.items():

        def cost(hosts: int, flags: Callable[[int], list[str]] = flags) -> Cost:
            seconds = []
            for size in (10, hosts):
                new = cases.batfs("platform", "new", "--nodes", str(size), "--pfs", "1x1", *flags(size))
                if cases.once([*new, "-o", "p.xml"], meter.folder, meter.limit) is None:
                    return None
                write_jobs(meter.folder / "w.json", 1, size, [1], 0.0)
                seconds.append(meter._run("w.json", 1, ()))
            start, total = seconds
            return less(total, start, hosts - 10)

        yield shape, cost


def runs_of_a_campaign(meter: Meter) -> Lines:
    def cost(runs: int) -> Cost:
        """What a run costs in a campaign; ``benchmarks`` case (b) says what the process alone costs."""
        _machine(meter, 16, 2)
        write_jobs(meter.folder / "w.json", 50, 16, [1, 2, 4], 100.0)
        words = ("-p", "p.xml", "-w", "w.json", "--policy", "random", "-j", "1", "--no-report")
        seconds = []
        for seeds in (2, runs):
            command = cases.batfs("compare", *words, "--seeds", str(seeds), "-o", "out/c")
            seconds.append(meter.processor(command))
        start, total = seconds
        return less(total, start, runs - 2)

    yield "50 jobs, in one process", cost


def rows_of_a_report(meter: Meter) -> Lines:
    def cost(rows: int) -> Cost:
        seconds = []
        for jobs in (10, rows):
            _machine(meter, 128, 4)
            write_jobs(meter.folder / "w.json", jobs, 128, [1, 2, 4, 8, 16], 20.0)
            run = cases.batfs("run", "-p", "p.xml", "-w", "w.json", "-e", "rows", "-q")
            if cases.once(run, meter.folder, meter.limit) is None:
                return None
            all_completed(meter.folder / "rows_jobs.csv", jobs)
            words = ("report", "rows", "-o", "out/r.html", "--figures", "out/f")
            seconds.append(meter.processor(cases.batfs(*words)))
        start, total = seconds
        return less(total, start, rows - 10)

    yield "page and figures of one run", cost


_FLAT = "nothing that a job does depends on it"
AXES: dict[str, Axis] = {
    "jobs": Axis((1_000, 3_000, 10_000), (100_000, 1_000_000), "job", 0.0, _FLAT, jobs_of_a_workload),
    "nodes": Axis(
        (1, 10, 100), (1_000,), "job", 1.0, "a job's bytes move from each of its nodes", nodes_of_a_job
    ),
    "live": Axis(
        (10, 100, 1_000),
        (10_000,),
        "job",
        1.0,
        "each end changes the rate of all who share the storage, and equal bits need each of them",
        live_activities,
    ),
    "storages": Axis(
        (10, 100, 1_000),
        (10_000,),
        "job",
        1.0,
        "a policy may look at every storage for each job",
        storages_of_a_machine,
    ),
    "waiting": Axis(
        (10, 100, 300),
        (1_000, 10_000),
        "job",
        1.0,
        "a pass may look at every waiting job",
        waiting_jobs,
    ),
    "hosts": Axis((1_000, 3_000), (10_000,), "host", 0.0, "a file is read once", hosts_of_a_platform),
    "runs": Axis((10, 30), (100, 300), "run", 0.0, "runs know nothing of each other", runs_of_a_campaign),
    "rows": Axis((10_000, 30_000), (100_000,), "row", 0.0, "each row is read once", rows_of_a_report),
}


def measure(
    name: str, what: str, sizes: Sequence[int], cost: Callable[[int], Cost], meter: Meter | None = None
) -> Line:
    """One line, from the smallest size on, until a size takes too long."""
    beside: dict[int, float] = {}
    points: dict[int, float] = {}
    drowned: dict[int, float] = {}
    over: int | None = None
    problem = ""
    for size in sizes:
        try:
            found = cost(size)
        except SystemExit as error:  # one line's trouble isn't the others'
            problem = str(error)
            break
        if found is None:
            over = size
            break
        total, start, units = found
        told = total - start >= TOLD * start
        (points if told else drowned)[size] = (total - start) / units
        if meter is not None and meter.beside is not None:
            theirs, begun, units = meter.beside
            beside[size] = (theirs - begun) / units
            meter.beside = None
    return Line(name, what, points, drowned, slope(points), over, problem, beside)


def verdict(line: Line) -> str:
    """What is to be said of an exponent."""
    axis = AXES[line.axis]
    if line.problem:
        return f"FAILED: {line.problem.strip().splitlines()[-1]}"
    if line.exponent is None:
        said = "not known: fewer than two sizes can be told from the start"
    elif line.exponent > axis.allowed + SLACK:
        said = f"ABOVE {axis.allowed:g}"
    else:
        said = f"at most {axis.allowed:g}: {axis.reason}"
    return said if line.over is None else f"{said}; {line.over} is over the limit"


def show(line: Line) -> None:
    """A line of the table; in brackets what isn't in the fit."""
    told = {size: f"{cost * 1e3:.3f}" for size, cost in line.points.items()}
    told |= {size: f"({cost * 1e3:.3f})" for size, cost in line.drowned.items()}
    costs = "  ".join(f"{size}: {told[size]}" for size in sorted(told))
    exponent = "-" if line.exponent is None else f"{line.exponent:+.2f}"
    print(f"  {line.what:<34}{costs:<52}{exponent:>6}  {verdict(line)}", flush=True)
    if line.beside:
        costs = "  ".join(f"{size}: {cost * 1e3:.3f}" for size, cost in sorted(line.beside.items()))
        theirs = slope(line.beside)
        exponent = "-" if theirs is None else f"{theirs:+.2f}"
        print(f"  {'Batsim, on the clock':<34}{costs:<52}{exponent:>6}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--only", default=",".join(AXES), help="axes to measure [%(default)s]")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="processor seconds a process may take [%(default)s]"
    )
    parser.add_argument(
        "--best", type=int, default=3, help="processes of which the least counts [%(default)s]"
    )
    parser.add_argument("--large", action="store_true", help="the large sizes too (an hour)")
    parser.add_argument("-o", "--output", default="scaling.json", help="where the JSON goes [%(default)s]")
    args = parser.parse_args(argv)
    chosen = args.only.split(",")
    for name in chosen:
        if name not in AXES:
            parser.error(f"unknown axis {name!r}; known: {', '.join(AXES)}")
    # the first run of a tree without bytecode would compile all of it
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    found: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="batfs-scaling-") as name:
        meter = Meter(Path(name), args.limit, args.best)
        _machine(meter, 16, 1)
        write_jobs(meter.folder / "w.json", 1, 16, [1], 0.0)
        meter._run("w.json", 1, ())
        for chosen_axis in chosen:
            axis = AXES[chosen_axis]
            print(f"{chosen_axis}: milliseconds a {axis.unit}, by size; exponent")
            for what, cost in axis.lines(meter):
                sizes = [*axis.sizes, *(axis.large if args.large else ())]
                found.append(measure(chosen_axis, what, sizes, cost, meter))
                show(found[-1])
    Path(args.output).write_text(json.dumps([line._asdict() for line in found], indent=1) + "\n")
    print(f"written to {args.output}")
    return 1 if any(line.problem for line in found) else 0


if __name__ == "__main__":
    sys.exit(main())
