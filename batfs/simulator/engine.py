"""The engine: the core's activities and time over the resources of a platform."""

from __future__ import annotations

from collections.abc import Sequence

from batfs._core import interpreted as core
from batfs._core import layout, solver
from batfs._core.loop import Activities, Deadlock
from batfs.errors import InputError

__all__ = ["Deadlock", "Engine"]


class Engine(Activities):
    """The fluid system over resources with ``capacities`` (flop/s, bytes/s); ``fatpipe`` marks FATPIPE ones.

    ``names`` are the resources' names for messages. ``interpreted``: the solver as plain Python, although it
    is compiled.
    """

    def __init__(
        self,
        capacities: Sequence[float],
        fatpipe: Sequence[bool],
        names: Sequence[str],
        interpreted: bool = False,
    ) -> None:
        super().__init__(capacities, fatpipe, (core("solver") if interpreted else solver).Solver())
        self.names = names
        self.compiled = solver.COMPILED and not interpreted

    def endless(self) -> None:
        culprit = int(self.arrays["info"][layout.CULPRIT])
        name = self.names[culprit] if culprit >= 0 else "?"
        raise InputError(
            f"the bandwidth shares of {name} never settle: SimGrid's solver would loop for ever here "
            f"(t={self.now:.6f} s)",
            hint="a FATPIPE link is used by tasks of very different rates",
        )
