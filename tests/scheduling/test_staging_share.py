"""The part of the machine that staging may take: pieces and pauses by hand.

The machine of ``test_staging_ahead``: the target is read at 10 B/s, so 400 B come in 40 s when nothing limits
them. With half of that (5 B/s) they come in pieces of 50 B (what 5 B/s let through in 10 s), one each 10 s,
which take 5 s: the last of 8 pieces begins at 70 s and ends at 75 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fs_tiny import Ran, job, simulate_tiny, watched

from batfs.errors import InputError

STORAGES = {
    "bb0": {"filesystem": "bb", "size": "1000B", "read": "100Bps", "write": "100Bps"},
    "ost0": {"filesystem": "lustre", "size": "100kB", "read": "10Bps", "write": "100Bps"},
}
POOL = {**STORAGES, "bb0": {**STORAGES["bb0"], "model": "nvme_pool"}}


def run(folder: Path, jobs: list[Any], options: str, model: str = "burst_buffer", **more: Any) -> Ran:
    config = {
        "filesystems": {"bb": {"model": f"{model}:backing=lustre,{options}"}},
        "default_filesystem": "lustre",
        **more.pop("config", {}),
    }
    return simulate_tiny(
        folder, 4, more.pop("storages", STORAGES), jobs, config, dynamic=True, process=watched(), **more
    )


def reads(size: int, writes: int = 0) -> list[dict[str, Any]]:
    return [{"filesystem": "bb", "reads": size, "writes": writes}]


def pieces(ran: Ran, kind: str, name: str = "") -> list[tuple[float, float]]:
    """(begin, end) of each."""
    found = [t for k, t in ran.kinds().items() if k.endswith(kind) and k.startswith(f"w0.{name}")]
    return [(pytest.approx(a, abs=1e-3), pytest.approx(b, abs=1e-3)) for a, b in sorted(found)]


@pytest.mark.parametrize("model", ["burst_buffer", "nvme_pool"])
@pytest.mark.parametrize("limit", ["staging_share=0.5", "staging_rate=5Bps"])
@pytest.mark.parametrize("mode", ["held", "ahead"])
def test_half_of_the_bandwidth(tmp_path: Path, model: str, limit: str, mode: str) -> None:
    """By the share of each link, or in bytes a second: here the same. Then 20 s of work."""
    ran = run(tmp_path, [job("1", 4, 20e9, io=reads(400))], f"staging={mode},{limit}", model)
    kind = "stage_in" if mode == "held" else "stage_ahead"
    assert pieces(ran, kind) == [(10.0 * k, 10.0 * k + 5.0) for k in range(8)]
    assert ran.times("1") == (pytest.approx(75.0), pytest.approx(95.0))


def test_two_stagings_share_what_they_may_take(tmp_path: Path) -> None:
    """Two of 100 B: 5 B/s for both together are four pieces, of one and the other by turns."""
    jobs = [job(n, 2, 10e9, io=reads(100)) for n in "12"]
    ran = run(tmp_path, jobs, "staging=ahead,staging_share=0.5")
    assert pieces(ran, "stage_ahead", "1") == [(0.0, 5.0), (20.0, 25.0)]
    assert pieces(ran, "stage_ahead", "2") == [(10.0, 15.0), (30.0, 35.0)]


def test_what_is_on_other_links_has_a_share_of_its_own(tmp_path: Path) -> None:
    """Two buffers before two targets of their own, by round robin: each pair of links has its 5 B/s; a limit
    in bytes a second is one for all."""
    more = {"bb1": STORAGES["bb0"], "ost1": STORAGES["ost0"]}
    storages = {**STORAGES, **more}
    jobs = [job(n, 2, 10e9, io=reads(100)) for n in "12"]
    by_share = run(tmp_path, jobs, "staging=ahead,staging_share=0.5", storages=storages)
    assert pieces(by_share, "stage_ahead") == [(0.0, 5.0), (0.0, 5.0), (10.0, 15.0), (10.0, 15.0)]
    by_rate = run(tmp_path, jobs, "staging=ahead,staging_rate=5Bps", storages=storages)
    assert pieces(by_rate, "stage_ahead") == [(10.0 * k, 10.0 * k + 5.0) for k in range(4)]


def test_staging_out_is_limited_too(tmp_path: Path) -> None:
    """800 B written at 100 B/s beside 20 s of work go to the target at 20 B/s of its 100: pieces of 200 B,
    each 2 s long; the job's nodes are free meanwhile."""
    jobs = [job("1", 4, 20e9, io=reads(0, 800)), job("2", 4, 5e9)]
    ran = run(tmp_path, jobs, "staging_share=0.2")
    assert pieces(ran, "stage_out") == [(20.0 + 10 * k, 22.0 + 10 * k) for k in range(4)]
    assert ran.times("2") == (pytest.approx(20.0), pytest.approx(25.0))


