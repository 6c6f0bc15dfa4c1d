"""What ``batfs-proxy`` adds to a run: its passing through, and the I/O, each against the same run without.

    python benchmarks/proxy.py [--jobs 300] [--rounds 5] [--json out/proxy.json] [--only schedFcfs]

One workload on platforms/taurus_storage.xml, every job on half of the nodes, so that pybatsim's schedulers
and batfs's own take the same decisions (checked: every job must start and end at the same time). It runs

    S      pybatsim's scheduler, jobs without I/O       B      batfs's own scheduler, jobs without I/O
    S+p    the same behind the proxy                    B+io   batfs's own scheduler, the same I/O
    S+p+io behind the proxy, jobs with I/O

within one process (the injector around pybatsim's classes) and over sockets: simulator, proxy and scheduler
are three processes. There also

    S+h    the scheduler within the proxy's process (batfs-proxy --queue pybatsim:...)
    S+h+io the same, jobs with I/O                      Sq     S that doesn't log each message

Compared is processor time, all processes together and without their starts (a run of two jobs is taken off),
as the machine may be shared, and over sockets the time on the clock, from the start of the simulator to its
end, likewise. The variants take turns and of each, and of each of its processes, the best round counts.

- *passing through*: (S+p) / S - 1.
- *I/O by the proxy*: (S+p+io) - (S+p); *by batfs's own*: (B+io) - B. Both plan, book and simulate it.
- *the proxy's own*: what S+p+io takes beyond S and beyond the same I/O without a proxy, over S+p+io.
- *in the proxy* (sockets): processor time of the process itself, over all of S+p+io, and per job;
  (in-process): time inside the injector, of which planning: plans, their bookings and profiles.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PLATFORM = ROOT / "platforms" / "taurus_storage.xml"
PAIRS = {"schedFcfs": "fcfs", "schedEasySjfBackfill": "easy"}
VARIANTS = ("S", "S+p", "S+p+io", "B", "B+io")
HOSTED = ("Sq", "S+h", "S+h+io")
INSIDE, PLANNING = "in the proxy", "  of which planning"


def workload(jobs: int, reads: int, seed: int = 1) -> dict[str, Any]:
    """Batsim JSON: jobs on 8 of 16 nodes, a few waiting at any time, with ``reads`` bytes at most to read
    and half of that to write; the bytes are hidden by the computation, so that times don't depend on them."""
    rng = random.Random(seed)
    profiles: dict[str, Any] = {}
    listed = []
    for k in range(jobs):
        read, cpu = rng.randint(1, 1000) * reads // 1000, rng.randint(60, 600) * 10**9
        profiles[f"p{k}"] = {"type": "parallel_homogeneous", "cpu": cpu, "com": 0}
        if read:
            profiles[f"p{k}"] |= {"io": [{"filesystem": "lustre", "reads": read, "writes": read // 2}]}
        # pybatsim's schedFcfs fails on a job that starts at 0
        listed.append({"id": f"{k}", "subtime": 1 + 165 * k, "walltime": 7200, "res": 8, "profile": f"p{k}"})
    return {"nb_res": 16, "jobs": listed, "profiles": profiles}


# ---- in one process ----------------------------------------------------------------------------------------


class _Timed:
    """A decision process, with the processor time it takes."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.seconds = inner, 0.0

    def decide(self, request: Any) -> Any:
        begin = time.process_time()
        try:
            return self.inner.decide(request)
        finally:
            self.seconds += time.process_time() - begin


def in_process(theirs: str, path: Path, variant: str, split: bool = False) -> tuple[dict[str, float], Any]:
    """Processor seconds by what took them; (start, end) of every job. ``split``: with what the injector
    takes, which is timed call by call and so makes the whole a little longer."""
    from batfs.decision.files import make_files
    from batfs.decision.injector import Injector, WithFileSystems
    from batfs.decision.pybatsim_process import PybatsimProcess, load_pybatsim
    from batfs.platform import load_platform, number_resources
    from batfs.scheduling.config import Layer, Settings
    from batfs.scheduling.core import Scheduler
    from batfs.simulator import SimulationOptions, simulate
    from batfs.workload import read_workload

    platform, jobs = load_platform(PLATFORM), read_workload(path, "w0")
    inside = outside = None
    if variant.startswith("B"):
        process: Any = Scheduler(Settings(flags=Layer("", {"queue": PAIRS[theirs]})), make_files)
    else:
        process = PybatsimProcess(load_pybatsim(theirs))
        if "+p" in variant:
            if split:
                process = inside = _Timed(process)
            process = WithFileSystems(process, Injector(Settings()))
            if split:
                process = outside = _Timed(process)
    times: dict[str, tuple[float, float]] = {}
    options = SimulationOptions(on_job=lambda job: times.update({job.job_id: (job.start, job.end)}))
    spent: dict[str, float] = {}
    with _planning_timed(spent) if split else contextlib.nullcontext():
        gc.collect()
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(50_000, 20, 100)  # as in `batfs run`
        begin = time.process_time()
        simulate(platform, number_resources(platform), [jobs], process, options)
        spent["all"] = time.process_time() - begin
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    if inside is not None and outside is not None:
        spent[INSIDE] = outside.seconds - inside.seconds
    return spent, times


@contextlib.contextmanager
def _planning_timed(spent: dict[str, float]) -> Iterator[None]:
    """While this lasts, ``spent`` adds up what plans, profiles and bookings take in the injector."""
    from batfs.filesystems.site import FileSystems
    from batfs.scheduling import tenancy
    from batfs.scheduling.machine import Machine

    spent[PLANNING] = 0.0

    def timed(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            begin = time.process_time()
            try:
                return inner(*given)
            finally:
                spent[PLANNING] += time.process_time() - begin

        return call

    places: list[tuple[Any, str]] = [(FileSystems, "plan"), (Machine, "book"), (tenancy, "build_profile")]
    before = [getattr(owner, name) for owner, name in places]
    for (owner, name), function in zip(places, before, strict=True):
        setattr(owner, name, timed(function))
    try:
        yield
    finally:
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, function)


# ---- over sockets ------------------------------------------------------------------------------------------


def _endpoint() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{s.getsockname()[1]}"


def over_sockets(theirs: str, path: Path, variant: str, folder: Path) -> dict[str, float]:
    """Processor seconds of each process, and seconds on the clock."""
    front, back = _endpoint(), _endpoint()
    python = [sys.executable, "-m"]
    sim = [*python, "batfs", "sim", "-p", str(PLATFORM), "-w", str(path), "-e", str(folder / "sim"), "-q"]
    commands = {"simulator": [*sim, "-s", front]}
    if "+h" in variant:
        own = ["batfs.decision.proxy_command", "-s", front, "-q", "--queue", f"pybatsim:{theirs}"]
        commands["scheduler"] = [*python, *own]
    elif variant.startswith("B"):
        own = ["batfs.decision.command", "-s", front, "-q", "--queue", PAIRS[theirs]]
        commands["scheduler"] = [*python, *own]
    else:
        to = back if "+p" in variant else front
        commands["scheduler"] = [str(Path(sys.executable).parent / "pybatsim"), theirs, "-s", to]
        if variant == "Sq":
            commands["scheduler"] += ["-v", "warning"]
        if "+p" in variant:
            commands["proxy"] = [*python, "batfs.decision.proxy_command", "-s", front, "--to", back, "-q"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
    # the simulator last, as it is what a user waits for
    running = {
        name: subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"{name}.log").open("wb"),
        )
        for name, command in reversed(commands.items())
    }
    spent: dict[str, float] = {}
    begin = time.monotonic()
    clock = 0.0
    for name, process in reversed(running.items()):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{variant}, {name}: {(folder / f'{name}.log').read_text()[-2000:]}")
        clock = clock or time.monotonic() - begin
        spent[name] = usage.ru_utime + usage.ru_stime
    return {**spent, "clock": clock}


# ---- all of it ---------------------------------------------------------------------------------------------


def least(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(one[key] for one in rounds) for key in rounds[0]}


def socket_rows(best: dict[str, dict[str, float]], jobs: int) -> list[tuple[str, float, str]]:
    """What only three processes show."""
    s, own = best["S"]["all"], best["B+io"]["all"] - best["B"]["all"]
    proxied = ("S+p", "S+p+io", "S+h", "S+h+io")
    rows = [(f"{variant}: beyond S", best[variant]["all"] - s, "s") for variant in proxied]
    io = best["S+h+io"]["all"]
    rows.append(("within the proxy's process: (S+h) / S - 1", best["S+h"]["all"] / s - 1, "%"))
    rows.append(("within it, its own: beyond S and that I/O / S+h+io", (io - s - own) / io, "%"))
    quiet = best["Sq"]["all"]
    rows.append(("the same beyond Sq (no log of messages)", (io - quiet - own) / io, "%"))
    inside = best["S+p+io"]["proxy"]
    rows.append((f"{INSIDE} / S+p+io", inside / best["S+p+io"]["all"], "%"))
    rows += [(f"{variant} on the clock", times["clock"], "s") for variant, times in best.items()]
    clock = best["S"]["clock"]
    rows += [(f"({v}) / S - 1 on the clock", best[v]["clock"] / clock - 1, "%") for v in proxied]
    rows.append(("a job in S", s / jobs, "ms"))
    rows.append(("a job in S+p, in the proxy", best["S+p"]["proxy"] / jobs, "ms"))
    rows.append(("a job in S+p+io, in the proxy", inside / jobs, "ms"))
    return rows


def rows_of(best: dict[str, dict[str, float]], extra: dict[str, float]) -> list[tuple[str, float, str]]:
    """(what, value, unit) from the best of each variant; ``extra``: what is known of S+p+io's inside."""
    s, p, io, b, b_io = (best[variant]["all"] for variant in VARIANTS)
    rows = [(variant, times["all"], "s") for variant, times in best.items()]
    rows += [
        ("passing through: (S+p) / S - 1", p / s - 1, "%"),
        ("I/O by the proxy: ((S+p+io) - (S+p)) / S+p+io", (io - p) / io, "%"),
        ("the same I/O by batfs's own: ((B+io) - B) / S+p+io", (b_io - b) / io, "%"),
        ("the proxy's own: beyond S and that I/O / S+p+io", (io - s - (b_io - b)) / io, "%"),
    ]
    rows += [(f"{key} / S+p+io", value / extra["all"], "%") for key, value in extra.items() if key != "all"]
    return rows


def measure(theirs: str, jobs: int, rounds: int, folder: Path, sockets: bool) -> list[tuple[str, float, str]]:
    """The rows of one scheduler, in one process or over sockets."""
    paths: dict[tuple[int, bool], Path] = {}
    for count in (2, jobs):
        for with_io in (False, True):
            path = paths[count, with_io] = folder / f"{count}-{with_io}.json"
            path.write_text(json.dumps(workload(count, 40 * 10**9 if with_io else 0)))
    variants = VARIANTS + HOSTED if sockets else VARIANTS
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    starts: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    split: list[dict[str, float]] = []
    for turn in range(rounds + 1):  # the first one warms up
        results = {}
        for variant in variants:
            with_io = variant.endswith("io")
            if sockets:
                if turn:
                    starts[variant].append(over_sockets(theirs, paths[2, with_io], variant, folder))
                spent = over_sockets(theirs, paths[jobs, with_io], variant, folder)
            else:
                spent, results[variant] = in_process(theirs, paths[jobs, with_io], variant)
            if turn:
                found[variant].append(spent)
        if not sockets:
            check_same(results)
            if turn:
                split.append(in_process(theirs, paths[jobs, True], "S+p+io", split=True)[0])
    best = {variant: least(found[variant]) for variant in variants}
    if not sockets:
        return rows_of(best, least(split))
    for variant in variants:
        start = least(starts[variant])
        without = {key: value - start[key] for key, value in best[variant].items()}
        best[variant] = {"all": sum(without.values()) - without["clock"], **without}
    return rows_of(best, {}) + socket_rows(best, jobs - 2)


def check_same(results: dict[str, Any]) -> None:
    """The decisions are the same where they should be."""
    for one, other in (("S", "S+p"), ("S", "B"), ("S+p+io", "B+io")):
        for job, (start, end) in results[one].items():
            there = results[other][job]
            if abs(start - there[0]) > 1 or abs(end - there[1]) > 1:
                raise SystemExit(f"{job}: {start, end} in {one}, {there} in {other}: not the same decisions")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=sorted(PAIRS), help="one scheduler")
    parser.add_argument("--no-sockets", action="store_true")
    parser.add_argument("--only-sockets", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    logging.disable(logging.CRITICAL)
    record = []
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        for theirs in [args.only] if args.only else PAIRS:
            for sockets in (False, True):
                if args.no_sockets if sockets else args.only_sockets:
                    continue
                where = "over sockets" if sockets else "in one process"
                print(f"\n{theirs}, {args.jobs} jobs, {where}")
                for what, value, unit in measure(theirs, args.jobs, args.rounds, Path(name), sockets):
                    shown = (
                        f"{value * {'%': 100, 'ms': 1000, 's': 1}[unit]:8.{2 if unit == '%' else 3}f} {unit}"
                    )
                    print(f"  {what:<56}{shown}", flush=True)
                    row = {"scheduler": theirs, "where": where, "what": what.strip()}
                    record.append({**row, "value": value, "unit": unit})
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
