"""SimGrid's units: speeds, bandwidths, times; and sizes in bytes.

Speeds, bandwidths and times follow SimGrid 3.34's own parser (case-sensitive, no space before the unit,
a number without a unit is in the base unit). Sizes are batfs's: bytes with decimal (``GB``, ``G``) or binary
(``GiB``, ``Gi``) prefixes, as people and their tools write them (``3 GiB``, ``2gb``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from batfs.errors import InputError

_DECIMAL: Final = {
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Z": 1e21,
    "Y": 1e24,
}
_BINARY: Final = {f"{p}i": 1024.0**i for i, p in enumerate(("K", "M", "G", "T", "P", "E", "Z", "Y"), start=1)}
_LONG: Final = {
    "": 1.0,
    "kilo": 1e3,
    "mega": 1e6,
    "giga": 1e9,
    "tera": 1e12,
    "peta": 1e15,
    "exa": 1e18,
    "zetta": 1e21,
    "yotta": 1e24,
}

SPEED_UNITS: Final[Mapping[str, float]] = {
    **{f"{p}f": v for p, v in _DECIMAL.items()},
    **{f"{p}flops": v for p, v in _LONG.items()},
}
BANDWIDTH_UNITS: Final[Mapping[str, float]] = {
    **{f"{p}Bps": v for p, v in (_DECIMAL | _BINARY).items()},
    **{f"{p}bps": v / 8 for p, v in (_DECIMAL | _BINARY).items()},
}
TIME_UNITS: Final[Mapping[str, float]] = {
    "w": 604800.0,
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "ps": 1e-12,
}
SIZE_UNITS: Final[Mapping[str, float]] = {
    **{f"{p}B": v for p, v in (_DECIMAL | _BINARY).items()},
    "KB": 1e3,
}
_SIZE: Final = re.compile(r"([kmgtpezy]?)(i?)(b|bytes?)?", re.IGNORECASE)

# What C's strtod takes as a finite decimal number.
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)", re.DOTALL)


def _parse(text: str, units: Mapping[str, float], what: str) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is not a {what}; expected a number with a unit such as {_examples(units)}"
        )
    number, unit = float(found[1]), found[2]
    if unit == "":
        scale = 1.0
    elif unit in units:
        scale = units[unit]
    else:
        raise InputError(f"unknown unit {unit!r} in the {what} {text!r}; known: {_examples(units)}")
    value = number * scale
    if not math.isfinite(value) or value < 0:
        raise InputError(f"the {what} {text!r} must be finite and not negative")
    return value


def _examples(units: Mapping[str, float]) -> str:
    return ", ".join(units)


def parse_speed(text: str) -> float:
    """flop/s of ``"1Gf"``, ``"500Mf"``, ``"2gigaflops"``; unit-less is flop/s."""
    return _parse(text, SPEED_UNITS, "speed")


def parse_bandwidth(text: str) -> float:
    """bytes/s of ``"125MBps"``, ``"1Gbps"`` (an eighth), ``"1GiBps"``; unit-less is bytes/s."""
    return _parse(text, BANDWIDTH_UNITS, "bandwidth")


def parse_time(text: str) -> float:
    """seconds of ``"50us"``, ``"1.5h"``; unit-less is seconds."""
    return _parse(text, TIME_UNITS, "time")


def parse_part(text: str) -> float:
    """``"0.7"``: a number above 0, at most 1. InputError otherwise."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise InputError(f"{text!r} is not a part: a number above 0, at most 1")
    return value


def parse_size(text: str) -> int:
    """whole bytes of ``"500GB"``, ``"4 TiB"``, ``"900G"``, ``"2gb"``, ``"1e12"``; unit-less is bytes.

    Computed exactly, then rounded to whole bytes; what is less than half a byte and not 0 is no size. ``Gb``
    is refused: it means bits.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None:
        raise InputError(
            f"{text!r} is not a size; expected a number with a unit such as {_examples(SIZE_UNITS)}"
        )
    unit = found[2].strip()
    letters = _SIZE.fullmatch(unit)
    bits = unit.endswith("b") and unit != "b" and not unit.islower()
    if letters is None or bits or (letters[2] and not letters[1]):
        hint = f"{unit} means bits; is {unit[:-1]}B meant?" if bits and letters is not None else None
        raise InputError(
            f"unknown unit {unit!r} in the size {text!r}; known: {_examples(SIZE_UNITS)}", hint=hint
        )
    if not math.isfinite(float(found[1]) * 1024.0**8):
        raise InputError(f"the size {text!r} must be finite and not negative")
    scale = (1024 if letters[2] else 1000) ** " kmgtpezy".index(letters[1].lower() or " ")
    size = _rounded(found[1], scale)
    if found[1].startswith("-") and float(found[1]) < 0:
        raise InputError(f"the size {text!r} must be finite and not negative")
    if size == 0 and re.search("[1-9]", re.split("[eE]", found[1])[0]):
        raise InputError(f"the size {text!r} is less than a byte, so not a whole number of them")
    return size


def _rounded(number: str, scale: int) -> int:
    """``number`` times ``scale``, rounded to a whole number from its exact value, half to even."""
    if float(number) == 0:
        return 0  # 1e-999999999 would take for ever to compute exactly
    mantissa, _, exponent = number.lower().partition("e")
    whole, _, part = mantissa.partition(".")
    power = int(exponent or 0) - len(part)
    value = int(whole + part) * scale
    if power >= 0:
        return value * int(10**power)
    unit = int(10**-power)
    size, rest = divmod(value, unit)
    return size + (2 * rest > unit or (2 * rest == unit and size % 2 == 1))


def format_size(size: float) -> str:
    """``1.5 TB``: bytes in the largest decimal unit that leaves at least one digit before the point."""
    return f"{_scaled(size, 'B')}"


def format_bandwidth(bandwidth: float) -> str:
    """``1.25 GB/s``."""
    return f"{_scaled(bandwidth, 'B')}/s"


def format_speed(speed: float) -> str:
    """``2Gf``: flop/s as a platform file writes them."""
    return _scaled(speed, "f").replace(" ", "")


def format_time(time: float) -> str:
    """``20 us``: seconds in the largest unit that leaves at least one digit before the point."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if time >= scale:
            return f"{time / scale:.4g} {unit}"
    return "0" if time == 0 else f"{time * 1e9:.4g} ns"


def size_unit(size: float) -> tuple[float, str]:
    """The factor and the name of the unit that :func:`format_size` shows ``size`` in."""
    for prefix, scale in reversed(_DECIMAL.items()):
        if abs(size) >= scale:
            return scale, f"{prefix}B"
    return 1.0, "B"


def _scaled(value: float, unit: str) -> str:
    scale, name = size_unit(value)
    return f"{value / scale:.4g} {name[:-1]}{unit}"
