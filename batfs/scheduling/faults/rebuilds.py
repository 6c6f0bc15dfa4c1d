"""Storages that are built again: the others of their file system send them their bytes.

Without a pace they are sent at once, and move as quickly as the links let them. A paced rebuild is sent in
pieces: the next one when its time has come and the one before has arrived. So what it takes of the links is
its rate in the mean of any time longer than a piece, and more never; where it is held up, it ends later. It
is over when its time is, and its last piece is there. Where nothing can be sent (no dynamic jobs, no other
storage), a paced rebuild takes its time all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf

from batfs.filesystems.traffic import split_evenly
from batfs.protocol import messages as m
from batfs.records import record
from batfs.scheduling.faults.plan import FaultPlan
from batfs.scheduling.faults.timeline import resources_of
from batfs.scheduling.lives import Lives
from batfs.scheduling.machine import Machine
from batfs.storage.table import Storage

#: A paced rebuild is sent in so many pieces, or fewer: none takes less than LEAST (s). A call for the next is
#: 0.1 s away at least, so shorter ones would fall behind their pace.
PIECES = 100
LEAST = 0.2


@record(frozen=False, eq=False)
class _Rebuild:
    """``left``: bytes of each piece to come, the last first; a new one every ``every`` seconds, the next at
    ``due``; ``piece``: the move that is under way."""

    left: list[int]
    every: float
    due: float
    piece: str | None = None


class Rebuilds:
    """Those under way, by the storage that is built again."""

    def __init__(self, machine: Machine, lives: Lives) -> None:
        self._machine = machine
        self._lives = lives
        self._under_way: dict[int, _Rebuild] = {}

    @property
    def next_at(self) -> float:
        """When something is to be sent, or over; infinite if nobody knows."""
        down = self._machine.down
        return min(
            (one.due for i, one in self._under_way.items() if one.piece is None and i not in down),
            default=inf,
        )

    def begin(self, storage: int, size: int, rate: float, now: float) -> None:
        """``size`` bytes for a storage, from ``now`` on; no more than ``rate`` of them a second."""
        pieces = max(1, min(PIECES, int(size / rate / LEAST)))
        self._under_way[storage] = _Rebuild(split_evenly(size, pieces).tolist(), size / rate / pieces, now)

    def stop(self, storage: int) -> None:
        """No more of it is sent."""
        self._under_way.pop(storage, None)

    def arrived(self, move: str, now: float) -> None:
        """A move has ended."""
        for one in self._under_way.values():
            if one.piece == move:
                one.piece, one.due = None, max(one.due, now)

    def go_on(self, now: float, until: float, sending: bool, out: list[m.Decision]) -> list[int]:
        """Send what is due by ``until``; the storages that are built again, each once. For what is down
        meanwhile (with its node) it goes on when that is back."""
        over = []
        for storage, one in list(self._under_way.items()):
            if storage in self._machine.down:
                continue
            while one.piece is None and one.due <= until:
                if not one.left:
                    over.append(storage)
                    del self._under_way[storage]
                    break
                others = self._others(storage) if sending else []
                if not one.every and not others:  # it has no time of its own: others say when it is over
                    del self._under_way[storage]
                    break
                size = one.left.pop()
                one.due += one.every
                if others and size:
                    one.piece = self._lives.rebuild(storage, others, size, now, out)
        return over

    def _others(self, storage: int) -> list[int]:
        """The other storages of its file system that are there."""
        machine = self._machine
        storages = machine.ledger.storages
        mine = storages[machine.position[storage]].filesystem
        return [
            i
            for i, one in zip(machine.storage_ids, storages, strict=True)
            if one.filesystem == mine and i != storage and i not in machine.down
        ]


def not_sent(plan: FaultPlan, storages: Sequence[Storage], *, dynamic: bool) -> Iterator[str]:
    """Sentences for the user: which rebuilds of a plan move nothing, and why."""
    sharing = Counter(storage.filesystem for storage in storages)
    positions = {storage.name: k for k, storage in enumerate(storages)}
    for fault in (one for first in plan.every for one in (first, first.then)):
        if fault is None or not fault.rebuild:
            continue
        named = resources_of(fault, {}, positions)
        alone = next((name for name, k in named.items() if sharing[storages[k].filesystem] == 1), None)
        if not dynamic:
            why = "without dynamic jobs (--dynamic-jobs)"
        elif alone is not None:
            why = f"for {alone}, which is all of its file system"
        else:
            continue
        ends = fault.rate < inf or fault.lasts < inf
        yield f"a rebuild moves no bytes {why}" + (
            "" if ends else ": it is over when rebuild_time, rebuild_rate, lasts or a later entry says so"
        )
