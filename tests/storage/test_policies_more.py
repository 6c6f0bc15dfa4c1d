"""Hand-worked scenarios for the policies that look at bandwidth, distance, draws, or other policies."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from batfs.errors import InputError
from batfs.storage.interface import Choice, FloatArray, Share, SpaceRequest, Storage
from batfs.storage.ledger import Ledger
from batfs.storage.policies import make_policy
from batfs.storage.policies.bandwidth import expected_bandwidth
from batfs.storage.split import MOST_BLOCKS, block_sizes, choose_blocks
from batfs.storage.view import SystemView


def system(capacities: Sequence[int], groups: str, net: float = 10.0) -> Ledger:
    """Disks that read at 4 and write at 3 behind networks of ``net``."""
    table = [Storage(i, f"s{i}", c, "", groups[i], 4.0, 3.0, net) for i, c in enumerate(capacities)]
    return Ledger(table, release_at_end=True)


def choose(
    policy: str, view: SystemView, size: int, end: float = math.inf, seed: int = 0, **options: int
) -> Choice | None:
    request = SpaceRequest(size, view.now, end, options=options)
    return make_policy(policy).choose(view, request, random.Random(seed))


class Wires:
    def distance(self, near: Sequence[str]) -> FloatArray:
        return np.array([3e-3, 1e-3, 1e-3, 5e-4])

    def residual_bandwidth(self, near: Sequence[str]) -> FloatArray:
        return np.array([5.0, 7.0, 1.0, 2.0])


def drawn(policy: str, view: SystemView, size: int, end: float = math.inf, draws: int = 60) -> set[int]:
    """The storages seen over many seeds."""
    choices = (choose(policy, view, size, end, seed) for seed in range(draws))
    return {choice[0].index for choice in choices if choice}


def test_worst_case_bandwidths_by_hand() -> None:
    # groups a: 0, 1 and b: 2, 3. Window [0, 100).
    ledger = system([100] * 4, "aabb")
    ledger.reserve([Share(0, 10)], end=50.0)
    ledger.reserve([Share(0, 10)], end=20.0)
    got = expected_bandwidth(SystemView(ledger), SpaceRequest(1, 0.0, 100.0))
    # disk 0: n = 2, m = 50: (50 * 3 + 50 * 3 / 3) / 100 = 2; the others are idle: 3
    # node a: 10 - 4 = 6 > 0; node b: 10 - 0 = 10
    assert got.tolist() == [2.0, 3.0, 3.0, 3.0]
    # with a network of 4: a: 4 - 4 = 0, so 4 / (1 + 1) = 2; b: 4
    narrow = system([100] * 4, "aabb", net=4.0)
    narrow.reserve([Share(0, 10)], end=50.0)
    got = expected_bandwidth(SystemView(narrow), SpaceRequest(1, 0.0, 100.0))
    # disk 0: n = 1: (50 * 3 + 50 * 3 / 2) / 100 = 2.25
    assert got.tolist() == [2.0, 2.0, 3.0, 3.0]
    assert choose("worst_case", SystemView(narrow), 5, 100.0) == (Share(2, 5),)
    assert drawn("storalloc_worst_case", SystemView(narrow), 5, 100.0) == {
        2,
        3,
    }


def test_worst_case_in_endless_windows() -> None:
    ledger = system([100, 100], "ab", net=1e9)
    ledger.reserve([Share(0, 10)])
    ledger.reserve([Share(1, 10)], end=50.0)
    # an endless one shares all the window, one that ends shares none of an endless window
    assert expected_bandwidth(SystemView(ledger), SpaceRequest(1, 0.0)).tolist() == [1.5, 3.0]


def test_least_loaded_then_most_free() -> None:
    ledger = system([10, 20, 30, 5], "aabb")
    transfers = np.array([1, 0, 0, 0])
    view = SystemView(ledger, transfers=transfers)
    assert choose("least_loaded", view, 5) == (Share(2, 5),)
    transfers[2] = 1
    assert choose("least_loaded", view, 5) == (Share(1, 5),)
    assert choose("least_loaded", view, 25) == (Share(2, 25),)


def test_locality_and_bandwidth_from_the_network() -> None:
    view = SystemView(system([10, 20, 30, 5], "aabb"), network=Wires())
    assert choose("locality", view, 5) == (Share(3, 5),)
    assert choose("locality", view, 6) == (Share(2, 6),)  # 1 and 2 are as near: 2 has more room
    assert choose("max_bandwidth", view, 5) == (Share(1, 5),)
    assert choose("max_bandwidth", view, 21) == (Share(2, 21),)


def test_max_bandwidth_without_a_network() -> None:
    ledger = system([10, 10, 10, 10], "aabb", net=4.0)
    # disks min(3, 4) = 3 over (transfers + 1); networks 4 over (group's transfers + 1)
    assert choose("max_bandwidth", SystemView(ledger, transfers=np.array([1, 0, 0, 0])), 1) == (Share(2, 1),)
    # a: disk 1: min(3, 4/2); b: disk 3: min(3, 4/4)
    assert choose("max_bandwidth", SystemView(ledger, transfers=np.array([1, 0, 3, 0])), 1) == (Share(1, 1),)


def test_locality_without_a_network_looks_at_names() -> None:
    ledger = system([10, 10], "ab")
    request = SpaceRequest(1, 0.0, near=("b",))
    assert make_policy("locality").choose(SystemView(ledger), request, random.Random(0)) == (Share(1, 1),)


def test_power_of_two_never_takes_the_worst_and_d_is_the_greed() -> None:
    ledger = system([10, 20, 30, 40], "aabb")
    assert drawn("power_of_two", SystemView(ledger), 1) == {1, 2, 3}  # 0 loses against any other
    assert drawn("power_of_two:d=4", SystemView(ledger), 1) == {3}
    assert drawn("power_of_two:d=1", SystemView(ledger), 1) == {
        0,
        1,
        2,
        3,
    }
    with pytest.raises(InputError, match="at least 1"):
        make_policy("power_of_two:d=0")


def test_lustre_goes_round_while_balanced() -> None:
    view = SystemView(system([100, 100, 90, 90], "aabb"))
    policy, rng = make_policy("lustre"), random.Random(0)
    # (100 - 90) / 100 < 17 %: round robin over the servers
    got = [policy.choose(view, SpaceRequest(5, 0.0), rng)[0].index for _ in range(5)]
    assert got == [0, 2, 1, 3, 0]


def test_lustre_weighs_free_space_when_unbalanced() -> None:
    view, rng = SystemView(system([100, 300], "ab")), random.Random(5)
    policy = make_policy("lustre:priority=1")  # no penalties: weights 1 to 3
    hits = [0, 0]
    for _ in range(2000):
        hits[policy.choose(view, SpaceRequest(5, 0.0), rng)[0].index] += 1
    # binomial(2000, 3/4): standard deviation 19
    assert abs(hits[1] - 1500) < 100

    # penalties push the draws apart: fewer repeats of the same storage than without
    def repeats(text: str) -> int:
        policy, rng = make_policy(text), random.Random(5)
        got = [policy.choose(view, SpaceRequest(5, 0.0), rng)[0].index for _ in range(2000)]
        return sum(a == b for a, b in pairwise(got))

    assert repeats("lustre:priority=0.3") < repeats("lustre:priority=1") - 100


def test_lustre_penalties_by_hand() -> None:
    view = SystemView(system([1000, 100], "ab"))
    policy = make_policy("lustre:priority=0.9")
    policy.choose(view, SpaceRequest(200, 0.0), random.Random(0))  # fits only on 0
    # units 0.1 * 1000 / 1 / 2 and 0.1 * 100 / 1 / 2; one storage a server: the same for servers.
    # The used one gets as many units as there are storages, then all lose one
    assert policy._penalty.tolist() == pytest.approx([50.0, 0.0])
    assert policy._server_penalty.tolist() == pytest.approx([50.0, 0.0])
    # what was there is halved first: 25 + 2 * 50 - 50
    policy.choose(view, SpaceRequest(200, 0.0), random.Random(0))
    assert policy._penalty.tolist() == pytest.approx([75.0, 0.0])
    assert policy._server_penalty.tolist() == pytest.approx([75.0, 0.0])
    # balanced again: all is forgotten
    policy.choose(SystemView(system([1000, 990], "ab")), SpaceRequest(200, 0.0), random.Random(0))
    assert policy._penalty.tolist() == [0.0, 0.0]
    assert policy._server_penalty.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match=r"must lie in 0\.\.1"):
        make_policy("lustre:threshold=17")


def test_lustre_doubles_the_penalties_of_storages_on_one_server() -> None:
    """A unit of the first is 0.1 x 1000 / 1 / 2, doubled: 100; it gets two and loses one. The server's only
    unit, 0.1 x 550 / 1 / 2, is lost at once."""
    policy = make_policy("lustre:priority=0.9")
    policy.choose(SystemView(system([1000, 100], "aa")), SpaceRequest(200, 0.0), random.Random(0))
    assert policy._penalty.tolist() == pytest.approx([100.0, 0.0])
    assert policy._server_penalty.tolist() == pytest.approx([0.0])


def test_lustre_with_one_storage_always_has_it() -> None:
    """Whatever is balanced: there is nobody to share a unit of penalty with."""
    policy = make_policy("lustre:threshold=0")
    view = SystemView(system([100], "a"))
    got = [policy.choose(view, SpaceRequest(40, 0.0), random.Random(k)) for k in range(3)]
    assert got == [(Share(0, 40),)] * 3


def test_striped_shares_are_equal_and_on_distinct_storages() -> None:
    view = SystemView(system([10, 40, 30, 20], "aabb"))
    assert choose("striped:k=3", view, 32) == (Share(1, 11), Share(2, 11), Share(3, 10))
    assert choose("striped:k=0", view, 40) == (Share(1, 10), Share(2, 10), Share(3, 10), Share(0, 10))
    assert choose("striped:k=0", view, 41) is None  # 0 has no room for 11
    six = SystemView(system([100] * 6, "aabbcc"))
    assert [share.size for share in choose("striped", six, 20) or ()] == [5] * 4  # four, if not told
    assert choose("striped:k=2,by=first_fit", view, 30) == (Share(1, 15), Share(2, 15))
    assert choose("striped:k=5", view, 40) == choose("striped:k=0", view, 40)
    assert choose("striped:k=4", view, 2) == (Share(1, 1), Share(2, 1))  # no share of nothing
    with pytest.raises(InputError, match="striped"):
        make_policy("striped:by=striped")


@pytest.mark.parametrize(
    "policy",
    [
        "random",
        "round_robin",
        "first_fit",
        "best_fit",
        "power_of_two",
        "lustre",
        "least_loaded",
        "worst_case",
    ],
)
def test_any_policy_stripes_when_asked_to(policy: str) -> None:
    view = SystemView(system([10, 40, 30, 20], "aabb"))
    for seed in range(10):
        choice = choose(policy, view, 31, seed=seed, count=2)
        assert choice is not None
        assert sorted(s.size for s in choice) == [15, 16]
        assert len({s.index for s in choice} - {0}) == 2
    assert choose(policy, view, 90, count=3) is None


def test_weighted_sums() -> None:
    view = SystemView(system([10, 40, 30, 20], "aabb"), network=Wires())
    # worst_fit scaled: 0, 1, 2/3, 1/3; locality scaled (latencies 3, 1, 1, 0.5 ms): 0, 0.8, 0.8, 1
    assert choose("weighted:worst_fit=1,locality=1", view, 1) == (Share(1, 1),)
    assert choose("weighted:worst_fit=1,locality=4", view, 1) == (Share(3, 1),)
    assert choose("weighted:worst_fit=-1", view, 1) == (Share(0, 1),)
    with pytest.raises(InputError, match="gives no score; weighted takes: best_fit"):
        make_policy("weighted:random=1")
    with pytest.raises(InputError, match="at least one policy"):
        make_policy("weighted")


def test_a_policy_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from batfs.storage.policies.base import ScoringPolicy\n"
        "class Fullest(ScoringPolicy):\n"
        "    def score(self, view, request, among):\n"
        "        return view.overlaps(request.start, request.end)[among]\n"
    )
    ledger = system([10, 10, 10], "abc")
    ledger.reserve([Share(1, 1)])
    assert choose(f"{file}:Fullest", SystemView(ledger), 1) == (Share(1, 1),)


# ---- StorAlloc's originals: the rules with their mistakes --------------------------------------------------


def test_storalloc_random_looks_at_no_capacity() -> None:
    view = SystemView(system([10, 10, 10], "aab"))
    hits = [0, 0, 0]
    for seed in range(3000):
        hits[choose("storalloc_random", view, 10**6, seed=seed)[0].index] += 1
    # the group first: b's only disk gets half; standard deviations below 28
    assert abs(hits[2] - 1500) < 120
    assert abs(hits[0] - 750) < 120


def test_storalloc_round_robin_refuses_an_exact_fit_and_gives_up_after_five() -> None:
    view = SystemView(system([10, 10], "ab"))
    assert choose("storalloc_round_robin", view, 10) is None
    assert choose("round_robin", view, 10) == (Share(0, 10),)
    # eight disks on four nodes, only the eighth free: five tries don't reach it
    ledger = system([10] * 8, "aabbccdd")
    for i in range(7):
        ledger.reserve([Share(i, 8)])
    policy, rng = make_policy("storalloc_round_robin"), random.Random(0)
    view = SystemView(ledger)
    # tries: nodes a b c d a with disks 0 2 4 6 1; the state survives: b c d reach 3 5 7
    assert policy.choose(view, SpaceRequest(5, 0.0), rng) is None
    assert policy.choose(view, SpaceRequest(5, 0.0), rng) == (Share(7, 5),)


def test_storalloc_worst_fit_grants_what_cannot_fit() -> None:
    ledger = system([10, 20], "ab")
    ledger.reserve([Share(1, 11)])
    assert choose("storalloc_worst_fit", SystemView(ledger), 10**9) == (Share(0, 10**9),)
    assert {
        choose("storalloc_worst_fit", SystemView(system([5, 9], "ab")), 1, seed=s)[0].index for s in range(9)
    } == {0, 1}


def test_storalloc_free_space_adds_up_what_never_meets() -> None:
    ledger = system([10, 10], "ab")
    for start in (0.0, 10.0, 20.0):
        ledger.reserve([Share(0, 4)], start=start, end=start + 10)
    ledger.reserve([Share(1, 7)], end=30.0)
    # at any moment 6 are free on 0; StorAlloc sees 10 - 12 < 0
    assert choose("worst_fit", SystemView(ledger), 5, 30.0) == (Share(0, 5),)
    assert choose("storalloc_worst_case", SystemView(ledger), 3, 30.0) == (Share(1, 3),)
    assert choose("storalloc_worst_case", SystemView(ledger), 5, 30.0) is None


# ---- splits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, block, smallest, sizes",
    [
        (500, None, 0, [500]),
        (500, 200, 0, [200, 200, 100]),
        (400, 200, 0, [200, 200]),
        (200, 200, 0, [200]),
        (199, 200, 0, [199]),
        (401, 200, 50, [200, 201]),
        (201, 200, 50, [201]),
        (450, 200, 50, [200, 200, 50]),
    ],
)
def test_block_sizes(size: int, block: int | None, smallest: int, sizes: list[int]) -> None:
    assert block_sizes(size, block, smallest) == sizes


def test_as_many_blocks_as_are_allowed() -> None:
    assert len(block_sizes(MOST_BLOCKS, 1)) == MOST_BLOCKS
    with pytest.raises(InputError, match="would be 1000001 blocks, above 1000000"):
        block_sizes(MOST_BLOCKS + 1, 1)


def test_when_hidden_storages_are_back_is_told_as_far_as_it_is_known() -> None:
    view = SystemView(system([10, 10, 10], "abc"))
    view.hide(0, 7.0)
    view.hide(1, math.inf)
    assert list(view.returns) == [7.0]
    assert view.free(0.0, 1.0).tolist() == [-1, -1, 10]
    assert view.free(7.0, 9.0).tolist() == [10, -1, 10]


def test_blocks_see_each_other_and_are_all_or_nothing() -> None:
    ledger = system([10, 10, 10], "abc")
    view, policy = SystemView(ledger), make_policy("best_fit")

    def place(sizes: list[int]) -> Choice | None:
        return choose_blocks(policy, view, SpaceRequest(sum(sizes), 0.0, 9.0), sizes, random.Random(0))

    assert place([6, 6, 4, 4]) == (Share(0, 6), Share(1, 6), Share(0, 4), Share(1, 4))
    assert place([6, 6, 6]) == (Share(0, 6), Share(1, 6), Share(2, 6))
    assert place([6, 6, 6, 6]) is None
    line = ledger.reserve(place([6, 6, 4, 4]), end=9.0)
    assert line.shares == (Share(0, 10), Share(1, 10))
    ledger.release(line)
    ledger.validate()
    assert ledger.free(0, 9).tolist() == [10, 10, 10]


def test_blocks_count_as_load_for_each_other() -> None:
    view = SystemView(system([100, 100], "ab", net=1e9))
    # the first block makes the second disk the better one: n = 1 over the whole window
    for text in ("worst_case", "least_loaded", "storalloc_worst_fit"):
        choice = choose_blocks(
            make_policy(text), view, SpaceRequest(40, 0.0, 10.0), [20, 20], random.Random(0)
        )
        assert choice is not None
        assert {share.index for share in choice} == {0, 1}, text


APART = [
    *("random", "round_robin", "round_robin:over=group", "first_fit", "best_fit", "worst_fit"),
    *("worst_fit_percent", "least_loaded", "locality", "max_bandwidth", "worst_case", "power_of_two"),
]


@pytest.mark.parametrize("policy", APART)
def test_several_at_once_are_those_that_one_by_one_would_be(policy: str) -> None:
    """``apart`` policies: the same storages in the same order, the same draws, and the same state behind."""
    rng = random.Random(23)
    for seed in range(60):
        m = rng.randrange(1, 12)
        groups = "".join(rng.choice("abc") for _ in range(m))
        ledger = system([rng.randrange(50, 90) for _ in range(m)], groups)
        for _ in range(rng.randrange(4)):
            ledger.reserve([Share(rng.randrange(m), rng.randrange(1, 12))], end=rng.choice([30.0, math.inf]))
        transfers = np.array([rng.randrange(3) for _ in range(m)])
        view = SystemView(ledger, transfers=transfers)
        together, single = make_policy(policy), make_policy(policy)
        assert vars(type(together))["apart"]
        draws = random.Random(seed), random.Random(seed)
        for _ in range(3):
            among = np.array(sorted(rng.sample(range(m), rng.randrange(1, m + 1))))
            count = rng.randrange(1, len(among) + 1)
            request = SpaceRequest(1, 0.0, 50.0, candidates=among)
            found = together.pick(view, request, among, count, draws[0])  # type: ignore[attr-defined]
            left, expected = among, []
            for _ in range(count):
                [share] = single.choose(view, SpaceRequest(1, 0.0, 50.0, candidates=left), draws[1]) or ()
                expected.append(share.index)
                left = left[left != share.index]
            assert list(found) == expected
            assert draws[0].getstate() == draws[1].getstate()
