"""Traffic and the profile it becomes, as built and interpreted: the same, even or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batfs._core import flows, interpreted

PLAIN: Any = interpreted("flows")

IDS = st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True).map(sorted)
SIZES = st.lists(st.sampled_from([0, 1, 4, 5, 1000, (1 << 52) - 1, 1 << 52]), min_size=5, max_size=5)
SIDE = st.none() | SIZES.map(lambda sizes: (sizes, [0, 1, 0, 0, 0]))
WORK = st.dictionaries(st.integers(0, 12), st.sampled_from([0.0, 2.5]), max_size=3)


def column(found: Any) -> Any:
    return None if found is None else found.tolist()


def profile(core: Any, nodes: list[int], storages: list[int], sides: list[Any], works: list[Any]) -> Any:
    """What comes of a plan for each side and each work, with reads before writes."""

    def traffic(side: Any, *, reading: bool) -> list[Any]:
        if side is None:
            return []
        own = tuple(part[: len(storages)] for part in side)
        return [core.evenly(nodes, storages, *((None, own) if reading else (own, None)))]

    plans = [
        SimpleNamespace(
            reads=traffic(r, reading=True), writes=traffic(w, reading=False), internal=(), flops=f
        )
        for (r, w), f in zip(sides, works, strict=False)
    ]
    made = core.build_profile(plans)
    if made is None:
        return None
    even = None if made.even is None else (made.even.written, made.even.read)
    return even, made.resources(), column(made.flops), *map(column, (made.ids, *made.columns))


@given(IDS, IDS, st.lists(st.tuples(SIDE, SIDE), max_size=2), st.lists(WORK, min_size=2, max_size=2))
def test_as_built_and_interpreted(
    nodes: list[int], above: list[int], sides: list[Any], works: list[Any]
) -> None:
    for storages in (above, [13 + i for i in above]):
        built, plain = (profile(core, nodes, storages, sides, works) for core in (flows, PLAIN))
        assert built == plain
        if built is not None and built[0] is not None:  # evenly to ids above, at least a byte for each
            assert built[1] == [*nodes, *storages]
            assert nodes[-1] < storages[0]
            assert min(built[-1]) >= 1
