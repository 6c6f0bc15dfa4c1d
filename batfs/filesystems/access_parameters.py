"""How the parameters of access patterns are written: ``latency:0.5ms read_stream:1.2GBps``.

What they mean is in ``access``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from batfs.errors import InputError, unknown
from batfs.units import parse_bandwidth, parse_size, parse_time


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0):
        raise InputError(f"{text!r} is not a number above 0")
    return value


def _share(text: str) -> float:
    value = _number(text)
    if value > 1:
        raise InputError(f"{text!r} is not above 0 and at most 1")
    return value


def _size(text: str) -> float:
    return float(parse_size(text))


def _rate(text: str) -> float:
    if text.strip().endswith(("Bps", "bps")):
        return parse_bandwidth(text)
    return float(parse_size(text.removesuffix("/s")))


_CLIENT: Final[Mapping[str, Callable[[str], float]]] = {
    "latency": parse_time,
    "stream": _rate,
    "depth": _number,
    "node": _rate,
    "window": _size,
    "buffer": _size,
    "aggregators": _number,
}
_SERVER: Final[Mapping[str, Callable[[str], float]]] = {
    "share": _share,
    "half": _size,
    "random_half": _size,
    "lock_half": _size,
    "half_streams": _number,
}


def parse_parameters(text: str, what: str) -> tuple[dict[str, float], dict[str, float]]:
    """(of reads, of writes) of ``"latency:1ms read_stream:1GBps"``. ``what``: ``client`` or ``server``.

    InputError names the entry that is unknown, without a value, or out of range.
    """
    known = _CLIENT if what == "client" else _SERVER
    names = [prefix + name for name in known for prefix in ("", "read_", "write_")]
    both: tuple[dict[str, float], dict[str, float]] = ({}, {})
    general: dict[str, float] = {}
    for entry in text.split():
        name, colon, value = entry.partition(":")
        if name not in names:
            raise unknown(f"{what} parameter", name, names)
        plain = name.removeprefix("read_").removeprefix("write_")
        try:
            if not colon:
                raise InputError("it has no value")
            found = known[plain](value)
            if found == 0 and plain in ("stream", "node", "window", "buffer"):
                raise InputError("it must be above 0")
        except InputError as error:
            raise InputError(f"{what} parameter {entry!r}: {error.problem}") from None
        if name == plain:
            general[name] = found
        else:
            both[name.startswith("write_")][plain] = found
    return {**general, **both[0]}, {**general, **both[1]}
