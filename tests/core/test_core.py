"""The compiled core against the same files interpreted: equal bits; and a run without the compiled form."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs._core import amounts, copies, gather, interpreted, plans, solver, steps
from batfs._core.flows import Even
from batfs.platform import load_platform, number_resources
from batfs.simulator import work
from batfs.workload.model import IoProfile

ROOT = Path(__file__).parents[2]
PLAIN_PLANS: Any = interpreted("plans")
PLAIN_AMOUNTS: Any = interpreted("amounts")
PLAIN_STEPS: Any = interpreted("steps")
PLAIN_COPIES: Any = interpreted("copies")

needs_compiled = pytest.mark.skipif(
    not (solver.COMPILED and gather.COMPILED and plans.COMPILED and amounts.COMPILED and steps.COMPILED),
    reason="the core is not compiled here",
)


def a_queue(rng: random.Random) -> tuple[Any, ...]:
    """Arguments of ``Plans`` without the arrays that are filled: jobs on a timeline of some steps."""
    jobs, nodes, storages, steps = (
        rng.randint(1, 7),
        rng.randint(1, 100),
        rng.randint(1, 3),
        rng.randint(1, 6),
    )
    words = (nodes + 63) // 64
    every = (1 << nodes) - 1
    free = [rng.getrandbits(nodes) for _ in range(steps - 1)] + [every]
    bits = b"".join(f.to_bytes(8 * words, "little") for f in free)
    node_free = np.frombuffer(bits, "<u8").astype(np.uint64).reshape(steps, words)
    times = np.array([0.0, *sorted(rng.uniform(1, 50) for _ in range(steps - 1))])
    rooms = [[rng.randint(0, 100) for _ in range(storages)] for _ in range(steps - 1)] + [[100] * storages]
    byte_free = np.array(rooms, np.int64)
    near = rng.random() < 0.5
    per_chassis = rng.randint(1, nodes) if near else 0
    chassis = -(-nodes // per_chassis) if near else 0
    preferences = [rng.sample(range(storages), storages) for _ in range(chassis)]
    if near:  # the last chassis is whole
        nodes -= nodes % per_chassis
        chassis = nodes // per_chassis
        preferences = preferences[:chassis]
    counts = np.array([rng.randint(1, max(1, nodes)) for _ in range(jobs)], np.int64)
    walltimes = np.array([rng.uniform(0.5, 60) for _ in range(jobs)])
    shares = np.array([rng.randint(0, 9) for _ in range(jobs)], np.int64)
    needs = np.array([[rng.randint(0, 100) for _ in range(storages)] for _ in range(jobs)], np.int64)
    submissions = np.array([-rng.uniform(0, 30) for _ in range(jobs)])
    machine = (
        per_chassis,
        np.array(preferences, np.int64).reshape(chassis, -1 if chassis else 0),
        rng.random() < 0.5,
        rng.random() < 0.5,
    )
    timeline = (times, node_free, times.copy(), byte_free)
    return (
        (counts, walltimes, shares, needs),
        (submissions, rng.choice([1.0, 2.0, 1.5])),
        machine,
        timeline,
        times.copy(),
    )


@needs_compiled
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 2**32))
def test_plans(seed: int) -> None:
    rng = random.Random(seed)
    given = a_queue(rng)
    jobs, words = len(given[0][0]), given[3][1].shape[1]
    storages = given[3][3].shape[1]
    orders = np.array([rng.sample(range(jobs), jobs) for _ in range(4)], np.int64)
    drawn = np.array([rng.getrandbits(32) for _ in range(600)], np.uint32)
    results = []
    for module in (plans, PLAIN_PLANS):
        out = np.zeros(jobs), np.zeros((jobs, words), np.uint64), np.zeros((jobs, storages), np.int64)
        made = module.Plans(*given, out)
        extremes = made.extremes(orders)
        placed = made.plan(orders[0])
        best, used = made.anneal(orders, drawn)
        results.append((extremes, placed, [a.tolist() for a in out], best.tolist(), used))
    assert results[0] == results[1]


@needs_compiled
@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(0, 2**32))
def test_amounts(seed: int) -> None:
    rng = random.Random(seed)
    jobs, kinds, steps = rng.randint(1, 8), rng.randint(1, 4), rng.randint(1, 6)
    most = [rng.randint(1, 1000) for _ in range(kinds)]
    free = [[rng.randint(0, m) for m in most] for _ in range(steps - 1)] + [most]
    queue = (
        np.array([[rng.randint(0, m) for m in most] for _ in range(jobs)], np.int64),
        np.array([rng.uniform(1, 50) for _ in range(jobs)]),
        np.array([-rng.uniform(0, 50) for _ in range(jobs)]),
        np.array([rng.uniform(0.1, 2) for _ in range(jobs)]),
    )
    times = np.array([0.0, *sorted(rng.uniform(1, 40) for _ in range(steps - 1))])
    orders = np.array([rng.sample(range(jobs), jobs) for _ in range(3)], np.int64)
    rest = (rng.randint(0, jobs), 40, rng.getrandbits(63), 0.01)
    alpha = rng.choice([1.0, 2.0, 1.5])
    found = []
    for module in (amounts, PLAIN_AMOUNTS):
        best, starts = module.Queue(queue, alpha, times, np.array(free, np.int64)).search(orders, *rest)
        found.append((best.tolist(), starts.tolist()))
    assert found[0] == found[1]


def splitmix64(state: int) -> Iterator[float]:
    """Numbers from 0 to 1 (Steele, Lea and Flood, OOPSLA 2014)."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & (1 << 64) - 1
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
        z = (z ^ z >> 27) * 0x94D049BB133111EB & (1 << 64) - 1
        yield ((z ^ z >> 31) >> 11) / 2**53


