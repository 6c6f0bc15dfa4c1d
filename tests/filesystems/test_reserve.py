"""The option ``reserve``: which bytes of a job count against the capacity, under every model. 60 bytes are
read and 40 written."""

from __future__ import annotations

import pytest
from fs_machines import Machine, node, storage

from batfs.filesystems.interface import Hold, Volume

COUNTED = {"both": 100, "reads": 60, "writes": 40, "max": 60}
#: On a DFS of two copies what is written counts twice, what is read once.
ON_DFS = {"both": 140, "reads": 60, "writes": 80, "max": 80}


def held(model: str, size: int, volume: Volume) -> int | Hold:
    disks = [storage(20 + k, "fs", f"{size}B", node=f"n{k}" if "dfs" in model else "") for k in range(2)]
    m = Machine([node(0), node(1)], disks, {"filesystems": {"fs": {"model": model, "policy": "first_fit"}}})
    plan = m.plan((0,), volume)
    return plan if isinstance(plan, Hold) else sum(p.size for p in plan[0].placements)


@pytest.mark.parametrize("reserve", COUNTED)
@pytest.mark.parametrize(
    "model",
    [
        "pfs",
        "pfs:stripe_count=2,stripe_size=1B",
        "nvme_pool",
        "burst_buffer",
        "dfs:replication=2,block_size=10",
    ],
)
def test_what_counts(model: str, reserve: str) -> None:
    option = f"{model}{',' if ':' in model else ':'}reserve={reserve}"
    expected = (ON_DFS if "dfs" in model else COUNTED)[reserve]
    assert held(option, 1000, Volume("fs", 60, 40)) == expected


@pytest.mark.parametrize("reserve", COUNTED)
@pytest.mark.parametrize("model", ["pfs", "nvme_pool", "burst_buffer"])
def test_it_fits_to_the_byte(model: str, reserve: str) -> None:
    """A storage of just so many bytes has room; one byte less is missing for ever."""
    size = COUNTED[reserve]
    assert held(f"{model}:reserve={reserve}", size, Volume("fs", 60, 40)) == size
    hold = held(f"{model}:reserve={reserve}", size - 1, Volume("fs", 60, 40))
    assert isinstance(hold, Hold)
    assert (hold.missing, hold.never) == (1, True)


def test_without_saying_both_count() -> None:
    assert held("pfs", 1000, Volume("fs", 60, 40)) == 100
    assert held("nvme_pool", 1000, Volume("fs", 30, 60)) == 90


def test_the_larger_counts_whichever_it_is() -> None:
    assert held("pfs:reserve=max", 1000, Volume("fs", 40, 60)) == 60
