"""``batfs run`` from the outside: tables, JSON, reruns to the byte, and every kind of bad input."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batfs.cli.main import main

ROOT = Path(__file__).parents[2]

PLATFORM = """<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <zone id="site" routing="Full">
    <host id="master_host" speed="1Gf"/>
    <host id="n0" speed="1Gf"/>
    <host id="n1" speed="1Gf"/>
    <host id="pfs" speed="0f">
      <prop id="role" value="storage"/><prop id="size" value="10GB"/><prop id="filesystem" value="pfs"/>
    </host>
    <link id="l0" bandwidth="1GBps" latency="10us"/>
    <link id="l1" bandwidth="1GBps" latency="10us"/>
    <route src="master_host" dst="n0"><link_ctn id="l0"/></route>
    <route src="master_host" dst="n1"><link_ctn id="l1"/></route>
    <route src="master_host" dst="pfs"><link_ctn id="l1"/></route>
    <route src="n0" dst="n1"><link_ctn id="l0"/><link_ctn id="l1"/></route>
    <route src="n0" dst="pfs"><link_ctn id="l0"/></route>
    <route src="n1" dst="pfs"><link_ctn id="l1"/></route>
  </zone>
</platform>
"""
WORKLOAD = """{"nb_res": 2, "jobs": [
{"id": "a", "subtime": 0, "res": 2, "profile": "io", "walltime": 100},
{"id": "b", "subtime": 1, "res": 1, "profile": "io", "walltime": 100},
{"id": "c", "subtime": 1.5, "res": 1, "profile": "more", "walltime": 100},
{"id": "d", "subtime": 2, "res": 1, "profile": "huge"}],
"profiles": {
"io": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_reads": 3e9, "io_writes": 1e9},
"more": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_writes": 7e9},
"huge": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0, "io_writes": 11e9}}}
"""


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    (tmp_path / "p.xml").write_text(PLATFORM)
    (tmp_path / "w.json").write_text(WORKLOAD)
    return tmp_path


def run(folder: Path, *more: str, out: str = "out/x") -> int:
    files = ["-p", str(folder / "p.xml"), "-w", str(folder / "w.json"), "-e", str(folder / out)]
    return main(["run", *files, *more])


def test_the_table_and_the_files(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(inputs, "--policy", "random", "--validate") == 0
    said = capsys.readouterr()
    assert "jobs      4: 3 succeeded, 1 rejected" in said.out
    assert f"  {inputs}/out/x_io_jobs.csv" in said.out
    # d wants 11 GB of a file system of 10
    why = "can never start: StorageCapacity: 1000000000 bytes missing on pfs, for ever"
    assert f"rejected:\n  w0!d  {why}\n" in said.out
    rows = [line for line in said.out.splitlines() if line.startswith(("file system", "pfs"))]
    assert len({len(line) for line in rows}) == 1, "columns line up"
    with open(inputs / "out/x_io_jobs.csv", newline="") as stream:
        io = {row["job_id"]: row for row in csv.DictReader(stream)}
    assert [(io[k]["read_bytes"], io[k]["written_bytes"]) for k in "abcd"] == [
        ("3000000000", "1000000000"),
        ("3000000000", "1000000000"),
        ("0", "7000000000"),
        ("0", "0"),
    ]
    # c wants 7 GB of 10 while b holds 4: it waits for bytes alone, and says so
    assert float(io["c"]["storage_waiting_time"]) > 0
    assert io["c"]["hold_reason"] == "StorageCapacity: 1000000000 bytes missing on pfs"
    assert io["d"]["hold_reason"].startswith("can never start: StorageCapacity: ")
    with open(inputs / "out/x_jobs.csv", newline="") as stream:
        jobs = {row["job_id"]: row for row in csv.DictReader(stream)}
    assert jobs["d"]["final_state"] == "REJECTED"
    assert jobs["d"]["metadata"] == io["d"]["hold_reason"]
    with open(inputs / "out/x_storage_states.csv", newline="") as stream:
        states = list(csv.DictReader(stream))
    assert all(0 <= int(s["used_bytes"]) <= int(s["reserved_bytes"]) <= int(s["capacity"]) for s in states)
    assert states[-1]["reserved_bytes"] == "0"
    times = [float(s["time"]) for s in states]
    assert times == sorted(times)


def test_json(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(inputs, "--json", "--queue", "easy", "--seed", "5") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["queue"] == "easy"
    assert document["seed"] == 5
    assert document["states"] == {"COMPLETED_SUCCESSFULLY": 3, "REJECTED": 1}
    assert document["file_systems"]["pfs"]["read_bytes"] == 6_000_000_000
    [refused] = document["rejections"]
    assert refused["job"] == "w0!d"
    assert refused["reason"].startswith("can never start: ")
    assert len(document["files"]) == 7
    assert all(Path(path).is_file() for path in document["files"])


def test_again_is_the_same_to_the_byte(inputs: Path) -> None:
    for out in ("one/x", "two/x"):
        assert run(inputs, "--policy", "random", "--seed", "9", "-q", out=out) == 0
    names = sorted(path.name for path in (inputs / "one").iterdir())
    assert len(names) == 7
    for name in names:
        one, two = (inputs / "one" / name).read_bytes(), (inputs / "two" / name).read_bytes()
        if name == "x_provenance.json":
            first, second = json.loads(one), json.loads(two)
            for document in (first, second):
                del document["environment"], document["command"]
            assert first == second
        elif name == "x_schedule.csv":
            first_rows, second_rows = [list(csv.DictReader(t.decode().splitlines())) for t in (one, two)]
            for row in first_rows + second_rows:
                del row["scheduling_time"], row["simulation_time"]
            assert first_rows == second_rows
        else:
            assert one == two, name


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


BOMB = """<?xml version='1.0'?>
<!DOCTYPE platform [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<platform version="4.1"><zone id="&b;" routing="Full"/></platform>
"""

# (file, what is replaced, by what, what must be said)
BAD = {
    "malformed JSON": ("w.json", '"nb_res": 2,', '"nb_res": 2,,', ["w.json", "line 1"]),
    "malformed XML": ("p.xml", "</zone>", "</zon>", ["p.xml", "line "]),
    "unknown profile": (
        "w.json",
        '"profile": "more"',
        '"profile": "mroe"',
        ["jobs[2].profile", "'mroe'", "'more'"],
    ),
    "wrong matrix": (
        "w.json",
        '"more": {"type": "parallel_homogeneous", "cpu": 1e9, "com": 0,',
        '"more": {"type": "parallel", "cpu": [1e9], "com": [0, 0],',
        ["profiles.more"],
    ),
    "negative number": ("w.json", '"cpu": 1e9', '"cpu": -1e9', ["profiles.io.cpu"]),
    "not finite": ("w.json", "11e9", "1e999", ["w.json", "line 9"]),
    "negative bytes": ("w.json", "11e9", "-11e9", ["profiles.huge.io_writes"]),
    "unknown unit": ("p.xml", "1GBps", "1GXps", ["p.xml", "line", "'GXps'"]),
    "no route": (
        "p.xml",
        '<route src="n0" dst="pfs"><link_ctn id="l0"/></route>',
        "",
        ["p.xml", "route", "pfs"],
    ),
    "no size": ("p.xml", '<prop id="size" value="10GB"/>', "", ["p.xml", "'pfs' has no size"]),
    "no such size": ("p.xml", "10GB", "10GX", ["p.xml", "'GX'"]),
    "duplicate job": ("w.json", '"id": "b"', '"id": "a"', ["jobs[1].id", "a"]),
    "duplicate host": ("p.xml", '<host id="n1"', '<host id="n0"', ["p.xml", "line", "'n0'"]),
    "unknown file system": (
        "w.json",
        '"io_writes": 7e9',
        '"io": [{"filesystem": "psf", "writes": 7e9}]',
        ["w.json", "profiles.more", "unknown file system 'psf'", "'pfs'"],
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(kind: str, inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, old, new, said = BAD[kind]
    replace(inputs / file, old, new)
    _refused(inputs, capsys, said)


def _refused(inputs: Path, capsys: pytest.CaptureFixture[str], said: list[str], *flags: str) -> None:
    (inputs / "out").mkdir(exist_ok=True)
    (inputs / "out/x_jobs.csv").write_text("from before")
    assert run(inputs, *flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("batfs run: ")
    for words in said:
        assert words in error
    assert (inputs / "out/x_jobs.csv").read_text() == "from before"
    assert [path.name for path in (inputs / "out").iterdir()] == ["x_jobs.csv"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--policy", "randm"], ["unknown allocation policy 'randm'", "known: ", "did you mean 'random'?"]),
        (["--queue", "fcsf"], ["unknown queue policy 'fcsf'", "known: ", "did you mean 'fcfs'?"]),
        (["--queue", "easy:dpeth=3"], ["no option 'dpeth'", "did you mean 'depth'?"]),
        (["--queue", "pybatsim:schedFcsf"], ["unknown pybatsim scheduler 'schedFcsf'", "'schedFcfs'"]),
        (["--filesystem", "pfz"], ["'pfz'", "known: ", "'pfs'"]),
        (["--filesystem", "lustre=pfs"], ["unknown file system 'lustre'"]),
        (["--default-filesystem", "nfs"], ["unknown file system 'nfs'"]),
        (["--node-selection", "best"], ["unknown node selection 'best'", "lowest"]),
        (["--config", "/no/such.toml"], ["/no/such.toml: cannot read"]),
        (["--mmax", "7"], ["7"]),
        (["-m", "boss"], ["boss"]),
        (["-w", "/no/such.json"], ["/no/such.json"]),
        (["--batsim-bin", "x"], ["--engine batsim"]),
    ],
)
def test_bad_flags(
    flags: list[str], said: list[str], inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _refused(inputs, capsys, said, *flags)


def test_entity_bomb(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "p.xml").write_text(BOMB)
    _refused(inputs, capsys, ["p.xml"])


def test_a_configuration_with_a_slip(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "c.toml").write_text('polcy = "random"\n')
    _refused(
        inputs, capsys, ["c.toml", "'polcy'", "did you mean 'policy'?"], "--config", str(inputs / "c.toml")
    )
    (inputs / "c.toml").write_text('policy = "random\n')
    _refused(inputs, capsys, ["c.toml", "malformed TOML", "line 1"], "--config", str(inputs / "c.toml"))
    (inputs / "c.toml").write_text("seed = true\n")
    _refused(inputs, capsys, ["c.toml", "seed", "whole number"], "--config", str(inputs / "c.toml"))


def test_a_place_that_can_not_be_written(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "file").write_text("")
    assert run(inputs, out="file/x") == 2
    assert "file" in capsys.readouterr().err
    assert run(inputs, out="../../../../../../../../proc/x") == 2
    assert "/proc" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle(number: signal.Signals, inputs: Path) -> None:
    """Ends soon; what there was is kept, what is incomplete is marked."""
    jobs = ", ".join(f'{{"id": "{k}", "subtime": {k}, "res": 1, "profile": "io"}}' for k in range(60_000))
    text = WORKLOAD.split('"profiles"')[1]
    (inputs / "w.json").write_text(f'{{"nb_res": 2, "jobs": [{jobs}], "profiles"{text}')
    (inputs / "out").mkdir()
    (inputs / "out/x_jobs.csv").write_text("from before")
    command = [
        sys.executable,
        "-m",
        "batfs",
        "run",
        "-p",
        str(inputs / "p.xml"),
        "-w",
        str(inputs / "w.json"),
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    # a suite that a shell has put in the background ignores SIGINT, and so would its children
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "-e", str(inputs / "out/x")], stderr=subprocess.PIPE, text=True, env=env
    )
    signal.signal(signal.SIGINT, before)
    until = time.monotonic() + 60
    partial = inputs / "out/x_jobs.csv.partial"
    while not partial.exists() or not partial.stat().st_size:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert (inputs / "out/x_jobs.csv").read_text() == "from before"
    names = sorted(path.name for path in (inputs / "out").iterdir())
    assert [name for name in names if not name.endswith(".partial")] == ["x_jobs.csv"]
    assert "x_io_jobs.csv.partial" in names


def test_the_configuration_gives_a_size_and_a_model(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(inputs / "p.xml", '<prop id="size" value="10GB"/>', "")
    (inputs / "c.toml").write_text(
        'queue = "easy:depth=5"\n[filesystems.pfs]\nmodel = "pfs"\npolicy = "first_fit"\n'
        '[storages.pfs]\nsize = "20GB"\n'
    )
    assert run(inputs, "--config", str(inputs / "c.toml"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file_systems"]["pfs"]["capacity"] == 20 * 10**9
    assert document["states"] == {"COMPLETED_SUCCESSFULLY": 4}
    provenance = json.loads((inputs / "out/x_provenance.json").read_text())
    assert provenance["configuration"]["queue"] == "easy:depth=5"
    # the same through Batsim's --sched-cfg, over the file
    flags = ["--config", str(inputs / "c.toml"), "--sched-cfg", '{"storages": {"pfs": {"size": "12GB"}}}']
    assert run(inputs, *flags, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file_systems"]["pfs"]["capacity"] == 12 * 10**9
    (inputs / "c.toml").write_text('[storages.psf]\nsize = "20GB"\n')
    assert run(inputs, "--config", str(inputs / "c.toml")) == 2
    assert "unknown storage 'psf'; known: pfs (did you mean 'pfs'?)" in capsys.readouterr().err


def test_a_machine_without_storage(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace(inputs / "p.xml", '<prop id="role" value="storage"/>', "")
    replace(inputs / "p.xml", '<host id="pfs" speed="0f">', '<host id="pfs" speed="1Gf">')
    assert run(inputs) == 2
    assert "profiles.io: asks for I/O, but the platform has no storage" in capsys.readouterr().err
    text = (inputs / "w.json").read_text()
    for words in (', "io_reads": 3e9, "io_writes": 1e9', ', "io_writes": 7e9', ', "io_writes": 11e9'):
        assert words in text
        text = text.replace(words, "")
    (inputs / "w.json").write_text(text)
    assert run(inputs, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["states"] == {"COMPLETED_SUCCESSFULLY": 4}
    assert document["file_systems"] == {}


def test_of_many_rejections_the_first_are_listed(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve jobs that ask for three nodes of two: ten lines, and how many more there are. Each is refused
    when it is submitted, though the first job holds both nodes until long after."""
    workload = json.loads((inputs / "w.json").read_text())
    many = [{"id": f"x{k:02}", "subtime": k, "res": 3, "profile": "io"} for k in range(11)]
    many.append({"id": "y", "subtime": 20, "res": 1, "profile": "huge"})
    workload["jobs"] = [{"id": "a", "subtime": 0, "res": 2, "profile": "long"}, *many]
    workload["profiles"]["long"] = {"type": "delay", "delay": 1000}
    (inputs / "w.json").write_text(json.dumps(workload))
    assert run(inputs) == 0
    said = capsys.readouterr().out
    assert said.count("asks for 3 nodes; jobs can have 2") == 10
    assert "  ... and 2 more (--json has all)" in said
    with open(inputs / "out/x_jobs.csv", newline="") as stream:
        states = [(row["job_id"], row["final_state"]) for row in csv.DictReader(stream)]
    assert states[-1] == (
        "a",
        "COMPLETED_SUCCESSFULLY",
    )  # the last row: the others were refused before it ended
    assert len(states) == 13
