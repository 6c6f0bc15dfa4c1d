"""One cell of a job table: is it known, and what time, duration or number does it hold?

Cells are text, or what JSON and Parquet have (numbers, None, date-times, lists).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final

from batfs.errors import InputError
from batfs.workload.zones import Zone, to_timestamp

# what tools write where they know nothing: pandas, MySQL, Slurm, spreadsheets
_UNKNOWN: Final = frozenset(
    (
        "",
        "-",
        "--",
        "none",
        "null",
        "nan",
        "nat",
        "na",
        "n/a",
        "<na>",
        "\\n",
        "unknown",
        "undefined",
        "(null)",
    )
)
#: Limits that are none: Slurm's words and numbers (INFINITE, NO_VAL), a queue's own limit.
_NO_LIMIT: Final = frozenset(("unlimited", "infinite", "partition_limit", "not_set", "invalid"))
_NO_VALUE: Final = (4294967295, 4294967294)

#: Times since 1970 are above this number of seconds (1973); smaller ones count from the log's own origin.
EPOCH: Final = 1e8
#: How many of a unit are a second, by the least number that is a time in it (in seconds: the year 5138).
_SCALES: Final = ((1e17, 1e9, "nanoseconds"), (1e14, 1e6, "microseconds"), (1e11, 1e3, "milliseconds"))
# how other programs write a time: PBS and spreadsheets, ctime, LSF
_FORMATS: Final = (
    "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S %Z %Y",
    "%d-%b-%Y %H:%M:%S",
    "%d %b %Y %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
)
_NANOSECONDS: Final = re.compile(r"(\.\d{6})\d+")
_OFFSET: Final = re.compile(r" (?=[+-]\d\d:?\d\d$)|(?: UTC| GMT)$")
_CLOCK: Final = re.compile(r"(?:(\d+)(?:-| days? ?,? ?))?(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_SHORT: Final = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
UNITS: Final = {
    "ms": 1e-3,
    "milliseconds": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "days": 86400.0,
}


def is_known(cell: Any) -> bool:
    """Whether ``cell`` says anything: not empty, ``nan``, ``NaT``, ``N/A``, ``Unknown``, ``None``."""
    if isinstance(cell, str):  # the quick way for what begins with a digit: most cells of a log
        return "0" <= cell[:1] <= "9" or cell.strip().lower() not in _UNKNOWN
    return cell is not None and cell == cell  # NaN and NaT are not themselves


def text_of(cell: Any) -> str:
    """The cell as a word; a whole number in a column of floats (``29959.0``) stays whole."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number_of(cell: Any) -> float | None:
    """A finite number (``1.5K`` as Slurm shortens them), or None where ``cell`` isn't one."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, (int, float)):
        return float(cell) if cell - cell == 0 else None
    text = str(cell).strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if _NUMBER.fullmatch(text):
        value = float(text)
        return value if value - value == 0 else None
    if text[-1:].lower() in _SHORT and _NUMBER.fullmatch(text[:-1]):
        return float(text[:-1]) * _SHORT[text[-1:].lower()]
    return None


def time_of(cell: Any, zone: Zone, scale: list[str], *, second: bool = False) -> float | None:
    """Seconds of a time: since 1970 of a date, and of a number that is large enough; None where unknown.

    Numbers too large for seconds are milli-, micro- or nanoseconds: the unit is noted in ``scale``. Of a
    clock reading that happens twice ``second`` takes the later one. InputError for what is no time.
    """
    if not is_known(cell):
        return None
    if isinstance(cell, str) and cell[4:5] == "-" and len(cell) > 9:
        return _date(cell, zone, second)
    number = None if isinstance(cell, datetime) else number_of(cell)
    if number is None:
        if isinstance(cell, str):
            return _date(cell.strip(), zone, second)
        return to_timestamp(cell, zone, second=second)
    if number < 0:
        return None
    for least, divisor, name in _SCALES:
        if number >= least:
            if name not in scale:
                scale.append(name)
            return number / divisor
    return number


def _date(text: str, zone: Zone, second: bool) -> float:
    try:
        return to_timestamp(text, zone, second=second)
    except InputError as error:
        if "never showed" in str(error):
            raise
        problem = error
    short = _OFFSET.sub("", _NANOSECONDS.sub(r"\1", text))
    for form in (None, *_FORMATS):
        try:
            moment = datetime.fromisoformat(short) if form is None else datetime.strptime(short, form)
        except ValueError:
            continue
        if text.endswith((" UTC", " GMT")) and moment.tzinfo is None:
            zone = "UTC"
        return to_timestamp(moment.replace(tzinfo=moment.tzinfo), zone, second=second)
    raise problem


def duration_of(cell: Any, unit: float | None) -> float | None:
    """Seconds of ``[days-]hours:minutes:seconds``, a span, or a number of ``unit`` seconds; None: unknown.

    InputError for what is no duration, and for a bare number where ``unit`` is None.
    """
    if not is_known(cell):
        return None
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, str):
        text = cell.strip()
        if text.lower() in _NO_LIMIT:
            return None
        clock = _CLOCK.fullmatch(text)
        if clock is not None:
            return _clock(*clock.groups())
    number = number_of(cell)
    if number is None:
        raise InputError(f"{str(cell)[:60]!r} is not a duration", hint="such as 01:30:00, 1-12:00:00 or 5400")
    if number in _NO_VALUE or number < 0:
        return None
    if unit is None:
        raise NoUnit(f"a bare number ({text_of(cell)})")
    return number * unit


class NoUnit(InputError):
    """A duration without a unit in a column that doesn't tell one."""