def test_others_have_what_is_left(tmp_path: Path) -> None:
    """A job reads 600 B of the same target from 0 s on. Alone that takes 60 s; while a piece of 50 B moves
    both have 5 B/s, for 10 s, and nothing pauses: under a half of the bandwidth the pieces are the link's
    whole share, so that both end as without a limit. With a tenth (pieces of 10 B, 2 s each at 5 B/s) the
    staging of 50 B takes five pieces, 42 s, and the reader loses 5 s: it ends at 65 s."""
    jobs = [
        job("1", 1, 0.0, io=[{"filesystem": "lustre", "reads": 600, "writes": 0}]),
        job("2", 1, 1e9, io=reads(50)),
    ]
    ran = run(tmp_path, jobs, "staging=ahead,staging_share=0.1")
    assert pieces(ran, "stage_ahead") == [(10.0 * k, 10.0 * k + 2.0) for k in range(5)]
    assert ran.times("1")[1] == pytest.approx(65.0)


def test_pieces_have_the_size_of_a_chunk(tmp_path: Path) -> None:
    """With ``chunk = 100B`` and 5 B/s: a piece each 20 s that takes 10 s."""
    ran = run(
        tmp_path,
        [job("1", 4, 20e9, io=reads(400))],
        "staging=ahead,staging_share=0.5",
        config={"chunk": "100B"},
    )
    assert pieces(ran, "stage_ahead") == [(20.0 * k, 20.0 * k + 10.0) for k in range(4)]


def test_who_asks_shortly_before_a_piece_delays_it_not(tmp_path: Path) -> None:
    """100 B at 7 B/s: a piece each 100/7 s, at 14.285714... and 28.57.... 50 and 20 ms before them another
    job begins to read: no call can be asked for then that comes in time, but one is on its way."""
    entry = {"filesystem": "lustre", "reads": 1, "options": {"timing": "phases"}}
    jobs = [
        job("1", 4, 20e9, io=reads(300)),
        *(job(name, 1, 1e9, io=[entry], at=at) for name, at in (("2", 14.235), ("3", 28.55))),
    ]
    config = {"chunk": "100B", "queue": "filler"}
    ran = run(tmp_path, jobs, "staging=ahead,staging_rate=7Bps", config=config)
    begins = sorted(begin for name, (begin, _) in ran.kinds().items() if name.endswith("stage_ahead"))
    assert begins == pytest.approx([0.0, 100 / 7, 200 / 7], abs=1e-3)


@pytest.mark.parametrize("policy", ["fcfs", "exclusive", "set10", "tbf:rate=1GBps,burst=1GB", "fair"])
def test_under_any_io_policy(tmp_path: Path, policy: str) -> None:
    """Nothing else moves: a policy lets go what may move."""
    ran = run(
        tmp_path,
        [job("1", 4, 20e9, io=reads(400))],
        "staging=ahead,staging_share=0.5",
        config={"io_policy": policy},
    )
    assert ran.times("1") == (pytest.approx(75.0, abs=0.2), pytest.approx(95.0, abs=0.2))


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (
            "burst_buffer:backing=lustre,staging_share=2",
            "staging_share is 2, expected a part of",
        ),
        ("nvme_pool:backing=lustre,staging_share=half", "'half' is not a number"),
        ("nvme_pool:backing=lustre,staging_rate=-5MBps", "must be finite and not negative"),
        ("nvme_pool:backing=bb", "the pool 'bb' can't be its own backing file system"),
        ("nvme_pool:backing=lustr", "did you mean 'lustre'?"),
        ("nvme_pool:backing=lustre,max_staging=-1", "max_staging is -1"),
        ("cache:backing=lustre,staging=aheda", "'aheda' is not one of none, held, ahead, two_step"),
        ("cache:backing=lustre,staging_shre=0.1", "did you mean 'staging_share'?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, model: str, told: str) -> None:
    config = {"filesystems": {"bb": {"model": model}}, "default_filesystem": "lustre"}
    with pytest.raises(InputError) as caught:
        simulate_tiny(tmp_path, 4, STORAGES, [job("1", 1, 1e9)], config, dynamic=True)
    assert told in str(caught.value)
    assert "filesystems.bb" in str(caught.value)


def test_what_nobody_limits_is_as_it_was(tmp_path: Path) -> None:
    """All of the bandwidth is a limit that lets everything move at once, in pieces."""
    one = run(tmp_path, [job("1", 4, 20e9, io=reads(400))], "staging=ahead")
    assert ("1", one.times("1")) == ("1", (pytest.approx(40.0), pytest.approx(60.0)))
    all_of_it = run(tmp_path, [job("1", 4, 20e9, io=reads(400))], "staging=ahead,staging_share=1")
    assert all_of_it.times("1") == (pytest.approx(40.0, abs=1e-3), pytest.approx(60.0, abs=1e-3))
