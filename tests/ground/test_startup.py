"""What a command imports: its start is mostly that, so what a run has no use for must not come in."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from batfs.campaign import reproduce

MAIN = "import sys; from batfs.cli.main import main; code = main(sys.argv[1:])"
LIST = "; print(code, *sorted(sys.modules), file=sys.stderr)"

PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="site" routing="Full">
    <host id="master_host" speed="1Gf"/>
    <host id="node" speed="1Gf"/>
    <host id="disk" speed="0f"><prop id="role" value="storage"/><prop id="size" value="1.5TB"/></host>
    <link id="wire" bandwidth="125MBps" latency="1ms"/>
    <route src="node" dst="disk"><link_ctn id="wire"/></route>
    <route src="master_host" dst="node"><link_ctn id="wire"/></route>
  </zone>
</platform>
"""
WORKLOAD = {
    "nb_res": 1,
    "jobs": [{"id": "1", "subtime": 0, "res": 1, "walltime": 100, "profile": "p"}],
    "profiles": {
        "p": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 10**9, "io_writes": 0}
    },
}
DISKS = """hosts:
- hostname: a
  network_bw: 12.5
  disks:
  - {capacity: 1000, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme0n1}
"""

# packers, exact fractions, tokens and copies of files, dataclasses' makers of other formats, other formats
NEEDLESS = (
    *("bz2", "decimal", "fractions", "gzip", "lzma", "secrets", "shutil", "tempfile", "zlib", "zmq"),
    *("csv", "ctypes.util", "msgspec", "multiprocessing", "pandas", "scipy", "socket", "ssl", "subprocess"),
    *("threading.local", "yaml", "tomllib", "rich", "batsim", "procset"),
    *("batfs._core.plans", "batfs._core.amounts", "batfs.workload.batsim5", "batfs.workload.swf"),
    *("batfs.protocol.v5", "batfs.simulator.v5", "batfs.decision.injector", "batfs.report", "batfs.campaign"),
    *("batfs.service", "orjson", "dataclasses", "inspect", "ast", "datetime", "uuid", "hashlib", "ctypes"),
    # kinds of zones, machines, data sets, policies and files that this run has none of
    *(
        "batfs.platform.dragonfly",
        "batfs.platform.fat_tree",
        "batfs.platform.shortest",
        "batfs.platform.larger",
    ),
    *("batfs.filesystems.overlay", "batfs.filesystems.purge", "batfs.filesystems.set_plans"),
    *("batfs.scheduling.io_needs", "batfs.scheduling.io_times", "batfs.scheduling.timeline"),
    *("batfs.scheduling.io_policies.interface", "batfs.simulator.progress", "batfs.workload.statistics"),
    *("batfs.workload.foreign", "batfs.workload.old_batsim", "batfs.workload.traces"),
    *("batfs.filesystems.composed", "batfs.filesystems.lifecycle", "batfs.workload.phases", "xml"),
)


def imported(*words: str | Path, folder: Path) -> tuple[int, set[str]]:
    """The exit code of ``batfs`` with these words, and the modules that were imported when it ended."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN + LIST, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    code, *names = done.stderr.splitlines()[-1].split()
    return int(code), set(names)


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_help_and_version_come_without_numpy(word: str, tmp_path: Path) -> None:
    code, names = imported(word, folder=tmp_path)
    ours = {name for name in names if name.partition(".")[0] == "batfs"}
    assert code == 0
    assert ours == {"batfs", "batfs.cli", "batfs.cli.main", "batfs.errors", "batfs.process"}
    assert not names & {"numpy", "orjson", "msgspec", "pathlib", "random", "asyncio", "zmq"}


def test_the_help_of_run_comes_without_numpy(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            f"import atexit; atexit.register(lambda: print('numpy' in sys.modules)); {MAIN}",
            *("run", "--help"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.startswith("usage: batfs run")
    assert done.stdout.endswith("False\n")


def test_a_run_imports_only_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "p.xml").write_text(PLATFORM)
    (tmp_path / "w.json").write_text(json.dumps(WORKLOAD))
    words = ("run", "-p", "p.xml", "-w", "w.json", "--policy", "random", "-e", "out/x", "-q")
    code, names = imported(*words, folder=tmp_path)
    assert code == 0
    assert (tmp_path / "out" / "x_jobs.csv").is_file()
    assert sorted(name for name in NEEDLESS if name in names) == []


def test_a_run_without_bytes_on_storages_comes_without_numpy(tmp_path: Path) -> None:
    """Not even where jobs exchange whole matrices and the machine is seen to be what the workload needs."""
    profiles = {"p": {"type": "parallel", "cpu": [1e9], "com": [0]}}
    (tmp_path / "p.xml").write_text(PLATFORM)
    (tmp_path / "w.json").write_text(json.dumps({**WORKLOAD, "profiles": profiles}))
    code, names = imported("run", "-p", "p.xml", "-w", "w.json", "-e", "out/x", "-q", folder=tmp_path)
    assert code == 0
    assert "numpy" not in names


TABLES = {"pandas", "pyarrow", "scipy", "matplotlib"}
"""Hundreds of milliseconds, for what makes tables and figures."""


@pytest.mark.parametrize(
    "line",
    [
        *("list policies", "explain -p p.xml -w w.json", "check p.xml", "platform show p.xml"),
        *("workload describe w.json", "workload check w.json", "alloc sweep s.yml t.csv -j 1"),
    ],
)
def test_a_command_without_tables_comes_without_pandas(line: str, tmp_path: Path) -> None:
    (tmp_path / "p.xml").write_text(PLATFORM)
    (tmp_path / "w.json").write_text(json.dumps(WORKLOAD))
    (tmp_path / "s.yml").write_text(DISKS)
    (tmp_path / "t.csv").write_text("id,start,end,size\n1,0,100,5GB\n")
    code, names = imported(*line.split(), folder=tmp_path)
    assert code == (line.startswith("check"))  # it finds a route missing
    assert not names & TABLES


def test_an_experiment_again_comes_without_pandas(tmp_path: Path) -> None:
    """Only intervals over several workloads are statistics: those of kopanski2021's parts."""
    folder = Path(reproduce.__file__).parent
    modules = [f"batfs.campaign.reproduce.{file.stem}" for file in folder.glob("[a-z]*.py")]
    modules.remove("batfs.campaign.reproduce.over_parts")
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & TABLES


INTERRUPTED = """
import os, signal, sys

at = sys.argv.pop(1)

class At:
    def find_spec(self, name, *_):
        if name == at:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, At())
from batfs.cli.programs import {program}
{program}()
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        *itertools.product(("batfs", "sched", "proxy"), ("batfs.process", "batfs.errors", "batfs.parsing")),
        ("batfs", "batfs.cli.main"),
    ],
)
def test_ctrl_c_while_a_program_comes_up_is_no_story(program: str, module: str, tmp_path: Path) -> None:
    """In the midst of its first imports, which nothing guards: it ends as the system ends a process, or with
    the sentence; never with a traceback."""
    code = INTERRUPTED.format(program=program)
    done = subprocess.run(
        [sys.executable, "-c", code, module, *(["list", "policies"] if program == "batfs" else ["--help"])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (-2, 130)
