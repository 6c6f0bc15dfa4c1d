"""Every built-in I/O policy on two to four applications, calculated by hand.

The file system moves 100 MB/s: 1 GB takes 10 s alone.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from applications import GB, MB, PFS, THROTTLES, once, periodic, run, spans

from batfs.scheduling.io_policies.interface import Application, IoPass, IoView, Transfer
from batfs.scheduling.io_policies.ordered import MaxEfficiency, MinDilation, Ordered
from batfs.scheduling.io_policies.set10 import Set10

A_LITTLE = 2e-3  # seconds: messages of a run with many pieces


def test_fair_shares(tmp_path: Path) -> None:
    """1 GB and 0.5 GB from 1 s on at 50 MB/s each: the small one ends at 11 s, the other half of the large
    one moves alone: 5 s more."""
    ran = run(tmp_path, "fair", [once("a", 1, writes=GB), once("b", 1, writes=GB // 2)])
    assert spans(ran) == {"a.write": (1, 16), "b.write": (1, 11)}


def test_exclusive_is_one_at_a_time_on_each_file_system(tmp_path: Path) -> None:
    """c has a file system of its own and goes at once; d, which came after b, waits for it."""
    storages = {"pfs": PFS, "scratch": {**PFS, "filesystem": "scratch"}}
    jobs = [
        once("a", 1, writes=GB),
        once("b", 2, writes=GB),
        once("c", 1, writes=GB, filesystem="scratch"),  # type: ignore[arg-type]
        once("d", 3, writes=100 * MB),
    ]
    ran = run(tmp_path, "exclusive", jobs, storages=storages)
    assert spans(ran) == {"a.write": (1, 11), "b.write": (11, 21), "c.write": (1, 11), "d.write": (21, 22)}
    held = {record.job.id: record.io_times.held for record in ran.records}
    assert held == pytest.approx({"w0!a": 0, "w0!b": 9, "w0!c": 0, "w0!d": 18}, abs=A_LITTLE)


def test_exclusive_in_chunks_takes_turns(tmp_path: Path) -> None:
    """a moves 500 MB until 6 s, b until 11 s, a its rest until 16 s, b until 21 s."""
    ran = run(tmp_path, "exclusive:chunk=500MB", [once("a", 1, writes=GB), once("b", 1.001, writes=GB)])
    assert spans(ran) == {
        "a.write": (1, pytest.approx(16, abs=A_LITTLE)),
        "b.write": (pytest.approx(6, abs=A_LITTLE), pytest.approx(21, abs=A_LITTLE)),
    }


def test_fcfs_lets_move_together_what_the_links_can_take(tmp_path: Path) -> None:
    """Nodes of 40 MB/s: two of them move at once, the third would make 120 of 100 MB/s and waits; the fourth
    came after it. 400 MB take 10 s."""
    jobs = [once(name, 1 + k / 10, writes=400 * MB) for k, name in enumerate("abcd")]
    ran = run_on_slow_nodes(tmp_path, "fcfs", jobs)
    assert spans(ran) == {
        "a.write": (1, 11),
        "b.write": (1.1, 11.1),
        "c.write": (11, 21),
        "d.write": (11.1, 21.1),
    }


def test_fcfs_keeps_the_order_and_min_dilation_fills_the_gap(tmp_path: Path) -> None:
    """Beside a (two nodes, 80 MB/s) there is no room for b (two nodes) and none for c (one) either, if it
    may not pass. 800 MB from two nodes take 10 s."""
    jobs = [
        once("a", 1, nodes=2, writes=800 * MB),
        once("b", 2, nodes=2, writes=800 * MB),
        once("c", 3, writes=200 * MB),
    ]
    ran = run_on_slow_nodes(tmp_path, "fcfs", jobs)
    assert spans(ran) == {"a.write": (1, 11), "b.write": (11, 21), "c.write": (21, 26)}


def run_on_slow_nodes(folder: Path, policy: str, jobs: list) -> object:
    """Each node's own links take 40 MB/s."""
    import fs_tiny

    slow = fs_tiny.platform_xml
    try:
        fs_tiny.platform_xml = lambda *args, **more: slow(*args, **{**more, "network": "40MBps"})
        return run(folder, policy, jobs)
    finally:
        fs_tiny.platform_xml = slow


