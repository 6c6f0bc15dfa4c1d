# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What is read by the thousand: numbers of a profile, letters of a text. Compiled by Cython."""

from __future__ import annotations

from typing import Any

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AsString

from batfs._core.arrays import address, doubles

INFINITY = cython.declare(cython.double, float("inf"))

#: Whether this is the compiled form.
COMPILED = cython.compiled


@cython.cfunc
def reals(cells: Any) -> cython.p_double:
    """The numbers of an array of float64."""
    if cython.compiled:
        return cython.cast(cython.p_double, cython.cast(cython.size_t, address(cells)))
    return cells


def read(values: list[Any], cells: Any) -> cython.longlong:
    """Numbers of a file into an array of float64, which has room for them; how many of them are
    ints, -1 if one is neither int nor float, or below 0, or not finite."""
    found: cython.p_double = reals(cells)
    whole: cython.longlong = 0
    place: cython.longlong
    number: cython.double
    for place in range(len(values)):
        value = values[place]
        kind = type(value)
        if kind is int:
            whole += 1
        elif kind is not float:
            return -1
        number = value
        if not (number >= 0.0 and number < INFINITY):
            return -1
        found[place] = number
    return whole


def cut(data: bytes, least: cython.longlong) -> tuple[bytes, list]:
    """A text of JSON with ``NaN`` for each array of ``least`` whole numbers or more, none below 0 or of more
    than fifteen digits; and those arrays, as float64. As it was if there is a constant like that already."""
    text: cython.p_char = PyBytes_AsString(data) if cython.compiled else data
    pieces: list = []
    arrays: list = []
    quoted: cython.bint = False
    begun: cython.longlong = 0
    place: cython.longlong = 0
    size: cython.longlong = len(data)
    one: cython.int
    while place < size:
        one = text[place]
        if quoted:
            if one == 92:  # the backslash
                place += 1
            quoted = one != 34
        elif one == 34:
            quoted = True
        elif one == 78 or one == 73:  # NaN, Infinity
            return data, []
        elif one == 91:  # [
            count, end = whole_numbers(text, place + 1, size)
            if count >= least:
                pieces.append(data[begun:place])
                arrays.append(taken(text, place, count))
                place = begun = end
                continue
        place += 1
    pieces.append(data[begun:])
    return b"NaN".join(pieces), arrays


@cython.cfunc
def whole_numbers(
    text: cython.p_char, place: cython.longlong, size: cython.longlong
) -> tuple[cython.longlong, cython.longlong]:
    """How many there are up to the bracket that closes, and what comes behind it; 0 if there is anything
    else."""
    count: cython.longlong = 0
    digits: cython.int = 0
    first: cython.int = 0
    ended: cython.bint = False
    one: cython.int
    while place < size:
        one = text[place]
        place += 1
        if 48 <= one <= 57 and not ended:
            if digits == 15 or (digits == 1 and first == 48):
                break
            first = one if digits == 0 else first
            digits += 1
        elif (one == 44 or one == 93) and digits:  # , ]
            count += 1
            if one == 93:
                return count, place
            digits, ended = 0, False
        elif one == 32 or one == 10 or one == 13 or one == 9:
            ended = digits > 0
        else:
            break
    return 0, place


@cython.cfunc
def taken(text: cython.p_char, place: cython.longlong, count: cython.longlong) -> object:
    """The numbers of the array that begins there."""
    cells = doubles(count)
    found: cython.p_double = reals(cells)
    number: cython.longlong = 0
    at: cython.longlong = 0
    one: cython.int
    while at < count:
        place += 1
        one = text[place]
        if 48 <= one <= 57:
            number = 10 * number + (one - 48)
        elif one == 44 or one == 93:
            found[at] = number
            number = 0
            at += 1
    return cells


def odd(data: bytes) -> bool:
    """Whether there is in a text of JSON what two parsers may see differently: nineteen digits in a row, an
    exponent of three digits, a character by its number, more than 500 levels."""
    text: cython.p_char = PyBytes_AsString(data) if cython.compiled else data
    digits: cython.longlong = 0
    exponent: cython.bint = False
    escaped: cython.bint = False
    quoted: cython.bint = False
    depth: cython.longlong = 0
    place: cython.longlong
    one: cython.int
    for place in range(len(data)):
        one = text[place]
        if one == 34 and not escaped:
            quoted = not quoted
        elif not quoted and (one == 91 or one == 123):
            depth += 1
            if depth > 500:
                return True
        elif not quoted and (one == 93 or one == 125):
            depth -= 1
        if 48 <= one <= 57:
            digits += 1
            if digits == 19 or (exponent and digits == 3):
                return True
            escaped = False
            continue
        if escaped and one == 117:  # u
            return True
        if not (exponent and digits == 0 and (one == 43 or one == 45)):  # + -
            exponent = digits > 0 and (one == 69 or one == 101)  # E e
        digits = 0
        escaped = one == 92 and not escaped  # the backslash
    return False
