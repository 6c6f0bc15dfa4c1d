"""What every reader of a job log gives: its kind, its columns, and its rows, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Row(NamedTuple):
    """The cells of one record, or what was wrong with it; ``line`` is its line (or number) in the file."""

    line: int
    cells: Sequence[Any]
    problem: str = ""


@dataclass(slots=True)
class Table:
    """A job log as rows. ``kind`` is what it is, for people; ``given`` are the roles its format fixes.

    ``slurm``: ids may be those of steps (``9001.batch``), arrays and heterogeneous jobs. ``cluster`` is that
    of rows that don't name one. ``notes`` are said once the rows have been read.
    """

    kind: str
    header: Sequence[str]
    rows: Iterator[Row]
    given: Sequence[str] = ()
    slurm: bool = False
    parts: bool = False  # several rows are one job (Alibaba PAI's tasks): their nodes add up
    records: str = "line"  # what a row is, for messages
    hint: str | None = None

    def place(self, line: int) -> str:
        """``line 12``, ``jobs[3]``."""
        return f"{self.records} {line}" if self.records == "line" else f"{self.records}[{line}]"