def test_shortest_first(tmp_path: Path) -> None:
    """Of 30, 10 and 20 s at once: 10 s first, then 20 s, then 30 s."""
    jobs = [once("a", 1, writes=3 * GB), once("b", 1, writes=GB), once("c", 1, writes=2 * GB)]
    ran = run(tmp_path, "shortest_first", jobs)
    assert spans(ran) == {"b.write": (1, 11), "c.write": (11, 31), "a.write": (31, 61)}


def test_shortest_first_in_chunks_interrupts(tmp_path: Path) -> None:
    """a has begun when b comes at 3 s; at 6 s, after a chunk, b has less left and goes first."""
    jobs = [once("a", 1, writes=2 * GB), once("b", 3, writes=GB)]
    ran = run(tmp_path, "shortest_first:chunk=500MB", jobs)
    assert spans(ran)["b.write"] == pytest.approx((6, 16), abs=A_LITTLE)
    assert spans(ran)["a.write"] == pytest.approx((1, 31), abs=A_LITTLE)


def test_min_dilation_serves_who_was_slowed_most(tmp_path: Path) -> None:
    """All three write 1 GB after 1 s: a until 11, b until 21, c until 31 s. b has worked 1 s and had 10 s of
    I/O in 21 s (0.52), c in 31 s (0.35). a writes again from 12 s on: its (2 + 10) / 12 s = 1 is better than
    c's 1 / 21 when b ends, so c goes first; then a and b have both got 12 s out of 31 s: a asked first."""
    jobs = [periodic("a", 2, 1, GB), periodic("b", 2, 1, GB), periodic("c", 1, 1, GB)]
    ran = run(tmp_path, "min_dilation", jobs)
    assert spans(ran) == {
        "a.write": (1, 11),
        "b.write": (11, 21),
        "c.write": (21, 31),
        "a.write1": (31, 41),
        "b.write1": (41, 51),
    }


def test_max_efficiency_serves_who_keeps_most_nodes_waiting(tmp_path: Path) -> None:
    """c has the link from 3 to 5 s. Then wait a and b, after 4 s of work, and d, after 3.5 s, with 10 s of
    I/O each: b on 4 nodes gains 4 x 4 / 10, a 4 / 10, d 3.5 / 10 though it was first to ask."""
    jobs = [
        once("a", 4, writes=GB),
        once("b", 4, nodes=4, writes=GB),
        once("c", 3, writes=200 * MB),
        once("d", 3.5, writes=GB),
    ]
    ran = run(tmp_path, "max_efficiency", jobs)
    assert spans(ran) == {"c.write": (3, 5), "b.write": (5, 15), "a.write": (15, 25), "d.write": (25, 35)}


@pytest.mark.parametrize("policy", [MinDilation(), MaxEfficiency()])
@pytest.mark.parametrize("noise", [0.0, 1e-6, -1e-6])
def test_microseconds_decide_nothing(policy: Ordered, noise: float) -> None:
    """Two applications alike, one of which ended its transfer a microsecond sooner or later: neither has
    worked, neither was slowed down, so who asks first is served first."""
    keys = []
    for off in (0.0, noise):
        application = Application("w0!1", 1, 1.0, {}, alone=0.2, blocked=0.2 + off)
        transfer = SimpleNamespace(application=application, seconds=5.0)
        keys.append(policy.key(cast(Transfer, transfer), 1.2 + 1e-7))
    assert keys[0] == keys[1]


def test_round_robin_serves_whose_last_transfer_is_longest_ago(tmp_path: Path) -> None:
    """a: 1-11, then 12 on; b: 11-21; c, which has had nothing yet, 21-31 though a asked before it (at 12 s,
    c at 13 s); then a (last at 11 s) before b (last at 21 s, asked at 22 s)."""
    jobs = [periodic("a", 2, 1, GB), periodic("b", 2, 1, GB), periodic("c", 1, 13, GB)]
    ran = run(tmp_path, "round_robin", jobs)
    assert spans(ran) == {
        "a.write": (1, 11),
        "b.write": (11, 21),
        "c.write": (21, 31),
        "a.write1": (31, 41),
        "b.write1": (41, 51),
    }


