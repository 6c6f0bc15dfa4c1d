"""Numbers for people: a few significant digits, units that fit."""

from __future__ import annotations

import math

from batfs.units import format_size

MISSING = "–"


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
    size = abs(seconds)
    for limit, scale, unit in ((600, 1.0, "s"), (7200, 60.0, "min"), (172800, 3600.0, "h")):
        if size < limit:
            return f"{number(seconds / scale)} {unit}"
    return f"{number(seconds / 86400.0)} d"


def between(low: float, high: float, unit: str) -> str:
    """``12.1 to 18.44 min``: two quantities in one unit, that of the larger."""
    largest = max(abs(low), abs(high))
    if unit == "s":
        text = duration(largest)
    elif unit == "B":
        text = format_size(largest)
    else:
        return f"{number(low)} to {number(high)} {unit}".rstrip()
    if largest == 0 or math.isnan(largest):
        return text
    scale = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}.get(text.split(" ")[-1])
    if scale is None:
        scale = largest / float(text.split(" ")[0])
    return f"{number(low / scale)} to {number(high / scale)} {text.split(' ')[-1]}"
