"""Measurements to parameters: planted numbers are found, intervals cover, studies draw from them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import batfs
from batfs.campaign.calibration.file import read_calibration
from batfs.campaign.calibration.fit import _log_rate, fit
from batfs.campaign.calibration.ior import Measurement, read_measurements, read_operations
from batfs.cli.main import main
from batfs.errors import InputError
from batfs.workload.access import Way

OUTPUTS = Path(__file__).parent / "outputs"
MODERN = (OUTPUTS / "ior-4.txt").read_text()
DESIGN = [
    (nodes, processes, Way(order, size), own)
    for nodes in (1, 2, 4, 8)
    for processes in (1, 8)
    for order, size, own in (("sequential", 1 << 20, True), ("random", 65536, True), ("random", 4096, False))
]
READS = {"bandwidth": math.log(5e9), "latency": math.log(2e-3), "random_half": math.log(3e5)}
WRITES = {"bandwidth": math.log(3e9), "lock_half": math.log(2e6)}


def measure(
    rng: np.random.Generator, direction: str, truth: dict[str, float], spread: float = 0.05
) -> list[Measurement]:
    """IOR's figures on a machine with these parameters, each off by a twentieth."""
    found = []
    for nodes, processes, way, own in DESIGN:
        exact = _log_rate(truth, Measurement(direction, nodes, processes, way, own, 1.0), 4)
        bandwidth = math.exp(exact + rng.normal(0, spread))
        found.append(Measurement(direction, nodes, processes, way, own, bandwidth))
    return found


def test_the_parameters_that_the_data_need_are_found() -> None:
    fitted = fit(measure(np.random.default_rng(1), "write", WRITES), "write", 4)
    assert set(fitted.names) == set(WRITES)
    assert fitted.values() == pytest.approx({k: math.exp(v) for k, v in WRITES.items()}, rel=0.15)
    assert fitted.spread == pytest.approx(0.05, abs=0.025)
    assert fitted.held_out < 0.1


def test_intervals_cover_the_planted_parameters() -> None:
    """200 repetitions, three parameters: 95 % intervals cover each in 95 %, give or take three standard
    errors (0.0154 each)."""
    rng = np.random.default_rng(2)
    covered = dict.fromkeys(READS, 0)
    for _ in range(200):
        fitted = fit(measure(rng, "read", READS), "read", 4, ["latency", "random_half"], folds=0)
        intervals = fitted.intervals()
        for name, value in READS.items():
            low, high = intervals[name]
            covered[name] += low <= math.exp(value) <= high
    assert all(abs(count / 200 - 0.95) < 0.047 for count in covered.values()), covered


