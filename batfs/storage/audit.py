"""The ledger's invariants, stated: what ``Ledger.validate`` checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batfs.storage.ledger import Ledger


def audit(ledger: Ledger) -> None:
    """Raise LedgerError unless, recomputed from the live reservations alone,

    - the bytes free now and the counts of reservations are those kept, and lie within [0, capacity];
    - no storage is above capacity at any instant from now on (what is past its end ends now);
    - what is booked starts later, what is held has begun;
    - with ``release_at_end`` nothing is past its end;
    - every coming start and end is on the agenda.
    """
    from batfs.storage.ledger import BOOKED, HELD, LedgerError

    def ensure(true: bool, what: str) -> None:
        if not true:
            raise LedgerError(f"the ledger is inconsistent: {what}")

    m = len(ledger.storages)
    held, counts, booked = [0] * m, [0] * m, [0] * m
    changes: list[list[tuple[float, int, int]]] = [[] for _ in range(m)]
    ends, starts = set(ledger.ends), set(ledger.bookings.starts)
    for line in ledger.live:
        ensure(line.state in (BOOKED, HELD), f"reservation {line.id} is {line.state}")
        ensure((line.state == HELD) == (line.start <= ledger.now), f"reservation {line.id} is {line.state}")
        if ledger.release_at_end:
            ensure(line.end > ledger.now, f"reservation {line.id} is past its end")
            ensure(math.isinf(line.end) or (line.end, line.id) in ends, f"no end for {line.id}")
        ensure(line.state == HELD or (line.start, line.id) in starts, f"no start for {line.id}")
        ensure(len({s.index for s in line.shares}) == len(line.shares), f"{line.id} names a storage twice")
        for share in line.shares:
            i = share.index
            if line.state == HELD:
                ensure(ledger.on[i].get(line.id) is line, f"reservation {line.id} isn't on storage {i}")
                held[i] += share.size
                counts[i] += 1
            else:
                booked[i] += 1
            changes[i].append((max(line.start, ledger.now), 1, share.size))
            changes[i].append((max(line.end, math.nextafter(ledger.now, math.inf)), 0, -share.size))
    for i, storage in enumerate(ledger.storages):
        ensure(0 <= held[i] <= storage.capacity, f"{held[i]} bytes held on {storage.name!r}")
        left = storage.capacity - held[i]
        ensure(left == int(ledger.free_now[i]), f"bytes free on {storage.name!r}")
        ensure(counts[i] == int(ledger.count[i]), f"reservations on {storage.name!r}")
        ensure(booked[i] == ledger.bookings.on.get(i, 0), f"bookings on {storage.name!r}")
        ensure(len(ledger.on[i]) == counts[i], f"released reservations on {storage.name!r}")
        used = 0
        for time, _, change in sorted(changes[i]):
            used += change
            ensure(used <= storage.capacity, f"{storage.name!r} is above capacity at {time}")
