"""The replay: StorAlloc's mistakes not made, its metrics by hand, what happens when there is no room."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.cli.main import main
from batfs.errors import InputError
from batfs.storage.interface import Storage, StorageTable
from batfs.storage.policies import make_policy
from batfs.storage.replay import (
    Outcome,
    Summary,
    TraceRequest,
    make_when_full,
    read_requests,
    read_storages,
    replay,
)
from batfs.storage.replay.sweep import ALL_POLICIES

DAY = 86400.0
TB = 10**12


def table(*capacities: int, groups: str = "") -> StorageTable:
    groups = groups or "abcdefgh"[: len(capacities)]
    return StorageTable(
        Storage(i, f"s{i}", c, "", groups[i], 3e9, 3e9, 1e10) for i, c in enumerate(capacities)
    )


def play(
    system: StorageTable,
    requests: list[tuple[float, float, int]],
    policy: str = "worst_fit",
    full: str = "refuse",
    **rest,
) -> tuple[Summary, list[Outcome]]:
    """Requests as (arrival, duration, size), with the ledger checked after every event."""
    outcomes: list[Outcome] = []
    summary = replay(
        system,
        [TraceRequest(f"r{n}", *request) for n, request in enumerate(requests)],
        make_policy(policy),
        when_full=make_when_full(full),
        outcome=outcomes.append,
        validate=True,
        **rest,
    )
    assert summary.granted + summary.refused + summary.failed == summary.requests == len(outcomes)
    return summary, outcomes


# ---- a test for each of StorAlloc's mistakes --------------------------------------------------------------


def test_durations_of_days_hold_their_bytes_for_days() -> None:
    # the second asks after two of the three days, the third after three
    _, outcomes = play(table(10), [(0.0, 3 * DAY, 10), (2 * DAY, 60.0, 1), (3 * DAY, 60.0, 1)])
    assert [o.state for o in outcomes] == ["granted", "refused", "granted"]


def test_a_split_registers_every_part_with_its_own_size() -> None:
    summary, outcomes = play(table(10, 10, 10), [(0.0, 5.0, 25)], block_size=8)
    (outcome,) = outcomes
    assert [share.size for share in outcome.shares] == [8, 8, 8, 1]
    assert (summary.granted, summary.split, summary.blocks, summary.granted_bytes) == (1, 1, 4, 25)
    assert sum(use.max_used for use in summary.storages) == 25
    assert summary.total is not None
    assert summary.total.mean_used == 25
    assert summary.total.mean_allocations == 4


def test_a_split_that_fails_in_the_middle_leaves_nothing_behind() -> None:
    summary, outcomes = play(table(10, 10), [(0.0, 5.0, 25), (1.0, 5.0, 20)], block_size=10)
    assert [o.state for o in outcomes] == ["refused", "granted"]
    assert summary.total is not None
    assert summary.total.max_used == 20
    # also where the policy doesn't look: all blocks or none
    summary, _ = play(table(10, 10), [(0.0, 5.0, 25)], "storalloc_worst_fit", block_size=10)
    assert (summary.failed, summary.total and summary.total.max_used) == (1, 0)


def test_four_seven_terabyte_jobs_in_sequence_on_eight() -> None:
    hour = 3600.0
    jobs = [(n * hour, hour, 7 * TB) for n in range(4)]
    for policy in ALL_POLICIES:
        if policy in ("striped", "storalloc_random"):
            continue
        summary, _ = play(table(8 * TB), jobs, policy)
        assert summary.granted == 4, policy


def test_a_long_window_over_jobs_in_sequence() -> None:
    # promises ahead (backfill) put reservations after each other into one window: the peak counts
    jobs = [(0.0, 10.0, 7), (1.0, 10.0, 7), (2.0, 3.0, 1)]
    _, outcomes = play(table(8), jobs, full="backfill")
    starts = {o.request.key: o.start for o in outcomes}
    assert starts == {"r0": 0.0, "r1": 10.0, "r2": 2.0}


def test_delayed_requests_keep_their_duration() -> None:
    _, outcomes = play(table(10), [(0.0, 400.0, 10), (0.0, 100.0, 10), (500.0, 100.0, 1)], full="retry")
    by_key = {o.request.key: o for o in outcomes}
    late = by_key["r1"]
    assert (late.start, late.tries) == (600.0, 3)  # tried at 0, 300, 600
    assert by_key["r2"].start == 500.0
    summary, _ = play(table(10), [(0.0, 400.0, 10), (0.0, 100.0, 10)], full="retry")
    assert (summary.delayed, summary.mean_delay, summary.end) == (1, 600.0, 700.0)


def test_an_exact_fit_is_granted() -> None:
    for policy in ALL_POLICIES:
        summary, _ = play(table(8), [(0.0, 1.0, 8)], policy.replace("striped", "striped:k=1"))
        assert summary.granted == (0 if policy == "storalloc_round_robin" else 1), policy


def test_what_never_fits_is_never_granted() -> None:
    for policy in ALL_POLICIES:
        summary, _ = play(table(8 * TB), [(0.0, 1.0, 1000 * TB)], policy)
        assert summary.granted == 0, policy


def test_an_empty_system_refuses_everything() -> None:
    for policy in ALL_POLICIES:
        for full in ("refuse", "retry", "fifo", "backfill"):
            summary, _ = play(table(), [(0.0, 1.0, 8), (3.0, 1.0, 8)], policy, full)
            assert summary.refused == 2, (policy, full)
    assert play(table(), [])[0].requests == 0


def test_the_seed_decides_and_nothing_else() -> None:
    system = table(*[40] * 6)
    requests = [(float(n), 30.0, 1 + n % 9) for n in range(60)]

    def places(seed: int) -> list[int]:
        return [o.shares[0].index for o in play(system, requests, "random", seed=seed)[1]]

    assert places(1) == places(1)
    assert places(1) != places(2)


# ---- what happens when there is no room -------------------------------------------------------------------


def test_retry_with_backoff_until_the_limit() -> None:
    jobs = [(0.0, 10_000.0, 10), (0.0, 1.0, 1)]
    # at 0, 300, ..., 3600; at 0, 100, 300, 700; at 0
    for full, tries in (("retry", 13), ("retry:every=100,backoff=2,limit=1000", 4), ("retry:limit=0", 1)):
        _, outcomes = play(table(10), jobs, full=full)
        assert (outcomes[-1].state, outcomes[-1].tries) == ("refused", tries)


def test_retry_comes_back_at_these_times() -> None:
    # room from 650 on: StorAlloc's rule finds it at 900, doubling from 100 s at 700
    jobs = [(0.0, 650.0, 10), (0.0, 1.0, 1)]
    for full, start in (("retry", 900.0), ("retry:every=100,backoff=2", 700.0)):
        _, outcomes = play(table(10), jobs, full=full)
        assert outcomes[-1].start == start


def test_split_requests_are_retried_too() -> None:
    summary, _ = play(table(10, 10), [(0.0, 100.0, 15), (0.0, 1.0, 15)], full="retry", block_size=10)
    assert (summary.granted, summary.delayed, summary.max_delay) == (2, 1, 300.0)


def test_fifo_lets_nobody_pass() -> None:
    # 10 of 10 until 5; then 8; the small one could run at once but was later
    _, outcomes = play(table(10), [(0.0, 5.0, 6), (1.0, 5.0, 8), (2.0, 1.0, 1)], full="fifo")
    assert {o.request.key: o.start for o in outcomes} == {"r0": 0.0, "r1": 5.0, "r2": 5.0}


def test_backfill_passes_where_it_delays_nobody() -> None:
    jobs = [(0.0, 5.0, 6), (1.0, 5.0, 8), (2.0, 1.0, 3), (2.0, 9.0, 2), (2.0, 9.0, 2)]
    _, outcomes = play(table(10), jobs, full="backfill")
    # r1 is promised 5.0. r2 ends before; r3 fits beside r1; r4 would push r1 out and follows it
    assert {o.request.key: o.start for o in outcomes} == {
        "r0": 0.0,
        "r1": 5.0,
        "r2": 2.0,
        "r3": 3.0,
        "r4": 10.0,
    }


def test_queues_refuse_only_what_can_never_fit() -> None:
    """11 bytes fit on none of two disks of 10, though both have 20: that is said at once, so that the 10
    behind them start at 1, on the disk that is free."""
    for full in ("fifo", "backfill"):
        summary, outcomes = play(table(10, 10), [(0.0, 5.0, 10), (1.0, 5.0, 11), (1.0, 5.0, 10)], full=full)
        assert [o.request.key for o in outcomes if o.state == "refused"] == ["r1"]
        assert outcomes[[o.request.key for o in outcomes].index("r1")].reason == "never fits"
        assert [o.start for o in outcomes if o.state == "granted"] == [0.0, 1.0]
        assert summary.granted == 2


requests = st.lists(
    st.tuples(st.integers(0, 60).map(float), st.integers(1, 30).map(float), st.integers(1, 30)), max_size=25
).map(lambda rs: sorted(rs, key=lambda r: r[0]))


@settings(max_examples=120, deadline=None)
@given(
    requests,
    st.sampled_from([p for p in ALL_POLICIES if not p.startswith("storalloc") and p != "striped"]),
    st.sampled_from(["refuse", "retry:every=3,limit=20", "fifo", "backfill"]),
    st.sampled_from([None, 7]),
)
def test_replays_are_right_whatever_comes(
    wanted: list[tuple[float, float, int]], policy: str, full: str, block: int | None
) -> None:
    system = table(20, 13, groups="ab")
    summary, outcomes = play(system, wanted, policy, full, block_size=block)
    granted = [o for o in outcomes if o.state == "granted"]
    for o in granted:
        assert sum(s.size for s in o.shares) == o.request.size
        assert o.start >= o.request.arrival
    # a timeline of whole seconds: never above capacity, and the means are its means
    end = int(summary.end)
    area = 0
    for t in range(int(summary.begin), end):
        there = [s for o in granted if o.start <= t < o.start + o.request.duration for s in o.shares]
        for index, capacity in enumerate((20, 13)):
            assert sum(s.size for s in there if s.index == index) <= capacity
        area += sum(s.size for s in there)
    if end > summary.begin:
        assert summary.total is not None
        assert summary.total.mean_used == pytest.approx(area / (end - summary.begin))
    if full == "fifo":
        starts = [o.start for o in sorted(granted, key=lambda o: int(o.request.key[1:]))]
        assert starts == sorted(starts)
    if full in ("fifo", "backfill") and block is None:
        assert all((o.state == "granted") == (o.request.size <= 20) for o in outcomes)


# ---- metrics ----------------------------------------------------------------------------------------------


def test_metrics_by_hand() -> None:
    system = table(10, 10, 20, groups="aab")
    series: list[tuple[float, int, int, int]] = []
    # s2 has most room: 8 there [0, 10); then s2 has 12: 12 more [2, 6); then 10 on s0 [4, 10);
    # 11 is refused at 5 (10 free on s1); at 6 s2 has 12: 11 fits until 8
    wanted = [(0.0, 10.0, 8), (2.0, 4.0, 12), (4.0, 6.0, 10), (5.0, 1.0, 11), (6.0, 2.0, 11)]
    summary, outcomes = play(system, wanted, series=series)
    assert [o.shares[0].index if o.shares else None for o in outcomes] == [2, 2, 0, None, 2]
    assert (summary.granted, summary.refused, summary.fragmented) == (4, 1, 0)
    assert (summary.granted_bytes, summary.refused_bytes, summary.requested_bytes) == (41, 11, 52)
    s0, s1, s2 = summary.storages
    assert (s0.mean_used, s0.max_used, s0.mean_allocations, s0.max_allocations) == (6.0, 10, 0.6, 1)
    assert (s1.mean_used, s1.max_used, s1.max_percent) == (0.0, 0, 0.0)
    assert s2.mean_used == pytest.approx((8 * 10 + 12 * 4 + 11 * 2) / 10)
    assert (s2.max_used, s2.max_allocations, s2.max_percent) == (20, 2, 100.0)
    assert s2.mean_allocations == pytest.approx((10 + 4 + 2) / 10)
    a, b = summary.groups
    assert (a.name, a.capacity, a.mean_used, b.max_used) == ("a", 20, 6.0, 20)
    assert summary.total is not None
    assert (summary.total.max_used, summary.total.max_allocations) == (30, 3)
    # at the arrivals: largest hole / what it could be: 20/20, 12/20, 10/20, 10/10, 12/20 (of 22, at most 20)
    assert summary.fragmentation == pytest.approx((0 + 0.4 + 0.5 + 0 + 0.4) / 5)
    assert series[:3] == [(0.0, 2, 8, 1), (2.0, 2, 20, 2), (4.0, 0, 10, 1)]
    assert series[-1][2] == 0


def test_refused_though_the_bytes_were_free() -> None:
    summary, _ = play(table(10, 10), [(0.0, 5.0, 4), (0.0, 5.0, 4), (1.0, 1.0, 7), (2.0, 1.0, 13)])
    assert (summary.refused, summary.fragmented) == (2, 1)


# ---- traces, files, commands ------------------------------------------------------------------------------

SYSTEM = """hosts:
- hostname: a
  network_bw: 12.5
  disks:
  - {capacity: 1000, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme0n1}
  - {capacity: 1000, read_bandwidth: 3, write_bandwidth: 3, block_device: /dev/nvme1n1}
