"""The storages of a system: one record each, and the same facts as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, overload

from batfs._core.arrays import FloatArray, IntArray, np, shown
from batfs.errors import InputError
from batfs.records import field, record


@record
class Storage:
    """One storage. ``group`` names what it shares with others (its server, its node).

    Bandwidths are bytes/s, None when nobody knows them; ``network_bandwidth`` is the group's.
    """

    index: int
    name: str
    capacity: int
    filesystem: str = ""
    group: str = ""
    read_bandwidth: float | None = None
    write_bandwidth: float | None = None
    network_bandwidth: float | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class StorageTable(Sequence[Storage]):
    """Storages numbered 0..m-1 in order. Columns are read-only arrays; an unknown bandwidth is NaN.

    ``groups`` int64[m] numbers the groups in order of first appearance, ``group_names`` names them.
    """

    def __init__(self, storages: Iterable[Storage]) -> None:
        self._rows = tuple(storages)
        for position, storage in enumerate(self._rows):
            if storage.index != position:
                raise ValueError(f"storage {storage.name!r} has index {storage.index} at position {position}")
            if storage.capacity < 0:
                raise InputError(f"storage {storage.name!r} has a negative capacity {storage.capacity}")
        self.group_names = tuple(dict.fromkeys([s.group for s in self._rows]))
        self._filled: dict[str, FloatArray] = {}
        self._server_limits: bool | None = None

    @cached_property
    def capacities(self) -> IntArray:
        """Bytes."""
        return shown(array("l", [s.capacity for s in self._rows]))

    @cached_property
    def read_bandwidths(self) -> FloatArray:
        """Bytes/s."""
        return _bandwidths([s.read_bandwidth for s in self._rows])

    @cached_property
    def write_bandwidths(self) -> FloatArray:
        """Bytes/s."""
        return _bandwidths([s.write_bandwidth for s in self._rows])

    @cached_property
    def network_bandwidths(self) -> FloatArray:
        """Bytes/s."""
        return _bandwidths([s.network_bandwidth for s in self._rows])

    @cached_property
    def groups(self) -> IntArray:
        """The number of each storage's group."""
        numbers = {name: number for number, name in enumerate(self.group_names)}
        return shown(array("l", [numbers[s.group] for s in self._rows]))

    def bandwidths(self, kind: Literal["read", "write", "network"], otherwise: float) -> FloatArray:
        """One of the columns with what is unknown as the mean of the known, or ``otherwise`` if none is."""
        key = f"{kind} {otherwise}"
        found = self._filled.get(key)
        if found is None:
            column: FloatArray = getattr(self, f"{kind}_bandwidths")
            unknown = np.isnan(column)
            mean = otherwise if unknown.all() else float(column[~unknown].mean())
            found = self._filled[key] = np.where(unknown, mean, column)
            found.flags.writeable = False
        return found

    @property
    def server_can_limit(self) -> bool:
        """Whether some server's network, less the read bandwidths of all its disks, is slower than one of
        them writes (what is unknown filled in as by ``worst_case``)."""
        if self._server_limits is None:
            reads = self.bandwidths("read", 0.0)
            network, writes = self.bandwidths("network", np.inf), self.bandwidths("write", 1.0)
            taken = np.bincount(self.groups, weights=reads, minlength=len(self.group_names))
            left = network - taken[self.groups]
            self._server_limits = not bool(((left > 0.0) & (left >= writes)).all())
        return self._server_limits

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Storage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Storage]: ...
    def __getitem__(self, index: int | slice) -> Storage | Sequence[Storage]:
        return self._rows[index]

    def __iter__(self) -> Iterator[Storage]:
        return iter(self._rows)


def _bandwidths(values: Sequence[float | None]) -> FloatArray:
    return shown(array("d", [float("nan") if v is None else v for v in values]))
