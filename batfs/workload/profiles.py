"""Batsim's profiles: JSON object <-> record, with Batsim's own rules.

The rules are those of Batsim 4.2.1's loader (``profiles.cpp``): which members each type must have and what
they may hold. Where Batsim crashes or goes on with nonsense (a negative number of bytes to read, a return
code it can't report) batfs refuses. Members no type knows are kept and forwarded.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Final

from batfs._core.arrays import doubles
from batfs.errors import InputError, nearest
from batfs.workload.fields import missing, need_integer, need_number, need_object, need_string, wrong
from batfs.workload.model import (
    NO_EXTRA,
    Composed,
    DataStaging,
    Delay,
    Json,
    Parallel,
    ParallelHomogeneous,
    ParallelHomogeneousPfs,
    ParallelHomogeneousSpread,
    ParallelHomogeneousTotal,
    Profile,
    Recv,
    Send,
    Smpi,
    UsageTrace,
)

Object = Mapping[str, Json]


def parse_profile(obj: Json, place: str = "profile") -> Profile:
    """The record of one profile object; InputError at ``place`` or a member of it if it isn't valid."""
    if type(obj) is not dict:
        need_object(obj, place)
    kind = obj.get("type")
    parse = _PARSERS.get(kind) if type(kind) is str else None
    if parse is not None:
        return parse(obj, place)
    if "type" not in obj:
        missing(obj, "type", place)
    kind = need_string(kind, f"{place}.type")
    if "trace" in obj:  # Batsim runs any unknown type with a trace as a usage trace
        return UsageTrace(_trace(obj, place), _extra(obj, {"trace"}), _ret(obj, place))
    from batfs.workload.old_batsim import COMMAND, generation

    named = generation(kind)
    if named is not None:
        raise InputError(named, place=f"{place}.type", hint=f"{COMMAND} writes it as Batsim 4 has it")
    close = nearest(kind, _PARSERS)
    raise InputError(
        f"unknown profile type {kind!r}; known: {', '.join(_PARSERS)}",
        place=f"{place}.type",
        hint=f"did you mean {close!r}?" if close else "a type of one's own needs a 'trace' member",
    )


def _extra(obj: Object, known: frozenset[str] | set[str]) -> Object:
    """The members of ``obj`` outside ``known``."""
    extra = {key: value for key, value in obj.items() if key not in known}
    return extra or NO_EXTRA


def _ret(obj: Object, place: str) -> int:
    # Batsim can't report codes below -2 (-1: walltime reached, -2: killed) and aborts when the job ends
    return need_integer(obj["ret"], f"{place}.ret", least=-2) if "ret" in obj else 0


def _optional(obj: Object, known: frozenset[str], defaults: Mapping[str, Json]) -> Object:
    """``extra``: unknown members, and optional ones that spell out their default."""
    if len(obj) <= len(known) - len(defaults):
        return NO_EXTRA
    extra = {
        key: value
        for key, value in obj.items()
        if key not in known or (key in defaults and _same(value, defaults[key]))
    }
    return extra or NO_EXTRA


def _same(value: Json, default: Json) -> bool:
    return type(value) is type(default) and bool(value == default)


_DELAY: Final = frozenset(("type", "delay", "ret"))
_CPU_COM: Final = frozenset(("type", "cpu", "com", "ret"))
_PFS: Final = frozenset(("type", "bytes_to_read", "bytes_to_write", "storage", "ret"))
_STAGING: Final = frozenset(("type", "nb_bytes", "from", "to", "ret"))
_COMPOSED: Final = frozenset(("type", "seq", "repeat", "ret"))
_SEND: Final = frozenset(("type", "msg", "sleeptime", "ret"))
_RECV: Final = frozenset(("type", "regex", "success", "failure", "timeout", "polltime", "ret"))
_TRACE: Final = frozenset(("type", "trace", "ret"))
_RET: Final[Object] = {"ret": 0}
_PFS_DEFAULTS: Final[Object] = {"bytes_to_read": 0, "bytes_to_write": 0, "storage": "pfs", "ret": 0}
_COMPOSED_DEFAULTS: Final[Object] = {"repeat": 1, "ret": 0}
_SEND_DEFAULTS: Final[Object] = {"sleeptime": 1e-7, "ret": 0}
_RECV_DEFAULTS: Final[Object] = {
    "regex": ".*",
    "success": "",
    "failure": "",
    "timeout": "",
    "polltime": 0.005,
    "ret": 0,
}


def _delay(obj: Object, place: str) -> Delay:
    if "delay" not in obj:
        missing(obj, "delay", place, _DELAY)
    duration = need_number(obj["delay"], f"{place}.delay", positive=True)
    return Delay(duration, _optional(obj, _DELAY, _RET), _ret(obj, place))


def _cpu_com(obj: Object, place: str) -> tuple[float, float, Object, int]:
    for key in ("cpu", "com"):
        if key not in obj:
            missing(obj, key, place, _CPU_COM)
    cpu = need_number(obj["cpu"], f"{place}.cpu")
    com = need_number(obj["com"], f"{place}.com")
    return cpu, com, _optional(obj, _CPU_COM, _RET), _ret(obj, place)


