"""How a job's processes reach the bytes of an ``io`` entry: sizes of requests, their order, who takes part.

An entry may say, beside its bytes:

    "access": "random"          sequential (default), strided or random: where a process's next request lies
    "request_size": 4096        bytes of one request
    "collective": true          the processes of a node hand their requests to one (MPI-IO's aggregators)
    "processes_per_node": 32    how many processes take part on each node (default 1)
    "kind": "ior_hard"          values for all of these and ``pattern``, but for what the entry says itself

The first three may differ by direction: ``{"reads": "random", "writes": "sequential"}``. What they mean for
the time is a matter of the file system: see ``batfs.filesystems.access``; without parameters there, nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from batfs.errors import InputError, nearest
from batfs.records import record
from batfs.workload.fields import need_integer, need_string
from batfs.workload.model import Json

ORDERS: Final = ("sequential", "strided", "random")
MEMBERS: Final = ("access", "request_size", "collective", "processes_per_node")
MOST_PROCESSES: Final = 1 << 20


@record
class Way:
    """Requests of one direction: their ``order``, ``size`` in bytes (0: not said), and whether the processes
    of a node put theirs together (``collective``)."""

    order: str = "sequential"
    size: int = 0
    collective: bool = False


@record
class Access:
    """How the bytes of an entry are read and written, by ``processes`` on each node."""

    reads: Way = Way()
    writes: Way = Way()
    processes: int = 1


#: What an entry means that says nothing: one object, so that the common case is one comparison.
PLAIN: Final = Access()

#: Values of the named kinds. IOR's and mdtest's are IO500's rules (easy: a file per process in large
#: sequential requests, its 2 MiB being the median of the submissions; hard: one file, interleaved requests of
#: 47,008 bytes; mdtest-hard: files of 3,901 bytes in one directory). A checkpoint is written as MPI-IO's
#: collective buffering does it (ROMIO's ``cb_buffer_size`` is 16 MiB); a training reads samples of 128 KiB
#: (an ImageNet picture) in random order.
KINDS: Final[Mapping[str, Mapping[str, Json]]] = {
    "ior_easy": {"pattern": "per_process", "request_size": 2 << 20},
    "ior_hard": {"pattern": "shared", "access": "strided", "request_size": 47008},
    "mdtest_easy": {"pattern": "per_process"},
    "mdtest_hard": {"pattern": "shared", "request_size": 3901},
    "checkpoint": {"pattern": "shared", "collective": True, "request_size": 16 << 20},
    "training_read": {"pattern": "shared", "access": "random", "request_size": 128 << 10},
}


def with_kind(entry: Mapping[str, Json], place: str) -> Mapping[str, Json]:
    """``entry`` with the values of the ``kind`` it names, where it has none of its own.

    The two mdtest kinds need ``files``: each is created, looked at and removed, and those of mdtest_hard hold
    3,901 bytes, written and read. InputError at ``place`` for an unknown kind, or without ``files``.
    """
    name = need_string(entry["kind"], f"{place}.kind")
    if name not in KINDS:
        close = nearest(name, KINDS)
        raise InputError(
            f"found {name!r}, expected one of {', '.join(KINDS)}",
            place=f"{place}.kind",
            hint=f"did you mean {close!r}?" if close else None,
        )
    out = {**KINDS[name], **{key: value for key, value in entry.items() if key != "kind"}}
    if name.startswith("mdtest"):
        if "files" not in entry:
            raise InputError(f"the kind {name!r} needs 'files', how many there are", place=place)
        files = need_integer(entry["files"], f"{place}.files", least=1)
        out.setdefault("operations", {"create": files, "stat": files, "unlink": files})
        if name == "mdtest_hard":
            out.setdefault("writes", 3901 * files)
            out.setdefault("reads", 3901 * files)
    return out


def parse_access(entry: Mapping[str, Json], place: str) -> Access:
    """What the members of ``entry`` say. InputError at the member that is wrong."""
    if not any(member in entry for member in MEMBERS):
        return PLAIN
    orders = _both(entry, "access", "sequential", _order, place)
    sizes = _both(entry, "request_size", 0, _size, place)
    together = _both(entry, "collective", False, _truth, place)
    processes = need_integer(
        entry.get("processes_per_node", 1), f"{place}.processes_per_node", least=1, most=MOST_PROCESSES
    )
    reads, writes = (Way(*members) for members in zip(orders, sizes, together, strict=True))
    return Access(reads, writes, processes)


def access_members(access: Access) -> dict[str, Json]:
    """The members that say this; none for what needs no word. Read again they give the same access."""
    if access == PLAIN:
        return {}
    reads, writes = access.reads, access.writes
    members: dict[str, Json] = {}
    for name, default, both in (
        ("access", "sequential", (reads.order, writes.order)),
        ("request_size", 0, (reads.size, writes.size)),
        ("collective", False, (reads.collective, writes.collective)),
    ):
        if both[0] == both[1]:
            if both[0] != default:
                members[name] = both[0]
        else:
            said = zip(("reads", "writes"), both, strict=True)
            members[name] = {key: value for key, value in said if value != default}
    if access.processes != 1:
        members["processes_per_node"] = access.processes
    return members


def _both(
    entry: Mapping[str, Json], name: str, default: Any, need: Callable[[Json, str], Any], place: str
) -> tuple[Any, Any]:
    """(of reads, of writes): one value for both, or an object with a value for one of them or each."""
    value = entry.get(name, default)
    at = f"{place}.{name}"
    if not isinstance(value, dict):
        found = default if name not in entry else need(value, at)
        return found, found
    for key in value:
        if key not in ("reads", "writes"):
            raise InputError(f"unknown member {key!r}", place=at, hint="known: reads, writes")
    reads, writes = (need(value[k], f"{at}.{k}") if k in value else default for k in ("reads", "writes"))
    return reads, writes


def _order(value: Json, place: str) -> str:
    order = need_string(value, place)
    if order not in ORDERS:
        close = nearest(order, ORDERS)
        raise InputError(
            f"found {order!r}, expected {', '.join(ORDERS[:-1])} or {ORDERS[-1]}",
            place=place,
            hint=f"did you mean {close!r}?" if close else None,
        )
    return order


def _size(value: Json, place: str) -> int:
    return need_integer(value, place, least=1, most=1 << 40)


def _truth(value: Json, place: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"found {value!r}, expected true or false", place=place)
    return value
