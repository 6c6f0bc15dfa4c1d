"""Storages that get slower the more clients they serve at once.

A table gives the part of its nominal bandwidth that a storage reaches with so many clients, for example
``1:1 8:0.9 64:0.55``; between the entries it is linear in the number of clients, outside it is that of the
first or last entry. How the loss is brought about is said in ``batfs.filesystems.access``. The number of
clients is known when the job starts and kept: its own transfers on the storage, and those under way there.

Source: concurrency-dependent throughput of disks as in L. Pottier et al., "Modeling the performance of
scientific workflow executions on HPC platforms with burst buffers" (CLUSTER 2020), and the non-linear read
and write factors of Fives; the figures of a table are the user's own measurement.
"""

from __future__ import annotations

from batfs._core.arrays import np
from batfs.errors import InputError
from batfs.records import record


@record
class Efficiency:
    """Factors in (0, 1] by number of clients, ascending."""

    clients: tuple[int, ...]
    factors: tuple[float, ...]

    @classmethod
    def parse(cls, text: str) -> Efficiency | None:
        """``"1:1 8:0.9 64:0.55"``; None for an empty text. InputError says which entry is wrong."""
        clients: list[int] = []
        factors: list[float] = []
        for entry in text.split():
            count, colon, factor = entry.partition(":")
            try:
                clients.append(int(count))
                factors.append(float(factor))
            except ValueError:
                colon = ""
            if not colon or clients[-1] < 1 or not 0 < factors[-1] <= 1:
                raise InputError(f"efficiency entry {entry!r} is not clients:factor with a factor in (0, 1]")
            if len(clients) > 1 and clients[-1] <= clients[-2]:
                raise InputError(f"efficiency entry {entry!r}: the numbers of clients must grow")
        return cls(tuple(clients), tuple(factors)) if clients else None

    def at(self, clients: int) -> float:
        """The factor for so many clients."""
        return float(np.interp(clients, self.clients, self.factors))
