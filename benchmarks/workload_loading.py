"""How quick workloads load, and what they hold: seconds per job and peak memory at two sizes, and one matrix.

(a) jobs with a profile each, at N/10 and N jobs (default a million): the cost per job is flat when the ratio
    is near 1; the peak is that of the whole process, each size in one of its own;
(b) a dense 128 x 128 ``parallel`` profile from parsed JSON to arrays (goal: under 1 ms).

Run: python benchmarks/workload_loading.py [N]
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from batfs.workload import parse_profile

_LOAD = """
import resource, sys, time
from batfs.workload import read_workload
begin = time.process_time()
workload = read_workload(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(time.process_time() - begin, peak, len(workload.jobs))
"""


def write(path: Path, jobs: int) -> None:
    with open(path, "w") as out:
        out.write('{"nb_res": 10000, "jobs": [\n')
        for i in range(jobs):
            comma = "," if i else ""
            out.write(
                f'{comma}{{"id": "{i}", "subtime": {i * 0.731}, "res": {1 + i % 64}, "profile": "p{i}",'
                f' "walltime": 3600}}\n'
            )
        out.write('], "profiles": {\n')
        for i in range(jobs):
            comma = "," if i else ""
            out.write(
                f'{comma}"p{i}": {{"type": "parallel_homogeneous", "cpu": {1e9 * i}, "com": 1e6,'
                f' "io_reads": {10**9 + i}, "io_writes": 100000000}}\n'
            )
        out.write("}}\n")


def loading(most: int) -> None:
    costs = []
    for jobs in (most // 10, most):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "w.json"
            write(path, jobs)
            size = path.stat().st_size / 1e6
            done = subprocess.run(
                [sys.executable, "-c", _LOAD, str(path)], capture_output=True, text=True, check=True
            )
        seconds, peak, _ = done.stdout.split()
        costs.append(float(seconds) / jobs)
        cost = f"{float(seconds):6.2f} s, {costs[-1] * 1e6:5.2f} us a job, {peak} GB"
        print(f"{jobs:>9} jobs, {size:7.1f} MB: {cost}")
    print(f"cost per job, large over small: {costs[1] / costs[0]:.2f}")


def matrix() -> None:
    rng = random.Random(1)
    n = 128
    com = [0 if i % (n + 1) == 0 else rng.random() * 1e9 for i in range(n * n)]
    profile = {"type": "parallel", "cpu": [0] * n, "com": com}
    best = 1.0
    for _ in range(50):
        begin = time.perf_counter()
        parse_profile(profile)
        best = min(best, time.perf_counter() - begin)
    print(f"a dense 128 x 128 matrix: {best * 1e3:.2f} ms")


if __name__ == "__main__":
    loading(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    matrix()