def _homogeneous(obj: Object, place: str) -> ParallelHomogeneous:
    return ParallelHomogeneous(*_cpu_com(obj, place))


def _homogeneous_total(obj: Object, place: str) -> ParallelHomogeneousTotal:
    return ParallelHomogeneousTotal(*_cpu_com(obj, place))


def _parallel(obj: Object, place: str) -> Parallel:
    for key in ("cpu", "com"):
        if key not in obj:
            missing(obj, key, place, _CPU_COM)
        if not isinstance(obj[key], list | array):
            wrong(obj[key], "an array of numbers", f"{place}.{key}")
    n, size = len(obj["cpu"]), len(obj["com"])
    if n == 0:
        wrong([], "at least one number", f"{place}.cpu")
    if size != n * n:
        problem = f"the matrix has {size} numbers, expected {n} x {n} = {n * n} since cpu has {n}"
        raise InputError(problem, place=f"{place}.com")
    cpu, cpu_kinds = numbers(obj["cpu"], f"{place}.cpu")
    com, com_kinds = numbers(obj["com"], f"{place}.com")
    integers = (
        b""
        if cpu_kinds is None and com_kinds is None
        else (cpu_kinds or bytes(n)) + (com_kinds or bytes(size))
    )
    extra = _optional(obj, _CPU_COM, _RET)
    return Parallel.read(cpu, com, extra, ret=_ret(obj, place), integers=integers)


def numbers(values: list[Json] | array[float], place: str) -> tuple[array[float], bytes | None]:
    """The numbers of a JSON array, and which of them are integers (None: none). An array of float64 stands
    for integers."""
    if isinstance(values, array):
        return values, b"\1" * len(values)
    from batfs._core.reading import read

    cells = doubles(len(values))
    integers = read(values, cells)
    if integers < 0:
        for expected, fits in (
            ("a number", _is_number),
            ("a finite number that is not negative", _is_amount),
        ):
            for at, value in enumerate(values):
                if not fits(value):
                    wrong(value, expected, f"{place}[{at}]")
    if integers == 0:
        return cells, None
    if integers == len(values):
        return cells, b"\1" * integers
    return cells, bytes(map(operator.is_, map(type, values), repeat(int)))


def _is_number(value: Json) -> bool:
    return type(value) in (int, float)


def _is_amount(value: Json) -> bool:
    return bool(0.0 <= float(value) < math.inf)


def _pfs(obj: Object, place: str) -> ParallelHomogeneousPfs:
    if "bytes_to_read" not in obj and "bytes_to_write" not in obj:
        raise InputError("needs 'bytes_to_read' or 'bytes_to_write' (or both)", place=place)
    read = need_number(obj.get("bytes_to_read", 0), f"{place}.bytes_to_read")
    write = need_number(obj.get("bytes_to_write", 0), f"{place}.bytes_to_write")
    key = "storage" if "storage" in obj else "host"  # `host` is Batsim's older name; it stays in extra
    label = need_string(obj.get(key, "pfs"), f"{place}.{key}")
    return ParallelHomogeneousPfs(read, write, label, _optional(obj, _PFS, _PFS_DEFAULTS), _ret(obj, place))


def _data_staging(obj: Object, place: str) -> DataStaging:
    for key in ("nb_bytes", "from", "to"):
        if key not in obj:
            missing(obj, key, place, _STAGING)
    return DataStaging(
        need_number(obj["nb_bytes"], f"{place}.nb_bytes"),
        need_string(obj["from"], f"{place}.from"),
        need_string(obj["to"], f"{place}.to"),
        _optional(obj, _STAGING, _RET),
        _ret(obj, place),
    )


def _composed(obj: Object, place: str) -> Composed:
    if "seq" not in obj:
        missing(obj, "seq", place, _COMPOSED)
    times = need_integer(obj.get("repeat", 1), f"{place}.repeat", least=1)
    seq = obj["seq"]
    if not isinstance(seq, list) or not seq:
        wrong(seq, "a non-empty array of profile names", f"{place}.seq")
    names = tuple(need_string(name, f"{place}.seq[{i}]") for i, name in enumerate(seq))
    return Composed(names, times, _optional(obj, _COMPOSED, _COMPOSED_DEFAULTS), _ret(obj, place))


def _send(obj: Object, place: str) -> Send:
    if "msg" not in obj:
        missing(obj, "msg", place, _SEND)
    message = need_object(obj["msg"], f"{place}.msg")
    sleep = need_number(obj.get("sleeptime", 1e-7), f"{place}.sleeptime", positive=True)
    return Send(message, sleep, _optional(obj, _SEND, _SEND_DEFAULTS), _ret(obj, place))


