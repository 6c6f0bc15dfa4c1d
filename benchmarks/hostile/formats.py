"""A file of every format that batfs reads, and the command lines over them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
MDTEST = """-- started at 11/01/2026 12:00:00 --

mdtest-3.4.0+dev was launched with 8 total task(s) on 2 node(s)
Command line used: mdtest '-n' '100' '-d' '/scratch'
8 tasks, 800 files

SUMMARY rate: (of 1 iterations)
   Operation                      Max            Min           Mean        Std Dev
   ---------                      ---            ---           ----        -------
   File creation             :       4012.3       4012.3       4012.3          0.0
   File stat                 :      20123.0      20123.0      20123.0          0.0
   File removal              :       3999.9       3999.9       3999.9          0.0
-- finished at 11/01/2026 12:00:09 --
"""
IO500 = """[Summary]
[RESULT]       ior-easy-write        8.012345 GiB/s : time 300.1 seconds
[RESULT]    mdtest-easy-write       91.234567 kIOPS : time 310.0 seconds
[RESULT]       ior-hard-write        0.501234 GiB/s : time 330.4 seconds
[RESULT]        ior-easy-read        6.012345 GiB/s : time 290.2 seconds
[RESULT]        ior-hard-read        2.012345 GiB/s : time 120.9 seconds
[SCORE ] Bandwidth 2.8 GiB/s : IOPS 52.1 kiops : TOTAL 12.1
"""
SUBMISSIONS = """submission,nodes,tasks,tasks_per_node,easy_transfer,\
ior-easy-write,ior-hard-write,ior-easy-read,ior-hard-read
a/one/lustre/1/x,4,8,2,2 MiB,8.0,0.5,6.0,2.0
b/two/gpfs/1/x,8,16,2,1 MiB,18.0,0.7,16.0,3.0
c/three/daos/1/x,2,8,4,16 MiB,3.0,2.5,6.0,2.0
""".replace("\\\n", "")
SCRIPT = """#!/bin/bash
#SBATCH -J solve
#DW jobdw type=scratch capacity=2TB access_mode=striped
#DW stage_in type=directory source=/lus/in destination=$DW_JOB_STRIPED/in
#BB create_persistent name=data capacity=10GiB access_mode=striped type=scratch
srun ./a
"""
JOBS = """JobID|JobName|State|Submit|Start|End|ElapsedRaw|NNodes|TimelimitRaw
101|solve|COMPLETED|2024-01-01T00:00:00|2024-01-01T00:01:00|2024-01-01T00:11:00|600|4|60
102|other|FAILED|2024-01-01T00:00:05|2024-01-01T00:02:00|2024-01-01T00:03:00|60|1|60
"""
PLUGIN = """class Mine:
    name = "mine"

    def choose(self, view, request, rng):
        from batfs.ext import Share

        return (Share(0, request.size),)
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
    ("run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "r", "--faults", "@faults.toml", "--protocol",
     "5"),
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
    ("calibrate", "@ior-1.txt", "ior-2.txt", "ior-3.txt", "-o", "cal.toml", "--platform-out", "x.xml"),
    ("calibrate", "ior-1.txt", "ior-2.txt", "ior-3.txt", "@ior-old.txt", "--json"),
    ("calibrate", "ior-1.txt", "ior-2.txt", "ior-3.txt", "@mdtest.txt", "-o", "cal.toml"),
    ("calibrate", "ior-1.txt", "ior-2.txt", "@result_summary.txt", "--nodes", "4", "-o", "cal.toml"),
    ("calibrate", "@trace.yml", "--json"),
    ("run", "-p", "taurus.xml", "-w", "workload.json", "-q", "-e", "r", "--config", "@calibrated.toml"),
    ("reproduce", "io500", "@submissions.csv"),
    ("platform", "new", "--from-io500", "one", "--io500", "@submissions.csv", "-o", "x.xml"),
    ("reproduce", "theta", "@trace.yml", "--json"),
    ("size", "lustre=10TB,40TB", "-p", "taurus.xml", "-w", "@workload.json", "--seeds", "1", "-j", "1", "-o",
     "z", "--target", "wait<1h", "--formats", "none"),
    ("gallery", "-p", "@platform.xml", "-w", "workload.json", "--model", "pfs", "-o", "g"),
    ("workload", "from-log", "jobs.txt", "--scripts", "scripts", "@scripts/job.101.sh", "-o", "x.json"),
    ("workload", "from-log", "@jobs.txt", "--scripts", "scripts", "--anonymise", "-o", "x.json"),
    ("workload", "from-log", "-", "-o", "x.json", "--io", "lognormal", "@jobs.txt"),
    ("workload", "from-darshan", "--jobs", "@jobs.txt", "--zone", "Europe/Paris", "-o", "x.json"),
    ("run", "-p", "platform.xml", "-w", "workload.json", "-q", "-e", "r", "--policy", "@mine.py:Mine"),
    ("run", "-p", "taurus.xml", "-w", "@io.json", "-q", "-e", "r", "--io-policy", "fcfs"),
    ("new", "policy", "emptiest"),
    ("list", "policies"),
    ("help", "run"),
    ("completion", "bash"),
    ("alloc", "policies"),
    ("service", "request", "10GB", "--for", "1h", "--connect", "tcp://127.0.0.1:9", "--timeout", "0.05s"),
    ("service", "list", "-c", "@config.yml", "--timeout", "0.05s"),
    ("service", "status", "--connect", "tcp://127.0.0.1:9", "--timeout", "0.05s", "--json"),
    ("service", "orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", "@l.db", "--log", "l"),
    ("service", "orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", "n.db", "--allow", "@allowed",
     "--key", "keys/main.key_secret"),
    ("service", "orchestrator", "--bind", "tcp://127.0.0.1:*", "-c", "@config.yml", "--ledger", "n.db"),
    ("service", "server", "--system", "@system.yml", "--connect", "tcp://127.0.0.1:9", "--log", "l"),
    ("service", "server", "--system", "@system.yml", "--connect", "tcp://127.0.0.1:9", "--log", "l",
     "--backend", "directory", "--root", "held", "--host", "h1"),
    ("service", "server", "--system", "system.yml", "--connect", "tcp://127.0.0.1:9", "--log", "l",
     "--journal", "@journal"),
    ("service", "keys", "keys", "--name", "main"),
)  # fmt: skip


