"""The fast solver against the slow obvious one, interpreted and compiled, and against hand-made vectors."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batfs._core import solver
from batfs.errors import InputError
from batfs.simulator.engine import Deadlock, Engine

sys.path.insert(0, str(Path(__file__).parent))
from slow_solver import System, Variable, solve

KERNELS = ["interpreted", "compiled"]


def engine_of(system: System, how: str) -> Engine:
    names = [f"r{i}" for i in range(len(system.capacities))]
    if how == "compiled" and not solver.COMPILED:
        pytest.skip("the core is not compiled here")
    return Engine(system.capacities, system.fatpipe, names, interpreted=how == "interpreted")


def add(engine: Engine, variable: Variable, latency: float = 0.0) -> int:
    count = len(variable.terms)
    first = engine.rows([r for r, _ in variable.terms], [w for _, w in variable.terms])
    return engine.add_flow(first, count, latency, variable.bound, variable)


def rates(engine: Engine, slots: list[int]) -> list[float]:
    """Solve without moving the clock."""
    assert engine.solver.solve() == 0
    return [engine.arrays["rate"][slot] for slot in slots]


# (capacities, fatpipe, variables) -> rates
VECTORS: dict[str, tuple[list[float], list[bool], list[Variable], list[float]]] = {
    "V1": ([100], [False], [Variable([(0, 1)]), Variable([(0, 4)])], [50, 12.5]),
    "V2": (
        [100, 10, 35, 1000],
        [False] * 4,
        [Variable([(0, 1), (1, 1)]), Variable([(0, 1), (2, 1)]), Variable([(0, 1), (3, 1)])],
        [10, 35, 45],
    ),
    "V3": ([100, 10], [True, False], [Variable([(0, 1)]), Variable([(0, 1), (1, 1)])], [550, 10]),
    "V4": ([100], [True], [Variable([(0, 1)]), Variable([(0, 1)], 30)], [220, 30]),
    "V4b": ([100, 120], [True, False], [Variable([(0, 1), (1, 1)]), Variable([(0, 1)], 30)], [120, 30]),
    "V5": ([100], [True], [Variable([(0, 1)]), Variable([(0, 2)])], [100, 50]),
    "V6": ([2e9], [False], [Variable([(0, 1e9)], 1)] * 1, [1]),
    "V6b": ([2e9], [False], [Variable([(0, 1e9)], 1) for _ in range(3)], [2 / 3] * 3),
    "V7": ([1e9], [False], [Variable([(0, 4e9), (0, 1e9)])], [0.2]),
    "V8": (
        [100, 10, 20, 25],
        [False] * 4,
        [
            Variable([(0, 1), (1, 1)]),
            Variable([(0, 1), (2, 1)]),
            Variable([(0, 1), (3, 1)]),
            Variable([(0, 1)]),
        ],
        [10, 20, 25, 45],
    ),
}


@pytest.mark.parametrize("how", KERNELS)
@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str, how: str) -> None:
    capacities, fatpipe, variables, expected = VECTORS[name]
    capacities = [float(c) for c in capacities]
    engine = engine_of(System(capacities, fatpipe), how)
    assert rates(engine, [add(engine, v) for v in variables]) == pytest.approx(expected, rel=1e-12)


def random_system(rng: random.Random) -> System:
    """Small, with ties, repeated resources, bounds, FATPIPEs and private resources."""
    size = rng.randint(1, 7)
    capacities = [
        rng.choice([1.0, 10.0, 100.0, rng.uniform(1, 1e3), rng.uniform(1e6, 1e9)]) for _ in range(size)
    ]
    fatpipe = [rng.random() < 0.2 for _ in range(size)]
    system = System(capacities, fatpipe)
    for _ in range(rng.randint(1, 8)):
        terms = [
            (rng.randrange(size), rng.choice([1.0, 2.0, rng.uniform(0.1, 50.0)]))
            for _ in range(rng.randint(0, 5))
        ]
        system.variables.append(Variable(terms, rng.choice([0.0, 0.0, rng.uniform(0.01, 100.0)])))
    return system


@pytest.mark.parametrize("how", KERNELS)
@settings(deadline=None, max_examples=120, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_against_the_slow_solver(how: str, seed: int) -> None:
    """The same bits, whatever was added and removed before."""
    rng = random.Random(seed)
    system = random_system(rng)
    engine = engine_of(system, how)
    slots = []
    for variable in system.variables:
        if rng.random() < 0.3:  # something that comes and goes
            engine.remove(add(engine, Variable([(rng.randrange(len(system.capacities)), 3.0)])))
        slots.append(add(engine, variable))
        if rng.random() < 0.3 and solve(system, 3000):
            rates(engine, slots)
    if not solve(system, 3000):
        return  # endless or nearly: see test_endless
    assert rates(engine, slots) == [variable.rate for variable in system.variables]
    # and after some have left
    for variable, slot in list(zip(system.variables, slots, strict=True)):
        if rng.random() < 0.5:
            engine.remove(slot)
            system.variables.remove(variable)
            slots.remove(slot)
    if solve(system, 3000):
        assert rates(engine, slots) == [variable.rate for variable in system.variables]


@settings(deadline=None, max_examples=40, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_wide_flows(seed: int) -> None:
    """Flows of many rows: the bits are those of the slow solver."""
    rng = random.Random(seed)
    size = 120
    capacities = [rng.choice([10.0, 10.0, 20.0, rng.uniform(5.0, 30.0)]) for _ in range(size)]
    system = System(capacities, [rng.random() < 0.05 for _ in range(size)])
    fast = Engine(capacities, system.fatpipe, [""] * size)
    slots = []
    for _ in range(rng.randint(1, 6)):
        begin = rng.randrange(size)
        count = rng.randint(2, 48)
        used = [(begin + i) % size for i in range(count)]
        if rng.random() < 0.3:
            used[0] = used[-1]
        weights = [rng.choice([1.0, 1.0, 2.0, rng.uniform(0.5, 3.0)]) for _ in used]
        variable = Variable(list(zip(used, weights, strict=True)), rng.choice([0.0, rng.uniform(0.1, 20.0)]))
        system.variables.append(variable)
        slots.append(add(fast, variable))
    if solve(system, 3000):
        assert rates(fast, slots) == [variable.rate for variable in system.variables]
    for variable, slot in list(zip(system.variables, slots, strict=True)):
        if rng.random() < 0.4:
            fast.remove(slot)
            system.variables.remove(variable)
            slots.remove(slot)
    if solve(system, 3000):
        assert rates(fast, slots) == [variable.rate for variable in system.variables]


@pytest.mark.parametrize("how", KERNELS)
def test_endless(how: str) -> None:
    """A FATPIPE, a flow whose last increment vanished, another limited by nothing else: SimGrid hangs."""
    engine = engine_of(System([1e10, 1e-4], [True, False]), how)
    add(engine, Variable([(0, 1.0), (1, 1e9)]))
    add(engine, Variable([(0, 1.0)]))
    with pytest.raises(InputError, match="r0 never settle"):
        engine.advance()


def test_compiled_and_interpreted_march_alike() -> None:
    """Random comings and goings: the same ends at the same bits of time, whichever kernels run."""

    def march(how: str) -> list[Any]:
        rng = random.Random(5)
        capacities = [rng.uniform(1.0, 100.0) for _ in range(40)]
        engine = engine_of(System(capacities, [i % 9 == 0 for i in range(40)]), how)
        log: list[Any] = []
        for step in range(400):
            for _ in range(rng.randint(0, 2)):
                used = rng.sample(range(40), rng.choice([1, 2, 5, 30]))
                variable = Variable([(r, rng.uniform(0.1, 2.0)) for r in used], rng.choice([0.0, 4.0]))
                first = engine.rows(used, [w for _, w in variable.terms])
                engine.add_flow(
                    first, len(used), rng.choice([0.0, rng.uniform(0, 0.5)]), variable.bound, step
                )
            if rng.random() < 0.3:
                engine.add_timer(rng.uniform(0.0, 2.0), -step)
            try:
                log.append((engine.advance(), engine.now))
            except Deadlock:
                log.append("nothing")
        return log

    plain = march("interpreted")
    assert march("compiled") == plain
