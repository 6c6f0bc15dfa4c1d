"""StorAlloc's configuration files are read by the commands they configure, its client's flags as it does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.storage.storalloc_config import read_config

CONFIGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "storalloc" / "config"
TEXT = """---
orchestrator_addr: 127.0.0.1
allow_retry: {retry}
block_size_gb: {block}
min_block_size_gb: 100
client_port: {port}
server_port: 35020
transport: tcp
sched_strategy: {strategy}
visualisation:
  max_points: 5000
...
"""
SYSTEM = """hosts:
- {hostname: n0, ipv4: 127.0.0.1, network_bw: 12.5, disks: [
    {capacity: 100, read_bandwidth: 3, write_bandwidth: 2},
    {capacity: 300, read_bandwidth: 3, write_bandwidth: 2}]}
"""


def config(
    folder: Path, strategy: str = "worst_fit", retry: str = "False", block: int = 200, port: int = 1
) -> str:
    path = folder / "config.yml"
    path.write_text(TEXT.format(strategy=strategy, retry=retry, block=block, port=port))
    return str(path)


@pytest.mark.skipif(not CONFIGS.is_dir(), reason=f"needs StorAlloc's files in {CONFIGS}")
def test_the_sixteen_files() -> None:
    found = {path.stem: read_config(path) for path in sorted(CONFIGS.glob("*.yml"))}
    assert len(found) == 16
    for name, one in found.items():
        strategy = {"random": "random", "rr": "round_robin"}.get(
            name.rpartition("config_")[2], name.rpartition("config_")[2]
        )
        assert one.policy == f"storalloc_{strategy}"
        assert one.retry == ("retry" in name)
        assert one.block_size == (200 * 10**9 if "200G" in name else 100_000 * 10**9)
        assert one.endpoint == "tcp://127.0.0.1:35010"


def test_a_replay_as_storalloc_was_configured(tmp_path: Path, capsys: Any) -> None:
    """250 GB in blocks of 200 fit on the disks of 100 and 300 in parts only; a flag goes before the file."""
    system, trace = tmp_path / "s.yml", tmp_path / "t.csv"
    system.write_text(SYSTEM)
    trace.write_text("id,start,duration,size\na,0,3600,250GB\n")
    words = ["alloc", "replay", str(system), str(trace), "--json", "-c", config(tmp_path)]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert "storalloc_worst_fit" in json.dumps(found)
    assert main([*words, "--policy", "best_fit", "--block-size", "1TB"]) == 0
    assert "best_fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("worst_fit", "worst_fitt"), "unknown strategy 'worst_fitt'"),
        (("allow_retry", "alow_retry"), "unknown member 'alow_retry'"),
        (("block_size_gb: 200", "block_size_gb: -1"), "block_size_gb: found -1"),
        (("client_port: 1", "client_port: x"), "client_port: found 'x'"),
    ],
)
def test_what_is_wrong_is_named(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    path = Path(config(tmp_path))
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(InputError, match=said):
        read_config(path)


def test_a_service_configured_by_one_file(tmp_path: Path) -> None:
    """All three find each other by the file; 150 GB for an hour lie on the disk of 300."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    file = config(tmp_path, port=port)
    (tmp_path / "s.yml").write_text(SYSTEM)
    program = str(Path(sys.executable).parent / "batfs")
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    started = []

    def start(*words: str) -> None:
        started.append(subprocess.Popen([program, "service", *words], cwd=tmp_path, env=env))

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "service", "client", "-c", file, *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )

    try:
        start("orchestrator", "-c", file)
        start("server", "-c", file, "-s", "s.yml")
        for _ in range(60):
            done = ask("-s", "150", "-t", "1:00:00", "--json")
            if done.returncode == 0:
                break
            time.sleep(0.5)
        assert done.returncode == 0, done.stderr
        reply = json.loads(done.stdout)
        assert reply["size"] == 150 * 10**9
        assert list(reply["connections"]) == ["n0/disk1"] or "disk1" in json.dumps(reply)
        assert ask("-s", "150", "-t", "90m").returncode == 2
        assert "0:00:01" in ask("-s", "150", "-t", "25:00:00").stderr
    finally:
        for process in started:
            process.terminate()
            process.wait(timeout=20)
