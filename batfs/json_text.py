"""JSON of whatever Python holds: whole numbers have no end there, and the name of a file need not be text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

_HALVES = re.compile("[\ud800-\udfff]")
LEAST, MOST = -(2**63), 2**64 - 1  # what orjson writes, and every reader takes


def dumps(value: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> bytes:
    """``orjson.dumps``, with integers beyond 64 bits as floats (a sum of capacities may be one), and bytes of
    a name that aren't UTF-8 escaped."""
    try:
        return orjson.dumps(value, default=default, option=option)
    except TypeError:
        return orjson.dumps(within(value), default=default, option=option)


def indented(value: Any) -> str:
    """Whatever there is as JSON for readers and programs: whole numbers as they are; a path that is no text
    with its bytes shown, since half a character is what many readers refuse."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _HALVES.sub(lambda half: "\\" + ascii(half[0])[1:-1], text)


def within(value: Any) -> Any:
    """``value`` as every reader takes it."""
    if isinstance(value, Mapping):
        return {within(key): within(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [within(item) for item in value]
    if isinstance(value, int) and not LEAST <= value <= MOST:
        return float(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
