"""Data sets that lie on the machine from the beginning, and what ``batfs explain`` says of sets; by hand.

Two storages that read 100 MB/s each: 800 MB on one of them take 8 s, on both 4 s.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched, write_inputs

from batfs.cli.main import main
from batfs.errors import InputError

MB = 10**6
FAST = {"filesystem": "fs", "size": "10GB", "read": "100MBps", "write": "100MBps"}
TWO = {"a": FAST, "b": FAST}


def run(
    folder: Path,
    jobs: list[dict[str, Any]],
    *sets: dict[str, Any],
    model: str = "pfs",
    storages: dict[str, Any] = TWO,
    **config: Any,
) -> Ran:
    given = {"filesystems": {"fs": {"model": model}}, "data_sets": list(sets), **config}
    return simulate_tiny(folder, 2, storages, jobs, given, process=watched())


def reads(name: str, data_set: str = "x", at: float = 0.0, **options: Any) -> dict[str, Any]:
    entry = {"filesystem": "fs", "reads": 800 * MB, "options": {"data_set": data_set, **options}}
    return job(name, at=at, io=[entry])


def x(size: Any = 800 * MB, **more: Any) -> dict[str, Any]:
    return {"name": "x", "filesystem": "fs", "size": size, **more}


def rejected(ran: Ran) -> list[str]:
    return [r.job.id for r in ran.records if not r.nodes]


@pytest.mark.parametrize("missing", ["error", "wait", "fill"])
@pytest.mark.parametrize("model", ["pfs", "nvme_pool", "burst_buffer", "dfs:replication=1"])
def test_it_is_there_for_whoever_asks(tmp_path: Path, model: str, missing: str) -> None:
    """No job has written it, and its reader starts at once; its bytes are held once, from 0 s to the end."""
    ran = run(tmp_path, [reads("1", missing=missing)], x(owner="alice"), model=model)
    assert ran.times("1")[0] == pytest.approx(0.0, abs=1e-6)
    [row] = ran.sets
    assert (row.name, row.size, row.held, row.owner) == ("x", 800 * MB, 800 * MB, "alice")
    assert (row.created, row.read_bytes, row.ended) == (None, 800 * MB, None)
    assert sum(ran.reserved.values()) == ran.peak == 800 * MB


@pytest.mark.parametrize(("model", "seconds"), [("pfs:stripe_count=1", 8.0), ("pfs:stripe_count=2", 4.0)])
def test_it_lies_where_its_file_system_would_put_it(tmp_path: Path, model: str, seconds: float) -> None:
    assert run(tmp_path, [reads("1")], x(), model=model).duration("1") == pytest.approx(seconds, rel=2e-3)


def test_they_are_laid_out_in_their_order_by_the_policy(tmp_path: Path) -> None:
    """Round robin: the first on a, the second on b; both are read at once at full speed."""
    second = {**x("800MB"), "name": "y"}
    ran = run(tmp_path, [reads("1"), reads("2", "y")], x(), second, policy="round_robin")
    assert (ran.duration("1"), ran.duration("2")) == (pytest.approx(8.0), pytest.approx(8.0))
    first_fit = run(tmp_path, [reads("1"), reads("2", "y")], x(), second, policy="first_fit")
    assert first_fit.duration("1") == pytest.approx(16.0)


def test_as_if_a_job_on_these_nodes_had_written_it(tmp_path: Path) -> None:
    """A DFS without copies has it on the writer's disk: its own node reads that without the network."""
    storages = {n: {**FAST, "node": f"n{k}"} for k, n in enumerate("ab")}
    for k in (0, 1):
        ran = run(tmp_path, [reads("1")], x(nodes=[f"n{k}"]), model="dfs:replication=1", storages=storages)
        assert {k for k, size in ran.reserved.items() if size} == {k}


def test_behind_a_tier_it_lies_behind(tmp_path: Path) -> None:
    storages = {**TWO, "c": {**FAST, "filesystem": "cache"}}
    set_there = {"name": "x", "filesystem": "cache", "size": 800 * MB}
    ran = run(
        *(tmp_path, [reads("1", missing="error")], set_there),
        storages=storages,
        filesystems={"fs": {"model": "pfs"}, "cache": {"model": "cache:backing=fs"}},
    )
    assert ran.sets[0].filesystem == "fs"
    assert not rejected(ran)


def test_its_life(tmp_path: Path) -> None:
    """Until 5 s: a reader at 4 s finds it, one at 6 s doesn't. Of a campaign: it goes with the last of its
    jobs, at 8 s. Else until a job deletes it."""
    both = [reads("1", at=4.0, missing="error"), reads("2", at=6.0, missing="error")]
    ran = run(tmp_path, both, x(life="5s"))
    assert rejected(ran) == ["w0!2"]
    [row] = ran.sets
    assert (row.why, row.ended) == ("time", pytest.approx(5.0, abs=1e-3))
    ran = run(tmp_path, both[:1], x(life="campaign", campaign="w0"))
    [row] = ran.sets
    assert (row.why, row.ended) == ("campaign", pytest.approx(12.0, abs=1e-3))
    ran = run(tmp_path, [reads("1", delete=True)], x())
    assert [row.why for row in ran.sets] == ["deleted"]
    assert not any(ran.reserved.values())


