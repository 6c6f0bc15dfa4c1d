"""What a profile says about a job's own I/O: ``io_reads``, ``io_writes`` and ``io``.

Bytes of the whole job (all its nodes together). Either the two totals alone, which then concern one file
system that the configuration chooses, or a list ``io`` that names them:

    "io": [{"filesystem": "nfs", "reads": 8e8}, {"filesystem": "disk", "writes": 2e8}]

An entry may have ``files`` (how many files the bytes are in), ``pattern`` (``shared``: all nodes on the same
files, ``per_node``: each its own, ``per_process``: each process its own), what ``batfs.workload.access`` says
of its processes and their requests, ``operations`` (metadata operations of the whole job by name,
``{"open": 10, "stat": 3}``, in the place of those that ``files`` stand for) and options of its file-system
model. An entry that says nothing but 0 bytes asks for nothing; one with ``files``, ``operations`` or options
does, bytes or not. Totals beside the list are its sums.
Batsim itself accepts and forwards anything here; the rules are batfs's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from batfs.errors import InputError, nearest
from batfs.records import field, record
from batfs.workload.access import MEMBERS, PLAIN, Access, parse_access, with_kind
from batfs.workload.fields import (
    member_place,
    need_integer,
    need_number,
    need_object,
    need_string,
    wrong,
)
from batfs.workload.model import NO_EXTRA, Json, Profile

#: The members of a profile that say what bytes it moves.
IO: Final = ("io", "io_reads", "io_writes")

PATTERNS: Final = ("shared", "per_node", "per_process")
MOST_BYTES: Final = 2**63 - 1
_ENTRY: Final = (
    *("filesystem", "reads", "writes", "files", "pattern", "operations", "options", "kind"),
    *MEMBERS,
)


def _nothing() -> Mapping[str, Any]:
    return NO_EXTRA


@record
class RequestedIo:
    """Whole bytes a job reads and writes on one file system; ``filesystem`` None: the configured one."""

    filesystem: str | None
    reads: int
    writes: int
    files: int = 1
    pattern: str = "shared"
    options: Mapping[str, Json] = field(default_factory=_nothing)
    operations: Mapping[str, int] = field(default_factory=_nothing)
    access: Access = PLAIN


def without_io(members: Mapping[str, Json]) -> dict[str, Json]:
    """A profile's members but those of its I/O."""
    return {key: value for key, value in members.items() if key not in IO}


def requested_io(profile: Profile, place: str = "profile") -> Sequence[RequestedIo]:
    """What ``profile`` asks for, in its order; empty when it says nothing, or nothing but 0 bytes.

    InputError at ``place`` or a member of it: negative or non-finite bytes, a list of the wrong form, totals
    that aren't the sums of the list. Fractions of a byte are rounded up.
    """
    extra = profile.extra
    if "io" not in extra and "io_reads" not in extra and "io_writes" not in extra:
        return ()
    reads, writes = extra.get("io_reads", 0), extra.get("io_writes", 0)
    if not (type(reads) is int and type(writes) is int and 0 <= reads <= MOST_BYTES >= writes >= 0):
        reads = _bytes(reads, f"{place}.io_reads")
        writes = _bytes(writes, f"{place}.io_writes")
    if "io" not in extra:
        return (RequestedIo(None, reads, writes),) if reads or writes else ()
    entries = extra["io"]
    if not isinstance(entries, list):
        wrong(entries, "an array of {filesystem, reads, writes}", f"{place}.io")
    parts = tuple(_entry(entry, f"{place}.io[{i}]") for i, entry in enumerate(entries))
    for key, total, summed in (
        ("io_reads", reads, sum(part.reads for part in parts)),
        ("io_writes", writes, sum(part.writes for part in parts)),
    ):
        if key in extra and total != summed:
            raise InputError(f"found {total}, expected {summed}, the sum over 'io'", place=f"{place}.{key}")
    return tuple(
        part
        for part, entry in zip(parts, entries, strict=True)
        if part.reads or part.writes or part.operations or part.options or "files" in entry
    )


def _bytes(value: Json, place: str) -> int:
    return counted(math.ceil(need_number(value, place)), place)


def counted(size: int, place: str) -> int:
    """``size`` if it can be counted in 64 bits; InputError at ``place`` otherwise."""
    if size > MOST_BYTES:
        raise InputError(f"found {float(min(size, 10**300)):.4g} bytes, expected at most 9.2 EB", place=place)
    return size


_PLAIN: Final = frozenset(("filesystem", "reads", "writes"))


def _entry(entry: Json, place: str) -> RequestedIo:
    if type(entry) is dict and _PLAIN.issuperset(entry):  # the common case, quickly
        name, reads, writes = entry.get("filesystem"), entry.get("reads", 0), entry.get("writes", 0)
        if (
            type(name) is str
            and type(reads) is int
            and type(writes) is int
            and 0 <= reads <= MOST_BYTES >= writes >= 0
        ):
            return RequestedIo(name, reads, writes)
    obj = need_object(entry, place)
    for key in obj:
        if key not in _ENTRY:
            close = nearest(key, _ENTRY)
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(_ENTRY)}"
            raise InputError(f"unknown member {key!r}", place=place, hint=hint)
    if "kind" in obj:
        obj = dict(with_kind(obj, place))
    pattern = need_string(obj.get("pattern", "shared"), f"{place}.pattern")
    if pattern not in PATTERNS:
        expected = f"{', '.join(PATTERNS[:-1])} or {PATTERNS[-1]}"
        raise InputError(f"found {pattern!r}, expected {expected}", place=f"{place}.pattern")
    filesystem = obj.get("filesystem")
    return RequestedIo(
        None if filesystem is None else need_string(filesystem, f"{place}.filesystem"),
        _bytes(obj.get("reads", 0), f"{place}.reads"),
        _bytes(obj.get("writes", 0), f"{place}.writes"),
        need_integer(obj.get("files", 1), f"{place}.files", least=1),
        pattern,
        need_object(obj.get("options", {}), f"{place}.options") or NO_EXTRA,
        _operations(obj.get("operations", {}), f"{place}.operations"),
        parse_access(obj, place),
    )


def _operations(value: Json, place: str) -> Mapping[str, int]:
    counts = need_object(value, place)
    for name, count in counts.items():
        need_integer(count, member_place(place, name), least=0)
    return {name: count for name, count in counts.items() if count} or NO_EXTRA
