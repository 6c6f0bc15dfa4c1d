"""Ctrl-C at any moment, as a terminal sends it: to the whole group of processes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.hostile.children import tell
from benchmarks.hostile.formats import ROOT, corpus

MACHINE = ("-p", f"{ROOT}/platforms/taurus_storage.xml", "-w", f"{ROOT}/workloads/io.json")
ORCHESTRATOR = ("service", "orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", "l.db")
#: Commands, and whether what they had got to stays (it is named .partial then, or picked up again).
COMMANDS: tuple[tuple[Sequence[str], bool], ...] = (
    (("run", *MACHINE, "-e", "r"), True),
    (("run", *MACHINE, "-e", "r", "--protocol", "5"), True),
    (("run", *MACHINE, "-e", "r", "--queue", "pybatsim:schedFcfs"), True),
    (("sim", *MACHINE, "--no-sched", "-e", "r"), True),
    (("sim", *MACHINE, "-s", "ipc://nobody", "-e", "r"), True),
    (("sched", "-s", "ipc://here", "-e", "r"), True),
    (("proxy", "-s", "ipc://here", "-t", "ipc://there", "-e", "r"), True),
    (("compare", *MACHINE, "--policy", "random", "--policy", "worst_fit", "--seeds", "20", "-j", "2", "-o",
      "c", "--no-report"), True),
    (("size", "bb=200GB..6TB", *MACHINE, "--seeds", "3", "-j", "2", "-o", "s", "--formats", "none"), True),
    (("report", "{warm}/r", "-o", "r.html", "--formats", "svg"), False),
    (("explain", *MACHINE, "--all", "--json"), False),
    (("check", f"{ROOT}/platforms/taurus_storage.xml", "--bandwidths"), False),
    (("gallery", "-n", "20", "-o", "g"), True),
    (("workload", "synth", "--jobs", "20000", "--nodes", "64", "--io", "rate:median=20MBps,sigma=1.2",
      "--filesystem", "lustre:weight=4", "-o", "x.json"), False),
    (("workload", "convert", f"{ROOT}/workloads/io.json", "--to", "batsim5", "-o", "x.json"), False),
    (("reproduce", "periodic_io", "--json"), False),
    (("verify", "-n", "50"), False),
    (ORCHESTRATOR, True),
    (("service", "demo"), False),
    (("calibrate", *[f"{{warm}}/files/ior-{k}.txt" for k in (1, 2, 3)], "{warm}/files/mdtest.txt", "-o",
      "cal.toml", "--platform-out", "x.xml"), False),
    (("service", "orchestrator", "--bind", "ipc://here", "--simulate"), True),
)  # fmt: skip
LONGEST = 6.0  # seconds until the signal
PATIENCE = 30.0
UP = 0.3  # seconds: Python itself comes up, and is not ours to guard


def group(leader: int) -> list[int]:
    """The processes of a session that live."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(folder.name))
    return found


def one(rng: random.Random, number: int, folder: Path, warm: Path) -> tuple[str, str]:
    words, stays = COMMANDS[number % len(COMMANDS)]
    words = [word.format(warm=warm) for word in words]
    first = ["-m", "batfs", *words]
    if words[0] in ("sched", "proxy"):
        first = ["-c", f"from batfs.cli.programs import {words[0]}; {words[0]}()", *words[1:]]
    scratch = folder / "scratch"
    scratch.mkdir()
    with open(folder / "said", "w+b") as said:
        child = subprocess.Popen(
            [sys.executable, *first], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=said, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)},
        )  # fmt: skip
        at = rng.uniform(0.05, 0.6) if rng.random() < 0.4 else rng.uniform(0.2, LONGEST)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(at)
        done = child.poll() is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGINT)
        try:
            code: int | None = child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        time.sleep(0.05)
        left = group(child.pid)
        deadline = time.monotonic() + 3
        while left and time.monotonic() < deadline:
            time.sleep(0.1)
            left = group(child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    wrong = ""
    if code is None:
        wrong = f"no end within {PATIENCE:g} s"
    elif not done and code not in (0, 130) and code != -signal.SIGINT:
        wrong = f"exit code {code}"  # a shell calls -2 130, too: Python was coming up or going down
    elif "Traceback" in text and at > UP:
        wrong = "a traceback"
    elif left:
        wrong = f"{len(left)} processes are left"
    else:
        files = [name for name in os.listdir(folder) if name != "said"]
        cut = [
            name
            for name in files
            if ".partial" in name or name.endswith(".lock") or name in ("here", "there")
        ]
        cut = [name for name in cut if not (stays and ".partial" in name)]
        cut += os.listdir(scratch)
        if cut:
            wrong = f"left behind: {cut}"
    end = "done before" if done else str(code)
    return end, wrong and f"{' '.join(words[:2])} at {at:.3f} s: {wrong}: {text.strip()[-600:]}"


def interrupts(count: int, seed: int) -> int:
    def found() -> Iterator[tuple[int, str, str]]:
        with tempfile.TemporaryDirectory() as name:
            warm = Path(name) / "warm"
            warm.mkdir()
            subprocess.run([sys.executable, "-m", "batfs", "run", *MACHINE, "-q", "-e", str(warm / "r")],
                           check=True, cwd=ROOT)  # fmt: skip
            corpus(warm / "files")
            for number in range(count):
                folder = Path(name) / str(number)
                folder.mkdir()
                yield number, *one(random.Random(f"{seed}-{number}"), number, folder, warm)
                shutil.rmtree(folder, ignore_errors=True)

    return tell("interrupts", count, seed, found())