def _clock(days: str | None, first: str, middle: str, last: str | None) -> float:
    if last is not None:
        hours, minutes, seconds = float(first), float(middle), float(last)
    elif days is not None:  # days-hours:minutes
        hours, minutes, seconds = float(first), float(middle), 0.0
    else:  # minutes:seconds
        hours, minutes, seconds = 0.0, float(first), float(middle)
    return float(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds


def count_of(cell: Any) -> int | None:
    """A number of nodes or processors: ``128.0``, ``1.2K``, the least of ``4-8``, a list's length.

    None for 0 and for what isn't known. InputError for what is no number.
    """
    if not is_known(cell):
        return None
    if isinstance(cell, (list, tuple)):
        return len(cell) or None
    if not isinstance(cell, (int, float, str)):  # an array of numpy or pyarrow
        return len(list(cell)) or None
    number = number_of(cell)
    if number is None:
        text = str(cell).strip()
        if text.startswith("[") and text.endswith("]"):  # a list as text
            return len([item for item in text[1:-1].split(",") if item.strip()]) or None
        least = number_of(text.partition("-")[0])
        if least is None:
            raise InputError(f"{text[:60]!r} is not a number")
        number = least
    if number in _NO_VALUE or number < 1:
        return None
    return int(number)


_HOSTS: Final = re.compile(r"[^,\[\]]+(?:\[[^\]]*\][^,\[\]]*)*")


def hosts_in(text: str) -> int | None:
    """How many hosts a Slurm list such as ``n[1-3,7],gpu01`` names; None where that can't be told."""
    text = text.strip()
    if not is_known(text) or text.lower().startswith("none"):
        return None
    total = 0
    for word in _HOSTS.findall(text):
        product = 1
        for inside in re.findall(r"\[([^\]]*)\]", word):
            product *= sum(_range(part) for part in inside.split(","))
        total += product
    return total or None


def _range(part: str) -> int:
    first, dash, last = part.partition("-")
    if not dash:
        return 1
    return int(last) - int(first) + 1 if first.isdigit() and last.isdigit() and int(last) >= int(first) else 1


def nodes_in_tres(text: str) -> int | None:
    """The nodes of Slurm's trackable resources: ``billing=96,cpu=96,node=2``, or by number ``1=96,4=2``."""
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() in ("node", "4") and value.strip().isdigit():
            return int(value) or None
    return None
