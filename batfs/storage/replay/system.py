"""The storages of a replay, from a description of a system."""

from __future__ import annotations

import math
from os import PathLike

from batfs.errors import InputError
from batfs.storage.table import Storage, StorageTable
from batfs.workload.storalloc import read_system


def read_storages(path: str | PathLike[str], *, scale: float = 1.0) -> StorageTable:
    """Every disk of a system file (StorAlloc's YAML, or TOML), host by host, disk by disk.

    A storage is called ``<host>/<disk>``; its group is the host. ``scale`` multiplies the capacities (down to
    whole bytes). Raises InputError for a file that is wrong and a scale that isn't finite and above 0.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"the scale {scale} of the capacities must be finite and above 0")
    storages: list[Storage] = []
    for host in read_system(path):
        for disk in host.disks:
            storages.append(
                Storage(
                    index=len(storages),
                    name=f"{host.name}/{disk.name}",
                    capacity=disk.capacity if scale == 1.0 else int(disk.capacity * scale),
                    group=host.name,
                    read_bandwidth=disk.read_bandwidth,
                    write_bandwidth=disk.write_bandwidth,
                    network_bandwidth=host.network_bandwidth,
                )
            )
    return StorageTable(storages)
