"""One command for the simulator's speed: ``python -m benchmarks [--only a,b] [--jobs N] [-o FILE]``.

Prints a table and writes JSON. Every time is of a whole process, start included, the best of a few runs where
runs are short. Where a ``batsim`` (and ``pybatsim``) is on PATH, (a) and (b) are run with it in the same
session and the ratio is printed; where SimGrid's Python module is importable, (d) is compared with it.
``python -m benchmarks scaling`` says how costs grow with sizes (:mod:`benchmarks.scaling`).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import cases, scaling, solver

COLUMNS = ("case", "what", "jobs", "seconds", "per job", "memory", "against")


def main() -> int:
    if sys.argv[1:2] == ["scaling"]:
        return scaling.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,e", help="cases to run, from a,b,c,d,e [%(default)s]")
    parser.add_argument("--million", action="store_true", help="(c) with a million jobs too (minutes)")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs of (a) [%(default)s]")
    parser.add_argument("-o", "--output", default="benchmarks.json", help="where the JSON goes [%(default)s]")
    args = parser.parse_args()
    chosen = args.only.split(",")
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="batfs-benchmark-") as name:
        folder = Path(name)
        for letter in chosen:
            if letter == "a":
                results += cases.wide_jobs(folder, args.jobs)
            elif letter == "b":
                results += cases.dense_matrices(folder)
            elif letter == "c":
                sizes = [10_000, 100_000] + ([1_000_000] if args.million else [])
                results += cases.large_machine(folder, sizes)
            elif letter == "d":
                results += solver.measure(folder)
            elif letter == "e":
                results += cases.decision_process(folder)
            else:
                parser.error(f"unknown case {letter!r}")
            show(results)
    record = {"machine": platform.platform(), "python": platform.python_version(), "results": results}
    Path(args.output).write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {args.output}")
    return 0


def show(results: list[dict[str, Any]]) -> None:
    """The table so far."""
    rows = [[cell(result, column) for column in COLUMNS] for result in results]
    widths = [max(len(row[i]) for row in [list(COLUMNS), *rows]) for i in range(len(COLUMNS))]
    print()
    for row in [list(COLUMNS), ["-" * width for width in widths], *rows]:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


def cell(result: dict[str, Any], column: str) -> str:
    value = result.get(column)
    if value is None:
        return "-"
    if column == "seconds":
        return f"{value:.3f}"
    if column == "per job":
        return f"{value * 1e6:.0f} us"
    if column == "memory":
        return f"{value / 1e6:.0f} MB"
    return str(value)


sys.exit(main())
