"""``batfs reproduce periodic_io`` beside what was published, and PerSched by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.campaign.reproduce.periodic_io import SETS, Set, reproduce
from batfs.cli.main import main
from batfs.scheduling.io_policies.pattern import Periodic, persched, upper_limit


@pytest.mark.parametrize("one", SETS, ids=lambda one: str(one.number))
def test_upper_limits_to_three_digits(one: Set) -> None:
    assert sum(a.weight for a in one.applications) == 10
    assert round(upper_limit(one.applications), 3) == pytest.approx(one.published.limit, abs=0.00051)


def holds(one: Set, folder: Path) -> None:
    found, published = reproduce(one, folder), one.published
    assert found.periodic.efficiency == pytest.approx(published.periodic, rel=0.01)
    assert found.online.dilation == pytest.approx(published.online_dilation, rel=0.03)
    if one.number == 2:
        assert found.congested.efficiency == pytest.approx(0.2725, rel=0.01)


@pytest.mark.parametrize("number", [1, 7, 9, 10])
def test_quick_sets(number: int, tmp_path: Path) -> None:
    holds(SETS[number - 1], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3, 4, 5, 6, 8])
def test_other_sets(number: int, tmp_path: Path) -> None:
    holds(SETS[number - 1], tmp_path)


def test_two_alike_that_take_turns() -> None:
    """Each works 10 s and then fills the link for 10 s: one moves while the other works, and nobody waits."""
    pair = [Periodic(10.0, 1000.0, 100.0, 1)] * 2
    pattern = persched(pair, 100.0)
    assert (pattern.length, pattern.efficiency(pair), pattern.dilation(pair)) == pytest.approx((20, 0.5, 1))
    begins = sorted(slot[0].begin % 20 for slots in pattern.slots for slot in slots)
    assert begins[1] - begins[0] == pytest.approx(10)


def test_a_link_that_three_share() -> None:
    """Three of them need 30 s of the link for 10 s of work each: no pattern is denser than 30 s for one of
    each, which is an efficiency of a third; patterns are tried in steps of a hundredth."""
    three = [Periodic(10.0, 1000.0, 100.0, 1)] * 3
    pattern = persched(three, 100.0)
    assert pattern.efficiency(three) == pytest.approx(1 / 3, rel=0.02)
    assert pattern.efficiency(three) <= 1 / 3 + 1e-9


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(1, 100), st.floats(1, 1000), st.floats(1, 200), st.integers(1, 8)),
        min_size=1,
        max_size=4,
    )
)
def test_patterns_keep_the_rules(given_: list[tuple[float, float, float, int]]) -> None:
    """Bandwidths add up to no more than the link's, every transfer moves its bytes, and an application works
    between two of its own."""
    bandwidth = 100.0
    applications = [Periodic(w, v, min(r, bandwidth), n) for w, v, r, n in given_]
    pattern = persched(applications, bandwidth, longest=2.0, step=0.2)
    length = pattern.length
    changes: list[tuple[float, float]] = []
    for one, slots in zip(applications, pattern.slots, strict=True):
        for slot in slots:
            assert sum((s.end - s.begin) * s.rate for s in slot) == pytest.approx(one.volume, rel=1e-6)
            for s in slot:
                assert s.rate <= one.rate * (1 + 1e-9)
                begin, end = s.begin % length, s.begin % length + (s.end - s.begin)
                for a, b in ((begin, min(end, length)), (0.0, end - length)):
                    if b > a:
                        changes += [(a, s.rate), (b, -s.rate)]
        for before, after in zip(slots, [*slots[1:], *slots[:1]], strict=True):
            gap = (after[0].begin - before[-1].end) % length if len(slots) > 1 else length
            if len(slots) > 1:
                assert gap >= one.work * (1 - 1e-6) - 1e-6
    used = 0.0
    # what ends at a moment ends before what begins there
    for at, rate in sorted(changes, key=lambda change: (round(change[0], 6), change[1])):
        used += rate
        assert used <= bandwidth * (1 + 1e-6), at


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "figure.png"
    assert main(["reproduce", "periodic_io", "--set", "10", "--figure", str(figure)]) == 0
    told = capsys.readouterr().out
    assert "0.9882" in told
    assert figure.stat().st_size > 10_000
    assert main(["reproduce", "periodic_io", "--set", "10", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert found["set"] == 10
    assert found["periodic"]["efficiency"] == pytest.approx(0.986, rel=0.01)
    assert main(["reproduce", "periodic_io", "--set", "11"]) == 2
    assert "there is no set 11" in capsys.readouterr().err
