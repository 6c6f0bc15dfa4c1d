"""Jobs that compute, read and write over and over: drawn, recorded, and as Batsim's composed profiles."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from random import Random

import pytest

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.workload import read_workload
from batfs.workload.account import Report
from batfs.workload.draws import Draws
from batfs.workload.io import RequestedIo
from batfs.workload.iomodels import JobShape
from batfs.workload.model import Composed, ParallelHomogeneous
from batfs.workload.phases import io_over_phases
from batfs.workload.recorded import ConvertOptions, Phase, RecordedJob, convert
from batfs.workload.rhythms import make_rhythm
from batfs.workload.synth import SynthOptions, synthesize


def test_io_sets_draws_decades() -> None:
    """Characteristic times are normal around 10, 100 and 1000 s with a tenth of that as deviation, a third of
    the jobs each; the share of I/O is 0.1 in the mean. A job on 4 nodes moves 4 GB/s: an iteration of w
    seconds with the share s writes s w 4 GB."""
    model, draws = make_rhythm("io_sets"), Draws(Random(5))
    drawn = [model(JobShape(4, 100_000.0), draws) for _ in range(3000)]
    periods = [one.work + (one.io_seconds or 0.0) for one in drawn]
    for mean in (10, 100, 1000):
        near = [p for p in periods if mean / 2 < p < mean * 2]
        assert len(near) == pytest.approx(1000, abs=4 * (3000 * 2 / 9) ** 0.5)
        assert statistics.fmean(near) == pytest.approx(mean, rel=5 * 0.1 / len(near) ** 0.5)
        assert statistics.stdev(near) == pytest.approx(0.1 * mean, rel=0.12)
    shares = [(one.io_seconds or 0.0) / p for one, p in zip(drawn, periods, strict=True)]
    assert statistics.fmean(shares) == pytest.approx(0.1, rel=0.02)
    for one, period in zip(drawn, periods, strict=True):
        assert one.writes == pytest.approx((one.io_seconds or 0.0) * 4e9, abs=1)
        assert one.count == round(100_000 / period)


def test_io_sets_of_a_short_job_happens_once() -> None:
    one = make_rhythm("io_sets:n_fast=0,n_medium=0,reads=1")(JobShape(1, 30.0), Draws(Random(1)))
    assert one.count == 1
    assert one.work + (one.io_seconds or 0.0) == pytest.approx(30)
    assert one.reads > 0
    assert one.writes == 0


def test_hacc_writes_38_bytes_a_particle() -> None:
    """2 nodes x 16 processes x 1,000,000 particles x 38 bytes = 1.216 GB, every 10 minutes of 35: 4 times
    (35 / 10 = 3.5, to even), each after 525 s."""
    one = make_rhythm("hacc:particles=1e6,every=10m,restart=1")(JobShape(2, 2100.0), Draws(Random(1)))
    assert (one.count, one.work, one.writes, one.first) == (4, 525.0, 1_216_000_000, 1_216_000_000)


def test_jobs_become_composed_profiles() -> None:
    options = SynthOptions(jobs=40, nodes=8, iterations="hacc:every=5m,restart=0.5", seed=3)
    workload = synthesize(options)
    assert workload.jobs == synthesize(options).jobs
    restarted = 0
    for job in workload.jobs:
        profile = workload.profiles[job.profile]
        assert isinstance(profile, Composed)
        iteration = workload.profiles[f"{job.profile}.iteration"]
        assert isinstance(iteration, ParallelHomogeneous)
        (entry,) = iteration.extra["io"]
        assert entry["options"] == {"timing": "phases"}
        size = 38 * 5_000_000 * 16 * job.requested_nodes
        assert entry["writes"] == size
        (part,) = io_over_phases(profile, workload.profiles)
        restarted += part.reads > 0
        assert part.reads in (0, size)
        assert part.writes % size == 0
        times = part.writes // size
        assert times == max(1, round(times * iteration.cpu / 1e9 / 300))
    assert 10 < restarted < 30


def test_file_systems_are_shared_out(tmp_path: Path) -> None:
    out = tmp_path / "w.json"
    words = ["--iterations", "constant:every=60,writes=2GB,reads=1GB", "--io-on", "a", "--io-on", "b:scale=2"]
    assert main(["workload", "synth", "-n", "30", *words, "-o", str(out)]) == 0
    workload = read_workload(out)
    sizes = {
        (part.filesystem, part.reads // io.requested_nodes, part.writes // io.requested_nodes)
        for io in workload.jobs
        for part in io_over_phases(workload.profiles[f"{io.profile}.iteration"], workload.profiles)
    }
    assert {name for name, _, _ in sizes} == {"a", "b"}
    assert all(reads in (0, 10**9 * (2 if name == "b" else 1)) for name, reads, _ in sizes)
    generator = json.loads(out.read_text())["generator"]
    assert generator["iterations"].startswith("constant")
    assert "io" not in generator


def _recorded() -> RecordedJob:
    """1000 s: reads 100 bytes at once, then three times computes and writes; 50 s were I/O."""
    lustre = RequestedIo("lustre", 100, 1000)
    phases = (
        Phase(0.0, 20.0, (RequestedIo("lustre", 100, 0),)),
        Phase(300.0, 310.0, (RequestedIo("lustre", 0, 400),)),
        Phase(600.0, 610.0, (RequestedIo("lustre", 0, 300),)),
        Phase(990.0, 1000.0, (RequestedIo("lustre", 0, 300),)),
    )
    return RecordedJob("7", 0.0, 2, 1000.0, io=(lustre,), phases=phases)


def test_recorded_phases_become_even_iterations(tmp_path: Path) -> None:
    """950 s of computation in three parts; 1000 = 3 x 333 + 1 bytes."""
    workload = convert([_recorded()], ConvertOptions(compute="iterations"), Report("made"))
    iteration = workload.profiles["7:iteration"]
    assert isinstance(iteration, ParallelHomogeneous)
    assert iteration.cpu == pytest.approx(950 / 3 * 1e9)
    assert workload.profiles["7:iterations"].repeat == 2  # type: ignore[union-attr]
    assert workload.profiles["7:last"].extra["io"][0]["writes"] == 334
    entry = {"filesystem": "lustre", "writes": 333, "options": {"timing": "phases"}}
    assert iteration.extra["io"] == [entry]
    (part,) = io_over_phases(workload.profiles["7"], workload.profiles)
    assert (part.reads, part.writes) == (100, 1000)

    from batfs.workload import write_workload

    file = tmp_path / "recorded.json"
    write_workload(file, workload)
    one = make_rhythm(f"recorded:file={file}")(JobShape(4, 633.0), Draws(Random(1)))
    assert one.count == 2
    assert one.writes == pytest.approx(4 * 1000 / 2 / 3, abs=1)


def test_recorded_phases_can_be_held() -> None:
    workload = convert([_recorded()], ConvertOptions(compute="phases"), Report("made"))
    moving = [p for name, p in workload.profiles.items() if name.endswith(":io")]
    assert len(moving) == 4
    assert all(entry["options"] == {"timing": "phases"} for p in moving for entry in p.extra["io"])


@pytest.mark.parametrize(
    "spec, says",
    [
        ("io_set", "did you mean 'io_sets'?"),
        ("hacc:particle=1", "particle"),
        ("hacc:every=0", "every"),
        ("io_sets:share=2", "share"),
        ("io_sets:n_fast=0,n_medium=0,n_slow=0", "weights"),
    ],
)
def test_mistakes(spec: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("?", r"\?")):
        make_rhythm(spec)


def test_recorded_needs_iterations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = Path(__file__).parents[2] / "workloads" / "io.json"
    command = ["workload", "synth", "-o", str(tmp_path / "w")]
    assert main([*command, "--iterations", f"recorded:file={plain}"]) == 2
    assert "composed" in capsys.readouterr().err
    assert main([*command, "--iterations", "hacc", "--io", "rate"]) == 2
    assert not (tmp_path / "w").exists()
