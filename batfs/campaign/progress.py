"""One line that says how far a campaign is: done, running, failed, time left. On a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A context manager; ``update`` as often as one likes."""

    def __init__(self, total: int, finished: int, shown: bool | None = None, what: str = "runs") -> None:
        self.shown = sys.stderr.isatty() if shown is None else shown
        self._total, self._finished, self._what = total, finished, what
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self.shown and self._total > self._finished:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[running]} running, {task.fields[failed]} failed,"),
                TimeElapsedColumn(),
                TextColumn("gone,"),
                TimeRemainingColumn(),
                TextColumn("left"),
                console=Console(stderr=True),
            )
            self._bar.start()
            # what was there before isn't counted as work done now, or the time left would be wrong
            todo = self._total - self._finished
            self._task = self._bar.add_task(self._what, total=todo, running=0, failed=0)
        return self

    def update(self, done: int, running: int, failed: int) -> None:
        """``done`` and ``failed`` of the runs to do now, ``running`` at this moment."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done + failed, running=running, failed=failed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