def test_a_purge_policy_takes_it_unless_it_is_pinned(tmp_path: Path) -> None:
    """8 GB and 8 GB don't fit: a job that writes 8 GB on each storage has x purged, but not where it is
    pinned: then it never finds room."""
    writes = job("1", io=[{"filesystem": "fs", "writes": 16000 * MB}])
    given = {"model": "pfs:stripe_count=2,purge=lru"}
    ran = run(tmp_path, [writes], x("8GB"), filesystems={"fs": given})
    assert [row.why for row in ran.sets] == ["purged (lru)"]
    assert ran.times("1")[0] == pytest.approx(0.0, abs=1e-6)
    ran = run(tmp_path, [writes], x("8GB", pin=True), filesystems={"fs": given})
    assert rejected(ran) == ["w0!1"]


def test_a_job_that_adds_to_it(tmp_path: Path) -> None:
    entry = {"filesystem": "fs", "writes": 100 * MB, "options": {"data_set": "x"}}
    ran = run(tmp_path, [job("1", io=[entry])], x())
    assert [(row.size, row.created) for row in ran.sets] == [(900 * MB, None)]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "x"}, "data_sets[0]: it has no 'size'"),
        ({"size": 1}, "data_sets[0]: it has no 'name'"),
        (x(naem="y"), "did you mean 'name'?"),
        (x("8 TBB"), "data_sets[0].size"),
        (x(-1), "data_sets[0].size"),
        (x(1.5), "whole bytes"),
        (x(life="job"), "data_sets[0].life: no job"),
        (x(life="campain"), "did you mean 'campaign'?"),
        (x(life="campaign"), "campaign = NAME"),
        (x(pin="yes"), "data_sets[0].pin"),
        (x(nodes=3), "data_sets[0].nodes"),
        (x(nodes=["n7"]), "data_sets[0].nodes: unknown compute node 'n7'"),
        (x(filesystem="fx"), "data_sets[0].filesystem: unknown file system 'fx'"),
        (x("30GB"), "data_sets[0]: the data set 'x' finds no room: StorageCapacity"),
        (7, "data_sets[0]: 7 is not a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, entry: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        run(tmp_path, [reads("1")], entry)
    assert told in str(caught.value)


def test_twice_the_same(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data_sets\[1\]: the data set 'x' is on 'fs' already"):
        run(tmp_path, [reads("1")], x(), x())


TOML = """
[filesystems.fs]
model = "pfs"

[[data_sets]]
name = "x"
size = "800MB"
"""


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(list(words))
    return code, "".join(capsys.readouterr())


def test_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a job does with sets, where they lie, who writes what it waits for; the same as values."""
    entries = [
        {"filesystem": "fs", "reads": 800 * MB, "options": {"data_set": "x", "missing": "error"}},
        {"filesystem": "fs", "reads": 100 * MB, "options": {"data_set": "y", "missing": "wait"}},
        {"filesystem": "fs", "writes": 10 * MB, "options": {"data_set": "z"}},
    ]
    made = {"filesystem": "fs", "writes": 100 * MB, "options": {"data_set": "y"}}
    jobs = [job("1", io=entries), job("2", at=5.0, io=[made]), job("3", io=entries[:1])]
    platform, workload = write_inputs(tmp_path, 2, TWO, jobs)
    config = tmp_path / "batfs.toml"
    config.write_text(TOML)
    words = ("explain", "-p", str(platform), "-w", str(workload), "--config", str(config), "--job")
    code, said = command(capsys, *words, "1")
    assert code == 0
    assert "data set x on fs: reads (missing = error); 800 MB (on a 800 MB)" in said
    assert "y on fs: reads (missing = wait); not there; it waits for w0!2 (submitted at 5 s)" in said
    assert "z on fs: writes (append); not there" in said
    code, said = command(capsys, *words, "1", "--json")
    found = json.loads(said)["data_sets"]
    assert [(one["data_set"], one["bytes"], one["waits"]) for one in found] == [
        ("x", 800 * MB, False),
        ("y", None, True),
        ("z", None, False),
    ]
    assert sum(found[0]["by_storage"].values()) == 800 * MB
    assert found[1]["written_by"] == [{"job": "w0!2", "submitted": 5.0}]
    assert found[0]["written_by"] == []


def test_a_limit_of_staging_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storages = {**TWO, "b0": {**FAST, "filesystem": "bb"}}
    entry = {"filesystem": "bb", "reads": 800 * MB, "writes": 0}
    platform, workload = write_inputs(tmp_path, 2, storages, [job("1", io=[entry])])
    model = "bb=nvme_pool:backing=fs,staging_share=0.3,staging_rate=50MBps"
    words = ("explain", "-p", str(platform), "-w", str(workload), "--dynamic-jobs", "--filesystem", model)
    code, said = command(capsys, *words)
    assert code == 0
    limits = "all stagings of 'bb' take at most 0.3 of any link's bandwidth and 50 MB/s"
    assert f"{limits}: times are without that" in said


def test_the_same_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``batfs run --config``; without the set the reader is refused."""
    platform, workload = write_inputs(tmp_path, 2, TWO, [reads("1", missing="error")])
    config = tmp_path / "batfs.toml"
    config.write_text(TOML)
    words = ("run", "-p", str(platform), "-w", str(workload), "--config", str(config))
    assert command(capsys, *words, "-e", str(tmp_path / "with"))[0] == 0
    rows = (tmp_path / "with_data_sets.csv").read_text().splitlines()
    assert rows[1].startswith("x,fs,800000000,800000000,")
    config.write_text(TOML.replace("800MB", "800XB"))
    code, said = command(capsys, *words)
    assert code == 2
    assert "batfs.toml" in said
    assert "data_sets[0].size" in said
