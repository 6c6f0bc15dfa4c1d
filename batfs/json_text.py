"""JSON of whatever whole numbers: Python's have no end, JSON's readers stop at 64 bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

LEAST, MOST = -(2**63), 2**64 - 1  # what orjson writes, and every reader takes


def dumps(value: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> bytes:
    """``orjson.dumps``, with integers beyond 64 bits as floats: a sum of capacities may be one."""
    try:
        return orjson.dumps(value, default=default, option=option)
    except TypeError:
        return orjson.dumps(_within(value), default=default, option=option)


def _within(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _within(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_within(item) for item in value]
    if isinstance(value, int) and not LEAST <= value <= MOST:
        return float(value)
    return value
