"""Many rounds of the solver in one: the sums are those of the rounds made one by one."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from batfs._core import interpreted, solver
from batfs.errors import InputError
from batfs.simulator.engine import Engine

sys.path.insert(0, str(Path(__file__).parent))
from slow_solver import System, Variable, solve

KERNELS = ["interpreted", "compiled"]


def engine_of(system: System, how: str = "interpreted") -> Engine:
    if how == "compiled" and not solver.COMPILED:
        pytest.skip("the core is not compiled here")
    names = [f"r{i}" for i in range(len(system.capacities))]
    return Engine(system.capacities, system.fatpipe, names, interpreted=how == "interpreted")


def rates(engine: Engine, variables: list[Variable]) -> list[float]:
    slots = []
    for variable in variables:
        first = engine.rows([r for r, _ in variable.terms], [w for _, w in variable.terms])
        slots.append(engine.add_flow(first, len(variable.terms), 0.0, variable.bound, variable))
    engine.solver.solve()
    return [engine.arrays["rate"][slot] for slot in slots]


@pytest.mark.parametrize("how", KERNELS)
@pytest.mark.parametrize("taken", [400.0, 1000.0 / 3.0, 7.0])
def test_a_message_beside_a_slow_task(taken: float, how: str) -> None:
    """A pipe of 1e10 B/s; a task settles at once, at ``taken`` B/s; the other flow gets the pipe again and
    again, ``taken`` less each time: 1e10 + (1e10 - taken) + ... is 1e20 / (2 * taken) + 5e9 or so.
    """
    system = System([1e10], [True], [Variable([(0, 10.0 * taken)], 0.1), Variable([(0, 1.0)])])
    slow, fast = rates(engine_of(system, how), system.variables)
    assert slow == 0.1
    assert fast == pytest.approx(1e20 / (2.0 * taken), rel=1e-6)


@pytest.mark.parametrize("how", KERNELS)
def test_more_rounds_than_anybody_waits_for(how: str) -> None:
    """At 0.01 B/s it would be 1e12 rounds."""
    system = System([1e10], [True], [Variable([(0, 0.1)], 0.1), Variable([(0, 1.0)])])
    engine = engine_of(system, how)
    rates(engine, system.variables)
    with pytest.raises(InputError, match="r0 never settle"):
        engine.advance()


def random_system(rng: random.Random) -> System:
    """A FATPIPE at least, flows of very different weights, bounds that settle some early."""
    size = rng.randint(1, 6)
    capacities = [rng.choice([1e3, 1e4, rng.uniform(10, 1e5)]) for _ in range(size)]
    system = System(capacities, [i == 0 or rng.random() < 0.6 for i in range(size)])
    for _ in range(rng.randint(2, 6)):
        weights = (1.0, 2.0, rng.uniform(0.1, 50), rng.uniform(1e-3, 1))
        terms = [(rng.randrange(size), rng.choice(weights)) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.6:
            terms.append((0, rng.choice([1.0, rng.uniform(1, 100)])))
        system.variables.append(Variable(terms, rng.choice([0.0, 0.0, 10 ** rng.uniform(-4, 2)])))
    return system


def test_against_rounds_made_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaps from the twentieth round on, in random systems that the plain solver ends within 4,000 rounds."""
    leapt: list[int] = []
    kernels = interpreted("solver")
    plain = kernels.leap

    def leap(*arguments: Any) -> int:
        found = plain(*arguments)
        leapt.append(found)
        return found

    monkeypatch.setattr(kernels, "PLAIN_ROUNDS", 20)
    monkeypatch.setattr(kernels, "ROUND_LIMIT", 4000)
    monkeypatch.setattr(kernels, "leap", leap)
    compared = 0
    for seed in range(150):
        system = random_system(random.Random(seed))
        leapt.clear()
        engine = engine_of(system)
        found = rates(engine, system.variables)
        if not sum(leapt) or sum(leapt) > 4000 or not solve(system, 4000):
            continue
        assert found == pytest.approx([v.rate for v in system.variables], rel=1e-11), seed
        compared += 1
    assert compared >= 5
