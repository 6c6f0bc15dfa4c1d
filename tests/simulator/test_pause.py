"""Pauses of the engine: the quick way to wait, which must notice what else ends at its moment."""

from __future__ import annotations

import pytest

from batfs.simulator.engine import Engine


def engine_with_pause(other: float, interpreted: bool) -> tuple[Engine, int]:
    """A pause of 2 s that is created before a timer of ``other`` seconds; and what :meth:`pause` returned."""
    engine = Engine([1.0], [False], ["r"], interpreted=interpreted)
    stamp = engine.stamp()
    engine.add_timer(other, "other")
    return engine, engine.pause(2.0, stamp)


@pytest.mark.parametrize("interpreted", [False, True])
def test_alone(interpreted: bool) -> None:
    engine, slot = engine_with_pause(3.0, interpreted)
    assert slot == -1
    assert engine.now == 2.0
    assert engine.advance() == ["other"]
    assert engine.now == 3.0


@pytest.mark.parametrize("interpreted", [False, True])
def test_something_ends_at_the_same_moment(interpreted: bool) -> None:
    """Both end at 2 s, the pause first, since it was created first: neither may be lost."""
    engine, slot = engine_with_pause(2.0, interpreted)
    assert slot >= 0
    engine.owners[slot] = "pause"
    assert engine.advance() == ["pause", "other"]
    assert engine.now == 2.0


@pytest.mark.parametrize("interpreted", [False, True])
def test_something_ends_before(interpreted: bool) -> None:
    engine, slot = engine_with_pause(1.5, interpreted)
    assert slot >= 0
    engine.owners[slot] = "pause"
    assert engine.advance() == ["other"]
    assert engine.now == 1.5
    assert engine.advance() == ["pause"]
    assert engine.now == 2.0