@pytest.mark.parametrize("option, order", [("", "acb"), (":of=nodes", "abc")])
def test_priority(tmp_path: Path, option: str, order: str) -> None:
    """a has the link; then c by what the workload says, b by its nodes."""
    jobs = [once("a", 1, writes=GB), once("b", 2, nodes=2, writes=GB), once("c", 3, writes=GB)]
    ran = run(tmp_path, f"priority{option}", jobs, members={"c": {"io_priority": 5}})
    found = spans(ran)
    assert "".join(sorted("abc", key=lambda name: found[f"{name}.write"])) == order


def test_set10_shares_ten_to_one_between_rhythms(tmp_path: Path) -> None:
    """a writes 100 MB (1 s) after each 9 s: a period of 10 s, set 1. b writes 2 GB after 90 s: until then its
    rhythm is not known; it asks with 90 + 20 = 110 s, set 2. a's tenth write begins at 99 s, while b has
    moved 900 MB since 90 s: a gets 10 of 11 parts, 90.9 MB/s, so its write takes 1.1 s."""
    ran = run(tmp_path, "set10", [periodic("a", 10, 9, 100 * MB), once("b", 90, writes=2 * GB)])
    found = spans(ran)
    assert found["a.write8"] == (89, 90)
    assert found["a.write9"] == pytest.approx((99, 100.1), abs=A_LITTLE)
    # 20 s, and 1 s of a's in between
    assert found["b.write"] == pytest.approx((90, 111), abs=A_LITTLE)


def test_set10_is_exclusive_within_a_set(tmp_path: Path) -> None:
    """Two of one rhythm write one after the other."""
    ran = run(tmp_path, "set10", [once("a", 20, writes=GB), once("b", 21, writes=GB)])
    assert spans(ran) == {"a.write": (20, 30), "b.write": (30, 40)}


def test_cap(tmp_path: Path) -> None:
    """1 GB at 10 MB/s: 100 s; without throttles free the third waits for one."""
    jobs = [once(name, 1, writes=GB) for name in "abc"]
    ran = run(tmp_path, "cap:rate=10MBps", jobs, storages={"pfs": PFS, **THROTTLES})
    assert spans(ran) == {"a.write": (1, 101), "b.write": (1, 101), "c.write": (101, 201)}


def test_cap_that_limits_nothing_needs_no_throttle(tmp_path: Path) -> None:
    jobs = [once(name, 1, writes=GB) for name in "abc"]
    ran = run(tmp_path, "cap:rate=1GBps", jobs, storages={"pfs": PFS, **THROTTLES})
    assert set(spans(ran).values()) == {(1, 31)}


def test_token_buckets(tmp_path: Path) -> None:
    """A burst of 200 MB at 10 MB/s: 1 GB moves in five pieces of 2 s, which start 20 s apart."""
    ran = run(tmp_path, "tbf:rate=10MBps,burst=200MB", [once("a", 1, writes=GB)])
    assert spans(ran)["a.write"] == pytest.approx((1, 1 + 4 * 20 + 2), abs=A_LITTLE)
    pieces = sorted(span for name, span in ran.kinds().items() if name.endswith("write"))
    assert [start for start, _ in pieces] == pytest.approx([1, 21, 41, 61, 81], abs=A_LITTLE)


def test_token_buckets_of_users(tmp_path: Path) -> None:
    """Two jobs of one user share a bucket: 400 MB together, 200 at once, the rest 20 s later. The other
    user's don't wait."""
    jobs = [once(name, 1, writes=200 * MB) for name in "abc"]
    users = {"a": {"user": "ann"}, "b": {"user": "ann"}, "c": {"user": "bob"}}
    ran = run(tmp_path, "tbf:rate=10MBps,burst=200MB,by=user", jobs, members=users)
    assert spans(ran) == {
        "a.write": (1, 5),
        "b.write": (pytest.approx(21, abs=A_LITTLE), pytest.approx(23, abs=A_LITTLE)),
        "c.write": (1, 5),
    }


