"""Purge policies: which data sets a scratch file system takes away by itself.

A policy answers three questions: when a set goes for its age, how many bytes have to go now that so many are
held, and whether sets go to make room for a job. In each case those least recently used go first; sets in use
or pinned, and those that go with their job, stay.
"""

from __future__ import annotations

from math import inf
from typing import Protocol, cast

from batfs.errors import InputError
from batfs.plugins import Registry, Seconds


class PurgePolicy(Protocol):
    """``name`` stands in the records of what was purged."""

    name: str

    def due(self, used: float) -> float:
        """When a set goes that was used last at ``used`` (s); infinite: never for its age."""
        ...

    def excess(self, held: int, capacity: int) -> int:
        """How many bytes have to go of a file system that holds ``held`` of ``capacity``."""
        ...

    def makes_room(self) -> bool:
        """Whether sets go when a job lacks space."""
        ...


PURGES: Registry[type[PurgePolicy]] = Registry(
    "purge policy", "batfs.purge_policies", {"batfs.filesystems.purge": ("age", "watermark", "lru")}
)


class _Nothing:
    """The defaults: nothing goes."""

    def due(self, used: float) -> float:
        return inf

    def excess(self, held: int, capacity: int) -> int:
        return 0

    def makes_room(self) -> bool:
        return False


@PURGES.register("age")
class Age(_Nothing):
    """A set goes when nobody has used it for ``after`` (90 days).

    The rule of most centres' scratch file systems: NERSC's and OLCF's user documentation ("Purge policy")
    give 8 to 12 weeks since the last access.
    """

    name = "age"

    def __init__(self, after: Seconds = 90 * 86400.0) -> None:
        if after <= 0:
            raise InputError(f"the age of the purge policy 'age' is {after:g} s, expected more than 0")
        self.after = after

    def due(self, used: float) -> float:
        return used + self.after


@PURGES.register("watermark")
class Watermark(_Nothing):
    """When more than ``high`` of the capacity is held, the sets used longest ago go until it is ``low``.

    Robinhood's triggers on the usage of a file system or an OST (``high_threshold_pct``,
    ``low_threshold_pct``, T. Leibovici, "Taking back control of HPC file systems with Robinhood Policy
    Engine", 2015), with its usual order by last access.
    """

    name = "watermark"

    def __init__(self, high: float = 0.9, low: float = 0.8) -> None:
        if not 0 <= low <= high <= 1:
            raise InputError(f"watermarks are parts with low <= high; found low {low:g} and high {high:g}")
        self.high = high
        self.low = low

    def excess(self, held: int, capacity: int) -> int:
        return held - int(self.low * capacity) if held > self.high * capacity else 0


@PURGES.register("lru")
class LeastRecentlyUsed(_Nothing):
    """When a job could start but for the space, sets go until it has it; none goes if all of them together
    would not be enough.

    Demand replacement by least recent use (P. Denning, "The working set model for program behavior", CACM
    11(5), 1968), what a cache does with its lines.
    """

    name = "lru"

    def makes_room(self) -> bool:
        return True


def make_purge(text: str) -> PurgePolicy:
    """The policy that ``"name:key=value,..."`` or ``"file.py:Name"`` says. InputError if it is none."""
    return cast(PurgePolicy, PURGES.make_with(text, "due", "due(used)"))