def _recv(obj: Object, place: str) -> Recv:
    def text(key: str) -> str:
        return need_string(obj.get(key, _RECV_DEFAULTS[key]), f"{place}.{key}")

    poll = need_number(obj.get("polltime", 0.005), f"{place}.polltime", positive=True)
    extra = _optional(obj, _RECV, _RECV_DEFAULTS)
    return Recv(
        text("regex"), text("success"), text("failure"), text("timeout"), poll, extra, _ret(obj, place)
    )


def _trace(obj: Object, place: str) -> str:
    if "trace" not in obj:
        missing(obj, "trace", place, _TRACE)
    return need_string(obj["trace"], f"{place}.trace")


def _usage_trace(obj: Object, place: str) -> UsageTrace:
    return UsageTrace(_trace(obj, place), _optional(obj, _TRACE, _RET), _ret(obj, place))


def _smpi(obj: Object, place: str) -> Smpi:
    return Smpi(_trace(obj, place), _optional(obj, _TRACE, _RET), _ret(obj, place))


_PARSERS: Final[Mapping[str, Callable[[Object, str], Profile]]] = {
    "delay": _delay,
    "parallel": _parallel,
    "parallel_homogeneous": _homogeneous,
    "parallel_homogeneous_total": _homogeneous_total,
    "parallel_homogeneous_pfs": _pfs,
    "data_staging": _data_staging,
    "composed": _composed,
    "send": _send,
    "recv": _recv,
    "usage_trace": _usage_trace,
    "smpi": _smpi,
}
KNOWN_TYPES: Final = tuple(_PARSERS)


def profile_to_json(profile: Profile) -> dict[str, Json]:
    """The object ``profile`` was read from, or would be read from; its numbers of the same kind."""
    obj = _JSON[type(profile)](profile)
    if profile.ret != 0:
        obj["ret"] = profile.ret
    obj.update(profile.extra)
    return obj


def _set_unless(obj: dict[str, Json], values: Mapping[str, Json], defaults: Object) -> dict[str, Json]:
    obj.update((key, value) for key, value in values.items() if not _same(value, defaults[key]))
    return obj


def _pfs_json(p: ParallelHomogeneousPfs) -> dict[str, Json]:
    obj: dict[str, Json] = {"type": "parallel_homogeneous_pfs"}
    values = {"bytes_to_read": p.bytes_to_read, "bytes_to_write": p.bytes_to_write}
    if "host" not in p.extra or "storage" in p.extra or p.extra["host"] != p.label:
        values["storage"] = p.label  # type: ignore[assignment]
    _set_unless(obj, values, _PFS_DEFAULTS)
    if not {"bytes_to_read", "bytes_to_write"} & (obj.keys() | p.extra.keys()):
        obj["bytes_to_read"] = 0  # Batsim wants one of the two
    return obj


def _parallel_json(p: Parallel) -> dict[str, Json]:
    numbers = p.cpu.tolist() + p.com.ravel().tolist()
    if p.integers:
        numbers = [int(x) if whole else x for x, whole in zip(numbers, p.integers, strict=True)]
    n = len(p.cpu)
    return {"type": "parallel", "cpu": numbers[:n], "com": numbers[n:]}


def _staging_json(p: DataStaging) -> dict[str, Json]:
    return {"type": "data_staging", "nb_bytes": p.size, "from": p.source, "to": p.destination}


def _spread_json(p: ParallelHomogeneousSpread) -> dict[str, Json]:
    raise InputError("Batsim 4 has no task whose amounts are spread over its pairs of nodes")


def _composed_json(p: Composed) -> dict[str, Json]:
    obj: dict[str, Json] = {"type": "composed", "seq": list(p.sequence)}
    return _set_unless(obj, {"repeat": p.repeat}, _COMPOSED_DEFAULTS)


def _send_json(p: Send) -> dict[str, Json]:
    return _set_unless({"type": "send", "msg": p.message}, {"sleeptime": p.sleep_time}, _SEND_DEFAULTS)


def _recv_json(p: Recv) -> dict[str, Json]:
    values = {"regex": p.regex, "success": p.success, "failure": p.failure, "timeout": p.timeout}
    return _set_unless({"type": "recv"}, {**values, "polltime": p.poll_time}, _RECV_DEFAULTS)


_JSON: Final[Mapping[type, Callable[[Any], dict[str, Json]]]] = {
    Delay: lambda p: {"type": "delay", "delay": p.duration},
    Parallel: _parallel_json,
    ParallelHomogeneous: lambda p: {"type": "parallel_homogeneous", "cpu": p.cpu, "com": p.com},
    ParallelHomogeneousTotal: lambda p: {"type": "parallel_homogeneous_total", "cpu": p.cpu, "com": p.com},
    ParallelHomogeneousSpread: _spread_json,
    ParallelHomogeneousPfs: _pfs_json,
    DataStaging: _staging_json,
    Composed: _composed_json,
    Send: _send_json,
    Recv: _recv_json,
    UsageTrace: lambda p: {"type": "usage_trace", "trace": p.trace},
    Smpi: lambda p: {"type": "smpi", "trace": p.trace},
}
