"""A script that compares at its top level needs no guard of its main module: workers don't run it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
ROOT = Path(__file__).parents[2]
SCRIPT = """\
import batfs
print("begins")
found = batfs.compare({platform!r}, {workload!r}, policy=["random", "worst_fit"], seeds=3, jobs=2,
                      output={out!r}, progress=False)
print(len(found.runs), "runs,", len(found.failures), "failed")
found.figures().save({out!r}, ["svg"], processes=2)
sized = batfs.size({platform!r}, {workload!r}, {{"nodes": "12,16"}}, target="wait.mean<10h", seeds=2, jobs=2,
                   progress=False)
print(sized.best is not None)
"""


@pytest.mark.slow
def test_a_bare_script(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    platform, workload = str(ROOT / "platforms/taurus_storage.xml"), str(ROOT / "workloads/io.json")
    script.write_text(SCRIPT.format(platform=platform, workload=workload, out=str(tmp_path / "out")))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "begins\n6 runs, 0 failed\nTrue\n"
    assert "Traceback" not in done.stderr
    # as a module, and from standard input, where there is no file to import
    with script.open() as stream:
        again = subprocess.run(
            [sys.executable, "-W", "ignore", "-"],
            stdin=stream,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=ROOT,
        )
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
