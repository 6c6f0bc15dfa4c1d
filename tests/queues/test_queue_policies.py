"""Queue policies that know about storage: small machines driven to the end, every invariant checked."""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batfs.errors import InputError
from batfs.filesystems.site import make_filesystems
from batfs.scheduling.forward import Forward
from batfs.scheduling.queues import conservative, make_queue_policy
from batfs.scheduling.queues.agenda import Agenda

_path = Path(__file__).parents[1] / "scheduling" / "driving.py"
_spec = importlib.util.spec_from_file_location("queues_driving", _path)
assert _spec is not None
assert _spec.loader is not None
driving = importlib.util.module_from_spec(_spec)
sys.modules["queues_driving"] = driving
_spec.loader.exec_module(driving)

NODES = 6
SIZES = (100, 60)

# submission, nodes, walltime, run time as a share of it, bytes
shapes = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(1, NODES),
        st.integers(1, 20),
        st.sampled_from([0.25, 0.5, 1.0, 2.0]),
        st.sampled_from([0, 0, 10, 40, 90]),
    ),
    min_size=1,
    max_size=14,
)


def jobs_of(shapes):
    jobs = [
        driving.job(str(k), float(at), nodes, float(walltime), reads=size)
        for k, (at, nodes, walltime, _, size) in enumerate(shapes)
    ]
    runtimes = {f"w0!{k}": walltime * share for k, (_, _, walltime, share, _) in enumerate(shapes)}
    return jobs, runtimes


def run(queue, shapes, after=None, selection="lowest", make_files=None):
    jobs, runtimes = jobs_of(shapes)
    options = {"queue": queue, "validate": True, "node_selection": selection}
    machine = driving.begins(NODES, SIZES)
    return driving.drive(options, machine, jobs, runtimes, after=after, make_files=make_files)


def check(shapes, result):
    """Every job ran once, on as many nodes as asked, not before its submission (capacities are validated)."""
    assert not result.rejected
    assert len(result.ends) == len(shapes)
    for k, (at, nodes, *_) in enumerate(shapes):
        assert result.starts[f"w0!{k}"] >= at
        assert len(result.nodes[f"w0!{k}"]) == nodes


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["fcfs", "filler", "easy", "easy_storage", "sjf_storage", "conservative", "fit_io"]),
    shapes,
    st.sampled_from(["lowest", "block"]),
)
def test_every_job_runs_within_capacity(queue, shapes, selection):
    check(shapes, run(queue, shapes, selection=selection))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["plan:alpha=1", "plan:alpha=3,depth=4", "plan_io", "plan_io:patience=0.003,trials=20"]),
    shapes,
    st.sampled_from(["lowest", "block"]),
)
def test_every_job_of_a_plan_runs_within_capacity(queue, shapes, selection):
    check(shapes, run(queue, shapes, selection=selection))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["plan_io:patience=0", "plan_io:patience=0.003"]), shapes)
def test_the_promise_to_who_has_no_patience_left_is_kept(queue, shapes):
    shapes = [(at, nodes, walltime, min(share, 1.0), size) for at, nodes, walltime, share, size in shapes]
    keeps_promises(queue, shapes)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["easy_storage", "sjf_storage"]), shapes)
def test_the_heads_promise_is_kept(queue, shapes):
    keeps_promises(queue, shapes)


def keeps_promises(queue, shapes):
    """Run times never exceed walltimes here, so what backfilled jobs take may not move a promise back."""
    promised: dict[str, float] = {}

    def look(scheduler):
        promise = scheduler.policy._promised
        if promise is not None and promise[0] in scheduler.queue:
            job_id, start = promise
            assert start <= promised.get(job_id, start)
            promised[job_id] = start

    result = run(queue, shapes, look)
    check(shapes, result)
    for job_id, start in promised.items():
        assert result.starts[job_id] <= start


@settings(max_examples=60, deadline=None)
@given(shapes)
@example(
    [(0, 1, 1, 0.25, 0), (0, 5, 1, 0.5, 0), (0, 1, 1, 0.25, 90), (0, 1, 1, 0.25, 40), (0, 1, 1, 0.25, 90)]
)
def test_conservative_promises_never_move_back(shapes):
    promised: dict[str, float] = {}

    def look(scheduler):
        for job_id, placed in scheduler.policy._promises.items():
            assert placed.start <= promised.get(job_id, placed.start)
            promised[job_id] = placed.start
        # every waiting job has one
        assert {job.id for job in scheduler.queue} <= promised.keys()

    result = run("conservative", shapes, look)
    check(shapes, result)
    for job_id, start in promised.items():
        assert result.starts[job_id] <= start


