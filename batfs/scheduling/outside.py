"""A queue policy from outside: what it raises, and what it wishes, is told with its file and its line."""

from __future__ import annotations

from typing import Any, Final

from batfs._core.arrays import np
from batfs.plugins import PluginError, blamed, place_in
from batfs.protocol.clock import LATEST, SOON
from batfs.scheduling.interface import QueuePolicy, WaitingJob

#: Calls at a policy's own wish in a row, without an event or a start between them, that are no fault yet.
MOST_IN_VAIN: Final = 100_000


class Outside:
    """``policy`` is asked in passes; ``foreign``: whether it is from outside. Nothing is looked at of batfs's
    own."""

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self.foreign = not type(policy).__module__.startswith("batfs.")
        self._in_vain = 0  # times in a row that it was called at its own wish, and did nothing

    def blamed(self, error: BaseException, now: float, head: WaitingJob | None) -> BaseException:
        """``error`` in a pass: with the file, the line, the time and the first of the queue."""
        return blamed(error, self._policy, _story(now, head)) if self.foreign else error

    def check_wish(
        self, wish: Any, now: float, head: WaitingJob | None, *, something: bool, nothing_to_come: bool
    ) -> None:
        """PluginError for a wish to be called at no time at all, or again and again without end while nothing
        happens. ``something`` has happened in this pass; ``nothing_to_come``: no job runs or will come."""
        if wish is None:
            self._in_vain = 0
            return
        if isinstance(wish, bool) or not isinstance(wish, int | float | np.integer) or not 0 <= wish < LATEST:
            hint = f"0 to {LATEST:g} s, or None"
            raise self._blame(f"{_story(now, head)} wishes to be called at {wish!r:.40} ({hint})")
        self._in_vain = 0 if something else self._in_vain + 1
        most = MOST_IN_VAIN
        if wish < now + SOON / 2:  # nearer than it can be called: the same moment again
            most //= 100
        elif nothing_to_come:
            most //= 5
        if self._in_vain > most:
            times = f"{self._in_vain} times in a row"
            raise self._blame(f"{_story(now, head)} was called {times} at its own wish, and nothing happened")

    def _blame(self, problem: str) -> PluginError:
        file, line = place_in(self._policy.schedule)
        return PluginError(problem, file=file, place=line)


def _story(now: float, head: WaitingJob | None) -> str:
    whose = f", with {head.id!r} at the head of the queue" if head is not None else ""
    return f"at {now:g} s{whose}, the queue policy"
