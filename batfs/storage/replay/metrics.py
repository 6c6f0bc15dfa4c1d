"""What a replay measures: StorAlloc's metrics, exact and over the whole time observed.

The time observed runs from the first arrival to the last release. Means over time are weighted by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from batfs.storage.table import StorageTable


@dataclass(frozen=True, slots=True)
class Use:
    """Use of one storage, one group or all: allocations (reservations held) and bytes used."""

    name: str
    capacity: int
    mean_allocations: float
    max_allocations: int
    mean_used: float
    max_used: int

    @property
    def mean_percent(self) -> float:
        return 100.0 * self.mean_used / self.capacity if self.capacity else 0.0

    @property
    def max_percent(self) -> float:
        return 100.0 * self.max_used / self.capacity if self.capacity else 0.0

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"mean_percent": self.mean_percent, "max_percent": self.max_percent}


@dataclass(slots=True)
class Summary:
    """Counts of requests and bytes by what became of them; delays in seconds.

    ``refused``: no place was found. ``failed``: the policy chose a place without room (only policies that
    don't look). ``fragmented``: refused or failed although that many bytes were free, on several storages.
    ``split``: granted requests that were in blocks, ``blocks`` the blocks granted in all. ``fragmentation``:
    mean over arrivals of 1 - L / min(F, C): L the most bytes free on one storage, F those free on all, C the
    largest capacity; 0 where the largest hole is as large as it can be.
    """

    requests: int = 0
    requested_bytes: int = 0
    granted: int = 0
    granted_bytes: int = 0
    refused: int = 0
    refused_bytes: int = 0
    failed: int = 0
    failed_bytes: int = 0
    fragmented: int = 0
    delayed: int = 0
    mean_delay: float = 0.0
    max_delay: float = 0.0
    split: int = 0
    blocks: int = 0
    fragmentation: float = 0.0
    begin: float = 0.0
    end: float = 0.0
    storages: list[Use] = field(default_factory=list)
    groups: list[Use] = field(default_factory=list)
    total: Use | None = None

    def numbers(self) -> dict[str, Any]:
        """The counts, without the uses: one row of a table of runs."""
        out = {
            key: getattr(self, key) for key in self.__slots__ if key not in ("storages", "groups", "total")
        }
        if self.total is not None:
            out |= {f"total_{key}": value for key, value in self.total.row().items() if key != "name"}
        return out

    def to_json(self) -> Mapping[str, Any]:
        return self.numbers() | {
            "storages": [use.row() for use in self.storages],
            "groups": [use.row() for use in self.groups],
        }


class Tally:
    """Listens to a ledger and keeps, for each storage, group and all, the sums a :class:`Use` is made of."""

    def __init__(self, table: StorageTable, begin: float, *, series: bool = False) -> None:
        self._table = table
        m, g = len(table), len(table.group_names)
        # cells 0..m-1 are the storages, then the groups, then all
        self._cells = [(i, m + group, m + g) for i, group in enumerate(table.groups.tolist())]
        n = m + g + 1
        self.used = [0] * n
        self.allocations = [0] * n
        self._max_used = [0] * n
        self._max_allocations = [0] * n
        self._used_area = [0.0] * n
        self._allocation_area = [0.0] * n
        self._since = [begin] * n
        self.begin = begin
        self.series: list[tuple[float, int, int, int]] | None = [] if series else None

    def __call__(self, time: float, index: int, held: int) -> None:
        change = held - self.used[index]
        step = 1 if change > 0 else -1
        for cell in self._cells[index]:
            used, allocations = self.used[cell], self.allocations[cell]
            span = time - self._since[cell]
            if span > 0.0:
                self._used_area[cell] += used * span
                self._allocation_area[cell] += allocations * span
                self._since[cell] = time
            used += change
            allocations += step
            self.used[cell] = used
            self.allocations[cell] = allocations
            # ends come before starts at one instant, so this is a value that lasts
            if used > self._max_used[cell]:
                self._max_used[cell] = used
            if allocations > self._max_allocations[cell]:
                self._max_allocations[cell] = allocations
        if self.series is not None:
            self.series.append((time, index, held, self.allocations[index]))

    def uses(self, end: float) -> tuple[list[Use], list[Use], Use]:
        """Storages, groups and all, over [begin, end]."""
        table, m = self._table, len(self._table)
        capacities = table.capacities.tolist()
        of_group = [0] * len(table.group_names)
        for capacity, group in zip(capacities, table.groups.tolist(), strict=True):
            of_group[group] += capacity
        names = [storage.name for storage in table]
        storages = self._range(0, names, capacities, end)
        groups = self._range(m, table.group_names, of_group, end)
        (total,) = self._range(m + len(of_group), ("all",), [sum(capacities)], end)
        return storages, groups, total

    def _range(self, first: int, names: Iterable[str], capacities: list[int], end: float) -> list[Use]:
        span = end - self.begin
        out: list[Use] = []
        for cell, (name, capacity) in enumerate(zip(names, capacities, strict=True), start=first):
            left = end - self._since[cell]
            used = self._used_area[cell] + self.used[cell] * left
            allocations = self._allocation_area[cell] + self.allocations[cell] * left
            out.append(
                Use(
                    name=name,
                    capacity=capacity,
                    mean_allocations=allocations / span if span > 0 else 0.0,
                    max_allocations=self._max_allocations[cell],
                    mean_used=used / span if span > 0 else 0.0,
                    max_used=self._max_used[cell],
                )
            )
        return out