@settings(max_examples=60, deadline=None)
@given(shapes)
def test_promises_move_forward_as_if_everything_were_searched(shapes):
    """What can't have become possible is not searched: it makes no difference."""
    quick = run("conservative", shapes)

    def everything(spans, placed, now):
        return [(now, placed.start)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forward, "begin", lambda *_: False)
        patch.setattr(conservative.Spans, "before", everything)
        thorough = run("conservative", shapes)
    assert quick.starts == thorough.starts


def told(shapes, selection, policy=None):
    """Every decision, all that is told of each job's wait, and the promises after every message. ``policy``:
    of a parallel file system in the place of the pool."""
    promises = []

    def look(scheduler):
        placed = scheduler.policy._promises.values()
        promises.append([(p.job.id, p.start, p.nodes, [plan.placements for plan in p.plans]) for p in placed])

    make = None if policy is None else lambda _, *machine: make_filesystems({"policy": policy}, *machine[:2])
    result = run("conservative", shapes, look, selection, make)
    decisions = [
        (d.timestamp, d.job_id, tuple(d.alloc), *moved(d)) if hasattr(d, "alloc") else repr(d)
        for d in result.decisions
    ]
    waits = [(r.job.id, r.waits, r.reason, r.storage_waiting_time) for r in result.memory.records]
    return decisions, waits, promises


def moved(decision):
    """Between whom, and how many bytes, with a job's start."""
    if decision.io_job is None:
        return ()
    profile = decision.io_job.profile
    return tuple(tuple(c.tolist()) for c in (profile.sources, profile.destinations, profile.volumes))


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from(["round_robin", "random", "first_fit", "worst_fit", "best_fit"]))
def test_promises_move_in_the_core_as_they_do_one_by_one(shapes, policy):
    quick = told(shapes, "lowest", policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Forward, "begin", lambda *_: False)
        assert told(shapes, "lowest", policy) == quick


@settings(max_examples=80, deadline=None)
@given(shapes, st.sampled_from(["lowest", "block"]))
@example([(0, 2, 10, 1.0, 90), (1, 6, 10, 1.0, 0), (2, 3, 9, 2.0, 90), (2, 3, 20, 0.5, 40)], "lowest")
def test_promises_stand_as_if_each_were_made_again(shapes, selection):
    """What stands from pass to pass is what one gets by making each promise again, soonest first."""
    stand = told(shapes, selection)
    begin = Agenda.begin

    def broken(agenda, view):
        begin(agenda, view)
        agenda.broken = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Agenda, "begin", broken)
        again = told(shapes, selection)
    assert stand == again


def starts(queue, shapes):
    result = run(queue, shapes)
    return [result.starts[f"w0!{k}"] for k in range(len(shapes))]


# A holds 90 of 100 bytes till 10; B wants 90 bytes; C is small and short; D small, long, and wants bytes.
STORAGE_BOUND = [(0, 1, 10, 1.0, 90), (1, 1, 10, 1.0, 90), (2, 1, 5, 1.0, 0), (3, 1, 20, 1.0, 40)]


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("fcfs", [0.0, 10.0, 10.0, 10.0]),
        ("filler", [0.0, 10.0, 2.0, 3.0]),
        ("easy_storage", [0.0, 10.0, 2.0, 3.0]),
        ("conservative", [0.0, 10.0, 2.0, 3.0]),
    ],
)
def test_who_may_go_ahead_of_a_job_that_waits_for_bytes(queue, expected):
    assert starts(queue, STORAGE_BOUND) == expected


def test_bytes_promised_to_the_head_are_left_alone():
    # two storages of 100 and 60: at 3, the fourth job's 90 bytes fit nowhere; its 60 would fit the second
    shapes = [(0, 1, 10, 1.0, 90), (0, 1, 8, 1.0, 60), (1, 1, 10, 1.0, 60), (2, 1, 20, 1.0, 60)]
    # the head (job 2) is promised the second storage from 8 on; job 3 may not take the bytes before it
    assert starts("easy_storage", shapes) == [0.0, 0.0, 8.0, 10.0]


def test_shortest_first_behind_the_head():
    shapes = [(0, 6, 10, 1.0, 0), (1, 6, 5, 1.0, 0), (2, 2, 9, 1.0, 0), (3, 2, 3, 1.0, 0), (4, 6, 1, 1.0, 0)]
    assert starts("sjf_storage", shapes)[:2] == [0.0, 10.0]
    shapes = [(0, 4, 10, 1.0, 0), (1, 6, 5, 1.0, 0), (2, 2, 8, 0.5, 0), (2, 2, 4, 1.0, 0)]
    # both would fit beside the first job; the shorter goes first, then the other would delay the promise
    assert starts("easy_storage", shapes) == [0.0, 10.0, 2.0, 6.0]
    assert starts("sjf_storage", shapes) == [0.0, 10.0, 15.0, 2.0]


