# cython: language_level=3, infer_types=True, boundscheck=False, wraparound=False, cdivision=True
"""Sets of machines as bits. Compiled by Cython.

What is done here for each node of a job is done several times a job: with a bit, a byte, a number each.
"""

from __future__ import annotations

try:
    import cython
except ImportError:
    from batfs._core import plain as cython

#: Whether this is the compiled form.
COMPILED = cython.compiled


def positions(nodes: int) -> tuple[int, ...]:
    """The bits that are set, ascending."""
    size: cython.Py_ssize_t = (nodes.bit_length() + 7) // 8
    data: bytes = nodes.to_bytes(size, "little")
    bits: cython.p_uchar = data
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
    bits: cython.p_uchar = data
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
