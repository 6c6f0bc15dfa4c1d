"""The fair bottleneck solver as plainly as it can be said: the oracle of the fast one.

The rules one by one: every variable and every constraint in every round, nothing left out, nothing
grouped, all components at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WORK = 1e-5


@dataclass(eq=False)
class Variable:
    """``terms`` are (resource, weight) with weight > 0; ``bound`` <= 0 means none."""

    terms: list[tuple[int, float]]
    bound: float = 0.0
    rate: float = 0.0
    increment: float = 0.0


@dataclass(eq=False)
class System:
    """``capacities`` and ``fatpipe`` by resource; ``variables`` in the order in which they were enabled."""

    capacities: list[float]
    fatpipe: list[bool]
    variables: list[Variable] = field(default_factory=list)

    def terms(self, resource: int) -> list[tuple[Variable, float]]:
        """Newest variable first, last term first."""
        return [
            (variable, weight)
            for variable in reversed(self.variables)
            for used, weight in reversed(variable.terms)
            if used == resource
        ]


def decreased(value: float, by: float) -> float:
    value -= by
    return 0.0 if value < WORK else value


def solve(system: System, limit: int = 200_000) -> bool:
    """Set every variable's rate; False when it doesn't end within ``limit`` rounds."""
    left = list(system.capacities)
    listed = [bool(system.terms(r)) for r in range(len(left))]
    alive: list[Variable] = []
    for variable in system.variables:
        variable.rate = 0.0 if variable.terms else 1.0
        if variable.terms:
            alive.append(variable)
    for _ in range(limit):
        if not alive:
            return True
        ids = {id(variable) for variable in alive}
        share = [0.0] * len(left)
        for r, rest in enumerate(left):
            if listed[r]:
                users = sum(1 for variable, _ in system.terms(r) if id(variable) in ids)
                if users == 0:
                    listed[r] = False
                else:
                    share[r] = rest if system.fatpipe[r] else rest / users
        for variable in list(alive):
            step = min(share[r] / weight for r, weight in variable.terms)
            if variable.bound > 0.0:
                step = min(step, variable.bound - variable.rate)
            variable.increment = step
            variable.rate += step
            if variable.bound > 0.0 and variable.rate == variable.bound:
                alive.remove(variable)
        for r in range(len(left)):
            if not listed[r]:
                continue
            terms = system.terms(r)
            if system.fatpipe[r]:
                taken = min([share[r], *(weight * variable.increment for variable, weight in terms)])
                left[r] = decreased(left[r], taken)
            else:
                for variable, weight in terms:
                    left[r] = decreased(left[r], weight * variable.increment)
            if left[r] <= 0.0:
                listed[r] = False
                gone = {id(variable) for variable, _ in terms}
                alive = [variable for variable in alive if id(variable) not in gone]
    return not alive
