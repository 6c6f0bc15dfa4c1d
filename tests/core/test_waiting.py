"""The accounts of waits in the core, as built and interpreted: the same sums, and every second once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batfs._core import interpreted, waiting

PLAIN: Any = interpreted("waiting")
CAUSES = ("nodes", "space", "apart")


def make(core: Any) -> Any:
    class Waits(core.Accounts):  # type: ignore[misc, name-defined]
        def _key(self, hold: Any, job: Any) -> tuple[str, str]:
            return CAUSES[hold], "bb" if hold == 1 else ""

        def _behind(self, key: tuple[str, str]) -> tuple[str, str]:
            return f"behind {key[0]}", key[1]

    return Waits(("policy", ""), ("space",), "apart", lambda *found: found, ({}, None))


#: (seconds since the last pass, how many arrive, who is tried and lacks what, something was freed, who goes)
PASSES = st.lists(
    st.tuples(
        st.floats(0, 50, allow_subnormal=False),
        st.integers(0, 2),
        st.dictionaries(st.integers(0, 5), st.integers(0, 2), max_size=3),
        st.booleans(),
        st.none() | st.integers(0, 5),
    ),
    max_size=20,
)


@given(PASSES)
def test_every_second_has_one_cause(passes: list[Any]) -> None:
    """Whatever happens, what a job has waited for adds up to the time from its submission on."""
    both = [make(waiting), make(PLAIN)]
    queue: dict[str, Any] = {}
    now, count = 0.0, 0
    for seconds, arrive, tried, freed, goes in passes:
        now += seconds
        arrived = [SimpleNamespace(id=str(count + k), submission_time=now - 0.5 * k) for k in range(arrive)]
        count += arrive
        queue.update({job.id: job for job in arrived})
        names = list(queue)
        for place, hold in tried.items():
            if place < len(names):
                for waits in both:
                    waits.held_back(queue[names[place]], hold, now)
        gone = queue.pop(names[goes], None) if goes is not None and goes < len(names) else None
        if gone is not None:
            found = [waits.over(gone.id, now) for waits in both]
            assert found[0] == found[1]
            known = gone.id in {job.id for job in arrived} and names.index(gone.id) not in tried
            total = 0.0 if known else now - gone.submission_time
            assert abs(sum(found[0][0].values()) - total) < 1e-6
        head = next(iter(queue.values()), None)
        for waits in both:
            waits.pass_over(now, arrived, freed, head, queue.__contains__)
        for name in queue:
            assert len({(waits.lacks_space(name), waits.reason(name)) for waits in both}) == 1
