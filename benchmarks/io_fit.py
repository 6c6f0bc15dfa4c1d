"""What a queue policy that goes by the jobs' I/O brings: ``fit_io`` beside ``easy_storage``, paired by seed.

    python -m benchmarks.io_fit [--seeds 30] [--jobs 200] [--share 0.2] [--load 0.9]

Three machines that come with batfs, their Lustre striped over all targets; for every seed a workload of its
own from ``batfs workload synth --iterations io_sets`` (run times of 1 minute to 1 hour, no daily cycle), the
same one for each pair of policies. Printed are means over the seeds, and paired differences to the first two
pairs with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import statistics
import tempfile
from pathlib import Path
from typing import Any

from batfs.cli.main import main as main_of_batfs
from batfs.workload import write_workload
from batfs.workload.synth import FileSystemShare, SynthOptions, synthesize

ROOT = Path(__file__).parents[1]
#: nodes, and bytes/s that the file system and a node write at
MACHINES = {
    "pfs_cluster": (64, 12e9, 1.25e9),
    "bb_cluster": (64, 3.2e9, 1.25e9),
    "taurus_storage": (16, 3.6e9, 1.25e9),
}
PAIRS = (
    ("fair", "easy_storage"),
    ("set10", "easy_storage"),
    ("fair", "fit_io"),
    ("set10", "fit_io"),
)
FIGURES = ("turnaround", "slowdown", "makespan", "efficiency", "io_slowdown")
#: two-sided 95 % of Student's t, by degrees of freedom
T = {4: 2.776, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045}


def measure(task: tuple[str, int, int, float, float]) -> list[dict[str, float]]:
    """The figures of each pair on one machine under one seed."""
    machine, seed, jobs, share, load = task
    nodes, bandwidth, of_node = MACHINES[machine]
    rhythm = f"io_sets:share={share},bandwidth={bandwidth:.0f}Bps,node_bandwidth={of_node:.0f}Bps"
    options = SynthOptions(
        jobs=jobs,
        nodes=nodes,
        seed=seed,
        load=load,
        daily_cycle=False,
        shortest=60,
        longest=3600,
        iterations=rhythm,
        filesystems=(FileSystemShare("lustre"),),
    )
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "w.json"
        write_workload(file, synthesize(options))
        for io_policy, queue in PAIRS:
            words = ["run", "--json", "-p", str(ROOT / "platforms" / f"{machine}.xml"), "-w", str(file)]
            words += ["--queue", queue, "--io-policy", io_policy, "--policy", "round_robin"]
            words += ["--filesystem", "lustre=pfs:stripe_count=0", "--enable-dynamic-jobs", "--measure-io"]
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
                if main_of_batfs([*words, "--seed", str(seed), "-e", str(Path(scratch) / "r")]) != 0:
                    raise SystemExit(f"failed: batfs {' '.join(words)}")
            s: dict[str, Any] = json.loads(said.getvalue())
            found.append(
                {
                    "turnaround": s["turnaround_time"]["mean"],
                    "slowdown": s["bounded_slowdown"]["mean"],
                    "makespan": s["makespan"],
                    "efficiency": s["io"]["system_efficiency"],
                    "io_slowdown": s["io"]["io_slowdown"]["mean"],
                }
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--load", type=float, default=0.9)
    parser.add_argument("--machines", nargs="+", default=list(MACHINES))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with multiprocessing.Pool(args.workers) as pool:
        for machine in args.machines:
            tasks = [(machine, s, args.jobs, args.share, args.load) for s in range(1, args.seeds + 1)]
            report(machine, pool.map(measure, tasks, chunksize=1))


def report(machine: str, found: list[list[dict[str, float]]]) -> None:
    n = len(found)
    print(f"{machine}: means over {n} seeds; differences of fit_io, with 95 % intervals", flush=True)
    for k, pair in enumerate(PAIRS):
        means = {name: round(statistics.fmean(one[k][name] for one in found), 4) for name in FIGURES}
        print(f"  {' + '.join(pair):<22} {json.dumps(means)}")
    for a, b in ((2, 0), (3, 1), (3, 0)):
        print(f"  {' + '.join(PAIRS[a])} less {' + '.join(PAIRS[b])}")
        for name in FIGURES:
            gaps = [one[a][name] - one[b][name] for one in found]
            half = T.get(n - 1, 1.96) * statistics.stdev(gaps) / n**0.5
            mean, base = statistics.fmean(gaps), statistics.fmean(one[b][name] for one in found)
            low, high = mean - half, mean + half
            print(f"    {name:<12} {mean:+.4g} ({low:+.4g} to {high:+.4g}), {mean / base:+.1%}", flush=True)


if __name__ == "__main__":
    main()
