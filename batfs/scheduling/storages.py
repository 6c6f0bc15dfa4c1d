"""The machine's storages as the ledger wants them, from what the simulator announced."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from batfs.errors import InputError, unknown
from batfs.platform.numbering import THROTTLE
from batfs.protocol.messages import Resource
from batfs.records import record, replace
from batfs.scheduling.config import Configuration
from batfs.storage.interface import Storage, StorageTable
from batfs.units import parse_bandwidth, parse_size
from batfs.workload.io import MOST_BYTES


def with_overrides(resources: Sequence[Resource], config: Configuration) -> list[Resource]:
    """The storages with the configuration's ``storages`` tables over their properties, ascending ids, and
    with a file system's ``size`` shared out among its storages (those that say their own keep it). The ends
    of throttles, which hold nothing, are left out.

    InputError for a name that is no storage.
    """
    overrides = config.storages
    ranked = sorted((r for r in resources if not is_throttle(r)), key=lambda r: r.id)
    names = [r.name for r in ranked]
    for name in overrides:
        if name not in names:
            raise unknown("storage", name, names, file="configuration, storages")
    changed = [r if r.name not in overrides else _with(r, overrides[r.name]) for r in ranked]
    for name, table in config.filesystems.items():
        if table.get("size") is None:
            continue
        mine = [k for k, r in enumerate(changed) if (r.property("filesystem") or "storage") == name]
        if not mine:
            known = dict.fromkeys(r.property("filesystem") or "storage" for r in changed)
            raise unknown("file system", name, known, file="configuration, filesystems")
        try:
            total = parse_size(str(table["size"]))
        except InputError as error:
            raise error.at(file="configuration", place=f"filesystems.{name}.size") from None
        kept = {k: changed[k] for k in mine if "size" in overrides.get(changed[k].name, {})}
        rest = total - sum(_storage(k, r).capacity for k, r in kept.items())
        if rest < 0:
            raise InputError(
                f"{table['size']} are less than what some of its storages are to have by themselves",
                file="configuration",
                place=f"filesystems.{name}.size",
            )
        mine = [k for k in mine if k not in kept]
        sizes = shared_out(rest, [_storage(k, changed[k]).capacity for k in mine])
        for k, size in zip(mine, sizes, strict=True):
            changed[k] = _with(changed[k], {"size": size})
    return changed


def _with(resource: Resource, more: Mapping[str, Any]) -> Resource:
    return replace(resource, properties={**resource.properties, **{k: str(v) for k, v in more.items()}})


def shared_out(total: int, capacities: Sequence[int]) -> list[int]:
    """``total`` bytes in the proportion of ``capacities`` (evenly where these are all 0), whole bytes that
    add up to it: what rounding leaves goes to the first."""
    whole = sum(capacities)
    weights = list(capacities) if whole else [1] * len(capacities)
    sizes = [total * weight // max(1, sum(weights)) for weight in weights]
    for k in range(total - sum(sizes) if sizes else 0):
        sizes[k] += 1
    return sizes


@record
class Throttle:
    """Two hosts, by id, with a link between them (bytes/s) that nothing else goes over."""

    source: int
    destination: int
    bandwidth: float


def is_throttle(resource: Resource) -> bool:
    """Whether it is an end of a throttle: a storage that holds nothing."""
    return resource.properties.get("service") == THROTTLE


def throttles(resources: Sequence[Resource]) -> list[Throttle]:
    """The throttles of the machine: each has an end of its own, which says ``throttle_bandwidth``, and all
    share the other end, which doesn't. InputError for a bandwidth that is none."""
    ends = [r for r in resources if is_throttle(r)]
    shared = [r.id for r in ends if r.property("throttle_bandwidth") is None]
    return [
        Throttle(r.id, shared[0], bandwidth)
        for r in sorted(ends, key=lambda r: r.id)
        if shared and (bandwidth := _bandwidth(r, "throttle_bandwidth"))
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
