"""Data sets that are brought into a cache before their readers have nodes: by hand.

Four nodes; one cache of 1000 B (100 B/s in and out) before one target that is read at 10 B/s: a set of R
bytes comes in R/10 s, and is read from the cache in R/100 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched

from batfs.filesystems.lru import Cache

STORAGES = {
    "c0": {"filesystem": "cache", "size": "1000B", "read": "100Bps", "write": "100Bps"},
    "ost0": {"filesystem": "lustre", "size": "100kB", "read": "10Bps", "write": "100Bps"},
}


def run(folder: Path, jobs: list[Any], mode: str = "ahead", **more: Any) -> Ran:
    options = more.pop("options", "")
    config = {
        "filesystems": {"cache": {"model": f"cache:backing=lustre,staging={mode}{options}"}},
        "default_filesystem": "lustre",
        **more.pop("config", {}),
    }
    storages = more.pop("storages", STORAGES)
    return simulate_tiny(folder, 4, storages, jobs, config, dynamic=True, process=watched(), **more)


def reads(count: int, name: str = "x", **options: Any) -> list[dict[str, Any]]:
    return [{"filesystem": "cache", "reads": count, "writes": 0, "options": {"data_set": name, **options}}]


def staged(ran: Ran) -> dict[str, tuple[float, float]]:
    """(begin, end) of what is brought ahead, by job."""
    found = [(k.split(".")[1], t) for k, t in ran.kinds().items() if k.endswith("stage_ahead")]
    return {name: (pytest.approx(a, abs=1e-3), pytest.approx(b, abs=1e-3)) for name, (a, b) in found}


BUSY = job("0", 4, 50e9)


def test_a_set_is_brought_once_and_who_comes_meanwhile_waits_for_it(tmp_path: Path) -> None:
    """The first reader's 400 B come from 0 to 40 s. The second, which comes at 10 s, has nothing to bring:
    its data is there at 40 s, too. Both run when their nodes are free: at 50 and at 70 s."""
    jobs = [BUSY, job("a", 4, 20e9, io=reads(400)), job("b", 4, 20e9, at=10.0, io=reads(400))]
    ran = run(tmp_path, jobs)
    assert staged(ran) == {"a": (0.0, 40.0)}
    assert ran.times("a") == (pytest.approx(50.0), pytest.approx(70.0))
    assert ran.times("b") == (pytest.approx(70.0), pytest.approx(90.0))
    [b] = [r for r in ran.records if r.job.id == "w0!b"]
    waits = {cause: round(seconds) for (cause, _), seconds in b.waits.items()}
    assert waits == {"stage_in": 30, "behind_nodes": 10, "nodes": 20}


@pytest.mark.parametrize("mode", ["ahead", "two_step"])
def test_what_is_there_is_not_brought_again(tmp_path: Path, mode: str) -> None:
    """The set is in the cache when the second reader comes, at 100 s: it starts at once; also where staging
    is a job of its own, of which there is nothing to do."""
    jobs = [job("a", 4, 20e9, io=reads(400)), job("b", 4, 20e9, at=100.0, io=reads(400))]
    ran = run(tmp_path, jobs, mode)
    assert staged(ran) == {"a": (0.0, 40.0)}
    assert ran.times("a") == (pytest.approx(40.0), pytest.approx(60.0))
    assert ran.times("b") == (pytest.approx(100.0), pytest.approx(120.0))


def test_what_is_missing_of_a_set_is_brought(tmp_path: Path) -> None:
    """200 B lie here: of the 500 B that the second job reads 300 B come, in 30 s."""
    jobs = [
        job("a", 4, 20e9, io=reads(200, size=500)),
        job("b", 4, 1e9, at=100.0, io=reads(500)),
    ]
    ran = run(tmp_path, jobs)
    assert staged(ran) == {"a": (0.0, 20.0), "b": (100.0, 130.0)}
    assert ran.times("b") == (pytest.approx(130.0), pytest.approx(135.0))  # 500 B at 100 B/s


def test_what_finds_no_room_is_read_from_behind(tmp_path: Path) -> None:
    """The first job's 700 B are in use from the beginning of staging on (0 to 70 s) until it ends; the
    second's 600 B have no room until then: it starts on its two nodes at 50 s and reads them from the target.
    Of its 10 B/s each has half until the first's last 200 B are there, at 90 s, and it has 200 of its 600;
    the other 400 come in 40 s."""
    jobs = [
        job("0", 4, 50e9),
        job("a", 4, 20e9, io=reads(700)),
        job("b", 2, 1e9, io=reads(600, "y")),
    ]
    ran = run(tmp_path, jobs, config={"queue": "filler"})
    assert staged(ran) == {"a": (0.0, 90.0)}
    assert ran.times("b") == (pytest.approx(50.0), pytest.approx(130.0))


def test_a_jobs_own_word(tmp_path: Path) -> None:
    """``stage_in`` false: read as it runs (40 s); ``staging`` on a cache that says none: brought before."""
    jobs = [BUSY, job("a", 4, 20e9, io=reads(400, stage_in=False))]
    ran = run(tmp_path, jobs)
    assert not staged(ran)
    assert ran.times("a") == (pytest.approx(50.0), pytest.approx(90.0))
    jobs = [BUSY, job("a", 4, 20e9, io=reads(400, staging="ahead"))]
    config = {"filesystems": {"cache": {"model": "cache:backing=lustre"}}}
    ran = run(tmp_path, jobs, config=config)
    assert staged(ran) == {"a": (0.0, 40.0)}
    assert ran.times("a") == (pytest.approx(50.0), pytest.approx(70.0))


@pytest.mark.parametrize("mode", ["held", "ahead", "two_step"])
def test_one_word_for_all_file_systems(tmp_path: Path, mode: str) -> None:
    """The setting ``staging`` (``--staging``, ``--vary staging=``) has a cache stage that says nothing."""
    config = {"staging": mode, "filesystems": {"cache": {"model": "cache", "backing": "lustre"}}}
    ran = run(tmp_path, [BUSY, job("a", 4, 20e9, io=reads(400))], config=config)
    assert ran.times("a")[1] == pytest.approx(110.0 if mode == "held" else 70.0)
    kinds = {kind.rpartition(".")[2] for kind in ran.kinds()}
    assert kinds == {"stage_in" if mode == "held" else "stage_ahead"}


def test_held_stages_in_with_the_nodes(tmp_path: Path) -> None:
    """From 50 s on; a reader that starts at 60 s on other nodes reads from behind as well, and leaves the
    copying to the first: 300 B each at 5 B/s from then on, until 120 s."""
    jobs = [
        job("0", 4, 50e9),
        job("a", 2, 20e9, io=reads(400)),
        job("b", 2, 1e9, at=60.0, io=reads(300)),
    ]
    ran = run(tmp_path, jobs, "held")
    [kind] = [t for k, t in ran.kinds().items() if k.endswith("stage_in")]
    assert kind == (pytest.approx(50.0), pytest.approx(120.0))
    assert ran.times("b") == (pytest.approx(60.0), pytest.approx(120.0))


def test_nobody_counts_on_what_is_staged_with_nodes(tmp_path: Path) -> None:
    """The first job is staged held, from 0 s on; the second, which comes at 10 s and would be staged ahead,
    leaves the copying to it and starts at once. It reads from behind: 300 B each at 5 B/s until 70 s, its
    last 100 B until 80 s."""
    jobs = [
        job("a", 2, 20e9, io=reads(400, staging="held")),
        job("b", 2, 1e9, at=10.0, io=reads(400)),
    ]
    ran = run(tmp_path, jobs)
    assert not staged(ran)
    [kind] = [t for k, t in ran.kinds().items() if k.endswith("stage_in")]
    assert kind == (pytest.approx(0.0, abs=1e-3), pytest.approx(70.0))
    assert ran.times("b") == (pytest.approx(10.0, abs=1e-3), pytest.approx(80.0))


def test_what_a_fault_leaves_of_it(tmp_path: Path) -> None:
    """The cache is down from 20 to 30 s: what was coming is given up, for the job that brought it and for the
    one that waited for it. Both pass the cache by, as everything does while a storage of it is away: each
    reads its 400 B from the target as it runs. (With faults jobs run in steps.)"""
    jobs = [
        job("0", 4, 100e9),
        job("a", 4, 20e9, io=reads(400)),
        job("b", 4, 20e9, at=10.0, io=reads(400)),
    ]
    faults = {"fault": [{"storage": "c0", "at": 20.0, "lasts": 10.0, "state": "down"}]}
    ran = run(tmp_path, jobs, config={"faults": faults})
    assert ran.kinds()["w0.a.0.stage_ahead"][1] == pytest.approx(20.0)
    assert ran.kinds()["w0.a.1.compute"] == (pytest.approx(100.0), pytest.approx(140.0))
    assert ran.kinds()["w0.b.0.compute"] == (pytest.approx(140.0), pytest.approx(180.0))


def test_every_byte_in_the_cache_has_its_room() -> None:
    """What is staged arrives when it is staged, what is read when it is read, what is written at the end."""
    cache = Cache({1: 100})
    assert cache.insert("x", {1: 40}, "j", way="staged")
    assert cache.insert("x", {1: 20}, "j", way="read")
    assert cache.insert("x", {1: 5}, "j", way="ahead")
    assert cache.insert("x", {1: 10}, "j", way="written")
    entry = cache.find("x")
    assert entry is not None
    assert entry.here == {}
    cache.arrive("j", "staged", "ahead")
    assert entry.here == {1: 45}
    cache.arrive("j", "read")
    assert entry.here == {1: 65}
    cache.give_up("j")
    assert entry.here == {1: 65}
    cache.check()
