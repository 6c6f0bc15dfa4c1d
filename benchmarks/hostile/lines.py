"""Command lines and their files, damaged: every format that batfs reads."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.hostile.children import Child, cases, tell

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
SWF = """; Version: 2.2
; MaxNodes: 16
; MaxProcs: 16
; UnixStartTime: 1400000000
"""
STORALLOC = """hosts:
- hostname: h1
  ipv4: 10.0.0.1
  network_bw: 12.5
  disks:
  - {vendor: v, model: m, serial: a, capacity: 800, read_bandwidth: 3.2, write_bandwidth: 1.1}
  - {vendor: v, model: m, serial: b, capacity: 400, read_bandwidth: 3.2, write_bandwidth: 1.1}
- hostname: h2
  ipv4: 10.0.0.2
  network_bw: 12.5
  disks:
  - {vendor: v, model: m, serial: c, capacity: 800, read_bandwidth: 3.2, write_bandwidth: 1.1}
"""
TRACE = """jobs:
- {id: 1, nprocs: 64, MPI: true, jobStart: '2020-10-01 00:00:10', readBytes: 1000000, writtenBytes: 400000000,
   submissionTime: '2020-10-01 00:00:01', startTime: '2020-10-01 00:00:10', endTime: '2020-10-01 01:00:10',
   runTime: 3600, nodesUsed: 4, coresUsed: 64, coresUsedPerNode: 16, waitingTime: 9,
   walltime: 7200, cumulReadTime: 3}
