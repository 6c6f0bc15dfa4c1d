"""Requested times: those a log has, and what jobs without one get."""

from __future__ import annotations

from random import Random
from typing import Final

from batfs.errors import InputError
from batfs.units import parse_time
from batfs.workload.account import Report
from batfs.workload.draws import Draws
from batfs.workload.numbers import plain

WORDS: Final = ("keep", "extend", "none")


class Walltimes:
    """How jobs get their walltimes: ``spec`` is ``keep``, ``extend`` or ``none``, and behind a ``+`` or alone
    what jobs without a requested time get: ``runtime:F``, ``uniform:A,B`` or a time (``12h``).

    InputError for anything else.
    """

    def __init__(self, spec: str, seed: int) -> None:
        self._rule = "keep"
        self._factors: tuple[float, float] | None = None
        self._constant: float | None = None
        self._fill = ""
        self._draws = Draws(Random(f"walltimes {seed}"))
        for word in spec.split("+"):
            if word in WORDS:
                self._rule = word
            else:
                self._set(word.strip(), spec)
        if self._rule == "none" and self._fill:
            raise InputError(f"the walltime {spec!r} takes all away and gives some at once")

    def _set(self, word: str, spec: str) -> None:
        kind, colon, rest = word.partition(":")
        expected = f"expected {', '.join(WORDS)}, runtime:F, uniform:A,B or a time"
        try:
            if colon and kind in ("runtime", "uniform"):
                numbers = [float(number) for number in rest.split(",")]
                if len(numbers) != (1 if kind == "runtime" else 2):
                    raise ValueError
                self._factors = (numbers[0], numbers[-1])
                self._fill = f"no requested time: {rest} x the run time"
                if kind == "uniform":
                    self._fill = f"no requested time: {numbers[0]:g} to {numbers[1]:g} x the run time"
                if not 1 <= numbers[0] <= numbers[-1] < float("inf"):
                    raise InputError(f"the walltime {spec!r}: factors are at least 1 and ascending")
            else:
                self._constant = parse_time(word)
                self._fill = f"no requested time: {word}"
                if not self._constant > 0:
                    raise ValueError
        except ValueError:
            raise InputError(f"the walltime {spec!r} isn't one", hint=expected) from None
        except InputError as error:
            if "walltime" in error.problem:
                raise
            raise InputError(f"the walltime {spec!r} isn't one", hint=expected) from None

    def of(self, requested: float | None, runtime: float, report: Report) -> float | None:
        """The walltime of a job, seconds; None: none. Counts what isn't as recorded."""
        if self._rule == "none":
            return None
        if requested is not None and not 0 < requested < float("inf"):
            requested = None
        if requested is None:
            if not self._fill:
                report.assume("no requested time: without a walltime")
                return None
            report.change(self._fill)
            if self._constant is not None:
                return plain(self._constant)
            assert self._factors is not None
            low, high = self._factors
            factor = low if low == high else self._draws.uniform(low, high)
            return plain(max(runtime, round(runtime * factor, 3)))
        if requested < runtime:
            if self._rule == "extend":
                report.change("requested time extended to the run time")
                return plain(runtime)
            report.assume("ran longer than it had asked for: ends at its walltime (--walltime extend)")
        return plain(requested)
