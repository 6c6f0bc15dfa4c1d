"""Inputs without an end, without a beginning, or larger than they look: one sentence, and no memory."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from batfs import texts
from batfs.errors import InputError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
PLATFORM = f"{ROOT}/platforms/io_example.xml"
WORKLOAD = f"{ROOT}/workloads/io_example.json"
# every kind of file that a command reads, "@" in its place
READS = (
    ["run", "-p", "@", "-w", WORKLOAD, "-q"],
    ["run", "-p", PLATFORM, "-w", "@", "-q"],
    ["run", "-p", PLATFORM, "-w", WORKLOAD, "-q", "--config", "@"],
    ["run", "-p", PLATFORM, "-w", WORKLOAD, "-q", "--events", "@"],
    ["run", "-p", PLATFORM, "-w", WORKLOAD, "-q", "--sched-cfg-file", "@"],
    ["sim", "-p", "@", "-w", WORKLOAD, "-q", "--no-sched"],
    ["sim", "-p", PLATFORM, "-w", "@", "-q", "--no-sched"],
    ["sim", "--protocol", "5", "-p", PLATFORM, "-w", WORKLOAD, "-S", "tcp://127.0.0.1:1", "@"],
    ["check", "@"],
    ["check", PLATFORM, "--baseline", "@"],
    ["compare", "--config", "@", "-o", "c"],
    ["compare", "-p", PLATFORM, "-w", "@", "--policy", "random", "-o", "c", "--no-report"],
    ["explain", "-p", PLATFORM, "-w", "@"],
    ["platform", "show", "@"],
    ["platform", "new", "@"],
    ["platform", "convert", "@"],
    ["platform", "diff", PLATFORM, "@"],
    ["platform", "from-storalloc", "@"],
    ["workload", "check", "@"],
    ["workload", "describe", "@"],
    ["workload", "cut", "@", "--first", "3"],
    ["workload", "convert", "@", "--to", "batsim5"],
    ["workload", "from-swf", "@"],
    ["workload", "from-log", "@"],
    ["workload", "from-storalloc", "@"],
    ["workload", "from-wfcommons", "@"],
    ["workload", "from-darshan", "@"],
    ["alloc", "replay", "@", "requests.csv"],
    ["alloc", "replay", "system.yml", "@"],
    ["service", "keys", "keys", "--name", "a", "--role", "client", "--allow", "@"],
    ["service", "server", "--system", "@"],
    ["service", "server", "--system", "system.yml", "--connect", "tcp://127.0.0.1:9", "--journal", "@"],
    ["reproduce", "io500", "@"],
    ["service", "orchestrator", "--key", "@", "--allow", "@"],
    ["report", "@"],
)
SYSTEM = """hosts:
- hostname: h
  network_bw: 1
  disks: [{vendor: v, model: m, serial: s, capacity: 8000, read_bandwidth: 1, write_bandwidth: 1}]
"""


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))


def run(folder: Path, words: list[str], what: str, **how: object) -> subprocess.CompletedProcess[str]:
    (folder / "requests.csv").write_text("id,start,duration,size\na,0,100,1GB\n")
    (folder / "system.yml").write_text(SYSTEM)
    return subprocess.run(
        [sys.executable, "-m", "batfs", *(what if word == "@" else word for word in words)],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=60,
        preexec_fn=little_memory, **how,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


@pytest.mark.parametrize("words", READS, ids=[" ".join(w)[-50:] for w in READS])
def test_a_device_without_an_end(tmp_path: Path, words: list[str]) -> None:
    done = run(tmp_path, words, "/dev/zero")
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "memory" not in done.stderr


def test_a_pipe_that_nobody_writes_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "PATIENCE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe that nobody writes into"):
        texts.read_bytes(tmp_path / "pipe")
    # one that is opened and closed is an empty file
    thread = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b""))
    thread.start()
    monkeypatch.setattr(texts, "PATIENCE", 5.0)
    assert texts.read_bytes(tmp_path / "pipe") == b""
    thread.join()


def test_a_pipe_is_read_to_its_end_however_slowly_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has opened it may take his time: the patience is only for somebody to come."""
    monkeypatch.setattr(texts, "PATIENCE", 2.0)
    os.mkfifo(tmp_path / "pipe")
    words = "exec > pipe; printf 'one '; sleep 0.3; printf 'two'; sleep 3; printf ' three'"
    with subprocess.Popen(["bash", "-c", words], cwd=tmp_path) as writer:
        assert texts.read_bytes(tmp_path / "pipe") == b"one two three"
    assert writer.returncode == 0


