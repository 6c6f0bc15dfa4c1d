"""Plans of amounts: the compiled search against a brute force, and what plan-io keeps to."""

from __future__ import annotations

import random
from itertools import permutations
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from batfs.scheduling.amounts import Aims, PlanSearch, Want
from batfs.scheduling.kopanski.layout import Layout
from batfs.scheduling.kopanski.plan_io import plan_io
from batfs.scheduling.kopanski.state import BufferedJob, ClusterState

NOW = 100.0
TOTAL = (8, 50)

wants = st.lists(
    st.tuples(st.integers(0, 99), st.integers(1, 30), st.integers(1, TOTAL[0]), st.integers(0, TOTAL[1])),
    min_size=1,
    max_size=5,
)
running = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 2), st.integers(0, 12)), min_size=0, max_size=4
)


def earliest(want, held):
    """By hand: the first instant at which the amounts are free for the whole stay; ``held``: (from, to,
    amounts)."""
    for start in sorted({NOW, *(end for _, end, _ in held)}):
        instants = [start, *(begin for begin, _, _ in held if start < begin < start + want.stay)]
        if all(
            sum(amounts[r] for begin, end, amounts in held if begin <= t < end) + want.amounts[r] <= TOTAL[r]
            for t in instants
            for r in range(2)
        ):
            return start
    raise AssertionError("everything has ended")


def starts_of(order, held):
    held, starts = list(held), {}
    for want in order:
        starts[want.id] = earliest(want, held)
        held.append((starts[want.id], starts[want.id] + want.stay, want.amounts))
    return starts


def score(waiting, starts, aims):
    return sum(
        (600.0 / max(w.stay, 600.0)) ** aims.beta * (starts[w.id] - w.submitted) ** aims.alpha
        for w in waiting
    )


@settings(max_examples=80, deadline=None)
@given(wants, running, st.sampled_from([1.0, 2.0]), st.sampled_from([0.0, 0.5]), st.integers(0, 3))
def test_the_best_plan_is_found_and_what_it_starts_fits(shapes, busy, alpha, beta, seed):
    waiting = [
        Want(str(k), float(at), 100.0 * stay, (nodes, size))
        for k, (at, stay, nodes, size) in enumerate(shapes)
    ]
    waiting.sort(key=lambda want: want.submitted)
    held = [(0.0, NOW + 100.0 * left, (nodes, size)) for left, nodes, size in busy]
    idle = tuple(total - sum(h[2][r] for h in held) for r, total in enumerate(TOTAL))
    aims = Aims(alpha, beta, inf, 400)
    search = PlanSearch(random.Random(seed), aims)
    chosen = search.starting(NOW, waiting, idle, [(end, amounts) for _, end, amounts in held])
    for r in range(2):
        assert sum(waiting[k].amounts[r] for k in chosen) <= idle[r]
    if any(w.amounts[0] <= idle[0] and w.amounts[1] <= idle[1] for w in waiting):
        best = min(score(waiting, starts_of(order, held), aims) for order in permutations(waiting))
        # the jobs chosen are those that some best order starts now
        ids = {waiting[k].id for k in chosen}
        assert any(
            {i for i, start in starts.items() if start == NOW} == ids
            and score(waiting, starts, aims) <= best * (1 + 1e-9)
            for starts in (starts_of(order, held) for order in permutations(waiting))
        )


def test_who_has_no_patience_left_comes_first():
    search = PlanSearch(random.Random(1), Aims(patience=50.0))
    small = [Want(str(k), 90.0 + k, 10.0, (1, 0)) for k in range(8)]
    wide = Want("wide", 40.0, 1000.0, (8, 0))
    chosen = search.starting(NOW, [wide, *small], (4, 50), [(NOW + 5.0, (4, 0))])
    assert chosen == []
    assert search.promised == ("wide", NOW + 5.0)
    # with patience the small ones go ahead
    patient = PlanSearch(random.Random(1), Aims(alpha=1.0, patience=100.0))
    assert len(patient.starting(NOW, [wide, *small], (4, 50), [(NOW + 5.0, (4, 0))])) == 4


