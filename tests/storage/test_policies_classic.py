import random

import numpy as np
import pytest

from batfs.errors import InputError
from batfs.storage.interface import Share, SpaceRequest, Storage
from batfs.storage.ledger import Ledger
from batfs.storage.policies import known_policies, make_policy
from batfs.storage.view import SystemView, fitting, shortage


def ledger(*capacities: int, held: tuple[int, ...] = (), groups: str = "") -> Ledger:
    groups = groups or "a" * len(capacities)
    book = Ledger(Storage(i, f"s{i}", c, group=groups[i]) for i, c in enumerate(capacities))
    for index, size in enumerate(held):
        if size:
            book.reserve([Share(index, size)])
    return book


def pick(policy: str, book: Ledger, size: int, seed: int = 0, **rest: object) -> int | None:
    choice = make_policy(policy).choose(
        SystemView(book), SpaceRequest(size, book.now, **rest), random.Random(seed)
    )
    if choice is None:
        return None
    assert sum(s.size for s in choice) == size
    return choice[0].index


# free: 5, 9, 3, 9, 4 of 10, 20, 4, 9, 4
@pytest.mark.parametrize(
    "policy, size, index",
    [
        ("first_fit", 5, 0),
        ("first_fit", 6, 1),
        ("best_fit", 3, 2),
        ("best_fit", 4, 4),
        ("best_fit", 6, 1),  # 1 and 3 are alike: the lower
        ("worst_fit", 1, 1),
        ("worst_fit_percent", 1, 3),  # 100 % free, as 4: the lower
        ("worst_fit_percent", 4, 3),
        ("round_robin", 1, 0),
        ("round_robin", 9, 1),  # an exact fit is a fit
        ("first_fit", 10, None),
        ("best_fit", 10, None),
        ("worst_fit", 10, None),
        ("worst_fit_percent", 10, None),
        ("round_robin", 10, None),
        ("random", 10, None),
    ],
)
def test_where_a_request_goes(policy: str, size: int, index: int | None) -> None:
    book = ledger(10, 20, 4, 9, 4, held=(5, 11, 1, 0, 0))
    assert pick(policy, book, size) == index


@pytest.mark.parametrize("size", [1, 4, 5])
def test_where_it_fits_everywhere_all_candidates_are_what_fits(size: int) -> None:
    """4 bytes fit everywhere, which is known without looking at each; 5 don't."""
    book = ledger(10, 20, 4, 9)
    for given in (np.arange(4), np.array([1, 3])):
        found = fitting(SystemView(book), SpaceRequest(size, book.now, candidates=given))
        assert found.tolist() == [i for i in given.tolist() if book.capacities[i] >= size]


def test_candidates_restrict_every_policy() -> None:
    book = ledger(10, 20, 4, 9)
    for policy in ("random", "round_robin", "first_fit", "best_fit", "worst_fit", "worst_fit_percent"):
        for seed in range(5):
            assert pick(policy, book, 4, seed, candidates=[2, 3]) in (2, 3)
        assert pick(policy, book, 10, candidates=[2, 3]) is None
        assert pick(policy, book, 1, candidates=[]) is None


def test_an_empty_system_grants_nothing_and_crashes_nothing() -> None:
    for policy in known_policies():
        if policy != "weighted":
            assert (
                make_policy(policy).choose(SystemView(Ledger([])), SpaceRequest(1, 0.0), random.Random(0))
                is None
            )


def test_random_is_uniform_and_seeded() -> None:
    book = ledger(10, 10, 10, 1)
    policy, view, rng = make_policy("random"), SystemView(book), random.Random(3)
    hits = [0] * 4
    for _ in range(3000):
        choice = policy.choose(view, SpaceRequest(5, 0.0), rng)
        assert choice is not None
        hits[choice[0].index] += 1
    assert hits[3] == 0
    # each is binomial(3000, 1/3): standard deviation 26
    assert all(abs(hit - 1000) < 130 for hit in hits[:3])
    again = [pick("random", book, 5, seed) for seed in range(20)]
    assert again == [pick("random", book, 5, seed) for seed in range(20)]


def test_round_robin_goes_round_and_skips_the_full() -> None:
    book = ledger(10, 10, 10, 10, held=(0, 8, 0, 0))
    policy, view, rng = make_policy("round_robin"), SystemView(book), random.Random(0)

    def turn(size: int) -> int:
        choice = policy.choose(view, SpaceRequest(size, 0.0), rng)
        assert choice is not None
        return choice[0].index

    assert [turn(5) for _ in range(5)] == [0, 2, 3, 0, 2]
    assert policy.choose(view, SpaceRequest(11, 0.0), rng) is None
    assert [turn(1) for _ in range(3)] == [3, 0, 1]  # a refusal moves nothing


def test_round_robin_over_groups_takes_another_server_each_time() -> None:
    book = ledger(9, 9, 9, 9, 9, groups="aabbc")
    policy, view, rng = make_policy("round_robin:over=group"), SystemView(book), random.Random(0)
    got = []
    for _ in range(6):
        choice = policy.choose(view, SpaceRequest(1, 0.0), rng)
        assert choice is not None
        got.append(choice[0].index)
    assert got == [0, 2, 4, 1, 3, 0]


def test_unknown_policies_list_the_known() -> None:
    with pytest.raises(InputError, match=r"worst_fit_percent.*did you mean 'first_fit'"):
        make_policy("firstfit")
    with pytest.raises(InputError, match="has no option 'k'"):
        make_policy("first_fit:k=1")


def test_shortage_says_which_storage_and_how_much() -> None:
    book = ledger(10, 20, held=(5, 18))
    assert shortage(SystemView(book), SpaceRequest(8, 0.0)) == (0, 3, False)
    assert shortage(SystemView(book), SpaceRequest(21, 0.0)) == (0, 16, True)
    assert shortage(SystemView(book), SpaceRequest(20, 0.0, candidates=[1])) == (1, 18, False)
