"""The solver's rounds in words, for finding out why a task has the rate it has (``--debug-solver``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TextIO

from batfs._core.loop import Activities

_AT_ONCE: Final = 1000  # lines that are written together


class SolverLog:
    """What the core tells of each solve: its flows, then round by round what resources offer and flows take.

    ``names`` of the resources; ``label`` of a flow, by the owner of its slot.
    """

    def __init__(
        self, stream: TextIO, engine: Activities, names: Sequence[str], label: Callable[[Any], str]
    ) -> None:
        self._stream = stream
        self._engine = engine
        self._names = names
        self._label = label
        self._lines: list[str] = []
        self._labels: dict[int, str] = {}

    def component(self, slots: Sequence[int], resources: Sequence[int]) -> None:
        """These flows, which share these resources, are solved anew."""
        self.flush(_AT_ONCE)
        arrays, owners = self._engine.arrays, self._engine.owners
        shared = ", ".join([self._names[r] for r in resources])
        together = f"share {shared}" if shared else "share nothing"
        said = f"{len(slots)} flows {together}" if len(slots) > 1 else f"1 flow, {together}"
        self._lines.append(f"t = {self._engine.now:.9g} s: {said}")
        self._labels.clear()
        for slot in slots:
            label = self._labels[slot] = self._label(owners[slot])
            bound = float(arrays["bound"][slot])
            bounded = f", at most {bound:.9g}/s" if bound > 0.0 else ""
            left = float(arrays["remains"][slot])
            self._lines.append(f"  {label}: {arrays['count'][slot]} resources, {left:.9g} left{bounded}")

    def offers(self, number: int, offers: Sequence[tuple[int, float, float, int]]) -> None:
        """Round ``number`` begins: (resource, what is left of it, what each flow may take, flows)."""
        self._lines.append(f"  round {number}")
        for r, left, share, living in offers:
            flows = "1 flow" if living == 1 else f"{living} flows"
            self._lines.append(f"    {self._names[r]}: {left:.9g} left for {flows}, {share:.9g} for each")

    def rises(self, rises: Sequence[tuple[int, float, float, bool]]) -> None:
        """The round ends: (slot, by how much its rate has risen, the rate, whether it still rises)."""
        for slot, increment, rate, rising in rises:
            end = "" if rising else ", settled"
            self._lines.append(f"    {self._labels[slot]}: + {increment:.9g} = {rate:.9g}/s{end}")

    def leapt(self, rounds: int) -> None:
        """So many rounds were summed."""
        self._lines.append(f"  {rounds} rounds at once")

    def flush(self, least: int = 1) -> None:
        """Write what was said, if it is that many lines."""
        if len(self._lines) >= least:
            self._stream.write("\n".join(self._lines) + "\n")
            self._lines.clear()
