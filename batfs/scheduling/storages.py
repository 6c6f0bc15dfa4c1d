"""The machine's storages as the ledger wants them, from what the simulator announced."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from batfs.errors import InputError, unknown
from batfs.protocol.messages import Resource
from batfs.records import replace
from batfs.storage.interface import Storage, StorageTable
from batfs.units import parse_bandwidth, parse_size
from batfs.workload.io import MOST_BYTES


def with_overrides(
    resources: Sequence[Resource], overrides: Mapping[str, Mapping[str, Any]]
) -> list[Resource]:
    """The storages with the configuration's ``storages`` tables over their properties, ascending ids.

    InputError for a name that is no storage.
    """
    ranked = sorted(resources, key=lambda r: r.id)
    names = [r.name for r in ranked]
    for name in overrides:
        if name not in names:
            raise unknown("storage", name, names, file="configuration, storages")
    return [
        r
        if r.name not in overrides
        else replace(r, properties={**r.properties, **{k: str(v) for k, v in overrides[r.name].items()}})
        for r in ranked
    ]


def storage_table(resources: Sequence[Resource]) -> StorageTable:
    """One record per storage, in ascending order of id. Capacity is the property ``size``; the group is the
    ``server`` a target stands behind, else the ``node`` a local disk belongs to, else the storage itself.

    A storage without a size holds nothing: see :func:`need_sizes` for those that bytes are to be put on.
    InputError for a size or bandwidth that is none.
    """
    return StorageTable([_storage(position, resource) for position, resource in enumerate(resources)])


def need_sizes(resources: Sequence[Resource], filesystems: Collection[str]) -> None:
    """InputError when a storage of one of these file systems has no size."""
    for resource in resources:
        if (
            resource.property("size") is None
            and (resource.property("filesystem") or "storage") in filesystems
        ):
            raise InputError(
                f"the storage {resource.name!r} has no size",
                hint='add <prop id="size" value="4TB"/> to the platform, or [storages."'
                + resource.name
                + '"] size = "4TB" to the configuration',
            )


def _storage(position: int, resource: Resource) -> Storage:
    size = resource.property("size")
    capacity = 0 if size is None else _read(resource, "size", size, parse_size)
    if capacity > MOST_BYTES:
        raise InputError(f"the storage {resource.name!r} is larger than 9.2 EB: found {size!r}")
    return Storage(
        index=position,
        name=resource.name,
        capacity=capacity,
        filesystem=resource.property("filesystem") or "",
        group=resource.property("server") or resource.property("node") or resource.name,
        read_bandwidth=_bandwidth(resource, "read_bandwidth"),
        write_bandwidth=_bandwidth(resource, "write_bandwidth"),
        network_bandwidth=_bandwidth(resource, "network_bandwidth"),
        properties=resource.properties,
    )


def _bandwidth(resource: Resource, key: str) -> float | None:
    text = resource.property(key)
    return None if text is None else _read(resource, key, text, parse_bandwidth)


def _read(resource: Resource, key: str, text: str, parse: Any) -> Any:
    try:
        return parse(text)
    except InputError as error:
        raise InputError(
            error.problem, place=f"property {key!r} of the storage {resource.name!r}", hint=error.hint
        ) from None