#: Lines whose commands wait for others: they are told to end after a moment.
SERVING = (("service", "orchestrator"), ("service", "server"), ("service", "page"), ("service", "client"),
           ("service", "watch"), ("service", "demo"), ("service", "replay"), ("sim",))  # fmt: skip
#: Files that may be read although no word of the line names them.
USUAL = ("platform.xml", "workload.json", "io.json", "trace.yml", "requests.csv")
LOGS = ROOT / "tests" / "workload" / "joblogs"
OUTPUTS = ROOT / "tests" / "campaign" / "outputs"


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
        "ior-old.txt": (OUTPUTS / "ior-3.txt").read_text(),
        "mdtest.txt": MDTEST,
        "result_summary.txt": IO500,
        "submissions.csv": SUBMISSIONS,
        "jobs.txt": JOBS,
        "mine.py": PLUGIN,
        "journal": "",
    }
    modern = (OUTPUTS / "ior-4.txt").read_text()
    for number, (nodes, order, size, one, two) in enumerate(
        [
            (1, "sequential", "1 MiB", 512, 700),
            (2, "random", "64 KiB", 300, 420),
            (4, "sequential", "4 KiB", 99, 97),
        ]
    ):
        own = "file-per-process" if number % 2 else "single-shared-file"
        rates = (("write", one), ("read", two))
        texts[f"ior-{number + 1}.txt"] = modern.format(
            size=size,
            block="1 GiB",
            access=own,
            segments=1,
            order=order,
            nodes=nodes,
            tasks=4 * nodes,
            each=4,
            rows="\n".join(f"{way} {rate} 1 0.1 1048576 1 0.1 1 0.1 1 0" for way, rate in rates),
        )
    (folder / "scripts").mkdir()
    (folder / "scripts" / "job.101.sh").write_text(SCRIPT)
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "a.darshan").write_bytes(bytes(range(256)) * 8)
    for words in (
        ["workload", "cut", f"{ROOT}/workloads/io.json", "--first", "25", "-o", "io.json"],
        ["workload", "cut", f"{ROOT}/workloads/io_composed.json", "--first", "15", "-o", "composed.json"],
        ["workload", "convert", "io.json", "--to", "batsim5", "-o", "io5.json"],
        ["check", "platform.xml", "--baseline", "baseline.json", "--update"],
        ["run", "-p", "taurus.xml", "-w", "io.json", "-q", "-e", "out"],
        ["calibrate", "ior-1.txt", "ior-2.txt", "ior-3.txt", "-o", "calibrated.toml"],
        ["service", "keys", "keys", "--name", "main"],
        ["service", "orchestrator", "--bind", "tcp://127.0.0.1:*", "--ledger", "l.db"],
    ):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "batfs", *words]
        if words[:2] == ["service", "orchestrator"]:
            with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  env=env) as serving:  # fmt: skip
                assert serving.stdout is not None
                serving.stdout.readline()
                serving.terminate()
        else:
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=env)
    lines = list(LINES)
    for log in sorted(LOGS.iterdir()):
        for file in [log] if log.is_file() else sorted(log.iterdir()):
            if file.is_file() and file.stat().st_size < 50_000:
                name = f"log-{log.name}-{file.name}"
                shutil.copy(file, folder / name)
                lines.append(("workload", "from-log", f"@{name}", "-o", "x.json"))
    return lines
