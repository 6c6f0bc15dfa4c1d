"""What lies in a cache: data sets in order of their last use, with pins. Bytes only, no network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from batfs.records import field, record

#: Why bytes are on their way: brought before a job has nodes, or before it reads them, copied as it does, or
#: written by it.
Way: TypeAlias = Literal["ahead", "staged", "read", "written"]


class Portion(NamedTuple):
    """Bytes on their way to each storage."""

    bytes_on: Mapping[int, int]
    way: Way


@record(frozen=False)
class Entry:
    """A data set's bytes on each storage, and who is using it (jobs, by id). ``coming``: those of the bytes
    that a job is still bringing, by the job, in several portions."""

    bytes_on: dict[int, int]
    users: set[str] = field(default_factory=set)
    coming: dict[str, list[Portion]] = field(default_factory=dict)
    pinned: bool = False

    @property
    def size(self) -> int:
        return sum(self.bytes_on.values())

    @property
    def here(self) -> dict[int, int]:
        """The bytes that have arrived."""
        out = dict(self.bytes_on)
        for portions in self.coming.values():
            for portion in portions:
                for storage, size in portion.bytes_on.items():
                    out[storage] -= size
        return {storage: size for storage, size in out.items() if size}

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

    def find(self, name: str) -> Entry | None:
        """The entry, without touching it."""
        return self.entries.get(name)

    def touch(self, name: str) -> None:
        """It was used just now."""
        self.entries.move_to_end(name)

    def copy(self) -> Cache:
        """One whose books are its own."""
        out = Cache(self.capacities)
        out.free = dict(self.free)
        for name, entry in self.entries.items():
            coming = {job_id: list(portions) for job_id, portions in entry.coming.items()}
            out.entries[name] = Entry(dict(entry.bytes_on), set(entry.users), coming, entry.pinned)
        return out

    def evictable(self, keep: str) -> dict[int, int]:
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
        could, free = self.evictable(name), self.free
        order = sorted(could, key=lambda s: (-free[s], -could[s], s))
        for count in range(1, len(order) + 1):
            base, rest = divmod(size, count)
            parts = {s: base + (k < rest) for k, s in enumerate(order[:count])}
            if all(part <= could[s] for s, part in parts.items()):
                return {s: part for s, part in parts.items() if part}
        return None

    def insert(self, name: str, bytes_on: Mapping[int, int], job_id: str = "", *, way: Way = "read") -> bool:
        """Add bytes to an entry (new or not), evicting what must go; False, and nothing changed, if even that
        isn't enough. The entry becomes the last used. With a ``job_id`` they are on their way until
        :meth:`arrive`."""
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
        if job_id:
            mine.coming.setdefault(job_id, []).append(Portion(dict(bytes_on), way))
        self.entries.move_to_end(name)
        return True

    def arrive(self, job_id: str, *ways: Way) -> None:
        """What the job was bringing is here (in these ways; all of it if none is said)."""
        for entry in self.entries.values():
            left = [p for p in entry.coming.pop(job_id, ()) if ways and p.way not in ways]
            if left:
                entry.coming[job_id] = left

    def give_up(self, job_id: str) -> None:
        """What the job was bringing won't come: its room is free. An entry without any other bytes goes."""
        for name, entry in list(self.entries.items()):
            for portion in entry.coming.pop(job_id, ()):
                for storage, size in portion.bytes_on.items():
                    entry.bytes_on[storage] -= size
                    self.free[storage] += size
                    if not entry.bytes_on[storage]:
                        del entry.bytes_on[storage]
            if not entry.bytes_on and not entry.fixed:
                self.evict(name)

    def erase(self, storage: int) -> None:
        """What has arrived on a storage is gone; what jobs are still bringing there is not."""
        for name, entry in list(self.entries.items()):
            gone = entry.here.get(storage, 0)
            if gone:
                self.free[storage] += gone
                entry.bytes_on[storage] -= gone
                if not entry.bytes_on[storage]:
                    del entry.bytes_on[storage]
                if not entry.bytes_on and not entry.users:
                    self.evict(name)

    def evict(self, name: str) -> None:
        entry = self.entries.pop(name)
        for storage, size in entry.bytes_on.items():
            self.free[storage] += size

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
