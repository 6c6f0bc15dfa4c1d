"""Storages whose reads and writes share one link: what batfs makes, checks and computes, by hand.

The disk reads at 100 MB/s and writes at 50 MB/s, over a link of 100 MB/s; while both are under way it reaches
half of that. Nothing else is narrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from fs_tiny import job

from batfs.errors import InputError
from batfs.filesystems.access import make_devices
from batfs.platform.generate import generate
from batfs.platform.spec import make_spec
from batfs.protocol.messages import Resource

GB = 10**9
FAST = {"latency": "0.01us"}


def platform(folder: Path, **more: Any) -> Path:
    spec = make_spec(
        {
            "nodes": {"count": 3, "bandwidth": "10GBps", "first": 100, **FAST},
            "pfs": {
                "servers": 1,
                "targets": 1,
                "read_bandwidth": "100MBps",
                "write_bandwidth": "50MBps",
                "server_bandwidth": "10GBps",
                "server_latency": "0.01us",
                "latency": "0.01us",
                "server": "oss",
                "target": "hdd",
                "mix_efficiency": "0.5",
                **more,
            },
        }
    )
    path = folder / "platform.xml"
    path.write_text(generate(spec))
    return path


def times(folder: Path, jobs: list[dict[str, Any]], **options: Any) -> dict[str, float]:
    """How long each job took."""
    from batfs.decision.experiment import Experiment
    from batfs.decision.run import run
    from batfs.scheduling.config import Layer, Settings

    workload = folder / "workload.json"
    workload.write_bytes(
        orjson.dumps(
            {
                "nb_res": 3,
                "jobs": [j["job"] for j in jobs],
                "profiles": {j["job"]["profile"]: j["profile"] for j in jobs},
            }
        )
    )
    found: dict[str, float] = {}
    run(
        Experiment(platform(folder), [workload], **options),
        Settings(flags=Layer("test", {"validate": True})),
        None,
        on_job=lambda one: found.__setitem__(one.job_id.removeprefix("w0!"), one.runtime),
    )
    return found


def test_either_direction_alone(tmp_path: Path) -> None:
    """1 GB read in 10 s; 1 GB written at 50 MB/s in 20 s, after it."""
    jobs = [job("r", io_reads=GB), job("w", at=100, io_writes=GB)]
    assert times(tmp_path, jobs) == pytest.approx({"r": 10, "w": 20}, rel=1e-3)


def test_a_job_that_does_both(tmp_path: Path) -> None:
    """A GB read at half of 100 MB/s, half a GB written at half of 50: 20 s of the link each."""
    assert times(tmp_path, [job("a", io_reads=GB, io_writes=GB // 2)]) == pytest.approx({"a": 40}, rel=1e-3)


def test_in_phases_nothing_mixes(tmp_path: Path) -> None:
    """10 s of reading, then 10 s of writing."""
    entry = {"filesystem": "lustre", "reads": GB, "writes": GB // 2, "options": {"timing": "phases"}}
    found = times(tmp_path, [job("a", io=[entry])], dynamic_jobs=True)
    assert [found[n] for n in sorted(found) if n.endswith((".read", ".write"))] == pytest.approx(
        [10, 10], rel=1e-3
    )


def test_readers_share_without_loss_and_a_writer_beside_a_reader_loses(tmp_path: Path) -> None:
    """Two readers of 1 GB share 100 MB/s: 20 s. At 100 another reads 4 GB; at 110 a writer comes: its half GB
    is 2 GB of the link (half of 50 MB/s), at 50 MB/s: 40 s. The reader has 3 GB left then: it moves 2 of
    them in these 40 s, the last in 10: 60 s in all, for it keeps the factor of its start."""
    jobs = [
        *(job("a", io_reads=GB), job("b", io_reads=GB)),
        *(job("r", at=100, io_reads=4 * GB), job("w", at=110, io_writes=GB // 2)),
    ]
    assert times(tmp_path, jobs) == pytest.approx({"a": 20, "b": 20, "w": 40, "r": 60}, rel=1e-3)


def test_check_accepts_it_and_finds_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from batfs.cli.main import main

    path = platform(tmp_path)
    assert main(["check", str(path)]) == 0
    text = path.read_text()
    assert text.count('id="hdd_io"') == 1
    wrong = {
        ('"shared_bandwidth" value="100MBps"', '"shared_bandwidth" value="300MBps"'): "no link of 300",
        ('"read_bandwidth" value="100MBps"', '"read_bandwidth" value="200MBps"'): "more than the",
        ('"mix_efficiency" value="0.5"', '"mix_efficiency" value="1.5"'): "is not a part",
        ('<prop id="shared_bandwidth" value="100MBps"/>', ""): "no shared_bandwidth",
    }
    for (old, new), said in wrong.items():
        assert old in text
        path.write_text(text.replace(old, new))
        capsys.readouterr()
        assert main(["check", str(path)]) == 1
        assert said in capsys.readouterr().out


def test_wrong_properties_say_where() -> None:
    disk = Resource(3, "hdd", "storage", properties={"mix_efficiency": "0.5"})
    with pytest.raises(InputError, match="no shared_bandwidth"):
        make_devices([disk])
    disk = Resource(3, "hdd", "storage", properties={"shared_bandwidth": "quick"})
    with pytest.raises(InputError, match="property 'shared_bandwidth' of the storage 'hdd'"):
        make_devices([disk])
    with pytest.raises(InputError, match=r"pfs\.mix_efficiency: '2' is not a part"):
        make_spec({"pfs": {"mix_efficiency": "2"}})
