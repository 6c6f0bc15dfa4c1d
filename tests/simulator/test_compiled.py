"""Machine code as a shared library and, without a linker, as objects that LLVM loads: the same kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from batfs.simulator import compiled, compiling
from batfs.simulator.engine import Engine


def end_of_flow(kernels: compiled.Kernels) -> float:
    """Two flows of 3 and 4 units share a resource of 2 units/s; the clock when both are through."""
    engine = Engine([2.0], [False], ["link"])
    engine.use(kernels)
    for weight in (3.0, 4.0):
        first = engine.rows(1)
        engine.write_rows(first, [0], [weight])
        engine.add_flow(first, 1, 0.0, 0.0, object())
    ended = engine.advance()
    while len(ended) < 2:
        ended += engine.advance()
    return engine.now


@pytest.mark.slow
def test_a_library_or_objects(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "_loaded", {"places": [tmp_path / "kernels"]})
    objects = compiling.objects()
    monkeypatch.setattr(compiling, "objects", lambda: objects)
    assert not compiled.available()
    made = compiled.load()
    assert made is not None
    assert compiled.at_hand() == (tmp_path / "kernels.so").exists()
    monkeypatch.setattr(compiled, "_loaded", {"places": [tmp_path / "other" / "kernels"]})
    monkeypatch.setattr(compiling, "LINKERS", (("no-such-linker",),))
    loaded = compiled.load()
    assert loaded is not None
    assert [path.suffix for path in (tmp_path / "other").iterdir()] == [".o"]
    assert end_of_flow(made) == end_of_flow(loaded) == pytest.approx(3.5)


def test_a_damaged_library_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "_loaded", {"places": [tmp_path / "kernels"]})
    (tmp_path / "kernels.so").write_bytes(b"not a library")
    assert compiled._from_disk() is None
