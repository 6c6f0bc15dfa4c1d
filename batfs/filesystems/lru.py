"""What lies in a cache: data sets in order of their last use, with pins. Bytes only, no network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from batfs.records import field, record


@record(frozen=False)
class Entry:
    """A data set's bytes on each storage, and who is using it (jobs, by id)."""

    bytes_on: dict[int, int]
    users: set[str] = field(default_factory=set)
    pinned: bool = False

    @property
    def size(self) -> int:
        return sum(self.bytes_on.values())

    @property
    def fixed(self) -> bool:
        """It can't be evicted now."""
        return self.pinned or bool(self.users)


class Cache:
    """``capacities``: bytes of each storage. Least recently used entries go first; those in use or pinned
    stay.

    Never holds more on a storage than it has.
    """

    def __init__(self, capacities: Mapping[int, int]) -> None:
        self.capacities = dict(sorted(capacities.items()))
        self.free = dict(self.capacities)
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.hits = self.misses = self.evictions = 0

    def find(self, name: str) -> Entry | None:
        """The entry, without touching it."""
        return self.entries.get(name)

    def touch(self, name: str) -> None:
        """It was used just now."""
        self.entries.move_to_end(name)

    def evictable(self, keep: str = "") -> dict[int, int]:
        """Bytes that could be had on each storage: free and held by entries nobody needs; not ``keep``'s."""
        out = dict(self.free)
        for name, entry in self.entries.items():
            if not entry.fixed and name != keep:
                for storage, size in entry.bytes_on.items():
                    out[storage] += size
        return out

    def choose(self, size: int, name: str) -> dict[int, int] | None:
        """Where ``size`` more bytes of ``name`` would go: evenly over as few storages as can hold them, those
        with most free bytes first (then most evictable, then the lower id). None if they don't fit."""
        could = self.evictable(name)
        order = sorted(could, key=lambda s: (-self.free[s], -could[s], s))
        for count in range(1, len(order) + 1):
            base, rest = divmod(size, count)
            parts = {s: base + (k < rest) for k, s in enumerate(order[:count])}
            if all(part <= could[s] for s, part in parts.items()):
                return {s: part for s, part in parts.items() if part}
        return None

    def insert(self, name: str, bytes_on: Mapping[int, int]) -> bool:
        """Add bytes to an entry (new or not), evicting what must go; False, and nothing changed, if even that
        isn't enough. The entry becomes the last used."""
        mine = self.entries.get(name)
        could = self.evictable(name)
        if any(size > could.get(storage, 0) for storage, size in bytes_on.items()):
            return False
        for storage, size in bytes_on.items():
            if self.free[storage] < size:
                self._make_room(storage, size, keep=name)
            self.free[storage] -= size
        if mine is None:
            mine = self.entries[name] = Entry({})
        for storage, size in bytes_on.items():
            mine.bytes_on[storage] = mine.bytes_on.get(storage, 0) + size
        self.entries.move_to_end(name)
        return True

    def evict(self, name: str) -> None:
        entry = self.entries.pop(name)
        for storage, size in entry.bytes_on.items():
            self.free[storage] += size
        self.evictions += 1

    def _make_room(self, storage: int, size: int, keep: str) -> None:
        for name in list(self.entries):
            if self.free[storage] >= size:
                return
            entry = self.entries[name]
            if name != keep and not entry.fixed and entry.bytes_on.get(storage):
                self.evict(name)

    def use(self, name: str, job_id: str) -> None:
        self.entries[name].users.add(job_id)

    def leave(self, job_id: str) -> None:
        """The job no longer uses any entry."""
        for entry in self.entries.values():
            entry.users.discard(job_id)

    def check(self) -> None:
        """AssertionError if the books don't balance."""
        for storage, capacity in self.capacities.items():
            used = sum(entry.bytes_on.get(storage, 0) for entry in self.entries.values())
            assert self.free[storage] == capacity - used >= 0, (storage, used, self.free[storage])