def write_outputs(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    both = [measure(rng, "read", READS), measure(rng, "write", WRITES)]
    for i, (nodes, processes, way, own) in enumerate(DESIGN):
        rows = "\n".join(
            f"{one[i].direction} {one[i].bandwidth / 2**20:.4f} 1 0.1 1048576 1 0.1 1 0.1 1 0" for one in both
        )
        text = MODERN.format(
            size=f"{way.size} bytes",
            block="1 GiB",
            access="file-per-process" if own else "single-shared-file",
            segments=1,
            order=way.order,
            nodes=nodes,
            tasks=nodes * processes,
            each=processes,
            rows=rows,
        )
        (folder / f"ior-{i:02}.txt").write_text(text)


def test_outputs_of_versions(tmp_path: Path) -> None:
    [old] = read_measurements([OUTPUTS / "ior-3.txt"])
    assert (old.direction, old.nodes, old.processes, old.own) == ("write", 2, 8, False)
    assert old.way == Way("sequential", 47008, True)
    assert old.bandwidth == 2**30
    hard = {"size": "47008 bytes", "block": "47008 bytes", "access": "single-shared-file", "segments": 1000}
    text = MODERN.format(
        **hard, order="sequential", nodes=2, tasks=8, each=4, rows="read 10 1 1 1 1 1 1 1 1 0"
    )
    (tmp_path / "hard.txt").write_text(text)
    [interleaved] = read_measurements([tmp_path / "hard.txt"])
    assert interleaved.way == Way("strided", 47008)
    (tmp_path / "result_summary.txt").write_text(
        "IO500 version io500-sc22\n[RESULT]       ior-easy-write        2.5 GiB/s : time 300.1 seconds\n"
        "[RESULT]    mdtest-easy-write       12.1 kIOPS : time 310.0 seconds\n"
        "[RESULT]       ior-hard-read        0.5 GiB/s : time 301.0 seconds [INVALID]\n"
    )
    easy, hard_read = read_measurements([tmp_path / "result_summary.txt"], nodes=10, processes=16)
    assert (easy.direction, easy.own, easy.nodes, easy.bandwidth) == ("write", True, 10, 2.5 * 2**30)
    assert hard_read.way == Way("strided", 47008)
    with pytest.raises(InputError, match="on how many nodes"):
        read_measurements([tmp_path / "result_summary.txt"])
    (tmp_path / "other.txt").write_text("hello\n")
    with pytest.raises(InputError, match="neither an output of IOR"):
        read_measurements([tmp_path / "other.txt"])


def test_mdtest(tmp_path: Path) -> None:
    (tmp_path / "md.txt").write_text(
        "mdtest-4.0.0 was launched with 16 total task(s) on 2 node(s)\n"
        "SUMMARY rate (in ops/sec): (of 3 iterations)\n"
        "   Operation      Max   Min   Mean   Std Dev\n   File creation     : 1200.0 800.0 1000.0 10.0\n"
        "   File stat         9000.0   9000.0   9000.0   0.0\n   Tree creation     : 5.0 5.0 5.0 0.0\n"
    )
    assert read_operations([tmp_path]) == {"create": 1000.0, "stat": 9000.0}


@pytest.mark.parametrize(
    "rate", ["20123.99.9", "201NaN0", "9" * 100_000, "1" * 100_000 + "x", "1e", "1e-320", "1e308"]
)
def test_mdtest_with_a_rate_that_is_none(tmp_path: Path, rate: str) -> None:
    """The place is said at once, however long it is."""
    (tmp_path / "md.txt").write_text(f"mdtest\nSUMMARY rate\n   File stat : 1.0 1.0 {rate} 0.0\n")
    with pytest.raises(InputError, match=r"(?s)md.txt: line 3.*expected a number"):
        read_operations([tmp_path])


def test_long_lines_of_ior_and_io500(tmp_path: Path) -> None:
    (tmp_path / "ior.txt").write_text("IOR-4.0\n" + "a" + " " * 100_000 + "\nb: " + " " * 100_000 + "x\n")
    with pytest.raises(InputError, match="neither an output of IOR"):
        read_measurements([tmp_path / "ior.txt"])
    (tmp_path / "summary.txt").write_text("[RESULT] ior-easy-read 1.2.3 GiB/s : time 1 seconds\n")
    with pytest.raises(InputError, match=r"(?s)summary.txt: line 1.*expected a number"):
        read_measurements([tmp_path / "summary.txt"], nodes=1)


def test_from_outputs_to_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """IOR's outputs make a machine on which a job takes what the planted parameters say: 10 GiB read in
    random 64 KiB by 8 x 8 processes: 5 GB/s x 65536 / (65536 + 300000), 11.98 s. A study with a draw
    a seed has other times for each seed and the same for each policy."""
    write_outputs(tmp_path / "outputs", np.random.default_rng(3))
    xml, toml = tmp_path / "machine.xml", tmp_path / "cal.toml"
    words = ["calibrate", str(tmp_path / "outputs"), "-o", str(toml), "--platform-out", str(xml), "--json"]
    assert main([*words, "--figure", str(tmp_path / "fit.svg")]) == 0
    assert (tmp_path / "fit.svg").read_bytes().startswith(b"<?xml")
    found = json.loads(capsys.readouterr().out)
    assert set(found["read"]["parameters"]) == set(READS)
    entry = {"filesystem": "scratch", "reads": 10 << 30, "access": "random", "request_size": 65536}
    entry |= {"processes_per_node": 8, "pattern": "per_process"}
    profile = {"type": "parallel_homogeneous", "cpu": 0, "com": 0, "io": [entry]}
    jobs = [{"id": "1", "subtime": 0, "res": 8, "profile": "p"}]
    workload = tmp_path / "w.json"
    workload.write_text(json.dumps({"nb_res": 8, "jobs": jobs, "profiles": {"p": profile}}))
    calibration = read_calibration(toml)
    run = batfs.simulate(xml, workload, filesystems=calibration.options())
    assert float(run.jobs["execution_time"].iloc[0]) == pytest.approx(11.98, rel=0.1)
    study = batfs.compare(
        xml,
        workload,
        policy=["round_robin", "random"],
        seeds=3,
        calibration=toml,
        jobs=1,
        progress=False,
        output=tmp_path / "out",
    )
    assert not study.failures
    times = study.jobs.groupby(["treatment", "seed"])["execution_time"].first().unstack()
    assert (times.nunique(axis=1) == 3).all()
    assert (times.nunique(axis=0) == 1).all()
    # a size is measured on the same machines
    pd = pytest.importorskip("pandas")
    batfs.size(
        xml, workload, {"scratch": "100TB,200TB"}, target="wait.mean<1h", policy="random", seeds=3,
        calibration=toml, jobs=1, progress=False, output=tmp_path / "size",
    )  # fmt: skip
    files = (tmp_path / "size").glob("runs/*/run_jobs.csv")
    sized = [pd.read_csv(file)["execution_time"].iloc[0] for file in files]
    assert len(sized) >= 3
    assert set(sized) <= set(times.loc["random"])
    assert len(set(sized)) == 3


def test_draws_are_the_seeds_own(tmp_path: Path) -> None:
    text = """[calibration.lustre.read]
names = ["bandwidth", "latency"]
logs = [20.0, -6.0]
covariance = [[0.04, 0.0], [0.0, 0.01]]
nominal = 1e9
"""
    path = tmp_path / "c.toml"
    path.write_text(text)
    calibration = read_calibration(path)
    assert calibration.options(1) == calibration.options(1) != calibration.options(2)
    latencies = []
    for seed in range(2000):
        words = dict(word.split(":") for word in calibration.options(seed)["lustre"]["client"].split())
        latencies.append(math.log(float(words["read_latency"].removesuffix("s"))))
    assert np.mean(latencies) == pytest.approx(-6, abs=0.01)
    assert np.std(latencies) == pytest.approx(0.1, rel=0.1)
    for old, new, message in (
        ('"bandwidth", ', "", "bandwidth comes first"),
        ("[0.0, 0.01]", "[0.0, -1.0]", "not symmetric, or negative"),
        ("20.0, ", "", "of another size"),
        (".read]", ".reads]", "expected read or write"),
        ("logs", "lgs", "not a calibrated direction"),
        ("[calibration.lustre.read]", "[x]", r"no \[calibration\]"),
    ):
        path.write_text(text.replace(old, new))
        with pytest.raises(InputError, match=message):
            read_calibration(path)


def test_what_jobs_did_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of 8 processes that read 8 GB in 16 s of all together: 2 s each, 4 GB/s. Its requests and files
    are those of its counters; the other mount isn't asked for."""
    from batfs.campaign.calibration import recorded

    use = {"type": "lustre", "reads": 8 * 10**9, "writes": 0, "shared_bytes": 0, "read_seconds": 16.0}
    use |= {"write_seconds": 0.0, "requests": {"read.count": 8000, "read.seq": 10}}
    log = {"job": "7", "processes": 8, "mounts": {"/lus": use, "/tmp": {**use, "type": "xfs"}}}
    monkeypatch.setattr(recorded, "read_logs", lambda paths, report: [log])
    [found] = recorded.read_recorded([tmp_path / "a.darshan"], processes=4, mounted="lustre")
    assert (found.direction, found.nodes, found.processes, found.own) == ("read", 2, 4, True)
    assert (found.bandwidth, found.way) == (4e9, Way("random", 10**6))
    assert len(recorded.read_recorded([tmp_path / "a.darshan"])) == 2
    with pytest.raises(InputError, match="no reads or writes that took time on gpfs"):
        recorded.read_recorded([tmp_path / "a.darshan"], mounted="gpfs")


def test_what_nothing_depends_on_has_no_interval() -> None:
    """Small requests of few nodes never come near the targets' bandwidth: it isn't known, and said."""
    exact = measure(np.random.default_rng(4), "read", READS, spread=0.0)
    fitted = fit([m for m in exact if m.way.size == 4096 and m.nodes < 8], "read", 4, ["latency"])
    assert fitted.undetermined == ("bandwidth",)
    assert fitted.intervals()["bandwidth"] == (0.0, math.inf)
    assert fitted.values()["latency"] == pytest.approx(2e-3, rel=1e-3)
