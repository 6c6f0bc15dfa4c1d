"""What led to an error in the books: the last messages, and who holds what.

A run keeps its last few exchanges; they become words only when something goes wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from batfs.errors import BatfsError
from batfs.protocol import messages as m
from batfs.records import field_names

_EXCHANGES = 12
_WORDS = 400  # characters of one exchange
_MANY = 20  # jobs


class InvariantError(BatfsError):
    """The scheduler's own books disagree: a defect of batfs or of a plugin, not of the input.

    ``problem`` is the sentence, ``story`` the lines of what led to it.
    """

    def __init__(self, problem: str, story: Sequence[str] = ()) -> None:
        self.problem = problem
        self.story = tuple(story)
        super().__init__("\n".join((problem, *self.story)))


class Story:
    """The last exchanges of a run. Keeping one costs an append."""

    def __init__(self) -> None:
        self._exchanges: deque[tuple[float, Sequence[m.Event], Sequence[m.Decision]]] = deque(
            maxlen=_EXCHANGES
        )

    def add(self, now: float, events: Sequence[m.Event], decisions: Sequence[m.Decision]) -> None:
        """``decisions`` may still grow."""
        self._exchanges.append((now, events, decisions))

    def told(self, problem: str, holders: Iterable[str]) -> InvariantError:
        """The error with its story; ``holders``: a line for each job that holds or waits for something."""
        lines = [f"the last {len(self._exchanges)} messages:"]
        for now, events, decisions in self._exchanges:
            heard, sent = (" ".join(_said(one) for one in many) or "nothing" for many in (events, decisions))
            lines.append(f"  {now:.6f} heard {heard:.{_WORDS}}; sent {sent:.{_WORDS}}")
        jobs = list(holders)
        lines.append(f"jobs ({len(jobs)}):" if jobs else "no job waits or runs")
        lines += [f"  {line}" for line in jobs[:_MANY]]
        if len(jobs) > _MANY:
            lines.append(f"  and {len(jobs) - _MANY} more")
        return InvariantError(problem, lines)


def _said(record: Any) -> str:
    """A message's record in a few words: its kind and its short members."""
    words: list[str] = []
    for name in field_names(record):
        value = getattr(record, name)
        if name == "job" and not isinstance(value, str):
            words.append(value.id)
        elif isinstance(value, str) and value:
            words.append(value)
        elif isinstance(value, float) and name != "timestamp":
            words.append(f"{value:g}")
        elif name in ("job_ids", "alloc"):
            words.append(",".join(str(one) for one in value))
    return f"{type(record).__name__}({' '.join(words)})"
