"""What a policy from outside answers is checked: file, line, simulated time and request are named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """from batfs.storage.interface import Share
class P:
    name = "p"
    def choose(self, view, request, rng):
        %s
"""
WRONG = {
    "return (Share(0, 1),)": "chose 1 bytes in all for a request of",
    "return ()": "chose 0 bytes in all for a request of",
    "return (Share(10**6, request.size),)": "chose the storage 1000000; there are 0 to",
    "return (Share(-1, request.size),)": "chose the storage -1",
    "return (Share(0, request.size),)": "which is no candidate",
    "return (Share(int(request.candidates[0]), request.size / 1),)": "answered (Share(",
    "return (Share(int(request.candidates[0]), -1), Share(0, request.size + 1))": "chose -1 bytes",
    "return 'here'": "answered here",
    "return 7": "answered 7",
    "raise SystemExit(0)": "ended the program (SystemExit: 0)",
    "raise KeyError('x')": "raised KeyError: 'x'",
    "return P.nothing": "raised AttributeError",
}


@pytest.mark.parametrize("body", WRONG)
def test_a_wrong_answer_ends_the_run_with_its_story(tmp_path: Path, body: str) -> None:
    plugin = tmp_path / "p.py"
    plugin.write_text(HEAD % body)
    done = subprocess.run(
        [sys.executable, "-m", "batfs", "run", "-p", "platforms/taurus_storage.xml",
         "-w", "workloads/io.json", "-q", "--policy", f"{plugin}:P", "-e", str(tmp_path / "o" / "r")],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert WRONG[body] in done.stderr
    line = 4 if body.startswith("return") and "nothing" not in body else 5
    assert f"{plugin}: line {line}: at " in done.stderr
    assert " s, for 'w0!" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert all(path.name.endswith(".partial") for path in (tmp_path / "o").iterdir())
