"""The core under sanitizers: ``python -m benchmarks.sanitize [TEST ...]``.

Builds ``batfs/_core`` for itself with GCC's address and undefined-behaviour sanitizers and runs the tests of
the core (or those given) with it. What is read or written out of bounds, used after it was given back,
shifted or added beyond its type ends the run. Takes some minutes; nothing of the working tree is changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = "-O0 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
TESTS = (
    "tests/core",
    "tests/simulator/test_solver.py",
    "tests/simulator/test_leaps.py",
    "tests/simulator/test_gather.py",
    "tests/queues/test_timeline.py",
)


def library(name: str) -> str:
    """Where the compiler keeps one of its libraries."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def build(folder: Path) -> None:
    """The tree, with a core of its own, in ``folder``."""
    for name in ("batfs", "tests", "platforms", "workloads", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "COPYING"):
        shutil.copy(ROOT / name, folder)
    # -O2 of its own would come after ours
    setup = folder / "setup.py"
    setup.write_text(setup.read_text().replace('"-O2", ', ""))
    environment = {**os.environ, "CFLAGS": FLAGS}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    if not list((folder / "batfs" / "_core").glob("solver*.so")):
        raise SystemExit("the core was not compiled: it takes gcc with libasan and libubsan")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sanitize", description=__doc__)
    parser.add_argument("tests", nargs="*", default=TESTS, help="what pytest runs [the core's tests]")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="batfs-sanitize-") as name:
        folder = Path(name)
        build(folder)
        environment = {
            **os.environ,
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Python gives little back at its end
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": name,
            "PYTHONMALLOC": "malloc",
        }
        words = ["-q", "-n", "0", "-p", "no:cacheprovider", *args.tests]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=folder, env=environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
