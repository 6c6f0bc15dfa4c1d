"""Composed jobs whose phases bring I/O, over sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
from fs_tiny import composed, free_port, over_sockets, simulate_tiny, sleep, work, write_inputs
from test_composed_random import STORAGES
from test_proxy import behind_proxy


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("proxied", [True, False])
def test_over_sockets(tmp_path: Path, proxied: bool, dynamic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """batfs-sched, and pybatsim's schedFcfs in batfs-proxy: the same times as in one process, and the sums in
    io_jobs.csv: 2 x 300 MB read from the buffer and 2 x 100 MB written; without dynamic jobs that nothing is
    moved is said."""
    storages = {name: STORAGES[name] for name in ("o0", "o1", "b0")}
    io = [{"filesystem": "bb", "reads": 300 * 10**6}]
    children = {"load": work(1, io=io), "nap": sleep(2, io_writes=100 * 10**6), "work": work(1, com=5)}
    jobs = [composed(str(k), ["load", "nap", "work"], children, 2, repeat=2, at=k + 1) for k in range(2)]
    config = {
        "default_filesystem": "lustre",
        "filesystems": {"bb": {"model": "burst_buffer", "backing": "lustre"}},
    }
    monkeypatch.chdir(tmp_path)  # pybatsim writes out_events.csv where it is started
    process = behind_proxy("schedFcfs") if proxied else None
    here = simulate_tiny(tmp_path, 4, storages, jobs, config, dynamic=dynamic, control="1ms", process=process)
    files = write_inputs(tmp_path, 4, storages, jobs, control="1ms")
    command = ["batfs.decision.command"]
    if proxied:
        command = ["batfs.decision.proxy_command", "--queue", "pybatsim:schedFcfs"]
    (tmp_path / "batfs.toml").write_text(
        'default_filesystem = "lustre"\nvalidate = true\n'
        "[filesystems.bb]\nmodel = 'burst_buffer'\nbacking = 'lustre'\n"
    )
    where = f"tcp://127.0.0.1:{free_port()}"
    command += ["-s", where, "--config", str(tmp_path / "batfs.toml"), "-e", str(tmp_path / "sched")]
    got = over_sockets(tmp_path, files, where, command, *(["--enable-dynamic-jobs"] if dynamic else []))
    assert got.keys() == here.jobs.keys()
    for name, result in here.jobs.items():
        if not result.rejected:
            assert float(got[name]["starting_time"]) == pytest.approx(result.start, abs=1e-5)
            assert float(got[name]["finish_time"]) == pytest.approx(result.end, abs=1e-5)
    rows = [line.split(",") for line in (tmp_path / "sched_io_jobs.csv").read_text().splitlines()[1:]]
    sizes = {(row[0], row[2]): (int(row[4]), int(row[5])) for row in rows}
    moved = {"bb": (600 * 10**6, 0), "lustre": (0, 200 * 10**6)}
    assert sizes == {(str(k), n): moved[n] if dynamic else (0, 0) for k in range(2) for n in moved}
    said = (tmp_path / "said.log").read_text()
    assert ("its I/O needs dynamic jobs" in said) is not dynamic
