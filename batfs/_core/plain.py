"""What the core's files use of the module ``cython``, for running them as plain Python without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

compiled = False
double = float
longlong = ulonglong = Py_ssize_t = bint = int
p_double = p_longlong = p_int = void = size_t = Any


def _as_it_is(found: Any) -> Any:
    return found


def exceptval(value: Any = None, *, check: bool = True) -> Callable[[Any], Any]:
    return _as_it_is


def declare(kind: Any, value: Any = None, visibility: str = "") -> Any:
    return value


def cast(kind: Any, value: Any) -> Any:
    return int(value) if kind is int else value


cclass = cfunc = ccall = inline = final = _as_it_is
