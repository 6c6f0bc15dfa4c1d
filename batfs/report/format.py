"""Numbers for people: a few significant digits, units that fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from batfs.units import format_size, size_unit

MISSING = "–"
# up to (not at) so many seconds: the unit's length and name
_TIMES: Final = ((600.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h"), (math.inf, 86400.0, "d"))


def number(value: float, digits: int = 4) -> str:
    """``1234.5678`` -> ``1235``, ``0.00012345`` -> ``0.0001234``; thousands grouped by thin spaces."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude >= 9 or magnitude < -5:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - magnitude)
    text = f"{value:,.{places}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text.replace(",", "\u202f")


def quantity(value: float, unit: str) -> str:
    """``number`` with its unit; bytes in the largest prefix that fits, times also in minutes, hours or days
    where that reads better."""
    if math.isnan(value) or math.isinf(value):
        return number(value)
    if unit == "B":
        return format_size(value)
    if unit == "s":
        return duration(value)
    return f"{number(value)} {unit}".strip()


def duration(seconds: float) -> str:
    """``42.1 s``, ``12.5 min``, ``3.2 h``, ``4.1 d``."""
    scale, unit = unit_of(abs(seconds), "s")
    return f"{number(seconds / scale)} {unit}"


def between(low: float, high: float, unit: str) -> str:
    """``12.1 to 18.44 min``: two quantities in one unit, that of the larger, with as many digits as tell them
    apart (``1 to 1.0004 TB``)."""
    (first, last), name = together((low, high), unit)
    return f"{first} to {last} {name}".rstrip()


def together(values: Sequence[float], unit: str) -> tuple[list[str], str]:
    """``values`` as texts in one unit, that of the largest, and the unit's name; at least four digits of the
    largest, and more where they lie so close that the difference of the outermost would not have two."""
    known = [abs(value) for value in values if math.isfinite(value)]
    largest = max(known, default=0.0)
    scale, name = unit_of(largest, unit)
    inside = [value / scale for value in values if math.isfinite(value)]
    width = max(inside, default=0.0) - min(inside, default=0.0)
    digits = 4
    # what is only noise of a float's last bits is no width
    if width > 1e-12 * largest / scale:
        digits = max(digits, math.floor(math.log10(largest / scale)) - math.floor(math.log10(width)) + 2)
    return [_in_digits(value / scale, digits, largest / scale) for value in values], name


def _in_digits(value: float, digits: int, largest: float) -> str:
    """``number`` with as many places as the ``largest`` beside it needs for its digits; up to three more
    where it is so much smaller, and 0 where they don't show it."""
    if not value or not math.isfinite(value):
        return number(value)
    lower = math.floor(math.log10(largest)) - math.floor(math.log10(abs(value)))
    places = max(min(4, digits - lower + 3), digits - lower)
    return number(value, places) if places > 0 else "0"


def unit_of(largest: float, unit: str) -> tuple[float, str]:
    """The factor and the name of the unit in which quantities up to ``largest`` (in ``unit``) are shown."""
    if unit == "s":
        return next(((scale, name) for limit, scale, name in _TIMES if largest < limit), _TIMES[-1][1:])
    if unit == "B":
        return size_unit(largest)
    return 1.0, unit
