"""JSON of whatever Python holds: whole numbers have no end there, and the name of a file need not be text."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re
    from array import array

_SMALL = 1 << 20  # bytes up to which Python's own parser is done before orjson is imported
_MANY = 64  # numbers in an array that is read apart
LEAST, MOST = -(2**63), 2**64 - 1  # what orjson writes, and every reader takes


def loads(data: bytes) -> Any:
    """``orjson.loads``. Its import takes longer than Python's own parser needs for a small text, so that one
    reads what both take for the same."""
    return _loads(data, data, [])


def loads_numbers(data: bytes) -> tuple[Any, int, bytes]:
    """:func:`loads`, where long arrays of whole numbers may be arrays of float64; how many are, and the text
    without them. They are spared a Python object for each number."""
    from batfs._core.reading import COMPILED, cut

    text, arrays = cut(data, _MANY) if COMPILED else (data, [])
    if not arrays or len(text) > _SMALL:
        return loads(data), 0, data
    return _loads(data, text, arrays), len(arrays), text


def _loads(data: bytes, text: bytes, arrays: list[array[float]]) -> Any:
    """``text`` is ``data``, but for ``NaN`` in the place of these arrays."""
    if len(text) <= _SMALL:
        from batfs._core.reading import COMPILED, odd

        left = iter(arrays)

        def constant(name: str) -> array[float]:
            for found in left:
                return found
            raise ValueError(name)

        # not with numbers beyond 64 bits, floats without end, halves of characters
        if COMPILED and not odd(text):
            try:
                return json.loads(text.decode(), parse_constant=constant)
            except (ValueError, RecursionError):  # orjson has the last word, and says what is wrong
                pass
    import orjson

    return orjson.loads(data)


def dumps(value: Any, option: int = 0, default: Callable[[Any], Any] | None = None) -> bytes:
    """``orjson.dumps``, with integers beyond 64 bits as floats (a sum of capacities may be one), and bytes of
    a name that aren't UTF-8 escaped."""
    import orjson

    try:
        return orjson.dumps(value, default=default, option=option)
    except TypeError:
        return orjson.dumps(within(value), default=default, option=option)


def plain(value: Any) -> bool:
    """Whether :func:`by_orjson` needs no orjson."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and plain(key) and plain(item) for key, item in value.items())
    if kind is list or kind is tuple:
        return all(map(plain, value))
    if kind is str:
        return bool(value.isascii()) and "\x7f" not in value  # which orjson leaves as it is
    if kind is int:
        return bool(LEAST <= value <= MOST)
    if kind is float:  # large exponents are written with a sign or without, by its version
        return bool(abs(value) < 1e16)
    return value is None or kind is bool


def by_orjson(value: Any) -> str:
    """``value``, which is :func:`plain`, as orjson writes it with indentation: its import takes longer than
    to write a few hundred lines."""
    import re

    text = json.dumps(value, indent=2)
    if "e-0" not in text:
        return text
    # exponents of one digit have no zero before it, and 1e-05 is no exponent yet
    return re.sub(r'(?m)^( *(?:"(?:[^"\\]|\\.)*": )?-?)(\d)\.?(\d*)e-0(\d)(?=,?$)', _exponent, text)


def _exponent(number: re.Match[str]) -> str:
    before, first, rest, exponent = number.groups()
    if exponent == "5":
        return f"{before}0.0000{first}{rest}"
    return f"{before}{first}{'.' if rest else ''}{rest}e-{exponent}"


def indented(value: Any) -> str:
    """Whatever there is as JSON for readers and programs: whole numbers as they are; a path that is no text
    with its bytes shown, since half a character is what many readers refuse."""
    import re

    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return re.sub("[\ud800-\udfff]", lambda half: "\\" + ascii(half[0])[1:-1], text)


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
