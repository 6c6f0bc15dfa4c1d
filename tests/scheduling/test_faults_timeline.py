"""When things fail: given and random times, what takes the place of what, and what plans make of it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from fs_tiny import job, simulate_tiny, watched

from batfs.scheduling.faults import Timeline, parse_faults

NODES = {f"n{k}": k for k in range(20)}
GB = 10**9


def timeline(seed: int = 0, **tables: Any) -> Timeline:
    return Timeline(parse_faults(tables), NODES, {"s0": 20, "s1": 21}, seed)


@pytest.mark.parametrize("law", [{}, {"law": "weibull", "shape": 0.7}, {"law": "weibull", "shape": 3}])
def test_failures_are_as_far_apart_as_is_said(law: dict[str, Any]) -> None:
    """20 nodes for a million seconds, 1000 s and 100 s of repair apart: about 900 each. The mean is known to
    1/sqrt(18,000) of its deviation, which is 1.5 times itself at most."""
    found = timeline(random=[{"node": "*", "mtbf": 1000, "repair": 100, **law}]).due(1e6)
    gaps = []
    for node in range(20):
        times = [one.at for one in found if one.resource == node]
        starts, ends = times[0::2], times[1::2]
        assert [e - s for s, e in zip(starts, ends, strict=False)] == pytest.approx([100] * len(ends))
        gaps += [s - e for s, e in zip(starts[1:], ends, strict=False)]
    assert statistics.mean(gaps) == pytest.approx(1000, rel=0.05)
    deviation = {None: 1.0, 0.7: 1.462, 3: 0.363}[law.get("shape")]
    assert statistics.stdev(gaps) / 1000 == pytest.approx(deviation, rel=0.1)


def test_what_happens_to_others_changes_no_times() -> None:
    law = {"mtbf": 1000, "repair": 10}
    alone = timeline(random=[{"node": "n3", **law}]).due(1e5)
    among = timeline(random=[{"node": "*", **law}], fault=[{"at": 7, "node": "n4", "state": "down"}]).due(1e5)
    assert [one.at for one in alone] == [one.at for one in among if one.resource == 3]
    assert alone != timeline(seed=1, random=[{"node": "n3", **law}]).due(1e5)


def test_a_later_fault_takes_the_place_of_an_earlier_one() -> None:
    """Down at 10 for 100; degraded at 50 for 10: whole again at 60, and nothing at 110."""
    later = {"at": 50, "storage": "s0", "state": "degraded", "bandwidth": 0.5, "lasts": 10}
    both = timeline(fault=[{"at": 10, "storage": "s0", "state": "down", "lasts": 100}, later])
    found = [(one.at, one.back, one.fault.state) for one in both.due(1000)]
    assert found == [
        (10, False, "down"),
        (50, True, "down"),
        (50, False, "degraded"),
        (60, True, "degraded"),
    ]
    assert not both.returns(20)


def test_until_when_is_known_of_a_later_entry() -> None:
    entries = [{"at": 10, "storage": "s0", "state": "down"}, {"at": 70, "storage": "s*", "state": "back"}]
    times = timeline(fault=entries)
    [down] = times.due(20)
    assert down.until == 70
    assert times.returns(20)


@pytest.mark.parametrize("queue", ["easy_storage", "conservative"])
def test_promises_count_on_the_storage_from_when_it_is_back(tmp_path: Path, queue: str) -> None:
    """One node. a needs the storage, which is down from 5 to 50: it is promised 50. Of those behind it the
    one that takes 30 s goes ahead, at 10; the one that takes 100 s doesn't, or a would be late."""
    storages = {"s0": {"filesystem": "fs", "read": "100MBps", "write": "100MBps"}}
    jobs = [
        job("a", at=10, io_reads=GB, walltime=20),
        job("long", at=10, cpu=100e9, walltime=100),
        job("short", at=10, cpu=30e9, walltime=30),
    ]
    config = {
        "queue": queue,
        "faults": {"fault": [{"at": 5, "storage": "s0", "state": "down", "lasts": 45}]},
    }
    one = simulate_tiny(tmp_path, 1, storages, jobs, config, process=watched())
    assert one.times("short") == pytest.approx((10, 40), abs=0.2)
    assert one.times("a") == pytest.approx((50, 60), abs=0.2)
    assert one.times("long")[0] == pytest.approx(60, abs=0.2)