def test_a_job_that_never_fits_holds_nobody_up():
    search = PlanSearch(random.Random(1), Aims())
    waiting = [Want("never", 0.0, 10.0, (9, 0)), Want("small", 1.0, 10.0, (1, 0))]
    assert search.starting(NOW, waiting, (8, 0), []) == [1]


LAYOUT = Layout(groups=2, chassis=2, routers=2, nodes=2, capacity=1000, split=True)

jobs = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 12), st.integers(1, 40), st.integers(0, 400)),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(jobs, st.sampled_from([0.0, 20.0, inf]), st.sampled_from([0.5, 1.0]))
def test_plan_io_from_end_to_end(shapes, patience, share_used):
    """Nobody starts before submission or over capacity; everybody runs; a promise never moves back while
    walltimes hold."""
    state = ClusterState(LAYOUT)
    coming = [
        BufferedJob(str(k), float(at), nodes, float(walltime), 1.0, 1.0, share)
        for k, (at, nodes, walltime, share) in enumerate(sorted(shapes))
    ]
    coming = [job for job in coming if state.admits(job)]
    search = PlanSearch(random.Random(7), Aims(patience=patience, trials=50))
    policy = plan_io(search)
    ends: list[tuple[float, str]] = []
    promised: dict[str, float] = {}
    ran = {}
    todo = list(coming)
    while todo or ends:
        now = min([job.submission_time for job in todo[:1]] + [end for end, _ in ends])
        for end, job_id in [pair for pair in ends if pair[0] == now]:
            ends.remove((end, job_id))
            state.end(job_id)
        while todo and todo[0].submission_time == now:
            state.waiting.append(todo.pop(0))
        policy(state, now)
        for job, placement in state.started:
            assert now >= job.submission_time
            assert sum(size for _, _, size in placement.pieces) == job.nodes * job.share
            assert now <= promised.get(job.id, inf)
            ran[job.id] = now
            ends.append((now + job.walltime * share_used, job.id))
        state.started.clear()
        used = [0] * LAYOUT.nb_buffers
        for hold in state.running.values():
            for buffer, size in hold.shares:
                used[buffer] += size
        assert max(used) <= LAYOUT.capacity
        if search.promised is not None:
            job_id, start = search.promised
            assert start <= promised.get(job_id, inf)
            promised[job_id] = start
    assert set(ran) == {job.id for job in coming}


def test_searching_is_repeatable():
    waiting = [Want(str(k), float(k), 100.0 * (k % 7 + 1), (k % 5 + 1, k * 3 % 20)) for k in range(30)]
    given_ = (NOW, waiting, (6, 30), [(NOW + 50.0, (2, 20))])
    first = PlanSearch(random.Random(3), Aims())
    again = PlanSearch(random.Random(3), Aims())
    assert [first.starting(*given_) for _ in range(3)] == [again.starting(*given_) for _ in range(3)]


def test_a_search_begins_with_the_plain_orders():
    """By submission; by nodes, bytes and stay, both ways; those of the last plan before and behind the new.
    The first has its place already."""
    jobs = [
        Want(name, 0.0, stay, amounts)
        for name, stay, amounts in (
            ("first", 9.0, (1, 1)), ("a", 3.0, (2, 30)), ("b", 1.0, (3, 10)), ("c", 2.0, (1, 20)),
        )
    ]  # fmt: skip
    search = PlanSearch(random.Random(1), Aims())
    search._last = {"c": 0, "a": 1}
    assert search._first_orders(jobs, 1) == [
        [0, 1, 2, 3],
        [0, 3, 1, 2], [0, 2, 1, 3],  # nodes
        [0, 2, 3, 1], [0, 1, 3, 2],  # bytes
        [0, 2, 3, 1], [0, 1, 3, 2],  # stays
        [0, 3, 1, 2], [0, 2, 3, 1],  # the last plan's, and the new one
    ]  # fmt: skip