def planned_anew(jobs: Any, alpha: float, times: Any, free: Any, order: Any) -> tuple[float, list[float]]:
    """The score and the starts of an order, by trying every step for every job."""
    needs, lasts, submissions, weights = (column.tolist() for column in jobs)
    times, free = times.tolist(), free.tolist()
    score, starts = 0.0, [0.0] * len(lasts)
    for q in order:
        end = 0.0
        for start in times:
            end = start + lasts[q]
            met = [row for time, row in zip(times, free, strict=True) if start <= time < end]
            if all(have >= need for row in met for have, need in zip(row, needs[q], strict=True)):
                break
        else:
            return float("inf"), starts
        starts[q] = start
        score += weights[q] * (start - submissions[q]) ** alpha
        if end not in times:
            place = sum(time < end for time in times)
            times.insert(place, end)
            free.insert(place, free[place - 1].copy())
        for row in free[times.index(start) : times.index(end)]:
            row[:] = [have - need for have, need in zip(row, needs[q], strict=True)]
    return score, starts


@needs_compiled
@settings(deadline=None, max_examples=12, derandomize=True)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_what_a_search_does_not_plan_again_is_as_if_it_did(seed: int, length: int) -> None:
    """A search that plans every order from its first job on finds the same order and the same starts."""
    rng = random.Random(seed)
    most = [rng.choice([2, 16]), rng.choice([100, 3000])]
    rows = [[rng.randint(0, m) for m in most], most]
    times, free = np.array([0.0, 7.0]), np.array(rows, np.int64)
    widths, few = [rng.randint(1, most[0]) for _ in range(2)], rng.random() < 0.5
    jobs = (
        np.array([[rng.choice(widths), rng.randint(0, 100)] for _ in range(length)], np.int64),
        np.array([float(rng.randint(1, 3 if few else 90)) for _ in range(length)]),
        np.array([-float(rng.randint(0, 50)) for _ in range(length)]),
        np.array([rng.uniform(0.1, 2) for _ in range(length)]),
    )
    orders = np.array([rng.sample(range(length), length) for _ in range(3)], np.int64)
    word = rng.getrandbits(63)
    order, starts = amounts.Queue(jobs, 1.5, times, free).search(orders, 0, 40, word, 0.01)
    draws = splitmix64(word)
    scores = [planned_anew(jobs, 1.5, times, free, order)[0] for order in orders.tolist()]
    least = last = min(scores)
    now = best = orders.tolist()[scores.index(least)]
    temperature = max(max(scores) - least, 1e-3 * least)
    for _step in range(40 if length > 1 and least else 0):
        i, j = int(next(draws) * length), int(next(draws) * (length - 1))
        j += j >= i
        tried = now.copy()
        if next(draws) < 0.5:
            tried[i], tried[j] = now[j], now[i]
        else:
            tried.insert(j, tried.pop(i))
        limit = last - temperature * math.log(1.0 - next(draws))
        score, _ = planned_anew(jobs, 1.5, times, free, tried)
        if score <= limit:
            now, last = tried, score
            if score < least:
                best, least = tried, score
        temperature *= 0.01 ** (1.0 / 40)
    assert order.tolist() == best
    assert starts.tolist() == planned_anew(jobs, 1.5, times, free, best)[1]


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_promises_that_move_forward(seed: int) -> None:
    """Compiled and interpreted; what has moved is earlier, and nobody has taken what another one holds."""
    rng = random.Random(seed)
    nodes, storages = rng.choice([1, 5, 64, 70]), rng.randint(1, 4)
    found = []
    for module in (steps, PLAIN_STEPS):
        rng = random.Random(seed)
        free = module.NodeSteps(nodes)
        held, booked = ([module.ByteSteps() for _ in range(storages)] for _ in range(2))
        stays: list[tuple[float, float, float, int, int, int, int]] = []
        for _ in range(rng.randrange(1, 12)):
            lasts = rng.uniform(0.5, 9) if rng.random() < 0.3 else float(rng.randint(1, 9))
            start = rng.uniform(1, 40) if rng.random() < 0.3 else float(rng.randint(1, 40))
            end = start + lasts
            there = free.free_within(start, end)
            if not there:
                continue
            mine = there & -there if rng.random() < 0.5 else there
            place, need = rng.randrange(storages), rng.randint(1, 60)
            free.change(start, end, mine)
            booked[place].add(start, end, need)
            stays.append((start, end, lasts, mine.bit_count(), mine, place, need))
        stays.sort()
        held[0].add(float("-inf"), 9.0, 40)
        n, words = len(stays), -(-nodes // 64)
        arrays = (
            *(np.array([stay[k] for stay in stays], np.float64) for k in range(3)),
            np.array([stay[3] for stay in stays], np.int64),
            np.array(
                [[stay[4] >> 64 * w & (1 << 64) - 1 for w in range(words)] for stay in stays], np.uint64
            ),
        )
        bytes_ = (
            np.array([rng.randrange(3) for _ in stays], np.int64),
            *(np.array([stay[k] for stay in stays], np.int64) for k in (6, 5)),
            np.array([rng.random() for _ in stays], np.float64),
        )
        moved = np.zeros(n, np.int64)
        among = np.arange(storages)
        core = module.Promises(
            arrays, moved, bytes_, (among, np.full(storages, 90), rng.randrange(5)), (4.975e-4, 2.5e-6)
        )
        spans = rng.choice([None, [(0.5, rng.uniform(1, 30))]])
        every = (1 << nodes) - 1
        sets = free, (held, booked)
        told, k = [], 0
        while k < n:
            k, spans, after = core.forward(*sets, k, 0.5, (rng.getrandbits(nodes), every), spans, -1)
            told.append((k, spans, after))
            k += 1
        found.append(
            (told, [column.tolist() for column in (*arrays, bytes_[2], moved)], free.arrays()[0].tolist())
        )
        assert all(new <= old[0] for new, old in zip(arrays[0].tolist(), stays, strict=True))
        for start, end, mine in zip(arrays[0].tolist(), arrays[1].tolist(), arrays[4].tolist(), strict=True):
            taken = sum(word << 64 * w for w, word in enumerate(mine))
            free.change(start, end, taken)  # given back, each once
        assert free.free_within(0.0, 99.0) == every
        assert len(free.arrays()[0]) == 1
    assert found[0] == found[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_steps_of_nodes(seed: int) -> None:
    """Compiled, interpreted, and a table of every instant agree; what is given back leaves nothing behind."""
    rng = random.Random(seed)
    nodes, horizon = rng.choice([1, 5, 63, 64, 65, 130]), 40
    both = [steps.NodeSteps(nodes), PLAIN_STEPS.NodeSteps(nodes)]
    table = [(1 << nodes) - 1] * horizon
    held: list[tuple[int, int, int]] = []
    for _ in range(rng.randrange(1, 25)):
        if held and rng.random() < 0.3:
            start, end, chosen = held.pop(rng.randrange(len(held)))
        else:
            start = rng.randrange(horizon - 1)
            end = rng.randrange(start + 1, horizon)
            chosen = rng.getrandbits(nodes)
            for k in range(start, end):
                chosen &= table[k]
            assert all(s.all_free(start, end, chosen) for s in both)
            held.append((start, end, chosen))
        for s in both:
            s.change(start, end, chosen)
        for k in range(start, end):
            table[k] ^= chosen
        taken = table[start] ^ ((1 << nodes) - 1)
        assert [bool(s.all_free(start, end, taken)) for s in both] == [not taken] * 2
        since, until = sorted(rng.sample(range(horizon), 2))
        free = (1 << nodes) - 1
        for k in range(since, until):
            free &= table[k]
        assert [s.free_within(since, until) for s in both] == [free, free]
        count, stay = rng.randrange(1, nodes + 1), rng.randrange(1, 8)
        among = rng.choice([-1, rng.getrandbits(nodes)])
        expected = None
        for t in range(since, horizon):
            if t > since and not table[t] & ~table[t - 1]:
                continue
            if t > until:
                break
            free = among & ((1 << nodes) - 1)
            for k in range(t, min(t + stay, horizon)):
                free &= table[k]
            if free.bit_count() >= count:
                expected = t, free
                break
        assert [s.earliest(count, stay, since, among, until, False) for s in both] == [expected] * 2
        assert [a.tolist() for a in both[0].arrays()] == [a.tolist() for a in both[1].arrays()]
    for start, end, chosen in held:
        for s in both:
            s.change(start, end, chosen)
    assert [len(s.arrays()[0]) for s in both] == [1, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_steps_of_bytes(seed: int) -> None:
    """The same of bytes: the most that two hold together within a window."""
    rng = random.Random(seed)
    horizon = 30
    pairs = [(m.ByteSteps(), m.ByteSteps()) for m in (steps, PLAIN_STEPS)]
    tables = [[0] * horizon, [0] * horizon]
    held: list[tuple[int, float, float, int]] = []
    for _ in range(rng.randrange(1, 40)):
        if held and rng.random() < 0.4:
            which, start, end, size = held.pop(rng.randrange(len(held)))
            size = -size
        else:
            which, size = rng.randrange(2), rng.randrange(1, 10**15)
            start = rng.choice([-float("inf"), *range(horizon - 1)])
            end = rng.choice([float("inf"), *range(int(max(start, 0)) + 1, horizon)])
            held.append((which, start, end, size))
        for pair in pairs:
            pair[which].add(start, end, size)
        for k in range(horizon):
            if start <= k < end:
                tables[which][k] += size
        since, until = sorted(rng.sample(range(horizon), 2))
        most = max(a + b for a, b in zip(*(t[since:until] for t in tables), strict=True))
        out = np.zeros(1, np.int64)
        for module, (a, b) in zip((steps, PLAIN_STEPS), pairs, strict=True):
            assert module.peak_of(a, b, since, until) == most
            module.peaks([a], [b], since, until, out)
            assert out[0] == most
        last = tables[0][-1] + tables[1][-1]
        assert all(
            m.peak_of(*p, horizon, float("inf")) == last
            for m, p in zip((steps, PLAIN_STEPS), pairs, strict=True)
        )
    for which, start, end, size in held:
        for pair in pairs:
            pair[which].add(start, end, -size)
    assert [len(s) for pair in pairs for s in pair] == [1] * 4


@needs_compiled
@pytest.mark.parametrize("name", ["taurus_storage.xml", "bb_cluster.xml"])
def test_gather(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = load_platform(ROOT / "platforms" / name)
    machine = number_resources(platform)
    host_of = np.array([r.host for r in machine.resources], np.int64)
    rng = random.Random(3)
    cases = []
    for _ in range(25):
        nodes = sorted(rng.sample(range(machine.nb_compute), rng.randint(2, min(9, machine.nb_compute))))
        last = machine.nb_compute + machine.nb_storage
        stores = sorted(rng.sample(range(machine.nb_compute, last), min(2, machine.nb_storage)))
        part = (
            [rng.randrange(len(nodes), 10**10) for _ in stores],
            [rng.randrange(len(nodes)) for _ in stores],
        )
        even = Even(tuple(nodes), tuple(stores), part, part if rng.random() < 0.5 else None)
        cases.append((rng.choice([0.0, 1e9]), rng.choice([0.0, 1e6, 1234567.5]), IoProfile.evenly(even)))

    def rows(cases: list[Any]) -> list[Any]:
        workshop = work.Workshop(platform, 4194304.0, gathering=True)
        found = []
        for cpu, com, io in cases:
            ids = io.resources()
            nodes = tuple(io.even.nodes)
            job = work.Demand(len(nodes), None, com, each=cpu)
            found.append(workshop.merged(job, nodes, work.Demand(len(ids), None, flows=io), ids, host_of))
        return [(list(w.resources), list(w.weights), w.latency, w.bound, w.reach) for w in found]

    compiled = rows(cases)
    plain: Any = interpreted("gather")
    monkeypatch.setattr(work, "gather_rows", plain.gather)
    monkeypatch.setattr(work, "enter", plain.enter)
    assert rows(cases) == compiled
    assert len(compiled) == len(cases)


EACH = st.one_of(
    st.floats(1e-9, 1e15),
    st.integers(1, 2**53).map(float),
    # odd multiples of a power of two: ties, once the sum is large enough
    st.builds(lambda odd, bits: (2 * odd + 1) * 2.0**-bits, st.integers(0, 2**20), st.integers(0, 60)),
)


@pytest.mark.parametrize("core", [gather, interpreted("gather")], ids=["as built", "interpreted"])
@settings(deadline=None, max_examples=300)
@given(EACH, st.one_of(st.just(0.0), st.floats(0, 2), st.integers(0, 2**53)), st.integers(0, 700))
def test_many_equal_sums_at_once_have_the_bits_of_one_after_the_other(
    core: Any, each: float, begin: float, times: int
) -> None:
    start = float(begin) if isinstance(begin, int) else begin * each * 2**52
    total = start
    for _ in range(times):
        total += each
    assert core.repeat(start, each, times) == total


@needs_compiled
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(0, 2**32))
def test_copies(seed: int) -> None:
    """Any disks, racks and nodes, each way of choosing, items of every kind: places, room and state."""
    rng = random.Random(seed)
    disks, nodes, racks = rng.randint(1, 9), rng.randint(1, 5), rng.randint(1, 3)
    of = [rng.randint(-1, nodes - 1) for _ in range(disks)]
    own = [[d for d in range(disks) if of[d] == node] for node in range(nodes)]
    columns = (
        [rng.randrange(racks) for _ in range(disks)],
        of,
        np.cumsum([0, *map(len, own)]),
        [disk for mine in own for disk in mine],
        [rng.randint(-1, racks - 1) for _ in range(nodes)],
    )
    tables = tuple(np.array(column, np.int64) for column in columns)
    positions = np.array(sorted(rng.sample(range(30), disks)), np.int64)
    room = np.array([rng.randint(-1, 9) for _ in range(disks)], np.int64)
    ranks = np.array(rng.sample(range(disks), disks), np.int64)
    mode, most, count = rng.randrange(4), rng.randint(1, 4), rng.randint(1, 12)
    items = [
        np.array([draw() for _ in range(count)], np.int64)
        for draw in (lambda: rng.randint(1, 3), lambda: rng.randint(-1, nodes - 1), lambda: rng.randrange(3))
    ]
    avoid = np.array(rng.sample(range(disks), rng.randint(0, disks)), np.int64)
    results = []
    for module in (copies, PLAIN_COPIES):
        draws, left = random.Random(seed), room.copy()
        asked: Any = draws.random if mode == 1 else lambda among, size, d=draws: int(d.choice(among.tolist()))
        made = module.Copies(tables, positions, left, mode, 0, ranks, asked)
        out, more = np.full((count, most), -1, np.int64), np.full(most, -1, np.int64)
        placed = made.place(*items, most, (True, seed % 2 == 0), out)
        again = made.avoiding(1, avoid, most, more)
        results.append((placed, again, out.tolist(), more.tolist(), left.tolist(), made.reached()))
    assert results[0] == results[1]


UNCOMPILED = """
import importlib.machinery, importlib.util, sys
from pathlib import Path
core = Path(sys.argv.pop(1))
class Plain:
    def find_spec(self, name, path=None, target=None):
        if name == "cython":
            raise ImportError(name)
        if name.startswith("batfs._core."):
            return importlib.util.spec_from_file_location(name, core / f"{name.rpartition('.')[2]}.py")
sys.meta_path.insert(0, Plain())
from batfs._core import solver
assert not solver.COMPILED
from batfs._core import loop
assert not loop.COMPILED
"""
RUN = "from batfs.cli.main import main; sys.exit(main(sys.argv[1:]))"


def test_without_the_compiled_form(tmp_path: Path) -> None:
    """The same files, and one sentence that says what is missing."""
    given = ["-p", str(ROOT / "platforms/io_example.xml"), "-w", str(ROOT / "workloads/io_example.json")]
    said = []
    core = str(ROOT / "batfs/_core")
    for name, begin in (("plain", ["-c", UNCOMPILED + RUN, core]), ("own", ["-m", "batfs"])):
        command = [sys.executable, *begin, "run", *given, "-e", str(tmp_path / name / "x"), "--queue", "plan"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        said.append(done.stderr)
    assert said[0].count("C compiler") == 1
    for suffix in ("jobs.csv", "io_jobs.csv", "storage_states.csv"):
        assert (tmp_path / f"plain/x_{suffix}").read_bytes() == (tmp_path / f"own/x_{suffix}").read_bytes()


WHIMS = """
import json, runpy
found = runpy.run_path(sys.argv[1])
print(json.dumps([found["outcome"](seed, Path(sys.argv[2]) / str(seed), True) for seed in range(12)]))
"""


def test_the_event_loop_interpreted(tmp_path: Path) -> None:
    """Sends, kills, walltimes, dynamic jobs and pauses at random: the same messages, files and moments."""
    told = []
    core = str(ROOT / "batfs/_core")
    whims = str(ROOT / "tests/simulator/test_actors.py")
    for name, begin in (
        ("plain", UNCOMPILED),
        ("own", "import sys; from pathlib import Path; sys.argv.pop(1)"),
    ):
        command = [sys.executable, "-c", begin + WHIMS, core, whims, str(tmp_path / name)]
        (tmp_path / name).mkdir()
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert all(len(requests) > 40 for requests, *_ in told[0])
