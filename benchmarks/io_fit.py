"""What a queue policy that goes by the jobs' I/O brings: ``fit_io`` beside ``easy_storage``, paired by seed.

    python -m benchmarks.io_fit [--seeds 30] [--jobs 60] [--share 0.2] [--load 1.2] [--out FILE]

Three machines that come with batfs, their Lustre striped over all targets; for every seed a workload of its
own from ``batfs workload synth --iterations io_sets`` (run times of 2 to 30 minutes, no daily cycle), the
same one for each pair of policies. ``--out``: a line of JSON a run, as they end; what is there already isn't
run again. Printed are means over the seeds, and paired differences with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from batfs.campaign.single import run_once
from batfs.report.power import student
from batfs.workload import write_workload
from batfs.workload.synth import FileSystemShare, SynthOptions, synthesize

ROOT = Path(__file__).parents[1]
#: nodes, and bytes/s that the file system and a node write at
MACHINES = {
    "pfs_cluster": (64, 12e9, 1.25e9),
    "bb_cluster": (64, 3.2e9, 1.25e9),
    "taurus_storage": (16, 3.6e9, 1.25e9),
}
PAIRS = ("fair+easy_storage", "set10+easy_storage", "fair+fit_io", "set10+fit_io")
#: what is compared with what, of these
DIFFERENCES = ((2, 0), (3, 1), (2, 1), (3, 0))
FIGURES = ("turnaround", "slowdown", "makespan", "efficiency", "io_slowdown")


def measure(
    machine: str, seed: int, jobs: int, share: float, load: float, pairs: Sequence[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of each pair on one machine under one seed."""
    nodes, bandwidth, of_node = MACHINES[machine]
    rhythm = f"io_sets:fast=60,medium=200,slow=600,share={share}"
    rhythm += f",bandwidth={bandwidth:.0f}Bps,node_bandwidth={of_node:.0f}Bps"
    options = SynthOptions(
        jobs=jobs,
        nodes=nodes,
        seed=seed,
        load=load,
        daily_cycle=False,
        shortest=120,
        longest=1800,
        iterations=rhythm,
        filesystems=(FileSystemShare("lustre"),),
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "w.json"
        write_workload(file, synthesize(options))
        for pair in pairs:
            io_policy, _, queue = pair.partition("+")
            configuration = {
                "queue": queue,
                "io_policy": io_policy,
                "policy": "round_robin",
                "filesystems": {"lustre": {"model": "pfs:stripe_count=0"}},
                "measure_io": True,
                "seed": seed,
            }
            platform, prefix = ROOT / "platforms" / f"{machine}.xml", Path(scratch) / "r"
            s = run_once(str(platform), str(file), prefix, configuration, dynamic_jobs=True)
            yield (
                pair,
                {
                    "turnaround": s["turnaround_time"]["mean"],
                    "slowdown": s["bounded_slowdown"]["mean"],
                    "makespan": s["makespan"],
                    "efficiency": s["io"]["system_efficiency"],
                    "io_slowdown": s["io"]["io_slowdown"]["mean"],
                },
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--load", type=float, default=1.2)
    parser.add_argument("--machines", nargs="+", default=list(MACHINES))
    parser.add_argument("--pairs", nargs="+", default=list(PAIRS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    known: dict[tuple[str, int, str], dict[str, float]] = {}
    if args.out is not None and args.out.exists():
        for line in args.out.read_text().splitlines():
            one = json.loads(line)
            known[one["machine"], one["seed"], one["pair"]] = one["figures"]
    for seed in range(1, args.seeds + 1):  # machines in turn: what there is of them is paired at any time
        for machine in args.machines:
            missing = [pair for pair in args.pairs if (machine, seed, pair) not in known]
            for pair, figures in measure(machine, seed, args.jobs, args.share, args.load, missing):
                known[machine, seed, pair] = figures
                if args.out is not None:
                    line = {"machine": machine, "seed": seed, "pair": pair, "figures": figures}
                    with args.out.open("a") as stream:
                        stream.write(json.dumps(line) + "\n")
    for machine in args.machines:
        report(machine, args.pairs, range(1, args.seeds + 1), known)


def report(
    machine: str,
    pairs: Sequence[str],
    seeds: Sequence[int],
    known: dict[tuple[str, int, str], dict[str, float]],
) -> None:
    n = len(seeds)
    print(f"{machine}: means over {n} seeds; paired differences, with 95 % intervals")
    for pair in pairs:
        means = {
            name: round(statistics.fmean(known[machine, s, pair][name] for s in seeds), 4) for name in FIGURES
        }
        print(f"  {pair:<22} {json.dumps(means)}")
    for a, b in DIFFERENCES if len(pairs) == len(PAIRS) else [(k, 0) for k in range(1, len(pairs))]:
        print(f"  {pairs[a]} less {pairs[b]}")
        for name in FIGURES:
            base = [known[machine, s, pairs[b]][name] for s in seeds]
            gaps = [known[machine, s, pairs[a]][name] - one for s, one in zip(seeds, base, strict=True)]
            half = student(0.975, n - 1) * statistics.stdev(gaps) / n**0.5
            mean, per = statistics.fmean(gaps), 100 / statistics.fmean(base)
            print(
                f"    {name:<12} {mean:+.4g} ({mean - half:+.4g} to {mean + half:+.4g}), "
                f"{mean * per:+.1f} % ({(mean - half) * per:+.1f} to {(mean + half) * per:+.1f})"
            )


if __name__ == "__main__":
    main()