def test_what_comes_out_of_a_pipe_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MOST_PIPED", 10**6)
    os.mkfifo(tmp_path / "pipe")
    with (
        subprocess.Popen(["bash", "-c", "yes > pipe"], cwd=tmp_path, stderr=subprocess.DEVNULL),
        pytest.raises(InputError, match="no end to be seen: 1000000 bytes were read"),
    ):
        texts.read_bytes(tmp_path / "pipe")


def test_a_workload_from_a_pipe_runs(tmp_path: Path) -> None:
    """... as ``<(generator)`` of a shell; the record of the run says that there was no file to hash."""
    words = f"{sys.executable} -m batfs run -p {PLATFORM} -w <(sleep 0.5; cat {WORKLOAD}) -q -e r"
    done = subprocess.run(["bash", "-c", words], cwd=tmp_path, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0
    inputs = json.loads((tmp_path / "r_provenance.json").read_text())["inputs"]
    assert [entry["sha256"] is None for entry in inputs.values()] == [False, True]


def test_files_that_are_larger_than_any_input(tmp_path: Path) -> None:
    """Sparse ones: a terabyte that takes no room on the disk."""
    with open(tmp_path / "large", "wb") as stream:
        stream.truncate(10**12)
    names = [
        "run -p",
        "check",
        "workload check",
        "workload from",
        "alloc replay",
        "service server",
        "platform show",
    ]
    chosen = [words for words in READS if any(" ".join(words).startswith(name) for name in names)]
    assert len(chosen) > 12
    for words in chosen:
        done = run(tmp_path, words, "large")
        assert done.returncode == 2
        assert "1000000000000 bytes" in done.stdout + done.stderr


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed_files_that_swell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: object) -> None:
    """Also one in several streams, one packed again and again, and one without its end."""
    assert callable(pack)
    monkeypatch.setattr(texts, "MOST", 10**6)
    (tmp_path / "file").write_bytes(pack(bytes(10**6 + 1)))
    with pytest.raises(InputError, match="unpacks to more than 1000000 bytes"):
        texts.read_unpacked(tmp_path / "file")
    (tmp_path / "file").write_bytes(pack(b"a" * 600_000) + pack(b"b" * 600_000))
    with pytest.raises(InputError, match="unpacks to more than"):
        texts.read_unpacked(tmp_path / "file")
    (tmp_path / "file").write_bytes(pack(b"a" * 1000) + pack(b"b" * 1000))
    assert texts.read_unpacked(tmp_path / "file") == b"a" * 1000 + b"b" * 1000
    data = b"text"
    for _ in range(20):
        data = pack(data)
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InputError, match="packed more than 8 times"):
        texts.read_unpacked(tmp_path / "file")
    (tmp_path / "file").write_bytes(pack(b"a" * 1000)[:-3])
    with pytest.raises(InputError, match="damaged"):
        texts.read_unpacked(tmp_path / "file")


def test_sentences_are_short_and_harmless(tmp_path: Path) -> None:
    """What is quoted may be a megabyte, or move the cursor."""
    (tmp_path / "w.json").write_text(json.dumps({"nb_res": 1, "jobs": [], "profiles": {"x" * 10**6: {}}}))
    done = run(tmp_path, ["workload", "check", "@"], "w.json")
    assert done.returncode == 2
    assert len(done.stderr) < 4000
    for words in (["run", "\x1b[31m\x1b]0;title\x07"], ["\x1b[2J"], ["run", "-p", "\x1b[2J", "-w", WORKLOAD]):
        done = run(tmp_path, words, "")
        assert done.returncode == 2
        assert "\x1b" not in done.stderr
