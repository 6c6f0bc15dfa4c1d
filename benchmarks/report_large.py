"""The report of a run of 100,000 jobs: time by part, and the size of the page.

    python benchmarks/report_large.py [JOBS]

The targets are under 30 s and under 10 MB for 100,000 jobs on 256 nodes with 24 storages; times are processor
time of this process, so that a busy machine doesn't count against it.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

HANDMADE = Path(__file__).parents[1] / "tests" / "report" / "handmade.py"


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    spec = importlib.util.spec_from_file_location("handmade", HANDMADE)
    assert spec is not None
    assert spec.loader is not None
    handmade = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handmade)
    with tempfile.TemporaryDirectory() as folder:
        prefix = handmade.write_run(Path(folder) / "big", jobs=jobs, nodes=256, storages=24)
        marks = [("", time.process_time())]
        from batfs.report import load_run
        from batfs.report.figures import Figures
        from batfs.report.page import write_report

        marks.append(("import", time.process_time()))
        run = load_run(prefix)
        marks.append(("read", time.process_time()))
        page = write_report([run], Path(folder) / "report.html")
        marks.append(("page", time.process_time()))
        Figures([run]).save(folder)
        marks.append(("figures, three formats", time.process_time()))
        for (_, before), (name, after) in pairwise(marks):
            print(f"{name:<24}{after - before:8.2f} s")
        print(f"{'together':<24}{marks[-1][1] - marks[0][1]:8.2f} s")
        print(f"{'page':<24}{page.stat().st_size / 1e6:8.2f} MB")


if __name__ == "__main__":
    main()
