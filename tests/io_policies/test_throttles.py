"""Throttles in platform files, and what SimGrid makes of a capped and of a split transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from applications import GB, PFS, once
from fs_tiny import write_inputs

from batfs.cli.main import main
from batfs.cli.verification import tasks as verification
from batfs.errors import InputError
from batfs.platform import load_platform, number_resources
from batfs.platform.throttles import with_throttles

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "platforms").glob("*.xml"))


def throttled(file: Path, count: int, to: Path) -> Path:
    machine = number_resources(load_platform(file))
    to.write_text(with_throttles(file.read_text(encoding="utf-8"), machine, count), encoding="utf-8")
    return to


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_no_id_and_no_route_changes(file: Path, tmp_path: Path) -> None:
    old, new = load_platform(file), load_platform(throttled(file, 12, tmp_path / "new.xml"))
    before, after = number_resources(old), number_resources(new)
    names = [r.name for r in before.resources]
    assert [r.name for r in after.resources][: len(names)] == names
    assert [r.name for r in after.storages] == [r.name for r in before.storages]
    assert len(after.resources) == len(names) + 13
    ends = [*names[:3], *names[-3:], "master_host"]
    for a in ends:
        for b in ends:
            one = old.route(old.host_index[a], old.host_index[b])
            two = new.route(new.host_index[a], new.host_index[b])
            assert [old.links[k].name for k in one.links] == [new.links[k].name for k in two.links]
            assert one.latency == two.latency
    assert main(["check", str(tmp_path / "new.xml")]) == 0


@pytest.mark.parametrize("name", ["zzz", "throttle-0", "~last"])
def test_they_come_last_whatever_the_storages_are_called(name: str, tmp_path: Path) -> None:
    platform, _ = write_inputs(tmp_path, 2, {"a": PFS, name: PFS}, [once("1", 1)])
    machine = number_resources(load_platform(throttled(platform, 3, tmp_path / "new.xml")))
    assert [r.name for r in machine.resources[:4]] == ["n0", "n1", *sorted(["a", name])]


def test_platforms_with_throttles_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands; a run's results are the same with them but for what is capped."""
    made, plain, file = (str(tmp_path / f"{name}.xml") for name in ("made", "plain", "file"))
    assert main(["platform", "new", "pfs_cluster", "--throttles", "3", "-o", made]) == 0
    assert "16 storages (16 of 'lustre'), 3 throttles" in capsys.readouterr().out
    assert main(["platform", "new", "pfs_cluster", "-o", plain]) == 0
    assert main(["platform", "add-throttles", plain, "-n", "3", "-o", file]) == 0
    assert Path(made).read_text() == Path(file).read_text()
    assert main(["platform", "add-throttles", made]) == 2
    assert "has throttles already" in capsys.readouterr().err
    assert main(["platform", "add-throttles", plain, "-n", "0"]) == 2
    assert "expected 1 to" in capsys.readouterr().err
    _, workload = write_inputs(tmp_path, 2, {"lustre": PFS}, [once("1", 1, writes=GB, filesystem="lustre")])  # type: ignore[arg-type]
    run = ["run", "-q", "-w", str(workload), "--enable-dynamic-jobs"]
    for name, platform in (("a", plain), ("b", made)):
        assert main([*run, "-p", platform, "-e", str(tmp_path / name), "--io-policy", "exclusive"]) == 0
    for table in ("io_jobs", "storage_states", "io_times", "jobs"):
        assert (tmp_path / f"a_{table}.csv").read_bytes() == (tmp_path / f"b_{table}.csv").read_bytes()
    capped = [*run, "-p", made, "-e", str(tmp_path / "c"), "--io-policy", "cap:rate=1MBps", "--validate"]
    assert main(capped) == 0
    header, row = (tmp_path / "c_io_times.csv").read_text().splitlines()
    blocked = dict(zip(header.split(","), row.split(","), strict=True))["blocked"]
    assert float(blocked) == pytest.approx(1000, abs=0.01)


def test_too_few_names(tmp_path: Path) -> None:
    platform, _ = write_inputs(tmp_path, 2, {"~~~": PFS}, [once("1", 1)])
    machine = number_resources(load_platform(platform))
    with pytest.raises(InputError, match="no throttle's can follow"):
        with_throttles(platform.read_text(), machine, 2)


def task(hosts: list[str], volumes: dict[tuple[int, int], float]) -> dict[str, Any]:
    n = len(hosts)
    sizes = [float(volumes.get((i, j), 0.0)) for i in range(n) for j in range(n)]
    return {"start": 0.0, "hosts": hosts, "flops": [0.0] * n, "bytes": sizes}


def test_simgrids_own_numbers(tmp_path: Path) -> None:
    """1 GB over a link of 100 MB/s, limited to 10 MB/s by 10 GB/s x 1 GB / 10 MB/s on a throttle: 100 s, and
    a neighbour 11.111 s. Split in three against one: 13.333 and 20 s."""
    found = verification.python_with_simgrid()
    if found is None:
        pytest.skip("SimGrid's Python module is not installed (Debian: python3-simgrid)")
    platform, _ = write_inputs(tmp_path, 3, {"pfs": PFS}, [once("1", 1)])
    file = throttled(platform, 2, tmp_path / "throttled.xml")
    capped = [
        task(["n0", "pfs", "throttle-0", "throttle-end"], {(0, 1): 1e9, (2, 3): 1e10 * 1e9 / 1e7}),
        task(["n1", "pfs"], {(0, 1): 1e9}),
    ]
    split = [*([task(["n0", "pfs"], {(0, 1): 1e9 / 3})] * 3), task(["n1", "pfs"], {(0, 1): 1e9})]
    for tasks, ends in ((capped, [100, 100 / 9]), (split, [40 / 3, 40 / 3, 40 / 3, 20])):
        assert verification.theirs(file, tasks, found[0]) == pytest.approx(ends, abs=1e-3)
        assert verification.ours(file, tasks) == pytest.approx(ends, abs=1e-3)
