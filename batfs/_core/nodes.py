# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True
"""Sets of machines: which they are, as text and as bits. Compiled by Cython.

What is done here for each node of a job is done several times a job: with a bit, a byte, a number each.
"""

from __future__ import annotations

from collections.abc import Sequence

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

#: Whether this is the compiled form.
COMPILED = cython.compiled


def text_of(ids: Sequence[int]) -> str:
    """The text of ascending ids without repetition, runs of two or more as ``a-b``; costs the number of runs,
    not of ids."""
    count: cython.Py_ssize_t = len(ids)
    first: cython.longlong
    place: cython.Py_ssize_t = 0
    last: cython.Py_ssize_t
    step: cython.Py_ssize_t
    parts: list = []
    while place < count:
        first = ids[place]
        # ids ascend, so ids[j] - j never falls: doubling steps, then halves, find the end of the run
        last, step = place, 1
        while last + step < count and in_run(ids, last + step, first, place):
            last += step
            step *= 2
        while step:
            if last + step < count and in_run(ids, last + step, first, place):
                last += step
            step //= 2
        parts.append(str(first) if last == place else f"{first}-{first + last - place}")
        place = last + 1
    return parts[0] if len(parts) == 1 else " ".join(parts)


@cython.cfunc
@cython.inline
def in_run(
    ids: object, k: cython.Py_ssize_t, first: cython.longlong, place: cython.Py_ssize_t
) -> cython.bint:
    """Whether id number ``k`` belongs to the run that begins with ``first`` at ``place``."""
    found: cython.longlong = ids[k]
    return found - first == k - place


@cython.cfunc
@cython.inline
def octets(data: bytes) -> cython.p_uchar:
    """The bytes of ``data``."""
    return data


def positions(nodes: int) -> tuple[int, ...]:
    """The bits that are set, ascending."""
    size: cython.Py_ssize_t = (nodes.bit_length() + 7) // 8
    data: bytes = nodes.to_bytes(size, "little")
    bits: cython.p_uchar = octets(data)
    found: list = []
    k: cython.Py_ssize_t
    bit: cython.longlong
    byte: cython.longlong
    for k in range(size):
        byte = bits[k]
        if byte:
            for bit in range(8):
                if byte >> bit & 1:
                    found.append(8 * k + bit)  # noqa: PERF401 (typed, as it stands)
    return tuple(found)


def prefix(nodes: int, count: int) -> int:
    """How many of the lowest bits hold ``count`` ones (> 0) of ``nodes``, which has as many."""
    size: cython.Py_ssize_t = (nodes.bit_length() + 7) // 8
    data: bytes = nodes.to_bytes(size, "little")
    bits: cython.p_uchar = octets(data)
    left: cython.longlong = count
    k: cython.Py_ssize_t
    bit: cython.longlong
    byte: cython.longlong
    for k in range(size):
        byte = bits[k]
        if byte:
            for bit in range(8):
                if byte >> bit & 1:
                    left -= 1
                    if left == 0:
                        return 8 * k + bit + 1
    raise ValueError("there are not so many")
