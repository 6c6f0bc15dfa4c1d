"""Times of traces: a clock on a wall needs its zone.

``2020-11-01 01:30:00`` happens twice where clocks go back that night and ``2020-03-08 02:30:00`` never where
they go forward. A time with an offset (``+01:00``, ``Z``) says it all; one without is read in a stated zone.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from batfs.errors import InputError

Zone: TypeAlias = str
"""A name of the IANA data base (``America/Chicago``) or ``UTC``."""


@lru_cache(maxsize=64)
def _zone(name: Zone) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise InputError(
            f"unknown time zone {name!r}",
            hint="a name such as UTC, Europe/Paris or America/Chicago is expected",
        ) from error


def check_zone(name: Zone) -> Zone:
    """``name`` itself; InputError if there is no such zone."""
    _zone(name)
    return name


def to_timestamp(value: Any, zone: Zone = "UTC", *, second: bool = False) -> float:
    """Seconds since 1970 in UTC of a number (that already), a date-time or its ISO text.

    Of a clock reading that happens twice the first is meant, or the ``second``. One that never happens in
    ``zone`` is an InputError: the trace is in another zone.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise InputError(f"{value!r} is not a time")
        return float(value)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise InputError(
                f"{value!r} is not a time",
                hint="such as '2020-10-01 20:22:29' or '2020-10-01T20:22:29+02:00'",
            ) from None
    elif isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day)
    else:
        raise InputError(f"{value!r} is not a time")
    if moment.tzinfo is None and zone == "UTC":  # the same, quickly
        return moment.replace(tzinfo=UTC).timestamp()
    if moment.tzinfo is None:
        there = moment.replace(tzinfo=_zone(zone), fold=1 if second else 0)
        back = there.astimezone(UTC).astimezone(_zone(zone))
        if back.replace(tzinfo=None) != moment:
            raise InputError(
                f"the clocks of {zone} never showed {moment}", hint="is the trace in another zone?"
            )
        moment = there
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