"""


def files(tmp_path: Path, trace: str) -> tuple[str, str]:
    (tmp_path / "system.yml").write_text(SYSTEM)
    (tmp_path / "trace.csv").write_text(trace)
    return str(tmp_path / "system.yml"), str(tmp_path / "trace.csv")


TRACE = (
    "id,start,end,read,written\n"
    "1,2020-10-01 00:00:00,2020-10-03 00:00:00,600GB,200GB\n"
    "2,2020-10-01 06:00:00,2020-10-01 07:00:00,100,900GB\n"
    "1,2020-10-01 00:00:00,2020-10-03 00:00:00,0,100GB\n"
    "3,2020-10-02 00:00:00,2020-10-02 00:00:30,0,0\n"
)


@pytest.mark.parametrize(
    "stand_in, sizes",
    [
        ("sum", [900 * 10**9, 900 * 10**9 + 100]),
        ("read", [600 * 10**9, 100]),
        ("written", [300 * 10**9, 900 * 10**9]),
        ("max", [700 * 10**9, 900 * 10**9]),
    ],
)
def test_what_stands_for_capacity_is_a_choice(tmp_path: Path, stand_in: str, sizes: list[int]) -> None:
    _, trace = files(tmp_path, TRACE)
    read = read_requests(trace, capacity_from=stand_in)
    assert [request.size for request in read.requests] == sizes
    assert [request.duration for request in read.requests] == [2 * DAY, 3600.0]
    assert (read.records, read.without_bytes, read.capacity_from, read.zone) == (4, 1, stand_in, "UTC")


def test_records_stay_apart_when_told(tmp_path: Path) -> None:
    _, trace = files(tmp_path, TRACE)
    assert [r.key for r in read_requests(trace, merge=False).requests] == ["1", "1#1", "2"]


def test_requests_of_no_length_last_a_second(tmp_path: Path) -> None:
    """A log whose clock counts seconds has jobs that end as they begin: they are kept, and counted."""
    _, trace = files(tmp_path, "id,start,end,size\n1,0,100,5GB\n2,60,60,2GB\n3,7,7,0\n")
    read = read_requests(trace)
    assert [(r.key, r.duration) for r in read.requests] == [("1", 100), ("2", 1)]
    assert (read.no_length, read.without_bytes) == (1, 1)


@pytest.mark.parametrize(
    "text, says",
    [
        ("a,b\n", "line 1: has no column id"),
        ("id,start,size\n", "has no column end or duration"),
        ("id,start,duration,size\n1,0,x,3\n", "line 2: 'x' is not a duration"),
        ("id,start,duration,size\n1,0,-5,3\n", "line 2: the duration must be above 0, not -5"),
        ("id,start,duration,size\n1,0,5,3XB\n", "line 2: unknown unit 'XB'"),
        ("id,start,duration,size\n1,noon,5,3\n", "line 2: 'noon' is not a time"),
        ("id,start,duration,size\n,0,5,3\n", "line 2: nothing in the column 'id'"),
        ("id,start,duration,size\n1,0\n", "line 2: nothing in the column 'duration'|line 2"),
    ],
)
def test_wrong_csv(tmp_path: Path, text: str, says: str) -> None:
    _, trace = files(tmp_path, text)
    with pytest.raises(InputError, match=says):
        read_requests(trace)


def test_scale_of_capacities(tmp_path: Path) -> None:
    system, _ = files(tmp_path, TRACE)
    assert read_storages(system).capacities.tolist() == [TB, TB]
    assert read_storages(system, scale=0.25).capacities.tolist() == [TB // 4, TB // 4]
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="scale"):
            read_storages(system, scale=scale)


def test_the_replay_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system, trace = files(tmp_path, TRACE)
    out = str(tmp_path / "out" / "x")
    assert main(["alloc", "replay", system, trace, "--policy", "best_fit", "--validate", "-o", out]) == 0
    text = capsys.readouterr().out
    assert "2 requests (merged from 4 records)" in text
    assert "capacity from bytes read and written, times in UTC" in text
    summary = json.loads(Path(f"{out}_summary.json").read_text())
    assert summary["results"]["granted"] == 2
    with open(f"{out}_grants.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["storages"] for row in rows] == ["a/nvme0n1:900000000000", "a/nvme1n1:900000000100"]
    lengths = [float(row["end"]) - float(row["start"]) for row in rows]
    assert lengths == [2 * DAY, 3600]
    assert [float(row["delay"]) for row in rows] == [0, 0]
    with open(f"{out}_series.csv") as stream:
        assert [int(row["used_bytes"]) for row in csv.DictReader(stream)][:2] == [
            9 * 10**11,
            9 * 10**11 + 100,
        ]
    with open(f"{out}_uses.csv") as stream:
        assert [row["kind"] for row in csv.DictReader(stream)] == ["storage", "storage", "group", "all"]
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert main(["alloc", "replay", system, trace, "--policy", "best_fit", "-o", out]) == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == first
    capsys.readouterr()
    assert main(["alloc", "replay", system, trace, "--json", "--block-size", "200GB"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["split"] == 2


def test_the_sweep_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system, trace = files(tmp_path, TRACE)
    out = tmp_path / "sweep.csv"
    words = ["alloc", "sweep", system, trace, "--policy", "random", "--policy", "striped:k=2"]
    words += ["--scale", "1", "--scale", "0.5", "--block-size", "none", "--block-size", "200GB"]
    words += ["--seeds", "2", "-o", str(out)]
    assert main(words) == 0
    assert "striped:k=2" in capsys.readouterr().out
    with out.open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2 * 2 * 2 * 2
    whole = [
        r["granted"]
        for r in rows
        if r["scale"] == "0.5" and r["block_size"] == "" and r["policy"] == "random"
    ]
    assert whole == ["0", "0"]
    first = out.read_bytes()
    assert main([*words, "-j", "2"]) == 0
    assert out.read_bytes() == first


@pytest.mark.slow
def test_figures(tmp_path: Path) -> None:
    system, trace = files(tmp_path, TRACE)
    assert main(["alloc", "replay", system, trace, "--figures", str(tmp_path / "r")]) == 0
    assert (
        main(["alloc", "sweep", system, trace, "--policy", "random", "--figures", str(tmp_path / "s")]) == 0
    )
    names = {p.name for p in (tmp_path / "r").iterdir()} | {p.name for p in (tmp_path / "s").iterdir()}
    assert names == {
        *("used_over_time.svg", "allocations_over_time.svg", "per_storage.svg", "per_node.svg"),
        *("refused.svg", "granted.svg", "spread.svg"),
    }


@pytest.mark.parametrize(
    "words, says",
    [
        (["--policy", "bestfit"], "did you mean 'best_fit'"),
        (["--when-full", "retry:evry=3"], "did you mean 'every'"),
        (["--zone", "Mars/Olympus"], "unknown time zone"),
        (["--capacity-from", "reads"], "did you mean 'read'"),
        (["--block-size", "0B"], "block size"),
        (["--block-size", "2GB", "--min-block-size", "3GB"], "smallest block"),
        (["--scale", "0"], "scale"),
    ],
)
def test_wrong_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    system, trace = files(tmp_path, TRACE)
    assert main(["alloc", "replay", system, trace, "-o", str(tmp_path / "o"), *words]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.glob("o_*"))


def test_the_policies_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alloc", "policies"]) == 0
    text = capsys.readouterr().out
    assert "best_fit\n  The fewest free bytes among those that fit" in text


def test_start_up_imports_nothing_heavy() -> None:
    code = (
        "import sys; import batfs.storage.policies, batfs.storage.ledger, batfs.storage.replay;"
        "print([m for m in ('numba', 'pandas', 'matplotlib', 'rich', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_who_waits_behind_others_has_been_tried_as_often_as_it_was() -> None:
    """One of 10 bytes on 10 until 5. The next is tried when it comes and when the room is free; the third,
    behind it, when it comes to the front, at 10: once in vain at 5."""
    jobs = [(0.0, 5.0, 10), (1.0, 5.0, 10), (2.0, 5.0, 10)]
    _, outcomes = play(table(10), jobs, full="fifo")
    assert {o.request.key: (o.start, o.tries) for o in outcomes} == {
        "r0": (0.0, 1),
        "r1": (5.0, 2),
        "r2": (10.0, 1),
    }