def test_borrowing_leaves_nothing_idle(tmp_path: Path) -> None:
    ran = run(tmp_path, "tbf:rate=10MBps,burst=200MB,borrow=true", [once("a", 1, writes=GB)])
    assert spans(ran)["a.write"] == pytest.approx((1, 11), abs=A_LITTLE)


def test_what_is_left_of_a_link_goes_to_the_next(tmp_path: Path) -> None:
    """Two nodes of 40 MB/s have 80, the third gets the 20 that are left: at 11 s it has moved 200 of its
    400 MB, and keeps its limit, as long as it isn't cut into chunks."""
    jobs = [once(name, 1, writes=400 * MB) for name in "abc"]
    storages = {"pfs": PFS, **THROTTLES}
    import fs_tiny

    slow = fs_tiny.platform_xml
    try:
        fs_tiny.platform_xml = lambda *args, **more: slow(*args, **{**more, "network": "40MBps"})
        ran = run(tmp_path, "min_dilation:fill=true", jobs, storages=storages)
    finally:
        fs_tiny.platform_xml = slow
    assert spans(ran) == {"a.write": (1, 11), "b.write": (1, 11), "c.write": (1, 21)}


def test_periodic_gives_turns_to_applications_that_meet(tmp_path: Path) -> None:
    """Both work 10 s and write 10 s. They meet the first time and share the link: 20 s. Then they are known,
    and a pattern of 20 s has room for both: from the third time on nobody shares, and each has its 10 s."""
    ran = run(tmp_path, "periodic", [periodic("a", 6, 10, GB), periodic("b", 6, 10, GB)])
    found = spans(ran)
    assert found["a.write"] == found["b.write"] == (10, 30)
    for k in range(2, 6):
        begin, end = found[f"a.write{k}"]
        assert end - begin == pytest.approx(10, abs=A_LITTLE)
        assert all(end <= b + A_LITTLE or e <= begin + A_LITTLE for n, (b, e) in found.items() if n[0] == "b")


def test_periodic_options(tmp_path: Path) -> None:
    from batfs.errors import InputError
    from batfs.scheduling.io_policies import make_io_policy

    for word in ("periodic:longest=0.5", "periodic:step=0", "periodic:step=2"):
        with pytest.raises(InputError, match="longest"):
            make_io_policy(word)


def test_set10_counts_weights_from_the_slowest_under_way(tmp_path: Path) -> None:
    """c's rhythm is of 1,000 s (set 3): as long as it is known, the writes of a (10 s, set 1) weigh 100, with
    ``most=1000``, and those of b (100 s, set 2) 10; when c is over, 10 and 1."""
    jobs = [
        periodic("a", 150, 9, 100 * MB),
        periodic("b", 15, 90, GB),
        periodic("c", 1, 900, 10 * GB),
    ]
    weights: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    whole = Set10.schedule

    def watched(self: Set10, view: IoView) -> IoPass:
        found = whole(self, view)
        for start in found.starts:
            name = start.transfer.job_id.partition("!")[2]
            if name in weights:
                weights[name].append((view.now, start.weight))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Set10, "schedule", watched)
        ran = run(tmp_path, "set10:most=1000", jobs)
    begun, over = spans(ran)["c.write"]
    for name, usual in (("a", 10), ("b", 1)):
        assert {weight for now, weight in weights[name] if begun < now < over} == {10 * usual}
        late = [weight for now, weight in weights[name] if now > over + 1]
        assert late
        assert set(late) == {usual}


def test_set10_heeds_a_rhythm_that_changes() -> None:
    """An application known as of set 2 has become one of set 1: the greatest set is what it is now."""
    policy = Set10()
    slow, quick = SimpleNamespace(period=10.0, over=False), SimpleNamespace(period=1.0, over=False)
    policy._rhythms = [(-2, 0, slow), (-1, 1, slow), (0, 2, quick)]  # type: ignore[list-item]
    assert policy._greatest() == 1
    slow.over = True
    assert policy._greatest() == 0
    quick.over = True
    assert policy._greatest() == -9
