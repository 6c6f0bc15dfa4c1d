"""Checks of single JSON members, each with a message: where, what was found, what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from batfs.errors import InputError, nearest

INT_MAX = 2**31 - 1  # Batsim reads integers as C ints


def member_place(parent: str, name: str) -> str:
    """``profiles.p1``, or ``profiles['my profile']`` when the name isn't a plain word."""
    return f"{parent}.{name}" if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"{parent}[{name!r}]"


def shown(value: Any) -> str:
    """A JSON value short enough for a message."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong(value: Any, expected: str, place: str) -> NoReturn:
    raise InputError(f"found {shown(value)}, expected {expected}", place=place)


def missing(obj: Mapping[str, Any], key: str, place: str, known: Iterable[str] = ()) -> NoReturn:
    """``key`` isn't in ``obj``; a member with a similar name is probably a misspelling of it."""
    known_names = set(known)
    close = nearest(key, [name for name in obj if name not in known_names])
    hint = f"is {close!r} a misspelling of it?" if close else None
    raise InputError(f"the member {key!r} is missing", place=place, hint=hint)


def need_object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        wrong(value, "an object", place)
    return value


def need_string(value: Any, place: str) -> str:
    if not isinstance(value, str):
        wrong(value, "a string", place)
    return value


def need_number(value: Any, place: str, *, positive: bool = False, non_negative: bool = True) -> float:
    """A finite JSON number in the kind it was written in: at least 0, or above 0 with ``positive``."""
    if type(value) not in (int, float):
        wrong(value, "a number", place)
    if not math.isfinite(value):
        wrong(value, "a finite number", place)
    if positive and value <= 0:
        wrong(value, "a number above 0", place)
    if non_negative and value < 0:
        wrong(value, "a number that is not negative", place)
    number: float = value
    return number


def need_integer(value: Any, place: str, *, least: int, most: int = INT_MAX) -> int:
    """An integer literal (``4.0`` is not one, for Batsim neither) from ``least`` to ``most``."""
    if type(value) is not int:
        hint = "written without a decimal point" if type(value) is float else None
        raise InputError(f"found {shown(value)}, expected an integer", place=place, hint=hint)
    if value < least:
        wrong(value, f"an integer of at least {least}", place)
    if value > most:
        wrong(value, f"an integer of at most {most}", place)
    return value
