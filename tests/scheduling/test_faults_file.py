"""A file of faults that is wrong: one message with file and place, exit code 2, whatever is in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fs_tiny import job, write_inputs

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.scheduling.faults import read_faults

GOOD = """
seed = 4
[[fault]]
at = "2h"
storage = "s0"
state = "degraded"
bandwidth = 0.5
rebuild = "1GB"
lasts = 60
[[fault]]
at = 3
node = ["n0", "n1"]
state = "down"
jobs = "fail"
[[random]]
storage = "s*"
mtbf = "1d"
law = "weibull"
shape = 0.7
repair = "10m"
data = "lost"
jobs = "restart"
"""

WRONG = {
    'at = "2h"': {
        'at = "2 moons"': "fault[0].at: ",
        "at = -1": "fault[0].at: found -1, expected 0 to",
        "at = true": "fault[0].at: found True, expected a number",
        "at = nan": "fault[0].at: ",
        "": "fault[0]: it has no at",
        "att = 2": "fault[0]: unknown key 'att'; known: at, ",
    },
    'storage = "s0"': {
        "": "fault[0]: it says neither storage nor node",
        'storage = "s0"\nnode = "n0"': "fault[0]: it says both storage and node",
        "storage = 7": "fault[0].storage: found 7, expected a name",
        "storage = []": "fault[0].storage: found [], expected a name",
        'node = "n0"': "fault[0].state: a node can't be degraded",
        'storage = "s9"': "fault[0].storage: unknown storage 's9'; known: s0, s1",
    },
    'state = "degraded"': {
        'state = "dwon"': "fault[0].state: unknown state 'dwon'; known: back, degraded, down (did you mean",
        "": "fault[0].state: unknown state ''",
        'state = "down"': "fault[0].bandwidth: it says nothing of what is down",
    },
    "bandwidth = 0.5": {
        "bandwidth = 0": "fault[0].bandwidth: found 0, expected the part that is left",
        "bandwidth = 1.5": "fault[0].bandwidth: found 1.5, expected",
        "": "fault[0].bandwidth: it has no bandwidth",
    },
    'rebuild = "1GB"': {
        'rebuild = "much"': "fault[0].rebuild: ",
        'rebuild_rate = "1MBps"': "fault[0].rebuild_rate: it says how quickly, but not how many bytes",
        'rebuild = "1GB"\nrebuild_rate = "fast"': "fault[0].rebuild_rate: ",
        'rebuild = "1GB"\nrebuild_rate = 0': "fault[0].rebuild_rate: found 0, expected more than 0",
        'rebuild = "1GB"\nrebuild_time = 0': "fault[0].rebuild_time: found 0, expected more than 0",
        'rebuild = "1GB"\nrebuild_time = true': "fault[0].rebuild_time: found True, expected a number",
        'rebuild = "1GB"\nrebuild_time = 9\nrebuild_rate = 9': "fault[0].rebuild_time: it says both",
        'rebuild = "1GB"\nrebuild_tme = 9': "fault[0]: unknown key 'rebuild_tme'; known: at, ",
        'rebuild = "1GB"\nthen = {bandwidth = 0.5}': "fault[0].then: it says nothing of what is degraded",
    },
    'jobs = "fail"': {
        'jobs = "wait"': "fault[1].jobs: jobs can't wait for a node",
        'jobs = "fail"\nthen = {bandwidth = 0.5, lasts = 1}': "fault[1].then: a node can't be degraded",
    },
    'jobs = "restart"': {
        'jobs = "wait"': "random[0].jobs: jobs can't wait for data that are lost",
        'jobs = "restart"\nthen = 5': "random[0].then: found int, expected a table",
        'jobs = "restart"\nthen = {}': "random[0].then.bandwidth: it has no bandwidth",
        'jobs = "restart"\nthen = {bandwidth = 0.5}': "random[0].then: it has no end",
        'jobs = "restart"\nthen = {bandwidth = 1, rebuild = 1, at = 2}': "random[0].then: unknown key 'at'",
    },
    'mtbf = "1d"': {
        "mtbf = 0": "random[0].mtbf: found 0, expected at least 1 s",
        "": "random[0]: it has no mtbf",
    },
    'law = "weibull"': {
        "": "random[0].shape: ",
        'law = "lognormal"': "random[0].law: unknown law 'lognormal'; known: exponential, weibull",
    },
    "shape = 0.7": {"shape = 900": "random[0].shape: found 900, expected 0.05 to 50"},
    "seed = 4": {
        "seed = 4.5": "seed: found 4.5, expected a whole number",
        "sed = 4": "unknown table 'sed'; known: fault, random, seed",
        "seed = ": "malformed TOML",
    },
}


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    storages = {f"s{k}": {"filesystem": "fs"} for k in range(2)}
    platform, workload = write_inputs(tmp_path, 2, storages, [job("a", io_reads=10)])
    return ["-p", str(platform), "-w", str(workload)]


def test_the_good_one_is_good(tmp_path: Path, inputs: list[str]) -> None:
    (tmp_path / "faults.toml").write_text(GOOD)
    faults = ["--faults", str(tmp_path / "faults.toml")]
    assert main(["run", *inputs, *faults, "-e", str(tmp_path / "out"), "-q", "--dynamic-jobs"]) == 0


@pytest.mark.parametrize(
    "old, new, said", [(old, new, said) for old, several in WRONG.items() for new, said in several.items()]
)
def test_wrong_files_say_where(
    tmp_path: Path, inputs: list[str], capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    assert GOOD.count(old) == 1
    file = tmp_path / "faults.toml"
    file.write_text(GOOD.replace(old, new))
    out = tmp_path / "out"
    assert main(["run", *inputs, "--faults", str(file), "-e", str(out), "-q"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.glob("out*"))


def test_random_damage_is_told_or_read(tmp_path: Path) -> None:
    """Bytes changed, lines dropped and doubled, values swapped: read, or an InputError."""
    rng, file = random.Random(5), tmp_path / "faults.toml"
    values = [
        "1e400",
        "-0.0",
        "inf",
        '""',
        "[]",
        "{}",
        "true",
        '"1e99h"',
        "99999999999999999999",
        '"\\u0000"',
    ]
    for _ in range(1500):
        lines = GOOD.splitlines()
        for _ in range(rng.randint(1, 3)):
            k = rng.randrange(len(lines))
            how = rng.random()
            if how < 0.2:
                lines.insert(k, lines[rng.randrange(len(lines))])
            elif how < 0.4:
                lines[k] = ""
            elif "=" in lines[k] and how < 0.8:
                lines[k] = lines[k].partition("=")[0] + "= " + rng.choice(values)
            elif lines[k]:
                at = rng.randrange(len(lines[k]))
                lines[k] = lines[k][:at] + chr(rng.randrange(32, 300)) + lines[k][at + 1 :]
        file.write_text("\n".join(lines), encoding="utf-8")
        told = str(file)
        try:
            read_faults(file)
        except InputError as error:
            told = error.file or ""
        assert told == str(file)