def test_a_job_without_walltime_promises_nothing():
    jobs = [driving.job("0", 0.0, 4, None), driving.job("1", 1.0, 6, 5.0), driving.job("2", 2.0, 2, 5.0)]
    runtimes = {"w0!0": 30.0, "w0!1": 5.0, "w0!2": 5.0}
    for queue in ("easy_storage", "sjf_storage", "conservative"):
        result = driving.drive({"queue": queue}, driving.begins(NODES, SIZES), jobs, runtimes)
        assert result.starts == {"w0!0": 0.0, "w0!1": 30.0, "w0!2": 2.0}


@pytest.mark.parametrize(
    ("queue", "says"),
    [
        ("easy_storage:depth=-1", "depth"),
        ("conservative:depth=-1", "depth"),
        ("plan:alpha=0", "alpha"),
        ("plan:depth=-2", "depth"),
        ("plan_io:alpha=0", "alpha"),
        ("plan_io:patience=-1", "patience"),
        ("fillr", "did you mean 'filler'"),
    ],
)
def test_wrong_options_are_refused(queue, says):
    with pytest.raises(InputError, match=says):
        make_queue_policy(queue)


def test_bytes_that_no_storage_has_in_one_piece_hold_nobody_up():
    # 100 and 60: with 70 and 50 taken there are 40 bytes, but no 35 in one piece; the last job goes on
    shapes = [(0, 1, 10, 1.0, 70), (0, 1, 10, 1.0, 50), (1, 1, 5, 1.0, 35), (2, 1, 5, 1.0, 20)]
    assert starts("plan_io", shapes) == [0.0, 0.0, 10.0, 2.0]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=12))
def test_spans_are_joined_where_they_touch(spans):
    """What is in any of them is in what is kept; that is ascending, and what is kept is apart."""
    known = conservative.Spans([(float(a), float(b)) for a, b in spans]).known
    assert known is not None
    halves = [k / 2 for k in range(62)]
    covered = [any(a <= t < b for a, b in spans) for t in halves]
    assert [any(a <= t < b for a, b in known) for t in halves] == covered
    assert all(one[0] < one[1] < other[0] for one, other in pairwise(known)) or len(known) < 2


@pytest.fixture
def said(monkeypatch):
    """The (job, start) promised by each pass of ``conservative``, in its order."""
    said: list[list[tuple[str, float]]] = []
    whole = conservative.Conservative.schedule

    def watched(self, view):
        found = whole(self, view)
        said.append([(placed.job.id, placed.start) for placed in found.promises])
        return found

    monkeypatch.setattr(conservative.Conservative, "schedule", watched)
    return said


def test_as_many_are_promised_as_the_depth_says(said):
    """1 has one of two nodes until 10, 2 and 3 want both after each other; 4 (30 s on a node) comes after
    them, and 5 (5 s) at once into the gap before them: three promises at most."""
    jobs = [driving.job("1", 0, 1, 10), driving.job("2", 1, 2, 10), driving.job("3", 2, 2, 10),
            driving.job("4", 3, 1, 30), driving.job("5", 4, 1, 5)]  # fmt: skip
    runtimes = {f"w0!{k}": 1.0 for k in range(1, 6)} | {"w0!1": 10.0}
    for depth, most in ((0, 3), (1, 1), (2, 2), (3, 3)):
        said.clear()
        driving.drive({"queue": f"conservative:depth={depth}"}, driving.begins(2, []), jobs, runtimes)
        assert max(map(len, said)) == most


def test_promises_are_said_soonest_first(said):
    """1 has a node until 10, 2 the other until 20. 3 wants both, at 20; 4, which comes after it, fits in
    between: it is promised its 5 s at 10, and that is said first."""
    wanted = {"1": (0, 1, 10), "2": (0, 1, 20), "3": (1, 2, 10), "4": (2, 1, 5)}
    jobs = [driving.job(name, *one) for name, one in wanted.items()]
    runtimes = {f"w0!{name}": float(one[-1]) for name, one in wanted.items()}
    found = driving.drive({"queue": "conservative"}, driving.begins(2, []), jobs, runtimes)
    assert said[2] == [("w0!4", 10.0), ("w0!3", 20.0)]
    assert found.starts == {"w0!1": 0.0, "w0!2": 0.0, "w0!4": 10.0, "w0!3": 20.0}
