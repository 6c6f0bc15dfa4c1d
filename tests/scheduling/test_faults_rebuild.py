"""Rebuilds of storages, as quickly as the links let them or at a pace, calculated by hand.

``s0`` and ``s1`` read and write 100 MB/s each; everything is written to ``s0``. A job that is planned while
``s0`` has half of its bandwidth moves its bytes twice there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched
from test_faults_random import NoIo

from batfs.decision.injector import Injector, WithFileSystems
from batfs.scheduling.config import Settings
from batfs.scheduling.core import Scheduler

GB = 10**9
MB = 10**6
TARGET = {"filesystem": "fs", "model": "pfs", "read": "100MBps", "write": "100MBps"}
TWO = {"s0": TARGET, "s1": TARGET}


def ran(folder: Path, jobs: Any, *faults: dict[str, Any], storages: Any = TWO, dynamic: bool = True) -> Ran:
    config = {"faults": {"fault": [*faults]}, "policy": "first_fit", "validate": True}
    return simulate_tiny(folder, 2, storages, jobs, config, dynamic=dynamic, process=watched())


def degraded(**more: Any) -> dict[str, Any]:
    return {"at": 0, "storage": "s0", "state": "degraded", "bandwidth": 0.5, **more}


def pieces(one: Ran) -> list[tuple[float, float]]:
    return sorted(times for name, times in one.kinds().items() if name.endswith(".rebuild"))


def write(name: str, at: float, size: int = GB) -> Any:
    return job(name, at=at, io_writes=size)


@pytest.mark.parametrize("pace", [{"rebuild_rate": "50MBps"}, {"rebuild_time": "200s"}])
def test_a_pace_takes_its_share_and_its_time(tmp_path: Path, pace: dict[str, str]) -> None:
    """10 GB at 50 MB/s: 100 MB every two seconds until 200, for 1 s alone. A job at 10 (2 GB on the link)
    shares it with a piece at any time: 40 s. One at 199 still finds half of the bandwidth, one at 201 all."""
    jobs = [write("a", 10), write("b", 199, MB), write("c", 201)]
    one = ran(tmp_path, jobs, degraded(rebuild="10GB", **pace))
    sent = pieces(one)
    assert len(sent) == 100
    assert [begin for begin, _ in sent] == pytest.approx(range(0, 200, 2), abs=1e-2)
    assert sent[0][1] == pytest.approx(1, abs=1e-2)
    assert one.duration("a") == pytest.approx(40, abs=2e-2)
    assert one.duration("b") == pytest.approx(0.02, abs=1e-3)
    assert one.duration("c") == pytest.approx(10, abs=1e-2)


def test_a_slow_one_leaves_the_rest_to_others(tmp_path: Path) -> None:
    """10 GB at 10 MB/s: 100 MB every ten seconds. A job of 2 GB on the link from 3 on has 100 MB/s but for
    the two seconds for which a piece shares it, from 10 and from 20 on: 700 + 100 + 800 + 100 + 300 MB."""
    one = ran(tmp_path, [write("a", 3)], degraded(rebuild="10GB", rebuild_rate="10MBps"))
    assert one.duration("a") == pytest.approx(22, abs=1e-2)


def test_a_short_one_is_over_in_its_time_too(tmp_path: Path) -> None:
    """200 MB at 50 MB/s: a piece of 10 MB each 0.2 s until 4. (A hundred would come 0.1 s apart.) A job at
    4.1 has all the bandwidth; one of 0.3 s is one piece."""
    one = ran(tmp_path, [write("a", 4.1)], degraded(rebuild="200MB", rebuild_rate="50MBps"))
    sent = pieces(one)
    assert [begin for begin, _ in sent] == pytest.approx([k / 5 for k in range(20)], abs=2e-2)
    assert one.duration("a") == pytest.approx(10, abs=1e-2)
    brief = ran(tmp_path, [write("a", 1)], degraded(rebuild="6MB", rebuild_rate="20MBps"))
    assert len(pieces(brief)) == 1
    assert brief.duration("a") == pytest.approx(10, abs=1e-2)


def test_what_is_held_up_ends_later(tmp_path: Path) -> None:
    """200 MB/s are asked for, of a link of 100: a piece follows the other, 100 s for 10 GB."""
    one = ran(tmp_path, [write("a", 99, MB), write("b", 102)], degraded(rebuild="10GB", rebuild_rate=2e8))
    assert pieces(one)[-1][1] == pytest.approx(100, abs=0.2)
    assert one.duration("b") == pytest.approx(10, abs=1e-2)


@pytest.mark.parametrize("storages", [TWO, {"s0": TARGET}], ids=["without dynamic jobs", "alone"])
def test_where_nothing_can_be_sent_it_takes_its_time(tmp_path: Path, storages: Any) -> None:
    """Half of the bandwidth until 100, all of it from then on. Without a pace that is said to last."""
    jobs = [write("a", 20), write("b", 101)]
    one = ran(
        tmp_path, jobs, degraded(rebuild="1GB", rebuild_time=100), storages=storages, dynamic=storages != TWO
    )
    assert (one.duration("a"), one.duration("b")) == pytest.approx((20, 10), abs=1e-2)
    assert not pieces(one)
    assert [s for s in one.said if s.startswith("a rebuild moves no bytes")]
    other = ran(tmp_path, jobs, degraded(rebuild="1GB"), storages=storages, dynamic=storages != TWO)
    assert other.duration("b") == pytest.approx(20, abs=1e-2)
    assert [s for s in other.said if "it is over when rebuild_time" in s]


def test_back_and_then_built_again(tmp_path: Path) -> None:
    """Down until 10; then 1 GB over 100 s, 10 MB each second, which share the link with a job for 0.2 s: it
    has 90 MB/s, for 2 GB. One fault, not two. The job at 111 has all there is."""
    then = {"bandwidth": 0.5, "rebuild": "1GB", "rebuild_time": 100}
    fault = {"at": 0, "storage": "s0", "state": "down", "lasts": 10, "jobs": "fail", "then": then}
    one = ran(tmp_path, [write("a", 20), write("b", 111)], fault)
    assert one.duration("a") == pytest.approx(2000 / 90, abs=0.1)
    assert one.duration("b") == pytest.approx(10, abs=1e-2)
    assert len(pieces(one)) == 100
    assert one.faults["faults"] == 1


@pytest.mark.parametrize("end", ["back", "lasts"])
def test_an_end_by_word_ends_the_rebuild(tmp_path: Path, end: str) -> None:
    """Of 100 s it has had 50: 50 pieces, and no more."""
    faults = [degraded(rebuild="1GB", rebuild_time=100, **({"lasts": 49.5} if end == "lasts" else {}))]
    if end == "back":
        faults.append({"at": 49.5, "storage": "s0", "state": "back"})
    one = ran(tmp_path, [write("a", 60)], *faults)
    assert one.duration("a") == pytest.approx(10, abs=1e-2)
    assert len(pieces(one)) == 50


def test_with_its_node_away_it_stands_still(tmp_path: Path) -> None:
    """The disk's node is away from 50 to 80: 50 pieces before, the others after, until 130."""
    disks = {"s0": {**TARGET, "node": "n1"}, "s1": TARGET}
    node = {"at": 49.5, "node": "n1", "state": "down", "lasts": 30, "jobs": "fail"}
    fault = degraded(rebuild="1GB", rebuild_time=100)
    one = ran(tmp_path, [write("a", 125, MB), write("b", 131)], fault, node, storages=disks)
    begun = [begin for begin, _ in pieces(one)]
    assert len(begun) == 100
    assert begun[49:51] == pytest.approx([49, 79.5], abs=1e-2)
    assert one.duration("a") == pytest.approx(0.02, abs=0.02)
    assert one.duration("b") == pytest.approx(10, abs=1e-2)


def test_behind_a_proxy_it_is_the_same(tmp_path: Path) -> None:
    """A scheduler that knows nothing of storages starts the jobs; the pieces are sent by the proxy."""
    jobs = [write("a", 10), write("b", 199, MB), write("c", 201)]

    def proxied(settings: Settings, make: Any, one: Ran) -> WithFileSystems:
        inner = Scheduler(Settings(), lambda config, compute, storages, on: NoIo(storages))  # type: ignore[arg-type, return-value]
        return WithFileSystems(inner, Injector(settings, make_files=make, observer=one, say=one.said.append))

    config = {
        "faults": {"fault": [degraded(rebuild="10GB", rebuild_rate="50MBps")]},
        "policy": "first_fit",
        "validate": True,
    }
    one = simulate_tiny(tmp_path, 2, TWO, jobs, config, dynamic=True, process=proxied)
    assert len(pieces(one)) == 100
    assert [one.duration(name) for name in "abc"] == pytest.approx([40, 0.02, 10], abs=2e-2)
