"""The account of a conversion: where each record went, what was changed and assumed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from batfs.workload.zones import Zone

#: The rule under which records that can't be read are left out.
UNREADABLE: Final = "can't be read"
_SHOWN: Final = 10  # of the records that can't be read, so many are named


@dataclass(slots=True)
class Report:
    """What a conversion did, counted by rule. Each record read is a job, joined to one, or left out:

        records == jobs + sum(left_out) + sum(joined)

    ``changed`` and ``assumed`` count jobs that aren't as recorded, and those of which something had to be
    assumed. ``rounded``: node-seconds that jobs have more than recorded, since their processors were rounded
    up to nodes. ``unread`` names the first records that can't be read. ``clock``: seconds after midnight, on
    the trace's clock, of its time 0; ``origin``: seconds since 1970 of it, where that is known. ``facts`` are
    numbers of the result (load, first and last day) that the page at the end shows.
    """

    source: str
    records: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    joined: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    clock: float | None = None
    origin: float | None = None
    zone: Zone = "UTC"
    rounded: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)

    def leave_out(self, rule: str, count: int = 1) -> None:
        self.left_out[rule] = self.left_out.get(rule, 0) + count

    def join(self, rule: str, count: int = 1) -> None:
        self.joined[rule] = self.joined.get(rule, 0) + count

    def change(self, rule: str, count: int = 1) -> None:
        self.changed[rule] = self.changed.get(rule, 0) + count

    def assume(self, rule: str, count: int = 1) -> None:
        if count:
            self.assumed[rule] = self.assumed.get(rule, 0) + count

    def unreadable(self, place: str, problem: str) -> None:
        """Leave a record out that can't be read; the first ones are named."""
        self.leave_out(UNREADABLE)
        if len(self.unread) < _SHOWN:
            self.unread.append(f"{place}: {problem}")

    def why_nothing(self) -> str | None:
        """The rules under which all was left out, for the message when no job is left."""
        counts = ", ".join(f"{rule}: {count}" for rule, count in self.left_out.items())
        return f"{counts}; {self.unread[0]}" if self.unread else counts or None

    def to_json(self) -> dict[str, Any]:
        more: dict[str, Any] = {
            key: value
            for key, value in (
                ("joined", self.joined),
                ("assumed", self.assumed),
                ("unreadable", self.unread),
                ("kinds", list(dict.fromkeys(self.kinds))),
            )
            if value
        }
        return {
            "source": self.source,
            "records": self.records,
            "left_out": self.left_out,
            "changed": self.changed,
            "notes": self.notes,
            **more,
            **self.facts,
        }
