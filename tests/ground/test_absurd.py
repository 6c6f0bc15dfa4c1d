"""Absurd sizes, numbers and answers end at once with one sentence and exit code 2, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TAURUS = ["-p", f"{ROOT}/platforms/taurus_storage.xml", "-w", f"{ROOT}/workloads/io.json", "-q"]
SMALL = ["-p", f"{ROOT}/platforms/io_example.xml", "-w", f"{ROOT}/workloads/io_example.json"]
SYSTEM = """hosts:
- hostname: h
  network_bw: 1
  disks: [{vendor: v, model: m, serial: s, capacity: 8000, read_bandwidth: 1, write_bandwidth: 1}]
"""
ALIASES = (
    "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    + "hosts:\n- hostname: *a11\n  network_bw: 1\n  disks: []\n"
)
FILES = {
    "requests.csv": "id,start,duration,size\na,0,100,1GB\n",
    "system.yml": SYSTEM,
    "aliases.yml": ALIASES,
    "digits.toml": f"seed={'9' * 5000}\n",
    "deep.toml": f"a={'[' * 5000}\n",
    "seeds.toml": 'platform="x.xml"\nworkload="w.json"\npolicy="random"\nseeds=2.5\n',
    "none.py": "class Q:\n    name = 'q'\n    def schedule(self, view): return None\n",
    "exit.py": "class Q:\n    name = 'q'\n    def schedule(self, view): raise SystemExit(0)\n",
    "typing_only.py": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from decimal import Decimal\nclass P:\n    name = 'p'\n"
    "    def __init__(self, k: int = 1, d: Decimal | None = None): pass\n"
    "    def choose(self, view, request, rng): return None\n",
}
ABSURD = {
    "an empty prefix": ["run", *TAURUS, "-e", ""],
    "the root as a prefix": ["run", *TAURUS, "-e", "/"],
    "an option beyond 64 bits": ["run", *TAURUS, "--queue", "easy:depth=99999999999999999999"],
    "an option of an annotation for type checkers": ["run", *TAURUS, "--policy", "typing_only.py:P:k=x"],
    "a number of 5000 digits": ["run", *TAURUS, "--config", "digits.toml"],
    "brackets 5000 deep": ["run", *TAURUS, "--config", "deep.toml"],
    "a queue policy that answers nothing": ["run", *TAURUS, "--queue", "none.py:Q"],
    "a queue policy that ends the program": ["run", *TAURUS, "--queue", "exit.py:Q"],
    "a request in a billion blocks": ["alloc", "replay", "system.yml", "requests.csv", "--block-size", "1B"],
    "sizes beyond all bounds": ["alloc", "replay", "system.yml", "requests.csv", "--scale", "1e300"],
    "aliases of aliases": ["alloc", "replay", "aliases.yml", "requests.csv"],
    "jobs without number": ["workload", "synth", "--count", "9" * 40, "-o", "x.json"],
    "nodes without number": ["workload", "synth", "--nodes", "9" * 22, "-o", "x.json"],
    "tasks without number": ["verify", "-n", "9" * 40],
    "a gallery without number": ["gallery", "-n", "99999999"],
    "no racks": ["platform", "new", "--racks", "0"],
    "a billion nodes": ["platform", "new", "--nodes", "1000000000"],
    "half a seed": ["compare", "--config", "seeds.toml", "-o", "c"],
    "a billion seeds": ["compare", *SMALL, "--policy", "random", "--seeds", "1000000000", "-o", "c"],
    "seeds to a billion": ["compare", *SMALL, "--policy", "random", "--seeds", "1-1000000000", "-o", "c"],
    "estimates beyond all bounds": ["workload", "synth", "--estimate", "1e308", "-o", "x.json"],
    "a spread beyond all bounds": ["workload", "synth", "--io", "rate:sigma=1e3", "-o", "x.json"],
    "ids beyond any machine": ["explain", *TAURUS[:2], "--reads", "8GB", "--on", "0-99999999999"],
}


def run(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "batfs", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("what", ABSURD)
def test_what_is_absurd_ends_at_once(tmp_path: Path, what: str) -> None:
    done = run(tmp_path, ABSURD[what])
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("batfs ")
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize("file", ["none.py", "exit.py"])
def test_a_queue_policys_answer_is_blamed_on_it(tmp_path: Path, file: str) -> None:
    done = run(tmp_path, ["run", *TAURUS, "--queue", f"{file}:Q"])
    assert f"{file}: line 3: at 0 s, with " in done.stderr
    assert "at the head of the queue, the queue policy" in done.stderr


def test_provenance_takes_any_seed_and_any_name(tmp_path: Path) -> None:
    """It is written after the whole run: it may not fail then."""
    seed = 10**40
    assert run(tmp_path, ["run", *SMALL, "-q", "--seed", str(seed), "-e", "big"]).returncode == 0
    assert json.loads((tmp_path / "big_provenance.json").read_text())["configuration"]["seed"] == seed
    assert run(tmp_path, ["run", *SMALL, "-q", "-e", os.fsdecode(b"o\xff")]).returncode == 0
    (odd,) = [name for name in os.listdir(os.fsencode(tmp_path)) if name.endswith(b"\xff_provenance.json")]
    json.loads((Path(os.fsdecode(os.fsencode(tmp_path))) / os.fsdecode(odd)).read_text())


def test_a_baseline_that_was_edited(tmp_path: Path) -> None:
    platform = f"{ROOT}/platforms/io_example.xml"
    assert run(tmp_path, ["check", platform, "--baseline", "b.json", "--update"]).returncode == 0
    text = (tmp_path / "b.json").read_text()
    (tmp_path / "b.json").write_text(text.replace('"count"', '"cuont"'))
    done = run(tmp_path, ["check", platform, "--baseline", "b.json"])
    assert done.returncode == 2
    assert "is not as batfs writes it" in done.stderr