"""
CONFIG = """policy = "worst_fit"
queue = "easy"
seed = 3
default_filesystem = "lustre"
[filesystems.lustre]
model = "pfs"
stripe_count = 2
"""
CAMPAIGN = """platform = "platform.xml"
workload = "workload.json"
policy = ["random", "worst_fit"]
seeds = 2
"""
SPEC = """[nodes]
count = 4
speed = "1Gf"
[pfs]
servers = 2
targets = 2
size = "10TB"
"""
RUN = ["run", "-p", "platform.xml", "-w", "workload.json", "-q", "-e", "r"]
#: The words of a command; the name of the file among them that is damaged begins with "@".
LINES: tuple[Sequence[str], ...] = (
    ("run", "-p", "@platform.xml", "-w", "workload.json", "-q", "-e", "r"),
    ("run", "-p", "platform.xml", "-w", "@workload.json", "-q", "-e", "r"),
    ("run", "-p", "taurus.xml", "-w", "@io.json", "-q", "-e", "r", "--policy", "random", "--validate"),
    ("run", "-p", "taurus.xml", "-w", "@composed.json", "-q", "-e", "r", "--enable-dynamic-jobs"),
    ("run", "-p", "taurus.xml", "-w", "@io5.json", "-q", "-e", "r", "--protocol", "5"),
    ("run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "r", "--config", "@config.toml"),
    ("run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "r", "--events", "@events.txt"),
    ("run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "r", "--sched-cfg-file", "@config.toml"),
    ("run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "r", "--faults", "@faults.toml"),
    ("sim", "-p", "@platform.xml", "-w", "workload.json", "--no-sched", "-q", "-e", "r"),
    ("sim", "-p", "taurus.xml", "-w", "@io.json", "--no-sched", "-q", "-e", "r"),
    ("check", "@platform.xml"),
    ("check", "@taurus.xml", "--bandwidths", "--json"),
    ("check", "platform.xml", "--baseline", "@baseline.json"),
    ("explain", "-p", "@platform.xml", "-w", "workload.json"),
    ("explain", "-p", "taurus.xml", "-w", "@io.json", "--all", "--json"),
    ("compare", "--config", "@campaign.toml", "-o", "c", "-j", "1", "--no-report"),
    ("report", "@out_jobs.csv", "-o", "r.html", "--formats", "none"),
    ("report", "out", "-o", "r.html", "--formats", "none", "@out_io_jobs.csv"),
    ("report", "out", "-o", "r.html", "--formats", "none", "@out_storage_states.csv"),
    ("report", "out", "-o", "r.html", "--formats", "none", "@out_machine_states.csv"),
    ("report", "out", "--json", "@out_provenance.json"),
    ("platform", "new", "@spec.toml", "-o", "x.xml"),
    ("platform", "from-storalloc", "@system.yml", "-o", "x.xml"),
    ("platform", "show", "@platform.xml"),
    ("platform", "convert", "@platform.xml", "-o", "x.xml"),
    ("platform", "diff", "@platform.xml", "taurus.xml"),
    ("workload", "check", "@workload.json"),
    ("workload", "check", "@io.json", "-p", "taurus.xml"),
    ("workload", "describe", "@io.json"),
    ("workload", "cut", "@io.json", "--first", "5", "-o", "x.json"),
    ("workload", "scale", "@io.json", "--arrivals", "2", "--io", "3", "-o", "x.json"),
    ("workload", "convert", "@io.json", "--to", "batsim5", "-o", "x.json"),
    ("workload", "convert", "@io5.json", "--to", "batsim4", "-o", "x.json"),
    ("workload", "from-swf", "@log.swf", "-o", "x.json"),
    ("workload", "from-swf", "@log.swf", "--io", "lognormal", "--strict", "-o", "x.json"),
    ("workload", "from-log", "@log.swf", "--io-csv", "@volumes.csv", "-o", "x.json"),
    ("workload", "from-storalloc", "@trace.yml", "-o", "x.json"),
    ("workload", "from-darshan", "@a.darshan", "-o", "x.json"),
    ("workload", "synth", "--jobs", "20", "--nodes", "8", "--seed", "3", "--io",
     "rate:median=20MBps,sigma=1.2",
     "--filesystem", "lustre:weight=4", "-o", "x.json"),
    ("platform", "new", "--nodes", "8", "--racks", "2", "--pfs", "2x2", "--set", "pfs.size=40TB", "-o",
     "x.xml"),
    ("explain", "-p", "platform.xml", "--reads", "8GB", "--writes", "1GB", "--nodes", "2", "--on", "0-1"),
    (*RUN, "--policy", "worst_fit", "--queue", "easy", "--seed", "1", "--mmax", "2", "--node-selection",
     "block"),
    (*RUN, "--filesystem", "pfs:stripe_count=2", "--what-if", "lustre=2", "--json"),
    ("alloc", "replay", "@system.yml", "trace.yml"),
    ("alloc", "replay", "system.yml", "@trace.yml", "--policy", "random", "-o", "a"),
    ("alloc", "replay", "system.yml", "@requests.csv", "--when-full", "backfill"),
    ("alloc", "replay", "system.yml", "requests.csv", "-c", "@config.yml"),
    ("alloc", "sweep", "system.yml", "requests.csv", "--policy", "worst_fit", "--scale", "1", "-o", "s"),
    ("service", "keys", "keys", "--name", "alice", "--role", "client", "--allow", "@allowed"),
)  # fmt: skip
ODD = (
    "", "-1", "0", "1e308", "-0.0", "nan", "inf", "9" * 40, "1e-9", "x" * 300, "../..", "/dev/null",
    "/dev/full",
    "/dev/zero", "-", "--", "\n", "\udcff", "é", "a=b", ":", "=", "0-99999999999", "1,2,3", "{}", "[]",
    "none", "/",
    ".", "io.json", "platform.xml", "no/such/file", "true", "18446744073709551616", "1TB", "-5GB", "1h",
    "%s", "{0}",
    "worst_fit:x=1", "pfs:stripe_count=0", "random,random", "missing.py:X", "io.json:X", "\x1b[31m", "=1",
    "1=",
)  # fmt: skip
WORDS = (
    b"1e308", b"-1", b"99999999999999999999", b"null", b'""', b"[]", b"{}", b"NaN", b"Infinity", b"\xff",
    b"&#0;",
    b"0x", b"1e-320", b"-0.0", b"true", b"\0", b"\n", b'"a\\u0000b"', b"9" * 400, b"\xed\xa0\x80",
    b"1e400", b"<!--",
    b"]]>", b"'", b"!!python/object:x", b"&a [*a]", b"2020-13-45", b"\t", b";", b",,,", b"0",
    b"-9223372036854775809",
)  # fmt: skip
#: Files that may be read although no word of the line names them.
USUAL = ("platform.xml", "workload.json", "io.json", "trace.yml", "requests.csv")
LOGS = ROOT / "tests" / "workload" / "joblogs"


def corpus(folder: Path) -> list[Sequence[str]]:
    """A file of every format in ``folder``; the lines over them."""
    folder.mkdir()
    for name, source in (("platform.xml", "io_example.xml"), ("taurus.xml", "taurus_storage.xml")):
        shutil.copy(ROOT / "platforms" / source, folder / name)
    shutil.copy(ROOT / "workloads" / "io_example.json", folder / "workload.json")
    swf = [
        f"{k} {10 * k} 3 {100 + k} {k % 8 + 1} -1 -1 {k % 8 + 1} 400 -1 1 1 1 -1 1 -1 -1 -1"
        for k in range(1, 40)
    ]
    texts = {
        "log.swf": SWF + "\n".join(swf) + "\n",
        "system.yml": STORALLOC,
        "trace.yml": TRACE,
        "config.toml": CONFIG,
        "faults.toml": (ROOT / "platforms/faults.toml").read_text(encoding="utf-8"),
        "campaign.toml": CAMPAIGN,
        "spec.toml": SPEC,
        "config.yml": "sched_strategy: worst_case\nblock_size_gb: 200\nallow_retry: true\n",
        "requests.csv": "id,start,duration,size\na,0,100,1GB\nb,5,50,30GB\nc,6,1,2TB\n",
        "volumes.csv": "job_id,reads,writes\n1,1GB,2GB\n2,5,7\n",
        "events.txt": '{"type": "machine_unavailable", "timestamp": 50, "resources": "0"}\n'
        '{"type": "machine_available", "timestamp": 90, "resources": "0"}\n',
        "allowed": "# role name key\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "a.darshan").write_bytes(bytes(range(256)) * 8)
    for words in (
        ["workload", "cut", f"{ROOT}/workloads/io.json", "--first", "25", "-o", "io.json"],
        ["workload", "cut", f"{ROOT}/workloads/io_composed.json", "--first", "15", "-o", "composed.json"],
        ["workload", "convert", "io.json", "--to", "batsim5", "-o", "io5.json"],
        ["check", "platform.xml", "--baseline", "baseline.json", "--update"],
        ["run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "out"],
    ):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "batfs", *words]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=env)
    lines = list(LINES)
    for log in sorted(LOGS.iterdir()):
        for file in [log] if log.is_file() else sorted(log.iterdir()):
            if file.is_file() and file.stat().st_size < 50_000:
                name = f"log-{log.name}-{file.name}"
                shutil.copy(file, folder / name)
                lines.append(("workload", "from-log", f"@{name}", "-o", "x.json"))
    return lines


def damaged(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 3, 20])):
        if not out:
            break
        at, kind = rng.randrange(len(out)), rng.randrange(9)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 80)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randrange(80)]
        elif kind == 3 and rng.random() < 0.3:
            del out[at:]
        elif kind == 4:
            out[at:at] = rng.choice([b"[", b'{"a":', b"<zone>", b"- ", b"("]) * rng.choice([3, 300, 20_000])
        elif kind == 5:  # one number for another
            numbers = list(re.finditer(rb"\d+(\.\d+)?", bytes(out)))
            if numbers:
                found = rng.choice(numbers)
                out[found.start() : found.end()] = rng.choice(WORDS)
        elif kind == 6:  # one line (or member) for another
            parts = re.split(rb"(?<=[\n,>])", bytes(out))
            parts[rng.randrange(len(parts))] = rng.choice(parts)
            out = bytearray(b"".join(parts))
        else:
            out[at : at + rng.randrange(4)] = rng.choice(WORDS)
    return bytes(out)


def odd_words(rng: random.Random, words: list[str]) -> list[str]:
    """A command line nobody should give."""
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, kind = rng.randrange(1, len(words)), rng.randrange(6)
        if kind == 0:
            del words[at]
            if len(words) < 2:
                break
        elif kind == 1:
            words.insert(at, words[rng.randrange(1, len(words))])
        elif kind == 2:
            words[at] = words[at][: rng.randrange(len(words[at]) + 1)] + rng.choice(ODD)
        else:
            words[at] = rng.choice(ODD)
    return words


def one(rng: random.Random, scratch: Path, files: Path, lines: list[Sequence[str]]) -> tuple[str, str]:
    from batfs.cli.main import main

    folder = scratch / "here"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    line = list(rng.choice(lines))
    for file in files.iterdir():  # copies: an odd word may make any of them an output
        if file.name in USUAL or f"@{file.name}" in line or file.name in line or "out" in line:
            shutil.copy(file, folder)
    words, kept = [], []
    for word in line:
        if word.startswith("@"):
            word = word[1:]
            data = damaged(rng, (files / word).read_bytes())
            (folder / word).write_bytes(data)
            kept.append(folder / word)
            if word.startswith("out_") and word != "out_jobs.csv":
                continue  # read because of the others
        words.append(word)
    if rng.random() < 0.35:
        words = odd_words(rng, words)
    ended = Child(lambda: main(words), folder, ["batfs", *words]).end(PATIENCE)
    wrong = ended.wrong()
    if not wrong:
        left = [n for n in os.listdir(folder) if "partial" in n or n.endswith(".lock")]
        if left and words[:1] not in (["run"], ["sim"]):  # whose partial results are worth having
            wrong = f"left behind: {left[:3]}"
    if wrong:
        place = Path("/tmp") / f"hostile-{os.getpid()}-{rng.randrange(10**9)}"
        place.mkdir()
        for file in kept:
            with contextlib.suppress(OSError):
                shutil.copy(file, place)
        told = ended.said.strip().splitlines()
        wrong = f"{json.dumps(words)} with {place}: {wrong}: {told[-1][:300] if told else ''}"
    return str(ended.code), wrong


def warm(files: Path, lines: list[Sequence[str]], folder: Path) -> None:
    """Every line once as it should be, in this process: what it imports is there for all later ones."""
    from batfs.cli.main import main

    shutil.copytree(files, folder)
    with contextlib.chdir(folder), open(os.devnull, "w") as null, contextlib.redirect_stdout(null), \
            contextlib.redirect_stderr(null):  # fmt: skip
        for line in lines:
            with contextlib.suppress(SystemExit):
                main([word.removeprefix("@") for word in line])


def lines(count: int, seed: int, workers: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        files = Path(name) / "files"
        found = corpus(files)
        warm(files, found, Path(name) / "warm")
        return tell(
            "lines",
            count,
            seed,
            cases(count, seed, workers, lambda rng, scratch: one(rng, scratch, files, found)),
        )
