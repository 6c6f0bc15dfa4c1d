"""A comparison and its report, as ``batfs compare`` makes them: wall time of the runs, and of all after them.

    python -m benchmarks.report_many [many] [few] [short] [--formats png,svg,pdf] [--courses]

Five allocation policies on the taurus cluster, a workload drawn per seed: ``many``, 30 seeds of io.json
(``make compare``, 150 runs); ``few``, two seeds of it (10 runs); ``short``, 200 seeds of its first twenty
jobs (1,000 runs). What counts is the ratio: the report should be made as quickly as the runs. On a busy
machine both take longer, but not evenly: begin again, and take the median.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path

POLICIES = ("random", "worst_fit", "best_fit", "round_robin", "max_bandwidth")
SEEDS = {"many": 30, "few": 2, "short": 200}
TOP = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--formats", default="svg")
    parser.add_argument("--courses", action="store_true")
    args = parser.parse_args()
    for case in args.cases:
        with tempfile.TemporaryDirectory(prefix="batfs-benchmark-") as scratch:
            print(case)
            marks = measure(case, Path(scratch), args.formats.split(","), args.courses)
        for (_, before), (name, after) in pairwise(marks):
            print(f"  {name:<24}{after - before:8.2f} s")
        runs = marks[1][1] - marks[0][1]
        print(f"  {'report / runs':<24}{(marks[-1][1] - marks[1][1]) / runs:8.2f}")


def measure(case: str, scratch: Path, formats: list[str], courses: bool) -> list[tuple[str, float]]:
    """What was done until when (seconds), the beginning first, the runs second."""
    from batfs.campaign.engine import run_campaign
    from batfs.campaign.plan import make_plan

    workload = TOP / "workloads" / "io.json"
    if case == "short":
        whole = json.loads(workload.read_text())
        workload = scratch / "short.json"
        workload.write_text(json.dumps({**whole, "jobs": whole["jobs"][:20]}))
    values = {
        "platform": [str(TOP / "platforms" / "taurus_storage.xml")],
        "workload": [str(workload)],
        "policy": list(POLICIES),
        "seeds": str(SEEDS[case]),
        "resample": "blocks",
    }
    folder = scratch / "campaign"
    marks = [("", time.perf_counter())]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter()))

    finished = run_campaign(make_plan(values), folder, progress=False)
    mark(f"{len(finished.runs)} runs")
    from batfs.campaign.results import collect, write_campaign
    from batfs.report.extras import cores
    from batfs.report.figures import drawers

    (folder / "figures").mkdir()
    with drawers(cores()) as helpers:
        comparison = collect(finished, cores())
        mark("read and summed up")

        def write() -> None:
            write_campaign(finished, comparison)
            mark("tables")
            comparison.report(folder / "report.html")
            mark("page")

        figures = comparison.figures()
        mark("compared")
        drawn = figures.save(
            folder / "figures", formats, courses=courses or None, helpers=helpers, meanwhile=write
        )
    mark(f"{len(drawn)} figures")
    return marks


if __name__ == "__main__":
    main()
