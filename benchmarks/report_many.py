"""A comparison and its report: processor time of the runs beside that of reading, comparing and drawing them.

    python -m benchmarks.report_many [SEEDS] [FOLDER]

Five allocation policies on the taurus cluster, a workload drawn per seed (``make compare`` in small: 30
seeds are 150 runs). Everything happens in one process, so that its processor time is all there is, and a
busy machine counts little. With FOLDER a campaign that is there is only read and drawn, so that two versions
can be compared on the same runs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from itertools import pairwise
from pathlib import Path
from typing import Any

POLICIES = ("random", "worst_fit", "best_fit", "round_robin", "max_bandwidth")


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    with tempfile.TemporaryDirectory(prefix="batfs-benchmark-") as scratch:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else f"{scratch}/campaign")
        marks: list[tuple[str, float]] = []

        def mark(name: str) -> None:
            marks.append((name, time.process_time()))

        mark("")
        if not folder.is_dir():
            _run(folder, seeds)
            mark("runs")
        from batfs.report import find_runs
        from batfs.report.comparisons import compare_groups
        from batfs.report.figures import Figures
        from batfs.report.forest import panels
        from batfs.report.page import write_figures_report
        from batfs.report.reading import read_many

        mark("import of the report")
        runs = read_many(find_runs(folder))
        mark("read and summed up")
        every = Figures(runs)
        compared = compare_groups(every.groups)
        every.differences = panels(compared)
        write_figures_report(every, Path(scratch) / "report.html", compared=compared)
        mark("compared, page written")
        drawn = every.save(scratch)
        mark(f"{len(drawn)} figures")
    for (_, before), (name, after) in pairwise(marks):
        print(f"{name:<24}{after - before:8.2f} s")
    at = dict(marks)
    begun = at.get("runs", marks[0][1])
    report = marks[-1][1] - begun
    print(f"{f'report of {len(runs)} runs':<24}{report:8.2f} s")
    if "runs" in at:
        print(f"{'report / runs':<24}{report / (at['runs'] - marks[0][1]):8.2f}")


def _run(folder: Path, seeds: int) -> None:
    from batfs.campaign.engine import run_campaign
    from batfs.campaign.plan import make_plan

    top = Path(__file__).parents[1]
    values = {
        "platform": [str(top / "platforms" / "taurus_storage.xml")],
        "workload": [str(top / "workloads" / "io.json")],
        "policy": list(POLICIES),
        "seeds": str(seeds),
        "resample": "blocks",
    }
    with _Here() as here:
        run_campaign(make_plan(values), folder, executor=here, progress=False)


class _Here(Executor):
    """Does at once, in this process, what it is given."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **settings: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **settings))
        return done


if __name__ == "__main__":
    main()
